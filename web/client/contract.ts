/**
 * What the page's components see of the engine. No component speaks HTTP or WebSocket, and no file of this folder knows React.
 *
 * Rules:
 *  1 One truth: what is shown of a conversation is the fold of its snapshot and its events (src/domain/fold.ts), and nothing is
 *    shown as said, sent or done that the log does not have. What the log does not have yet is an {@link Unsent}, and looks so.
 *  2 States are immutable; a part that did not change is the same object in the next state, so that `===` is enough to skip it.
 *  3 Events are folded at most once for each frame that the browser draws.
 *  4 A lost connection changes nothing that is shown but {@link LinkState}; what was missed is fetched from `lastSeq`.
 *  5 A send without an answer is repeated under its requestId until it has one; reloading the page does not lose it.
 */
import type {
  MailboxAnswerValue,
  MailRowValue,
  SpawnAgentBodyValue,
  TeamViewValue,
} from '../../src/contracts/agents.ts';
import type {
  OutcomeName,
  PhaseName,
  QueueItemValue,
  UsageValue,
} from '../../src/contracts/events.ts';
import type {
  ConversationsAnswerValue,
  CreateTableBodyValue,
  ForkBodyValue,
  NewChatBodyValue,
  PatchConversationBodyValue,
  ProviderItemValue,
  UpdateQueuedBodyValue,
} from '../../src/contracts/http.ts';
import type {
  CreateTriggerBodyValue,
  LedgerCountsValue,
  LedgerRowValue,
  PatchTriggerBodyValue,
  TriggerViewValue,
} from '../../src/contracts/triggers.ts';
import type {
  ApprovalViewValue,
  AttemptViewValue,
  ConversationViewValue,
  MessageViewValue,
  TableFactsValue,
  TableViewValue,
} from '../../src/contracts/view.ts';

/** A value that changes; `subscribe` answers with how to stop. Made for `useSyncExternalStore`. */
export type Readable<T> = {
  get(): T;
  subscribe(listener: () => void): () => void;
};

/** One that costs something while somebody looks at it: whoever opens it must call `release`, once. */
export type Opened<T> = Readable<T> & { release(): void };

/** What the gateway refused, or that it could not be reached (`code` `unreachable`). */
export type Problem = {
  code: string;
  /** 0: no answer came. */
  status: number;
  title: string;
  detail?: string;
};

/** A command's answer. `accepted`: it is durable, and what came of it was not known in time; the stream will show it. */
export type Outcome<T> =
  | { ok: true; value: T }
  | { ok: true; accepted: true }
  | { ok: false; problem: Problem };

export type LinkState =
  /** Nothing was ever received. */
  | { is: 'connecting' }
  | { is: 'live' }
  /** `restarting`: the gateway said goodbye. `offline`: the browser says so. Times are of `Date.now()`. */
  | {
      is: 'reconnecting';
      why: 'lost' | 'restarting' | 'offline';
      sinceMs: number;
      nextTryAtMs: number | null;
    }
  /** No token, or one that is not this engine's: nothing is tried until another one is given. */
  | { is: 'unauthorised'; hadToken: boolean };

/** A list that is read by page, newest first. */
export type Paged<T> = {
  items: readonly T[];
  is: 'loading' | 'ready' | 'failed';
  problem: Problem | null;
  hasMore: boolean;
};

// ---------------------------------------------------------------------------------------------- a conversation

/**
 * A piece of markdown that is parsed by itself. `sealed`: its text changes no more, and its object neither. `fence`: it is a piece of a
 * fence that was too long for one.
 */
export type Block = { key: string; text: string; sealed: boolean; fence?: FencePiece };
/** `key`: of the fence's first piece. `goesOn`: in the next block. `code`: what of the fence's code it is, the ends of lines included. */
export type FencePiece = { key: string; isFirst: boolean; goesOn: boolean; code: string };

