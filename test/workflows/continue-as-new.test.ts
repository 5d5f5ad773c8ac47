import { afterAll, beforeAll, expect, test } from 'vitest';

import { conversationWorkflowId } from '../../src/contracts/ids.ts';
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

test('it never continues as new while a turn runs or waits', async () => {
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
