/**
 * The nine things that people do with a table of conversations, each as it is and each with a `kill -9` in its middle, of the
 * process that matters most there. By what anybody can see: HTTP and WebSocket. Numbers: design.md section 12.
 */
import { randomUUID } from 'node:crypto';

import { describe, expect, test } from 'vitest';

import type { Event } from '../../../src/contracts/events.ts';
import type { MessageViewValue } from '../../../src/contracts/view.ts';
import { isSameProcess } from '../../../src/providers/process/process-table.ts';
import { textOf } from '../../support/chat-clients.ts';
import { eventually } from '../../support/eventually.ts';
import { SteadyClient } from '../../support/steady-client.ts';
import { readLog, script, words } from './conversations.ts';
import { allow, endsOf, expectWholeLog, processesOf, viewOf, undisturbedAnd } from './faults.ts';
import { sharedHoldfast } from './shared-holdfast.ts';
import { expectWholeTable, TableFollower, TableUnderTest } from './tables.ts';

const holdfast = sharedHoldfast({ HOLDFAST_CANCEL_GRACE_MS: '700', HOLDFAST_TERM_GRACE_MS: '700' });
/** Nine tests with a kill wait for processes to come back. */
const TIMEOUT_MS = 180_000;

/** What the turn said so far, by its rows. */
function textOfTurn(messages: readonly MessageViewValue[], turnId: string): string {
  return messages
    .filter((row) => row.turnId === turnId && row.role === 'assistant' && row.kind === 'text')
    .map(({ content }) => content)
    .join('');
}

const ofTurn = (log: readonly Event[], turnId: string): Event[] =>
  log.filter((event) => event.turnId === turnId);
const userRows = (messages: readonly MessageViewValue[]): string[] =>
  messages.filter(({ role }) => role === 'user').map(({ content }) => content);

describe('1 send when idle', () => {
  test.each(undisturbedAnd('gateway'))(
    'A1 A2 A3 L4 the message starts one turn, and its answer is whole; the list shows it; killed in its middle: $victim',
    { timeout: TIMEOUT_MS },
    async ({ victim }) => {
      const table = await TableUnderTest.create(holdfast);
      const follower = new TableFollower(table);
      const conversationId = await table.newChat();
      const path = `/v1/conversations/${conversationId}/messages`;
      const body = { requestId: 'first', content: 'Plan the move to Oslo\nand the way there' };
      // Its answer is lost with the gateway, or was just given: nobody can know.
      const first = holdfast.call({ path, body }).catch(() => null);
      const isBack = await table.kill(victim);
      await first;
      const turn = await table.send(conversationId, body.content, { requestId: 'first' });
      expect(turn.status).toBe('started');
      await isBack();
      const end = await table.endOf(turn);
      expect(end).toMatchObject({ turnId: turn.turnId, outcome: 'completed', status: 'started' });
      expect(end.text).toContain('Plan the move to Oslo');

      await table.atRest();
      const log = await readLog(holdfast, conversationId);
      expectWholeLog({ log, text: end.text ?? '' });
      expect(endsOf(log)).toEqual([`${turn.turnId}.1 chat.done`]);
      const view = await viewOf({ holdfast, conversationId });
      expect(userRows(view.messages)).toEqual([body.content]);
      expect(view).toMatchObject({ state: 'idle', title: 'Plan the move to Oslo', queue: [] });
      await expectWholeTable(table, follower);
      expect(follower.view).toMatchObject({ activeConversationId: conversationId });
      expect(follower.view.conversations).toMatchObject([
        { conversationId, title: 'Plan the move to Oslo', messageCount: 2, turnCount: 1 },
      ]);
      expect(follower.told({ [conversationId]: 'c' })).toEqual([
        'c active: created',
        'c processing',
      ]);
      follower.close();
    },
  );
});

