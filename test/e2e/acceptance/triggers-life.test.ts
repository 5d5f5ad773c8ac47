/** A trigger's life: where it sends, when its target is busy, paused, edited, run by hand, removed. Numbers: design.md section 12. */
import { randomUUID } from 'node:crypto';

import { describe, expect, test } from 'vitest';

import type { Event } from '../../../src/contracts/events.ts';
import type { LedgerRowValue, TriggerViewValue } from '../../../src/contracts/triggers.ts';
import type { ReceiptValue } from '../../../src/contracts/view.ts';
import { jitterOf } from '../../../src/domain/due-times.ts';
import { textOf } from '../../support/chat-clients.ts';
import { eventually } from '../../support/eventually.ts';
import { newConversation, readLog, script } from './conversations.ts';
import { endsOf, viewOf, viewOnce } from './faults.ts';
import { sharedHoldfast } from './shared-holdfast.ts';
import { TableUnderTest } from './tables.ts';
import {
  dueMs,
  expectEveryDueTime,
  expectEveryRunEnded,
  isRun,
  justDone,
  multiples,
  said,
  schedulesOf,
  TriggerUnderTest,
} from './triggers.ts';

const holdfast = sharedHoldfast();
const TIMEOUT_MS = 120_000;
const IN_TIME = /^In time, (\d+ ms|\d\.\d s) after it was due\.$/;

const outcomesOf = (rows: readonly LedgerRowValue[]): string[] => [
  ...new Set(said(rows).map((each) => each.replace(/^\S+ /, ''))),
];
const iso = (ms: number): string => new Date(ms).toISOString();
/** A whole second, so much from now or a little later. */
const soon = (ms: number): number => Math.ceil((Date.now() + ms) / 1_000) * 1_000;

/** A turn that streams until somebody ends it. */
async function occupied(
  conversationId: string,
): Promise<{ turnId: string; cancel: () => Promise<void> }> {
  const path = `/v1/conversations/${conversationId}`;
  const content = script('words 100000 every 5');
  const { turnId } = await holdfast.ask<ReceiptValue>({
    path: `${path}/messages`,
    body: { requestId: 'long', content },
  });
  await viewOnce({ holdfast, conversationId, is: (view) => textOf(view).includes('w5 ') });
  return {
    turnId: turnId ?? '',
    cancel: async () => void (await holdfast.ask({ path: `${path}/cancel`, body: { turnId } })),
  };
}

/** Waits until another trigger, made for it, has fired: then this one would have, too. */
async function aWhile(): Promise<void> {
  const conversationId = await newConversation(holdfast);
  const witness = await TriggerUnderTest.create(holdfast, { conversationId });
  await witness.untilRan(3);
  await witness.remove();
}

