/** Under which requestId a row of a mailbox becomes a message of its receiver. */
import { createHash } from 'node:crypto';

const PREFIX = 'mail-';

/**
 * The same message to the same receiver has the same one, hence is one message (M1, A2); sent again by hand it has the next.
 * `from`: the sender's conversationId; null: Holdfast itself. `sending`: 1, 2 … Senders choose their messageIds: no two of them can
 * be made to meet.
 */
export function mailRequestId({
  from,
  messageId,
  sending,
}: {
  from: string | null;
  messageId: string;
  sending: number;
}): string {
  const facts = JSON.stringify([from, messageId, sending]);
  return `${PREFIX}${createHash('sha256').update(facts).digest('hex').slice(0, 40)}`;
}

/** Whether a request may be mail: what is not of this form is no row's, and need not be looked for. */
export function mayBeMail(requestId: string): boolean {
  return requestId.startsWith(PREFIX);
}
