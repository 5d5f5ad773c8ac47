/** The checker, of triggers: it accepts a good run, and rejects one for each way in which a rule can be broken. */
import { describe, expect, test } from 'vitest';

import type { DecidedFireValue, TriggerDefinitionValue } from '../../src/contracts/events.ts';
import type { LedgerRowValue } from '../../src/contracts/triggers.ts';
import { check } from './checker.ts';
import type { Invariant } from './court.ts';
import { judgedDueTimes, judgedNextDue } from './due-judge.ts';
import type { Evidence, TriggerAct } from './evidence.ts';
import type { TableLine } from './good-table.ts';
import {
  at,
  fire,
  goodTriggerSteps,
  runs,
  T0,
  type TimedStep,
  triggerRunOf,
} from './good-triggers.ts';

type Writable<T> = T extends object ? { -readonly [K in keyof T]: Writable<T[K]> } : T;
type Run = Writable<Evidence>;

/** The good run with something else in what was recorded of it. */
function broken(change: (run: Run) => void): Evidence {
  const run = structuredClone(triggerRunOf(goodTriggerSteps())) as Run;
  change(run);
  return run;
}

/** A run whose engine did something else, consistently. */
function otherwise(change: (steps: TimedStep[]) => void): Evidence {
  const steps = structuredClone(goodTriggerSteps());
  change(steps);
  return triggerRunOf(steps.toSorted((a, b) => a.atSeconds - b.atSeconds));
}

const found = (steps: readonly TimedStep[], name: string): TimedStep => {
  const step = steps.find((each) => each.name === name);
  if (step === undefined) throw new Error(`no step ${name}`);
  return step;
};
const drop = (steps: TimedStep[], ...names: string[]): void => {
  for (const name of names) steps.splice(steps.indexOf(found(steps, name)), 1);
};
const lineOf = (steps: readonly TimedStep[], name: string, type?: string): TableLine => {
  const line = found(steps, name).lines.find((each) => type === undefined || each.type === type);
  if (line === undefined) throw new Error(`no ${type} in ${name}`);
  return line;
};
const payloadOf = (steps: readonly TimedStep[], name: string): Record<string, unknown> =>
  lineOf(steps, name).payload;
const firesOf = (steps: readonly TimedStep[], name: string): DecidedFireValue[] =>
  payloadOf(steps, name)['fires'] as DecidedFireValue[];
const rowIn = (steps: readonly TimedStep[], name: string, seconds: number): DecidedFireValue => {
  const row = firesOf(steps, name).find(({ dueAt }) => dueAt === at(seconds));
  if (row === undefined) throw new Error(`no row of ${seconds} in ${name}`);
  return row;
};
/** It is not run: neither announced nor sent. */
const unsend = (steps: TimedStep[], ...requests: string[]): void => {
  for (const requestId of requests)
    for (const what of ['announced', 'waits', 'starts', 'ends', 'idle', 'refused'])
      if (steps.some(({ name }) => name === `${requestId} ${what}`))
        drop(steps, `${requestId} ${what}`);
};
/** A row that does not run in the place of one that does. */
const skipped = (
  steps: TimedStep[],
  name: string,
  seconds: number,
  reason: 'missed' | 'busy' | 'paused',
): void => {
  const rows = firesOf(steps, name);
  const row = rowIn(steps, name, seconds);
  const { dueAt, decidedAt, rule, words } = row;
  rows.splice(rows.indexOf(row), 1, { dueAt, decidedAt, rule, words, outcome: 'skipped', reason });
  if (row.requestId !== undefined) unsend(steps, row.requestId);
};
/** A row that was skipped runs, as request `n1`; nothing is sent. */
const instead = (
  steps: TimedStep[],
  name: string,
  seconds: number,
  outcome: 'fired' | 'late' | 'caught-up',
): void => {
  const row = rowIn(steps, name, seconds);
  delete row.reason;
  Object.assign(row, { outcome, requestId: 'n1', conversationId: 'x', whenBusy: 'queue' });
};
const definitionOf = (steps: readonly TimedStep[], name: string): TriggerDefinitionValue =>
  payloadOf(steps, name)['definition'] as TriggerDefinitionValue;
const unask = (run: Run, is: (act: TriggerAct) => boolean): void => {
  run.triggerActs = run.triggerActs.filter(({ act }) => !is(act));
};
const triggerOf = (run: Run, id = 'g') =>
  run.triggers.find(({ triggerId }) => triggerId === id) ?? run.triggers[0]!;
