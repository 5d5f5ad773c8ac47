/** The WebSocket, over real connections. */
import { once } from 'node:events';

import { describe, expect, it } from 'vitest';

import type { WorkflowCommands } from '../../src/api/commands.ts';
import { TICKET_LIFETIME_MS } from '../../src/api/security.ts';
import { conversationStream } from '../../src/contracts/ids.ts';
import { PROMPT_LIMIT_BYTES } from '../../src/contracts/limits.ts';
import { foldEvents, emptyView } from '../../src/domain/fold.ts';
import type { Store } from '../../src/store/port.ts';
import { eventually } from '../support/eventually.ts';
import { Gateway, TOKEN } from './gateway-harness.ts';
import type { Frame, RawSocket } from './raw-socket.ts';

const seqs = (frames: readonly Frame[]): number[] => frames.map((frame) => frame.seq ?? 0);
const upTo = (last: number, from = 1): number[] =>
  Array.from({ length: last - from + 1 }, (_, index) => from + index);

/** Subscribes and resolves with `caught-up`. */
async function subscribe(
  socket: RawSocket,
  conversationId: string,
  lastSeq?: number | null,
): Promise<Frame> {
  const requestId = `s${socket.frames.length}`;
  socket.send({
    type: 'chat.subscribe',
    conversationId,
    requestId,
    ...(lastSeq === undefined ? {} : { payload: { lastSeq } }),
  });
  return socket.until((frame) => frame.type === 'caught-up' && frame.requestId === requestId);
}

describe('X1: the handshake', () => {
  it('takes the token as a header, as a subprotocol that is not echoed, and as a ticket that works once', async () => {
    const gateway = await Gateway.start();
    const byHeader = await gateway.socket();
    expect(byHeader.status).toBe(101);
    expect(byHeader.head.toLowerCase()).not.toContain('sec-websocket-protocol');
    const protocols = ['holdfast.v1', `holdfast.token.${TOKEN}`];
    const byProtocol = await gateway.socket({ headers: {}, protocols });
    expect(byProtocol.head).toMatch(/sec-websocket-protocol: holdfast\.v1\r?$/im);
    expect(byProtocol.head).not.toContain(TOKEN);
    const reversed = await gateway.socket({ headers: {}, protocols: protocols.toReversed() });
    expect(reversed.head).not.toContain(TOKEN);
    const { body } = await gateway.call('POST', '/v1/ws-tickets');
    const path = `/v1/ws?ticket=${String(body['ticket'])}`;
    const byTicket = await gateway.socket({ headers: {}, path });
    const again = await gateway.socket({ headers: {}, path });
    expect(await again.untilClosed()).toBe(4001);
    for (const socket of [byHeader, byProtocol, reversed, byTicket]) {
      socket.send({ type: 'ping' });
      await socket.untilType('pong');
    }
    const untilExpiryMs = Date.parse(String(body['expiresAt'])) - Date.now();
    expect(untilExpiryMs).toBeGreaterThan(TICKET_LIFETIME_MS - 10_000);
    expect(untilExpiryMs).toBeLessThanOrEqual(TICKET_LIFETIME_MS);
  });

  it('a client like a browser gets in with the subprotocol', async () => {
    const gateway = await Gateway.start();
    const socket = new WebSocket(`ws://127.0.0.1:${gateway.port}/v1/ws`, [
      'holdfast.v1',
      `holdfast.token.${TOKEN}`,
    ]);
    await once(socket, 'open');
    expect(socket.protocol).toBe('holdfast.v1');
    socket.send('{"type":"hello"}');
    const [message] = (await once(socket, 'message')) as [{ data: string }];
    expect(JSON.parse(message.data)).toMatchObject({
      type: 'hello',
      payload: { protocol: 'holdfast.v1', limits: { promptBytes: PROMPT_LIMIT_BYTES } },
    });
    socket.close();
    await once(socket, 'close');
  });

  it.each([
    ['no token', {}, [], 4001],
    ['a wrong token', { authorization: 'Bearer nonsense-nonsense' }, [], 4001],
    ['a wrong token as a subprotocol', {}, ['holdfast.v1', 'holdfast.token.nonsense'], 4001],
    ['an empty token as a subprotocol', {}, ['holdfast.v1', 'holdfast.token.'], 4001],
    [
      'a wrong Origin',
      { authorization: `Bearer ${TOKEN}`, origin: 'http://evil.example' },
      [],
      4003,
    ],
    ['the Origin null', { authorization: `Bearer ${TOKEN}`, origin: 'null' }, [], 4003],
    ['a wrong Origin and no token', { origin: 'http://evil.example' }, [], 4003],
  ])(
    '%s is closed with its code, and no frame of it is read',
    async (_what, headers, protocols, code) => {
      const gateway = await Gateway.start();
      await gateway.conversation();
      const socket = await gateway.socket({ headers, protocols });
      expect(socket.status).toBe(101);
      socket.send({
        type: 'chat.send',
        conversationId: 'c1',
        requestId: 'r1',
        payload: { content: 'x' },
      });
      expect(await socket.untilClosed()).toBe(code);
      expect(socket.frames).toEqual([]);
      expect(gateway.workflow.signals).toHaveLength(0);
    },
  );

  it('W2: who is refused cannot make the gateway hold what it sends', async () => {
    const gateway = await Gateway.start();
    const socket = await gateway.socket({ headers: {} });
    const half = Buffer.alloc(200_000);
    // The head of a frame of 900 kB, and then only a part of it.
    socket.sendBytes(Buffer.from([0x81, 0xff, 0, 0, 0, 0, 0, 0x0d, 0xbb, 0xa0, 0, 0, 0, 0]));
    socket.sendBytes(half);
    await eventually(() => socket.closed);
  });

  it.each([
    ['a wrong Host', { headers: { Host: 'evil.example' } }, 421, 'host_not_allowed'],
    ['a foreign subprotocol', { protocols: ['graphql-ws'] }, 400, 'invalid_request'],
    [
      'the token without our subprotocol',
      { headers: {}, protocols: [`holdfast.token.${TOKEN}`] },
      400,
      'invalid_request',
    ],
    ['another address', { path: '/v1/nowhere' }, 404, 'not_found'],
    ['another address without a token', { path: '/v1/nowhere', headers: {} }, 401, 'unauthorized'],
  ])('%s is refused before the upgrade', async (_what, handshake, status, code) => {
    const gateway = await Gateway.start();
    const socket = await gateway.socket({
      ...('headers' in handshake ? {} : { headers: { authorization: `Bearer ${TOKEN}` } }),
      ...handshake,
    });
    expect(socket.status).toBe(status);
    expect(await eventually(() => socket.body.includes('}') && socket.body)).toContain(
      `"code":"${code}"`,
    );
  });

  it('a plain GET is told what the address takes', async () => {
    const gateway = await Gateway.start();
    const answer = await gateway.get('/v1/ws');
    expect(answer.status).toBe(400);
    expect((await gateway.get('/v1/ws', { token: null })).status).toBe(401);
  });
});

