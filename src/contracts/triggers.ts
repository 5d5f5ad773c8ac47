/**
 * Triggers over HTTP, and what their Workflow is told. Source: protocol.md section 5; docs/triggers.md.
 *
 * Shapes only: whether a cron, a zone, an interval or a range makes sense, `domain/due-times.ts` and `api/triggers.ts` say.
 */
import { Type, type Static } from 'typebox';

import {
  Id,
  Timestamp,
  TriggerCause,
  TriggerDefinition,
  TriggerMissed,
  TriggerOutcome,
  TriggerWhenBusy,
} from './events.ts';
import { LIST_LIMIT, TITLE_LIMIT_CHARS } from './limits.ts';

const closed = { additionalProperties: false };
const TimeZone = Type.String({ minLength: 1, maxLength: 64 });
const Title = Type.String({ maxLength: TITLE_LIMIT_CHARS });
/** RFC 3339, any offset. */
const Moment = Type.String({ format: 'date-time' });
/** One of the three; `timezone` is UTC unless given. */
const AskedSchedule = Type.Object(
  {
    cron: Type.Optional(Type.String({ minLength: 1, maxLength: 200 })),
    everyMs: Type.Optional(Type.Integer()),
    /** RFC 3339, or without an offset a local time of the zone. */
    at: Type.Optional(Type.String({ minLength: 1, maxLength: 40 })),
    timezone: Type.Optional(TimeZone),
  },
  closed,
);
const AskedMissed = Type.Object(TriggerMissed.properties, closed);

const CHANGEABLE = {
  title: Type.Optional(Title),
  content: Type.Optional(Type.String({ minLength: 1 })),
  schedule: Type.Optional(AskedSchedule),
  jitterMs: Type.Optional(Type.Integer({ minimum: 0 })),
  startAt: Type.Optional(Type.Union([Moment, Type.Null()])),
  endAt: Type.Optional(Type.Union([Moment, Type.Null()])),
  missed: Type.Optional(AskedMissed),
  whenBusy: Type.Optional(TriggerWhenBusy),
  newConversation: Type.Optional(Type.Boolean()),
  paused: Type.Optional(Type.Boolean()),
};

export const CreateTriggerBody = Type.Object(
  {
    ...CHANGEABLE,
    triggerId: Type.Optional(Id),
    /** One of the two. */
    tableId: Type.Optional(Type.Union([Id, Type.Null()])),
    conversationId: Type.Optional(Type.Union([Id, Type.Null()])),
    content: Type.String({ minLength: 1 }),
    schedule: AskedSchedule,
  },
  closed,
);
export const PatchTriggerBody = Type.Object(CHANGEABLE, { ...closed, minProperties: 1 });
/** `requestId`: of the message that it sends. Repeated, it answers with the first row. */
export const FireTriggerBody = Type.Object({ requestId: Type.Optional(Id) }, closed);
/** Both ends included. `limit`: more due times than that are refused. */
export const BackfillBody = Type.Object(
  {
    from: Moment,
    to: Moment,
    limit: Type.Optional(Type.Integer({ minimum: 1 })),
    /** Repeated with the same one, it is done once. */
    requestId: Type.Optional(Id),
  },
  closed,
);
export const TriggersQuery = Type.Object(
  {
    cursor: Type.Optional(Type.String({ maxLength: 256 })),
    limit: Type.Optional(Type.Integer({ minimum: 1, maximum: LIST_LIMIT })),
    tableId: Type.Optional(Id),
    conversationId: Type.Optional(Id),
  },
  closed,
);
export const LedgerQuery = Type.Object(
  {
    cursor: Type.Optional(Type.String({ maxLength: 256 })),
    limit: Type.Optional(Type.Integer({ minimum: 1, maximum: LIST_LIMIT })),
    outcome: Type.Optional(TriggerOutcome),
    /** dueAt, both ends included. */
    from: Type.Optional(Moment),
    to: Type.Optional(Moment),
  },
  closed,
);

