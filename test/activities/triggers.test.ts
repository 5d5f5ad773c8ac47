/**
 * What a trigger's Workflow asks for, on a real store: recorded once and sent at least once, wherever it dies, whoever else
 * looks at the same time. Due times are of intervals, so that what is due is plain arithmetic. D1, D2: design.md section 12.
 */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

import { afterEach, beforeEach, describe, expect, test } from 'vitest';

import { Presence } from '../../src/activities/presence.ts';
import { createTriggerActivities, type TriggerActivities } from '../../src/activities/triggers.ts';
import type { NewEvent, TriggerDefinitionValue } from '../../src/contracts/events.ts';
import { conversationStream, tableStream, triggerStream } from '../../src/contracts/ids.ts';
import { RUN_ALL_LIMIT } from '../../src/contracts/limits.ts';
import type { TriggerCommand } from '../../src/contracts/trigger-check.ts';
import type { LedgerRowValue } from '../../src/contracts/triggers.ts';
import { jitterOf } from '../../src/domain/due-times.ts';
import { openStore } from '../../src/store/open.ts';
import type { Store } from '../../src/store/port.ts';
import { decodeEvent } from '../../src/store/stored-event.ts';

const T0 = Date.parse('2026-03-01T00:00:00.000Z');
const GRACE_MS = 10_000;
const iso = (ms: number): string => new Date(ms).toISOString();
/** So many seconds after T0. */
const at = (seconds: number): string => iso(T0 + seconds * 1_000);

let folder: string;
let url: string;
let store: Store;
let nowMs: number;
let sent: { conversationId: string; name: string; argument: unknown }[];
/** What Temporal has of each trigger: the rule of its Schedule; null: none. */
let schedules: Map<string, string | null>;
let isTemporalThere: boolean;

const clock = (): number => nowMs;

/** What one process asks of others. */
type Outside = Pick<
  Parameters<typeof createTriggerActivities>[0],
  'store' | 'signals' | 'schedules'
>;

function outside(asked = store): Outside {
  const answered = (): void => {
    if (!isTemporalThere) throw new Error('Temporal does not answer');
  };
  return {
    store: asked,
    signals: {
      async signalConversation(conversationId, name, argument) {
        answered();
        sent.push({ conversationId, name, argument });
      },
    },
    schedules: {
      async sync({ triggerId, rule, nextDueAt, removedAt }) {
        answered();
        schedules.set(triggerId, nextDueAt === null || removedAt !== null ? null : rule);
      },
      async remove(triggerId) {
        schedules.set(triggerId, null);
      },
      rules: () => Promise.resolve(new Map()),
    },
  };
}

/** The activities of a worker that starts now. */
function worker(parts: Outside = outside()): TriggerActivities {
  const presence = new Presence({ graceMs: GRACE_MS, clock });
  return createTriggerActivities({ ...parts, presence, graceMs: GRACE_MS, clock });
}

beforeEach(async () => {
  folder = mkdtempSync(join(tmpdir(), 'holdfast-triggers-'));
  url = `sqlite:${join(folder, 'holdfast.db')}`;
  store = await openStore({ url });
  nowMs = T0;
  sent = [];
  schedules = new Map();
  isTemporalThere = true;
});
afterEach(async () => {
  await store.close();
  rmSync(folder, { recursive: true, force: true });
});

