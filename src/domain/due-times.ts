/**
 * When a trigger is due. docs/triggers.md, "When is it due", is what this carries out; docs/decisions/0009 says why it is our own.
 *
 * Invariants:
 *  1 Due times follow from the rule alone: whoever asks, whenever, with whatever range, sees the same ones. A range that is
 *    cut in two gives the same list.
 *  2 They go upwards, each once, within startAt and endAt (both included) and within the years 1970 to 2199.
 *  3 A cron with one time of day is due once on every day that exists and fits: at the first moment after the gap where
 *    the clock skips that time, the first time where it shows it twice. Any other cron is due each time that the clock
 *    shows what fits.
 *  4 Whatever is asked ends soon, of any rule and range: days are walked, not seconds, and none after 2199.
 *
 * Times are milliseconds since 1970. Ranges are after < t <= until. No clock is read here.
 */
import { HoldfastError } from '../contracts/errors.ts';
import type { TriggerScheduleValue } from '../contracts/events.ts';
import { TRIGGER_INTERVAL_MS, TRIGGER_INTERVAL_STEP_MS } from '../contracts/limits.ts';
import { DAY_MS, fitsDay, parseCron, type Cron } from './cron.ts';
import { hash128 } from './turn-ids.ts';
import { zoneOf, type Zone } from './zone.ts';

/** What makes a trigger due. `startAt` and `endAt` are included. */
export type DueRule = {
  schedule: TriggerScheduleValue;
  startAt: string | null;
  endAt: string | null;
};

/** Nothing is due before or after these. The latter keeps any search short, and no zone's rules are known for so long. */
const EARLIEST_MS = 0;
const LATEST_MS = Date.UTC(2200, 0, 1) - 1;

/** Throws: `invalid_request`, with words for a person, when the schedule makes no sense. */
export function checkSchedule(schedule: TriggerScheduleValue): void {
  zoneOf(schedule.timezone);
  if ('cron' in schedule) parseCron(schedule.cron);
  else if ('at' in schedule) atMoment(schedule.at, schedule.timezone);
  else checkInterval(schedule.everyMs);
}

/** The due times of a range. */
export function* dueTimes(rule: DueRule, afterMs: number, untilMs: number): Generator<number> {
  for (const batch of batches(rule, { afterMs, untilMs }, 'up'))
    for (let index = 0; index < batch.size; index += 1) yield batch.at(index);
}

/** The first due time after `afterMs`; null when there is none any more. */
export function nextDue(rule: DueRule, afterMs: number): number | null {
  for (const dueMs of dueTimes(rule, afterMs, LATEST_MS)) return dueMs;
  return null;
}

/** How many due times a range has: exactly up to `limit`, and `limit + 1` for more. */
export function countDue(rule: DueRule, afterMs: number, untilMs: number, limit: number): number {
  let count = 0;
  for (const { size } of batches(rule, { afterMs, untilMs }, 'up')) {
    count += size;
    if (count > limit) return limit + 1;
  }
  return count;
}

/** The newest `limit` due times of a range, upwards. The others are not visited. */
export function dueTimesBack(
  rule: DueRule,
  afterMs: number,
  untilMs: number,
  limit: number,
): number[] {
  const newestFirst: number[] = [];
  for (const batch of batches(rule, { afterMs, untilMs }, 'down'))
    for (let index = batch.size - 1; index >= 0; index -= 1) {
      if (newestFirst.length >= limit) return newestFirst.toReversed();
      newestFirst.push(batch.at(index));
    }
  return newestFirst.toReversed();
}

/** By how much a due time of a trigger is acted upon later: 0 to `jitterMs`, always the same for the same due time. */
export function jitterOf(triggerId: string, dueMs: number, jitterMs: number): number {
  // 52 bits, so that every value has the same chance.
  const share = parseInt(hash128(`${triggerId}\n${dueMs}`).slice(0, 13), 16) / 2 ** 52;
  return Math.floor(share * (jitterMs + 1));
}

