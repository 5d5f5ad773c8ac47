/**
 * Gathers what `why` is decided upon: everything at once, each source with a deadline of its own. What fails or is late is
 * evidence, and the answer comes all the same. It decides nothing: that is domain/why.ts.
 */
import { setTimeout as pause } from 'node:timers/promises';

import type { Event } from '../contracts/events.ts';
import type { WhyValue } from '../contracts/http.ts';
import { conversationStream } from '../contracts/ids.ts';
import { LIST_LIMIT, MAIL_QUEUE_LIMIT_BYTES, MAILBOX_LIMIT } from '../contracts/limits.ts';
import type { ConversationViewValue } from '../contracts/view.ts';
import type { Asked, EngineProcess, WhyFacts } from '../domain/why-facts.ts';
import { whyOf } from '../domain/why.ts';
import type { Room } from '../store/disk-room.ts';
import type { Store } from '../store/port.ts';
import { decodeEvent } from '../store/stored-event.ts';
import type { WorkflowCommands } from './commands.ts';
import { noConversation } from './receipts.ts';

/** What the gateway's process knows of the engine it belongs to. */
export type EngineFacts = {
  /** The live processes of this home; null: nobody has written them down. */
  processes: () => readonly EngineProcess[] | null;
  /** Temporal's server is one of them. */
  embeddedTemporal: () => boolean;
  /** Address of Temporal's Web UI; null: nobody said it. */
  temporalUi: string | null;
  namespace: string;
};

