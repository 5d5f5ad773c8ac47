/**
 * Everything is down for a minute and a half: what became of each due time, and what ran, by each policy. Numbers: design.md
 * section 12; what each policy does: docs/triggers.md.
 */
import { expect, test } from 'vitest';

import type { LedgerRowValue } from '../../../src/contracts/triggers.ts';
import type { TurnViewValue } from '../../../src/contracts/view.ts';
import { eventually } from '../../support/eventually.ts';
import { newConversation } from './conversations.ts';
import { viewOf } from './faults.ts';
import { sharedHoldfast } from './shared-holdfast.ts';
import {
  dueMs,
  expectEveryRunEnded,
  isRun,
  multiples,
  said,
  TriggerUnderTest,
} from './triggers.ts';

const holdfast = sharedHoldfast();
const EVERY_MS = 5_000;
const DOWN_MS = 90_000;
const WINDOW_MS = 32_000;
const RUN_ALL = 3;

/** What became of the due times of an outage, oldest first, as docs/triggers.md says. */
const POLICIES = {
  'run-once': {
    missed: { policy: 'run-once' },
    runs: (outage: LedgerRowValue[]) => outage.slice(-1),
    runWords: (count: number) => `Run now, as the latest of ${count} (run-once).`,
    skipWords: (count: number) => `Not run: of ${count}, run-once runs the latest.`,
    counts: () => [1],
  },
  'run-all 3': {
    missed: { policy: 'run-all', limit: RUN_ALL },
    runs: (outage: LedgerRowValue[]) => outage.slice(-RUN_ALL),
    runWords: (count: number) => `Run now, as one of the latest ${RUN_ALL} of ${count} (run-all).`,
    skipWords: (count: number) => `Not run: of ${count}, run-all runs the latest ${RUN_ALL}.`,
    counts: () => [RUN_ALL],
  },
  skip: {
    missed: { policy: 'skip' },
    runs: () => [],
    runWords: () => 'never',
    skipWords: () => 'Not run: the policy is skip.',
    counts: () => [0],
  },
  window: {
    missed: { policy: 'window', windowMs: WINDOW_MS },
    runs: (outage: LedgerRowValue[]) =>
      outage.filter((row) => Date.parse(row.decidedAt) - dueMs(row) <= WINDOW_MS),
    runWords: () => 'Run now: not older than 32 s (window).',
    skipWords: () => 'Not run: older than the window of 32 s.',
    // Six or seven, unless it takes long to start.
    counts: (count: number) => Array.from({ length: count - 1 }, (_, index) => index + 1),
  },
} as const;

