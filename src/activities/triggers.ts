/**
 * Local activities of a trigger's Workflow: decisions are recorded and sent through these, and only through these.
 *
 * Each may run twice, and several at once. What was due is recorded only while nobody has decided it (`fenced` otherwise, and
 * then it is looked at again); a command's append carries its key; what is sent is a request, and a request is one message
 * however often it is sent (A2).
 */
import { randomUUID } from 'node:crypto';

import { ApplicationFailure } from '@temporalio/common';

import { HoldfastError, isHoldfastError } from '../contracts/errors.ts';
import type { TriggerDefinitionValue } from '../contracts/events.ts';
import { appendKey, conversationStream, triggerStream } from '../contracts/ids.ts';
import { DECISIONS_AT_ONCE, JITTER_LIMIT_MS, RUN_ALL_LIMIT } from '../contracts/limits.ts';
import { SIGNAL } from '../contracts/names.ts';
import { isTriggerCommand, type TriggerCommand } from '../contracts/trigger-check.ts';
import type {
  BackfillSignalValue,
  ChangeTriggerSignalValue,
  CreateTriggerSignalValue,
  FireTriggerSignalValue,
  RemoveTriggerSignalValue,
} from '../contracts/triggers.ts';
import { checkSchedule, countDue, nextDue } from '../domain/due-times.ts';
import {
  decideBackfill,
  decideDue,
  decideManual,
  type Gap,
  ruleAfter,
  shortestDistance,
  type TriggerTarget,
} from '../domain/trigger-policy.ts';
import type { AppendRequest, Store, TriggerRow, Undelivered } from '../store/port.ts';
import type { Presence } from './presence.ts';
import type { WorkflowSignals } from './tables.ts';

/** Temporal's Schedules of triggers. */
export interface TriggerSchedules {
  /** Makes the Schedule what the trigger says: there, of its present rule; or, when nothing is due any more, not there. */
  sync(trigger: TriggerRow): Promise<void>;
  /** Removes one of which the store knows no trigger. */
  remove(triggerId: string): Promise<void>;
  /** Of every trigger's Schedule that Temporal has: of which rule it is. */
  rules(): Promise<Map<string, string>>;
}

export type TriggerActivities = ReturnType<typeof createTriggerActivities>;

/** Sent at once, before they are marked as sent. */
const DELIVERED_AT_ONCE = 50;
/** A look that has more to do than this answers, and is asked again: a local activity has its limit. */
const LOOK_LIMIT_MS = 15_000;

