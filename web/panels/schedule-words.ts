/** When a trigger is due, for people; docs/triggers.md says what a schedule means. */
import type { TriggerViewValue } from '../../src/contracts/triggers.ts';

type Schedule = TriggerViewValue['schedule'];

const SECOND = 1_000;
const UNITS = [
  { ms: 24 * 60 * 60 * SECOND, one: 'day', many: 'days' },
  { ms: 60 * 60 * SECOND, one: 'hour', many: 'hours' },
  { ms: 60 * SECOND, one: 'minute', many: 'minutes' },
  { ms: SECOND, one: 'second', many: 'seconds' },
] as const;

const DAYS = ['Sundays', 'Mondays', 'Tuesdays', 'Wednesdays', 'Thursdays', 'Fridays', 'Saturdays'];
const NICKNAMES: Readonly<Record<string, string>> = {
  '@hourly': 'every hour',
  '@daily': 'every day at 00:00',
  '@weekly': 'Sundays at 00:00',
  '@monthly': 'on the 1st of each month at 00:00',
  '@yearly': 'on 1 January at 00:00',
};

/** `every 5 minutes`, `Mondays to Fridays at 09:30`, `once, 21 Nov 2026, 09:00`; a cron that is not one of the usual ones as it is written. */
export function scheduleWords(schedule: Schedule): string {
  if ('everyMs' in schedule) return everyWords(schedule.everyMs);
  if ('at' in schedule) return `once, ${momentWords(schedule.at)}`;
  return cronWords(schedule.cron) ?? `cron ${schedule.cron}`;
}

/** `every minute`, `every 90 seconds`: in the largest unit that it is a whole number of. */
export function everyWords(everyMs: number): string {
  const unit = UNITS.find(({ ms }) => everyMs % ms === 0 && everyMs >= ms);
  if (unit === undefined) return `every ${everyMs / SECOND} seconds`;
  const count = everyMs / unit.ms;
  return count === 1 ? `every ${unit.one}` : `every ${count} ${unit.many}`;
}

/** A cron of one of the usual forms, in words; null: it is none of those, and words would be wrong sooner than clear. */
export function cronWords(cron: string): string | null {
  const text = cron.trim().toLowerCase();
  if (Object.hasOwn(NICKNAMES, text)) return NICKNAMES[text] ?? null;
  const fields = text.split(/\s+/);
  if (fields.length !== 5) return null;
  const [minute = '', hour = '', day = '', month = '', weekday = ''] = fields;
  if (month !== '*') return null;
  const isAnyDay = day === '*' && weekday === '*';
  const step = /^\*\/(\d+)$/.exec(minute)?.[1];
  if (isAnyDay && hour === '*') {
    if (minute === '*') return 'every minute';
    // a step that does not divide the hour is not every so many minutes: it begins anew with each hour
    if (step !== undefined && 60 % Number(step) === 0)
      return everyWords(Number(step) * 60 * SECOND);
    if (isNumber(minute, 59))
      return minute === '0' ? 'every hour' : `every hour at :${two(minute)}`;
    return null;
  }
  if (!isNumber(minute, 59) || !isNumber(hour, 23)) return null;
  const time = `${two(hour)}:${two(minute)}`;
  if (isAnyDay) return `every day at ${time}`;
  if (day === '*') {
    const days = weekdayWords(weekday);
    return days === null ? null : `${days} at ${time}`;
  }
  if (weekday === '*' && isNumber(day, 31) && day !== '0') {
    return `on the ${ordinal(Number(day))} of each month at ${time}`;
  }
  return null;
}

function weekdayWords(weekday: string): string | null {
  const range = /^([0-7])-([0-7])$/.exec(weekday);
  if (range !== null) {
    const [, from, to] = range;
    return `${DAYS[Number(from) % 7]} to ${DAYS[Number(to) % 7]}`;
  }
  if (!/^[0-7](,[0-7])*$/.test(weekday)) return null;
  return weekday
    .split(',')
    .map((day) => DAYS[Number(day) % 7])
    .join(', ');
}

const isNumber = (text: string, max: number) => /^\d{1,2}$/.test(text) && Number(text) <= max;
const two = (text: string) => text.padStart(2, '0');

function ordinal(day: number): string {
  const last = day % 10;
  const isTeen = day >= 11 && day <= 13;
  const ending = isTeen || last > 3 || last === 0 ? 'th' : (['st', 'nd', 'rd'] as const)[last - 1];
  return `${day}${ending}`;
}

/** A local time as it is written, one with an offset in the reader's own zone. */
function momentWords(at: string): string {
  const hasOffset = /(z|[+-]\d\d:?\d\d)$/i.test(at);
  if (!hasOffset) return at.replace('T', ' ');
  const atMs = Date.parse(at);
  if (Number.isNaN(atMs)) return at;
  return new Date(atMs).toLocaleString(undefined, { dateStyle: 'medium', timeStyle: 'short' });
}

/** The zone, where it is not the reader's own and says something: an interval is the same in all of them. */
export function zoneWords(schedule: Schedule, zone: string): string | null {
  if ('everyMs' in schedule || schedule.timezone === zone) return null;
  return schedule.timezone;
}

/** The zone of this browser. */
export function ownZone(): string {
  return Intl.DateTimeFormat().resolvedOptions().timeZone;
}