test(
  'D1 D2 down for 90 s: every due time has one row; run-once runs the latest, run-all 3 the latest three, skip none, window those inside',
  { timeout: DOWN_MS + 180_000 },
  async () => {
    // A due time, so that the first one is known, and all four are made before it.
    const startMs = (Math.floor(Date.now() / EVERY_MS) + 2) * EVERY_MS;
    const places = await Promise.all(
      Object.values(POLICIES).map(async (policy) => {
        const conversationId = await newConversation(holdfast);
        const trigger = await TriggerUnderTest.create(holdfast, {
          conversationId,
          everyMs: EVERY_MS,
          missed: policy.missed,
          startAt: new Date(startMs).toISOString(),
        });
        return { policy, trigger, conversationId };
      }),
    );
    // At rest just after a due time, so that none is due while it stops.
    const beforeMs = startMs + EVERY_MS;
    for (const { trigger, conversationId } of places) {
      const rows = await trigger.untilDecided(beforeMs);
      expect(said(rows, startMs)).toEqual(['0 fired', '5 fired']);
      await eventually(async () => {
        const { state, queue } = await viewOf({ holdfast, conversationId });
        return (
          state === 'idle' && queue.length === 0 && (await turnsOf(conversationId)).length === 2
        );
      });
    }
    const stopAskedMs = Date.now();
    expect(await holdfast.pressCtrlC()).toBe(0);
    const downMs = Date.now();
    await eventually(() => Date.now() >= downMs + DOWN_MS, DOWN_MS + 10_000);
    const startAskedMs = Date.now();
    await holdfast.start();
    const upMs = Date.now();

    // Some fires later everything is as ever.
    const untilMs = (Math.floor(upMs / EVERY_MS) + 3) * EVERY_MS;
    const outages: string[][] = [];
    for (const { policy, trigger, conversationId } of places) {
      const rows = await trigger.until(
        (all) =>
          dueMs(all.at(-1) ?? fail()) >= untilMs &&
          all.filter(isRun).every(({ turnId }) => turnId !== undefined),
      );
      expect(rows.map(dueMs)).toEqual(
        multiples(EVERY_MS, startMs - 1, dueMs(rows.at(-1) ?? fail())),
      );

      // Nobody was there from the stop to the start; at its edges, seconds long, somebody may have been.
      const outage = rows.filter(({ words }) => words.startsWith('Missed:'));
      const dueTimes = outage.map(dueMs);
      expect(dueTimes).toEqual(multiples(EVERY_MS, (dueTimes[0] ?? 0) - 1, dueTimes.at(-1) ?? 0));
      expect(dueTimes).toEqual(expect.arrayContaining(multiples(EVERY_MS, downMs, startAskedMs)));
      expect(dueTimes[0]).toBeGreaterThan(stopAskedMs - 1);
      expect(dueTimes.at(-1)).toBeLessThanOrEqual(upMs);
      outages.push(outage.map(({ dueAt }) => dueAt));

      const others = rows.filter((row) => !outage.includes(row));
      expect(new Set(others.map(({ outcome }) => outcome))).toEqual(new Set(['fired']));
      for (const { words } of others)
        expect(words).toMatch(/^In time, (\d+ ms|\d\.\d s|\d+ s) after it was due\.$/);
      const runs: LedgerRowValue[] = policy.runs(outage);
      const expected = outage.map((row) => ({
        ...row,
        ...(runs.includes(row)
          ? { outcome: 'caught-up' }
          : { outcome: 'skipped', reason: 'missed' }),
        words: `Missed: Holdfast was not running when it was due, ${ago(row)} before. ${
          runs.includes(row) ? policy.runWords(outage.length) : policy.skipWords(outage.length)
        }`,
      }));
      expect(outage).toEqual(expected);
      expect(outage.filter((row) => runs.includes(row)).map(({ reason }) => reason)).toEqual(
        runs.map(() => undefined),
      );
      expect(policy.counts(outage.length)).toContain(runs.length);
      for (const row of rows)
        expect(row).toMatchObject({ rule: 'r1', cause: 'due', triggerId: trigger.triggerId });

      // Exactly the turns of the rows that ran, in their order, and not one more.
      await expectEveryRunEnded(trigger, rows);
      const ran = rows.filter(isRun).map(({ turnId }) => turnId);
      const turns = await turnsOf(conversationId);
      expect(turns.slice(0, ran.length).map(({ turnId }) => turnId)).toEqual(ran);
      const late = (await trigger.ledger()).filter(isRun).map(({ turnId }) => turnId);
      expect(late.slice(0, turns.length)).toEqual(turns.map(({ turnId }) => turnId));
      expect(turns.map(({ outcome, attempts }) => [outcome, attempts.length])).toEqual(
        turns.map(() => ['completed', 1]),
      );
    }
    // One outage, whoever looks at it.
    for (const outage of outages) expect(outage).toEqual(outages[0]);
  },
);

/** How long before its decision a row was due, in words; less than three minutes. */
function ago(row: LedgerRowValue): string {
  const seconds = (Date.parse(row.decidedAt) - dueMs(row)) / 1_000;
  return `${seconds < 10 ? seconds.toFixed(1) : Math.round(seconds)} s`;
}

/** Turns that have ended, oldest first. */
async function turnsOf(conversationId: string): Promise<TurnViewValue[]> {
  const { items } = await holdfast.ask<{ items: TurnViewValue[] }>({
    path: `/v1/conversations/${conversationId}/turns?limit=200`,
  });
  return items.filter(({ outcome }) => outcome !== null).toReversed();
}

function fail(): never {
  throw new Error('there is no row');
}
