/** Numbers: the invariants of src/supervisor/restart-policy.ts. */
import * as fc from 'fast-check';
import { expect, test } from 'vitest';

import { planRestart } from '../../../src/supervisor/restart-policy.ts';

/** Delays of deaths that come `lifeMs` after each restart. */
function delays(count: number, lifeMs: number): number[] {
  const seen: number[] = [];
  let nowMs = 1_000_000;
  let deathsMs: number[] = [];
  for (let death = 0; death < count; death += 1) {
    nowMs += lifeMs;
    const plan = planRestart({ deathsMs, nowMs });
    deathsMs = plan.remembered;
    seen.push(plan.delayMs);
    nowMs += plan.delayMs;
  }
  return seen;
}

test('1, 2, 3: at once, then twice as long each time up to 2 s, above ten deaths in a minute 5 s', () => {
  expect(delays(13, 0)).toEqual([
    0, 100, 200, 400, 800, 1_600, 2_000, 2_000, 2_000, 2_000, 5_000, 5_000, 5_000,
  ]);
});

test('1: a process that dies once in a while is always started again at once', () => {
  expect(delays(5, 61_000)).toEqual([0, 0, 0, 0, 0]);
});

test('3: above the budget is said; back under it, it is over', () => {
  const nowMs = 100_000;
  const ten = Array.from({ length: 10 }, () => nowMs - 1);
  expect(planRestart({ deathsMs: ten.slice(1), nowMs }).overBudget).toBe(false);
  expect(planRestart({ deathsMs: ten, nowMs })).toMatchObject({ overBudget: true, deaths: 11 });
  expect(planRestart({ deathsMs: ten, nowMs: nowMs + 60_000 })).toMatchObject({
    overBudget: false,
    deaths: 1,
    delayMs: 0,
  });
});

test('3: whatever the history, there is a next restart, within 5 s, and the memory is bounded by the window', () => {
  fc.assert(
    fc.property(
      fc.array(fc.nat(200_000), { maxLength: 200 }),
      fc.nat(200_000),
      (deathsMs, nowMs) => {
        const { delayMs, remembered } = planRestart({ deathsMs, nowMs });
        expect(delayMs).toBeGreaterThanOrEqual(0);
        expect(delayMs).toBeLessThanOrEqual(5_000);
        expect(remembered.every((at) => nowMs - at < 60_000)).toBe(true);
      },
    ),
  );
});
