/**
 * Conversations that Temporal has lost are started again from the store, and only those; tables in which something waits
 * while nothing runs are told to look.
 */
import { afterAll, beforeAll, describe, expect, test } from 'vitest';

import { Reviver } from '../../src/revival.ts';
import { workflowSignals } from '../../src/workflow-signals.ts';
import { stateAttribute } from '../../src/workflows/definitions.ts';
import { eventually } from '../support/eventually.ts';
import { ownNamespace, workflowBundlePath } from '../support/temporal.ts';
import { type Harness, idle, ran, startHarness } from './harness.ts';

let harness: Harness;
const none = (): Promise<string[]> => Promise.resolve([]);

beforeAll(async () => {
  harness = await startHarness({ ...ownNamespace(), bundlePath: workflowBundlePath() });
});
afterAll(() => harness.stop());

test('one that was terminated in mid-turn runs again and goes on with its turn; one that runs is left alone', async () => {
  const lost = await harness.start('lost');
  const kept = await harness.start('kept');
  const said: string[] = [];
  const reviver = new Reviver({
    // Pages, so that the second conversation is on the second.
    store: { unsettled: (after) => Promise.resolve(pagesAfter(after)), waitingTables: none },
    signals: workflowSignals({ client: harness.client.workflow, taskQueue: harness.taskQueue }),
    client: harness.client.workflow,
    taskQueue: harness.taskQueue,
    log: (text) => said.push(text),
  });
  const ids = [lost.id, ...Array.from({ length: 199 }, () => kept.id), kept.id];
  const pagesAfter = (after: string): string[] => (after === '' ? ids.slice(0, 200) : [kept.id]);

  await kept.handle.signal('send', { requestId: 'r1', content: 'one' });
  const running = await ran(kept.double);
  await lost.handle.signal('send', { requestId: 'r1', content: 'one' });
  const ref = await ran(lost.double);
  expect(await reviver.look()).toEqual([]);

  // What the store knows of it.
  lost.double.start = {
    ...lost.double.start,
    state: 'processing',
    turn: {
      turnId: ref.turnId,
      attempt: 1,
      requestId: 'r1',
      startedAt: new Date().toISOString(),
      cancelRequested: false,
    },
  };
  const { runId } = await kept.handle.describe();
  await lost.handle.terminate('a test');
  expect(await reviver.look()).toEqual([lost.id]);
  expect(said).toEqual([expect.stringContaining(lost.id)]);
  expect(await ran(lost.double, 2)).toEqual(ref);
  expect((await kept.handle.describe()).runId).toBe(runId);
  expect(await reviver.look()).toEqual([]);
  lost.double.end(ref);
  kept.double.end(running);
  const current = harness.client.workflow.getHandle(lost.handle.workflowId);
  await eventually(
    async () => (await current.query<{ state: string }>('snapshot')).state === 'idle',
  );
});

test('one that Temporal has never heard of is started', async () => {
  const reviver = new Reviver({
    store: { unsettled: () => Promise.resolve(['unheard-of']), waitingTables: none },
    signals: workflowSignals({ client: harness.client.workflow, taskQueue: harness.taskQueue }),
    client: harness.client.workflow,
    taskQueue: harness.taskQueue,
    log: () => undefined,
  });
  expect(await reviver.look()).toEqual(['unheard-of']);
  await harness.client.workflow.getHandle('conversation:unheard-of').terminate();
});

test('one that believes itself idle while the store has something for it to do reads the store again, at the second look', async () => {
  const behind = await harness.start('behind');
  await idle(behind.handle);
  // As after a restore of Temporal from an older copy.
  behind.double.start = {
    ...behind.double.start,
    state: 'processing',
    queue: [{ requestId: 'r9', turnId: 't9', content: 'x', attempt: 1, position: 0 }],
  };
  const reviver = new Reviver({
    store: { unsettled: () => Promise.resolve([behind.id]), waitingTables: none },
    signals: workflowSignals({ client: harness.client.workflow, taskQueue: harness.taskQueue }),
    client: harness.client.workflow,
    taskQueue: harness.taskQueue,
    log: () => undefined,
  });
  await eventually(
    async () =>
      (await behind.handle.describe()).typedSearchAttributes.get(stateAttribute) === 'idle',
  );
  expect(await reviver.look()).toEqual([]);
  expect(behind.double.ran).toEqual([]);
  expect(await reviver.look()).toEqual([behind.id]);
  const ref = await ran(behind.double);
  expect(ref).toMatchObject({ turnId: 't9' });
  behind.double.end(ref);
  await idle(behind.handle);
});

describe('tables in which something waits while nothing runs', () => {
  /** A reviver that finds these tables, page by page of 200, and what it has said. */
  const reviverOf = (pages: (after: string) => string[]) => {
    const said: string[] = [];
    const { client, taskQueue } = harness;
    const reviver = new Reviver({
      store: { unsettled: none, waitingTables: (after) => Promise.resolve(pages(after)) },
      signals: workflowSignals({ client: client.workflow, taskQueue }),
      client: client.workflow,
      taskQueue,
      log: (text) => said.push(text),
    });
    return { reviver, said };
  };

  test('W1 one is told to look at the second look: at the first it may have been the blink between two turns', async () => {
    const { id, double } = await harness.startTable('waits');
    let waiting = [id];
    const { reviver, said } = reviverOf(() => waiting);
    expect(await reviver.look()).toEqual([]);
    expect(await reviver.look()).toEqual([id]);
    await eventually(() => double.commands.length === 1);
    expect(double.commands).toEqual([{ type: 'look', yields: null }]);
    expect(said).toEqual([expect.stringContaining(id)]);
    // It goes on for as long as nothing has come of it, and begins anew after that.
    expect(await reviver.look()).toEqual([id]);
    waiting = [];
    expect(await reviver.look()).toEqual([]);
    waiting = [id];
    expect(await reviver.look()).toEqual([]);
    await eventually(() => double.commands.length === 2);
  });

  test('W1 one that Temporal has lost is started, and looks', async () => {
    const { id, double, handle } = await harness.startTable('lost');
    await eventually(() => double.opened === 1);
    await handle.terminate('a test');
    const { reviver } = reviverOf(() => [id]);
    await reviver.look();
    expect(await reviver.look()).toEqual([id]);
    await eventually(() => double.commands.length === 1);
    expect(double.opened).toBe(2);
  });

  test('all pages are looked at', async () => {
    const { id, double } = await harness.startTable('second-page');
    const others = Array.from({ length: 200 }, (_, n) => `other-${n}`);
    const told: string[] = [];
    const reviver = new Reviver({
      store: {
        unsettled: none,
        waitingTables: (after) => Promise.resolve(after === '' ? others : [id]),
      },
      signals: {
        signalTable: (tableId) => Promise.resolve(void told.push(tableId)),
        signalConversation: () => Promise.reject(new Error('nobody asked')),
      },
      client: harness.client.workflow,
      taskQueue: harness.taskQueue,
      log: () => undefined,
    });
    await reviver.look();
    expect(await reviver.look()).toEqual([...others, id]);
    expect(told).toEqual([...others, id]);
    expect(double.commands).toEqual([]);
  });
});
