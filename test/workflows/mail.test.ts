/**
 * A team on a real Temporal server: its conversations' Workflows, their real local activities and the signals between them, on
 * a real store; only the turns are doubles.
 */
import { spawn as spawnProcess } from 'node:child_process';
import { randomUUID } from 'node:crypto';
import { once } from 'node:events';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

import { activityInfo } from '@temporalio/activity';
import { Client, Connection, WorkflowFailedError } from '@temporalio/client';
import { ApplicationFailure } from '@temporalio/common';
import { DefaultLogger, NativeConnection, Runtime, Worker } from '@temporalio/worker';
import { afterAll, beforeAll, beforeEach, expect, test } from 'vitest';

import type { AttemptEnd, AttemptRef } from '../../src/activities/live-turn.ts';
import { createMailActivities } from '../../src/activities/mail.ts';
import { createRecordActivities } from '../../src/activities/records.ts';
import { createTableActivities } from '../../src/activities/tables.ts';
import type { TurnActivities } from '../../src/activities/turns.ts';
import type { NewEvent, OutcomeName } from '../../src/contracts/events.ts';
import {
  appendKey,
  attemptKey,
  conversationStream,
  conversationWorkflowId,
} from '../../src/contracts/ids.ts';
import { MAIL_QUEUE_LIMIT } from '../../src/contracts/limits.ts';
import { conversationWorkflowOptions, hostTaskQueue } from '../../src/contracts/names.ts';
import { childConversationId } from '../../src/domain/mail.ts';
import { MailWatch } from '../../src/mail-watch.ts';
import { openStore } from '../../src/store/open.ts';
import type { Store } from '../../src/store/port.ts';
import { decodeEvent } from '../../src/store/stored-event.ts';
import { workflowSignals } from '../../src/workflow-signals.ts';
import { eventually } from '../support/eventually.ts';
import { ownNamespace, workflowBundlePath } from '../support/temporal.ts';

const host = 'h1';
const taskQueue = `holdfast-mail-${randomUUID().slice(0, 8)}`;
const folder = mkdtempSync(join(tmpdir(), 'holdfast-mail-'));
const ends = new Map<string, PromiseWithResolvers<AttemptEnd>>();
let store: Store;
let client: Client;
let watch: MailWatch;
let stop: () => Promise<void>;
/** Starts a worker of the workflows on a queue of its own. */
let startWorker: (ofQueue: string) => Promise<void>;
/** Where the workflows of the present test run. */
let queue = taskQueue;
/** Conversations whose provider obeys no stop. */
const stubborn = new Set<string>();
const ran: AttemptRef[] = [];
/** What happens before a decision of this key is recorded. */
const before = new Map<string, () => Promise<void>>();
/** A team for each test. */
let root: string;

beforeAll(async () => {
  Runtime.install({ logger: new DefaultLogger('ERROR') });
  store = await openStore({ url: `sqlite:${join(folder, 'store.db')}` });
  const { address, namespace } = ownNamespace();
  const connection = await NativeConnection.connect({ address });
  const clientConnection = await Connection.connect({ address });
  client = new Client({ connection: clientConnection, namespace });
  const signals = workflowSignals({ client: client.workflow, taskQueue });
  watch = new MailWatch({ store, signals, log: () => undefined });
  const parts = { store, signals };
  const turns: TurnActivities = {
    runTurn: (ref) => {
      if (activityInfo().attempt === 1) ran.push(ref);
      return endOf(ref).promise;
    },
    stopTurn: async (ref) => {
      if (stubborn.has(ref.conversationId)) return 'cancelling';
      await endTurn(ref, 'cancelled', ref.by);
      return 'cancelling';
    },
    steerTurn: () => Promise.resolve('refused'),
    answerApproval: () => Promise.resolve(true),
  };
  const workers: Worker[] = [];
  const running: Promise<void>[] = [];
  const started = (worker: Worker): void => {
    workers.push(worker);
    running.push(worker.run());
  };
  const records = createRecordActivities(parts);
  startWorker = async (ofQueue) =>
    started(
      await Worker.create({
        connection,
        namespace,
        taskQueue: ofQueue,
        workflowBundle: { codePath: workflowBundlePath() },
        activities: {
          ...records,
          recordDecision: async (request: Parameters<typeof records.recordDecision>[0]) => {
            await before.get(request.key)?.();
            return records.recordDecision(request);
          },
          ...createTableActivities(parts),
          ...createMailActivities(parts),
        },
      }),
    );
  await startWorker(taskQueue);
  started(
    await Worker.create({
      connection,
      namespace,
      taskQueue: hostTaskQueue(host),
      activities: turns,
    }),
  );
  stop = async () => {
    // A worker waits for its activities.
    for (const end of ends.values()) end.resolve({ outcome: 'interrupted', cause: null });
    for (const worker of workers) worker.shutdown();
    await Promise.all(running);
    await connection.close();
    await clientConnection.close();
    await store.close();
    rmSync(folder, { recursive: true, force: true });
  };
});
afterAll(() => stop());

