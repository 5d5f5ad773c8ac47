/** What the conversation's workflow makes of its queue, its history and its table, with doubles behind it. */
import { afterAll, beforeAll, describe, expect, test } from 'vitest';

import type { NewEvent } from '../../src/contracts/events.ts';
import type { conversation } from '../../src/workflows/conversation.ts';
import { eventually } from '../support/eventually.ts';
import { ownNamespace, workflowBundlePath } from '../support/temporal.ts';
import { type Double, type Harness, idle, ran, snapshotOf, startHarness } from './harness.ts';

let harness: Harness;

beforeAll(async () => {
  harness = await startHarness({ ...ownNamespace(), bundlePath: workflowBundlePath() });
});
afterAll(() => harness.stop());

/** What was recorded under that key, once it is there. */
const recordedAs = (double: Double, key: string) =>
  eventually(() => double.recorded.find((request) => request.key === key));
const eventsOf = (double: Double, type: NewEvent['type']): NewEvent[] =>
  double.recorded.flatMap(({ events }) => events.filter((event) => event.type === type));
const receiptOf = async (double: Double, requestId: string) =>
  (await recordedAs(double, `request:${requestId}`)).request;
const send = (n: number, more: object = {}) => ({ requestId: `r${n}`, content: `${n}`, ...more });
/** Ends the newest turn, and waits until the conversation has taken that in. */
async function endNewest(double: Double): Promise<void> {
  const ref = double.ran.at(-1);
  if (ref === undefined) throw new Error('nothing has run');
  double.end(ref);
  await recordedAs(double, `settled:${ref.turnId}.${ref.attempt}`);
}

