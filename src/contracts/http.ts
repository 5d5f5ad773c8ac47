/** HTTP bodies, queries and answers. Source: protocol.md section 2. Unknown fields are refused. */
import { Type, type Static } from 'typebox';

import { ERRORS } from './errors.ts';
import {
  ConversationSummary,
  Decision,
  Id,
  Outcome,
  QueueItem,
  Timestamp,
  Usage,
} from './events.ts';
import { LIST_LIMIT, SEARCH_QUERY_CHARS, TITLE_LIMIT_CHARS } from './limits.ts';
import { WhenBusy } from './signals.ts';
import { MessageView, Receipt, TableFacts, TurnView } from './view.ts';

const closed = { additionalProperties: false };
const Title = Type.String({ maxLength: TITLE_LIMIT_CHARS });
const ProviderId = Type.String({ minLength: 1, maxLength: 64 });
/** May become part of a provider's command line, so it is one printable word or name. */
export const Model = Type.Union([
  Type.String({ minLength: 1, maxLength: 128, pattern: '^[^\\u0000-\\u001f\\u007f]+$' }),
  Type.Null(),
]);

export const CreateConversationBody = Type.Object(
  {
    conversationId: Type.Optional(Id),
    provider: Type.Optional(ProviderId),
    model: Type.Optional(Model),
    workspacePath: Type.Optional(Type.String({ minLength: 1, maxLength: 4096 })),
    title: Type.Optional(Title),
  },
  closed,
);
export const SendBody = Type.Object(
  {
    requestId: Id,
    content: Type.String({ minLength: 1 }),
    whenBusy: Type.Optional(WhenBusy),
    /** Edit and resend: the user message that this one replaces. */
    replaces: Type.Optional(Id),
  },
  closed,
);
/** A send that waits while something runs: {@link SendBody} without its `whenBusy`. */
export const EnqueueBody = Type.Object(
  { requestId: Id, content: Type.String({ minLength: 1 }), replaces: Type.Optional(Id) },
  closed,
);
export const CancelBody = Type.Object(
  {
    turnId: Type.Optional(Id),
    requestId: Type.Optional(Id),
    /** What waits in the queue stays there, until it is released. */
    holdQueue: Type.Optional(Type.Boolean()),
    /** The same, with what waits held, for every agent below it. */
    cascade: Type.Optional(Type.Boolean()),
  },
  closed,
);
export const CreateTableBody = Type.Object(
  {
    tableId: Type.Optional(Id),
    title: Type.Optional(Title),
    workspacePath: Type.Optional(Type.String({ minLength: 1, maxLength: 4096 })),
    provider: Type.Optional(ProviderId),
    model: Type.Optional(Model),
  },
  closed,
);
export const PatchTableBody = Type.Object({ title: Title }, closed);
export const NewChatBody = Type.Object(
  {
    conversationId: Type.Optional(Id),
    title: Type.Optional(Title),
    provider: Type.Optional(ProviderId),
    model: Type.Optional(Model),
  },
  closed,
);
export const ActivateBody = Type.Object(
  {
    conversationId: Id,
    whenBusy: Type.Optional(WhenBusy),
  },
  closed,
);
export const PatchConversationBody = Type.Object(
  {
    title: Type.Optional(Title),
    archived: Type.Optional(Type.Boolean()),
    provider: Type.Optional(ProviderId),
    model: Type.Optional(Model),
  },
  { ...closed, minProperties: 1 },
);
/** One of the three: other text, another place (from 0), or to the front with a cancel of what runs. */
export const UpdateQueuedBody = Type.Union([
  Type.Object({ content: Type.String({ minLength: 1 }) }, closed),
  Type.Object({ position: Type.Integer({ minimum: 0 }) }, closed),
  Type.Object({ now: Type.Literal(true) }, closed),
]);
export const HoldQueueBody = Type.Object({ held: Type.Boolean() }, closed);
export const ForkBody = Type.Object(
  {
    /** The last message that is copied; absent: all of them. */
    messageId: Type.Optional(Id),
    provider: Type.Optional(ProviderId),
    model: Type.Optional(Model),
    title: Type.Optional(Title),
    conversationId: Type.Optional(Id),
  },
  closed,
);
/** The last message that stays; null: none does. */
export const RollbackBody = Type.Object({ messageId: Type.Union([Id, Type.Null()]) }, closed);
export const ConversationsQuery = Type.Object(
  {
    cursor: Type.Optional(Type.String({ maxLength: 256 })),
    limit: Type.Optional(Type.Integer({ minimum: 1, maximum: LIST_LIMIT })),
    /** `true`: only those; `any`: all; else only the others. */
    archived: Type.Optional(
      Type.Union([Type.Literal('true'), Type.Literal('false'), Type.Literal('any')]),
    ),
    /** Words, "phrases" and -exclusions, in titles and messages. */
    q: Type.Optional(Type.String({ maxLength: SEARCH_QUERY_CHARS })),
  },
  closed,
);
export const RetryBody = Type.Object({ requestId: Id }, closed);
export const ApprovalBody = Type.Object(
  {
    decision: Decision,
    always: Type.Optional(Type.Boolean()),
    message: Type.Optional(Type.String({ maxLength: 4_000 })),
  },
  closed,
);
/** Of a body or query that has none. */
export const NoFields = Type.Object({}, closed);
export const WaitQuery = Type.Object({ wait: Type.Optional(Type.Literal('end')) }, closed);
const Limit = Type.Optional(Type.Integer({ minimum: 1, maximum: LIST_LIMIT }));
export const EventsQuery = Type.Object(
  { after: Type.Optional(Type.Integer({ minimum: 0 })), limit: Limit },
  closed,
);
export const MessagesQuery = Type.Object({ before: Type.Optional(Id), limit: Limit }, closed);
export const ListQuery = Type.Object(
  { cursor: Type.Optional(Type.String({ maxLength: 256 })), limit: Limit },
  closed,
);

