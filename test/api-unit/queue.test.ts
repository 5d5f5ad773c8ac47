/** The queue over HTTP: what waits can be read, edited, moved, promoted, held and removed; what has started says so. */
import { describe, expect, it } from 'vitest';

import { conversationStream } from '../../src/contracts/ids.ts';
import { PROMPT_LIMIT_BYTES, QUEUE_LIMIT, QUEUE_LIMIT_BYTES } from '../../src/contracts/limits.ts';
import { eventually } from '../support/eventually.ts';
import { type Answer, Gateway } from './gateway-harness.ts';
import { WorkflowDouble } from './workflow-double.ts';

const path = '/v1/conversations/c1/queue';
const verdict = ({ status, body }: Answer): unknown[] => [status, body['code']];
const order = ({ body }: Answer): unknown[] =>
  (body['items'] as { requestId: string }[]).map(({ requestId }) => requestId);

describe('reading', () => {
  it('shows what waits in its order, and one of it', async () => {
    const gateway = await Gateway.start();
    await gateway.queued('q0', 'q1');
    const { status, body } = await gateway.get(path);
    expect(status).toBe(200);
    const at: unknown = expect.stringMatching(/^\d{4}-.*Z$/);
    const turnId: unknown = expect.stringMatching(/^turn/);
    const [first, second] = [0, 1].map((position) => ({
      requestId: `q${position}`,
      turnId,
      content: `text of q${position}`,
      position,
      attempt: 1,
      at,
    }));
    expect(body).toEqual({ items: [first, second], held: false, nextCursor: null });
    expect((await gateway.get(`${path}/q1`)).body).toEqual(second);
    const view = await gateway.get('/v1/conversations/c1');
    expect(view.body).toMatchObject({ queue: body['items'], held: false });
  });

  it.each([
    ['GET', '/v1/conversations/none/queue', undefined, 404],
    ['POST', '/v1/conversations/none/queue', { requestId: 'r', content: 'x' }, 404],
    ['PATCH', '/v1/conversations/none/queue', { held: true }, 404],
    ['GET', `${path}/none`, undefined, 404],
    ['PATCH', `${path}/none`, { position: 0 }, 404],
    ['DELETE', `${path}/none`, undefined, 404],
    ['GET', `${path}/a%20b`, undefined, 400],
    ['GET', `${path}?limit=1`, undefined, 400],
    ['PATCH', path, {}, 400],
    ['PATCH', path, { held: 'yes' }, 400],
    ['PATCH', `${path}/q0`, {}, 400],
    ['PATCH', `${path}/q0`, { position: -1 }, 400],
    ['PATCH', `${path}/q0`, { position: 1.5 }, 400],
    ['PATCH', `${path}/q0`, { now: false }, 400],
    ['PATCH', `${path}/q0`, { content: 'x', position: 0 }, 400],
    ['PATCH', `${path}/q0`, { content: '' }, 400],
    ['PATCH', `${path}/q0`, { content: ' \n\t ' }, 400],
    ['PATCH', `${path}/q0`, { requestId: 'q9' }, 400],
    ['DELETE', `${path}/q0`, { force: true }, 400],
    ['POST', path, { requestId: 'r', content: 'x', whenBusy: 'reject' }, 400],
    ['POST', path, { requestId: 'r', content: '  ' }, 400],
  ])('%s %s %j is %d, and nothing is asked of the workflow', async (method, at, body, status) => {
    const gateway = await Gateway.start();
    await gateway.queued('q0');
    const { length } = gateway.workflow.signals;
    const code = status === 404 ? 'not_found' : 'invalid_request';
    expect(verdict(await gateway.call(method, at, { body }))).toEqual([status, code]);
    expect(gateway.workflow.signals).toHaveLength(length);
    expect(order(await gateway.get(path))).toEqual(['q0']);
  });
});

