/**
 * Triggers of one and two seconds while what they rest on dies, stands still, or is lost: a row for each due time (D1), and a
 * request with one fate for each row that ran (D2). Numbers: design.md section 12.
 */
import { randomUUID } from 'node:crypto';
import { copyFileSync, mkdirSync, readdirSync, rmSync } from 'node:fs';
import { join } from 'node:path';

import { expect, test } from 'vitest';

import type { LedgerRowValue } from '../../../src/contracts/triggers.ts';
import { isSameProcess } from '../../../src/providers/process/process-table.ts';
import type { Role } from '../../../src/supervisor/state.ts';
import { eventually } from '../../support/eventually.ts';
import { newConversation, script } from './conversations.ts';
import { RECOVERED_WITHIN_MS } from './faults.ts';
import { sharedHoldfast } from './shared-holdfast.ts';
import { TableUnderTest } from './tables.ts';
import {
  type Asked,
  dueMs,
  expectEveryDueTime,
  expectEveryRunEnded,
  isRun,
  justDone,
  type Ledger,
  multiples,
  said,
  scheduleCommand,
  schedulesOf,
  TriggerUnderTest,
} from './triggers.ts';

const holdfast = sharedHoldfast();
const TIMEOUT_MS = 4 * RECOVERED_WITHIN_MS;
/** Of a trigger of which everything is to run in the end, however long somebody was away. */
const ALL = { policy: 'run-all', limit: 1_000 } as const;
/** Longer than the grace, 10 s. */
const GAP_MS = 15_000;
/** More due times after everything is back. */
const MORE = 3;

/** With a conversation of its own, unless it says otherwise. */
async function newTrigger(asked: Asked = {}): Promise<TriggerUnderTest> {
  const place =
    asked.tableId === undefined ? { conversationId: await newConversation(holdfast) } : {};
  const trigger = await TriggerUnderTest.create(holdfast, { ...place, ...asked });
  await trigger.untilRan(2);
  return trigger;
}

/** It is removed, and D1 and D2 hold of all that it did; answers its rows, oldest first. */
async function expectWhole(trigger: TriggerUnderTest): Promise<LedgerRowValue[]> {
  await trigger.remove();
  const rows = await expectEveryDueTime(trigger);
  await expectEveryRunEnded(trigger, rows);
  return rows;
}

/** The rows that the policy decided, which are neighbours. */
function missedOf(trigger: TriggerUnderTest, rows: readonly LedgerRowValue[]): LedgerRowValue[] {
  const missed = rows.filter(({ words }) => words.startsWith('Missed:'));
  const times = missed.map(dueMs);
  expect(times).toEqual(multiples(trigger.everyMs, (times[0] ?? 0) - 1, times.at(-1) ?? 0));
  return missed;
}

/** KILL; resolves when another process has its role. */
async function kill(role: Role): Promise<void> {
  const victim = await holdfast.process(role);
  if (role === 'supervisor') {
    await holdfast.killSupervisor();
    await holdfast.start();
  } else process.kill(victim.pid, 'SIGKILL');
  await holdfast.process(role, victim);
}

/** Everything is stopped, as by a Ctrl-C; then `meanwhile`; then it is started again. */
async function whileStopped(meanwhile: () => void): Promise<void> {
  expect(await holdfast.pressCtrlC()).toBe(0);
  meanwhile();
  await holdfast.start();
}

/** Files of the home whose names begin so. */
const filesOf = (name: string): string[] =>
  readdirSync(holdfast.home).filter((file) => file.startsWith(name));

test(
  'D1 D2 each process is killed once: every due time has its row, and what ran has one receipt and one end',
  { timeout: TIMEOUT_MS },
  async () => {
    const table = await TableUnderTest.create(holdfast);
    const triggers = await Promise.all([
      newTrigger({ missed: ALL }),
      newTrigger({ missed: ALL, everyMs: 2_000, whenBusy: 'skip' }),
      newTrigger({ missed: ALL, everyMs: 2_000, tableId: table.tableId, newConversation: true }),
    ]);
    for (const role of ['worker', 'temporal', 'gateway', 'turn-host', 'supervisor'] as const) {
      await kill(role);
      await Promise.all(triggers.map((trigger) => trigger.untilRan(1)));
    }
    // Only a conversation that is busy is a reason not to run here, and only of the one that says so.
    for (const [index, trigger] of triggers.entries()) {
      const rows = await expectWhole(trigger);
      const idle = rows.filter((row) => !isRun(row) && (index !== 1 || row.reason !== 'busy'));
      expect(said(idle)).toEqual([]);
    }
  },
);