const facts = { tableId: null, title: '', workspacePath: '/w', provider: 'scripted', model: null };
beforeEach(async () => {
  queue = taskQueue;
  root = `root-${randomUUID().slice(0, 8)}`;
  await client.workflow.start('conversation', {
    ...conversationWorkflowOptions(root, queue),
    args: [{ conversationId: root, create: facts }],
  });
  await pinned(root);
});

/** Nobody claims conversations here: the store says where it runs, and it reads that. */
async function pinned(conversationId: string): Promise<void> {
  await eventually(() => store.conversation(conversationId));
  await store.append({
    stream: conversationStream(conversationId),
    key: `host:${host}`,
    events: [{ type: 'conversation.updated', conversationId, payload: { host } }],
  });
  await signal(conversationId, 'reopen', {});
}

/** As the gateway does. */
async function spawn(
  agentId: string,
  more: { parentId?: string; depth?: number; task?: string | null } = {},
): Promise<string> {
  const { parentId = root, depth = 1, task = `task of ${agentId}` } = more;
  const conversationId = childConversationId(root, agentId);
  const agent = { agentId, name: agentId, role: '', rootId: root, parentId, depth, task };
  await client.workflow.signalWithStart('conversation', {
    ...conversationWorkflowOptions(conversationId, queue),
    args: [{ conversationId, create: { ...facts, title: agentId, agent } }],
    signal: 'mail',
    signalArgs: [{}],
  });
  return conversationId;
}

async function child(agentId: string, more: Parameters<typeof spawn>[1] = {}): Promise<string> {
  const conversationId = await spawn(agentId, more);
  await pinned(conversationId);
  return conversationId;
}

const signal = (conversationId: string, name: string, argument: object) =>
  client.workflow.signalWithStart('conversation', {
    ...conversationWorkflowOptions(conversationId, queue),
    args: [{ conversationId }],
    signal: name,
    signalArgs: [argument],
  });
const write = (to: string, from: string, messageId: string, more: object = {}) =>
  signal(to, 'mail', { message: { messageId, from, content: `text of ${messageId}`, ...more } });
const send = (to: string, requestId: string, more: object = {}) =>
  signal(to, 'send', { requestId, content: requestId, ...more });

/** The turn that runs there and is not that one. */
const running = (conversationId: string, not = '') =>
  eventually(async () => {
    const [row] = (await store.runningAttempts(null)).filter(
      (each) => each.conversationId === conversationId && each.turnId !== not,
    );
    return row;
  });

async function endTurn(
  { conversationId, turnId, attempt }: AttemptRef,
  outcome: OutcomeName = 'completed',
  by = 'user',
): Promise<void> {
  const scope = { conversationId, turnId, attempt };
  const messageId = `${turnId}-${attempt}-1`;
  const content = `answer in ${turnId}`;
  const end: NewEvent =
    outcome === 'cancelled'
      ? { type: 'chat.cancelled', ...scope, payload: { by } }
      : outcome === 'interrupted'
        ? {
            type: 'chat.interrupted',
            ...scope,
            payload: { cause: 'provider_died', retryable: true },
          }
        : outcome === 'failed'
          ? { type: 'chat.error', ...scope, payload: { code: 'x', message: 'It broke.' } }
          : { type: 'chat.done', ...scope, payload: {} };
  await store.append({
    stream: conversationStream(conversationId),
    key: appendKey.end(turnId, attempt),
    events: [
      { type: 'assistant.segment.started', ...scope, payload: { messageId, kind: 'text' } },
      {
        type: 'assistant.segment.ended',
        ...scope,
        payload: { messageId, content, status: 'complete' },
      },
      end,
    ],
  });
  endOf({ turnId, attempt }).resolve({ outcome, cause: null });
}

