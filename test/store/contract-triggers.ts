/** What every engine of the store must do with triggers and their ledgers. Numbers are those of src/store/port.ts. */
import * as fc from 'fast-check';
import { describe, expect, it } from 'vitest';

import type {
  DecidedFireValue,
  EventPayloads,
  NewEvent,
  TriggerOutcomeName,
} from '../../src/contracts/events.ts';
import { conversationStream, triggerStream } from '../../src/contracts/ids.ts';
import type { LedgerRowValue } from '../../src/contracts/triggers.ts';
import type { AppendRequest, Store } from '../../src/store/port.ts';
import { eventually } from '../support/eventually.ts';
import {
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
  ticking,
  upTo,
} from './contract-events.ts';
import {
  anyOperation,
  definition,
  fire,
  OUTCOMES,
  second,
  TriggerModel,
  TRIGGERS,
} from './trigger-model.ts';
import { spawnWriter } from './writer-process.ts';

const stream = triggerStream('x');

export function describeTriggers(engine: string, makeData: () => Promise<StoreData>): void {
  describe(`triggers of the store on ${engine}`, () => {
    const newData = destroyedAfterEach(makeData);
    /** Trigger x, decided up to second 0, with conversations c1 and c2; its clock ticks. */
    const newTrigger = async (): Promise<Store> => {
      const store = await (await newData()).open({ clock: ticking() });
      for (const id of ['c1', 'c2'])
        await store.append({ stream: conversationStream(id), events: [created(null)] });
      await store.append({ stream, key: 'created', events: [triggerCreated('x')] });
      return store;
    };
    const say = (store: Store, ...events: NewEvent[]) => store.append({ stream, events });

    describe('what it is', () => {
      it('is known by what was decided about it, exactly', async () => {
        const store = await (await newData()).open({ clock: ticking() });
        const first = definition({ title: 'half \ud83d', content: '\u0001 and \udc00' });
        await store.append({
          stream,
          events: [triggerCreated('x', { definition: first, nextDueAt: second(5) })],
        });
        const row = {
          triggerId: 'x',
          definition: first,
          rule: 'r1',
          createdAt: '2026-11-21T00:00:00.001Z',
          updatedAt: '2026-11-21T00:00:00.001Z',
          decidedUntil: second(0),
          nextDueAt: second(5),
          removedAt: null,
        };
        expect(await store.trigger('x')).toStrictEqual(row);
        expect(await store.trigger('y')).toBeNull();
        await say(store, due(0, 7, [fire(second(5))], second(9)));
        expect(await store.trigger('x')).toStrictEqual({
          ...row,
          decidedUntil: second(7),
          nextDueAt: second(9),
        });
        const second2 = definition({ tableId: 'tb', conversationId: null, content: 'other' });
        await say(store, updated({ rule: 'r2', definition: second2, from: second(7) }));
        const edited = {
          ...row,
          definition: second2,
          rule: 'r2',
          updatedAt: '2026-11-21T00:00:00.003Z',
          decidedUntil: second(7),
          nextDueAt: null,
        };
        expect(await store.trigger('x')).toStrictEqual(edited);
        await say(store, due(7, 7, [], second(9)));
        await say(store, removed(7));
        expect(await store.trigger('x')).toStrictEqual({
          ...edited,
          removedAt: '2026-11-21T00:00:00.005Z',
        });
        // As it was said, with nothing stamped onto it.
        const [event] = await logOf(store, stream);
        expect(event).toStrictEqual({
          type: 'trigger.created',
          seq: 1,
          at: row.createdAt,
          payload: asJson(triggerCreated('x', { definition: first, nextDueAt: second(5) }).payload),
        });
      });

      it('lists those that are not removed, newest first, page by page; of one table, of one conversation', async () => {
        const store = await (await newData()).open({ clock: ticking() });
        const where = (n: number) =>
          n % 2 === 0 ? { tableId: 'tb', conversationId: null } : { conversationId: `c${n % 3}` };
        for (const n of upTo(7))
          await store.append({
            stream: triggerStream(`t${n}`),
            events: [triggerCreated(`t${n}`, { definition: definition(where(n)) })],
          });
        await store.append({ stream: triggerStream('t6'), events: [removed(0, 't6')] });
        const pages = async (filter: { tableId?: string; conversationId?: string }, limit = 2) => {
          const found: string[] = [];
          for (let cursor: string | null = null; ;) {
            const one = await store.triggers({
              tableId: null,
              conversationId: null,
              ...filter,
              cursor,
              limit,
            });
            expect(one.items.length).toBeLessThanOrEqual(limit);
            found.push(...one.items.map(({ triggerId }) => triggerId));
            if (one.nextCursor === null) return found.join(' ');
            cursor = one.nextCursor;
          }
        };
        expect(await pages({})).toBe('t7 t5 t4 t3 t2 t1');
        expect(await pages({}, 6)).toBe('t7 t5 t4 t3 t2 t1');
        expect(await pages({ tableId: 'tb' }, 1)).toBe('t4 t2');
        expect(await pages({ conversationId: 'c1' })).toBe('t7 t1');
        expect(await pages({ conversationId: 'c1', tableId: 'tb' })).toBe('');
        expect(await pages({ tableId: 'other' })).toBe('');
        expect(await store.triggerCount()).toBe(6);
        const all = { tableId: null, conversationId: null, limit: 9 };
        const { items } = await store.triggers({ ...all, cursor: null });
        expect(items[0]).toStrictEqual(await store.trigger('t7'));
        for (const cursor of ['', '~', 't1', "2026-11-21T00:00:00.001Z~' OR 1", 'x~t1'])
          await expect(store.triggers({ ...all, cursor })).rejects.toMatchObject({
            code: 'invalid_request',
          });
      });

      it('is a stream as the others are: its watchers are woken, notices are no decisions, folding away leaves it', async () => {
        const store = await newTrigger();
        const { heads } = listen(store);
        await say(store, note('a notice'));
        await say(store, due(0, 2, [fire(second(1))]));
        await eventually(() => newest(heads, stream) === 3);
        expect(await store.compact({ endedBefore: '9', limit: 100 })).toBe(0);
        expect(await store.lastSeq(stream)).toBe(3);
        expect(await store.replayFloor(stream)).toBe(0);
        expect(await store.tables(null, 9)).toStrictEqual({ items: [], nextCursor: null });
        expect(await store.unsettled('', 9)).toStrictEqual([]);
      });
    });

    describe('D1', () => {
      it('is decided upon what is known: of another basis and of a removed one it is fenced, of none not_found; nothing is written', async () => {
        const store = await newTrigger();
        await say(store, due(0, 10, [fire(second(3), { outcome: 'skipped' })], second(20)));
        const all: NewEvent[] = [
          due(10, 11, [fire(second(11))]),
          updated({ from: second(10) }),
          removed(10),
          decided({ cause: 'manual', fires: [fire(second(11))] }),
          decided({ cause: 'backfill', fires: [fire(second(3))] }),
        ];
        const before = await everythingOf(store);
        for (const event of [due(0, 11, []), due(11, 12, []), updated({ from: second(0) })])
          await expect(say(store, event)).rejects.toMatchObject({
            code: 'fenced',
            detail: { triggerId: 'x', decidedUntil: second(10) },
          });
        await expect(say(store, removed(9))).rejects.toMatchObject({ code: 'fenced' });
        for (const event of all) {
          const own = {
            ...event,
            payload: { ...event.payload, triggerId: 'y' },
          } as unknown as NewEvent;
          await expect(
            store.append({ stream: triggerStream('y'), events: [own] }),
          ).rejects.toMatchObject({ code: 'not_found' });
        }
        expect(await store.lastSeq(triggerStream('y'))).toBe(0);
        expect(await everythingOf(store)).toStrictEqual(before);
        await say(store, removed(10));
        const after = await everythingOf(store);
        for (const event of all)
          await expect(say(store, event)).rejects.toMatchObject({ code: 'fenced' });
        expect(await everythingOf(store)).toStrictEqual(after);
        expect(after.ledger).toHaveLength(1);
      });

      it('A2 a repeated key is answered as the first was, whatever it was decided upon; also of what is removed', async () => {
        const store = await newTrigger();
        const request: AppendRequest = {
          stream,
          key: 'command:1',
          events: [updated({ rule: 'r2', from: second(0) }), due(0, 1, [])],
        };
        const first = await store.append(request);
        await say(store, removed(1));
        expect(await store.append(request)).toStrictEqual({ ...first, status: 'repeated' });
        expect(
          await store.append({ stream, key: 'created', events: [triggerCreated('x')] }),
        ).toStrictEqual({ status: 'repeated', firstSeq: 1, lastSeq: 1 });
        expect((await store.trigger('x'))?.removedAt).not.toBeNull();
      });

      it('the events of one append are decided one upon the other, and all or none', async () => {
        const store = await newTrigger();
        await say(
          store,
          due(0, 5, [fire(second(5))]),
          updated({ rule: 'r2', from: second(5) }),
          due(5, 6, [fire(second(6), { rule: 'r2' })]),
        );
        const before = await everythingOf(store);
        await expect(
          say(store, due(6, 7, [fire(second(7))]), updated({ from: second(6) })),
        ).rejects.toMatchObject({ code: 'fenced' });
        await expect(say(store, removed(6), due(6, 7, []))).rejects.toMatchObject({
          code: 'fenced',
        });
        // Half-way: the second row names a rule that never was.
        const [good, bad] = [fire(second(7)), fire(second(8), { rule: 'r9' })];
        const neighbour = store.append({ stream: triggerStream('n'), events: [note('unharmed')] });
        await expect(say(store, due(6, 8, [good, bad]))).rejects.toThrow(/FOREIGN KEY/);
        expect(await neighbour).toMatchObject({ status: 'appended' });
        expect(await everythingOf(store)).toStrictEqual(before);
        expect((await store.ledger(page())).items.map(({ rule }) => rule)).toStrictEqual([
          'r2',
          'r1',
        ]);
        expect((await store.undelivered('x', 9)).map(({ dueAt }) => dueAt)).toStrictEqual([
          second(5),
          second(6),
        ]);
      });

      it('what would break it by itself is refused: outside of its range, twice, going back, ahead, of another trigger', async () => {
        const store = await newTrigger();
        await say(store, due(0, 5, [fire(second(5), { outcome: 'skipped' })]));
        const before = await everythingOf(store);
        const { requestId: _, ...noRequest } = fire(second(6));
        const { whenBusy: __, ...noWhenBusy } = fire(second(6));
        const broken: NewEvent[] = [
          due(5, 7, [fire(second(5))]),
          due(5, 7, [fire(second(8))]),
          due(5, 7, [fire(second(6)), fire(second(6), { requestId: 'other' })]),
          due(5, 4, []),
          decided({ cause: 'due', from: second(5), fires: [] }),
          decided({ cause: 'due', until: second(6), fires: [] }),
          decided({ cause: 'backfill', fires: [fire(second(6))] }),
          due(5, 7, [noRequest]),
          due(5, 7, [noWhenBusy]),
        ];
        for (const event of broken) await expect(say(store, event)).rejects.toThrow(TypeError);
        await expect(
          store.append({ stream: triggerStream('y'), events: [triggerCreated('x')] }),
        ).rejects.toThrow(TypeError);
        // There already, under no key.
        await expect(say(store, triggerCreated('x'))).rejects.toThrow(/UNIQUE/);
        expect(await everythingOf(store)).toStrictEqual(before);
        expect(await store.lastSeq(triggerStream('y'))).toBe(0);
      });

      it('a backfill takes the place of what did not run, leaves what ran, and fills in what there was not', async () => {
        const store = await newTrigger();
        const skipped = { outcome: 'skipped', reason: 'missed', words: 'was away' } as const;
        await say(
          store,
          due(0, 9, [
            fire(second(1), skipped),
            fire(second(2), { outcome: 'late' }),
            fire(second(3), { outcome: 'rejected', reason: 'not_found' }),
            fire(second(4)),
          ]),
          updated({ rule: 'r2', from: second(9) }),
        );
        await receive(store, 'c1', `q-${Date.parse(second(4))}`, { code: 'queue_full' });
        const backfilled = (n: number) =>
          fire(second(n), {
            outcome: 'caught-up',
            reason: 'backfill',
            words: 'again',
            rule: 'r2',
            requestId: `b${n}`,
            conversationId: 'c2',
            decidedAt: second(100),
          });
        const fires = [1, 2, 3, 4, 5, -9].map(backfilled);
        await say(store, decided({ cause: 'backfill', fires, commandId: 'b' }));
        const rows = (await store.ledger(page())).items;
        expect(rows.map((row) => `${row.dueAt} ${row.outcome} ${row.cause}`)).toStrictEqual([
          `${second(5)} caught-up backfill`,
          `${second(4)} caught-up backfill`,
          `${second(3)} caught-up backfill`,
          `${second(2)} late due`,
          `${second(1)} caught-up backfill`,
          `${second(-9)} caught-up backfill`,
        ]);
        expect(rows[4]).toStrictEqual({
          triggerId: 'x',
          dueAt: second(1),
          decidedAt: second(100),
          outcome: 'caught-up',
          reason: 'backfill',
          words: 'again',
          rule: 'r2',
          cause: 'backfill',
          requestId: 'b1',
          conversationId: 'c2',
        });
        const { counts } = await store.ledgerSummary('x');
        expect(counts).toStrictEqual({
          fired: 0,
          late: 1,
          'caught-up': 5,
          skipped: 0,
          rejected: 0,
        });
        // The old request is no row's any more; the new one awaits its receipt, and is to be sent.
        expect(await store.ledgerRow('x', `q-${Date.parse(second(4))}`)).toBeNull();
        await receive(store, 'c2', 'b4', { turnId: 't4' });
        expect(await store.ledgerRow('x', 'b4')).toMatchObject({ turnId: 't4' });
        expect((await store.undelivered('x', 9)).map(({ requestId }) => requestId)).toStrictEqual([
          `q-${Date.parse(second(2))}`,
          'b-9',
          'b1',
          'b3',
          'b5',
        ]);
        // Nothing of what is due was moved by it.
        expect(await store.trigger('x')).toMatchObject({
          decidedUntil: second(9),
          nextDueAt: null,
        });
        expect(await store.ranBetween('x', second(-99), second(3))).toStrictEqual(
          [-9, 1, 2, 3].map(second),
        );
        expect(await store.ranBetween('x', second(2), second(2))).toStrictEqual([second(2)]);
      });

      it('runs by hand have a row each, beside those of due times; by its requestId the first stands', async () => {
        const store = await newTrigger();
        const manual = (requestId: string, words: string) =>
          decided({
            cause: 'manual',
            fires: [fire(second(1), { reason: 'manual', requestId, words })],
          });
        await say(store, manual('h1', 'first'));
        await say(store, due(0, 1, [fire(second(1), { words: 'due' })]));
        await say(store, manual('h2', 'second'));
        await say(store, manual('h1', 'again'));
        const { items } = await store.ledger(page());
        expect(items.map(({ words, cause }) => `${words} ${cause}`)).toStrictEqual([
          'second manual',
          'due due',
          'first manual',
        ]);
        expect((await store.ledgerSummary('x')).counts.fired).toBe(3);
        expect(await store.ledgerRow('x', 'h1')).toMatchObject({ words: 'first' });
        expect(await store.ledgerRow('y', 'h1')).toBeNull();
        expect(await store.ledgerRow('x', 'h3')).toBeNull();
        // Given the id of a due one's request, that one is the first.
        await say(store, manual(`q-${Date.parse(second(1))}`, 'third'));
        expect(await store.ledgerRow('x', `q-${Date.parse(second(1))}`)).toMatchObject({
          words: 'due',
        });
        // A run by hand is no due time that ran.
        expect(await store.ranBetween('x', second(0), second(9))).toStrictEqual([second(1)]);
        // One that did not run keeps the request that asked for it.
        const { conversationId: _, whenBusy: __, ...gone } = fire(second(2), { requestId: 'h4' });
        const fires = [{ ...gone, outcome: 'rejected' as const, reason: 'not_found' }];
        await say(store, decided({ cause: 'manual', fires }));
        expect(await store.ledgerRow('x', 'h4')).toMatchObject({ outcome: 'rejected' });
        expect(await store.undelivered('x', 9)).toHaveLength(4);
      });

      it('two instances that decide at once upon the same: one of them has it, and every due time one row', async () => {
        const data = await newData();
        const stores = await Promise.all([data.open(), data.open()]);
        await stores[0].append({ stream, events: [triggerCreated('x')] });
        const won: number[] = [0, 0];
        const run = async (store: Store, index: number): Promise<void> => {
          for (;;) {
            const trigger = await store.trigger('x');
            const from = (Date.parse(trigger?.decidedUntil ?? '') - Date.parse(second(0))) / 1_000;
            if (from >= 60) return;
            const fires = [1, 2].map((n) =>
              fire(second(from + n), { requestId: `${index}-${from + n}` }),
            );
            const answer = await store
              .append({ stream, events: [due(from, from + 2, fires)] })
              .then(
                () => 'ok',
                (error: { code: string }) => error.code,
              );
            expect(['ok', 'fenced']).toContain(answer);
            if (answer === 'ok') won[index] = (won[index] ?? 0) + 1;
          }
        };
        await Promise.all(stores.map((store, index) => run(store, index)));
        expect((won[0] ?? 0) + (won[1] ?? 0)).toBe(30);
        const { items } = await stores[0].ledger(page({ limit: 99 }));
        expect(items.map(({ dueAt }) => dueAt)).toStrictEqual(upTo(60).map(second).toReversed());
        expect(await logOf(stores[1], stream)).toHaveLength(31);
      });

      it('so it is with two processes of which one is killed again and again', async () => {
        const data = await newData();
        const store = await data.open();
        await store.append({ stream, events: [triggerCreated('x')] });
        const steady = spawnWriter(data.url, { type: 'decide', until: second(400) });
        for (let time = 0; time < 3; time += 1) {
          const killed = spawnWriter(data.url, { type: 'decide', until: second(100_000) });
          await eventually(() => killed.answers.length > 10);
          killed.child.kill('SIGKILL');
          await killed.ended;
          // What was answered is there.
          const last = killed.answers.at(-1)?.key ?? '';
          const known = (await store.trigger('x'))?.decidedUntil ?? '';
          expect([known, last].toSorted().at(-1)).toBe(known);
        }
        await steady.ended;
        const decidedUntil = (await store.trigger('x'))?.decidedUntil ?? '';
        const count = (Date.parse(decidedUntil) - Date.parse(second(0))) / 1_000;
        expect(count).toBeGreaterThanOrEqual(400);
        const { items } = await store.ledger(page({ limit: count + 1 }));
        expect(items.map(({ dueAt }) => dueAt)).toStrictEqual(upTo(count).map(second).toReversed());
        expect((await store.ledgerSummary('x')).counts.skipped).toBe(count);
      }, 60_000);
    });

    describe('D2', () => {
      const request = `q-${Date.parse(second(1))}`;

      it.each([
        ['started', { turnId: 't1' }],
        ['queued', { turnId: 't1', queued: true }],
      ])('what its conversation answers is in the row with the receipt: %s', async (_, answer) => {
        const store = await newTrigger();
        await say(store, due(0, 1, [fire(second(1))]));
        const [row] = (await store.ledger(page())).items;
        expect(row).not.toHaveProperty('turnId');
        await receive(store, 'c2', request, { turnId: 'of another conversation' });
        await receive(store, 'c1', 'another', { turnId: 'of another request' });
        expect((await store.ledger(page())).items).toStrictEqual([row]);
        expect(await store.undelivered('x', 9)).toHaveLength(1);
        await receive(store, 'c1', request, answer);
        expect((await store.ledger(page())).items).toStrictEqual([{ ...row, turnId: 't1' }]);
        // What has a receipt has arrived.
        expect(await store.undelivered('x', 9)).toStrictEqual([]);
      });

      it('a refusal makes it skipped (busy) or rejected, with the code, and says so in words', async () => {
        const store = await newTrigger();
        await say(
          store,
          due(0, 9, [
            fire(second(1), { outcome: 'late', words: 'half \ud83d' }),
            fire(second(2), { words: '', conversationId: 'c2' }),
          ]),
        );
        await receive(store, 'c1', request, { code: 'busy' });
        await receive(store, 'c2', `q-${Date.parse(second(2))}`, { code: 'queue_full' });
        const { items } = await store.ledger(page());
        expect(items).toMatchObject([
          {
            outcome: 'rejected',
            reason: 'queue_full',
            words: 'Its conversation refused it: queue_full.',
          },
          {
            outcome: 'skipped',
            reason: 'busy',
            words: 'half \ud83d Its conversation was busy.',
            requestId: request,
            conversationId: 'c1',
          },
        ]);
        for (const row of items) expect(row).not.toHaveProperty('turnId');
        expect((await store.ledgerSummary('x')).counts).toStrictEqual({
          fired: 0,
          late: 0,
          'caught-up': 0,
          skipped: 1,
          rejected: 1,
        });
        expect(await store.undelivered('x', 9)).toStrictEqual([]);
        expect(await store.ranBetween('x', second(0), second(9))).toStrictEqual([]);
      });

      it('a receipt that is not recorded leaves the row as it is', async () => {
        const store = await newTrigger();
        const nowhere = fire(second(2), { conversationId: 'c9' });
        await say(store, due(0, 2, [fire(second(1)), nowhere]));
        const before = await everythingOf(store);
        await expect(
          receive(store, 'c9', nowhere.requestId ?? '', { turnId: 't' }),
        ).rejects.toMatchObject({ code: 'not_found' });
        // Its append fails after the receipt's own statements would have run.
        await store.append({
          stream: conversationStream('c1'),
          events: [started({ turnId: 't', attempt: 1 }), done({ turnId: 't', attempt: 1 })],
        });
        await expect(
          store.append({
            stream: conversationStream('c1'),
            events: [done({ turnId: 't', attempt: 1 })],
            request: receiptOf(request, { turnId: 't1' }),
          }),
        ).rejects.toMatchObject({ code: 'fenced' });
        expect(await everythingOf(store)).toStrictEqual(before);
        // The first stands, here and there.
        await receive(store, 'c1', request, { turnId: 't1' });
        await expect(receive(store, 'c1', request, { code: 'busy' })).rejects.toMatchObject({
          code: 'request_id_reused',
        });
        expect(await store.ledgerRow('x', request)).toMatchObject({
          outcome: 'fired',
          turnId: 't1',
        });
      });

      it.each([
        ['taken', { turnId: 't1' }, { outcome: 'fired', turnId: 't1', words: 'w' }],
        [
          'refused',
          { code: 'busy' },
          { outcome: 'skipped', reason: 'busy', words: 'w Its conversation was busy.' },
        ],
      ])('a request that was known before the decision: %s', async (_, answer, expected) => {
        const store = await newTrigger();
        await receive(store, 'c1', 'mine', answer);
        const of = (conversationId: string) =>
          decided({
            cause: 'manual',
            fires: [fire(second(1), { requestId: 'mine', conversationId, words: 'w' })],
          });
        await say(store, of('c1'));
        const [row] = (await store.ledger(page())).items;
        expect(row).toMatchObject(expected);
        expect((await store.ledgerSummary('x')).counts).toMatchObject({ [expected.outcome]: 1 });
        expect(await store.undelivered('x', 9)).toStrictEqual([]);
      });

      it('one request of two triggers is written into the rows of both', async () => {
        const store = await newTrigger();
        await store.append({ stream: triggerStream('y'), events: [triggerCreated('y')] });
        for (const id of ['x', 'y'])
          await store.append({
            stream: triggerStream(id),
            events: [decided({ triggerId: id, cause: 'manual', fires: [fire(second(1))] })],
          });
        await receive(store, 'c1', request, { code: 'busy' });
        for (const id of ['x', 'y'])
          expect((await store.ledgerSummary(id)).counts).toMatchObject({ fired: 0, skipped: 1 });
      });
    });

    describe('what is to be done', () => {
      it('knows what is decided and not sent, in order, with the definition it was decided by', async () => {
        const store = await newTrigger();
        const [one, other] = [definition(), definition({ content: 'other', title: '\ud83d' })];
        const at = (n: number) => ({ decidedAt: second(n), rule: 'r1' });
        await say(
          store,
          due(0, 9, [
            fire(second(1), at(20)),
            fire(second(2), at(20)),
            fire(second(3), { ...at(20), outcome: 'skipped' }),
            fire(second(4), at(10)),
          ]),
        );
        await say(store, updated({ rule: 'r2', definition: other, from: second(9) }));
        const late = { ...at(5), outcome: 'late', rule: 'r2', whenBusy: 'interrupt' } as const;
        await say(store, due(9, 10, [fire(second(10), late)]));
        const rows = await store.undelivered('x', 9);
        expect(rows.map(({ dueAt }) => dueAt)).toStrictEqual([10, 4, 1, 2].map(second));
        expect(rows.map((row) => row.definition)).toStrictEqual([other, one, one, one]);
        expect(rows[0]).toStrictEqual({
          triggerId: 'x',
          dueAt: second(10),
          decidedAt: second(5),
          outcome: 'late',
          words: `words of ${second(10)}`,
          requestId: `q-${Date.parse(second(10))}`,
          conversationId: 'c1',
          whenBusy: 'interrupt',
          definition: other,
        });
        expect(await store.undelivered('x', 2)).toStrictEqual(rows.slice(0, 2));
        expect(await store.undelivered('y', 2)).toStrictEqual([]);
        // Under the same name, it is that rule: its title or its pause has changed.
        const paused = definition({ ...other, paused: true });
        await say(store, updated({ rule: 'r2', definition: paused, from: second(10) }));
        expect((await store.undelivered('x', 1))[0]?.definition).toStrictEqual(paused);

        const ids = rows.map(({ requestId }) => requestId);
        await store.markDelivered('y', ids);
        await store.markDelivered('x', ['none', ...ids.slice(0, 2)]);
        expect(await store.undelivered('x', 9)).toStrictEqual(rows.slice(2));
        await store.markDelivered('x', ids);
        await store.markDelivered('x', []);
        expect(await store.undelivered('x', 9)).toStrictEqual([]);
        // Sent is not answered: the receipt comes into the row all the same.
        await receive(store, 'c1', ids[0] ?? '', { turnId: 't' });
        expect(await store.ledgerRow('x', ids[0] ?? '')).toMatchObject({ turnId: 't' });
      });

      it('knows which triggers are overdue: by what is due, or decided and not sent, removed or not', async () => {
        const store = await (await newData()).open({ clock: ticking() });
        const make = (id: string, nextDueAt: string | null) =>
          store.append({
            stream: triggerStream(id),
            events: [triggerCreated(id, { nextDueAt })],
          });
        await make('d', second(10));
        await make('b', second(11));
        await make('never', null);
        for (const id of ['unsent', 'both', 'gone']) {
          await make(id, second(10));
          await store.append({
            stream: triggerStream(id),
            events: [
              due(0, 5, [fire(second(5))], id === 'both' ? second(9) : null, id),
              ...(id === 'gone' ? [removed(5, id)] : []),
            ],
          });
        }
        await make('gone2', second(1));
        await store.append({ stream: triggerStream('gone2'), events: [removed(0, 'gone2')] });
        const overdue = (dueBefore: number, decidedBefore: number, after = '', limit = 9) =>
          store.overdueTriggers({
            dueBefore: second(dueBefore),
            decidedBefore: second(decidedBefore),
            after,
            limit,
          });
        expect(await overdue(9, 5)).toStrictEqual([]);
        expect(await overdue(10, 5)).toStrictEqual(['both']);
        expect(await overdue(11, 0)).toStrictEqual(['both', 'd']);
        expect(await overdue(0, 6)).toStrictEqual(['both', 'gone', 'unsent']);
        const all = ['b', 'both', 'd', 'gone', 'unsent'];
        expect(await overdue(99, 99)).toStrictEqual(all);
        expect(await overdue(99, 99, '', 2)).toStrictEqual(all.slice(0, 2));
        expect(await overdue(99, 99, 'both', 2)).toStrictEqual(all.slice(2, 4));
        expect(await overdue(99, 99, 'unsent')).toStrictEqual([]);
        await store.markDelivered('gone', [`q-${Date.parse(second(5))}`]);
        expect(await overdue(0, 6)).toStrictEqual(['both', 'unsent']);
      });
    });

    describe('a ledger', () => {
      it('is read newest first, page by page, of one outcome and of a range of due times', async () => {
        const store = await newTrigger();
        const outcomeOf = (n: number) => (n % 3 === 0 ? ('skipped' as const) : ('fired' as const));
        await say(
          store,
          due(
            0,
            9,
            upTo(9).map((n) => fire(second(n), { outcome: outcomeOf(n) })),
          ),
        );
        for (const requestId of ['h1', 'h2'])
          await say(store, decided({ cause: 'manual', fires: [fire(second(6), { requestId })] }));
        const seen = async (request: Partial<Parameters<Store['ledger']>[0]>) => {
          const found: string[] = [];
          for (let cursor: string | null = null; ;) {
            const one = await store.ledger({ ...page(), limit: 2, ...request, cursor });
            expect(one.items.length).toBeLessThanOrEqual(request.limit ?? 2);
            for (const { dueAt, requestId } of one.items) {
              const n = (Date.parse(dueAt) - Date.parse(second(0))) / 1_000;
              found.push(requestId?.startsWith('h') === true ? `${n}${requestId}` : `${n}`);
            }
            if (one.nextCursor === null) return found.join(' ');
            cursor = one.nextCursor;
          }
        };
        expect(await seen({})).toBe('9 8 7 6h2 6h1 6 5 4 3 2 1');
        expect(await seen({ limit: 11 })).toBe('9 8 7 6h2 6h1 6 5 4 3 2 1');
        expect(await seen({ outcome: 'skipped' })).toBe('9 6 3');
        expect(await seen({ outcome: 'fired', limit: 3 })).toBe('8 7 6h2 6h1 5 4 2 1');
        expect(await seen({ outcome: 'late' })).toBe('');
        expect(await seen({ from: second(5), to: second(6) })).toBe('6h2 6h1 6 5');
        expect(await seen({ from: second(6), to: second(6), outcome: 'skipped' })).toBe('6');
        expect(await seen({ from: second(8) })).toBe('9 8');
        expect(await seen({ to: second(2), limit: 1 })).toBe('2 1');
        expect(await seen({ triggerId: 'y' })).toBe('');
        // A cursor of a page further up than where the range ends.
        const { nextCursor } = await store.ledger({ ...page(), limit: 1 });
        const below = await store.ledger({ ...page({ to: second(3) }), cursor: nextCursor });
        expect(below.items.map(({ dueAt }) => dueAt)).toStrictEqual([3, 2, 1].map(second));
        const { nextCursor: foreign } = await store.triggers({
          tableId: null,
          conversationId: null,
          cursor: null,
          limit: 0,
        });
        expect(foreign).toBeNull();
        for (const cursor of [
          '',
          '.',
          `${second(1)}~x`,
          `${second(1)}~12`,
          `${second(1)}.`,
          `${second(1)}.x`,
          `${second(1)}.-1`,
          `x.1`,
          `${second(1)}.1 OR 1`,
        ])
          await expect(store.ledger({ ...page(), cursor })).rejects.toMatchObject({
            code: 'invalid_request',
          });
      });

      it('tells its counts, its newest row and its newest trouble, which a pause is not', async () => {
        const store = await newTrigger();
        const none = { fired: 0, late: 0, 'caught-up': 0, skipped: 0, rejected: 0 };
        for (const id of ['x', 'y'])
          expect(await store.ledgerSummary(id)).toStrictEqual({
            counts: none,
            last: null,
            trouble: null,
          });
        const summary = async () => {
          const { last, trouble } = await store.ledgerSummary('x');
          const n = (row: LedgerRowValue | null) =>
            row === null ? null : (Date.parse(row.dueAt) - Date.parse(second(0))) / 1_000;
          return [n(last), n(trouble)];
        };
        let now = 0;
        const decideOne = (given: Partial<DecidedFireValue>) =>
          say(store, due(now, (now += 1), [fire(second(now), given)]));
        await decideOne({});
        await decideOne({ outcome: 'skipped', reason: 'paused' });
        await decideOne({ outcome: 'caught-up' });
        expect(await summary()).toStrictEqual([3, null]);
        await decideOne({ outcome: 'skipped' });
        expect(await summary()).toStrictEqual([4, 4]);
        await decideOne({ outcome: 'skipped', reason: 'missed' });
        await decideOne({ outcome: 'late' });
        expect(await summary()).toStrictEqual([6, 6]);
        await decideOne({ outcome: 'rejected', reason: 'not_found' });
        await decideOne({ outcome: 'skipped', reason: 'paused' });
        await decideOne({});
        expect(await summary()).toStrictEqual([9, 7]);
        // By due time, not by when it was decided.
        await say(
          store,
          decided({ cause: 'backfill', fires: [fire(second(-5), { outcome: 'late' })] }),
        );
        expect(await summary()).toStrictEqual([9, 7]);
        await receive(store, 'c1', `q-${Date.parse(second(9))}`, { code: 'busy' });
        expect(await summary()).toStrictEqual([9, 9]);
        expect((await store.ledgerSummary('x')).counts).toStrictEqual({
          fired: 1,
          late: 2,
          'caught-up': 1,
          skipped: 5,
          rejected: 1,
        });
      });
    });

    it('D1 D2: whatever is done, by whichever instance, ledgers are what an independent model says', async () => {
      const outcomes = new Set<string>();
      await fc.assert(
        fc.asyncProperty(
          fc.array(fc.tuple(anyOperation, fc.boolean()), { minLength: 25, maxLength: 40 }),
          async (operations) => {
            const data = await newData();
            const model = new TriggerModel();
            const clock = () => model.now;
            let stores = await Promise.all([data.open({ clock }), data.open({ clock })]);
            for (const id of ['c1', 'c2'])
              await stores[0].append({ stream: conversationStream(id), events: [created(null)] });
            const first = [{ type: 'create', id: 'x', next: 3, table: false }, false] as const;
            for (const [index, [operation, other]] of [first, ...operations].entries()) {
              if (operation.type === 'reopen') {
                await Promise.all(stores.map((store) => store.close()));
                stores = await Promise.all([data.open({ clock }), data.open({ clock })]);
              }
              const [writer, reader] = other ? [stores[1], stores[0]] : stores;
              const answer = await model.perform(writer, operation);
              expect(answer.store).toBe(answer.model);
              outcomes.add(`${operation.type} ${answer.model}`);
              await expectModel(reader, model, OUTCOMES[index % OUTCOMES.length]);
            }
            await data.destroy();
          },
        ),
        { numRuns: 40 },
      );
      // What it is about has happened, or this test says nothing.
      expect([...outcomes]).toStrictEqual(
        expect.arrayContaining([
          ...['create', 'update', 'decide', 'manual', 'backfill', 'receipt', 'mark'].map(
            (type) => `${type} ok`,
          ),
          ...['repeated', 'fenced', 'not_found', 'failed'].map((answer) => `decide ${answer}`),
          'receipt request_id_reused',
        ]),
      );
    }, 120_000);
  });
}

