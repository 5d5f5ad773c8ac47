/** What becomes of due times. Due times here are of intervals, so that what is due is plain arithmetic. */
import * as fc from 'fast-check';
import { describe, expect, test } from 'vitest';

import type { DecidedFireValue, TriggerDefinitionValue } from '../../src/contracts/events.ts';
import { jitterOf } from '../../src/domain/due-times.ts';
import {
  decideBackfill,
  decideDue,
  decideManual,
  type DecidedTrigger,
  type Gap,
  inWords,
  type LookRequest,
  ruleAfter,
  shortestDistance,
  type TriggerTarget,
} from '../../src/domain/trigger-policy.ts';

const T0 = Date.parse('2026-03-01T00:00:00.000Z');
const GRACE_MS = 10_000;
const iso = (ms: number): string => new Date(ms).toISOString();

function definition(more: Partial<TriggerDefinitionValue> = {}): TriggerDefinitionValue {
  return {
    title: '',
    tableId: null,
    conversationId: 'c1',
    content: 'hello',
    schedule: { everyMs: 5_000, timezone: 'UTC' },
    jitterMs: 0,
    startAt: null,
    endAt: null,
    missed: { policy: 'run-once' },
    whenBusy: 'queue',
    newConversation: false,
    paused: false,
    ...more,
  };
}

const free: TriggerTarget = { kind: 'conversation', conversationId: 'c1', busy: false };

function makeIds() {
  let requests = 0;
  let conversations = 0;
  return {
    requestId: () => `r${(requests += 1)}`,
    conversationId: () => `n${(conversations += 1)}`,
  };
}

function trigger(
  more: Partial<TriggerDefinitionValue> = {},
  decidedUntilMs = T0,
  rule = 'r1',
): DecidedTrigger {
  return {
    triggerId: 'tr',
    definition: definition(more),
    rule,
    decidedUntil: iso(decidedUntilMs),
  };
}

function look(request: Partial<LookRequest> & { nowMs: number }) {
  return decideDue({
    trigger: trigger(),
    presentSinceMs: 0,
    graceMs: GRACE_MS,
    target: free,
    ids: makeIds(),
    limit: 500,
    ...request,
  });
}

const outcomes = (fires: readonly DecidedFireValue[] | undefined): string[] =>
  (fires ?? []).map(
    ({ dueAt, outcome, reason }) =>
      `${(Date.parse(dueAt) - T0) / 1_000} ${outcome}${reason === undefined ? '' : ` ${reason}`}`,
  );

