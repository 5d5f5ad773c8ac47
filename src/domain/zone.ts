/**
 * Time zones: which offset from UTC holds when, as stretches of time with one offset each. The tables are those of Intl.
 *
 * Invariants:
 *  1 Stretches are side by side: each begins where the one before ends, and at every moment of one the clock of the zone
 *    shows that moment plus `offsetMs`. Hence a gap (a clock put forward) and a repetition (put back) are nothing special:
 *    what the clock shows in a stretch is plain arithmetic.
 *  2 {@link Zone.momentOf} never goes back: a later reading of the clock is no earlier moment.
 *
 * Intl answers in microseconds, so what it said is kept: a few stretches for each zone and year that was asked about.
 */
import { HoldfastError } from '../contracts/errors.ts';

/** Offsets in force from `fromMs` up to `untilMs`, which belongs to the next. `offsetMs`: east of Greenwich positive. */
export type Stretch = { fromMs: number; untilMs: number; offsetMs: number };

/**
 * How far apart Intl is asked whether the offset is another. Two changes that take each other back would be overlooked in
 * between. Source: the zone database 2025b has none within 6.9 days since 1970 (Gaza in 2054, Recife in 2000).
 */
const STEP_MS = 2 * 86_400_000;
/** No clock is further from UTC. */
const FURTHEST_MS = 26 * 3_600_000;

/** Of the zone's name in the IANA database. Throws: `invalid_request` for any other. */
export function zoneOf(name: string): Zone {
  const known = zones.get(name);
  if (known !== undefined) return known;
  const zone = new Zone(formatOf(name));
  zones.set(name, zone);
  return zone;
}

/** There are some 600 names; nothing else gets in. */
const zones = new Map<string, Zone>();

/** A zone's clock. For moments of the years 1 to 9999. */
export class Zone {
  readonly #format: Intl.DateTimeFormat;
  readonly #years = new Map<number, readonly Stretch[]>();
  #last: Stretch | undefined;

  constructor(format: Intl.DateTimeFormat) {
    this.#format = format;
  }

  /** The stretch that `atMs` lies in. It may end before the offset changes, at the end of a year. */
  stretchAt(atMs: number): Stretch {
    if (this.#last !== undefined && this.#last.fromMs <= atMs && atMs < this.#last.untilMs)
      return this.#last;
    const year = new Date(atMs).getUTCFullYear();
    let stretches = this.#years.get(year);
    if (stretches === undefined) {
      stretches = this.#stretchesOf(year);
      this.#years.set(year, stretches);
    }
    const found = stretches.find(({ untilMs }) => atMs < untilMs);
    if (found === undefined) throw new RangeError(`no offset at ${atMs}`);
    this.#last = found;
    return found;
  }

  /** The first moment at which the clock shows `localMs` (as if it were UTC); where it never does, the first after that gap. */
  momentOf(localMs: number): number {
    for (let atMs = localMs - FURTHEST_MS; ;) {
      const { fromMs, untilMs, offsetMs } = this.stretchAt(atMs);
      if (localMs < untilMs + offsetMs) return Math.max(localMs - offsetMs, fromMs);
      atMs = untilMs;
    }
  }

  #stretchesOf(year: number): Stretch[] {
    const endMs = Date.UTC(year + 1, 0, 1);
    const found: Stretch[] = [];
    let fromMs = Date.UTC(year, 0, 1);
    let offsetMs = this.#offsetAt(fromMs);
    for (let seenMs = fromMs; seenMs < endMs;) {
      const lookMs = Math.min(seenMs + STEP_MS, endMs);
      while (this.#offsetAt(lookMs) !== offsetMs) {
        const untilMs = this.#changeBetween(seenMs, lookMs, offsetMs);
        found.push({ fromMs, untilMs, offsetMs });
        fromMs = untilMs;
        seenMs = untilMs;
        offsetMs = this.#offsetAt(untilMs);
      }
      seenMs = lookMs;
    }
    if (fromMs < endMs) found.push({ fromMs, untilMs: endMs, offsetMs });
    return found;
  }

  /** The first second with another offset: there is one by `untilMs`. */
  #changeBetween(fromMs: number, untilMs: number, offsetMs: number): number {
    let [before, after] = [fromMs / 1_000, untilMs / 1_000];
    while (after - before > 1) {
      const middle = Math.floor((before + after) / 2);
      if (this.#offsetAt(middle * 1_000) === offsetMs) before = middle;
      else after = middle;
    }
    return after * 1_000;
  }

  #offsetAt(atMs: number): number {
    const [month = 0, day = 0, year = 0, hour = 0, minute = 0, second = 0] = (
      this.#format.format(atMs).match(/\d+/g) ?? []
    ).map(Number);
    return Date.UTC(year, month - 1, day, hour, minute, second) - atMs;
  }
}

/** IANA's names that are no `Area/City`. Intl takes others too (`IST` is India's there), which Temporal does not know. */
const SINGLE_NAMES: ReadonlySet<string> = new Set(
  (
    'UTC UCT GMT GMT+0 GMT-0 GMT0 Greenwich Universal Zulu CET EET MET WET EST MST HST EST5EDT CST6CDT MST7MDT PST8PDT Cuba ' +
    'Egypt Eire GB GB-Eire Hongkong Iceland Iran Israel Jamaica Japan Kwajalein Libya NZ NZ-CHAT Navajo PRC Poland Portugal ' +
    'ROC ROK Singapore Turkey W-SU'
  ).split(' '),
);
/** How an `Area/City` is spelt. Temporal is particular about capitals, Intl is not. */
const SPELLING = /^(?!SystemV)[A-Z][A-Za-z]*(?:\/[A-Z][A-Za-z0-9_+-]*)+$/;

function formatOf(name: string): Intl.DateTimeFormat {
  const wrong = (words: string): HoldfastError =>
    new HoldfastError(
      'invalid_request',
      `schedule.timezone "${name}" ${words} A zone is named as in the IANA database, such as Europe/Berlin or UTC.`,
    );
  if (/^[+-]?\d|^(?:UTC|GMT)[+-](?!0$)\d/i.test(name))
    throw wrong('is an offset, which knows no daylight saving; name the zone.');
  let format: Intl.DateTimeFormat;
  try {
    format = new Intl.DateTimeFormat('en-US', {
      timeZone: name,
      calendar: 'gregory',
      numberingSystem: 'latn',
      hourCycle: 'h23',
      year: 'numeric',
      month: 'numeric',
      day: 'numeric',
      hour: 'numeric',
      minute: 'numeric',
      second: 'numeric',
    });
  } catch {
    throw wrong('is not known.');
  }
  const canonical = format.resolvedOptions().timeZone;
  if (canonical !== name && canonical.toLowerCase() === name.toLowerCase())
    throw wrong(`is written ${canonical}.`);
  if (!SINGLE_NAMES.has(name) && !SPELLING.test(name)) throw wrong('is not known by that name.');
  return format;
}