/** Who decided an approval, and how; of those that this page has seen answered, or that the log tells. */
export type ApprovalAnswer = {
  decision: 'allow' | 'deny' | 'withdrawn';
  by: string;
  at: string;
};

/** A turn as its rows need it. `attempts`: oldest first; the running one has no `outcome`. */
export type TurnInfo = {
  turnId: string;
  attempts: readonly AttemptViewValue[];
  outcome: OutcomeName | null;
  cause: string | null;
  /** What its last attempt's end said: an error's message. */
  words: string | null;
  usage: UsageValue | null;
  /** It may be retried: it ended otherwise than well, and nothing runs or waits for it. */
  retryable: boolean;
};

/** Something that happened, said quietly between the rows. */
export type Note = {
  key: string;
  at: string;
  /** `attached`: a turn was taken over. `trigger`: the next message is a trigger's. `steered`: a message went into this turn. */
  kind: 'attached' | 'notice' | 'retrying' | 'trigger' | 'steered' | 'agent';
  text: string;
  /** For `trigger`: its id. For `agent`: a conversationId. */
  link?: string;
};

/** What this page wants said and the log does not have. */
export type Unsent = {
  requestId: string;
  content: string;
  atMs: number;
  /** `sending`: no answer yet. `accepted`: durable, and its event is to come. `refused`: it was not taken; the text is kept. */
  is: 'sending' | 'accepted' | 'refused';
  problem: Problem | null;
  whenBusy: WhenBusyName;
  replaces: string | null;
  /** The browser keeps nothing, or has no room: what is not sent when this page goes is gone with it. */
  isOnlyHere?: true;
};
export type WhenBusyName = 'queue' | 'reject' | 'interrupt' | 'steer';

/** What is being edited: a message that was said, by its messageId, or one that waits, by its requestId. */
export type EditName = { of: 'message' | 'queued'; id: string };
/** An edit under way. `original`: the text that it began with; null: it was begun before this page was loaded, or in another one. */
export type Edit = EditName & { text: string; original: string | null };

/**
 * What the list draws, a row each. `key` is stable, and a row that did not change is the same object.
 *
 * A message of the assistant is one row for each of its blocks, so that a long answer costs no more than what is seen of it.
 * `isFirst`, `isLast`: of its message. An attempt that a later one has followed is not among the rows unless it is shown
 * ({@link ConversationHandle.showAttempt}).
 */
export type Row =
  | { key: string; type: 'user'; message: MessageViewValue }
  /** Of role `system`: recovery, mail. `message.mail` says what it is. */
  | { key: string; type: 'system'; message: MessageViewValue }
  | {
      key: string;
      type: 'block';
      message: MessageViewValue;
      block: Block;
      isFirst: boolean;
      isLast: boolean;
      /** Its text is still coming. */
      isOpen: boolean;
      /** What of its fence follows is nothing but the line that ends it. */
      isFenceEnd?: true;
    }
  /** Folded away; `text` so far. `tookMs`: null while it is open, or unknown. */
  | {
      key: string;
      type: 'reasoning';
      message: MessageViewValue;
      text: string;
      isOpen: boolean;
      tookMs: number | null;
    }
  /** `message.content` is its output so far. `approval`: the one that it waits for; `answer`: how it was answered. */
  | {
      key: string;
      type: 'tool';
      message: MessageViewValue;
      startedAtMs: number;
      tookMs: number | null;
      approval: ApprovalViewValue | null;
      answer: ApprovalAnswer | null;
    }
  /** One that belongs to no tool. */
  | {
      key: string;
      type: 'approval';
      approval: ApprovalViewValue;
      answer: ApprovalAnswer | null;
    }
  /** Behind the last row of each attempt that is shown and has ended; and of one that runs, while others have been. */
  | {
      key: string;
      type: 'turn-end';
      turn: TurnInfo;
      attempt: AttemptViewValue;
      /** What it said was kept, and is not all. */
      isPartial: boolean;
    }
  | { key: string; type: 'note'; note: Note }
  /** What comes after it was cut from the history, and stays readable while `isOpen`. */
  | { key: string; type: 'cut'; count: number; isOpen: boolean }
  | { key: string; type: 'unsent'; unsent: Unsent };