describe('a look', () => {
  test('finds nothing when nothing is due', () => {
    expect(look({ nowMs: T0 + 4_999 })).toMatchObject({ decision: null, waitMs: null });
  });

  test('D1 decides every due time up to now, once', () => {
    const { decision } = look({ nowMs: T0 + 9_000 });
    expect(decision).toMatchObject({
      from: iso(T0),
      until: iso(T0 + 9_000),
      nextDueAt: iso(T0 + 10_000),
      more: false,
    });
    expect(outcomes(decision?.fires)).toEqual(['5 fired']);
    expect(decision?.fires[0]).toMatchObject({
      decidedAt: iso(T0 + 9_000),
      rule: 'r1',
      requestId: 'r1',
      conversationId: 'c1',
      whenBusy: 'queue',
      words: 'In time, 4.0 s after it was due.',
    });
    const again = look({ trigger: trigger({}, T0 + 9_000), nowMs: T0 + 10_000 });
    expect(outcomes(again.decision?.fires)).toEqual(['10 fired']);
  });

  test.each([
    [10_000, '5 fired'],
    [10_001, '5 late'],
    [600_000, '5 late'],
    [600_001, '5 skipped missed'],
  ])('%d ms after, with the engine there: %s', (lateMs, wanted) => {
    const once = { schedule: { at: iso(T0 + 5_000), timezone: 'UTC' } };
    const { decision } = look({
      trigger: trigger({ ...once, missed: { policy: 'skip' } }),
      nowMs: T0 + 5_000 + lateMs,
    });
    expect(outcomes(decision?.fires)).toEqual([wanted]);
    expect(decision?.nextDueAt).toBeNull();
  });

  test('of several that are late only the latest is run after more than a minute', () => {
    const { decision } = look({
      trigger: trigger({
        schedule: { everyMs: 120_000, timezone: 'UTC' },
        missed: { policy: 'skip' },
      }),
      nowMs: T0 + 400_000,
    });
    expect(outcomes(decision?.fires)).toEqual([
      '120 skipped missed',
      '240 skipped missed',
      '360 late',
    ]);
  });

  test('back in time, and looked at after the grace: late', () => {
    const { decision } = look({
      trigger: trigger({
        missed: { policy: 'skip' },
        schedule: { everyMs: 60_000, timezone: 'UTC' },
      }),
      nowMs: T0 + 72_000,
      presentSinceMs: T0 + 62_000,
    });
    expect(outcomes(decision?.fires)).toEqual(['60 late']);
  });

  test('up to when an edit was accepted: what is due after it is of the new rule', () => {
    const { decision } = look({ nowMs: T0 + 30_000, settleMs: T0 + 12_000 });
    expect(outcomes(decision?.fires)).toEqual(['5 late', '10 late']);
    expect(decision).toMatchObject({ until: iso(T0 + 12_000), more: false });
    const decided = look({ trigger: trigger({}, T0 + 20_000), nowMs: T0 + 30_000, settleMs: T0 });
    expect(decided.decision).toBeNull();
  });

  test('an edit within a gap: the latest of the old rule is run, whatever was due after it', () => {
    const gap = { nowMs: T0 + 30_000, presentSinceMs: T0 + 28_000, settleMs: T0 + 12_000 };
    const { decision } = look(gap);
    expect(outcomes(decision?.fires)).toEqual(['5 skipped missed', '10 caught-up']);
    expect(decision?.fires[0]?.words).toContain('of 2, run-once runs the latest');
    const two = trigger({ missed: { policy: 'run-all', limit: 2 } });
    expect(outcomes(look({ ...gap, trigger: two }).decision?.fires)).toEqual([
      '5 caught-up',
      '10 caught-up',
    ]);
  });

  test('an edit while a jittered one waits makes it no less in time', () => {
    const daily = trigger({
      schedule: { everyMs: 86_400_000, timezone: 'UTC' },
      jitterMs: 3_600_000,
    });
    const dueMs = T0 + 86_400_000;
    const { decision } = look({ trigger: daily, nowMs: dueMs + 1, settleMs: dueMs + 1 });
    expect(decision?.fires[0]).toMatchObject({ outcome: 'fired' });
    const hours = look({
      trigger: { ...daily, definition: { ...daily.definition, missed: { policy: 'skip' } } },
      nowMs: dueMs + jitterOf('tr', dueMs, 3_600_000) - 1,
      settleMs: dueMs + jitterOf('tr', dueMs, 3_600_000) - 1,
    });
    expect(outcomes(hours.decision?.fires)).toEqual(['86400 fired']);
  });

  test('an absence shorter than the grace is none', () => {
    const { decision } = look({ nowMs: T0 + 14_000, presentSinceMs: T0 + 14_000 });
    expect(outcomes(decision?.fires)).toEqual(['5 fired', '10 fired']);
  });

  test('what was due while it was paused is skipped, also in a gap', () => {
    for (const presentSinceMs of [0, T0 + 100_000]) {
      const { decision } = look({
        trigger: trigger({ paused: true }),
        nowMs: T0 + 100_000,
        presentSinceMs,
      });
      expect(decision?.fires).toHaveLength(20);
      expect(new Set(outcomes(decision?.fires).map((each) => each.replace(/^\d+ /, '')))).toEqual(
        new Set(['skipped paused']),
      );
      expect(decision?.fires.every(({ requestId }) => requestId === undefined)).toBe(true);
    }
  });

  test('before an edit everything is decided, and the time moves there though nothing was due', () => {
    expect(look({ nowMs: T0 + 1_000, settleMs: T0 + 1_000 }).decision).toMatchObject({
      until: iso(T0 + 1_000),
      fires: [],
    });
    const jittered = { trigger: trigger({ jitterMs: 4_000 }), nowMs: T0 + 5_000 };
    expect(look(jittered).decision).toBeNull();
    expect(outcomes(look({ ...jittered, settleMs: jittered.nowMs }).decision?.fires)).toEqual([
      '5 fired',
    ]);
  });

  test('the clock was set back: nothing is due a second time', () => {
    const set = look({ trigger: trigger({}, T0 + 60_000), nowMs: T0 });
    expect(set.decision).toBeNull();
    const settled = look({ trigger: trigger({}, T0 + 60_000), nowMs: T0, settleMs: T0 });
    expect(settled.decision).toBeNull();
  });
});

