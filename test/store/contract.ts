/**
 * What every engine of the store must do; run by each engine's own test. Numbers are those of src/store/port.ts.
 * Nothing here knows an engine: it is given a way to make data and to open it, also from other processes, by address.
 */
import type { ChildProcess } from 'node:child_process';

import * as fc from 'fast-check';
import { afterEach, describe, expect, it } from 'vitest';

import type { NewEvent } from '../../src/contracts/events.ts';
import { conversationStream, tableStream } from '../../src/contracts/ids.ts';
import type { ConversationViewValue } from '../../src/contracts/view.ts';
import { emptyView, foldEvents } from '../../src/domain/fold.ts';
import type { AppendRequest, Fence, Store } from '../../src/store/port.ts';
import { chapters } from '../domain/chapters.ts';
import { note, type WriterTask } from '../fixtures/store-writer.ts';
import { eventually } from '../support/eventually.ts';
import {
  asJson,
  batchOf,
  closed,
  created,
  delta,
  destroyedAfterEach,
  done,
  expectFolded,
  expectWindow,
  inPieces,
  listen,
  logOf,
  newest,
  segment,
  started,
  type StoreData,
  tableCreated,
  textOf,
  ticking,
  turn,
  upTo,
  user,
  withoutEnds,
} from './contract-events.ts';
import {
  attemptOf,
  CONVERSATIONS,
  anyOperation,
  perform,
  StoreModel,
  TABLE,
  turnOf,
} from './model.ts';
import { spawnWriter, type Writer } from './writer-process.ts';

const stream = conversationStream('c1');

