/** Tables, queue and history through the gateway as a process, over real Temporal, worker, turn host and provider. */
import { afterAll, beforeAll, expect, test } from 'vitest';

import type { ConversationViewValue, TableWithActiveValue } from '../../../src/contracts/view.ts';
import { foldEvents } from '../../../src/domain/fold.ts';
import { foldTableEvents } from '../../../src/domain/table-fold.ts';
import { eventually } from '../../support/eventually.ts';
import { temporalBinary } from '../../support/temporal.ts';
import { type Answer, Stack } from './stack.ts';

let stack: Stack;

beforeAll(async () => {
  stack = new Stack(temporalBinary());
  await stack.startAll();
});
afterAll(() => stack.discard());

const words = (count: number): string => Array.from({ length: count }, (_, n) => `w${n} `).join('');
const script = (...steps: string[]): string => ['#script', ...steps].join('\n');
const kept = ({ messages }: ConversationViewValue): string[] =>
  messages.filter(({ cut }) => cut !== true).map(({ content }) => content);

async function snapshot(conversationId: string): Promise<ConversationViewValue> {
  const { body } = await stack.call('GET', `/v1/conversations/${conversationId}`);
  return body as ConversationViewValue;
}

async function view(tableId: string): Promise<TableWithActiveValue> {
  const { body } = await stack.call('GET', `/v1/tables/${tableId}/view`);
  return body as TableWithActiveValue;
}

/** Makes something; a busy machine may take longer than a request waits, and says to repeat it. */
async function make(path: string, body: object): Promise<Answer['body']> {
  const answer = await stack.call('POST', path, body);
  if (answer.status === 503 && answer.body['accepted'] === true) return make(path, body);
  if (answer.status !== 200) throw new Error(`not made: ${JSON.stringify(answer)}`);
  return answer.body;
}

/** A table of that name, with a conversation in it. */
async function table(tableId: string, conversationId: string): Promise<void> {
  await make('/v1/tables', { tableId });
  await chat(tableId, conversationId);
}

async function chat(tableId: string, conversationId: string): Promise<ConversationViewValue> {
  const made = await make(`/v1/tables/${tableId}/conversations`, { conversationId });
  return made as ConversationViewValue;
}

test('New chat while one is processing: the old one is wound down with its partial answer, the new one answers; a socket follows', async () => {
  await table('t1', 't1-old');
  const socket = await stack.socket();
  socket.send({ type: 'table.subscribe', tableId: 't1', payload: { active: true } });
  await socket.until((frame) => frame.type === 'caught-up' && frame.conversationId === 't1-old');
  await stack.send('t1-old', 'r1', script('words 1000 every 10'));
  await stack.send('t1-old', 'r2', script('text "held"'));
  await eventually(async () =>
    Object.values((await snapshot('t1-old')).overlays).some((text) => text !== ''),
  );
  const created = await chat('t1', 't1-new');
  expect(created).toMatchObject({ tableId: 't1', state: 'idle' });
  const answer = await stack.send('t1-new', 'r3', script('words 20'), '?wait=end');
  expect(answer.body).toMatchObject({ outcome: 'completed', text: words(20) });
  const old = await snapshot('t1-old');
  expect(old).toMatchObject({ state: 'idle', queue: [{ requestId: 'r2' }], held: true });
  expect(old.messages.at(-1)).toMatchObject({ role: 'assistant', status: 'partial' });
  // What the socket was sent is what the one call answers.
  const now = await view('t1');
  const ofTable = socket.frames.filter(({ tableId }) => tableId === 't1');
  await socket.until((frame) => frame.tableId === 't1' && frame.seq === now.table.lastSeq);
  const [first] = ofTable;
  expect(foldTableEvents(first?.payload as never, socket.tableEvents('t1') as never)).toEqual(
    now.table,
  );
  const last = now.active?.lastSeq ?? 0;
  await socket.until(
    (frame) =>
      frame.tableId === undefined && frame.conversationId === 't1-new' && frame.seq === last,
  );
  const brought = socket.frames.find(
    (frame) => frame.type === 'snapshot' && frame.conversationId === 't1-new',
  );
  expect(foldEvents(brought?.payload as never, socket.events('t1-new') as never)).toEqual(
    now.active,
  );
});

test('going on with an old conversation: queue, reject, interrupt; its held message is let go', async () => {
  await table('t2', 't2-a');
  await chat('t2', 't2-b');
  await stack.send('t2-b', 'r1', script('hang'));
  const path = '/v1/tables/t2/active';
  const rejected = await stack.call('POST', path, { conversationId: 't2-a', whenBusy: 'reject' });
  expect(rejected.status).toBe(409);
  expect(rejected.body).toMatchObject({ code: 'busy', conversationId: 't2-b' });
  const queued = await stack.send('t2-a', 'r2', script('text "A"'));
  expect(queued.body['status']).toBe('queued');
  const active = await stack.call('POST', path, { conversationId: 't2-a', whenBusy: 'interrupt' });
  expect(active.body['activeConversationId']).toBe('t2-a');
  const answer = await stack.send('t2-a', 'r2', script('text "A"'), '?wait=end');
  expect(answer.body).toMatchObject({ outcome: 'completed', text: 'A' });
  expect((await snapshot('t2-b')).state).toBe('idle');
});

