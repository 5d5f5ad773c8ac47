/** What every engine of the store must do with a conversation's past: cuts, copies, folding away, taking in. Numbers are those of src/store/port.ts. */
import * as fc from 'fast-check';
import { describe, expect, it } from 'vitest';

import type { Event, NewEvent } from '../../src/contracts/events.ts';
import { conversationStream, tableStream } from '../../src/contracts/ids.ts';
import type { ConversationViewValue } from '../../src/contracts/view.ts';
import { emptyView, foldEvents } from '../../src/domain/fold.ts';
import type { Store } from '../../src/store/port.ts';
import { chapters } from '../domain/chapters.ts';
import {
  asJson,
  closed,
  created,
  delta,
  destroyedAfterEach,
  done,
  expectFolded,
  inPieces,
  logOf,
  note,
  segment,
  started,
  type StoreData,
  tableCreated,
  ticking,
  turn,
  upTo,
  user,
  withoutEnds,
} from './contract-events.ts';

const stream = conversationStream('c1');

export function describeHistory(engine: string, makeData: () => Promise<StoreData>): void {
  describe(`history in the store on ${engine}`, () => {
    const newData = destroyedAfterEach(makeData);
    const newStore = async (): Promise<Store> => (await newData()).open({ clock: ticking() });
    const say = (store: Store, ...events: NewEvent[]) => store.append({ stream, events });

    describe('cuts', () => {
      it('mark what comes after a message, which stays readable; the provider’s session is forgotten', async () => {
        const store = await newStore();
        await say(store, created(null), ...exchange('t1'), ...exchange('t2'), ...exchange('t3'));
        expect(await store.conversation('c1')).toMatchObject({
          providerSessionId: null,
          sessionGeneration: 0,
        });
        await withSession(store, 'session 1');
        await say(store, cut('t2-answer'));
        expect(await store.conversation('c1')).toMatchObject({
          providerSessionId: null,
          sessionGeneration: 1,
        });
        const marks = async () =>
          (await store.messages('c1', null, 10))?.items
            .toReversed()
            .map((row) => `${row.messageId}${row.cut === true ? ' cut' : ''}`);
        expect(await marks()).toStrictEqual([
          't1-asks',
          't1-answer',
          't2-asks',
          't2-answer',
          't3-asks cut',
          't3-answer cut',
          'ts-asks cut',
        ]);
        const view = await store.snapshot('c1', 10);
        expect(view).toEqual(foldEvents(emptyView('c1'), await logOf(store, stream)));
        expect(view?.messages.flatMap((row) => (row.cut === true ? [row.messageId] : []))).toEqual([
          't3-asks',
          't3-answer',
          'ts-asks',
        ]);
        // What was cut is not part of what happens from then on.
        expect(await store.message('c1', 't3-asks')).toMatchObject({
          message: { messageId: 't3-asks', cut: true },
          previousMessageId: 't2-answer',
        });
        await say(store, ...exchange('t4'));
        expect(await store.message('c1', 't4-asks')).toMatchObject({
          message: { content: 'asks t4' },
          previousMessageId: 't2-answer',
        });
        expect(await store.message('c1', 't1-asks')).toMatchObject({ previousMessageId: null });
        expect(await store.message('c1', 'nobody')).toBeNull();
        expect(await store.message('c2', 't1-asks')).toBeNull();
        expect(await store.summary('c1')).toMatchObject({
          messageCount: 6,
          turnCount: 5,
          lastLine: 'answers t4',
        });
        await say(store, cut(null));
        expect(await store.summary('c1')).toMatchObject({ messageCount: 0, lastLine: '' });
        expect(await store.conversation('c1')).toMatchObject({ sessionGeneration: 2 });
        expect((await marks())?.every((mark) => mark.endsWith(' cut'))).toBe(true);
      });

      it('after a message that is not there are refused, and change nothing', async () => {
        const store = await newStore();
        await say(store, created(null), ...exchange('t1'));
        await expect(say(store, note('x'), cut('nobody'))).rejects.toMatchObject({
          code: 'not_found',
        });
        expect(await store.lastSeq(stream)).toBe(1 + exchange('t1').length);
        expect(await store.conversation('c1')).toMatchObject({ sessionGeneration: 0 });
      });

      it('and a change of provider begin a new session; the same provider, another model and a late report do not', async () => {
        const store = await newStore();
        await say(store, created(null));
        const fence = await withSession(store, 'session 1');
        const update = (payload: object): NewEvent => ({ type: 'conversation.updated', payload });
        await say(store, update({ provider: 'scripted', model: 'big' }), update({ title: 'x' }));
        expect(await store.conversation('c1')).toMatchObject({
          providerSessionId: 'session 1',
          sessionGeneration: 0,
          model: 'big',
        });
        await say(store, update({ provider: 'claude' }), update({ provider: 'claude' }));
        const changed = { provider: 'claude', providerSessionId: null, sessionGeneration: 1 };
        expect(await store.conversation('c1')).toMatchObject(changed);
        expect(await store.workflowState('c1')).toMatchObject(changed);
        // The process of before goes on and says what its session is.
        const again = await running(store, 'tr');
        await store.saveProviderSession(again, 'c1', 'of before', 0);
        expect(await store.conversation('c1')).toMatchObject(changed);
        await store.saveProviderSession(again, 'c1', 'of now', 1);
        expect((await store.conversation('c1'))?.providerSessionId).toBe('of now');
        await store.saveProviderSession(again, 'c1', null, 1);
        expect((await store.conversation('c1'))?.providerSessionId).toBeNull();
        await expect(store.saveProviderSession(fence, 'c1', 'x', 1)).rejects.toMatchObject({
          code: 'fenced',
        });
      });
    });

    it('counts a message once, whatever is said of it later', async () => {
      const store = await newStore();
      await say(store, created(null), ...exchange('t1'), started({ turnId: 't2', attempt: 1 }));
      const count = async (...events: NewEvent[]) => {
        await say(store, ...inTurn('t1', events), {
          type: 'conversation.state',
          payload: { state: 'processing' },
        });
        return (await store.summary('c1'))?.messageCount;
      };
      const discarded: NewEvent = {
        type: 'assistant.segment.discarded',
        payload: { messageId: 't1-answer', reason: 'r' },
      };
      expect(await count()).toBe(2);
      expect(await count(closed('t1-answer', 'another end'))).toBe(2);
      expect(await count(discarded)).toBe(1);
      expect(await count(discarded)).toBe(1);
      expect(await count(closed('t1-answer', 'after all'))).toBe(2);
    });

    it('A1 a message that a running turn took in has that turn’s end', async () => {
      const store = await newStore();
      await say(store, created(null), started(turn));
      const request = {
        requestId: 'r2',
        kind: 'send',
        status: 'queued',
        turnId: 't2',
        attempt: 1,
        contentHash: 'h',
      } as const;
      await store.append({ stream, events: [], request });
      expect(await store.request('c1', 'r2')).toMatchObject({ steeredInto: null });
      const steered = (turnId: string): NewEvent => ({
        type: 'chat.steered',
        requestId: 'r2',
        payload: { turnId, attempt: 1 },
      });
      await say(store, steered('t1'));
      await say(store, steered('t9'));
      expect(await store.request('c1', 'r2')).toMatchObject({
        status: 'queued',
        turnId: 't2',
        steeredInto: turn,
      });
    });

    describe('history', () => {
      it('is what counts and is not of the turn itself, oldest first', async () => {
        const store = await newStore();
        await say(
          store,
          created(null),
          ...exchange('t1'),
          ...exchange('t2'),
          cut('t1-answer'),
          ...exchange('t3'),
          user('t4-asks', 't4'),
          started({ turnId: 't4', attempt: 1 }),
          { ...segment('open'), turnId: 't4' },
        );
        const ids = async (turnId: string) =>
          (await store.history('c1', turnId, 1_000)).rows.map(({ messageId }) => messageId);
        expect(await ids('t4')).toStrictEqual(['t1-asks', 't1-answer', 't3-asks', 't3-answer']);
        // Retried turns: what was said after them is known to whoever answers now (torture seed 381).
        expect(await ids('t3')).toStrictEqual(['t1-asks', 't1-answer', 't4-asks']);
        expect(await ids('t1')).toStrictEqual(['t3-asks', 't3-answer', 't4-asks']);
        // Of a turn that has no row yet: everything but what is open.
        expect(await ids('t5')).toStrictEqual([
          't1-asks',
          't1-answer',
          't3-asks',
          't3-answer',
          't4-asks',
        ]);
        expect(await store.history('nobody', 't1', 100)).toStrictEqual({
          rows: [],
          truncated: false,
        });
      });

      it('W2 is no more than so many bytes: the newest, and of the oldest its end in whole characters', async () => {
        const store = await newStore();
        const texts = ['0123456789', 'äöü', '', '😀😀'];
        await say(
          store,
          created(null),
          ...texts.map((content, index): NewEvent => ({
            type: 'message.created',
            payload: { messageId: `m${index}`, role: 'user', content },
          })),
        );
        const told = async (limitBytes: number) => {
          const { rows, truncated } = await store.history('c1', 't', limitBytes);
          return [...rows.map(({ content }) => content), truncated];
        };
        expect(await told(24)).toStrictEqual([...texts, false]);
        expect(await told(23)).toStrictEqual(['123456789', 'äöü', '', '😀😀', true]);
        expect(await told(14)).toStrictEqual(['äöü', '', '😀😀', true]);
        expect(await told(13)).toStrictEqual(['öü', '', '😀😀', true]);
        expect(await told(8)).toStrictEqual(['', '😀😀', true]);
        expect(await told(7)).toStrictEqual(['😀', true]);
        expect(await told(3)).toStrictEqual([true]);
        expect(await told(0)).toStrictEqual([true]);
      });
    });

    describe('fork', () => {
      const create = {
        tableId: null,
        title: 'the fork',
        provider: 'claude',
        model: 'big',
        workspacePath: '/w',
      };

      it('copies what still counts up to a message, under fresh ids; repeated it does nothing', async () => {
        const store = await newStore();
        await say(
          store,
          created(null),
          ...exchange('t1'),
          ...exchange('t2'),
          cut('t1-answer'),
          user('t3-asks', 't3'),
          started({ turnId: 't3', attempt: 1 }),
          ...inTurn('t3', [
            segment('t3-1'),
            closed('t3-1', 'half \ud83d'),
            segment('t3-2'),
            { type: 'assistant.segment.discarded', payload: { messageId: 't3-2', reason: 'r' } },
            {
              type: 'tool.start',
              payload: { toolCallId: 'x', messageId: 't3-3', name: 'run', input: { a: 1 } },
            },
            { type: 'tool.end', payload: { toolCallId: 'x', status: 'denied', output: 'no' } },
            segment('t3-4'),
          ]),
        );
        const origin = { conversationId: 'c1', messageId: null };
        expect(await store.fork({ conversationId: 'f1', create, origin })).toBe(true);
        expect(await store.fork({ conversationId: 'f1', create, origin })).toBe(true);
        const from = await store.snapshot('c1', 10);
        const view = await store.snapshot('f1', 10);
        const copied = from?.messages.filter(
          ({ cut: isCut, status }) => isCut !== true && status !== 'open' && status !== 'discarded',
        );
        expect(copied?.map(({ messageId }) => messageId)).toStrictEqual([
          't1-asks',
          't1-answer',
          't3-asks',
          't3-1',
          't3-3',
        ]);
        expect(view?.messages).toStrictEqual(
          copied?.map((row) => ({
            ...row,
            messageId: expect.not.stringMatching(/^t\d/) as string,
            turnId: null,
            attempt: null,
          })),
        );
        expect(new Set(view?.messages.map(({ messageId }) => messageId)).size).toBe(5);
        expect(view).toMatchObject({ ...create, state: 'idle', activeTurn: null });
        expect(view).toEqual(
          foldEvents(emptyView('f1'), await logOf(store, conversationStream('f1'))),
        );
        expect(await store.summary('f1')).toMatchObject({
          title: 'the fork',
          forkedFrom: origin,
          messageCount: 4,
          turnCount: 0,
          lastLine: 'half \ud83d',
        });
        expect(await store.conversation('f1')).toMatchObject({ providerSessionId: null });
        const key = await store.append({
          stream: conversationStream('f1'),
          key: 'created',
          events: [],
        });
        expect(key).toStrictEqual({ status: 'repeated', firstSeq: 1, lastSeq: 6 });
        // The origin is as it was.
        expect(await store.snapshot('c1', 10)).toStrictEqual(from);
      });

      it('is of a message that is part of the history, or of nothing', async () => {
        const store = await newStore();
        await say(
          store,
          created(null),
          ...exchange('t1'),
          ...exchange('t2'),
          cut('t1-answer'),
          started({ turnId: 't3', attempt: 1 }),
          ...inTurn('t3', [
            segment('t3-1'),
            segment('t3-2'),
            { type: 'assistant.segment.discarded', payload: { messageId: 't3-2', reason: 'r' } },
          ]),
        );
        const fork = (messageId: string | null, conversationId = 'c1') =>
          store.fork({
            conversationId: 'f1',
            create,
            origin: { conversationId, messageId },
          });
        for (const messageId of ['nobody', 't2-asks', 't3-1', 't3-2'])
          expect(await fork(messageId)).toBe(false);
        expect(await fork(null, 'c9')).toBe(false);
        expect(await store.conversation('f1')).toBeNull();
        expect(await store.lastSeq(conversationStream('f1'))).toBe(0);
        expect(await fork('t1-asks')).toBe(true);
        expect((await store.snapshot('f1', 10))?.messages).toHaveLength(1);
      });

      it('T1 is listed in its table with all that it begins with; without the table it is refused', async () => {
        const store = await newStore();
        const table = tableStream('tb');
        const inTable = { ...create, tableId: 'tb' };
        await say(store, created(null), ...exchange('t1'));
        const origin = { conversationId: 'c1', messageId: null };
        const fork = () => store.fork({ conversationId: 'f1', create: inTable, origin });
        await expect(fork()).rejects.toMatchObject({ code: 'not_found' });
        await store.append({ stream: table, events: [tableCreated()] });
        expect(await fork()).toBe(true);
        const log = await logOf(store, table);
        expect(log.map(({ type }) => type)).toStrictEqual(['table.created', 'conversation.listed']);
        expect(log[1]?.payload).toStrictEqual({ conversation: await store.summary('f1') });
        expect((await store.tableState('tb'))?.activeConversationId).toBeNull();
      });
    });

    describe('folding away', () => {
      /** Three ended turns of 10 deltas each; their ends are apart. */
      const threeTurns = async (): Promise<{ store: Store; ends: string[] }> => {
        const store = await newStore();
        await say(store, created(null));
        for (const turnId of ['t1', 't2', 't3']) {
          await say(store, started({ turnId, attempt: 1 }), ...flood(turnId, 10));
          await say(store, ...inTurn(turnId, [done()]));
        }
        const ends = (await store.turns('c1', null, 9)).items.map(({ endedAt }) => endedAt ?? '');
        return { store, ends: ends.toReversed() };
      };
      const pieces = async (store: Store) =>
        (await logOf(store, stream)).filter(({ type }) => type === 'chat.delta').length;

      it('takes the pieces of turns that ended long enough ago, never those of the last one, and moves the floor', async () => {
        const { store, ends } = await threeTurns();
        const before = await store.snapshot('c1', 10);
        const fold = (endedBefore = '', limit = 1_000) => store.compact({ endedBefore, limit });
        // Not before, and not at, but after its end.
        expect(await fold(ends[0])).toBe(0);
        expect(await store.replayFloor(stream)).toBe(0);
        expect(await fold(ends[1])).toBe(10);
        expect(await pieces(store)).toBe(20);
        const floor = await store.replayFloor(stream);
        const { items } = await store.events(stream, floor, 100);
        expect(items.map(({ seq }) => seq)).toStrictEqual(
          upTo(items.length).map((index) => floor + index),
        );
        expect(await fold('9')).toBe(10);
        expect(await fold('9')).toBe(0);
        expect(await pieces(store)).toBe(10);
        expect(await store.snapshot('c1', 10)).toStrictEqual(before);
        expect(await store.answerText('t1', 1)).toBe('w'.repeat(10));
        // A fourth turn makes the third one an earlier one, even while it runs.
        await say(store, started({ turnId: 't4', attempt: 1 }), ...flood('t4', 4));
        expect(await fold('9')).toBe(10);
        expect(await pieces(store)).toBe(4);
        expect(await store.lastSeq(stream)).toBe((await logOf(store, stream)).at(-1)?.seq);
      });

      it('goes on where it stopped, in steps of about so many rows', async () => {
        const { store } = await threeTurns();
        const fold = (limit: number) => store.compact({ endedBefore: '9', limit });
        expect(await fold(0)).toBe(0);
        expect(await fold(1)).toBe(1);
        const floor = await store.replayFloor(stream);
        expect((await store.events(stream, floor, 1)).items[0]?.seq).toBe(floor + 1);
        expect(await fold(9)).toBe(9);
        expect(await fold(11)).toBe(10);
        expect(await fold(11)).toBe(0);
      });

      it('leaves the pieces of what has no whole elsewhere: an end that came before its segments were closed', async () => {
        const store = await newStore();
        await say(store, created(null), started(turn), segment('m'), delta('m', 'all there is'));
        await say(store, done());
        await say(store, started({ turnId: 't2', attempt: 1 }));
        expect(await store.compact({ endedBefore: '9', limit: 100 })).toBe(0);
        expect(foldEvents(emptyView('c1'), await logOf(store, stream))).toEqual(
          await store.snapshot('c1', 10),
        );
        expect(await store.answerText('t1', 1)).toBe('all there is');
      });

      it('L4 can be seen by nobody at or above the floor: at every cut of every log', async () => {
        await fc.assert(
          fc.asyncProperty(
            chapters,
            fc.infiniteStream(fc.integer({ min: 1, max: 4 })),
            fc.constantFrom(1, 3, 1_000),
            fc.boolean(),
            fc.array(fc.record({ part: fc.integer({ min: 0, max: 100 }), limit: fc.nat(20) }), {
              minLength: 1,
              maxLength: 4,
            }),
            async (life, sizes, limit, damaged, foldings) => {
              const data = await makeData();
              try {
                const store = await data.open({ clock: ticking() });
                const views: ConversationViewValue[] = [];
                for (const events of inPieces(damaged ? withoutEnds(life) : life, sizes)) {
                  await store.append({ stream, events });
                  const view = await store.snapshot('c1', limit);
                  if (view !== null) views.push(asJson(view));
                }
                const log = await logOf(store, stream);
                const whole = foldEvents(emptyView('c1'), log);
                const last = await store.snapshot('c1', limit);
                for (const { part, limit: rows } of foldings) {
                  const endedBefore = log[Math.floor((log.length * part) / 101)]?.at ?? '';
                  const gone = await store.compact({ endedBefore, limit: rows });
                  expect(gone).toBeLessThanOrEqual(rows);
                }
                await expectFoldedAway({ store, log });
                const left = await logOf(store, stream);
                expect(await store.snapshot('c1', limit)).toStrictEqual(last);
                expect(foldEvents(emptyView('c1'), left)).toEqual(whole);
                const floor = await store.replayFloor(stream);
                for (const view of views.filter(({ lastSeq }) => lastSeq >= floor))
                  expectFolded(foldEvents(view, left), whole);
              } finally {
                await data.destroy();
              }
            },
          ),
          { numRuns: 40 },
        );
      }, 120_000);
    });

    describe('taking in a foreign conversation', () => {
      it('gives it a place of its own: its times, a key of its creation, nothing that runs or starts', async () => {
        const elsewhere = await newStore();
        await say(elsewhere, created(null, 'far away'), ...exchange('t1'));
        await say(elsewhere, started({ turnId: 't2', attempt: 1 }), {
          type: 'queue.changed',
          payload: {
            queue: [{ requestId: 'r', turnId: 't3', content: 'q', position: 0, attempt: 1 }],
          },
        });
        await say(elsewhere, { type: 'conversation.state', payload: { state: 'processing' } });
        await say(elsewhere, { type: 'conversation.updated', payload: { host: 'h9' } });
        const events = await logOf(elsewhere, stream);
        const store = await newStore();
        const { lastSeq } = await store.importConversation({ conversationId: 'c1', events });
        const log = await logOf(store, stream);
        expect(log.map(({ seq }) => seq)).toStrictEqual(upTo(lastSeq));
        expect(log.slice(0, 5).map(({ at }) => at)).toStrictEqual(
          events.slice(0, 5).map(({ at }) => at),
        );
        expect(await store.workflowState('c1')).toMatchObject({
          title: 'far away',
          tableId: null,
          host: null,
          state: 'idle',
          turn: null,
          held: false,
          queue: [],
        });
        expect(await store.turn('c1', 't2')).toMatchObject({
          outcome: 'interrupted',
          cause: 'imported',
        });
        expect(await store.unsettled('', 10)).toStrictEqual([]);
        expect(await store.snapshot('c1', 10)).toEqual(foldEvents(emptyView('c1'), log));
        expect(await store.append({ stream, key: 'created', events: [] })).toMatchObject({
          status: 'repeated',
        });
        await expect(
          store.importConversation({ conversationId: 'c1', events }),
        ).rejects.toMatchObject({ code: 'invalid_request' });
        // It may run here: nothing of it is anybody else's.
        await say(store, started({ turnId: 't4', attempt: 1 }));
      });

      it('beside itself: every id that is taken is another', async () => {
        const store = await newStore();
        await say(store, created(null), ...exchange('t1'), cut('t1-asks'), ...exchange('t2'));
        const events = await logOf(store, stream);
        await store.importConversation({ conversationId: 'twin', events });
        const [own, twin] = [await store.snapshot('c1', 10), await store.snapshot('twin', 10)];
        const without = (view: ConversationViewValue | null) =>
          view?.messages.map((row) => ({ ...row, messageId: '', turnId: '' }));
        expect(without(twin)).toStrictEqual(without(own));
        const ids = [own, twin].flatMap(
          (view) => view?.messages.flatMap(({ messageId, turnId }) => [messageId, turnId]) ?? [],
        );
        // Two messages and one turn, twice, in each.
        expect(new Set(ids).size).toBe(2 * (4 + 2));
        for (const { turnId } of twin?.messages ?? [])
          expect(await store.turn('twin', turnId ?? '')).toMatchObject({ outcome: 'completed' });
      });

      it('is all or nothing', async () => {
        const store = await newStore();
        const events = await eventsOf(created(null), ...exchange('t1'), done());
        await expect(
          store.importConversation({ conversationId: 'c1', events }),
        ).rejects.toMatchObject({ code: 'invalid_request' });
        expect(await store.conversation('c1')).toBeNull();
        expect(await store.lastSeq(stream)).toBe(0);
      });

      it('L4: whatever it was, it shows the same here and there', async () => {
        await fc.assert(
          fc.asyncProperty(chapters, fc.boolean(), async (life, damaged) => {
            const data = await makeData();
            try {
              const store = await data.open({ clock: ticking() });
              const events = damaged ? withoutEnds(life) : life;
              await store.importConversation({
                conversationId: 'c1',
                events: events.map((event, index) => ({ ...event, seq: index + 1 })),
              });
              const view = await store.snapshot('c1', 1_000);
              expect(view).toEqual(foldEvents(emptyView('c1'), await logOf(store, stream)));
              const there = foldEvents(emptyView('c1'), events);
              expect(view?.messages.map(shownOf)).toEqual(
                there.messages.map((row) => shownOf(ended(row, there))),
              );
              expect(view).toMatchObject({ title: there.title, usage: there.usage });
              expect(view).toMatchObject({
                state: 'idle',
                activeTurn: null,
                approvals: [],
                queue: [],
                held: false,
              });
            } finally {
              await data.destroy();
            }
          }),
          { numRuns: 60 },
        );
      }, 120_000);
    });
  });
}