describe('POST', () => {
  it('is a send that waits: the same receipt, the same on repeat, started where nothing runs', async () => {
    const gateway = await Gateway.start();
    await gateway.conversation();
    const started = await gateway.post(path, { requestId: 'r0', content: 'now' });
    expect(started.body).toMatchObject({ requestId: 'r0', status: 'started' });
    const queued = await gateway.post(path, { requestId: 'r1', content: 'later' });
    expect(queued.body).toMatchObject({ requestId: 'r1', status: 'queued', position: 0 });
    expect((await gateway.post(path, { requestId: 'r1', content: 'later' })).text).toBe(
      queued.text,
    );
    const reused = await gateway.post(path, { requestId: 'r1', content: 'other' });
    expect(verdict(reused)).toEqual([409, 'request_id_reused']);
    const waiting = gateway.post(`${path}?wait=end`, { requestId: 'r1', content: 'later' });
    await gateway.workflow.end('c1', 'completed');
    await gateway.workflow.end('c1', 'completed');
    expect((await waiting).body).toMatchObject({ status: 'queued', outcome: 'completed' });
  });

  it('W2: the limit is exact', async () => {
    const gateway = await Gateway.start();
    await gateway.running();
    for (let n = 0; n < QUEUE_LIMIT; n += 1) {
      const { status } = await gateway.post(path, { requestId: `q${n}`, content: 'x' });
      expect(status).toBe(200);
    }
    const full = await gateway.post(path, { requestId: 'over', content: 'x' });
    expect(verdict(full)).toEqual([429, 'queue_full']);
    expect((await gateway.delete(`${path}/q0`)).status).toBe(200);
    expect((await gateway.post(path, { requestId: 'again', content: 'x' })).status).toBe(200);
  });

  it('A3: is 202 when it is durable and its receipt is not known in time', async () => {
    const gateway = await Gateway.start({ config: { receiptWaitMs: 50 } });
    await gateway.conversation();
    gateway.workflow.weather = 'no-worker';
    const answer = await gateway.post(path, { requestId: 'r1', content: 'x' });
    expect(answer.status).toBe(202);
    expect(answer.body).toEqual({ requestId: 'r1', accepted: true });
  });
});

describe('editing', () => {
  it('changes the text that will be sent, and answers with the queue after it', async () => {
    const gateway = await Gateway.start();
    await gateway.queued('q0', 'q1');
    const answer = await gateway.patch(`${path}/q0`, { content: 'better \ud83d' });
    expect(answer.status).toBe(200);
    expect(answer.body).toMatchObject({
      items: [
        { requestId: 'q0', content: 'better \ufffd', edited: 1, position: 0 },
        { requestId: 'q1', content: 'text of q1', position: 1 },
      ],
      held: false,
    });
    await gateway.workflow.end('c1', 'completed');
    const view = await gateway.get('/v1/conversations/c1');
    expect(view.body['messages']).toMatchObject([
      { content: 'hello' },
      { content: 'better \ufffd' },
    ]);
    expect(order(await gateway.get(path))).toEqual(['q1']);
  });

  it('W2: takes a prompt of exactly the limit, and not one byte more', async () => {
    const gateway = await Gateway.start();
    await gateway.queued('q0');
    const over = await gateway.patch(`${path}/q0`, { content: 'x'.repeat(PROMPT_LIMIT_BYTES + 1) });
    expect(verdict(over)).toEqual([413, 'payload_too_large']);
    const exact = await gateway.patch(`${path}/q0`, { content: 'x'.repeat(PROMPT_LIMIT_BYTES) });
    expect(exact.status).toBe(200);
  });

  it('W2: the bytes of the whole queue are bounded exactly', async () => {
    const gateway = await Gateway.start();
    await gateway.running();
    const full = QUEUE_LIMIT_BYTES / PROMPT_LIMIT_BYTES - 1;
    for (let n = 0; n < full; n += 1)
      await gateway.post(path, { requestId: `q${n}`, content: 'x'.repeat(PROMPT_LIMIT_BYTES) });
    await gateway.post(path, { requestId: 'a', content: 'x'.repeat(PROMPT_LIMIT_BYTES - 2) });
    await gateway.post(path, { requestId: 'b', content: 'y' });
    const { length } = gateway.workflow.signals;
    const over = await gateway.patch(`${path}/b`, { content: 'yyy' });
    expect(verdict(over)).toEqual([429, 'queue_full']);
    expect(over.headers['retry-after']).toBe('1');
    expect(gateway.workflow.signals).toHaveLength(length);
    expect((await gateway.patch(`${path}/b`, { content: 'yy' })).status).toBe(200);
  });

  it('the text of a retry is its turn’s', async () => {
    const gateway = await Gateway.start();
    await gateway.running();
    const { turnId } = gateway.workflow.turnOf('c1');
    await gateway.workflow.end('c1', 'failed');
    await gateway.send('c1', 'r2', 'something else');
    const retry = await gateway.post(`/v1/conversations/c1/turns/${turnId}/retry`, {
      requestId: 'again',
    });
    expect(retry.body['status']).toBe('queued');
    const answer = await gateway.patch(`${path}/again`, { content: 'other' });
    expect(verdict(answer)).toEqual([400, 'invalid_request']);
    expect(answer.body['errors']).toEqual([{ path: '/content', message: 'cannot be changed' }]);
    expect((await gateway.patch(`${path}/again`, { position: 0 })).status).toBe(200);
  });
});

