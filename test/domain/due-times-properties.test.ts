/** Random rules and ranges, against croner, plain arithmetic and each other. Numbers are those of due-times.ts. */
import * as fc from 'fast-check';
import { describe, expect, it } from 'vitest';

import { isHoldfastError } from '../../src/contracts/errors.ts';
import { parseCron } from '../../src/domain/cron.ts';
import {
  countDue,
  dueTimes,
  dueTimesBack,
  nextDue,
  type DueRule,
} from '../../src/domain/due-times.ts';
import { cronerTimes } from './due-times-croner.ts';

const DAY_MS = 86_400_000;

/** With the moments at which some clocks were changed, to look around them. */
const CLOCKS: readonly { timezone: string; changes: readonly string[] }[] = [
  { timezone: 'UTC', changes: ['2026-01-01T00:00:00Z', '2028-02-29T00:00:00Z'] },
  { timezone: 'Asia/Kolkata', changes: ['2026-01-01T00:00:00Z'] },
  { timezone: 'Europe/Berlin', changes: ['2026-03-29T01:00:00Z', '2026-10-25T01:00:00Z'] },
  { timezone: 'Europe/London', changes: ['2026-03-29T01:00:00Z', '2026-10-25T01:00:00Z'] },
  { timezone: 'America/New_York', changes: ['2026-03-08T07:00:00Z', '2026-11-01T06:00:00Z'] },
  { timezone: 'Australia/Lord_Howe', changes: ['2026-04-04T15:00:00Z', '2026-10-03T15:30:00Z'] },
  { timezone: 'America/Sao_Paulo', changes: ['2018-02-18T02:00:00Z', '2018-11-04T03:00:00Z'] },
  { timezone: 'Africa/Cairo', changes: ['2026-04-23T22:00:00Z', '2026-10-29T21:00:00Z'] },
  { timezone: 'Asia/Beirut', changes: ['2026-03-28T22:00:00Z', '2026-10-24T21:00:00Z'] },
  { timezone: 'Africa/Casablanca', changes: ['2026-02-15T02:00:00Z', '2026-03-22T02:00:00Z'] },
  { timezone: 'America/St_Johns', changes: ['2010-03-14T03:31:00Z', '2010-11-07T02:31:00Z'] },
  { timezone: 'Antarctica/Troll', changes: ['2026-03-29T01:00:00Z', '2026-10-25T01:00:00Z'] },
  { timezone: 'Pacific/Chatham', changes: ['2026-04-04T14:00:00Z', '2026-09-26T14:00:00Z'] },
  { timezone: 'Pacific/Apia', changes: ['2011-12-30T10:00:00Z', '2011-04-02T14:00:00Z'] },
  { timezone: 'America/Caracas', changes: ['2007-12-09T07:00:00Z', '2016-05-01T07:00:00Z'] },
];

/** One value, or what makes several. Half of the clock's fields are one value, so that "once a day" comes up. */
function field(min: number, max: number, names: readonly string[] = []): fc.Arbitrary<string> {
  const number = fc.integer({ min, max });
  const value = fc
    .tuple(number, fc.boolean())
    .map(([each, named]) => (named ? names[each - min] : undefined) ?? String(each));
  const range = fc.tuple(number, number).map(([a, b]) => `${Math.min(a, b)}-${Math.max(a, b)}`);
  const step = fc.integer({ min: 1, max: max - min + 1 });
  const item = fc.oneof(
    { weight: 3, arbitrary: value },
    { weight: 2, arbitrary: range },
    fc.tuple(range, step).map(([a, n]) => `${a}/${n}`),
    fc.tuple(number, step).map(([a, n]) => `${a}/${n}`),
  );
  return fc.oneof(
    { weight: 4, arbitrary: value },
    { weight: 2, arbitrary: fc.constantFrom('*', '?') },
    { weight: 1, arbitrary: step.map((n) => `*/${n}`) },
    {
      weight: 2,
      arbitrary: fc.array(item, { minLength: 1, maxLength: 4 }).map((items) => items.join(',')),
    },
  );
}

