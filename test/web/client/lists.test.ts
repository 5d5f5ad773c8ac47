import { afterEach, describe, expect, it } from 'vitest';

import type { AgentViewValue } from '../../../src/contracts/events.ts';
import type { LedgerRowValue, TriggerViewValue } from '../../../src/contracts/triggers.ts';
import { emptyTableView } from '../../../src/domain/table-fold.ts';
import { createClient } from '../../../web/client/client.ts';
import type { HoldfastClient } from '../../../web/client/contract.ts';
import { Browser, Clock, Gateway, Page, settled } from './browser.ts';

const opened: HoldfastClient[] = [];
afterEach(() => {
  for (const client of opened.splice(0)) client.close();
});

async function live() {
  const clock = new Clock();
  const gateway = new Gateway();
  gateway.serverTime = () => new Date(clock.now).toISOString();
  const page = new Page({ clock, browser: new Browser(), gateway });
  const start = (): HoldfastClient => {
    const client = createClient(page.parts);
    opened.push(client);
    return client;
  };
  return { clock, gateway, page, start };
}
const answer = (body: unknown) => ({ status: 200, retryAfterMs: null, body });
const table = (tableId: string, title = tableId) => ({
  tableId,
  title,
  workspacePath: '/w',
  provider: 'p',
  model: null,
  activeConversationId: null,
  createdAt: '2026-01-01T00:00:00.000Z',
});
const at = '2026-01-01T00:00:00.000Z';