test(
  'D1 D2 Temporal stands still for 15 s: a gap in which each policy decides, and nothing fires all at once afterwards',
  { timeout: TIMEOUT_MS },
  async () => {
    const policies: { missed: NonNullable<Asked['missed']>; runs: number }[] = [
      { missed: { policy: 'skip' }, runs: 0 },
      { missed: { policy: 'run-once' }, runs: 1 },
      { missed: { policy: 'run-all', limit: 2 }, runs: 2 },
    ];
    const triggers = await Promise.all(
      policies.map(async ({ missed, runs }) => ({ runs, trigger: await newTrigger({ missed }) })),
    );
    const { pid } = await holdfast.process('temporal');
    process.kill(pid, 'SIGSTOP');
    const frozenMs = Date.now();
    await eventually(() => Date.now() > frozenMs + GAP_MS, GAP_MS + 10_000);
    const thawMs = Date.now();
    process.kill(pid, 'SIGCONT');
    for (const { trigger, runs } of triggers) {
      const inTime = (row: LedgerRowValue): boolean =>
        dueMs(row) > thawMs && row.outcome === 'fired';
      await trigger.until((all) => all.filter(inTime).length >= MORE);
      const rows = await expectWhole(trigger);
      const missed = missedOf(trigger, rows);
      expect(missed.map(dueMs)).toEqual(
        expect.arrayContaining(multiples(trigger.everyMs, frozenMs, thawMs)),
      );
      expect(missed.filter(isRun)).toEqual(missed.slice(missed.length - runs));
      expect(missed.filter(isRun).map(({ outcome }) => outcome)).toEqual(
        Array.from({ length: runs }, () => 'caught-up'),
      );
      const others = rows.filter((row) => !missed.includes(row));
      expect(new Set(others.map(({ outcome }) => outcome))).toEqual(new Set(['fired']));
    }
  },
);

test(
  'D1 D2 Temporal’s database is deleted while everything is stopped: its Schedules are there again, and the ledger has no hole',
  { timeout: TIMEOUT_MS },
  async () => {
    const triggers = await Promise.all([
      newTrigger({ missed: ALL }),
      newTrigger({ missed: ALL, everyMs: 2_000, whenBusy: 'skip' }),
    ]);
    await whileStopped(() => {
      const files = filesOf('temporal.db');
      expect(files).not.toEqual([]);
      for (const file of files) rmSync(join(holdfast.home, file));
    });
    await eventually(
      async () => (await schedulesOf(holdfast)).length === triggers.length,
      RECOVERED_WITHIN_MS,
    );
    expect(new Set(await schedulesOf(holdfast))).toEqual(
      new Set(triggers.map(({ triggerId }) => `trigger:${triggerId}`)),
    );
    for (const trigger of triggers) {
      await trigger.untilRan(MORE);
      const rows = await expectWhole(trigger);
      expect(said(rows.filter((row) => !isRun(row) && row.reason !== 'busy'))).toEqual([]);
    }
  },
);

