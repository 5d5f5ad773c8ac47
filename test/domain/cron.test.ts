/** Numbers are those of cron.ts. */
import * as fc from 'fast-check';
import { describe, expect, it } from 'vitest';

import { fitsDay, parseCron, TimesOfDay, type Cron } from '../../src/domain/cron.ts';

/** 1,2,3,9 as `1-3,9`. */
function inShort(values: Iterable<number>): string {
  const parts: { from: number; to: number }[] = [];
  for (const value of [...values].toSorted((a, b) => a - b)) {
    const last = parts.at(-1);
    if (last !== undefined && last.to === value - 1) last.to = value;
    else parts.push({ from: value, to: value });
  }
  return parts.map(({ from, to }) => (from === to ? `${from}` : `${from}-${to}`)).join(',');
}

function timesOf({ times }: Cron): number[] {
  return Array.from({ length: times.count }, (_, index) => times.at(index));
}

/** Seconds, minutes, hours, days, months, weekdays, and the rule of days. */
function read(text: string): string {
  const cron = parseCron(text);
  const times = timesOf(cron);
  return [
    inShort(new Set(times.map((time) => time % 60))),
    inShort(new Set(times.map((time) => Math.floor(time / 60) % 60))),
    inShort(new Set(times.map((time) => Math.floor(time / 3_600)))),
    inShort(cron.daysOfMonth),
    inShort(cron.months),
    inShort(cron.weekdays),
    cron.either ? 'either' : 'both',
  ].join(' ');
}

