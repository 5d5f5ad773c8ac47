/**
 * Events: one row of a stream's log each, stored first and then delivered as the same object.
 *
 * Source: protocol.md section 4. An event type or field is only ever added; a reader ignores what it
 * does not know.
 */
import { Type, type Static, type TSchema } from 'typebox';

import { ID_PATTERN } from './ids.ts';

export const Id = Type.String({ pattern: ID_PATTERN });
export const Timestamp = Type.String({
  format: 'date-time',
  description: 'RFC 3339, UTC, milliseconds',
});

export const ConversationState = Type.Union([
  Type.Literal('idle'),
  Type.Literal('processing'),
  Type.Literal('cancelled'),
]);
export const Outcome = Type.Union([
  Type.Literal('completed'),
  Type.Literal('failed'),
  Type.Literal('cancelled'),
  Type.Literal('interrupted'),
]);
export const Phase = Type.Union([
  Type.Literal('waiting-for-model'),
  Type.Literal('streaming'),
  Type.Literal('tool-running'),
  Type.Literal('waiting-for-approval'),
  Type.Literal('cancelling'),
]);
export const MessageRole = Type.Union([
  Type.Literal('user'),
  Type.Literal('assistant'),
  Type.Literal('tool'),
  Type.Literal('system'),
]);
export const MessageKind = Type.Union([
  Type.Literal('text'),
  Type.Literal('reasoning'),
  Type.Literal('tool'),
]);
export const MessageStatus = Type.Union([
  Type.Literal('open'),
  Type.Literal('complete'),
  Type.Literal('partial'),
  Type.Literal('discarded'),
]);
export const ToolView = Type.Object({
  toolCallId: Type.String(),
  name: Type.String(),
  input: Type.Unknown(),
  status: Type.Union([
    Type.Literal('running'),
    Type.Literal('ok'),
    Type.Literal('error'),
    Type.Literal('denied'),
  ]),
});
export const Decision = Type.Union([Type.Literal('allow'), Type.Literal('deny')]);
export const Usage = Type.Object({
  inputTokens: Type.Number({ minimum: 0 }),
  outputTokens: Type.Number({ minimum: 0 }),
  costUsd: Type.Optional(Type.Number({ minimum: 0 })),
});
export const QueueItem = Type.Object({
  requestId: Id,
  turnId: Id,
  content: Type.String(),
  position: Type.Integer({ minimum: 0 }),
  /** 1 for a send; above 1 the item is a retry of an ended turn. */
  attempt: Type.Integer({ minimum: 1 }),
  /** When it began to wait. */
  at: Type.Optional(Timestamp),
  /** How often its text was edited. */
  edited: Type.Optional(Type.Integer({ minimum: 1 })),
  /** It is offered to the running turn; what that does not take runs as a turn of its own. */
  steer: Type.Optional(Type.Boolean()),
  /** The user message that it replaces: everything from there on is cut when it starts. */
  replaces: Type.Optional(Id),
  /** It was there when the queue was held: it stays until it is released, promoted or removed. */
  held: Type.Optional(Type.Literal(true)),
  /** It interrupts, or was promoted: it gives way to no other conversation of the table. */
  now: Type.Optional(Type.Literal(true)),
});
/** Where a fork came from; `messageId` null: the whole history. */
export const ForkOrigin = Type.Object({
  conversationId: Id,
  messageId: Type.Union([Id, Type.Null()]),
});
/** What a list shows of a conversation beside its names: kept by the store, in the transaction that changes it. */
const SUMMARY_ACTIVITY = {
  state: ConversationState,
  /** The last line that somebody wrote in it, at most 200 characters. */
  lastLine: Type.String(),
  /** User messages and assistant texts. */
  messageCount: Type.Integer({ minimum: 0 }),
  turnCount: Type.Integer({ minimum: 0 }),
  queued: Type.Integer({ minimum: 0 }),
  held: Type.Boolean(),
  /** Approvals that wait for an answer. */
  approvals: Type.Integer({ minimum: 0 }),
  /** When something last happened in it. */
  lastAt: Timestamp,
};
export const ConversationSummary = Type.Object({
  conversationId: Id,
  tableId: Type.Union([Id, Type.Null()]),
  title: Type.String(),
  archived: Type.Boolean(),
  provider: Type.String(),
  model: Type.Union([Type.String(), Type.Null()]),
  createdAt: Timestamp,
  forkedFrom: Type.Union([ForkOrigin, Type.Null()]),
  ...SUMMARY_ACTIVITY,
});

