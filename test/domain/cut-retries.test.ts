/** A retry that waits while its turn is cut from the history: what was cut is not run again, and the request gets its end (A1). */
import { expect, test } from 'vitest';

import type { QueueItemValue } from '../../src/contracts/events.ts';
import {
  apply,
  type Command,
  type ConversationModel,
  decide,
  newConversation,
} from '../../src/domain/conversation.ts';

const context = { now: '2026-01-01T00:00:00.000Z', turnId: 'tnew', messageId: 'mnew' };
const retry: QueueItemValue = {
  requestId: 'r2',
  turnId: 't1',
  content: 'cut',
  attempt: 2,
  position: 0,
};
const waiting: QueueItemValue = {
  requestId: 'r3',
  turnId: 't3',
  content: 'next',
  attempt: 1,
  position: 1,
};
const running = {
  turnId: 't9',
  attempt: 1,
  requestId: 'r9',
  startedAt: context.now,
  cancelRequested: false,
};

function model(changed: Partial<ConversationModel>): ConversationModel {
  const facts = { conversationId: 'c1', provider: 'scripted', model: null };
  return { ...newConversation(facts), ...changed };
}

function decided(before: ConversationModel, command: Command) {
  const decision = decide(before, command, context);
  const events = decision?.events ?? [];
  const after = events.reduce((at, event) => apply(at, event, context.now), before);
  return { decision, after, types: events.map(({ type }) => type) };
}

const ended: Command = { type: 'turn.ended', turnId: 't9', attempt: 1, dropped: ['r2'] };

test('A1: it ends as cancelled, and what waited behind it starts', () => {
  const before = model({ state: 'processing', turn: running, queue: [retry, waiting] });
  const { decision, after } = decided(before, ended);
  expect(decision?.events[0]).toEqual({
    type: 'chat.cancelled',
    turnId: 't1',
    requestId: 'r2',
    payload: { by: 'history-cut' },
  });
  expect(decision?.effects).toEqual([{ type: 'run', turnId: 't3', attempt: 1 }]);
  expect(after).toMatchObject({ turn: { turnId: 't3' }, queue: [] });
});

test('A1: alone in the queue, the conversation is idle after it', () => {
  const before = model({ state: 'processing', turn: running, queue: [retry] });
  const { after, types, decision } = decided(before, ended);
  expect(types).toEqual(['chat.cancelled', 'queue.changed', 'conversation.state']);
  expect(after).toMatchObject({ state: 'idle', turn: null, queue: [] });
  expect(decision?.key).toBe('settled:t9.1');
});

test('promoted, it leaves the queue instead of starting, under the command’s key', () => {
  const before = model({ state: 'processing', turn: running, queue: [waiting, retry] });
  const command: Command = {
    type: 'queue.update',
    commandId: 'k1',
    requestId: 'r2',
    change: { now: true },
    dropped: ['r2'],
  };
  const { decision, after } = decided(before, command);
  expect(decision).toMatchObject({ key: 'command:k1', effects: [] });
  expect(after).toMatchObject({
    turn: { turnId: 't9', cancelRequested: false },
    queue: [{ requestId: 'r3', position: 0 }],
  });
});

test('released with others, only the others start', () => {
  const before = model({ queue: [retry, waiting], held: true });
  const command: Command = {
    type: 'queue.hold',
    commandId: 'k1',
    held: false,
    dropped: ['r2'],
  };
  const { decision } = decided(before, command);
  expect(decision?.effects).toEqual([{ type: 'run', turnId: 't3', attempt: 1 }]);
});