describe('where it sends', () => {
  test(
    'D1 D2 into a conversation: each due time is a row, and in its log an announcement, the message and its turn',
    { timeout: TIMEOUT_MS },
    async () => {
      const conversationId = await newConversation(holdfast);
      const content = script('text "ran "');
      const trigger = await TriggerUnderTest.create(holdfast, {
        conversationId,
        content,
        title: 'Every second',
      });
      expect(await schedulesOf(holdfast)).toContain(`trigger:${trigger.triggerId}`);
      await trigger.untilRan(3);
      await trigger.remove();
      const rows = await expectEveryDueTime(trigger);
      await expectEveryRunEnded(trigger, rows);
      expect(outcomesOf(rows)).toEqual(['fired']);
      const log = await readLog(holdfast, conversationId);
      for (const row of await trigger.ledger()) {
        expect(row).toMatchObject({ conversationId, rule: 'r1', cause: 'due' });
        expect(row.words).toMatch(IN_TIME);
        expect(row.decidedAt >= row.dueAt).toBe(true);
        const ofRequest = log.filter(
          ({ requestId, type }) => requestId === row.requestId && type !== 'chat.queued',
        );
        expect(ofRequest.map(({ type }) => type).slice(0, 3)).toEqual([
          'trigger.fired',
          'message.created',
          'chat.started',
        ]);
        expect(ofRequest[0]?.payload).toEqual({
          triggerId: trigger.triggerId,
          title: 'Every second',
          dueAt: row.dueAt,
          outcome: 'fired',
          words: row.words,
        });
        expect(ofRequest[1]?.payload).toMatchObject({ role: 'user', content });
        expect(ofRequest[2]?.turnId).toBe(row.turnId);
      }
      expect(textOf(await viewOf({ holdfast, conversationId }))).toBe('ran '.repeat(rows.length));
    },
  );

  test(
    'S1 into a table: to whichever conversation is active when it is due; by a cron of seconds',
    { timeout: TIMEOUT_MS },
    async () => {
      const table = await TableUnderTest.create(holdfast);
      const first = await table.newChat();
      const trigger = await TriggerUnderTest.create(holdfast, {
        tableId: table.tableId,
        // A run has a quarter of that to end in before New chat is asked for.
        schedule: { cron: '*/4 * * * * *', timezone: 'Asia/Kathmandu' },
        everyMs: 4_000,
      });
      await trigger.untilRan(2);
      await justDone([trigger]);
      const askedMs = Date.now();
      const second = await table.newChat();
      const activeMs = Date.now();
      await trigger.until(
        (rows) => rows.filter((row) => row.conversationId === second).length >= 2,
      );
      await trigger.remove();
      const rows = await expectEveryDueTime(trigger);
      await expectEveryRunEnded(trigger, rows);
      const placesOf = (is: (decidedMs: number) => boolean) =>
        new Set(rows.flatMap((row) => (is(Date.parse(row.decidedAt)) ? [row.conversationId] : [])));
      expect(placesOf((at) => at < askedMs)).toEqual(new Set([first]));
      expect(placesOf((at) => at > activeMs)).toEqual(new Set([second]));
      expect(placesOf(() => true)).toEqual(new Set([first, second]));
      expect(await table.facts()).toMatchObject({ activeConversationId: second });
    },
  );

  test(
    'S1 into an empty table: its first conversation is made, once, and all go there',
    { timeout: TIMEOUT_MS },
    async () => {
      const table = await TableUnderTest.create(holdfast);
      const trigger = await TriggerUnderTest.create(holdfast, {
        tableId: table.tableId,
        title: 'Morning',
      });
      await trigger.untilRan(3);
      await trigger.remove();
      const rows = await expectEveryDueTime(trigger);
      await expectEveryRunEnded(trigger, rows);
      const [{ conversationId = '' } = fail()] = rows;
      expect(new Set(rows.map((row) => row.conversationId))).toEqual(new Set([conversationId]));
      await table.atRest();
      expect(await table.facts()).toMatchObject({ activeConversationId: conversationId });
      expect(await table.list()).toMatchObject([
        { conversationId, title: 'Morning', turnCount: rows.length },
      ]);
    },
  );

  test(
    'S1 a new conversation for each fire, one after the other in the table',
    { timeout: TIMEOUT_MS },
    async () => {
      const table = await TableUnderTest.create(holdfast);
      const before = await table.newChat();
      const trigger = await TriggerUnderTest.create(holdfast, {
        tableId: table.tableId,
        newConversation: true,
        title: 'Report',
      });
      await trigger.untilRan(3);
      await trigger.remove();
      const rows = await expectEveryDueTime(trigger);
      await expectEveryRunEnded(trigger, rows);
      const made = rows.map(({ conversationId }) => conversationId);
      expect(new Set(made).size).toBe(rows.length);
      expect(made).not.toContain(before);
      await table.atRest();
      const list = await table.list();
      expect(new Set(list.map(({ conversationId }) => conversationId))).toEqual(
        new Set([before, ...made]),
      );
      for (const row of list.filter(({ conversationId }) => conversationId !== before))
        expect(row).toMatchObject({ title: 'Report', turnCount: 1, messageCount: 2 });
    },
  );

  test('A3 into nothing: a conversation or a table that never was is refused, and nothing is made', async () => {
    const schedules = await schedulesOf(holdfast);
    for (const place of [{ conversationId: 'never' }, { tableId: 'never' }]) {
      const triggerId = randomUUID();
      const body = { triggerId, content: 'x', schedule: { everyMs: 1_000 }, ...place };
      expect(await holdfast.call({ path: '/v1/triggers', body })).toMatchObject({
        status: 404,
        body: { code: 'not_found' },
      });
      for (const path of [`/v1/triggers/${triggerId}`, `/v1/triggers/${triggerId}/ledger`])
        expect(await holdfast.call({ path })).toMatchObject({ status: 404 });
    }
    expect(await schedulesOf(holdfast)).toEqual(schedules);
  });
});

