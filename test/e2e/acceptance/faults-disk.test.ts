/** A disk that runs full: what is new is refused, what was accepted waits, what runs goes on; with room again all of it goes on. */
import { afterAll, expect, test } from 'vitest';

import type { SendAnswerValue } from '../../../src/contracts/http.ts';
import type { ConversationViewValue } from '../../../src/contracts/view.ts';
import { Ballast } from '../../support/ballast.ts';
import { textOf } from '../../support/chat-clients.ts';
import { eventually } from '../../support/eventually.ts';
import { newConversation, readLog, script, words } from './conversations.ts';
import { sharedHoldfast } from './shared-holdfast.ts';

const ballast = new Ballast();
const holdfast = sharedHoldfast({ HOLDFAST_DISK_RESERVE_BYTES: String(ballast.reserveBytes) });

afterAll(() => ballast.remove());

test('W1 sends are refused before anything is half-written, a queued one waits for room, and nothing is lost', async () => {
  const conversationId = await newConversation(holdfast);
  const path = `/v1/conversations/${conversationId}`;
  const send = (requestId: string, content: string) =>
    holdfast.call({ path: `${path}/messages`, body: { requestId, content } });
  const view = () => holdfast.ask<ConversationViewValue>({ path });
  const first = script('words 50 every 5', 'ask go', 'words 20');
  expect((await send('first', first)).status).toBe(200);
  expect((await send('second', script('words 7'))).body).toMatchObject({ status: 'queued' });
  const { approvalId } = await eventually(async () => (await view()).approvals[0]);

  ballast.fill();
  const seq = (await view()).lastSeq;
  const refused = [
    await send('third', script('words 3')),
    await holdfast.call({ path: '/v1/conversations', body: { conversationId: 'never-made' } }),
  ];
  for (const { status, headers, body } of refused) {
    expect(status).toBe(503);
    expect(headers['retry-after']).toBe('1');
    expect(body).toMatchObject({ code: 'storage_full', accepted: false });
  }
  expect((await holdfast.call({ path: '/v1/conversations/never-made' })).status).toBe(404);
  expect((await view()).lastSeq).toBe(seq);
  expect((await send('first', first)).body).toMatchObject({ status: 'started' });
  const doctor = await holdfast.run(['doctor']);
  expect(doctor.code).toBe(1);
  expect(doctor.stdout).toContain('HOLDFAST_DISK_RESERVE_BYTES');

  // What runs is let go on; what comes after it is not begun.
  const answer = { path: `${path}/approvals/${approvalId}`, body: { decision: 'allow' } };
  expect((await holdfast.call(answer)).status).toBe(200);
  const waiting = await eventually(async () =>
    (await readLog(holdfast, conversationId)).find(
      (event) => event.type === 'notice' && event.payload.code === 'storage_full',
    ),
  );
  expect(waiting).toMatchObject({ attempt: 1 });
  expect(textOf(await view())).toBe(words(50) + words(20));
  expect((await view()).activeTurn).toMatchObject({ requestId: 'second' });

  ballast.empty();
  const end = await holdfast.ask<SendAnswerValue>({
    path: `${path}/messages?wait=end`,
    body: { requestId: 'second', content: script('words 7') },
  });
  expect(end).toMatchObject({ outcome: 'completed', text: words(7) });
  const third = await holdfast.ask<SendAnswerValue>({
    path: `${path}/messages?wait=end`,
    body: { requestId: 'third', content: script('words 3') },
  });
  expect(third).toMatchObject({ status: 'started', outcome: 'completed', text: words(3) });
  const log = await readLog(holdfast, conversationId);
  expect(log.filter(({ type }) => type === 'notice')).toHaveLength(1);
  expect(log.filter(({ type }) => type === 'chat.done')).toHaveLength(3);
});