describe('subscribe', () => {
  it('L4: without a cursor: the snapshot, caught-up, then live; folded it is the log', async () => {
    const gateway = await Gateway.start();
    await gateway.running();
    await gateway.workflow.say('c1', 'Hel');
    const socket = await gateway.socket();
    const { payload } = await subscribe(socket, 'c1');
    const snapshot = await socket.untilType('snapshot');
    expect(snapshot).toMatchObject({ conversationId: 'c1', requestId: 's0' });
    const view = (await gateway.get('/v1/conversations/c1')).body;
    expect(snapshot.payload).toEqual(view);
    expect(payload).toEqual({ seq: view['lastSeq'] });
    expect(socket.frames.map((frame) => frame.type)).toEqual(['snapshot', 'caught-up']);
    await gateway.workflow.say('c1', 'lo.');
    await gateway.workflow.end('c1', 'completed', 'Hello.');
    await socket.untilType('chat.done');
    const last = await gateway.lastSeq('c1');
    await socket.until((frame) => frame.seq === last);
    expect(seqs(socket.events('c1'))).toEqual(upTo(last, Number(view['lastSeq']) + 1));
    const folded = foldEvents(snapshot.payload as never, socket.events('c1') as never);
    const now = (await gateway.get('/v1/conversations/c1')).body;
    expect({ ...folded, lastSeq: last }).toEqual(now);
  });

  it('L3: every frame of an event is the stored text itself', async () => {
    const gateway = await Gateway.start();
    await gateway.running();
    await gateway.workflow.say('c1', 'Grüße 🙂 "quoted" \u2028 \\', 'x'.repeat(70_000));
    const socket = await gateway.socket();
    await subscribe(socket, 'c1', 0);
    const { items } = await gateway.store.events(conversationStream('c1'), 0, 1_000);
    expect(socket.texts.slice(0, items.length)).toEqual(items.map((item) => item.json));
  });

  it('L4: from a cursor: everything after it, caught-up, then live', async () => {
    const gateway = await Gateway.start();
    await gateway.running();
    const socket = await gateway.socket();
    const caughtUp = await subscribe(socket, 'c1', 2);
    const last = await gateway.lastSeq('c1');
    expect(caughtUp.payload['seq']).toBe(last);
    expect(socket.frames.map((frame) => frame.seq ?? frame.type)).toEqual([
      ...upTo(last, 3),
      'caught-up',
    ]);
    await gateway.workflow.say('c1', 'a');
    await socket.until((frame) => frame.seq === last + 2);
    const end = await subscribe(await gateway.socket(), 'c1', last + 2);
    expect(end.payload['seq']).toBe(last + 2);
  });

  it('L4: hello with a conversation subscribes as well', async () => {
    const gateway = await Gateway.start();
    await gateway.conversation();
    const socket = await gateway.socket();
    socket.send({ type: 'hello', payload: { conversationId: 'c1', lastSeq: 0, client: 'test' } });
    await socket.untilType('caught-up');
    expect(socket.frames.map((frame) => frame.type)).toEqual([
      'hello',
      'conversation.created',
      'caught-up',
    ]);
  });

  it('L4: a cursor beyond the end, or below the replay window, gets reset and the snapshot', async () => {
    let floor = 0;
    const gateway = await Gateway.start({
      wrapStore: (store) => ({ ...store, replayFloor: async () => floor }),
    });
    await gateway.running();
    const last = await gateway.lastSeq('c1');
    const ahead = await gateway.socket();
    await subscribe(ahead, 'c1', last + 1);
    expect(ahead.frames.map((frame) => frame.type)).toEqual(['reset', 'snapshot', 'caught-up']);
    expect(ahead.frames[0]).toMatchObject({ payload: { reason: 'cursor-ahead' } });
    floor = 3;
    const old = await gateway.socket();
    await subscribe(old, 'c1', 2);
    expect(old.frames.map((frame) => frame.type)).toEqual(['reset', 'snapshot', 'caught-up']);
    expect(old.frames[0]).toMatchObject({ payload: { reason: 'cursor-expired' } });
    const exact = await gateway.socket();
    await subscribe(exact, 'c1', 3);
    expect(seqs(exact.events('c1'))).toEqual(upTo(last, 4));
  });

  it('L4: what is compacted away between the look and the read gets reset and the snapshot', async () => {
    const gateway = await Gateway.start({ wrapStore: (store) => withHole(store, [3]) });
    await gateway.running();
    const socket = await gateway.socket();
    await subscribe(socket, 'c1', 0);
    expect(socket.frames.map((frame) => frame.seq ?? frame.type)).toEqual([
      1,
      2,
      'reset',
      'snapshot',
      'caught-up',
    ]);
  });

  it('one socket carries many conversations; a new subscription takes the place of the old', async () => {
    const gateway = await Gateway.start();
    const socket = await gateway.socket();
    for (const id of ['c1', 'c2', 'c3']) {
      await gateway.running(id);
      await subscribe(socket, id, 0);
    }
    for (const id of ['c1', 'c2', 'c3']) await gateway.workflow.say(id, 'a', 'b');
    for (const id of ['c1', 'c2', 'c3']) {
      const last = await gateway.lastSeq(id);
      await socket.until((frame) => frame.conversationId === id && frame.seq === last);
      expect(seqs(socket.events(id))).toEqual(upTo(last));
    }
    const before = socket.events('c1').length;
    await subscribe(socket, 'c1', 0);
    await gateway.workflow.say('c1', 'c');
    const last = await gateway.lastSeq('c1');
    await eventually(() => socket.events('c1').length === before + last);
    expect(seqs(socket.events('c1').slice(before))).toEqual(upTo(last));
  });

  it('C2: unsubscribe and close stop the frames and nothing else', async () => {
    const gateway = await Gateway.start();
    await gateway.running();
    const socket = await gateway.socket();
    const other = await gateway.socket();
    await subscribe(socket, 'c1');
    await subscribe(other, 'c1');
    socket.send({ type: 'chat.unsubscribe', conversationId: 'c1', requestId: 'u1' });
    await socket.until((frame) => frame.type === 'ok' && frame.requestId === 'u1');
    await gateway.workflow.say('c1', 'a');
    await other.untilType('chat.delta');
    socket.send({ type: 'ping' });
    await socket.untilType('pong');
    expect(socket.events('c1')).toEqual([]);
    other.destroy();
    socket.close();
    expect(await socket.untilClosed()).toBe(1000);
    await eventually(async () =>
      /holdfast_connections 0/.test((await gateway.get('/metrics')).text),
    );
    expect((await gateway.get('/metrics')).text).toMatch(/holdfast_feed_streams 0/);
    expect(gateway.workflow.signals).toHaveLength(1);
    expect((await gateway.store.workflowState('c1'))?.state).toBe('processing');
  });

  it('an unknown conversation is not_found, with the requestId', async () => {
    const gateway = await Gateway.start();
    const socket = await gateway.socket();
    for (const payload of [{}, { lastSeq: 0 }, { lastSeq: null }, { lastSeq: 7 }]) {
      socket.send({ type: 'chat.subscribe', conversationId: 'none', requestId: 'q', payload });
      await eventually(() => socket.frames.length === 1);
      expect(socket.frames.pop()).toMatchObject({
        type: 'error',
        requestId: 'q',
        payload: { code: 'not_found' },
      });
    }
  });
});

