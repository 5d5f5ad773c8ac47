/** The watch over triggers, on a real store: it asks for looks, and keeps the Schedules what the triggers say. */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

import { afterEach, beforeEach, describe, expect, test } from 'vitest';

import { Presence } from '../../src/activities/presence.ts';
import type { DecidedFireValue, TriggerDefinitionValue } from '../../src/contracts/events.ts';
import { triggerStream } from '../../src/contracts/ids.ts';
import { jitterOf } from '../../src/domain/due-times.ts';
import { openStore } from '../../src/store/open.ts';
import type { Store } from '../../src/store/port.ts';
import { TriggerWatch } from '../../src/trigger-watch.ts';
import { eventually } from '../support/eventually.ts';

const T0 = Date.parse('2026-03-01T00:00:00.000Z');
const GRACE_MS = 10_000;
const iso = (ms: number): string => new Date(ms).toISOString();

let folder: string;
let store: Store;
let nowMs: number;
let isTemporalThere: boolean;
/** Triggers whose Workflow cannot be signalled. */
const unreachable = new Set<string>();
let asked: string[];
/** Temporal's Schedules: of which rule each is. */
let schedules: Map<string, string>;
let synced: string[];
let said: string[];
let watch: TriggerWatch;

const clock = (): number => nowMs;

function answered(): Promise<void> {
  return isTemporalThere ? Promise.resolve() : Promise.reject(new Error('no answer'));
}

function newWatch(graceMs = GRACE_MS): TriggerWatch {
  return new TriggerWatch({
    store,
    signals: {
      async lookAtTrigger(triggerId) {
        await answered();
        if (unreachable.has(triggerId)) throw new Error('no answer');
        asked.push(triggerId);
      },
    },
    schedules: {
      async sync({ triggerId, rule, nextDueAt, removedAt }) {
        await answered();
        synced.push(triggerId);
        if (nextDueAt === null || removedAt !== null) schedules.delete(triggerId);
        else schedules.set(triggerId, rule);
      },
      async remove(triggerId) {
        await answered();
        schedules.delete(triggerId);
      },
      async rules() {
        await answered();
        return new Map(schedules);
      },
    },
    presence: new Presence({ graceMs, clock }),
    graceMs,
    ping: answered,
    log: (text) => said.push(text),
    clock,
  });
}

beforeEach(async () => {
  folder = mkdtempSync(join(tmpdir(), 'holdfast-watch-'));
  store = await openStore({ url: `sqlite:${join(folder, 'holdfast.db')}` });
  nowMs = T0;
  isTemporalThere = true;
  asked = [];
  schedules = new Map();
  synced = [];
  said = [];
  watch = newWatch();
});
afterEach(async () => {
  watch.stop();
  await store.close();
  rmSync(folder, { recursive: true, force: true });
});

/** Due at `dueMs` next, and decided up to T0; its Schedule is there. */
async function makeTrigger(
  triggerId: string,
  { dueMs, ...more }: Partial<TriggerDefinitionValue> & { dueMs: number | null },
): Promise<void> {
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
    ...more,
  };
  const nextDueAt = dueMs === null ? null : iso(dueMs);
  await store.append({
    stream: triggerStream(triggerId),
    events: [
      {
        type: 'trigger.created',
        payload: { triggerId, rule: 'r1', definition, decidedUntil: iso(T0), nextDueAt },
      },
    ],
  });
  if (dueMs !== null) schedules.set(triggerId, 'r1');
}

/** It has decided that, at T0 + 1 s, and not sent it; due next at `dueMs`. */
async function decide(
  triggerId: string,
  { dueMs, requestId }: { dueMs: number; requestId: string },
): Promise<void> {
  const fire: DecidedFireValue = {
    dueAt: iso(T0 + 1_000),
    decidedAt: iso(T0 + 1_000),
    outcome: 'fired',
    words: '',
    rule: 'r1',
    requestId,
    conversationId: 'c1',
    whenBusy: 'queue',
  };
  await store.append({
    stream: triggerStream(triggerId),
    events: [
      {
        type: 'trigger.decided',
        payload: {
          triggerId,
          cause: 'due',
          from: iso(T0),
          until: iso(T0 + 1_000),
          nextDueAt: iso(dueMs),
          fires: [fire],
        },
      },
    ],
  });
}