function endOf(ref: { turnId: string; attempt: number }): PromiseWithResolvers<AttemptEnd> {
  const key = attemptKey(ref.turnId, ref.attempt);
  const known = ends.get(key) ?? Promise.withResolvers<AttemptEnd>();
  ends.set(key, known);
  return known;
}

const mailbox = async (conversationId: string) =>
  (await store.mail({ conversationId, box: 'in', state: null, cursor: null, limit: 200 })).items;
const states = async (conversationId: string) =>
  (await mailbox(conversationId)).map(({ messageId, kind, state }) => [messageId, kind, state]);
const until = (conversationId: string, ...expected: string[][]) =>
  eventually(async () => {
    const there = await states(conversationId);
    return JSON.stringify(there) === JSON.stringify(expected) ? true : undefined;
  });
async function mailCount(conversationId: string): Promise<number> {
  const view = await store.team(conversationId);
  const { accepted = 0, delivered = 0, applied = 0 } = view?.agents[0]?.mail ?? {};
  return accepted + delivered + applied;
}
/** User messages of the transcript. */
async function prompts(conversationId: string): Promise<string[]> {
  const view = await store.snapshot(conversationId, 200);
  return (view?.messages ?? []).flatMap(({ role, content }) => (role === 'user' ? [content] : []));
}
const atRest = (conversationId: string) =>
  eventually(async () => {
    const state = await store.workflowState(conversationId);
    return state?.state === 'idle' && state.turn === null && state.queue.length === 0;
  });

test('M1 a child begins with its task, and its end is given to its parent, once', async () => {
  const a = await child('a');
  const turn = await running(a);
  expect(await prompts(a)).toStrictEqual(['task of a']);
  expect(await states(a)).toStrictEqual([['task', 'task', 'applied']]);
  await endTurn(turn);
  const told = await running(root);
  expect(await prompts(root)).toStrictEqual([
    `[Holdfast mail] Agent a has finished its task and says:\nanswer in ${turn.turnId}`,
  ]);
  await endTurn(told);
  await atRest(root);
  expect(await states(root)).toStrictEqual([[`end-${turn.turnId}-1`, 'result', 'applied']]);
  expect(await mailbox(root)).toMatchObject([{ from: 'a', to: 'root', turnId: told.turnId }]);
});

test.each(['failed', 'cancelled', 'interrupted'] as const)(
  'M1 an end %s is told as one',
  async (outcome) => {
    const a = await child('a');
    const turn = await running(a);
    await endTurn(turn, outcome);
    await running(root);
    expect(await mailbox(root)).toMatchObject([{ kind: 'error', outcome, state: 'applied' }]);
    const [prompt] = await prompts(root);
    expect(prompt).toContain(`The task of agent a ended ${outcome}:`);
    expect(prompt).toContain(`answer in ${turn.turnId}`);
  },
);

test('M1 a child that is asked for again is the same; another one under its id is refused, and nothing is stored', async () => {
  const a = await child('a');
  await running(a);
  await spawn('a');
  await endTurn(await running(a));
  await atRest(a);
  expect(await store.children(root)).toStrictEqual([a]);
  expect(await prompts(a)).toStrictEqual(['task of a']);
  // An id that belongs to a conversation of somebody else.
  const foreign = childConversationId(root, 'b');
  await client.workflow.start('conversation', {
    ...conversationWorkflowOptions(foreign, queue),
    args: [{ conversationId: foreign, create: facts }],
  });
  await pinned(foreign);
  await client.workflow.getHandle(conversationWorkflowId(foreign)).terminate('a test');
  await spawn('b');
  const failure: unknown = await client.workflow
    .getHandle(conversationWorkflowId(foreign))
    .result()
    .catch((error: unknown) => error);
  const cause = failure instanceof WorkflowFailedError ? failure.cause : null;
  expect(cause).toBeInstanceOf(ApplicationFailure);
  expect(cause).toMatchObject({ type: 'request_id_reused', nonRetryable: true });
  expect(await store.children(root)).toStrictEqual([a]);
  expect(await store.agent(foreign)).toBeNull();
});