describe('queue', () => {
  test('S2 a row is edited, moved and removed, each under its command; what has started is left alone', async () => {
    const { double, handle } = await harness.start('rows');
    for (const n of [1, 2, 3, 4]) await handle.signal('send', send(n));
    await receiptOf(double, 'r4');
    const row = { requestId: 'r3' };
    await handle.signal('updateQueued', { commandId: 'k1', ...row, content: 'drei' });
    await handle.signal('updateQueued', { commandId: 'k2', ...row, position: 0 });
    await handle.signal('removeQueued', { commandId: 'k3', requestId: 'r2' });
    await handle.signal('removeQueued', { commandId: 'k4', requestId: 'r1' });
    await handle.signal('updateQueued', { commandId: 'k5', requestId: 'r1', now: true });
    await recordedAs(double, 'command:k3');
    expect((await snapshotOf(handle)).queue).toMatchObject([
      { requestId: 'r3', content: 'drei', position: 0, edited: 1 },
      { requestId: 'r4', position: 1 },
    ]);
    expect(double.keys.has('command:k4')).toBe(false);
    expect(double.keys.has('command:k5')).toBe(false);
    expect(eventsOf(double, 'chat.cancelled')).toMatchObject([{ requestId: 'r2' }]);
    double.end(await ran(double));
    expect((await ran(double, 2)).turnId).toBe((await receiptOf(double, 'r3'))?.turnId);
    await endNewest(double);
    await ran(double, 3);
    await endNewest(double);
    await idle(handle);
    expect(double.ran).toHaveLength(3);
  });

  test('a promoted row runs next, and what runs is stopped', async () => {
    const { double, handle } = await harness.start('promote');
    for (const n of [1, 2, 3]) await handle.signal('send', send(n));
    const first = await ran(double);
    await handle.signal('updateQueued', { commandId: 'k1', requestId: 'r3', now: true });
    expect((await ran(double, 2)).turnId).toBe((await receiptOf(double, 'r3'))?.turnId);
    expect(double.stopped).toMatchObject([{ turnId: first.turnId, by: 'promote' }]);
    await endNewest(double);
    expect((await ran(double, 3)).turnId).toBe((await receiptOf(double, 'r2'))?.turnId);
    await endNewest(double);
  });

  test('a cancel that holds: what waits stays, what comes later goes by, a release starts it', async () => {
    const { double, handle } = await harness.start('hold');
    for (const n of [1, 2]) await handle.signal('send', send(n));
    await ran(double);
    await handle.signal('cancel', { by: 'ann', holdQueue: true });
    await idle(handle);
    expect(await snapshotOf(handle)).toMatchObject({ held: true, queue: [{ requestId: 'r2' }] });
    expect((await snapshotOf(handle)).inWords).toBe('Idle. 1 held in the queue.');
    await handle.signal('send', send(3));
    expect((await ran(double, 2)).turnId).toBe((await receiptOf(double, 'r3'))?.turnId);
    await endNewest(double);
    await idle(handle);
    await handle.signal('holdQueue', { commandId: 'k1', held: false });
    expect((await ran(double, 3)).turnId).toBe((await receiptOf(double, 'r2'))?.turnId);
    await endNewest(double);
    await idle(handle);
  });

  test('a hold that finds the turn ended is decided before that end is settled', async () => {
    for (const [name, signal, argument] of [
      ['hold-cancel', 'cancel', { holdQueue: true }],
      ['hold-queue', 'holdQueue', { commandId: 'k1', held: true }],
    ] as const) {
      const { double, handle } = await harness.start(name);
      for (const n of [1, 2]) await handle.signal('send', send(n));
      const first = await ran(double);
      await receiptOf(double, 'r2');
      double.ended.add(`${first.turnId}.1`);
      await handle.signal(signal, argument);
      await idle(handle);
      expect(await snapshotOf(handle)).toMatchObject({ held: true, queue: [{ requestId: 'r2' }] });
      double.end(first);
      expect(double.ran).toHaveLength(1);
      expect(double.stopped).toEqual([]);
    }
  });

  test('signals of the queue without the documented shape are ignored', async () => {
    const { double, handle } = await harness.start('shapes');
    await handle.signal('send', send(1));
    const ref = await ran(double);
    await handle.signal('updateQueued', { commandId: 'k1', requestId: 'r1' });
    await handle.signal('removeQueued', 'r1');
    await handle.signal('holdQueue', { held: true });
    await handle.signal('rollback', { commandId: 'k2' });
    await handle.signal('updateConversation', { commandId: 'k3' });
    await handle.signal('updateConversation', { commandId: 'k4', title: 'Fine' });
    await recordedAs(double, 'command:k4');
    expect([...double.keys.keys()].filter((key) => key.startsWith('command:'))).toEqual([
      'command:k4',
    ]);
    double.end(ref);
    await idle(handle);
  });
});

