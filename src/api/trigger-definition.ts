/**
 * A trigger as it was asked for, made whole and judged: all that can be said of it without asking anybody but the clock. Each
 * refusal is a sentence, and points at its member.
 */
import { HoldfastError, isHoldfastError } from '../contracts/errors.ts';
import type { TriggerDefinitionValue, TriggerScheduleValue } from '../contracts/events.ts';
import {
  JITTER_LIMIT_MS,
  MISSED_WINDOW_LIMIT_MS,
  MISSED_WINDOW_MS,
  RUN_ALL_DEFAULT,
  RUN_ALL_LIMIT,
} from '../contracts/limits.ts';
import type {
  ChangeTriggerSignalValue,
  CreateTriggerBodyValue,
  PatchTriggerBodyValue,
} from '../contracts/triggers.ts';
import { atMoment, checkSchedule, nextDue } from '../domain/due-times.ts';
import { shortestDistance } from '../domain/trigger-policy.ts';
import { mustBePrompt } from './conversations.ts';
import { invalidRequest } from './problem.ts';

export type TriggerChange = ChangeTriggerSignalValue['change'];

const EARLIEST_MS = 0;
const LATEST_MS = Date.UTC(9999, 11, 31, 23, 59, 59, 999);

/** Throws: `invalid_request`, `payload_too_large`. */
export function newDefinition(
  body: Omit<CreateTriggerBodyValue, 'triggerId'>,
  nowMs: number,
): TriggerDefinitionValue {
  const { tableId = null, conversationId = null, content, schedule, ...rest } = body;
  if ((tableId === null) === (conversationId === null))
    throw wrong(
      tableId === null ? '/tableId' : '/conversationId',
      `A trigger sends to a table or to a conversation: name one of tableId and conversationId, not ${tableId === null ? 'none' : 'both'}.`,
    );
  const definition: TriggerDefinitionValue = {
    title: '',
    tableId,
    conversationId,
    content: contentOf(content),
    schedule: scheduleOf(schedule),
    jitterMs: 0,
    startAt: null,
    endAt: null,
    missed: { policy: 'run-once' },
    whenBusy: 'queue',
    newConversation: false,
    paused: false,
    ...changeOf(rest),
  };
  mustMakeSense({ definition, before: null, nowMs });
  return definition;
}

/**
 * The members that change, to be taken into what is stored then. It is judged with the others as they are stored now; a time
 * that has passed since it was asked for is no fault of a change of something else.
 *
 * Throws: `invalid_request`, `payload_too_large`.
 */
export function changedDefinition(
  body: PatchTriggerBodyValue,
  before: TriggerDefinitionValue,
  nowMs: number,
): TriggerChange {
  const change = changeOf(body);
  mustMakeSense({ definition: { ...before, ...change }, before, nowMs });
  return change;
}

/**
 * A time of a request, in UTC.
 *
 * Throws: `invalid_request` for a day that is none, and for one that no due time lies near.
 */
export function momentOf(path: string, text: string): number {
  const ms = Date.parse(text);
  if (Number.isNaN(ms)) throw wrong(path, `${nameOf(path)} is no time: there is no ${text}.`);
  if (ms < EARLIEST_MS || ms > LATEST_MS)
    throw wrong(path, `${nameOf(path)} must lie in the years 1970 to 9999; it is ${text}.`);
  return ms;
}

/** A refusal with its sentence, which points at a member. */
export function wrong(
  path: string,
  sentence: string,
  detail: Readonly<Record<string, unknown>> = {},
): HoldfastError {
  const { code, message, detail: fault } = invalidRequest([{ path, message: sentence }], sentence);
  return new HoldfastError(code, message, { ...fault, ...detail });
}

function changeOf({
  title,
  content,
  schedule,
  startAt,
  endAt,
  missed,
  ...plain
}: PatchTriggerBodyValue): TriggerChange {
  return {
    ...plain,
    ...(title === undefined ? {} : { title: title.toWellFormed() }),
    ...(content === undefined ? {} : { content: contentOf(content) }),
    ...(schedule === undefined ? {} : { schedule: scheduleOf(schedule) }),
    ...(startAt === undefined ? {} : { startAt: stampOf('/startAt', startAt) }),
    ...(endAt === undefined ? {} : { endAt: stampOf('/endAt', endAt) }),
    ...(missed === undefined ? {} : { missed: missedOf(missed) }),
  };
}

/** Throws: `invalid_request`, `payload_too_large`, as a send does. */
function contentOf(asked: string): string {
  const content = asked.toWellFormed();
  mustBePrompt(content);
  return content;
}

function stampOf(path: string, asked: string | null): string | null {
  return asked === null ? null : new Date(momentOf(path, asked)).toISOString();
}