async function expectModel(
  store: Store,
  model: TriggerModel,
  /** Of the filtered pages. */
  outcome: TriggerOutcomeName = 'fired',
): Promise<void> {
  for (const triggerId of TRIGGERS) {
    const expected = model.ledger(triggerId);
    expect(await store.trigger(triggerId)).toStrictEqual(
      model.triggers.get(triggerId)?.row ?? null,
    );
    expect(await store.lastSeq(triggerStream(triggerId))).toBe(model.lastSeqs.get(triggerId) ?? 0);
    expect(await wholeLedger(store, { triggerId })).toStrictEqual(expected);
    expect(await wholeLedger(store, { triggerId, outcome })).toStrictEqual(
      expected.filter((row) => row.outcome === outcome),
    );
    const [from, to] = [second(2), second(6)];
    expect(await wholeLedger(store, { triggerId, from, to })).toStrictEqual(
      expected.filter(({ dueAt }) => dueAt >= from && dueAt <= to),
    );
    expect(await store.ranBetween(triggerId, from, to)).toStrictEqual(
      model.ran(triggerId, from, to),
    );
    expect(await store.ledgerSummary(triggerId)).toStrictEqual(model.summary(triggerId));
    expect(await store.undelivered(triggerId, 99)).toStrictEqual(model.undelivered(triggerId));
  }
  const rows = [...model.triggers.values()].map(({ row }) => row);
  const listed = rows
    .filter(({ removedAt }) => removedAt === null)
    .toSorted((a, b) => (a.createdAt > b.createdAt ? -1 : 1));
  const all = { tableId: null, conversationId: null, cursor: null, limit: 9 };
  expect((await store.triggers(all)).items).toStrictEqual(listed);
  expect(await store.triggerCount()).toBe(listed.length);
  const now = new Date(model.now).toISOString();
  for (const [dueBefore, decidedBefore] of [
    [second(0), second(0)],
    [second(20), second(0)],
    [second(0), now],
    [second(99), '9'],
  ] as const)
    expect(
      await store.overdueTriggers({ dueBefore, decidedBefore, after: '', limit: 9 }),
    ).toStrictEqual(model.overdue(dueBefore, decidedBefore));
}

