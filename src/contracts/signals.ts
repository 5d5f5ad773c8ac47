/**
 * Arguments of the workflow's signals and what its query answers. Types and schemas; the workflow
 * imports types only and checks by hand what an operator typed (`domain/conversation.ts`).
 *
 * Source: protocol.md section 7.
 */
import { Type, type Static } from 'typebox';

import { ConversationState, Decision, Id, QueueItem } from './events.ts';

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
});
export const CancelSignal = Type.Object({
  turnId: Type.Optional(Id),
  /** Who asked; shown in `chat.cancelled`. */
  by: Type.Optional(Type.String({ maxLength: 64 })),
});
export const RetrySignal = Type.Object({ turnId: Id, requestId: Type.Optional(Id) });
export const ResolveApprovalSignal = Type.Object({
  approvalId: Id,
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
    }),
  ),
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
  host: Type.Union([Type.String(), Type.Null()]),
  inWords: Type.String(),
});

export type WhenBusyName = Static<typeof WhenBusy>;
export type SendSignalValue = Static<typeof SendSignal>;
export type CancelSignalValue = Static<typeof CancelSignal>;
export type RetrySignalValue = Static<typeof RetrySignal>;
export type ResolveApprovalSignalValue = Static<typeof ResolveApprovalSignal>;
export type QuietSignalValue = Static<typeof QuietSignal>;
export type ConversationInputValue = Static<typeof ConversationInput>;
export type WorkflowSnapshotValue = Static<typeof WorkflowSnapshot>;
