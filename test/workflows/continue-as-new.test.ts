import { afterAll, beforeAll, expect, test } from 'vitest';

import { conversationWorkflowId, tableWorkflowId } from '../../src/contracts/ids.ts';
import type { TableWorkflowSnapshotValue } from '../../src/contracts/signals.ts';
import type { conversation } from '../../src/workflows/conversation.ts';
import { eventually } from '../support/eventually.ts';
import { startTemporal, type TemporalServer } from '../support/temporal-server.ts';
import { temporalBinary, workflowBundlePath } from '../support/temporal.ts';
import { type Harness, idle, ran, snapshotOf, startHarness } from './harness.ts';

let server: TemporalServer;
let harness: Harness;

beforeAll(async () => {
  // Suggested after 60 events instead of 4,096: four turns.
  server = await startTemporal({
    binary: temporalBinary(),
    dynamicConfig: { 'limit.historyCount.suggestContinueAsNew': '60' },
  });
  harness = await startHarness({ address: server.address, bundlePath: workflowBundlePath() });
});
afterAll(async () => {
  await harness.stop();
  await server.stop();
});

test('A2 a conversation continues as new when idle; its host, order and requestIds are carried over', async () => {
  const { id, double, handle } = await harness.start('carry');
  const first = (await handle.describe()).runId;
  for (let n = 1; n <= 12; n += 1) {
    await handle.signal('send', { requestId: `r${n}`, content: `${n}` });
    double.end(await ran(double, n));
    await idle(handle);
  }
  const current = harness.client.workflow.getHandle(conversationWorkflowId(id));
  await eventually(async () => (await current.describe()).runId !== first);
  expect(await snapshotOf(handle)).toMatchObject({ state: 'idle', host: harness.host, queue: [] });
  const recorded = double.recorded.length;
  await current.signal('send', { requestId: 'r12', content: '12' });
  await current.signal('send', { requestId: 'r13', content: '13' });
  double.end(await ran(double, 13));
  await idle(handle);
  // r12 was decided in an earlier run: nothing was recorded for it again.
  expect(double.recorded.slice(recorded).map(({ request }) => request?.requestId)).toEqual([
    'r13',
    undefined,
  ]);
});

test('it never continues as new while a turn runs', async () => {
  const { double, handle } = await harness.start('busy');
  await handle.signal('send', { requestId: 'r0', content: 'runs' });
  const running = await ran(double);
  const { runId } = await handle.describe();
  for (let n = 1; n <= 60; n += 1)
    await handle.signal('send', { requestId: `r${n}`, content: 'refused', whenBusy: 'reject' });
  // All of them, before the turn ends: one that is decided later would find the conversation free, and start.
  await eventually(() => double.types().filter((type) => type === 'chat.rejected').length === 60);
  expect((await handle.describe()).historyLength).toBeGreaterThan(60);
  expect((await handle.describe()).runId).toBe(runId);
  double.end(running);
  await eventually(async () => (await handle.describe()).runId !== runId);
});

test('with a held queue it continues from the store: a queue may be larger than what a run is given', async () => {
  const { id, double, handle } = await harness.start('held');
  await handle.signal('send', { requestId: 'r0', content: 'runs' });
  const running = await ran(double);
  const { runId } = await handle.describe();
  await handle.signal('send', { requestId: 'r1', content: 'waits' });
  await handle.signal('cancel', { holdQueue: true });
  await eventually(() => double.stopped.length === 1);
  await idle(handle);
  const { queue } = await snapshotOf(handle);
  expect(queue).toMatchObject([{ requestId: 'r1', held: true }]);
  // What the store knows of it.
  const [row] = queue;
  double.start = { ...double.start, queue: row === undefined ? [] : [row], held: true };
  const current = harness.client.workflow.getHandle<typeof conversation>(
    conversationWorkflowId(id),
  );
  await eventually(async () => {
    await current.signal('send', { requestId: 'blank', content: ' ' });
    return (await current.describe()).runId !== runId;
  });
  await eventually(async () => (await snapshotOf(current)).held);
  expect(await snapshotOf(current)).toMatchObject({ state: 'idle', queue: [{ requestId: 'r1' }] });
  await current.signal('holdQueue', { commandId: 'k1', held: false });
  const second = await ran(double, 2);
  expect(second).toMatchObject({ turnId: row?.turnId });
  expect(second.turnId).not.toBe(running.turnId);
  double.end(second);
  await idle(current);
});

test('a table continues as new: it knows its active conversation, and decides what comes then', async () => {
  const { id, double, handle } = await harness.startTable('carry');
  const first = (await handle.describe()).runId;
  const current = harness.client.workflow.getHandle(tableWorkflowId(id));
  const chat = { conversationId: 'c1', title: '', provider: 'scripted', model: null };
  await handle.signal('newConversation', chat);
  let count = 1;
  // A signal that comes while it continues has the task carried out again: under the same id, so it is one decision.
  const decided = (): number => new Set(double.freshIds).size;
  await eventually(async () => {
    await current.signal('look', {});
    count += 1;
    await eventually(() => decided() === count);
    return (await current.describe()).runId !== first;
  });
  expect(double.opened).toBe(1);
  expect(await current.query<TableWorkflowSnapshotValue>('snapshot')).toMatchObject({
    tableId: id,
    activeConversationId: 'c1',
  });
  await current.signal('wantSlot', { conversationId: 'c9', interrupt: false });
  await eventually(() => double.commands.at(-1)?.type === 'want');
  // None was lost on the way, and none decided twice.
  expect(decided()).toBe(count + 1);
});