describe('moving', () => {
  it.each([
    ['q0', 0, ['q0', 'q1', 'q2']],
    ['q0', 1, ['q1', 'q0', 'q2']],
    ['q0', 2, ['q1', 'q2', 'q0']],
    ['q0', 3, ['q1', 'q2', 'q0']],
    ['q0', 1e300, ['q1', 'q2', 'q0']],
    ['q2', 0, ['q2', 'q0', 'q1']],
    ['q2', 1, ['q0', 'q2', 'q1']],
    ['q2', 2, ['q0', 'q1', 'q2']],
  ])('S2: %s to %d gives %j; past the end is the end', async (requestId, position, expected) => {
    const gateway = await Gateway.start();
    await gateway.queued('q0', 'q1', 'q2');
    const answer = await gateway.patch(`${path}/${requestId}`, { position });
    expect(answer.status).toBe(200);
    expect(order(answer)).toEqual(expected);
    const positions = (answer.body['items'] as { position: number }[]).map((item) => item.position);
    expect(positions).toEqual([0, 1, 2]);
    expect(order(await gateway.get(path))).toEqual(expected);
  });
});

describe('promoting', () => {
  it('puts it to the front and cancels what runs', async () => {
    const gateway = await Gateway.start();
    await gateway.queued('q0', 'q1');
    const { turnId } = gateway.workflow.turnOf('c1');
    const answer = await gateway.patch(`${path}/q1`, { now: true });
    expect(answer.status).toBe(200);
    expect(order(answer)).toEqual(['q1', 'q0']);
    await gateway.workflow.quiet();
    const view = await gateway.get('/v1/conversations/c1');
    expect(view.body['activeTurn']).toMatchObject({ requestId: 'q1' });
    const old = await gateway.get(`/v1/conversations/c1/turns/${turnId}`);
    expect(old.body['outcome']).toBe('cancelled');
  });

  it('of a held queue with nothing running starts at once; the rest stays held', async () => {
    const gateway = await Gateway.start();
    await gateway.queued('q0', 'q1');
    await gateway.post('/v1/conversations/c1/cancel', { holdQueue: true });
    await gateway.workflow.quiet();
    const answer = await gateway.patch(`${path}/q1`, { now: true });
    expect(answer.body).toMatchObject({ items: [{ requestId: 'q0', held: true }], held: true });
    expect((await gateway.get('/v1/conversations/c1')).body['activeTurn']).toMatchObject({
      requestId: 'q1',
    });
  });
});

describe('removing', () => {
  it('ends it with one chat.cancelled, its requestId and no attempt; nothing else is touched', async () => {
    const gateway = await Gateway.start();
    await gateway.queued('q0', 'q1');
    const item = await gateway.get(`${path}/q0`);
    const answer = await gateway.delete(`${path}/q0`);
    expect(answer.status).toBe(200);
    expect(answer.body).toEqual({ requestId: 'q0', turnId: item.body['turnId'] });
    expect(order(await gateway.get(path))).toEqual(['q1']);
    const ends = (await gateway.log('c1')).filter(({ type }) => type === 'chat.cancelled');
    expect(ends).toMatchObject([{ requestId: 'q0', payload: { by: 'user' } }]);
    expect(ends[0]).not.toHaveProperty('attempt');
    expect((await gateway.get('/v1/conversations/c1')).body['state']).toBe('processing');
  });

  it('a caller that waits for its end hears of it, now and when it asks again', async () => {
    const gateway = await Gateway.start();
    await gateway.running();
    const waiting = gateway.send('c1', 'q0', 'more', { wait: 'end' });
    await eventually(async () => (await gateway.store.request('c1', 'q0')) !== null);
    await gateway.delete(`${path}/q0`);
    const answer = await waiting;
    expect(answer.body).toMatchObject({
      status: 'queued',
      outcome: 'cancelled',
      cause: 'user',
      text: '',
    });
    const again = await gateway.send('c1', 'q0', 'more', { wait: 'end' });
    expect(again.body).toEqual(answer.body);
  });
});