export function createTriggerActivities(parts: {
  store: Store;
  signals: Pick<WorkflowSignals, 'signalConversation'>;
  schedules: TriggerSchedules;
  presence: Presence;
  graceMs: number;
  /** Milliseconds since 1970. */
  clock?: () => number;
}) {
  const { store, signals, schedules, presence, graceMs, clock = Date.now } = parts;
  const ids = { requestId: () => randomUUID(), conversationId: () => randomUUID() };
  const inTurn = new Turns();

  /** Where the trigger's messages go now. */
  async function targetOf({ definition }: TriggerRow): Promise<TriggerTarget> {
    const { tableId, conversationId, newConversation } = definition;
    if (tableId === null) return conversationTarget(conversationId ?? '');
    const table = await store.tableState(tableId);
    if (table === null) return { kind: 'gone', what: `table ${tableId}` };
    const busy = table.running !== null || table.waiting.length > 0;
    if (newConversation) return { kind: 'new', each: true, busy };
    return table.activeConversationId === null
      ? { kind: 'new', each: false, busy }
      : conversationTarget(table.activeConversationId);
  }

  async function conversationTarget(conversationId: string): Promise<TriggerTarget> {
    const state = await store.workflowState(conversationId);
    if (state === null) return { kind: 'gone', what: `conversation ${conversationId}` };
    const table = state.tableId === null ? null : await store.tableState(state.tableId);
    const waits = !state.held && state.queue.some((item) => item.held !== true);
    const busy = state.turn !== null || waits || (table?.running ?? null) !== null;
    return { kind: 'conversation', conversationId, busy };
  }

  /** Records; false: somebody has decided meanwhile, and it is to be looked at again. */
  async function record(request: AppendRequest): Promise<boolean> {
    try {
      await store.append(request);
      return true;
    } catch (error) {
      if (isHoldfastError(error) && error.code === 'fenced') return false;
      throw error;
    }
  }

  /**
   * Decides all that is due by now; how long until all that was due by `dueByMs` can be. `settleMs`: all up to then, and
   * `decidedUntil` is that, or later where it was; answers the trigger as it is then.
   */
  async function decide({
    triggerId,
    settleMs,
    dueByMs,
  }: {
    triggerId: string;
    settleMs?: number;
    dueByMs?: number;
  }): Promise<{ waitMs: number | null; trigger: TriggerRow | null }> {
    // What is decided is sent before more is: this may be a repeat, which the process makes by itself while Temporal is away,
    // and what was due meanwhile would be sent all at once.
    await deliver(triggerId);
    const untilMs = clock() + LOOK_LIMIT_MS;
    const presentSinceMs = presence.seen();
    let gap: Gap | undefined;
    for (;;) {
      const trigger = await store.trigger(triggerId);
      if (trigger === null || trigger.removedAt !== null) return { waitMs: null, trigger };
      const nowMs = clock();
      const target = await targetOf(trigger);
      const look = decideDue({
        trigger,
        nowMs,
        presentSinceMs,
        graceMs,
        target,
        ids,
        limit: DECISIONS_AT_ONCE,
        gap,
        settleMs,
        dueByMs,
      });
      ({ gap } = look);
      const { decision, waitMs } = look;
      if (decision === null) return { waitMs, trigger };
      const { more, ...decided } = decision;
      const recorded = await record({
        stream: triggerStream(triggerId),
        events: [{ type: 'trigger.decided', payload: { triggerId, cause: 'due', ...decided } }],
      });
      if (recorded && !more) return { waitMs, trigger: await store.trigger(triggerId) };
      // A local activity has its limit; the Workflow asks again at once.
      if (recorded && settleMs === undefined && clock() > untilMs) return { waitMs: 0, trigger };
    }
  }

  /** Sends what has been decided and not sent. */
  async function deliver(triggerId: string): Promise<{ more: boolean }> {
    const untilMs = clock() + LOOK_LIMIT_MS;
    for (;;) {
      const rows = await store.undelivered(triggerId, DELIVERED_AT_ONCE);
      for (const row of rows) await send(row);
      if (rows.length > 0)
        await store.markDelivered(
          triggerId,
          rows.map(({ requestId }) => requestId),
        );
      if (rows.length < DELIVERED_AT_ONCE) return { more: false };
      if (clock() > untilMs) return { more: true };
    }
  }

  async function send(row: Undelivered): Promise<void> {
    const { triggerId, requestId, conversationId, dueAt, outcome, words, whenBusy } = row;
    const { title, content } = row.definition;
    if ((await store.conversation(conversationId)) === null) await makeConversation(row);
    await store.append({
      stream: conversationStream(conversationId),
      key: appendKey.triggered(requestId),
      events: [
        {
          type: 'trigger.fired',
          conversationId,
          requestId,
          payload: { triggerId, title, dueAt, outcome, words },
        },
      ],
    });
    await signals.signalConversation(conversationId, SIGNAL.send, {
      requestId,
      content,
      whenBusy,
    });
  }

  /** Not active: what waits in it gets the table's slot by the table's own rules. */
  async function makeConversation({ conversationId, definition }: Undelivered): Promise<void> {
    const { tableId, title } = definition;
    const table = tableId === null ? null : await store.table(tableId);
    if (table === null) return;
    const { provider, model, workspacePath } = table;
    await store.append({
      stream: conversationStream(conversationId),
      key: appendKey.created(),
      events: [
        {
          type: 'conversation.created',
          conversationId,
          payload: { tableId, title, provider, model, workspacePath },
        },
      ],
    });
  }

  async function create(
    triggerId: string,
    { definition, acceptedAt }: CreateTriggerSignalValue,
  ): Promise<void> {
    mustMakeSense(definition);
    // From when it was accepted: what is due before a worker takes it up is due.
    const fromMs = acceptedMs(acceptedAt);
    const next = nextDue(definition, fromMs);
    await store.append({
      stream: triggerStream(triggerId),
      key: appendKey.created(),
      events: [
        {
          type: 'trigger.created',
          payload: {
            triggerId,
            rule: 'r1',
            definition,
            decidedUntil: stamp(fromMs),
            nextDueAt: next === null ? null : stamp(next),
          },
        },
      ],
    });
    await syncSchedule(triggerId);
  }

  /** When a command was accepted; now, where nobody says. A clock that is ahead of ours counts no further. */
  function acceptedMs(acceptedAt: string | undefined): number {
    const nowMs = clock();
    return acceptedAt === undefined ? nowMs : Math.min(Date.parse(acceptedAt), nowMs);
  }

  /** Up to its acceptance by the old rule, from then on by the new one; or from where the old one has been decided to. */
  async function change(
    triggerId: string,
    { commandId, change: changed, acceptedAt }: ChangeTriggerSignalValue,
  ): Promise<void> {
    const settleMs = acceptedMs(acceptedAt);
    for (;;) {
      const { trigger } = await decide({ triggerId, settleMs });
      if (trigger === null || trigger.removedAt !== null) throw noTrigger(triggerId);
      const definition = { ...trigger.definition, ...changed };
      mustMakeSense(definition);
      const next = nextDue(definition, Date.parse(trigger.decidedUntil));
      const recorded = await record({
        stream: triggerStream(triggerId),
        key: appendKey.command(commandId),
        events: [
          {
            type: 'trigger.updated',
            payload: {
              triggerId,
              rule: isSameRule(trigger.definition, definition)
                ? trigger.rule
                : ruleAfter(trigger.rule),
              definition,
              from: trigger.decidedUntil,
              nextDueAt: next === null ? null : stamp(next),
              commandId,
            },
          },
        ],
      });
      if (recorded) break;
    }
    await syncSchedule(triggerId);
  }

  async function remove(
    triggerId: string,
    { commandId, acceptedAt }: RemoveTriggerSignalValue,
  ): Promise<void> {
    const settleMs = acceptedMs(acceptedAt);
    for (;;) {
      const { trigger } = await decide({ triggerId, settleMs });
      if (trigger === null || trigger.removedAt !== null) break;
      const recorded = await record({
        stream: triggerStream(triggerId),
        key: appendKey.command(commandId),
        events: [
          {
            type: 'trigger.removed',
            payload: { triggerId, from: trigger.decidedUntil, commandId },
          },
        ],
      });
      if (recorded) break;
    }
    await syncSchedule(triggerId);
  }

  async function fire(
    triggerId: string,
    { commandId, requestId }: FireTriggerSignalValue,
  ): Promise<void> {
    const trigger = await mustBeThere(triggerId);
    const decided = decideManual({
      trigger,
      nowMs: clock(),
      target: await targetOf(trigger),
      ids,
      requestId,
    });
    await store.append({
      stream: triggerStream(triggerId),
      key: appendKey.command(commandId),
      events: [
        {
          type: 'trigger.decided',
          payload: { triggerId, cause: 'manual', fires: [decided], commandId },
        },
      ],
    });
  }

  async function backfill(
    triggerId: string,
    { commandId, from, to }: BackfillSignalValue,
  ): Promise<void> {
    // Up to now first: a due time that nobody has decided yet is none of a backfill's.
    await decide({ triggerId });
    const trigger = await mustBeThere(triggerId);
    mustBeFew(trigger.definition, from, to);
    const fires = decideBackfill({
      trigger,
      nowMs: clock(),
      fromMs: Date.parse(from),
      toMs: Date.parse(to),
      ran: await store.ranBetween(triggerId, from, to),
      target: await targetOf(trigger),
      ids,
    });
    // In one append: carried out twice, the second time would find that the first part has run.
    const groups = Array.from(
      { length: Math.max(1, Math.ceil(fires.length / DECISIONS_AT_ONCE)) },
      (_, index) => fires.slice(index * DECISIONS_AT_ONCE, (index + 1) * DECISIONS_AT_ONCE),
    );
    await store.append({
      stream: triggerStream(triggerId),
      key: appendKey.command(commandId),
      events: groups.map((part) => ({
        type: 'trigger.decided',
        payload: { triggerId, cause: 'backfill', fires: part, commandId },
      })),
    });
  }

  async function mustBeThere(triggerId: string): Promise<TriggerRow> {
    const trigger = await store.trigger(triggerId);
    if (trigger === null || trigger.removedAt !== null) throw noTrigger(triggerId);
    return trigger;
  }

  async function syncSchedule(triggerId: string): Promise<void> {
    const trigger = await store.trigger(triggerId);
    if (trigger !== null) await schedules.sync(trigger);
  }

  return {
    /**
     * Carries out a command, once.
     *
     * Throws, non-retryable: `invalid_request` for one without the documented shape or that makes no sense, `not_found` for a
     * trigger that is gone.
     */
    async carryOutCommand(request: { triggerId: string; command: TriggerCommand }): Promise<void> {
      const { triggerId, command } = request;
      if (!isTriggerCommand(command))
        throw refusal('invalid_request', 'The signal does not have the documented shape.');
      await inTurn.run(triggerId, async () => {
        try {
          await (() => {
            switch (command.name) {
              case 'create':
                return create(triggerId, command.value);
              case 'change':
                return change(triggerId, command.value);
              case 'remove':
                return remove(triggerId, command.value);
              case 'fire':
                return fire(triggerId, command.value);
              case 'backfill':
                return backfill(triggerId, command.value);
            }
          })();
        } catch (error) {
          if (isHoldfastError(error) && isFinal(error)) throw refusal(error.code, error.message);
          throw error;
        }
      });
    },

    /**
     * Decides what is due and sends what is decided. `waitMs`: then there is more to do of what was due by `dueByMs`, though
     * nobody asks; null: there is not. What is due later has fires of its own.
     */
    async lookAtTrigger({
      triggerId,
      dueByMs,
    }: {
      triggerId: string;
      /** Now, when it is left out. */
      dueByMs?: number;
    }): Promise<{ waitMs: number | null }> {
      return inTurn.run(triggerId, async () => {
        const { waitMs, trigger } = await decide({
          triggerId,
          ...(dueByMs === undefined ? {} : { dueByMs }),
        });
        const { more } = await deliver(triggerId);
        // Its last due time is behind it: a Schedule that nobody needs any more would stay for ever.
        if (trigger?.nextDueAt === null && trigger.removedAt === null)
          await schedules.sync(trigger);
        return { waitMs: more ? 0 : waitMs };
      });
    },
  };
}

