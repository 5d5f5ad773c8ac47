/** Temporal's Schedules: the clock of triggers. One for each that may still be due; its fires say "look". */
import {
  type ScheduleClient,
  ScheduleAlreadyRunning,
  ScheduleNotFoundError,
  ScheduleOverlapPolicy,
  type ScheduleSpec,
} from '@temporalio/client';

import type { TriggerSchedules } from './activities/triggers.ts';
import type { TriggerDefinitionValue } from './contracts/events.ts';
import { triggerWorkflowId } from './contracts/ids.ts';
import { CATCHUP_WINDOW_MS } from './contracts/limits.ts';
import { WORKFLOW_TYPE } from './contracts/names.ts';
import { atMoment } from './domain/due-times.ts';

export function triggerSchedules(parts: {
  client: ScheduleClient;
  taskQueue: string;
  log: (text: string) => void;
}): TriggerSchedules {
  const { client, taskQueue, log } = parts;

  async function remove(triggerId: string): Promise<void> {
    try {
      await client.getHandle(triggerWorkflowId(triggerId)).delete();
    } catch (error) {
      if (!(error instanceof ScheduleNotFoundError)) throw error;
    }
  }

  return {
    remove,

    async sync({ triggerId, definition, rule, nextDueAt, removedAt }) {
      if (removedAt !== null || nextDueAt === null) return remove(triggerId);
      const scheduleId = triggerWorkflowId(triggerId);
      const schedule = {
        spec: specOf(definition),
        action: {
          type: 'startWorkflow',
          workflowType: WORKFLOW_TYPE.trigger,
          // Temporal appends the time.
          workflowId: scheduleId,
          taskQueue,
          args: [{ triggerId }],
        },
        policies: {
          overlap: ScheduleOverlapPolicy.ALLOW_ALL,
          catchupWindow: CATCHUP_WINDOW_MS,
        },
        // What is due in a pause has its row too, so it goes on.
        state: { paused: false, note: rule },
      } as const;
      try {
        try {
          await client.create({ ...schedule, scheduleId });
        } catch (error) {
          if (!(error instanceof ScheduleAlreadyRunning)) throw error;
          await client.getHandle(scheduleId).update(() => schedule);
        }
      } catch (error) {
        if (!isRefused(error)) throw error;
        // Tried again it would be refused again, and hold up every command. The watch sees to what is due.
        log(`Temporal takes no Schedule for trigger ${triggerId}: ${String(error)}`);
      }
    },

    async rules() {
      const found = new Map<string, string>();
      const prefix = triggerWorkflowId('');
      for await (const { scheduleId, state } of client.list())
        if (scheduleId.startsWith(prefix))
          found.set(scheduleId.slice(prefix.length), state.note ?? '');
      return found;
    },
  };
}

/** Whether Temporal finds fault with the Schedule itself. */
function isRefused(error: unknown): boolean {
  const code = error instanceof Error && 'code' in error ? error.code : undefined;
  const cause = error instanceof Error ? error.cause : undefined;
  return code === INVALID_ARGUMENT || (cause !== undefined && isRefused(cause));
}

/** gRPC's. */
const INVALID_ARGUMENT = 3;
/** No Schedule of Temporal's has a later year. */
const LAST_YEAR = 2100;

/** When Temporal is to look. At every due time; on other days too, which finds nothing. */
export function specOf(definition: TriggerDefinitionValue): ScheduleSpec {
  const { schedule, startAt, endAt } = definition;
  const bounds = {
    ...(startAt === null ? {} : { startAt: new Date(startAt) }),
    // Whole seconds, of which the last must be in.
    ...(endAt === null ? {} : { endAt: new Date(Date.parse(endAt) + 1_000) }),
  };
  if ('everyMs' in schedule) return { ...bounds, intervals: intervalsOf(schedule.everyMs) };
  if ('at' in schedule) {
    const at = new Date(Math.ceil(atMoment(schedule.at, schedule.timezone) / 1_000) * 1_000);
    return {
      calendars: [
        {
          // Without, it looks every year.
          ...(at.getUTCFullYear() > LAST_YEAR ? {} : { year: at.getUTCFullYear() }),
          month: MONTHS[at.getUTCMonth()] ?? 'JANUARY',
          dayOfMonth: at.getUTCDate(),
          hour: at.getUTCHours(),
          minute: at.getUTCMinutes(),
          second: at.getUTCSeconds(),
        },
      ],
    };
  }
  return {
    ...bounds,
    timezone: schedule.timezone,
    // Temporal reads days otherwise (both must fit), and six fields too (the sixth is the year).
    cronExpressions: [`${clockFields(schedule.cron)} * * * *`],
  };
}

const MONTHS = [
  'JANUARY',
  'FEBRUARY',
  'MARCH',
  'APRIL',
  'MAY',
  'JUNE',
  'JULY',
  'AUGUST',
  'SEPTEMBER',
  'OCTOBER',
  'NOVEMBER',
  'DECEMBER',
] as const;

/** Seconds, minutes and hours of a cron. */
function clockFields(cron: string): string {
  const fields = cron.trim().split(/\s+/);
  if (fields[0]?.toLowerCase() === '@hourly') return '0 0 *';
  // The other nicknames are of midnight.
  if (fields.length === 1) return '0 0 0';
  const [first = '0', second = '0', third = '0'] = fields.map((field) =>
    field.replaceAll('?', '*'),
  );
  return fields.length === 6 ? `${first} ${second} ${third}` : `0 ${first} ${second}`;
}

/** Temporal's intervals are of whole seconds: one that is not, is several of them. */
function intervalsOf(everyMs: number): { every: number; offset: number }[] {
  let periodMs = everyMs;
  while (periodMs % 1_000 !== 0) periodMs += everyMs;
  return Array.from({ length: periodMs / everyMs }, (_, index) => ({
    every: periodMs,
    offset: (Math.ceil((index * everyMs) / 1_000) * 1_000) % periodMs,
  }));
}
