/** What a run leaves behind for the checker: plain data, recorded by clients, by a watcher of the store and by audits. */
import type { MailRowValue, TeamViewValue } from '../../src/contracts/agents.ts';
import type { ConversationSummaryValue, TriggerOutcomeName } from '../../src/contracts/events.ts';
import type { WhenBusyName } from '../../src/contracts/signals.ts';
import type {
  CreateTriggerBodyValue,
  LedgerCountsValue,
  LedgerRowValue,
  PatchTriggerBodyValue,
  TriggerViewValue,
} from '../../src/contracts/triggers.ts';
import type {
  ConversationViewValue,
  MessageViewValue,
  TableViewValue,
  TableWithActiveValue,
  TurnViewValue,
} from '../../src/contracts/view.ts';

export type LogEntry = { seq: number; json: string };

/** The log read once more at the end; what is below `floor` may have been compacted. */
export type Reread = { from: 'store' | 'http'; floor: number; entries: readonly LogEntry[] };

export type ConversationEvidence = {
  conversationId: string;
  /** Each event as it was first seen in the store. */
  log: readonly LogEntry[];
  rereads: readonly Reread[];
  /** Under which epoch each event was appended (null: not by custody), and its place among the events of all streams. */
  epochs: readonly { seq: number; epoch: number | null; order: number }[];
  /** The last snapshot. */
  view: ConversationViewValue;
  /** The whole transcript, oldest first. */
  messages: readonly MessageViewValue[];
  turns: readonly TurnViewValue[];
};

export type TableEvidence = {
  tableId: string;
  /** Its stream, as {@link ConversationEvidence}'s log. */
  log: readonly LogEntry[];
  rereads: readonly Reread[];
  /** Each event's place among the events of all streams. */
  places: readonly { seq: number; order: number }[];
  /** The last answer of the one call. */
  view: TableWithActiveValue;
  /** The last whole list, archived ones too. */
  list: readonly ConversationSummaryValue[];
};

export type TriggerEvidence = {
  triggerId: string;
  /** Its stream, as {@link ConversationEvidence}'s log. */
  log: readonly LogEntry[];
  rereads: readonly Reread[];
  /** Each event's place among the events of all streams. */
  places: readonly { seq: number; order: number }[];
  /** The whole ledger by HTTP, newest first, and its counts. */
  ledger: readonly LedgerRowValue[];
  counts: LedgerCountsValue;
  /** Null: it is removed, and has none any more. */
  view: TriggerViewValue | null;
  gatheredAtMs: number;
};

/** A team of more than its root. */
export type TeamEvidence = {
  rootId: string;
  /** Its stream, as {@link ConversationEvidence}'s log. */
  log: readonly LogEntry[];
  rereads: readonly Reread[];
  /** Each event's place among the events of all streams. */
  places: readonly { seq: number; order: number }[];
  /** The last answers of `GET …/agents`, asked of the root and of another member. */
  view: TeamViewValue;
  viewOfMember: TeamViewValue;
  /** Of each member, by small pages: what it was sent, and what it has sent. */
  mailboxes: readonly {
    conversationId: string;
    rows: readonly MailRowValue[];
    sent: readonly MailRowValue[];
  }[];
};

/** A receipt, as far as it was told. */
export type ToldReceipt = {
  status: 'started' | 'queued' | 'rejected';
  turnId: string | null;
  position?: number;
  code?: string;
};

export type CommandAnswer =
  /** 200, 409 `busy` and the like: the request has been decided. */
  | { is: 'receipt'; receipt: ToldReceipt; outcome?: string; text?: string }
  /** 202, `chat.accepted`: it is durable. */
  | { is: 'accepted' }
  /** What has no receipt has been recorded. */
  | { is: 'done' }
  /** It will never be done. */
  | { is: 'refused'; code: string }
  /** 503 `storage_full`: nothing of it was accepted; sent again it may be. */
  | { is: 'no-room' }
  /** Nothing came back, or nothing that can be relied on. */
  | { is: 'unknown'; why: string };

export type CommandRecord = {
  conversationId: string;
  kind: 'send' | 'retry';
  requestId: string;
  /** The prompt, or the turn of a retry. */
  content: string;
  whenBusy?: WhenBusyName;
  /** The message that it replaces. */
  replaces?: string;
  sentAtMs: number;
  answeredAtMs: number;
  answer: CommandAnswer;
};

/** What a client asked for that has no requestId of its own. `requestId`: of the queued message that it is about. */
export type Act =
  | { do: 'edit'; requestId: string; content: string }
  | { do: 'move'; requestId: string; position: number }
  | { do: 'promote'; requestId: string }
  | { do: 'remove'; requestId: string }
  | { do: 'hold' }
  | { do: 'release' }
  | { do: 'cancel-and-hold' }
  | { do: 'rename'; title: string }
  | { do: 'archive'; archived: boolean }
  | { do: 'rollback'; messageId: string | null }
  | { do: 'fork'; forkId: string; messageId: string | null }
  /** Of a table: `conversationId` is the one that becomes active. */
  | { do: 'new-chat' }
  | { do: 'activate'; whenBusy: 'queue' | 'reject' | 'interrupt' };