/** type → payload. The one list: types, validation, OpenAPI and AsyncAPI come from it. */
export const EVENT_PAYLOADS = {
  'conversation.created': Type.Object({
    tableId: Type.Union([Id, Type.Null()]),
    title: Type.String(),
    provider: Type.String(),
    model: Type.Union([Type.String(), Type.Null()]),
    workspacePath: Type.String(),
    forkedFrom: Type.Optional(ForkOrigin),
  }),
  'conversation.updated': Type.Object({
    title: Type.Optional(Type.String()),
    archived: Type.Optional(Type.Boolean()),
    provider: Type.Optional(Type.String()),
    model: Type.Optional(Type.Union([Type.String(), Type.Null()])),
    /** The turn host this conversation is pinned to. */
    host: Type.Optional(Type.String()),
    /** Of the command that changed it. */
    commandId: Type.Optional(Id),
  }),
  /** In a table's stream with what its list shows; in a conversation's with the state alone. */
  'conversation.state': Type.Object({
    ...Type.Partial(Type.Object(SUMMARY_ACTIVITY)).properties,
    state: ConversationState,
  }),
  'message.created': Type.Object({
    messageId: Id,
    role: Type.Union([Type.Literal('user'), Type.Literal('system')]),
    content: Type.String(),
  }),
  /** A row of another conversation, under a fresh id. */
  'message.copied': Type.Object({
    messageId: Id,
    role: MessageRole,
    kind: MessageKind,
    content: Type.String(),
    status: MessageStatus,
    at: Timestamp,
    tool: Type.Optional(ToolView),
  }),
  /** The rows after `messageId` (null: all rows) are cut: they stay readable, and the provider no longer knows of them. */
  'history.cut': Type.Object({
    messageId: Type.Union([Id, Type.Null()]),
    by: Type.Union([Type.Literal('rollback'), Type.Literal('edit')]),
    commandId: Type.Optional(Id),
  }),
  'chat.queued': Type.Object({ position: Type.Integer({ minimum: 0 }) }),
  'chat.rejected': Type.Object({ code: Type.String(), message: Type.Optional(Type.String()) }),
  'queue.changed': Type.Object({
    queue: Type.Array(QueueItem),
    /** All of it is held; absent: as before. */
    held: Type.Optional(Type.Boolean()),
    /** Of the command that changed it. */
    commandId: Type.Optional(Id),
  }),
  /** The queued message of this requestId was taken by the running turn; that turn's end is its end. */
  'chat.steered': Type.Object({ turnId: Id, attempt: Type.Integer({ minimum: 1 }) }),
  'chat.started': Type.Object({
    attempt: Type.Integer({ minimum: 1 }),
    provider: Type.String(),
    model: Type.Union([Type.String(), Type.Null()]),
  }),
  'chat.attached': Type.Object({
    epoch: Type.Integer({ minimum: 1 }),
    host: Type.String(),
    cause: Type.String(),
  }),
  'assistant.segment.started': Type.Object({
    messageId: Id,
    kind: Type.Union([Type.Literal('text'), Type.Literal('reasoning')]),
  }),
  'chat.delta': Type.Object({ messageId: Id, text: Type.String() }),
  'assistant.segment.ended': Type.Object({
    messageId: Id,
    content: Type.String(),
    status: Type.Union([Type.Literal('complete'), Type.Literal('partial')]),
  }),
  'assistant.segment.discarded': Type.Object({ messageId: Id, reason: Type.String() }),
  'tool.start': Type.Object({
    toolCallId: Type.String(),
    messageId: Id,
    name: Type.String(),
    input: Type.Unknown(),
  }),
  'tool.output': Type.Object({ toolCallId: Type.String(), text: Type.String() }),
  'tool.end': Type.Object({
    toolCallId: Type.String(),
    status: Type.Union([Type.Literal('ok'), Type.Literal('error'), Type.Literal('denied')]),
    output: Type.String(),
  }),
  'approval.requested': Type.Object({
    approvalId: Id,
    toolCallId: Type.Optional(Type.String()),
    title: Type.String(),
    input: Type.Unknown(),
    options: Type.Array(Decision),
  }),
  'approval.resolved': Type.Object({
    approvalId: Id,
    decision: Type.Union([Type.Literal('allow'), Type.Literal('deny'), Type.Literal('withdrawn')]),
    by: Type.String(),
    at: Timestamp,
  }),
  'chat.quiet': Type.Object({
    phase: Phase,
    silentMs: Type.Number({ minimum: 0 }),
    evidence: Type.Record(Type.String(), Type.Unknown()),
  }),
  'chat.retrying': Type.Object({
    attempt: Type.Integer({ minimum: 0 }),
    delayMs: Type.Number({ minimum: 0 }),
    status: Type.String(),
  }),
  'chat.cancelling': Type.Object({
    step: Type.Union([
      Type.Literal('requested'),
      Type.Literal('protocol'),
      Type.Literal('terminate'),
      Type.Literal('kill'),
      Type.Literal('sweep'),
    ]),
    by: Type.Optional(Type.String()),
    /** Processes that the step found and signalled. */
    pids: Type.Optional(Type.Array(Type.Integer())),
  }),
  notice: Type.Object({ code: Type.String(), text: Type.String() }),
  usage: Usage,
  'chat.done': Type.Object({ usage: Type.Optional(Usage) }),
  'chat.error': Type.Object({
    code: Type.String(),
    message: Type.String(),
    usage: Type.Optional(Usage),
  }),
  'chat.cancelled': Type.Object({ by: Type.String(), usage: Type.Optional(Usage) }),
  'chat.interrupted': Type.Object({
    cause: Type.String(),
    retryable: Type.Boolean(),
    message: Type.Optional(Type.String()),
    /** Whether the provider may have acted: tools of this attempt that had started. */
    toolsStarted: Type.Optional(Type.Integer({ minimum: 0 })),
  }),
  // From here on: a table's stream alone.
  'table.created': Type.Object({
    title: Type.String(),
    workspacePath: Type.String(),
    provider: Type.String(),
    model: Type.Union([Type.String(), Type.Null()]),
  }),
  'table.updated': Type.Object({
    title: Type.Optional(Type.String()),
    commandId: Type.Optional(Id),
  }),
  /** A conversation is new in the table, or its names have changed. */
  'conversation.listed': Type.Object({ conversation: ConversationSummary }),
  /** It holds the table's slot from here on. */
  'conversation.activated': Type.Object({
    previous: Type.Union([Id, Type.Null()]),
    reason: Type.Union([
      Type.Literal('created'),
      Type.Literal('user'),
      Type.Literal('send'),
      Type.Literal('queue'),
    ]),
    commandId: Type.Optional(Id),
  }),
} as const satisfies Record<string, TSchema>;