describe('history', () => {
  test('edit and resend: what replaces an earlier message cuts the history as it starts', async () => {
    const { double, handle } = await harness.start('edit');
    double.messages.set('m5', { messageId: 'm5', found: true, previousMessageId: 'm4' });
    await handle.signal('send', send(1, { replaces: 'm5' }));
    await ran(double);
    expect(double.types().slice(0, 2)).toEqual(['history.cut', 'message.created']);
    // It waits: what it cuts is looked up when it starts.
    await handle.signal('send', send(2, { replaces: 'm5' }));
    await receiptOf(double, 'r2');
    double.messages.set('m5', { messageId: 'm5', found: true, previousMessageId: null });
    await endNewest(double);
    await ran(double, 2);
    expect(eventsOf(double, 'history.cut').map(({ payload }) => payload)).toEqual([
      { messageId: 'm4', by: 'edit' },
      { messageId: null, by: 'edit' },
    ]);
    await handle.signal('send', send(3, { replaces: 'gone' }));
    expect(await receiptOf(double, 'r3')).toMatchObject({ status: 'rejected', code: 'not_found' });
    await endNewest(double);
    await idle(handle);
  });

  test('rollback: to a message that is there, or to nothing; not while a turn runs', async () => {
    const { double, handle } = await harness.start('rollback');
    double.messages.set('m1', { messageId: 'm1', found: true, previousMessageId: null });
    await handle.signal('rollback', { commandId: 'k1', messageId: 'm1' });
    await handle.signal('rollback', { commandId: 'k2', messageId: 'gone' });
    await handle.signal('rollback', { commandId: 'k3', messageId: null });
    await recordedAs(double, 'command:k3');
    await handle.signal('send', send(1));
    await ran(double);
    await handle.signal('rollback', { commandId: 'k4', messageId: 'm1' });
    await handle.signal('updateConversation', { commandId: 'k5', archived: true });
    await recordedAs(double, 'command:k5');
    expect(eventsOf(double, 'history.cut').map(({ payload }) => payload)).toEqual([
      { messageId: 'm1', by: 'rollback', commandId: 'k1' },
      { messageId: null, by: 'rollback', commandId: 'k3' },
    ]);
    await endNewest(double);
    await idle(handle);
  });

  test('A1 a retry that waits is not run when its prompt has been cut, and ends', async () => {
    const { double, handle } = await harness.start('cut-retry');
    await handle.signal('send', send(1));
    const first = await ran(double);
    double.end(first, 'interrupted');
    await idle(handle);
    await handle.signal('send', send(2));
    await ran(double, 2);
    await handle.signal('retry', { turnId: first.turnId, requestId: 'again' });
    await receiptOf(double, 'again');
    double.cut.add(first.turnId);
    await endNewest(double);
    await idle(handle);
    expect(double.ran).toHaveLength(2);
    expect(eventsOf(double, 'chat.cancelled')).toMatchObject([
      { requestId: 'again', turnId: first.turnId, payload: { by: 'history-cut' } },
    ]);
  });

  test('names, archive, provider: recorded, and the next turn knows', async () => {
    const { double, handle } = await harness.start('names');
    const set = { title: 'Work', archived: true, provider: 'claude', model: 'small' };
    await handle.signal('updateConversation', { commandId: 'k1', ...set });
    await handle.signal('send', send(1));
    await ran(double);
    expect(eventsOf(double, 'conversation.updated')).toMatchObject([
      { payload: { ...set, commandId: 'k1' } },
    ]);
    expect(eventsOf(double, 'chat.started')).toMatchObject([
      { payload: { provider: 'claude', model: 'small' } },
    ]);
    await endNewest(double);
  });
});

