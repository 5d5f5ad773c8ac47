/** What every engine of the store must do with tables and their lists. Numbers are those of src/store/port.ts. */
import * as fc from 'fast-check';
import { describe, expect, it } from 'vitest';

import { isHoldfastError } from '../../src/contracts/errors.ts';
import type { ConversationSummaryValue, Event, NewEvent } from '../../src/contracts/events.ts';
import { conversationStream, tableStream } from '../../src/contracts/ids.ts';
import type { TableViewValue } from '../../src/contracts/view.ts';
import { emptyTableView, foldTableEvents } from '../../src/domain/table-fold.ts';
import type { AppendRequest, Store } from '../../src/store/port.ts';
import {
  activated,
  asJson,
  created,
  destroyedAfterEach,
  done,
  listen,
  logOf,
  newest,
  note,
  started,
  type StoreData,
  tableCreated,
  ticking,
  upTo,
} from './contract-events.ts';
import { anyStep, TableLife } from './table-life.ts';
import { spawnWriter } from './writer-process.ts';

const stream = tableStream('tb');
const facts = { provider: 'scripted', model: null, workspacePath: '/w' };

export function describeTables(engine: string, makeData: () => Promise<StoreData>): void {
  describe(`tables of the store on ${engine}`, () => {
    const newData = destroyedAfterEach(makeData);
    /** Table tb with conversations of these ids, the first of them active; its clock ticks. */
    const newTable = async (...ids: string[]): Promise<Store> => {
      const store = await (await newData()).open({ clock: ticking() });
      await store.append({ stream, events: [tableCreated('the table')] });
      for (const id of ids)
        await store.append({ stream: conversationStream(id), events: [created('tb', id)] });
      const [first] = ids;
      if (first !== undefined) await store.append({ stream, events: [activated(first)] });
      return store;
    };
    const say = (store: Store, id: string, ...events: NewEvent[]) =>
      store.append({ stream: conversationStream(id), events });

    it('knows tables by what was decided about them; lists them newest first, page by page', async () => {
      const store = await (await newData()).open({ clock: ticking() });
      for (const id of ['t1', 't2', 't3'])
        await store.append({
          stream: tableStream(id),
          key: 'created',
          events: [tableCreated(`table ${id}`)],
        });
      await store.append({
        stream: tableStream('t1'),
        events: [{ type: 'table.updated', payload: { title: 'renamed \ud83d' } }],
      });
      const table = {
        tableId: 't1',
        title: 'renamed \ud83d',
        ...facts,
        activeConversationId: null,
        createdAt: '2026-11-21T00:00:00.001Z',
      };
      expect(await store.table('t1')).toStrictEqual(table);
      expect(await store.table('t9')).toBeNull();
      const first = await store.tables(null, 2);
      expect(first.items.map(({ tableId }) => tableId)).toStrictEqual(['t3', 't2']);
      const second = await store.tables(first.nextCursor, 2);
      expect(second).toStrictEqual({ items: [table], nextCursor: null });
      expect((await store.tables(null, 3)).nextCursor).toBeNull();
      for (const cursor of ['', '~', "2026-11-21T00:00:00.001Z~' OR 1", 'x~t1', 't1'])
        await expect(store.tables(cursor, 2)).rejects.toMatchObject({ code: 'invalid_request' });
      const { items } = await store.events(tableStream('t1'), 0, 10);
      expect(JSON.parse(items[0]?.json ?? '')).toMatchObject({
        type: 'table.created',
        tableId: 't1',
      });
      for (const nothing of [
        store.tableState('t9'),
        store.tableView('t9', 10),
        store.tableWithActive('t9', 10, 10),
      ])
        expect(await nothing).toBeNull();
    });

    it('refuses what is said of a table that does not exist, and a conversation of it', async () => {
      const store = await (await newData()).open();
      const missing = { code: 'not_found' };
      await expect(say(store, 'c1', created('tb'))).rejects.toMatchObject(missing);
      await expect(store.append({ stream, events: [activated('c1')] })).rejects.toMatchObject(
        missing,
      );
      await expect(
        store.append({ stream, events: [{ type: 'table.updated', payload: { title: '' } }] }),
      ).rejects.toMatchObject(missing);
      expect(await store.conversation('c1')).toBeNull();
      expect(await store.lastSeq(stream)).toBe(0);
    });

    it('S1 says why a turn may not start: own, running, elsewhere', async () => {
      const store = await newTable('a', 'b');
      const start = (id: string, turnId: string) => say(store, id, started({ turnId, attempt: 1 }));
      await expect(start('b', 'tb1')).rejects.toMatchObject({
        code: 'busy',
        detail: { reason: 'elsewhere', conversationId: 'a' },
      });
      await start('a', 'ta1');
      await expect(start('a', 'ta2')).rejects.toMatchObject({
        code: 'busy',
        detail: { reason: 'own', turnId: 'ta1' },
      });
      await expect(start('b', 'tb1')).rejects.toMatchObject({
        code: 'busy',
        detail: { reason: 'running', turnId: 'ta1', conversationId: 'a' },
      });
      // New chat: the slot has moved, the old turn winds down.
      await store.append({ stream, events: [activated('b')] });
      await expect(start('b', 'tb1')).rejects.toMatchObject({ detail: { reason: 'running' } });
      await say(store, 'a', done({ turnId: 'ta1', attempt: 1 }));
      await expect(start('a', 'ta2')).rejects.toMatchObject({
        detail: { reason: 'elsewhere', conversationId: 'b' },
      });
      await start('b', 'tb1');
      // What was refused has left nothing: neither in the log nor in the table's.
      expect(await store.lastSeq(conversationStream('a'))).toBe(3);
      expect((await logOf(store, stream)).map(({ type }) => type)).toStrictEqual([
        'table.created',
        'conversation.listed',
        'conversation.listed',
        'conversation.activated',
        'conversation.listed',
        'conversation.activated',
        'conversation.state',
        'conversation.listed',
      ]);
      // Created and started in one append: the table is asked all the same.
      await expect(
        say(store, 'c', created('tb'), started({ turnId: 'tc1', attempt: 1 })),
      ).rejects.toMatchObject({ detail: { reason: 'running' } });
      expect(await store.conversation('c')).toBeNull();
    });

    it('S1 of no table is no table: the conversations of an empty tableId do not hinder each other', async () => {
      const store = await (await newData()).open();
      for (const id of ['a', 'b'])
        await say(store, id, created(null), started({ turnId: `${id}-t`, attempt: 1 }));
      expect(await store.runningAttempts(null)).toHaveLength(2);
    });

    it('knows who runs and who waits, the longest first; and refuses who has waited less', async () => {
      const store = await newTable('a', 'b', 'c');
      const at = (minute: number) => `2026-11-21T10:0${minute}:00.000Z`;
      await say(store, 'a', started({ turnId: 'ta', attempt: 1 }));
      await say(store, 'c', queue(at(1), at(3)));
      await say(store, 'b', queue(at(2)));
      await say(store, 'a', queue(at(0)));
      const waiting = async () =>
        (await store.tableState('tb'))?.waiting.map(
          ({ conversationId, since }) => `${conversationId} ${since}`,
        );
      // What the running conversation has queued waits for its own turn, not for the slot.
      expect(await waiting()).toStrictEqual([`c ${at(1)}`, `b ${at(2)}`]);
      expect(await store.tableState('tb')).toMatchObject({
        tableId: 'tb',
        activeConversationId: 'a',
        running: { conversationId: 'a', turnId: 'ta', attempt: 1, cancelRequested: false },
      });
      expect(await store.waitingTables('', 10)).toStrictEqual([]);
      await say(store, 'a', {
        type: 'chat.cancelling',
        turnId: 'ta',
        attempt: 1,
        payload: { step: 'requested', by: 'user' },
      });
      expect((await store.tableState('tb'))?.running?.cancelRequested).toBe(true);
      await say(store, 'a', done({ turnId: 'ta', attempt: 1 }));
      expect(await waiting()).toStrictEqual([`a ${at(0)}`, `c ${at(1)}`, `b ${at(2)}`]);
      expect((await store.tableState('tb'))?.running).toBeNull();
      expect(await store.waitingTables('', 10)).toStrictEqual(['tb']);
      expect(await store.waitingTables('tb', 10)).toStrictEqual([]);
      expect(await store.waitingTables('', 0)).toStrictEqual([]);
      // Of a table the slot decides, not whoever looks for what is unsettled.
      expect(await store.unsettled('', 10)).toStrictEqual([]);

      const start = (id: string, unlessWaitedBefore: string): AppendRequest => ({
        stream: conversationStream(id),
        unlessWaitedBefore,
        events: [started({ turnId: `t${id}2`, attempt: 1 })],
      });
      await say(store, 'a', queueHeld(at(0)));
      expect(await waiting()).toStrictEqual([`c ${at(1)}`, `b ${at(2)}`]);
      await expect(store.append(start('a', at(9)))).rejects.toMatchObject({
        code: 'busy',
        detail: { reason: 'waiting', conversationId: 'c', since: at(1) },
      });
      // As long is not longer.
      await store.append(start('a', at(1)));
      await say(store, 'a', done({ turnId: 'ta2', attempt: 1 }));
      // Its own waiting is not in its way; and where it may not start anyway, that is the reason.
      await store.append({ stream, events: [activated('c')] });
      await expect(store.append(start('b', at(9)))).rejects.toMatchObject({
        detail: { reason: 'elsewhere' },
      });
      await store.append(start('c', at(2)));
      expect(await waiting()).toStrictEqual([`b ${at(2)}`]);
      await say(store, 'c', done({ turnId: 'tc2', attempt: 1 }), queue());
      await say(store, 'b', queueHeld(at(2)));
      expect(await waiting()).toStrictEqual([]);
      expect(await store.waitingTables('', 10)).toStrictEqual([]);
      // Emptied, it is no longer held.
      await say(store, 'b', queue());
      await say(store, 'b', queue(at(4)));
      expect(await waiting()).toStrictEqual([`b ${at(4)}`]);
      // A row without a time waits since it was recorded.
      await say(store, 'b', {
        type: 'queue.changed',
        payload: {
          queue: [{ requestId: 'r', turnId: 't', content: '', position: 0, attempt: 1 }],
        },
      });
      const { at: recordedAt } = (await logOf(store, conversationStream('b'))).at(-1) ?? {};
      expect(await waiting()).toStrictEqual([`b ${recordedAt ?? ''}`]);
      // Rows that are held do not wait; those behind them do. Where all are, whether said of the rows or of the queue, none does.
      await say(store, 'b', queueOf([at(1), true], [at(5)], [at(3)]));
      expect(await waiting()).toStrictEqual([`b ${at(5)}`]);
      await say(store, 'b', queueOf([at(1), true], [at(5), true]));
      expect(await waiting()).toStrictEqual([]);
      expect(await store.summary('b')).toMatchObject({ queued: 2 });
      await say(store, 'b', queue(at(4)));
      // A conversation that stands alone waits for no slot.
      await say(store, 'alone', created(null), queue(at(0)));
      expect(await store.waitingTables('', 10)).toStrictEqual(['tb']);
      expect(await store.unsettled('', 10)).toStrictEqual(['alone']);
      await say(store, 'alone', queueOf([at(1), true]));
      expect(await store.unsettled('', 10)).toStrictEqual([]);
      await say(store, 'alone', queueOf([at(1), true], [at(2)]));
      await say(store, 'b', { type: 'conversation.state', payload: { state: 'processing' } });
      expect(await store.unsettled('', 10)).toStrictEqual(['alone', 'b']);
    });

    it('T1 tells the table of each change with all that a list shows, in the same commit, and wakes its watchers', async () => {
      const store = await newTable('a', 'b');
      const { heads } = listen(store);
      const before = await store.lastSeq(stream);
      await say(
        store,
        'a',
        {
          type: 'message.created',
          turnId: 't1',
          payload: { messageId: 'm1', role: 'user', content: 'first line\n the last line \n\n' },
        },
        started({ turnId: 't1', attempt: 1 }),
        { type: 'conversation.state', payload: { state: 'processing' } },
      );
      await store.append({ stream: conversationStream('a'), events: [note('no moment')] });
      const scope = { turnId: 't1', attempt: 1 };
      await say(
        store,
        'a',
        {
          type: 'assistant.segment.started',
          ...scope,
          payload: { messageId: 'm2', kind: 'text' },
        },
        { type: 'chat.delta', ...scope, payload: { messageId: 'm2', text: 'an answer' } },
        {
          type: 'assistant.segment.ended',
          ...scope,
          payload: { messageId: 'm2', content: 'an answer', status: 'complete' },
        },
      );
      await say(store, 'a', {
        type: 'approval.requested',
        ...scope,
        payload: { approvalId: 'p1', title: '', input: {}, options: ['allow'] },
      });
      await say(store, 'a', done(scope));
      await say(store, 'a', { type: 'conversation.updated', payload: { host: 'h1' } });
      await say(store, 'a', { type: 'conversation.updated', payload: { title: 'renamed' } });
      const log = (await logOf(store, stream)).slice(before);
      expect(log.map(({ type }) => type)).toStrictEqual([
        'conversation.listed',
        'conversation.state',
        'conversation.state',
        'conversation.listed',
      ]);
      expect(log.every(({ tableId }) => tableId === 'tb')).toBe(true);
      expect(log.every(({ conversationId }) => conversationId === 'a')).toBe(true);
      const own = await logOf(store, conversationStream('a'));
      // No more than one for an append, at the time of the append.
      expect(log.map(({ at }) => at)).toStrictEqual([
        own.find(({ type }) => type === 'chat.started')?.at,
        own.find(({ type }) => type === 'approval.requested')?.at,
        own.find(({ type }) => type === 'chat.done')?.at,
        own.at(-1)?.at,
      ]);
      expect(log[0]?.payload).toStrictEqual({
        conversation: {
          conversationId: 'a',
          tableId: 'tb',
          title: 'a',
          archived: false,
          provider: 'scripted',
          model: null,
          createdAt: own[0]?.at,
          forkedFrom: null,
          state: 'processing',
          lastLine: 'the last line',
          messageCount: 1,
          turnCount: 1,
          queued: 0,
          held: false,
          approvals: 0,
          lastAt: log[0]?.at,
        },
      });
      expect(log[1]?.payload).toStrictEqual({
        state: 'processing',
        lastLine: 'an answer',
        messageCount: 2,
        turnCount: 1,
        queued: 0,
        held: false,
        approvals: 1,
        lastAt: log[1]?.at,
      });
      expect(log[2]?.payload).toMatchObject({ approvals: 0, lastAt: log[2]?.at });
      // A name moves nothing in a list.
      expect(log[3]?.payload).toMatchObject({
        conversation: { title: 'renamed', lastAt: log[2]?.at },
      });
      await expect.poll(() => newest(heads, stream)).toBe(before + 4);
    });

    it('T1 numbers the table’s stream without gaps when its conversations are written to at once', async () => {
      const ids = upTo(6).map((index) => `c${index}`);
      const store = await newTable(...ids);
      await Promise.all(
        upTo(10).flatMap((count) =>
          ids.map((id) =>
            say(store, id, {
              type: 'message.created',
              payload: { messageId: `m${count}`, role: 'user', content: `${count}` },
            }),
          ),
        ),
      );
      const log = await logOf(store, stream);
      expect(log.map(({ seq }) => seq)).toStrictEqual(upTo(1 + 6 + 1 + 60));
      expect(await store.tableView('tb', 10)).toEqual(foldTableEvents(emptyTableView('tb'), log));
    });

    it('gives a table and its active conversation in one read', async () => {
      const store = await newTable('a', 'b');
      await say(store, 'a', note('x'));
      const both = await store.tableWithActive('tb', 10, 10);
      expect(both?.table).toStrictEqual(await store.tableView('tb', 10));
      expect(both?.active).toStrictEqual(await store.snapshot('a', 10));
      expect(both?.active?.lastSeq).toBe(2);
      // Activated before it was created: there is nothing to show yet.
      await store.append({ stream, events: [activated('later')] });
      expect(await store.tableWithActive('tb', 10, 10)).toMatchObject({
        table: { activeConversationId: 'later' },
        active: null,
      });
    });

    it('lists conversations most recent first, page by page, archived or not or both', async () => {
      const store = await newTable('a', 'b', 'c', 'd');
      await say(store, 'x', created(null));
      await say(store, 'b', { type: 'conversation.updated', payload: { archived: true } });
      await say(store, 'd', { type: 'conversation.updated', payload: { archived: true } });
      await say(store, 'a', { type: 'conversation.state', payload: { state: 'processing' } });
      const ask = (archived: boolean | null, cursor: string | null = null, limit = 10) =>
        store.conversations({ tableId: 'tb', archived, query: null, cursor, limit });
      const ids = async (archived: boolean | null) =>
        (await ask(archived)).items.map(({ conversationId }) => conversationId);
      expect(await ids(false)).toStrictEqual(['a', 'c']);
      expect(await ids(true)).toStrictEqual(['d', 'b']);
      expect(await ids(null)).toStrictEqual(['a', 'd', 'c', 'b']);
      const walked: string[] = [];
      for (let cursor: string | null = null, page = 0; page < 9; page += 1) {
        const { items, nextCursor } = await ask(null, cursor, 1);
        walked.push(...items.map(({ conversationId }) => conversationId));
        cursor = nextCursor;
        if (cursor === null) break;
      }
      expect(walked).toStrictEqual(['a', 'd', 'c', 'b']);
      expect((await ask(null)).items[0]).toStrictEqual(await store.summary('a'));
      expect(await store.summary('nobody')).toBeNull();
      expect(await ask(null, null, 0)).toStrictEqual({ items: [], nextCursor: null });
      for (const cursor of ['', 'a', '2026~a', 'x'.repeat(300)])
        await expect(ask(null, cursor)).rejects.toMatchObject({ code: 'invalid_request' });
      const view = await store.tableView('tb', 1);
      expect(view?.conversations.map(({ conversationId }) => conversationId)).toStrictEqual(['a']);
      expect(view?.hasOlder).toBe(true);
      expect((await store.tableView('tb', 2))?.hasOlder).toBe(false);
    });

    it('keeps equal times in order of their ids', async () => {
      const store = await (await newData()).open({ clock: () => Date.UTC(2026, 10, 21) });
      await store.append({ stream, events: [tableCreated()] });
      for (const id of ['b', 'c', 'a'])
        await store.append({ stream: conversationStream(id), events: [created('tb')] });
      const view = await store.tableView('tb', 10);
      expect(view?.conversations.map(({ conversationId }) => conversationId)).toStrictEqual([
        'c',
        'b',
        'a',
      ]);
      expect(view).toEqual(foldTableEvents(emptyTableView('tb'), await logOf(store, stream)));
      const first = await store.conversations({
        tableId: 'tb',
        archived: false,
        query: null,
        cursor: null,
        limit: 2,
      });
      const second = await store.conversations({
        tableId: 'tb',
        archived: false,
        query: null,
        cursor: first.nextCursor,
        limit: 2,
      });
      expect(second.items.map(({ conversationId }) => conversationId)).toStrictEqual(['a']);
    });

    it('T1 L4: whatever happens at a table, its view is its stream folded, joined at any moment with any page', async () => {
      await fc.assert(
        fc.asyncProperty(
          fc.array(fc.tuple(anyStep, fc.constantFrom(0, 1, 2, 3, 100)), {
            maxLength: 60,
            size: 'max',
          }),
          async (steps) => {
            const data = await makeData();
            try {
              const store = await data.open({ clock: ticking() });
              await store.append({ stream, events: [tableCreated()] });
              const life = new TableLife(store, stream);
              await life.take({ type: 'create', id: 'a' });
              const views: { view: TableViewValue; limit: number }[] = [];
              for (const [step, limit] of steps) {
                const id = await life.take(step);
                const known = id === null ? null : await life.summaryOf(id);
                expect(id === null ? null : await store.summary(id)).toEqual(known);
                const view = await store.tableView('tb', limit);
                if (view !== null) views.push({ view, limit });
              }
              const log = await logOf(store, stream);
              const whole = foldTableEvents(emptyTableView('tb'), log);
              expect(await store.tableView('tb', 100)).toEqual(whole);
              for (const { view, limit } of views) {
                const then = foldTableEvents(emptyTableView('tb'), log.slice(0, view.lastSeq));
                expect(view).toEqual({
                  ...then,
                  conversations: then.conversations.slice(0, limit),
                  hasOlder: then.conversations.length > limit,
                });
                expectPageOf(foldTableEvents(asJson(view), log), whole);
              }
            } finally {
              await data.destroy();
            }
          },
        ),
        { numRuns: 40 },
      );
    }, 120_000);

    it('S1: two instances that start, end and move the slot at random never run two turns of a table', async () => {
      await fc.assert(
        fc.asyncProperty(
          fc.array(
            fc.record({
              instance: fc.nat(1),
              id: fc.constantFrom('a', 'b', 'c'),
              act: fc.constantFrom('start', 'start', 'start', 'end', 'activate'),
            }),
            { minLength: 10, maxLength: 40, size: 'max' },
          ),
          async (acts) => {
            const data = await makeData();
            try {
              const stores = await Promise.all([data.open(), data.open()]);
              const [first] = stores;
              await first.append({ stream, events: [tableCreated()] });
              for (const id of ['a', 'b', 'c']) await say(first, id, created('tb'));
              const refusals = await Promise.all(
                acts.map(async ({ instance, id, act }, index) => {
                  const store = stores[instance] ?? first;
                  const scope = { turnId: `${id}-${index}`, attempt: 1 };
                  try {
                    if (act === 'activate') await store.append({ stream, events: [activated(id)] });
                    else if (act === 'start') await say(store, id, started(scope));
                    else
                      for (const running of await store.runningAttempts(null))
                        await say(store, running.conversationId, done(running));
                    return null;
                  } catch (error) {
                    return isHoldfastError(error) ? error.code : String(error);
                  }
                }),
              );
              // `fenced`: both ended the same turn.
              const expected: unknown[] = [null, 'busy', 'fenced'];
              expect(refusals.filter((code) => !expected.includes(code))).toStrictEqual([]);
              await expectOneAtATime(first, ['a', 'b', 'c']);
            } finally {
              await data.destroy();
            }
          },
        ),
        { numRuns: 30 },
      );
    }, 120_000);

    it('S1: so it is with two processes, which find all reasons there are to be refused', async () => {
      const data = await newData();
      const store = await data.open();
      const ids = ['a', 'b', 'c'];
      await store.append({ stream, events: [tableCreated()] });
      for (const id of ids) await say(store, id, created('tb'));
      const writers = ['p', 'q'].map((prefix) =>
        spawnWriter(data.url, { type: 'slot', ids, count: 300, prefix }),
      );
      await Promise.all(writers.map(({ ended }) => ended));
      const told = new Set(writers.flatMap(({ answers }) => answers.map(({ status }) => status)));
      for (const status of ['started', 'ended', 'busy own', 'busy running', 'busy elsewhere'])
        expect(told).toContain(status);
      await expectOneAtATime(store, ids);
      const log = await logOf(store, stream);
      expect(log.map(({ seq }) => seq)).toStrictEqual(upTo(log.length));
    }, 60_000);
  });
}

