/** A trigger's Workflow: it carries out what it is told, in order, looks, and ends. And the Schedules that start it, on a real server. */
import { randomUUID } from 'node:crypto';

import { ScheduleClient } from '@temporalio/client';
import { msNumberToTs, tsToMs } from '@temporalio/common/lib/time.js';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';

import type { TriggerDefinitionValue, TriggerScheduleValue } from '../../src/contracts/events.ts';
import { triggerWorkflowId } from '../../src/contracts/ids.ts';
import { triggerWorkflowOptions } from '../../src/contracts/names.ts';
import type { TriggerCommand } from '../../src/contracts/trigger-check.ts';
import { dueTimes } from '../../src/domain/due-times.ts';
import type { TriggerRow } from '../../src/store/port.ts';
import { triggerSchedules } from '../../src/trigger-schedules.ts';
import { eventually } from '../support/eventually.ts';
import { ownNamespace, workflowBundlePath } from '../support/temporal.ts';
import { type Harness, startHarness, type StartedTrigger } from './harness.ts';

let harness: Harness;

beforeAll(async () => {
  harness = await startHarness({ ...ownNamespace(), bundlePath: workflowBundlePath() });
});
afterAll(() => harness.stop());

const HOUR_MS = 3_600_000;
const DAY_MS = 24 * HOUR_MS;

const definition: TriggerDefinitionValue = {
  title: '',
  tableId: null,
  conversationId: 'c1',
  content: 'x',
  schedule: { everyMs: 60_000, timezone: 'UTC' },
  jitterMs: 0,
  startAt: null,
  endAt: null,
  missed: { policy: 'skip' },
  whenBusy: 'queue',
  newConversation: false,
  paused: false,
};
const create: TriggerCommand = { name: 'create', value: { definition } };
const pause = (commandId: string): TriggerCommand => ({
  name: 'change',
  value: { commandId, change: { paused: true } },
});
const fire = (commandId: string): TriggerCommand => ({
  name: 'fire',
  value: { commandId, requestId: commandId },
});
const remove: TriggerCommand = { name: 'remove', value: { commandId: 'gone' } };
const signal = ({ handle }: StartedTrigger, { name, value }: TriggerCommand) =>
  handle.signal(name, value);

/** Each once, where it came first. */
const uniqueOf = (commands: readonly TriggerCommand[]): TriggerCommand[] => [
  ...new Map(commands.map((command) => [JSON.stringify(command), command])).values(),
];

