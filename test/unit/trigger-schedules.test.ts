/** What Temporal's Schedules are told of when triggers are due. Whether that is enough, test/workflows/trigger.test.ts asks a server. */
import {
  type ScheduleClient,
  ScheduleAlreadyRunning,
  ScheduleNotFoundError,
} from '@temporalio/client';
import { describe, expect, test } from 'vitest';

import type { TriggerDefinitionValue, TriggerScheduleValue } from '../../src/contracts/events.ts';
import type { TriggerRow } from '../../src/store/port.ts';
import { specOf, triggerSchedules } from '../../src/trigger-schedules.ts';

const definition: TriggerDefinitionValue = {
  title: '',
  tableId: null,
  conversationId: 'c1',
  content: 'x',
  schedule: { everyMs: 1_000, timezone: 'UTC' },
  jitterMs: 0,
  startAt: null,
  endAt: null,
  missed: { policy: 'skip' },
  whenBusy: 'queue',
  newConversation: false,
  paused: false,
};
const row: TriggerRow = {
  triggerId: 'x',
  definition,
  rule: 'r3',
  createdAt: '2026-01-01T00:00:00.000Z',
  updatedAt: '2026-01-01T00:00:00.000Z',
  decidedUntil: '2026-01-01T00:00:00.000Z',
  nextDueAt: '2026-01-01T00:00:01.000Z',
  removedAt: null,
};

describe('the times at which Temporal looks', () => {
  const berlin = 'Europe/Berlin';
  test.each<[TriggerScheduleValue, string]>([
    // On which days, Temporal is not told: it reads them otherwise.
    [{ cron: '0 9 * * *', timezone: berlin }, '0 0 9 * * * *'],
    [{ cron: '30 2 1 1 MON', timezone: berlin }, '0 30 2 * * * *'],
    [{ cron: '*/15 8-18/2 * * 1-5', timezone: berlin }, '0 */15 8-18/2 * * * *'],
    [{ cron: ' 1,2  3 * * * ', timezone: berlin }, '0 1,2 3 * * * *'],
    [{ cron: '*/10 5 * * * *', timezone: berlin }, '*/10 5 * * * * *'],
    [{ cron: '0 ? ? 1 * ?', timezone: berlin }, '0 * * * * * *'],
    [{ cron: '@hourly', timezone: berlin }, '0 0 * * * * *'],
    [{ cron: '@DAILY', timezone: berlin }, '0 0 0 * * * *'],
    [{ cron: '@weekly', timezone: berlin }, '0 0 0 * * * *'],
  ])('%j: %s', (schedule, cron) => {
    expect(specOf({ ...definition, schedule })).toEqual({
      timezone: berlin,
      cronExpressions: [cron],
    });
  });

  test.each<[number, [every: number, offset: number][]]>([
    [1_000, [[1_000, 0]]],
    [90_000, [[90_000, 0]]],
    // Whole seconds: the next one after each.
    [
      1_500,
      [
        [3_000, 0],
        [3_000, 2_000],
      ],
    ],
    [
      2_500,
      [
        [5_000, 0],
        [5_000, 3_000],
      ],
    ],
    [
      1_100,
      [0, 2, 3, 4, 5, 6, 7, 8, 9, 10].map((second): [number, number] => [11_000, second * 1_000]),
    ],
    [1_900, Array.from({ length: 10 }, (_, index) => [19_000, Math.ceil(index * 1.9) * 1_000])],
  ])('every %d ms', (everyMs, intervals) => {
    const schedule = { everyMs, timezone: 'Asia/Tokyo' };
    expect(specOf({ ...definition, schedule })).toEqual({
      intervals: intervals.map(([every, offset]) => ({ every, offset })),
    });
  });

  test('once: at its second, in UTC; after 2100, of which Temporal knows nothing, every year', () => {
    const at = (text: string, timezone = 'UTC') =>
      specOf({ ...definition, schedule: { at: text, timezone } });
    expect(at('2026-11-01T09:05:06', 'America/New_York')).toEqual({
      calendars: [{ year: 2026, month: 'NOVEMBER', dayOfMonth: 1, hour: 14, minute: 5, second: 6 }],
    });
    expect(at('2026-12-31T23:59:59.001Z')).toEqual({
      calendars: [{ year: 2027, month: 'JANUARY', dayOfMonth: 1, hour: 0, minute: 0, second: 0 }],
    });
    expect(at('2101-02-03T04:05:06Z')).toEqual({
      calendars: [{ month: 'FEBRUARY', dayOfMonth: 3, hour: 4, minute: 5, second: 6 }],
    });
  });

  test('its bounds are Temporal’s too, up to the second in which the last one is looked at', () => {
    const bounds = { startAt: '2026-01-01T00:00:00.500Z', endAt: '2026-01-02T00:00:00.500Z' };
    expect(specOf({ ...definition, ...bounds })).toMatchObject({
      startAt: new Date('2026-01-01T00:00:00.500Z'),
      endAt: new Date('2026-01-02T00:00:01.500Z'),
    });
  });
});

describe('what Temporal answers', () => {
  const said: string[] = [];
  /** `create`, `update` and `delete` fail with these. */
  function schedulesWith(faults: { create?: Error; update?: Error; delete?: Error }) {
    const calls: string[] = [];
    const call = (name: keyof typeof faults) => () => {
      calls.push(name);
      const { [name]: fault } = faults;
      return fault === undefined ? Promise.resolve() : Promise.reject(fault);
    };
    const client = {
      create: call('create'),
      getHandle: () => ({ update: call('update'), delete: call('delete') }),
    };
    const schedules = triggerSchedules({
      client: client as unknown as ScheduleClient,
      taskQueue: 'q',
      log: (text) => said.push(text),
    });
    return { schedules, calls };
  }
  const isThere = new ScheduleAlreadyRunning('there', 'trigger:x');
  const unreachable = new Error('no answer');
  /** As the client wraps what gRPC says. */
  const invalid = new Error('wrapped', { cause: Object.assign(new Error('3 bad'), { code: 3 }) });

  test('one that is there is changed, one that is not there is removed already', async () => {
    const changed = schedulesWith({ create: isThere });
    await changed.schedules.sync(row);
    expect(changed.calls).toEqual(['create', 'update']);
    const removed = schedulesWith({ delete: new ScheduleNotFoundError('none', 'trigger:x') });
    await removed.schedules.sync({ ...row, nextDueAt: null });
    await removed.schedules.sync({ ...row, removedAt: row.createdAt });
    await removed.schedules.remove('x');
    expect(removed.calls).toEqual(['delete', 'delete', 'delete']);
  });

  test('no answer is thrown, so that it is tried again; a Schedule that it finds fault with is said, and let be', async () => {
    for (const faults of [{ create: unreachable }, { create: isThere, update: unreachable }])
      await expect(schedulesWith(faults).schedules.sync(row)).rejects.toThrow('no answer');
    await expect(schedulesWith({ delete: unreachable }).schedules.remove('x')).rejects.toThrow(
      'no answer',
    );
    expect(said).toEqual([]);
    for (const faults of [{ create: invalid }, { create: isThere, update: invalid }])
      await schedulesWith(faults).schedules.sync(row);
    expect(said).toEqual([
      expect.stringContaining('trigger x'),
      expect.stringContaining('trigger x'),
    ]);
  });
});