function queue(...times: string[]): NewEvent {
  return queueOf(...times.map((at): [string] => [at]));
}

function queueOf(...rows: [at: string, held?: true][]): NewEvent {
  return {
    type: 'queue.changed',
    payload: {
      queue: rows.map(([at, held], position) => ({
        requestId: `r${position}`,
        turnId: `tq${position}`,
        content: 'waits',
        position,
        attempt: 1,
        at,
        ...(held === undefined ? {} : { held }),
      })),
    },
  };
}

function queueHeld(at: string): NewEvent {
  const { payload } = queue(at) as Extract<NewEvent, { type: 'queue.changed' }>;
  return { type: 'queue.changed', payload: { ...payload, held: true } };
}

/** By the order of commits in all logs: at most one turn runs at any time, and each began while its conversation was active. */
async function expectOneAtATime(store: Store, ids: readonly string[]): Promise<void> {
  const table = await logOf(store, stream);
  // The table's stream has one event for each start and end, in the order of commits.
  let active: string | null = null;
  let running: string | null = null;
  const turnCounts = new Map<string, number>();
  const violations: unknown[] = [];
  for (const event of table) {
    const id = event.conversationId ?? '';
    if (event.type === 'conversation.activated') active = id;
    const told = toldOf(event);
    if (told?.turnCount === undefined) continue;
    const before = turnCounts.get(id) ?? 0;
    turnCounts.set(id, told.turnCount);
    if (told.turnCount > before) {
      if (running !== null || active !== id) violations.push({ id, running, active });
      running = id;
    } else if (running === id) {
      running = null;
    }
  }
  expect(violations).toStrictEqual([]);
  const logs = await Promise.all(ids.map((id) => logOf(store, conversationStream(id))));
  const starts = logs.flat().filter(({ type }) => type === 'chat.started').length;
  expect([...turnCounts.values()].reduce((sum, count) => sum + count, 0)).toBe(starts);
  expect((await store.runningAttempts(null)).map(({ conversationId }) => conversationId)).toEqual(
    running === null ? [] : [running],
  );
}

function toldOf(event: Event): Partial<ConversationSummaryValue> | null {
  if (event.type === 'conversation.listed') return event.payload.conversation;
  return event.type === 'conversation.state' ? event.payload : null;
}

/** A page that was joined earlier is a part of the whole from its top on, with none missing in between. */
function expectPageOf(page: TableViewValue, whole: TableViewValue): void {
  expect(page).toEqual({
    ...whole,
    conversations: whole.conversations.slice(0, page.conversations.length),
    hasOlder: page.hasOlder,
  });
  expect(page.hasOlder || page.conversations.length === whole.conversations.length).toBe(true);
}
