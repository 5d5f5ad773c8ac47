/**
 * The store port: the log, and what is projected from it. Engines stand behind it (SQLite here,
 * PostgreSQL to grow); nothing outside an engine's folder knows which.
 *
 * Contract of every engine (numbers of design.md section 12; `test/store/contract.ts` runs it):
 *  L1 `seq` is 1, 2, 3 … in a stream, without gaps, in commit order.
 *  L2 a stored event is never changed.
 *  L4 `snapshot` is one consistent read; folding the events after its `lastSeq` gives the newer snapshot.
 *  F1 an append with a lower epoch than the stored one, or for an attempt that has ended, throws `fenced` and writes nothing.
 *  F2 events, projections and the spool offset move in one transaction.
 *  A2 an append key is unique in its stream; a repeated key writes nothing and answers as the first did.
 *  An append that was answered is on disk (synced). Appends are all or nothing, each by itself, though many may share one commit.
 *
 *  A1 an attempt ends once: an append with a second end throws `fenced`.
 *  S1 one running turn for each conversation and each table: an append that starts a second throws `busy`.
 *
 * Throws: `storage_full` when the disk is full (nothing was written); `not_found` for an append whose rows need a
 * conversation that was never created; `request_id_reused` for a second receipt of a requestId; `shutting_down` after
 * `close`; `internal` when the data stays locked by another process; everything else unexpected as it is.
 */
import type {
  ConversationStateName,
  NewEvent,
  OutcomeName,
  QueueItemValue,
  UsageValue,
} from '../contracts/events.ts';
import type { ApprovalDecision } from '../contracts/provider-events.ts';
import type { ConversationViewValue, MessageViewValue, TurnViewValue } from '../contracts/view.ts';
import type { RequestRecord, RunningTurn } from '../domain/conversation.ts';

/** Who may append for an attempt: the custody that claimed it last. */
export type Fence = { turnId: string; attempt: number; epoch: number };

export type AppendRequest = {
  /** `conversationStream(id)` of contracts/ids.ts. */
  stream: string;
  events: readonly NewEvent[];
  key?: string;
  fence?: Fence;
  /** With a fence: how far the spool has been read, in bytes from its start. Never moves backwards. */
  spoolOffset?: number;
  /** Write only while this attempt has no end; else answer `ended`. */
  unlessEnded?: { turnId: string; attempt: number };
  /** The receipt to remember for ever, with the fingerprint of what was asked. */
  request?: RequestRecord & { contentHash: string };
};

export type AppendResult =
  /** `repeated`: the key was there; the numbers are the first append's. An empty append has firstSeq = lastSeq + 1. */
  | { status: 'appended' | 'repeated'; firstSeq: number; lastSeq: number }
  | { status: 'ended'; outcome: OutcomeName; cause: string | null };

export type RequestRow = RequestRecord & {
  conversationId: string;
  contentHash: string;
  at: string;
};

/** Where an attempt's bytes are: its process's spool, and from which byte of it on. */
export type SpoolPlace = { host: string; spool: string; from: number };

export type ClaimRequest = {
  conversationId: string;
  turnId: string;
  attempt: number;
  host: string;
  /** Where the claimer will write, or null to keep the place recorded by an earlier claim. */
  place: { spool: string; from: number } | null;
  /** Appended in the same transaction with the new epoch, `chat.attached` for a takeover. */
  events?: (epoch: number) => NewEvent[];
};

/** Custody of an attempt: the claim raised the conversation's epoch, every earlier owner is fenced from here on. */
export type Claim = { epoch: number; place: SpoolPlace; spoolOffset: number };

export type AttemptRow = {
  conversationId: string;
  turnId: string;
  attempt: number;
  requestId: string | null;
  provider: string;
  model: string | null;
  startedAt: string;
  outcome: OutcomeName | null;
  cause: string | null;
  usage: UsageValue | null;
  /** A cancel has been recorded for it (by whom), not necessarily carried out. */
  cancelBy: string | null;
  epoch: number;
  place: SpoolPlace | null;
  spoolOffset: number;
};