const lookAt = async (afterMs: number): Promise<string[]> => {
  nowMs = T0 + afterMs;
  const found = await watch.look();
  await watch.idle();
  return found;
};

describe('a look is asked for', () => {
  test('of what is overdue by more than its own fire takes, and of nothing else', async () => {
    await makeTrigger('early', { dueMs: T0 + 1_000 });
    await makeTrigger('later', { dueMs: T0 + 5_000 });
    await makeTrigger('never', { dueMs: null });
    expect(await lookAt(3_000)).toEqual([]);
    expect(await lookAt(3_001)).toEqual(['early']);
    // Asked a moment ago, it is given its time.
    expect(await lookAt(8_000)).toEqual(['later']);
    expect(await lookAt(11_001)).toEqual(['early']);
    expect(asked).toEqual(['early', 'later', 'early']);
  });

  test('of the others, when one cannot be asked for', async () => {
    for (const id of ['bad', 'good']) await makeTrigger(id, { dueMs: T0 + 1_000 });
    unreachable.add('bad');
    expect(await lookAt(4_000)).toEqual(['good']);
    expect(said).toEqual(['trigger bad was not looked at: Error: no answer']);
    unreachable.clear();
    expect(await lookAt(4_500)).toEqual(['bad']);
  });

  test('of what was decided and not sent, once whoever was to send it must have died', async () => {
    await makeTrigger('x', { dueMs: T0 + 1_000 });
    await decide('x', { dueMs: T0 + 100_000, requestId: 'q' });
    expect(await lookAt(6_000)).toEqual([]);
    expect(await lookAt(6_001)).toEqual(['x']);
    await store.markDelivered('x', ['q']);
    expect(await lookAt(7_000)).toEqual([]);
  });

  test('of all of them, page by page; a paused one too, whose due times are rows', async () => {
    const ids = Array.from({ length: 450 }, (_, index) => `t${String(index).padStart(3, '0')}`);
    for (const id of ids) await makeTrigger(id, { dueMs: T0 + 1_000, paused: id === 't200' });
    expect(await lookAt(4_000)).toEqual(ids);
  });

  test('of what waits for its jitter not before that is over; but of what is to be sent', async () => {
    const jitterMs = 3_600_000;
    const dueMs = T0 + 1_000;
    await makeTrigger('x', { dueMs, jitterMs });
    const actMs = 1_000 + jitterOf('x', dueMs, jitterMs);
    expect(actMs).toBeGreaterThan(10_000);
    expect(await lookAt(4_000)).toEqual([]);
    expect(await lookAt(actMs + 2_000)).toEqual([]);
    expect(await lookAt(actMs + 2_001)).toEqual(['x']);

    await makeTrigger('y', { dueMs, jitterMs });
    await decide('y', { dueMs: T0 + 2_000, requestId: 'q' });
    expect(jitterOf('y', T0 + 2_000, jitterMs)).toBeGreaterThan(10_000);
    expect(await lookAt(6_000)).toEqual([]);
    expect(await lookAt(6_001)).toEqual(['y']);
  });

  test('of none while Temporal does not answer; nothing is thrown out of it, and it goes on by itself', async () => {
    await makeTrigger('x', { dueMs: T0 + 1_000 });
    isTemporalThere = false;
    nowMs = T0 + 5_000;
    await expect(watch.look()).rejects.toThrow('no answer');
    watch = newWatch(400);
    watch.start();
    await eventually(() => said.length >= 2);
    expect(said).toEqual(said.map(() => 'triggers were not looked at: Error: no answer'));
    expect(asked).toEqual([]);
    isTemporalThere = true;
    await eventually(() => asked.length >= 1);
    watch.stop();
    expect(new Set(asked)).toEqual(new Set(['x']));
  });
});