/** All of it, three rows at a time. */
async function wholeLedger(
  store: Store,
  request: Partial<Parameters<Store['ledger']>[0]>,
): Promise<LedgerRowValue[]> {
  const rows: LedgerRowValue[] = [];
  for (let cursor: string | null = null; ;) {
    const one = await store.ledger({ ...page(), limit: 3, ...request, cursor });
    rows.push(...one.items);
    if (one.nextCursor === null) return rows;
    cursor = one.nextCursor;
  }
}

function page(
  request: Partial<Parameters<Store['ledger']>[0]> = {},
): Parameters<Store['ledger']>[0] {
  return {
    triggerId: 'x',
    outcome: null,
    from: null,
    to: null,
    cursor: null,
    limit: 20,
    ...request,
  };
}

/** Of trigger x. */
async function everythingOf(store: Store) {
  return {
    trigger: await store.trigger('x'),
    ledger: await wholeLedger(store, {}),
    summary: await store.ledgerSummary('x'),
    undelivered: await store.undelivered('x', 99),
    lastSeq: await store.lastSeq(stream),
  };
}

type Answer = { turnId: string; queued?: boolean } | { code: string };

function receiptOf(requestId: string, answer: Answer): NonNullable<AppendRequest['request']> {
  const common = { requestId, kind: 'send' as const, attempt: 1, contentHash: 'h' };
  return 'code' in answer
    ? { ...common, status: 'rejected', turnId: null, code: answer.code }
    : { ...common, status: answer.queued === true ? 'queued' : 'started', turnId: answer.turnId };
}

