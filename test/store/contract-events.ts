/** Events of a store's tests, and what its answers are compared by. */
import { expect } from 'vitest';
import { afterEach } from 'vitest';

import type { Event, NewEvent } from '../../src/contracts/events.ts';
import type { ConversationViewValue } from '../../src/contracts/view.ts';
import type { Heads, Store } from '../../src/store/port.ts';

/** Data of a store, and the ways into it. */
export type StoreData = {
  /** For `openStore`, in any process. */
  url: string;
  open(options?: { readOnly?: boolean; clock?: () => number }): Promise<Store>;
  /** Closes what was opened and removes the data. */
  destroy(): Promise<void>;
};

/** How a suite makes its data: each is destroyed after the test that made it. To be called in a `describe`. */
export function destroyedAfterEach(makeData: () => Promise<StoreData>): () => Promise<StoreData> {
  const made: StoreData[] = [];
  afterEach(async () => {
    await Promise.all(made.splice(0).map((data) => data.destroy()));
  });
  return async () => {
    const data = await makeData();
    made.push(data);
    return data;
  };
}

export { note } from '../fixtures/store-writer.ts';

export const turn = { turnId: 't1', attempt: 1 };

/** A snapshot against the whole fold: the same, with the newest messages only, back to the oldest open one. */
export function expectWindow(
  view: ConversationViewValue,
  whole: ConversationViewValue,
  limit: number,
): void {
  const open = whole.messages.findIndex(({ status }) => status === 'open');
  const newestFrom = Math.max(0, whole.messages.length - limit);
  const from = open === -1 ? newestFrom : Math.min(open, newestFrom);
  expect(view).toEqual({ ...whole, messages: whole.messages.slice(from), hasOlder: from > 0 });
}

/** A view that began with a snapshot against the whole fold: the same, but for messages older than the snapshot's. */
export function expectFolded(view: ConversationViewValue, whole: ConversationViewValue): void {
  const { hasOlder, messages } = view;
  expect(view).toEqual({
    ...whole,
    hasOlder,
    messages: whole.messages.slice(whole.messages.length - messages.length),
  });
  expect(hasOlder).toBe(messages.length < whole.messages.length);
}

/** A log as nothing of ours writes it: segments, tools and approvals that were not closed before the end. */
export function withoutEnds(life: readonly Event[]): Event[] {
  const closing = [
    'assistant.segment.ended',
    'assistant.segment.discarded',
    'tool.end',
    'approval.resolved',
  ];
  return life.filter(({ type }, index) => !closing.includes(type) || index % 2 === 0);
}

export function inPieces(life: readonly Event[], sizes: Iterable<number>): NewEvent[][] {
  const rest: NewEvent[] = [...life];
  const pieces: NewEvent[][] = [];
  for (const size of sizes) {
    if (rest.length === 0) break;
    pieces.push(rest.splice(0, size));
  }
  return pieces;
}

export async function logOf(store: Store, name: string): Promise<Event[]> {
  const { lastSeq } = await store.events(name, 0, 1);
  const { items } = await store.events(name, 0, lastSeq);
  return items.map(({ json }) => JSON.parse(json) as Event);
}

export function listen(store: Store): { heads: Heads[]; stop: () => void } {
  const heads: Heads[] = [];
  return { heads, stop: store.watch((one) => heads.push(one)) };
}

export function newest(heads: readonly Heads[], name: string): number | undefined {
  return heads.flatMap((one) => one.get(name) ?? []).at(-1);
}

export function asJson<T>(value: T): T {
  return JSON.parse(JSON.stringify(value)) as T;
}

export function upTo(count: number): number[] {
  return Array.from({ length: count }, (_, index) => index + 1);
}

export function batchOf(key: string, size: number): string[] {
  return Array.from({ length: size }, (_, index) => `${key}#${index}`);
}

export function textOf(event: Event): string {
  return event.type === 'notice' ? event.payload.text : event.type;
}

export function created(tableId: string | null, title = ''): NewEvent {
  return {
    type: 'conversation.created',
    payload: { tableId, title, provider: 'scripted', model: null, workspacePath: '/w' },
  };
}

export function tableCreated(title = ''): NewEvent {
  return {
    type: 'table.created',
    payload: { title, provider: 'scripted', model: null, workspacePath: '/w' },
  };
}

export function activated(conversationId: string): NewEvent {
  return {
    type: 'conversation.activated',
    conversationId,
    payload: { previous: null, reason: 'user' },
  };
}

/** A clock of its own, a millisecond further at each look. */
export function ticking(): () => number {
  let now = Date.UTC(2026, 10, 21);
  return () => (now += 1);
}

export function started(scope: { turnId: string; attempt: number }): NewEvent {
  const { attempt } = scope;
  return {
    type: 'chat.started',
    ...scope,
    payload: { attempt, provider: 'scripted', model: null },
  };
}

export function done(scope: { turnId: string; attempt: number } = turn): NewEvent {
  return { type: 'chat.done', ...scope, payload: {} };
}

export function user(messageId: string, turnId = 't1'): NewEvent {
  return {
    type: 'message.created',
    turnId,
    payload: { messageId, role: 'user', content: 'the prompt' },
  };
}

export function segment(messageId: string, kind: 'text' | 'reasoning' = 'text'): NewEvent {
  return { type: 'assistant.segment.started', ...turn, payload: { messageId, kind } };
}

export function delta(messageId: string, text: string): NewEvent {
  return { type: 'chat.delta', ...turn, payload: { messageId, text } };
}

export function closed(messageId: string, content: string): NewEvent {
  return {
    type: 'assistant.segment.ended',
    ...turn,
    payload: { messageId, content, status: 'complete' },
  };
}
