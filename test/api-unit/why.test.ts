/** GET …/why: what the gateway gathers, from whom, and that it answers whatever any of them does. What is said: test/domain/why.test.ts. */
import { expect, it } from 'vitest';

import type { WhyValue } from '../../src/contracts/http.ts';
import type { Store } from '../../src/store/port.ts';
import { Gateway } from './gateway-harness.ts';

async function why(gateway: Gateway, conversationId = 'c1'): Promise<WhyValue> {
  const { status, body } = await gateway.get(`/v1/conversations/${conversationId}/why`);
  expect(status).toBe(200);
  return body as WhyValue;
}

const saying = (evidence: WhyValue['evidence'], what: string): string | undefined =>
  evidence.find((each) => each.what === what)?.value;

it('an idle conversation: nothing is wrong, its Workflow says so, and its page is named', async () => {
  const gateway = await Gateway.start();
  await gateway.conversation();
  const answer = await why(gateway);
  expect(answer).toMatchObject({
    state: 'idle',
    fix: null,
    temporalUi: 'http://127.0.0.1:8233/namespaces/default/workflows/conversation%3Ac1',
  });
  expect(saying(answer.evidence, 'its Workflow says')).toMatch(/idle/i);
});

it('an unknown conversation is 404; an id that is none is 400; HEAD and a query are as everywhere', async () => {
  const gateway = await Gateway.start();
  expect((await gateway.get('/v1/conversations/none/why')).status).toBe(404);
  expect((await gateway.get('/v1/conversations/-/why')).status).toBe(400);
  await gateway.conversation();
  expect((await gateway.get('/v1/conversations/c1/why?why=not')).status).toBe(400);
  expect((await gateway.get('/v1/conversations/c1/why')).headers['cache-control']).toBe('no-store');
  expect((await gateway.get('/v1/conversations/c1/why', { token: null })).status).toBe(401);
});

it('a turn that runs, and what waits behind it', async () => {
  const gateway = await Gateway.start();
  await gateway.queued('r2', 'r3');
  await gateway.workflow.say('c1', 'so far');
  const answer = await why(gateway);
  expect(answer).toMatchObject({ state: 'running', fix: null });
  expect(saying(answer.evidence, 'queue')).toBe('2');
});

it('an approval: asking is answered with what it asks for, and the command answers it', async () => {
  const gateway = await Gateway.start();
  await gateway.running();
  await gateway.workflow.askApproval('c1', 'a1');
  expect(await why(gateway)).toMatchObject({
    state: 'waiting-for-approval',
    fix: { command: 'holdfast answer c1 a1 allow' },
  });
});

it('the table’s slot: whose it is', async () => {
  const gateway = await Gateway.start();
  await gateway.table();
  await gateway.chat('old');
  await gateway.send('old', 'r1', 'hello');
  gateway.workflow.stopsAtOnce = false;
  await gateway.chat('new');
  const { body } = await gateway.send('new', 'r2', 'and this');
  expect(body['status']).toBe('queued');
  const answer = await why(gateway, 'new');
  expect(answer).toMatchObject({
    state: 'waiting-for-table',
    fix: { command: 'holdfast cancel old' },
  });
  expect(answer.waitingFor).toContain('conversation old');
  expect(await why(gateway, 'old')).toMatchObject({ state: 'cancelling' });
});

it('a held queue', async () => {
  const gateway = await Gateway.start();
  await gateway.queued('r2');
  await gateway.post('/v1/conversations/c1/cancel', { holdQueue: true });
  await gateway.workflow.quiet();
  expect(await why(gateway)).toMatchObject({
    state: 'queue-held',
    fix: { command: 'holdfast release c1' },
  });
  await gateway.patch('/v1/conversations/c1/queue', { held: false });
  await gateway.workflow.quiet();
  expect(await why(gateway)).toMatchObject({ state: 'running' });
});