/**
 * The moment of a one-shot: RFC 3339, or without an offset a local time of the zone, whose seconds may be left out. A local
 * time that is skipped is the first moment after the gap, one that comes twice the first. Below a millisecond is cut off.
 * Throws: `invalid_request`.
 */
export function atMoment(at: string, timezone: string): number {
  const zone = zoneOf(timezone);
  const parts = AT.exec(at)?.groups;
  if (parts === undefined)
    throw wrongAt(
      at,
      'is no time. Write it as 2026-03-29T09:00:00Z, 2026-03-29T09:00:00+02:00, or as a local time of the zone without the end.',
    );
  const { date = '', time = '', fraction = '', utc, sign, offset = '' } = parts;
  const whole = `${date}T${time.length === 5 ? `${time}:00` : time}.000Z`;
  const wholeMs = Date.parse(whole);
  // Date.parse takes 24:00, and 30 February for the first of March.
  if (Number.isNaN(wholeMs) || new Date(wholeMs).toISOString() !== whole)
    throw wrongAt(at, 'is a day or a time of day that does not exist.');
  const localMs = wholeMs + Number(fraction.slice(0, 3).padEnd(3, '0'));
  const [hours = 0, minutes = 0] = offset.split(':').map(Number);
  if (hours > 23 || minutes > 59) throw wrongAt(at, 'has an offset that does not exist.');
  const offsetMs = (sign === '-' ? -1 : 1) * (hours * 60 + minutes) * 60_000;
  const isNear = localMs > EARLIEST_MS - DAY_MS && localMs < LATEST_MS + DAY_MS;
  const hasOffset = utc !== undefined || sign !== undefined;
  const atMs = !isNear ? NaN : hasOffset ? localMs - offsetMs : zone.momentOf(localMs);
  if (!(atMs >= EARLIEST_MS && atMs <= LATEST_MS))
    throw wrongAt(at, 'is not within the years 1970 to 2199.');
  return atMs;
}

const AT =
  /^(?<date>\d{4}-\d\d-\d\d)[Tt ](?<time>\d\d:\d\d(?::\d\d)?)(?:\.(?<fraction>\d+))?(?:(?<utc>[Zz])|(?<sign>[+-])(?<offset>\d\d:\d\d))?$/;

function wrongAt(at: string, words: string): HoldfastError {
  return new HoldfastError('invalid_request', `schedule.at "${at}" ${words}`);
}

function checkInterval(everyMs: number): void {
  const wrong = (words: string): HoldfastError =>
    new HoldfastError('invalid_request', `schedule.everyMs ${everyMs} ${words}`);
  if (!(everyMs >= TRIGGER_INTERVAL_MS))
    throw wrong(`is under the shortest interval, ${TRIGGER_INTERVAL_MS} ms.`);
  if (everyMs % TRIGGER_INTERVAL_STEP_MS !== 0)
    throw wrong(`is not a multiple of ${TRIGGER_INTERVAL_STEP_MS} ms.`);
  if (everyMs > LATEST_MS) throw wrong('is so long that it would not be due before the year 2200.');
}

type Span = { afterMs: number; untilMs: number };
type Direction = 'up' | 'down';
/** Due times that follow from their place: `at(0)` to below `at(size)`, upwards. */
type Batch = { size: number; at(index: number): number };

/** The due times of a range in batches; `down`: the newest batch first. */
function* batches(rule: DueRule, asked: Span, direction: Direction): Generator<Batch> {
  const { schedule, startAt, endAt } = rule;
  const span = {
    afterMs: Math.max(
      asked.afterMs,
      EARLIEST_MS - 1,
      startAt === null ? -Infinity : Date.parse(startAt) - 1,
    ),
    untilMs: Math.min(asked.untilMs, LATEST_MS, endAt === null ? Infinity : Date.parse(endAt)),
  };
  if (!(span.afterMs < span.untilMs)) return;
  if ('everyMs' in schedule) yield intervalBatch(schedule.everyMs, span);
  else if ('at' in schedule) {
    const atMs = atMoment(schedule.at, schedule.timezone);
    if (isWithin(atMs, span)) yield { size: 1, at: () => atMs };
  } else {
    const cron = parseCron(schedule.cron);
    const parts = { cron, zone: zoneOf(schedule.timezone), span, direction };
    yield* cron.times.count === 1 ? onceADay(parts) : asTheClockShows(parts);
  }
}

