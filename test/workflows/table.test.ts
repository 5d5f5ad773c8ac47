import { randomUUID } from 'node:crypto';

import { WorkflowFailedError } from '@temporalio/client';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';

import { tableWorkflowId } from '../../src/contracts/ids.ts';
import type { TableWorkflowSnapshotValue } from '../../src/contracts/signals.ts';
import { tableAttribute } from '../../src/workflows/definitions.ts';
import { eventually } from '../support/eventually.ts';
import { ownNamespace, workflowBundlePath } from '../support/temporal.ts';
import { type Harness, startHarness, type StartedTable } from './harness.ts';

let harness: Harness;

beforeAll(async () => {
  harness = await startHarness({ ...ownNamespace(), bundlePath: workflowBundlePath() });
});
afterAll(() => harness.stop());

/** A conversation of that table, as the harness tells them apart. */
const of = ({ id }: StartedTable, name: string): string => `${id}_${name}`;
const newChat = (conversationId: string) => ({
  conversationId,
  title: '',
  provider: 'scripted',
  model: null,
});
const snapshotOf = ({ handle }: StartedTable) =>
  handle.query<TableWorkflowSnapshotValue>('snapshot');
const decided = ({ double }: StartedTable, count: number) =>
  eventually(() => double.commands.length >= count);
const told = ({ double }: StartedTable, count: number) =>
  eventually(() => double.told.length >= count);

describe('table workflow', () => {
  test('New chat is decided, then told, and shown', async () => {
    const table = await harness.startTable('new');
    expect(await snapshotOf(table)).toEqual({
      tableId: table.id,
      activeConversationId: null,
      inWords: 'No conversation is active.',
    });
    table.double.facts = {
      activeConversationId: 'old',
      running: { conversationId: of(table, 'old'), cancelRequested: false },
      waiting: [],
    };
    await table.handle.signal('newConversation', newChat('c1'));
    await decided(table, 1);
    expect(table.double.commands).toEqual([{ type: 'newConversation', ...newChat('c1') }]);
    await eventually(async () => (await snapshotOf(table)).activeConversationId === 'c1');
    expect((await snapshotOf(table)).inWords).toBe('Conversation c1 is active.');
    await told(table, 1);
    expect(table.double.told).toEqual([
      { type: 'cancel', conversationId: of(table, 'old'), by: 'new-chat', holdQueue: true },
    ]);
  });

  test('each signal is the command that it names, in the order in which they came', async () => {
    const table = await harness.startTable('signals');
    const { handle, double } = table;
    await handle.signal('activate', { commandId: 'k1', conversationId: 'a', whenBusy: 'reject' });
    await handle.signal('wantSlot', { conversationId: 'b', interrupt: true });
    await handle.signal('look');
    await handle.signal('look', { yields: 'a' });
    await handle.signal('updateTable', { commandId: 'k2', title: 'Work' });
    await decided(table, 5);
    expect(double.commands).toEqual([
      { type: 'activate', commandId: 'k1', conversationId: 'a', whenBusy: 'reject' },
      { type: 'want', conversationId: 'b', interrupt: true },
      { type: 'look', yields: null },
      { type: 'look', yields: 'a' },
      { type: 'update', commandId: 'k2', title: 'Work' },
    ]);
    expect(new Set(double.freshIds).size).toBe(5);
    expect((await handle.describe()).typedSearchAttributes.get(tableAttribute)).toBe(table.id);
  });

  test('an operator’s signal without the documented shape is ignored, and the table goes on', async () => {
    const table = await harness.startTable('operator');
    const { handle } = table;
    await handle.signal('newConversation', { conversationId: 'no id' });
    await handle.signal('activate', 'text');
    await handle.signal('wantSlot');
    await handle.signal('updateTable', { commandId: 'k1' });
    await handle.signal('look', 7);
    await handle.signal('nonsense', { yields: 'a' });
    await handle.signal('look', {});
    await decided(table, 1);
    expect(table.double.commands).toEqual([{ type: 'look', yields: null }]);
  });

  test('T2 a decision whose worker died after the commit is made again under the same id, and then told', async () => {
    const table = await harness.startTable('twice');
    const { double, handle } = table;
    double.failOnceAfterDeciding = true;
    await handle.signal('newConversation', newChat(of(table, 'c1')));
    await told(table, 1);
    expect(double.commands).toHaveLength(2);
    expect(new Set(double.freshIds).size).toBe(1);
    expect(double.told).toEqual([{ type: 'look', conversationId: of(table, 'c1') }]);
    expect((await snapshotOf(table)).activeConversationId).toBe(of(table, 'c1'));
  });

  test('a signal that comes with the start finds its handler', async () => {
    const id = `with-start-${randomUUID().slice(0, 8)}`;
    await harness.client.workflow.signalWithStart('table', {
      workflowId: tableWorkflowId(id),
      taskQueue: harness.taskQueue,
      args: [{ tableId: id }],
      signal: 'look',
      signalArgs: [{}],
    });
    await eventually(() => harness.tableDoubleOf(id).commands.length === 1);
    expect(harness.tableDoubleOf(id).opened).toBe(1);
  });

  test('a table that nobody created ends as not found', async () => {
    const id = `none-${randomUUID().slice(0, 8)}`;
    harness.tableDoubleOf(id).exists = false;
    const handle = await harness.client.workflow.start('table', {
      workflowId: tableWorkflowId(id),
      taskQueue: harness.taskQueue,
      args: [{ tableId: id }],
    });
    await expect(handle.result()).rejects.toThrow(WorkflowFailedError);
    expect((await handle.describe()).status.name).toBe('FAILED');
    expect(harness.tableDoubleOf(id).opened).toBe(0);
  });
});