test('M1 mail waits while its receiver works, and what waits together is one turn; each row is applied, in order', async () => {
  const a = await child('a', { task: null });
  await send(root, 'r1');
  const first = await running(root);
  for (const n of [1, 2, 3]) await write(root, a, `m${n}`);
  // Twice the same, and one that nobody of the team has sent.
  await write(root, a, 'm1');
  await write(root, `stranger-${root}`, 'm9');
  await until(
    root,
    ['m1', 'message', 'delivered'],
    ['m2', 'message', 'delivered'],
    ['m3', 'message', 'delivered'],
  );
  await endTurn(first);
  const second = await running(root, first.turnId);
  const heading = '[Holdfast mail] Message from agent a:\n';
  expect(await prompts(root)).toStrictEqual([
    'r1',
    ['m1', 'm2', 'm3'].map((id) => `${heading}text of ${id}`).join('\n\n'),
  ]);
  expect(await mailbox(root)).toMatchObject(
    ['m1', 'm2', 'm3'].map((messageId) => ({
      messageId,
      state: 'applied',
      turnId: second.turnId,
    })),
  );
  await endTurn(second);
  await atRest(root);
});

test('W2 more mail than the queue has room for is taken as it empties, in order', async () => {
  const a = await child('a', { task: null });
  await send(root, 'r1');
  const first = await running(root);
  const ids = Array.from({ length: MAIL_QUEUE_LIMIT + 5 }, (_, n) => `m${n}`);
  for (const id of ids) await write(root, a, id);
  await eventually(async () => (await mailbox(root)).length === ids.length);
  const waiting = (await mailbox(root)).filter(({ state }) => state === 'accepted');
  expect(waiting.map(({ messageId }) => messageId)).toStrictEqual(ids.slice(MAIL_QUEUE_LIMIT));
  await endTurn(first);
  const second = await running(root, first.turnId);
  await endTurn(second);
  const third = await running(root, second.turnId);
  await endTurn(third);
  const rows = await mailbox(root);
  expect(rows.map(({ state }) => state)).toStrictEqual(ids.map(() => 'applied'));
  expect(rows.map(({ turnId }) => turnId)).toStrictEqual(
    ids.map((_, n) => (n < MAIL_QUEUE_LIMIT ? second.turnId : third.turnId)),
  );
});

test('M1 what is taken together is one turn, also when the running one ends in the midst of it', async () => {
  const a = await child('a', { task: null });
  await send(root, 'r1');
  const first = await running(root);
  const ids = Array.from({ length: MAIL_QUEUE_LIMIT + 5 }, (_, n) => `m${n}`);
  for (const id of ids) await write(root, a, id);
  await eventually(async () => (await mailbox(root)).length === ids.length);
  const later = ids.slice(MAIL_QUEUE_LIMIT);
  const rows = (await mailbox(root)).filter(({ messageId }) => later.includes(messageId));
  const third = rows[2]?.requestId ?? '';
  let ended = 0;
  before.set(appendKey.request(third), async () => {
    ended += 1;
    await endTurn(await running(root, first.turnId));
  });
  await endTurn(first);
  const second = await running(root, first.turnId);
  const last = await running(root, second.turnId);
  expect(ended).toBe(1);
  await eventually(async () =>
    (await mailbox(root)).every(({ state, turnId }) => state === 'applied' && turnId !== null),
  );
  expect((await mailbox(root)).map(({ turnId }) => turnId)).toStrictEqual(
    ids.map((_, n) => (n < MAIL_QUEUE_LIMIT ? second.turnId : last.turnId)),
  );
  await endTurn(last);
  await atRest(root);
});

test('M1 what was recorded and never told is found by the watch', async () => {
  const a = await child('a', { task: null });
  await store.append({
    stream: conversationStream(root),
    key: appendKey.mail(a, 'm1'),
    events: [
      {
        type: 'mail.accepted',
        payload: { messageId: 'm1', from: a, kind: 'message', content: 'found' },
      },
    ],
  });
  await eventually(async () => ((await watch.look()).includes(root) ? true : undefined));
  await endTurn(await running(root));
  await until(root, ['m1', 'message', 'applied']);
});

test('M1 mail that is not taken in its time has expired; sent again it is applied', async () => {
  const a = await child('a', { task: null });
  await write(root, a, 'm1', { expiresAt: '2020-01-01T00:00:00.000Z' });
  await until(root, ['m1', 'message', 'expired']);
  await signal(root, 'mail', { again: { messageId: 'm1', from: a } });
  await endTurn(await running(root));
  await until(root, ['m1', 'message', 'applied']);
  // What was applied is not sent again.
  await signal(root, 'mail', { again: { messageId: 'm1', from: a } });
  await write(root, a, 'm2');
  await endTurn(await running(root));
  await atRest(root);
  expect(await prompts(root)).toHaveLength(2);
});