export function describeStoreContract(
  engine: string,
  /** New, empty data. */
  makeData: () => Promise<StoreData>,
): void {
  describe(`the store on ${engine}`, () => {
    const newData = destroyedAfterEach(makeData);
    const children: ChildProcess[] = [];
    // After it was registered, so before it is done: a writer is gone before its file.
    afterEach(() => {
      for (const child of children.splice(0)) child.kill('SIGKILL');
    });
    const newStore = async (): Promise<Store> => (await newData()).open();
    /** A process that writes; resolves once it has opened the store. */
    const startWriter = async (url: string, task: WriterTask): Promise<Writer> => {
      const writer = spawnWriter(url, task);
      children.push(writer.child);
      await writer.ready;
      return writer;
    };

    describe('append', () => {
      it('L1 numbers each stream 1, 2, 3 …, in the order the appends were made', async () => {
        const store = await newStore();
        const appends = Array.from({ length: 30 }, (_, index) =>
          store.append({
            stream: index % 3 === 0 ? 'table:a' : 'table:b',
            events: [note(`${index}`), note(`${index} again`)],
          }),
        );
        const answers = await Promise.all(appends);
        expect(answers.filter((_, index) => index % 3 === 0)).toStrictEqual(
          Array.from({ length: 10 }, (_, index) => ({
            status: 'appended',
            firstSeq: 2 * index + 1,
            lastSeq: 2 * index + 2,
          })),
        );
        const log = await logOf(store, 'table:b');
        expect(log.map(({ seq }) => seq)).toStrictEqual(upTo(40));
        expect(log.map(textOf).filter((text) => !text.endsWith('again'))).toStrictEqual(
          upTo(30)
            .map((index) => index - 1)
            .filter((index) => index % 3 !== 0)
            .map(String),
        );
      });

      it('stamps the conversation, seq and time, and delivers the stored text in one field order', async () => {
        const data = await newData();
        const store = await data.open({ clock: () => Date.UTC(2026, 10, 21, 12) });
        const event: NewEvent = {
          payload: { messageId: 'm1', text: 'half an emoji \ud83d, a zero \0, "quoted"' },
          requestId: 'r1',
          attempt: 2,
          turnId: 't1',
          conversationId: 'another',
          type: 'chat.delta',
        };
        await store.append({
          stream,
          events: [event, { type: 'notice', payload: { code: 'c', text: 't' } }],
        });
        const { items } = await store.events(stream, 0, 10);
        expect(items.map(({ json }) => json)).toStrictEqual([
          `{"type":"chat.delta","conversationId":"c1","turnId":"t1","attempt":2,"requestId":"r1","seq":1,"at":"2026-11-21T12:00:00.000Z","payload":${JSON.stringify(event.payload)}}`,
          `{"type":"notice","conversationId":"c1","seq":2,"at":"2026-11-21T12:00:00.000Z","payload":{"code":"c","text":"t"}}`,
        ]);
        expect(items.map(({ seq, type }) => ({ seq, type }))).toStrictEqual([
          { seq: 1, type: 'chat.delta' },
          { seq: 2, type: 'notice' },
        ]);
      });

      it('A2 answers a repeated key as the first append, also one without events, and writes nothing', async () => {
        const store = await newStore();
        await store.append({ stream, events: [note('before')] });
        const first = await store.append({ stream, key: 'k', events: [note('a'), note('b')] });
        const empty = await store.append({ stream, key: 'empty', events: [] });
        await store.append({ stream, events: [note('after')] });
        expect(first).toStrictEqual({ status: 'appended', firstSeq: 2, lastSeq: 3 });
        expect(empty).toStrictEqual({ status: 'appended', firstSeq: 4, lastSeq: 3 });
        expect(await store.append({ stream, key: 'k', events: [note('c')] })).toStrictEqual({
          status: 'repeated',
          firstSeq: 2,
          lastSeq: 3,
        });
        expect(await store.append({ stream, key: 'empty', events: [note('c')] })).toStrictEqual({
          status: 'repeated',
          firstSeq: 4,
          lastSeq: 3,
        });
        // In the same commit as the first, and of another stream.
        const both = await Promise.all([
          store.append({ stream, key: 'twin', events: [note('one')] }),
          store.append({ stream, key: 'twin', events: [note('two')] }),
          store.append({ stream: conversationStream('c2'), key: 'k', events: [note('other')] }),
        ]);
        expect(both.map(({ status }) => status)).toStrictEqual([
          'appended',
          'repeated',
          'appended',
        ]);
        expect((await logOf(store, stream)).map(textOf)).toStrictEqual([
          'before',
          'a',
          'b',
          'after',
          'one',
        ]);
      });

      it('A2 answers a repeated key even under a fence that is lost and for an attempt that has ended', async () => {
        const { store, fence } = await running(await newData());
        const end = { stream, key: 'end', fence, unlessEnded: turn, events: [done()] };
        const first = await store.append(end);
        expect(await store.append(end)).toStrictEqual({ ...first, status: 'repeated' });
        expect(await store.append({ ...end, fence: { ...fence, epoch: 0 } })).toMatchObject({
          status: 'repeated',
        });
      });

      it('answers `ended` with outcome and cause once the attempt has ended, whatever the fence', async () => {
        const { store, fence } = await running(await newData());
        const late: AppendRequest = { stream, unlessEnded: turn, events: [note('late')] };
        expect(await store.append(late)).toMatchObject({ status: 'appended' });
        await store.append({
          stream,
          fence,
          events: [{ type: 'chat.error', ...turn, payload: { code: 'overloaded', message: 'm' } }],
        });
        const refusal = { status: 'ended', outcome: 'failed', cause: 'overloaded' };
        expect(await store.append(late)).toStrictEqual(refusal);
        expect(await store.append({ ...late, fence })).toStrictEqual(refusal);
        expect(
          (await logOf(store, stream)).map(textOf).filter((text) => text === 'late'),
        ).toHaveLength(1);
      });

      it('A1 refuses a second end of an attempt', async () => {
        const { store } = await running(await newData());
        await store.append({ stream, events: [done()] });
        const before = await store.lastSeq(stream);
        const second: NewEvent = {
          type: 'chat.interrupted',
          ...turn,
          payload: { cause: 'lost', retryable: true },
        };
        await expect(
          store.append({ stream, events: [note('with it'), second] }),
        ).rejects.toMatchObject({ code: 'fenced' });
        expect(await store.lastSeq(stream)).toBe(before);
        expect(await store.attempt('t1', 1)).toMatchObject({ outcome: 'completed' });
      });

      it('S1 refuses a second running turn of a conversation', async () => {
        const store = await newStore();
        for (const id of ['c3', 'c4'])
          await store.append({ stream: conversationStream(id), events: [created(null)] });
        const start = (id: string, turnId: string) =>
          store.append({
            stream: conversationStream(id),
            events: [started({ turnId, attempt: 1 })],
          });
        await start('c3', 'b');
        await start('c4', 'c');
        await expect(start('c3', 'd')).rejects.toMatchObject({
          code: 'busy',
          detail: { reason: 'own', turnId: 'b' },
        });
        expect((await store.runningAttempts(null)).map(({ turnId }) => turnId)).toStrictEqual([
          'b',
          'c',
        ]);
        // The end of one and the start of the next may be one append.
        await store.append({
          stream: conversationStream('c3'),
          events: [done({ turnId: 'b', attempt: 1 }), started({ turnId: 'd', attempt: 1 })],
        });
        expect((await store.runningAttempts(null)).map(({ turnId }) => turnId)).toStrictEqual([
          'c',
          'd',
        ]);
      });

      it('is all or nothing, and one that fails leaves those beside it alone', async () => {
        const { store, fence } = await running(await newData());
        const before = await store.lastSeq(stream);
        const twice: NewEvent[] = [user('same'), user('same')];
        const answers = await Promise.allSettled([
          store.append({ stream, key: 'a', events: [note('a')] }),
          store.append({ stream, key: 'b', events: [note('b'), ...twice] }),
          store.append({ stream, key: 'c', fence: { ...fence, epoch: 99 }, events: [note('c')] }),
          store.append({ stream: conversationStream('c9'), events: [note('d'), user('nobody')] }),
          store.append({ stream, key: 'e', events: [note('e')] }),
        ]);
        expect(answers.map(({ status }) => status)).toStrictEqual([
          'fulfilled',
          'rejected',
          'rejected',
          'rejected',
          'fulfilled',
        ]);
        expect(answers[3]).toMatchObject({ reason: { code: 'not_found' } });
        expect((await logOf(store, stream)).slice(before).map(textOf)).toStrictEqual(['a', 'e']);
        expect(await store.lastSeq(conversationStream('c9'))).toBe(0);
        // Their keys are free.
        expect(await store.append({ stream, key: 'b', events: [note('b')] })).toMatchObject({
          status: 'appended',
        });
        expect(await store.append({ stream, key: 'c', events: [note('c')] })).toMatchObject({
          status: 'appended',
        });
        expect(
          (await store.snapshot('c1', 100))?.messages.map(({ messageId }) => messageId),
        ).toStrictEqual(['m1']);
      });

      it('A2 remembers a receipt for ever and refuses a second one for its requestId', async () => {
        const store = await newStore();
        await store.append({ stream, events: [created(null)] });
        const request = {
          requestId: 'r1',
          kind: 'send',
          status: 'queued',
          turnId: 't1',
          attempt: 1,
          position: 2,
          contentHash: 'h1',
        } as const;
        await store.append({ stream, key: 'request:r1', events: [note('queued')], request });
        expect(await store.request('c1', 'r1')).toStrictEqual({
          ...request,
          conversationId: 'c1',
          at: expect.any(String) as string,
          steeredInto: null,
        });
        expect(await store.request('c1', 'r2')).toBeNull();
        expect(await store.request('c2', 'r1')).toBeNull();
        await expect(
          store.append({
            stream,
            key: 'another',
            events: [note('again')],
            request: { ...request, contentHash: 'h2' },
          }),
        ).rejects.toMatchObject({ code: 'request_id_reused' });
        const rejected = {
          requestId: 'r3',
          kind: 'retry',
          status: 'rejected',
          turnId: null,
          attempt: 1,
          code: 'busy',
          contentHash: 'h',
        } as const;
        await store.append({ stream, events: [], request: rejected });
        expect(await store.request('c1', 'r3')).toMatchObject(rejected);
        expect(await store.lastSeq(stream)).toBe(2);
      });
    });

    describe('custody', () => {
      it('F1 a claim raises the epoch; the owner before it is fenced and writes nothing', async () => {
        const { store, fence } = await running(await newData());
        const request: AppendRequest = { stream, fence, events: [note('mine')], spoolOffset: 10 };
        await store.append(request);
        const taken = await store.claim({
          conversationId: 'c1',
          ...turn,
          host: 'h1',
          place: null,
          events: (epoch) => [
            { type: 'chat.attached', ...turn, payload: { epoch, host: 'h1', cause: 'restart' } },
          ],
        });
        expect(taken).toStrictEqual({
          epoch: 2,
          place: { host: 'h1', spool: 's1', from: 5 },
          spoolOffset: 10,
        });
        await expect(store.append(request)).rejects.toMatchObject({ code: 'fenced' });
        await expect(store.saveProviderSession(fence, 'c1', 'stolen', 0)).rejects.toMatchObject({
          code: 'fenced',
        });
        await store.append({ ...request, fence: { ...fence, epoch: 2 }, spoolOffset: 20 });
        await store.saveProviderSession({ ...fence, epoch: 2 }, 'c1', 'session 1', 0);
        // A fence that was never issued would let epochs go back later.
        await expect(
          store.append({ ...request, fence: { ...fence, epoch: 3 } }),
        ).rejects.toMatchObject({ code: 'fenced' });
        expect((await logOf(store, stream)).slice(3).map(({ type }) => type)).toStrictEqual([
          'notice',
          'chat.attached',
          'notice',
        ]);
        expect(await store.attempt('t1', 1)).toMatchObject({
          epoch: 2,
          spoolOffset: 20,
          place: { host: 'h1', spool: 's1', from: 5 },
        });
        expect(await store.conversation('c1')).toMatchObject({ providerSessionId: 'session 1' });
      });

      it('F1 refuses the claim of an attempt that is unknown, of another conversation, ended, or not the newest', async () => {
        const { store } = await running(await newData());
        const claim = (changed: object) =>
          store.claim({ conversationId: 'c1', ...turn, host: 'h1', place: null, ...changed });
        await expect(claim({ turnId: 'other' })).rejects.toMatchObject({ code: 'fenced' });
        await expect(claim({ conversationId: 'c2' })).rejects.toMatchObject({ code: 'fenced' });
        await store.append({ stream, events: [done()] });
        await expect(claim({})).rejects.toMatchObject({ code: 'fenced' });
        const second = { turnId: 't1', attempt: 2 };
        await store.append({ stream, events: [started(second)] });
        await expect(claim({})).rejects.toMatchObject({ code: 'fenced' });
        await expect(claim(second)).rejects.toMatchObject({ code: 'internal' });
        expect(await claim({ ...second, place: { spool: 's2', from: 0 } })).toMatchObject({
          epoch: 2,
          spoolOffset: 0,
        });
      });

      it('F1 refuses the claim of a running attempt when the turn has a later one', async () => {
        const store = await newStore();
        const later = { turnId: 't1', attempt: 2 };
        await store.append({
          stream,
          events: [created(null), started(later), done(later), started(turn)],
        });
        const place = { spool: 's1', from: 0 };
        await expect(
          store.claim({ conversationId: 'c1', ...turn, host: 'h1', place }),
        ).rejects.toMatchObject({ code: 'fenced' });
      });

      it('F2 the spool offset moves with its events, never backwards, and begins at the place', async () => {
        const { store, fence } = await running(await newData());
        expect(await store.attempt('t1', 1)).toMatchObject({ spoolOffset: 5 });
        await store.append({ stream, fence, events: [note('a')], spoolOffset: 30 });
        await store.append({ stream, fence, events: [note('b')], spoolOffset: 20 });
        expect(await store.attempt('t1', 1)).toMatchObject({ spoolOffset: 30 });
        const broken = { stream, fence, events: [user('m1')], spoolOffset: 40 };
        await expect(store.append(broken)).rejects.toBeInstanceOf(Error);
        expect(await store.attempt('t1', 1)).toMatchObject({ spoolOffset: 30 });
        const elsewhere = await store.claim({
          conversationId: 'c1',
          ...turn,
          host: 'h1',
          place: { spool: 's2', from: 0 },
        });
        expect(elsewhere).toMatchObject({ epoch: 2, spoolOffset: 0 });
      });

      it('lists running attempts, of one host or all, oldest first', async () => {
        const store = await newStore();
        for (const id of ['c1', 'c2', 'c3']) {
          await store.append({
            stream: conversationStream(id),
            events: [created(null), started({ turnId: `${id}-t`, attempt: 1 })],
          });
          const host = id === 'c2' ? 'h2' : 'h1';
          if (id !== 'c3')
            await store.claim({
              conversationId: id,
              turnId: `${id}-t`,
              attempt: 1,
              host,
              place: { spool: id, from: 0 },
            });
        }
        const ids = async (host: string | null) =>
          (await store.runningAttempts(host)).map(({ conversationId }) => conversationId);
        expect(await ids(null)).toStrictEqual(['c1', 'c2', 'c3']);
        expect(await ids('h1')).toStrictEqual(['c1']);
        await store.append({
          stream: conversationStream('c1'),
          events: [done({ turnId: 'c1-t', attempt: 1 })],
        });
        expect(await ids('h1')).toStrictEqual([]);
      });
    });

    it('L1 L2 F1 F2 A2: random writes, many at once, answer and leave what an independent model says', async () => {
      await fc.assert(
        fc.asyncProperty(
          fc.array(fc.array(anyOperation, { minLength: 1, maxLength: 6 }), {
            maxLength: 14,
            size: 'max',
          }),
          async (batches) => {
            const data = await makeData();
            try {
              const store = await data.open({ clock: ticking() });
              await store.append({ stream: tableStream(TABLE), events: [tableCreated()] });
              const model = new StoreModel();
              for (const batch of batches) {
                const answers = await Promise.all(batch.map((one) => perform(store, one)));
                expect(answers).toStrictEqual(batch.map((one) => model.apply(one)));
              }
              await expectState(store, model);
              // Another instance, which reads what is on disk.
              await store.close();
              await expectState(await data.open({ readOnly: true }), model);
            } finally {
              await data.destroy();
            }
          },
        ),
        { numRuns: 60 },
      );
    }, 120_000);

    describe('reading', () => {
      it('L4 at every point a snapshot is the whole log folded, and so is it with the events after it', async () => {
        await fc.assert(
          fc.asyncProperty(
            chapters,
            fc.infiniteStream(fc.integer({ min: 1, max: 2 })),
            fc.constantFrom(1, 3, 1_000),
            fc.boolean(),
            async (life, sizes, limit, damaged) => {
              const data = await makeData();
              try {
                const store = await data.open();
                const snapshots: ConversationViewValue[] = [];
                for (const events of inPieces(damaged ? withoutEnds(life) : life, sizes)) {
                  await store.append({ stream, events });
                  const view = await store.snapshot('c1', limit);
                  if (view !== null) snapshots.push(view);
                }
                const log = await logOf(store, stream);
                for (const view of snapshots)
                  expectWindow(
                    view,
                    foldEvents(emptyView('c1'), log.slice(0, view.lastSeq)),
                    limit,
                  );
                // A client's way: the snapshot as JSON, then every later event.
                for (const view of snapshots)
                  expectFolded(foldEvents(asJson(view), log), foldEvents(emptyView('c1'), log));
              } finally {
                await data.destroy();
              }
            },
          ),
          { numRuns: 60 },
        );
      }, 120_000);

      it('L4 usage of a running turn is counted once', async () => {
        const { store, fence } = await running(await newData());
        const usage = (inputTokens: number, costUsd?: number): NewEvent => ({
          type: 'usage',
          ...turn,
          payload: { inputTokens, outputTokens: 1, ...(costUsd === undefined ? {} : { costUsd }) },
        });
        await store.append({ stream, fence, events: [usage(10), usage(5, 0.1), usage(1, 0.2)] });
        const whole = { inputTokens: 16, outputTokens: 3, costUsd: 0.1 + 0.2 };
        expect((await store.snapshot('c1', 10))?.usage).toStrictEqual(whole);
        expect(await store.attempt('t1', 1)).toMatchObject({ usage: whole });
        await store.append({ stream, fence, events: [done()] });
        expect((await store.snapshot('c1', 10))?.usage).toStrictEqual(whole);
        expect((await store.turn('c1', 't1'))?.usage).toStrictEqual(whole);
      });

      it('L5 an end that came before its segments were closed keeps their text', async () => {
        const { store, fence } = await running(await newData());
        const tool: NewEvent = {
          type: 'tool.start',
          ...turn,
          payload: { toolCallId: 'call 1', messageId: 'm3', name: 'run', input: { a: [1, null] } },
        };
        const output: NewEvent = {
          type: 'tool.output',
          ...turn,
          payload: { toolCallId: 'call 1', text: 'line' },
        };
        await store.append({
          stream,
          fence,
          events: [segment('m2'), delta('m2', 'hal'), delta('m2', 'f \ud83d'), tool, output],
        });
        const live = await store.messages('c1', null, 10);
        expect(
          live?.items.map(({ messageId, content, status }) => ({ messageId, content, status })),
        ).toStrictEqual([
          { messageId: 'm3', content: 'line', status: 'open' },
          { messageId: 'm2', content: '', status: 'open' },
          { messageId: 'm1', content: 'the prompt', status: 'complete' },
        ]);
        expect(await store.answerText('t1', 1)).toBe('half \ud83d');
        await store.append({
          stream,
          unlessEnded: turn,
          events: [
            { type: 'chat.interrupted', ...turn, payload: { cause: 'lost', retryable: true } },
          ],
        });
        const view = await store.snapshot('c1', 10);
        expect(view).toEqual(foldEvents(emptyView('c1'), await logOf(store, stream)));
        expect(view?.messages.slice(1)).toMatchObject([
          { messageId: 'm2', content: 'half \ud83d', status: 'partial' },
          {
            messageId: 'm3',
            content: 'line',
            status: 'partial',
            tool: { toolCallId: 'call 1', input: { a: [1, null] }, status: 'error' },
          },
        ]);
        expect(await store.answerText('t1', 1)).toBe('half \ud83d');
      });

      it('gives the page of messages back to the oldest open one, and older ones by messageId', async () => {
        const { store, fence } = await running(await newData());
        const tool: NewEvent = {
          type: 'tool.start',
          ...turn,
          payload: { toolCallId: 'x', messageId: 'tool', name: 'n', input: 1 },
        };
        const many = upTo(6).flatMap((index) => [
          segment(`s${index}`),
          closed(`s${index}`, `text ${index}`),
        ]);
        await store.append({ stream, fence, events: [tool, ...many] });
        const ids = (view: { messageId: string }[] | undefined) =>
          view?.map(({ messageId }) => messageId);
        const view = await store.snapshot('c1', 3);
        expect(ids(view?.messages)).toStrictEqual(['tool', 's1', 's2', 's3', 's4', 's5', 's6']);
        expect(view?.hasOlder).toBe(true);
        const close: NewEvent = {
          type: 'tool.end',
          ...turn,
          payload: { toolCallId: 'x', status: 'ok', output: 'out' },
        };
        await store.append({ stream, fence, events: [close] });
        expect(ids((await store.snapshot('c1', 3))?.messages)).toStrictEqual(['s4', 's5', 's6']);
        await store.append({ stream, fence, events: [done()] });
        const idle = await store.snapshot('c1', 3);
        expect(ids(idle?.messages)).toStrictEqual(['s4', 's5', 's6']);
        expect(idle?.hasOlder).toBe(true);
        const page = await store.messages('c1', 's4', 3);
        expect(ids(page?.items)).toStrictEqual(['s3', 's2', 's1']);
        expect(page?.nextCursor).toBe('s1');
        const last = await store.messages('c1', 's1', 3);
        expect(ids(last?.items)).toStrictEqual(['tool', 'm1']);
        expect(last).toMatchObject({
          nextCursor: null,
          items: [{ content: 'out', tool: { status: 'ok', name: 'n', input: 1 } }, {}],
        });
        expect(await store.messages('c1', 'nonsense', 3)).toBeNull();
        expect(await store.messages('nobody', null, 3)).toStrictEqual({
          items: [],
          nextCursor: null,
        });
        expect((await store.snapshot('c1', 8))?.hasOlder).toBe(false);
      });

      it('answers with the text segments that were not discarded, in order', async () => {
        const { store, fence } = await running(await newData());
        const discarded: NewEvent = {
          type: 'assistant.segment.discarded',
          ...turn,
          payload: { messageId: 's2', reason: 'retry' },
        };
        await store.append({
          stream,
          fence,
          events: [
            segment('s0', 'reasoning'),
            closed('s0', 'thoughts'),
            segment('s1'),
            closed('s1', 'one '),
            segment('s2'),
            delta('s2', 'tw'),
            discarded,
            segment('s3'),
            closed('s3', 'three'),
          ],
        });
        expect(await store.answerText('t1', 1)).toBe('one three');
        expect(await store.answerText('t1', 2)).toBe('');
      });

      it('groups attempts into turns, newest first, page by page', async () => {
        const store = await newStore();
        await store.append({ stream, events: [created(null)] });
        const runs = [
          ['t1', 1],
          ['t2', 1],
          ['t1', 2],
          ['t3', 1],
          ['t4', 1],
        ] as const;
        for (const [turnId, attempt] of runs) {
          const scope = { turnId, attempt };
          const interrupted: NewEvent = {
            type: 'chat.interrupted',
            ...scope,
            payload: { cause: `${turnId}.${attempt}`, retryable: true },
          };
          const usage: NewEvent = {
            type: 'usage',
            ...scope,
            payload: { inputTokens: attempt, outputTokens: 1 },
          };
          await store.append({
            stream,
            events: [
              ...(attempt === 1 ? [user(`m-${turnId}`, turnId)] : []),
              { ...started(scope), requestId: `r-${turnId}-${attempt}` },
              usage,
              ...(turnId === 't4' ? [] : [interrupted]),
            ],
          });
        }
        const first = await store.turns('c1', null, 3);
        expect(first.items.map(({ turnId }) => turnId)).toStrictEqual(['t4', 't3', 't2']);
        const second = await store.turns('c1', first.nextCursor, 3);
        expect(second.nextCursor).toBeNull();
        expect(second.items).toMatchObject([
          {
            turnId: 't1',
            conversationId: 'c1',
            requestId: 'r-t1-1',
            outcome: 'interrupted',
            cause: 't1.2',
            usage: { inputTokens: 3, outputTokens: 2 },
            attempts: [
              { attempt: 1, requestId: 'r-t1-1', cause: 't1.1' },
              { attempt: 2, requestId: 'r-t1-2' },
            ],
          },
        ]);
        expect(first.items[0]).toMatchObject({ outcome: null, endedAt: null, cause: null });
        expect(await store.turn('c1', 't1')).toStrictEqual(second.items[0]);
        expect(await store.turn('c2', 't1')).toBeNull();
        expect(await store.turn('c1', 't9')).toBeNull();
        expect(await store.latestAttempt('t1')).toMatchObject({
          attempt: 2,
          content: 'the prompt',
          conversationId: 'c1',
        });
        expect(await store.latestAttempt('t9')).toBeNull();
        await expect(store.turns('c1', "1' OR 1", 3)).rejects.toMatchObject({
          code: 'invalid_request',
        });
      });

      it('keeps what a workflow starts again from', async () => {
        const { store } = await running(await newData());
        const queue = [{ requestId: 'r2', turnId: 't2', content: 'next', position: 0, attempt: 1 }];
        await store.append({
          stream,
          events: [
            { type: 'queue.changed', payload: { queue } },
            {
              type: 'conversation.updated',
              payload: { host: 'h1', title: 'new \ud83d', model: 'big' },
            },
            { type: 'conversation.state', payload: { state: 'cancelled' } },
            { type: 'chat.cancelling', ...turn, payload: { step: 'requested', by: 'someone' } },
            { type: 'chat.cancelling', ...turn, payload: { step: 'requested', by: 'another' } },
            { type: 'chat.cancelling', ...turn, payload: { step: 'terminate' } },
          ],
        });
        const facts = {
          conversationId: 'c1',
          tableId: null,
          title: 'new \ud83d',
          provider: 'scripted',
          model: 'big',
          workspacePath: '/w',
          host: 'h1',
          providerSessionId: null,
          sessionGeneration: 0,
        };
        expect(await store.workflowState('c1')).toStrictEqual({
          ...facts,
          state: 'cancelled',
          queue,
          held: false,
          turn: {
            ...turn,
            requestId: 'r1',
            startedAt: expect.any(String) as string,
            cancelRequested: true,
          },
        });
        expect(await store.conversation('c1')).toStrictEqual(facts);
        expect(await store.attempt('t1', 1)).toMatchObject({ cancelBy: 'someone', outcome: null });
        await store.append({ stream, events: [done()] });
        expect(await store.workflowState('c1')).toMatchObject({
          turn: null,
          state: 'cancelled',
          queue,
        });
        // No turn, but neither idle nor without a queue: its workflow still has something to do.
        expect(await store.unsettled('', 10)).toStrictEqual(['c1']);
        expect(await store.unsettled('c1', 10)).toStrictEqual([]);
        expect(await store.unsettled('', 0)).toStrictEqual([]);
        const settle = async (event: NewEvent) => {
          await store.append({ stream, events: [event] });
          return store.unsettled('', 10);
        };
        const emptied: NewEvent = { type: 'queue.changed', payload: { queue: [] } };
        expect(await settle(emptied)).toStrictEqual(['c1']);
        const idle: NewEvent = { type: 'conversation.state', payload: { state: 'idle' } };
        expect(await settle(idle)).toStrictEqual([]);
        expect(await settle({ type: 'queue.changed', payload: { queue } })).toStrictEqual(['c1']);
        // What is held needs nobody.
        const held: NewEvent = { type: 'queue.changed', payload: { queue, held: true } };
        expect(await settle(held)).toStrictEqual([]);
        expect(await store.workflowState('c1')).toMatchObject({ queue, held: true });
        for (const nothing of [
          store.workflowState('c9'),
          store.conversation('c9'),
          store.snapshot('c9', 10),
          store.attempt('t1', 9),
        ])
          expect(await nothing).toBeNull();
      });

      it('remembers how an approval was answered; the first answer holds, an end withdraws what is open', async () => {
        const { store, fence } = await running(await newData());
        const ask = (approvalId: string): NewEvent => ({
          type: 'approval.requested',
          ...turn,
          payload: { approvalId, title: 't', input: {}, options: ['allow', 'deny'] },
        });
        const answer = (decision: 'allow' | 'deny', by: string): NewEvent => ({
          type: 'approval.resolved',
          ...turn,
          payload: { approvalId: 'a1', decision, by, at: '2026-01-01T00:00:00.000Z' },
        });
        await store.append({ stream, fence, events: [ask('a1'), ask('a2')] });
        expect(await store.approval('c1', 'a1')).toStrictEqual({
          ...turn,
          decision: null,
          by: null,
        });
        await store.append({
          stream,
          fence,
          events: [answer('deny', 'me'), answer('allow', 'other')],
        });
        expect(await store.approval('c1', 'a1')).toStrictEqual({
          ...turn,
          decision: 'deny',
          by: 'me',
        });
        await store.append({ stream, fence, events: [done()] });
        expect(await store.approval('c1', 'a2')).toMatchObject({ decision: 'withdrawn' });
        expect(await store.approval('c1', 'a3')).toBeNull();
        expect(await store.approval('c2', 'a1')).toBeNull();
      });

      it('pages through a log upwards and says where it ends', async () => {
        const store = await newStore();
        await store.append({ stream, events: upTo(7).map((index) => note(`${index}`)) });
        const page = await store.events(stream, 2, 3);
        expect(page.items.map(({ seq }) => seq)).toStrictEqual([3, 4, 5]);
        expect(page.lastSeq).toBe(7);
        expect(await store.events(stream, 7, 3)).toStrictEqual({ items: [], lastSeq: 7 });
        expect(await store.events(stream, 99, 3)).toStrictEqual({ items: [], lastSeq: 7 });
        expect(await store.events('conversation:none', 0, 3)).toStrictEqual({
          items: [],
          lastSeq: 0,
        });
        expect(await store.lastSeq('conversation:none')).toBe(0);
        expect(await store.replayFloor(stream)).toBe(0);
      });
    });

    describe('watch', () => {
      it('tells of every growth after it, in order, to each listener, also one in another instance', async () => {
        const data = await newData();
        const [writer, reader] = await Promise.all([data.open(), data.open({ readOnly: true })]);
        await writer.append({ stream: 'table:old', events: [note('before')] });
        const own = listen(writer);
        const other = listen(reader);
        const failing = reader.watch(() => {
          throw new Error('a listener that fails');
        });
        for (let index = 1; index <= 20; index += 1)
          await writer.append({
            stream: index % 2 === 0 ? 'table:a' : 'table:b',
            events: [note('x')],
          });
        for (const { heads } of [own, other]) {
          await eventually(
            () => heads.at(-1)?.get('table:a') === 10 || newest(heads, 'table:a') === 10,
          );
          await eventually(() => newest(heads, 'table:b') === 10);
          for (const name of ['table:a', 'table:b']) {
            const told = heads.flatMap((one) => one.get(name) ?? []);
            expect(told).toStrictEqual(told.toSorted((a, b) => a - b));
          }
        }
        own.stop();
        const calls = own.heads.length;
        failing();
        await writer.append({ stream: 'table:a', events: [note('after')] });
        await eventually(() => newest(other.heads, 'table:a') === 11);
        expect(own.heads).toHaveLength(calls);
      });

      it('an append without events, a repeated and a refused one tell of nothing', async () => {
        const { store, fence } = await running(await newData());
        const { heads } = listen(store);
        await store.append({ stream, key: 'empty', events: [] });
        await store.append({ stream, key: 'empty', events: [note('x')] });
        await expect(
          store.append({ stream, fence: { ...fence, epoch: 0 }, events: [note('x')] }),
        ).rejects.toMatchObject({ code: 'fenced' });
        await store.append({ stream: 'table:a', events: [note('x')] });
        await eventually(() => heads.length > 0);
        expect(heads.map((one) => [...one])).toStrictEqual([[['table:a', 1]]]);
      });
    });

    it('refuses appends to a store opened to read, and everything after close; close waits for what was accepted', async () => {
      const data = await newData();
      const reader = await data.open({ readOnly: true });
      await expect(reader.append({ stream, events: [note('x')] })).rejects.toThrow(/read only/);
      const store = await data.open();
      const accepted = store.append({ stream, events: [note('x')] });
      await Promise.all([store.close(), store.close()]);
      expect(await accepted).toMatchObject({ lastSeq: 1 });
      await expect(store.append({ stream, events: [note('y')] })).rejects.toMatchObject({
        code: 'shutting_down',
      });
      await expect(store.lastSeq(stream)).rejects.toMatchObject({ code: 'shutting_down' });
      expect(await reader.lastSeq(stream)).toBe(1);
    });

    describe('several processes', () => {
      it('L1 two writers of the same streams leave no gap and no double, and a watcher misses neither', async () => {
        const data = await newData();
        const store = await data.open();
        const { heads } = listen(store);
        const streams = ['table:a', 'table:b', 'table:c'];
        const share = (prefix: string): WriterTask => ({
          type: 'share',
          streams,
          count: 40,
          prefix,
        });
        const writers = await Promise.all(
          ['p', 'q'].map((prefix) => startWriter(data.url, share(prefix))),
        );
        await store.append({ stream: 'table:a', events: [note('own')] });
        await Promise.all(writers.map(({ ended }) => ended));
        for (const name of streams) {
          const log = await logOf(store, name);
          const expected = name === 'table:a' ? 81 : 80;
          expect(log.map(({ seq }) => seq)).toStrictEqual(upTo(expected));
          expect(new Set(log.map(textOf)).size).toBe(expected);
          await eventually(() => newest(heads, name) === expected);
        }
        for (const { answers } of writers) {
          expect(answers).toHaveLength(120);
          for (const { stream: name, key, firstSeq } of answers)
            expect((await store.events(name, firstSeq - 1, 1)).items[0]?.json).toContain(
              `"${key}#0"`,
            );
        }
      });

      it('an answered append survives kill -9 of its writer in a flood; nothing is there by halves or twice', async () => {
        const data = await newData();
        const task: WriterTask = { type: 'flood', stream, batch: 25, prefix: 'f' };
        const killed = await startWriter(data.url, task);
        await eventually(() => killed.answers.length > 60);
        killed.child.kill('SIGKILL');
        await killed.ended;
        const store = await data.open();
        const log = await logOf(store, stream);
        for (const { key, firstSeq, lastSeq } of killed.answers)
          expect(log.slice(firstSeq - 1, lastSeq).map(textOf)).toStrictEqual(batchOf(key, 25));
        expect(log.length % 25).toBe(0);
        // A second run with the same keys finds what the first one wrote.
        const again = await startWriter(data.url, task);
        await eventually(() => again.answers.length > log.length / 25 + 20);
        again.child.kill('SIGKILL');
        await again.ended;
        const both = await logOf(store, stream);
        expect(both.map(({ seq }) => seq)).toStrictEqual(upTo(both.length));
        expect(new Set(both.map(textOf)).size).toBe(both.length);
        expect(both.slice(0, log.length)).toStrictEqual(log);
        expect(again.answers.slice(0, 3).map(({ status }) => status)).toStrictEqual([
          'repeated',
          'repeated',
          'repeated',
        ]);
      });

      it('a flooding process does not starve another: it gets its turn after a few of the other’s commits', async () => {
        const data = await newData();
        const store = await data.open();
        const batch = 20;
        await startWriter(data.url, { type: 'flood', stream, batch, prefix: 'f' });
        const passed: number[] = [];
        for (let index = 0; index < 60; index += 1) {
          // In the middle of the flood, wherever that is.
          const seen = await store.lastSeq(stream);
          await eventually(async () => (await store.lastSeq(stream)) > seen + 3 * batch);
          const before = await store.lastSeq(stream);
          await store.append({ stream: 'table:a', events: [note(`${index}`)] });
          passed.push(((await store.lastSeq(stream)) - before) / batch);
        }
        passed.sort((a, b) => a - b);
        // Batches of the flood, which come four to a commit. Measured: 4 at p90 and 8 at most; when nobody gives way, 40 and 112.
        expect(passed[53]).toBeLessThanOrEqual(20);
        expect(await store.lastSeq('table:a')).toBe(60);
      });

      it('L1 A2 two instances in one process that write the same streams and keys write each key once', async () => {
        const data = await newData();
        const stores = await Promise.all([data.open(), data.open()]);
        const answers = await Promise.all(
          upTo(120).map((index) => {
            const key = `k${index % 40}`;
            const store = stores[index % 2] ?? stores[0];
            return store.append({
              stream: `table:${index % 4}`,
              key,
              events: [note(key), note(key)],
            });
          }),
        );
        const count = (status: string) => answers.filter((one) => one.status === status).length;
        expect([count('appended'), count('repeated')]).toStrictEqual([40, 80]);
        for (const index of [0, 1, 2, 3]) {
          const log = await logOf(stores[0], `table:${index}`);
          expect(log.map(({ seq }) => seq)).toStrictEqual(upTo(20));
          expect(new Set(log.map(textOf)).size).toBe(10);
        }
      });
    });
  });
}