test('D2 what was sent to a Temporal that has lost its Schedules is sent again; nothing else is', async () => {
  for (const id of ['kept', 'lost']) {
    await makeTrigger(id, { dueMs: T0 + 1_000 });
    await decide(id, { dueMs: T0 + 10 * 86_400_000, requestId: `q-${id}` });
    await store.markDelivered(id, [`q-${id}`]);
  }
  schedules.delete('lost');
  expect(await lookAt(62_000)).toEqual([]);
  expect(await store.undelivered('kept', 9)).toEqual([]);
  expect(await store.undelivered('lost', 9)).toMatchObject([{ requestId: 'q-lost' }]);
  expect(await lookAt(62_500)).toEqual(['lost']);
  expect(schedules.get('lost')).toBe('r1');
});

describe('the Schedules are compared with the triggers', () => {
  const far = { dueMs: T0 + 10 * 86_400_000 };

  test('at the first look: the missing is made, another rule’s is changed, what no trigger stands behind is removed', async () => {
    for (const id of ['same', 'missing', 'other', 'paused', 'gone']) await makeTrigger(id, far);
    await makeTrigger('ended', { dueMs: null });
    await makeTrigger('over', { dueMs: null });
    schedules.delete('missing');
    schedules.set('other', 'r7');
    // What an operator writes when he pauses one takes the rule's place.
    schedules.set('paused', 'by an operator');
    schedules.set('over', 'r1');
    schedules.set('nobody', 'r1');
    await store.append({
      stream: triggerStream('gone'),
      events: [
        {
          type: 'trigger.removed',
          payload: { triggerId: 'gone', from: iso(T0), commandId: 'k' },
        },
      ],
    });
    expect(await lookAt(1_000)).toEqual([]);
    expect(schedules).toEqual(
      new Map(['same', 'missing', 'other', 'paused'].map((id) => [id, 'r1'])),
    );
    expect(synced.toSorted((a, b) => (a < b ? -1 : 1))).toEqual([
      'gone',
      'missing',
      'other',
      'over',
      'paused',
    ]);
    expect(said).toHaveLength(6);
  });

  test('then every five minutes, and whenever Temporal has come back', async () => {
    await makeTrigger('x', far);
    const isRemade = async (afterMs: number): Promise<boolean> => {
      schedules.delete('x');
      await lookAt(afterMs);
      return schedules.has('x');
    };
    expect(await isRemade(0)).toBe(true);
    for (let ms = 5_000; ms <= 300_000; ms += 5_000) expect(await isRemade(ms)).toBe(false);
    expect(await isRemade(300_001)).toBe(true);
    expect(await isRemade(305_000)).toBe(false);
    // It was away for longer than the grace, perhaps with its database.
    isTemporalThere = false;
    await expect(isRemade(310_000)).rejects.toThrow('no answer');
    isTemporalThere = true;
    expect(await isRemade(316_000)).toBe(true);
  });

  test('again at the next look, when Temporal went away in its middle', async () => {
    await makeTrigger('x', far);
    schedules.delete('x');
    // It answers the ping, and then no more.
    let calls = 0;
    const parts = {
      ping: async () => {
        calls += 1;
        isTemporalThere = calls > 1;
      },
    };
    watch = new TriggerWatch({
      store,
      signals: { lookAtTrigger: () => Promise.resolve() },
      schedules: {
        sync: async ({ triggerId, rule }) => {
          await answered();
          schedules.set(triggerId, rule);
        },
        remove: () => Promise.resolve(),
        rules: () => Promise.resolve(new Map(schedules)),
      },
      presence: new Presence({ graceMs: GRACE_MS, clock }),
      graceMs: GRACE_MS,
      log: (text) => said.push(text),
      clock,
      ...parts,
    });
    expect(await lookAt(0)).toEqual([]);
    expect(said).toEqual(['Schedules were not compared with their triggers: Error: no answer']);
    await lookAt(2_500);
    expect(schedules.get('x')).toBe('r1');
  });

  test('page by page', async () => {
    const ids = Array.from({ length: 401 }, (_, index) => `t${index}`);
    for (const id of ids) await makeTrigger(id, far);
    schedules.clear();
    await lookAt(1_000);
    expect(new Set(schedules.keys())).toEqual(new Set(ids));
  });
});