describe('holding', () => {
  it('keeps what waits though nothing runs; a new message is not held back; a release lets it go', async () => {
    const gateway = await Gateway.start();
    await gateway.queued('q0', 'q1');
    const held = await gateway.patch(path, { held: true });
    expect(held.body).toMatchObject({ held: true });
    expect(order(held)).toEqual(['q0', 'q1']);
    await gateway.workflow.end('c1', 'completed');
    expect((await gateway.get('/v1/conversations/c1')).body).toMatchObject({
      state: 'idle',
      held: true,
    });
    gateway.workflow.autoAnswer = 'Yes.';
    const fresh = await gateway.send('c1', 'r9', 'not held', { wait: 'end' });
    expect(fresh.body).toMatchObject({ status: 'started', outcome: 'completed' });
    expect(order(await gateway.get(path))).toEqual(['q0', 'q1']);
    gateway.workflow.autoAnswer = null;
    const released = await gateway.patch(path, { held: false });
    expect(released.body).toMatchObject({ held: false });
    expect(order(released)).toEqual(['q1']);
    expect((await gateway.get('/v1/conversations/c1')).body['activeTurn']).toMatchObject({
      requestId: 'q0',
    });
  });

  it('an empty queue holds nothing back; saying it twice is answered twice', async () => {
    const gateway = await Gateway.start();
    await gateway.conversation();
    expect((await gateway.patch(path, { held: true })).body).toEqual({
      items: [],
      held: false,
      nextCursor: null,
    });
    await gateway.send('c1', 'r1', 'hello');
    await gateway.send('c1', 'q0', 'more');
    for (const _ of [1, 2])
      expect((await gateway.patch(path, { held: true })).body['held']).toBe(true);
    for (const _ of [1, 2])
      expect((await gateway.patch(path, { held: false })).body['held']).toBe(false);
  });

  it('a cancel can be asked to hold the queue, also when nothing runs', async () => {
    const gateway = await Gateway.start();
    await gateway.queued('q0');
    const { turnId } = gateway.workflow.turnOf('c1');
    const answer = await gateway.post('/v1/conversations/c1/cancel?wait=end', { holdQueue: true });
    expect(answer.body).toMatchObject({ turnId, outcome: 'cancelled' });
    await gateway.workflow.quiet();
    expect((await gateway.get('/v1/conversations/c1')).body).toMatchObject({
      state: 'idle',
      held: true,
      queue: [{ requestId: 'q0' }],
    });
    const nothing = await gateway.post('/v1/conversations/c1/cancel', { holdQueue: true });
    expect(nothing.body).toEqual({ turnId: null });
  });

  it('what waits for its table’s slot can be held too', async () => {
    const gateway = await Gateway.start();
    await gateway.table();
    await gateway.chat('c1');
    await gateway.chat('c2');
    await gateway.send('c2', 'r1', 'hello');
    await gateway.send('c1', 'q0', 'more');
    const answer = await gateway.post('/v1/conversations/c1/cancel', { holdQueue: true });
    expect(answer.body).toEqual({ turnId: null });
    await gateway.workflow.quiet();
    expect((await gateway.get(path)).body).toMatchObject({
      held: true,
      items: [{ requestId: 'q0' }],
    });
    await gateway.workflow.end('c2', 'completed');
    expect((await gateway.get('/v1/conversations/c1')).body['state']).toBe('idle');
  });

  it('without it a cancel never eats what waits: the next one starts', async () => {
    const gateway = await Gateway.start();
    await gateway.queued('q0');
    await gateway.post('/v1/conversations/c1/cancel', {});
    await gateway.workflow.quiet();
    expect((await gateway.get('/v1/conversations/c1')).body['activeTurn']).toMatchObject({
      requestId: 'q0',
    });
  });
});

