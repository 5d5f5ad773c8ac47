/** What trigger programs ask for is what a run can carry and the checker can work out. */
import { expect, test } from 'vitest';

import { judgedDueTimes } from './due-judge.ts';
import { Random } from './random.ts';
import { expectationOf } from './script.ts';
import { nextAction, planOf } from './trigger-program.ts';

const nowMs = Date.parse('2026-01-01T00:00:00.000Z');
const seeds = Array.from({ length: 300 }, (_, index) => index);
const plans = seeds.map((seed) =>
  planOf(new Random(`plan ${seed}`), { mark: `g1-${seed}`, turn: seed, nowMs }),
);
const changes = seeds.flatMap((seed) => {
  const action = nextAction(new Random(`change ${seed}`), { mark: `g1-1 edit ${seed}`, nowMs });
  return action.do === 'change' ? [action.change] : [];
});

test('D2: a prompt of a trigger ends by itself, and none is the beginning of another', () => {
  const contents = [...plans, ...changes].flatMap(({ content }) =>
    content === undefined ? [] : [content],
  );
  expect(changes.some(({ content }) => content !== undefined)).toBe(true);
  for (const content of contents) {
    const { end, asks, ignoresCancel } = expectationOf(content);
    expect({ never: end === 'never', asks, ignoresCancel }).toEqual({
      never: false,
      asks: false,
      ignoresCancel: false,
    });
    const longer = contents.filter((other) => other !== content && other.startsWith(content));
    expect(longer).toEqual([]);
  }
  expect(new Set(contents).size).toBe(contents.length);
});

test('D1: schedules are due every one to four seconds while they are due at all, and jitter is less than that', () => {
  for (const { schedule, jitterMs = 0 } of [...plans, ...changes]) {
    if (schedule === undefined || schedule.at !== undefined) continue;
    const { timezone = 'UTC' } = schedule;
    const due = judgedDueTimes(
      { schedule: { timezone, ...schedule } as never, startAt: null, endAt: null },
      nowMs,
      nowMs + 130_000,
    );
    const steps = due.slice(1).map((ms, index) => ms - (due[index] ?? 0));
    expect(Math.min(...steps)).toBeGreaterThanOrEqual(1_000);
    // Every other minute nothing may be due.
    expect(Math.max(...steps)).toBeLessThanOrEqual(63_000);
    expect(due.length).toBeGreaterThan(25);
    expect(jitterMs).toBeLessThan(1_000);
  }
});

test('D1: among the first four every policy is met, and among the first three every whenBusy', () => {
  const policies = plans.slice(0, 4).map(({ missed }) => missed?.policy);
  expect(new Set(policies)).toEqual(new Set(['run-all', 'run-once', 'skip', 'window']));
  const manners = plans.slice(0, 3).map(({ whenBusy }) => whenBusy);
  expect(new Set(manners)).toEqual(new Set(['interrupt', 'queue', 'skip']));
});