describe('steer', () => {
  test('a message that the turn takes in leaves the queue', async () => {
    const { double, handle } = await harness.start('steer');
    await handle.signal('send', send(1));
    const first = await ran(double);
    await handle.signal('send', send(2, { whenBusy: 'steer' }));
    await eventually(() => double.offered.length === 1);
    expect(double.offered).toEqual([{ ...first, requestId: 'r2', content: '2' }]);
    expect((await snapshotOf(handle)).queue).toMatchObject([{ requestId: 'r2', steer: true }]);
    // What was offered may be there already: it is neither changed nor taken back (A1).
    await handle.signal('updateQueued', { commandId: 'k1', requestId: 'r2', content: 'x' });
    await handle.signal('removeQueued', { commandId: 'k2', requestId: 'r2' });
    double.answerOffer('r2', 'taken');
    await recordedAs(double, 'steered:r2');
    expect((await snapshotOf(handle)).queue).toEqual([]);
    await endNewest(double);
    await idle(handle);
    expect(double.ran).toHaveLength(1);
    expect(eventsOf(double, 'chat.cancelled')).toEqual([]);
  });

  test('one that it refuses waits, says so, and runs after it', async () => {
    const { double, handle } = await harness.start('refused');
    await handle.signal('send', send(1));
    await ran(double);
    await handle.signal('send', send(2, { whenBusy: 'steer' }));
    await eventually(() => double.offered.length === 1);
    double.answerOffer('r2', 'refused');
    await recordedAs(double, 'steered:r2');
    expect(eventsOf(double, 'notice')).toMatchObject([{ requestId: 'r2' }]);
    expect((await snapshotOf(handle)).queue[0]).not.toHaveProperty('steer');
    await endNewest(double);
    expect((await ran(double, 2)).turnId).toBe((await receiptOf(double, 'r2'))?.turnId);
    await endNewest(double);
  });

  test('A1 one that was taken, and of which nobody heard before the end, is not run again; one that was not, is', async () => {
    const { double, handle } = await harness.start('unheard');
    await handle.signal('send', send(1));
    await ran(double);
    for (const n of [2, 3]) await handle.signal('send', send(n, { whenBusy: 'steer' }));
    await eventually(() => double.offered.length === 2);
    double.answerOffer('r2', 'taken', { told: false });
    await endNewest(double);
    expect((await ran(double, 2)).turnId).toBe((await receiptOf(double, 'r3'))?.turnId);
    expect(eventsOf(double, 'notice')).toMatchObject([{ requestId: 'r3' }]);
    double.answerOffer('r2', 'taken');
    double.answerOffer('r3', 'refused');
    await endNewest(double);
    await idle(handle);
    expect(double.ran).toHaveLength(2);
    expect(eventsOf(double, 'notice')).toHaveLength(1);
  });

  test('a message that comes before a turn host is found is offered to that; a workflow that begins anew offers it again', async () => {
    const { double, handle, id } = await harness.start('early', { unpinned: true });
    await handle.signal('send', send(1));
    await handle.signal('send', send(2, { whenBusy: 'steer' }));
    await eventually(() => double.offered.length === 1);
    const { turn, queue } = await snapshotOf(handle);
    double.start = {
      ...double.start,
      host: harness.host,
      state: 'processing',
      turn: turn === null ? null : { ...turn, cancelRequested: false },
      queue,
    };
    await handle.terminate('a test');
    await harness.client.workflow.signalWithStart('conversation', {
      workflowId: handle.workflowId,
      taskQueue: harness.taskQueue,
      args: [{ conversationId: id }],
      signal: 'reopen',
      signalArgs: [],
    });
    const again = harness.client.workflow.getHandle<typeof conversation>(handle.workflowId);
    await eventually(() => double.offered.length === 2);
    double.answerOffer('r2', 'taken');
    await recordedAs(double, 'steered:r2');
    await endNewest(double);
    await idle(again);
    expect(new Set(double.ran.map(({ turnId }) => turnId)).size).toBe(1);
  });
});

