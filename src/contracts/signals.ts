/**
 * Arguments of the workflow's signals and what its query answers. Types and schemas; the workflow
 * imports types only and checks by hand what an operator typed (`domain/conversation.ts`).
 *
 * Source: protocol.md section 7.
 */
import { Type, type Static } from 'typebox';

import { AgentLink, ConversationState, Decision, ForkOrigin, Id, QueueItem } from './events.ts';

export const WhenBusy = Type.Union([
  Type.Literal('queue'),
  Type.Literal('reject'),
  Type.Literal('interrupt'),
  Type.Literal('steer'),
]);

export const SendSignal = Type.Object({
  requestId: Id,
  content: Type.String({ minLength: 1 }),
  whenBusy: Type.Optional(WhenBusy),
  /** Edit and resend: the user message that this one replaces. It and everything after it is cut when this one starts. */
  replaces: Type.Optional(Id),
});
export const CancelSignal = Type.Object({
  turnId: Type.Optional(Id),
  /** Who asked; shown in `chat.cancelled`. */
  by: Type.Optional(Type.String({ maxLength: 64 })),
  /** What waits in the queue stays there, until it is released. */
  holdQueue: Type.Optional(Type.Boolean()),
  /** The same, with what waits held, for every agent below it. */
  cascade: Type.Optional(Type.Boolean()),
});
/** One of the three: other text, another place, or to the front with a cancel of what runs. */
export const UpdateQueuedSignal = Type.Object({
  commandId: Id,
  requestId: Id,
  content: Type.Optional(Type.String({ minLength: 1 })),
  position: Type.Optional(Type.Integer({ minimum: 0 })),
  now: Type.Optional(Type.Literal(true)),
});
export const RemoveQueuedSignal = Type.Object({ commandId: Id, requestId: Id });
export const HoldQueueSignal = Type.Object({ commandId: Id, held: Type.Boolean() });
/** `messageId`: the last message that stays; null: none does. */
export const RollbackSignal = Type.Object({
  commandId: Id,
  messageId: Type.Union([Id, Type.Null()]),
});
export const UpdateConversationSignal = Type.Object({
  commandId: Id,
  title: Type.Optional(Type.String()),
  archived: Type.Optional(Type.Boolean()),
  provider: Type.Optional(Type.String()),
  model: Type.Optional(Type.Union([Type.String(), Type.Null()])),
});
export const RetrySignal = Type.Object({ turnId: Id, requestId: Type.Optional(Id) });
export const ResolveApprovalSignal = Type.Object({
  approvalId: Id,
  /** The turn that asks; whichever runs where it is not named. */
  turnId: Type.Optional(Id),
  decision: Decision,
  by: Type.Optional(Type.String({ maxLength: 64 })),
  message: Type.Optional(Type.String({ maxLength: 4_000 })),
});

export const QuietSignal = Type.Object({
  turnId: Id,
  attempt: Type.Integer({ minimum: 1 }),
  quiet: Type.Boolean(),
});

/** What starts (or starts again) a conversation's workflow. */
export const ConversationInput = Type.Object({
  conversationId: Id,
  /** Present when the conversation is being created; absent when it exists in the store and only its workflow is gone. */
  create: Type.Optional(
    Type.Object({
      tableId: Type.Union([Id, Type.Null()]),
      title: Type.String(),
      provider: Type.String(),
      model: Type.Union([Type.String(), Type.Null()]),
      workspacePath: Type.String(),
      /** It begins with copies of that conversation's rows, up to and with that message; null: all of them. */
      fork: Type.Optional(ForkOrigin),
      /** It is an agent, made with this task; it is there with its link and its task, or not at all. */
      agent: Type.Optional(
        Type.Object({
          ...AgentLink.properties,
          /** Null: it is idle until somebody writes to it. */
          task: Type.Union([Type.String({ minLength: 1 }), Type.Null()]),
        }),
      ),
    }),
  ),
});

/** What starts (or starts again) a table's workflow. */
export const TableInput = Type.Object({
  tableId: Id,
  create: Type.Optional(
    Type.Object({
      title: Type.String(),
      workspacePath: Type.String(),
      provider: Type.String(),
      model: Type.Union([Type.String(), Type.Null()]),
    }),
  ),
});
/** New chat. Taken twice it is done once: by its conversationId. */
export const NewConversationSignal = Type.Object({
  conversationId: Id,
  title: Type.String(),
  provider: Type.String(),
  model: Type.Union([Type.String(), Type.Null()]),
});
export const ActivateSignal = Type.Object({
  commandId: Id,
  conversationId: Id,
  whenBusy: Type.Optional(
    Type.Union([Type.Literal('queue'), Type.Literal('reject'), Type.Literal('interrupt')]),
  ),
});
export const UpdateTableSignal = Type.Object({ commandId: Id, title: Type.String() });
/** From a conversation: something waits in it, and the slot is elsewhere or occupied. Says "look": what it wants is in the store. */
export const WantSlotSignal = Type.Object({ conversationId: Id, interrupt: Type.Boolean() });

/** Answer of a table's `snapshot` query. */
export const TableWorkflowSnapshot = Type.Object({
  tableId: Id,
  activeConversationId: Type.Union([Id, Type.Null()]),
  inWords: Type.String(),
});

/** Answer of the `snapshot` query: the state the workflow owns, for operators. The transcript is in the log. */
export const WorkflowSnapshot = Type.Object({
  conversationId: Id,
  state: ConversationState,
  turn: Type.Union([
    Type.Object({
      turnId: Id,
      attempt: Type.Integer({ minimum: 1 }),
      requestId: Type.Union([Id, Type.Null()]),
      startedAt: Type.String(),
    }),
    Type.Null(),
  ]),
  queue: Type.Array(QueueItem),
  held: Type.Boolean(),
  host: Type.Union([Type.String(), Type.Null()]),
  inWords: Type.String(),
});

export type WhenBusyName = Static<typeof WhenBusy>;
export type SendSignalValue = Static<typeof SendSignal>;
export type CancelSignalValue = Static<typeof CancelSignal>;
export type UpdateQueuedSignalValue = Static<typeof UpdateQueuedSignal>;
export type RemoveQueuedSignalValue = Static<typeof RemoveQueuedSignal>;
export type HoldQueueSignalValue = Static<typeof HoldQueueSignal>;
export type RollbackSignalValue = Static<typeof RollbackSignal>;
export type UpdateConversationSignalValue = Static<typeof UpdateConversationSignal>;
export type TableInputValue = Static<typeof TableInput>;
export type NewConversationSignalValue = Static<typeof NewConversationSignal>;
export type ActivateSignalValue = Static<typeof ActivateSignal>;
export type UpdateTableSignalValue = Static<typeof UpdateTableSignal>;
export type WantSlotSignalValue = Static<typeof WantSlotSignal>;
export type TableWorkflowSnapshotValue = Static<typeof TableWorkflowSnapshot>;
export type RetrySignalValue = Static<typeof RetrySignal>;
export type ResolveApprovalSignalValue = Static<typeof ResolveApprovalSignal>;
export type QuietSignalValue = Static<typeof QuietSignal>;
export type ConversationInputValue = Static<typeof ConversationInput>;
export type WorkflowSnapshotValue = Static<typeof WorkflowSnapshot>;
