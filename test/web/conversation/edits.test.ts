/** Which editors are open, and what becomes of a text whose message is gone. */
import { createElement } from 'react';
import { renderToStaticMarkup } from 'react-dom/server';
import { describe, expect, test } from 'vitest';

import type { MessageViewValue } from '../../../src/contracts/view.ts';
import type { Edit, HoldfastClient, QueueItemValue, Row } from '../../../web/client/contract.ts';
import { Conversation } from '../../../web/conversation/conversation.tsx';
import { canReplace, lostEdits } from '../../../web/conversation/edits.ts';
import { fakeClient, fakeHandle, user } from './fixtures.ts';

function said(messageId: string, content: string, part: Partial<MessageViewValue> = {}) {
  const row: Row = user(messageId, content, part);
  if (row.type !== 'user') throw new Error('it is a user row');
  return row.message;
}
const waits = (requestId: string, content: string): QueueItemValue => ({
  requestId,
  turnId: `t-${requestId}`,
  content,
  attempt: 1,
  position: 0,
});
const edit = (part: Partial<Edit>): Edit => ({
  of: 'message',
  id: 'm1',
  text: 'otherwise',
  original: 'so',
  ...part,
});
const nothing = { messages: [], queue: [], hasOlder: false };

function drawn(state: string, edits: readonly Edit[]): string {
  const handle = fakeHandle(state);
  for (const each of edits) handle.setEdit(each);
  return renderToStaticMarkup(
    createElement(Conversation, {
      handle,
      client: fakeClient() as HoldfastClient,
      onOpenPanel: () => undefined,
      onOpenConversation: () => undefined,
    }),
  );
}

test('the editor of a queued message is open with what was typed, when the page comes back', () => {
  const [first] = fakeHandle('queue').get().view.queue;
  const left = edit({ of: 'queued', id: first?.requestId ?? '', text: 'typed before' });
  const markup = drawn('queue', [{ ...left, original: null }]);
  expect(markup).toMatch(/aria-label="Edit queued message"[^>]*>typed before</);
  expect(drawn('queue', [])).not.toContain('Edit queued message');
});

describe('lostEdits', () => {
  test('none while what is edited is there, or may be', () => {
    const view = { messages: [said('m1', 'so')], queue: [waits('r1', 'so')], hasOlder: false };
    expect(lostEdits([edit({}), edit({ of: 'queued', id: 'r1' })], view)).toEqual([]);
    expect(lostEdits([edit({})], { ...nothing, hasOlder: true })).toEqual([]);
  });

  test.each([
    ['cut from the history', { ...nothing, messages: [said('m1', 'so', { cut: true })] }],
    ['not there, and everything is loaded', nothing],
  ])('of a message that is %s', (_, view) => {
    expect(lostEdits([edit({})], view)).toEqual([{ edit: edit({}), text: 'otherwise' }]);
  });

  test('of a queued one that waits no more', () => {
    const lost = edit({ of: 'queued', id: 'r1' });
    const view = { ...nothing, messages: [said('m1', 'so')], hasOlder: true };
    expect(lostEdits([lost], view)).toEqual([{ edit: lost, text: 'otherwise' }]);
  });

  test('nothing is left to be said of one that was not changed, or is empty', () => {
    for (const text of ['so', ' \n'])
      expect(lostEdits([edit({ text })], nothing)).toMatchObject([{ text: null }]);
  });

  test('one that was saved as the page went is over: it waits, or was said', () => {
    const left = edit({ of: 'queued', id: 'r1', original: null });
    const waiting = { ...nothing, queue: [waits('r1', 'otherwise')] };
    expect(lostEdits([left], waiting)).toEqual([{ edit: left, text: null }]);
    const ran = { ...nothing, messages: [said('m9', 'otherwise')] };
    expect(lostEdits([left], ran)).toEqual([{ edit: left, text: null }]);
    // begun here it is under way, whatever else says the same
    expect(lostEdits([{ ...left, original: 'so' }], waiting)).toEqual([]);
  });
});

test('canReplace: what somebody said, unless it was cut', () => {
  const messages = [
    said('m1', 'so'),
    said('m2', 'cut', { cut: true }),
    said('m3', 'an answer', { role: 'assistant' }),
  ];
  expect(['m1', 'm2', 'm3', 'm4'].map((id) => canReplace({ messages }, id))).toEqual([
    true,
    false,
    false,
    false,
  ]);
});