describe('reading a cron', () => {
  it.each([
    ['* * * * *', '0 0-59 0-23 1-31 1-12 0-6 both'],
    ['? ? ? ? ? ?', '0-59 0-59 0-23 1-31 1-12 0-6 both'],
    ['* * * * * *', '0-59 0-59 0-23 1-31 1-12 0-6 both'],
    ['30 2 * * *', '0 30 2 1-31 1-12 0-6 both'],
    ['5 30 2 * * *', '5 30 2 1-31 1-12 0-6 both'],
    ['  30\t2  *  *  *\n', '0 30 2 1-31 1-12 0-6 both'],
    ['07 08 09 010 *', '0 7 8 9 10 0-6 both'],
    ['0,30,15 * * * *', '0 0,15,30 0-23 1-31 1-12 0-6 both'],
    ['5,5 2-2 * * *', '0 5 2 1-31 1-12 0-6 both'],
    ['1-4,3-6,59 0 * * *', '0 1-6,59 0 1-31 1-12 0-6 both'],
    ['*/15 */6 */10 */5 *', '0 0,15,30,45 0,6,12,18 1,11,21,31 1,6,11 0-6 both'],
    ['?/30 * * * *', '0 0,30 0-23 1-31 1-12 0-6 both'],
    ['*/60 */24 */31 */12 */7', '0 0 0 1 1 0 either'],
    ['10-40/15 8-18/4 * * *', '0 10,25,40 8,12,16 1-31 1-12 0-6 both'],
    ['50/4 20/1 28/2 11/1 *', '0 50,54,58 20-23 28,30 11-12 0-6 both'],
    ['0 0 1-7,20/5 * *', '0 0 0 1-7,20,25,30 1-12 0-6 both'],
    ['0 0 * JAN,mar,Jun-AUG *', '0 0 0 1-31 1,3,6-8 0-6 both'],
    ['0 0 * OCT/2 *', '0 0 0 1-31 10,12 0-6 both'],
    ['0 0 * * MON-fri', '0 0 0 1-31 1-12 1-5 both'],
    ['0 0 * * SUN,wed,6', '0 0 0 1-31 1-12 0,3,6 both'],
    ['0 0 * * 7', '0 0 0 1-31 1-12 0 both'],
    ['0 0 * * 5-7', '0 0 0 1-31 1-12 0,5-6 both'],
    ['0 0 * * 0-7', '0 0 0 1-31 1-12 0-6 both'],
    ['0 0 * * FRI-SUN', '0 0 0 1-31 1-12 0,5-6 both'],
    ['0 0 * * SUN-TUE', '0 0 0 1-31 1-12 0-2 both'],
    ['0 0 * * SUN-SUN', '0 0 0 1-31 1-12 0 both'],
    ['0 0 * * */2', '0 0 0 1-31 1-12 0,2,4,6 both'],
    ['0 0 * * 1/2', '0 0 0 1-31 1-12 1,3,5 both'],
    ['0 0 * * 1-7/2', '0 0 0 1-31 1-12 0-1,3,5 both'],
    ['0 0 * * 7/2', '0 0 0 1-31 1-12 0 both'],
    ['0 0 13 * FRI', '0 0 0 13 1-12 5 either'],
    ['0 0 ? * FRI', '0 0 0 1-31 1-12 5 both'],
    ['0 0 13 * ?', '0 0 0 13 1-12 0-6 both'],
    ['0 0 */2 * FRI', '0 0 0 1,3,5,7,9,11,13,15,17,19,21,23,25,27,29,31 1-12 5 either'],
    ['0 0 1-31 * FRI', '0 0 0 1-31 1-12 5 either'],
    ['0 0 29 2 *', '0 0 0 29 2 0-6 both'],
    ['0 0 31 2,3 *', '0 0 0 31 2-3 0-6 both'],
    ['0 0 30 FEB MON', '0 0 0 30 2 1 either'],
    ['@yearly', '0 0 0 1 1 0-6 both'],
    ['@annually', '0 0 0 1 1 0-6 both'],
    ['@monthly', '0 0 0 1 1-12 0-6 both'],
    ['@weekly', '0 0 0 1-31 1-12 0 both'],
    ['@daily', '0 0 0 1-31 1-12 0-6 both'],
    ['@midnight', '0 0 0 1-31 1-12 0-6 both'],
    [' @Hourly ', '0 0 0-23 1-31 1-12 0-6 both'],
  ])('3 %j is %s', (text, expected) => {
    expect(read(text)).toBe(expected);
  });

  const COUNT =
    'a cron has five fields (minute, hour, day of the month, month, weekday), or six with seconds first; this one has';
  const BACKWARDS = 'runs backwards; write what is meant as two ranges with a comma between them.';
  it.each([
    ['', `${COUNT} 0.`],
    ['   ', `${COUNT} 0.`],
    ['* * * *', `${COUNT} 4.`],
    ['0 0 0 1 1 * 2026', `${COUNT} 7.`],
    ['CRON_TZ=UTC 0 0 * * * *', `${COUNT} 7.`],
    [
      '@reboot',
      '"@reboot" is not one of @yearly, @annually, @monthly, @weekly, @daily, @midnight, @hourly.',
    ],
    [
      '@every 5m',
      '"@every 5m" is not one of @yearly, @annually, @monthly, @weekly, @daily, @midnight, @hourly.',
    ],
    ['60 0 0 * * *', 'in the second field "60": 60 is not within 0 to 59.'],
    ['60 * * * *', 'in the minute field "60": 60 is not within 0 to 59.'],
    ['0 24 * * *', 'in the hour field "24": 24 is not within 0 to 23.'],
    ['0 9-24 * * *', 'in the hour field "9-24": 24 is not within 0 to 23.'],
    ['0 0 0 * *', 'in the day of the month field "0": 0 is not within 1 to 31.'],
    ['0 0 32 * *', 'in the day of the month field "32": 32 is not within 1 to 31.'],
    ['0 0 * 0 *', 'in the month field "0": 0 is not within 1 to 12.'],
    ['0 0 * 13 *', 'in the month field "13": 13 is not within 1 to 12.'],
    ['0 0 * * 8', 'in the weekday field "8": 8 is not within 0 to 7.'],
    [
      '0 0 * * 99999999999999999999',
      'in the weekday field "99999999999999999999": 99999999999999999999 is not within 0 to 7.',
    ],
    ['x * * * *', 'in the minute field "x": "x" is not a number.'],
    ['-5 * * * *', 'in the minute field "-5": "-5" is not a number and not a range such as 1-5.'],
    ['1.5 * * * *', 'in the minute field "1.5": "1.5" is not a number.'],
    ['1e1 * * * *', 'in the minute field "1e1": "1e1" is not a number.'],
    ['MON * * * *', 'in the minute field "MON": "MON" is not a number.'],
    ['0 0 * MON *', 'in the month field "MON": "MON" is not a number and not a name such as FEB.'],
    [
      '0 0 * * JAN',
      'in the weekday field "JAN": "JAN" is not a number and not a name such as MON.',
    ],
    [
      '0 0 * * MONDAY',
      'in the weekday field "MONDAY": "MONDAY" is not a number and not a name such as MON.',
    ],
    [
      '1,,2 * * * *',
      'in the minute field "1,,2": between two commas, or beside one, there is nothing.',
    ],
    [
      '1, * * * *',
      'in the minute field "1,": between two commas, or beside one, there is nothing.',
    ],
    ['5- * * * *', 'in the minute field "5-": "5-" is not a number and not a range such as 1-5.'],
    [
      '1-2-3 * * * *',
      'in the minute field "1-2-3": "1-2-3" is not a number and not a range such as 1-5.',
    ],
    ['*-5 * * * *', 'in the minute field "*-5": "*-5" is not a range such as 1-5.'],
    ['?-5 * * * *', 'in the minute field "?-5": "?-5" is not a range such as 1-5.'],
    ['5-* * * * *', 'in the minute field "5-*": "*" is not a number.'],
    ['** * * * *', 'in the minute field "**": "**" is not a number.'],
    ['/5 * * * *', 'in the minute field "/5": "/5" does not say what it is a step of.'],
    ['*/5/5 * * * *', 'in the minute field "*/5/5": "*/5/5" has more than one step.'],
    ['*/0 * * * *', 'in the minute field "*/0": the step "0" is not a number from 1 to 60.'],
    ['*/61 * * * *', 'in the minute field "*/61": the step "61" is not a number from 1 to 60.'],
    ['* */25 * * *', 'in the hour field "*/25": the step "25" is not a number from 1 to 24.'],
    [
      '0 0 */32 * *',
      'in the day of the month field "*/32": the step "32" is not a number from 1 to 31.',
    ],
    ['0 0 * */13 *', 'in the month field "*/13": the step "13" is not a number from 1 to 12.'],
    ['0 0 * * */8', 'in the weekday field "*/8": the step "8" is not a number from 1 to 7.'],
    ['*/ * * * *', 'in the minute field "*/": the step "" is not a number from 1 to 60.'],
    ['*/-1 * * * *', 'in the minute field "*/-1": the step "-1" is not a number from 1 to 60.'],
    ['*/x * * * *', 'in the minute field "*/x": the step "x" is not a number from 1 to 60.'],
    ['0 22-2 * * *', `in the hour field "22-2": "22-2" ${BACKWARDS}`],
    ['0 0 * NOV-FEB *', `in the month field "NOV-FEB": "NOV-FEB" ${BACKWARDS}`],
    ['0 0 * * FRI-MON', `in the weekday field "FRI-MON": "FRI-MON" ${BACKWARDS}`],
    ['0 0 * * 5-0', `in the weekday field "5-0": "5-0" ${BACKWARDS}`],
    ...['L', 'l', '1,L', 'L-3', '5L'].map((field) => [
      `0 0 ${field} * *`,
      `in the day of the month field "${field}": L (the last day, or the last such weekday, of a month) is not supported.`,
    ]),
    ...['L', 'FRIL', '5L'].map((field) => [
      `0 0 * * ${field}`,
      `in the weekday field "${field}": L (the last day, or the last such weekday, of a month) is not supported.`,
    ]),
    ...['15W', 'LW', 'W', '1w'].map((field) => [
      `0 0 ${field} * *`,
      `in the day of the month field "${field}": W (the working day nearest to a date) is not supported.`,
    ]),
    ...['FRI#2', '5#L', '1,2#3'].map((field) => [
      `0 0 * * ${field}`,
      `in the weekday field "${field}": # (the n-th weekday of a month) is not supported.`,
    ]),
    ...[
      ['31', '2'],
      ['30', 'FEB'],
      ['31', '2,4,6,9,11'],
      ['30-31', '2'],
    ].map(([day, month]) => [
      `0 0 ${day} ${month} *`,
      `in the day of the month field "${day}": no month of the month field "${month}" has such a day, so it would never be due.`,
    ]),
    [
      '0 0 31 4 ?',
      'in the day of the month field "31": no month of the month field "4" has such a day, so it would never be due.',
    ],
  ] as [string, string][])('1 2 %j is refused: %s', (text, words) => {
    expect(() => parseCron(text)).toThrow(
      expect.objectContaining({ code: 'invalid_request', message: `schedule.cron, ${words}` }),
    );
  });
});

