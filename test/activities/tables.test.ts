/** What a table's Workflow asks for, on a real store: decided on what is there, recorded once, told after. */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

import { afterEach, beforeEach, expect, test } from 'vitest';

import { createTableActivities, type WorkflowSignals } from '../../src/activities/tables.ts';
import { conversationStream, tableStream } from '../../src/contracts/ids.ts';
import type { TableCommand } from '../../src/domain/table.ts';
import { openStore } from '../../src/store/open.ts';
import type { Store } from '../../src/store/port.ts';

const tableId = 'tb';
const create = { title: 'Work', provider: 'scripted', model: 'small' };
let folder: string;
let store: Store;
let said: unknown[];
let tables: ReturnType<typeof createTableActivities>;

const signals: WorkflowSignals = {
  signalConversation: (id, name, argument) => {
    said.push([`conversation ${id}`, name, argument]);
    return Promise.resolve();
  },
  signalTable: (id, name, argument) => {
    said.push([`table ${id}`, name, argument]);
    return Promise.resolve();
  },
};

beforeEach(async () => {
  folder = mkdtempSync(join(tmpdir(), 'holdfast-tables-'));
  store = await openStore({ url: `sqlite:${join(folder, 'holdfast.db')}` });
  said = [];
  tables = createTableActivities({ store, signals });
  await tables.openTable({ tableId, create: { ...create, workspacePath: folder } });
});
afterEach(async () => {
  await store.close();
  rmSync(folder, { recursive: true, force: true });
});

const newChat = (conversationId: string): TableCommand => ({
  type: 'newConversation',
  conversationId,
  title: '',
  provider: 'scripted',
  model: null,
});
const goTo = (conversationId: string, commandId = 'k1'): TableCommand => ({
  type: 'activate',
  commandId,
  conversationId,
  whenBusy: 'interrupt',
});
let fresh = 0;
const decide = (command: TableCommand, freshId = `f${(fresh += 1)}`) =>
  tables.decideTable({ tableId, command, freshId });
const active = async () => (await store.table(tableId))?.activeConversationId;
const lastSeq = () => store.lastSeq(tableStream(tableId));

/** A turn begins in that conversation, as its Workflow would record it. */
const start = (conversationId: string) =>
  store.append({
    stream: conversationStream(conversationId),
    events: [
      {
        type: 'chat.started',
        turnId: `t-${conversationId}`,
        attempt: 1,
        payload: { attempt: 1, provider: 'scripted', model: null },
      },
      { type: 'conversation.state', payload: { state: 'processing' } },
    ],
  });
/** A message waits in that conversation. */
const wait = (conversationId: string, at: string) =>
  store.append({
    stream: conversationStream(conversationId),
    events: [
      {
        type: 'queue.changed',
        payload: {
          queue: [
            {
              requestId: 'r1',
              turnId: `w-${conversationId}`,
              content: 'x',
              attempt: 1,
              at,
              position: 0,
            },
          ],
        },
      },
    ],
  });

test('a table is created once, and what was asked for the second time changes nothing', async () => {
  const seq = await lastSeq();
  expect(
    await tables.openTable({ tableId, create: { ...create, title: 'Other', workspacePath: '/' } }),
  ).toBeNull();
  expect(await store.table(tableId)).toMatchObject({ title: 'Work', workspacePath: folder });
  await decide(newChat('a'));
  expect(await tables.openTable({ tableId })).toBe('a');
  expect(await lastSeq()).toBeGreaterThan(seq);
});

test('a table that nobody created is not found, and not tried again', async () => {
  await expect(tables.openTable({ tableId: 'none' })).rejects.toMatchObject({
    type: 'not_found',
    nonRetryable: true,
  });
  expect(
    await tables.decideTable({
      tableId: 'none',
      command: { type: 'look', yields: null },
      freshId: 'f',
    }),
  ).toEqual({ activeConversationId: null, effects: [] });
});

test('New chat makes the conversation in the table’s workspace, and it is active', async () => {
  expect(await decide({ ...newChat('a'), title: 'First' } as TableCommand)).toEqual({
    activeConversationId: 'a',
    effects: [{ type: 'look', conversationId: 'a' }],
  });
  expect(await store.conversation('a')).toMatchObject({
    tableId,
    title: 'First',
    workspacePath: folder,
  });
  expect(await active()).toBe('a');
});

test('T2 New chat whose worker died before it was told leaves what it left at first', async () => {
  await decide(newChat('a'));
  await start('a');
  await decide(newChat('b'));
  await wait('b', '2026-01-01T00:00:00.000Z');
  const first = await decide(newChat('c'), 'same');
  const held = (conversationId: string) => ({
    type: 'cancel',
    conversationId,
    by: 'new-chat',
    holdQueue: true,
  });
  expect(first.effects).toEqual([held('a'), held('b'), { type: 'look', conversationId: 'c' }]);
  const seq = await lastSeq();
  expect(await decide(newChat('c'), 'same')).toEqual(first);
  expect(await lastSeq()).toBe(seq);
});

