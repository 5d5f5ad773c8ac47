/** What readers are shown: the snapshot, summaries, turns. Source: protocol.md section 4. */
import { Type, type Static } from 'typebox';

import {
  ConversationState,
  ConversationSummary,
  Decision,
  Id,
  MailMark,
  MessageKind,
  MessageRole,
  MessageStatus,
  Outcome,
  Phase,
  QueueItem,
  Timestamp,
  ToolView,
  Usage,
} from './events.ts';

const NullableString = Type.Union([Type.String(), Type.Null()]);

/** A row of the transcript. A tool row's `content` is its output (so far, while `open`). */
export const MessageView = Type.Object({
  messageId: Id,
  role: MessageRole,
  kind: MessageKind,
  turnId: Type.Union([Id, Type.Null()]),
  attempt: Type.Union([Type.Integer({ minimum: 1 }), Type.Null()]),
  content: Type.String(),
  status: MessageStatus,
  at: Timestamp,
  tool: Type.Optional(ToolView),
  /** The mail that it is, in order. */
  mail: Type.Optional(Type.Array(MailMark)),
  /** It was cut from the history (rollback, or an edit of an earlier message), and stays readable. */
  cut: Type.Optional(Type.Literal(true)),
});

export const ActiveTurn = Type.Object({
  turnId: Id,
  requestId: Type.Union([Id, Type.Null()]),
  attempt: Type.Integer({ minimum: 1 }),
  phase: Phase,
  startedAt: Timestamp,
  lastActivityAt: Timestamp,
});

export const ApprovalView = Type.Object({
  approvalId: Id,
  turnId: Id,
  toolCallId: Type.Optional(Type.String()),
  title: Type.String(),
  input: Type.Unknown(),
  options: Type.Array(Decision),
  at: Timestamp,
});

/** The snapshot: `snapshot ⊕ events after its lastSeq` = the whole log folded (L4). */
export const ConversationView = Type.Object({
  conversationId: Id,
  tableId: Type.Union([Id, Type.Null()]),
  title: Type.String(),
  archived: Type.Boolean(),
  provider: Type.String(),
  model: NullableString,
  workspacePath: Type.String(),
  state: ConversationState,
  messages: Type.Array(MessageView),
  activeTurn: Type.Union([ActiveTurn, Type.Null()]),
  overlays: Type.Record(Type.String(), Type.String(), {
    description: 'messageId → text so far of each open segment; that row’s own content is empty',
  }),
  queue: Type.Array(QueueItem),
  /** What waits in the queue stays there until it is released. */
  held: Type.Boolean(),
  approvals: Type.Array(ApprovalView),
  usage: Usage,
  hasOlder: Type.Boolean(),
  lastSeq: Type.Integer({ minimum: 0 }),
});

/** A table without what is in it. */
export const TableFacts = Type.Object({
  tableId: Id,
  title: Type.String(),
  workspacePath: Type.String(),
  provider: Type.String(),
  model: NullableString,
  activeConversationId: Type.Union([Id, Type.Null()]),
  createdAt: Timestamp,
});

/**
 * The snapshot of a table's stream: its newest conversations first, by `lastAt`; archived ones are not among them.
 * `snapshot ⊕ events after its lastSeq` = the whole stream folded.
 */
export const TableView = Type.Object({
  ...TableFacts.properties,
  conversations: Type.Array(ConversationSummary),
  hasOlder: Type.Boolean(),
  lastSeq: Type.Integer({ minimum: 0 }),
});

/** Everything a client needs to show a table, from one read: subscribe to both streams after their `lastSeq`. */
export const TableWithActive = Type.Object({
  table: TableView,
  active: Type.Union([ConversationView, Type.Null()]),
});

export const AttemptView = Type.Object({
  attempt: Type.Integer({ minimum: 1 }),
  requestId: Type.Union([Id, Type.Null()]),
  provider: Type.String(),
  model: NullableString,
  outcome: Type.Union([Outcome, Type.Null()]),
  cause: NullableString,
  startedAt: Timestamp,
  endedAt: Type.Union([Timestamp, Type.Null()]),
  usage: Type.Union([Usage, Type.Null()]),
});

export const TurnView = Type.Object({
  turnId: Id,
  conversationId: Id,
  requestId: Type.Union([Id, Type.Null()]),
  /** Of the newest attempt; null while it runs. */
  outcome: Type.Union([Outcome, Type.Null()]),
  cause: NullableString,
  startedAt: Timestamp,
  endedAt: Type.Union([Timestamp, Type.Null()]),
  usage: Type.Union([Usage, Type.Null()]),
  attempts: Type.Array(AttemptView),
});

export const Receipt = Type.Object({
  requestId: Id,
  status: Type.Union([Type.Literal('started'), Type.Literal('queued'), Type.Literal('rejected')]),
  turnId: Type.Union([Id, Type.Null()]),
  conversationId: Id,
  position: Type.Optional(Type.Integer({ minimum: 0 })),
  code: Type.Optional(Type.String()),
});

export type TableFactsValue = Static<typeof TableFacts>;
export type TableViewValue = Static<typeof TableView>;
export type TableWithActiveValue = Static<typeof TableWithActive>;
export type ConversationViewValue = Static<typeof ConversationView>;
export type MessageViewValue = Static<typeof MessageView>;
export type ActiveTurnValue = Static<typeof ActiveTurn>;
export type ApprovalViewValue = Static<typeof ApprovalView>;
export type AttemptViewValue = Static<typeof AttemptView>;
export type TurnViewValue = Static<typeof TurnView>;
export type ReceiptValue = Static<typeof Receipt>;
