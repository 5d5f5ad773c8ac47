/** Rule 3 of web/client/contract.ts: once for each frame, and a pause after a long one. */
import { expect, test } from 'vitest';

import { FrameBatch } from '../../../web/client/frame-batch.ts';

/** A browser whose frames and timers come when they are told to. */
function browser() {
  let nowMs = 1_000;
  const waiting: { atMs: number | 'frame'; work: () => void }[] = [];
  const wait = (atMs: number | 'frame', work: () => void) => {
    const one = { atMs, work };
    waiting.push(one);
    return () => {
      const index = waiting.indexOf(one);
      if (index >= 0) waiting.splice(index, 1);
    };
  };
  const run = (isDue: (atMs: number | 'frame') => boolean): void => {
    for (const one of waiting.filter(({ atMs }) => isDue(atMs))) {
      waiting.splice(waiting.indexOf(one), 1);
      one.work();
    }
  };
  return {
    parts: {
      now: () => nowMs,
      isHidden: () => false,
      beforeFrame: (work: () => void) => wait('frame', work),
      after: (delayMs: number, work: () => void) => wait(nowMs + delayMs, work),
    },
    frame: () => run((atMs) => atMs === 'frame'),
    pass: (ms: number) => {
      nowMs += ms;
      run((atMs) => atMs !== 'frame' && atMs <= nowMs);
    },
  };
}

test('a job that is asked for many times is done once, before the next frame', () => {
  const { parts, frame } = browser();
  const batch = new FrameBatch(parts);
  let done = 0;
  const job = (): void => void (done += 1);
  batch.request(job);
  batch.request(job);
  expect(done).toBe(0);
  frame();
  frame();
  expect(done).toBe(1);
});

test('a frame that took long is followed by as long a pause, one that did not by none', () => {
  const { parts, frame, pass } = browser();
  const batch = new FrameBatch(parts);
  let done = 0;
  const job = (): void => void (done += 1);
  batch.request(job);
  frame();
  pass(10);
  batch.request(job);
  frame();
  expect(done).toBe(2);
  // What was drawn for it takes 100 ms.
  pass(100);
  batch.request(job);
  frame();
  expect(done).toBe(2);
  pass(99);
  frame();
  expect(done).toBe(2);
  pass(1);
  frame();
  expect(done).toBe(3);
});

test('nothing is done after the end, in a pause neither', () => {
  const { parts, frame, pass } = browser();
  const batch = new FrameBatch(parts);
  let done = 0;
  const job = (): void => void (done += 1);
  batch.request(job);
  frame();
  pass(100);
  batch.request(job);
  batch.close();
  pass(1_000);
  frame();
  expect(done).toBe(1);
});