function scheduleOf({
  cron,
  everyMs,
  at,
  timezone = 'UTC',
}: CreateTriggerBodyValue['schedule']): TriggerScheduleValue {
  const given = [
    ...(cron === undefined ? [] : [{ cron, timezone }]),
    ...(everyMs === undefined ? [] : [{ everyMs, timezone }]),
    ...(at === undefined ? [] : [{ at, timezone }]),
  ];
  const [schedule] = given;
  if (schedule === undefined || given.length > 1)
    throw wrong(
      '/schedule',
      `A schedule has exactly one of cron, everyMs and at; this one has ${given.length}.`,
    );
  try {
    checkSchedule(schedule);
  } catch (error) {
    if (!isHoldfastError(error) || error.code !== 'invalid_request') throw error;
    throw wrong('/schedule', error.message);
  }
  return schedule;
}

function missedOf({
  policy,
  limit,
  windowMs,
}: TriggerDefinitionValue['missed']): TriggerDefinitionValue['missed'] {
  if (limit !== undefined && policy !== 'run-all')
    throw wrong(
      '/missed/limit',
      `missed.limit belongs to the policy run-all; this one is ${policy}.`,
    );
  if (windowMs !== undefined && policy !== 'window')
    throw wrong(
      '/missed/windowMs',
      `missed.windowMs belongs to the policy window; this one is ${policy}.`,
    );
  if (limit !== undefined && limit > RUN_ALL_LIMIT)
    throw wrong('/missed/limit', `missed.limit must be at most ${RUN_ALL_LIMIT}; it is ${limit}.`);
  if (windowMs !== undefined && windowMs > MISSED_WINDOW_LIMIT_MS)
    throw wrong(
      '/missed/windowMs',
      `missed.windowMs must be at most ${MISSED_WINDOW_LIMIT_MS} (366 days); it is ${windowMs}.`,
    );
  switch (policy) {
    case 'run-all':
      return { policy, limit: limit ?? RUN_ALL_DEFAULT };
    case 'window':
      return { policy, windowMs: windowMs ?? MISSED_WINDOW_MS };
    default:
      return { policy };
  }
}

/** What its members say of each other, and of now. `before`: as it is stored; null: it is new. */
function mustMakeSense({
  definition,
  before,
  nowMs,
}: {
  definition: TriggerDefinitionValue;
  before: TriggerDefinitionValue | null;
  nowMs: number;
}): void {
  const { schedule, jitterMs, startAt, endAt, tableId, newConversation } = definition;
  if (newConversation && tableId === null)
    throw wrong(
      '/newConversation',
      'newConversation makes conversations in a table, and this trigger has none: it sends to one conversation.',
    );
  if (jitterMs > JITTER_LIMIT_MS)
    throw wrong('/jitterMs', `jitterMs must be at most ${JITTER_LIMIT_MS}; it is ${jitterMs}.`);
  const shortestMs = jitterMs === 0 ? Infinity : shortestDistance(schedule);
  if (jitterMs >= shortestMs)
    throw wrong(
      '/jitterMs',
      `jitterMs must be less than the shortest time between two due times, ${shortestMs} ms; it is ${jitterMs}.`,
    );
  if (startAt !== null && endAt !== null && endAt <= startAt)
    throw wrong('/endAt', `endAt must come after startAt; ${endAt} is not after ${startAt}.`);
  const isNewEnd = before === null || before.endAt !== endAt;
  if (isNewEnd && endAt !== null && Date.parse(endAt) <= nowMs)
    throw wrong('/endAt', `endAt must lie in the future; ${endAt} is past.`);
  const isNewSchedule = before === null || !isSameSchedule(before.schedule, schedule);
  if (isNewSchedule && 'at' in schedule) {
    const atMs = atMoment(schedule.at, schedule.timezone);
    if (atMs <= nowMs)
      throw wrong(
        '/schedule/at',
        `schedule.at must lie in the future; ${schedule.at} in ${schedule.timezone} is ${new Date(atMs).toISOString()}, which is past.`,
      );
  }
  // Of an old schedule it is an end like any other.
  if (isNewSchedule && nextDue(definition, nowMs) === null)
    throw wrong(
      '/schedule',
      startAt === null && endAt === null
        ? 'This schedule is never due.'
        : `This schedule is never due between ${startAt ?? 'now'} and ${endAt ?? 'the end of time'}.`,
    );
}

function isSameSchedule(one: TriggerScheduleValue, other: TriggerScheduleValue): boolean {
  const asked = (schedule: TriggerScheduleValue): string =>
    JSON.stringify(Object.entries(schedule).toSorted(([a], [b]) => (a < b ? -1 : 1)));
  return asked(one) === asked(other);
}

function nameOf(path: string): string {
  return path.replace(/^\/(querystring\/)?/, '').replaceAll('/', '.');
}
