/** Tables and the queue on the WebSocket, over real connections. */
import { describe, expect, it } from 'vitest';

import type { NewEvent } from '../../src/contracts/events.ts';
import { tableStream } from '../../src/contracts/ids.ts';
import { foldEvents } from '../../src/domain/fold.ts';
import { emptyTableView, foldTableEvents } from '../../src/domain/table-fold.ts';
import { eventually } from '../support/eventually.ts';
import { Gateway } from './gateway-harness.ts';
import type { Frame, RawSocket } from './raw-socket.ts';

const seqs = (frames: readonly Frame[]): number[] => frames.map((frame) => frame.seq ?? 0);
const upTo = (last: number, from = 1): number[] =>
  Array.from({ length: last - from + 1 }, (_, index) => from + index);
/** A frame in short: whose it is and what it is. */
const brief = ({ type, conversationId, tableId, seq }: Frame): string =>
  [type, tableId ?? '-', conversationId ?? '-', ...(seq === undefined ? [] : [seq])].join(' ');

/** Subscribes a table and resolves with its `caught-up`. */
async function subscribeTable(
  socket: RawSocket,
  payload?: { lastSeq?: number | null; active?: boolean },
  tableId = 't1',
): Promise<Frame> {
  const requestId = `s${socket.frames.length}`;
  socket.send({ type: 'table.subscribe', tableId, requestId, ...(payload && { payload }) });
  return socket.until((frame) => frame.type === 'caught-up' && frame.requestId === requestId);
}

/** The frames of a conversation, snapshots and all, that are not of a table. */
const ofConversation = (socket: RawSocket, conversationId: string): Frame[] =>
  socket.frames.filter(
    (frame) => frame.conversationId === conversationId && frame.tableId === undefined,
  );

const tableSeq = (gateway: Gateway, tableId = 't1'): Promise<number> =>
  gateway.store.lastSeq(tableStream(tableId));

/** A table whose conversations c1 and c2 exist; c2 is active. */
async function withTwo(): Promise<Gateway> {
  const gateway = await Gateway.start();
  await gateway.table();
  await gateway.chat('c1');
  await gateway.chat('c2');
  return gateway;
}