const MONTHS = ['JAN', 'feb', 'Mar', 'APR', 'MAY', 'JUN', 'JUL', 'AUG', 'SEP', 'OCT', 'NOV', 'DEC'];
const WEEKDAYS = ['SUN', 'mon', 'Tue', 'WED', 'THU', 'FRI', 'SAT'];

/** Free in most crons, or they are hardly ever due. */
const mostly = (free: string, other: fc.Arbitrary<string>) =>
  fc.oneof({ weight: 3, arbitrary: fc.constant(free) }, { weight: 2, arbitrary: other });

const crons = fc
  .tuple(
    fc.option(field(0, 59), { nil: undefined }),
    field(0, 59),
    fc.oneof(field(0, 3), field(0, 23)),
    mostly('*', field(1, 31)),
    mostly('*', field(1, 12, MONTHS)),
    mostly('?', field(0, 6, WEEKDAYS)),
  )
  .map((fields) => fields.filter((each) => each !== undefined).join(' '))
  .filter(isEverDue);

function isEverDue(cron: string): boolean {
  try {
    parseCron(cron);
    return true;
  } catch (error) {
    if (isHoldfastError(error) && error.message.endsWith('never be due.')) return false;
    throw error;
  }
}

/** See due-times-croner.ts: one time of day, and not written as one. */
function isOneTimeInDisguise(cron: string): boolean {
  const fields = cron.split(' ');
  const clock = fields.slice(0, fields.length - 3).join(' ');
  return /[*?/]/.test(clock) && parseCron(cron).times.count === 1;
}

/** Near a change of the clock, or anywhere. */
const places = fc.constantFrom(...CLOCKS).chain(({ timezone, changes }) =>
  fc
    .oneof(
      {
        weight: 3,
        arbitrary: fc
          .tuple(
            fc.constantFrom(...changes),
            fc.integer({ min: -2 * DAY_MS, max: DAY_MS }).map((ms) => ms - (ms % 1_000)),
            fc.constantFrom(0, 0, 1, -1, 500),
          )
          .map(([at, byMs, fractionMs]) => Date.parse(at) + byMs + fractionMs),
      },
      {
        weight: 1,
        arbitrary: fc.integer({ min: Date.UTC(1975, 0, 1), max: Date.UTC(2060, 0, 1) }),
      },
    )
    .map((afterMs) => ({ timezone, afterMs })),
);

describe('crons', () => {
  it('3 are due when croner says so', () => {
    fc.assert(
      fc.property(crons, places, (cron, { timezone, afterMs }) => {
        fc.pre(!isOneTimeInDisguise(cron));
        const rule: DueRule = { schedule: { cron, timezone }, startAt: null, endAt: null };
        const untilMs = afterMs + 400 * DAY_MS;
        const expected = cronerTimes({ cron, timezone, afterMs, untilMs, limit: 40 });
        const toMs = expected.length === 40 ? expected.at(-1)! : untilMs;
        expect([...dueTimes(rule, afterMs, toMs)]).toEqual(expected);
        const next = nextDue(rule, afterMs) ?? Infinity;
        expect(next).toBe(expected[0] ?? Math.max(next, untilMs + 1));
        expect(countDue(rule, afterMs, toMs, 100)).toBe(expected.length);
      }),
      { numRuns: 600 },
    );
  });
});