describe('a trigger’s Workflow', () => {
  test('a fire looks once, and ends', async () => {
    const { double, handle } = await harness.startTrigger('fire');
    await handle.result();
    expect(double.looks).toHaveLength(1);
    expect(double.commands).toEqual([]);
  });

  test('what it is started with is carried out before anything is looked at', async () => {
    const { double, handle } = await harness.startTrigger('create', { with: create });
    await handle.result();
    expect(double.commands).toEqual([create]);
    expect(double.looks).toHaveLength(1);
  });

  test('A1 commands are carried out in their order, those that come during a look too; none is lost to its end', async () => {
    const look = Promise.withResolvers<void>();
    const started = await harness.startTrigger('commands', {
      with: create,
      prepare: (each) => {
        each.held = look.promise;
      },
    });
    const { double, handle } = started;
    await eventually(() => double.looks.length === 1);
    const more = [pause('k1'), fire('k2'), pause('k3'), remove];
    for (const command of more) await signal(started, command);
    look.resolve();
    await handle.result();
    // A Workflow Task that ends while a signal comes is done again, with all that it had carried out.
    expect(uniqueOf(double.commands)).toEqual([create, ...more]);
    expect(double.looks.length).toBeGreaterThanOrEqual(2);
  });

  test('A1 one that fails is tried again until it is done; one that is refused for good is left, and the next is carried out', async () => {
    const started = await harness.startTrigger('refused', {
      with: create,
      prepare: ({ faults, refused, waits }) => {
        faults.push(new Error('disk full'), new Error('disk full'));
        refused.add('fire');
        waits.push(HOUR_MS, HOUR_MS);
      },
    });
    const { double, handle } = started;
    await eventually(() => double.looks.length === 1);
    await signal(started, fire('refused'));
    await eventually(() => double.looks.length === 2);
    await signal(started, pause('k1'));
    await handle.result();
    expect(double.faults).toEqual([]);
    expect(double.commands).toEqual([create, pause('k1')]);
  });

  test('A1 commands that came while no worker was there are carried out in the order in which they came', async () => {
    const all = [create, fire('k1'), pause('k2'), remove, fire('k3'), pause('k4')];
    const id = `waited-${randomUUID().slice(0, 8)}`;
    const taskQueue = `late-${randomUUID()}`;
    const handle = await harness.client.workflow.signalWithStart('trigger', {
      ...triggerWorkflowOptions(id, taskQueue),
      args: [{ triggerId: id }],
      signal: create.name,
      signalArgs: [create.value],
    });
    for (const { name, value } of all.slice(1)) await handle.signal(name, value);
    await handle.signal('nonsense', {});
    await harness.serve(taskQueue);
    await handle.result();
    expect(harness.triggerDoubleOf(id).commands).toEqual(all);
  });

  test('one that has ended is started anew by the next command', async () => {
    const { id, double, handle } = await harness.startTrigger('again', { with: create });
    await handle.result();
    const again = await harness.client.workflow.signalWithStart('trigger', {
      ...triggerWorkflowOptions(id, harness.taskQueue),
      args: [{ triggerId: id }],
      signal: 'fire',
      signalArgs: [fire('k1').value],
    });
    await again.result();
    expect(double.commands).toEqual([create, fire('k1')]);
  });

  test('what is jittered is waited for, and looked at then, by the time that it was asked for', async () => {
    const { double, handle } = await harness.startTrigger('waits', {
      prepare: ({ waits }) => waits.push(50, 0, 60),
    });
    await handle.result();
    expect(double.looks).toHaveLength(4);
    // Whatever comes due meanwhile has fires of its own.
    expect(new Set(double.looks).size).toBe(1);
  });

  test('a signal ends the wait: a look at what is due by then, or a command and then a look', async () => {
    const started = await harness.startTrigger('woken', {
      prepare: ({ waits }) => waits.push(HOUR_MS, HOUR_MS, null),
    });
    const { double, handle } = started;
    await eventually(() => double.looks.length === 1);
    await handle.signal('look');
    await eventually(() => double.looks.length === 2);
    await signal(started, fire('k1'));
    await handle.result();
    expect(double.commands).toEqual([fire('k1')]);
    const [first = 0, second = 0, third = 0] = double.looks;
    expect(first).toBeLessThan(second);
    expect(second).toBeLessThan(third);
  });
});

