/**
 * A table and its conversations on a real Temporal server: both workflows, their real local activities and the signals
 * between them, on a store in memory; only the turns are doubles.
 */
import { randomUUID } from 'node:crypto';

import { Client, Connection } from '@temporalio/client';
import { DefaultLogger, NativeConnection, Runtime, Worker } from '@temporalio/worker';
import { afterAll, beforeAll, beforeEach, expect, test } from 'vitest';

import type { AttemptEnd, AttemptRef } from '../../src/activities/live-turn.ts';
import { createRecordActivities } from '../../src/activities/records.ts';
import { createTableActivities } from '../../src/activities/tables.ts';
import type { TurnActivities } from '../../src/activities/turns.ts';
import type { OutcomeName } from '../../src/contracts/events.ts';
import {
  attemptKey,
  conversationStream,
  conversationWorkflowId,
  tableStream,
  tableWorkflowId,
} from '../../src/contracts/ids.ts';
import {
  conversationWorkflowOptions,
  hostTaskQueue,
  tableWorkflowOptions,
} from '../../src/contracts/names.ts';
import { Reviver } from '../../src/revival.ts';
import type { Store } from '../../src/store/port.ts';
import { workflowSignals } from '../../src/workflow-signals.ts';
import { endEvent, TableStore } from '../domain/table-store.ts';
import { eventually } from '../support/eventually.ts';
import { ownNamespace, workflowBundlePath } from '../support/temporal.ts';

const host = 'h1';
const taskQueue = `holdfast-table-life-${randomUUID().slice(0, 8)}`;
const store = new TableStore(() => new Date().toISOString());
const ends = new Map<string, PromiseWithResolvers<AttemptEnd>>();
let client: Client;
let stop: () => Promise<void>;
let stopping = false;
const left: AttemptEnd = { outcome: 'interrupted', cause: null };
/** A table for each test, and its conversations by their short names. */
let tableId: string;
const named = (name: string): string => `${tableId}-${name}`;

beforeAll(async () => {
  Runtime.install({ logger: new DefaultLogger('ERROR') });
  const { address, namespace } = ownNamespace();
  const connection = await NativeConnection.connect({ address });
  const clientConnection = await Connection.connect({ address });
  client = new Client({ connection: clientConnection, namespace });
  const signals = workflowSignals({ client: client.workflow, taskQueue });
  const parts = { store: store as unknown as Store, signals };
  const turns: TurnActivities = {
    runTurn: (ref) => endOf(ref).promise,
    stopTurn: async (ref) => {
      await endTurn(ref, 'cancelled');
      return 'cancelling';
    },
    steerTurn: () => Promise.resolve('refused'),
    answerApproval: () => Promise.resolve(true),
  };
  const workers = [
    await Worker.create({
      connection,
      namespace,
      taskQueue,
      workflowBundle: { codePath: workflowBundlePath() },
      activities: { ...createRecordActivities(parts), ...createTableActivities(parts) },
    }),
    await Worker.create({
      connection,
      namespace,
      taskQueue: hostTaskQueue(host),
      activities: turns,
    }),
  ];
  const running = workers.map((worker) => worker.run());
  stop = async () => {
    for (const worker of workers) worker.shutdown();
    // A worker waits for its activities, and a test that has failed or been slow leaves a turn that nobody ends.
    stopping = true;
    for (const end of ends.values()) end.resolve(left);
    await Promise.all(running);
    await connection.close();
    await clientConnection.close();
  };
});
afterAll(() => stop());

const create = { title: '', workspacePath: '/w', provider: 'scripted', model: null };
beforeEach(async () => {
  tableId = `t-${randomUUID().slice(0, 8)}`;
  await client.workflow.start('table', {
    ...tableWorkflowOptions(tableId, taskQueue),
    args: [{ tableId, create }],
  });
  for (const name of ['a', 'b']) {
    const conversationId = named(name);
    await client.workflow.start('conversation', {
      ...conversationWorkflowOptions(conversationId, taskQueue),
      args: [{ conversationId, create: { ...create, tableId } }],
    });
    await eventually(() => store.conversations.has(conversationId));
  }
  await eventually(() => store.table(tableId));
});

/** The end of a running attempt: in the log, then told. A turn that has ended does so no more. */
async function endTurn(ref: AttemptRef, outcome: OutcomeName): Promise<void> {
  const running = store.attemptOf(ref.turnId, ref.attempt);
  if (running?.outcome !== null) return;
  await store.append({
    stream: conversationStream(ref.conversationId),
    key: `end:${ref.turnId}.${ref.attempt}`,
    events: [endEvent(running, outcome)],
  });
  endOf(ref).resolve({ outcome, cause: null });
}

function endOf(ref: { turnId: string; attempt: number }): PromiseWithResolvers<AttemptEnd> {
  const key = attemptKey(ref.turnId, ref.attempt);
  const known = ends.get(key) ?? Promise.withResolvers<AttemptEnd>();
  ends.set(key, known);
  if (stopping) known.resolve(left);
  return known;
}

/** As the gateway does: a conversation that Temporal does not know begins from the store. */
const send = (name: string, requestId: string, more: object = {}) =>
  client.workflow.signalWithStart('conversation', {
    ...conversationWorkflowOptions(named(name), taskQueue),
    args: [{ conversationId: named(name) }],
    signal: 'send',
    signalArgs: [{ requestId, content: requestId, ...more }],
  });
