/**
 * Identifiers: their shape and how one is made from another.
 *
 * No TypeBox here: workflow and domain code import these values (house rule: a schema imported as a
 * value doubles the workflow bundle).
 */

/** Every id a client may choose or see matches this. Source: protocol.md section 2. */
export const ID_PATTERN = '^[A-Za-z0-9][A-Za-z0-9_-]{0,63}$';

const idExpression = new RegExp(ID_PATTERN);

/** Whether `value` is a well-formed id. */
export function isId(value: unknown): value is string {
  return typeof value === 'string' && idExpression.test(value);
}

/** A turn's attempt as one word: `<turnId>.<attempt>`. Names the spool folder and the process mark. */
export function attemptKey(turnId: string, attempt: number): string {
  return `${turnId}.${attempt}`;
}

/** The inverse of {@link attemptKey}; `null` when `key` is not one. */
export function parseAttemptKey(key: string): { turnId: string; attempt: number } | null {
  const match = /^([A-Za-z0-9][A-Za-z0-9_-]{0,63})\.([1-9][0-9]{0,8})$/.exec(key);
  const [, turnId, attempt] = match ?? [];
  return turnId === undefined || attempt === undefined
    ? null
    : { turnId, attempt: Number(attempt) };
}

/** The n-th message (1, 2, 3 …) that an attempt's provider produced; the same after every replay of its spool. */
export function providerMessageId(turnId: string, attempt: number, n: number): string {
  return `${turnId}-${attempt}-${n}`;
}

/** Workflow Id of a conversation. Source: protocol.md section 7. */
export function conversationWorkflowId(conversationId: string): string {
  return `conversation:${conversationId}`;
}

/** Key of the stream (log) that a conversation's events go to. */
export function conversationStream(conversationId: string): string {
  return `conversation:${conversationId}`;
}

/** Workflow Id of a table. Source: protocol.md section 7. */
export function tableWorkflowId(tableId: string): string {
  return `table:${tableId}`;
}

/** Key of a table's stream. */
export function tableStream(tableId: string): string {
  return `table:${tableId}`;
}

/** Workflow Id under which a trigger's commands are carried out, and its Schedule's Id; a fire's has the time behind it. */
export function triggerWorkflowId(triggerId: string): string {
  return `trigger:${triggerId}`;
}

/** Key of a trigger's stream: its rules and decisions. */
export function triggerStream(triggerId: string): string {
  return `trigger:${triggerId}`;
}

/** Key of a team's stream: what its tree shows. */
export function teamStream(rootConversationId: string): string {
  return `team:${rootConversationId}`;
}

/** Append keys: unique in a stream; a repeated key writes nothing and answers with the first result. */
export const appendKey = {
  created: (): string => 'created',
  request: (requestId: string): string => `request:${requestId}`,
  cancel: (turnId: string, attempt: number): string => `cancel:${attemptKey(turnId, attempt)}`,
  /** The attempt's one terminal event, whoever writes it (invariants A1, C1). */
  end: (turnId: string, attempt: number): string => `end:${attemptKey(turnId, attempt)}`,
  /** What the workflow decided after that end. */
  settled: (turnId: string, attempt: number): string => `settled:${attemptKey(turnId, attempt)}`,
  /** What a command without a request changed: queue, title, history, a table. */
  command: (commandId: string): string => `command:${commandId}`,
  /** A queued message that a running turn has taken. */
  steered: (requestId: string): string => `steered:${requestId}`,
  /** A new conversation became its table's active one. */
  newConversation: (conversationId: string): string => `new:${conversationId}`,
  /** The slot moved by itself; `freshId` makes it unique. */
  moved: (freshId: string): string => `moved:${freshId}`,
  /** In a conversation: a trigger is about to send this request. */
  triggered: (requestId: string): string => `triggered:${requestId}`,
  /** The n-th part of what a command decided. */
  commandPart: (commandId: string, n: number): string => `command:${commandId}.${n}`,
  /** A row of a mailbox: one for each message of a sender (M1); `from` null: Holdfast itself. */
  mail: (from: string | null, messageId: string): string => `mail:${from ?? ''}:${messageId}`,
  /** It is sent again, for the n-th time. */
  mailAgain: (from: string | null, messageId: string, sending: number): string =>
    `mail:${from ?? ''}:${messageId}#${sending}`,
  /** It was not taken in its time; sent again it has another requestId. */
  mailExpired: (requestId: string): string => `mail-expired:${requestId}`,
  /** What a workflow decided that began from the store's state; `freshId` makes it unique. */
  resumed: (freshId: string): string => `resumed:${freshId}`,
};
