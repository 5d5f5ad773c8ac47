/** A year of due times, across both changes of the clock, against an independent computation (croner). Numbers are those of due-times.ts. */
import { describe, expect, it } from 'vitest';

import { countDue, dueTimes, type DueRule } from '../../src/domain/due-times.ts';
import { cronerTimes } from './due-times-croner.ts';

const HOUR_MS = 3_600_000;

function mustAgree(asked: {
  cron: string;
  timezone: string;
  afterMs: number;
  untilMs: number;
}): number {
  const { cron, timezone, afterMs, untilMs } = asked;
  const rule: DueRule = { schedule: { cron, timezone }, startAt: null, endAt: null };
  const expected = cronerTimes(asked);
  expect([...dueTimes(rule, afterMs, untilMs)]).toEqual(expected);
  expect(countDue(rule, afterMs, untilMs, 1_000_000)).toBe(expected.length);
  return expected.length;
}

/** How often each is due in 2026, at least: one that is never due would prove nothing. */
const YEAR: [cron: string, atLeast: number][] = [
  ['30 2 * * *', 365],
  ['15 2 * * *', 365],
  ['45 1 * * *', 365],
  ['0 3 * * *', 365],
  ['0 0 * * *', 365],
  ['59 59 23 * * *', 365],
  ['10 30 2 * * SUN', 52],
  ['0 * * * *', 8_759],
  ['*/15 1-3 * * *', 365 * 12 - 4],
  ['30 2,14 * * *', 729],
  ['0-40/20 30 2 * * 0', 153],
  ['*/30 */15 1,2 1-10 3,4,10,11 *', 640],
  ['0 12 1,15 * MON', 70],
  ['0 30 2 29 3 SUN', 4],
  ['0 9 * JAN-MAR,OCT MON-FRI', 80],
  ['5 4 */2 */3 ?', 60],
  ['0 0 31 * *', 7],
  ['0 1 * * FRI-SUN', 156],
];

describe('a year', () => {
  for (const timezone of ['Europe/Berlin', 'America/New_York', 'Australia/Lord_Howe'])
    it.each(YEAR)(`3 of %j in ${timezone}`, (cron, atLeast) => {
      const [afterMs, untilMs] = [Date.UTC(2026, 0, 1) - 1, Date.UTC(2027, 0, 1) - 1];
      expect(mustAgree({ cron, timezone, afterMs, untilMs })).toBeGreaterThanOrEqual(atLeast);
    });
});

describe('around the changes', () => {
  /** And for how many hours before and after. */
  const dense: [cron: string, aroundMs: number][] = [
    ['*/15 * * * *', 84 * HOUR_MS],
    ['*/7 * * * *', 48 * HOUR_MS],
    ['* 0-4 * * *', 30 * HOUR_MS],
    ['20 */5 * * * *', 30 * HOUR_MS],
    ['3/20 * 1-2 * * SUN', 30 * HOUR_MS],
    ['*/10 * * * * *', 1.25 * HOUR_MS],
    ['* * * * * *', 240_000],
  ];
  const changes: [timezone: string, at: string][] = [
    ['Europe/Berlin', '2026-03-29T01:00:00Z'],
    ['Europe/Berlin', '2026-10-25T01:00:00Z'],
    ['America/New_York', '2026-03-08T07:00:00Z'],
    ['America/New_York', '2026-11-01T06:00:00Z'],
    ['Australia/Lord_Howe', '2026-04-04T15:00:00Z'],
    ['Australia/Lord_Howe', '2026-10-03T15:30:00Z'],
  ];
  it.each(changes)('3 of %s at %s', (timezone, at) => {
    const changeMs = Date.parse(at);
    for (const [cron, aroundMs] of dense) {
      const range = { afterMs: changeMs - aroundMs - 1, untilMs: changeMs + aroundMs };
      expect(mustAgree({ cron, timezone, ...range })).toBeGreaterThan(100);
    }
  });
});