describe('chat.send', () => {
  const send = (requestId: string, content = 'hello', more = {}): object => ({
    type: 'chat.send',
    conversationId: 'c1',
    requestId,
    payload: { content, ...more },
  });

  it('A3: is accepted once durable; the sender is subscribed from just before its first event', async () => {
    const gateway = await Gateway.start();
    await gateway.conversation();
    gateway.workflow.autoAnswer = 'Yes.';
    const socket = await gateway.socket();
    socket.send(send('r1'));
    await socket.untilType('chat.done');
    const last = await gateway.lastSeq('c1');
    await socket.until((frame) => frame.seq === last);
    expect(socket.frames[0]).toMatchObject({
      type: 'chat.accepted',
      conversationId: 'c1',
      requestId: 'r1',
    });
    expect(seqs(socket.events('c1'))).toEqual(upTo(last, 2));
    expect(socket.events('c1')[0]).toMatchObject({ type: 'message.created', requestId: 'r1' });
  });

  it('A2: a repeat says so with the receipt, and an unsubscribed sender is shown its fate again', async () => {
    const gateway = await Gateway.start();
    await gateway.running();
    const queued = await gateway.send('c1', 'r2', 'more');
    await gateway.workflow.end('c1', 'completed');
    const socket = await gateway.socket();
    socket.send(send('r2', 'more'));
    const accepted = await socket.untilType('chat.accepted');
    expect(accepted.payload['receipt']).toEqual(queued.body);
    const fate = await socket.untilType('chat.queued');
    expect(socket.events('c1')[0]).toEqual(fate);
    expect(fate.requestId).toBe('r2');
    socket.send(send('r2', 'other'));
    const refused = await socket.untilType('error');
    expect(refused).toMatchObject({ requestId: 'r2', payload: { code: 'request_id_reused' } });
    expect(gateway.workflow.signals).toHaveLength(2);
  });

  it('A2: a repeat whose events are no longer in the log gets the snapshot', async () => {
    const gateway = await Gateway.start({
      wrapStore: (store) => ({ ...store, replayFloor: (stream) => store.lastSeq(stream) }),
    });
    await gateway.running();
    const socket = await gateway.socket();
    socket.send(send('first'));
    await socket.untilType('caught-up');
    expect(socket.frames.map((frame) => frame.type)).toEqual([
      'chat.accepted',
      'snapshot',
      'caught-up',
    ]);
  });

  it('A2: of two at once that share a requestId, the one that lost is told', async () => {
    const gateway = await Gateway.start();
    await gateway.conversation();
    const one = await gateway.socket();
    const two = await gateway.socket();
    one.send(send('r1', 'one'));
    two.send(send('r1', 'two'));
    const error = await Promise.race([one.untilType('error'), two.untilType('error')]);
    expect(error).toMatchObject({ requestId: 'r1', payload: { code: 'request_id_reused' } });
    const log = await gateway.log('c1');
    expect(log.filter((event) => event.type === 'chat.started')).toHaveLength(1);
  });

  it('S3: sends of one socket are taken in their order', async () => {
    const gateway = await Gateway.start();
    await gateway.conversation();
    const socket = await gateway.socket();
    for (let n = 0; n < 50; n += 1) socket.send(send(`r${n}`, `text ${n}`));
    await socket.until((frame) => frame.type === 'chat.accepted' && frame.requestId === 'r49');
    const order = gateway.workflow.signals.map(
      ({ signal }) => 'requestId' in signal.argument && signal.argument.requestId,
    );
    expect(order).toEqual(Array.from({ length: 50 }, (_, n) => `r${n}`));
  });

  it('C2: a send that was read is carried out though its sender has gone', async () => {
    const gateway = await Gateway.start({
      commands: (store) => new SlowCommands(store),
    });
    await gateway.conversation();
    const socket = await gateway.socket();
    for (let n = 0; n < 5; n += 1) socket.send(send(`r${n}`, `text ${n}`));
    await eventually(() => SlowCommands.signals.length === 1);
    socket.destroy();
    await eventually(() => SlowCommands.signals.length === 5);
    expect(SlowCommands.signals).toEqual(['r0', 'r1', 'r2', 'r3', 'r4']);
  });

  it.each([
    ['a blank prompt', send('r1', '  '), 'invalid_request'],
    ['an empty prompt', send('r1', ''), 'invalid_request'],
    [
      'a prompt over the limit',
      send('r1', 'x'.repeat(PROMPT_LIMIT_BYTES + 1)),
      'payload_too_large',
    ],
    [
      'no requestId',
      { type: 'chat.send', conversationId: 'c1', payload: { content: 'x' } },
      'invalid_request',
    ],
    [
      'no conversation',
      { type: 'chat.send', requestId: 'r1', payload: { content: 'x' } },
      'invalid_request',
    ],
    ['an unknown conversation', { ...send('r1'), conversationId: 'none' }, 'not_found'],
    ['an unknown field', send('r1', 'x', { colour: 'red' }), 'invalid_request'],
  ])('%s is an error, nothing is stored, the socket lives on', async (_what, frame, code) => {
    const gateway = await Gateway.start();
    await gateway.conversation();
    const socket = await gateway.socket();
    socket.send(frame);
    const error = await socket.untilType('error');
    expect(error.payload['code']).toBe(code);
    expect(error.requestId).toBe('requestId' in frame ? frame.requestId : undefined);
    socket.send({ type: 'ping' });
    await socket.untilType('pong');
    expect(await gateway.lastSeq('c1')).toBe(1);
    expect(gateway.workflow.signals).toHaveLength(0);
  });

  it('A3: what Temporal did not take is an error, and the sender is not subscribed by it', async () => {
    const gateway = await Gateway.start();
    await gateway.conversation();
    gateway.workflow.weather = 'unreachable';
    const socket = await gateway.socket();
    socket.send(send('r1'));
    expect((await socket.untilType('error')).payload['code']).toBe('temporal_unavailable');
    gateway.workflow.weather = 'fine';
    await gateway.send('c1', 'r1', 'hello');
    socket.send({ type: 'ping' });
    await socket.untilType('pong');
    expect(socket.events('c1')).toEqual([]);
  });
});

