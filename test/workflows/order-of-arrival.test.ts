/** What came while no worker was there is taken in the order in which it came, whatever it is. */
import { randomUUID } from 'node:crypto';

import { afterAll, beforeAll, expect, test } from 'vitest';

import { conversationWorkflowOptions, tableWorkflowOptions } from '../../src/contracts/names.ts';
import { eventually } from '../support/eventually.ts';
import { ownNamespace, workflowBundlePath } from '../support/temporal.ts';
import { type Harness, idle, ran, startHarness } from './harness.ts';

let harness: Harness;

beforeAll(async () => {
  harness = await startHarness({ ...ownNamespace(), bundlePath: workflowBundlePath() });
});
afterAll(() => harness.stop());

const names = (what: string) => ({
  id: `${what}-${randomUUID().slice(0, 8)}`,
  taskQueue: `late-${randomUUID()}`,
});

test('C1 a cancel that came before a message does not cancel it', async () => {
  const { id, taskQueue } = names('cancel');
  const double = harness.doubleOf(id);
  const handle = await harness.client.workflow.signalWithStart('conversation', {
    ...conversationWorkflowOptions(id, taskQueue),
    args: [{ conversationId: id }],
    signal: 'cancel',
    signalArgs: [{}],
  });
  await handle.signal('send', { requestId: 'r1', content: 'one' });
  await handle.signal('nonsense', {});
  await harness.serve(taskQueue);
  double.end(await ran(double));
  await idle(handle);
  expect(double.stopped).toEqual([]);
  expect(double.types()).not.toContain('chat.cancelling');
});

test('S1 a table does what it was told last', async () => {
  const { id, taskQueue } = names('told');
  const double = harness.tableDoubleOf(id);
  const chat = { conversationId: `${id}_a`, title: '', provider: 'scripted', model: null };
  const handle = await harness.client.workflow.signalWithStart('table', {
    ...tableWorkflowOptions(id, taskQueue),
    args: [{ tableId: id }],
    signal: 'activate',
    signalArgs: [{ commandId: 'k1', conversationId: `${id}_b` }],
  });
  await handle.signal('newConversation', chat);
  await harness.serve(taskQueue);
  await eventually(() => double.commands.length === 2);
  expect(double.commands.map(({ type }) => type)).toEqual(['activate', 'newConversation']);
});
