/** Numbers are those of due-times.ts. */
import { describe, expect, it } from 'vitest';

import {
  atMoment,
  checkSchedule,
  countDue,
  dueTimes,
  dueTimesBack,
  jitterOf,
  nextDue,
  type DueRule,
} from '../../src/domain/due-times.ts';
import { judge, readings } from './clock-judge.ts';

const HOUR_MS = 3_600_000;
const DAY_MS = 86_400_000;

function cronRule(cron: string, timezone = 'UTC', bounds: Partial<DueRule> = {}): DueRule {
  return { schedule: { cron, timezone }, startAt: null, endAt: null, ...bounds };
}

function everyRule(everyMs: number, bounds: Partial<DueRule> = {}): DueRule {
  return { schedule: { everyMs, timezone: 'UTC' }, startAt: null, endAt: null, ...bounds };
}

function atRule(at: string, timezone = 'UTC', bounds: Partial<DueRule> = {}): DueRule {
  return { schedule: { at, timezone }, startAt: null, endAt: null, ...bounds };
}

/** Due times after `from` and up to `until`, without the milliseconds. */
function shown(rule: DueRule, from: string, until: string): string[] {
  return [...dueTimes(rule, Date.parse(from), Date.parse(until))].map((dueMs) =>
    new Date(dueMs).toISOString().replace('.000Z', 'Z'),
  );
}