describe('the other commands', () => {
  it('cancel, retry and approvals answer ok or error with the requestId', async () => {
    const gateway = await Gateway.start();
    await gateway.running();
    await gateway.workflow.askApproval('c1', 'a1');
    const { turnId } = gateway.workflow.turnOf('c1');
    const socket = await gateway.socket();
    const ask = async (requestId: string, frame: object): Promise<Frame> => {
      socket.send({ conversationId: 'c1', requestId, ...frame });
      return socket.until((answer) => answer.requestId === requestId);
    };
    const allow = { type: 'approval.resolve', payload: { approvalId: 'a1', decision: 'allow' } };
    expect(await ask('q1', allow)).toMatchObject({
      type: 'ok',
      payload: { decision: 'allow', by: 'user' },
    });
    expect(await ask('q2', allow)).toMatchObject({
      type: 'error',
      payload: { code: 'already_resolved' },
    });
    expect(await ask('q3', { type: 'chat.cancel', turnId: 'other' })).toMatchObject({
      payload: { code: 'turn_mismatch' },
    });
    expect(await ask('q4', { type: 'chat.cancel', payload: { turnId } })).toMatchObject({
      type: 'ok',
      payload: { turnId },
    });
    expect(await ask('q5', { type: 'chat.cancel' })).toMatchObject({
      type: 'ok',
      payload: { turnId: null },
    });
    expect(await ask('q6', { type: 'chat.retry' })).toMatchObject({
      payload: { code: 'invalid_request' },
    });
    expect(await ask('q7', { type: 'chat.retry', turnId: 'none' })).toMatchObject({
      payload: { code: 'not_found' },
    });
    const retried = await ask('q8', { type: 'chat.retry', turnId });
    expect(retried).toMatchObject({
      type: 'ok',
      payload: { receipt: { status: 'started', turnId } },
    });
    expect(await ask('q9', { type: 'chat.retry', payload: { turnId } })).toMatchObject({
      payload: { code: 'not_retryable' },
    });
  });
});

