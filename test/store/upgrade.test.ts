/** A database of an earlier version, with what that version wrote, on today's code. */
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';

import { afterEach, beforeEach, describe, expect, it } from 'vitest';

import { conversationStream, tableStream, triggerStream } from '../../src/contracts/ids.ts';
import { emptyView, foldEvents } from '../../src/domain/fold.ts';
import { emptyTableView, foldTableEvents } from '../../src/domain/table-fold.ts';
import { mailRequestId } from '../../src/store/mail-request-id.ts';
import { openStore } from '../../src/store/open.ts';
import type { Store } from '../../src/store/port.ts';
import { migrateOnce } from '../../src/store/sqlite/migrate.ts';
import { MIGRATIONS } from '../../src/store/sqlite/schema.ts';
import { begun, childCreated, ended, linkOf } from './agent-events.ts';
import { done, logOf, started, turn } from './contract-events.ts';
import { definition, fire, second } from './trigger-model.ts';

let folder = '';
let store: Store;
afterEach(async () => {
  await store.close();
  rmSync(folder, { recursive: true });
});

/** Opens a database of that version, with its rows (test/fixtures), on today's code. */
async function openUpgraded(version: number): Promise<void> {
  folder = mkdtempSync(join(tmpdir(), 'holdfast-upgrade-'));
  const path = join(folder, 'holdfast.db');
  const database = new DatabaseSync(path);
  while (!migrateOnce({ database, path, migrations: MIGRATIONS.slice(0, version) }));
  const rows = new URL(`../fixtures/store-version-${version}.sql`, import.meta.url);
  database.exec(readFileSync(rows, 'utf8'));
  database.close();
  store = await openStore({ url: `sqlite:${path}` });
}

function say(id: string, ...events: Parameters<Store['append']>[0]['events']) {
  return store.append({ stream: conversationStream(id), events });
}

