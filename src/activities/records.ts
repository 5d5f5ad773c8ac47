/**
 * Local activities of the workflow: what it decided is recorded through these, and only through these.
 *
 * Each may run twice (a worker that dies after the commit): every append carries a key, and a repeated key answers as the
 * first time did.
 */
import { isDeepStrictEqual } from 'node:util';

import { ApplicationFailure } from '@temporalio/common';

import { isHoldfastError } from '../contracts/errors.ts';
import type {
  ConversationStateName,
  NewEvent,
  OutcomeName,
  QueueItemValue,
} from '../contracts/events.ts';
import { appendKey, conversationStream } from '../contracts/ids.ts';
import type { ConversationInputValue } from '../contracts/signals.ts';
import {
  type HeldItem,
  heldItem,
  JOINT,
  type Occupied,
  queueMark,
  type Replaced,
  type RequestRecord,
  type RunningTurn,
} from '../domain/conversation.ts';
import { promptMessageId } from '../domain/turn-ids.ts';
import { contentHash } from '../store/content-hash.ts';
import type { AppendResult, Store, WorkflowState } from '../store/port.ts';
import { decodeEvent } from '../store/stored-event.ts';

/** What a workflow begins from. */
export type ConversationStart = {
  provider: string;
  model: string | null;
  tableId: string | null;
  /** Absent in histories of before there were agents. */
  parentId?: string | null;
  /** Something of its mailbox is to be taken. */
  mailLeft?: boolean;
  /** Absent in histories of before there were tables. */
  title?: string;
  held?: boolean;
  state: ConversationStateName;
  host: string | null;
  turn: RunningTurn | null;
  queue: QueueItemValue[];
};

export type RecordRequest = {
  conversationId: string;
  key: string;
  events: NewEvent[];
  /** With what was asked, to tell a repeat from a reuse of the requestId. */
  request: (RequestRecord & { content: string }) | null;
  /** Record only while this attempt has no end in the log. */
  unlessEnded: { turnId: string; attempt: number } | null;
  /** What the workflow took to be running and waiting when it decided; see {@link isBehind}. */
  basis?: DecisionBasis;
  /** Of a start that follows an end, in a table: since when what is started has waited. */
  waitedSince?: string;
  /** The conversation becomes idle: whether others of this table wait is asked when that is recorded. */
  leaves?: string;
};

export type DecisionBasis = {
  turn: { turnId: string; attempt: number } | null;
  /** {@link queueMark} of the queue's rows, in order. */
  queue: string[];
  /** Absent in histories of before there were tables. */
  held?: boolean;
};

/** What of the store's state a basis is held against. */
type Decided = Pick<WorkflowState, 'state' | 'turn' | 'queue' | 'held'>;

/**
 * - `recorded`: now, or by an earlier run of this very activity.
 * - `ended`: the attempt has ended in the meantime; nothing was recorded.
 * - `known`: this command was decided otherwise, by a run of the workflow that Temporal no longer knows or by an earlier
 *   run of this task; nothing was recorded, and the store's state is the true one.
 * - `behind`: what runs or waits is not what the workflow believes; nothing was recorded, and the command is still to be
 *   decided.
 * - `recorded-others-wait`: recorded, and another conversation of the table waits while nothing runs there.
 * - `occupied-…`: the table does not let it start a turn, and why; nothing was recorded.
 */
export type RecordAnswer =
  | 'recorded'
  | 'recorded-others-wait'
  | 'ended'
  | 'known'
  | 'behind'
  | `occupied-${Occupied}`;

type Creation = NonNullable<ConversationInputValue['create']>;

export type RecordActivities = ReturnType<typeof createRecordActivities>;