describe('a gap', () => {
  /** Down for 90 s, back 2 s after the last due time of it, and looked at half a second later. */
  const gap = { presentSinceMs: T0 + 92_000, nowMs: T0 + 92_500 };
  const of = (missed: TriggerDefinitionValue['missed'], more: Partial<LookRequest> = {}) =>
    look({ trigger: trigger({ missed }), ...gap, ...more });
  const ran = (result: ReturnType<typeof look>): number[] =>
    (result.decision?.fires ?? [])
      .filter(({ requestId }) => requestId !== undefined)
      .map(({ dueAt }) => (Date.parse(dueAt) - T0) / 1_000);

  test('skip: none runs', () => {
    const result = of({ policy: 'skip' });
    expect(result.decision?.fires).toHaveLength(18);
    expect(new Set(result.decision?.fires.map(({ outcome }) => outcome))).toEqual(
      new Set(['skipped']),
    );
    expect(result.decision?.fires[0]?.words).toBe(
      'Missed: Holdfast was not running when it was due, 88 s before. Not run: the policy is skip.',
    );
  });

  test('run-once: the latest', () => {
    const result = of({ policy: 'run-once' });
    expect(ran(result)).toEqual([90]);
    expect(outcomes(result.decision?.fires).slice(-2)).toEqual([
      '85 skipped missed',
      '90 caught-up',
    ]);
    expect(result.decision?.fires.at(-1)?.words).toContain('as the latest of 18 (run-once)');
  });

  test('run-all: the latest N, in their order', () => {
    expect(ran(of({ policy: 'run-all', limit: 3 }))).toEqual([80, 85, 90]);
    expect(ran(of({ policy: 'run-all', limit: 100 }))).toHaveLength(18);
    expect(ran(of({ policy: 'run-all' }))).toHaveLength(10);
  });

  test('window: those inside', () => {
    expect(ran(of({ policy: 'window', windowMs: 30_000 }))).toEqual([65, 70, 75, 80, 85, 90]);
  });

  test('what is due after it is in time', () => {
    const { decision } = of({ policy: 'skip' }, { nowMs: T0 + 96_000 });
    expect(outcomes(decision?.fires).slice(-2)).toEqual(['90 skipped missed', '95 fired']);
  });

  test('in parts: each decides the same as the whole', () => {
    for (const missed of [
      { policy: 'run-once' },
      { policy: 'run-all', limit: 3 },
      { policy: 'window', windowMs: 30_000 },
    ] as const) {
      const parts: DecidedFireValue[] = [];
      let decidedUntilMs = T0;
      let found: Gap | undefined;
      for (let more = true; more;) {
        const result = look({
          ...gap,
          trigger: trigger({ missed }, decidedUntilMs),
          limit: 4,
          gap: found,
        });
        found = result.gap;
        more = result.decision?.more ?? false;
        parts.push(...(result.decision?.fires ?? []));
        decidedUntilMs = Date.parse(result.decision?.until ?? iso(0));
      }
      expect(outcomes(parts)).toEqual(outcomes(of(missed).decision?.fires));
      expect(decidedUntilMs).toBe(gap.nowMs);
    }
  });

  test('the latest of a jittered one are those that were to be acted upon in it', () => {
    const jittered = { jitterMs: 4_999, missed: { policy: 'run-once' } as const };
    const { decision } = look({ ...gap, trigger: trigger(jittered) });
    const caughtUp = decision?.fires.filter(({ outcome }) => outcome === 'caught-up') ?? [];
    expect(caughtUp).toHaveLength(1);
    const skipped = decision?.fires.filter(({ outcome }) => outcome === 'skipped') ?? [];
    expect(skipped.every(({ dueAt }) => dueAt < (caughtUp[0]?.dueAt ?? ''))).toBe(true);
  });
});

