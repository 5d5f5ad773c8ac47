/**
 * Agents, their team and their mail, over HTTP, and what a conversation's Workflow is told of them.
 * Source: protocol.md section 6; docs/agents.md.
 */
import { Type, type Static } from 'typebox';

import { AgentView, Id, MailAddress, MailKind, MailState, Outcome, Timestamp } from './events.ts';
import { Model } from './http.ts';
import { LIST_LIMIT, MAIL_EXPIRY_LIMIT_MS, TITLE_LIMIT_CHARS } from './limits.ts';

const closed = { additionalProperties: false };
const Content = Type.String({ minLength: 1 });

/**
 * A child of the route's conversation. `agentId` names it within its team; without one it is made from `name`, and without
 * both it is new each time. Asked again with the same one it is the same child. What is left out is the parent's own.
 */
export const SpawnAgentBody = Type.Object(
  {
    agentId: Type.Optional(Id),
    name: Type.Optional(Type.String({ minLength: 1, maxLength: TITLE_LIMIT_CHARS })),
    role: Type.Optional(Type.String({ maxLength: TITLE_LIMIT_CHARS })),
    provider: Type.Optional(Type.String({ minLength: 1, maxLength: 64 })),
    model: Type.Optional(Model),
    workspacePath: Type.Optional(Type.String({ minLength: 1, maxLength: 4096 })),
    /** Its first prompt. Without one it is idle until somebody writes to it. */
    content: Type.Optional(Content),
  },
  closed,
);
export const SpawnAgentAnswer = Type.Object({ agentId: Id, conversationId: Id });

/** The tree as it stands, the root first, a parent before its children; `lastSeq` is of the team's stream. */
export const TeamView = Type.Object({
  rootId: Id,
  agents: Type.Array(AgentView),
  lastSeq: Type.Integer({ minimum: 0 }),
});

/** `messageId` is the sender's: asked again with the same one it is the same message. `to`: an agentId of the team, or a conversationId. */
export const PostMailBody = Type.Object(
  {
    messageId: Type.Optional(Id),
    to: Id,
    content: Content,
    /** `steer`: offered to the turn that runs. */
    whenBusy: Type.Optional(Type.Union([Type.Literal('queue'), Type.Literal('steer')])),
    expiresInMs: Type.Optional(Type.Integer({ minimum: 1_000, maximum: MAIL_EXPIRY_LIMIT_MS })),
  },
  closed,
);
/** A row of the mailbox is sent again. `from`: the agentId of its sender, where two have used that messageId. */
export const ResendMailBody = Type.Object({ from: Type.Optional(Id) }, closed);
/** Mail that the conversation was sent (`in`), has sent (`out`), or both. Oldest first. */
export const MailboxQuery = Type.Object(
  {
    box: Type.Optional(Type.Union([Type.Literal('in'), Type.Literal('out'), Type.Literal('any')])),
    state: Type.Optional(MailState),
    cursor: Type.Optional(Type.String({ maxLength: 256 })),
    limit: Type.Optional(Type.Integer({ minimum: 1, maximum: LIST_LIMIT })),
  },
  closed,
);

/** A row of a mailbox. */
export const MailRow = Type.Object({
  messageId: Id,
  /** AgentIds; null: Holdfast itself. */
  from: Type.Union([MailAddress, Type.Null()]),
  to: MailAddress,
  fromConversationId: Type.Union([Id, Type.Null()]),
  toConversationId: Id,
  kind: MailKind,
  content: Type.String(),
  /** Of kinds `result` and `error`: how the child's turn ended. */
  outcome: Type.Optional(Outcome),
  state: MailState,
  /** Of `failed` and `expired`, stable: a code of an error, `removed`, `expired`. */
  reason: Type.Optional(Type.String()),
  /** Under which the receiver was sent it; its turn. */
  requestId: Type.Optional(Id),
  turnId: Type.Optional(Id),
  /** It is told in that message, and applied with it. */
  coveredBy: Type.Optional(Id),
  acceptedAt: Timestamp,
  deliveredAt: Type.Optional(Timestamp),
  appliedAt: Type.Optional(Timestamp),
  expiresAt: Type.Optional(Timestamp),
});
export const MailboxAnswer = Type.Object({
  items: Type.Array(MailRow),
  nextCursor: Type.Union([Type.String(), Type.Null()]),
});
/** 202: durable, and its row is not there yet. */
export const MailAcceptedAnswer = Type.Object({ messageId: Id, accepted: Type.Literal(true) });

/** A message as the receiver's Workflow is told of it. */
export const MailMessage = Type.Object({
  messageId: Id,
  /** ConversationId of the sender. */
  from: Id,
  content: Content,
  whenBusy: Type.Optional(Type.Union([Type.Literal('queue'), Type.Literal('steer')])),
  expiresAt: Type.Optional(Timestamp),
});
/** Signal `mail`: a message; a row that is to be sent again; or neither: look. */
export const MailSignal = Type.Object({
  message: Type.Optional(MailMessage),
  again: Type.Optional(Type.Object({ messageId: Id, from: Type.Union([Id, Type.Null()]) })),
});

export type SpawnAgentBodyValue = Static<typeof SpawnAgentBody>;
export type TeamViewValue = Static<typeof TeamView>;
export type PostMailBodyValue = Static<typeof PostMailBody>;
export type MailboxQueryValue = Static<typeof MailboxQuery>;
export type MailboxAnswerValue = Static<typeof MailboxAnswer>;
export type MailRowValue = Static<typeof MailRow>;
export type MailMessageValue = Static<typeof MailMessage>;
export type MailSignalValue = Static<typeof MailSignal>;