describe('in a table', () => {
  /** A conversation of a table of its own, and what it tells that. */
  const startIn = async (name: string) => {
    const tableId = `table-of-${name}`;
    const started = await harness.start(name, { tableId });
    return { ...started, words: harness.tableDoubleOf(tableId).words };
  };

  test('S1 what the table does not let start waits, and wants the slot; given it, it starts', async () => {
    const { double, handle, id, words } = await startIn('elsewhere');
    double.occupied = 'elsewhere';
    await handle.signal('send', send(1));
    expect(await receiptOf(double, 'r1')).toMatchObject({ status: 'queued', position: 0 });
    await eventually(() => words.length === 1);
    expect(words).toEqual([{ name: 'wantSlot', conversationId: id, interrupt: false }]);
    expect(double.ran).toEqual([]);
    const [row] = (await snapshotOf(handle)).queue;
    double.start = { ...double.start, queue: row === undefined ? [] : [row] };
    double.occupied = null;
    await handle.signal('reopen');
    expect((await ran(double)).turnId).toBe(row?.turnId);
    // Whoever was given the slot gives way to nobody.
    expect(double.recorded.at(-1)).not.toHaveProperty('waitedSince');
    await endNewest(double);
    await idle(handle);
  });

  test('an interrupt wants it at once; a second message waits behind the first without asking', async () => {
    const { double, handle, id, words } = await startIn('wants');
    double.occupied = 'running';
    await handle.signal('send', send(1, { whenBusy: 'interrupt' }));
    await eventually(() => words.length === 1);
    const recorded = double.recorded.length;
    await handle.signal('send', send(2));
    await eventually(() => words.length === 2);
    expect(words).toEqual([
      { name: 'wantSlot', conversationId: id, interrupt: true },
      { name: 'wantSlot', conversationId: id, interrupt: false },
    ]);
    expect(double.recorded).toHaveLength(recorded + 1);
  });

  test('S2 it gives way to what has waited longer, and says so before anything else', async () => {
    const { double, handle, id, words } = await startIn('gives-way');
    for (const n of [1, 2]) await handle.signal('send', send(n));
    const first = await ran(double);
    await receiptOf(double, 'r2');
    double.occupied = 'waiting';
    double.othersWait = true;
    double.end(first);
    const settled = await recordedAs(double, `settled:${first.turnId}.1`);
    expect(settled.events.map(({ type }) => type)).toEqual(['conversation.state']);
    expect(settled.leaves).toBe(`table-of-gives-way`);
    await eventually(() => words.length === 1);
    expect(words).toEqual([{ name: 'look', yields: id }]);
    expect((await snapshotOf(handle)).queue).toMatchObject([{ requestId: 'r2' }]);
  });

  test('S2 a start gives way since when it waits: now for a new message, its row’s time for a waiting one', async () => {
    const { double, handle } = await startIn('since');
    for (const n of [1, 2]) await handle.signal('send', send(n));
    const first = await ran(double);
    const [row] = await eventually(async () => {
      const { queue } = await snapshotOf(handle);
      return queue.length === 1 ? queue : null;
    });
    double.end(first);
    await ran(double, 2);
    const starts = double.recorded.filter(({ events }) =>
      events.some(({ type }) => type === 'chat.started'),
    );
    expect(starts.map(({ waitedSince }) => waitedSince)).toEqual([expect.any(String), row?.at]);
    await endNewest(double);
    await idle(handle);
  });

  test('S2 one that had not settled its end when the table took it to be waiting gives way as after any end', async () => {
    const { double, handle } = await startIn('unsettled');
    await idle(handle);
    const at = '2026-01-01T00:00:00.000Z';
    const row = { requestId: 'r9', turnId: 't9', content: 'x', attempt: 1, at, position: 0 };
    double.start = { ...double.start, state: 'processing', queue: [row] };
    await handle.signal('reopen');
    const ref = await ran(double);
    expect(double.recorded.at(-1)?.waitedSince).toBe(at);
    double.end(ref);
    await idle(handle);
  });

  test('W1 one that becomes idle while another waits tells the table to look, and gives way to it', async () => {
    const { double, handle, id, words } = await startIn('leaves');
    await handle.signal('send', send(1));
    await ran(double);
    double.othersWait = true;
    await endNewest(double);
    await eventually(() => words.length === 1);
    expect(words).toEqual([{ name: 'look', yields: id }]);
    await handle.signal('send', send(2));
    double.othersWait = false;
    await ran(double, 2);
    await endNewest(double);
    await idle(handle);
    expect(words).toHaveLength(1);
  });

  test('an ordinary turn tells the table nothing', async () => {
    const { double, handle, words } = await startIn('quiet');
    for (const n of [1, 2, 3]) await handle.signal('send', send(n));
    for (const n of [1, 2, 3]) {
      await ran(double, n);
      await endNewest(double);
    }
    await idle(handle);
    expect(words).toEqual([]);
  });

  test('a reject to an idle conversation that is not the active one waits; to a busy table it is refused', async () => {
    const { double, handle } = await startIn('reject');
    double.occupied = 'running';
    await handle.signal('send', send(1, { whenBusy: 'reject' }));
    expect(await receiptOf(double, 'r1')).toMatchObject({ status: 'rejected', code: 'busy' });
    double.occupied = 'elsewhere';
    await handle.signal('send', send(2, { whenBusy: 'reject' }));
    expect(await receiptOf(double, 'r2')).toMatchObject({ status: 'queued' });
  });
});
