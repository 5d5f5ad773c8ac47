/** What a run leaves behind for the checker: plain data, recorded by clients, by a watcher of the store and by audits. */
import type {
  ConversationViewValue,
  MessageViewValue,
  TurnViewValue,
} from '../../src/contracts/view.ts';

export type LogEntry = { seq: number; json: string };

export type ConversationEvidence = {
  conversationId: string;
  /** Each event as it was first seen in the store. */
  log: readonly LogEntry[];
  /** The log read once more at the end; what is below `floor` may have been compacted. */
  rereads: readonly { from: 'store' | 'http'; floor: number; entries: readonly LogEntry[] }[];
  /** The epoch under which each event was appended; null: not by custody. */
  epochs: readonly { seq: number; epoch: number | null }[];
  /** The last snapshot. */
  view: ConversationViewValue;
  /** The whole transcript, oldest first. */
  messages: readonly MessageViewValue[];
  turns: readonly TurnViewValue[];
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
  sentAtMs: number;
  answeredAtMs: number;
  answer: CommandAnswer;
};

/** A cancel, or a send that interrupts: what may end a turn by a client's will. */
export type CancelRecord = { conversationId: string; sentAtMs: number; turnId: string | null };

export type ClientEntry =
  /** It asked for everything after `lastSeq`; null: for a snapshot. */
  | { is: 'subscribed'; lastSeq: number | null }
  | { is: 'event'; seq: number; json: string }
  | { is: 'snapshot'; view: ConversationViewValue }
  | { is: 'reset' }
  | { is: 'caught-up'; seq: number }
  | { is: 'closed'; code: number };

export type ClientRecord = {
  client: string;
  conversationId: string;
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
};

export type Fault = {
  atMs: number;
  role: FaultRole;
  fault: FaultKind;
  /** Null: no process was hit. */
  pid: number | null;
  /** The state that was waited for, and the conversation that was in it. */
  state: ConversationPhase;
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
] as const;
export type ConversationPhase = (typeof CONVERSATION_PHASES)[number];

/** A process that carries a mark, or that the run has planted. */
export type ProcessEvidence = { pid: number; mark: string | null; command: string };

/** The largest figures that were seen of one role. */
export type RoleUse = { role: string; residentMb: number; descriptors: number };

export type SignalEvidence = { conversationId: string; requestId: string; atMs: number };

export type ReplayEvidence = { workflowId: string; events: number; error: string | null };

export type Evidence = {
  conversations: readonly ConversationEvidence[];
  commands: readonly CommandRecord[];
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
  silence: { quietMs: number; stalledMs: number; lateMs: number };
  use: readonly RoleUse[];
  spoolFolders: { left: number; limit: number };
  signals: readonly SignalEvidence[];
  replays: readonly ReplayEvidence[];
};
