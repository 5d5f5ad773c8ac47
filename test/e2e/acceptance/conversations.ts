/** What the acceptance tests do over and over: make a conversation, send to it, read its log. */
import { randomUUID } from 'node:crypto';

import type { Event } from '../../../src/contracts/events.ts';
import type { SendAnswerValue } from '../../../src/contracts/http.ts';
import type { ConversationViewValue } from '../../../src/contracts/view.ts';
import type { Holdfast } from '../../support/holdfast.ts';

/** A prompt for the scripted provider. */
export function script(...steps: string[]): string {
  return ['#script', ...steps].join('\n');
}

/** What the step `words <count>` streams. */
export function words(count: number): string {
  return Array.from({ length: count }, (_, index) => `w${index} `).join('');
}

/** Creates a conversation with the scripted provider; answers with its id. */
export async function newConversation(holdfast: Holdfast): Promise<string> {
  const { conversationId } = await holdfast.ask<ConversationViewValue>({
    path: '/v1/conversations',
    body: { provider: 'scripted' },
  });
  return conversationId;
}

/** Sends, and waits for the end. */
export async function send(
  holdfast: Holdfast,
  conversationId: string,
  content: string,
  requestId: string = randomUUID(),
): Promise<SendAnswerValue> {
  return holdfast.ask<SendAnswerValue>({
    path: `/v1/conversations/${conversationId}/messages?wait=end`,
    body: { requestId, content },
  });
}

/** The whole log, page by page. */
export async function readLog(holdfast: Holdfast, conversationId: string): Promise<Event[]> {
  const log: Event[] = [];
  for (;;) {
    const after = log.at(-1)?.seq ?? 0;
    const { items, lastSeq } = await holdfast.ask<{ items: Event[]; lastSeq: number }>({
      path: `/v1/conversations/${conversationId}/events?after=${after}&limit=200`,
    });
    log.push(...items);
    if (items.length === 0 || (log.at(-1)?.seq ?? 0) >= lastSeq) return log;
  }
}
