/**
 * D1, of what a row says: it follows from when it was decided, from the pause, and from the policies of its rule.
 * docs/triggers.md has the table.
 */
import type { TriggerDefinitionValue } from '../../src/contracts/events.ts';
import { CLOCK_SLACK_MS, type Court, type Known } from './court.ts';
import type { Evidence } from './evidence.ts';
import { type Expect, type Fire, RAN, type Trigger } from './trigger-log.ts';

export function checkOutcomes(
  court: Court,
  trigger: Trigger,
  evidence: Evidence,
  all: readonly Known[],
): void {
  const { triggerId } = trigger.evidence;
  const expect = (holds: boolean, seq: number, what: () => string): void =>
    court.expect('D1', holds, () => ({
      what: `trigger ${triggerId}: ${what()}`,
      ...trigger.stream.at([seq]),
    }));
  const busy = new Map<Known, readonly Change[]>();
  for (const fire of trigger.fires) {
    const { seq, dueAt, reason, outcome, cause, words } = fire;
    expect(words !== '', seq, () => `the row of ${dueAt} does not say why`);
    expect(reason !== 'not_found', seq, () => `the row of ${dueAt} says that its target is gone`);
    if (outcome === 'skipped' && reason === 'busy') {
      expect(
        fire.definition.whenBusy === 'skip',
        seq,
        () =>
          `the row of ${dueAt} was skipped as busy, and whenBusy is ${fire.definition.whenBusy}`,
      );
      // Of several at once the first one makes the others wait.
      const isBehind = trigger.fires.some(
        (other) => other.seq === seq && other.dueMs < fire.dueMs && RAN.has(other.outcome),
      );
      expect(
        isBehind || membersOf(fire, all).some((known) => wasBusy(known, fire, busy)),
        seq,
        () => `the row of ${dueAt} was skipped as busy, and nothing ran or waited where it goes`,
      );
    }
    if (cause !== 'due') {
      const wanted = cause === 'manual' ? 'fired' : 'caught-up';
      expect(
        (outcome === wanted && reason === cause) || (outcome === 'skipped' && reason === 'busy'),
        seq,
        () => `the row of ${dueAt}, of cause ${cause}, is ${outcome} (${reason})`,
      );
    }
  }
  for (const [seq, fires] of Map.groupBy(trigger.fires, (fire) => fire.seq)) {
    if (fires[0]?.cause === 'due')
      checkDecision(fires, evidence.fires, (holds, what) => expect(holds, seq, what));
    checkInterrupts(fires, (holds, what) => expect(holds, seq, what));
  }
}

const isMissed = (fire: Fire): boolean => fire.outcome === 'skipped' && fire.reason === 'missed';
/** It was to run, and was not sent. */
const isHeldBack = (fire: Fire): boolean =>
  !RAN.has(fire.outcome) && fire.reason !== 'missed' && fire.reason !== 'paused';

/** The rows of due times that one look decided, in order. */
function checkDecision(fires: readonly Fire[], limits: Evidence['fires'], expect: Expect): void {
  const definition = fires[0]?.definition;
  if (definition === undefined) return;
  const { paused, jitterMs } = definition;
  for (const [index, { dueAt, outcome, reason, dueMs, decidedMs }] of fires.entries()) {
    const tookMs = decidedMs - dueMs;
    const lateMs = index === fires.length - 1 ? limits.latestMs : limits.lateMs;
    expect(
      paused === (outcome === 'skipped' && reason === 'paused'),
      () =>
        `the row of ${dueAt} is ${outcome} (${reason}), and the trigger was ${paused ? '' : 'not '}paused`,
    );
    expect(
      outcome !== 'fired' || tookMs <= limits.graceMs + jitterMs,
      () => `${dueAt} is fired, and was decided ${tookMs} ms later`,
    );
    expect(
      outcome !== 'late' || (tookMs > limits.graceMs && tookMs <= lateMs + jitterMs),
      () => `${dueAt} is late, and was decided ${tookMs} ms later`,
    );
    expect(
      outcome !== 'skipped' || reason === 'paused' || reason === 'missed' || reason === 'busy',
      () => `${dueAt} is skipped for the reason ${reason}`,
    );
  }
  if (!paused) checkMissed(fires, definition, limits, expect);
}