/** What the running turn does. Times are of `Date.now()` at this machine, corrected by the server's clock. */
export type Work = {
  turnId: string;
  attempt: number;
  phase: PhaseName | 'starting';
  /** Since when that phase, the turn, and since when nothing was heard. */
  phaseSinceMs: number;
  startedAtMs: number;
  lastSignMs: number;
  /** The tool that runs, the approval that is waited for. */
  detail: string | null;
  /** The engine has found it silent: its evidence, in words. Gone with the next sign of life. */
  quiet: { sinceMs: number; evidence: readonly { what: string; value: string }[] } | null;
  /** Steps of a cancel so far, in order. */
  cancelling: readonly {
    step: 'requested' | 'protocol' | 'terminate' | 'kill' | 'sweep';
    atMs: number;
  }[];
  /** The provider tries again by itself. */
  retrying: { attempt: number; untilMs: number; status: string } | null;
  usage: UsageValue | null;
};

export type ConversationState = {
  is: 'loading' | 'ready' | 'failed';
  problem: Problem | null;
  view: ConversationViewValue;
  rows: readonly Row[];
  work: Work | null;
  older: 'none' | 'more' | 'loading' | 'failed';
  /** The rows are as of `view.lastSeq`, and the link is away: what is shown may be old. */
  isStale: boolean;
};

/** One conversation, looked at. Commands answer when they are durable; what they change comes by the stream. */
export type ConversationHandle = Opened<ConversationState> & {
  readonly conversationId: string;
  /** Takes the text over: it is kept, in this browser, until the log has it. Answers with its requestId. */
  send(message: { content: string; whenBusy?: WhenBusyName; replaces?: string }): string;
  /** Of one that was refused: once more, or not at all (its text comes back). */
  sendAgain(requestId: string): void;
  takeBack(requestId: string): string;
  cancel(request?: { cascade?: boolean; holdQueue?: boolean }): Promise<Outcome<unknown>>;
  retry(turnId: string): Promise<Outcome<unknown>>;
  /**
   * Of the turn that runs: it is cancelled, and retried once that end is recorded, also when somebody leaves the conversation or the
   * page in between. Comes to nothing where it ends otherwise. Answers when it is over.
   */
  retryAfterEnd(turnId: string): Promise<Outcome<unknown>>;
  answer(request: {
    approvalId: string;
    decision: 'allow' | 'deny';
    message?: string;
  }): Promise<Outcome<unknown>>;
  updateQueued(requestId: string, change: UpdateQueuedBodyValue): Promise<Outcome<unknown>>;
  removeQueued(requestId: string): Promise<Outcome<unknown>>;
  holdQueue(held: boolean): Promise<Outcome<unknown>>;
  fork(request: ForkBodyValue): Promise<Outcome<ConversationViewValue>>;
  rollback(messageId: string | null): Promise<Outcome<unknown>>;
  patch(change: PatchConversationBodyValue): Promise<Outcome<unknown>>;
  loadOlder(): void;
  /** Which attempt of a turn is shown; null: the newest. */
  showAttempt(turnId: string, attempt: number | null): void;
  /** All rows of one attempt, for two of them side by side. */
  rowsOfAttempt(turnId: string, attempt: number): readonly Row[];
  showCut(key: string, isOpen: boolean): void;
  why(): Promise<Outcome<WhyValue>>;
  /** What was typed and not sent, kept in this browser; '' when there is none. */
  readonly draft: Readable<string>;
  setDraft(text: string): void;
  /** Edits under way, kept in this browser as the draft is, oldest first; each until it is ended: saved, or given up. */
  readonly edits: Readable<readonly Edit[]>;
  setEdit(edit: Edit): void;
  endEdit(edit: EditName): void;
};