export function createRecordActivities(parts: { store: Store }) {
  const { store } = parts;
  return {
    /** Creates the conversation, or reads what the store knows of it. Throws `not_found` (non-retryable) for neither. */
    async openConversation(input: ConversationInputValue): Promise<ConversationStart> {
      const { conversationId, create } = input;
      if (create !== undefined) await createConversation(store, conversationId, create);
      const known = await store.workflowState(conversationId);
      if (known === null)
        throw ApplicationFailure.nonRetryable(
          `There is no conversation ${conversationId}; create it through the API first.`,
          'not_found',
        );
      const { provider, model, tableId, title, state, host, turn, queue, held } = known;
      // Their texts stay in the store: an answer of more than 2 MiB would end the workflow.
      const rows = queue.map(heldItem);
      const parentId = (await store.agent(conversationId))?.parentId ?? null;
      const mailLeft = await hasMail(store, conversationId);
      const facts = { provider, model, tableId, title, state, host, turn, queue: rows, held };
      return { ...facts, parentId, mailLeft };
    },

    async recordDecision(request: RecordRequest): Promise<RecordAnswer> {
      const { conversationId, key, unlessEnded } = request;
      const { content, ...receipt } = request.request ?? { content: '' };
      const asks = 'requestId' in receipt;
      const { basis } = request;
      const state = await store.workflowState(conversationId);
      if (basis !== undefined && isBehind(basis, state)) return 'behind';
      const whole = completed(request.events, state);
      if (whole === null) return 'behind';
      const events = await withMail(store, conversationId, whole);
      const result = await orBusy(
        store.append({
          stream: conversationStream(conversationId),
          key,
          events,
          ...(unlessEnded === null ? {} : { unlessEnded }),
          ...(request.waitedSince === undefined ? {} : { unlessWaitedBefore: request.waitedSince }),
          ...(asks
            ? { request: { ...receipt, contentHash: contentHash(receipt.kind, content) } }
            : {}),
        }),
      );
      if (result.status === 'busy')
        return result.reason === 'own' ? 'behind' : `occupied-${result.reason}`;
      if (result.status === 'ended') return 'ended';
      // A key that was there: our own first run, whose answer was lost with its worker, or another decision.
      const stream = conversationStream(conversationId);
      if (result.status === 'repeated' && !(await isRecordedAs(store, stream, result, events)))
        return 'known';
      if (request.leaves !== undefined) {
        const table = await store.tableState(request.leaves);
        const othersWait = table?.waiting.some((each) => each.conversationId !== conversationId);
        if (table?.running === null && othersWait === true) return 'recorded-others-wait';
      }
      return 'recorded';
    },

    /** What a retry must know of the turn; null: there is no such turn in this conversation. */
    async lookUpTurn(ref: { conversationId: string; turnId: string }): Promise<{
      lastAttempt: number;
      outcome: OutcomeName | null;
      content: string;
      cut?: boolean;
    } | null> {
      const { conversationId, turnId } = ref;
      const row = await store.latestAttempt(turnId);
      if (row === null || row.conversationId !== conversationId) return null;
      const prompt = await store.message(conversationId, promptMessageId(turnId));
      // The prompt itself stays in the store: it is only shown in the queue.
      return {
        lastAttempt: row.attempt,
        outcome: row.outcome,
        content: row.content.slice(0, 200),
        cut: prompt?.message.cut === true,
      };
    },

    /** What a send that replaces a message, or a rollback to it, must know of it. */
    async lookUpMessage(ref: {
      conversationId: string;
      messageId: string;
    }): Promise<Replaced & { kept: boolean }> {
      const { messageId } = ref;
      const row = await store.message(ref.conversationId, messageId);
      const kept = row !== null && row.message.cut !== true && row.message.status !== 'open';
      return {
        messageId,
        kept,
        found: kept && row.message.role === 'user',
        previousMessageId: row?.previousMessageId ?? null,
      };
    },

    /** See {@link isOvertaken}. */
    async hasGoneOn(ref: { conversationId: string; basis: DecisionBasis }): Promise<boolean> {
      return isOvertaken(ref.basis, await store.workflowState(ref.conversationId));
    },

    /** Those of the turns whose prompt has been cut from the history. */
    async cutTurns(ref: { conversationId: string; turnIds: string[] }): Promise<string[]> {
      const { conversationId, turnIds } = ref;
      const prompts = await Promise.all(
        turnIds.map((turnId) => store.message(conversationId, promptMessageId(turnId))),
      );
      return turnIds.filter((_, index) => prompts[index]?.message.cut === true);
    },

    /** Those of the queued requests that a turn has taken in. */
    async takenBySteering(ref: {
      conversationId: string;
      requestIds: string[];
    }): Promise<string[]> {
      const { conversationId, requestIds } = ref;
      const rows = await Promise.all(requestIds.map((id) => store.request(conversationId, id)));
      return rows.flatMap((row) => (row?.steeredInto == null ? [] : [row.requestId]));
    },
  };
}

/**
 * The events with the texts that the workflow holds only the beginning of; null: the store's queue has not all of them, so it
 * is not the one that was decided upon.
 */
function completed(events: NewEvent[], state: WorkflowState | null): NewEvent[] | null {
  const texts = new Map(state?.queue.map((item) => [item.requestId, item.content]));
  let missing = false;
  const textOf = (requestId: string | undefined): string => {
    const text = texts.get(requestId ?? '');
    missing ||= text === undefined;
    return text ?? '';
  };
  const whole = events.map((event): NewEvent => {
    if (event.type === 'message.created' && 'storedBytes' in event.payload) {
      const { messageId, role } = event.payload;
      return { ...event, payload: { messageId, role, content: textOf(event.requestId) } };
    }
    if (event.type !== 'queue.changed') return event;
    const queue = event.payload.queue.map((item: HeldItem) => {
      const { storedBytes, ...row } = item;
      return storedBytes === undefined ? row : { ...row, content: textOf(item.requestId) };
    });
    return { ...event, payload: { ...event.payload, queue } };
  });
  return missing ? null : whole;
}

/** The events with the texts of the mail that they are. */
async function withMail(
  store: Store,
  conversationId: string,
  events: NewEvent[],
): Promise<NewEvent[]> {
  return Promise.all(
    events.map(async (event) => {
      if (event.type !== 'message.created') return event;
      const { joins, ...payload }: typeof event.payload & { joins?: string[] } = event.payload;
      if (joins === undefined) return event;
      const texts = await store.mailTexts(conversationId, joins);
      const content = joins.map((requestId) => texts.get(requestId) ?? '').join(JOINT);
      return { ...event, payload: { ...payload, content } };
    }),
  );
}

