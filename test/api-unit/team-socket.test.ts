/** Teams of agents on the WebSocket, over real connections. */
import { describe, expect, it } from 'vitest';

import type { TeamViewValue } from '../../src/contracts/agents.ts';
import type { AgentViewValue } from '../../src/contracts/events.ts';
import { teamStream } from '../../src/contracts/ids.ts';
import { eventually } from '../support/eventually.ts';
import { Gateway, type GatewayOptions } from './gateway-harness.ts';
import type { Frame, RawSocket } from './raw-socket.ts';

const brief = ({ type, rootId, conversationId, seq }: Frame): string =>
  [type, rootId ?? '-', conversationId ?? '-', ...(seq === undefined ? [] : [seq])].join(' ');
const upTo = (last: number, from = 1): number[] =>
  Array.from({ length: last - from + 1 }, (_, index) => from + index);

/** Subscribes to the team of a conversation and resolves with its `caught-up`. */
async function subscribeTeam(
  socket: RawSocket,
  payload?: { lastSeq?: number | null },
  conversationId = 'c1',
): Promise<Frame> {
  const requestId = `s${socket.frames.length}`;
  socket.send({ type: 'agents.subscribe', conversationId, requestId, ...(payload && { payload }) });
  return socket.until((frame) => frame.type === 'caught-up' && frame.requestId === requestId);
}

/** The root c1 with the agent a, whose conversationId comes too. */
async function withAgent(options?: GatewayOptions): Promise<{ gateway: Gateway; a: string }> {
  const gateway = await Gateway.start(options);
  await gateway.conversation();
  const a = await gateway.agent('c1', { agentId: 'a' });
  await gateway.workflow.quiet();
  return { gateway, a };
}

const teamSeq = (gateway: Gateway): Promise<number> => gateway.store.lastSeq(teamStream('c1'));

/** The tree after these events. */
function fold(view: TeamViewValue, events: readonly Frame[]): TeamViewValue {
  const agents = new Map(view.agents.map((agent) => [agent.conversationId, agent]));
  let { lastSeq } = view;
  for (const { payload, seq = 0 } of events) {
    const agent = payload['agent'] as AgentViewValue;
    agents.set(agent.conversationId, agent);
    lastSeq = seq;
  }
  return { ...view, agents: [...agents.values()], lastSeq };
}

