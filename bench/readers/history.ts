/**
 * Conversations with a past, written straight into the store by the very appends that the engine makes, a turn in each.
 * Nothing runs in them and no Workflow knows of what was written: they are there to be read, and to be gone on with.
 */
import { randomUUID } from 'node:crypto';

import type { NewEvent } from '../../src/contracts/events.ts';
import { conversationStream } from '../../src/contracts/ids.ts';
import type { Store } from '../../src/store/port.ts';

/** What a turn has beside its deltas: see {@link turnEvents}. */
const FRAME_EVENTS = 8;
/** Appends under way at once: they share commits, and what waits stays small. */
const AT_ONCE = 64;
/** A provider's delta: a few words. */
const DELTA_TEXT = 'some words of it ';

/** Creates a conversation that only the store knows. */
export async function createInStore(store: Store, conversationId: string): Promise<void> {
  await store.append({
    stream: conversationStream(conversationId),
    key: 'created',
    events: [
      {
        type: 'conversation.created',
        payload: {
          tableId: null,
          title: 'A past',
          provider: 'scripted',
          model: null,
          workspacePath: '/',
        },
      },
    ],
  });
}

/** Appends ended turns, each with two messages and `8 + deltas` events. */
export async function addTurns(
  store: Store,
  { conversationId, turns, deltas }: { conversationId: string; turns: number; deltas: number },
): Promise<void> {
  const stream = conversationStream(conversationId);
  for (let done = 0; done < turns; done += AT_ONCE)
    await Promise.all(
      Array.from({ length: Math.min(AT_ONCE, turns - done) }, () =>
        store.append({ stream, events: turnEvents(deltas) }),
      ),
    );
}

/** Events of one turn. */
export function eventsInTurn(deltas: number): number {
  return FRAME_EVENTS + deltas;
}

function turnEvents(deltas: number): NewEvent[] {
  const turnId = randomUUID();
  const requestId = randomUUID();
  const messageId = `${turnId}-1-1`;
  const scope = { turnId, attempt: 1, requestId };
  return [
    {
      type: 'message.created',
      turnId,
      requestId,
      payload: { messageId: randomUUID(), role: 'user', content: 'What became of it, and why?' },
    },
    {
      type: 'chat.started',
      ...scope,
      payload: { attempt: 1, provider: 'scripted', model: null },
    },
    { type: 'conversation.state', payload: { state: 'processing' } },
    { type: 'assistant.segment.started', ...scope, payload: { messageId, kind: 'text' } },
    ...Array.from({ length: deltas }, (): NewEvent => ({
      type: 'chat.delta',
      ...scope,
      payload: { messageId, text: DELTA_TEXT },
    })),
    {
      type: 'assistant.segment.ended',
      ...scope,
      payload: { messageId, content: DELTA_TEXT.repeat(deltas), status: 'complete' },
    },
    { type: 'usage', ...scope, payload: { inputTokens: 100, outputTokens: deltas } },
    { type: 'chat.done', ...scope, payload: {} },
    { type: 'conversation.state', payload: { state: 'idle' } },
  ];
}