test(
  'D1 D2 the store is restored from a copy: what was decided since is decided anew, once, by the policy; what is not in the copy is not in Temporal either',
  { timeout: TIMEOUT_MS },
  async () => {
    const everyMs = 4_000;
    const triggers = await Promise.all([
      newTrigger({ missed: { policy: 'run-once' }, everyMs }),
      newTrigger({ missed: { policy: 'skip' }, everyMs, whenBusy: 'skip' }),
    ]);
    const copy = join(holdfast.workspace, 'copy');
    mkdirSync(copy);
    await justDone(triggers);
    let copiedMs = 0;
    await whileStopped(() => {
      for (const file of filesOf('holdfast.db'))
        copyFileSync(join(holdfast.home, file), join(copy, file));
      copiedMs = Date.now();
    });
    const ranOn = await Promise.all(triggers.map((trigger) => trigger.untilRan(1)));
    const younger = await TriggerUnderTest.create(holdfast, {
      conversationId: await newConversation(holdfast),
      everyMs: 3_600_000,
    });
    const schedule = `trigger:${younger.triggerId}`;
    await eventually(async () => (await schedulesOf(holdfast)).includes(schedule));
    await eventually(() => Date.now() > copiedMs + GAP_MS, 2 * GAP_MS);
    await justDone(triggers);
    let restoredMs = 0;
    await whileStopped(() => {
      for (const file of filesOf('holdfast.db')) rmSync(join(holdfast.home, file));
      for (const file of readdirSync(copy))
        copyFileSync(join(copy, file), join(holdfast.home, file));
      restoredMs = Date.now();
    });
    await eventually(
      async () => !(await schedulesOf(holdfast)).includes(schedule),
      RECOVERED_WITHIN_MS,
    );
    expect(await holdfast.call({ path: younger.path })).toMatchObject({ status: 404 });
    for (const [index, trigger] of triggers.entries()) {
      await trigger.until(
        (all) =>
          all.filter((row) => dueMs(row) > restoredMs && row.outcome === 'fired').length >= MORE,
      );
      const rows = await expectWhole(trigger);
      const missed = missedOf(trigger, rows);
      expect(missed.map(dueMs)).toEqual(
        expect.arrayContaining(multiples(trigger.everyMs, copiedMs, restoredMs)),
      );
      expect(missed.filter(isRun)).toEqual(index === 0 ? missed.slice(-1) : []);
      // Decided anew: none of what was decided since the copy is there.
      const before = new Set(
        ranOn[index]?.filter((row) => dueMs(row) > copiedMs).map(({ requestId }) => requestId),
      );
      expect(
        rows.filter(({ requestId }) => requestId !== undefined && before.has(requestId)),
      ).toEqual([]);
    }
  },
);

test(
  'D1 D2 an operator deletes one Schedule and pauses another: fires go on without them, in time; a worker that starts makes both anew',
  { timeout: TIMEOUT_MS },
  async () => {
    const deleted = await newTrigger();
    const paused = await newTrigger({ everyMs: 2_000 });
    const idOf = ({ triggerId }: TriggerUnderTest): string => `trigger:${triggerId}`;
    await scheduleCommand(holdfast, 'delete', '--schedule-id', idOf(deleted));
    const toggle = ['--schedule-id', idOf(paused), '--pause', '--reason', 'an operator'];
    await scheduleCommand(holdfast, 'toggle', ...toggle);
    const isPaused = async (): Promise<boolean> => {
      const described = JSON.parse(
        await scheduleCommand(holdfast, 'describe', '-s', idOf(paused), '--output', 'json'),
      ) as { schedule: { state?: { paused?: boolean } } };
      return described.schedule.state?.paused === true;
    };
    expect(await isPaused()).toBe(true);
    const alone = Date.now();
    for (const trigger of [deleted, paused])
      await trigger.until(
        (all) => all.filter((row) => dueMs(row) > alone && isRun(row)).length >= MORE,
      );
    expect(await schedulesOf(holdfast)).not.toContain(idOf(deleted));
    const killedAt = new Date().toISOString();
    await kill('worker');
    await eventually(
      async () => (await schedulesOf(holdfast)).includes(idOf(deleted)) && !(await isPaused()),
      RECOVERED_WITHIN_MS,
    );
    for (const trigger of [deleted, paused]) {
      await trigger.untilRan(MORE);
      // What was due while no worker was there is in time or not, as long as that took.
      const before = (await expectWhole(trigger)).filter(({ decidedAt }) => decidedAt < killedAt);
      expect(new Set(before.map(({ outcome }) => outcome))).toEqual(new Set(['fired']));
    }
  },
);