function checkMissed(
  fires: readonly Fire[],
  { missed, jitterMs }: TriggerDefinitionValue,
  { graceMs }: Evidence['fires'],
  expect: Expect,
): void {
  const caughtUp = fires.filter(({ outcome }) => outcome === 'caught-up');
  const skipped = fires.filter((fire) => isMissed(fire));
  const first = fires.find((fire) => isMissed(fire) || fire.outcome === 'caught-up');
  if (first === undefined) return;
  // The engine was away for longer than the grace: then all of the gap is missed, its last ones too.
  expect(
    first.decidedMs - first.dueMs > graceMs,
    () =>
      `${first.dueAt} is missed (${first.outcome}), and was decided ${first.decidedMs - first.dueMs} ms later`,
  );
  const lastSkipped = fires.findLastIndex((fire) => isMissed(fire));
  const firstInTime = fires.findIndex(({ outcome }) => outcome === 'fired' || outcome === 'late');
  const lastMissed = fires.findLastIndex((fire) => isMissed(fire) || fire.outcome === 'caught-up');
  expect(
    // What is done about a due time may wait, by its jitter, while a later one is missed.
    jitterMs > 0 || firstInTime === -1 || firstInTime > lastMissed,
    () =>
      `${fires[lastMissed]?.dueAt} is missed, and ${fires[firstInTime]?.dueAt} before it is not`,
  );
  const { policy, limit = 0, windowMs = 0 } = missed;
  const latest = (most: number): void => {
    expect(
      caughtUp.length <= most,
      () =>
        `${caughtUp.length} of ${fires.length} due times are caught up at once by ${policy} ${most}`,
    );
    if (skipped.length === 0) return;
    expect(
      fires.findIndex(({ outcome }) => outcome === 'caught-up') === -1 ||
        fires.findIndex(({ outcome }) => outcome === 'caught-up') > lastSkipped,
      () => `${policy}: not the latest of the missed are caught up`,
    );
    const run = fires
      .slice(lastSkipped + 1)
      .filter((fire) => fire.outcome === 'caught-up' || isHeldBack(fire)).length;
    expect(
      run >= most,
      () => `${policy} ${most}: ${skipped.length} are skipped, and only ${run} were caught up`,
    );
  };
  switch (policy) {
    case 'skip':
      expect(caughtUp.length === 0, () => `${caughtUp[0]?.dueAt} is caught up, by the policy skip`);
      return;
    case 'run-once':
      latest(1);
      return;
    case 'run-all':
      latest(limit);
      return;
    case 'window':
      for (const fire of [...caughtUp, ...skipped]) {
        const agoMs = fire.decidedMs - fire.dueMs;
        expect(
          (fire.outcome === 'caught-up') === agoMs <= windowMs,
          () =>
            `${fire.dueAt}, ${agoMs} ms ago, is ${fire.outcome} (${fire.reason}); the window is ${windowMs} ms`,
        );
      }
  }
}

/** How what runs goes before what is there: of several at once only the first interrupts. */
function checkInterrupts(fires: readonly Fire[], expect: Expect): void {
  let interrupted = false;
  for (const { dueAt, outcome, whenBusy, definition } of fires) {
    if (!RAN.has(outcome)) continue;
    const wanted = {
      skip: 'reject',
      queue: 'queue',
      interrupt: interrupted ? 'queue' : 'interrupt',
    }[definition.whenBusy];
    expect(
      whenBusy === wanted,
      () => `the row of ${dueAt} was sent to ${whenBusy}, and was to ${wanted}`,
    );
    interrupted = true;
  }
}

/** From then on something runs or waits in a conversation, or nothing does. */
type Change = { atMs: number; busy: boolean };

/** The conversations in which something may keep this one from running. */
function membersOf({ definition }: Fire, all: readonly Known[]): Known[] {
  const own = all.find((known) => known.evidence.conversationId === definition.conversationId);
  const tableId = definition.tableId ?? own?.tableId ?? null;
  return all.filter((known) => known === own || (tableId !== null && known.tableId === tableId));
}

/** At some moment between the decision and its record. */
function wasBusy(known: Known, fire: Fire, seen: Map<Known, readonly Change[]>): boolean {
  const changes = seen.get(known) ?? changesOf(known);
  seen.set(known, changes);
  const fromMs = fire.decidedMs - CLOCK_SLACK_MS;
  const untilMs = fire.recordedMs + CLOCK_SLACK_MS;
  const before = changes.findLast(({ atMs }) => atMs <= fromMs);
  return (
    before?.busy === true ||
    changes.some(({ atMs, busy }) => busy && atMs > fromMs && atMs <= untilMs)
  );
}

function changesOf({ events }: Known): Change[] {
  const changes: Change[] = [];
  let runs = false;
  let waiting = 0;
  for (const event of events) {
    if (event.type === 'chat.started') runs = true;
    else if (event.type === 'conversation.state') runs = event.payload.state !== 'idle';
    else if (event.type === 'queue.changed') waiting = event.payload.queue.length;
    else continue;
    changes.push({ atMs: Date.parse(event.at), busy: runs || waiting > 0 });
  }
  return changes;
}
