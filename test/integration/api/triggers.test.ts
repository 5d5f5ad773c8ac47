/** Triggers through the gateway as a process, over real Temporal, worker, turn host and provider. */
import { afterAll, beforeAll, expect, test } from 'vitest';

import type { LedgerRowValue, TriggerViewValue } from '../../../src/contracts/triggers.ts';
import { eventually } from '../../support/eventually.ts';
import { temporalBinary } from '../../support/temporal.ts';
import { type Answer, Stack } from './stack.ts';

let stack: Stack;

beforeAll(async () => {
  stack = new Stack(temporalBinary());
  await stack.startAll();
});
afterAll(() => stack.discard());

/** A busy machine may take longer than a request waits, and says to repeat it. */
async function make(body: object): Promise<TriggerViewValue> {
  const answer = await stack.call('POST', '/v1/triggers', body);
  if (answer.status === 503 && answer.body['accepted'] === true) return make(body);
  if (answer.status !== 200) throw new Error(`not made: ${JSON.stringify(answer)}`);
  return answer.body as TriggerViewValue;
}

async function ledger(triggerId: string, query = ''): Promise<LedgerRowValue[]> {
  const { body } = await stack.call('GET', `/v1/triggers/${triggerId}/ledger${query}`);
  return body['items'] as LedgerRowValue[];
}

/** A command, repeated while it is only durable: each is carried out once for its id. */
async function carriedOut(path: string, body: object): Promise<Answer> {
  return eventually(async () => {
    const answer = await stack.call('POST', path, body);
    return answer.status === 202 ? null : answer;
  }, 30_000);
}

test('D1, D2: every second: a row each, and each row that ran is a message with its turn; paused, edited, removed', async () => {
  const conversationId = await stack.conversation('every-second');
  await make({
    triggerId: 'g1',
    title: 'tick',
    conversationId,
    content: '#script\ntext "tock"',
    schedule: { everyMs: 1_000 },
  });
  await eventually(
    async () => (await ledger('g1')).filter((row) => row.turnId !== undefined)[2],
    30_000,
  );
  const paused = await eventually(async () => {
    const answer = await stack.call('PATCH', '/v1/triggers/g1', { paused: true });
    return answer.status === 200 ? answer.body : null;
  });
  expect(paused).toMatchObject({ paused: true, nextDueAt: null, rule: 'r1' });
  await eventually(async () => (await ledger('g1', '?outcome=skipped'))[1], 30_000);
  await eventually(async () => (await stack.call('DELETE', '/v1/triggers/g1')).status === 200);

  const rows = (await ledger('g1')).toReversed();
  const due = rows.map((row) => Date.parse(row.dueAt));
  expect(due).toEqual(due.map((_, index) => (due[0] ?? 0) + index * 1_000));
  // On a busy machine one may be late; none is missed.
  const skipped = rows.filter(({ outcome }) => outcome === 'skipped');
  expect(new Set(skipped.map(({ reason }) => reason))).toEqual(new Set(['paused']));
  const ran = rows.filter(({ outcome }) => outcome === 'fired' || outcome === 'late');
  expect(ran.length + skipped.length).toBe(rows.length);
  const requests = ran.map(({ requestId }) => requestId);
  const log = await stack.log(conversationId);
  expect(
    log.filter(({ type }) => type === 'trigger.fired').map((event) => event.requestId),
  ).toEqual(requests);
  expect(
    log.filter(({ type }) => type === 'message.created').map((event) => event.requestId),
  ).toEqual(requests);
  await eventually(async () => {
    const { body } = await stack.call('GET', `/v1/conversations/${conversationId}/turns`);
    const turns = body['items'] as unknown[];
    return turns.length === requests.length;
  });
});

test('a run by hand and a backfill, in new conversations of a table; each is done once', async () => {
  await eventually(
    async () => (await stack.call('POST', '/v1/tables', { tableId: 't1' })).status === 200,
  );
  await make({
    triggerId: 'g2',
    title: 'report',
    tableId: 't1',
    newConversation: true,
    content: '#script\ntext "done"',
    schedule: { cron: '0 3 * * *', timezone: 'Europe/Berlin' },
  });
  const fire = { requestId: 'by-hand' };
  const [one, two] = await Promise.all([
    carriedOut('/v1/triggers/g2/fire', fire),
    carriedOut('/v1/triggers/g2/fire', fire),
  ]);
  expect([one.status, one.body['outcome']]).toEqual([200, 'fired']);
  expect(two.body['conversationId']).toBe(one.body['conversationId']);
  const range = { from: '2026-01-01T00:00:00Z', to: '2026-01-03T23:59:59Z', requestId: 'fill' };
  expect((await carriedOut('/v1/triggers/g2/backfill', range)).body).toEqual({ count: 3 });
  expect((await carriedOut('/v1/triggers/g2/backfill', range)).body).toEqual({ count: 3 });
  const rows = await eventually(async () => {
    const found = await ledger('g2');
    return found.length === 4 && found.every((row) => row.turnId !== undefined) ? found : null;
  }, 30_000);
  expect(rows.map(({ outcome, cause, dueAt }) => [outcome, cause, dueAt.slice(0, 10)])).toEqual([
    ['fired', 'manual', expect.any(String)],
    ['caught-up', 'backfill', '2026-01-03'],
    ['caught-up', 'backfill', '2026-01-02'],
    ['caught-up', 'backfill', '2026-01-01'],
  ]);
  const conversations = new Set(rows.map(({ conversationId }) => conversationId));
  expect(conversations.size).toBe(4);
  const { body } = await stack.call('GET', '/v1/tables/t1/conversations');
  const listed = body['items'] as { conversationId: string; title: string }[];
  expect(new Set(listed.map(({ conversationId }) => conversationId))).toEqual(conversations);
});

test('A3: what comes while the worker is away is 202 or "repeat it", and done once when it is back', async () => {
  const conversationId = await stack.conversation('away');
  await make({
    triggerId: 'g3',
    conversationId,
    content: '#script\ntext "done"',
    schedule: { cron: '0 3 * * *' },
  });
  await stack.stop('worker');
  const patched = await stack.call('PATCH', '/v1/triggers/g3', { title: 'new' });
  expect([patched.status, patched.body]).toEqual([202, { accepted: true }]);
  const fired = await stack.call('POST', '/v1/triggers/g3/fire', { requestId: 'f1' });
  expect([fired.status, fired.body]).toEqual([202, { requestId: 'f1', accepted: true }]);
  const created = await stack.call('POST', '/v1/triggers', {
    triggerId: 'g4',
    conversationId,
    content: 'x',
    schedule: { at: '2199-01-01T00:00:00Z' },
  });
  expect(created.body).toMatchObject({ code: 'temporal_unavailable', accepted: true });
  await stack.start('worker');
  expect((await carriedOut('/v1/triggers/g3/fire', { requestId: 'f1' })).status).toBe(200);
  expect(await ledger('g3')).toHaveLength(1);
  const view = await stack.call('GET', '/v1/triggers/g3');
  expect(view.body['title']).toBe('new');
  await eventually(async () => (await stack.call('GET', '/v1/triggers/g4')).status === 200);
});