describe('what does not wait any more', () => {
  const methods = [
    ['GET', undefined],
    ['PATCH', { content: 'too late' }],
    ['PATCH', { position: 0 }],
    ['PATCH', { now: true }],
    ['DELETE', undefined],
  ] as const;

  /** Every way to ask for `requestId` is already_resolved, says why, and changes nothing. */
  async function expectTooLate(gateway: Gateway, requestId: string, told: object): Promise<void> {
    const seq = await gateway.lastSeq('c1');
    const { length } = gateway.workflow.signals;
    for (const [method, body] of methods) {
      const answer = await gateway.call(method, `${path}/${requestId}`, { body });
      expect(verdict(answer)).toEqual([409, 'already_resolved']);
      expect(answer.body).toMatchObject({ requestId, ...told });
      expect(answer.body['detail']).toContain('Nothing was changed');
    }
    expect(gateway.workflow.signals).toHaveLength(length);
    expect(await gateway.lastSeq('c1')).toBe(seq);
  }

  it('has started, then ended, and says so', async () => {
    const gateway = await Gateway.start();
    await gateway.queued('q0', 'q1');
    await expectTooLate(gateway, 'first', { fate: 'started' });
    await gateway.workflow.end('c1', 'completed');
    const { turnId } = gateway.workflow.turnOf('c1');
    await expectTooLate(gateway, 'q0', { fate: 'started', turnId });
    await expectTooLate(gateway, 'first', { fate: 'ended', outcome: 'completed' });
  });

  it('was removed, or rejected', async () => {
    const gateway = await Gateway.start();
    await gateway.queued('q0');
    await gateway.delete(`${path}/q0`);
    await expectTooLate(gateway, 'q0', { fate: 'removed', turnId: expect.any(String) as unknown });
    await gateway.send('c1', 'no', 'now', { whenBusy: 'reject' });
    await expectTooLate(gateway, 'no', { fate: 'rejected', turnId: null });
  });

  it('is offered to the running turn: it can be moved, and not be changed or removed for now', async () => {
    const gateway = await Gateway.start();
    gateway.workflow.offersOnly = true;
    await gateway.queued('q0');
    await gateway.send('c1', 's1', 'mind this', { whenBusy: 'steer' });
    const { length } = gateway.workflow.signals;
    for (const answer of [
      await gateway.patch(`${path}/s1`, { content: 'other' }),
      await gateway.delete(`${path}/s1`),
    ]) {
      expect(verdict(answer)).toEqual([409, 'busy']);
      expect(answer.body['requestId']).toBe('s1');
    }
    expect(gateway.workflow.signals).toHaveLength(length);
    expect(order(await gateway.patch(`${path}/s1`, { position: 0 }))).toEqual(['s1', 'q0']);
    // Not taken, it starts next: a message like any other.
    await gateway.workflow.end('c1', 'completed');
    expect((await gateway.get('/v1/conversations/c1')).body['activeTurn']).toMatchObject({
      requestId: 's1',
    });
  });

  it('was taken in by the running turn', async () => {
    const gateway = await Gateway.start();
    await gateway.running();
    gateway.workflow.takesSteering = true;
    await gateway.send('c1', 's1', 'mind this', { whenBusy: 'steer' });
    await gateway.workflow.quiet();
    const { turnId, attempt } = gateway.workflow.turnOf('c1');
    await expectTooLate(gateway, 's1', { fate: 'steered', steeredInto: { turnId, attempt } });
  });

  it.each([
    ['PATCH', { content: 'other' }],
    ['PATCH', { position: 0 }],
    ['DELETE', undefined],
  ])(
    '%s %j of what starts in the meantime is already_resolved, and it runs',
    async (method, body) => {
      const gateway = await Gateway.start();
      await gateway.queued('q0');
      const { length } = gateway.workflow.signals;
      const { promise, resolve } = Promise.withResolvers<void>();
      gateway.workflow.gate = promise;
      const waiting = gateway.call(method, `${path}/q0`, { body });
      await eventually(() => gateway.workflow.signals.length > length);
      // The turn ends and the next one starts before the workflow comes to the command.
      const scope = gateway.workflow.turnOf('c1');
      const item = (await gateway.store.workflowState('c1'))?.queue[0];
      const stream = conversationStream('c1');
      const started = { attempt: 1, provider: 'scripted', model: null };
      const turnId = item?.turnId ?? '';
      await gateway.store.append({
        stream,
        events: [{ ...scope, type: 'chat.done', payload: {} }],
      });
      await gateway.store.append({
        stream,
        events: [
          { type: 'queue.changed', payload: { queue: [] } },
          { type: 'chat.started', turnId, attempt: 1, requestId: 'q0', payload: started },
        ],
      });
      const answer = await waiting;
      expect(verdict(answer)).toEqual([409, 'already_resolved']);
      expect(answer.body).toMatchObject({ fate: 'started', turnId });
      resolve();
    },
  );
});