function definition(more: Partial<TriggerDefinitionValue> = {}): TriggerDefinitionValue {
  return {
    title: 'Every second',
    tableId: null,
    conversationId: 'c1',
    content: 'what to do',
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
}

async function makeConversation(conversationId: string, tableId: string | null = null) {
  await store.append({
    stream: conversationStream(conversationId),
    key: 'created',
    events: [
      {
        type: 'conversation.created',
        conversationId,
        payload: { tableId, title: '', provider: 'scripted', model: null, workspacePath: folder },
      },
    ],
  });
}

async function makeTable(tableId: string) {
  await store.append({
    stream: tableStream(tableId),
    key: 'created',
    events: [
      {
        type: 'table.created',
        tableId,
        payload: { title: '', provider: 'scripted', model: 'small', workspacePath: folder },
      },
    ],
  });
}

/** Makes it at this moment, by a worker to whom nothing happens. */
async function makeTrigger(triggerId: string, more: Partial<TriggerDefinitionValue> = {}) {
  const value = { definition: definition(more) };
  await worker().carryOutCommand({ triggerId, command: { name: 'create', value } });
}

/** Its ledger, oldest first. */
async function ledgerOf(triggerId: string): Promise<LedgerRowValue[]> {
  const { items } = await store.ledger({
    triggerId,
    outcome: null,
    from: null,
    to: null,
    cursor: null,
    limit: 2_000,
  });
  return items.toReversed();
}

/** As `<seconds> <outcome> <reason> <rule>`. */
const said = (rows: readonly LedgerRowValue[]): string[] =>
  rows.map(({ dueAt, outcome, reason, rule }) =>
    [(Date.parse(dueAt) - T0) / 1_000, outcome, reason, rule]
      .filter((word) => word !== undefined)
      .join(' '),
  );

const isRun = ({ outcome }: LedgerRowValue): boolean => !['skipped', 'rejected'].includes(outcome);

async function eventsOf(stream: string) {
  const { items } = await store.events(stream, 0, 1_000);
  return items.map(({ json }) => decodeEvent(json));
}

/** D2: what ran was sent under its own request, after it was announced there, once; nothing else was sent. */
async function expectSent(rows: readonly LedgerRowValue[]): Promise<void> {
  const ran = rows.filter(isRun);
  const conversations = new Set(ran.map(({ conversationId }) => conversationId ?? ''));
  const messages = sent
    .filter(({ conversationId }) => conversations.has(conversationId))
    .map(({ conversationId, name, argument }) => JSON.stringify([conversationId, name, argument]));
  const { definition: present } = (await store.trigger(ran[0]?.triggerId ?? '')) ?? {};
  expect(new Set(messages)).toEqual(
    new Set(
      ran.map(({ conversationId, requestId }) =>
        JSON.stringify([
          conversationId,
          'send',
          { requestId, content: present?.content, whenBusy: 'queue' },
        ]),
      ),
    ),
  );
  const announced: (string | undefined)[] = [];
  for (const conversationId of conversations) {
    const events = await eventsOf(conversationStream(conversationId));
    expect(events[0]?.type).toBe('conversation.created');
    for (const event of events) if (event.type === 'trigger.fired') announced.push(event.requestId);
  }
  expect(announced).toHaveLength(ran.length);
  expect(new Set(announced)).toEqual(new Set(ran.map(({ requestId }) => requestId)));
}

describe('wherever it dies', () => {
  /** Throws before, or after, its n-th call of anything outside; and counts. */
  class Death {
    calls = 0;
    readonly #at: number;
    readonly #when: 'before' | 'after';

    constructor(atCall: number, when: 'before' | 'after') {
      this.#at = atCall;
      this.#when = when;
    }

    of<T extends object>(target: T): T {
      return new Proxy(target, {
        get: (object, name) => {
          const member: unknown = Reflect.get(object, name);
          if (typeof member !== 'function') return member;
          return async (...args: unknown[]) => {
            this.calls += 1;
            const isLast = this.calls === this.#at;
            if (isLast && this.#when === 'before') throw new Error('died before');
            const answer: unknown = await Reflect.apply(member, object, args);
            if (isLast) throw new Error('died after');
            return answer;
          };
        },
      });
    }
  }

  type Life = {
    name: string;
    /** Seconds after T0 at which the worker starts, and looks. */
    now: number;
    more?: Partial<TriggerDefinitionValue>;
    inTable?: boolean;
    prepare?: (triggerId: string) => Promise<void>;
    command?: TriggerCommand;
    ledger: string[];
    rule?: string | null;
  };
  const lives: Life[] = [
    { name: 'a look', now: 3.5, ledger: ['1 fired r1', '2 fired r1', '3 fired r1'] },
    {
      name: 'a look after a gap',
      now: 20,
      more: {
        missed: { policy: 'run-all', limit: 2 },
        schedule: { everyMs: 5_000, timezone: 'UTC' },
      },
      ledger: [
        '5 skipped missed r1',
        '10 caught-up r1',
        '15 caught-up r1',
        // At that very moment.
        '20 fired r1',
      ],
    },
    {
      name: 'the last look',
      now: 2.5,
      more: { endAt: at(2) },
      ledger: ['1 fired r1', '2 fired r1'],
      rule: null,
    },
    { name: 'the first of a table', now: 2.5, inTable: true, ledger: ['1 fired r1', '2 fired r1'] },
    {
      name: 'a conversation for each',
      now: 2.5,
      inTable: true,
      more: { newConversation: true },
      ledger: ['1 fired r1', '2 fired r1'],
    },
    {
      name: 'an edit',
      now: 2.5,
      command: {
        name: 'change',
        value: { commandId: 'k', change: { schedule: { everyMs: 2_000, timezone: 'UTC' } } },
      },
      ledger: ['1 fired r1', '2 fired r1'],
      rule: 'r2',
    },
    {
      name: 'a pause',
      now: 1.5,
      command: { name: 'change', value: { commandId: 'k', change: { paused: true } } },
      ledger: ['1 fired r1'],
    },
    {
      name: 'a removal',
      now: 1.5,
      command: { name: 'remove', value: { commandId: 'k' } },
      ledger: ['1 fired r1'],
      rule: null,
    },
    {
      name: 'a run by hand',
      now: 1.5,
      command: { name: 'fire', value: { commandId: 'by-hand', requestId: 'by-hand' } },
      ledger: ['1 fired r1', '1.5 fired manual r1'],
    },
    {
      name: 'a backfill',
      now: 2.5,
      more: { paused: true },
      command: { name: 'backfill', value: { commandId: 'k', from: at(-1), to: at(1) } },
      ledger: [
        '-1 caught-up backfill r1',
        '0 caught-up backfill r1',
        '1 caught-up backfill r1',
        '2 skipped paused r1',
      ],
    },
    {
      name: 'a creation',
      now: 0,
      command: { name: 'create', value: { definition: definition() } },
      ledger: [],
    },
  ];

  test.each(lives)(
    'D1 D2 $name: at any call, and asked again: the same ledger, each request sent at least once, as if nothing had happened',
    async ({ now, more = {}, inTable = false, command, ledger, rule = 'r1' }) => {
      /** One whole life; answers how many calls it took. */
      const live = async (triggerId: string, death: Death): Promise<number> => {
        nowMs = T0;
        const conversationId = `c-${triggerId}`;
        const place = inTable
          ? { tableId: `t-${triggerId}`, conversationId: null }
          : { conversationId };
        await (inTable ? makeTable(`t-${triggerId}`) : makeConversation(conversationId));
        const creates = command?.name === 'create';
        if (!creates) await makeTrigger(triggerId, { ...more, ...place });
        const asked: TriggerCommand | undefined = creates
          ? { name: 'create', value: { definition: definition(place) } }
          : command;
        nowMs = T0 + now * 1_000;
        const parts = outside();
        const dying = worker({
          store: death.of(parts.store),
          signals: death.of(parts.signals),
          schedules: death.of(parts.schedules),
        });
        // The Workflow asks again until it is answered; another worker, when this one is dead.
        let by = dying;
        const insist = async (ask: (activities: TriggerActivities) => Promise<unknown>) => {
          try {
            await ask(by);
          } catch (error) {
            if (!String(error).includes('died ')) throw error;
            by = worker();
            await ask(by);
          }
        };
        if (asked !== undefined)
          await insist((activities) => activities.carryOutCommand({ triggerId, command: asked }));
        await insist((activities) => activities.lookAtTrigger({ triggerId, dueByMs: nowMs }));

        const rows = await ledgerOf(triggerId);
        expect(said(rows)).toEqual(ledger);
        await expectSent(rows);
        expect(schedules.get(triggerId)).toBe(rule);
        const trigger = await store.trigger(triggerId);
        expect(trigger).toMatchObject({ rule: rule ?? 'r1' });
        expect((await store.undelivered(triggerId, 10)).length).toBe(0);
        return death.calls;
      };
      const calls = await live('whole', new Death(0, 'before'));
      expect(calls).toBeGreaterThan(3);
      for (let call = 1; call <= calls; call += 1)
        for (const when of ['before', 'after'] as const)
          await live(`${when}-${call}`, new Death(call, when));
    },
  );
});

describe('several at once', () => {
  /** The store, but for its append. */
  const withAppend = (one: Store, append: Store['append']): Store =>
    new Proxy(one, {
      get(target, name): unknown {
        const member: unknown = Reflect.get(target, name);
        if (name === 'append') return append;
        return typeof member === 'function' ? member.bind(target) : member;
      },
    });

  test('D1 D2 two look at the same moment, on one database: one row each, and the same messages', async () => {
    const other = await openStore({ url });
    try {
      await makeConversation('c1');
      await makeTrigger('x');
      // Both have read before either decides.
      let together = Promise.withResolvers<void>();
      let readers = 0;
      const meeting = (one: Store): Store =>
        withAppend(one, async (request) => {
          if (request.events.some(({ type }) => type === 'trigger.decided') && readers < 2) {
            readers += 1;
            if (readers === 2) together.resolve();
            await together.promise;
          }
          return one.append(request);
        });
      const workers = [worker(outside(meeting(store))), worker(outside(meeting(other)))];
      for (let second = 1; second <= 10; second += 1) {
        nowMs = T0 + second * 1_000;
        readers = 0;
        together = Promise.withResolvers();
        await Promise.all(
          workers.map((each) => each.lookAtTrigger({ triggerId: 'x', dueByMs: nowMs })),
        );
        expect(readers).toBe(2);
      }
      const rows = await ledgerOf('x');
      expect(said(rows)).toEqual(Array.from({ length: 10 }, (_, index) => `${index + 1} fired r1`));
      await expectSent(rows);
    } finally {
      await other.close();
    }
  });

  test.each([
    [{ schedule: { everyMs: 3_000, timezone: 'UTC' } }, ['1 fired r1', '2 fired r1', '3 fired r2']],
    [{ paused: true }, ['1 fired r1', '2 fired r1', '3 skipped paused r1']],
  ])(
    'D1 edited (%j) between what a look has read and what it records: it looks again',
    async (change, ledger) => {
      await makeConversation('c1');
      await makeTrigger('x');
      const editor = worker();
      let edits = 0;
      const slow = withAppend(store, async (request) => {
        edits += 1;
        if (edits === 1) {
          nowMs = T0 + 2_500;
          const command: TriggerCommand = { name: 'change', value: { commandId: 'k', change } };
          await editor.carryOutCommand({ triggerId: 'x', command });
          nowMs = T0 + 3_000;
        }
        return store.append(request);
      });
      const late = worker(outside(slow));
      nowMs = T0 + 1_000;
      await late.lookAtTrigger({ triggerId: 'x', dueByMs: nowMs });
      const rows = await ledgerOf('x');
      expect(said(rows)).toEqual(ledger);
      await expectSent(rows);
    },
  );
});

describe('while Temporal does not answer', () => {
  test('D2 a look that is tried again and again decides no more than it could send; what was due meanwhile is missed', async () => {
    await makeConversation('c1');
    await makeTrigger('x');
    const one = worker();
    nowMs = T0 + 1_000;
    await one.lookAtTrigger({ triggerId: 'x', dueByMs: nowMs });
    // It had been asked for just before: the process goes on trying by itself.
    isTemporalThere = false;
    for (let second = 2; second <= 30; second += 1) {
      nowMs = T0 + second * 1_000;
      await expect(one.lookAtTrigger({ triggerId: 'x', dueByMs: nowMs })).rejects.toThrow(
        'does not answer',
      );
    }
    isTemporalThere = true;
    nowMs = T0 + 31_000;
    await one.lookAtTrigger({ triggerId: 'x', dueByMs: nowMs });
    const rows = await ledgerOf('x');
    expect(said(rows.filter(isRun))).toEqual(['1 fired r1', '2 fired r1', '31 fired r1']);
    expect(said(rows.filter((row) => !isRun(row)))).toEqual(
      Array.from({ length: 28 }, (_, index) => `${index + 3} skipped missed r1`),
    );
    await expectSent(rows);
  });
});

describe('jitter', () => {
  const jittered = { jitterMs: 4_900, schedule: { cron: '*/5 * * * * *', timezone: 'UTC' } };

  test('a look waits until all that was due when it was asked for can be done, and for no more: it ends', async () => {
    await makeConversation('c1');
    await makeTrigger('x', jittered);
    const one = worker();
    const actMs = (dueMs: number): number => dueMs + jitterOf('x', dueMs, 4_900);
    const askedMs = T0 + 60_000;
    const due = Array.from({ length: 12 }, (_, index) => T0 + (index + 1) * 5_000);
    const allMs = Math.max(...due.map(actMs));
    nowMs = askedMs;
    expect(await one.lookAtTrigger({ triggerId: 'x', dueByMs: askedMs })).toEqual({
      waitMs: allMs - askedMs,
    });
    nowMs = allMs - 1;
    expect(await one.lookAtTrigger({ triggerId: 'x', dueByMs: askedMs })).toEqual({ waitMs: 1 });
    // By then others are due, which their own fires look after.
    nowMs = allMs;
    expect(await one.lookAtTrigger({ triggerId: 'x', dueByMs: askedMs })).toEqual({ waitMs: null });
    const rows = await ledgerOf('x');
    expect(rows.slice(0, 12).map(({ dueAt }) => Date.parse(dueAt))).toEqual(due);
    for (const { decidedAt, dueAt } of rows)
      expect(Date.parse(decidedAt)).toBeGreaterThanOrEqual(actMs(Date.parse(dueAt)));
  });
});

describe('commands', () => {
  const carryOut = (command: unknown, triggerId = 'x') =>
    worker().carryOutCommand({ triggerId, command: command as TriggerCommand });
  const lastSeq = () => store.lastSeq(triggerStream('x'));

  beforeEach(async () => {
    await makeConversation('c1');
    await makeTrigger('x');
    nowMs = T0 + 1_500;
  });

  const ok = definition();
  test.each<[string, unknown]>([
    ['create', {}],
    ['create', { definition: { ...ok, content: '' } }],
    ['create', { definition: { ...ok, schedule: { everyMs: 1_000 } } }],
    ['create', { definition: { ...ok, schedule: { everyMs: 999, timezone: 'UTC' } } }],
    ['create', { definition: { ...ok, schedule: { cron: '61 * * * *', timezone: 'UTC' } } }],
    ['create', { definition: { ...ok, schedule: { cron: '0 9 * * *', timezone: 'Mars/Base' } } }],
    ['create', { definition: { ...ok, tableId: 'tb' } }],
    ['create', { definition: { ...ok, conversationId: null } }],
    ['create', { definition: { ...ok, newConversation: true } }],
    ['create', { definition: { ...ok, startAt: 'tomorrow' } }],
    ['create', { definition: { ...ok, startAt: at(5), endAt: at(5) } }],
    ['create', { definition: { ...ok, jitterMs: 1_000 } }],
    ['create', { definition: { ...ok, missed: { policy: 'run-all', limit: RUN_ALL_LIMIT + 1 } } }],
    ['create', { definition: ok, acceptedAt: 'just now' }],
    ['change', { change: { paused: true } }],
    ['change', { commandId: 'k', change: { paused: 'yes' } }],
    ['change', { commandId: 'k', change: { schedule: { cron: 'x', timezone: 'UTC' } } }],
    ['change', { commandId: 'k', change: { newConversation: true } }],
    ['remove', {}],
    ['remove', { commandId: '../x' }],
    ['fire', { commandId: 'k' }],
    ['fire', 'now'],
    ['backfill', { commandId: 'k', from: 'yesterday', to: at(1) }],
    ['backfill', { commandId: 'k', from: at(0) }],
    // More than anybody may ask for: an operator's own Signal comes by here alone.
    ['backfill', { commandId: 'k', from: '1970-01-01T00:00:00.000Z', to: at(1) }],
    ['backfill', { commandId: 'k', from: at(-RUN_ALL_LIMIT), to: at(1) }],
  ])(
    'one that makes no sense is refused, for good, and nothing is written of it: %s %j',
    async (name, value) => {
      const triggerId = name === 'create' ? 'y' : 'x';
      await expect(carryOut({ name, value }, triggerId)).rejects.toMatchObject({
        name: 'ApplicationFailure',
        type: 'invalid_request',
        nonRetryable: true,
      });
      const events = await eventsOf(triggerStream('x'));
      expect(
        events.filter(({ type }) => type !== 'trigger.created' && type !== 'trigger.decided'),
      ).toEqual([]);
      expect((await ledgerOf('x')).filter(({ cause }) => cause !== 'due')).toEqual([]);
      expect(await store.trigger('y')).toBeNull();
    },
  );

  test.each<[string, unknown]>([
    ['change', { commandId: 'k', change: { paused: true } }],
    ['fire', { commandId: 'k', requestId: 'k' }],
    ['backfill', { commandId: 'k', from: at(0), to: at(1) }],
  ])('of a trigger that is gone, or never was, it is refused for good: %s', async (name, value) => {
    await carryOut({ name: 'remove', value: { commandId: 'gone' } });
    const before = await lastSeq();
    for (const triggerId of ['x', 'never'])
      await expect(carryOut({ name, value }, triggerId)).rejects.toMatchObject({
        type: 'not_found',
        nonRetryable: true,
      });
    expect(await lastSeq()).toBe(before);
  });

  test('A2 the most that a backfill may ask for runs, once for each request', async () => {
    const value = { commandId: 'k', from: at(1 - RUN_ALL_LIMIT), to: at(0) };
    for (let time = 0; time < 2; time += 1) await carryOut({ name: 'backfill', value });
    const filled = (await ledgerOf('x')).filter(({ cause }) => cause === 'backfill');
    expect(filled).toHaveLength(RUN_ALL_LIMIT);
    expect(new Set(filled.map(({ outcome, reason }) => `${outcome} ${reason}`))).toEqual(
      new Set(['caught-up backfill']),
    );
    expect(new Set(filled.map(({ requestId }) => requestId)).size).toBe(RUN_ALL_LIMIT);
  });

  test('D1 removed twice, by two commands: once; a change of it afterwards is refused; nothing is due any more', async () => {
    await carryOut({ name: 'remove', value: { commandId: 'k1' } });
    const rows = said(await ledgerOf('x'));
    expect(rows).toEqual(['1 fired r1']);
    nowMs = T0 + 5_000;
    const before = await lastSeq();
    await carryOut({ name: 'remove', value: { commandId: 'k2' } });
    expect(await worker().lookAtTrigger({ triggerId: 'x', dueByMs: nowMs })).toEqual({
      waitMs: null,
    });
    expect(await lastSeq()).toBe(before);
    expect(said(await ledgerOf('x'))).toEqual(rows);
    expect(schedules.get('x')).toBeNull();
  });

  test('created twice: it stays what it was', async () => {
    const value = { definition: definition({ title: 'Another' }) };
    await carryOut({ name: 'create', value });
    expect(await store.trigger('x')).toMatchObject({
      definition: { title: 'Every second' },
      decidedUntil: iso(T0),
    });
  });

  test('a title and a pause make no new rule, anything else does; a command that is repeated is done once', async () => {
    const change = (commandId: string, changed: Partial<TriggerDefinitionValue>) =>
      carryOut({ name: 'change', value: { commandId, change: changed } });
    const rules: (string | undefined)[] = [];
    for (const [commandId, changed] of [
      ['k1', { title: 'Another' }],
      ['k2', { paused: true }],
      ['k3', { content: 'other' }],
      ['k3', { content: 'other' }],
      ['k4', { whenBusy: 'skip' }],
      ['k5', { content: 'other' }],
    ] as const) {
      await change(commandId, changed);
      rules.push((await store.trigger('x'))?.rule);
    }
    expect(rules).toEqual(['r1', 'r1', 'r2', 'r2', 'r3', 'r3']);
    expect(schedules.get('x')).toBe('r3');
  });
});

describe('a command that was accepted while no worker was there', () => {
  const accepted = { acceptedAt: at(2.5) };
  const carryOut = (command: TriggerCommand) =>
    worker().carryOutCommand({ triggerId: 'x', command });
  const ledgerAt = async (second: number): Promise<string[]> => {
    nowMs = T0 + second * 1_000;
    await worker().lookAtTrigger({ triggerId: 'x' });
    return said(await ledgerOf('x'));
  };

  beforeEach(async () => {
    await makeConversation('c1');
  });

  test.each<[Partial<TriggerDefinitionValue>, string[]]>([
    [{ paused: true }, ['3 skipped paused r1', '4 skipped paused r1', '5 skipped paused r1']],
    [{ schedule: { everyMs: 2_000, timezone: 'UTC' } }, ['4 fired r2']],
  ])('D1 an edit (%j) holds from its acceptance on', async (change, after) => {
    await makeTrigger('x');
    nowMs = T0 + 4_500;
    await carryOut({ name: 'change', value: { commandId: 'k', change, ...accepted } });
    expect(await ledgerAt(5)).toEqual(['1 fired r1', '2 fired r1', ...after]);
  });

  test('D1 but not of what the old rule has been decided for', async () => {
    await makeTrigger('x');
    await ledgerAt(4);
    nowMs = T0 + 4_500;
    const change = { paused: true };
    await carryOut({ name: 'change', value: { commandId: 'k', change, ...accepted } });
    expect(await ledgerAt(5)).toEqual([
      '1 fired r1',
      '2 fired r1',
      '3 fired r1',
      '4 fired r1',
      '5 skipped paused r1',
    ]);
  });

  test('D1 a removal ends it there, a creation begins there; a clock that is ahead counts no further', async () => {
    nowMs = T0 + 4_500;
    await carryOut({ name: 'create', value: { definition: definition(), ...accepted } });
    expect(await ledgerAt(5)).toEqual(['3 fired r1', '4 fired r1', '5 fired r1']);
    nowMs = T0 + 8_200;
    await carryOut({ name: 'remove', value: { commandId: 'k', acceptedAt: at(7.5) } });
    expect(await ledgerAt(12)).toEqual([3, 4, 5, 6, 7].map((second) => `${second} fired r1`));
    await makeTrigger('y');
    const command = { name: 'remove', value: { commandId: 'k', acceptedAt: at(60) } } as const;
    nowMs = T0 + 13_500;
    await worker().carryOutCommand({ triggerId: 'y', command });
    expect(said(await ledgerOf('y'))).toEqual(['13 fired r1']);
  });
});

describe('where it goes', () => {
  const look = async (second: number) => {
    nowMs = T0 + second * 1_000;
    await worker().lookAtTrigger({ triggerId: 'x', dueByMs: nowMs });
    return said(await ledgerOf('x'));
  };
  const say = (conversationId: string, ...events: NewEvent[]) =>
    store.append({ stream: conversationStream(conversationId), events });
  const started: NewEvent = {
    type: 'chat.started',
    turnId: 't1',
    attempt: 1,
    payload: { attempt: 1, provider: 'scripted', model: null },
  };

  test('a conversation or a table that is not there any more: rejected', async () => {
    await makeTrigger('x', { conversationId: 'never' });
    expect(await look(1)).toEqual(['1 rejected not_found r1']);
    await makeTrigger('y', { conversationId: null, tableId: 'never' });
    nowMs = T0 + 2_000;
    await worker().lookAtTrigger({ triggerId: 'y', dueByMs: nowMs });
    expect(said(await ledgerOf('y'))).toEqual(['2 rejected not_found r1']);
    expect(sent).toEqual([]);
  });

  test('"skip" of a conversation that works, that has something waiting, or of whose table another one works', async () => {
    await makeTable('tb');
    await makeConversation('c1', 'tb');
    await makeConversation('c2', 'tb');
    await makeTrigger('x', { whenBusy: 'skip' });
    expect(await look(1)).toEqual(['1 fired r1']);
    await store.append({
      stream: tableStream('tb'),
      events: [
        {
          type: 'conversation.activated',
          conversationId: 'c2',
          payload: { previous: null, reason: 'user' },
        },
      ],
    });
    await say('c2', started, { type: 'conversation.state', payload: { state: 'processing' } });
    expect((await look(2)).at(-1)).toBe('2 skipped busy r1');
    await say(
      'c2',
      { type: 'chat.done', turnId: 't1', attempt: 1, payload: {} },
      { type: 'conversation.state', payload: { state: 'idle' } },
    );
    expect((await look(3)).at(-1)).toBe('3 fired r1');
    const waits = {
      requestId: 'q',
      turnId: 'tq',
      content: 'x',
      attempt: 1,
      at: at(3),
      position: 0,
    };
    await say('c1', { type: 'queue.changed', payload: { queue: [{ ...waits, held: true }] } });
    expect((await look(4)).at(-1)).toBe('4 fired r1');
    await say('c1', { type: 'queue.changed', payload: { queue: [waits] } });
    expect((await look(5)).at(-1)).toBe('5 skipped busy r1');
  });
});