describe('where it goes', () => {
  test('a target that is gone: rejected, and nothing is sent', () => {
    const { decision } = look({
      nowMs: T0 + 5_000,
      target: { kind: 'gone', what: 'conversation c1' },
    });
    expect(decision?.fires).toEqual([
      {
        dueAt: iso(T0 + 5_000),
        decidedAt: iso(T0 + 5_000),
        rule: 'r1',
        outcome: 'rejected',
        reason: 'not_found',
        words: 'In time, 0 ms after it was due. There is no conversation c1 any more.',
      },
    ]);
  });

  test.each([
    ['skip', true, 'skipped', undefined],
    ['skip', false, 'fired', 'reject'],
    ['queue', true, 'fired', 'queue'],
    ['interrupt', true, 'fired', 'interrupt'],
  ] as const)('whenBusy %s, busy %s: %s', (whenBusy, busy, outcome, sentAs) => {
    const { decision } = look({
      trigger: trigger({ whenBusy }),
      nowMs: T0 + 5_000,
      target: { kind: 'conversation', conversationId: 'c1', busy },
    });
    expect(decision?.fires[0]?.outcome).toBe(outcome);
    expect(decision?.fires[0]?.whenBusy).toBe(sentAs);
  });

  test('of several at once one runs, where what is busy is skipped', () => {
    for (const target of [free, { kind: 'new', each: true, busy: false } as const]) {
      const { decision } = look({
        trigger: trigger({ whenBusy: 'skip' }),
        nowMs: T0 + 10_000,
        target,
      });
      expect(outcomes(decision?.fires)).toEqual(['5 fired', '10 skipped busy']);
    }
  });

  test('of several at once the first interrupts', () => {
    const { decision } = look({ trigger: trigger({ whenBusy: 'interrupt' }), nowMs: T0 + 10_000 });
    expect(decision?.fires.map(({ whenBusy }) => whenBusy)).toEqual(['interrupt', 'queue']);
  });

  test('a conversation for each, or one for the first', () => {
    const made = (each: boolean) =>
      look({ nowMs: T0 + 10_000, target: { kind: 'new', each, busy: false } }).decision?.fires.map(
        ({ conversationId }) => conversationId,
      );
    expect(made(true)).toEqual(['n1', 'n2']);
    expect(made(false)).toEqual(['n1', 'n1']);
  });
});

test('by hand: a row of its own, also while paused', () => {
  const request = {
    trigger: trigger({ paused: true }),
    nowMs: T0 + 7,
    target: free,
    ids: makeIds(),
  };
  expect(decideManual({ ...request, requestId: 'mine' })).toMatchObject({
    dueAt: iso(T0 + 7),
    outcome: 'fired',
    reason: 'manual',
    requestId: 'mine',
    conversationId: 'c1',
  });
});

test('a backfill: what did not run of what has been decided, both ends included', () => {
  const fires = decideBackfill({
    trigger: trigger({}, T0 + 22_000),
    nowMs: T0 + 23_000,
    fromMs: T0 - 5_000,
    toMs: T0 + 25_000,
    ran: [iso(T0 + 10_000)],
    target: free,
    ids: makeIds(),
  });
  expect(outcomes(fires)).toEqual(
    [-5, 0, 5, 15, 20].map((seconds) => `${seconds} caught-up backfill`),
  );
});

test('how close two due times may lie', () => {
  const of = (cron: string): number => shortestDistance({ cron, timezone: 'UTC' });
  expect(of('* * * * *')).toBe(60_000);
  expect(of('*/20 * * * * *')).toBe(20_000);
  expect(of('0 9,10 * * 1')).toBe(3_600_000);
  expect(of('0 0 1 1 *')).toBe(365 * 86_400_000);
  expect(shortestDistance({ everyMs: 1_500, timezone: 'UTC' })).toBe(1_500);
  expect(shortestDistance({ at: iso(T0), timezone: 'UTC' })).toBe(Infinity);
});

test('rules are counted, spans are said in words', () => {
  expect(ruleAfter('r9')).toBe('r10');
  expect([-5, 400, 9_999, 94_000, 200_000, 7_200_000, 86_400_000 * 4].map(inWords)).toEqual([
    '0 ms',
    '400 ms',
    '10.0 s',
    '94 s',
    '3 min',
    '120 min',
    '4 days',
  ]);
});

