/**
 * Events as lines for a person.
 *
 *  1 Text of the answer goes to `answer` exactly as it comes; everything else is a line of its own in `notes`.
 *  2 A note never begins in the middle of a line of the answer when both go to the same terminal.
 */
import type { Event } from '../contracts/events.ts';

export type EventPrinter = {
  print: (event: Event) => void;
  /** Ends an open line. */
  finish: () => void;
  /** The answer as it was written out, discarded parts included. */
  printed: () => string;
};

export function createEventPrinter({
  answer,
  note,
  openText = [],
}: {
  answer: (text: string) => void;
  note: (line: string) => void;
  /** messageIds of text segments that began, and were written out so far, before the first event. */
  openText?: readonly string[];
}): EventPrinter {
  const textSegments = new Set(openText);
  let printed = '';
  let lineOpen = openText.length > 0;

  const write = (text: string): void => {
    if (text === '') return;
    printed += text;
    lineOpen = !text.endsWith('\n');
    answer(text);
  };
  const finish = (): void => {
    if (lineOpen) answer('\n');
    lineOpen = false;
  };
  const say = (line: string): void => {
    finish();
    note(line);
  };

  const print = (event: Event): void => {
    switch (event.type) {
      case 'assistant.segment.started':
        if (event.payload.kind === 'text') textSegments.add(event.payload.messageId);
        return;
      case 'chat.delta':
        if (textSegments.has(event.payload.messageId)) write(event.payload.text);
        return;
      case 'assistant.segment.discarded':
        return textSegments.has(event.payload.messageId)
          ? say(`[taken back: ${event.payload.reason}; it is said again]`)
          : undefined;
      case 'chat.queued':
        return say(`[waiting in the queue, position ${event.payload.position}]`);
      case 'tool.start':
        return say(`[tool ${event.payload.name}]`);
      case 'tool.end':
        return event.payload.status === 'ok'
          ? undefined
          : say(`[tool ended: ${event.payload.status}]`);
      case 'approval.requested':
        return say(
          `[waits for your decision: ${event.payload.title}. Answer: POST /v1/conversations/${event.conversationId}/approvals/${event.payload.approvalId} {"decision": "allow" or "deny"}]`,
        );
      case 'approval.resolved':
        return say(`[${event.payload.decision} by ${event.payload.by}]`);
      case 'chat.retrying':
        return say(
          `[the provider tries again (${event.payload.status}), next in ${event.payload.delayMs} ms]`,
        );
      case 'chat.attached':
        return say(`[taken over by host ${event.payload.host}: ${event.payload.cause}]`);
      case 'chat.quiet':
        return say(`[silent for ${Math.round(event.payload.silentMs / 1000)} s]`);
      case 'trigger.fired':
        return say(
          `[trigger ${event.payload.title === '' ? event.payload.triggerId : event.payload.title}, due ${event.payload.dueAt}: ${event.payload.words}]`,
        );
      case 'notice':
        return say(`[${event.payload.code}: ${event.payload.text}]`);
      default:
        return undefined;
    }
  };
  return { print, finish, printed: () => printed };
}

/** How the end of an attempt reads; null for an event that is no end. */
export function describeEnd(event: Event): string | null {
  switch (event.type) {
    case 'chat.done':
      return 'completed';
    case 'chat.error':
      return `failed (${event.payload.code}): ${event.payload.message}`;
    case 'chat.cancelled':
      return `cancelled by ${event.payload.by}`;
    case 'chat.interrupted':
      return `interrupted (${event.payload.cause})${event.payload.retryable ? '; it can be retried' : ''}`;
    default:
      return null;
  }
}
