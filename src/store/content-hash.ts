import { createHash } from 'node:crypto';

/**
 * Fingerprint of what a requestId asked for (A2): the same requestId with another fingerprint is refused.
 *
 * `content` is what a send asks for (`askedBySend` of domain/conversation.ts) and the turnId of a retry. The kind is in it, so that a send cannot be
 * taken for a retry of a turn that has its text as id. `whenBusy` is not: it says when, not what.
 */
export function contentHash(kind: 'send' | 'retry', content: string): string {
  return createHash('sha256').update(`${kind}\n${content}`, 'utf8').digest('hex');
}