/** c1 with turn t1 running and claimed at byte 5 of spool s1, epoch 1. */
async function running(data: StoreData): Promise<{ store: Store; fence: Fence }> {
  const store = await data.open();
  await store.append({
    stream,
    events: [created(null), user('m1', 't1'), { ...started(turn), requestId: 'r1' }],
  });
  const { epoch } = await store.claim({
    conversationId: 'c1',
    ...turn,
    host: 'h1',
    place: { spool: 's1', from: 5 },
  });
  expect(epoch).toBe(1);
  return { store, fence: { ...turn, epoch } };
}

async function expectState(store: Store, model: StoreModel): Promise<void> {
  for (const conversationId of CONVERSATIONS) {
    const log = await logOf(store, conversationStream(conversationId));
    const expected = model.logs.get(conversationId) ?? [];
    expect(log.map(({ seq }) => seq)).toStrictEqual(upTo(expected.length));
    expect(log).toMatchObject(expected);
    const row = await store.conversation(conversationId);
    expect(row?.providerSessionId ?? null).toBe(model.sessions.get(conversationId) ?? null);
    expect(row !== null).toBe(model.epochs.has(conversationId));
  }
  const told = await logOf(store, tableStream(TABLE));
  expect(told.map(({ seq }) => seq)).toStrictEqual(upTo(told.length));
  expect(told.map(({ type, conversationId }) => `${type} ${conversationId ?? ''}`)).toStrictEqual(
    model.tableLog,
  );
  for (const [id, { target, outcome, epoch, place, spoolOffset }] of model.attempts) {
    expect(await store.attempt(turnOf(target), target.attempt)).toMatchObject({
      conversationId: target.conversationId,
      outcome,
      epoch,
      spoolOffset,
      place: place === null ? null : { host: 'h1', ...place },
    });
    const request = await store.request(target.conversationId, attemptOf(target).replace('.', '-'));
    expect(request !== null).toBe(model.receipts.has(id));
  }
}
