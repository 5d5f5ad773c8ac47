/**
 * Cron expressions: what is written, as sets of seconds, minutes, hours and days.
 *
 * Five fields (minute, hour, day of the month, month, weekday), or six with seconds first. A field is `*` or `?`, or a list of
 * numbers, names, ranges `a-b` and steps: every n-th of all (`*` and `/n`), of a range (`a-b/n`), or from a on (`a/n`).
 *
 * Invariants:
 *  1 A cron that is accepted is due again and again: one of no day that exists (`0 0 31 2 *`) is refused. Its days are at
 *    most eight years apart (29 February around a year like 2100).
 *  2 A refusal names the field and says in plain words what is wrong with it.
 *  3 Where both day of the month and weekday are restricted, either will do. Restricted is what is not written `*` or `?`.
 */
import { HoldfastError } from '../contracts/errors.ts';

export const DAY_MS = 86_400_000;

/** Which days of a calendar, and which times of each of them. */
export type Cron = {
  times: TimesOfDay;
  daysOfMonth: ReadonlySet<number>;
  months: ReadonlySet<number>;
  /** 0 is Sunday. */
  weekdays: ReadonlySet<number>;
  /** Of day of the month and weekday one is enough (invariant 3). */
  either: boolean;
};

/** Throws: `invalid_request` by invariants 1 and 2. */
export function parseCron(text: string): Cron {
  const [second = '', minute = '', hour = '', dayOfMonth = '', month = '', weekday = ''] =
    fieldsOf(text);
  const cron = {
    times: new TimesOfDay(valuesOf(SECOND, second), valuesOf(MINUTE, minute), valuesOf(HOUR, hour)),
    daysOfMonth: new Set(valuesOf(DAY_OF_MONTH, dayOfMonth)),
    months: new Set(valuesOf(MONTH, month)),
    weekdays: new Set(valuesOf(WEEKDAY, weekday)),
    either: isRestricted(dayOfMonth) && isRestricted(weekday),
  };
  const firstDay = Math.min(...cron.daysOfMonth);
  if (!cron.either && ![...cron.months].some((each) => firstDay <= (LONGEST[each - 1] ?? 0)))
    throw refusal(
      `in the day of the month field "${dayOfMonth}": no month of the month field "${month}" has such a day, so it would never be due.`,
    );
  return cron;
}

/** Whether `cron` is due on a day of the calendar, counted from 1970-01-01 as 0. */
export function fitsDay({ daysOfMonth, months, weekdays, either }: Cron, day: number): boolean {
  const date = new Date(day * DAY_MS);
  if (!months.has(date.getUTCMonth() + 1)) return false;
  const isDayOfMonth = daysOfMonth.has(date.getUTCDate());
  // The first of January 1970 was a Thursday.
  const isWeekday = weekdays.has((((day + 4) % 7) + 7) % 7);
  return either ? isDayOfMonth || isWeekday : isDayOfMonth && isWeekday;
}

/** The times of a day, in their order, each as its seconds since midnight by the clock on the wall. Never a list of them: that may be 86,400. */
export class TimesOfDay {
  readonly count: number;
  readonly #seconds: readonly number[];
  readonly #minutes: readonly number[];
  readonly #hours: readonly number[];

  /** Each ascending and without repetition. */
  constructor(seconds: readonly number[], minutes: readonly number[], hours: readonly number[]) {
    this.#seconds = seconds;
    this.#minutes = minutes;
    this.#hours = hours;
    this.count = seconds.length * minutes.length * hours.length;
  }