/** How often each outcome is in a ledger. */
export const LedgerCounts = Type.Object({
  fired: Type.Integer({ minimum: 0 }),
  late: Type.Integer({ minimum: 0 }),
  'caught-up': Type.Integer({ minimum: 0 }),
  skipped: Type.Integer({ minimum: 0 }),
  rejected: Type.Integer({ minimum: 0 }),
});
/**
 * A row of the ledger. What its conversation refused is `skipped` (`busy`) or `rejected`, with the request that it refused;
 * `turnId` is there once the conversation has taken the message up.
 */
export const LedgerRow = Type.Object({
  triggerId: Id,
  dueAt: Timestamp,
  decidedAt: Timestamp,
  outcome: TriggerOutcome,
  reason: Type.Optional(Type.String()),
  words: Type.String(),
  rule: Type.String(),
  cause: TriggerCause,
  requestId: Type.Optional(Id),
  conversationId: Type.Optional(Id),
  turnId: Type.Optional(Id),
});
/** `nextDueAt`: null while paused and when nothing is due any more. `trouble`: the newest row that says `late`, `skipped` (not `paused`) or `rejected`. */
export const TriggerView = Type.Object({
  triggerId: Id,
  ...TriggerDefinition.properties,
  rule: Type.String(),
  createdAt: Timestamp,
  updatedAt: Timestamp,
  nextDueAt: Type.Union([Timestamp, Type.Null()]),
  counts: LedgerCounts,
  last: Type.Union([LedgerRow, Type.Null()]),
  trouble: Type.Union([LedgerRow, Type.Null()]),
});
export const TriggersAnswer = Type.Object({
  items: Type.Array(TriggerView),
  nextCursor: Type.Union([Type.String(), Type.Null()]),
});
/** `counts` are of the whole ledger. */
export const LedgerAnswer = Type.Object({
  items: Type.Array(LedgerRow),
  nextCursor: Type.Union([Type.String(), Type.Null()]),
  counts: LedgerCounts,
});
/** How many due times of the range are run: those that had not run. */
export const BackfillAnswer = Type.Object({ count: Type.Integer({ minimum: 0 }) });
export const RemovedTriggerAnswer = Type.Object({ triggerId: Id, removed: Type.Literal(true) });

/** What a trigger's Workflow begins with: its Schedule starts one for each fire, a command one that carries it out. */
export const TriggerInput = Type.Object({ triggerId: Id });
/** `acceptedAt` of a command: when the gateway took it; from then on it holds. Absent: from when it is carried out. */
export const CreateTriggerSignal = Type.Object({
  definition: TriggerDefinition,
  acceptedAt: Type.Optional(Timestamp),
});
/** The members that change; the activity fills in the others from what is stored then. */
export const ChangeTriggerSignal = Type.Object({
  commandId: Id,
  acceptedAt: Type.Optional(Timestamp),
  change: Type.Partial(Type.Omit(TriggerDefinition, ['tableId', 'conversationId'] as const)),
});
export const RemoveTriggerSignal = Type.Object({
  commandId: Id,
  acceptedAt: Type.Optional(Timestamp),
});
export const FireTriggerSignal = Type.Object({ commandId: Id, requestId: Id });
export const BackfillSignal = Type.Object({ commandId: Id, from: Timestamp, to: Timestamp });

export type CreateTriggerBodyValue = Static<typeof CreateTriggerBody>;
export type PatchTriggerBodyValue = Static<typeof PatchTriggerBody>;
export type LedgerCountsValue = Static<typeof LedgerCounts>;
export type LedgerRowValue = Static<typeof LedgerRow>;
export type TriggerViewValue = Static<typeof TriggerView>;
export type TriggerInputValue = Static<typeof TriggerInput>;
export type CreateTriggerSignalValue = Static<typeof CreateTriggerSignal>;
export type ChangeTriggerSignalValue = Static<typeof ChangeTriggerSignal>;
export type RemoveTriggerSignalValue = Static<typeof RemoveTriggerSignal>;
export type FireTriggerSignalValue = Static<typeof FireTriggerSignal>;
export type BackfillSignalValue = Static<typeof BackfillSignal>;