describe('S4: frames that are none', () => {
  it.each([
    ['no JSON', 'hello'],
    ['an empty text', ''],
    ['an array', '[]'],
    ['null', 'null'],
    ['a number', '1'],
    ['no type', '{}'],
    ['a type that is no text', '{"type":{"a":1}}'],
    ['an unknown type', '{"type":"chat.explode"}'],
    ['the name of an inherited member', '{"type":"toString"}'],
    ['__proto__', '{"type":"__proto__"}'],
    ['a polluted frame', '{"type":"ping","__proto__":{"polluted":1}}'],
    ['an unknown field', '{"type":"ping","colour":"red"}'],
    [
      'a seq that is none',
      '{"type":"chat.subscribe","conversationId":"c1","payload":{"lastSeq":-1}}',
    ],
    [
      'a seq with a fraction',
      '{"type":"chat.subscribe","conversationId":"c1","payload":{"lastSeq":1.5}}',
    ],
    ['an id outside the pattern', '{"type":"chat.subscribe","conversationId":"../c1"}'],
    ['deep nesting', `{"type":"ping","payload":${'['.repeat(100_000)}${']'.repeat(100_000)}}`],
  ])('%s is an error, and the socket lives on', async (_what, text) => {
    const gateway = await Gateway.start();
    const socket = await gateway.socket();
    socket.sendText(text);
    const error = await socket.untilType('error');
    expect(error.payload['code']).toBe('invalid_request');
    expect(String(error.payload['message']).length).toBeLessThan(300);
    socket.send({ type: 'ping', requestId: 'p1' });
    expect((await socket.untilType('pong')).requestId).toBe('p1');
  });

  it('a binary frame too, and a requestId is sent back when it is one', async () => {
    const gateway = await Gateway.start();
    const socket = await gateway.socket();
    socket.sendRaw(0x2, Buffer.from('{"type":"ping"}'));
    expect((await socket.untilType('error')).payload['message']).toContain('binary');
    socket.send({ type: 'chat.explode', requestId: 'r7', conversationId: 'c7' });
    await socket.until((frame) => frame.requestId === 'r7' && frame.conversationId === 'c7');
    socket.send({ type: 'chat.explode', requestId: '<script>' });
    await eventually(() => socket.frames.length === 3);
    expect(socket.frames.at(-1)?.requestId).toBeUndefined();
  });

  it('bytes that are not UTF-8, and a frame without a mask, break the protocol', async () => {
    const gateway = await Gateway.start();
    const socket = await gateway.socket();
    socket.sendRaw(0x1, Buffer.from([0xff, 0xfe]));
    expect(await socket.untilClosed()).toBe(1007);
    const unmasked = await gateway.socket();
    unmasked.sendBytes(Buffer.from([0x81, 0x02, 0x7b, 0x7d]));
    expect(await unmasked.untilClosed()).toBe(1002);
    expect((await gateway.get('/healthz')).status).toBe(200);
  });

  it('W2: the frame limit is exact', async () => {
    const limit = 65_536;
    const gateway = await Gateway.start({ config: { frameLimitBytes: limit } });
    const frameOf = (size: number): string => {
      const empty = JSON.stringify({ type: 'hello', payload: { client: '' } });
      return JSON.stringify({
        type: 'hello',
        payload: { client: 'x'.repeat(size - empty.length) },
      });
    };
    const socket = await gateway.socket();
    for (const size of [limit - 1, limit]) {
      socket.sendText(frameOf(size));
      await eventually(() => socket.frames.length === 1);
      expect(socket.frames.pop()?.payload['code']).toBe('invalid_request');
    }
    socket.sendText(frameOf(limit + 1));
    expect(await socket.untilClosed()).toBe(1009);
    const other = await gateway.socket();
    other.send({ type: 'ping' });
    await other.untilType('pong');
  });
});