const tell = (signal: string, argument: object) =>
  client.workflow.getHandle(tableWorkflowId(tableId)).signal(signal, argument);
const receipt = (name: string, requestId: string) =>
  eventually(() => store.request(named(name), requestId));
/** The attempt of that request, once it runs. */
const runs = (requestId: string) =>
  eventually(() =>
    store.attempts.find((each) => each.requestId === requestId && ofThisTable(each)),
  );
const ofThisTable = ({ conversationId }: { conversationId: string }): boolean =>
  conversationId.startsWith(tableId);
const started = (): (string | null)[] =>
  store.attempts.filter(ofThisTable).map(({ requestId }) => requestId);
const finish = async (requestId: string) => endTurn(await runs(requestId), 'completed');
const active = (): string | null => store.activeOf(tableId);
const atRest = () =>
  eventually(() =>
    [...store.conversations.values()]
      .filter(ofThisTable)
      .every(({ state, queue, held }) => state === 'idle' && (queue.length === 0 || held)),
  );

test('S1, S2 one runs at a time, first in, first out over all conversations; the slot goes where the turn is', async () => {
  await send('a', 'r1');
  await runs('r1');
  expect(active()).toBe(named('a'));
  for (const [name, requestId] of [
    ['b', 'r2'],
    ['a', 'r3'],
    ['b', 'r4'],
  ] as const) {
    await send(name, requestId);
    await receipt(name, requestId);
  }
  for (const requestId of ['r1', 'r2', 'r3']) {
    await finish(requestId);
  }
  await runs('r4');
  expect(active()).toBe(named('b'));
  await finish('r4');
  await atRest();
  expect(started()).toEqual(['r1', 'r2', 'r3', 'r4']);
  const moves = (store.logs.get(tableStream(tableId)) ?? []).flatMap((event) =>
    event.type === 'conversation.activated' ? [event.conversationId] : [],
  );
  expect(moves).toEqual([named('a'), named('b'), named('a'), named('b')]);
});

test('New chat: what runs is cancelled, its queue held; the new one is active at once, and its message waits for the old turn', async () => {
  await send('a', 'r1');
  const old = await runs('r1');
  await send('a', 'r2');
  await receipt('a', 'r2');
  await tell('newConversation', {
    conversationId: named('n'),
    title: '',
    provider: 'scripted',
    model: null,
  });
  await eventually(() => active() === named('n'));
  await send('n', 'r3');
  await runs('r3');
  expect(store.attemptOf(old.turnId, 1)).toMatchObject({
    outcome: 'cancelled',
    cancelBy: 'new-chat',
  });
  await finish('r3');
  await atRest();
  expect(started()).toEqual(['r1', 'r3']);
  expect(store.conversations.get(named('a'))).toMatchObject({
    held: true,
    queue: [{ requestId: 'r2', held: true }],
  });
  // Nobody but a person goes on with it.
  await client.workflow
    .getHandle(conversationWorkflowId(named('a')))
    .signal('holdQueue', { commandId: 'k1', held: false });
  await finish('r2');
  await atRest();
  expect(active()).toBe(named('a'));
});

test('an interrupting message to another conversation goes first, and what it interrupts goes on after it', async () => {
  await send('a', 'r1');
  await runs('r1');
  await send('a', 'r2');
  await receipt('a', 'r2');
  await send('b', 'r3', { whenBusy: 'interrupt' });
  await runs('r3');
  expect(active()).toBe(named('b'));
  await finish('r3');
  await finish('r2');
  await atRest();
  expect(started()).toEqual(['r1', 'r3', 'r2']);
});

test('continued while another one runs: active at once, its message after what runs; or not at all, with reject', async () => {
  await send('a', 'r1');
  await runs('r1');
  await tell('activate', { commandId: 'k1', conversationId: named('b'), whenBusy: 'reject' });
  await tell('activate', { commandId: 'k2', conversationId: named('b'), whenBusy: 'queue' });
  await eventually(() => active() === named('b'));
  await send('b', 'r2');
  await receipt('b', 'r2');
  expect(started()).toEqual(['r1']);
  await finish('r1');
  await finish('r2');
  await atRest();
  const commands = (store.logs.get(tableStream(tableId)) ?? []).flatMap((event) =>
    event.type === 'conversation.activated' ? [event.payload.commandId] : [],
  );
  expect(commands).toEqual([undefined, 'k2']);
});

test('W1 a table and conversations that Temporal has lost go on from the store, and what waits runs', async () => {
  await send('a', 'r1');
  await runs('r1');
  await send('b', 'r2');
  await receipt('b', 'r2');
  for (const workflowId of [
    tableWorkflowId(tableId),
    ...['a', 'b'].map((name) => conversationWorkflowId(named(name))),
  ])
    await client.workflow.getHandle(workflowId).terminate('a test');
  await endTurn(await runs('r1'), 'completed');
  const mine = (ids: string[]) => Promise.resolve(ids.filter((id) => id.startsWith(tableId)));
  const reviver = new Reviver({
    store: {
      unsettled: () => mine(store.unsettled()),
      waitingTables: () => mine(store.waitingTables()),
    },
    signals: workflowSignals({ client: client.workflow, taskQueue }),
    client: client.workflow,
    taskQueue,
    log: () => undefined,
  });
  await eventually(async () => {
    await reviver.look();
    return started().includes('r2');
  });
  await finish('r2');
  await atRest();
  expect(started()).toEqual(['r1', 'r2']);
});