const ledgerRow = (run: Run, seconds: number): Writable<LedgerRowValue> =>
  triggerOf(run).ledger.find(({ dueAt }) => dueAt === at(seconds))!;
const inX = (name: string, atSeconds: number, ...lines: TableLine[]): TimedStep => ({
  name,
  atSeconds,
  to: 'x',
  lines,
});

test('accepts a good run, and has looked at both rules', () => {
  const verdict = check(triggerRunOf(goodTriggerSteps()));
  expect(verdict.violations).toEqual([]);
  for (const invariant of ['A1', 'A2', 'A3', 'D1', 'D2'] as const)
    expect(verdict.checked.get(invariant)).toBeGreaterThan(0);
});

/** What was broken, and in what words the checker says so. */
const cases: [Invariant, string, () => Evidence, RegExp][] = [
  // When it was due.
  [
    'D1',
    'a due time without a row, though it was decided past it',
    () =>
      otherwise((steps) => {
        const rows = firesOf(steps, 'decided 20.002');
        rows.splice(rows.indexOf(rowIn(steps, 'decided 20.002', 7)), 1);
      }),
    /00:00:07\.000Z has no row, and it is decided up to .*20\.002Z/,
  ],
  [
    'D1',
    'the only due time of a look without a row',
    () =>
      otherwise((steps) => {
        firesOf(steps, 'decided 21.004').pop();
        unsend(steps, 'q21');
      }),
    /00:00:21\.000Z has no row/,
  ],
  [
    'D1',
    'a row of a moment that was not due',
    () =>
      otherwise((steps) => {
        rowIn(steps, 'decided 20.002', 7).dueAt = at(7.5);
      }),
    /00:00:07\.500Z has a row, and was not due by rule r1/,
  ],
  [
    'D1',
    'a row of a due time that had been decided before',
    () =>
      otherwise((steps) => {
        payloadOf(steps, 'decided 20.002')['from'] = at(1.5);
        firesOf(steps, 'decided 20.002').unshift(
          fire(2, 20.002, 'r1', 'skipped', { reason: 'missed' }),
        );
      }),
    /goes on from .*01\.500Z, and was decided up to .*03\.003Z/,
  ],
  [
    'D1',
    'two rows of one due time in one look',
    () =>
      otherwise((steps) => {
        firesOf(steps, 'decided 20.002').unshift(
          fire(4, 20.002, 'r1', 'skipped', { reason: 'missed' }),
        );
      }),
    /00:00:04\.000Z was decided a second time/,
  ],
  [
    'D1',
    'rows that are not in the order in which they were due',
    () =>
      otherwise((steps) => {
        const rows = firesOf(steps, 'decided 20.002');
        rows.splice(0, 2, rows[1]!, rows[0]!);
      }),
    /the row of .*04\.000Z comes after that of .*05\.000Z/,
  ],
  [
    'D1',
    'a decidedUntil that goes back',
    () =>
      otherwise((steps) => {
        payloadOf(steps, 'decided 20.5')['until'] = at(20);
      }),
    /its decidedUntil went back from .*20\.002Z to .*20\.000Z/,
  ],
  [
    'D1',
    'a decision about what was still to come',
    () =>
      otherwise((steps) => {
        payloadOf(steps, 'decided 20.5')['until'] = at(20.9);
        payloadOf(steps, 'updated 20.5')['from'] = at(20.9);
      }),
    /it was decided up to .*20\.900Z, which was still to come/,
  ],
  [
    'D1',
    'a due time of the old rule after the edit',
    () =>
      otherwise((steps) => {
        firesOf(steps, 'decided 54.001').splice(
          1,
          0,
          fire(41, 54.001, 'r3', 'skipped', { reason: 'missed' }),
        );
      }),
    /00:00:41\.000Z has a row, and was not due by rule r3/,
  ],
  [
    'D1',
    'a row that names another rule than was in force',
    () =>
      otherwise((steps) => {
        rowIn(steps, 'decided 20.002', 7).rule = 'r2';
      }),
    /the row of .*07\.000Z names rule r2, and r1 was in force/,
  ],
  [
    'D1',
    'a row that was decided before it was due',
    () =>
      otherwise((steps) => {
        rowIn(steps, 'decided 21.004', 21).decidedAt = at(20.9);
      }),
    /the row of .*21\.000Z was decided at .*20\.900Z/,
  ],
  [
    'D1',
    'a next due time that is not the next one',
    () =>
      otherwise((steps) => {
        payloadOf(steps, 'decided 21.004')['nextDueAt'] = at(23);
      }),
    /due next at .*23\.000Z; after .*21\.004Z that is .*22\.000Z/,
  ],
  [
    'D1',
    'a next due time of the rule before the edit',
    () =>
      otherwise((steps) => {
        payloadOf(steps, 'updated 38.5')['nextDueAt'] = at(39);
      }),
    /due next at .*39\.000Z; after .*38\.500Z that is .*40\.000Z/,
  ],
  [
    'D1',
    'what was due before the end, and nobody decided',
    () =>
      broken((run) => {
        triggerOf(run, 'h').gatheredAtMs = T0 + 211_000;
      }),
    /trigger h: at .*it is decided up to .*: 1 due times have no row, the first is .*03:20\.000Z/,
  ],
  [
    'D1',
    'one that is created otherwise than was asked for',
    () =>
      broken((run) => {
        for (const { act } of run.triggerActs)
          if (act.do === 'create') act.asked.content = 'another';
      }),
    /it was created otherwise than any client asked for/,
  ],
  [
    'D1',
    'one that is decided only from a while after its creation',
    () =>
      otherwise((steps) => {
        payloadOf(steps, 'created')['decidedUntil'] = at(1.2);
        payloadOf(steps, 'created')['nextDueAt'] = at(2);
        payloadOf(steps, 'decided 1.005')['from'] = at(1.2);
        payloadOf(steps, 'decided 1.005')['until'] = at(1.2);
        firesOf(steps, 'decided 1.005').pop();
        unsend(steps, 'q1');
      }),
    /rule r1 holds from .*01\.200Z; it was asked for at .*00\.295Z and recorded at .*00\.300Z/,
  ],
  [
    'D1',
    'an edit that holds from before it was asked for',
    () =>
      otherwise((steps) => {
        drop(steps, 'decided 20.5');
        payloadOf(steps, 'updated 20.5')['from'] = at(20.002);
        payloadOf(steps, 'decided 21.004')['from'] = at(20.002);
      }),
    /rule r2 holds from .*20\.002Z; it was asked for at .*20\.495Z/,
  ],
  [
    'D1',
    'an edit that nobody asked for',
    () => broken((run) => unask(run, (act) => act.do === 'change' && 'content' in act.change)),
    /it was changed into what no client had asked for/,
  ],
  [
    'D1',
    'an edit that changes more than was asked for',
    () =>
      otherwise((steps) => {
        definitionOf(steps, 'updated 20.5').jitterMs = 5;
      }),
    /it was changed into what no client had asked for/,
  ],
  [
    'D1',
    'a removal that nobody asked for',
    () => broken((run) => unask(run, (act) => act.do === 'remove')),
    /it was removed, and no client had asked for it/,
  ],
  [
    'D1',
    'a decision after its removal',
    () =>
      otherwise((steps) => {
        found(steps, 'decided 96').atSeconds = 97;
        payloadOf(steps, 'removed')['from'] = at(92);
      }),
    /trigger\.decided after it was removed/,
  ],
  [
    'D1',
    'a removal that leaves out what was due before it',
    () =>
      otherwise((steps) => {
        drop(steps, 'decided 96');
      }),
    /goes on from .*01:36\.000Z, and was decided up to .*01:32\.000Z/,
  ],
  [
    'D1',
    'a second creation',
    () =>
      otherwise((steps) => {
        steps.push({ ...structuredClone(found(steps, 'created')), atSeconds: 0.4 });
      }),
    /its event 2 is trigger\.created/,
  ],
  [
    'D1',
    'one name for two rules',
    () =>
      otherwise((steps) => {
        payloadOf(steps, 'updated 20.5')['rule'] = 'r1';
      }),
    /rule r1 is the name of two rules/,
  ],
  // What its row says.
  [
    'D1',
    'a row that does not say why',
    () =>
      otherwise((steps) => {
        rowIn(steps, 'decided 21.004', 21).words = '';
      }),
    /the row of .*21\.000Z does not say why/,
  ],
  [
    'D1',
    'one that ran while it was paused',
    () =>
      otherwise((steps) => {
        instead(steps, 'decided 38.004', 38, 'fired');
      }),
    /the row of .*38\.000Z is fired \(undefined\), and the trigger was paused/,
  ],
  [
    'D1',
    'a pause that nobody has asked for',
    () =>
      otherwise((steps) => {
        skipped(steps, 'decided 21.004', 21, 'paused');
      }),
    /the row of .*21\.000Z is skipped \(paused\), and the trigger was not paused/,
  ],
  [
    'D1',
    'one in time that was decided after the grace',
    () =>
      otherwise((steps) => {
        rowIn(steps, 'decided 92', 80).outcome = 'fired';
        lineOf(steps, 'q80 announced').payload['outcome'] = 'fired';
      }),
    /01:20\.000Z is fired, and was decided 12000 ms later/,
  ],
  [
    'D1',
    'a late one that was in time',
    () =>
      otherwise((steps) => {
        rowIn(steps, 'decided 21.004', 21).outcome = 'late';
      }),
    /00:21\.000Z is late, and was decided 4 ms later/,
  ],
  [
    'D1',
    'a late one that was missed',
    () =>
      broken((run) => {
        run.fires.lateMs = 11_000;
      }),
    /01:20\.000Z is late, and was decided 12000 ms later/,
  ],
  [
    'D1',
    'the latest one, later than even that may be',
    () => {
      const run = otherwise((steps) => {
        rowIn(steps, 'decided 92', 90).outcome = 'late';
      }) as Run;
      Object.assign(run.fires, { graceMs: 1_500, latestMs: 1_800 });
      return run;
    },
    /01:30\.000Z is late, and was decided 2000 ms later/,
  ],
  [
    'D1',
    'a gap of less than the grace that is missed',
    () =>
      otherwise((steps) => {
        skipped(steps, 'decided 21.004', 21, 'missed');
      }),
    /00:21\.000Z is missed \(skipped\), and was decided 4 ms later/,
  ],
  [
    'D1',
    'one that is caught up, and was not missed',
    () =>
      otherwise((steps) => {
        rowIn(steps, 'decided 21.004', 21).outcome = 'caught-up';
        lineOf(steps, 'q21 announced').payload['outcome'] = 'caught-up';
      }),
    /00:21\.000Z is missed \(caught-up\), and was decided 4 ms later/,
  ],
  [
    'D1',
    'one in time before what was missed',
    () =>
      otherwise((steps) => {
        instead(steps, 'decided 72', 60, 'late');
      }),
    /01:10\.000Z is missed, and .*01:00\.000Z before it is not/,
  ],
  [
    'D1',
    'run-once that runs two',
    () =>
      otherwise((steps) => {
        instead(steps, 'decided 20.002', 19, 'caught-up');
      }),
    /2 of 17 due times are caught up at once by run-once 1/,
  ],
  [
    'D1',
    'run-once that runs none',
    () =>
      otherwise((steps) => {
        skipped(steps, 'decided 20.002', 20, 'missed');
      }),
    /run-once 1: 17 are skipped, and only 0 were caught up/,
  ],
  [
    'D1',
    'run-once that runs another than the latest',
    () =>
      otherwise((steps) => {
        skipped(steps, 'decided 20.002', 20, 'missed');
        instead(steps, 'decided 20.002', 12, 'caught-up');
      }),
    /run-once: not the latest of the missed are caught up/,
  ],
  [
    'D1',
    'run-all that runs more than its limit',
    () =>
      otherwise((steps) => {
        instead(steps, 'decided 36.003', 34, 'caught-up');
      }),
    /3 of 14 due times are caught up at once by run-all 2/,
  ],
  [
    'D1',
    'run-all that runs fewer than it should',
    () =>
      otherwise((steps) => {
        skipped(steps, 'decided 36.003', 35, 'missed');
      }),
    /run-all 2: 13 are skipped, and only 1 were caught up/,
  ],
  [
    'D1',
    'a window that runs what is older',
    () =>
      otherwise((steps) => {
        instead(steps, 'decided 54.001', 48, 'caught-up');
      }),
    /00:48\.000Z, 6001 ms ago, is caught-up \(undefined\); the window is 5000 ms/,
  ],
  [
    'D1',
    'a window that does not run what is in it',
    () =>
      otherwise((steps) => {
        skipped(steps, 'decided 54.001', 52, 'missed');
      }),
    /00:52\.000Z, 2001 ms ago, is skipped \(missed\); the window is 5000 ms/,
  ],
  [
    'D1',
    'the policy skip, and one that is caught up',
    () =>
      otherwise((steps) => {
        instead(steps, 'decided 72', 70, 'caught-up');
      }),
    /01:10\.000Z is caught up, by the policy skip/,
  ],
  [
    'D1',
    'skipped as busy where it should wait',
    () =>
      otherwise((steps) => {
        skipped(steps, 'decided 22.004', 22, 'busy');
      }),
    /the row of .*22\.000Z was skipped as busy, and whenBusy is queue/,
  ],
  [
    'D1',
    'skipped as busy where nothing ran',
    () =>
      otherwise((steps) => {
        skipped(steps, 'decided 20.002', 20, 'busy');
      }),
    /the row of .*20\.000Z was skipped as busy, and nothing ran or waited where it goes/,
  ],
  [
    'D1',
    'skipped for a reason that there is not',
    () =>
      otherwise((steps) => {
        rowIn(steps, 'decided 20.002', 7).reason = 'tired';
      }),
    /00:07\.000Z is skipped for the reason tired/,
  ],
  [
    'D1',
    'a target that is gone, and is there',
    () =>
      otherwise((steps) => {
        unsend(steps, 'q20');
        const rows = firesOf(steps, 'decided 20.002');
        rows[rows.length - 1] = fire(20, 20.002, 'r1', 'rejected', { reason: 'not_found' });
      }),
    /the row of .*20\.000Z says that its target is gone/,
  ],
  [
    'D1',
    'two that interrupt at once',
    () =>
      otherwise((steps) => {
        rowIn(steps, 'decided 92', 90).whenBusy = 'interrupt';
      }),
    /the row of .*01:30\.000Z was sent to interrupt, and was to queue/,
  ],
  [
    'D1',
    'one that waits where it should be refused',
    () =>
      otherwise((steps) => {
        rowIn(steps, 'decided 3.003', 3).whenBusy = 'queue';
      }),
    /the row of .*03\.000Z was sent to queue, and was to reject/,
  ],
  // By hand, and afterwards.
  [
    'D1',
    'a run by hand that nobody asked for',
    () => broken((run) => unask(run, (act) => act.do === 'fire')),
    /it ran by hand at .*03\.500Z, and no client had asked for it/,
  ],
  [
    'D1',
    'a run by hand of another outcome',
    () =>
      otherwise((steps) => {
        rowIn(steps, 'by hand', 3.5).outcome = 'caught-up';
      }),
    /the row of .*03\.500Z, of cause manual, is caught-up \(manual\)/,
  ],
  [
    'D1',
    'a run by hand that makes two rows',
    () =>
      otherwise((steps) => {
        firesOf(steps, 'by hand').push(
          fire(3.5, 3.5, 'r1', 'fired', { reason: 'manual', requestId: 'm2', whenBusy: 'reject' }),
        );
      }),
    /a run by hand made 2 rows/,
  ],
  [
    'D1',
    'a backfill that nobody asked for',
    () => broken((run) => unask(run, (act) => act.do === 'backfill')),
    /00:10\.000Z was backfilled, and no client had asked for it/,
  ],
  [
    'D1',
    'a backfill outside of what was asked for',
    () =>
      broken((run) => {
        for (const { act } of run.triggerActs) if (act.do === 'backfill') act.from = at(5);
      }),
    /00:00\.000Z was backfilled, and no client had asked for it/,
  ],
  [
    'D1',
    'a backfill of what was not due',
    () =>
      otherwise((steps) => {
        rowIn(steps, 'backfilled', 10).dueAt = at(11);
        lineOf(steps, 'b10 announced').payload['dueAt'] = at(11);
      }),
    /00:11\.000Z was backfilled, and is no due time of rule r4/,
  ],
  [
    'D1',
    'a backfill of what had run',
    () =>
      otherwise((steps) => {
        rowIn(steps, 'backfilled', 10).dueAt = at(20);
        lineOf(steps, 'b10 announced').payload['dueAt'] = at(20);
      }),
    /00:20\.000Z was backfilled, and had run/,
  ],
  [
    'D1',
    'a backfill of what was not decided',
    () =>
      otherwise((steps) => {
        rowIn(steps, 'backfilled', 10).dueAt = at(94);
        lineOf(steps, 'b10 announced').payload['dueAt'] = at(94);
      }),
    /01:34\.000Z was backfilled before it was decided/,
  ],
  // What ran.
  [
    'D2',
    'a row that ran without a request',
    () =>
      otherwise((steps) => {
        delete rowIn(steps, 'decided 20.002', 20).requestId;
      }),
    /the row of .*20\.000Z is caught-up, and names no request/,
  ],
  [
    'D2',
    'a row that did not run, with a request',
    () =>
      otherwise((steps) => {
        Object.assign(rowIn(steps, 'decided 20.002', 7), { requestId: 'n1', conversationId: 'x' });
      }),
    /the row of .*07\.000Z is skipped, and names request n1/,
  ],
  [
    'D2',
    'two rows of one request',
    () =>
      otherwise((steps) => {
        rowIn(steps, 'decided 54.001', 52).requestId = 'q54';
      }),
    /the row of .*52\.000Z names request q54, which 2 rows name/,
  ],
  [
    'D2',
    'a row whose request was never sent',
    () =>
      otherwise((steps) => {
        unsend(steps, 'q20');
      }),
    /the row of .*20\.000Z ran as request q20 in x, which has 0 receipts/,
  ],
  [
    'A1',
    'the same, as a send that was accepted',
    () =>
      otherwise((steps) => {
        unsend(steps, 'q20');
      }),
    /send q20 was acknowledged, and the log knows nothing of it/,
  ],
  [
    'A3',
    'one that Temporal has no signal of',
    () =>
      broken((run) => {
        run.signals = run.signals.filter(({ requestId }) => requestId !== 'q20');
      }),
    /send q20 was acknowledged, and Temporal has no signal of it/,
  ],
  [
    'D2',
    'one with the content of another rule',
    () =>
      otherwise((steps) => {
        lineOf(steps, 'q21 starts', 'message.created').payload['content'] =
          '#script\nwords 1\n# one.';
      }),
    /ran as request q21 with another content than rule r2 has: "#script\\nwords 1\\n# one\."/,
  ],
  [
    'D2',
    'one that is in another conversation than its row says',
    () =>
      otherwise((steps) => {
        rowIn(steps, 'decided 20.002', 20).conversationId = 'y';
      }),
    /ran as request q20 in y, which has 1 receipts, in x/,
  ],
  [
    'D2',
    'one that is not announced',
    () =>
      otherwise((steps) => {
        drop(steps, 'q20 announced');
      }),
    /the row of .*20\.000Z ran, and x was told so 0 times/,
  ],
  [
    'D2',
    'one that is announced twice',
    () =>
      otherwise((steps) => {
        steps.push({ ...structuredClone(found(steps, 'q20 announced')), atSeconds: 20.3 });
      }),
    /the row of .*20\.000Z ran, and x was told so 2 times/,
  ],
  [
    'D2',
    'one that is announced after its message',
    () =>
      otherwise((steps) => {
        found(steps, 'q20 announced').atSeconds = 20.3;
      }),
    /was told of in its conversation \(\d+\) after its message was \(\d+\)/,
  ],
  [
    'D2',
    'one that is announced as another',
    () =>
      otherwise((steps) => {
        lineOf(steps, 'q20 announced').payload['dueAt'] = at(19);
      }),
    /the row of .*20\.000Z is told otherwise in its conversation: \/dueAt/,
  ],
  [
    'D2',
    'a message of a trigger that no ledger knows',
    () =>
      otherwise((steps) => {
        const extra = structuredClone(lineOf(steps, 'q20 announced'));
        steps.push(inX('extra', 20.4, { ...extra, requestId: 'n1' }));
      }),
    /a trigger has sent request n1, and no ledger has it/,
  ],
  [
    'D2',
    'a request that nobody sent',
    () =>
      broken((run) => {
        run.commands = run.commands.filter(({ requestId }) => requestId !== 'c1');
      }),
    /request c1 was sent by no client and by no trigger/,
  ],
  [
    'C2',
    'a turn that was cancelled by what was to wait',
    () =>
      otherwise((steps) => {
        rowIn(steps, 'decided 54.001', 50).whenBusy = 'queue';
      }),
    /attempt t-c2\.1 was cancelled by "interrupt", and no client had asked for it/,
  ],
  // What is read.
  [
    'D1',
    'a ledger that lacks a row',
    () =>
      broken((run) => {
        const { ledger } = triggerOf(run);
        ledger.splice(ledger.indexOf(ledgerRow(run, 7)), 1);
      }),
    /00:07\.000Z is decided, and not in the ledger/,
  ],
  [
    'D1',
    'a ledger with a row that was not decided',
    () =>
      broken((run) => {
        ledgerRow(run, 7).dueAt = at(7.5);
      }),
    /00:07\.500Z is in the ledger, and was not decided/,
  ],
  [
    'D1',
    'a ledger with a row twice',
    () =>
      broken((run) => {
        const { ledger } = triggerOf(run);
        ledger.splice(ledger.indexOf(ledgerRow(run, 7)), 0, { ...ledgerRow(run, 7) });
      }),
    /its ledger has \d+ rows of \d+ due times/,
  ],
  [
    'D1',
    'a ledger in another order',
    () =>
      broken((run) => {
        triggerOf(run).ledger.reverse();
      }),
    /the ledger has .* after an older one/,
  ],
  [
    'D1',
    'a row whose refusal the ledger does not tell',
    () =>
      broken((run) => {
        Object.assign(ledgerRow(run, 3), { outcome: 'fired', reason: undefined });
      }),
    /the ledger says otherwise of .*03\.000Z than the logs: \/outcome is "fired", not "skipped"/,
  ],
  [
    'D1',
    'a row with another turn than its receipt has',
    () =>
      broken((run) => {
        ledgerRow(run, 22).turnId = 't-q21';
      }),
    /the ledger says otherwise of .*22\.000Z than the logs: \/turnId/,
  ],
  [
    'D1',
    'a row that is not replaced by its backfill',
    () =>
      broken((run) => {
        ledgerRow(run, 10).cause = 'due';
      }),
    /the ledger says otherwise of .*10\.000Z than the logs: \/cause/,
  ],
  [
    'D1',
    'counts that are wrong',
    () =>
      broken((run) => {
        triggerOf(run).counts.late += 1;
      }),
    /its counts are wrong: \/late is 2, not 1/,
  ],
  [
    'D1',
    'one that is removed, and is still there',
    () =>
      broken((run) => {
        triggerOf(run).view = { ...triggerOf(run, 'h').view! };
      }),
    /it is removed, and is there/,
  ],
  [
    'D1',
    'one that is shown otherwise than it is',
    () =>
      broken((run) => {
        triggerOf(run, 'h').view!.whenBusy = 'interrupt';
      }),
    /trigger h: it is shown otherwise than it is: \/whenBusy/,
  ],
  [
    'D1',
    'one that is paused, and is shown as due',
    () =>
      broken((run) => {
        triggerOf(run, 'h').view!.nextDueAt = at(200);
      }),
    /trigger h: it is paused, and is shown as due at/,
  ],
  [
    'D1',
    'a page that leaves out a row',
    () =>
      broken((run) => {
        run.readings[0]!.items.splice(5, 1);
      }),
    /read at .*20\.300Z, the ledger left out the row of/,
  ],
  [
    'D1',
    'a page with a row that was never there',
    () =>
      broken((run) => {
        run.readings[1]!.items[0]!.outcome = 'late';
      }),
    /read at .*36\.300Z, the ledger gave a row of .* that was never there/,
  ],
  [
    'D1',
    'a page with a row twice',
    () =>
      broken((run) => {
        const { items } = run.readings[0]!;
        items.splice(1, 0, { ...items[1]! });
      }),
    /read at .*, the ledger gave \d+ rows of \d+ due times/,
  ],
  [
    'D1',
    'a page of another outcome than was asked for',
    () =>
      broken((run) => {
        run.readings[1]!.outcome = 'late';
      }),
    /the row of .* is .*, and late was asked for/,
  ],
  // What was answered.
  ...(
    [
      ['create', 'created'],
      ['change', 'updated 20.5'],
      ['remove', 'removed'],
      ['fire', 'by hand'],
      ['backfill', 'backfilled'],
    ] as const
  ).map(([what, step]): [Invariant, string, () => Evidence, RegExp] => [
    'A3',
    `a ${what} that was answered as done, and is not recorded`,
    () =>
      otherwise((steps) => {
        if (what === 'create') {
          for (const name of steps.map((each) => each.name))
            if (found(steps, name).to === 'trigger:g') drop(steps, name);
        } else drop(steps, step);
      }),
    new RegExp(`${what} of trigger g was answered as done, and is not in its log`),
  ]),
  [
    'A3',
    'a backfill of another number than it was answered with',
    () =>
      broken((run) => {
        for (const asked of run.triggerActs) if (asked.act.do === 'backfill') asked.count = 3;
      }),
    /backfill of trigger g was answered as done, and is not in its log/,
  ],
  [
    'A2',
    'a run by hand that is answered with another row on repeat',
    () =>
      broken((run) => {
        const again = run.triggerActs.findLast(({ act }) => act.do === 'fire');
        again!.row!.dueAt = at(3.6);
      }),
    /the run by hand m1 was answered with 2 rows/,
  ],
  [
    'L1',
    'a stream with a gap',
    () =>
      broken((run) => {
        triggerOf(run).log.splice(4, 1);
      }),
    /the log goes on with seq 6 where 5 was due/,
  ],
  [
    'L2',
    'an event of its stream that was changed',
    () =>
      broken((run) => {
        const { log } = triggerOf(run);
        log[1]!.json = log[1]!.json.replace('fired', 'tired');
      }),
    /event 2 was changed \(store\)/,
  ],
];