export type ActRecord = {
  act: Act;
  conversationId: string;
  /** The table that the conversation is of. */
  tableId: string | null;
  sentAtMs: number;
  answeredAtMs: number;
  /** `done`: it is recorded. `refused`: it never will be. Else it may be, or become so. */
  answer: { is: 'done' } | { is: 'refused'; code: string } | { is: 'unknown'; why: string };
};

/** What a client asked of a team, by its own ids: asked again, it is the same. */
export type AgentAct =
  /** `content` null: it is to be idle until somebody writes to it. */
  | { do: 'spawn'; agentId: string; name: string; role: string; content: string | null }
  /** `to`: an agentId, or a conversationId. */
  | {
      do: 'mail';
      messageId: string;
      to: string;
      content: string;
      whenBusy: 'queue' | 'steer';
      expiresInMs: number | null;
    }
  | { do: 'resend'; messageId: string; from: string | null }
  /** Cancels it and everything below it. */
  | { do: 'cascade' };

export type AgentActRecord = {
  act: AgentAct;
  /** Who spawns, writes, or has it sent again; or what is cancelled. */
  conversationId: string;
  rootId: string;
  /** It must be refused with this, and leave nothing behind; null: it need not. */
  refusal: string | null;
  sentAtMs: number;
  answeredAtMs: number;
  /** `accepted`: it is durable, and not recorded yet. */
  answer: ActRecord['answer'] | { is: 'accepted' };
  /** Of a spawn that is done: the child. */
  childId: string | null;
  /** Of mail, and of what is sent again, that is done: the row. */
  row: MailRowValue | null;
};

/** What a client asked of a trigger, by its own ids or in absolute terms: asked again, it is the same. */
export type TriggerAct =
  | { do: 'create'; asked: Omit<CreateTriggerBodyValue, 'triggerId'> }
  | { do: 'change'; change: PatchTriggerBodyValue }
  | { do: 'remove' }
  | { do: 'fire'; requestId: string }
  /** Both ends included. */
  | { do: 'backfill'; requestId: string; from: string; to: string };

export type TriggerActRecord = {
  act: TriggerAct;
  triggerId: string;
  sentAtMs: number;
  answeredAtMs: number;
  answer: ActRecord['answer'];
  /** What a fire that is done was answered with. */
  row: LedgerRowValue | null;
  /** The same of a backfill: how many it runs. */
  count: number | null;
};

/** What a client read of a ledger, page by page, newest first. */
export type LedgerReading = {
  triggerId: string;
  sentAtMs: number;
  /** Only of this outcome. */
  outcome: TriggerOutcomeName | null;
  items: readonly LedgerRowValue[];
  /** It was read to its end. */
  whole: boolean;
};

/**
 * What may end a turn by a client's will: a cancel, and whatever goes before what runs. With a table: the turn that runs
 * there, of whichever conversation.
 */
export type CancelRecord = {
  conversationId: string;
  tableId?: string | null;
  sentAtMs: number;
  turnId: string | null;
  /** When it was answered that it is done. Only of one that names its turn. */
  doneAtMs?: number;
};

export type ClientEntry =
  /** It asked for everything after `lastSeq`; null: for a snapshot. */
  | { is: 'subscribed'; lastSeq: number | null }
  | { is: 'event'; seq: number; json: string }
  | { is: 'snapshot'; view: ConversationViewValue }
  | { is: 'table'; view: TableViewValue }
  | { is: 'team'; view: TeamViewValue }
  | { is: 'reset' }
  | { is: 'caught-up'; seq: number }
  | { is: 'closed'; code: number };

export type ClientRecord = {
  client: string;
  /** `conversationStream(id)`, `tableStream(id)` or `teamStream(id)`. */
  stream: string;
  entries: readonly ClientEntry[];
};

/** What one spool holds of one attempt. */
export type SpoolTurn = {
  spool: string;
  conversationId: string;
  /** `<turnId>.<attempt>` */
  attemptKey: string;
  /** Times that its prompt was recorded as given. */
  begins: number;
  /** When its prompt was recorded as given first. */
  begunAtMs: number | null;
  /** Times that the provider said it began it. */
  sessions: number;
  /** Text of the blocks that the provider did not take back. */
  text: string;
  reasoning: string;
  /** The provider's own end. */
  end: string | null;
  /** The provider's own session in which it ran. */
  sessionId: string | null;
  /** What it was told of before, beside its prompt. */
  history: string | null;
};

