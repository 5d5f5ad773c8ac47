/** What every engine of the store must do with agents, their team and their mail. Numbers are those of src/store/port.ts. */
import * as fc from 'fast-check';
import { describe, expect, it } from 'vitest';

import type { MailRowValue } from '../../src/contracts/agents.ts';
import type { Event, NewEvent, OutcomeName } from '../../src/contracts/events.ts';
import { conversationStream, tableStream, teamStream } from '../../src/contracts/ids.ts';
import {
  AGENT_BREADTH_LIMIT,
  AGENT_DEPTH_LIMIT,
  AGENT_LIMIT,
  MAIL_EXPIRY_MS,
  MAIL_QUEUE_LIMIT_BYTES,
  RECOVERY_OWED_MS,
} from '../../src/contracts/limits.ts';
import { promptOfMail } from '../../src/domain/mail.ts';
import { mailRequestId } from '../../src/store/mail-request-id.ts';
import type { Store } from '../../src/store/port.ts';
import { eventually } from '../support/eventually.ts';
import {
  accepted,
  begun,
  childCreated,
  ended,
  linkOf,
  queuedUp,
  receiptOf,
  rejected,
  removedFromQueue,
  said,
  say,
  steered,
  type Turn,
} from './agent-events.ts';
import { allMail, anyStep, live, openLife } from './agent-life.ts';
import { expectLogs } from './agent-logs.ts';
import {
  activated,
  created,
  destroyedAfterEach,
  listen,
  logOf,
  newest,
  note,
  started,
  type StoreData,
  tableCreated,
  ticking,
  turn,
  upTo,
} from './contract-events.ts';
import { spawnWriter } from './writer-process.ts';

/** The n-th millisecond of a ticking clock. */
const tick = (n: number): string => new Date(Date.UTC(2026, 10, 21) + n).toISOString();
const request = (from: string | null, messageId: string, sending = 1): string =>
  mailRequestId({ from, messageId, sending });
const outcomes: readonly OutcomeName[] = ['completed', 'failed', 'cancelled', 'interrupted'];