/** What would fail for ever. Everything else is tried again. */
function isFinal({ code }: HoldfastError): boolean {
  return code === 'invalid_request' || code === 'not_found';
}

function refusal(code: string, message: string): ApplicationFailure {
  return ApplicationFailure.nonRetryable(message, code);
}

function noTrigger(triggerId: string): HoldfastError {
  return new HoldfastError('not_found', `There is no trigger ${triggerId}.`);
}

/** The gateway has looked at it; an operator's own signal comes by here alone. */
function mustMakeSense({
  schedule,
  tableId,
  conversationId,
  newConversation,
  jitterMs,
  missed,
  startAt,
  endAt,
}: TriggerDefinitionValue): void {
  checkSchedule(schedule);
  if (startAt !== null && endAt !== null && startAt >= endAt)
    throw new HoldfastError('invalid_request', 'endAt lies after startAt.');
  if (jitterMs > JITTER_LIMIT_MS || (missed.limit ?? 0) > RUN_ALL_LIMIT)
    throw new HoldfastError(
      'invalid_request',
      `jitterMs is at most ${JITTER_LIMIT_MS}, and missed.limit ${RUN_ALL_LIMIT}.`,
    );
  if (jitterMs > 0 && jitterMs >= shortestDistance(schedule))
    throw new HoldfastError(
      'invalid_request',
      'jitterMs is shorter than the time between two due times.',
    );
  if ((tableId === null) === (conversationId === null) || (newConversation && tableId === null))
    throw new HoldfastError(
      'invalid_request',
      'A trigger has one of tableId and conversationId, and newConversation only with a table.',
    );
}