test('M1 a message that somebody takes out of the queue has failed, and can be sent again', async () => {
  const a = await child('a', { task: null });
  await send(root, 'r1');
  const first = await running(root);
  await write(root, a, 'm1');
  await until(root, ['m1', 'message', 'delivered']);
  const [row] = await mailbox(root);
  const { requestId = '' } = row ?? {};
  await signal(root, 'removeQueued', { commandId: 'k1', requestId });
  await until(root, ['m1', 'message', 'failed']);
  expect(await mailbox(root)).toMatchObject([{ reason: 'removed' }]);
  await signal(root, 'mail', { again: { messageId: 'm1', from: a } });
  await until(root, ['m1', 'message', 'delivered']);
  await endTurn(first);
  await endTurn(await running(root, first.turnId));
  await until(root, ['m1', 'message', 'applied']);
});

test('a cancel by cascade reaches everybody below, and what it makes them say starts nothing', async () => {
  const a = await child('a');
  const b = await child('b', { parentId: a, depth: 2 });
  const c = await child('c');
  await send(root, 'r1');
  const turns = [await running(root), await running(a), await running(b), await running(c)];
  await send(b, 'waits');
  await signal(root, 'cancel', { cascade: true });
  for (const each of [root, a, b, c])
    await eventually(async () => (await store.workflowState(each))?.state === 'idle');
  for (const turn of turns)
    expect(await store.attempt(turn.turnId, 1)).toMatchObject({ outcome: 'cancelled' });
  expect(await store.workflowState(b)).toMatchObject({
    held: true,
    queue: [{ requestId: 'waits' }],
  });
  await eventually(async () => (await mailbox(root)).length === 2);
  const team = [root, a, b, c];
  const stillRunning = await store.runningAttempts(null);
  expect(stillRunning.filter(({ conversationId }) => team.includes(conversationId))).toStrictEqual(
    [],
  );
  expect((await states(root)).map(([, , state]) => state)).toStrictEqual(['accepted', 'accepted']);
  expect((await states(a)).map(([, kind, state]) => [kind, state])).toStrictEqual([
    ['task', 'applied'],
    ['error', 'accepted'],
  ]);
  // By then the Workflow has begun another run.
  const runOf = async (): Promise<string> =>
    (await client.workflow.getHandle(conversationWorkflowId(root)).describe()).runId;
  const first = await runOf();
  for (let index = 0; index < 150; index += 1)
    await signal(root, 'updateConversation', { commandId: `k${index}`, title: `t${index}` });
  await eventually(async () => ((await runOf()) === first ? undefined : true));
  // A turn that ends well takes them along, in one turn.
  await send(root, 'r2');
  const second = await running(root);
  await endTurn(second);
  await endTurn(await running(root, second.turnId));
  expect((await states(root)).map(([, , state]) => state)).toStrictEqual(['applied', 'applied']);
  expect(await prompts(root)).toHaveLength(3);
});

test('W1 a team that Temporal has lost goes on from the store', async () => {
  const a = await child('a');
  const turn = await running(a);
  await send(root, 'r1');
  const first = await running(root);
  for (const each of [root, a])
    await client.workflow.getHandle(conversationWorkflowId(each)).terminate('a test');
  await endTurn(turn);
  await endTurn(first);
  await eventually(async () => ((await watch.look()).includes(root) ? true : undefined));
  await endTurn(await running(root));
  await atRest(root);
  expect(await mailbox(root)).toMatchObject([{ kind: 'result', state: 'applied' }]);
  // The stream of the log has every row once.
  const { items } = await store.events(conversationStream(root), 0, 200);
  const accepted = items
    .map(({ json }) => decodeEvent(json))
    .filter(({ type }) => type === 'mail.accepted');
  expect(accepted).toHaveLength(1);
});