export function describeAgents(engine: string, makeData: () => Promise<StoreData>): void {
  describe(`agents of the store on ${engine}`, () => {
    const newData = destroyedAfterEach(makeData);
    /** Conversation r, which stands alone; its clock ticks. */
    const newRoot = async (): Promise<Store> => {
      const store = await (await newData()).open({ clock: ticking() });
      await say(store, 'r', created(null, 'the root'));
      return store;
    };
    const spawn = (store: Store, id: string, task: string | null = null, link = linkOf(id)) =>
      store.append({
        stream: conversationStream(id),
        key: 'created',
        events: childCreated(link, task),
      });
    /** r with its child a, whose task runs as attempt 1 of turn `t`. */
    const newTask = async (): Promise<Store> => {
      const store = await newRoot();
      await spawn(store, 'a', 'do it');
      await say(store, 'a', begun(request('r', 'task'), t));
      return store;
    };
    const t: Turn = { turnId: 't', attempt: 1 };
    const rowOf = async (
      store: Store,
      conversationId: string,
      messageId: string,
      from: string | null = 'a',
    ): Promise<MailRowValue | null> => store.mailRow({ conversationId, from, messageId });
    const stateOf = async (...args: Parameters<typeof rowOf>): Promise<string> => {
      const row = await rowOf(...args);
      const { state = 'none', reason, turnId } = row ?? {};
      return [state, reason, turnId].filter((part) => part !== undefined).join(' ');
    };

    describe('M1 a mailbox', () => {
      it('has a row for what was accepted, exactly as it was said', async () => {
        const store = await newRoot();
        const content = 'half \ud83d, \u0001 and \udc00';
        await say(
          store,
          'r',
          accepted({
            messageId: 'x',
            from: 'somebody',
            content,
            expiresAt: tick(9),
            whenBusy: 'steer',
          }),
          accepted({ messageId: 'x', from: null, kind: 'recovery', boot: 'b' }),
          accepted({ messageId: 'y', kind: 'error', outcome: 'cancelled', waits: true }),
        );
        const common = { to: 'r', toConversationId: 'r', state: 'accepted', acceptedAt: tick(2) };
        expect(await allMail(store, 'r', 9)).toStrictEqual([
          {
            messageId: 'x',
            from: 'somebody',
            fromConversationId: 'somebody',
            kind: 'message',
            content,
            requestId: request('somebody', 'x'),
            expiresAt: tick(9),
            ...common,
          },
          {
            messageId: 'x',
            from: null,
            fromConversationId: null,
            kind: 'recovery',
            content: 'hi',
            requestId: request(null, 'x'),
            ...common,
          },
          {
            messageId: 'y',
            from: 'a',
            fromConversationId: 'a',
            kind: 'error',
            content: 'hi',
            outcome: 'cancelled',
            requestId: request('a', 'y'),
            ...common,
          },
        ]);
        expect(await rowOf(store, 'r', 'x', 'nobody')).toBeNull();
        expect(await rowOf(store, 'nobody', 'x', null)).toBeNull();
      });

      it('has one row for (sender, messageId), the first, Holdfast’s own too; the log has them all', async () => {
        const store = await newRoot();
        await say(store, 'x', created(null));
        for (const from of ['a', 'b', null])
          for (const to of ['r', 'x']) {
            await say(store, to, accepted({ messageId: 'm', from, content: `1 of ${from}` }));
            await say(
              store,
              to,
              accepted({ messageId: 'm', from, content: '2', kind: 'result', waits: true }),
              accepted({ messageId: 'm', from, content: '3' }),
            );
          }
        for (const to of ['r', 'x']) {
          const rows = await allMail(store, to, 9);
          expect(rows.map(({ content, kind }) => `${kind} ${content}`)).toStrictEqual(
            ['a', 'b', null].map((from) => `message 1 of ${from}`),
          );
          expect(new Set(rows.map(({ requestId }) => requestId)).size).toBe(3);
          expect(await store.lastSeq(conversationStream(to))).toBe(10);
        }
        const { agents } = (await store.team('r')) ?? {};
        expect(agents?.[0]?.mail.accepted).toBe(3);
      });

      it('of a conversation that was not created is none', async () => {
        const store = await newRoot();
        await expect(say(store, 'ghost', accepted({ messageId: 'm' }))).rejects.toMatchObject({
          code: 'not_found',
        });
        expect(await store.lastSeq(conversationStream('ghost'))).toBe(0);
      });

      it('follows its request: queued, then started; started at once; steered; rejected; removed', async () => {
        const store = await newRoot();
        const ids = ['queued', 'started', 'steered', 'rejected', 'removed', 'left'];
        await say(store, 'r', ...ids.map((messageId) => accepted({ messageId })));
        const of = (messageId: string): string => request('a', messageId);
        await say(store, 'r', queuedUp(of('queued'), 't1'), queuedUp(of('removed'), 't2'));
        expect(await stateOf(store, 'r', 'queued')).toBe('delivered t1');
        // Said again it is no news.
        await say(store, 'r', queuedUp(of('queued'), 't1'));
        expect(await rowOf(store, 'r', 'queued')).toMatchObject({ deliveredAt: tick(3) });
        await say(store, 'r', begun(of('queued'), { turnId: 't1', attempt: 1 }));
        await say(store, 'r', steered(of('steered'), { turnId: 't1', attempt: 1 }));
        await say(
          store,
          'r',
          rejected(of('rejected'), 'queue_full'),
          removedFromQueue(of('removed'), 't2'),
        );
        await say(store, 'r', ended({ turnId: 't1', attempt: 1 }, 'completed'));
        await say(store, 'r', begun(of('started'), { turnId: 't3', attempt: 1 }));
        const rows = await allMail(store, 'r', 9);
        const facts = rows.map(({ messageId, state, reason, turnId, deliveredAt, appliedAt }) => ({
          messageId,
          state,
          ...(reason === undefined ? {} : { reason }),
          ...(turnId === undefined ? {} : { turnId }),
          ...(deliveredAt === undefined ? {} : { deliveredAt }),
          ...(appliedAt === undefined ? {} : { appliedAt }),
        }));
        expect(facts).toStrictEqual([
          {
            messageId: 'queued',
            state: 'applied',
            turnId: 't1',
            deliveredAt: tick(3),
            appliedAt: tick(5),
          },
          {
            messageId: 'started',
            state: 'applied',
            turnId: 't3',
            deliveredAt: tick(9),
            appliedAt: tick(9),
          },
          {
            messageId: 'steered',
            state: 'applied',
            turnId: 't1',
            deliveredAt: tick(6),
            appliedAt: tick(6),
          },
          { messageId: 'rejected', state: 'failed', reason: 'queue_full' },
          {
            messageId: 'removed',
            state: 'failed',
            reason: 'removed',
            turnId: 't2',
            deliveredAt: tick(3),
          },
          { messageId: 'left', state: 'accepted' },
        ]);
      });

      it('follows a receipt that comes without its events, and one that was there before the row', async () => {
        const store = await newRoot();
        const answers = [
          ['queued', { turnId: 't1', queued: true }, 'delivered t1'],
          ['started', { turnId: 't2' }, 'applied t2'],
          ['rejected', { code: 'busy' }, 'failed busy'],
        ] as const;
        const receive = (name: string, answer: Parameters<typeof receiptOf>[1]) =>
          store.append({
            stream: conversationStream('r'),
            events: [],
            request: receiptOf(request('a', name), answer),
          });
        await spawn(store, 'a');
        const before = await store.lastSeq(teamStream('r'));
        for (const [name, answer, state] of answers) {
          await say(store, 'r', accepted({ messageId: name }));
          await receive(name, answer);
          expect(await stateOf(store, 'r', name)).toBe(state);
        }
        expect(await store.lastSeq(teamStream('r'))).toBe(before + 6);
        for (const [name, answer, state] of answers) {
          await receive(`early-${name}`, answer);
          if (name === 'queued')
            await say(store, 'r', {
              type: 'queue.changed',
              payload: {
                queue: [
                  {
                    requestId: request('a', 'early-queued'),
                    turnId: 't1',
                    content: '',
                    position: 0,
                    attempt: 1,
                  },
                ],
              },
            });
          await say(store, 'r', accepted({ messageId: `early-${name}` }));
          expect(await stateOf(store, 'r', `early-${name}`)).toBe(state);
        }
        // Queued, and then: started, taken by steering, removed.
        for (const name of ['s', 'm', 'x'])
          await receive(name, { turnId: `t-${name}`, queued: true });
        await say(store, 'r', begun('other', { turnId: 't-s', attempt: 1 }));
        await say(store, 'r', steered(request('a', 'm'), { turnId: 't-s', attempt: 1 }));
        for (const name of ['s', 'm', 'x']) await say(store, 'r', accepted({ messageId: name }));
        expect(
          await Promise.all(['s', 'm', 'x'].map((name) => stateOf(store, 'r', name))),
        ).toStrictEqual(['applied t-s', 'applied t-s', 'failed removed']);
      });

      it('changes no row that is settled: by what comes late, of another request, of another conversation', async () => {
        const store = await newRoot();
        await say(store, 'x', created(null));
        await say(store, 'r', accepted({ messageId: 'm' }), accepted({ messageId: 'n' }));
        const own = request('a', 'm');
        const once: Turn = { turnId: 't1', attempt: 1 };
        await say(store, 'x', queuedUp(own), rejected(own));
        await say(
          store,
          'r',
          queuedUp('r1'),
          rejected('mail-of-nobody'),
          removedFromQueue(request('b', 'm')),
        );
        expect(await stateOf(store, 'r', 'm')).toBe('accepted');
        await say(store, 'r', begun(own, once), ended(once, 'failed'));
        const applied = await rowOf(store, 'r', 'm');
        await say(
          store,
          'r',
          queuedUp(own, 't2'),
          rejected(own),
          removedFromQueue(own),
          steered(own, once),
        );
        await say(store, 'r', { type: 'mail.expired', payload: { messageId: 'm', from: 'a' } });
        await say(store, 'r', {
          type: 'mail.again',
          payload: { messageId: 'm', from: 'a', sending: 2 },
        });
        // A retry of its turn is another request's.
        await say(store, 'r', begun('retry-1', { turnId: 't1', attempt: 2 }));
        expect(await rowOf(store, 'r', 'm')).toStrictEqual(applied);
        expect(await stateOf(store, 'r', 'n')).toBe('accepted');
      });

      it('lets expire what was not taken, and sends again what failed or expired, under its next request', async () => {
        const store = await newRoot();
        const own = (n: number): string => request('a', 'm', n);
        const expired: NewEvent = { type: 'mail.expired', payload: { messageId: 'm', from: 'a' } };
        const again = (sending: number, from: string | null = 'a'): NewEvent => ({
          type: 'mail.again',
          payload: { messageId: 'm', from, sending },
        });
        await say(store, 'r', accepted({ messageId: 'm', expiresAt: tick(1_002), waits: true }));
        await say(store, 'r', again(2));
        expect(await stateOf(store, 'r', 'm')).toBe('accepted');
        await say(store, 'r', expired);
        expect(await stateOf(store, 'r', 'm')).toBe('expired expired');
        // Too late, and the wrong one.
        await say(
          store,
          'r',
          begun(own(1), { turnId: 't0', attempt: 1 }),
          again(1),
          again(2, null),
        );
        expect(await stateOf(store, 'r', 'm')).toBe('expired expired');
        await say(store, 'r', again(2));
        expect(await rowOf(store, 'r', 'm')).toMatchObject({
          state: 'accepted',
          acceptedAt: tick(6),
          requestId: own(2),
          // As long as it had at first.
          expiresAt: tick(1_006),
        });
        expect(await rowOf(store, 'r', 'm')).not.toHaveProperty('reason');
        // It does not wait any more: somebody wants it now.
        const all = { conversationId: 'r', limit: 9, limitBytes: 1e6, waiting: false };
        expect((await store.takeableMail(all)).items).toMatchObject([{ requestId: own(2) }]);
        await say(store, 'r', rejected(own(1)), queuedUp(own(2), 't2'));
        await say(store, 'r', expired, again(3));
        expect(await stateOf(store, 'r', 'm')).toBe('delivered t2');
        await say(store, 'r', removedFromQueue(own(2), 't2'));
        await say(store, 'r', again(2));
        expect(await stateOf(store, 'r', 'm')).toBe('failed removed t2');
        await say(store, 'r', again(5));
        expect(await rowOf(store, 'r', 'm')).toStrictEqual({
          messageId: 'm',
          from: 'a',
          to: 'r',
          fromConversationId: 'a',
          toConversationId: 'r',
          kind: 'message',
          content: 'hi',
          state: 'accepted',
          requestId: own(5),
          acceptedAt: tick(11),
          expiresAt: tick(1_011),
        });
        // Its receipt may be there already.
        await store.append({
          stream: conversationStream('r'),
          events: [],
          request: receiptOf(own(6), { code: 'busy' }),
        });
        await say(store, 'r', rejected(own(5)));
        await say(store, 'r', again(6));
        expect(await stateOf(store, 'r', 'm')).toBe('failed busy');
      });

      it('sent again has a day when its time was over before it was accepted', async () => {
        const store = await newRoot();
        await say(store, 'r', accepted({ messageId: 'm', expiresAt: tick(2) }));
        const name = { messageId: 'm', from: 'a' };
        await say(store, 'r', { type: 'mail.expired', payload: name });
        await say(store, 'r', { type: 'mail.again', payload: { ...name, sending: 2 } });
        expect(await rowOf(store, 'r', 'm')).toMatchObject({
          state: 'accepted',
          expiresAt: tick(4 + MAIL_EXPIRY_MS),
        });
      });

      it('covers rows: they are not taken, and go along with what tells them', async () => {
        const store = await newRoot();
        await spawn(store, 'a');
        const expectCounts = async () => {
          const counts = { accepted: 0, delivered: 0, applied: 0, failed: 0, expired: 0 };
          for (const { state } of await allMail(store, 'r', 9)) counts[state] += 1;
          expect((await store.team('r'))?.agents[0]?.mail).toStrictEqual(counts);
        };
        const states = async () =>
          (await allMail(store, 'r', 9)).map(
            ({ messageId, state, coveredBy, requestId, turnId }) =>
              `${messageId} ${state}${coveredBy === undefined ? '' : ` by ${coveredBy}`}${requestId === undefined ? '' : ' own'}${turnId === undefined ? '' : ` ${turnId}`}`,
          );
        await say(store, 'r', ...['a', 'b', 'c', 'd'].map((messageId) => accepted({ messageId })));
        await say(store, 'r', queuedUp(request('a', 'c'), 't-c'));
        const recovery = (messageId: string, ...ids: string[]): NewEvent =>
          accepted({
            messageId,
            from: null,
            kind: 'recovery',
            covers: ids.map((id) => ({ messageId: id, from: 'a' })),
          });
        // What is on its way, what is not there, and what another covers already it does not cover.
        await say(
          store,
          'r',
          recovery('x', 'a', 'b', 'c', 'ghost'),
          recovery('y', 'b', 'd'),
          recovery('x', 'd'),
        );
        expect(await states()).toStrictEqual([
          'a accepted by x',
          'b accepted by x',
          'c delivered own t-c',
          'd accepted by y',
          'x accepted own',
          'y accepted own',
        ]);
        const all = { conversationId: 'r', limit: 9, limitBytes: 1e6, waiting: true };
        expect(
          (await store.takeableMail(all)).items.map(({ messageId }) => messageId),
        ).toStrictEqual(['x', 'y']);
        const own = request(null, 'x');
        await say(store, 'r', queuedUp(own, 't1'));
        await say(store, 'r', { type: 'mail.expired', payload: { messageId: 'd', from: 'a' } });
        expect((await states())[3]).toBe('d accepted by y');
        await say(store, 'r', removedFromQueue(own, 't1'), rejected(request(null, 'y')));
        await expectCounts();
        expect((await states()).slice(0, 4)).toStrictEqual([
          'a failed by x t1',
          'b failed by x t1',
          'c delivered own t-c',
          'd failed by y',
        ]);
        expect(await rowOf(store, 'r', 'a')).toMatchObject({
          reason: 'removed',
          deliveredAt: tick(6),
        });
        // One of them by itself; then what covers the rest.
        await say(store, 'r', {
          type: 'mail.again',
          payload: { messageId: 'b', from: 'a', sending: 2 },
        });
        await say(store, 'r', {
          type: 'mail.again',
          payload: { messageId: 'x', from: null, sending: 2 },
        });
        expect((await states()).slice(0, 2)).toStrictEqual(['a accepted by x', 'b accepted own']);
        await expectCounts();
        const second: Turn = { turnId: 't2', attempt: 1 };
        await say(store, 'r', begun(request(null, 'x', 2), second));
        expect(await states()).toStrictEqual([
          'a applied by x t2',
          'b accepted own',
          'c delivered own t-c',
          'd failed by y',
          'x applied own t2',
          'y failed own',
        ]);
        await expectCounts();
        expect(await rowOf(store, 'r', 'a')).toMatchObject({
          appliedAt: tick(11),
          deliveredAt: tick(11),
        });
      });

      it('sends by itself what was covered when it was on its way', async () => {
        const store = await newRoot();
        await say(store, 'r', accepted({ messageId: 'm' }));
        const covers = [{ messageId: 'm', from: 'a' }];
        await say(store, 'r', accepted({ messageId: 'x', from: null, kind: 'recovery', covers }));
        await say(store, 'r', queuedUp(request('a', 'm'), 't1'));
        await say(store, 'r', rejected(request(null, 'x')));
        expect(await stateOf(store, 'r', 'm')).toBe('delivered t1');
        expect(await rowOf(store, 'r', 'm')).not.toHaveProperty('coveredBy');
      });

      it('covers only what others sent, and only by what Holdfast tells: nothing that covers is covered', async () => {
        const store = await (await newData()).open({ clock: ticking() });
        await openLife(store);
        await say(
          store,
          'alone',
          accepted({ messageId: 'm', from: 'r' }),
          accepted({ messageId: 'x', from: 'q', covers: [{ messageId: 'm', from: 'r' }] }),
          accepted({
            messageId: 'y',
            from: null,
            kind: 'recovery',
            covers: [{ messageId: 'x', from: 'q' }],
          }),
        );
        await say(store, 'alone', queuedUp(request(null, 'y'), 't1'));
        expect(await stateOf(store, 'alone', 'x', 'q')).toBe('delivered t1');
        expect(await stateOf(store, 'alone', 'm', 'r')).toBe('accepted');
        const all = { conversationId: 'alone', limit: 9, limitBytes: 1e6, waiting: true };
        expect((await store.takeableMail(all)).items).toMatchObject([{ messageId: 'm' }]);
        await say(store, 'alone', begun(request('q', 'x'), t));
        await expectLogs(store, true);
      });

      it('is read page by page, of what was received, sent, or both, by state', async () => {
        const store = await newRoot();
        await spawn(store, 'a');
        await spawn(store, 'b');
        for (const n of upTo(3)) {
          await say(store, 'r', accepted({ messageId: `r${n}`, from: 'a' }));
          await say(store, 'a', accepted({ messageId: `a${n}`, from: n === 2 ? 'b' : 'r' }));
        }
        await say(store, 'r', rejected(request('a', 'r2')));
        await say(store, 'r', accepted({ messageId: 'h', from: null }));
        const ids = async (more: Parameters<typeof allMail>[3], limit = 2, of = 'r') =>
          (await allMail(store, of, limit, more)).map(({ messageId }) => messageId).join(' ');
        for (const limit of [1, 2, 3, 9]) {
          expect(await ids({ box: 'in' }, limit)).toBe('r1 r2 r3 h');
          expect(await ids({ box: 'out' }, limit)).toBe('a1 a3');
          expect(await ids({ box: 'any' }, limit)).toBe('r1 a1 r2 r3 a3 h');
          expect(await ids({ box: 'any', state: 'accepted' }, limit)).toBe('r1 a1 r3 a3 h');
          expect(await ids({ box: 'in', state: 'failed' }, limit)).toBe('r2');
          expect(await ids({ box: 'out', state: 'failed' }, limit)).toBe('');
          expect(await ids({ box: 'out', state: 'failed' }, limit, 'a')).toBe('r2');
        }
        const [first] = await allMail(store, 'r', 9);
        expect(first).toMatchObject({ from: 'a', to: 'root' });
        expect((await allMail(store, 'a', 9))[0]).toMatchObject({ from: 'root', to: 'a' });
        for (const cursor of ['', '0', '-1', '1.5', 'x', '1 OR 1', '9'.repeat(16)])
          await expect(
            store.mail({ conversationId: 'r', box: 'in', state: null, cursor, limit: 9 }),
          ).rejects.toMatchObject({ code: 'invalid_request' });
      });

      it('gives what is to be taken in its order, as much as fits; what never would goes alone, when there is all the room', async () => {
        const store = await newRoot();
        await spawn(store, 'a', null, linkOf('a', { name: 'Ada', agentId: 'ada' }));
        const mail = [
          accepted({ messageId: '1', content: 'x'.repeat(100), expiresAt: tick(0) }),
          accepted({ messageId: '2', from: null, kind: 'recovery', boot: 'b' }),
          accepted({ messageId: '3', from: 'r', whenBusy: 'steer' }),
          accepted({ messageId: '4', kind: 'error', outcome: 'failed', waits: true }),
          accepted({ messageId: '5', from: 'stranger' }),
        ];
        await say(store, 'r', ...mail);
        const take = async (limit: number, limitBytes: number, waiting = true) => {
          const { items, more } = await store.takeableMail({
            conversationId: 'r',
            limit,
            limitBytes,
            waiting,
          });
          return `${items.map(({ messageId }) => messageId).join('')}${more ? '+' : ''}`;
        };
        const { items } = await store.takeableMail({
          conversationId: 'r',
          limit: 9,
          limitBytes: 1e6,
          waiting: true,
        });
        const sizes = items.map((item) => Buffer.byteLength(promptOfMail(item)));
        const upToSize = (count: number): number =>
          sizes.slice(0, count).reduce((sum, size) => sum + size, 0);
        expect(items[0]).toStrictEqual({
          messageId: '1',
          from: 'a',
          sender: { agentId: 'ada', name: 'Ada' },
          kind: 'message',
          content: 'x'.repeat(100),
          outcome: null,
          whenBusy: 'queue',
          requestId: request('a', '1'),
          expiresAt: tick(0),
        });
        expect(items.map(({ sender }) => sender)).toStrictEqual([
          { agentId: 'ada', name: 'Ada' },
          null,
          { agentId: 'root', name: 'root' },
          { agentId: 'ada', name: 'Ada' },
          { agentId: 'stranger', name: '' },
        ]);
        expect(items[2]?.whenBusy).toBe('steer');
        expect(items[3]?.outcome).toBe('failed');
        expect(await take(9, 1e6)).toBe('12345');
        expect(await take(5, 1e6)).toBe('12345');
        expect(await take(4, 1e6)).toBe('1234+');
        expect(await take(9, 1e6, false)).toBe('1235');
        expect(await take(3, 1e6, false)).toBe('123+');
        expect(await take(9, upToSize(3))).toBe('123+');
        expect(await take(9, upToSize(3) - 1)).toBe('12+');
        expect(await take(9, upToSize(5))).toBe('12345');
        expect(await take(9, upToSize(1) - 1)).toBe('+');
        expect(await take(9, 0)).toBe('+');
        expect(await take(0, 1e6)).toBe('+');
        await say(store, 'r', queuedUp(request('a', '1')), rejected(request('a', '4')));
        expect(await take(1, 1e6)).toBe('2+');
        for (const [from, id] of [
          [null, '2'],
          ['r', '3'],
          ['stranger', '5'],
        ] as const)
          await say(store, 'r', rejected(request(from, id)));
        expect(await take(9, 1e6)).toBe('');
        expect(await take(0, 1e6)).toBe('');
      });

      it('gives a row’s prompt again as it was when it was taken, whatever it is called by now', async () => {
        const store = await newTask();
        const spoken = { messageId: 'm', from: 'r', content: 'half \ud83d' };
        await say(store, 'a', accepted(spoken));
        await say(
          store,
          'r',
          accepted({ messageId: 'n', from: 'a' }),
          accepted({ messageId: 'h', from: null, kind: 'recovery' }),
        );
        const all = { limit: 9, limitBytes: 1e6, waiting: true };
        const takenBy = async (conversationId: string) =>
          (await store.takeableMail({ conversationId, ...all })).items;
        const taken = [...(await takenBy('a')), ...(await takenBy('r'))];
        expect(taken).toHaveLength(3);
        await say(store, 'r', { type: 'conversation.updated', payload: { title: 'renamed' } });
        await say(store, 'a', { type: 'conversation.updated', payload: { title: 'renamed' } });
        for (const { requestId } of taken) {
          await say(store, 'a', queuedUp(requestId));
          await say(store, 'r', queuedUp(requestId));
        }
        const ids = ['nothing', ...taken.map(({ requestId }) => requestId), request('r', 'task')];
        const texts = new Map([
          ...(await store.mailTexts('a', ids)),
          ...(await store.mailTexts('r', ids)),
        ]);
        expect([...texts]).toStrictEqual([
          [request('r', 'm'), '[Holdfast mail] Message from agent root:\nhalf \ud83d'],
          [request('r', 'task'), 'do it'],
          [request('a', 'n'), '[Holdfast mail] Message from agent a:\nhi'],
          [request(null, 'h'), '[Holdfast mail] After an interruption:\nhi'],
        ]);
        for (const item of taken) expect(texts.get(item.requestId)).toBe(promptOfMail(item));
      });

      it('W2 gives one that is larger than all the room for mail, alone, and no other beyond what is left', async () => {
        const store = await newRoot();
        await spawn(store, 'a');
        const huge = 'x'.repeat(MAIL_QUEUE_LIMIT_BYTES + 1);
        await say(
          store,
          'r',
          accepted({ messageId: '1', content: huge }),
          accepted({ messageId: '2' }),
        );
        const take = async (limitBytes: number) => {
          const asked = { conversationId: 'r', limit: 9, limitBytes, waiting: true };
          const { items, more } = await store.takeableMail(asked);
          return [...items.map(({ messageId }) => messageId), more];
        };
        expect(await take(MAIL_QUEUE_LIMIT_BYTES)).toStrictEqual(['1', true]);
        expect(await take(MAIL_QUEUE_LIMIT_BYTES - 1)).toStrictEqual([true]);
      });

      it('W2 counts what nobody has taken, up to a limit', async () => {
        const store = await newRoot();
        await spawn(store, 'a');
        const ids = ['1', '2', '3'];
        await say(store, 'r', ...ids.map((messageId) => accepted({ messageId })));
        expect(await store.untakenMail('r', 9)).toBe(3);
        expect(await store.untakenMail('r', 2)).toBe(2);
        await say(store, 'r', queuedUp(request('a', '1')));
        expect(await store.untakenMail('r', 9)).toBe(2);
        expect(await store.untakenMail('a', 9)).toBe(0);
      });

      it('tells which conversations have mail that nobody has taken', async () => {
        const store = await newRoot();
        for (const id of ['a', 'b', 'c', 'd', 'e']) await spawn(store, id);
        // tick 7, 8, …
        await say(store, 'c', accepted({ messageId: 'm' }), accepted({ messageId: 'n' }));
        await say(store, 'b', accepted({ messageId: 'm', waits: true }));
        await say(store, 'a', accepted({ messageId: 'm' }));
        await say(store, 'd', accepted({ messageId: 'm' }));
        await say(store, 'd', queuedUp(request('a', 'm')));
        await say(store, 'e', accepted({ messageId: 'm' }));
        const untaken = (n: number, after = '', limit = 9) =>
          store.withUntakenMail({ acceptedBefore: tick(n), after, limit });
        expect(await untaken(99)).toStrictEqual(['a', 'c', 'e']);
        expect(await untaken(99, 'a')).toStrictEqual(['c', 'e']);
        expect(await untaken(99, '', 2)).toStrictEqual(['a', 'c']);
        expect(await untaken(9)).toStrictEqual(['c']);
        expect(await untaken(7)).toStrictEqual([]);
        await say(
          store,
          'e',
          accepted({
            messageId: 'x',
            from: null,
            kind: 'recovery',
            covers: [{ messageId: 'm', from: 'a' }],
          }),
        );
        await say(store, 'e', queuedUp(request(null, 'x')));
        await say(store, 'c', rejected(request('a', 'm')));
        expect(await untaken(99)).toStrictEqual(['a', 'c']);
        // Sent again it counts from then on.
        await say(store, 'c', rejected(request('a', 'n')));
        await say(store, 'c', {
          type: 'mail.again',
          payload: { messageId: 'n', from: 'a', sending: 2 },
        });
        expect(await untaken(17)).toStrictEqual(['a']);
        expect(await untaken(18)).toStrictEqual(['a', 'c']);
      });
    });

    describe('M1 a child’s end', () => {
      it.each(outcomes)('%s is a row of its parent’s, in the same transaction', async (outcome) => {
        const store = await newTask();
        await say(store, 'a', ...said(t, 's1', 'half \ud83d '), ...said(t, 's2', 'an answer'));
        await say(store, 'a', ended(t, outcome, { boot: 'b' }));
        const log = await logOf(store, conversationStream('r'));
        const end = (await logOf(store, conversationStream('a'))).at(-1);
        const row = await rowOf(store, 'r', 'end-t-1');
        expect(log.at(-1)).toStrictEqual({
          type: 'mail.accepted',
          conversationId: 'r',
          seq: 2,
          at: end?.at,
          payload: {
            messageId: 'end-t-1',
            from: 'a',
            kind: outcome === 'completed' ? 'result' : 'error',
            outcome,
            content: row?.content,
            ...(outcome === 'interrupted' ? { boot: 'b' } : {}),
          },
        });
        expect(row).toMatchObject({ state: 'accepted', acceptedAt: end?.at, outcome });
        expect(row?.content).toBe(
          {
            completed: 'half \ud83d an answer',
            failed: '(provider_error)\nno money\nIt had said:\nhalf \ud83d an answer',
            cancelled: '(user)\nIt had said:\nhalf \ud83d an answer',
            interrupted: '(lost)\nIt had said:\nhalf \ud83d an answer',
          }[outcome],
        );
        const team = await store.team('r');
        expect(team?.agents.map(({ outcome: last, mail }) => [last, mail.accepted])).toStrictEqual([
          [null, 1],
          [outcome, 0],
        ]);
      });

      it('says what was left open as the transcript has it, not what was discarded or thought', async () => {
        const store = await newTask();
        const open = (messageId: string, kind: 'text' | 'reasoning' = 'text'): NewEvent => ({
          type: 'assistant.segment.started',
          ...t,
          payload: { messageId, kind },
        });
        const delta = (messageId: string, text: string): NewEvent => ({
          type: 'chat.delta',
          ...t,
          payload: { messageId, text },
        });
        await say(store, 'a', open('s1'), delta('s1', 'no'), {
          type: 'assistant.segment.discarded',
          ...t,
          payload: { messageId: 's1', reason: 'retry' },
        });
        await say(
          store,
          'a',
          open('s2', 'reasoning'),
          delta('s2', 'hm'),
          open('s3'),
          delta('s3', 'half of'),
        );
        await say(store, 'a', delta('s3', ' it'), ended(t, 'completed'));
        expect((await rowOf(store, 'r', 'end-t-1'))?.content).toBe('half of it');
        expect(await store.answerText('t', 1)).toBe('half of it');
      });

      it('is one for each attempt of its task, and of nothing else that it does', async () => {
        const store = await newTask();
        await spawn(store, 'none');
        const end = async (
          id: string,
          attempt: number,
          turnId = 't',
          requestId: string | null = null,
        ) => {
          const of = { turnId, attempt };
          if (turnId !== 't' || attempt > 1) await say(store, id, begun(requestId, of));
          await say(store, id, ended(of, 'completed'));
        };
        await end('a', 1);
        await end('a', 2, 't', 'retry-t-1');
        await end('a', 1, 't9', 'r9');
        await say(store, 'a', accepted({ messageId: 'm', from: 'r' }));
        await end('a', 1, 't10', request('r', 'm'));
        await end('none', 1, 't11', 'r11');
        await end('r', 1, 't12', 'r12');
        await end('a', 3, 't', null);
        const rows = await allMail(store, 'r', 9);
        expect(rows.map(({ messageId }) => messageId)).toStrictEqual([
          'end-t-1',
          'end-t-2',
          'end-t-3',
        ]);
        // An end that is refused tells nobody.
        await expect(say(store, 'a', ended(t, 'failed'))).rejects.toMatchObject({ code: 'fenced' });
        await say(store, 'a', begun(null, { turnId: 't', attempt: 4 }));
        const fourth = { turnId: 't', attempt: 4 };
        await expect(
          say(store, 'a', ended(fourth, 'completed'), ended(fourth, 'failed')),
        ).rejects.toMatchObject({
          code: 'fenced',
        });
        expect(await allMail(store, 'r', 9)).toHaveLength(3);
        expect(await store.lastSeq(conversationStream('r'))).toBe(6);
      });

      it('is of its task when that has begun, was queued first, was taken by steering, or was sent again', async () => {
        const store = await newRoot();
        const own = request('r', 'task');
        const other = { turnId: 't0', attempt: 1 };
        for (const id of ['queued', 'steered', 'resent', 'untold']) await spawn(store, id, 'do it');
        await say(store, 'queued', queuedUp(own, 't1'));
        await say(store, 'queued', begun(own, { turnId: 't1', attempt: 1 }));
        await say(store, 'queued', ended({ turnId: 't1', attempt: 1 }, 'completed'));
        await say(store, 'steered', begun('r0', other), steered(own, other));
        await say(store, 'steered', ended(other, 'completed'));
        await say(store, 'resent', rejected(own), {
          type: 'mail.again',
          payload: { messageId: 'task', from: 'r', sending: 2 },
        });
        const second = request('r', 'task', 2);
        await say(store, 'resent', begun(second, { turnId: 't2', attempt: 1 }));
        await say(store, 'resent', ended({ turnId: 't2', attempt: 1 }, 'completed'));
        // Its task waits still; and a task that somebody else gives it is not the one that it was made with.
        await say(store, 'untold', accepted({ messageId: 'x', from: 'queued', kind: 'task' }));
        await say(
          store,
          'untold',
          queuedUp(own, 't3'),
          begun(request('queued', 'x'), { turnId: 't4', attempt: 1 }),
        );
        await say(store, 'untold', ended({ turnId: 't4', attempt: 1 }, 'completed'));
        expect(
          (await allMail(store, 'r', 9)).map(({ from, messageId }) => `${from} ${messageId}`),
        ).toStrictEqual(['queued end-t1-1', 'steered end-t0-1', 'resent end-t2-1']);
        expect(await allMail(store, 'queued', 9)).toHaveLength(1);
      });

      it('goes to the agent that made it, up the tree, and waits there when a cascade has cancelled it', async () => {
        const store = await newTask();
        await spawn(store, 'b', 'do it', linkOf('b', { parentId: 'a', depth: 2 }));
        const of: Turn = { turnId: 'tb', attempt: 1 };
        await say(store, 'b', begun(request('a', 'task'), of));
        await say(store, 'b', ended(of, 'cancelled', { by: 'cascade' }));
        expect(await stateOf(store, 'a', 'end-tb-1', 'b')).toBe('accepted');
        expect(await allMail(store, 'r', 9)).toStrictEqual([]);
        const all = { conversationId: 'a', limit: 9, limitBytes: 1e6 };
        const ids = async (waiting: boolean) =>
          (await store.takeableMail({ ...all, waiting })).items.map(({ messageId }) => messageId);
        expect(await ids(false)).toStrictEqual([]);
        expect(await ids(true)).toStrictEqual(['end-tb-1']);
        await say(store, 'a', ended(t, 'cancelled', { by: 'user' }));
        const own = await store.takeableMail({ ...all, conversationId: 'r', waiting: false });
        expect(own.items).toHaveLength(1);
      });

      it('is told though the child has used its messageId for something else', async () => {
        const store = await newTask();
        for (const messageId of ['end-t-1', 'end-t-1-2'])
          await say(store, 'r', accepted({ messageId, from: 'a', content: 'a lie' }));
        await say(store, 'a', ended(t, 'completed'));
        const rows = await allMail(store, 'r', 9);
        expect(rows.map(({ messageId, kind }) => `${messageId} ${kind}`)).toStrictEqual([
          'end-t-1 message',
          'end-t-1-2 message',
          'end-t-1-3 result',
        ]);
      });
    });

    describe('M2 a recovery', () => {
      const interrupted = (of: Turn, name: string): NewEvent =>
        ended(of, 'interrupted', { boot: name });
      const recovery = (name: string, messageId = `recovery-${name}`): NewEvent =>
        accepted({ messageId, from: null, kind: 'recovery', boot: name });

      it('is owed for each end that names its boot, of the root or below it, until the root is told', async () => {
        const store = await newTask();
        await spawn(store, 'b', 'do it', linkOf('b', { parentId: 'a', depth: 2 }));
        const tb: Turn = { turnId: 'tb', attempt: 1 };
        const tr: Turn = { turnId: 'tr', attempt: 1 };
        await say(store, 'b', begun(request('a', 'task'), tb));
        await say(store, 'r', begun('r1', tr));
        await say(store, 'alone', created(null), begun('r1', { turnId: 'tx', attempt: 1 }));
        const place = { spool: 's', from: 0 };
        for (const [conversationId, of] of [
          ['a', t],
          ['r', tr],
          ['alone', { turnId: 'tx', attempt: 1 }],
        ] as const)
          await store.claim({ conversationId, ...of, host: 'half \ud83d', place });
        // Nobody had claimed this one: it is of the host that it is pinned to.
        await say(store, 'b', { type: 'conversation.updated', payload: { host: 'half \ud83d' } });
        expect(await store.owedRecoveries('half \ud83d')).toStrictEqual([]);
        await say(store, 'b', interrupted(tb, 'b1'));
        await say(store, 'r', interrupted(tr, 'b1'));
        await say(store, 'a', interrupted(t, 'b2'));
        // It is of no team.
        await say(store, 'alone', interrupted({ turnId: 'tx', attempt: 1 }, 'b1'));
        const row = (conversationId: string, of: Turn, boot: string, n: number) => ({
          conversationId,
          ...of,
          boot,
          cause: 'lost',
          at: tick(n),
        });
        expect(await store.owedRecoveries('half \ud83d')).toStrictEqual([
          {
            rootId: 'r',
            interrupted: [row('b', tb, 'b1', 12), row('r', tr, 'b1', 13), row('a', t, 'b2', 14)],
          },
        ]);
        expect(await store.owedRecoveries('other')).toStrictEqual([]);
        // Told to somebody else it is still owed; another mail is no recovery.
        await say(store, 'a', recovery('b2'));
        await say(store, 'r', accepted({ messageId: 'm', boot: 'b2' }));
        expect(await store.owedRecoveries('half \ud83d')).toHaveLength(1);
        await say(store, 'r', recovery('b2'));
        expect(await store.owedRecoveries('half \ud83d')).toStrictEqual([]);
      });

      it('is not owed for an end that names no boot, that is another end, or of a boot that was told', async () => {
        const store = await newTask();
        const next = async (attempt: number, end: NewEvent) => {
          if (attempt > 1) await say(store, 'a', begun(null, { turnId: 't', attempt }));
          await say(store, 'a', end);
        };
        await next(1, ended(t, 'interrupted'));
        await next(2, ended({ turnId: 't', attempt: 2 }, 'failed'));
        expect(await store.owedRecoveries('any')).toStrictEqual([]);
        await next(3, interrupted({ turnId: 't', attempt: 3 }, 'b1'));
        expect(await store.owedRecoveries('any')).toHaveLength(1);
        await say(store, 'r', recovery('b1'));
        // One recovery for (root, boot): it would have the same messageId.
        await next(4, interrupted({ turnId: 't', attempt: 4 }, 'b1'));
        expect(await store.owedRecoveries('any')).toStrictEqual([]);
        // What is no recovery has told nothing.
        await say(store, 'r', accepted({ messageId: 'z', from: null, boot: 'b2' }));
        await next(5, interrupted({ turnId: 't', attempt: 5 }, 'b2'));
        // A message that looks like one is none; a repeat of the row settles it all the same.
        await say(store, 'r', accepted({ messageId: 'recovery-b2', from: 'a' }));
        expect(await store.owedRecoveries('any')).toHaveLength(1);
        await say(store, 'r', recovery('b2', 'recovery-b1'));
        expect(await store.owedRecoveries('any')).toStrictEqual([]);
        // One of a boot of which nothing is owed settles all.
        await next(6, interrupted({ turnId: 't', attempt: 6 }, 'b3'));
        expect(await store.owedRecoveries('any')).toHaveLength(1);
        await say(store, 'r', recovery('b4'));
        expect(await store.owedRecoveries('any')).toStrictEqual([]);
      });

      it('is owed by each host for itself, and until then no end of that boot is taken from the root’s mailbox', async () => {
        const store = await newTask();
        await spawn(store, 'b', 'do it');
        await spawn(store, 'c', 'do it', linkOf('c', { parentId: 'a', depth: 2 }));
        const turns: Record<string, Turn> = {};
        for (const [id, parent] of [
          ['b', 'r'],
          ['c', 'a'],
        ] as const) {
          const of = (turns[id] = { turnId: `t-${id}`, attempt: 1 });
          await say(store, id, begun(request(parent, 'task'), of));
        }
        const place = { spool: 's', from: 0 };
        await store.claim({ conversationId: 'a', ...t, host: 'h1', place });
        await store.claim({ conversationId: 'b', ...(turns['b'] ?? t), host: 'h2', place });
        await store.claim({ conversationId: 'c', ...(turns['c'] ?? t), host: 'h2', place });
        await say(store, 'r', accepted({ messageId: 'm', from: 'a' }));
        await say(store, 'c', interrupted(turns['c'] ?? t, 'boot2'));
        await say(store, 'a', interrupted(t, 'boot1'));
        await say(store, 'b', interrupted(turns['b'] ?? t, 'boot2'));
        const ids = async (conversationId: string) =>
          (
            await store.takeableMail({ conversationId, limit: 9, limitBytes: 1e6, waiting: true })
          ).items.map(({ messageId }) => messageId);
        const untaken = () => store.withUntakenMail({ acceptedBefore: '9', after: '', limit: 9 });
        expect(await ids('r')).toStrictEqual(['m']);
        expect(await untaken()).toStrictEqual(['a', 'r']);
        // Below the root nobody waits for it.
        expect(await ids('a')).toStrictEqual(['end-t-c-1']);
        await say(store, 'r', queuedUp(request('a', 'm')));
        expect(await ids('r')).toStrictEqual([]);
        expect(await untaken()).toStrictEqual(['a']);
        await say(store, 'r', recovery('boot1'));
        expect(await store.owedRecoveries('h1')).toStrictEqual([]);
        const [owed] = await store.owedRecoveries('h2');
        expect(owed?.interrupted.map(({ conversationId }) => conversationId)).toStrictEqual([
          'c',
          'b',
        ]);
        // The recovery has a boot too, and is taken when all is told.
        expect(await ids('r')).toStrictEqual([]);
        await say(
          store,
          'r',
          accepted({
            messageId: 'recovery-boot2',
            from: null,
            kind: 'recovery',
            boot: 'boot2',
            covers: [{ messageId: 'end-t-b-1', from: 'b' }],
          }),
        );
        expect(await store.owedRecoveries('h2')).toStrictEqual([]);
        expect(await ids('r')).toStrictEqual(['end-t-1', 'recovery-boot1', 'recovery-boot2']);
        expect(await untaken()).toStrictEqual(['a', 'r']);
      });
    });

    it('M2 what a host owes that is gone hides nothing for long, and any host tells it then', async () => {
      const clock = { ms: Date.UTC(2026, 10, 21) };
      const store = await (await newData()).open({ clock: () => (clock.ms += 1) });
      await say(store, 'r', created(null));
      await spawn(store, 'a', 'do it');
      await say(store, 'a', begun(request('r', 'task'), t));
      const place = { spool: 's', from: 0 };
      await store.claim({ conversationId: 'a', ...t, host: 'gone', place });
      await say(store, 'a', ended(t, 'interrupted', { boot: 'b' }));
      const look = { limit: 9, limitBytes: 1e6, waiting: true };
      const takeable = async () =>
        (await store.takeableMail({ conversationId: 'r', ...look })).items.length;
      expect(await takeable()).toBe(0);
      expect(await store.owedRecoveries('other')).toStrictEqual([]);
      clock.ms += RECOVERY_OWED_MS;
      expect(await takeable()).toBe(1);
      const untaken = { acceptedBefore: '9', after: '', limit: 9 };
      expect(await store.withUntakenMail(untaken)).toContain('r');
      expect(await store.owedRecoveries('other')).toMatchObject([
        { rootId: 'r', interrupted: [{ conversationId: 'a', boot: 'b' }] },
      ]);
      await say(
        store,
        'r',
        accepted({ messageId: 'recovery-b', from: null, kind: 'recovery', boot: 'b' }),
      );
      expect(await store.owedRecoveries('other')).toStrictEqual([]);
    });

    describe('T2 a team', () => {
      it('begins with the first child: its root is told, and then each member whenever it changes', async () => {
        const store = await newRoot();
        await store.append({
          stream: conversationStream('r'),
          events: [accepted({ messageId: 'm', from: null }), queuedUp(request(null, 'm'))],
        });
        const root = {
          agentId: 'root',
          conversationId: 'r',
          parentId: null,
          name: 'the root',
          role: '',
          depth: 0,
          provider: 'scripted',
          model: null,
          workspacePath: '/w',
          providerSessionId: null,
          state: 'idle',
          outcome: null,
          lastLine: '',
          turnCount: 0,
          queued: 0,
          approvals: 0,
          usage: { inputTokens: 0, outputTokens: 0 },
          mail: { accepted: 0, delivered: 1, applied: 0, failed: 0, expired: 0 },
          createdAt: tick(1),
          lastAt: tick(1),
        };
        expect(await store.team('r')).toStrictEqual({ rootId: 'r', agents: [root], lastSeq: 0 });
        expect(await store.lastSeq(teamStream('r'))).toBe(0);
        const link = linkOf('a', { agentId: 'ada', name: 'Ada \ud83d', role: 'reads \udc00' });
        await spawn(store, 'a', 'do it', link);
        const child = {
          ...root,
          agentId: 'ada',
          conversationId: 'a',
          parentId: 'r',
          name: 'Ada \ud83d',
          role: 'reads \udc00',
          depth: 1,
          mail: { accepted: 1, delivered: 0, applied: 0, failed: 0, expired: 0 },
          createdAt: tick(3),
          lastAt: tick(3),
        };
        expect(await logOf(store, teamStream('r'))).toStrictEqual(
          [root, child].map((agent, index) => ({
            type: 'agent.changed',
            rootId: 'r',
            seq: index + 1,
            at: tick(3),
            payload: { agent },
          })),
        );
        expect(await store.team('r')).toStrictEqual({
          rootId: 'r',
          agents: [root, child],
          lastSeq: 2,
        });
        expect(await store.agent('a')).toStrictEqual({
          conversationId: 'a',
          ...link,
          task: 'do it',
        });
        // A second child is no news of the root.
        await spawn(store, 'b');
        expect(await store.lastSeq(teamStream('r'))).toBe(3);
        expect((await store.agent('b'))?.task).toBeNull();
      });

      it('is told at the moments of a list and when a mailbox changes, and of nothing in between', async () => {
        const store = await newTask();
        let seq = await store.lastSeq(teamStream('r'));
        const told = async (...events: NewEvent[]) => {
          await say(store, 'a', ...events);
          const log = (await logOf(store, teamStream('r'))).slice(seq);
          seq += log.length;
          return log.map((event) =>
            event.type === 'agent.changed' ? event.payload.agent : event.type,
          );
        };
        const item = { requestId: 'r9', turnId: 't9', content: '', position: 0, attempt: 1 };
        const approval = { approvalId: 'p', title: '', input: null, options: [] };
        const segment = said(t, 's1', 'first\nlast');
        expect(
          await told({ type: 'conversation.state', payload: { state: 'processing' } }),
        ).toMatchObject([{ state: 'processing', turnCount: 1 }]);
        expect(await told({ type: 'queue.changed', payload: { queue: [item] } })).toMatchObject([
          { queued: 1 },
        ]);
        expect(await told({ type: 'approval.requested', ...t, payload: approval })).toMatchObject([
          { approvals: 1 },
        ]);
        expect(await told(...segment, note('x'))).toStrictEqual([]);
        expect(
          await told({ type: 'usage', ...t, payload: { inputTokens: 3, outputTokens: 5 } }),
        ).toStrictEqual([]);
        expect(await told({ type: 'conversation.updated', payload: { host: 'h' } })).toStrictEqual(
          [],
        );
        const { epoch } = await store.claim({
          conversationId: 'a',
          ...t,
          host: 'h',
          place: { spool: 's', from: 0 },
        });
        await store.saveProviderSession({ ...t, epoch }, 'a', 'session \ud83d', 0);
        expect((await store.team('r'))?.agents[1]).toMatchObject({
          lastLine: '',
          usage: { inputTokens: 0, outputTokens: 0 },
          providerSessionId: null,
        });
        expect(await told(accepted({ messageId: 'm', from: 'r' }))).toMatchObject([
          {
            mail: { accepted: 1, applied: 1 },
            lastLine: '',
            usage: { inputTokens: 3, outputTokens: 5 },
            providerSessionId: 'session \ud83d',
          },
        ]);
        expect(await told(accepted({ messageId: 'm', from: 'r' }), queuedUp('r10'))).toStrictEqual(
          [],
        );
        expect(
          await told({ type: 'conversation.updated', payload: { title: 'x', model: 'big' } }),
        ).toMatchObject([{ name: 'a', model: 'big' }]);
        const both = await told(ended(t, 'completed'));
        expect(both).toMatchObject([
          { agentId: 'a', outcome: 'completed', approvals: 0, lastLine: 'last' },
          { agentId: 'root', mail: { accepted: 1 } },
        ]);
        await say(store, 'a', accepted({ messageId: 'n', from: 'r' }));
        seq = await store.lastSeq(teamStream('r'));
        const expired: NewEvent = { type: 'mail.expired', payload: { messageId: 'n', from: 'r' } };
        expect(await told(expired)).toMatchObject([{ mail: { expired: 1 } }]);
        expect(await told(expired)).toStrictEqual([]);
        await told(begun(null, { turnId: 't2', attempt: 1 }));
        const again = await told(ended({ turnId: 't2', attempt: 1 }, 'failed'));
        expect(again).toMatchObject([{ outcome: 'failed', turnCount: 2 }]);
        await say(store, 'r', { type: 'conversation.updated', payload: { title: 'other' } });
        expect((await store.team('r'))?.agents).toMatchObject([{ name: 'other' }, again[0]]);
      });

      it('tells its table too, when the root is in one', async () => {
        const store = await (await newData()).open({ clock: ticking() });
        await store.append({ stream: tableStream('tb'), events: [tableCreated()] });
        await say(store, 'r', created('tb', 'the root'));
        await store.append({ stream: tableStream('tb'), events: [activated('r')] });
        await spawn(store, 'a');
        const before = await store.lastSeq(tableStream('tb'));
        await say(store, 'r', started(turn));
        expect(await store.lastSeq(tableStream('tb'))).toBe(before + 1);
        expect(await store.lastSeq(teamStream('r'))).toBe(3);
        // A list shows nothing of a mailbox.
        await say(store, 'r', accepted({ messageId: 'm' }));
        expect(await store.lastSeq(tableStream('tb'))).toBe(before + 1);
        expect(await store.lastSeq(teamStream('r'))).toBe(4);
        expect((await store.team('r'))?.agents[0]).toMatchObject({
          turnCount: 1,
          mail: { accepted: 1 },
        });
      });

      it('is a tree: whose child, by which agentId, a parent before its children', async () => {
        const store = await newRoot();
        await spawn(store, 'z');
        await spawn(store, 'c', null, linkOf('c', { parentId: 'z', depth: 2 }));
        await spawn(store, 'a');
        await spawn(store, 'b', null, linkOf('b', { parentId: 'c', depth: 3 }));
        await spawn(store, 'd', null, linkOf('d', { parentId: 'z', depth: 2, agentId: 'x' }));
        const team = await store.team('r');
        expect(
          team?.agents.map(({ agentId, parentId, depth }) => `${agentId} ${parentId} ${depth}`),
        ).toStrictEqual(['root null 0', 'z r 1', 'c z 2', 'a r 1', 'b c 3', 'x z 2']);
        expect(await store.children('r')).toStrictEqual(['z', 'a']);
        expect(await store.children('z')).toStrictEqual(['c', 'd']);
        expect(await store.children('b')).toStrictEqual([]);
        expect(await store.memberByAgentId('r', 'x')).toBe('d');
        expect(await store.memberByAgentId('r', 'd')).toBeNull();
        expect(await store.memberByAgentId('r', 'root')).toBe('r');
        expect(await store.memberByAgentId('z', 'root')).toBeNull();
        expect(await store.memberByAgentId('nobody', 'root')).toBeNull();
        expect(await store.memberByAgentId('z', 'c')).toBeNull();
        await say(store, 'alone', created(null));
        expect(await store.memberByAgentId('alone', 'root')).toBe('alone');
        expect(await store.agent('r')).toBeNull();
        expect(await store.agent('nobody')).toBeNull();
        expect(await store.team('z')).toBeNull();
        expect(await store.team('nobody')).toBeNull();
      });

      it('has each agentId once, and no agent whose link is not true; nothing of what is refused is stored', async () => {
        const store = await newRoot();
        await spawn(store, 'a', 'do it');
        await say(store, 'other', created(null));
        const before = await store.lastSeq(teamStream('r'));
        const refused = async (link: ReturnType<typeof linkOf>) => {
          const error: unknown = await spawn(store, 'b', 'do it', link).then(
            () => null,
            (reason: unknown) => reason,
          );
          return error;
        };
        for (const link of [
          linkOf('a'),
          linkOf('root'),
          linkOf('a', { parentId: 'a', depth: 2 }),
          linkOf('a', { name: 'another' }),
        ])
          expect(await refused(link)).toMatchObject({
            code: 'request_id_reused',
            detail: { agentId: link.agentId },
          });
        expect(await refused(linkOf('b', { parentId: 'nobody' }))).toMatchObject({
          code: 'not_found',
        });
        for (const link of [
          linkOf('b', { rootId: 'a' }),
          linkOf('b', { rootId: 'other' }),
          linkOf('b', { parentId: 'other' }),
          linkOf('b', { depth: 2 }),
          linkOf('b', { parentId: 'a' }),
          linkOf('b', { rootId: 'a', parentId: 'a' }),
        ])
          expect(await refused(link)).toBeInstanceOf(TypeError);
        expect(await store.conversation('b')).toBeNull();
        expect(await store.lastSeq(conversationStream('b'))).toBe(0);
        expect(await store.lastSeq(teamStream('r'))).toBe(before);
        // The first of a team neither.
        const first = linkOf('root', { rootId: 'other', parentId: 'other' });
        expect(await refused(first)).toMatchObject({ code: 'request_id_reused' });
        expect(await store.lastSeq(teamStream('other'))).toBe(0);
        // The same again is the first; the same agentId in another team is another.
        expect(await spawn(store, 'a', 'else')).toMatchObject({ status: 'repeated' });
        await spawn(store, 'b', null, linkOf('a', { rootId: 'other', parentId: 'other' }));
        expect((await store.team('other'))?.agents).toHaveLength(2);
      });

      it('has limits of depth, breadth and number, and says which', async () => {
        const store = await newRoot();
        const over = (limit: string) => ({ code: 'budget_exceeded', detail: { limit } });
        let parentId = 'r';
        for (const depth of upTo(AGENT_DEPTH_LIMIT)) {
          await spawn(store, `d${depth}`, null, linkOf(`d${depth}`, { parentId, depth }));
          parentId = `d${depth}`;
        }
        const deeper = linkOf('deep', { parentId, depth: AGENT_DEPTH_LIMIT + 1 });
        await expect(spawn(store, 'deep', 'do it', deeper)).rejects.toMatchObject(over('depth'));
        const fill = (under: string, depth: number, count: number) =>
          Promise.all(
            upTo(count).map((n) =>
              spawn(
                store,
                `${under}-${n}`,
                null,
                linkOf(`${under}-${n}`, { parentId: under, depth }),
              ),
            ),
          );
        await fill('r', 1, AGENT_BREADTH_LIMIT - 1);
        await expect(spawn(store, 'wide')).rejects.toMatchObject(over('breadth'));
        await fill('d1', 2, AGENT_BREADTH_LIMIT - 1);
        await fill('d2', 3, AGENT_BREADTH_LIMIT - 1);
        const left = AGENT_LIMIT - AGENT_DEPTH_LIMIT - 3 * (AGENT_BREADTH_LIMIT - 1);
        await fill('d3', 4, left);
        const last = linkOf('last', { parentId: 'd4', depth: 5 });
        await expect(spawn(store, 'last', 'do it', last)).rejects.toMatchObject(over('agents'));
        expect((await store.team('r'))?.agents).toHaveLength(AGENT_LIMIT + 1);
        for (const id of ['deep', 'wide', 'last']) expect(await store.conversation(id)).toBeNull();
        // Another team has its own.
        await say(store, 'other', created(null));
        await spawn(store, 'x', null, linkOf('x', { rootId: 'other', parentId: 'other' }));
      }, 60_000);

      it('over a limit refuses the one and not those that are written beside it', async () => {
        const store = await newRoot();
        await spawn(store, 'a');
        const answers = await Promise.allSettled([
          say(store, 'r', note('before')),
          spawn(store, 'b', 'do it', linkOf('a')),
          spawn(store, 'c', 'do it'),
        ]);
        expect(answers).toMatchObject([
          { value: { status: 'appended' } },
          { reason: { code: 'request_id_reused' } },
          { value: { status: 'appended' } },
        ]);
        expect((await store.team('r'))?.agents.map(({ agentId }) => agentId)).toStrictEqual([
          'root',
          'a',
          'c',
        ]);
      });

      it('L1 is a stream like the others, that nobody appends to: watched, gapless, never folded away', async () => {
        const store = await newRoot();
        const stream = teamStream('r');
        const { heads } = listen(store);
        await spawn(store, 'a');
        await eventually(() => newest(heads, stream) === 2);
        for (const events of [[], [note('x')]])
          await expect(store.append({ stream, events })).rejects.toThrow(TypeError);
        expect(await store.lastSeq(stream)).toBe(2);
        for (const n of upTo(3)) {
          const of = { turnId: `t${n}`, attempt: 1 };
          await say(store, 'a', begun(null, of), ...said(of, `s${n}`, 'x'));
          await say(store, 'a', ended(of, 'completed'));
        }
        await store.compact({ endedBefore: '9', limit: 100 });
        const log = await logOf(store, stream);
        expect(log.map(({ seq }) => seq)).toStrictEqual(upTo(8));
        expect(await store.replayFloor(stream)).toBe(0);
        expect(await store.tables(null, 9)).toStrictEqual({ items: [], nextCursor: null });
      });
    });

    describe('L4 a message that is mail', () => {
      const mail = [
        { messageId: 'x', from: 'a', kind: 'message' as const },
        { messageId: 'y', from: null, kind: 'recovery' as const },
      ];
      const prompt: NewEvent = {
        type: 'message.created',
        turnId: 't1',
        payload: { messageId: 'm1', role: 'user', content: 'both', mail },
      };

      it('says so in every view, and so does its copy', async () => {
        const store = await newRoot();
        await say(store, 'r', prompt, started(turn));
        expect((await store.snapshot('r', 9))?.messages).toMatchObject([{ messageId: 'm1', mail }]);
        expect((await store.messages('r', null, 9))?.items).toMatchObject([{ mail }]);
        expect(await store.message('r', 'm1')).toMatchObject({ message: { mail } });
        await say(store, 'r', ended(turn, 'completed'));
        expect((await store.history('r', 't9', 99)).rows).toMatchObject([{ mail }]);
        const create = { tableId: null, title: '', provider: 'p', model: null, workspacePath: '/' };
        const origin = { conversationId: 'r', messageId: null };
        await store.fork({ conversationId: 'f', create, origin });
        expect((await store.snapshot('f', 9))?.messages).toMatchObject([{ content: 'both', mail }]);
        expect(await logOf(store, conversationStream('f'))).toMatchObject([
          {},
          { payload: { mail } },
        ]);
      });

      it('of an agent that is copied or imported stays; its place in the team and its mailbox do not', async () => {
        const store = await newTask();
        await say(store, 'a', prompt, accepted({ messageId: 'm', from: 'r' }));
        const create = { tableId: null, title: '', provider: 'p', model: null, workspacePath: '/' };
        const origin = { conversationId: 'a', messageId: null };
        await store.fork({ conversationId: 'f', create, origin });
        const events: Event[] = await logOf(store, conversationStream('a'));
        await store.importConversation({ conversationId: 'i', events });
        for (const id of ['f', 'i']) {
          expect((await store.snapshot(id, 9))?.messages).toMatchObject([{ mail }]);
          expect(await store.agent(id)).toBeNull();
          expect(await allMail(store, id, 9)).toStrictEqual([]);
          expect((await store.team(id))?.agents).toMatchObject([
            { agentId: 'root', parentId: null },
          ]);
        }
        expect(await store.children('r')).toStrictEqual(['a']);
        const team: Event[] = await logOf(store, teamStream('r'));
        await expect(
          store.importConversation({
            conversationId: 'j',
            events: [...events, ...team.map((event) => ({ ...event, seq: event.seq + 99 }))],
          }),
        ).rejects.toMatchObject({ code: 'invalid_request' });
      });
    });

    it('M1 M2 T2: whatever is done, by whichever instance, all that is shown is what the logs say', async () => {
      const seen = new Set<string>();
      await fc.assert(
        fc.asyncProperty(
          fc.array(fc.tuple(anyStep, fc.boolean()), { minLength: 30, maxLength: 60, size: 'max' }),
          async (steps) => {
            const data = await newData();
            const clock = ticking();
            let stores = await Promise.all([data.open({ clock }), data.open({ clock })]);
            await openLife(stores[0]);
            for (const [index, [step, other]] of steps.entries()) {
              if (step.type === 'reopen') {
                await Promise.all(stores.map((store) => store.close()));
                stores = await Promise.all([data.open({ clock }), data.open({ clock })]);
              }
              const [writer, reader] = other ? [stores[1], stores[0]] : stores;
              seen.add(`${step.type} ${await live(writer, step, `f${index}`)}`);
              if (index % 8 === 7) await expectLogs(reader, true);
            }
            await expectLogs(stores[1], true);
            await data.destroy();
          },
        ),
        { numRuns: 40 },
      );
      // What it is about has happened, or this test says nothing.
      expect([...seen]).toStrictEqual(
        expect.arrayContaining([
          ...['ok', 'repeated', 'request_id_reused', 'not_found', 'failed'].map(
            (answer) => `spawn ${answer}`,
          ),
          ...['message', 'result', 'recovery'].map((kind) => `mail ${kind}`),
          ...['queued', 'started', 'rejected', 'removed', 'steered', 'busy'].map(
            (how) => `take ${how}`,
          ),
          ...['expired', 'again'].map((how) => `turned ${how}`),
          ...outcomes.map((outcome) => `end ${outcome}`),
          'retry ok',
          'broken fenced',
        ]),
      );
    }, 300_000);

    it('M1 T2: processes that live at once and are killed leave what their logs say', async () => {
      const data = await newData();
      const store = await data.open();
      await openLife(store);
      for (const round of upTo(3)) {
        const writers = [1, 2].map((n) =>
          spawnWriter(data.url, { type: 'agents', prefix: `p${round}${n}` }),
        );
        await Promise.all(writers.map(({ ready }) => ready));
        await eventually(() => writers.every(({ answers }) => answers.length > 40 * round), 60_000);
        for (const { child } of writers) child.kill('SIGKILL');
        await Promise.all(writers.map(({ ended: end }) => end));
        await expectLogs(store, false);
        // A reopened one has it from the disk alone.
        const fresh = await data.open();
        await expectLogs(fresh, false);
        await fresh.close();
      }
    }, 180_000);
  });
}