describe('2 cancel', () => {
  test.each(undisturbedAnd('turn-host'))(
    'C1 L5 P1 A1 the turn is cancelled, then idle; what it said is kept, its processes are gone, and what waits behind it runs; killed in its middle: $victim',
    { timeout: TIMEOUT_MS },
    async ({ victim }) => {
      const table = await TableUnderTest.create(holdfast);
      const follower = new TableFollower(table);
      const conversationId = await table.newChat();
      const turn = await table.streaming(conversationId, 'ignore-cancel', 'child');
      const { turnId } = turn;
      const waiting = await table.send(conversationId, script('text "after"'));
      expect(waiting.status).toBe('queued');
      const cancelled = await table.insist({
        path: `/v1/conversations/${conversationId}/cancel`,
        body: { turnId },
      });
      expect(cancelled).toEqual({ turnId });
      const windingDown = await table.until(conversationId, ({ state }) => state === 'cancelled');
      expect(windingDown).toMatchObject({
        activeTurn: { turnId, phase: 'cancelling' },
        queue: [{ requestId: waiting.requestId }],
      });
      await eventually(async () =>
        (await readLog(holdfast, conversationId)).some(
          (event) => event.type === 'chat.cancelling' && event.payload.step === 'protocol',
        ),
      );
      const isBack = await table.kill(victim);
      await isBack();

      const end = await table.endOf(turn);
      expect(end).toMatchObject({ outcome: 'cancelled', cause: 'user' });
      expect(end.text).toContain('w20 ');
      expect(words(100_000).startsWith(end.text ?? '')).toBe(true);
      await eventually(() => processesOf({ turnId }).length === 0, 10_000);
      expect(await table.endOf(waiting)).toMatchObject({ outcome: 'completed', text: 'after' });

      await table.atRest();
      const log = await readLog(holdfast, conversationId);
      expectWholeLog({ log, text: `${end.text}after` });
      expect(endsOf(log)).toEqual([`${turnId}.1 chat.cancelled`, `${waiting.turnId}.1 chat.done`]);
      const { messages } = await viewOf({ holdfast, conversationId });
      expect(
        messages.find((row) => row.turnId === turnId && row.role === 'assistant'),
      ).toMatchObject({ status: 'partial', content: end.text });
      await expectWholeTable(table, follower);
      expect(follower.told({ [conversationId]: 'c' })).toEqual([
        'c active: created',
        'c processing',
        'c cancelled',
        'c processing',
      ]);
      follower.close();
    },
  );
});

describe('3 New chat while one is processing', () => {
  test.each(undisturbedAnd('worker'))(
    'S1 S2 C1 L5 A1 the new one is active at once and takes a message, which waits until the old one has wound down; what the old one said is kept, and its queue is held; killed in its middle: $victim',
    { timeout: TIMEOUT_MS },
    async ({ victim }) => {
      const table = await TableUnderTest.create(holdfast);
      const follower = new TableFollower(table);
      const old = await table.newChat();
      // It takes the whole ladder to end it: 1.4 s in which the new one must answer already.
      const turn = await table.streaming(old, 'ignore-cancel', 'child');
      const behind = await table.send(old, script('text "behind"'));
      expect(behind.status).toBe('queued');

      const fresh = randomUUID();
      const path = `${table.path}/conversations`;
      const asked = holdfast.call({ path, body: { conversationId: fresh } }).catch(() => null);
      const isBack = await table.kill(victim);
      await asked;
      await table.newChat(fresh);
      expect(await table.facts()).toMatchObject({ activeConversationId: fresh });
      const next = await table.send(fresh, script('words 30 every 2'));
      const meanwhile = {
        status: next.status,
        fresh: await viewOf({ holdfast, conversationId: fresh }),
        old: await viewOf({ holdfast, conversationId: old }),
      };
      // When a worker has to come back first, the old one may have wound down by then.
      expect(meanwhile).toMatchObject(
        victim !== null
          ? {}
          : {
              status: 'queued',
              fresh: { state: 'idle', queue: [{ requestId: next.requestId, position: 0 }] },
              old: { state: 'cancelled' },
            },
      );
      await isBack();
      expect(await table.endOf(next)).toMatchObject({ outcome: 'completed', text: words(30) });
      const end = await table.endOf(turn);
      expect(end).toMatchObject({ outcome: 'cancelled', cause: 'new-chat' });
      expect(end.text).toContain('w20 ');
      await eventually(() => processesOf({ turnId: turn.turnId }).length === 0, 10_000);

      await table.atRest();
      expect(await table.facts()).toMatchObject({ activeConversationId: fresh });
      const before = await viewOf({ holdfast, conversationId: old });
      expect(before).toMatchObject({
        state: 'idle',
        held: true,
        queue: [{ requestId: behind.requestId, turnId: behind.turnId, position: 0 }],
      });
      expect(textOfTurn(before.messages, turn.turnId)).toBe(end.text);
      const logs = [await readLog(holdfast, old), await readLog(holdfast, fresh)] as const;
      expectWholeLog({ log: logs[0], text: end.text ?? '' });
      expectWholeLog({ log: logs[1], text: words(30) });
      await follower.caughtUp();
      expect(follower.told({ [old]: 'old', [fresh]: 'new' })).toEqual([
        'old active: created',
        'old processing',
        'new active: created',
        'old cancelled',
        'new processing',
      ]);

      // Held is not lost: released, it takes the slot that nobody needs, and runs.
      await table.release(old);
      expect(await table.endOf(behind)).toMatchObject({ outcome: 'completed', text: 'behind' });
      await table.atRest();
      expect(await table.facts()).toMatchObject({ activeConversationId: old });
      await expectWholeTable(table, follower);
      follower.close();
    },
  );
});