describe('a clock that is put forward or back', () => {
  it.each([
    // Berlin: 02:00 → 03:00 at 01:00 UTC on 29 March, 03:00 → 02:00 at 01:00 UTC on 25 October.
    [
      'one time in the gap: the first moment after it',
      cronRule('30 2 * * *', 'Europe/Berlin'),
      ['2026-03-28T01:30:00Z', '2026-03-29T01:00:00Z', '2026-03-30T00:30:00Z'],
    ],
    [
      'one time with seconds in the gap',
      cronRule('59 59 2 * * *', 'Europe/Berlin'),
      ['2026-03-28T01:59:59Z', '2026-03-29T01:00:00Z', '2026-03-30T00:59:59Z'],
    ],
    [
      'one time that is the end of the gap: once',
      cronRule('0 3 * * *', 'Europe/Berlin'),
      ['2026-03-28T02:00:00Z', '2026-03-29T01:00:00Z', '2026-03-30T01:00:00Z'],
    ],
    [
      'one time that is written as a range, a list and a step',
      cronRule('30,30 2-2 * * *', 'Europe/Berlin'),
      ['2026-03-28T01:30:00Z', '2026-03-29T01:00:00Z', '2026-03-30T00:30:00Z'],
    ],
    [
      'one time that is written with a star',
      cronRule('*/60 */24 * * *', 'America/Sao_Paulo'),
      ['2026-03-28T03:00:00Z', '2026-03-29T03:00:00Z', '2026-03-30T03:00:00Z'],
    ],
    [
      'two times, one of them in the gap: that one is not due',
      cronRule('30 2,14 * * *', 'Europe/Berlin'),
      [
        '2026-03-28T01:30:00Z',
        '2026-03-28T13:30:00Z',
        '2026-03-29T12:30:00Z',
        '2026-03-30T00:30:00Z',
        '2026-03-30T12:30:00Z',
      ],
    ],
    [
      'each hour: each hour',
      cronRule('0 0-4 29 * *', 'Europe/Berlin'),
      [
        '2026-03-28T23:00:00Z',
        '2026-03-29T00:00:00Z',
        '2026-03-29T01:00:00Z',
        '2026-03-29T02:00:00Z',
      ],
    ],
    ['only on a day that the gap is on', cronRule('*/30 2 29 3 *', 'Europe/Berlin'), []],
    [
      'one time, only on a day that the gap is on',
      cronRule('30 2 29 3 *', 'Europe/Berlin'),
      ['2026-03-29T01:00:00Z'],
    ],
  ])('3 forward, %s', (_, rule, expected) => {
    expect(shown(rule, '2026-03-27T23:00:00Z', '2026-03-30T20:00:00Z')).toEqual(expected);
  });

  it.each([
    [
      'one time that comes twice: the first',
      cronRule('30 2 * * *', 'Europe/Berlin'),
      ['2026-10-24T00:30:00Z', '2026-10-25T00:30:00Z', '2026-10-26T01:30:00Z'],
    ],
    [
      'one time, the first that comes twice',
      cronRule('0 2 * * *', 'Europe/Berlin'),
      ['2026-10-24T00:00:00Z', '2026-10-25T00:00:00Z', '2026-10-26T01:00:00Z'],
    ],
    [
      'one time behind those that come twice',
      cronRule('0 3 * * *', 'Europe/Berlin'),
      ['2026-10-24T01:00:00Z', '2026-10-25T02:00:00Z', '2026-10-26T02:00:00Z'],
    ],
    [
      'each half hour: each',
      cronRule('*/30 2 25 * *', 'Europe/Berlin'),
      [
        '2026-10-25T00:00:00Z',
        '2026-10-25T00:30:00Z',
        '2026-10-25T01:00:00Z',
        '2026-10-25T01:30:00Z',
      ],
    ],
    [
      'two times of which one comes twice',
      cronRule('30 2,14 25 * *', 'Europe/Berlin'),
      ['2026-10-25T00:30:00Z', '2026-10-25T01:30:00Z', '2026-10-25T13:30:00Z'],
    ],
  ])('3 back, %s', (_, rule, expected) => {
    expect(shown(rule, '2026-10-23T23:00:00Z', '2026-10-26T20:00:00Z')).toEqual(expected);
  });

  it.each([
    // Lord Howe: 02:00 → 02:30 at 15:30 UTC on 3 October, 02:00 → 01:30 at 15:00 UTC on 4 April.
    [
      'half an hour forward',
      cronRule('15 2 * * *', 'Australia/Lord_Howe'),
      '2026-10-02T12:00:00Z',
      ['2026-10-02T15:45:00Z', '2026-10-03T15:30:00Z', '2026-10-04T15:15:00Z'],
    ],
    [
      'half an hour back',
      cronRule('45 1 * * *', 'Australia/Lord_Howe'),
      '2026-04-03T12:00:00Z',
      ['2026-04-03T14:45:00Z', '2026-04-04T14:45:00Z', '2026-04-05T15:15:00Z'],
    ],
    [
      'half an hour back, each quarter',
      cronRule('*/15 1 5 * *', 'Australia/Lord_Howe'),
      '2026-04-03T12:00:00Z',
      [
        '2026-04-04T14:00:00Z',
        '2026-04-04T14:15:00Z',
        '2026-04-04T14:30:00Z',
        '2026-04-04T14:45:00Z',
        '2026-04-04T15:00:00Z',
        '2026-04-04T15:15:00Z',
      ],
    ],
    [
      'no midnight (00:00 → 01:00)',
      cronRule('0 0 * * *', 'America/Sao_Paulo'),
      '2018-11-03T00:00:00Z',
      ['2018-11-03T03:00:00Z', '2018-11-04T03:00:00Z', '2018-11-05T02:00:00Z'],
    ],
    [
      'midnight comes twice (00:00 → 23:00)',
      cronRule('30 23 * * *', 'America/Sao_Paulo'),
      '2018-02-17T00:00:00Z',
      ['2018-02-17T01:30:00Z', '2018-02-18T01:30:00Z', '2018-02-19T02:30:00Z'],
    ],
    [
      'the gap ends the day (23:00 → 00:00): due in the first moment of the next',
      cronRule('30 23 28 * *', 'America/Scoresbysund'),
      '2026-03-28T00:00:00Z',
      ['2026-03-29T01:00:00Z'],
    ],
    [
      'a day that is left out is none',
      cronRule('0 12 * * *', 'Pacific/Apia'),
      '2011-12-29T00:00:00Z',
      ['2011-12-29T22:00:00Z', '2011-12-30T22:00:00Z', '2011-12-31T22:00:00Z'],
    ],
    [
      'midnight of a day that is left out',
      cronRule('0 0 * * *', 'Pacific/Apia'),
      '2011-12-29T00:00:00Z',
      ['2011-12-29T10:00:00Z', '2011-12-30T10:00:00Z', '2011-12-31T10:00:00Z'],
    ],
    [
      'a month that is left out with its only day',
      cronRule('0 12 30 12 *', 'Pacific/Apia'),
      '2011-12-01T00:00:00Z',
      [],
    ],
  ])('3 %s', (_, rule, from, expected) => {
    const until = new Date(Date.parse(from) + 3 * DAY_MS).toISOString();
    expect(shown(rule, from, until)).toEqual(expected);
  });
});

