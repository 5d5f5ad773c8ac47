import { afterEach, beforeEach, expect, test, vi } from 'vitest';

import { Rounds } from '../../src/rounds.ts';

beforeEach(() => void vi.useFakeTimers());
afterEach(() => void vi.useRealTimers());

test('one round at a time, a pause after each, also after one that failed', async () => {
  const begun: number[] = [];
  const failures: unknown[] = [];
  let end: PromiseWithResolvers<number> = Promise.withResolvers();
  const rounds = new Rounds({
    round: () => {
      begun.push(Date.now());
      end = Promise.withResolvers();
      return end.promise;
    },
    onFailure: (error) => failures.push(error) * 500,
  });
  const from = Date.now();
  rounds.start();
  await vi.advanceTimersByTimeAsync(9_000);
  expect(begun).toEqual([from]);
  end.resolve(100);
  await vi.advanceTimersByTimeAsync(99);
  expect(begun).toHaveLength(1);
  await vi.advanceTimersByTimeAsync(1);
  expect(begun).toHaveLength(2);
  end.reject(new Error('no'));
  await vi.advanceTimersByTimeAsync(500);
  expect(failures).toMatchObject([{ message: 'no' }]);
  expect(begun).toHaveLength(3);
});

test('none after a stop, not even one that was to follow what is under way', async () => {
  let rounded = 0;
  const rounds = new Rounds({
    round: () => {
      rounded += 1;
      if (rounded === 2) rounds.stop();
      return Promise.resolve(10);
    },
    onFailure: () => 10,
  });
  rounds.start();
  await vi.advanceTimersByTimeAsync(1_000);
  rounds.start();
  await vi.advanceTimersByTimeAsync(1_000);
  expect(rounded).toBe(2);
  expect(rounds.isStopped).toBe(true);
});