  /** The time at `index`, from 0 to below `count`. */
  at(index: number): number {
    const [perMinute, perHour] = [
      this.#seconds.length,
      this.#seconds.length * this.#minutes.length,
    ];
    const hour = this.#hours[Math.floor(index / perHour)] ?? 0;
    const minute = this.#minutes[Math.floor((index % perHour) / perMinute)] ?? 0;
    return hour * 3_600 + minute * 60 + (this.#seconds[index % perMinute] ?? 0);
  }

  /** How many are before `second`, of this day or another: the index of the first that is not. */
  before(second: number): number {
    const hour = Math.floor(second / 3_600);
    const minute = Math.floor((second % 3_600) / 60);
    const minutes = below(this.#hours, hour) * this.#minutes.length;
    if (!this.#hours.includes(hour)) return minutes * this.#seconds.length;
    const seconds = (minutes + below(this.#minutes, minute)) * this.#seconds.length;
    return this.#minutes.includes(minute) ? seconds + below(this.#seconds, second % 60) : seconds;
  }
}

function below(values: readonly number[], limit: number): number {
  const index = values.findIndex((value) => value >= limit);
  return index === -1 ? values.length : index;
}

type Field = {
  name: string;
  min: number;
  max: number;
  /** The first of them means `min`. */
  names?: readonly string[];
};

const SECOND: Field = { name: 'second', min: 0, max: 59 };
const MINUTE: Field = { name: 'minute', min: 0, max: 59 };
const HOUR: Field = { name: 'hour', min: 0, max: 23 };
const DAY_OF_MONTH: Field = { name: 'day of the month', min: 1, max: 31 };
const MONTH: Field = {
  name: 'month',
  min: 1,
  max: 12,
  names: ['JAN', 'FEB', 'MAR', 'APR', 'MAY', 'JUN', 'JUL', 'AUG', 'SEP', 'OCT', 'NOV', 'DEC'],
};
const WEEKDAY: Field = {
  name: 'weekday',
  min: 0,
  max: 6,
  names: ['SUN', 'MON', 'TUE', 'WED', 'THU', 'FRI', 'SAT'],
};
/** Days of each month, in a leap year. */
const LONGEST = [31, 29, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31];

const NICKNAMES: Readonly<Record<string, string>> = {
  '@yearly': '0 0 1 1 *',
  '@annually': '0 0 1 1 *',
  '@monthly': '0 0 1 * *',
  '@weekly': '0 0 * * 0',
  '@daily': '0 0 * * *',
  '@midnight': '0 0 * * *',
  '@hourly': '0 * * * *',
};

/** What is understood elsewhere and is not here. */
const REFUSED: readonly { pattern: RegExp; words: string }[] = [
  { pattern: /#/, words: '# (the n-th weekday of a month) is not supported.' },
  { pattern: /^(?:\d*W|LW)$/i, words: 'W (the working day nearest to a date) is not supported.' },
  {
    pattern: /^(?:\d*|[A-Z]{3})L$/i,
    words: 'L (the last day, or the last such weekday, of a month) is not supported.',
  },
];

/** The six fields. */
function fieldsOf(text: string): string[] {
  const trimmed = text.trim();
  if (trimmed.startsWith('@')) {
    const nickname = NICKNAMES[trimmed.toLowerCase()];
    if (nickname === undefined)
      throw refusal(`"${trimmed}" is not one of ${Object.keys(NICKNAMES).join(', ')}.`);
    return `0 ${nickname}`.split(' ');
  }
  const fields = trimmed === '' ? [] : trimmed.split(/\s+/);
  if (fields.length !== 5 && fields.length !== 6)
    throw refusal(
      `a cron has five fields (minute, hour, day of the month, month, weekday), or six with seconds first; this one has ${fields.length}.`,
    );
  return fields.length === 5 ? ['0', ...fields] : fields;
}

function isRestricted(field: string): boolean {
  return field !== '*' && field !== '?';
}

/** What a field allows, ascending. */
function valuesOf(field: Field, text: string): number[] {
  const values = new Set<number>();
  for (const item of text.split(',')) {
    const { from, to, step } = rangeOf(field, text, item);
    // 7 is Sunday as well.
    for (let value = from; value <= to; value += step)
      values.add(field === WEEKDAY ? value % 7 : value);
  }
  return [...values].toSorted((a, b) => a - b);
}

function rangeOf(
  field: Field,
  text: string,
  item: string,
): { from: number; to: number; step: number } {
  const wrong = (words: string): HoldfastError =>
    refusal(`in the ${field.name} field "${text}": ${words}`);
  if (item === '') throw wrong('between two commas, or beside one, there is nothing.');
  const [range = '', ...steps] = item.split('/');
  if (steps.length > 1) throw wrong(`"${item}" has more than one step.`);
  const [begin = '', ...ends] = range.split('-');
  if (range === '') throw wrong(`"${item}" does not say what it is a step of.`);
  if (begin === '' || ends.length > 1 || ends[0] === '')
    throw wrong(`"${range}" is not a number and not a range such as 1-5.`);
  const [end] = ends;
  const step = steps[0] === undefined ? 1 : stepOf(field, steps[0], wrong);
  if (begin === '*' || begin === '?') {
    if (end !== undefined) throw wrong(`"${range}" is not a range such as 1-5.`);
    return { from: field.min, to: field.max, step };
  }
  const from = valueOf(field, begin, wrong);
  if (end === undefined)
    return { from, to: steps.length === 0 ? from : Math.max(from, field.max), step };
  const asked = valueOf(field, end, wrong);
  // FRI-SUN goes up to the end of the week.
  const to = field === WEEKDAY && asked === 0 && from > 0 && !/^\d/.test(end) ? 7 : asked;
  if (to < from)
    throw wrong(
      `"${range}" runs backwards; write what is meant as two ranges with a comma between them.`,
    );
  return { from, to, step };
}

function stepOf(field: Field, text: string, wrong: (words: string) => HoldfastError): number {
  const size = field.max - field.min + 1;
  const step = /^\d+$/.test(text) ? Number(text) : 0;
  if (step < 1 || step > size) throw wrong(`the step "${text}" is not a number from 1 to ${size}.`);
  return step;
}

function valueOf(field: Field, text: string, wrong: (words: string) => HoldfastError): number {
  const { min, names } = field;
  const max = field === WEEKDAY ? 7 : field.max;
  if (/^\d+$/.test(text)) {
    const value = Number(text);
    if (value < min || value > max) throw wrong(`${text} is not within ${min} to ${max}.`);
    return value;
  }
  const place = names?.indexOf(text.toUpperCase()) ?? -1;
  if (place !== -1) return min + place;
  const refused = REFUSED.find(({ pattern }) => pattern.test(text));
  if (refused !== undefined) throw wrong(refused.words);
  const orName = names === undefined ? '' : ` and not a name such as ${names[1]}`;
  throw wrong(`"${text}" is not a number${orName}.`);
}

function refusal(words: string): HoldfastError {
  return new HoldfastError('invalid_request', `schedule.cron, ${words}`);
}