export type Fault = {
  atMs: number;
  role: FaultRole;
  fault: FaultKind;
  /** Null: no process was hit. */
  pid: number | null;
  /** The state that was waited for, and the conversation that was in it, or that a trigger sends to; '': none is known. */
  state: Phase;
  conversationId: string;
  /** The attempt whose provider was hit. */
  attemptKey: string | null;
  /** Of a stop or a full disk: how long. */
  forMs: number;
};

export const FAULT_ROLES = [
  'gateway',
  'worker',
  'turn-host',
  'temporal',
  'supervisor',
  'provider',
  'disk',
] as const;
export type FaultRole = (typeof FAULT_ROLES)[number];
/** Those that are one process each, which the supervisor knows; it is one itself. */
export type ProcessRole = Exclude<FaultRole, 'provider' | 'disk'>;

export const FAULT_KINDS = ['kill', 'stop', 'fill'] as const;
export type FaultKind = (typeof FAULT_KINDS)[number];

export const CONVERSATION_PHASES = [
  'idle',
  'starting',
  'streaming',
  'tool-running',
  'waiting-for-approval',
  'cancelling',
  'queued-behind',
  'ending',
  // Something waits and is kept from starting.
  'held',
  // Something waits here, and the table's slot is elsewhere or occupied.
  'waiting-for-slot',
  // A turn runs in a conversation that is no longer its table's active one.
  'giving-way',
  // A message is offered to the running turn.
  'steering',
] as const;
export type ConversationPhase = (typeof CONVERSATION_PHASES)[number];

export const TRIGGER_PHASES = [
  // It is due, and what becomes of that is not decided yet.
  'trigger-due',
  // It is decided to run, and its conversation has not said anything of it.
  'trigger-sending',
] as const;
export type TriggerPhase = (typeof TRIGGER_PHASES)[number];

/** States of a member of a team, or of its whole team. */
export const AGENT_PHASES = [
  // A client has asked for it, or a script has; or it is there, and its task has not begun.
  'spawning',
  // A message to it is recorded, and is not in its queue.
  'mail-accepted',
  // The same of the end of a child's task.
  'child-ended',
  // A boot of the turn host has interrupted something of its team, and the root has not been told.
  'recovery-owed',
] as const;
export type AgentPhase = (typeof AGENT_PHASES)[number];

export const PHASES = [...CONVERSATION_PHASES, ...TRIGGER_PHASES, ...AGENT_PHASES] as const;
export type Phase = ConversationPhase | TriggerPhase | AgentPhase;

/** A process that carries a mark, or that the run has planted. */
export type ProcessEvidence = { pid: number; mark: string | null; command: string };

/** The largest figures that were seen of one role. */
export type RoleUse = { role: string; residentMb: number; descriptors: number };

/** A send, a retry or a message of an agent, as Temporal has it. */
export type SignalEvidence = { conversationId: string; requestId: string; atMs: number };

export type ReplayEvidence = { workflowId: string; events: number; error: string | null };

export type Evidence = {
  conversations: readonly ConversationEvidence[];
  tables: readonly TableEvidence[];
  triggers: readonly TriggerEvidence[];
  triggerActs: readonly TriggerActRecord[];
  readings: readonly LedgerReading[];
  teams: readonly TeamEvidence[];
  agentActs: readonly AgentActRecord[];
  commands: readonly CommandRecord[];
  acts: readonly ActRecord[];
  cancels: readonly CancelRecord[];
  clients: readonly ClientRecord[];
  /** Those of one spool in the order in which they were begun. */
  spools: readonly SpoolTurn[];
  /** When a spool's output was last written, by spool; of those that were still there to be seen. */
  lastWrites: readonly { spool: string; atMs: number }[];
  faults: readonly Fault[];
  /** Marked processes of this run that lived after every turn had ended, and every session's idle limit. */
  leftOver: readonly ProcessEvidence[];
  /** Planted processes that are none of Holdfast's business, and are gone. */
  strangersGone: readonly ProcessEvidence[];
  /** How long after the last fault everything had ended and was idle, and the limit. Null: it never was. */
  healing: { settledAfterMs: number | null; limitMs: number; stuck: readonly string[] };
  /** Limits of the silence clock, and how late a limit may be noticed on this machine. */
  silence: { quietMs: number; stalledMs: number; stalledInToolMs: number; lateMs: number };
  /**
   * What is decided after the grace is not in time, and what is decided after `lateMs` was missed; after `latestMs`, where no
   * other due time has come since. `lookMs`: what was due so long before the end is decided, on this machine.
   */
  fires: { graceMs: number; lateMs: number; latestMs: number; lookMs: number };
  use: readonly RoleUse[];
  spoolFolders: { left: number; limit: number };
  signals: readonly SignalEvidence[];
  replays: readonly ReplayEvidence[];
};