const rules: fc.Arbitrary<{ rule: DueRule; afterMs: number }> = fc
  .tuple(
    places,
    fc.oneof(
      { weight: 4, arbitrary: crons.map((cron) => ({ cron })) },
      {
        weight: 1,
        arbitrary: fc
          .integer({ min: 10, max: 40_000 })
          .map((tenths) => ({ everyMs: tenths * 100 })),
      },
      { weight: 1, arbitrary: fc.integer({ min: 0, max: 3 * DAY_MS }).map((inMs) => ({ inMs })) },
    ),
    fc.option(fc.integer({ min: -DAY_MS, max: 2 * DAY_MS }), { nil: null }),
    fc.option(fc.integer({ min: -DAY_MS, max: 4 * DAY_MS }), { nil: null }),
  )
  .map(([{ timezone, afterMs }, schedule, startInMs, endInMs]) => {
    const stamp = (inMs: number): string => new Date(afterMs + inMs).toISOString();
    const named =
      'inMs' in schedule ? { at: stamp(schedule.inMs), timezone } : { ...schedule, timezone };
    const startAt = startInMs === null ? null : stamp(startInMs);
    const endAt = endInMs === null ? null : stamp(endInMs);
    return { rule: { schedule: named, startAt, endAt }, afterMs };
  });
const lengths = fc.oneof(
  fc.integer({ min: 0, max: 4 * 3_600_000 }),
  fc.integer({ min: 0, max: 3 * DAY_MS }),
);

/** So many are compared one by one; more would take long and show nothing new. */
const MANY = 20_000;

describe('any rule', () => {
  it('1 2 the list goes upwards within its range, and is the same however it is asked for', () => {
    fc.assert(
      fc.property(
        rules,
        lengths,
        fc.double({ min: 0, max: 1, noNaN: true }),
        fc.integer({ min: 0, max: 50 }),
        ({ rule, afterMs }, lengthMs, share, limit) => {
          const untilMs = afterMs + lengthMs;
          fc.pre(countDue(rule, afterMs, untilMs, MANY) <= MANY);
          const all = [...dueTimes(rule, afterMs, untilMs)];
          for (const [index, dueMs] of all.entries()) {
            expect(dueMs).toBeGreaterThan(all[index - 1] ?? afterMs);
            expect(dueMs).toBeLessThanOrEqual(untilMs);
          }
          const cutMs = afterMs + Math.floor(lengthMs * share);
          expect([...dueTimes(rule, afterMs, cutMs), ...dueTimes(rule, cutMs, untilMs)]).toEqual(
            all,
          );
          const someMs = all[Math.floor(share * all.length)] ?? untilMs;
          expect([...dueTimes(rule, afterMs, someMs), ...dueTimes(rule, someMs, untilMs)]).toEqual(
            all,
          );
          expect(countDue(rule, afterMs, untilMs, MANY)).toBe(all.length);
          expect(countDue(rule, afterMs, untilMs, limit)).toBe(Math.min(all.length, limit + 1));
          expect(dueTimesBack(rule, afterMs, untilMs, limit)).toEqual(
            limit === 0 ? [] : all.slice(-limit),
          );
          expect(dueTimesBack(rule, afterMs, untilMs, MANY)).toEqual(all);
          // Of none in the range: one behind it, or none at all.
          const next = nextDue(rule, afterMs) ?? Infinity;
          expect(next).toBe(all[0] ?? Math.max(next, untilMs + 1));
        },
      ),
      { numRuns: 600 },
    );
  });

  it('2 startAt and endAt take away what is outside, and nothing else', () => {
    fc.assert(
      fc.property(rules, lengths, ({ rule, afterMs }, lengthMs) => {
        const untilMs = afterMs + lengthMs;
        const free = { ...rule, startAt: null, endAt: null };
        fc.pre(countDue(free, afterMs, untilMs, MANY) <= MANY);
        const startMs = rule.startAt === null ? -Infinity : Date.parse(rule.startAt);
        const endMs = rule.endAt === null ? Infinity : Date.parse(rule.endAt);
        expect([...dueTimes(rule, afterMs, untilMs)]).toEqual(
          [...dueTimes(free, afterMs, untilMs)].filter(
            (dueMs) => startMs <= dueMs && dueMs <= endMs,
          ),
        );
      }),
      { numRuns: 300 },
    );
  });
});