type Row = ConversationViewValue['messages'][number];

function shownOf({ role, kind, content, status, at, cut: isCut, tool }: Row): object {
  return { role, kind, content, status, at, isCut, tool };
}

/** What the row becomes when its attempt ends as it is. */
function ended(row: Row, { overlays }: ConversationViewValue): Row {
  if (row.status !== 'open') return row;
  return row.tool === undefined
    ? { ...row, status: 'partial', content: overlays[row.messageId] ?? '' }
    : { ...row, status: 'partial', tool: { ...row.tool, status: 'error' } };
}

/** Only pieces have gone, only below the floor, and none of the last attempt's. */
async function expectFoldedAway({
  store,
  log,
}: {
  store: Store;
  log: readonly Event[];
}): Promise<void> {
  const left = await logOf(store, stream);
  const floor = await store.replayFloor(stream);
  const present = new Set(left.map(({ seq }) => seq));
  const gone = log.filter(({ seq }) => !present.has(seq));
  expect(left).toStrictEqual(log.filter(({ seq }) => present.has(seq)));
  expect(await store.lastSeq(stream)).toBe(log.length);
  expect(gone.filter(({ type }) => type !== 'chat.delta' && type !== 'tool.output')).toEqual([]);
  const lastStart = log.findLast(({ type }) => type === 'chat.started')?.seq ?? 0;
  expect(gone.filter(({ seq }) => seq > Math.min(floor, lastStart))).toEqual([]);
  expect(floor).toBe(gone.at(-1)?.seq ?? 0);
}