describe('W2: readers that are slow, silent or gone', () => {
  it('of a reader that stops only the cursor is kept; when it reads on, it has every seq once', async () => {
    const gateway = await Gateway.start({ config: { socketHighWaterBytes: 64 * 1024 } });
    await gateway.running();
    const slow = await gateway.socket();
    const quick = await gateway.socket();
    await subscribe(slow, 'c1', 0);
    await subscribe(quick, 'c1', 0);
    slow.pause();
    const text = 'x'.repeat(1_000);
    for (let n = 0; n < 100; n += 1)
      await gateway.workflow.say('c1', ...Array.from({ length: 200 }, () => text));
    const last = await gateway.lastSeq('c1');
    await quick.until((frame) => frame.seq === last);
    const metrics = (await gateway.get('/metrics')).text;
    const fallen = Number(/feed_fallen_behind_total ([0-9]+)/.exec(metrics)?.[1]);
    expect(fallen).toBeGreaterThan(0);
    slow.resume();
    await slow.until((frame) => frame.seq === last, 20_000);
    await gateway.workflow.end('c1', 'completed', 'x');
    const end = await gateway.lastSeq('c1');
    for (const socket of [slow, quick]) {
      await socket.until((frame) => frame.seq === end);
      expect(seqs(socket.events('c1'))).toEqual(upTo(end));
      expect(socket.frames.filter((frame) => frame.type === 'caught-up')).toHaveLength(1);
    }
  });

  it('F3: live rows are read once, whatever the number of subscribers', async () => {
    let reads = 0;
    const gateway = await Gateway.start({
      wrapStore: (store) => ({
        ...store,
        events: (...call) => {
          reads += 1;
          return store.events(...call);
        },
      }),
    });
    await gateway.running();
    const sockets = await Promise.all(Array.from({ length: 20 }, () => gateway.socket()));
    await Promise.all(sockets.map((socket) => subscribe(socket, 'c1')));
    reads = 0;
    for (let n = 0; n < 10; n += 1) await gateway.workflow.say('c1', 'a', 'b', 'c');
    const last = await gateway.lastSeq('c1');
    await Promise.all(sockets.map((socket) => socket.until((frame) => frame.seq === last)));
    expect(reads).toBeLessThanOrEqual(10);
  });

  it('one that floods without reading is closed with 4008 above the hard cap', async () => {
    const gateway = await Gateway.start({
      config: { socketHighWaterBytes: 16 * 1024, socketHardCapBytes: 256 * 1024 },
    });
    const socket = await gateway.socket();
    socket.pause();
    const ping = JSON.stringify({ type: 'ping', requestId: 'p'.repeat(64) });
    const closed = (): Promise<boolean> =>
      gateway.get('/metrics').then(({ text }) => text.includes('holdfast_connections 0'));
    // Their answers are more than the kernel holds for a peer that does not read.
    for (let n = 0; n < 200_000; n += 1) socket.sendText(ping);
    await eventually(() => socket.unsentBytes === 0);
    socket.resume();
    expect(await socket.untilClosed()).toBe(4008);
    await eventually(closed);
  });

  it('a large snapshot is no reason to close', async () => {
    const gateway = await Gateway.start({
      config: { socketHighWaterBytes: 16 * 1024, socketHardCapBytes: 64 * 1024 },
    });
    await gateway.running();
    await gateway.workflow.say('c1', 'x'.repeat(1_000_000));
    const socket = await gateway.socket();
    await subscribe(socket, 'c1');
    expect(socket.frames.map((frame) => frame.type)).toEqual(['snapshot', 'caught-up']);
  });

  it('one that does not answer pings is dropped after two misses; one that does is not', async () => {
    const gateway = await Gateway.start({ config: { pingIntervalMs: 100 } });
    const silent = await gateway.socket({ answersPings: false });
    const alive = await gateway.socket();
    await eventually(() => silent.closed);
    expect(silent.pings).toBe(2);
    await eventually(() => alive.pings >= 6);
    expect(alive.closed).toBe(false);
  });
});