describe('table.subscribe', () => {
  it('L4: without a cursor: the snapshot, caught-up, then live; folded it is the table', async () => {
    const gateway = await withTwo();
    const socket = await gateway.socket();
    const caughtUp = await subscribeTable(socket);
    const snapshot = await socket.untilType('snapshot');
    const { body } = await gateway.get('/v1/tables/t1/view');
    expect(snapshot).toMatchObject({ tableId: 't1', requestId: 's0' });
    expect(snapshot.payload).toEqual(body['table']);
    const { lastSeq } = snapshot.payload as { lastSeq: number };
    expect(caughtUp).toMatchObject({ tableId: 't1', payload: { seq: lastSeq } });
    expect(socket.frames.map(({ type }) => type)).toEqual(['snapshot', 'caught-up']);
    await gateway.send('c2', 'r1', 'hello');
    await gateway.send('c2', 'r2', 'more');
    await gateway.workflow.end('c2', 'completed');
    await gateway.patch('/v1/conversations/c1', { title: 'renamed' });
    await gateway.chat('c3');
    await gateway.patch('/v1/tables/t1', { title: 'a title' });
    await gateway.workflow.quiet();
    const last = await tableSeq(gateway);
    await socket.until((frame) => frame.tableId === 't1' && frame.seq === last);
    expect(seqs(socket.tableEvents('t1'))).toEqual(upTo(last, lastSeq + 1));
    const now = await gateway.store.tableView('t1', 100);
    const joined = foldTableEvents(snapshot.payload as never, socket.tableEvents('t1') as never);
    expect(joined).toEqual(now);
    const whole = foldTableEvents(emptyTableView('t1'), (await gateway.tableLog()) as never);
    expect(whole).toEqual(now);
    // Of the conversations themselves nothing was asked.
    expect(socket.events('c2')).toEqual([]);
  });

  it('L4: from a cursor: what came after it; beyond the end, or too old: reset and the snapshot', async () => {
    let floor = 0;
    const gateway = await Gateway.start({
      wrapStore: (store) => ({ ...store, replayFloor: async () => floor }),
    });
    await gateway.table();
    await gateway.chat('c1');
    const last = await tableSeq(gateway);
    const socket = await gateway.socket();
    await subscribeTable(socket, { lastSeq: 1 });
    expect(socket.frames.map((frame) => frame.seq ?? frame.type)).toEqual([
      ...upTo(last, 2),
      'caught-up',
    ]);
    floor = 1;
    for (const [lastSeq, reason] of [
      [last + 1, 'cursor-ahead'],
      [0, 'cursor-expired'],
    ] as const) {
      const other = await gateway.socket();
      await subscribeTable(other, { lastSeq });
      expect(other.frames.map(brief)).toEqual(['reset t1 -', 'snapshot t1 -', 'caught-up t1 -']);
      expect(other.frames[0]?.payload).toEqual({ reason });
    }
  });

  it('hello with a table subscribes as well; its seq is the table’s unless a conversation is named', async () => {
    const gateway = await withTwo();
    const one = await gateway.socket();
    one.send({ type: 'hello', payload: { tableId: 't1', lastSeq: 0 } });
    const last = await tableSeq(gateway);
    await one.untilType('caught-up');
    expect(seqs(one.tableEvents('t1'))).toEqual(upTo(last));
    const two = await gateway.socket();
    two.send({ type: 'hello', payload: { tableId: 't1', conversationId: 'c1', lastSeq: 0 } });
    await eventually(() => two.frames.filter(({ type }) => type === 'caught-up').length === 2);
    expect(two.frames.some(({ type, tableId }) => type === 'snapshot' && tableId === 't1')).toBe(
      true,
    );
    expect(seqs(two.events('c1'))[0]).toBe(1);
  });

  it('an unknown table is not_found with its requestId; the socket lives on', async () => {
    const gateway = await withTwo();
    const socket = await gateway.socket();
    for (const payload of [{}, { lastSeq: 0 }, { lastSeq: null }, { active: true }]) {
      socket.send({ type: 'table.subscribe', tableId: 'none', requestId: 'q', payload });
      await eventually(() => socket.frames.length === 1);
      expect(socket.frames.pop()).toMatchObject({
        type: 'error',
        tableId: 'none',
        requestId: 'q',
        payload: { code: 'not_found' },
      });
    }
    await eventually(async () =>
      /holdfast_feed_streams 0/.test((await gateway.get('/metrics')).text),
    );
    await subscribeTable(socket);
  });

  it('C2: unsubscribe and close stop the frames and nothing else', async () => {
    const gateway = await withTwo();
    const socket = await gateway.socket();
    await subscribeTable(socket, { active: true });
    socket.send({ type: 'table.unsubscribe', tableId: 't1', requestId: 'u1' });
    const ok = await socket.until((frame) => frame.requestId === 'u1');
    expect(ok).toMatchObject({ type: 'ok', tableId: 't1' });
    const { length } = socket.frames;
    await gateway.send('c2', 'r1', 'hello');
    await gateway.chat('c3');
    socket.send({ type: 'ping' });
    await socket.untilType('pong');
    expect(socket.frames.slice(length).map(({ type }) => type)).toEqual(['pong']);
    expect((await gateway.get('/metrics')).text).toMatch(/holdfast_feed_streams 0/);
  });

  it('W2: subscriptions of both kinds count against one limit', async () => {
    const { promise, resolve } = Promise.withResolvers<void>();
    const gateway = await Gateway.start({
      wrapStore: (store) => ({
        ...store,
        snapshot: (...call) => promise.then(() => store.snapshot(...call)),
        tableView: (...call) => promise.then(() => store.tableView(...call)),
      }),
    });
    await gateway.table();
    const socket = await gateway.socket();
    // None of them is there; each is counted until that is known.
    for (let n = 0; n < 512; n += 1) {
      socket.send({ type: 'chat.subscribe', conversationId: `none-${n}` });
      socket.send({ type: 'table.subscribe', tableId: `none-${n}` });
    }
    socket.send({ type: 'table.subscribe', tableId: 't1', requestId: 'over' });
    socket.send({ type: 'chat.subscribe', conversationId: 'c1', requestId: 'over' });
    // In place of the one there is.
    socket.send({ type: 'table.subscribe', tableId: 'none-7', requestId: 'same' });
    await eventually(() => socket.frames.length === 2);
    for (const { type, payload, requestId } of socket.frames)
      expect([type, payload['code'], requestId]).toEqual(['error', 'rate_limited', 'over']);
    resolve();
    await eventually(() => socket.frames.length === 2 + 1_024);
    expect(socket.frames.slice(2).every(({ payload }) => payload['code'] === 'not_found')).toBe(
      true,
    );
    await subscribeTable(socket);
  });
});

