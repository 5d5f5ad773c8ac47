/**
 * What the gateway does for a trigger: it judges what is asked, signals the trigger's Workflow, and answers from the trigger's
 * stream. It decides nothing that is due.
 *
 * Invariants (numbers of design.md):
 *  A2 a fire or a backfill that is repeated under its requestId is done once, and answered as the first time.
 *  A3 nothing is signalled before everything that can be said against it has been looked at, so nothing is half-made.
 */
import { randomUUID } from 'node:crypto';
import { setImmediate as nextTurn } from 'node:timers/promises';

import type { Static } from 'typebox';

import { HoldfastError } from '../contracts/errors.ts';
import type { Event } from '../contracts/events.ts';
import { triggerStream } from '../contracts/ids.ts';
import {
  BACKFILL_DEFAULT,
  COUNT_LIMIT,
  LIST_LIMIT,
  RUN_ALL_LIMIT,
  TRIGGER_LIMIT,
} from '../contracts/limits.ts';
import type {
  BackfillAnswer,
  BackfillBody,
  CreateTriggerBodyValue,
  LedgerAnswer,
  LedgerQuery,
  LedgerRowValue,
  PatchTriggerBodyValue,
  RemovedTriggerAnswer,
  TriggersAnswer,
  TriggersQuery,
  TriggerViewValue,
} from '../contracts/triggers.ts';
import { countDue, type DueRule } from '../domain/due-times.ts';
import type { Store, StoredEvent, TriggerRow } from '../store/port.ts';
import { decodeEvent } from '../store/stored-event.ts';
import type { ServiceParts } from './conversations.ts';
import { noConversation, notTakenUp } from './receipts.ts';
import { beginCommand, isRecordOf, isUnknownFate } from './recorded-command.ts';
import { changedDefinition, momentOf, newDefinition, wrong } from './trigger-definition.ts';
import { waitUntil, type Wait } from './wait-until.ts';

const REMOVED = new Set(['trigger.removed']);
/** Due times are counted for so long a span at a time, so that other requests get their turn: a year of every second takes some 3 ms. */
const COUNT_SPAN_MS = 366 * 86_400_000;
/** Triggers that are read before others get their turn; a prompt may have half a megabyte. */
const READ_AT_ONCE = 10;
/** A page of triggers ends when their prompts have so many characters together. */
/** A change with a longer prompt goes alone. */
const LARGE_CHARACTERS = 32 * 1024;
const PAGE_CHARACTERS = 4 * 1024 * 1024;
/** How far back a repeated command is looked for, in events and at a time. */
const REPEAT_EVENTS = 2_000;
const REPEAT_PAGE = 25;

export class Triggers {
  readonly #parts: ServiceParts;
  readonly #store: Store;
  /** Triggers of which a large change is on its way. */
  readonly #large = new Set<string>();

  constructor(parts: ServiceParts) {
    this.#parts = parts;
    this.#store = parts.store;
  }

  /** Throws: `not_found`, also for one that is removed. */
  async view(triggerId: string): Promise<TriggerViewValue> {
    return this.#viewOf(await this.#present(triggerId));
  }

