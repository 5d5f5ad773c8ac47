/** Numbers are those of zone.ts. */
import * as fc from 'fast-check';
import { describe, expect, it } from 'vitest';

import { Zone, zoneOf, type Stretch } from '../../src/domain/zone.ts';

const DAY_MS = 86_400_000;
const ZONES = Intl.supportedValuesOf('timeZone');

const offsetFormats = new Map<string, Intl.DateTimeFormat>();

/** What Intl writes behind a time: GMT+05:30. */
function writtenOffsetMs(timezone: string, atMs: number): number {
  let format = offsetFormats.get(timezone);
  if (format === undefined) {
    format = new Intl.DateTimeFormat('en', { timeZone: timezone, timeZoneName: 'longOffset' });
    offsetFormats.set(timezone, format);
  }
  const written = /GMT(?:([+-])(\d\d):(\d\d)(?::(\d\d))?)?$/.exec(format.format(atMs));
  const [, sign, hours = 0, minutes = 0, seconds = 0] = written ?? [];
  const size = (Number(hours) * 60 + Number(minutes)) * 60 + Number(seconds);
  return (sign === '-' ? -size : size) * 1_000;
}

const zones = fc.constantFrom(...ZONES);
const moments = fc.integer({ min: 0, max: Date.UTC(2200, 0, 1) - 1 });

describe('stretches', () => {
  it('1 have the offset that Intl writes, at any moment and at both of their ends', () => {
    fc.assert(
      fc.property(zones, moments, (timezone, atMs) => {
        const zone = zoneOf(timezone);
        const { fromMs, untilMs, offsetMs } = zone.stretchAt(atMs);
        expect(fromMs).toBeLessThanOrEqual(atMs);
        expect(untilMs).toBeGreaterThan(atMs);
        for (const each of [atMs, fromMs, untilMs - 1])
          expect(writtenOffsetMs(timezone, each)).toBe(offsetMs);
        const after = zone.stretchAt(untilMs);
        expect(after.fromMs).toBe(untilMs);
        expect(writtenOffsetMs(timezone, untilMs)).toBe(after.offsetMs);
        expect(zone.stretchAt(fromMs)).toEqual({ fromMs, untilMs, offsetMs });
      }),
      { numRuns: 300 },
    );
  });

  it.each([
    ['Europe/Berlin', 2026],
    ['America/New_York', 2026],
    ['Australia/Lord_Howe', 2026],
    // Those with the shortest times between two changes that take each other back.
    ['Asia/Gaza', 2040],
    ['Asia/Gaza', 2054],
    ['America/Recife', 2000],
    ['America/Argentina/Tucuman', 2004],
    ['Africa/Cairo', 2010],
    ['Africa/Casablanca', 2026],
    // A change at a year's first second, and a day that was left out.
    ['Asia/Singapore', 1981],
    ['America/Caracas', 2007],
    ['Pacific/Apia', 2011],
    ['Pacific/Kiritimati', 1994],
    ['Africa/Monrovia', 1972],
  ])('1 of %s in %d are right at every hour', (timezone, year) => {
    const zone = zoneOf(timezone);
    const wrong: string[] = [];
    for (let atMs = Date.UTC(year, 0, 1); atMs < Date.UTC(year + 1, 0, 1); atMs += 3_600_000)
      if (zone.stretchAt(atMs).offsetMs !== writtenOffsetMs(timezone, atMs))
        wrong.push(new Date(atMs).toISOString());
    expect(wrong).toEqual([]);
  });
});

describe('a clock that is changed as no government has done yet', () => {
  type Change = { atMs: number; offsetMs: number };
  const START_MS = -12 * 3_600_000;

  /** A zone with these changes, which it writes down as Intl does. */
  function zoneWith(changes: readonly Change[]): Zone {
    const offsetAt = (atMs: number): number =>
      changes.findLast((change) => change.atMs <= atMs)?.offsetMs ?? START_MS;
    const format = (atMs: number): string => {
      const local = new Date(atMs + offsetAt(atMs));
      const [date, time] = [
        [local.getUTCMonth() + 1, local.getUTCDate(), local.getUTCFullYear()],
        [local.getUTCHours(), local.getUTCMinutes(), local.getUTCSeconds()],
      ];
      return `${date.join('/')}, ${time.join(':')}`;
    };
    return new Zone({ format } as Intl.DateTimeFormat);
  }

  /** Up to five within some days around a New Year, each further east: none takes another back. */
  const changes: fc.Arbitrary<Change[]> = fc
    .uniqueArray(
      fc.oneof(
        fc.integer({ min: -6 * 86_400, max: 6 * 86_400 }),
        fc.integer({ min: -3, max: 3 }),
        fc.constantFrom(-4, -2, 0, 2, 4).map((days) => days * 86_400),
      ),
      { minLength: 1, maxLength: 5 },
    )
    .map((seconds) =>
      seconds
        .toSorted((a, b) => a - b)
        .map((second, index) => ({
          atMs: Date.UTC(2027, 0, 1) + second * 1_000,
          offsetMs: START_MS + (index + 1) * 4_230_000,
        })),
    );

  it('1 every change is found, and stretches are side by side', () => {
    fc.assert(
      fc.property(changes, (made) => {
        const zone = zoneWith(made);
        const [fromMs, untilMs] = [Date.UTC(2026, 0, 1), Date.UTC(2028, 0, 1)];
        const found: Stretch[] = [];
        for (let atMs = fromMs; atMs < untilMs; atMs = found.at(-1)!.untilMs) {
          const stretch = zone.stretchAt(atMs);
          expect(stretch.fromMs).toBe(atMs);
          expect(stretch.untilMs).toBeGreaterThan(atMs);
          found.push(stretch);
        }
        const downwards: Stretch[] = [];
        for (let atMs = untilMs - 1; atMs >= fromMs; atMs = downwards.at(-1)!.fromMs - 1)
          downwards.push(zone.stretchAt(atMs));
        expect(downwards.toReversed()).toEqual(found);
        const begins = found.filter(
          ({ offsetMs }, index) => index > 0 && offsetMs !== found[index - 1]!.offsetMs,
        );
        expect(begins.map(({ fromMs: atMs, offsetMs }) => ({ atMs, offsetMs }))).toEqual(made);
      }),
      { numRuns: 300 },
    );
  });
});

