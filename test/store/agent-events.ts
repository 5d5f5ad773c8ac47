/** Events of agents and their mail, for the tests of the store. */
import type {
  AgentLinkValue,
  EventPayloads,
  NewEvent,
  OutcomeName,
} from '../../src/contracts/events.ts';
import { conversationStream } from '../../src/contracts/ids.ts';
import type { AppendRequest, Store } from '../../src/store/port.ts';

export type Turn = { turnId: string; attempt: number };

/** Child `id` (its agentId and name too, unless said otherwise) of the root r. */
export function linkOf(id: string, link: Partial<AgentLinkValue> = {}): AgentLinkValue {
  return { agentId: id, name: id, role: '', rootId: 'r', parentId: 'r', depth: 1, ...link };
}

export function rootCreated(title: string): NewEvent {
  return {
    type: 'conversation.created',
    payload: { tableId: null, title, provider: 'scripted', model: null, workspacePath: '/w' },
  };
}

/** The events that make a child, with its task. */
export function childCreated(link: AgentLinkValue, task: string | null = null): NewEvent[] {
  const made: NewEvent = {
    type: 'conversation.created',
    payload: {
      tableId: null,
      title: link.name,
      provider: 'scripted',
      model: null,
      workspacePath: '/w',
      agent: link,
    },
  };
  return task === null
    ? [made]
    : [made, accepted({ messageId: 'task', from: link.parentId, kind: 'task', content: task })];
}

export function accepted(
  mail: Partial<EventPayloads['mail.accepted']> & { messageId: string },
): NewEvent {
  return { type: 'mail.accepted', payload: { from: 'a', kind: 'message', content: 'hi', ...mail } };
}

export function queuedUp(requestId: string, turnId = `t-${requestId}`): NewEvent {
  return { type: 'chat.queued', turnId, requestId, payload: { position: 0 } };
}

export function begun(requestId: string | null, turn: Turn): NewEvent {
  const { attempt } = turn;
  return {
    type: 'chat.started',
    ...turn,
    ...(requestId === null ? {} : { requestId }),
    payload: { attempt, provider: 'scripted', model: null },
  };
}

export function steered(requestId: string, turn: Turn): NewEvent {
  return { type: 'chat.steered', requestId, payload: turn };
}

export function rejected(requestId: string, code = 'queue_full'): NewEvent {
  return { type: 'chat.rejected', requestId, payload: { code } };
}

/** Out of the queue, with no attempt. */
export function removedFromQueue(requestId: string, turnId = `t-${requestId}`): NewEvent {
  return { type: 'chat.cancelled', turnId, requestId, payload: { by: 'user' } };
}

export function ended(
  turn: Turn,
  outcome: OutcomeName,
  more: { by?: string; boot?: string } = {},
): NewEvent {
  const { by = 'user', boot } = more;
  switch (outcome) {
    case 'completed':
      return { type: 'chat.done', ...turn, payload: {} };
    case 'failed':
      return {
        type: 'chat.error',
        ...turn,
        payload: { code: 'provider_error', message: 'no money' },
      };
    case 'cancelled':
      return { type: 'chat.cancelled', ...turn, payload: { by } };
    case 'interrupted':
      return {
        type: 'chat.interrupted',
        ...turn,
        payload: { cause: 'lost', retryable: true, ...(boot === undefined ? {} : { boot }) },
      };
  }
}

/** What an attempt says, in a segment of its own. */
export function said(turn: Turn, messageId: string, content: string): NewEvent[] {
  return [
    { type: 'assistant.segment.started', ...turn, payload: { messageId, kind: 'text' } },
    {
      type: 'assistant.segment.ended',
      ...turn,
      payload: { messageId, content, status: 'complete' },
    },
  ];
}

export function say(store: Store, id: string, ...events: NewEvent[]) {
  return store.append({ stream: conversationStream(id), events });
}

export function receiptOf(
  requestId: string,
  answer: { turnId: string; queued?: boolean } | { code: string },
): NonNullable<AppendRequest['request']> {
  const common = { requestId, kind: 'send' as const, attempt: 1, contentHash: 'h' };
  return 'code' in answer
    ? { ...common, status: 'rejected', turnId: null, code: answer.code }
    : { ...common, status: answer.queued === true ? 'queued' : 'started', turnId: answer.turnId };
}
