/** When old deltas are folded away. What folding does is the store's: test/store. */
import { afterEach, expect, test } from 'vitest';

import { Compactor } from '../../src/compaction.ts';

const started: Compactor[] = [];
afterEach(() => {
  for (const compactor of started.splice(0)) compactor.stop();
});

/** A compactor over a store that answers `steps` one after the other; each call is waited for by `called(n)`. */
function compactorOver(steps: (number | Error)[], settings: { windowMs: number; nowMs?: number }) {
  const calls: { endedBefore: string; limit: number }[] = [];
  const lines: string[] = [];
  let told = Promise.withResolvers<void>();
  const compactor = new Compactor({
    store: {
      compact: async (request) => {
        calls.push(request);
        told.resolve();
        told = Promise.withResolvers();
        const step = steps.shift() ?? 0;
        if (step instanceof Error) throw step;
        return step;
      },
    },
    windowMs: settings.windowMs,
    clock: () => settings.nowMs ?? 0,
    log: (text) => void lines.push(text),
    everyMs: 3_600_000,
  });
  started.push(compactor);
  const called = async (count: number): Promise<void> => {
    while (calls.length < count) await told.promise;
  };
  return { compactor, calls, lines, called };
}

test('folds what ended before the window, by the clock', async () => {
  const nowMs = Date.UTC(2026, 0, 2);
  const { compactor, calls, called } = compactorOver([0], { windowMs: 86_400_000, nowMs });
  compactor.start();
  await called(1);
  expect(calls[0]?.endedBefore).toBe('2026-01-01T00:00:00.000Z');
});

test('goes on at once while there is something left, and then waits', async () => {
  const { compactor, calls, called } = compactorOver([1_000, 1_000, 3, 0, 7], { windowMs: 0 });
  compactor.start();
  await called(4);
  // The next look is an hour away: whoever asked a fifth time would have done so within the pause.
  await new Promise((resolve) => setTimeout(resolve, 200));
  expect(calls).toHaveLength(4);
});

test('a store that refuses is said so, and asked again later', async () => {
  const { compactor, calls, lines, called } = compactorOver([new Error('disk I/O error')], {
    windowMs: 0,
  });
  compactor.start();
  await called(1);
  await expect
    .poll(() => lines)
    .toEqual(['old deltas were not folded away: Error: disk I/O error']);
  expect(calls).toHaveLength(1);
});

test('one that was stopped asks no more', async () => {
  const { compactor, calls } = compactorOver([1_000], { windowMs: 0 });
  compactor.stop();
  compactor.start();
  expect(calls).toEqual([]);
});
