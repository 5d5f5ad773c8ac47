/** What waits in a conversation: edited, moved, promoted, removed, held, by two clients, across a kill. Numbers: design.md section 12. */
import { randomUUID } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';

import { describe, expect, test } from 'vitest';

import type { QueueAnswerValue } from '../../../src/contracts/http.ts';
import { ChatSocket, textOf } from '../../support/chat-clients.ts';
import { eventually } from '../../support/eventually.ts';
import { readLog, script, words } from './conversations.ts';
import { allow, endsOf, expectWholeLog, viewOf, undisturbedAnd } from './faults.ts';
import { sharedHoldfast } from './shared-holdfast.ts';
import { expectWholeTable, TableFollower, TableUnderTest, type Turn } from './tables.ts';

const holdfast = sharedHoldfast();
const TIMEOUT_MS = 180_000;

/** A turn that runs until a person answers. */
async function occupied(
  table: TableUnderTest,
): Promise<{ turn: Turn; answer: () => Promise<void> }> {
  const conversationId = await table.newChat();
  const turn = await table.send(conversationId, script('words 20 every 2', 'ask go', 'text "end"'));
  const { approvals } = await table.until(conversationId, (view) => view.approvals.length > 0);
  const approvalId = approvals[0]?.approvalId ?? '';
  return { turn, answer: () => allow({ holdfast, conversationId, approvalId }) };
}

const requestIds = ({ items }: QueueAnswerValue): string[] => items.map((item) => item.requestId);

describe('S2 A1 a queue is edited, moved and removed from', () => {
  test.each(undisturbedAnd('worker', 'temporal', 'gateway'))(
    'with a kill -9 of: $victim, between the changes; then it runs in the order that was asked for',
    { timeout: TIMEOUT_MS },
    async ({ victim }) => {
      const table = await TableUnderTest.create(holdfast);
      const follower = new TableFollower(table);
      const { turn, answer } = await occupied(table);
      const { conversationId } = turn;
      const queue = `/v1/conversations/${conversationId}/queue`;
      const sent: Turn[] = [];
      for (const word of ['one', 'two', 'three', 'four'])
        sent.push(await table.send(conversationId, script(`text "${word}"`)));
      const [one, two, three, four] = sent.map(({ requestId }) => requestId);

      const edited = script('text "two, edited"');
      const change = (requestId: string | undefined, body: object) =>
        table.insist<QueueAnswerValue>({ method: 'PATCH', path: `${queue}/${requestId}`, body });
      expect((await change(two, { content: edited })).items[1]).toMatchObject({
        requestId: two,
        content: edited,
        position: 1,
      });
      const moving = holdfast
        .call({ method: 'PATCH', path: `${queue}/${three}`, body: { position: 0 } })
        .catch(() => null);
      const isBack = await table.kill(victim);
      await moving;
      // A move to the same place twice is the same move.
      expect(requestIds(await change(three, { position: 0 }))).toEqual([three, one, two, four]);
      const removed = await eventually(async () => {
        const { status, body } = await holdfast.call({ method: 'DELETE', path: `${queue}/${one}` });
        return (status === 200 || status === 409) && { status, body };
      }, 60_000);
      // Its answer may have been lost with a process; asked again, it says what became of it.
      expect(removed.body).toMatchObject(
        removed.status === 200 ? { requestId: one } : { code: 'already_resolved', fate: 'removed' },
      );
      await isBack();
      expect(await table.queueOf(conversationId)).toMatchObject({
        held: false,
        items: [
          { requestId: three, position: 0 },
          { requestId: two, position: 1, content: edited },
          { requestId: four, position: 2 },
        ],
      });
      // What does not wait is refused by name, and nothing is changed.
      for (const [requestId, refusal] of [
        [one, { status: 409, body: { code: 'already_resolved', fate: 'removed' } }],
        [turn.requestId, { status: 409, body: { code: 'already_resolved', fate: 'started' } }],
        ['nobody', { status: 404, body: { code: 'not_found' } }],
      ] as const)
        expect(
          await holdfast.call({
            method: 'PATCH',
            path: `${queue}/${requestId}`,
            body: { content: 'too late' },
          }),
        ).toMatchObject(refusal);

      await answer();
      for (const [index, text] of [
        [2, 'three'],
        [1, 'two, edited'],
        [3, 'four'],
      ] as const) {
        const of = sent[index];
        if (of === undefined) throw new Error('four were sent');
        expect(await table.endOf(of)).toMatchObject({ outcome: 'completed', text });
      }
      const first = sent[0];
      if (first === undefined) throw new Error('four were sent');
      expect(await table.endOf(first)).toMatchObject({ outcome: 'cancelled', text: '' });

      await table.atRest();
      const log = await readLog(holdfast, conversationId);
      const ran = [turn, sent[2], sent[1], sent[3]].map((each) => each?.turnId);
      expect(log.filter(({ type }) => type === 'chat.started').map(({ turnId }) => turnId)).toEqual(
        ran,
      );
      const removals = log.filter(
        ({ type, attempt }) => type === 'chat.cancelled' && attempt === undefined,
      );
      expect(removals).toMatchObject([{ requestId: one }]);
      expectWholeLog({
        log: log
          .filter((event) => !removals.includes(event))
          .map((event, index) => ({ ...event, seq: index + 1 })),
        text: `${words(20)}endthreetwo, editedfour`,
      });
      await expectWholeTable(table, follower);
      follower.close();
    },
  );
});

