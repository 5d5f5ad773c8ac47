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
 *  S1 one running turn for each conversation and each table, and in a table only of its active conversation: an append
 *     that starts another throws `busy`; its detail `reason` is `own` (a turn of this conversation runs), `running` (one of
 *     another conversation of the table), `elsewhere` (another one is active) or `waiting` (see `unlessWaitedBefore`).
 *  T1 what a list shows is written with the event that changes it: an append to a table's conversation that creates or
 *     renames it, or brings it up from below another, also appends `conversation.listed` to the table's stream; any other
 *     that changes its state, turns, queue, open approvals or rows one `conversation.state` with all of what the list shows.
 *     Segments and tools of a running turn count at the next such moment. `lastAt` is of the newest; a new name is none.
 *
 *  D1 a trigger's rules and decisions are events of its stream, and its ledger is projected from them: a row for each dueAt of
 *     cause `due` or `backfill`, where a later `backfill` takes the place of a row that did not run and leaves one that did; and
 *     a row for each `manual` one (of one requestId: the first). An append of `trigger.decided` (cause `due`), `trigger.updated`
 *     or `trigger.removed` whose `from` is not the trigger's `decidedUntil`, and any of them of a removed trigger, throws
 *     `fenced`; of an unknown one, `not_found`. Rows outside of what they decide, and a backfill of what is not decided yet, are
 *     a caller's defect: a TypeError. An append's events are decided one upon the other.
 *  M1 a mailbox is projected from its conversation's events: `mail.accepted` is a row, a second one of (sender, messageId) none. Its
 *     row follows the receipt of its request (`mailRequestId` of mail-request-id.ts) in the same transaction, also one that was there
 *     before: queued `delivered`, started or taken by steering `applied`, rejected `failed` with the code, removed or dropped unstarted
 *     `failed` (`removed`); what it covers (which only mail from Holdfast itself does) goes along with it. `mail.again` is for what has
 *     failed or expired, has the row accepted from then on for as long as it had at first (a day, when its time was over already), and
 *     wait no more. The end of a child's attempt appends `mail.accepted` to its parent's stream in the same transaction, when that
 *     attempt is of the turn of the child's task (domain/mail.ts; another messageId where the child has used that one itself).
 *  M2 an end `interrupted` with a `boot`, of a member of a team, is owed to that team's root until a `mail.accepted` of kind `recovery`
 *     in the root's stream: that settles what was owed of the hosts of its `boot`, or all when nothing is owed of that boot. Not owed is
 *     what names a boot of which the root has been told.
 *  T2 what the tree shows of a member of a team is told to the team's stream (`agent.changed`) with the event that changes it, at the
 *     moments of T1 and when its mailbox changes; its usage and its session count at the next such moment. A conversation becomes a
 *     team's root with its first child, and is told first. A child over a limit of limits.ts throws `budget_exceeded` with `limit`:
 *     `depth`, `breadth` or `agents`; a second one of (root, agentId) `request_id_reused`; one of an unknown parent `not_found`.
 *     A link that contradicts the parent's is a caller's defect: a TypeError; so is an append to a team's stream.
 *
 *  D2 a receipt of a request that is in a ledger is written into its row in the same transaction: the turn, or why it was
 *     refused; a receipt that was there before is, with the row. What has a receipt counts as sent.
 *
 * Throws: `storage_full` when the disk is full (nothing was written); `not_found` for an append whose rows need a
 * conversation that was never created; `request_id_reused` for a second receipt of a requestId; `shutting_down` after
 * `close`; `internal` when the data stays locked by another process; everything else unexpected as it is.
 */
import type { MailRowValue, TeamViewValue } from '../contracts/agents.ts';
import type {
  AgentLinkValue,
  ConversationStateName,
  ConversationSummaryValue,
  Event,
  MailKindName,
  MailStateName,
  NewEvent,
  OutcomeName,
  QueueItemValue,
  TriggerDefinitionValue,
  TriggerOutcomeName,
  UsageValue,
} from '../contracts/events.ts';
import type { ApprovalDecision } from '../contracts/provider-events.ts';
import type { LedgerCountsValue, LedgerRowValue } from '../contracts/triggers.ts';
import type {
  ConversationViewValue,
  MessageViewValue,
  TableFactsValue,
  TableViewValue,
  TableWithActiveValue,
  TurnViewValue,
} from '../contracts/view.ts';
import type { RequestRecord, RunningTurn } from '../domain/conversation.ts';