describe('ranges that end at a change', () => {
  it.each([
    ['forward', 'Europe/Berlin', '2026-03-29T01:00:00Z'],
    ['back', 'Europe/Berlin', '2026-10-25T01:00:00Z'],
    ['at midnight', 'America/Sao_Paulo', '2018-11-04T03:00:00Z'],
    ['of the year', 'UTC', '2027-01-01T00:00:00Z'],
  ])('1 %s, the very moment is in, and what comes before it is not', (_, timezone, at) => {
    const changeMs = Date.parse(at);
    for (const cron of ['* * * * *', '* * * * * *']) {
      const rule = cronRule(cron, timezone);
      expect([...dueTimes(rule, changeMs - 1, changeMs)]).toEqual([changeMs]);
      expect(dueTimesBack(rule, changeMs - 1, changeMs, 9)).toEqual([changeMs]);
      expect(countDue(rule, changeMs - 1, changeMs, 9)).toBe(1);
      const stepMs = cron === '* * * * *' ? 60_000 : 1_000;
      const around = [-2, -1, 0, 1].map((steps) => changeMs + steps * stepMs);
      expect([...dueTimes(rule, changeMs - 3 * stepMs, changeMs + stepMs)]).toEqual(around);
      expect(dueTimesBack(rule, changeMs - 3 * stepMs, changeMs + stepMs, 9)).toEqual(around);
      expect([...dueTimes(rule, changeMs - 3 * stepMs, changeMs)]).toEqual(around.slice(0, 3));
      expect(dueTimesBack(rule, changeMs - 3 * stepMs, changeMs, 9)).toEqual(around.slice(0, 3));
      expect(dueTimesBack(rule, changeMs - 1, changeMs + stepMs, 9)).toEqual(around.slice(2));
      expect(nextDue(rule, changeMs - 1)).toBe(changeMs);
    }
  });

  it('1 where the clock goes back into the day before, the day that had begun is not forgotten', () => {
    // St. John's: 00:01 → 23:01 at 02:31 UTC.
    const rule = cronRule('0 0 * * *', 'America/St_Johns');
    expect(shown(rule, '2010-11-06T12:00:00Z', '2010-11-07T02:45:00Z')).toEqual([
      '2010-11-07T02:30:00Z',
    ]);
    expect(shown(rule, '2010-11-07T02:45:00Z', '2010-11-08T02:45:00Z')).toEqual([]);
    expect(shown(rule, '2010-11-07T02:45:00Z', '2010-11-08T03:30:00Z')).toEqual([
      '2010-11-08T03:30:00Z',
    ]);
  });
});