test('T2 what has begun to wait since is none of its business', async () => {
  await decide(newChat('a'));
  await decide(newChat('b'), 'same');
  await wait('a', '2999-01-01T00:00:00.000Z');
  expect((await decide(newChat('b'), 'same')).effects).toEqual([
    { type: 'look', conversationId: 'b' },
  ]);
});

test('T2 a command that was decided long ago moves nothing when it comes again, and says nothing', async () => {
  for (const id of ['a', 'b']) await decide(newChat(id));
  await decide(goTo('a'));
  await decide(goTo('b', 'k2'));
  await start('b');
  const seq = await lastSeq();
  expect(await decide(goTo('a'))).toEqual({ activeConversationId: 'b', effects: [] });
  expect(await decide(newChat('a'))).toEqual({ activeConversationId: 'b', effects: [] });
  expect(await lastSeq()).toBe(seq);
});

test('an interrupt of the active conversation cancels what runs elsewhere, as often as it is asked for', async () => {
  for (const id of ['a', 'b']) await decide(newChat(id));
  await decide(goTo('a'));
  await start('a');
  await decide({ ...goTo('b', 'k2'), whenBusy: 'queue' } as TableCommand);
  const effects = [
    { type: 'cancel', conversationId: 'a', by: 'interrupt', holdQueue: true },
    { type: 'look', conversationId: 'b' },
  ];
  expect((await decide(goTo('b', 'k3'))).effects).toEqual(effects);
  expect((await decide(goTo('b', 'k3'))).effects).toEqual(effects);
});

test('the slot moves by itself once for each command', async () => {
  for (const id of ['a', 'b']) await decide(newChat(id));
  await wait('a', '2026-01-01T00:00:00.000Z');
  const look: TableCommand = { type: 'look', yields: null };
  expect(await decide(look, 'same')).toMatchObject({ activeConversationId: 'a' });
  const seq = await lastSeq();
  expect(await decide(look, 'same')).toMatchObject({ activeConversationId: 'a' });
  expect(await lastSeq()).toBe(seq);
  // Carried out again, it may decide otherwise: that is another decision.
  await decide(goTo('b'));
  expect(await decide(look, 'same')).toMatchObject({ activeConversationId: 'b', effects: [] });
});

test('X1 a conversation of another table, or of none, is not this table’s to decide about', async () => {
  await tables.openTable({ tableId: 'other', create: { ...create, workspacePath: folder } });
  await tables.decideTable({ tableId: 'other', command: newChat('theirs'), freshId: 'f' });
  await store.append({
    stream: conversationStream('alone'),
    events: [
      {
        type: 'conversation.created',
        payload: { tableId: null, ...create, workspacePath: folder },
      },
    ],
  });
  const seq = await lastSeq();
  for (const id of ['theirs', 'alone', 'nobody'])
    for (const command of [
      newChat(id),
      goTo(id),
      { type: 'want', conversationId: id, interrupt: true } as const,
    ]) {
      if (id === 'nobody' && command.type === 'newConversation') continue;
      expect(await decide(command)).toEqual({ activeConversationId: null, effects: [] });
    }
  expect(await lastSeq()).toBe(seq);
  expect((await store.table('other'))?.activeConversationId).toBe('theirs');
});

test('what was decided is told: a look, or a cancel of what runs', async () => {
  await tables.tellConversations([
    { type: 'cancel', conversationId: 'a', by: 'new-chat', holdQueue: true },
    { type: 'look', conversationId: 'b' },
  ]);
  await tables.tellTable({ tableId, word: { name: 'look', yields: 'a' } });
  await tables.tellTable({
    tableId,
    word: { name: 'wantSlot', conversationId: 'b', interrupt: true },
  });
  expect(said).toEqual([
    ['conversation a', 'cancel', { by: 'new-chat', holdQueue: true }],
    ['conversation b', 'reopen', undefined],
    ['table tb', 'look', { yields: 'a' }],
    ['table tb', 'wantSlot', { conversationId: 'b', interrupt: true }],
  ]);
});

test('a title is recorded once for each command', async () => {
  const rename = (title: string): TableCommand => ({ type: 'update', commandId: 'k9', title });
  await decide(rename('One'));
  const seq = await lastSeq();
  await decide(rename('Two'));
  expect(await lastSeq()).toBe(seq);
  expect((await store.table(tableId))?.title).toBe('One');
});