describe('4 send while processing', () => {
  test.each(undisturbedAnd('temporal'))(
    'S2 A1 A2 what is sent waits in order, or is rejected, as it asked; nothing of it is lost; killed in its middle: $victim',
    { timeout: TIMEOUT_MS },
    async ({ victim }) => {
      const table = await TableUnderTest.create(holdfast);
      const follower = new TableFollower(table);
      const conversationId = await table.newChat();
      const path = `/v1/conversations/${conversationId}/messages`;
      const running = await table.send(
        conversationId,
        script('words 30 every 5', 'ask go', 'text "end"'),
      );
      await table.until(conversationId, ({ approvals }) => approvals.length > 0);
      const first = await table.send(conversationId, script('text "one"'));
      const unwanted = { requestId: 'unwanted', content: script('text "no"'), whenBusy: 'reject' };
      const refusal = { status: 409, body: { code: 'busy' } };
      expect(await holdfast.call({ path, body: unwanted })).toMatchObject(refusal);
      const isBack = await table.kill(victim);
      // What waits is read from the store, whoever is away.
      expect(await table.queueOf(conversationId)).toMatchObject({
        held: false,
        items: [{ requestId: first.requestId, turnId: first.turnId, position: 0 }],
      });
      const second = await table.send(conversationId, script('text "two"'));
      expect([first.status, second.status]).toEqual(['queued', 'queued']);
      await isBack();
      expect(await holdfast.call({ path, body: unwanted })).toMatchObject(refusal);
      expect((await table.queueOf(conversationId)).items).toMatchObject([
        { requestId: first.requestId, position: 0 },
        { requestId: second.requestId, position: 1 },
      ]);
      const { approvals } = await viewOf({ holdfast, conversationId });
      await allow({ holdfast, conversationId, approvalId: approvals[0]?.approvalId ?? '' });
      const turns = [running, first, second];
      const texts = [`${words(30)}end`, 'one', 'two'];
      for (const [index, turn] of turns.entries())
        expect(await table.endOf(turn)).toMatchObject({ outcome: 'completed', text: texts[index] });

      await table.atRest();
      const log = await readLog(holdfast, conversationId);
      expectWholeLog({ log, text: texts.join('') });
      expect(endsOf(log)).toEqual(turns.map(({ turnId }) => `${turnId}.1 chat.done`));
      expect(log.filter(({ type }) => type === 'chat.rejected')).toHaveLength(1);
      await expectWholeTable(table, follower);
      follower.close();
    },
  );

  test.each(undisturbedAnd('worker'))(
    'S1 S2 C1 L5 one that interrupts goes before what waits, here and in another conversation of the table; the queue is not eaten; killed in its middle: $victim',
    { timeout: TIMEOUT_MS },
    async ({ victim }) => {
      const table = await TableUnderTest.create(holdfast);
      const follower = new TableFollower(table);
      const other = await table.newChat();
      const conversationId = await table.newChat();
      const running = await table.streaming(conversationId);
      const waits = await table.send(conversationId, script('text "waits"'));
      const sends = [
        { to: conversationId, content: script('words 100000 every 5', 'text "here"') },
        { to: other, content: script('text "there"') },
      ];
      const here = await table.send(conversationId, sends[0]?.content ?? '', {
        whenBusy: 'interrupt',
      });
      expect(await table.endOf(running)).toMatchObject({
        outcome: 'cancelled',
        cause: 'interrupt',
      });
      await table.until(conversationId, (view) => view.activeTurn?.turnId === here.turnId);
      // Now from elsewhere in the table: that one becomes active, and this one is cancelled for it.
      const requestId = randomUUID();
      const body = { requestId, content: sends[1]?.content ?? '', whenBusy: 'interrupt' };
      const path = `/v1/conversations/${other}/messages`;
      const asked = holdfast.call({ path, body }).catch(() => null);
      const isBack = await table.kill(victim);
      await asked;
      await isBack();
      const there = await table.send(other, body.content, { requestId, whenBusy: 'interrupt' });
      expect(await table.endOf(here)).toMatchObject({ outcome: 'cancelled', cause: 'interrupt' });
      expect(await table.endOf(there)).toMatchObject({ outcome: 'completed', text: 'there' });
      // An interrupt never eats the queue: what waited since the beginning runs last.
      expect(await table.endOf(waits)).toMatchObject({ outcome: 'completed', text: 'waits' });

      await table.atRest();
      const log = await readLog(holdfast, conversationId);
      expect(endsOf(log)).toEqual([
        `${running.turnId}.1 chat.cancelled`,
        `${here.turnId}.1 chat.cancelled`,
        `${waits.turnId}.1 chat.done`,
      ]);
      await expectWholeTable(table, follower);
      const told = follower.told({ [conversationId]: 'c', [other]: 'o' });
      expect(told.slice(told.indexOf('o active: send'))).toEqual([
        'o active: send',
        'c cancelled',
        'o processing',
        'c active: queue',
        'c processing',
      ]);
      follower.close();
    },
  );

  test.each(undisturbedAnd('turn-host'))(
    'A1 one that steers becomes a message of the running turn, or a turn of its own: exactly one of the two; killed in its middle: $victim',
    { timeout: TIMEOUT_MS },
    async ({ victim }) => {
      const table = await TableUnderTest.create(holdfast);
      const follower = new TableFollower(table);
      const conversationId = await table.newChat();
      const content = script('words 400 every 5', 'ask go', 'text "end"');
      const running = await table.send(conversationId, content);
      await table.until(conversationId, (view) => textOf(view).includes('w20 '));
      const said = script('text "on my own"', '# a word in between');
      const requestId = randomUUID();
      const path = `/v1/conversations/${conversationId}/messages`;
      const body = { requestId, content: said, whenBusy: 'steer' };
      const asked = holdfast.call({ path, body }).catch(() => null);
      const isBack = await table.kill(victim);
      await asked;
      await isBack();
      const steering = await table.send(conversationId, said, { requestId, whenBusy: 'steer' });
      expect(steering.status).toBe('queued');
      const { approvals } = await table.until(conversationId, (view) => view.approvals.length > 0);
      await allow({ holdfast, conversationId, approvalId: approvals[0]?.approvalId ?? '' });
      const end = await table.endOf(running);
      expect(end).toMatchObject({ outcome: 'completed' });
      const steered = await table.endOf(steering);
      await table.atRest();

      const log = await readLog(holdfast, conversationId);
      const own = log.filter((event) => event.requestId === requestId);
      const taken = own.flatMap((event) => (event.type === 'chat.steered' ? [event.payload] : []));
      const started = own.filter(({ type }) => type === 'chat.started');
      // Only who has lost the host that it was handed to may find itself in a turn of its own.
      expect([taken.length, started.length]).toEqual(
        victim === null || taken.length === 1 ? [1, 0] : [0, 1],
      );
      const whole = `${words(400)}end`;
      const isTaken = taken.length === 1;
      expect(taken).toEqual(isTaken ? [{ turnId: running.turnId, attempt: 1 }] : []);
      expect({ steered, running: end.text }).toMatchObject(
        isTaken
          ? { steered: { outcome: 'completed', text: end.text } }
          : { steered: { outcome: 'completed', text: 'on my own' }, running: whole },
      );
      expect(end.text?.replace('steered: #script\n', '')).toBe(whole);
      expect(end.text === whole).toBe(!isTaken);
      const { messages, queue } = await viewOf({ holdfast, conversationId });
      expect(userRows(messages)).toEqual([content, said]);
      expect(queue).toEqual([]);
      await expectWholeTable(table, follower);
      follower.close();
    },
  );
});