describe('while a turn runs in its conversation', () => {
  test(
    'D2 "skip": not run, and says so; once it is free, as ever',
    { timeout: TIMEOUT_MS },
    async () => {
      const conversationId = await newConversation(holdfast);
      const { turnId, cancel } = await occupied(conversationId);
      const trigger = await TriggerUnderTest.create(holdfast, { conversationId, whenBusy: 'skip' });
      const busy = await trigger.until((rows) => rows.length >= 3);
      expect(outcomesOf(busy)).toEqual(['skipped busy']);
      for (const { words } of busy)
        expect(words).toMatch(
          /^In time, \S+ m?s after it was due\. Not run: its conversation was busy, and whenBusy is skip\.$/,
        );
      expect(await trigger.view()).toMatchObject({ trouble: { outcome: 'skipped' } });
      const log = await readLog(holdfast, conversationId);
      expect(endsOf(log)).toEqual([]);
      expect(log.filter(({ type }) => type === 'trigger.fired')).toEqual([]);
      await cancel();
      await trigger.untilRan(2);
      await trigger.remove();
      const rows = await expectEveryDueTime(trigger);
      await expectEveryRunEnded(trigger, rows);
      expect(rows.find((row) => row.turnId === turnId)).toBeUndefined();
    },
  );

  test(
    'D2 A1 "queue": behind it, in the order in which they were due',
    { timeout: TIMEOUT_MS },
    async () => {
      const conversationId = await newConversation(holdfast);
      const { turnId, cancel } = await occupied(conversationId);
      const trigger = await TriggerUnderTest.create(holdfast, { conversationId });
      await trigger.untilRan(3);
      await trigger.remove();
      const rows = await expectEveryDueTime(trigger);
      expect(outcomesOf(rows)).toEqual(['fired']);
      const { queue } = await viewOnce({
        holdfast,
        conversationId,
        is: (view) => view.queue.length === rows.length,
      });
      expect(queue.map(({ requestId }) => requestId)).toEqual(rows.map((row) => row.requestId));
      await cancel();
      await expectEveryRunEnded(trigger, rows);
      expect(startedIn(await readLog(holdfast, conversationId))).toEqual([
        turnId,
        ...(await trigger.ledger()).map((row) => row.turnId),
      ]);
    },
  );

  test(
    'D2 C1 "interrupt": the turn is cancelled, its text kept, and the message runs',
    { timeout: TIMEOUT_MS },
    async () => {
      const conversationId = await newConversation(holdfast);
      const { turnId } = await occupied(conversationId);
      const trigger = await TriggerUnderTest.create(holdfast, {
        conversationId,
        whenBusy: 'interrupt',
        schedule: { at: iso(soon(500)) },
      });
      const [row = fail()] = await trigger.until((rows) =>
        rows.some((each) => each.turnId !== undefined),
      );
      expect(said([row], dueMs(row))).toEqual(['0 fired']);
      await expectEveryRunEnded(trigger, [row]);
      const log = await readLog(holdfast, conversationId);
      expect(endsOf(log)).toEqual([`${turnId}.1 chat.cancelled`, `${row.turnId}.1 chat.done`]);
      expect(log.find(({ type }) => type === 'chat.cancelled')).toMatchObject({
        turnId,
        payload: { by: 'interrupt' },
      });
      expect(textOf(await viewOf({ holdfast, conversationId }))).toMatch(/^w0 .* ran $/);
    },
  );
});