test.each([
  ['a message that has started its turn', ['m1'], 1],
  ['three that were queued together, and not started', ['m1', 'm2', 'm3'], 3],
])(
  'M1 A1 a Workflow Task that is carried out twice: %s. The turn runs',
  { timeout: 60_000 },
  async (_, ids, lastOne) => {
    queue = `${taskQueue}-dying-${ids.length}`;
    const program = new URL('../fixtures/dying-worker.ts', import.meta.url).pathname;
    const url = `sqlite:${join(folder, 'store.db')}`;
    const { address, namespace } = ownNamespace();
    const args = [program, address, namespace, queue, workflowBundlePath(), url, String(lastOne)];
    const dying = spawnProcess(process.execPath, args, { stdio: ['ignore', 'pipe', 'inherit'] });
    const ended = once(dying, 'exit');
    await once(dying.stdout, 'data');
    root = `root-${randomUUID().slice(0, 8)}`;
    await client.workflow.start('conversation', {
      ...conversationWorkflowOptions(root, queue),
      args: [{ conversationId: root, create: facts }],
    });
    await pinned(root);
    const a = await child('a', { task: null });
    for (const messageId of ids)
      await store.append({
        stream: conversationStream(root),
        key: appendKey.mail(a, messageId),
        events: [
          { type: 'mail.accepted', payload: { messageId, from: a, kind: 'message', content: 'x' } },
        ],
      });
    await signal(root, 'mail', {});
    await ended;
    await startWorker(queue);
    const turn = await eventually(
      () => ran.find(({ conversationId }) => conversationId === root),
      30_000,
    );
    await endTurn(turn);
    await atRest(root);
    expect((await states(root)).map(([, , state]) => state)).toStrictEqual(
      ids.map(() => 'applied'),
    );
    expect(ran.filter(({ conversationId }) => conversationId === root)).toHaveLength(1);
  },
);

test('W2 mail that the queue has no room for waits; it does not fail', async () => {
  const a = await child('a', { task: null });
  await send(root, 'r1');
  const first = await running(root);
  for (const id of ['h1', 'h2']) await send(root, id, { content: 'x'.repeat(300_000) });
  await eventually(async () => (await store.workflowState(root))?.queue.length === 2);
  await write(root, a, 'm1', { content: 'y'.repeat(500_000) });
  await until(root, ['m1', 'message', 'accepted']);
  // A second look comes after the first: that has decided nothing about it.
  await write(root, a, 'm2', { content: 'z' });
  await eventually(async () => (await mailbox(root)).length === 2);
  expect((await states(root))[0]).toStrictEqual(['m1', 'message', 'accepted']);
  await endTurn(first);
  const second = await running(root, first.turnId);
  await endTurn(second);
  const third = await running(root, second.turnId);
  await endTurn(third);
  await eventually(async () => {
    const [row] = (await store.runningAttempts(null)).filter(
      ({ conversationId }) => conversationId === root,
    );
    if (row !== undefined) await endTurn(row);
    return (await states(root)).every(([, , state]) => state === 'applied');
  });
});

test('a turn that a cascade has asked to stop and that ends well all the same starts nothing', async () => {
  const a = await child('a');
  await running(a);
  await send(root, 'r1');
  const first = await running(root);
  stubborn.add(root);
  await signal(root, 'cancel', { cascade: true });
  await eventually(async () => (await mailbox(root)).length === 1);
  await endTurn(first);
  await atRest(root);
  // What comes after it is decided after whatever that end has led to.
  await signal(root, 'updateConversation', { commandId: 'k1', title: 'after' });
  await eventually(async () => (await store.conversation(root))?.title === 'after');
  expect(await prompts(root)).toStrictEqual(['r1']);
});

test('M1 what waits for the end of a turn is not forgotten when Temporal has lost the root', async () => {
  const a = await child('a');
  await running(a);
  await signal(root, 'cancel', { cascade: true });
  await eventually(async () => (await mailbox(root)).length === 1);
  await client.workflow.getHandle(conversationWorkflowId(root)).terminate('a test');
  await send(root, 'r2');
  const second = await running(root);
  await endTurn(second);
  await endTurn(await running(root, second.turnId));
  expect((await states(root)).map(([, , state]) => state)).toStrictEqual(['applied']);
});

test(
  'W2 a run that has become long continues as new in mid-turn, and nothing is lost',
  { timeout: 300_000 },
  async () => {
    const a = await child('a', { task: null });
    await send(root, 'r1');
    const first = await running(root);
    const handle = client.workflow.getHandle(conversationWorkflowId(root));
    const { runId } = await handle.describe();
    let count = 0;
    await eventually(async () => {
      await Promise.all(Array.from({ length: 20 }, () => write(root, a, `m${(count += 1)}`)));
      // A breath between: it does so when it has nothing to do.
      await eventually(async () => (await mailCount(root)) === count);
      return (await handle.describe()).runId !== runId;
    }, 120_000);
    await endTurn(first);
    await eventually(async () => {
      const [row] = (await store.runningAttempts(null)).filter(
        ({ conversationId }) => conversationId === root,
      );
      if (row !== undefined) await endTurn(row);
      const view = await store.team(root);
      return view?.agents[0]?.mail.applied === count;
    }, 150_000);
  },
);