export type ConversationRow = {
  conversationId: string;
  tableId: string | null;
  title: string;
  provider: string;
  model: string | null;
  workspacePath: string;
  host: string | null;
  /** The provider's own session, to resume it in a new process. */
  providerSessionId: string | null;
};

/** What the workflow starts again from when Temporal knows nothing of the conversation. */
export type WorkflowState = ConversationRow & {
  /** Not idle with no turn: the attempt ended and what follows from it was not recorded. */
  state: ConversationStateName;
  turn: RunningTurn | null;
  queue: QueueItemValue[];
};

/** An event as stored: `json` is the very text that is delivered. */
export type StoredEvent = { seq: number; type: string; json: string };

/** Streams that grew, with their newest seq. */
export type Heads = ReadonlyMap<string, number>;

export interface Store {
  append(request: AppendRequest): Promise<AppendResult>;
  /** Takes custody of an attempt. Throws `fenced` when it has ended, is not the turn's newest, or is unknown. */
  claim(request: ClaimRequest): Promise<Claim>;
  /** Remembers the provider's own session id. Fenced like an append. */
  saveProviderSession(fence: Fence, conversationId: string, sessionId: string): Promise<void>;

  /** Null when there is no such conversation. */
  conversation(conversationId: string): Promise<ConversationRow | null>;
  workflowState(conversationId: string): Promise<WorkflowState | null>;
  /** Ids after `after`, in order, of conversations that are not idle or have something waiting: each needs a workflow that goes on with it. */
  unsettled(after: string, limit: number): Promise<string[]>;
  /** The newest `messageLimit` messages and everything that is open. */
  snapshot(conversationId: string, messageLimit: number): Promise<ConversationViewValue | null>;
  /** Older messages, newest first. `before`: a messageId; null: from the newest. Unknown `before`: null. */
  messages(
    conversationId: string,
    before: string | null,
    limit: number,
  ): Promise<{ items: MessageViewValue[]; nextCursor: string | null } | null>;
  /** Turns, newest first. */
  turns(
    conversationId: string,
    cursor: string | null,
    limit: number,
  ): Promise<{ items: TurnViewValue[]; nextCursor: string | null }>;
  turn(conversationId: string, turnId: string): Promise<TurnViewValue | null>;
  attempt(turnId: string, attempt: number): Promise<AttemptRow | null>;
  /** The newest attempt of a turn with its prompt. */
  latestAttempt(turnId: string): Promise<(AttemptRow & { content: string }) | null>;
  /** The conversation's running attempt, when it is pinned to `host` and nobody has claimed it yet; else null. */
  unclaimedAttempt(
    conversationId: string,
    host: string,
  ): Promise<{ conversationId: string; turnId: string; attempt: number } | null>;
  /** Attempts without an end, of one host or of all; oldest first. */
  runningAttempts(host: string | null): Promise<AttemptRow[]>;
  request(conversationId: string, requestId: string): Promise<RequestRow | null>;
  /** The answer text of an attempt: its text segments that were not discarded, in order, joined. */
  answerText(turnId: string, attempt: number): Promise<string>;
  approval(
    conversationId: string,
    approvalId: string,
  ): Promise<{
    turnId: string;
    attempt: number;
    decision: ApprovalDecision | 'withdrawn' | null;
    by: string | null;
  } | null>;

  /** Events after `afterSeq`, upwards, at most `limit`; `lastSeq` is the stream's newest. */
  events(
    stream: string,
    afterSeq: number,
    limit: number,
  ): Promise<{ items: StoredEvent[]; lastSeq: number }>;
  lastSeq(stream: string): Promise<number>;
  /** The oldest seq from which a gapless replay is possible, minus 1: a cursor below it gets a reset. */
  replayFloor(stream: string): Promise<number>;

  /**
   * Calls `listener` after commits of any process, soon and coalesced, with what has grown since the last call.
   * Delivery is at least once and in order; a missed wake is made up by a slow poll. Returns how to stop.
   */
  watch(listener: (heads: Heads) => void): () => void;
  close(): Promise<void>;
}