describe('the moment of a reading of the clock', () => {
  it.each([
    ['an ordinary one', 'Europe/Berlin', '2026-07-01T12:00:00Z', '2026-07-01T10:00:00Z'],
    ['in a gap: its end', 'Europe/Berlin', '2026-03-29T02:30:00Z', '2026-03-29T01:00:00Z'],
    ['the beginning of a gap', 'Europe/Berlin', '2026-03-29T02:00:00Z', '2026-03-29T01:00:00Z'],
    ['before a gap', 'Europe/Berlin', '2026-03-29T01:59:59Z', '2026-03-29T00:59:59Z'],
    ['after a gap', 'Europe/Berlin', '2026-03-29T03:00:01Z', '2026-03-29T01:00:01Z'],
    ['twice: the first', 'Europe/Berlin', '2026-10-25T02:30:00Z', '2026-10-25T00:30:00Z'],
    ['the last of twice', 'Europe/Berlin', '2026-10-25T02:59:59Z', '2026-10-25T00:59:59Z'],
    ['after twice', 'Europe/Berlin', '2026-10-25T03:00:00Z', '2026-10-25T02:00:00Z'],
    ['half an hour', 'Australia/Lord_Howe', '2026-10-04T02:10:00Z', '2026-10-03T15:30:00Z'],
    ['half an hour twice', 'Australia/Lord_Howe', '2026-04-05T01:40:00Z', '2026-04-04T14:40:00Z'],
    ['a day left out', 'Pacific/Apia', '2011-12-30T12:00:00Z', '2011-12-30T10:00:00Z'],
    ['New Year far east', 'Pacific/Kiritimati', '2026-01-01T00:00:00Z', '2025-12-31T10:00:00Z'],
    ['New Year far west', 'Etc/GMT+12', '2025-12-31T23:59:59Z', '2026-01-01T11:59:59Z'],
  ])('%s', (_, timezone, local, expected) => {
    const moment = zoneOf(timezone).momentOf(Date.parse(local));
    expect(new Date(moment).toISOString()).toBe(expected.replace('Z', '.000Z'));
  });

  it('2 shows that reading, or is the first that shows a later one; and never goes back', () => {
    fc.assert(
      fc.property(
        zones,
        moments,
        fc.integer({ min: 0, max: 3 * DAY_MS }),
        (timezone, localMs, laterByMs) => {
          const zone = zoneOf(timezone);
          const atMs = zone.momentOf(localMs);
          const shownAt = (momentMs: number): number =>
            momentMs + writtenOffsetMs(timezone, momentMs);
          expect(shownAt(atMs)).toBeGreaterThanOrEqual(localMs);
          expect(shownAt(atMs - 1)).toBeLessThan(localMs);
          expect(zone.momentOf(localMs + laterByMs)).toBeGreaterThanOrEqual(atMs);
        },
      ),
      { numRuns: 300 },
    );
  });
});

describe('names', () => {
  it.each([
    'UTC',
    'GMT',
    'GMT+0',
    'GMT-0',
    'Etc/UTC',
    'Etc/GMT+5',
    'Europe/Berlin',
    'Asia/Kolkata',
    'Europe/Kyiv',
    'US/Pacific',
    'America/Argentina/Buenos_Aires',
    'America/Port-au-Prince',
    'America/North_Dakota/New_Salem',
    'Antarctica/DumontDUrville',
    'EST5EDT',
    'W-SU',
    'GB',
    'Japan',
  ])('%s is one', (name) => {
    expect(zoneOf(name)).toBe(zoneOf(name));
  });

  it('every name that Intl lists is one', () => {
    for (const name of ZONES) expect(() => zoneOf(name)).not.toThrow();
  });

  const OFFSET = 'is an offset, which knows no daylight saving; name the zone.';
  it.each([
    ...[
      '+02:00',
      '-05:00',
      '+0200',
      '+02',
      '02:00',
      'UTC+2',
      'UTC-02:00',
      'gmt+2',
      'GMT+02:00',
    ].map((name) => [name, OFFSET]),
    ...['', ' ', 'Mars/Olympus', 'Europe/Berlin ', 'Etc/Unknown', 'Factory'].map((name) => [
      name,
      'is not known.',
    ]),
    ['europe/berlin', 'is written Europe/Berlin.'],
    ['EUROPE/BERLIN', 'is written Europe/Berlin.'],
    ['America/New_york', 'is written America/New_York.'],
    ['utc', 'is written UTC.'],
    // Intl's own, which mean one of several places.
    ...['IST', 'PST', 'ACT', 'SystemV/PST8', 'us/pacific', 'Asia/kolkata', 'gb'].map((name) => [
      name,
      'is not known by that name.',
    ]),
  ] as [string, string][])('%j is refused: %s', (name, words) => {
    expect(() => zoneOf(name)).toThrow(
      expect.objectContaining({
        code: 'invalid_request',
        message: `schedule.timezone "${name}" ${words} A zone is named as in the IANA database, such as Europe/Berlin or UTC.`,
      }),
    );
  });
});