  /**
   * A page; one whose prompts are long ends sooner than its limit.
   *
   * Throws: `invalid_request` for a cursor that no list gave.
   */
  async list(query: Static<typeof TriggersQuery>): Promise<Static<typeof TriggersAnswer>> {
    const limit = query.limit ?? LIST_LIMIT;
    const items: TriggerViewValue[] = [];
    let cursor = query.cursor ?? null;
    let characters = 0;
    do {
      const page = await this.#store.triggers({
        tableId: query.tableId ?? null,
        conversationId: query.conversationId ?? null,
        cursor,
        limit: Math.min(READ_AT_ONCE, limit - items.length),
      });
      for (const row of page.items) {
        items.push(await this.#viewOf(row));
        characters += row.definition.content.length;
      }
      cursor = page.nextCursor;
      // Reading is synchronous underneath: others get their turn.
      await nextTurn();
    } while (cursor !== null && items.length < limit && characters < PAGE_CHARACTERS);
    return { items, nextCursor: cursor };
  }

  /**
   * Creates a trigger; one that exists is answered as it is, whatever else was asked for.
   *
   * Throws: `request_id_reused` for the id of one that was removed; `invalid_request`, `payload_too_large`, `not_found` for its
   * table or conversation, `storage_full`, `rate_limited` (also for too many triggers), `temporal_unavailable` (also, with
   * `accepted: true` in its detail, when it is durable and no worker has recorded it in time).
   */
  async create(
    { triggerId = randomUUID(), ...body }: CreateTriggerBodyValue,
    wait: Wait,
  ): Promise<TriggerViewValue> {
    const { feed, commands, gate } = this.#parts;
    const existing = await this.#store.trigger(triggerId);
    if (existing !== null) return this.#viewOf(notRemoved(existing));
    const acceptedAt = new Date().toISOString();
    const definition = newDefinition(body, Date.now());
    await this.#mustBeThere(definition);
    gate.mustHaveRoom();
    if ((await this.#store.triggerCount()) >= TRIGGER_LIMIT)
      throw new HoldfastError(
        'rate_limited',
        `There are ${TRIGGER_LIMIT} triggers already, which is the limit; remove one first.`,
        { accepted: false, limit: TRIGGER_LIMIT },
      );
    const created = await waitUntil({
      feed,
      stream: triggerStream(triggerId),
      before: () =>
        gate.carry(() =>
          commands.signalTrigger({
            triggerId,
            signal: { name: 'create', argument: { definition, acceptedAt } },
          }),
        ),
      wakes: () => true,
      check: () => this.#store.trigger(triggerId),
      ...wait,
    });
    if (created === null)
      throw notTakenUp('The trigger is accepted and will be created', { triggerId }, 'id');
    return this.#viewOf(notRemoved(created));
  }

  /**
   * One large prompt at a time for each trigger: a history bears some fifty of them between two looks of its Workflow. Answers
   * what is to be called when it is done.
   */
  #enterIfLarge(triggerId: string, content: string | undefined): () => void {
    if (content === undefined || content.length < LARGE_CHARACTERS) return () => undefined;
    if (this.#large.has(triggerId))
      throw new HoldfastError(
        'rate_limited',
        'Another large change of this trigger is on its way; try again when it is done.',
        { accepted: false },
      );
    this.#large.add(triggerId);
    return () => void this.#large.delete(triggerId);
  }

  /**
   * Changes a trigger. Null: durable, and not recorded in time.
   *
   * Throws: `not_found`, `invalid_request`, `payload_too_large`, `storage_full`, `rate_limited`, `temporal_unavailable`.
   */
  async change(
    { triggerId, body }: { triggerId: string; body: PatchTriggerBodyValue },
    wait: Wait,
  ): Promise<TriggerViewValue | null> {
    const { commands, gate } = this.#parts;
    const acceptedAt = new Date().toISOString();
    const { definition } = await this.#present(triggerId);
    const change = changedDefinition(body, definition, Date.now());
    const leave = this.#enterIfLarge(triggerId, change.content);
    return beginCommand({
      ...this.#parts,
      stream: triggerStream(triggerId),
      recordedAs: 'trigger.updated',
      allow: async () => gate.mustHaveRoom(),
      guard: async () => void (await this.#present(triggerId)),
      wakes: REMOVED,
      signal: (commandId) =>
        commands.signalTrigger({
          triggerId,
          signal: { name: 'change', argument: { commandId, change, acceptedAt } },
        }),
      answer: () => this.view(triggerId),
      wait,
    }).answer.finally(leave);
  }

  /**
   * Removes a trigger; one that is removed already is answered the same. Null: durable, and not recorded in time.
   *
   * Throws: `not_found` for one that never was, `rate_limited`, `temporal_unavailable`.
   */
  async remove(triggerId: string, wait: Wait): Promise<Static<typeof RemovedTriggerAnswer> | null> {
    const { feed, commands, gate } = this.#parts;
    const look = async (): Promise<Static<typeof RemovedTriggerAnswer> | null> =>
      (await this.#known(triggerId)).removedAt === null ? null : { triggerId, removed: true };
    const removed = await look();
    if (removed !== null) return removed;
    const argument = { commandId: randomUUID(), acceptedAt: new Date().toISOString() };
    return waitUntil({
      feed,
      stream: triggerStream(triggerId),
      before: () =>
        gate
          .carry(() => commands.signalTrigger({ triggerId, signal: { name: 'remove', argument } }))
          .catch(async (error: unknown) => {
            // The answer was lost: when it is gone, the signal was not.
            if (!isUnknownFate(error) || (await look()) === null) throw error;
          }),
      wakes: (event) => REMOVED.has(event.type),
      check: look,
      ...wait,
    });
  }

  /** Throws: `not_found` for a trigger that never was; `invalid_request` for a range or a cursor that is none. */
  async ledger({
    triggerId,
    query,
  }: {
    triggerId: string;
    query: Static<typeof LedgerQuery>;
  }): Promise<Static<typeof LedgerAnswer>> {
    const { from, to } = query;
    const fromMs = from === undefined ? null : momentOf('/querystring/from', from);
    const toMs = to === undefined ? null : momentOf('/querystring/to', to);
    if (fromMs !== null && toMs !== null && fromMs > toMs) throw backwards('/querystring/to');
    await this.#known(triggerId);
    const [page, { counts }] = await Promise.all([
      this.#store.ledger({
        triggerId,
        outcome: query.outcome ?? null,
        from: stampOrNull(fromMs),
        to: stampOrNull(toMs),
        cursor: query.cursor ?? null,
        limit: query.limit ?? LIST_LIMIT,
      }),
      this.#store.ledgerSummary(triggerId),
    ]);
    return { ...page, counts };
  }

  /**
   * Runs a trigger now, also a paused one: its row; null when that is durable, and was not recorded in time. Repeated with the
   * same requestId it answers with the first one's.
   *
   * Throws: `not_found`, `request_id_reused` for an id that something else in its ledger or its conversation has, `storage_full`,
   * `rate_limited`, `temporal_unavailable`.
   */
  async fire(
    { triggerId, requestId: asked }: { triggerId: string; requestId: string | null },
    wait: Wait,
  ): Promise<{ requestId: string; row: LedgerRowValue | null }> {
    const { feed, commands, gate } = this.#parts;
    const requestId = asked ?? randomUUID();
    if (asked !== null) {
      const known = await this.#firedBefore(triggerId, asked);
      if (known !== null) return { requestId, row: known };
    }
    const trigger = await this.#present(triggerId);
    if (asked !== null) await this.#mustBeUnused(trigger, asked);
    gate.mustHaveRoom();
    const argument = { commandId: requestId, requestId };
    let decided: StoredEvent | null = null;
    const found = await waitUntil({
      feed,
      stream: triggerStream(triggerId),
      before: () =>
        gate
          .carry(() => commands.signalTrigger({ triggerId, signal: { name: 'fire', argument } }))
          .catch(async (error: unknown) => {
            // The answer was lost: when the log shows the run, the signal was not.
            const isDone =
              isUnknownFate(error) && (await this.#firedBefore(triggerId, requestId)) !== null;
            if (!isDone) throw error;
          }),
      wakes: (event) => {
        if (isDecisionOf(event, requestId)) decided = event;
        return decided !== null || REMOVED.has(event.type);
      },
      check: async () => {
        const row = (await this.#rowOf(triggerId, requestId)) ?? manualRow(triggerId, decided);
        if (row !== null || (await this.#known(triggerId)).removedAt === null) return row;
        // Commands are carried out in their order: one that comes after the removal never is.
        const before = await this.#firedBefore(triggerId, requestId);
        if (before === null) throw noTrigger();
        return before;
      },
      ...wait,
    });
    return { requestId, row: found };
  }

  /**
   * Has the due times of a range run that have not run: how many. Repeated with the same requestId it is done once. Null: durable,
   * and not recorded in time.
   *
   * Throws: `not_found`, `invalid_request` (with `count` and `limit` for too many), `request_id_reused`, `storage_full`,
   * `rate_limited`, `temporal_unavailable`.
   */
  async backfill(
    { triggerId, body }: { triggerId: string; body: Static<typeof BackfillBody> },
    wait: Wait,
  ): Promise<Static<typeof BackfillAnswer> | null> {
    const { commands, gate } = this.#parts;
    const { requestId = null, limit = BACKFILL_DEFAULT } = body;
    const { definition } = await this.#present(triggerId);
    const done = requestId === null ? null : await this.#doneBefore(triggerId, requestId);
    if (done !== null) return this.#countRun(triggerId, done);
    const fromMs = momentOf('/from', body.from);
    const toMs = momentOf('/to', body.to);
    if (fromMs > toMs) throw backwards('/to');
    if (toMs > Date.now())
      throw wrong('/to', `A backfill is of the past: to, ${body.to}, lies in the future.`);
    if (limit > RUN_ALL_LIMIT)
      throw wrong('/limit', `limit must be at most ${RUN_ALL_LIMIT}; it is ${limit}.`);
    const count = await countPatiently(definition, fromMs, toMs);
    if (count > limit) throw tooMany(count, limit);
    const range = { from: stamp(fromMs), to: stamp(toMs) };
    return beginCommand({
      ...this.#parts,
      stream: triggerStream(triggerId),
      ...(requestId === null ? {} : { commandId: requestId }),
      recordedAs: 'trigger.decided',
      allow: async () => gate.mustHaveRoom(),
      guard: async () => void (await this.#present(triggerId)),
      wakes: REMOVED,
      signal: (commandId) =>
        commands.signalTrigger({
          triggerId,
          signal: { name: 'backfill', argument: { commandId, ...range } },
        }),
      answer: (recorded) => this.#countRun(triggerId, recorded),
      wait,
    }).answer;
  }

  async #viewOf({
    triggerId,
    definition,
    rule,
    createdAt,
    updatedAt,
    nextDueAt,
  }: TriggerRow): Promise<TriggerViewValue> {
    return {
      triggerId,
      ...definition,
      rule,
      createdAt,
      updatedAt,
      nextDueAt: definition.paused ? null : nextDueAt,
      ...(await this.#store.ledgerSummary(triggerId)),
    };
  }

  /** Throws: `not_found` for one that never was. */
  async #known(triggerId: string): Promise<TriggerRow> {
    const row = await this.#store.trigger(triggerId);
    if (row === null) throw noTrigger();
    return row;
  }

  /** Throws: `not_found`, also for one that is removed. */
  async #present(triggerId: string): Promise<TriggerRow> {
    const row = await this.#known(triggerId);
    if (row.removedAt !== null) throw noTrigger();
    return row;
  }

  /** Throws: `not_found` when there is no such table or conversation to send to. */
  async #mustBeThere({
    tableId,
    conversationId,
  }: {
    tableId: string | null;
    conversationId: string | null;
  }): Promise<void> {
    if (tableId !== null && (await this.#store.table(tableId)) === null)
      throw new HoldfastError('not_found', 'There is no such table.', { tableId });
    if (conversationId !== null && (await this.#store.conversation(conversationId)) === null)
      throw noConversation();
  }

  /** The row of a run by hand. Throws: `request_id_reused` when the request is another row's. */
  async #rowOf(triggerId: string, requestId: string): Promise<LedgerRowValue | null> {
    const row = await this.#store.ledgerRow(triggerId, requestId);
    if (row !== null && row.cause !== 'manual') throw idTaken(requestId);
    return row;
  }

  /** As {@link #rowOf}, and one that did not run: it has no request to find its row by, so it is looked for in the log. */
  async #firedBefore(triggerId: string, requestId: string): Promise<LedgerRowValue | null> {
    const row = await this.#rowOf(triggerId, requestId);
    return row ?? manualRow(triggerId, await this.#doneBefore(triggerId, requestId));
  }

  /** Throws: `request_id_reused` when the conversation has had that request otherwise: it would be answered as that one (A2). */
  async #mustBeUnused({ definition }: TriggerRow, requestId: string): Promise<void> {
    const { tableId, conversationId, newConversation } = definition;
    if (newConversation) return;
    const table = tableId === null ? null : await this.#store.table(tableId);
    const target = conversationId ?? table?.activeConversationId ?? null;
    if (target !== null && (await this.#store.request(target, requestId)) !== null)
      throw idTaken(requestId);
  }

  /** An event of what this command decided, when that was not long ago. */
  async #doneBefore(triggerId: string, commandId: string): Promise<StoredEvent | null> {
    const stream = triggerStream(triggerId);
    const end = await this.#store.lastSeq(stream);
    for (let before = end; before > Math.max(0, end - REPEAT_EVENTS); before -= REPEAT_PAGE) {
      const after = Math.max(0, before - REPEAT_PAGE);
      const { items } = await this.#store.events(stream, after, before - after);
      const found = items.find((event) => isDecisionOf(event, commandId));
      if (found !== undefined) return found;
      await nextTurn();
    }
    return null;
  }

  /** What a backfill had run. Its events are neighbours, written at once; `recorded` is one of them. */
  async #countRun(
    triggerId: string,
    recorded: StoredEvent,
  ): Promise<Static<typeof BackfillAnswer>> {
    const { cause, commandId = '' } = decisionOf(recorded);
    if (cause !== 'backfill') throw idTaken(commandId);
    const partAt = async (seq: number): Promise<StoredEvent | undefined> => {
      const { items } = await this.#store.events(triggerStream(triggerId), seq - 1, 1);
      return items.find((event) => event.seq === seq && isDecisionOf(event, commandId));
    };
    const countFrom = async (seq: number, step: 1 | -1): Promise<number> => {
      const part = await partAt(seq);
      return part === undefined ? 0 : ranIn(part) + (await countFrom(seq + step, step));
    };
    const { seq } = recorded;
    return {
      count: ranIn(recorded) + (await countFrom(seq + 1, 1)) + (await countFrom(seq - 1, -1)),
    };
  }
}

/** How many due times there are from `fromMs` to `toMs`, included: exact up to COUNT_LIMIT, then more than that. */
async function countPatiently(rule: DueRule, fromMs: number, toMs: number): Promise<number> {
  let count = 0;
  for (let afterMs = fromMs - 1; afterMs < toMs && count <= COUNT_LIMIT;) {
    const untilMs = Math.min(afterMs + COUNT_SPAN_MS, toMs);
    count += countDue(rule, afterMs, untilMs, COUNT_LIMIT - count);
    afterMs = untilMs;
    await nextTurn();
  }
  return count;
}

function tooMany(count: number, limit: number): HoldfastError {
  const said = count > COUNT_LIMIT ? `more than ${COUNT_LIMIT}` : String(count);
  return wrong(
    '/from',
    `In that range ${said} due times lie, and the limit is ${limit}; nothing was run. Ask for a shorter range, or for a limit of up to ${RUN_ALL_LIMIT}.`,
    { count, limit },
  );
}

function isDecisionOf(event: StoredEvent, commandId: string): boolean {
  return event.type === 'trigger.decided' && isRecordOf(event, commandId);
}

type Decision = Extract<Event, { type: 'trigger.decided' }>['payload'];

function decisionOf({ json }: StoredEvent): Decision {
  const event = decodeEvent(json);
  if (event.type !== 'trigger.decided') throw new TypeError('the event is no decision');
  return event.payload;
}

function ranIn(event: StoredEvent): number {
  return decisionOf(event).fires.filter((fire) => fire.requestId !== undefined).length;
}

/** The row of a run by hand, as it was decided. Throws: `request_id_reused` when the decision is of something else. */
function manualRow(triggerId: string, event: StoredEvent | null): LedgerRowValue | null {
  if (event === null) return null;
  const { cause, fires, commandId = '' } = decisionOf(event);
  const [fire] = fires;
  if (cause !== 'manual' || fire === undefined) throw idTaken(commandId);
  const { whenBusy: _, ...row } = fire;
  return { triggerId, cause, ...row };
}

function notRemoved(row: TriggerRow): TriggerRow {
  const { triggerId, removedAt } = row;
  if (removedAt !== null)
    throw new HoldfastError(
      'request_id_reused',
      'A trigger of this id was removed, and its ledger has the id for ever; take a new one.',
      { triggerId, removedAt },
    );
  return row;
}

function noTrigger(): HoldfastError {
  return new HoldfastError('not_found', 'There is no such trigger.');
}

function idTaken(requestId: string): HoldfastError {
  return new HoldfastError('request_id_reused', undefined, { requestId });
}

function backwards(path: string): HoldfastError {
  return wrong(path, 'to must not come before from.');
}

function stamp(ms: number): string {
  return new Date(ms).toISOString();
}

function stampOrNull(ms: number | null): string | null {
  return ms === null ? null : stamp(ms);
}
