/** Clients that come back to one stream one after the other, as after a restart of the gateway, each while the earlier ones are there. */
import { afterEach, describe, expect, it, vi } from 'vitest';

import { createFeed, type Feed } from '../../src/api/feed.ts';
import type { Store, StoredEvent } from '../../src/store/port.ts';
import { parseFrame } from './raw-socket.ts';

const EVENTS = 1_000;
/** Longer than anything is kept. */
const LATER_MS = 1_000;

/** A log that counts how often it is read. */
function startFeed(text = ''): { feed: Feed; reads: () => number } {
  let reads = 0;
  const log = Array.from({ length: EVENTS }, (_, index): StoredEvent => {
    const seq = index + 1;
    return { seq, type: 'notice', json: JSON.stringify({ type: 'notice', seq, text }) };
  });
  const store = {
    lastSeq: async () => EVENTS,
    events: async (_stream: string, afterSeq: number, limit: number) => {
      reads += 1;
      return { items: log.slice(afterSeq, afterSeq + limit), lastSeq: EVENTS };
    },
    watch: () => () => undefined,
  } as unknown as Store;
  return { feed: createFeed({ store, log: { warn: () => undefined } }), reads: () => reads };
}

/** Resolves when it is caught up; it stays. */
async function comeBack(
  feed: Feed,
  afterSeq: number,
): Promise<{ seqs: number[]; leave: () => void }> {
  const seqs: number[] = [];
  const { promise, resolve } = Promise.withResolvers<number>();
  const subscription = feed.subscribe({
    stream: 's',
    afterSeq,
    encoding: 'websocket',
    sink: {
      isFull: () => false,
      onceDrained: () => undefined,
      write: (bytes) => {
        for (let rest = bytes; rest.length > 0;) {
          const frame = parseFrame(rest);
          if (frame === null) throw new Error('half a frame');
          seqs.push((JSON.parse(frame.payload.toString('utf8')) as { seq: number }).seq);
          rest = rest.subarray(frame.size);
        }
      },
    },
    onCaughtUp: resolve,
    onLost: () => resolve(0),
  });
  expect(await promise).toBe(EVENTS);
  return { seqs, leave: () => subscription.close() };
}

const after = (seq: number): number[] =>
  Array.from({ length: EVENTS - seq }, (_, index) => seq + 1 + index);

describe('a crowd that comes back', () => {
  afterEach(() => void vi.useRealTimers());

  it('F3: shares what was read for the second of them; L4: each gets what it has missed, wherever it stood', async () => {
    const { feed, reads } = startFeed();
    await comeBack(feed, 700);
    await comeBack(feed, 700);
    const before = reads();
    for (let cursor = 999; cursor >= 700; cursor -= 1)
      expect((await comeBack(feed, cursor)).seqs).toEqual(after(cursor));
    expect(reads()).toBe(before);
    expect((await comeBack(feed, 699)).seqs).toEqual(after(699));
    expect(reads()).toBeGreaterThan(before);
    feed.close();
  });

  it('W2: what was read for a lone reader is kept for nobody, nor anything once all have left', async () => {
    const { feed, reads } = startFeed();
    const lone = await comeBack(feed, 900);
    lone.leave();
    const first = reads();
    const again = await comeBack(feed, 900);
    expect(reads()).toBe(first * 2);
    const other = await comeBack(feed, 900);
    again.leave();
    other.leave();
    expect(feed.counts.streams).toBe(0);
    await comeBack(feed, 900);
    expect(reads()).toBe(first * 4);
    feed.close();
  });

  it('W2: nothing is kept for long', async () => {
    vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout'] });
    const { feed, reads } = startFeed();
    await comeBack(feed, 900);
    await comeBack(feed, 900);
    await comeBack(feed, 900);
    const before = reads();
    vi.advanceTimersByTime(LATER_MS);
    await comeBack(feed, 900);
    expect(reads()).toBe(before + 1);
    feed.close();
    expect(vi.getTimerCount()).toBe(0);
  });

  it('W2: no more is kept than a few megabytes', async () => {
    const { feed, reads } = startFeed('x'.repeat(20_000));
    await comeBack(feed, 0);
    const alone = reads();
    await comeBack(feed, 0);
    const before = reads();
    await comeBack(feed, 0);
    const third = reads() - before;
    expect(third).toBeGreaterThan(alone / 4);
    expect(third).toBeLessThan(alone);
    feed.close();
  });
});