function isWithin(atMs: number, { afterMs, untilMs }: Span): boolean {
  return afterMs < atMs && atMs <= untilMs;
}

function intervalBatch(everyMs: number, { afterMs, untilMs }: Span): Batch {
  const first = Math.floor(afterMs / everyMs) + 1;
  return {
    size: Math.floor(untilMs / everyMs) - first + 1,
    at: (index) => (first + index) * everyMs,
  };
}

type CronSpan = { cron: Cron; zone: Zone; span: Span; direction: Direction };

/** Invariant 3, of any cron but those with one time of day. Gaps and repetitions come out right by themselves: see zone.ts. */
function* asTheClockShows({ cron, zone, span, direction }: CronSpan): Generator<Batch> {
  const { times } = cron;
  for (const { fromMs, untilMs, offsetMs } of stretchesOf(zone, span, direction)) {
    // What the clock shows at the first and the last moment that count.
    const firstMs = Math.max(fromMs, span.afterMs + 1) + offsetMs;
    const lastMs = Math.min(untilMs - 1, span.untilMs) + offsetMs;
    for (const day of days(dayOf(firstMs), dayOf(lastMs), direction)) {
      if (!fitsDay(cron, day)) continue;
      const midnightMs = day * DAY_MS;
      const begin = times.before(Math.ceil((firstMs - midnightMs) / 1_000));
      const end = times.before(Math.floor((lastMs - midnightMs) / 1_000) + 1);
      if (begin < end)
        yield {
          size: end - begin,
          at: (index) => midnightMs - offsetMs + times.at(begin + index) * 1_000,
        };
    }
  }
}

/** Invariant 3, of a cron with one time of day. */
function* onceADay({ cron, zone, span, direction }: CronSpan): Generator<Batch> {
  const timeMs = cron.times.at(0) * 1_000;
  const shownAt = (atMs: number): number => atMs + zone.stretchAt(atMs).offsetMs;
  // Put back over midnight, the clock shows the day before again, and what was due on the next has been.
  const [firstDay, lastDay] = [dayOf(shownAt(span.afterMs)), dayOf(shownAt(span.untilMs)) + 1];
  for (const day of days(firstDay, lastDay, direction)) {
    if (!fitsDay(cron, day)) continue;
    const dueMs = zone.momentOf(day * DAY_MS + timeMs);
    if (!isWithin(dueMs, span)) continue;
    // Where the clock skips a whole day (Samoa, 30 December 2011), that is no day on which something is due.
    if (dayOf(shownAt(dueMs)) !== day && dayOf(shownAt(zone.momentOf(day * DAY_MS))) !== day)
      continue;
    yield { size: 1, at: () => dueMs };
  }
}

function dayOf(localMs: number): number {
  return Math.floor(localMs / DAY_MS);
}

function* days(first: number, last: number, direction: Direction): Generator<number> {
  if (direction === 'up') for (let day = first; day <= last; day += 1) yield day;
  else for (let day = last; day >= first; day -= 1) yield day;
}

/** The stretches that a range touches. */
function* stretchesOf(zone: Zone, { afterMs, untilMs }: Span, direction: Direction) {
  let atMs = direction === 'up' ? afterMs + 1 : untilMs;
  while (atMs > afterMs && atMs <= untilMs) {
    const stretch = zone.stretchAt(atMs);
    yield stretch;
    atMs = direction === 'up' ? stretch.untilMs : stretch.fromMs - 1;
  }
}