describe('5 browse an old conversation', () => {
  test.each(undisturbedAnd('gateway'))(
    'L2 C2 every message of it is read once, page by page, while another one is processing; reading changes nothing; killed in its middle: $victim',
    { timeout: TIMEOUT_MS },
    async ({ victim }) => {
      const table = await TableUnderTest.create(holdfast);
      const follower = new TableFollower(table);
      const old = await table.newChat();
      const said = ['one', 'two', 'three', 'four', 'five'];
      for (const word of said) await table.endOf(await table.send(old, script(`text "${word}"`)));
      const before = await readLog(holdfast, old);
      const present = await table.newChat();
      const content = script('words 300 every 5', 'ask go', 'text "end"');
      const running = await table.send(present, content);
      await table.until(present, (view) => textOf(view).includes('w20 '));

      const rows: MessageViewValue[] = [];
      let isBack: (() => Promise<void>) | null = null;
      for (let cursor: string | null = ''; cursor !== null;) {
        const query: string = cursor === '' ? '?limit=3' : `?limit=3&before=${cursor}`;
        const page: { items: MessageViewValue[]; nextCursor: string | null } = await table.insist({
          path: `/v1/conversations/${old}/messages${query}`,
        });
        rows.unshift(...page.items.toReversed());
        cursor = page.nextCursor;
        isBack ??= await table.kill(victim);
      }
      expect(rows.map(({ content: text }) => text)).toEqual(
        said.flatMap((word) => [script(`text "${word}"`), word]),
      );
      expect(await table.insist({ path: `/v1/conversations/${old}` })).toMatchObject({
        state: 'idle',
        messages: rows,
        hasOlder: false,
      });
      const { items } = await table.insist<{ items: { outcome: string }[] }>({
        path: `/v1/conversations/${old}/turns`,
      });
      expect(items.map(({ outcome }) => outcome)).toEqual(said.map(() => 'completed'));
      expect((await table.list()).map(({ conversationId }) => conversationId)).toEqual([
        present,
        old,
      ]);
      await isBack?.();

      expect(await readLog(holdfast, old)).toEqual(before);
      expect(await table.facts()).toMatchObject({ activeConversationId: present });
      const { approvals } = await table.until(present, (view) => view.approvals.length > 0);
      await allow({
        holdfast,
        conversationId: present,
        approvalId: approvals[0]?.approvalId ?? '',
      });
      expect(await table.endOf(running)).toMatchObject({
        outcome: 'completed',
        text: `${words(300)}end`,
      });
      await table.atRest();
      await expectWholeTable(table, follower);
      follower.close();
    },
  );
});