test(
  'A1 one that the running turn has taken in is not removed any more: its end is that turn’s, and nothing else',
  { timeout: TIMEOUT_MS },
  async () => {
    const table = await TableUnderTest.create(holdfast);
    const follower = new TableFollower(table);
    const conversationId = await table.newChat();
    // It takes a message in between two steps: so this one is taken in while no worker is there.
    const turn = await table.send(conversationId, script('sleep 2500', 'words 30 every 2'));
    await table.until(conversationId, ({ activeTurn }) => activeTurn !== null);
    const said = script('text "on my own"');
    const steering = await table.send(conversationId, said, { whenBusy: 'steer' });
    expect(steering.status).toBe('queued');
    const calls = join(holdfast.home, 'spools', `${turn.turnId}.1`, 'in.jsonl');
    await eventually(() => readFileSync(calls, 'utf8').includes(steering.requestId));
    const isBack = await table.kill('worker');
    await eventually(async () =>
      (await readLog(holdfast, conversationId)).some(({ type }) => type === 'chat.steered'),
    );
    // Whoever decides about it hears of this first, and of the other only then.
    const path = `/v1/conversations/${conversationId}/queue/${steering.requestId}`;
    await holdfast.call({ method: 'DELETE', path });
    await isBack();
    const end = await table.endOf(turn);
    expect(end).toMatchObject({ outcome: 'completed', text: `steered: #script\n${words(30)}` });
    // Asked once: it must be told, not find out when it asks again.
    const asked = { requestId: steering.requestId, content: said };
    const told = await holdfast.ask({
      path: `/v1/conversations/${conversationId}/messages?wait=end`,
      body: asked,
    });
    expect(told).toMatchObject({ outcome: 'completed', text: end.text });
    await table.atRest();
    const own = (await readLog(holdfast, conversationId)).filter(
      (event) => event.requestId === steering.requestId,
    );
    expect(own.map(({ type }) => type)).toEqual(['chat.queued', 'message.created', 'chat.steered']);
    expect(await holdfast.call({ method: 'DELETE', path })).toMatchObject({
      status: 409,
      body: { code: 'already_resolved', fate: 'steered' },
    });
    await expectWholeTable(table, follower);
    follower.close();
  },
);