async function createConversation(
  store: Store,
  conversationId: string,
  { fork, agent, ...create }: Creation,
): Promise<void> {
  if (agent !== undefined) return createAgent(store, conversationId, { ...create, agent });
  if (fork === undefined) {
    await store.append({
      stream: conversationStream(conversationId),
      key: appendKey.created(),
      events: [{ type: 'conversation.created', conversationId, payload: create }],
    });
    return;
  }
  if (!(await store.fork({ conversationId, create, origin: fork })))
    throw ApplicationFailure.nonRetryable(
      'There is no such message to fork at; the conversation was not made.',
      'not_found',
    );
}

/** Child, link, and its first mail: all of it, or nothing. */
async function createAgent(
  store: Store,
  conversationId: string,
  {
    agent,
    ...create
  }: Omit<Creation, 'agent' | 'fork'> & { agent: NonNullable<Creation['agent']> },
): Promise<void> {
  const { task, ...link } = agent;
  const { parentId, agentId } = link;
  const created: NewEvent = {
    type: 'conversation.created',
    conversationId,
    payload: { ...create, agent: link },
  };
  const accepted: NewEvent[] =
    task === null
      ? []
      : [
          {
            type: 'mail.accepted',
            conversationId,
            payload: { messageId: 'task', from: parentId, kind: 'task', content: task },
          },
        ];
  try {
    await store.append({
      stream: conversationStream(conversationId),
      key: appendKey.created(),
      events: [created, ...accepted],
    });
  } catch (error) {
    // A link that cannot be; the gateway makes none, and an operator may type anything.
    if (error instanceof TypeError)
      throw ApplicationFailure.nonRetryable(error.message, 'invalid_request');
    const refusals: readonly string[] = ['budget_exceeded', 'request_id_reused', 'not_found'];
    if (!isHoldfastError(error) || !refusals.includes(error.code)) throw error;
    throw ApplicationFailure.nonRetryable(error.message, error.code, error.detail);
  }
  // Somebody else's conversation may have had that id; then this append was a repeat of theirs (X1).
  const there = await store.agent(conversationId);
  if (there?.rootId !== link.rootId || there.agentId !== agentId || there.parentId !== parentId)
    throw ApplicationFailure.nonRetryable(
      'This id is that of another conversation; choose another agentId.',
      'request_id_reused',
    );
}

/** Whether anything in its mailbox could be taken, if only along with other mail. */
export async function hasMail(store: Store, conversationId: string): Promise<boolean> {
  const nothing = { limit: 0, limitBytes: 0 };
  return (await store.takeableMail({ conversationId, ...nothing, waiting: true })).more;
}

/**
 * Whether the workflow decided on a state that the store has left. A workflow task may be carried out twice: its worker is
 * killed when local activities have committed, and the second time other commands come first. What they decide must then
 * be decided anew, from what is recorded (S1, S2, A1).
 */
export function isBehind(basis: DecisionBasis, state: Decided | null): boolean {
  if (state === null) return false;
  const { turn, queue, held } = state;
  // None runs: the workflow's may have just ended; `unlessEnded` tells it.
  const sameTurn =
    turn === null || (turn.turnId === basis.turn?.turnId && turn.attempt === basis.turn.attempt);
  const sameQueue =
    queue.length === basis.queue.length &&
    queue.every((item, index) => queueMark(item) === basis.queue[index]);
  return !sameTurn || !sameQueue || (basis.held !== undefined && basis.held !== held);
}

/** Whether the store has gone on without the workflow: see {@link isBehind}; or what it takes to be running has been settled. */
export function isOvertaken(basis: DecisionBasis, state: Decided | null): boolean {
  const isSettled = state?.turn === null && state.state === 'idle' && basis.turn !== null;
  return isSettled || isBehind(basis, state);
}

/**
 * Whether a repeated key stands for these very events. If not, an earlier run of this task has decided the same command on
 * another state (the table did not let it start then, or other commands came first).
 */
async function isRecordedAs(
  store: Store,
  stream: string,
  { firstSeq, lastSeq }: { firstSeq: number; lastSeq: number },
  events: readonly NewEvent[],
): Promise<boolean> {
  if (events.length !== lastSeq - firstSeq + 1) return false;
  const { items } = await store.events(stream, firstSeq - 1, events.length);
  return items.every(({ json }, index) => {
    const { type, turnId, payload } = decodeEvent(json);
    const given = events[index];
    return (
      given?.type === type && given.turnId === turnId && isDeepStrictEqual(given.payload, payload)
    );
  });
}

/** The store allows one running turn: it refuses the start of a second, whatever the workflow believes (S1). */
async function orBusy(
  append: Promise<AppendResult>,
): Promise<AppendResult | { status: 'busy'; reason: 'own' | Occupied }> {
  try {
    return await append;
  } catch (error) {
    if (!isHoldfastError(error) || error.code !== 'busy') throw error;
    const { reason } = error.detail;
    const known = reason === 'running' || reason === 'elsewhere' || reason === 'waiting';
    return { status: 'busy', reason: known ? reason : 'own' };
  }
}