describe('a database of version 2', () => {
  beforeEach(() => openUpgraded(2));

  it('L4 shows every conversation as its log says', async () => {
    for (const id of ['c1', 'c2', 'c3', 'c4'])
      expect(await store.snapshot(id, 100)).toEqual(
        foldEvents(emptyView(id), await logOf(store, conversationStream(id))),
      );
    expect(await store.attempt('t3', 1)).toMatchObject({ outcome: null, spoolOffset: 77 });
  });

  it('has what a list shows', async () => {
    expect(await store.summary('c1')).toStrictEqual({
      conversationId: 'c1',
      tableId: null,
      title: 'Über alles',
      archived: false,
      provider: 'scripted',
      model: null,
      createdAt: '2026-10-01T00:00:01.000Z',
      forkedFrom: null,
      state: 'processing',
      lastLine: 'third',
      messageCount: 6,
      turnCount: 3,
      queued: 2,
      held: false,
      approvals: 1,
      lastAt: '2026-10-01T00:00:11.000Z',
    });
    expect(await store.summary('c2')).toMatchObject({
      messageCount: 0,
      lastLine: '',
      lastAt: (await store.summary('c2'))?.createdAt,
    });
    expect(await store.summary('c4')).toMatchObject({ archived: true });
    expect(await store.workflowState('c1')).toMatchObject({
      held: false,
      sessionGeneration: 0,
      providerSessionId: 'session 3',
      queue: [{ requestId: 'r9' }, { requestId: 'r10' }],
    });
    expect(await store.unsettled('', 10)).toStrictEqual(['c1', 'c3']);
    expect(await store.request('c1', 'r-t1-1')).toMatchObject({ steeredInto: null });
  });

  it('goes on counting where it was', async () => {
    await say('c1', done({ turnId: 't3', attempt: 1 }));
    // The open segment became a message.
    expect(await store.summary('c1')).toMatchObject({
      messageCount: 7,
      lastLine: 'half of',
      turnCount: 3,
      approvals: 0,
    });
    await say('c1', started({ turnId: 't4', attempt: 1 }), {
      type: 'history.cut',
      payload: { messageId: 'm-t2', by: 'rollback' },
    });
    expect(await store.summary('c1')).toMatchObject({
      messageCount: 3,
      turnCount: 4,
      lastLine: 'second',
    });
  });

  it('is found by search, in titles and messages', async () => {
    const table = { provider: 'scripted', model: null, workspacePath: '/w' };
    await store.append({
      stream: tableStream('tb'),
      events: [{ type: 'table.created', payload: { title: '', ...table } }],
    });
    // Nothing of that version was at a table: a fork of it is.
    await store.fork({
      conversationId: 'f',
      create: { tableId: 'tb', title: '', ...table },
      origin: { conversationId: 'c1', messageId: null },
    });
    const raw = new DatabaseSync(join(folder, 'holdfast.db'));
    const found = raw
      .prepare(
        'SELECT name, search.rowid % 1073741824 AS seq FROM search JOIN streams ON stream = search.rowid / 1073741824 WHERE search MATCH ? ORDER BY search.rowid',
      )
      .all('uber OR answer OR words OR half OR thinking OR archived')
      .map(({ name, seq }) => `${String(name)} ${String(seq)}`);
    raw.close();
    // The title, the answer, the words that were closed by their end, the retry; no thoughts.
    expect(found.filter((each) => each.startsWith('conversation:c'))).toStrictEqual([
      'conversation:c1 0',
      'conversation:c1 8',
      'conversation:c1 21',
      'conversation:c1 26',
      'conversation:c4 0',
    ]);
    const { items } = await store.conversations({
      tableId: 'tb',
      archived: null,
      query: 'lost words',
      cursor: null,
      limit: 10,
    });
    expect(items).toMatchObject([
      { conversationId: 'f', match: { snippet: expect.any(String) as string } },
    ]);
  });

  it('has its old turns folded away, but what has its text nowhere else', async () => {
    const stream = conversationStream('c1');
    const log = await logOf(store, stream);
    const whole = foldEvents(emptyView('c1'), log);
    // Of t1 five pieces, of t2.2 two; t2.1 was ended by an event alone, and t3 runs.
    expect(await store.compact({ endedBefore: '9', limit: 100 })).toBe(7);
    expect(await store.compact({ endedBefore: '9', limit: 100 })).toBe(0);
    const left = await logOf(store, stream);
    expect(foldEvents(emptyView('c1'), left)).toEqual(whole);
    expect(
      left.flatMap(({ type, turnId, attempt }) =>
        type === 'chat.delta' ? [`${turnId ?? ''}.${attempt ?? ''}`] : [],
      ),
    ).toStrictEqual(['t2.1', 't2.1', 't3.1']);
    const floor = await store.replayFloor(stream);
    expect(log.findLast(({ seq }) => !left.some((each) => each.seq === seq))?.seq).toBe(floor);
  });
});