/** Who may append for an attempt: the custody that claimed it last. */
export type Fence = { turnId: string; attempt: number; epoch: number };

export type AppendRequest = {
  /** `conversationStream(id)`, `tableStream(id)` or `triggerStream(id)` of contracts/ids.ts; a team's is the store's own. */
  stream: string;
  events: readonly NewEvent[];
  key?: string;
  fence?: Fence;
  /** With a fence: how far the spool has been read, in bytes from its start. Never moves backwards. */
  spoolOffset?: number;
  /** Write only while this attempt has no end; else answer `ended`. */
  unlessEnded?: { turnId: string; attempt: number };
  /** Throw `busy` (reason `waiting`) when another conversation of the table has been waiting since before this time. */
  unlessWaitedBefore?: string;
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
  /** The running attempt that took the message in: its end is this request's end. */
  steeredInto: { turnId: string; attempt: number } | null;
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
  /** The provider's own session, to resume it in a new process. Null again after a cut and after a change of provider. */
  providerSessionId: string | null;
  /** Raised by each of those: a process of an earlier one knows what it should not. */
  sessionGeneration: number;
};

/** What the workflow starts again from when Temporal knows nothing of the conversation. */
export type WorkflowState = ConversationRow & {
  /** Not idle with no turn: the attempt ended and what follows from it was not recorded. */
  state: ConversationStateName;
  turn: RunningTurn | null;
  queue: QueueItemValue[];
  held: boolean;
};

/** What a table's workflow decides upon. One read. */
export type TableState = {
  tableId: string;
  activeConversationId: string | null;
  running: {
    conversationId: string;
    turnId: string;
    attempt: number;
    cancelRequested: boolean;
  } | null;
  /**
   * Conversations with a queue of which a row is not held, and no running turn; the one that has waited longest first.
   * `since`: when the first of those rows was queued.
   */
  waiting: { conversationId: string; since: string }[];
};

/** A trigger as it stands. */
export type TriggerRow = {
  triggerId: string;
  definition: TriggerDefinitionValue;
  /** Name of the present rule. */
  rule: string;
  createdAt: string;
  updatedAt: string;
  /** Every due time up to and with it has its row. */
  decidedUntil: string;
  nextDueAt: string | null;
  /** Then nothing is due any more; its ledger stays. */
  removedAt: string | null;
};

/** A decision that is still to be sent. */
export type Undelivered = {
  triggerId: string;
  dueAt: string;
  decidedAt: string;
  outcome: TriggerOutcomeName;
  words: string;
  requestId: string;
  conversationId: string;
  whenBusy: 'queue' | 'reject' | 'interrupt';
  /** Of the rule by which it was decided. */
  definition: TriggerDefinitionValue;
};

/** What an agent was made as. `task`: the prompt; null: it was made without one. */
export type AgentRow = AgentLinkValue & { conversationId: string; task: string | null };

/** A row of a mailbox that is to be taken. `sending`: how often it was, from 1. */
export type TakeableMail = {
  messageId: string;
  from: string | null;
  /** AgentId and name of the sender; null: Holdfast itself. */
  sender: { agentId: string; name: string } | null;
  kind: MailKindName;
  content: string;
  outcome: OutcomeName | null;
  whenBusy: 'queue' | 'steer';
  requestId: string;
  expiresAt: string | null;
};

/** What a boot has interrupted of a team, and nobody has told its root. */
export type OwedRecovery = {
  rootId: string;
  /** Newest last. */
  interrupted: {
    conversationId: string;
    turnId: string;
    attempt: number;
    boot: string;
    cause: string;
    at: string;
  }[];
};

/** A list's row; `match`: what a search found (null messageId: the title). */
export type ListedConversation = ConversationSummaryValue & {
  match?: { messageId: string | null; snippet: string };
};

/** An event as stored: `json` is the very text that is delivered. */
export type StoredEvent = { seq: number; type: string; json: string };

/** Streams that grew, with their newest seq. */
export type Heads = ReadonlyMap<string, number>;