describe('judged by the clock itself', () => {
  const around = [
    ['Europe/Berlin', '2026-03-29T01:00:00Z'],
    ['Europe/Berlin', '2026-10-25T01:00:00Z'],
    ['America/New_York', '2026-03-08T07:00:00Z'],
    ['America/New_York', '2026-11-01T06:00:00Z'],
    ['Australia/Lord_Howe', '2026-10-03T15:30:00Z'],
    ['Australia/Lord_Howe', '2026-04-04T15:00:00Z'],
    ['America/Sao_Paulo', '2018-11-04T03:00:00Z'],
    ['America/Sao_Paulo', '2018-02-18T02:00:00Z'],
    ['Africa/Cairo', '2026-04-23T22:00:00Z'],
    ['Africa/Cairo', '2026-10-29T21:00:00Z'],
    ['Asia/Beirut', '2026-03-28T22:00:00Z'],
    ['Africa/Casablanca', '2026-02-15T02:00:00Z'],
    // 23:00 → 00:00 and back.
    ['America/Scoresbysund', '2026-03-29T01:00:00Z'],
    ['America/Scoresbysund', '2026-10-25T01:00:00Z'],
    // Back at one minute past midnight, into the day before.
    ['America/St_Johns', '2010-11-07T02:31:00Z'],
    // By two hours; half an hour for good; a whole day.
    ['Antarctica/Troll', '2026-03-29T01:00:00Z'],
    ['Antarctica/Troll', '2026-10-25T01:00:00Z'],
    ['America/Caracas', '2016-05-01T07:00:00Z'],
    ['Pacific/Apia', '2011-12-30T10:00:00Z'],
  ] as const;
  const crons = [
    '* * * * *',
    '*/7 */2 * * *',
    '0,30 0-3,23 * * *',
    '30 23,0-2 */2 * 0,6',
    '15 2 * * *',
    '30 2 * * *',
    '0 0 * * *',
    '30 0 * * *',
    '0 2 29 * 0',
    '45 1 * * *',
    '30 23 * * *',
    '59 23 * * *',
    '1 3 * * 1-5',
  ];

  it.each(around)('3 every minute of three days around the change of %s at %s', (timezone, at) => {
    const changeMs = Date.parse(at);
    const [fromMs, untilMs] = [changeMs - 60 * HOUR_MS, changeMs + 60 * HOUR_MS];
    const clock = readings({ timezone, fromMs, untilMs, stepMs: 60_000 });
    // The judge leaves out the days that it sees a part of.
    const [first, last] = [clock[0]?.date, clock.at(-1)?.date];
    const whole = clock.filter(({ date }) => date !== first && date !== last);
    const [afterMs, endMs] = [whole[0]!.atMs - 1, whole.at(-1)!.atMs];
    let dueCount = 0;
    for (const cron of crons) {
      const expected = judge(cron, clock);
      const got = [...dueTimes(cronRule(cron, timezone), afterMs, endMs)];
      expect({ cron, due: got }).toEqual({ cron, due: expected });
      dueCount += expected.length;
    }
    expect(dueCount).toBeGreaterThan(3 * 24 * 60);
  });

  it.each([
    ['Europe/Berlin', '2026-03-29T01:00:00Z'],
    ['Europe/Berlin', '2026-10-25T01:00:00Z'],
    ['Australia/Lord_Howe', '2026-04-04T15:00:00Z'],
    // By 44 minutes and a half.
    ['Africa/Monrovia', '1972-01-07T00:44:30Z'],
  ])('3 every second of the hours around the change of %s at %s', (timezone, at) => {
    const changeMs = Date.parse(at);
    const [fromMs, untilMs] = [changeMs - 1.5 * HOUR_MS, changeMs + 1.5 * HOUR_MS];
    const clock = readings({ timezone, fromMs, untilMs, stepMs: 1_000 });
    const framed = [
      { ...clock[0]!, date: 'before' },
      ...clock,
      { ...clock.at(-1)!, date: 'after' },
    ];
    for (const cron of ['* * * * * *', '*/7 */3 * * * *', '15-45/10 59,0-31 * * * *']) {
      const got = [...dueTimes(cronRule(cron, timezone), fromMs - 1, untilMs)];
      expect(got).toEqual(judge(cron, framed));
      expect(countDue(cronRule(cron, timezone), fromMs - 1, untilMs, 20_000)).toBe(got.length);
    }
  });
});