describe('tables', () => {
  it('all pages of them, read anew with each link, and changed by what is made and heard', async () => {
    const { clock, gateway, page, start } = await live();
    let all = ['t3', 't2', 't1'].map((id) => table(id));
    gateway.answers = ({ method, url, body }) => {
      if (!url.includes('/v1/tables')) return undefined;
      if (method === 'POST') return answer({ ...table('x'), ...(body as object) });
      const place = Number(/cursor=(\d)/.exec(url)?.[1] ?? 0);
      const nextCursor = place + 1 < all.length ? String(place + 1) : null;
      return answer({ items: all.slice(place, place + 1), nextCursor });
    };
    const client = start();
    expect(client.tables.get()).toMatchObject({ is: 'loading', items: [] });
    await clock.advance(0);
    await clock.advance(0);
    const ids = () => client.tables.get().items.map(({ tableId }) => tableId);
    expect(client.tables.get().is).toBe('ready');
    expect(ids()).toEqual(['t3', 't2', 't1']);
    const made = await client.createTable({ title: 'New' });
    expect(made).toMatchObject({ ok: true, value: { title: 'New' } });
    expect(ids()).toHaveLength(4);
    client.openTable('t2');
    await settled();
    page.socket.give({
      type: 'snapshot',
      tableId: 't2',
      payload: { ...emptyTableView('t2'), lastSeq: 1 },
    });
    const renamed = { type: 'table.updated', tableId: 't2', seq: 2, at, payload: { title: 'R' } };
    page.socket.give(renamed);
    page.frame();
    expect(client.tables.get().items.find(({ tableId }) => tableId === 't2')?.title).toBe('R');
    all = [table('t9')];
    page.socket.close(1006);
    await clock.advance(500);
    expect(ids()).toEqual(['t9']);
  });

  it('those behind the first pages when they are asked for, and they stay with the next link', async () => {
    const { clock, gateway, page, start } = await live();
    const all = Array.from({ length: 13 }, (_, index) => table(`t${index}`));
    let isBroken = false;
    gateway.answers = ({ url }) => {
      if (!url.includes('/v1/tables')) return undefined;
      if (isBroken) return { status: 500, retryAfterMs: null, body: undefined };
      const place = Number(/cursor=(\d+)/.exec(url)?.[1] ?? 0);
      const nextCursor = place + 1 < all.length ? String(place + 1) : null;
      return answer({ items: all.slice(place, place + 1), nextCursor });
    };
    const client = start();
    await clock.advance(0);
    await clock.advance(0);
    const count = () => client.tables.get().items.length;
    expect(client.tables.get()).toMatchObject({ is: 'ready', hasMore: true });
    expect(count()).toBe(10);
    client.loadMoreTables();
    client.loadMoreTables();
    await clock.advance(0);
    expect(client.tables.get()).toMatchObject({ is: 'ready', hasMore: true });
    expect(count()).toBe(11);
    isBroken = true;
    client.loadMoreTables();
    await clock.advance(2_000);
    expect(client.tables.get()).toMatchObject({ is: 'ready', hasMore: true });
    isBroken = false;
    page.socket.close(1006);
    await clock.advance(500);
    expect(count()).toBe(11);
    client.loadMoreTables();
    await clock.advance(0);
    client.loadMoreTables();
    await clock.advance(0);
    expect(count()).toBe(13);
    expect(client.tables.get().hasMore).toBe(false);
    client.loadMoreTables();
    await clock.advance(0);
    expect(new Set(client.tables.get().items.map(({ tableId }) => tableId)).size).toBe(13);
  });

  it('what has failed says so, until there is an answer', async () => {
    const { clock, gateway, start, page } = await live();
    gateway.answers = ({ url }) =>
      url.includes('/tables') ? { status: 500, retryAfterMs: null, body: undefined } : undefined;
    const client = start();
    await clock.advance(2_000);
    expect(client.tables.get()).toMatchObject({ is: 'failed', problem: { status: 500 } });
    gateway.answers = () => undefined;
    page.socket.close(1006);
    await clock.advance(1_000);
    expect(client.tables.get()).toMatchObject({ is: 'ready', problem: null });
  });

  it('one table: snapshot, events once for each frame, and what is the same stays the same', async () => {
    const { page, start } = await live();
    const client = start();
    await settled();
    const handle = client.openTable('t1');
    await settled();
    const { type, payload } = page.socket.sent.at(-1) ?? {};
    expect({ type, payload }).toEqual({ type: 'table.subscribe', payload: { lastSeq: null } });
    const conversation = {
      conversationId: 'c1',
      tableId: 't1',
      title: 'T',
      archived: false,
      provider: 'p',
      model: null,
      createdAt: at,
      forkedFrom: null,
      state: 'idle' as const,
      lastLine: '',
      messageCount: 0,
      turnCount: 0,
      queued: 0,
      held: false,
      approvals: 0,
      lastAt: at,
    };
    const view = { ...emptyTableView('t1'), conversations: [conversation], lastSeq: 3 };
    page.socket.give({ type: 'snapshot', tableId: 't1', payload: view });
    expect(handle.get()).toMatchObject({ is: 'ready', isStale: true, view });
    page.socket.give({ type: 'caught-up', tableId: 't1', payload: { seq: 3 } });
    page.frame();
    expect(handle.get().isStale).toBe(false);
    const [before] = handle.get().view.conversations;
    page.socket.give({ type: 'reset', tableId: 't1', payload: { reason: 'fell-behind' } });
    page.socket.give({ type: 'snapshot', tableId: 't1', payload: view });
    expect(handle.get().view.conversations[0]).toBe(before);
    let told = 0;
    handle.subscribe(() => (told += 1));
    for (const seq of [4, 5])
      page.socket.give({
        type: 'conversation.state',
        tableId: 't1',
        conversationId: 'c1',
        seq,
        at,
        payload: { state: 'processing', queued: seq },
      });
    page.frame();
    expect(told).toBe(1);
    expect(handle.get().view).toMatchObject({ lastSeq: 5, conversations: [{ queued: 5 }] });
  });
});

describe('a team', () => {
  it('is asked for by any member, and heard under its root', async () => {
    const { page, start } = await live();
    const client = start();
    await settled();
    const handle = client.openTeam('child');
    await settled();
    const asked = page.socket.sent.at(-1);
    expect(asked).toMatchObject({ type: 'agents.subscribe', conversationId: 'child' });
    const { requestId } = asked ?? {};
    const agent = (conversationId: string, lastLine = '') =>
      ({ conversationId, lastLine }) as AgentViewValue;
    page.socket.give({
      type: 'snapshot',
      rootId: 'root',
      requestId,
      payload: { rootId: 'root', agents: [agent('root'), agent('child')], lastSeq: 7 },
    });
    page.socket.give({ type: 'caught-up', rootId: 'root', requestId, payload: { seq: 7 } });
    expect(handle.get()).toMatchObject({ is: 'ready', team: { rootId: 'root', lastSeq: 7 } });
    const changed = (seq: number, one: AgentViewValue): object => ({
      type: 'agent.changed',
      rootId: 'root',
      seq,
      at,
      payload: { agent: one },
    });
    page.socket.give(changed(8, agent('child', 'done')));
    page.socket.give(changed(9, agent('new')));
    page.socket.give({ ...changed(10, agent('x')), rootId: 'other' });
    const [root] = handle.get().team.agents;
    page.frame();
    expect(handle.get().team).toMatchObject({
      lastSeq: 9,
      agents: [{ conversationId: 'root' }, { lastLine: 'done' }, { conversationId: 'new' }],
    });
    expect(handle.get().team.agents[0]).toBe(root);
    page.socket.close(1006);
  });
});

