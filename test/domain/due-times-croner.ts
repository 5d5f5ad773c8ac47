/**
 * Croner as the independent judge of crons. Where it differs on purpose (docs/triggers.md), it is not asked:
 * - One time of day written with a star or a step (a step of 60 in the minute field): "once a day" to us by what it means,
 *   to croner one of many by how it is written.
 * - One time of day in a gap that ends the day (Scoresbysund, 23:00 → 00:00): due in the first moment of the next day; croner leaves it out.
 */
import { Cron } from 'croner';

/** Due times after `afterMs`, up to `untilMs` and at most `limit`. */
export function cronerTimes(asked: {
  cron: string;
  timezone: string;
  afterMs: number;
  untilMs: number;
  limit?: number;
}): number[] {
  const { cron, timezone, afterMs, untilMs, limit = Infinity } = asked;
  // Sloppy: `5/15` is allowed.
  const job = new Cron(cron, { timezone, paused: true, sloppyRanges: true });
  const found: number[] = [];
  let last = new Date(afterMs);
  while (found.length < limit) {
    const next = job.nextRun(last);
    if (next === null || next.getTime() > untilMs) break;
    found.push(next.getTime());
    last = next;
  }
  return found;
}