/** Newest events that are looked through: a silence and a retry are the last ones, and the steps of a cancel are close together. */
const RECENT_EVENTS = 256;
/** Longer than any source takes by itself; Temporal's own deadline is 1.5 s. */
const PATIENCE_MS = 2_000;
const PIECES = /^\{"type":"(chat\.delta|tool\.output)"/;

export class Why {
  readonly #store: Store;
  readonly #commands: WorkflowCommands;
  readonly #room: () => Room;
  readonly #engine: EngineFacts;

  constructor({
    store,
    commands,
    room,
    engine,
  }: {
    store: Store;
    commands: WorkflowCommands;
    room: () => Room;
    engine: EngineFacts;
  }) {
    this.#store = store;
    this.#commands = commands;
    this.#room = room;
    this.#engine = engine;
  }

  /** Throws: `not_found`. */
  async of(conversationId: string): Promise<WhyValue> {
    const store = this.#store;
    // One row of the transcript is more than enough: what is open comes with it.
    const view = await store.snapshot(conversationId, 1);
    const row = await store.conversation(conversationId);
    if (view === null || row === null) throw noConversation();
    const { host } = row;
    const { embeddedTemporal, temporalUi, namespace, processes } = this.#engine;
    const [recent, isBegun, turns, table, mail, nextTrigger, temporal] = await Promise.all([
      asked(() => this.#recent(view)),
      asked(() => this.#isBegun(view)),
      asked(() => store.turns(conversationId, null, 1)),
      view.tableId === null ? null : asked(() => this.#table(view, view.tableId ?? '')),
      asked(() => this.#mail(conversationId, host)),
      asked(() => this.#nextTrigger(view)),
      asked(() => this.#commands.inspect({ conversationId, host })),
    ]);
    const facts: WhyFacts = {
      now: new Date().toISOString(),
      view,
      recent: valueOr(recent, []),
      isBegun: valueOr(isBegun, null),
      lastTurn: valueOr(turns, { items: [], nextCursor: null }).items[0] ?? null,
      table,
      mail,
      nextTrigger: valueOr(nextTrigger, null),
      room: this.#room(),
      processes: processes(),
      temporal,
      embeddedTemporal: embeddedTemporal(),
      temporalUi,
      namespace,
    };
    return whyOf(facts);
  }

  async #recent({ conversationId, lastSeq }: ConversationViewValue): Promise<Event[]> {
    const { items } = await this.#store.events(
      conversationStream(conversationId),
      Math.max(0, lastSeq - RECENT_EVENTS),
      RECENT_EVENTS,
    );
    return items.filter(({ json }) => !PIECES.test(json)).map(({ json }) => decodeEvent(json));
  }

  async #isBegun({ activeTurn }: ConversationViewValue): Promise<boolean | null> {
    if (activeTurn === null) return null;
    const attempt = await this.#store.attempt(activeTurn.turnId, activeTurn.attempt);
    return attempt === null ? null : attempt.place !== null;
  }

  async #table(
    { conversationId }: ConversationViewValue,
    tableId: string,
  ): Promise<AnswerOf<'table'>> {
    const state = await this.#store.tableState(tableId);
    const running =
      state?.running == null || state.running.conversationId === conversationId
        ? null
        : state.running;
    const other = running === null ? null : await this.#store.snapshot(running.conversationId, 1);
    const waiting = state?.waiting ?? [];
    const own = waiting.findIndex((each) => each.conversationId === conversationId);
    return {
      activeConversationId: state?.activeConversationId ?? null,
      running:
        running === null
          ? null
          : {
              conversationId: running.conversationId,
              title: other?.title ?? '',
              turnId: running.turnId,
              phase: other?.activeTurn?.phase ?? null,
              startedAt: other?.activeTurn?.startedAt ?? null,
            },
      before: own === -1 ? [] : waiting.slice(0, own),
    };
  }

  async #mail(conversationId: string, host: string | null): Promise<AnswerOf<'mail'>> {
    const [taken, untaken, owed] = await Promise.all([
      this.#store.takeableMail({
        conversationId,
        limit: 1,
        limitBytes: MAIL_QUEUE_LIMIT_BYTES,
        waiting: false,
      }),
      this.#store.untakenMail(conversationId, MAILBOX_LIMIT),
      this.#store.owedRecoveries(host ?? ''),
    ]);
    return {
      takeable: taken.items.length > 0 || taken.more,
      untaken,
      isOwedRecovery: owed.some(({ rootId }) => rootId === conversationId),
    };
  }

  async #nextTrigger({
    conversationId,
    tableId,
  }: ConversationViewValue): Promise<WhyFacts['nextTrigger']> {
    const page = { cursor: null, limit: LIST_LIMIT };
    const lists = await Promise.all([
      this.#store.triggers({ tableId: null, conversationId, ...page }),
      ...(tableId === null
        ? []
        : [this.#store.triggers({ tableId, conversationId: null, ...page })]),
    ]);
    const due = lists
      .flatMap(({ items }) => items)
      .flatMap(({ triggerId, nextDueAt, definition }) =>
        nextDueAt === null || definition.paused ? [] : [{ triggerId, dueAt: nextDueAt }],
      );
    return due.toSorted((one, other) => Date.parse(one.dueAt) - Date.parse(other.dueAt))[0] ?? null;
  }
}

/** What an answered source of the facts holds. */
type AnswerOf<Name extends 'mail' | 'table'> = Extract<WhyFacts[Name], { answered: true }>['value'];

/** Never rejects; a source that is late is left alone. */
async function asked<T>(source: () => Promise<T>): Promise<Asked<T>> {
  const late = new AbortController();
  try {
    return await Promise.race([
      source().then((value) => ({ answered: true, value }) as const),
      pause(PATIENCE_MS, null, { signal: late.signal }).then(() => ({
        answered: false as const,
        says: `has not answered within ${PATIENCE_MS / 1_000} s`,
      })),
    ]);
  } catch {
    // What exactly is wrong is for the log and for `holdfast doctor`; an address of the inside is not told here.
    return { answered: false, says: 'does not answer' };
  } finally {
    late.abort();
  }
}

function valueOr<T, U>(answer: Asked<T>, otherwise: U): T | U {
  return answer.answered ? answer.value : otherwise;
}
