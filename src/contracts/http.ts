/** HTTP bodies, queries and answers. Source: protocol.md section 2. Unknown fields are refused. */
import { Type, type Static } from 'typebox';

import { ERRORS } from './errors.ts';
import { Decision, Id, Outcome, Timestamp, Usage } from './events.ts';
import { LIST_LIMIT, TITLE_LIMIT_CHARS } from './limits.ts';
import { WhenBusy } from './signals.ts';
import { MessageView, Receipt, TurnView } from './view.ts';

const closed = { additionalProperties: false };
const Title = Type.String({ maxLength: TITLE_LIMIT_CHARS });
const ProviderId = Type.String({ minLength: 1, maxLength: 64 });
/** May become part of a provider's command line, so it is one printable word or name. */
const Model = Type.Union([
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
  },
  closed,
);
export const CancelBody = Type.Object(
  { turnId: Type.Optional(Id), requestId: Type.Optional(Id) },
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
  }),
  problem: Type.Union([Type.String(), Type.Null()]),
});
export const ProvidersAnswer = Type.Object({ items: Type.Array(ProviderItem) });
/** Opens one WebSocket as `?ticket=`, until `expiresAt`. */
export const TicketAnswer = Type.Object({ ticket: Type.String(), expiresAt: Timestamp });
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
export type SendAnswerValue = Static<typeof SendAnswer>;
export type ProviderItemValue = Static<typeof ProviderItem>;
export type ReadyAnswerValue = Static<typeof ReadyAnswer>;
export type ApprovalAnswerValue = Static<typeof ApprovalAnswer>;