/** `GET /v1/conversations/:c/why`. */
export type WhyValue = {
  state: string;
  waitingFor: string;
  since: string | null;
  evidence: readonly { what: string; value: string }[];
  fix: { command: string; why: string } | null;
  temporalUi: string | null;
};

// ------------------------------------------------------------------------------- tables, teams, triggers, the whole

export type TableState = {
  is: 'loading' | 'ready' | 'failed';
  problem: Problem | null;
  view: TableViewValue;
  isStale: boolean;
};
export type TableHandle = Opened<TableState> & {
  readonly tableId: string;
  newChat(request: NewChatBodyValue): Promise<Outcome<ConversationViewValue>>;
  activate(request: {
    conversationId: string;
    whenBusy?: 'queue' | 'interrupt' | 'reject';
  }): Promise<Outcome<unknown>>;
  rename(title: string): Promise<Outcome<unknown>>;
  /** A page of what is not in the view: older ones, archived ones, what a search finds. `match` as the API gives it. */
  list(request: {
    q?: string;
    archived?: 'true' | 'false' | 'any';
    cursor?: string;
  }): Promise<Outcome<ConversationsAnswerValue>>;
};

export type TeamState = {
  is: 'loading' | 'ready' | 'failed';
  problem: Problem | null;
  team: TeamViewValue;
};
export type TeamHandle = Opened<TeamState> & {
  spawn(parentId: string, request: SpawnAgentBodyValue): Promise<Outcome<unknown>>;
  mailbox(
    conversationId: string,
    request: { box: 'in' | 'out' | 'any'; cursor?: string },
  ): Promise<Outcome<MailboxAnswerValue>>;
  write(
    fromConversationId: string,
    request: { to: string; content: string },
  ): Promise<Outcome<MailRowValue>>;
  resend(conversationId: string, row: MailRowValue): Promise<Outcome<unknown>>;
};

/** All triggers, and one's ledger. The API has no stream of them: they are read again when a `trigger.fired` is seen, at each due time that comes, and every 30 s. */
export type TriggersHandle = Opened<Paged<TriggerViewValue>> & {
  create(request: CreateTriggerBodyValue): Promise<Outcome<TriggerViewValue>>;
  patch(triggerId: string, change: PatchTriggerBodyValue): Promise<Outcome<TriggerViewValue>>;
  remove(triggerId: string): Promise<Outcome<unknown>>;
  fire(triggerId: string): Promise<Outcome<unknown>>;
  /** `outcome`: only rows of that one; `counts` are of the whole ledger all the same. */
  openLedger(triggerId: string, filter?: { outcome?: LedgerRowValue['outcome'] }): LedgerHandle;
};
export type LedgerHandle = Opened<Paged<LedgerRowValue> & { counts: LedgerCountsValue | null }> & {
  loadMore(): void;
};

export type HoldfastClient = {
  readonly link: Readable<LinkState>;
  /** Another token: tried at once, and remembered when it is the right one. */
  setToken(token: string): void;
  /** Now, without waiting for the next try. */
  reconnect(): void;
  readonly tables: Readable<Paged<TableFactsValue>>;
  /** The next page of them; what is there stays, and the list `ready`. Nothing where there is none, or one is on its way. */
  loadMoreTables(): void;
  createTable(request: CreateTableBodyValue): Promise<Outcome<TableFactsValue>>;
  openTable(tableId: string): TableHandle;
  openConversation(conversationId: string): ConversationHandle;
  /** The team of that conversation. */
  openTeam(conversationId: string): TeamHandle;
  openTriggers(): TriggersHandle;
  providers(): Promise<Outcome<readonly ProviderItemValue[]>>;
  /** Closes everything; nothing is to be called after it. */
  close(): void;
};

export type { ProviderItemValue, QueueItemValue };