describe('6 continue an old conversation', () => {
  test.each(undisturbedAnd('temporal'))(
    'S1 C2 it is active at once; what runs is finished first, and then the message to the old one runs; killed in its middle: $victim',
    { timeout: TIMEOUT_MS },
    async ({ victim }) => {
      const table = await TableUnderTest.create(holdfast);
      const follower = new TableFollower(table);
      const old = await table.newChat();
      await table.endOf(await table.send(old, script('text "before"')));
      const present = await table.newChat();
      const running = await table.send(present, script('words 30 every 5', 'ask go', 'text "end"'));
      const { approvals } = await table.until(present, (view) => view.approvals.length > 0);
      const provider = await holdfast.providerOf(running.turnId);

      const path = `${table.path}/active`;
      const body = { conversationId: old, whenBusy: 'queue' };
      expect(await holdfast.call({ path, body: { ...body, whenBusy: 'reject' } })).toMatchObject({
        status: 409,
        body: { code: 'busy' },
      });
      expect(await table.facts()).toMatchObject({ activeConversationId: present });
      const asked = holdfast.call({ path, body }).catch(() => null);
      const isBack = await table.kill(victim);
      await asked;
      expect(await table.insist({ path, body })).toMatchObject({ activeConversationId: old });
      const next = await table.send(old, script('say turns', 'text " after"'));
      expect(next.status).toBe('queued');
      await isBack();
      expect(isSameProcess(provider)).toBe(true);
      expect(await viewOf({ holdfast, conversationId: present })).toMatchObject({
        state: 'processing',
        activeTurn: { turnId: running.turnId },
      });
      await allow({
        holdfast,
        conversationId: present,
        approvalId: approvals[0]?.approvalId ?? '',
      });
      expect(await table.endOf(running)).toMatchObject({
        outcome: 'completed',
        text: `${words(30)}end`,
      });
      expect(await table.endOf(next)).toMatchObject({ outcome: 'completed' });

      await table.atRest();
      expect(await table.facts()).toMatchObject({ activeConversationId: old });
      const log = await readLog(holdfast, present);
      expect(ofTurn(log, running.turnId).filter(({ type }) => type === 'chat.cancelling')).toEqual(
        [],
      );
      await expectWholeTable(table, follower);
      expect(follower.told({ [old]: 'old', [present]: 'present' }).slice(2)).toEqual([
        'present active: created',
        'present processing',
        'old active: user',
        'old processing',
      ]);
      follower.close();
    },
  );

  test.each(undisturbedAnd('worker'))(
    'S1 C1 L5 with "interrupt" what runs is cancelled, its text kept and its queue held, and the old one goes on at once; killed in its middle: $victim',
    { timeout: TIMEOUT_MS },
    async ({ victim }) => {
      const table = await TableUnderTest.create(holdfast);
      const follower = new TableFollower(table);
      const old = await table.newChat();
      await table.endOf(await table.send(old, script('text "before"')));
      const present = await table.newChat();
      const running = await table.streaming(present);
      const behind = await table.send(present, script('text "behind"'));
      const path = `${table.path}/active`;
      const body = { conversationId: old, whenBusy: 'interrupt' };
      const asked = holdfast.call({ path, body }).catch(() => null);
      const isBack = await table.kill(victim);
      await asked;
      await isBack();
      expect(await table.insist({ path, body })).toMatchObject({ activeConversationId: old });
      const next = await table.send(old, script('text "after"'));
      const end = await table.endOf(running);
      expect(end).toMatchObject({ outcome: 'cancelled', cause: 'interrupt' });
      expect(end.text).toContain('w20 ');
      expect(await table.endOf(next)).toMatchObject({ outcome: 'completed', text: 'after' });
      await table.atRest();
      const left = await viewOf({ holdfast, conversationId: present });
      expect(left).toMatchObject({ held: true, queue: [{ requestId: behind.requestId }] });
      expect(textOfTurn(left.messages, running.turnId)).toBe(end.text);
      await expectWholeTable(table, follower);
      follower.close();
    },
  );
});