describe('intervals', () => {
  it.each([1_000, 1_500, 60_000, 86_400_000, 90_061_100])(
    '1 every %d ms: at its whole multiples since 1970',
    (everyMs) => {
      const fromMs = Date.parse('2026-03-01T00:00:00.123Z');
      const untilMs = fromMs + 50 * everyMs;
      const firstMs = fromMs - (fromMs % everyMs) + everyMs;
      const expected = Array.from({ length: 50 }, (_, index) => firstMs + index * everyMs);
      const rule = everyRule(everyMs);
      expect([...dueTimes(rule, fromMs, untilMs)]).toEqual(expected);
      expect(countDue(rule, fromMs, untilMs, 1_000)).toBe(expected.length);
      expect(dueTimesBack(rule, fromMs, untilMs, 7)).toEqual(expected.slice(-7));
      expect(nextDue(rule, fromMs)).toBe(expected[0]);
    },
  );

  it('1 the zone makes no difference', () => {
    const rule = {
      ...everyRule(7_200_000),
      schedule: { everyMs: 7_200_000, timezone: 'Europe/Berlin' },
    };
    expect(shown(rule, '2026-03-28T22:00:00Z', '2026-03-29T04:00:00Z')).toEqual([
      '2026-03-29T00:00:00Z',
      '2026-03-29T02:00:00Z',
      '2026-03-29T04:00:00Z',
    ]);
  });

  it('2 is due at the end of a range and not at its beginning', () => {
    expect([...dueTimes(everyRule(1_000), 1_000, 3_000)]).toEqual([2_000, 3_000]);
    expect([...dueTimes(everyRule(1_000), 999, 2_999)]).toEqual([1_000, 2_000]);
    expect([...dueTimes(everyRule(1_000), 1_001, 1_999)]).toEqual([]);
  });
});

describe('one-shots', () => {
  it.each([
    ['2026-03-29T09:00:00Z', 'UTC', '2026-03-29T09:00:00.000Z'],
    ['2026-03-29t09:00:00z', 'UTC', '2026-03-29T09:00:00.000Z'],
    ['2026-03-29 09:00:00Z', 'UTC', '2026-03-29T09:00:00.000Z'],
    ['2026-03-29T09:00Z', 'UTC', '2026-03-29T09:00:00.000Z'],
    ['2026-03-29T09:00:00.1Z', 'UTC', '2026-03-29T09:00:00.100Z'],
    ['2026-03-29T09:00:00.123999Z', 'UTC', '2026-03-29T09:00:00.123Z'],
    ['2026-03-29T09:00:00+02:00', 'UTC', '2026-03-29T07:00:00.000Z'],
    ['2026-03-29T09:00:00-05:30', 'Europe/Berlin', '2026-03-29T14:30:00.000Z'],
    ['2026-03-29T09:00:00-00:00', 'Europe/Berlin', '2026-03-29T09:00:00.000Z'],
    ['2026-03-29T00:30:00+23:59', 'UTC', '2026-03-28T00:31:00.000Z'],
    ['2026-03-29T09:00:00', 'UTC', '2026-03-29T09:00:00.000Z'],
    ['2026-03-29T09:00', 'Europe/Berlin', '2026-03-29T07:00:00.000Z'],
    ['2026-01-29T09:00:00.5', 'Europe/Berlin', '2026-01-29T08:00:00.500Z'],
    ['2026-03-29T02:30:00', 'Europe/Berlin', '2026-03-29T01:00:00.000Z'],
    ['2026-10-25T02:30:00', 'Europe/Berlin', '2026-10-25T00:30:00.000Z'],
    ['2011-12-30T12:00:00', 'Pacific/Apia', '2011-12-30T10:00:00.000Z'],
    ['2028-02-29T00:00:00', 'UTC', '2028-02-29T00:00:00.000Z'],
    ['1970-01-01T00:00:00Z', 'UTC', '1970-01-01T00:00:00.000Z'],
    ['1969-12-31T20:00:00-04:00', 'UTC', '1970-01-01T00:00:00.000Z'],
    ['2199-12-31T23:59:59.999Z', 'UTC', '2199-12-31T23:59:59.999Z'],
  ])('%s in %s is %s', (at, timezone, expected) => {
    expect(new Date(atMoment(at, timezone)).toISOString()).toBe(expected);
    expect(nextDue(atRule(at, timezone), -1)).toBe(Date.parse(expected));
  });

  const FORM =
    'is no time. Write it as 2026-03-29T09:00:00Z, 2026-03-29T09:00:00+02:00, or as a local time of the zone without the end.';
  const DAY = 'is a day or a time of day that does not exist.';
  const YEARS = 'is not within the years 1970 to 2199.';
  it.each([
    ['tomorrow', FORM],
    ['', FORM],
    ['2026-03-29', FORM],
    ['2026-3-29T09:00:00Z', FORM],
    ['2026-03-29T9:00:00Z', FORM],
    ['2026-03-29T09', FORM],
    ['2026-03-29T09:00:00+2', FORM],
    ['2026-03-29T09:00:00+0200', FORM],
    ['2026-03-29T09:00:00 Europe/Berlin', FORM],
    ['2026-03-29T09:00:00.', FORM],
    [' 2026-03-29T09:00:00Z', FORM],
    ['2026-03-29T09:00:00Z\n', FORM],
    ['12026-03-29T09:00:00Z', FORM],
    ['2026-02-30T09:00:00Z', DAY],
    ['2027-02-29T09:00:00Z', DAY],
    ['2026-13-01T09:00:00Z', DAY],
    ['2026-00-01T09:00:00Z', DAY],
    ['2026-03-29T24:00:00Z', DAY],
    ['2026-03-29T09:60:00Z', DAY],
    ['2026-06-30T23:59:60Z', DAY],
    ['2026-03-29T09:00:00+24:00', 'has an offset that does not exist.'],
    ['2026-03-29T09:00:00-01:60', 'has an offset that does not exist.'],
    ['1969-12-31T23:59:59Z', YEARS],
    ['1970-01-01T00:59:00+01:00', YEARS],
    ['2200-01-01T00:00:00Z', YEARS],
    ['2199-12-31T23:59:59-01:00', YEARS],
    ['0000-01-01T00:00:00', YEARS],
    ['9999-12-31T23:59:59', YEARS],
  ])('%j is refused: %s', (at, words) => {
    const refusal: unknown = expect.objectContaining({
      code: 'invalid_request',
      message: `schedule.at "${at}" ${words}`,
    });
    expect(() => atMoment(at, 'UTC')).toThrow(refusal);
    expect(() => checkSchedule({ at, timezone: 'UTC' })).toThrow(refusal);
  });

  it('2 is due once', () => {
    const rule = atRule('2026-03-29T09:00:00', 'Europe/Berlin');
    const dueMs = Date.parse('2026-03-29T07:00:00Z');
    expect([...dueTimes(rule, dueMs - 1, dueMs)]).toEqual([dueMs]);
    expect([...dueTimes(rule, dueMs, dueMs + DAY_MS)]).toEqual([]);
    expect([...dueTimes(rule, dueMs - DAY_MS, dueMs - 1)]).toEqual([]);
    expect(dueTimesBack(rule, 0, Infinity, 10)).toEqual([dueMs]);
    expect(dueTimesBack(rule, 0, Infinity, 0)).toEqual([]);
    expect(countDue(rule, 0, Infinity, 10)).toBe(1);
    expect(countDue(rule, 0, Infinity, 0)).toBe(1);
    expect(nextDue(rule, dueMs)).toBe(null);
  });
});