it('its last turn failed, with the words of its end', async () => {
  const gateway = await Gateway.start();
  await gateway.running();
  const { turnId } = gateway.workflow.turnOf('c1');
  await gateway.workflow.end('c1', 'failed');
  await gateway.workflow.quiet();
  const answer = await why(gateway);
  expect(answer).toMatchObject({
    state: 'ended-badly',
    fix: { command: `holdfast retry c1 ${turnId}` },
  });
  expect(answer.waitingFor).toMatch(/failed: failed\./);
});

it('Temporal away, a worker away, a full disk: each is the answer of an idle conversation', async () => {
  let level: 'ample' | 'low' = 'ample';
  const gateway = await Gateway.start({
    room: () => ({ level, freeBytes: 1024 ** 2, reserveBytes: 64 * 1024 ** 2 }),
    engine: {
      processes: () => [
        {
          role: 'supervisor',
          pid: 10,
          startedAt: '2026-01-01T00:00:00Z',
          restarts: 0,
          stillForMs: null,
        },
        {
          role: 'worker',
          pid: 11,
          startedAt: '2026-01-01T00:00:00Z',
          restarts: 0,
          stillForMs: 9_000,
        },
        {
          role: 'turn-host',
          pid: 12,
          startedAt: '2026-01-01T00:00:00Z',
          restarts: 0,
          stillForMs: 1,
        },
      ],
    },
  });
  await gateway.conversation();
  gateway.workflow.weather = 'unreachable';
  // The server's process is gone: it is being started again.
  expect(await why(gateway)).toMatchObject({ state: 'temporal-away', fix: null });
  gateway.workflow.weather = 'no-worker';
  expect(await why(gateway)).toMatchObject({
    state: 'worker-away',
    fix: { command: 'kill -KILL 11' },
  });
  gateway.workflow.weather = 'fine';
  level = 'low';
  expect(await why(gateway)).toMatchObject({ state: 'disk-full' });
});

it('a source that fails, or never answers, is evidence; the answer comes all the same, in time', async () => {
  let broken = false;
  const never = new Promise<never>(() => undefined);
  const gateway = await Gateway.start({
    wrapStore: (store): Store => ({
      ...store,
      events: (...given) => (broken ? never : store.events(...given)),
      turns: async (...given) =>
        broken ? Promise.reject(new Error('locked')) : store.turns(...given),
      takeableMail: async (asked) =>
        broken ? Promise.reject(new Error('locked')) : store.takeableMail(asked),
      tableState: (tableId) => (broken ? never : store.tableState(tableId)),
      triggers: (asked) => (broken ? never : store.triggers(asked)),
      attempt: (...given) => (broken ? never : store.attempt(...given)),
    }),
  });
  await gateway.table();
  await gateway.chat('old');
  await gateway.send('old', 'r1', 'hello');
  gateway.workflow.stopsAtOnce = false;
  await gateway.chat('new');
  await gateway.send('new', 'r2', 'and this');
  broken = true;
  gateway.workflow.weather = 'unreachable';
  const startedMs = performance.now();
  const answer = await why(gateway, 'new');
  expect(performance.now() - startedMs).toBeLessThan(5_000);
  expect(answer.state).toBe('temporal-away');
  expect(saying(answer.evidence, 'table')).toMatch(/could not be asked/);
  expect(saying(answer.evidence, 'Temporal')).toBe('does not answer');
});

it('a provider’s own retries, a cancel’s steps and the next trigger are found in a log of many pieces', async () => {
  const gateway = await Gateway.start();
  await gateway.running();
  await gateway.workflow.say('c1', ...Array.from({ length: 400 }, (_, n) => `w${n} `));
  gateway.workflow.stopsAtOnce = false;
  await gateway.post('/v1/conversations/c1/cancel', {});
  await gateway.workflow.quiet();
  const answer = await why(gateway);
  expect(answer).toMatchObject({ state: 'cancelling', fix: null });
  await gateway.conversation('c2');
  const made = await gateway.post('/v1/triggers', {
    triggerId: 'soon',
    conversationId: 'c2',
    content: 'x',
    schedule: { everyMs: 3_600_000 },
  });
  expect(made.status).toBe(200);
  const { evidence } = await why(gateway, 'c2');
  expect(saying(evidence, 'next trigger')).toMatch(/^soon, due 20/);
});