describe('when it is due', () => {
  test(
    'D1 paused: its due times are rows all the same; resumed: it goes on, and none of them runs',
    { timeout: TIMEOUT_MS },
    async () => {
      const conversationId = await newConversation(holdfast);
      const trigger = await TriggerUnderTest.create(holdfast, { conversationId });
      await trigger.untilRan(2);
      const pauseAskedMs = Date.now();
      expect(await trigger.change({ paused: true })).toMatchObject({
        paused: true,
        nextDueAt: null,
        rule: 'r1',
      });
      const pausedMs = Date.now();
      await trigger.until((rows) => rows.filter((row) => row.reason === 'paused').length >= 3);
      const resumeAskedMs = Date.now();
      const { nextDueAt } = await trigger.change({ paused: false });
      expect(Date.parse(nextDueAt ?? '')).toBeGreaterThan(resumeAskedMs);
      const resumedMs = Date.now();
      await trigger.untilRan(2);
      await trigger.remove();
      const rows = await expectEveryDueTime(trigger);
      await expectEveryRunEnded(trigger, rows);
      expect(outcomesOf(rows)).toEqual(['fired', 'skipped paused']);
      const outside = rows.filter((row) => dueMs(row) <= pauseAskedMs || dueMs(row) > resumedMs);
      expect(outcomesOf(outside)).toEqual(['fired']);
      const inside = rows.filter((row) => dueMs(row) > pausedMs && dueMs(row) <= resumeAskedMs);
      expect(outcomesOf(inside)).toEqual(['skipped paused']);
      expect(new Set(inside.map(({ words }) => words))).toEqual(
        new Set(['The trigger was paused.']),
      );
      // In one piece.
      expect(
        said(rows)
          .join()
          .match(/fired,\S+ skipped paused/g),
      ).toHaveLength(1);
    },
  );

  test(
    'D1 edited: up to the edit the old rule holds and gives its name, after it the new one; no due time is lost or doubled',
    { timeout: TIMEOUT_MS },
    async () => {
      const conversationId = await newConversation(holdfast);
      const trigger = await TriggerUnderTest.create(holdfast, { conversationId });
      await trigger.untilRan(2);
      const askedMs = Date.now();
      const content = script('text "new "');
      expect(await trigger.change({ schedule: { everyMs: 2_000 }, content })).toMatchObject({
        rule: 'r2',
        schedule: { everyMs: 2_000 },
      });
      const editedMs = Date.now();
      expect(await trigger.change({ title: 'Another name' })).toMatchObject({ rule: 'r2' });
      await trigger.until((all) => all.filter(({ rule }) => rule === 'r2').length >= 3);
      await trigger.remove();
      const rows = await trigger.ledger();
      const old = rows.filter(({ rule }) => rule === 'r1').map(dueMs);
      const edited = rows.filter(({ rule }) => rule === 'r2').map(dueMs);
      expect(rows.map(dueMs)).toEqual([...old, ...edited]);
      const lastOld = old.at(-1) ?? 0;
      // The moment of the edit lies before the next due time of the old rule …
      expect(old).toEqual(multiples(1_000, (old[0] ?? 0) - 1, lastOld));
      expect(lastOld).toBeLessThanOrEqual(editedMs);
      expect(lastOld).toBeGreaterThan(askedMs - 1_000);
      // … and from there on the new rule holds, without a hole.
      expect(edited).toEqual(multiples(2_000, lastOld, edited.at(-1) ?? 0));
      await expectEveryRunEnded(trigger, rows);
      const log = await readLog(holdfast, conversationId);
      for (const { requestId, rule } of rows)
        expect(
          log.find((event) => event.type === 'message.created' && event.requestId === requestId),
        ).toMatchObject({
          payload: { content: rule === 'r1' ? script('text "ran "') : content },
        });
    },
  );

  test(
    'D1 jitter moves what is done, by the same amount for the same due time; not when it was due',
    { timeout: TIMEOUT_MS },
    async () => {
      const conversationId = await newConversation(holdfast);
      const jitterMs = 900;
      const trigger = await TriggerUnderTest.create(holdfast, { conversationId, jitterMs });
      await trigger.untilRan(4);
      const rows = await expectEveryDueTime(trigger);
      await trigger.remove();
      for (const row of rows)
        expect(Date.parse(row.decidedAt) - dueMs(row)).toBeGreaterThanOrEqual(
          jitterOf(trigger.triggerId, dueMs(row), jitterMs),
        );
      expect(outcomesOf(rows)).toEqual(['fired']);
    },
  );

  test(
    'D1 once, and between a start and an end that are included: then nothing is due, and Temporal has no Schedule of it',
    { timeout: TIMEOUT_MS },
    async () => {
      const conversationId = await newConversation(holdfast);
      const atMs = soon(1_500);
      const once = await TriggerUnderTest.create(holdfast, {
        conversationId,
        schedule: { at: iso(atMs) },
      });
      const bounded = await TriggerUnderTest.create(holdfast, {
        conversationId,
        startAt: iso(atMs),
        endAt: iso(atMs + 2_000),
      });
      const mine = [once, bounded].map(({ triggerId }) => `trigger:${triggerId}`);
      expect(await schedulesOf(holdfast)).toEqual(expect.arrayContaining(mine));
      expect(await once.view()).toMatchObject({ nextDueAt: iso(atMs) });
      await bounded.untilDecided(atMs + 2_000);
      for (const trigger of [once, bounded])
        await eventually(async () => (await trigger.view()).nextDueAt === null);
      await eventually(async () =>
        (await schedulesOf(holdfast)).every((scheduleId) => !mine.includes(scheduleId)),
      );
      await aWhile();
      expect(said(await once.ledger(), atMs)).toEqual(['0 fired']);
      expect(said(await bounded.ledger(), atMs)).toEqual(['0 fired', '1 fired', '2 fired']);
      for (const trigger of [once, bounded])
        await expectEveryRunEnded(trigger, await trigger.ledger());
      // It can be given another life.
      const againMs = soon(1_000);
      expect(await once.change({ schedule: { at: iso(againMs) } })).toMatchObject({
        rule: 'r2',
        nextDueAt: iso(againMs),
      });
      expect(said(await once.until((rows) => rows.length === 2), atMs)).toEqual([
        '0 fired',
        `${(againMs - atMs) / 1_000} fired`,
      ]);
    },
  );
});