describe('restart', () => {
  it('says goodbye, then closes with 1012; the turn goes on', async () => {
    const gateway = await Gateway.start();
    await gateway.running();
    const socket = await gateway.socket();
    await subscribe(socket, 'c1');
    const closing = gateway.app.close();
    expect(await socket.untilClosed()).toBe(1012);
    expect(socket.frames.at(-1)).toMatchObject({ type: 'goodbye', payload: { reason: 'restart' } });
    await closing;
    expect((await gateway.store.workflowState('c1'))?.state).toBe('processing');
  });

  it('does not wait for a peer that does not close, and refuses who comes meanwhile', async () => {
    const gateway = await Gateway.start();
    await gateway.conversation();
    const socket = await gateway.socket();
    socket.pause();
    const startedAt = performance.now();
    const closing = gateway.app.close();
    const late = await eventually(async () => {
      const answer = await gateway.request('GET', '/v1/conversations/c1');
      return answer.status === 503 && answer;
    });
    expect(late.body['code']).toBe('shutting_down');
    expect(late.headers['retry-after']).toBe('1');
    const handshake = await gateway.socket();
    expect(handshake.status).toBe(503);
    await closing;
    expect(performance.now() - startedAt).toBeLessThan(5_000);
  });
});

it('L4: two sockets, one that joins in the middle, and the log fold to the same', async () => {
  const gateway = await Gateway.start();
  await gateway.running();
  const first = await gateway.socket();
  await subscribe(first, 'c1', 0);
  const second = await gateway.socket();
  for (let n = 0; n < 200; n += 1) {
    if (n === 100) second.send({ type: 'chat.subscribe', conversationId: 'c1' });
    await gateway.workflow.say('c1', `w${n} `);
  }
  const text = Array.from({ length: 200 }, (_, n) => `w${n} `).join('');
  await gateway.workflow.end('c1', 'completed', text);
  const last = await gateway.lastSeq('c1');
  await Promise.all([first, second].map((socket) => socket.until((frame) => frame.seq === last)));
  expect(seqs(first.events('c1'))).toEqual(upTo(last));
  const log = await gateway.log('c1');
  expect(first.events('c1')).toEqual(log);
  const snapshot = await second.untilType('snapshot');
  expect(seqs(second.events('c1'))).toEqual(upTo(last, Number(snapshot.payload['lastSeq']) + 1));
  const whole = foldEvents(emptyView('c1'), log as never);
  const joined = foldEvents(snapshot.payload as never, second.events('c1') as never);
  expect(joined).toEqual(whole);
  expect(whole.messages.at(-1)?.content).toBe(text);
});