function receive(store: Store, conversationId: string, requestId: string, answer: Answer) {
  return store.append({
    stream: conversationStream(conversationId),
    events: [],
    request: receiptOf(requestId, answer),
  });
}

function triggerCreated(
  triggerId: string,
  payload: Partial<EventPayloads['trigger.created']> = {},
): Extract<NewEvent, { type: 'trigger.created' }> {
  return {
    type: 'trigger.created',
    payload: {
      triggerId,
      rule: 'r1',
      definition: definition(),
      decidedUntil: second(0),
      nextDueAt: null,
      ...payload,
    },
  };
}

function updated(payload: Partial<EventPayloads['trigger.updated']>): NewEvent {
  return {
    type: 'trigger.updated',
    payload: {
      triggerId: 'x',
      rule: 'r1',
      definition: definition(),
      from: second(0),
      nextDueAt: null,
      commandId: 'c',
      ...payload,
    },
  };
}

function removed(from: number, triggerId = 'x'): NewEvent {
  return {
    type: 'trigger.removed',
    payload: { triggerId, from: second(from), commandId: 'c' },
  };
}

function decided(
  payload: Partial<EventPayloads['trigger.decided']> &
    Pick<EventPayloads['trigger.decided'], 'cause' | 'fires'>,
): NewEvent {
  return { type: 'trigger.decided', payload: { triggerId: 'x', ...payload } };
}

function due(
  from: number,
  until: number,
  fires: DecidedFireValue[],
  nextDueAt: string | null = null,
  triggerId = 'x',
): NewEvent {
  return decided({
    triggerId,
    cause: 'due',
    from: second(from),
    until: second(until),
    nextDueAt,
    fires,
  });
}