describe('triggers', () => {
  const trigger = (triggerId: string, nextDueAt: string | null = null) =>
    ({ triggerId, nextDueAt }) as TriggerViewValue;
  const row = (minute: number, words = '') =>
    ({
      dueAt: `2026-01-01T00:${String(minute).padStart(2, '0')}:00.000Z`,
      cause: 'due',
      words,
    }) as LedgerRowValue;

  it('are read when somebody looks, when one is due, when one has fired, and every 30 s', async () => {
    const { clock, gateway, page, start } = await live();
    const due = new Date(clock.now + 10_000).toISOString();
    let items = [trigger('g1', due), trigger('g2')];
    const reads: number[] = [];
    gateway.answers = ({ method, url }) => {
      if (method !== 'GET' || !url.includes('/v1/triggers?')) return undefined;
      reads.push(clock.now);
      return answer({ items, nextCursor: null });
    };
    const began = clock.now;
    const client = start();
    gateway.logs.set('c1', []);
    client.openConversation('c1');
    await settled();
    expect(reads).toEqual([]);
    const handle = client.openTriggers();
    await settled();
    expect(handle.get()).toMatchObject({ is: 'ready', items });
    const [g1] = handle.get().items;
    items = [trigger('g1', due), trigger('g2')].map((each) => structuredClone(each));
    await clock.advance(11_000);
    expect(reads.map((ms) => ms - began).slice(0, 2)).toEqual([0, 10_500]);
    expect(handle.get().items[0]).toBe(g1);
    items = [trigger('g2')];
    await clock.advance(1_000);
    const count = reads.length;
    await clock.advance(61_000);
    expect(reads.length - count).toBe(2);
    gateway.append('c1', [
      {
        type: 'trigger.fired',
        seq: 1,
        at,
        payload: { triggerId: 'g2', title: '', dueAt: at, outcome: 'fired', words: '' },
      },
    ]);
    page.frame();
    await clock.advance(200);
    expect(reads.length - count).toBe(3);
    handle.release();
  });

  it('a ledger: newest first, more when asked, new rows in front of those that were loaded', async () => {
    const { clock, gateway, start } = await live();
    let rows = [row(5), row(4), row(3), row(2), row(1)];
    const asked: string[] = [];
    gateway.answers = ({ method, url }) => {
      if (method === 'POST') return answer({});
      if (!url.includes('/ledger')) return undefined;
      asked.push(url);
      const from = Number(/cursor=(\d+)/.exec(url)?.[1] ?? 0);
      const nextCursor = from + 2 < rows.length ? String(from + 2) : null;
      return answer({
        items: rows.slice(from, from + 2),
        nextCursor,
        counts: { fired: rows.length },
      });
    };
    const handle = start().openTriggers();
    await settled();
    const ledger = handle.openLedger('g1', { outcome: 'fired' });
    const minutes = () => ledger.get().items.map(({ dueAt }) => Number(dueAt.slice(14, 16)));
    await settled();
    expect(asked[0]).toContain('/v1/triggers/g1/ledger?limit=50&outcome=fired');
    expect(ledger.get()).toMatchObject({ is: 'ready', hasMore: true, counts: { fired: 5 } });
    ledger.loadMore();
    ledger.loadMore();
    await settled();
    expect(minutes()).toEqual([5, 4, 3, 2]);
    const [known] = ledger.get().items;
    rows = [row(6), row(5), ...rows.slice(1)];
    await handle.fire('g1');
    await settled();
    expect(minutes()).toEqual([6, 5, 4, 3, 2]);
    expect(ledger.get().items[1]).toBe(known);
    rows = [row(20), row(19), ...rows];
    await clock.advance(31_000);
    expect(minutes()).toEqual([20, 19]);
    ledger.release();
    const { length } = asked;
    await clock.advance(31_000);
    expect(asked).toHaveLength(length);
    handle.release();
  });
});