describe('rejects', () => {
  test.each(cases)('%s: %s', (invariant, _what, run, words) => {
    const of = check(run()).violations.filter((each) => each.invariant === invariant);
    expect(of.map(({ what }) => what)).toContainEqual(expect.stringMatching(words));
  });
});

describe('D1 accepts', () => {
  test('a row that was refused, and is backfilled then', () => {
    const run = otherwise((steps) => {
      drop(steps, 'q20 starts', 'q20 ends', 'q20 idle');
      steps.push(
        inX('q20 refused', 20.02, {
          type: 'chat.rejected',
          requestId: 'q20',
          payload: { code: 'busy' },
        }),
      );
      const row = fire(20, 94, 'r4', 'caught-up', {
        requestId: 'b20',
        whenBusy: 'queue',
        reason: 'backfill',
      });
      firesOf(steps, 'backfilled').push(row);
      steps.push(...runs(94.21, row));
    }) as Run;
    for (const asked of run.triggerActs) if (asked.act.do === 'backfill') asked.count = 3;
    expect(check(run).violations).toEqual([]);
  });

  test('of several at once, one that is busy because the one before it runs', () => {
    const run = otherwise((steps) => {
      // Both of the gap, by a rule that has them wait for nobody.
      definitionOf(steps, 'updated 20.5').whenBusy = 'skip';
      definitionOf(steps, 'updated 36.5').whenBusy = 'skip';
      for (const name of ['decided 21.004', 'decided 22.004', 'decided 36.003'])
        for (const row of firesOf(steps, name))
          if (row.whenBusy !== undefined) row.whenBusy = 'reject';
      skipped(steps, 'decided 36.003', 36, 'busy');
    }) as Run;
    for (const { act } of run.triggerActs)
      if (act.do === 'change' && act.change.whenBusy === 'queue') act.change.whenBusy = 'skip';
    const said = check(run).violations.map(({ what }) => what);
    expect(said.filter((what) => what.includes('skipped as busy'))).toEqual([]);
  });

  test('a row that is in time, counted from its jitter', () => {
    const run = otherwise((steps) => {
      for (const { lines } of steps)
        for (const { payload } of lines)
          if ('definition' in payload)
            (payload['definition'] as { jitterMs: number }).jitterMs = 2_500;
      rowIn(steps, 'decided 92', 80).outcome = 'fired';
      lineOf(steps, 'q80 announced').payload['outcome'] = 'fired';
    }) as Run;
    for (const { act } of run.triggerActs) if (act.do === 'create') act.asked.jitterMs = 2_500;
    triggerOf(run, 'h').view!.jitterMs = 2_500;
    expect(check(run).violations).toEqual([]);
  });
});