describe('7 open a conversation that is processing', () => {
  test.each(undisturbedAnd('turn-host'))(
    'L1 L4 F2 another device has all of it so far from one call, and the rest as it comes: no gap, no repeat, by the same provider; killed in its middle: $victim',
    { timeout: TIMEOUT_MS },
    async ({ victim }) => {
      const table = await TableUnderTest.create(holdfast);
      const follower = new TableFollower(table);
      const conversationId = await table.newChat();
      const running = await table.send(conversationId, script('words 600 every 5'));
      await table.until(conversationId, (view) => textOf(view).includes('w50 '));
      const provider = await holdfast.providerOf(running.turnId);

      const { table: list, active } = await table.view();
      expect(list).toMatchObject({
        activeConversationId: conversationId,
        conversations: [{ conversationId, state: 'processing' }],
      });
      if (active === null) throw new Error('no conversation is active');
      expect(active).toMatchObject({ conversationId, activeTurn: { turnId: running.turnId } });
      expect(textOf(active)).toContain('w50 ');
      const device = new SteadyClient({ conversationId, gateway: () => holdfast });
      device.reader.view = active;
      const isBack = await table.kill(victim);
      await isBack();
      const end = await table.endOf(running);
      expect(end).toMatchObject({ outcome: 'completed', text: words(600) });
      await table.atRest();
      const view = await viewOf({ holdfast, conversationId });
      await device.reader.until(({ lastSeq }) => lastSeq === view.lastSeq);
      expect(device.reader.faults).toEqual([]);
      expect(device.reader.view).toEqual(view);
      expect(device.reader.text).toBe(words(600));
      const log = await readLog(holdfast, conversationId);
      expectWholeLog({ log, text: words(600) });
      expect(log.filter(({ type }) => type === 'chat.attached')).toHaveLength(
        victim === null ? 0 : 1,
      );
      // Warm, and the same one as in the middle.
      expect(isSameProcess(provider)).toBe(true);
      await expectWholeTable(table, follower);
      device.close();
      follower.close();
    },
  );
});