describe('what makes sense', () => {
  it.each([
    [{ cron: '*/5 9-17 * * MON-FRI', timezone: 'Europe/Berlin' }],
    [{ everyMs: 1_000, timezone: 'UTC' }],
    [{ everyMs: 1_100, timezone: 'UTC' }],
    [{ everyMs: 86_400_000 * 365, timezone: 'Asia/Kolkata' }],
    [{ at: '2026-03-29T09:00:00Z', timezone: 'UTC' }],
  ])('%j does', (schedule) => {
    expect(() => checkSchedule(schedule)).not.toThrow();
  });

  it.each([
    [{ cron: '* * * *', timezone: 'UTC' }, /^schedule\.cron, a cron has five fields/],
    [{ cron: '0 0 * * *', timezone: 'Nowhere' }, /^schedule\.timezone "Nowhere" is not known/],
    [{ everyMs: 5_000, timezone: '+02:00' }, /^schedule\.timezone "\+02:00" is an offset/],
    [{ at: '2026-03-29T09:00:00Z', timezone: 'x' }, /^schedule\.timezone "x" is not known/],
    [
      { everyMs: 999, timezone: 'UTC' },
      /^schedule\.everyMs 999 is under the shortest interval, 1000 ms\.$/,
    ],
    [{ everyMs: -60_000, timezone: 'UTC' }, /^schedule\.everyMs -60000 is under the shortest/],
    [{ everyMs: NaN, timezone: 'UTC' }, /^schedule\.everyMs NaN is under the shortest/],
    [{ everyMs: 1_050, timezone: 'UTC' }, /^schedule\.everyMs 1050 is not a multiple of 100 ms\.$/],
    [{ everyMs: 1_000.5, timezone: 'UTC' }, /^schedule\.everyMs 1000\.5 is not a multiple/],
    [
      { everyMs: 8_000_000_000_000, timezone: 'UTC' },
      /^schedule\.everyMs 8000000000000 is so long that it would not be due before the year 2200\.$/,
    ],
  ])('%j does not', (schedule, words) => {
    expect(() => checkSchedule(schedule)).toThrow(
      expect.objectContaining({
        code: 'invalid_request',
        message: expect.stringMatching(words) as string,
      }),
    );
  });
});