export interface Store {
  append(request: AppendRequest): Promise<AppendResult>;
  /** Takes custody of an attempt. Throws `fenced` when it has ended, is not the turn's newest, or is unknown. */
  claim(request: ClaimRequest): Promise<Claim>;
  /**
   * Creates `conversationId` with `conversation.created` and a `message.copied` for each row of the origin that is not cut,
   * discarded or open, up to and with `origin.messageId` (null: all). Repeated, it does nothing. False: there is no such
   * origin, or no such message among those rows. Throws: `not_found` when there is no such table.
   */
  fork(request: {
    conversationId: string;
    create: {
      tableId: string | null;
      title: string;
      provider: string;
      model: string | null;
      workspacePath: string;
    };
    origin: { conversationId: string; messageId: string | null };
  }): Promise<boolean>;
  /**
   * Folds away pieces (`chat.delta`, `tool.output`) of attempts that ended before `endedBefore`, except those of each conversation's
   * last attempt, at most about `limit` rows, and moves the replay floors. Answers how many rows went; 0: nothing is left to do.
   */
  compact(request: { endedBefore: string; limit: number }): Promise<number>;
  /**
   * Appends a foreign conversation's log, as `events` gave it, as a new conversation that stands alone (domain/transfer.ts): with
   * its own times, under fresh ids where this store has them already, with nothing running and its queue held. All or nothing.
   * Throws: `invalid_request` when the conversation exists, and for events that are no conversation's log.
   */
  importConversation(request: {
    conversationId: string;
    events: readonly Event[];
  }): Promise<{ lastSeq: number }>;
  /**
   * Remembers the provider's own session id; null: it has lost that session. Fenced like an append. Nothing is written when the
   * conversation's session generation is another than `sessionGeneration`, the one of the process that reports it: it may do so
   * after a cut or a change of provider.
   */
  saveProviderSession(
    fence: Fence,
    conversationId: string,
    sessionId: string | null,
    sessionGeneration: number,
  ): Promise<void>;

  /** Null when there is no such conversation. */
  conversation(conversationId: string): Promise<ConversationRow | null>;
  workflowState(conversationId: string): Promise<WorkflowState | null>;
  /**
   * Ids after `after`, in order, of conversations that are not idle, or stand alone and have something waiting that is not held:
   * each needs a workflow that goes on with it.
   */
  unsettled(after: string, limit: number): Promise<string[]>;
  /** Ids after `after`, in order, of tables in which a conversation waits while nothing runs: each needs its workflow to look. */
  waitingTables(after: string, limit: number): Promise<string[]>;
  /** Null when there is no such table. */
  tableState(tableId: string): Promise<TableState | null>;
  table(tableId: string): Promise<TableFactsValue | null>;
  /** Tables, newest first. */
  tables(
    cursor: string | null,
    limit: number,
  ): Promise<{ items: TableFactsValue[]; nextCursor: string | null }>;
  tableView(tableId: string, conversationLimit: number): Promise<TableViewValue | null>;
  /** {@link tableView} and the active conversation's snapshot, in one read. */
  tableWithActive(
    tableId: string,
    conversationLimit: number,
    messageLimit: number,
  ): Promise<TableWithActiveValue | null>;
  /**
   * Conversations of a table, most recent first; with `query` those in whose title or messages it is found, with where.
   * Throws: `invalid_request` for a query that is not well-formed, and for a cursor that no list gave.
   */
  conversations(request: {
    tableId: string;
    archived: boolean | null;
    query: string | null;
    cursor: string | null;
    limit: number;
  }): Promise<{ items: ListedConversation[]; nextCursor: string | null }>;
  summary(conversationId: string): Promise<ConversationSummaryValue | null>;
  /** A row of the transcript and the one before it (that is not cut); null: there is none. */
  message(
    conversationId: string,
    messageId: string,
  ): Promise<{ message: MessageViewValue; previousMessageId: string | null } | null>;
  /**
   * What `turnId`'s provider should know when it begins: rows of other turns that are neither cut nor discarded nor open, oldest
   * first (of a retried turn also what was said since): the newest of them, up to `limitBytes` of text. The oldest one that
   * is given may be its text's end only; `truncated` says that something was left out.
   */
  history(
    conversationId: string,
    turnId: string,
    limitBytes: number,
  ): Promise<{ rows: MessageViewValue[]; truncated: boolean }>;
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