describe('days', () => {
  const dayOf = (date: string): number => Date.parse(date) / 86_400_000;

  it.each([
    ['0 0 13 * *', '2026-02-13', true],
    ['0 0 13 * *', '2026-02-14', false],
    ['0 0 * * FRI', '2026-02-13', true],
    ['0 0 * * FRI', '2026-02-14', false],
    ['0 0 * * SUN', '2026-02-15', true],
    ['0 0 * * SAT', '2026-02-14', true],
    ['0 0 13 * FRI', '2026-03-13', true],
    ['0 0 13 * FRI', '2026-03-20', true],
    ['0 0 13 * FRI', '2026-04-13', true],
    ['0 0 13 * FRI', '2026-04-14', false],
    ['0 0 13 4 FRI', '2026-03-13', false],
    ['0 0 29 2 *', '2028-02-29', true],
    ['0 0 29 2 *', '2027-03-01', false],
    ['0 0 31 12 *', '2026-12-31', true],
    ['0 0 1 1 *', '2027-01-01', true],
    ['0 0 * * WED', '1969-12-31', true],
    ['0 0 * * THU', '1970-01-01', true],
    ['0 0 * * SUN', '1969-12-28', true],
    ['0 0 * * SAT', '1969-12-20', true],
  ])('3 %j on %s: %s', (text, date, expected) => {
    expect(fitsDay(parseCron(text), dayOf(date))).toBe(expected);
  });

  it('1 the days of an accepted cron are at most eight years apart', () => {
    const leapDays = parseCron('0 0 29 2 *');
    let last = dayOf('2000-02-29');
    let longest = 0;
    for (let day = last + 1; day < dayOf('2400-03-01'); day += 1) {
      if (!fitsDay(leapDays, day)) continue;
      longest = Math.max(longest, day - last);
      last = day;
    }
    expect(longest).toBe(8 * 365 + 1);
  });
});