test(
  'S2 C1 one that is promoted is cancelled for, and runs next; in a conversation that is not active it takes the slot',
  { timeout: TIMEOUT_MS },
  async () => {
    const table = await TableUnderTest.create(holdfast);
    const follower = new TableFollower(table);
    const { turn } = await occupied(table);
    const { conversationId } = turn;
    const one = await table.send(conversationId, script('text "one"'));
    const two = await table.send(conversationId, script('text "two"'));
    const now = (of: Turn) =>
      table.insist<QueueAnswerValue>({
        method: 'PATCH',
        path: `/v1/conversations/${of.conversationId}/queue/${of.requestId}`,
        body: { now: true },
      });
    expect(requestIds(await now(two))).toEqual([two.requestId, one.requestId]);
    expect(await table.endOf(turn)).toMatchObject({ outcome: 'cancelled', cause: 'promote' });
    expect(await table.endOf(two)).toMatchObject({ outcome: 'completed', text: 'two' });
    expect(await table.endOf(one)).toMatchObject({ outcome: 'completed', text: 'one' });
    expect(
      await holdfast.call({
        method: 'PATCH',
        path: `/v1/conversations/${conversationId}/queue/${one.requestId}`,
        body: { now: true },
      }),
    ).toMatchObject({ status: 409, body: { code: 'already_resolved', fate: 'ended' } });

    // Behind the turn of another conversation.
    const there = await occupied(table);
    const waits = await table.send(conversationId, script('text "from elsewhere"'));
    expect(waits.status).toBe('queued');
    await now(waits);
    expect(await table.endOf(there.turn)).toMatchObject({ outcome: 'cancelled' });
    expect(await table.endOf(waits)).toMatchObject({
      outcome: 'completed',
      text: 'from elsewhere',
    });
    await table.atRest();
    expect(await table.facts()).toMatchObject({ activeConversationId: conversationId });
    await expectWholeTable(table, follower);
    follower.close();
  },
);

test(
  'S2 L1 L3 two clients that send and edit at the same time see the same queue in the same order, and so it runs',
  { timeout: TIMEOUT_MS },
  async () => {
    const table = await TableUnderTest.create(holdfast);
    const follower = new TableFollower(table);
    const { turn, answer } = await occupied(table);
    const { conversationId } = turn;
    const clients = await Promise.all(
      [0, 1].map(async () => {
        const protocols = ['holdfast.v1', `holdfast.token.${holdfast.token}`];
        const client = new ChatSocket({ api: holdfast.api, conversationId, protocols });
        await client.opened();
        client.send({ type: 'chat.subscribe', conversationId, payload: { lastSeq: 0 } });
        return client;
      }),
    );
    const asked: string[] = [];
    for (let index = 0; index < 10; index += 1)
      for (const [name, client] of clients.entries()) {
        const requestId = `${name}-${index}`;
        asked.push(requestId);
        const content = script(`text "${requestId} "`);
        client.send({ type: 'chat.send', conversationId, requestId, payload: { content } });
      }
    await eventually(async () => (await table.queueOf(conversationId)).items.length === 20);
    // Each moves one of the other's to the front, and removes one of its own.
    const [a, b] = clients;
    a?.send({ type: 'queue.update', conversationId, requestId: '1-9', payload: { position: 0 } });
    b?.send({ type: 'queue.update', conversationId, requestId: '0-9', payload: { position: 0 } });
    a?.send({ type: 'queue.remove', conversationId, requestId: '0-5' });
    b?.send({ type: 'queue.remove', conversationId, requestId: '1-5' });
    const queued = await eventually(async () => {
      const { items } = await table.queueOf(conversationId);
      return (
        items.length === 18 &&
        items.slice(0, 2).every(({ requestId }) => requestId.endsWith('-9')) &&
        items
      );
    });
    const order = queued.map(({ requestId }) => requestId);
    expect(new Set(order)).toEqual(new Set(asked.filter((id) => !id.endsWith('-5'))));
    // Each client's own, in the order in which it sent them.
    for (const name of [0, 1])
      expect(order.slice(2).filter((id) => id.startsWith(`${name}-`))).toEqual(
        [0, 1, 2, 3, 4, 6, 7, 8].map((index) => `${name}-${index}`),
      );
    for (const client of clients)
      await client.reader.until(
        (view) => view.queue.map(({ requestId }) => requestId).join() === order.join(),
      );
    await answer();
    await table.atRest();
    const log = await readLog(holdfast, conversationId);
    const ran = log.flatMap((event) => (event.type === 'chat.started' ? [event.requestId] : []));
    expect(ran).toEqual([turn.requestId, ...order]);
    const view = await viewOf({ holdfast, conversationId });
    expect(textOf(view).endsWith(order.map((id) => `${id} `).join(''))).toBe(true);
    for (const { reader } of clients) {
      await reader.until(({ lastSeq }) => lastSeq === view.lastSeq);
      expect(reader.faults).toEqual([]);
      expect(reader.events).toEqual(log);
    }
    await expectWholeTable(table, follower);
    for (const client of clients) client.close();
    follower.close();
  },
);