describe('the judge of due times', () => {
  const none = { startAt: null, endAt: null };

  test.each([
    ['everyMs', { everyMs: 1_500, timezone: 'UTC' }, [1_500, 3_000, 4_500]],
    ['a cron', { cron: '1-59/3 * * * * *', timezone: 'UTC' }, [1_000, 4_000]],
    ['one moment', { at: at(2), timezone: 'UTC' }, [2_000]],
  ] as const)('D1: %s, after the one end and up to and with the other', (_what, schedule, due) => {
    const rule = { schedule, ...none };
    const offset = 'everyMs' in schedule ? 0 : T0;
    const times = judgedDueTimes(rule, offset, offset + 4_999);
    expect(times.map((ms) => ms - offset)).toEqual(due);
    const last = times.at(-1) ?? 0;
    expect(judgedDueTimes(rule, offset, last)).toEqual(times);
    expect(judgedDueTimes(rule, last, last)).toEqual([]);
  });

  test('D1: minutes are those of the zone', () => {
    // Kathmandu is 5:45 ahead: its even minutes are the odd ones of UTC.
    const rule = { schedule: { cron: '0 0-59/2 * * * *', timezone: 'Asia/Kathmandu' }, ...none };
    expect(judgedDueTimes(rule, T0, T0 + 240_000)).toEqual([T0 + 60_000, T0 + 180_000]);
  });

  test('D1: nothing before the start or after the end, both included', () => {
    const rule = {
      schedule: { everyMs: 1_000, timezone: 'UTC' },
      startAt: at(2),
      endAt: at(4),
    };
    expect(judgedDueTimes(rule, T0, T0 + 9_000)).toEqual([T0 + 2_000, T0 + 3_000, T0 + 4_000]);
    expect(judgedNextDue(rule, T0 + 4_000)).toBeNull();
  });
});