describe('times of day', () => {
  it('go upwards, in whatever order they are written', () => {
    const clock = (time: number): string => new Date(time * 1_000).toISOString().slice(11, 19);
    expect(timesOf(parseCron('30,5 7,6-6 22,9 * * *')).map(clock)).toEqual([
      '09:06:05',
      '09:06:30',
      '09:07:05',
      '09:07:30',
      '22:06:05',
      '22:06:30',
      '22:07:05',
      '22:07:30',
    ]);
  });

  const some = (max: number) =>
    fc
      .uniqueArray(fc.integer({ min: 0, max }), { minLength: 1, maxLength: 8 })
      .map((values) => values.toSorted((a, b) => a - b));

  it('at and before are those of the plain list', () => {
    fc.assert(
      fc.property(
        some(59),
        some(59),
        some(23),
        fc.array(fc.integer({ min: -10, max: 86_410 }), { minLength: 1, maxLength: 20 }),
        (seconds, minutes, hours, asked) => {
          const times = new TimesOfDay(seconds, minutes, hours);
          const list: number[] = [];
          for (let second = 0; second < 86_400; second += 1)
            if (
              hours.includes(Math.floor(second / 3_600)) &&
              minutes.includes(Math.floor(second / 60) % 60) &&
              seconds.includes(second % 60)
            )
              list.push(second);
          expect(times.count).toBe(list.length);
          expect(list.map((_, index) => times.at(index))).toEqual(list);
          // The places where it matters: a time, and just behind it.
          const edges = list.slice(0, 20).flatMap((second) => [second, second + 1]);
          for (const second of [...asked, ...edges, 0, 86_399, 86_400])
            expect(times.before(second)).toBe(list.filter((each) => each < second).length);
        },
      ),
      { numRuns: 60 },
    );
  });
});