describe('T1: with its active conversation', () => {
  it('both snapshots are the one call’s; then both are live', async () => {
    const gateway = await withTwo();
    await gateway.send('c2', 'r1', 'hello');
    await gateway.workflow.say('c2', 'Hel');
    const socket = await gateway.socket();
    await subscribeTable(socket, { active: true });
    await socket.until((frame) => frame.type === 'caught-up' && frame.conversationId === 'c2');
    const { body } = await gateway.get('/v1/tables/t1/view');
    expect(socket.frames.slice(0, 2).map(brief)).toEqual(['snapshot t1 -', 'snapshot - c2']);
    expect(socket.frames[0]?.payload).toEqual(body['table']);
    expect(socket.frames[1]?.payload).toEqual(body['active']);
    await gateway.workflow.say('c2', 'lo.');
    await gateway.workflow.end('c2', 'completed', 'Hello.');
    const last = await gateway.lastSeq('c2');
    await socket.until((frame) => frame.conversationId === 'c2' && frame.seq === last);
    const folded = foldEvents(socket.frames[1]?.payload as never, socket.events('c2') as never);
    expect(folded).toEqual((await gateway.get('/v1/conversations/c2')).body);
  });

  it('follows it: the snapshot comes after the event that names it, and the old one is dropped', async () => {
    const gateway = await withTwo();
    const socket = await gateway.socket();
    await subscribeTable(socket, { active: true });
    await gateway.post('/v1/tables/t1/active', { conversationId: 'c1' });
    await socket.until((frame) => frame.type === 'caught-up' && frame.conversationId === 'c1');
    const order = socket.frames.map(brief);
    const named = order.indexOf(`conversation.activated t1 c1 ${await tableSeq(gateway)}`);
    expect(named).toBeGreaterThan(0);
    expect(order.indexOf('snapshot - c1')).toBeGreaterThan(named);
    const { length } = ofConversation(socket, 'c2');
    await gateway.patch('/v1/conversations/c2', { title: 'nobody listens' });
    await gateway.send('c1', 'r1', 'hello');
    const last = await gateway.lastSeq('c1');
    await socket.until((frame) => frame.conversationId === 'c1' && frame.seq === last);
    expect(ofConversation(socket, 'c2')).toHaveLength(length);
    // The one that comes anew too, from its first event on.
    await gateway.chat('c3');
    await socket.until((frame) => frame.type === 'caught-up' && frame.conversationId === 'c3');
    await gateway.send('c3', 'r2', 'hello');
    const end = await gateway.lastSeq('c3');
    await socket.until(
      (frame) => frame.tableId === undefined && frame.conversationId === 'c3' && frame.seq === end,
    );
    const [snapshot] = ofConversation(socket, 'c3');
    const folded = foldEvents(snapshot?.payload as never, socket.events('c3') as never);
    expect(folded).toEqual((await gateway.get('/v1/conversations/c3')).body);
  });

  it('L4: back and forth, quickly: what is active at the end is live, everything else is not', async () => {
    const gateway = await withTwo();
    const socket = await gateway.socket();
    await subscribeTable(socket, { active: true });
    for (let n = 0; n < 20; n += 1)
      await gateway.post('/v1/tables/t1/active', { conversationId: n % 2 === 0 ? 'c1' : 'c2' });
    await gateway.post('/v1/tables/t1/active', { conversationId: 'c1' });
    const last = await tableSeq(gateway);
    await socket.until((frame) => frame.tableId === 't1' && frame.seq === last);
    await eventually(() => {
      const frames = ofConversation(socket, 'c1');
      return frames.at(-1)?.type === 'caught-up';
    });
    const [one, two] = ['c1', 'c2'].map((id) => ofConversation(socket, id).length);
    await gateway.patch('/v1/conversations/c1', { title: 'live' });
    await gateway.patch('/v1/conversations/c2', { title: 'not live' });
    const renamed = await gateway.lastSeq('c1');
    await socket.until(
      (frame) =>
        frame.tableId === undefined && frame.conversationId === 'c1' && frame.seq === renamed,
    );
    socket.send({ type: 'ping' });
    await socket.untilType('pong');
    expect(ofConversation(socket, 'c1')).toHaveLength((one ?? 0) + 1);
    expect(ofConversation(socket, 'c2')).toHaveLength(two ?? 0);
    expect((await gateway.get('/metrics')).text).toMatch(/holdfast_feed_subscribers 2\n/);
  });

  it('a client’s own subscription gets no second snapshot, and is not dropped', async () => {
    const gateway = await withTwo();
    const socket = await gateway.socket();
    for (const conversationId of ['c1', 'c2']) {
      socket.send({ type: 'chat.subscribe', conversationId });
      await socket.until(
        (frame) => frame.type === 'caught-up' && frame.conversationId === conversationId,
      );
    }
    await subscribeTable(socket, { active: true });
    await gateway.post('/v1/tables/t1/active', { conversationId: 'c1' });
    await socket.until((frame) => frame.type === 'conversation.activated');
    await gateway.patch('/v1/conversations/c2', { title: 'still here' });
    await gateway.patch('/v1/conversations/c1', { title: 'here too' });
    for (const id of ['c1', 'c2']) {
      const last = await gateway.lastSeq(id);
      await socket.until(
        (frame) => frame.tableId === undefined && frame.conversationId === id && frame.seq === last,
      );
      const types = ofConversation(socket, id).map(({ type }) => type);
      expect(types.filter((type) => type === 'snapshot')).toHaveLength(1);
    }
    // Taken over by the client while it was brought along, it stays when another becomes active.
    const other = await gateway.socket();
    await subscribeTable(other, { active: true });
    other.send({ type: 'chat.subscribe', conversationId: 'c1', payload: { lastSeq: 0 } });
    await other.until((frame) => frame.seq === 1 && frame.conversationId === 'c1');
    await gateway.chat('c3');
    await other.until((frame) => frame.type === 'snapshot' && frame.conversationId === 'c3');
    await gateway.patch('/v1/conversations/c1', { title: 'stays' });
    const last = await gateway.lastSeq('c1');
    await other.until(
      (frame) => frame.tableId === undefined && frame.conversationId === 'c1' && frame.seq === last,
    );
  });

  it('from a cursor: the table’s stream first, then the snapshot of what is active now', async () => {
    const gateway = await withTwo();
    await gateway.post('/v1/tables/t1/active', { conversationId: 'c1' });
    // More than is read at once.
    for (let n = 0; n < 5; n += 1)
      await gateway.store.append({
        stream: tableStream('t1'),
        events: Array.from({ length: 100 }, (_, index) => ({
          type: 'table.updated' as const,
          tableId: 't1',
          payload: { title: `title ${n} ${index}` },
        })),
      });
    const last = await tableSeq(gateway);
    for (const lastSeq of [0, 2, last]) {
      const socket = await gateway.socket();
      await subscribeTable(socket, { lastSeq, active: true });
      await socket.until((frame) => frame.type === 'caught-up' && frame.conversationId === 'c1');
      const order = socket.frames.map(brief);
      const snapshots = order.filter((text) => text.startsWith('snapshot'));
      expect(snapshots).toEqual(['snapshot - c1']);
      expect(seqs(socket.tableEvents('t1'))).toEqual(upTo(last, lastSeq + 1));
      const lastEvent = order.findLastIndex((text) => text.endsWith(` ${last}`));
      expect(order.indexOf('snapshot - c1')).toBeGreaterThan(lastEvent);
    }
  });

  it('of a table with none: the first New chat is brought along', async () => {
    const gateway = await Gateway.start();
    await gateway.table();
    const socket = await gateway.socket();
    await subscribeTable(socket, { active: true });
    expect(socket.frames.map(brief)).toEqual(['snapshot t1 -', 'caught-up t1 -']);
    await gateway.chat('c1');
    await socket.until((frame) => frame.type === 'snapshot' && frame.conversationId === 'c1');
  });

  it('chat.unsubscribe drops it until another one becomes active', async () => {
    const gateway = await withTwo();
    const socket = await gateway.socket();
    await subscribeTable(socket, { active: true });
    socket.send({ type: 'chat.unsubscribe', conversationId: 'c2', requestId: 'u' });
    await socket.until((frame) => frame.requestId === 'u');
    const { length } = ofConversation(socket, 'c2');
    await gateway.patch('/v1/conversations/c2', { title: 'nobody listens' });
    await gateway.post('/v1/tables/t1/active', { conversationId: 'c1' });
    await socket.until((frame) => frame.type === 'caught-up' && frame.conversationId === 'c1');
    expect(ofConversation(socket, 'c2')).toHaveLength(length);
  });

  it('L4: where the table’s stream has a gap it says reset, and begins anew with what is active', async () => {
    const { gateway, lose } = await withGaps();
    const socket = await gateway.socket();
    await subscribeTable(socket, { active: true });
    await socket.until((frame) => frame.type === 'caught-up' && frame.conversationId === 'c2');
    await lose({ type: 'table.updated', payload: { title: 'lost' } });
    await socket.until((frame) => frame.type === 'snapshot' && frame.payload['title'] === 'lost');
    // Of the conversation nothing was lost.
    const own = ofConversation(socket, 'c2').map(({ type }) => type);
    expect(own).toEqual(['snapshot', 'caught-up']);
    await lose({
      type: 'conversation.activated',
      conversationId: 'c1',
      payload: { previous: 'c2', reason: 'user' },
    });
    await socket.until((frame) => frame.type === 'snapshot' && frame.conversationId === 'c1');
    const order = socket.frames.map(brief);
    expect(order.filter((text) => text.startsWith('conversation.activated'))).toEqual([]);
    expect(order.indexOf('snapshot - c1')).toBeGreaterThan(order.lastIndexOf('reset t1 -'));
    const { length } = ofConversation(socket, 'c2');
    await gateway.patch('/v1/conversations/c2', { title: 'not live' });
    await gateway.patch('/v1/conversations/c1', { title: 'live' });
    const last = await gateway.lastSeq('c1');
    await socket.until(
      (frame) => frame.tableId === undefined && frame.conversationId === 'c1' && frame.seq === last,
    );
    expect(ofConversation(socket, 'c2')).toHaveLength(length);
  });

  /** As {@link withTwo}; `lose` appends an event to the table's stream that no reader of the log will see. */
  async function withGaps(): Promise<{
    gateway: Gateway;
    lose: (event: NewEvent) => Promise<void>;
  }> {
    const missing = new Set<number>();
    const gateway = await Gateway.start({
      wrapStore: (store) => ({
        ...store,
        events: async (stream, afterSeq, limit) => {
          const page = await store.events(stream, afterSeq, limit);
          const items = page.items.filter(
            (item) => stream !== tableStream('t1') || !missing.has(item.seq),
          );
          return { ...page, items };
        },
      }),
    });
    await gateway.table();
    await gateway.chat('c1');
    await gateway.chat('c2');
    const lose = async (event: NewEvent): Promise<void> => {
      missing.add((await tableSeq(gateway)) + 1);
      await gateway.store.append({
        stream: tableStream('t1'),
        events: [{ ...event, tableId: 't1' }],
      });
    };
    return { gateway, lose };
  }
});

