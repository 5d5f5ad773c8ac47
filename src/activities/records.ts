/**
 * Local activities of the workflow: what it decided is recorded through these, and only through these.
 *
 * Each may run twice (a worker that dies after the commit): every append carries a key, and a repeated key answers as the
 * first time did.
 */
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
import type { RequestRecord, RunningTurn } from '../domain/conversation.ts';
import { contentHash } from '../store/content-hash.ts';
import type { AppendResult, Store, WorkflowState } from '../store/port.ts';

/** What a workflow begins from. */
export type ConversationStart = {
  provider: string;
  model: string | null;
  tableId: string | null;
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
};

export type DecisionBasis = {
  turn: { turnId: string; attempt: number } | null;
  /** Turns of the queue, in order. */
  queue: string[];
};

/**
 * - `recorded`: now, or by an earlier run of this very activity.
 * - `ended`: the attempt has ended in the meantime; nothing was recorded.
 * - `known`: this requestId was decided otherwise, by a run of the workflow that Temporal no longer knows; nothing was
 *   recorded, and the store's state is the true one.
 * - `behind`: what runs or waits is not what the workflow believes; nothing was recorded, and the command is still to be
 *   decided.
 */
export type RecordAnswer = 'recorded' | 'ended' | 'known' | 'behind';

export type RecordActivities = ReturnType<typeof createRecordActivities>;

export function createRecordActivities(parts: { store: Store }) {
  const { store } = parts;
  return {
    /** Creates the conversation, or reads what the store knows of it. Throws `not_found` (non-retryable) for neither. */
    async openConversation(input: ConversationInputValue): Promise<ConversationStart> {
      const { conversationId, create } = input;
      if (create !== undefined)
        await store.append({
          stream: conversationStream(conversationId),
          key: appendKey.created(),
          events: [{ type: 'conversation.created', conversationId, payload: create }],
        });
      const known = await store.workflowState(conversationId);
      if (known === null)
        throw ApplicationFailure.nonRetryable(
          `There is no conversation ${conversationId}; create it through the API first.`,
          'not_found',
        );
      const { provider, model, tableId, state, host, turn, queue } = known;
      return { provider, model, tableId, state, host, turn, queue };
    },

    async recordDecision(request: RecordRequest): Promise<RecordAnswer> {
      const { conversationId, key, events, unlessEnded } = request;
      const { content, ...receipt } = request.request ?? { content: '' };
      const asks = 'requestId' in receipt;
      const { basis } = request;
      if (basis !== undefined && isBehind(basis, await store.workflowState(conversationId)))
        return 'behind';
      const result = await orBusy(
        store.append({
          stream: conversationStream(conversationId),
          key,
          events,
          ...(unlessEnded === null ? {} : { unlessEnded }),
          ...(asks
            ? { request: { ...receipt, contentHash: contentHash(receipt.kind, content) } }
            : {}),
        }),
      );
      if (result.status === 'busy') return 'behind';
      if (result.status === 'ended') return 'ended';
      if (result.status === 'appended' || !asks) return 'recorded';
      // A key that was there: our own first run, whose answer was lost with its worker, or somebody else's decision.
      const known = await store.request(conversationId, receipt.requestId);
      const own =
        known?.kind === receipt.kind &&
        known.status === receipt.status &&
        known.turnId === receipt.turnId &&
        known.attempt === receipt.attempt;
      return own ? 'recorded' : 'known';
    },

    /** What a retry must know of the turn; null: there is no such turn in this conversation. */
    async lookUpTurn(ref: { conversationId: string; turnId: string }): Promise<{
      lastAttempt: number;
      outcome: OutcomeName | null;
      content: string;
    } | null> {
      const row = await store.latestAttempt(ref.turnId);
      if (row === null || row.conversationId !== ref.conversationId) return null;
      // The prompt itself stays in the store: it is only shown in the queue.
      return { lastAttempt: row.attempt, outcome: row.outcome, content: row.content.slice(0, 200) };
    },
  };
}

/**
 * Whether the workflow decided on a state that the store has left. A workflow task may be carried out twice: its worker is
 * killed when local activities have committed, and the second time other commands come first. What they decide must then
 * be decided anew, from what is recorded (S1, S2, A1).
 */
function isBehind(basis: DecisionBasis, state: WorkflowState | null): boolean {
  if (state === null) return false;
  const { turn, queue } = state;
  // None runs: the workflow's may have just ended; `unlessEnded` tells it.
  const sameTurn =
    turn === null || (turn.turnId === basis.turn?.turnId && turn.attempt === basis.turn.attempt);
  const sameQueue =
    queue.length === basis.queue.length &&
    queue.every((item, index) => item.turnId === basis.queue[index]);
  return !sameTurn || !sameQueue;
}

/** The store allows one running turn: it refuses the start of a second, whatever the workflow believes (S1). */
async function orBusy(append: Promise<AppendResult>): Promise<AppendResult | { status: 'busy' }> {
  try {
    return await append;
  } catch (error) {
    if (isHoldfastError(error) && error.code === 'busy') return { status: 'busy' };
    throw error;
  }
}