/** The receipt, and with `?wait=end` the end. */
export const SendAnswer = Type.Object({
  ...Receipt.properties,
  outcome: Type.Optional(Outcome),
  cause: Type.Optional(Type.Union([Type.String(), Type.Null()])),
  text: Type.Optional(Type.String()),
  usage: Type.Optional(Type.Union([Usage, Type.Null()])),
});
/** 202: durable, and its receipt is not known yet. */
export const AcceptedAnswer = Type.Object({ requestId: Id, accepted: Type.Literal(true) });

const NextCursor = Type.Union([Type.String(), Type.Null()]);

export const MessagesAnswer = Type.Object({
  items: Type.Array(MessageView),
  nextCursor: NextCursor,
});
export const TablesAnswer = Type.Object({ items: Type.Array(TableFacts), nextCursor: NextCursor });
/** What a search found in a conversation: the message, and the place in it with the words between \u0002 and \u0003. */
const SearchMatch = Type.Object({
  messageId: Type.Union([Id, Type.Null()], { description: 'null: it is the title' }),
  snippet: Type.String(),
});
export const ConversationsAnswer = Type.Object({
  items: Type.Array(
    Type.Object({
      ...ConversationSummary.properties,
      match: Type.Optional(SearchMatch),
    }),
  ),
  nextCursor: NextCursor,
});
export const QueueAnswer = Type.Object({
  items: Type.Array(QueueItem),
  held: Type.Boolean(),
  /** A queue is one page. */
  nextCursor: Type.Null(),
});
/** It was removed from the queue, and ends with one `chat.cancelled` without an attempt. */
export const DequeuedAnswer = Type.Object({ requestId: Id, turnId: Id });
/** 202: durable, and not recorded yet. */
export const CommandAcceptedAnswer = Type.Object({ accepted: Type.Literal(true) });
export const TurnsAnswer = Type.Object({ items: Type.Array(TurnView), nextCursor: NextCursor });
/** Upwards; more exists while the last item's seq is below lastSeq. */
export const EventsAnswer = Type.Object({
  items: Type.Array(Type.Unknown({ description: 'an event, as stored and delivered' })),
  lastSeq: Type.Integer({ minimum: 0 }),
});
/** `turnId` null: nothing was running. With `?wait=end` its end too. */
export const CancelAnswer = Type.Object({
  turnId: Type.Union([Id, Type.Null()]),
  outcome: Type.Optional(Outcome),
  cause: Type.Optional(Type.Union([Type.String(), Type.Null()])),
  text: Type.Optional(Type.String()),
  usage: Type.Optional(Type.Union([Usage, Type.Null()])),
});
export const ApprovalAnswer = Type.Object({
  approvalId: Id,
  decision: Type.Union([Type.Literal('allow'), Type.Literal('deny'), Type.Literal('withdrawn')]),
  by: Type.Union([Type.String(), Type.Null()]),
});
/** 202: the answer is durable, and the provider has not been given it yet. */
export const ApprovalAcceptedAnswer = Type.Object({ approvalId: Id, accepted: Type.Literal(true) });