/** As {@link mustMakeSense}: a list of all seconds since 1970 would end the worker, and every one after it. */
function mustBeFew(definition: TriggerDefinitionValue, from: string, to: string): void {
  const count = countDue(definition, Date.parse(from) - 1, Date.parse(to), RUN_ALL_LIMIT);
  if (count > RUN_ALL_LIMIT)
    throw new HoldfastError(
      'invalid_request',
      `From ${from} to ${to} it is due more than ${RUN_ALL_LIMIT} times.`,
    );
}

/** A rule gets a new name when what it does changes; its title and a pause are none of that. */
function isSameRule(before: TriggerDefinitionValue, after: TriggerDefinitionValue): boolean {
  const rule = (definition: TriggerDefinitionValue): string =>
    JSON.stringify(
      Object.entries({ ...definition, title: '', paused: false }).toSorted(([a], [b]) =>
        a < b ? -1 : 1,
      ),
    );
  return rule(before) === rule(after);
}

function stamp(ms: number): string {
  return new Date(ms).toISOString();
}

/** One after the other for each trigger in this process: two at once would only refuse each other. */
class Turns {
  readonly #last = new Map<string, Promise<unknown>>();

  run<T>(key: string, work: () => Promise<T>): Promise<T> {
    const before = this.#last.get(key) ?? Promise.resolve();
    const now = before.then(work, work);
    this.#last.set(key, now);
    const forget = (): void => {
      if (this.#last.get(key) === now) this.#last.delete(key);
    };
    now.then(forget, forget);
    return now;
  }
}
