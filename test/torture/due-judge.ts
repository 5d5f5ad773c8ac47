/**
 * When something is due, by other means than the engine's: crons by an independent library, intervals and single moments by
 * plain arithmetic. Shares no code with `src/domain/due-times.ts`.
 */
import { Cron } from 'croner';

import type { TriggerDefinitionValue } from '../../src/contracts/events.ts';

export type Due = Pick<TriggerDefinitionValue, 'schedule' | 'startAt' | 'endAt'>;

/** Due times after `afterMs`, up to and with `untilMs`, upwards, in milliseconds since 1970. */
export function judgedDueTimes(due: Due, afterMs: number, untilMs: number): number[] {
  const found: number[] = [];
  for (
    let dueMs = judgedNextDue(due, afterMs);
    dueMs !== null && dueMs <= untilMs;
    dueMs = judgedNextDue(due, dueMs)
  )
    found.push(dueMs);
  return found;
}

/** The first one after `afterMs`; null: never again. */
export function judgedNextDue({ schedule, startAt, endAt }: Due, afterMs: number): number | null {
  // Both ends are included.
  const after = startAt === null ? afterMs : Math.max(afterMs, Date.parse(startAt) - 1);
  const next = nextOf(schedule, after);
  return next === null || (endAt !== null && next > Date.parse(endAt)) ? null : next;
}

function nextOf(schedule: Due['schedule'], afterMs: number): number | null {
  if ('cron' in schedule)
    return cronOf(schedule.cron, schedule.timezone).nextRun(new Date(afterMs))?.getTime() ?? null;
  if ('everyMs' in schedule) return (Math.floor(afterMs / schedule.everyMs) + 1) * schedule.everyMs;
  // Torture's own have an offset.
  const atMs = Date.parse(schedule.at);
  return atMs > afterMs ? atMs : null;
}

const crons = new Map<string, Cron>();

function cronOf(pattern: string, timezone: string): Cron {
  const key = `${timezone} ${pattern}`;
  const cron = crons.get(key) ?? new Cron(pattern, { timezone, paused: true });
  crons.set(key, cron);
  return cron;
}