/** A store in whose log these seqs are missing, as after a compaction. */
function withHole(store: Store, missing: readonly number[]): Store {
  return {
    ...store,
    events: async (stream, afterSeq, limit) => {
      const page = await store.events(stream, afterSeq, limit);
      return { ...page, items: page.items.filter((item) => !missing.includes(item.seq)) };
    },
  };
}

/** Takes its time for each signal; nothing comes of them. */
class SlowCommands implements WorkflowCommands {
  static signals: unknown[] = [];
  readonly #store: Store;

  constructor(store: Store) {
    this.#store = store;
    SlowCommands.signals = [];
  }

  async create({
    conversationId,
    create,
  }: Parameters<WorkflowCommands['create']>[0]): Promise<void> {
    await this.#store.append({
      stream: conversationStream(conversationId),
      events: [{ type: 'conversation.created', payload: create }],
    });
  }

  async signal({ signal }: Parameters<WorkflowCommands['signal']>[0]): Promise<void> {
    SlowCommands.signals.push('requestId' in signal.argument ? signal.argument.requestId : null);
    await new Promise((resolve) => setTimeout(resolve, 20));
  }

  async spawn(): ReturnType<WorkflowCommands['spawn']> {
    return { refused: async () => null };
  }

  async createTable(): Promise<void> {}

  async signalTable(): Promise<void> {}

  async signalTrigger(): Promise<void> {}

  async check(): Promise<void> {}

  async inspect(): ReturnType<WorkflowCommands['inspect']> {
    throw new Error('nobody is asked');
  }
}
