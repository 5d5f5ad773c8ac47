/* oxlint-disable -- a script of the page: there is no type of a browser here */
// @ts-nocheck: it runs in the page, before anything else there, and no reader of this folder has a DOM
/**
 * What is seen, and what it cost, by the page's own clock. `pageProbe.begin({conversationId})` begins it; times are of
 * `performance.now()`, that is since the navigation.
 *
 *  1 Something is shown when it was painted: found in the document at the beginning of a frame, inside the window, and that frame's
 *    rendering is over.
 *  2 Only the last rows are looked at: looking must cost nothing beside what is measured.
 */
(() => {
  const probe = { longTasks: [], snapshotAt: null, snapshotWord: null, frames: null };
  globalThis.pageProbe = probe;

  new PerformanceObserver((list) => {
    for (const { startTime, duration } of list.getEntries())
      probe.longTasks.push({ at: Math.round(startTime), ms: Math.round(duration) });
  }).observe({ type: 'longtask', buffered: true });

  /** The last word `w<n>` of a text: where, and n; null: it has none. */
  const lastWord = (text) => {
    for (let at = text.length; (at = text.lastIndexOf('w', at - 1)) >= 0;) {
      const found = /^w(\d+)\b/.exec(text.slice(at, at + 12));
      if (found !== null) return { at, n: Number(found[1]) };
      if (at === 0) break;
    }
    return null;
  };

  probe.begin = ({ conversationId }) => {
    const Native = globalThis.WebSocket;
    const start = `"conversationId":"${conversationId}"`;
    globalThis.WebSocket = class extends Native {
      constructor(...given) {
        super(...given);
        this.addEventListener('message', ({ data }) => {
          if (probe.snapshotAt !== null || typeof data !== 'string') return;
          const head = data.slice(0, 200);
          if (!head.includes('"snapshot"') || !head.includes(start)) return;
          probe.snapshotAt = performance.now();
          probe.snapshotBytes = data.length;
          probe.snapshotWord = lastWord(data)?.n ?? null;
        });
      }
    };
  };

  const lastRows = () => {
    const rows = document.querySelectorAll('[role="log"] article');
    return Array.from(rows).slice(-4);
  };

  /** Whether what `find` finds in a text of the last rows (its index, or -1) is inside the window. */
  const isSeen = (find) => {
    for (const row of lastRows()) {
      if (find(row.textContent) < 0) continue;
      const walker = document.createTreeWalker(row, NodeFilter.SHOW_TEXT);
      for (let node = walker.nextNode(); node !== null; node = walker.nextNode()) {
        const index = find(node.data);
        if (index < 0) continue;
        const range = document.createRange();
        range.setStart(node, index);
        range.setEnd(node, index + 1);
        const { bottom, top, height } = range.getBoundingClientRect();
        if (height > 0 && bottom > 0 && top < innerHeight) return true;
      }
    }
    return false;
  };

  const painted = (found) =>
    new Promise((resolve) => {
      const look = () => {
        if (!found()) {
          requestAnimationFrame(look);
          return;
        }
        const { port1, port2 } = new MessageChannel();
        port1.onmessage = () => resolve(performance.now());
        port2.postMessage(null);
      };
      requestAnimationFrame(look);
    });

  /** Resolves with when that text was painted at the end of the conversation. */
  probe.shown = (text) => painted(() => isSeen((given) => given.lastIndexOf(text)));

  /** Resolves when all that the snapshot held is painted: when it came, when it was, and how much was missing. */
  probe.caughtUp = async () => {
    const at = await painted(
      () =>
        probe.snapshotWord !== null &&
        isSeen((given) => {
          const last = lastWord(given);
          return last !== null && last.n >= probe.snapshotWord ? last.at : -1;
        }),
    );
    return { at, snapshotAt: probe.snapshotAt };
  };

  /** Counts frames until {@link probe.stopFrames}. */
  probe.countFrames = () => {
    const frames = [];
    probe.frames = frames;
    let last = null;
    const next = (now) => {
      if (probe.frames !== frames) return;
      if (last !== null) frames.push(now - last);
      last = now;
      requestAnimationFrame(next);
    };
    requestAnimationFrame(next);
  };
  probe.stopFrames = () => {
    const { frames } = probe;
    probe.frames = null;
    return frames;
  };

  /** What scrolls: the log, or the nearest above or below it that does. */
  probe.scroller = () => {
    const log = document.querySelector('[role="log"]');
    const scrolls = (element) =>
      element.scrollHeight > element.clientHeight + 1 &&
      /auto|scroll/.test(getComputedStyle(element).overflowY);
    for (let at = log; at !== null; at = at.parentElement) if (scrolls(at)) return at;
    for (const element of log.querySelectorAll('div')) if (scrolls(element)) return element;
    return document.scrollingElement;
  };

  /** Scrolls that many pixels in each frame; resolves with the frames' lengths, and how many of them showed an empty window. */
  probe.scroll = ({ pixels, forMs }) =>
    new Promise((resolve) => {
      const scroller = probe.scroller();
      const frames = [];
      let blank = 0;
      let travelled = 0;
      let last = null;
      let end = null;
      const next = (now) => {
        end ??= now + forMs;
        if (last !== null) frames.push(now - last);
        last = now;
        const before = scroller.scrollTop;
        scroller.scrollTop = before + pixels;
        travelled += Math.abs(scroller.scrollTop - before);
        const { left, top, width, height } = scroller.getBoundingClientRect();
        const rows = [0.1, 0.3, 0.5, 0.7, 0.9].map((part) =>
          document.elementFromPoint(left + width / 2, top + height * part)?.closest('article'),
        );
        if (rows.every((row) => row == null)) blank += 1;
        if (now < end) requestAnimationFrame(next);
        else resolve({ frames, blank, travelled, at: scroller.scrollTop });
      };
      requestAnimationFrame(next);
    });
})();