test(
  'A1 A2 commands while no worker is there: accepted before they are acknowledged, and carried out once when one is back',
  { timeout: TIMEOUT_MS },
  async () => {
    const conversationId = await newConversation(holdfast);
    const hourly = { conversationId, everyMs: 3_600_000 };
    const [changed, fired, filled, removed] = await Promise.all(
      Array.from({ length: 4 }, () => TriggerUnderTest.create(holdfast, hourly)),
    );
    if (!changed || !fired || !filled || !removed) throw new Error('four were made');
    const requestId = randomUUID();
    const triggerId = randomUUID();
    const create = {
      path: '/v1/triggers',
      body: {
        triggerId,
        conversationId,
        content: script('text "new "'),
        schedule: { everyMs: 1_000 },
      },
    };
    const hour = Math.floor(Date.now() / 3_600_000) * 3_600_000;
    const range = { from: new Date(hour - 7_200_000), to: new Date(hour) };
    const run = { path: `${fired.path}/fire`, body: { requestId } };
    const fill = { path: `${filled.path}/backfill`, body: { ...range, requestId: randomUUID() } };

    let askedMs = 0;
    let answeredMs = 0;
    const supervisor = await holdfast.process('supervisor');
    const worker = await holdfast.process('worker');
    process.kill(supervisor.pid, 'SIGSTOP');
    try {
      process.kill(worker.pid, 'SIGKILL');
      await eventually(() => !isSameProcess(worker));
      askedMs = Date.now();
      const answers = await Promise.all([
        holdfast.call(create),
        holdfast.call({
          method: 'PATCH',
          path: changed.path,
          body: { schedule: { everyMs: 7_200_000 } },
        }),
        holdfast.call(run),
        holdfast.call(fill),
        holdfast.call({ method: 'DELETE', path: removed.path }),
      ]);
      answeredMs = Date.now();
      expect(answers).toMatchObject([
        { status: 503, body: { code: 'temporal_unavailable', accepted: true, triggerId } },
        { status: 202, body: { accepted: true } },
        { status: 202, body: { accepted: true, requestId } },
        { status: 202, body: { accepted: true } },
        { status: 202, body: { accepted: true } },
      ]);
      expect(await holdfast.call({ path: `/v1/triggers/${triggerId}` })).toMatchObject({
        status: 404,
      });
      expect(await fired.ledger()).toEqual([]);
    } finally {
      process.kill(supervisor.pid, 'SIGCONT');
    }
    await holdfast.process('worker', worker);

    // Nobody asks again, at first.
    await eventually(
      async () => (await holdfast.call({ path: `/v1/triggers/${triggerId}` })).status === 200,
      RECOVERED_WITHIN_MS,
    );
    // It is due from when it was accepted, not from when somebody could make it.
    const oldest = await eventually(async () => {
      const path = `/v1/triggers/${triggerId}/ledger?limit=200`;
      return (await holdfast.ask<Ledger>({ path })).items.at(-1);
    }, RECOVERED_WITHIN_MS);
    expect(dueMs(oldest)).toBeGreaterThan(askedMs);
    expect(dueMs(oldest)).toBeLessThanOrEqual(answeredMs);
    const [ran] = await fired.until((rows) => rows.some((row) => row.turnId !== undefined));
    expect(ran).toMatchObject({ requestId, outcome: 'fired', reason: 'manual' });
    await eventually(async () => (await changed.view()).rule === 'r2', RECOVERED_WITHIN_MS);
    const caughtUp = await filled.until(
      (rows) => rows.every((row) => row.turnId !== undefined) && rows.length === 3,
    );
    await eventually(
      async () => (await holdfast.call({ path: removed.path })).status === 404,
      RECOVERED_WITHIN_MS,
    );
    // Asked again, they are answered as done, and nothing is done twice.
    expect(await holdfast.call(run)).toMatchObject({ status: 200, body: ran });
    expect(await holdfast.call(fill)).toMatchObject({ status: 200, body: { count: 3 } });
    expect(await holdfast.call(create)).toMatchObject({
      status: 200,
      body: { triggerId, rule: 'r1' },
    });
    expect(await fired.ledger()).toEqual([ran]);
    expect(await filled.ledger()).toEqual(caughtUp);
    expect(await changed.view()).toMatchObject({ rule: 'r2', schedule: { everyMs: 7_200_000 } });
    await expectEveryRunEnded(fired, await fired.ledger());
    await expectEveryRunEnded(filled, caughtUp);
    await holdfast.ask({ method: 'DELETE', path: `/v1/triggers/${triggerId}` });
  },
);