describe('the queue on a socket', () => {
  /** Asks with a frame of c1 and resolves with its answer. */
  async function ask(socket: RawSocket, requestId: string, frame: object): Promise<Frame> {
    const before = socket.frames.length;
    socket.send({ conversationId: 'c1', requestId, ...frame });
    return eventually(() =>
      socket.frames
        .slice(before)
        .find((answer) => answer.requestId === requestId && ['ok', 'error'].includes(answer.type)),
    );
  }

  it('is updated, held and removed; ok says what HTTP would answer, error says what became of it', async () => {
    const gateway = await Gateway.start();
    await gateway.queued('q0', 'q1');
    const socket = await gateway.socket();
    expect(
      await ask(socket, 'q1', { type: 'queue.update', payload: { content: 'better' } }),
    ).toMatchObject({
      type: 'ok',
      payload: { items: [{ requestId: 'q0' }, { requestId: 'q1', content: 'better', edited: 1 }] },
    });
    expect(
      await ask(socket, 'q1', { type: 'queue.update', payload: { position: 0 } }),
    ).toMatchObject({
      type: 'ok',
      payload: { items: [{ requestId: 'q1' }, { requestId: 'q0' }], held: false },
    });
    expect(await ask(socket, 'h', { type: 'queue.hold', payload: { held: true } })).toMatchObject({
      type: 'ok',
      payload: { held: true },
    });
    expect(await ask(socket, 'q1', { type: 'queue.remove' })).toMatchObject({
      type: 'ok',
      payload: { requestId: 'q1', turnId: expect.any(String) as unknown },
    });
    expect(await ask(socket, 'q1', { type: 'queue.remove' })).toMatchObject({
      type: 'error',
      payload: { code: 'already_resolved', fate: 'removed' },
    });
    const first = { type: 'queue.update', payload: { position: 0 } };
    expect(await ask(socket, 'first', first)).toMatchObject({
      type: 'error',
      payload: { code: 'already_resolved', fate: 'started' },
    });
    expect(await ask(socket, 'none', first)).toMatchObject({ payload: { code: 'not_found' } });
    expect(await ask(socket, 'q0', { type: 'queue.update', payload: {} })).toMatchObject({
      payload: { code: 'invalid_request' },
    });
    expect(
      await ask(socket, 'c', { type: 'chat.cancel', payload: { holdQueue: true } }),
    ).toMatchObject({ type: 'ok' });
    await gateway.workflow.quiet();
    expect((await gateway.get('/v1/conversations/c1')).body).toMatchObject({
      state: 'idle',
      held: true,
      queue: [{ requestId: 'q0' }],
    });
    expect(await ask(socket, 'q0', { type: 'queue.update', payload: { now: true } })).toMatchObject(
      {
        type: 'ok',
        payload: { items: [], held: false },
      },
    );
  });

  it('S3: commands of one socket are taken in their order, and none waits for what becomes of the one before', async () => {
    const gateway = await Gateway.start({ config: { receiptWaitMs: 60_000 } });
    await gateway.queued('q0', 'q1', 'q2');
    const { length } = gateway.workflow.signals;
    const { promise, resolve } = Promise.withResolvers<void>();
    gateway.workflow.gate = promise;
    const socket = await gateway.socket();
    const frame = { conversationId: 'c1' };
    socket.send({ ...frame, type: 'queue.update', requestId: 'q0', payload: { content: 'x' } });
    socket.send({ ...frame, type: 'queue.update', requestId: 'q0', payload: { position: 2 } });
    socket.send({ ...frame, type: 'queue.remove', requestId: 'q1' });
    socket.send({ ...frame, type: 'chat.send', requestId: 'r9', payload: { content: 'y' } });
    socket.send({ ...frame, type: 'queue.hold', requestId: 'h', payload: { held: true } });
    await eventually(() => gateway.workflow.signals.length === length + 5);
    expect(gateway.workflow.signals.slice(length).map(({ signal }) => signal.name)).toEqual([
      'updateQueued',
      'updateQueued',
      'removeQueued',
      'send',
      'holdQueue',
    ]);
    resolve();
    const ok = await socket.until((answer) => answer.requestId === 'h' && answer.type === 'ok');
    expect(ok.payload).toMatchObject({
      items: [{ requestId: 'q2' }, { requestId: 'q0', content: 'x' }, { requestId: 'r9' }],
      held: true,
    });
  });

  it('A3: what is durable and not recorded in time is accepted; what Temporal did not take is an error', async () => {
    const gateway = await Gateway.start({ config: { receiptWaitMs: 50 } });
    await gateway.queued('q0');
    const socket = await gateway.socket();
    gateway.workflow.weather = 'no-worker';
    const remove = { type: 'queue.remove' };
    expect((await ask(socket, 'q0', remove)).payload).toEqual({ accepted: true });
    gateway.workflow.weather = 'unreachable';
    expect((await ask(socket, 'q0', remove)).payload).toMatchObject({
      code: 'temporal_unavailable',
      accepted: false,
    });
  });

  it('chat.send replaces a message; chat.warm is a hint, and says ok', async () => {
    const gateway = await Gateway.start();
    await gateway.running();
    await gateway.workflow.end('c1', 'completed');
    const { body } = await gateway.get('/v1/conversations/c1');
    const [message] = body['messages'] as { messageId: string }[];
    const socket = await gateway.socket();
    socket.send({
      type: 'chat.send',
      conversationId: 'c1',
      requestId: 'r2',
      payload: { content: 'better', replaces: message?.messageId },
    });
    await socket.until((frame) => frame.type === 'history.cut');
    await socket.until((frame) => frame.type === 'chat.started');
    expect(
      await ask(socket, 'r3', { type: 'chat.send', payload: { content: 'x', replaces: 'none' } }),
    ).toMatchObject({
      payload: { code: 'not_found' },
    });
    const signals = gateway.workflow.signals.length;
    expect(await ask(socket, 'w', { type: 'chat.warm' })).toMatchObject({
      type: 'ok',
      payload: {},
    });
    expect(await ask(socket, 'w2', { type: 'chat.warm', conversationId: 'none' })).toMatchObject({
      type: 'error',
      payload: { code: 'not_found' },
    });
    expect(gateway.workflow.signals).toHaveLength(signals);
  });

  it.each([
    ['a table that is no id', { type: 'table.subscribe', tableId: '../x' }],
    ['no table', { type: 'table.subscribe' }],
    ['a conversation for a table', { type: 'table.subscribe', conversationId: 'c1' }],
    ['a seq that is none', { type: 'table.subscribe', tableId: 't1', payload: { lastSeq: -1 } }],
    [
      'active that is no truth value',
      { type: 'table.subscribe', tableId: 't1', payload: { active: 1 } },
    ],
    [
      'an update without a requestId',
      { type: 'queue.update', conversationId: 'c1', payload: { now: true } },
    ],
    [
      'two changes at once',
      {
        type: 'queue.update',
        conversationId: 'c1',
        requestId: 'q0',
        payload: { now: true, position: 1 },
      },
    ],
    ['a hold of nothing', { type: 'queue.hold', conversationId: 'c1', payload: {} }],
    [
      'a removal with words',
      { type: 'queue.remove', conversationId: 'c1', requestId: 'q0', payload: { now: true } },
    ],
  ])('S4: %s is an error, and the socket lives on', async (_what, frame) => {
    const gateway = await Gateway.start();
    await gateway.queued('q0');
    const { length } = gateway.workflow.signals;
    const socket = await gateway.socket();
    socket.send(frame);
    expect((await socket.untilType('error')).payload['code']).toBe('invalid_request');
    socket.send({ type: 'ping' });
    await socket.untilType('pong');
    expect(gateway.workflow.signals).toHaveLength(length);
  });
});