describe('bounds', () => {
  const bounds = { startAt: '2026-03-02T09:00:00.000Z', endAt: '2026-03-04T09:00:00.000Z' };

  it('2 startAt and endAt are included', () => {
    const days = ['2026-03-02T09:00:00Z', '2026-03-03T09:00:00Z', '2026-03-04T09:00:00Z'];
    const rule = cronRule('0 9 * * *', 'UTC', bounds);
    expect(shown(rule, '2026-01-01T00:00:00Z', '2026-12-31T00:00:00Z')).toEqual(days);
    expect(
      shown(everyRule(DAY_MS, bounds), '2026-01-01T00:00:00Z', '2026-12-31T00:00:00Z'),
    ).toEqual(['2026-03-03T00:00:00Z', '2026-03-04T00:00:00Z']);
    for (const [at, expected] of [
      ['2026-03-02T08:59:59.999Z', 0],
      ['2026-03-02T09:00:00Z', 1],
      ['2026-03-04T09:00:00Z', 1],
      ['2026-03-04T09:00:00.001Z', 0],
    ] as const)
      expect([at, countDue(atRule(at, 'UTC', bounds), 0, Infinity, 9)]).toEqual([at, expected]);
  });

  it('2 a bound a millisecond further leaves one out', () => {
    const tighter = { startAt: '2026-03-02T09:00:00.001Z', endAt: '2026-03-04T08:59:59.999Z' };
    for (const cron of ['0 9 * * *', '0 9-9 * * *', '0,1 9 * * *']) {
      const rule = cronRule(cron, 'UTC', tighter);
      const all = dueTimesBack(rule, 0, Infinity, 10);
      expect(all).toEqual([...dueTimes(rule, 0, Infinity)]);
      expect(new Date(all[0]!).toISOString()).toBe(
        cron.includes(',') ? '2026-03-02T09:01:00.000Z' : '2026-03-03T09:00:00.000Z',
      );
    }
  });

  it('2 nothing is due before 1970 or after 2199', () => {
    expect(nextDue(cronRule('0 0 * * *'), -Infinity)).toBe(0);
    expect(nextDue(everyRule(1_000), -Infinity)).toBe(0);
    expect(nextDue(cronRule('0 0 1 1 *'), Date.UTC(2199, 0, 1))).toBe(null);
    expect(nextDue(cronRule('0 0 1 1 *'), Infinity)).toBe(null);
    expect(nextDue(everyRule(1_000), Date.UTC(2199, 11, 31, 23, 59, 59))).toBe(null);
    expect(nextDue(cronRule('59 59 23 31 12 *'), Date.UTC(2199, 0, 1))).toBe(
      Date.UTC(2199, 11, 31, 23, 59, 59),
    );
    expect(dueTimesBack(cronRule('* * * * * *', 'Europe/Berlin'), 0, Infinity, 2)).toEqual(
      [58, 59].map((second) => Date.UTC(2199, 11, 31, 23, 59, second)),
    );
    expect(countDue(cronRule('* * * * *'), -Infinity, Infinity, 1e12)).toBe(
      Date.UTC(2200, 0, 1) / 60_000,
    );
  });

  it.each([
    ['upside down', '2026-03-02T00:00:00Z', '2026-03-01T00:00:00Z'],
    ['empty', '2026-03-01T09:00:00Z', '2026-03-01T09:00:00Z'],
  ])('2 a range that is %s has nothing', (_, from, until) => {
    for (const rule of [cronRule('0 9 * * *'), cronRule('* * * * * *'), everyRule(1_000)]) {
      const [afterMs, untilMs] = [Date.parse(from), Date.parse(until)];
      expect([...dueTimes(rule, afterMs, untilMs)]).toEqual([]);
      expect(countDue(rule, afterMs, untilMs, 5)).toBe(0);
      expect(dueTimesBack(rule, afterMs, untilMs, 5)).toEqual([]);
    }
  });

  it('2 startAt far ahead and endAt gone by', () => {
    const ahead = cronRule('0 9 29 2 *', 'UTC', { startAt: '2096-03-01T00:00:00.000Z' });
    expect(nextDue(ahead, 0)).toBe(Date.parse('2104-02-29T09:00:00Z'));
    const gone = cronRule('0 9 * * *', 'UTC', { endAt: '2026-03-01T00:00:00.000Z' });
    expect(nextDue(gone, Date.parse('2026-03-01T00:00:00Z'))).toBe(null);
  });
});