test('the queue: edited, moved, removed, promoted, held; what has started says so', async () => {
  const id = await stack.conversation('queue');
  const path = `/v1/conversations/${id}/queue`;
  await stack.send(id, 'r0', script('hang'));
  for (const n of [1, 2, 3]) await stack.send(id, `r${n}`, script(`text "${n}"`));
  const edited = await stack.call('PATCH', `${path}/r1`, { content: script('text "better"') });
  expect(edited.status).toBe(200);
  const moved = await stack.call('PATCH', `${path}/r3`, { position: 0 });
  expect(moved.body['items']).toMatchObject([
    { requestId: 'r3' },
    { requestId: 'r1', edited: 1 },
    { requestId: 'r2' },
  ]);
  const removal = stack.send(id, 'r2', script('text "2"'), '?wait=end');
  expect((await stack.call('DELETE', `${path}/r2`)).body['requestId']).toBe('r2');
  expect((await removal).body).toMatchObject({ outcome: 'cancelled' });
  expect((await stack.call('PATCH', path, { held: true })).body['held']).toBe(true);
  await stack.call('POST', `/v1/conversations/${id}/cancel?wait=end`, {});
  expect(await snapshot(id)).toMatchObject({ state: 'idle', held: true });
  const late = await stack.call('PATCH', `${path}/r0`, { content: 'too late' });
  expect(late.body).toMatchObject({
    code: 'already_resolved',
    fate: 'ended',
    outcome: 'cancelled',
  });
  expect((await stack.call('PATCH', `${path}/r1`, { now: true })).status).toBe(200);
  const promoted = await stack.send(id, 'r1', script('text "1"'), '?wait=end');
  expect(promoted.body).toMatchObject({ outcome: 'completed', text: 'better' });
  expect((await stack.call('PATCH', path, { held: false })).status).toBe(200);
  const rest = await stack.send(id, 'r3', script('text "3"'), '?wait=end');
  expect(rest.body).toMatchObject({ outcome: 'completed', text: '3' });
  expect((await stack.call('GET', path)).body).toEqual({
    items: [],
    held: false,
    nextCursor: null,
  });
});

test('history: renamed, found, edited and sent again, rolled back, forked', async () => {
  await table('t3', 't3-a');
  for (const n of [1, 2, 3])
    await stack.send('t3-a', `r${n}`, script(`text "answer ${n}"`), '?wait=end');
  const path = '/v1/conversations/t3-a';
  const renamed = await stack.call('PATCH', path, { title: 'Of zebras' });
  expect(renamed.body['title']).toBe('Of zebras');
  for (const q of ['zebra', '"answer 2"']) {
    const found = await stack.call('GET', `/v1/tables/t3/conversations?q=${encodeURIComponent(q)}`);
    expect(found.body['items']).toMatchObject([{ conversationId: 't3-a', match: {} }]);
  }
  const before = await snapshot('t3-a');
  const replaces = before.messages[2]?.messageId;
  const again = await stack.call('POST', `${path}/messages?wait=end`, {
    requestId: 'r4',
    content: script('text "better"'),
    replaces,
  });
  expect(again.body).toMatchObject({ outcome: 'completed', text: 'better' });
  expect(kept(await snapshot('t3-a'))).toEqual([
    script('text "answer 1"'),
    'answer 1',
    script('text "better"'),
    'better',
  ]);
  const fork = await stack.call('POST', `${path}/fork`, { conversationId: 't3-f' });
  expect(kept(fork.body as ConversationViewValue)).toHaveLength(4);
  expect((await view('t3')).table.activeConversationId).toBe('t3-a');
  const rolledBack = await stack.call('POST', `${path}/rollback`, { messageId: null });
  expect(kept(rolledBack.body as ConversationViewValue)).toEqual([]);
  expect((rolledBack.body as ConversationViewValue).messages).toHaveLength(8);
  // A fork goes on by itself: it waits for nobody, and becomes active.
  const going = await stack.send('t3-f', 'r5', script('text "goes on"'), '?wait=end');
  expect(going.body).toMatchObject({ outcome: 'completed', text: 'goes on' });
  expect((await view('t3')).table.activeConversationId).toBe('t3-f');
});

test('A3 without a worker what is accepted says so, and is done when it is back', async () => {
  await table('t4', 't4-a');
  await stack.stop('worker', 'SIGKILL');
  const [made, chatted, renamed, activated] = await Promise.all([
    stack.call('POST', '/v1/tables', { tableId: 't5' }),
    stack.call('POST', '/v1/tables/t4/conversations', { conversationId: 't4-b' }),
    stack.call('PATCH', '/v1/conversations/t4-a', { title: 'later' }),
    stack.call('PATCH', '/v1/tables/t4', { title: 'later' }),
  ]);
  for (const answer of [made, chatted]) {
    expect(answer.status).toBe(503);
    expect(answer.body).toMatchObject({ code: 'temporal_unavailable', accepted: true });
  }
  for (const answer of [renamed, activated])
    expect(answer).toEqual({ status: 202, body: { accepted: true } });
  await stack.start('worker');
  await eventually(async () => {
    const { table: facts, active } = await view('t4');
    return facts.title === 'later' && active?.conversationId === 't4-b';
  }, 30_000);
  // Each is told to a Workflow of its own.
  await eventually(async () => (await snapshot('t4-a')).title === 'later', 30_000);
  await eventually(async () => (await stack.call('GET', '/v1/tables/t5')).status === 200, 30_000);
});