  /** Null when there was never such a trigger. */
  trigger(triggerId: string): Promise<TriggerRow | null>;
  /** Those that are not removed, newest first. Throws: `invalid_request` for a cursor that no list gave. */
  triggers(request: {
    tableId: string | null;
    conversationId: string | null;
    cursor: string | null;
    limit: number;
  }): Promise<{ items: TriggerRow[]; nextCursor: string | null }>;
  /** How many are not removed. */
  triggerCount(): Promise<number>;
  /** Newest dueAt first. `from`, `to`: of dueAt, included. Throws: `invalid_request` for a cursor that no list gave. */
  ledger(request: {
    triggerId: string;
    outcome: TriggerOutcomeName | null;
    from: string | null;
    to: string | null;
    cursor: string | null;
    limit: number;
  }): Promise<{ items: LedgerRowValue[]; nextCursor: string | null }>;
  /** Counts, newest row (by dueAt), and the newest that says `late`, `rejected`, or `skipped` for another reason than `paused`. */
  ledgerSummary(triggerId: string): Promise<{
    counts: LedgerCountsValue;
    last: LedgerRowValue | null;
    trouble: LedgerRowValue | null;
  }>;
  /** The row of a request; null: there is none. */
  ledgerRow(triggerId: string, requestId: string): Promise<LedgerRowValue | null>;
  /** Due times from `from` to `to` (included) that have a row which ran (`fired`, `late`, `caught-up`), upwards. */
  ranBetween(triggerId: string, from: string, to: string): Promise<string[]>;
  /** Decisions that are still to be sent, in order of decision and dueAt, at most `limit`. */
  undelivered(triggerId: string, limit: number): Promise<Undelivered[]>;
  /** They have been sent: the Signal is durable. */
  markDelivered(triggerId: string, requestIds: readonly string[]): Promise<void>;
  /** What was decided before then, was sent and has no receipt is to be sent again: it may have been lost with Temporal's database. */
  forgetDelivery(triggerId: string, decidedBefore: string): Promise<void>;
  /** Ids after `after`, in order, of triggers with something due before `dueBefore`, or decided before `decidedBefore` and not sent. */
  overdueTriggers(request: {
    dueBefore: string;
    decidedBefore: string;
    after: string;
    limit: number;
  }): Promise<string[]>;

  /** Null: no agent, but perhaps a root or a conversation that stands alone. */
  agent(conversationId: string): Promise<AgentRow | null>;
  /** The conversationId of a member by its agentId (`root`: the root itself). */
  memberByAgentId(rootId: string, agentId: string): Promise<string | null>;
  /** Conversations that this one has made, oldest first. */
  children(conversationId: string): Promise<string[]>;
  /** The tree, a parent before its children, of any conversation of which `rootId` is the id; null: there is no such conversation, or it is an agent. */
  team(rootId: string): Promise<TeamViewValue | null>;
  /** Rows in the order of their acceptance. Throws: `invalid_request` for a cursor that no list gave. */
  mail(request: {
    conversationId: string;
    box: 'in' | 'out' | 'any';
    state: MailStateName | null;
    cursor: string | null;
    limit: number;
  }): Promise<{ items: MailRowValue[]; nextCursor: string | null }>;
  /** The row of (receiver, sender, messageId). */
  mailRow(row: {
    conversationId: string;
    from: string | null;
    messageId: string;
  }): Promise<MailRowValue | null>;
  /**
   * Rows of a mailbox that are accepted and not covered, in order, as many as fit into both limits, and one that is larger when the
   * limit is MAIL_QUEUE_LIMIT_BYTES; `more`: there are others. Those that wait (`waits`) only with `waiting`. `limit` 0: none. Also
   * those that have expired. Not those of a boot of which the root is to be told (M2), for RECOVERY_OWED_MS at most.
   */
  takeableMail(request: {
    conversationId: string;
    limit: number;
    limitBytes: number;
    waiting: boolean;
  }): Promise<{ items: TakeableMail[]; more: boolean }>;
  /** How many rows of a mailbox are accepted and not covered; counted up to `limit`. */
  untakenMail(conversationId: string, limit: number): Promise<number>;
  /** The prompt (`promptOfMail`) of the rows of these requests that are in the mailbox. */
  mailTexts(conversationId: string, requestIds: readonly string[]): Promise<Map<string, string>>;
  /** Ids after `after`, in order, of conversations with takeable mail that does not wait and was accepted before then. */
  withUntakenMail(request: {
    acceptedBefore: string;
    after: string;
    limit: number;
  }): Promise<string[]>;
  /** Of attempts that ran on that host, or on none that is known, and what has been owed for longer than RECOVERY_OWED_MS. */
  owedRecoveries(host: string): Promise<OwedRecovery[]>;

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