describe('what the store shows before the feed has brought it', () => {
  it.each([
    ['DELETE', undefined],
    ['PATCH', { now: true }],
  ])(
    '%s %j that took the message out of the queue itself is not too late',
    async (method, body) => {
      const gateway = await Gateway.start({
        config: { receiptWaitMs: 500 },
        // Nobody is woken: what is known is what is looked up.
        wrapStore: (store) => ({ ...store, watch: () => () => undefined }),
        commands: (store) => {
          const workflow = new WorkflowDouble(store);
          const carriedOut = async <T>(command: Promise<T>): Promise<T> => {
            const taken = await command;
            await workflow.quiet();
            return taken;
          };
          return {
            create: (command) => carriedOut(workflow.create(command)),
            signal: (command) => carriedOut(workflow.signal(command)),
            spawn: (command) => carriedOut(workflow.spawn(command)),
            createTable: (command) => carriedOut(workflow.createTable(command)),
            signalTable: (command) => carriedOut(workflow.signalTable(command)),
            signalTrigger: (command) => carriedOut(workflow.signalTrigger(command)),
            check: () => workflow.check(),
            inspect: (command) => workflow.inspect(command),
          };
        },
      });
      await gateway.queued('q0');
      await gateway.post('/v1/conversations/c1/cancel', { holdQueue: true });
      const answer = await gateway.call(method, `${path}/q0`, { body });
      expect(answer.status).toBe(200);
    },
  );
});

describe('A3: durable and not recorded in time', () => {
  it.each([
    ['PATCH', path, { held: true }],
    ['PATCH', `${path}/q0`, { content: 'x' }],
    ['PATCH', `${path}/q0`, { position: 1 }],
    ['PATCH', `${path}/q0`, { now: true }],
    ['DELETE', `${path}/q0`, undefined],
  ])(
    '%s %s %j is 202; without Temporal nothing is accepted; a lost answer is in the log',
    async (method, at, body) => {
      const gateway = await Gateway.start({ config: { receiptWaitMs: 50 } });
      await gateway.queued('q0', 'q1');
      gateway.workflow.weather = 'no-worker';
      const accepted = await gateway.call(method, at, { body });
      expect(accepted.status).toBe(202);
      expect(accepted.body).toEqual({ accepted: true });
      gateway.workflow.weather = 'unreachable';
      const refused = await gateway.call(method, at, { body });
      expect(refused.body).toMatchObject({ code: 'temporal_unavailable', accepted: false });
      gateway.workflow.weather = 'answer-lost';
      expect((await gateway.call(method, at, { body })).status).toBe(200);
    },
  );

  it('C2: a caller that goes away leaves nothing behind, and the command is carried out', async () => {
    const gateway = await Gateway.start();
    await gateway.queued('q0', 'q1');
    const { length } = gateway.workflow.signals;
    const { promise, resolve } = Promise.withResolvers<void>();
    gateway.workflow.gate = promise;
    const gone = new AbortController();
    const waiting = gateway.open('DELETE', `${path}/q0`, { signal: gone.signal });
    await eventually(() => gateway.workflow.signals.length > length);
    gone.abort();
    await expect(waiting).rejects.toThrow(/abort/i);
    const metric = async (name: string): Promise<string | undefined> =>
      new RegExp(`^holdfast_${name} (.*)$`, 'm').exec((await gateway.get('/metrics')).text)?.[1];
    await eventually(async () => (await metric('held_requests')) === '0');
    await eventually(async () => (await metric('feed_streams')) === '0');
    resolve();
    await eventually(async () => order(await gateway.get(path)).join() === 'q1');
  });
});

describe('a disk with less room than is kept for what runs', () => {
  it('W2: begins nothing new, and still lets go of what waits', async () => {
    let full = false;
    const gateway = await Gateway.start({
      room: () => ({
        level: full ? 'low' : 'ample',
        freeBytes: 3_000_000,
        reserveBytes: 67_108_864,
      }),
    });
    await gateway.queued('q0', 'q1');
    full = true;
    for (const answer of [
      await gateway.post(path, { requestId: 'new', content: 'x' }),
      await gateway.patch(`${path}/q0`, { content: 'x' }),
      await gateway.patch(`${path}/q0`, { now: true }),
      await gateway.patch(path, { held: false }),
    ])
      expect(verdict(answer)).toEqual([503, 'storage_full']);
    expect((await gateway.patch(path, { held: true })).status).toBe(200);
    expect((await gateway.delete(`${path}/q0`)).status).toBe(200);
  });
});