describe('its Schedule', () => {
  const client = (): ScheduleClient =>
    new ScheduleClient({
      connection: harness.client.connection,
      namespace: harness.client.options.namespace,
    });
  const refused: string[] = [];
  /** Fires of these go to nobody. */
  const schedulesOf = (taskQueue = `nobody-${randomUUID()}`) =>
    triggerSchedules({ client: client(), taskQueue, log: (text) => refused.push(text) });
  const rowOf = (more: Partial<TriggerRow> = {}): TriggerRow => ({
    triggerId: `schedule-${randomUUID().slice(0, 8)}`,
    definition,
    rule: 'r1',
    createdAt: '2026-01-01T00:00:00.000Z',
    updatedAt: '2026-01-01T00:00:00.000Z',
    decidedUntil: '2026-01-01T00:00:00.000Z',
    nextDueAt: '2026-01-01T00:01:00.000Z',
    removedAt: null,
    ...more,
  });

  test('starts a look of its trigger, however many are on their way', async () => {
    const schedules = schedulesOf(harness.taskQueue);
    const row = rowOf();
    const { triggerId } = row;
    const double = harness.triggerDoubleOf(triggerId);
    await schedules.sync(row);
    const handle = client().getHandle(triggerWorkflowId(triggerId));
    const looks = Promise.withResolvers<void>();
    for (const count of [1, 2]) {
      double.held = looks.promise;
      const askedMs = Date.now();
      await handle.trigger();
      await eventually(() => double.looks.length >= count);
      // Two of one second would be one: it is part of their Workflow Ids.
      await eventually(() => Date.now() >= askedMs + 1_000);
    }
    looks.resolve();
    await schedules.remove(triggerId);
  });

  test('is made, changed with its rule, set right after an operator, removed when nothing is due any more', async () => {
    const schedules = schedulesOf();
    const row = rowOf();
    const { triggerId } = row;
    const handle = client().getHandle(triggerWorkflowId(triggerId));
    const known = async () => (await schedules.rules()).get(triggerId);
    await schedules.sync(row);
    await eventually(async () => (await known()) === 'r1');
    const [before] = (await handle.describe()).info.nextActionTimes;
    expect((before?.getTime() ?? 1) % 60_000).toBe(0);
    const edited = {
      ...row,
      rule: 'r2',
      definition: { ...definition, schedule: { everyMs: HOUR_MS, timezone: 'UTC' } },
    };
    await schedules.sync(edited);
    await schedules.sync(edited);
    await eventually(async () => (await known()) === 'r2');
    const [after] = (await handle.describe()).info.nextActionTimes;
    expect((after?.getTime() ?? 1) % HOUR_MS).toBe(0);
    await handle.pause('an operator');
    await eventually(async () => (await known()) === 'an operator');
    await schedules.sync(edited);
    expect((await handle.describe()).state).toMatchObject({ paused: false, note: 'r2' });
    // What is due in a pause of the trigger has its row too.
    await schedules.sync({ ...edited, definition: { ...edited.definition, paused: true } });
    expect((await handle.describe()).state).toMatchObject({ paused: false });

    expect(refused).toEqual([]);
    await schedules.sync({ ...edited, nextDueAt: null });
    await eventually(async () => (await known()) === undefined);
    await schedules.sync(edited);
    await schedules.sync({ ...edited, removedAt: '2026-01-01T00:00:30.000Z' });
    await expect(handle.describe()).rejects.toThrow(/not found/i);
    await schedules.remove(triggerId);
  });

  /** Of a year, and of the days around the changes of the clock. */
  const year = ['2026-01-01T00:00:00Z', '2027-01-01T00:00:00Z'] as const;
  const spring = ['2026-03-27T00:00:00Z', '2026-03-31T00:00:00Z'] as const;
  const autumn = ['2026-10-24T00:00:00Z', '2026-10-27T00:00:00Z'] as const;
  const hours = ['2026-06-01T00:00:00Z', '2026-06-01T02:00:00Z'] as const;
  const cases: {
    schedule: TriggerScheduleValue;
    range: readonly [string, string];
    startAt?: string;
    endAt?: string;
    /** Changes of the clock, around which Temporal leaves some out: those are found by the watch. */
    changes?: string[];
  }[] = [
    { schedule: { cron: '0 9 * * *', timezone: 'UTC' }, range: year },
    {
      schedule: { cron: '30 2 * * *', timezone: 'Europe/Berlin' },
      range: year,
      changes: ['2026-03-29T01:00:00Z', '2026-10-25T01:00:00Z'],
    },
    {
      schedule: { cron: '30 2 * * *', timezone: 'America/New_York' },
      range: year,
      changes: ['2026-03-08T07:00:00Z', '2026-11-01T06:00:00Z'],
    },
    { schedule: { cron: '0 0 * * MON-FRI', timezone: 'Australia/Lord_Howe' }, range: year },
    { schedule: { cron: '15,45 7-9/2 1 1,7 *', timezone: 'Asia/Kolkata' }, range: year },
    { schedule: { cron: '0 12 31 * 7', timezone: 'UTC' }, range: year },
    { schedule: { cron: '@daily', timezone: 'America/Sao_Paulo' }, range: year },
    { schedule: { cron: '@yearly', timezone: 'Pacific/Auckland' }, range: year },
    { schedule: { cron: '*/15 * * * *', timezone: 'Europe/Berlin' }, range: spring },
    {
      schedule: { cron: '*/15 * * * *', timezone: 'Europe/Berlin' },
      range: autumn,
      changes: ['2026-10-25T01:00:00Z'],
    },
    {
      schedule: { cron: '5-55/10 1-3 * * *', timezone: 'Europe/London' },
      range: autumn,
      changes: ['2026-10-25T01:00:00Z'],
    },
    {
      schedule: { cron: '@hourly', timezone: 'Europe/London' },
      range: autumn,
      changes: ['2026-10-25T01:00:00Z'],
    },
    { schedule: { cron: '*/10 * * * * *', timezone: 'UTC' }, range: hours },
    { schedule: { cron: '3,17-19,40/5 0-30/7 0,1 * * ?', timezone: 'UTC' }, range: hours },
    { schedule: { everyMs: 1_000, timezone: 'UTC' }, range: hours },
    { schedule: { everyMs: 1_100, timezone: 'UTC' }, range: hours },
    { schedule: { everyMs: 1_500, timezone: 'UTC' }, range: hours },
    { schedule: { everyMs: 2_500, timezone: 'UTC' }, range: hours },
    { schedule: { everyMs: 90_000, timezone: 'Asia/Tokyo' }, range: hours },
    { schedule: { everyMs: 7 * DAY_MS, timezone: 'UTC' }, range: year },
    { schedule: { at: '2026-06-01T00:30:00.250Z', timezone: 'UTC' }, range: hours },
    { schedule: { at: '2026-03-29T02:30', timezone: 'Europe/Berlin' }, range: spring },
    {
      schedule: { everyMs: 60_000, timezone: 'UTC' },
      range: hours,
      startAt: '2026-06-01T00:10:00.000Z',
      endAt: '2026-06-01T00:20:00.000Z',
    },
    {
      schedule: { everyMs: 1_500, timezone: 'UTC' },
      range: hours,
      startAt: '2026-06-01T00:10:00.001Z',
      endAt: '2026-06-01T00:20:01.500Z',
    },
  ];

  /** When Temporal would fire: after `fromMs`, up to `toMs`; or the first thousand of that. */
  async function matchingTimes(
    scheduleId: string,
    fromMs: number,
    toMs: number,
  ): Promise<number[]> {
    const { startTime } = await client().connection.workflowService.listScheduleMatchingTimes({
      namespace: harness.client.options.namespace,
      scheduleId,
      startTime: msNumberToTs(fromMs),
      endTime: msNumberToTs(toMs),
    });
    return (startTime ?? []).map((time) => tsToMs(time));
  }

  test.each(cases)(
    'Temporal fires for every due time, at its second or the one after it: $schedule, $range.0, $startAt to $endAt',
    { timeout: 60_000 },
    async ({ schedule, range, startAt = null, endAt = null, changes = [] }) => {
      const [from, to] = range.map((time) => Date.parse(time));
      if (from === undefined || to === undefined) throw new Error('a range has two ends');
      const rule = { schedule, startAt, endAt };
      const row = rowOf({ definition: { ...definition, ...rule } });
      const schedules = schedulesOf();
      await schedules.sync(row);
      const fires = new Set<number>();
      for (let after = from - 1_000; after < to + 1_000;) {
        const times = await matchingTimes(triggerWorkflowId(row.triggerId), after, to + 1_000);
        for (const time of times) fires.add(time);
        after = times.at(-1) ?? Infinity;
      }
      await schedules.remove(row.triggerId);
      const due = [...dueTimes(rule, from - 1, to)];
      expect(due.length).toBeGreaterThan(0);
      const missing = due.filter((time) => !fires.has(Math.ceil(time / 1_000) * 1_000));
      const elsewhere = missing.filter((time) =>
        changes.every((change) => Math.abs(time - Date.parse(change)) > 2 * HOUR_MS),
      );
      expect(elsewhere.map((time) => new Date(time).toISOString())).toEqual([]);
    },
  );
});
