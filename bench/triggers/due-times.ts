/** The computation of due times alone, beside an independent cron library that does the same. */
import { Cron } from 'croner';

import { countDue, type DueRule, dueTimes } from '../../src/domain/due-times.ts';
import type { Figure } from '../figures.ts';

const FROM_MS = Date.UTC(2026, 0, 1);
const DAY_MS = 86_400_000;
/** Over a change to daylight saving time. */
const SPAN_DAYS = 150;
/** The library is slower: so many of its due times are enough to see how fast it is. */
const LIBRARY_COUNT = 5_000;
const YEARS = 30;
const ROUNDS = 5;
const ZONES = ['UTC', 'America/New_York', 'Australia/Lord_Howe'] as const;

export function measureDueTimes(): Figure[] {
  return [
    ...ZONES.map((timezone): Figure => {
      const rule = every('* * * * * *', timezone);
      const product = best(() => {
        let count = 0;
        for (const _ of dueTimes(rule, FROM_MS - 1, FROM_MS + SPAN_DAYS * DAY_MS)) count += 1;
        return count;
      });
      const floor = best(() => libraryCount('* * * * * *', timezone, LIBRARY_COUNT));
      return {
        name: `due times a second, a cron of every second in ${timezone} (beside it: croner)`,
        unit: '/s',
        product,
        floor,
        goal: '≥ 500,000/s',
        met: product >= 500_000,
      };
    }),
    ...ZONES.map((timezone): Figure => {
      const rule = every('30 2 * * *', timezone);
      const product = shortest(() => {
        let count = 0;
        for (const _ of dueTimes(rule, FROM_MS - 1, FROM_MS + 365 * DAY_MS)) count += 1;
        return count;
      });
      const floor = shortest(() => libraryCount('30 2 * * *', timezone, 365));
      return {
        name: `a year of a daily cron in ${timezone} (beside it: croner)`,
        unit: 'ms',
        product,
        floor,
        goal: '≤ 5 ms',
        met: product <= 5,
      };
    }),
    countFigure(),
  ];
}

function countFigure(): Figure {
  const rule = every('* * * * * *', 'America/New_York');
  const untilMs = FROM_MS + YEARS * 365 * DAY_MS;
  const product = shortest(() => countDue(rule, FROM_MS, untilMs, 1e10));
  return {
    name: `counting ${YEARS} years of every second in America/New_York`,
    unit: 'ms',
    product,
    floor: null,
    goal: '≤ 100 ms',
    met: product <= 100,
  };
}

function every(cron: string, timezone: string): DueRule {
  return { schedule: { cron, timezone }, startAt: null, endAt: null };
}

function libraryCount(pattern: string, timezone: string, count: number): number {
  const cron = new Cron(pattern, { timezone, paused: true });
  let at: Date | null = new Date(FROM_MS - 1);
  let found = 0;
  while (at !== null && found < count) {
    at = cron.nextRun(at);
    found += 1;
  }
  return found;
}

/** Counted a second, in the best of several rounds. */
function best(count: () => number): number {
  return Math.max(
    ...Array.from({ length: ROUNDS }, () => {
      const from = performance.now();
      const counted = count();
      return (counted / (performance.now() - from)) * 1_000;
    }),
  );
}

/** Milliseconds of the best of several rounds. */
function shortest(count: () => number): number {
  return Math.min(
    ...Array.from({ length: ROUNDS }, () => {
      const from = performance.now();
      count();
      return performance.now() - from;
    }),
  );
}