function mostCaughtUp({ policy, limit = 0 }: TriggerDefinitionValue['missed']): number {
  return { skip: 0, 'run-once': 1, 'run-all': limit, window: Infinity }[policy];
}

/** Looks at any time, by engines that come and go: what is in the ledger is what was due. */
test('D1 whatever the looks: every due time has one row, in order, none is outside, and what runs has a request of its own', () => {
  const step = fc.record({
    afterMs: fc.nat({ max: 40_000 }),
    absentMs: fc.option(fc.nat({ max: 60_000 }), { nil: null }),
    limit: fc.integer({ min: 1, max: 6 }),
    settle: fc.boolean(),
    busy: fc.boolean(),
  });
  fc.assert(
    fc.property(
      fc.record({
        everyMs: fc.constantFrom(1_000, 1_500, 3_000, 5_000, 17_000),
        jitterMs: fc.constantFrom(0, 500, 900),
        missed: fc.oneof(
          fc.constant({ policy: 'skip' as const }),
          fc.constant({ policy: 'run-once' as const }),
          fc.record({
            policy: fc.constant('run-all' as const),
            limit: fc.integer({ min: 1, max: 4 }),
          }),
          fc.record({
            policy: fc.constant('window' as const),
            windowMs: fc.integer({ min: 1, max: 60_000 }),
          }),
        ),
        whenBusy: fc.constantFrom('skip' as const, 'queue' as const, 'interrupt' as const),
        steps: fc.array(step, { minLength: 1, maxLength: 12 }),
      }),
      ({ everyMs, steps, ...more }) => {
        const ids = makeIds();
        const rows: DecidedFireValue[] = [];
        let decidedUntilMs = T0 + 123;
        let nowMs = decidedUntilMs;
        let presentSinceMs = nowMs;
        for (const { afterMs, absentMs, limit, settle, busy } of steps) {
          nowMs += afterMs;
          if (absentMs !== null) presentSinceMs = Math.max(presentSinceMs, nowMs - absentMs);
          const before = rows.length;
          let gap: Gap | undefined;
          for (let goesOn = true; goesOn;) {
            const result = look({
              trigger: trigger({ schedule: { everyMs, timezone: 'UTC' }, ...more }, decidedUntilMs),
              nowMs,
              presentSinceMs,
              target: { kind: 'conversation', conversationId: 'c1', busy },
              ids,
              limit,
              settleMs: settle ? nowMs : undefined,
              gap,
            });
            ({ gap } = result);
            const { decision } = result;
            expect(decision?.from ?? iso(decidedUntilMs)).toBe(iso(decidedUntilMs));
            if (decision !== null) {
              decidedUntilMs = Date.parse(decision.until);
              rows.push(...decision.fires);
            }
            goesOn = decision?.more ?? false;
          }
          expect(decidedUntilMs).toBeGreaterThanOrEqual(nowMs - more.jitterMs - everyMs);
          expect(!settle || decidedUntilMs === nowMs).toBe(true);
          const caughtUp = rows.slice(before).filter(({ outcome }) => outcome === 'caught-up');
          expect(caughtUp.length).toBeLessThanOrEqual(mostCaughtUp(more.missed));
        }
        const due: number[] = [];
        for (let ms = Math.floor(T0 / everyMs) * everyMs; ms <= decidedUntilMs; ms += everyMs)
          if (ms > T0 + 123) due.push(ms);
        expect(rows.map(({ dueAt }) => Date.parse(dueAt))).toEqual(due);
        const requests = rows.flatMap(({ requestId }) => requestId ?? []);
        expect(new Set(requests).size).toBe(requests.length);
        for (const { outcome, requestId, dueAt, decidedAt } of rows) {
          const runs = outcome === 'fired' || outcome === 'late' || outcome === 'caught-up';
          expect(requestId !== undefined).toBe(runs);
          const lateMs = Date.parse(decidedAt) - Date.parse(dueAt);
          expect(outcome !== 'fired' || lateMs <= GRACE_MS + more.jitterMs).toBe(true);
        }
      },
    ),
    { numRuns: 400 },
  );
});