describe('by somebody’s wish', () => {
  test(
    'A2 D2 run by hand, also while paused: a row and a turn; the same requestId again is the same row',
    { timeout: TIMEOUT_MS },
    async () => {
      const conversationId = await newConversation(holdfast);
      const trigger = await TriggerUnderTest.create(holdfast, {
        conversationId,
        everyMs: 3_600_000,
        paused: true,
      });
      const requestId = randomUUID();
      const [first, second] = await Promise.all([trigger.fire(requestId), trigger.fire(requestId)]);
      expect(first).toMatchObject({
        requestId,
        conversationId,
        outcome: 'fired',
        reason: 'manual',
        cause: 'manual',
        words: 'Run by hand.',
      });
      expect(second).toMatchObject({ requestId, dueAt: first.dueAt, outcome: 'fired' });
      await trigger.until((rows) => rows.every((row) => row.turnId !== undefined));
      const other = await trigger.fire();
      const rows = await trigger.until(
        (all) => all.length === 2 && all.every((row) => row.turnId !== undefined),
      );
      expect(rows.map((row) => row.requestId)).toEqual([requestId, other.requestId]);
      expect(await trigger.fire(requestId)).toEqual(rows[0]);
      await expectEveryRunEnded(trigger, rows);
      expect(startedIn(await readLog(holdfast, conversationId))).toEqual(
        rows.map(({ turnId }) => turnId),
      );
      await trigger.remove();
    },
  );

  test(
    'D1 A2 a backfill runs what was due before it was made, and what was skipped; what has run it leaves',
    { timeout: TIMEOUT_MS },
    async () => {
      const conversationId = await newConversation(holdfast);
      const trigger = await TriggerUnderTest.create(holdfast, { conversationId, paused: true });
      const backfill = (body: { from: string; to: string; requestId?: string; limit?: number }) =>
        holdfast.call({ path: `${trigger.path}/backfill`, body });
      const skipped = await trigger.until((rows) => rows.length >= 3);
      expect(outcomesOf(skipped)).toEqual(['skipped paused']);
      const [first = fail(), , third = fail()] = skipped;
      // Two before the creation, and the first two rows; both ends are included.
      const fromMs = dueMs(first) - 2_000;
      const range = { from: iso(fromMs), to: iso(fromMs + 3_000) };
      expect(await backfill({ ...range, limit: 3 })).toMatchObject({
        status: 400,
        body: { code: 'invalid_request', count: 4, limit: 3 },
      });
      expect((await trigger.ledger()).filter(isRun)).toEqual([]);
      const requestId = randomUUID();
      expect(await backfill({ ...range, requestId })).toMatchObject({
        status: 200,
        body: { count: 4 },
      });
      expect(await backfill({ ...range, requestId })).toMatchObject({
        status: 200,
        body: { count: 4 },
      });
      expect(await backfill(range)).toMatchObject({ status: 200, body: { count: 0 } });
      const wider = { from: range.from, to: third.dueAt };
      expect(await backfill(wider)).toMatchObject({ status: 200, body: { count: 1 } });
      const rows = await trigger.until(
        (all) => all.filter((row) => row.turnId !== undefined).length === 5 && all.length > 5,
      );
      await trigger.remove();
      expect(rows.map(dueMs)).toEqual(multiples(1_000, fromMs - 1, dueMs(rows.at(-1) ?? fail())));
      expect(said(rows, fromMs).slice(0, 6)).toEqual([
        ...[0, 1, 2, 3, 4].map((second) => `${second} caught-up backfill`),
        '5 skipped paused',
      ]);
      for (const row of rows.filter(isRun))
        expect(row).toMatchObject({
          cause: 'backfill',
          words: 'Run afterwards: a backfill asked for it.',
        });
      await expectEveryRunEnded(trigger, rows);
      expect(startedIn(await readLog(holdfast, conversationId))).toEqual(
        rows.filter(isRun).map(({ turnId }) => turnId),
      );
      expect(await trigger.counts()).toMatchObject({ 'caught-up': 5, fired: 0, rejected: 0 });
    },
  );

  test(
    'D1 removed: nothing is due of it any more; its ledger stays, and its id with it',
    { timeout: TIMEOUT_MS },
    async () => {
      const conversationId = await newConversation(holdfast);
      const trigger = await TriggerUnderTest.create(holdfast, { conversationId });
      await trigger.untilRan(2);
      await trigger.remove();
      const removedMs = Date.now();
      const rows = await expectEveryDueTime(trigger);
      expect(dueMs(rows.at(-1) ?? fail())).toBeLessThanOrEqual(removedMs);
      expect(await schedulesOf(holdfast)).not.toContain(`trigger:${trigger.triggerId}`);
      await aWhile();
      await trigger.remove();
      const settled = await trigger.ledger();
      expect(settled.map(({ dueAt }) => dueAt)).toEqual(rows.map(({ dueAt }) => dueAt));
      await expectEveryRunEnded(trigger, settled);
      for (const call of [
        { path: trigger.path },
        { path: `${trigger.path}/fire`, body: {} },
        { method: 'PATCH', path: trigger.path, body: { paused: true } },
      ] as const)
        expect(await holdfast.call(call)).toMatchObject({
          status: 404,
          body: { code: 'not_found' },
        });
      const { triggerId } = trigger;
      const body = { triggerId, conversationId, content: 'x', schedule: { everyMs: 1_000 } };
      expect(await holdfast.call({ path: '/v1/triggers', body })).toMatchObject({
        status: 409,
        body: { code: 'request_id_reused' },
      });
      const list = await holdfast.ask<{ items: TriggerViewValue[] }>({ path: '/v1/triggers' });
      expect(list.items.map((item) => item.triggerId)).not.toContain(triggerId);
    },
  );
});

/** Turns in the order in which they started. */
function startedIn(log: readonly Event[]): (string | undefined)[] {
  return log.flatMap((event) => (event.type === 'chat.started' ? [event.turnId] : []));
}

function fail(): never {
  throw new Error('there is no such row');
}