export const ProviderItem = Type.Object({
  providerId: Type.String(),
  found: Type.Boolean(),
  version: Type.Union([Type.String(), Type.Null()]),
  capabilities: Type.Object({
    warmSessions: Type.Boolean(),
    approvals: Type.Boolean(),
    protocolCancel: Type.Boolean(),
    resume: Type.Boolean(),
    steer: Type.Boolean(),
  }),
  problem: Type.Union([Type.String(), Type.Null()]),
});
export const ProvidersAnswer = Type.Object({ items: Type.Array(ProviderItem) });
/** Opens one WebSocket as `?ticket=`, until `expiresAt`. */
export const TicketAnswer = Type.Object({ ticket: Type.String(), expiresAt: Timestamp });
/**
 * What a conversation waits for. Those from `temporal-away` on stand in its way from outside, and are the answer only
 * when what would happen next needs what is missing.
 */
export const WhyState = Type.Union([
  Type.Literal('idle'),
  Type.Literal('ended-badly'),
  Type.Literal('running'),
  Type.Literal('quiet'),
  Type.Literal('retrying'),
  Type.Literal('waiting-for-approval'),
  Type.Literal('cancelling'),
  Type.Literal('starting'),
  Type.Literal('settling'),
  Type.Literal('queued'),
  Type.Literal('queue-held'),
  Type.Literal('waiting-for-table'),
  Type.Literal('mail-waiting'),
  Type.Literal('temporal-away'),
  Type.Literal('worker-away'),
  Type.Literal('workflow-stuck'),
  Type.Literal('workflow-lost'),
  Type.Literal('turn-host-away'),
  Type.Literal('disk-full'),
]);
/** Why a conversation does not go on. `waitingFor`: in a sentence. Source: docs/why.md. */
export const WhyAnswer = Type.Object({
  state: WhyState,
  waitingFor: Type.String(),
  since: Type.Union([Timestamp, Type.Null()]),
  evidence: Type.Array(Type.Object({ what: Type.String(), value: Type.String() })),
  /** A command that can be typed as it stands; null: nothing has to be put right. */
  fix: Type.Union([Type.Object({ command: Type.String(), why: Type.String() }), Type.Null()]),
  /** The Workflow's page in the Temporal Web UI; null: its address is not known. */
  temporalUi: Type.Union([Type.String(), Type.Null()]),
});
export const HealthAnswer = Type.Object({ status: Type.Literal('ok') });
/** 200 when everything a send needs answers, else 503. */
export const ReadyAnswer = Type.Object({
  ready: Type.Boolean(),
  checks: Type.Array(
    Type.Object({
      what: Type.String(),
      ok: Type.Boolean(),
      problem: Type.Union([Type.String(), Type.Null()]),
    }),
  ),
});

/** RFC 9457. `code` is stable, `detail` is for people. */
export const Problem = Type.Object({
  type: Type.String(),
  title: Type.String(),
  status: Type.Integer(),
  code: Type.Union(
    Object.entries(ERRORS)
      .filter(([, { status }]) => status > 0)
      .map(([code]) => Type.Literal(code)),
  ),
  detail: Type.Optional(Type.String()),
  errors: Type.Optional(Type.Array(Type.Object({ path: Type.String(), message: Type.String() }))),
});

export type CreateConversationBodyValue = Static<typeof CreateConversationBody>;
export type CreateTableBodyValue = Static<typeof CreateTableBody>;
export type NewChatBodyValue = Static<typeof NewChatBody>;
export type ActivateBodyValue = Static<typeof ActivateBody>;
export type PatchConversationBodyValue = Static<typeof PatchConversationBody>;
export type UpdateQueuedBodyValue = Static<typeof UpdateQueuedBody>;
export type ForkBodyValue = Static<typeof ForkBody>;
export type ConversationsAnswerValue = Static<typeof ConversationsAnswer>;
export type QueueAnswerValue = Static<typeof QueueAnswer>;
export type DequeuedAnswerValue = Static<typeof DequeuedAnswer>;
export type SendAnswerValue = Static<typeof SendAnswer>;
export type ProviderItemValue = Static<typeof ProviderItem>;
export type WhyStateName = Static<typeof WhyState>;
export type WhyValue = Static<typeof WhyAnswer>;
export type ReadyAnswerValue = Static<typeof ReadyAnswer>;
export type ApprovalAnswerValue = Static<typeof ApprovalAnswer>;