describe('8 navigate away and come back', () => {
  test.each(undisturbedAnd('supervisor'))(
    'C2 L1 L4 nobody looks, and the turn goes on; who comes back with the last seq has everything once; killed in its middle: $victim',
    { timeout: TIMEOUT_MS },
    async ({ victim }) => {
      const table = await TableUnderTest.create(holdfast);
      const conversationId = await table.newChat();
      const watching = new SteadyClient({ conversationId, gateway: () => holdfast });
      const content = script('words 300 every 5', 'ask go', 'words 20');
      const running = await table.send(conversationId, content);
      await watching.reader.until((view) => textOf(view).includes('w20 '));
      const { view: left } = watching.reader;
      expect(watching.reader.faults).toEqual([]);
      watching.close();
      const provider = await holdfast.providerOf(running.turnId);
      const isBack = await table.kill(victim);
      await isBack();

      const { approvals } = await table.until(conversationId, (view) => view.approvals.length > 0);
      expect(isSameProcess(provider)).toBe(true);
      const back = new SteadyClient({ conversationId, gateway: () => holdfast });
      back.reader.view = left;
      await back.reader.until((view) => view.approvals.length > 0);
      expect(back.reader.text).toBe(words(300));
      await allow({ holdfast, conversationId, approvalId: approvals[0]?.approvalId ?? '' });
      await back.reader.until(({ state }) => state === 'idle');
      expect(back.reader.faults).toEqual([]);
      const text = words(300) + words(20);
      expect(back.reader.text).toBe(text);
      expect(await table.endOf(running)).toMatchObject({ outcome: 'completed', text });
      await table.atRest();
      const log = await readLog(holdfast, conversationId);
      expectWholeLog({ log, text });
      expect(endsOf(log)).toEqual([`${running.turnId}.1 chat.done`]);
      expect(back.reader.view).toEqual(await viewOf({ holdfast, conversationId }));
      const follower = new TableFollower(table);
      await expectWholeTable(table, follower);
      back.close();
      follower.close();
    },
  );
});

describe('9 switch to another table', () => {
  test.each(undisturbedAnd('turn-host'))(
    'S1 F2 C2 turns of two tables run at the same time, and going from one to the other stops neither; killed in its middle: $victim',
    { timeout: TIMEOUT_MS },
    async ({ victim }) => {
      const tables = [await TableUnderTest.create(holdfast), await TableUnderTest.create(holdfast)];
      const places = await Promise.all(
        tables.map(async (table) => ({
          table,
          follower: new TableFollower(table),
          conversationId: await table.newChat(),
        })),
      );
      const content = script('words 200 every 5', 'ask go', 'words 20');
      const turns = [];
      for (const { table, conversationId } of places) {
        turns.push(await table.send(conversationId, content));
        const { active } = await table.view();
        expect(active).toMatchObject({ conversationId, state: 'processing' });
      }
      expect(turns.map(({ status }) => status)).toEqual(['started', 'started']);
      for (const { table, conversationId } of places)
        await table.until(conversationId, (view) => textOf(view).includes('w20 '));
      const isBack = await (tables[0]?.kill(victim) ?? Promise.reject(new Error('no table')));
      await isBack();
      for (const { table, conversationId } of places) {
        // One after the other is looked at and answered; the other one still waits for its answer then.
        const { approvals } = await table.until(
          conversationId,
          (view) => view.approvals.length > 0,
        );
        await allow({ holdfast, conversationId, approvalId: approvals[0]?.approvalId ?? '' });
      }
      const text = words(200) + words(20);
      for (const [index, { table, follower, conversationId }] of places.entries()) {
        const turn = turns[index];
        if (turn === undefined) throw new Error('a turn for each table');
        expect(await table.endOf(turn)).toMatchObject({ outcome: 'completed', text });
        await table.atRest();
        const log = await readLog(holdfast, conversationId);
        expectWholeLog({ log, text });
        expect(endsOf(log)).toEqual([`${turn.turnId}.1 chat.done`]);
        await expectWholeTable(table, follower);
        expect(follower.told({ [conversationId]: 'c' })).toEqual([
          'c active: created',
          'c processing',
        ]);
        follower.close();
      }
    },
  );
});