function cut(messageId: string | null): NewEvent {
  return { type: 'history.cut', payload: { messageId, by: 'rollback' } };
}

/** A whole turn: what was asked, and the answer. */
function exchange(turnId: string): NewEvent[] {
  return [
    {
      type: 'message.created',
      turnId,
      payload: { messageId: `${turnId}-asks`, role: 'user', content: `asks ${turnId}` },
    },
    started({ turnId, attempt: 1 }),
    ...inTurn(turnId, [
      segment(`${turnId}-answer`),
      closed(`${turnId}-answer`, `answers ${turnId}`),
      done(),
    ]),
  ];
}

function inTurn(turnId: string, events: readonly NewEvent[]): NewEvent[] {
  return events.map((event) => ({ ...event, turnId, attempt: 1 }));
}

function flood(turnId: string, count: number): NewEvent[] {
  const messageId = `${turnId}-1`;
  return inTurn(turnId, [
    segment(messageId),
    ...upTo(count).map(() => delta(messageId, 'w')),
    closed(messageId, 'w'.repeat(count)),
  ]);
}

function eventsOf(...events: NewEvent[]): Promise<Event[]> {
  const at = '2026-01-01T00:00:00.000Z';
  return Promise.resolve(events.map((event, index) => ({ ...event, seq: index + 1, at })));
}

/** A turn that runs and is claimed. */
async function running(store: Store, turnId: string) {
  await store.append({
    stream,
    events: [
      {
        type: 'message.created',
        turnId,
        payload: { messageId: `${turnId}-asks`, role: 'user', content: 'asks' },
      },
      started({ turnId, attempt: 1 }),
    ],
  });
  const { epoch } = await store.claim({
    conversationId: 'c1',
    turnId,
    attempt: 1,
    host: 'h1',
    place: { spool: turnId, from: 0 },
  });
  return { turnId, attempt: 1, epoch };
}

/** c1 with a provider's session, after one more turn. */
async function withSession(store: Store, sessionId: string) {
  const fence = await running(store, 'ts');
  await store.saveProviderSession(fence, 'c1', sessionId, 0);
  expect((await store.conversation('c1'))?.providerSessionId).toBe(sessionId);
  await store.append({ stream, events: inTurn('ts', [done()]) });
  return fence;
}