export type EventType = keyof typeof EVENT_PAYLOADS;
export type EventPayloads = { [T in EventType]: Static<(typeof EVENT_PAYLOADS)[T]> };

type EventOf<T extends EventType> = {
  type: T;
  conversationId?: string;
  tableId?: string;
  turnId?: string;
  attempt?: number;
  requestId?: string;
  payload: EventPayloads[T];
};

/** An event before the store has given it its place: no `seq`, no `at`. A union that narrows on `type`. */
export type NewEvent = { [T in EventType]: EventOf<T> }[EventType];
/** An event of a log, exactly as stored and delivered. */
export type Event = { [T in EventType]: EventOf<T> & { seq: number; at: string } }[EventType];

/** Schema of one stored event of type `type`. */
function eventSchema(type: string, payload: TSchema): TSchema {
  return Type.Object({
    type: Type.Literal(type),
    seq: Type.Integer({ minimum: 1 }),
    at: Timestamp,
    conversationId: Type.Optional(Id),
    tableId: Type.Optional(Id),
    turnId: Type.Optional(Id),
    attempt: Type.Optional(Type.Integer({ minimum: 1 })),
    requestId: Type.Optional(Id),
    payload,
  });
}

/** Every event as delivered, by type. */
export const EVENT_SCHEMAS: Readonly<Record<string, TSchema>> = Object.fromEntries(
  Object.entries(EVENT_PAYLOADS).map(([type, payload]) => [type, eventSchema(type, payload)]),
);

export type ConversationStateName = Static<typeof ConversationState>;
export type OutcomeName = Static<typeof Outcome>;
export type PhaseName = Static<typeof Phase>;
export type UsageValue = Static<typeof Usage>;
export type ConversationSummaryValue = Static<typeof ConversationSummary>;
export type QueueItemValue = Static<typeof QueueItem>;