describe('a database of version 3', () => {
  beforeEach(() => openUpgraded(3));

  it('L4 shows every conversation and the table as their logs say, and finds what it found', async () => {
    const whole = await logOf(store, tableStream('tb'));
    expect(await store.tableView('tb', 100)).toEqual(foldTableEvents(emptyTableView('tb'), whole));
    for (const id of ['b', 'alone', 'f'])
      expect(await store.snapshot(id, 100)).toEqual(
        foldEvents(emptyView(id), await logOf(store, conversationStream(id))),
      );
    // The pieces of its first turn are folded away.
    expect(await store.snapshot('a', 100)).toEqual(
      foldEvents(emptyView('a'), await logOf(store, conversationStream('a'))),
    );
    expect(await store.replayFloor(conversationStream('a'))).toBeGreaterThan(0);
    expect(await store.request('a', 'r-queued')).toMatchObject({ status: 'queued', position: 0 });
    const list = { tableId: 'tb', archived: null, cursor: null, limit: 10 };
    const { items } = await store.conversations({ ...list, query: 'emoji' });
    expect(items.map(({ conversationId }) => conversationId)).toStrictEqual(['b']);
    expect(await store.compact({ endedBefore: '9', limit: 100 })).toBe(2);
    await say('a', done({ turnId: 't-a-3', attempt: 1 }));
    expect(await store.summary('a')).toMatchObject({ lastLine: 'half of it', turnCount: 3 });
  });

  it('D2 has triggers, which know of the requests that were there before', async () => {
    expect(await store.triggerCount()).toBe(0);
    expect(
      await store.overdueTriggers({ dueBefore: '9', decidedBefore: '9', after: '', limit: 9 }),
    ).toStrictEqual([]);
    const rows = ['r-a-3', 'r-busy', 'r-queued', 'r-new'].map((requestId, index) =>
      fire(second(index), { requestId, conversationId: 'a' }),
    );
    await store.append({
      stream: triggerStream('x'),
      events: [
        {
          type: 'trigger.created',
          payload: {
            triggerId: 'x',
            rule: 'r1',
            definition: definition({ tableId: 'tb', conversationId: null }),
            decidedUntil: second(0),
            nextDueAt: null,
          },
        },
        { type: 'trigger.decided', payload: { triggerId: 'x', cause: 'manual', fires: rows } },
      ],
    });
    const read = (requestId: string) => store.ledgerRow('x', requestId);
    expect(await read('r-a-3')).toMatchObject({ outcome: 'fired', turnId: 't-a-3' });
    expect(await read('r-busy')).toMatchObject({ outcome: 'skipped', reason: 'busy' });
    expect(await read('r-queued')).toMatchObject({ outcome: 'fired', turnId: 't-queued' });
    expect((await store.undelivered('x', 9)).map(({ requestId }) => requestId)).toStrictEqual([
      'r-new',
    ]);
  });
});

describe('a database of version 4', () => {
  beforeEach(() => openUpgraded(4));

  it('L4 shows every conversation and the table as their logs say, finds what it found, knows its trigger', async () => {
    const whole = await logOf(store, tableStream('tb'));
    expect(await store.tableView('tb', 100)).toEqual(foldTableEvents(emptyTableView('tb'), whole));
    for (const id of ['a', 'alone'])
      expect(await store.snapshot(id, 100)).toEqual(
        foldEvents(emptyView(id), await logOf(store, conversationStream(id))),
      );
    const list = { tableId: 'tb', archived: null, cursor: null, limit: 9 };
    expect(await store.conversations({ ...list, query: 'answer 1 emoji' })).toMatchObject({
      items: [],
    });
    expect(await store.conversations({ ...list, query: 'answer 1' })).toMatchObject({
      items: [{ conversationId: 'a', match: { messageId: 's-a-1' } }],
    });
    expect(await store.undelivered('x', 9)).toMatchObject([{ requestId: 'q1' }]);
  });

  it('M1 T2 has conversations that stand alone, each of which can become a root and has a mailbox', async () => {
    for (const id of ['a', 'alone']) {
      expect(await store.agent(id)).toBeNull();
      expect(await store.children(id)).toStrictEqual([]);
      const team = await store.team(id);
      expect(team).toMatchObject({
        rootId: id,
        agents: [{ agentId: 'root', depth: 0 }],
        lastSeq: 0,
      });
      expect(team?.agents).toHaveLength(1);
    }
    // Its turn runs on, and ends as one of a root.
    await say(
      'kim',
      ...childCreated(linkOf('kim', { rootId: 'a', parentId: 'a' }), 'do it'),
      begun(mailRequestId({ from: 'a', messageId: 'task', sending: 1 }), turn),
    );
    await say('kim', ended(turn, 'completed'));
    await say('a', ended({ turnId: 't-a-2', attempt: 1 }, 'interrupted', { boot: 'b1' }));
    expect((await store.team('a'))?.agents).toMatchObject([
      {
        agentId: 'root',
        name: 'half \ud83d an emoji',
        outcome: 'interrupted',
        queued: 1,
        turnCount: 2,
        usage: { inputTokens: 3, outputTokens: 5 },
        mail: { accepted: 1 },
      },
      { agentId: 'kim', outcome: 'completed', mail: { applied: 1 } },
    ]);
    expect(await store.owedRecoveries('h1')).toMatchObject([{ rootId: 'a' }]);
  });
});