describe('S2 a queue that New chat has left held', () => {
  test.each(undisturbedAnd('temporal'))(
    'stays, also with a kill -9 of: $victim; a new message is not held back by it; what is promoted runs, and the rest when it is released',
    { timeout: TIMEOUT_MS },
    async ({ victim }) => {
      const table = await TableUnderTest.create(holdfast);
      const follower = new TableFollower(table);
      const { turn } = await occupied(table);
      const old = turn.conversationId;
      const one = await table.send(old, script('text "one"'));
      const two = await table.send(old, script('text "two"'));
      const fresh = await table.newChat(randomUUID());
      const isBack = await table.kill(victim);
      await isBack();
      expect(await table.endOf(turn)).toMatchObject({ outcome: 'cancelled', cause: 'new-chat' });
      await table.atRest();
      const held = { held: true, items: [one, two].map(({ requestId }) => ({ requestId })) };
      expect(await table.queueOf(old)).toMatchObject(held);
      expect(await table.facts()).toMatchObject({ activeConversationId: fresh });

      // What is said anew is wanted now: it runs, and what is held stays where it is.
      const more = await table.send(old, script('text "more"'));
      expect(await table.endOf(more)).toMatchObject({ outcome: 'completed', text: 'more' });
      expect(await table.queueOf(old)).toMatchObject(held);
      await table.insist({
        method: 'PATCH',
        path: `/v1/conversations/${old}/queue/${two.requestId}`,
        body: { now: true },
      });
      expect(await table.endOf(two)).toMatchObject({ outcome: 'completed', text: 'two' });
      await table.atRest();
      expect(await table.queueOf(old)).toMatchObject({
        held: true,
        items: [{ requestId: one.requestId, held: true }],
      });
      await table.release(old);
      expect(await table.endOf(one)).toMatchObject({ outcome: 'completed', text: 'one' });

      await table.atRest();
      const log = await readLog(holdfast, old);
      expect(endsOf(log)).toEqual([
        `${turn.turnId}.1 chat.cancelled`,
        ...[more, two, one].map(({ turnId }) => `${turnId}.1 chat.done`),
      ]);
      await expectWholeTable(table, follower);
      follower.close();
    },
  );

  test('a cancel that asks for it holds the queue; released, it runs in order', async () => {
    const table = await TableUnderTest.create(holdfast);
    const follower = new TableFollower(table);
    const { turn } = await occupied(table);
    const { conversationId } = turn;
    const one = await table.send(conversationId, script('text "one"'));
    const two = await table.send(conversationId, script('text "two"'));
    await table.insist({
      path: `/v1/conversations/${conversationId}/cancel?wait=end`,
      body: { turnId: turn.turnId, holdQueue: true },
    });
    await table.atRest();
    expect(await viewOf({ holdfast, conversationId })).toMatchObject({
      state: 'idle',
      held: true,
      queue: [{ requestId: one.requestId }, { requestId: two.requestId }],
    });
    await table.release(conversationId);
    expect(await table.endOf(one)).toMatchObject({ outcome: 'completed', text: 'one' });
    expect(await table.endOf(two)).toMatchObject({ outcome: 'completed', text: 'two' });
    await table.atRest();
    expect(await table.queueOf(conversationId)).toEqual({
      items: [],
      held: false,
      nextCursor: null,
    });
    await expectWholeTable(table, follower);
    follower.close();
  });
});
