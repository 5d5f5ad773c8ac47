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

/** A name of the IANA time zone database, such as `Europe/Berlin`; `UTC` where none is given. */
const TimeZone = Type.String({ minLength: 1, maxLength: 64 });

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
/**
 * `task`: the prompt that an agent was made with. `result`, `error`: how an agent's task ended (completed, or not). `message`: what
 * one wrote to another. `recovery`: what a boot has interrupted.
 */
export const MailKind = Type.Union([
  Type.Literal('task'),
  Type.Literal('message'),
  Type.Literal('result'),
  Type.Literal('error'),
  Type.Literal('recovery'),
]);
/** Whose mail a message or a queued row is. `from`: the sender's conversationId; null: Holdfast itself. */
export const MailMark = Type.Object({
  messageId: Id,
  from: Type.Union([Id, Type.Null()]),
  kind: MailKind,
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
  /** It is mail, of which `content` is the beginning; `bytes` has the whole. What of it stands together is given to one turn. */
  mail: Type.Optional(Type.Object({ ...MailMark.properties, bytes: Type.Integer({ minimum: 0 }) })),
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

/** What a conversation is in its team: an agent is a conversation that another one has made. */
export const AgentLink = Type.Object({
  /** Names it within its team; the root's is `root`. */
  agentId: Id,
  name: Type.String(),
  role: Type.String(),
  /** ConversationId of the team's root, and of the one that made it. */
  rootId: Id,
  parentId: Id,
  /** 1 for the root's children. */
  depth: Type.Integer({ minimum: 1 }),
});
/**
 * `accepted`: it is recorded. `delivered`: it is in the receiver's queue. `applied`: a turn of the receiver has begun with it or
 * taken it in. `failed`: refused or removed. `expired`: not taken in its time. The last two can be sent again.
 */
export const MailState = Type.Union([
  Type.Literal('accepted'),
  Type.Literal('delivered'),
  Type.Literal('applied'),
  Type.Literal('failed'),
  Type.Literal('expired'),
]);
/** An agentId, or the conversationId of one that is no member any more. */
export const MailAddress = Type.String();
/** A member of a team, as the tree shows it. The root: depth 0, no parent, agentId `root`. */
export const AgentView = Type.Object({
  agentId: Id,
  conversationId: Id,
  parentId: Type.Union([Id, Type.Null()]),
  name: Type.String(),
  role: Type.String(),
  depth: Type.Integer({ minimum: 0 }),
  provider: Type.String(),
  model: Type.Union([Type.String(), Type.Null()]),
  workspacePath: Type.String(),
  /** The provider's own session; null: it has none yet, or has lost it. */
  providerSessionId: Type.Union([Type.String(), Type.Null()]),
  state: ConversationState,
  /** How its newest attempt that has ended did; null: none has. */
  outcome: Type.Union([Outcome, Type.Null()]),
  lastLine: Type.String(),
  turnCount: Type.Integer({ minimum: 0 }),
  queued: Type.Integer({ minimum: 0 }),
  approvals: Type.Integer({ minimum: 0 }),
  usage: Usage,
  /** Its mailbox: how many rows are in each state. */
  mail: Type.Object({
    accepted: Type.Integer({ minimum: 0 }),
    delivered: Type.Integer({ minimum: 0 }),
    applied: Type.Integer({ minimum: 0 }),
    failed: Type.Integer({ minimum: 0 }),
    expired: Type.Integer({ minimum: 0 }),
  }),
  createdAt: Timestamp,
  lastAt: Timestamp,
});

/** When a trigger is due. Times of `cron`, and an `at` without an offset, are of `timezone` (IANA). */
export const TriggerSchedule = Type.Union([
  /** Five fields (minute hour day month weekday), or six with seconds first. */
  Type.Object(
    { cron: Type.String({ minLength: 1, maxLength: 200 }), timezone: TimeZone },
    { additionalProperties: false },
  ),
  /** At whole multiples of it since 1970, whatever the zone: every 5 minutes is at :00, :05, :10 … */
  Type.Object(
    { everyMs: Type.Integer({ minimum: 1 }), timezone: TimeZone },
    { additionalProperties: false },
  ),
  Type.Object(
    { at: Type.String({ minLength: 1, maxLength: 40 }), timezone: TimeZone },
    { additionalProperties: false },
  ),
]);
/** What becomes of due times that the engine was not there for. `limit`: of run-all; `windowMs`: of window. */
export const TriggerMissed = Type.Object({
  policy: Type.Union([
    Type.Literal('skip'),
    Type.Literal('run-once'),
    Type.Literal('run-all'),
    Type.Literal('window'),
  ]),
  limit: Type.Optional(Type.Integer({ minimum: 1 })),
  windowMs: Type.Optional(Type.Integer({ minimum: 1 })),
});
export const TriggerWhenBusy = Type.Union([
  Type.Literal('skip'),
  Type.Literal('queue'),
  Type.Literal('interrupt'),
]);
/** A trigger as it was asked for, with what was left out filled in. One of tableId and conversationId is null. */
export const TriggerDefinition = Type.Object({
  title: Type.String(),
  tableId: Type.Union([Id, Type.Null()]),
  conversationId: Type.Union([Id, Type.Null()]),
  content: Type.String({ minLength: 1 }),
  schedule: TriggerSchedule,
  /** Each due time is acted upon up to so much later, always by the same amount; it is due at its nominal time all the same. */
  jitterMs: Type.Integer({ minimum: 0 }),
  /** Due times before the one and after the other are none. */
  startAt: Type.Union([Timestamp, Type.Null()]),
  endAt: Type.Union([Timestamp, Type.Null()]),
  missed: TriggerMissed,
  whenBusy: TriggerWhenBusy,
  /** Each fire makes a conversation of its own, in the table. */
  newConversation: Type.Boolean(),
  paused: Type.Boolean(),
});
export const TriggerOutcome = Type.Union([
  Type.Literal('fired'),
  Type.Literal('late'),
  Type.Literal('caught-up'),
  Type.Literal('skipped'),
  Type.Literal('rejected'),
]);
/** Of what a decision is: a due time, a run by hand, or a due time that somebody had run afterwards. */
export const TriggerCause = Type.Union([
  Type.Literal('due'),
  Type.Literal('manual'),
  Type.Literal('backfill'),
]);
/** One decision. What runs (`fired`, `late`, `caught-up`) has a requestId and a conversationId, and nothing else has. */
export const DecidedFire = Type.Object({
  dueAt: Timestamp,
  decidedAt: Timestamp,
  outcome: TriggerOutcome,
  /** Stable: `paused`, `missed`, `busy`, `not_found`, `manual`, `backfill`. */
  reason: Type.Optional(Type.String()),
  /** Why, in words. */
  words: Type.String(),
  /** Name of the rule that made it due. */
  rule: Type.String(),
  requestId: Type.Optional(Id),
  conversationId: Type.Optional(Id),
  /** Of what runs: `skip` is `reject` here. */
  whenBusy: Type.Optional(
    Type.Union([Type.Literal('queue'), Type.Literal('reject'), Type.Literal('interrupt')]),
  ),
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
    agent: Type.Optional(AgentLink),
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
    /** The mail that it is, in order. */
    mail: Type.Optional(Type.Array(MailMark)),
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
    mail: Type.Optional(Type.Array(MailMark)),
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
    /** The turn host's boot that found it dead. */
    boot: Type.Optional(Id),
  }),
  /** A trigger has sent the message of this requestId, which comes next. */
  'trigger.fired': Type.Object({
    triggerId: Id,
    title: Type.String(),
    dueAt: Timestamp,
    outcome: TriggerOutcome,
    words: Type.String(),
  }),
  /** A row of this conversation's mailbox. A second one of (`from`, `messageId`) is the first. */
  'mail.accepted': Type.Object({
    messageId: Id,
    /** The sender's conversationId; null: Holdfast itself. */
    from: Type.Union([Id, Type.Null()]),
    kind: MailKind,
    content: Type.String(),
    outcome: Type.Optional(Outcome),
    whenBusy: Type.Optional(Type.Union([Type.Literal('queue'), Type.Literal('steer')])),
    expiresAt: Type.Optional(Timestamp),
    /** It starts no turn by itself: it goes along with what does, or with the end of a turn that was not cancelled. */
    waits: Type.Optional(Type.Literal(true)),
    /** messageIds of rows of this mailbox that are told in it, and applied with it; with their senders. Of Holdfast's own mail only. */
    covers: Type.Optional(Type.Array(Type.Object({ messageId: Id, from: Id }))),
    /** Of kind `recovery`: of which boot; of an end: the boot that found it interrupted. */
    boot: Type.Optional(Id),
  }),
  /** A row that was not taken in its time. */
  'mail.expired': Type.Object({ messageId: Id, from: Type.Union([Id, Type.Null()]) }),
  /** Somebody has a failed or expired row sent again. */
  'mail.again': Type.Object({
    messageId: Id,
    from: Type.Union([Id, Type.Null()]),
    /** How often it was sent with this, from 1. */
    sending: Type.Integer({ minimum: 2 }),
  }),
  // From here on: a team's stream alone.
  /** What the tree shows of a member, as a whole; also when it is new. */
  'agent.changed': Type.Object({ agent: AgentView }),
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
  // From here on: a trigger's stream alone. Nothing is due of it up to and with `decidedUntil` that has no row in the ledger.
  'trigger.created': Type.Object({
    triggerId: Id,
    rule: Type.String(),
    definition: TriggerDefinition,
    decidedUntil: Timestamp,
    nextDueAt: Type.Union([Timestamp, Type.Null()]),
  }),
  /** `from`: the `decidedUntil` that this was decided upon; another one by now, and it is refused. */
  'trigger.updated': Type.Object({
    triggerId: Id,
    rule: Type.String(),
    definition: TriggerDefinition,
    from: Timestamp,
    nextDueAt: Type.Union([Timestamp, Type.Null()]),
    commandId: Id,
  }),
  /** Nothing is due any more. Its ledger stays. */
  'trigger.removed': Type.Object({ triggerId: Id, from: Timestamp, commandId: Id }),
  /** Rows of the ledger. Of cause `due`: of every due time after `from`, up to and with `until`. */
  'trigger.decided': Type.Object({
    triggerId: Id,
    cause: TriggerCause,
    from: Type.Optional(Timestamp),
    until: Type.Optional(Timestamp),
    nextDueAt: Type.Optional(Type.Union([Timestamp, Type.Null()])),
    fires: Type.Array(DecidedFire),
    commandId: Type.Optional(Id),
  }),
} as const satisfies Record<string, TSchema>;

export type EventType = keyof typeof EVENT_PAYLOADS;
export type EventPayloads = { [T in EventType]: Static<(typeof EVENT_PAYLOADS)[T]> };

type EventOf<T extends EventType> = {
  type: T;
  conversationId?: string;
  tableId?: string;
  /** Of a team's stream: which team's. */
  rootId?: string;
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
    rootId: Type.Optional(Id),
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
export type AgentLinkValue = Static<typeof AgentLink>;
export type AgentViewValue = Static<typeof AgentView>;
export type MailKindName = Static<typeof MailKind>;
export type MailStateName = Static<typeof MailState>;
export type MailMarkValue = Static<typeof MailMark>;
export type TriggerScheduleValue = Static<typeof TriggerSchedule>;
export type TriggerDefinitionValue = Static<typeof TriggerDefinition>;
export type TriggerOutcomeName = Static<typeof TriggerOutcome>;
export type TriggerCauseName = Static<typeof TriggerCause>;
export type DecidedFireValue = Static<typeof DecidedFire>;