describe('long ranges', () => {
  const [fromMs, untilMs] = [Date.UTC(2026, 0, 1) - 1, Date.UTC(2056, 0, 1) - 1];

  it('4 every second of thirty years is counted, and its newest are found', () => {
    const rule = cronRule('* * * * * *', 'Europe/Berlin');
    expect(countDue(rule, fromMs, untilMs, 1e10)).toBe((untilMs - fromMs) / 1_000);
    expect(dueTimesBack(rule, fromMs, untilMs, 3)).toEqual(
      [3_000, 2_000, 1_000].map((agoMs) => untilMs + 1 - agoMs),
    );
  });

  it('4 a count stops behind its limit', () => {
    const rule = cronRule('* * * * * *', 'Europe/Berlin');
    expect(countDue(rule, fromMs, untilMs, 1_000_000)).toBe(1_000_001);
    expect(countDue(rule, fromMs, fromMs + 1_000_000, 1_000)).toBe(1_000);
    expect(countDue(rule, fromMs, fromMs + 1_000_000, 999)).toBe(1_000);
    expect(countDue(rule, fromMs, fromMs + 1_000_000, 1_001)).toBe(1_000);
    expect(countDue(everyRule(1_000), fromMs, untilMs, 5)).toBe(6);
  });

  it('4 the rarest cron is found', () => {
    const rule = cronRule('0 0 29 2 *', 'Europe/Berlin');
    expect(new Date(nextDue(rule, Date.UTC(2096, 2, 1)) ?? 0).toISOString()).toBe(
      '2104-02-28T23:00:00.000Z',
    );
    // Either will do: the Mondays of February too.
    expect(nextDue(cronRule('0 0 29 2 MON'), Date.UTC(2026, 2, 1))).toBe(Date.UTC(2027, 1, 1));
  });

  it('2 dueTimes may be left at any time', () => {
    const times = dueTimes(cronRule('* * * * * *'), 0, Infinity);
    expect([times.next().value, times.next().value]).toEqual([1_000, 2_000]);
  });
});

describe('jitter', () => {
  it('is within its limit, always the same, and spread', () => {
    const jitterMs = 9;
    const counts = Array.from({ length: jitterMs + 1 }, () => 0);
    for (let index = 0; index < 20_000; index += 1) {
      const dueMs = Date.UTC(2026, 0, 1) + index * 60_000;
      const delayMs = jitterOf('t1', dueMs, jitterMs);
      counts[delayMs]! += 1;
      expect(jitterOf('t1', dueMs, jitterMs)).toBe(delayMs);
    }
    // 2,000 each; five standard deviations are 212.
    for (const count of counts) expect(Math.abs(count - 2_000)).toBeLessThan(212);
    expect(counts.length).toBe(jitterMs + 1);
  });

  it('is another one for another trigger or due time, and none without a limit', () => {
    const delays = new Set<number>();
    for (const triggerId of ['a', 'b'])
      for (const dueMs of [1_000, 2_000]) delays.add(jitterOf(triggerId, dueMs, 1_000_000_000));
    expect(delays.size).toBe(4);
    expect(jitterOf('a', 1_000, 0)).toBe(0);
  });
});