describe('agents.subscribe', () => {
  it('L4: without a cursor: the snapshot, caught-up, then live; folded it is the tree', async () => {
    const { gateway, a } = await withAgent();
    const socket = await gateway.socket();
    const caughtUp = await subscribeTeam(socket, {}, a);
    const [snapshot] = socket.frames;
    const { body } = await gateway.get('/v1/conversations/c1/agents');
    expect(snapshot).toMatchObject({ type: 'snapshot', rootId: 'c1', requestId: 's0' });
    expect(snapshot?.payload).toEqual(body);
    const { lastSeq } = body as TeamViewValue;
    expect(caughtUp).toMatchObject({ rootId: 'c1', payload: { seq: lastSeq } });
    expect(socket.frames).toHaveLength(2);
    await gateway.agent(a, { agentId: 'below', content: 'work' });
    await gateway.post(`/v1/conversations/${a}/mailbox`, { to: 'root', content: 'hello' });
    await gateway.workflow.quiet();
    await gateway.workflow.end('c1', 'completed', 'done');
    const last = await teamSeq(gateway);
    await socket.until((frame) => frame.rootId === 'c1' && frame.seq === last);
    const events = socket.teamEvents('c1');
    expect(events.map(({ seq }) => seq)).toEqual(upTo(last, lastSeq + 1));
    const now = await gateway.get('/v1/conversations/c1/agents');
    expect(fold(snapshot?.payload as TeamViewValue, events)).toEqual(now.body);
    // Of the conversations themselves nothing was asked.
    expect(socket.events('c1')).toEqual([]);
  });

  it('L4: from a cursor: what came after it; beyond the end, or too old: reset and the snapshot', async () => {
    let floor = 0;
    const { gateway } = await withAgent({
      wrapStore: (store) => ({
        ...store,
        replayFloor: async (stream) =>
          stream === teamStream('c1') ? floor : store.replayFloor(stream),
      }),
    });
    const last = await teamSeq(gateway);
    expect(last).toBeGreaterThan(1);
    const socket = await gateway.socket();
    await subscribeTeam(socket, { lastSeq: 1 });
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
      await subscribeTeam(other, { lastSeq });
      expect(other.frames.map(brief)).toEqual(['reset c1 -', 'snapshot c1 -', 'caught-up c1 -']);
      expect(other.frames[0]?.payload).toEqual({ reason });
    }
  });

  it('one that stands alone: a team of one, and what it becomes with its first agent', async () => {
    const gateway = await Gateway.start();
    await gateway.conversation();
    const socket = await gateway.socket();
    const caughtUp = await subscribeTeam(socket);
    expect(caughtUp.payload).toEqual({ seq: 0 });
    expect(socket.frames[0]?.payload['agents']).toHaveLength(1);
    await gateway.agent('c1', { agentId: 'a' });
    const last = await teamSeq(gateway);
    await socket.until((frame) => frame.rootId === 'c1' && frame.seq === last);
    expect(socket.teamEvents('c1').map(({ seq }) => seq)).toEqual(upTo(last));
    const now = await gateway.get('/v1/conversations/c1/agents');
    expect(fold(socket.frames[0]?.payload as TeamViewValue, socket.teamEvents('c1'))).toEqual(
      now.body,
    );
  });

  it('by another member it takes the place of the subscription that there is: nothing comes twice', async () => {
    const { gateway, a } = await withAgent();
    const socket = await gateway.socket();
    await subscribeTeam(socket);
    const { lastSeq } = (await gateway.get('/v1/conversations/c1/agents')).body as TeamViewValue;
    await subscribeTeam(socket, { lastSeq }, a);
    await gateway.agent('c1', { agentId: 'b' });
    const last = await teamSeq(gateway);
    await socket.until((frame) => frame.rootId === 'c1' && frame.seq === last);
    socket.send({ type: 'ping' });
    await socket.untilType('pong');
    expect(socket.teamEvents('c1').map(({ seq }) => seq)).toEqual(upTo(last, lastSeq + 1));
  });

  it('C2: unsubscribe, by any member and in order, stops the frames and nothing else', async () => {
    const { gateway, a } = await withAgent();
    const socket = await gateway.socket();
    await subscribeTeam(socket);
    // What was asked last holds, however long each takes to find its team.
    socket.send({ type: 'agents.unsubscribe', conversationId: a, requestId: 'u1' });
    socket.send({ type: 'agents.subscribe', conversationId: a, payload: { lastSeq: 0 } });
    socket.send({ type: 'agents.unsubscribe', conversationId: 'c1', requestId: 'u2' });
    const ok = await socket.until((frame) => frame.requestId === 'u2');
    expect(ok).toMatchObject({ type: 'ok', conversationId: 'c1' });
    expect(socket.frames.find(({ requestId }) => requestId === 'u1')?.type).toBe('ok');
    const { length } = socket.frames;
    await gateway.agent('c1', { agentId: 'b' });
    socket.send({ type: 'ping' });
    await socket.untilType('pong');
    expect(socket.frames.slice(length).map(({ type }) => type)).toEqual(['pong']);
    expect((await gateway.get('/metrics')).text).toMatch(/holdfast_feed_streams 0/);
    // Nobody's: there is nothing to end.
    socket.send({ type: 'agents.unsubscribe', conversationId: 'none', requestId: 'u3' });
    expect((await socket.until((frame) => frame.requestId === 'u3')).type).toBe('ok');
  });

  it('of an unknown conversation it is not_found with its requestId; of a wrong frame invalid_request', async () => {
    const { gateway } = await withAgent();
    const socket = await gateway.socket();
    for (const payload of [{}, { lastSeq: 0 }, { lastSeq: null }]) {
      socket.send({ type: 'agents.subscribe', conversationId: 'none', requestId: 'q', payload });
      await eventually(() => socket.frames.length === 1);
      expect(socket.frames.pop()).toMatchObject({
        type: 'error',
        conversationId: 'none',
        requestId: 'q',
        payload: { code: 'not_found' },
      });
    }
    for (const frame of [
      { type: 'agents.subscribe' },
      { type: 'agents.subscribe', rootId: 'c1' },
      { type: 'agents.subscribe', conversationId: 'c1', payload: { lastSeq: -1 } },
      { type: 'agents.unsubscribe', conversationId: 'c1', payload: { lastSeq: 1 } },
    ]) {
      socket.send(frame);
      await eventually(() => socket.frames.length === 1);
      expect([frame, socket.frames.pop()?.payload['code']]).toEqual([frame, 'invalid_request']);
    }
    await subscribeTeam(socket);
  });

  it('W2: teams count against the limit of subscriptions, also while it is not known which they are', async () => {
    const opened = Promise.withResolvers<void>();
    const { gateway } = await withAgent({
      wrapStore: (store) => ({
        ...store,
        agent: (...call) =>
          (call[0].startsWith('none-') ? opened.promise : Promise.resolve()).then(() =>
            store.agent(...call),
          ),
      }),
    });
    const socket = await gateway.socket();
    for (let n = 0; n < 1_024; n += 1)
      socket.send({ type: 'agents.subscribe', conversationId: `none-${n}` });
    socket.send({ type: 'agents.subscribe', conversationId: 'c1', requestId: 'over' });
    socket.send({ type: 'agents.unsubscribe', conversationId: 'c1', requestId: 'over' });
    await eventually(() => socket.frames.length === 2);
    for (const { type, payload, requestId } of socket.frames)
      expect([type, payload['code'], requestId]).toEqual(['error', 'rate_limited', 'over']);
    opened.resolve();
    await eventually(() => socket.frames.length === 2 + 1_024);
    expect(socket.frames.slice(2).every(({ payload }) => payload['code'] === 'not_found')).toBe(
      true,
    );
    await subscribeTeam(socket);
  });

  it('C2: a socket that closes while its team is looked for leaves nothing behind', async () => {
    const opened = Promise.withResolvers<void>();
    let isSlow = false;
    let answered = 0;
    let asked = 0;
    const { gateway } = await withAgent({
      wrapStore: (store) => ({
        ...store,
        agent: async (conversationId) => {
          const link = await store.agent(conversationId);
          if (!isSlow) return link;
          asked += 1;
          await opened.promise;
          answered += 1;
          return link;
        },
      }),
    });
    const figures = async (): Promise<string> => (await gateway.get('/metrics')).text;
    isSlow = true;
    const socket = await gateway.socket();
    socket.send({ type: 'agents.subscribe', conversationId: 'c1', payload: { lastSeq: 0 } });
    await eventually(() => asked === 1);
    socket.destroy();
    await eventually(async () => /sockets_closed_total\{.*\} 1/.test(await figures()));
    opened.resolve();
    await eventually(() => answered === 1);
    // Whoever comes after it is served; what the first would have begun has begun by then.
    const other = await gateway.socket();
    await subscribeTeam(other, { lastSeq: 0 });
    other.send({ type: 'agents.unsubscribe', conversationId: 'c1', requestId: 'u' });
    await other.until((frame) => frame.requestId === 'u');
    expect(await figures()).toMatch(/holdfast_feed_streams 0/);
  });
});

describe('chat.cancel with cascade', () => {
  it('cancels here and below', async () => {
    const { gateway, a } = await withAgent();
    await gateway.post('/v1/conversations/c1/mailbox', { to: 'a', content: 'work' });
    await gateway.workflow.quiet();
    const socket = await gateway.socket();
    socket.send({
      type: 'chat.cancel',
      conversationId: 'c1',
      requestId: 'x1',
      payload: { cascade: true },
    });
    const ok = await socket.until((frame) => frame.requestId === 'x1');
    expect(ok).toMatchObject({ type: 'ok', payload: { turnId: null } });
    await gateway.workflow.quiet();
    expect((await gateway.get(`/v1/conversations/${a}`)).body).toMatchObject({
      state: 'idle',
      activeTurn: null,
    });
  });
});
