/**
 * Triggers: D1, the ledger has one row for each due time and none outside; D2, a row that ran names a request that A1 holds for.
 *
 *  1 A trigger's own events say which rule was in force when: one holds after the moment from which it is, up to and with the
 *    moment of the next. What was due in between, an independent judge works out (due-judge.ts).
 *  2 Of every due time up to `decidedUntil` there is one row, decided by the rule that was in force, and `decidedUntil` never goes
 *    back. A backfill puts a row in the place of one that did not run, or of none, where it was asked to.
 *  3 What a row says follows from when it was decided, from the pause and from the policies of its rule.
 *  4 What ran is a request of its own: sent once, into that conversation, with the content of its rule, announced by one
 *    `trigger.fired`, and with the receipt that its row tells of.
 *  5 What is read by HTTP is what follows from all that.
 */
import type {
  DecidedFireValue,
  Event,
  TriggerCauseName,
  TriggerDefinitionValue,
} from '../../src/contracts/events.ts';
import { triggerStream } from '../../src/contracts/ids.ts';
import type { LedgerCountsValue, LedgerRowValue } from '../../src/contracts/triggers.ts';
import {
  CLOCK_SLACK_MS,
  contentTaken,
  type Court,
  excerpt,
  firstDifference,
  type Known,
  type LoggedReceipt,
  type Place,
  receiptsOf,
  type StreamRecord,
} from './court.ts';
import { judgedDueTimes, judgedNextDue } from './due-judge.ts';
import type { Evidence, LedgerReading, TriggerAct, TriggerEvidence } from './evidence.ts';
import { checkClient, checkLog, checkRereads } from './stream-rules.ts';

/** A definition in force after `fromMs`. */
type Rule = { name: string; definition: TriggerDefinitionValue; fromMs: number };

/** One decision, with the rule that was in force and its place among all events. */
type Fire = DecidedFireValue & {
  triggerId: string;
  cause: TriggerCauseName;
  definition: TriggerDefinitionValue;
  dueMs: number;
  decidedMs: number;
  recordedMs: number;
  seq: number;
  order: number;
};

type Trigger = {
  evidence: TriggerEvidence;
  events: readonly Event[];
  stream: StreamRecord;
  /** In order. */
  rules: Rule[];
  fires: Fire[];
  decidedUntilMs: number;
  isRemoved: boolean;
};

type Decided = Extract<Event, { type: 'trigger.decided' }>;

/** What came of a request. */
type Fate = { known: Known; receipt: LoggedReceipt; order: number };

const RAN = new Set(['fired', 'late', 'caught-up']);
/** Whose receipt is asked for when everything is over. */
const IN_THE_END_MS = Number.MAX_SAFE_INTEGER;

/**
 * What triggers have sent is held against the log as what clients send is: a row that ran is a send that was accepted, and one
 * that interrupts may end a turn.
 */
export function withTriggerSends(evidence: Evidence): Evidence {
  const tables = new Map(
    evidence.conversations.map(({ conversationId, view }) => [conversationId, view.tableId]),
  );
  const sent = evidence.triggers
    .flatMap((each) => readTrigger(each).fires)
    .flatMap(({ requestId, conversationId, whenBusy, definition, decidedMs }) =>
      requestId === undefined || conversationId === undefined || whenBusy === undefined
        ? []
        : [{ requestId, conversationId, whenBusy, content: definition.content, decidedMs }],
    );
  return {
    ...evidence,
    commands: [
      ...evidence.commands,
      ...sent.map(({ decidedMs, ...request }) => ({
        ...request,
        kind: 'send' as const,
        sentAtMs: decidedMs,
        answeredAtMs: IN_THE_END_MS,
        answer: { is: 'accepted' as const },
      })),
    ],
    cancels: [
      ...evidence.cancels,
      ...sent
        .filter(({ whenBusy }) => whenBusy === 'interrupt')
        .map(({ conversationId, decidedMs }) => ({
          conversationId,
          tableId: tables.get(conversationId) ?? null,
          sentAtMs: decidedMs,
          turnId: null,
        })),
    ],
  };
}

export function checkTriggers(court: Court, all: readonly Known[], evidence: Evidence): void {
  const fates = fatesOf(all);
  const triggers = evidence.triggers.map((each) => readTrigger(each));
  for (const trigger of triggers) {
    const { stream } = trigger;
    checkLog(court, stream);
    checkRereads(court, stream);
    for (const client of evidence.clients)
      if (client.stream === triggerStream(trigger.evidence.triggerId))
        checkClient(court, stream, client, () => undefined);
    new Life(court, trigger, evidence, fates).run();
    checkOutcomes(court, trigger, evidence, all);
    checkLedger(court, trigger, fates);
    for (const reading of evidence.readings)
      if (reading.triggerId === trigger.evidence.triggerId)
        checkReading(court, trigger, reading, fates);
  }
  checkRequests(court, { triggers, all, fates, evidence });
  checkTriggerActs(court, triggers, evidence);
}

function readTrigger(evidence: TriggerEvidence): Trigger {
  const { triggerId, log, rereads, places } = evidence;
  const events = log.map(({ json }) => JSON.parse(json) as Event);
  const orders = new Map(places.map(({ seq, order }) => [seq, order]));
  const rules: Rule[] = [];
  const fires: Fire[] = [];
  let decidedUntilMs = -Infinity;
  for (const event of events) {
    if (event.type === 'trigger.created' || event.type === 'trigger.updated') {
      const { rule: name, definition, ...rest } = event.payload;
      const fromMs = Date.parse('from' in rest ? rest.from : rest.decidedUntil);
      rules.push({ name, definition, fromMs });
      decidedUntilMs = Math.max(decidedUntilMs, fromMs);
    }
    const rule = rules.at(-1);
    if (event.type !== 'trigger.decided' || rule === undefined) continue;
    const { cause, until } = event.payload;
    if (until !== undefined) decidedUntilMs = Date.parse(until);
    for (const fire of event.payload.fires)
      fires.push({
        ...fire,
        triggerId,
        cause,
        definition: rule.definition,
        dueMs: Date.parse(fire.dueAt),
        decidedMs: Date.parse(fire.decidedAt),
        recordedMs: Date.parse(event.at),
        seq: event.seq,
        order: orders.get(event.seq) ?? Infinity,
      });
  }
  return {
    evidence,
    events,
    stream: {
      log,
      rereads,
      bySeq: new Map(log.map(({ seq, json }) => [seq, json])),
      at: (seqs) => ({ triggerId, seqs, excerpt: excerpt(log, seqs) }),
    },
    rules,
    fires,
    decidedUntilMs,
    isRemoved: events.some(({ type }) => type === 'trigger.removed'),
  };
}

function fatesOf(all: readonly Known[]): Map<string, Fate[]> {
  const fates = new Map<string, Fate[]>();
  for (const known of all) {
    const orders = new Map(known.evidence.epochs.map(({ seq, order }) => [seq, order]));
    for (const [requestId, receipts] of receiptsOf(known))
      for (const receipt of receipts) {
        const fate = { known, receipt, order: orders.get(receipt.seq) ?? -1 };
        fates.set(requestId, [...(fates.get(requestId) ?? []), fate]);
      }
  }
  return fates;
}

const stamp = (ms: number): string => new Date(ms).toISOString();

/** Goes through a trigger's events in their order: rules 1 and 2. */
class Life {
  readonly #court: Court;
  readonly #trigger: Trigger;
  readonly #evidence: Evidence;
  readonly #fates: ReadonlyMap<string, readonly Fate[]>;
  /** In force now. */
  #rule: Rule | null = null;
  #decidedUntilMs = 0;
  #removedSeq: number | null = null;
  /** By dueAt, the row of a due time as it is now. */
  readonly #rows = new Map<number, Fire>();
  /** Names that rules have had, with what they do. */
  readonly #names = new Map<string, string>();

  constructor(
    court: Court,
    trigger: Trigger,
    evidence: Evidence,
    fates: ReadonlyMap<string, readonly Fate[]>,
  ) {
    this.#court = court;
    this.#trigger = trigger;
    this.#evidence = evidence;
    this.#fates = fates;
  }

  run(): void {
    for (const event of this.#trigger.events) this.#see(event);
    this.#checkEnd();
  }

  #expect(holds: boolean, seqs: readonly number[], what: () => string): void {
    const { triggerId } = this.#trigger.evidence;
    this.#court.expect('D1', holds, () => ({
      what: `trigger ${triggerId}: ${what()}`,
      ...this.#trigger.stream.at(seqs),
    }));
  }

  #see(event: Event): void {
    const { seq } = event;
    this.#expect(
      this.#removedSeq === null,
      [this.#removedSeq ?? seq, seq],
      () => `${event.type} after it was removed`,
    );
    this.#expect(
      (event.type === 'trigger.created') === (seq === 1),
      [seq],
      () => `its event ${seq} is ${event.type}`,
    );
    switch (event.type) {
      case 'trigger.created':
        this.#create(event);
        return;
      case 'trigger.updated':
        this.#update(event);
        return;
      case 'trigger.removed': {
        this.#goesOnFrom(event.payload.from, seq);
        const asked = this.#firstAsked(event.at, ({ do: what }) => what === 'remove');
        this.#isAsked(asked, seq, 'it was removed');
        this.#removedSeq = seq;
        return;
      }
      case 'trigger.decided':
        this.#decide(event);
        return;
      default:
        this.#expect(false, [seq], () => `${event.type} is no event of a trigger`);
    }
  }

  #create(event: Extract<Event, { type: 'trigger.created' }>): void {
    const { seq, payload } = event;
    const { rule: name, definition, decidedUntil, nextDueAt } = payload;
    this.#decidedUntilMs = Date.parse(decidedUntil);
    this.#rule = { name, definition, fromMs: this.#decidedUntilMs };
    const asked = this.#firstAsked(
      event.at,
      (act) => act.do === 'create' && hasAll(definition, act.asked),
    );
    this.#expect(asked !== null, [seq], () => 'it was created otherwise than any client asked for');
    this.#beginsInTime(asked, event, decidedUntil);
    this.#isNextDue(nextDueAt, seq);
    this.#isNamed(seq);
  }

  #update(event: Extract<Event, { type: 'trigger.updated' }>): void {
    const { seq, payload } = event;
    const { rule: name, definition, from, nextDueAt } = payload;
    const before = this.#rule?.definition;
    this.#goesOnFrom(from, seq);
    const asked = this.#firstAsked(
      event.at,
      (act) =>
        act.do === 'change' &&
        before !== undefined &&
        firstDifference(definition, changed(before, act.change)) === null,
    );
    this.#expect(asked !== null, [seq], () => 'it was changed into what no client had asked for');
    this.#rule = { name, definition, fromMs: Date.parse(from) };
    this.#beginsInTime(asked, event, from);
    this.#isNextDue(nextDueAt, seq);
    this.#isNamed(seq);
  }

  #decide(event: Decided): void {
    const { seq, payload } = event;
    const { cause, fires } = payload;
    const rule = this.#rule;
    if (rule === null) return;
    const decided = this.#trigger.fires.filter((fire) => fire.seq === seq);
    for (const fire of decided) {
      this.#expect(
        fire.rule === rule.name,
        [seq],
        () => `the row of ${fire.dueAt} names rule ${fire.rule}, and ${rule.name} was in force`,
      );
      this.#expect(
        fire.dueMs <= fire.decidedMs + CLOCK_SLACK_MS &&
          fire.decidedMs <= fire.recordedMs + CLOCK_SLACK_MS,
        [seq],
        () =>
          `the row of ${fire.dueAt} was decided at ${fire.decidedAt}, and recorded at ${event.at}`,
      );
    }
    switch (cause) {
      case 'due':
        this.#decideDue(event, rule, decided);
        return;
      case 'backfill':
        for (const fire of decided) this.#backfill(fire, rule);
        return;
      case 'manual':
        this.#expect(fires.length === 1, [seq], () => `a run by hand made ${fires.length} rows`);
        for (const fire of decided) {
          const asked = this.#firstAsked(
            event.at,
            (act) =>
              act.do === 'fire' &&
              (fire.requestId === undefined || act.requestId === fire.requestId),
          );
          this.#isAsked(asked, seq, `it ran by hand at ${fire.dueAt}`);
        }
    }
  }

  #decideDue({ seq, at, payload }: Decided, rule: Rule, decided: readonly Fire[]): void {
    const { from = '', until = '', nextDueAt = null } = payload;
    this.#goesOnFrom(from, seq);
    const fromMs = this.#decidedUntilMs;
    const untilMs = Date.parse(until);
    this.#expect(
      untilMs >= fromMs,
      [seq],
      () => `its decidedUntil went back from ${stamp(fromMs)} to ${until}`,
    );
    this.#expect(
      untilMs <= Date.parse(at) + CLOCK_SLACK_MS,
      [seq],
      () => `at ${at} it was decided up to ${until}, which was still to come`,
    );
    const wanted = judgedDueTimes(rule.definition, fromMs, untilMs);
    const times = decided.map(({ dueMs }) => dueMs);
    for (const dueMs of wanted)
      this.#expect(
        times.includes(dueMs),
        [seq],
        () => `${stamp(dueMs)} has no row, and it is decided up to ${until}`,
      );
    for (const [index, fire] of decided.entries()) {
      const { dueMs, dueAt } = fire;
      this.#expect(
        wanted.includes(dueMs),
        [seq],
        () =>
          `${dueAt} has a row, and was not due by rule ${rule.name} after ${stamp(fromMs)}, up to ${until}`,
      );
      this.#expect(
        dueMs > (times[index - 1] ?? -Infinity),
        [seq],
        () => `the row of ${dueAt} comes after that of ${stamp(times[index - 1] ?? 0)}`,
      );
      const row = this.#rows.get(dueMs);
      this.#expect(
        row === undefined,
        [row?.seq ?? seq, seq],
        () => `${dueAt} was decided a second time`,
      );
      this.#rows.set(dueMs, fire);
    }
    this.#decidedUntilMs = untilMs;
    this.#isNextDue(nextDueAt, seq);
  }

  #backfill(fire: Fire, rule: Rule): void {
    const { dueMs, dueAt, seq } = fire;
    const asked = this.#firstAsked(
      stamp(fire.recordedMs),
      (act) =>
        act.do === 'backfill' && Date.parse(act.from) <= dueMs && dueMs <= Date.parse(act.to),
    );
    this.#isAsked(asked, seq, `${dueAt} was backfilled`);
    this.#expect(
      judgedDueTimes(rule.definition, dueMs - 1, dueMs).length === 1,
      [seq],
      () => `${dueAt} was backfilled, and is no due time of rule ${rule.name}`,
    );
    this.#expect(
      dueMs <= this.#decidedUntilMs,
      [seq],
      () => `${dueAt} was backfilled before it was decided`,
    );
    const before = this.#rows.get(dueMs);
    this.#expect(
      before === undefined || !RAN.has(before.outcome) || this.#wasRefusedBy(before, fire.order),
      [before?.seq ?? seq, seq],
      () => `${dueAt} was backfilled, and had run`,
    );
    this.#rows.set(dueMs, fire);
  }

  /** Whether its conversation had refused it by then. */
  #wasRefusedBy({ requestId = '' }: Fire, order: number): boolean {
    const fate = this.#fates.get(requestId)?.[0];
    return fate?.receipt.status === 'rejected' && fate.order < order;
  }

  #goesOnFrom(from: string, seq: number): void {
    this.#expect(
      Date.parse(from) === this.#decidedUntilMs,
      [seq],
      () => `goes on from ${from}, and was decided up to ${stamp(this.#decidedUntilMs)}`,
    );
  }

  /** A rule holds from a moment between its being asked for and its being recorded. */
  #beginsInTime(sentAtMs: number | null, event: Event, from: string): void {
    const fromMs = Date.parse(from);
    this.#expect(
      fromMs <= Date.parse(event.at) + CLOCK_SLACK_MS &&
        (sentAtMs === null || fromMs >= sentAtMs - CLOCK_SLACK_MS),
      [event.seq],
      () =>
        `rule ${this.#rule?.name} holds from ${from}; it was asked for at ${sentAtMs === null ? 'no time' : stamp(sentAtMs)} and recorded at ${event.at}`,
    );
  }

  #isNextDue(nextDueAt: string | null, seq: number): void {
    const rule = this.#rule;
    if (rule === null) return;
    const next = judgedNextDue(rule.definition, this.#decidedUntilMs);
    this.#expect(
      (nextDueAt === null ? null : Date.parse(nextDueAt)) === next,
      [seq],
      () =>
        `it says it is due next at ${nextDueAt}; after ${stamp(this.#decidedUntilMs)} that is ${next === null ? 'never' : stamp(next)}`,
    );
  }

  /** One name for what a rule does, and another for anything else; its title and a pause are none of that. */
  #isNamed(seq: number): void {
    const rule = this.#rule;
    if (rule === null) return;
    const { title: _title, paused: _paused, ...does } = rule.definition;
    const now = JSON.stringify(Object.entries(does).toSorted(([a], [b]) => a.localeCompare(b)));
    const had = this.#names.get(rule.name);
    this.#expect(
      had === undefined || had === now,
      [seq],
      () => `rule ${rule.name} is the name of two rules`,
    );
    this.#names.set(rule.name, now);
  }

  #isAsked(sentAtMs: number | null, seq: number, what: string): void {
    this.#expect(sentAtMs !== null, [seq], () => `${what}, and no client had asked for it`);
  }

  /** When a client had first asked for such a thing by then; null: none had. */
  #firstAsked(at: string, is: (act: TriggerAct) => boolean): number | null {
    const { triggerId } = this.#trigger.evidence;
    const asked = this.#evidence.triggerActs.filter(
      (each) =>
        each.triggerId === triggerId &&
        each.sentAtMs <= Date.parse(at) + CLOCK_SLACK_MS &&
        is(each.act),
    );
    return asked.length === 0 ? null : Math.min(...asked.map(({ sentAtMs }) => sentAtMs));
  }

  /** Nothing is silently missed: when everything is over, all that was due has its row. */
  #checkEnd(): void {
    const rule = this.#rule;
    if (rule === null || this.#removedSeq !== null) return;
    const { gatheredAtMs } = this.#trigger.evidence;
    const { graceMs } = this.#evidence.fires;
    const last = gatheredAtMs - graceMs - rule.definition.jitterMs;
    const missing = judgedDueTimes(rule.definition, this.#decidedUntilMs, last);
    this.#expect(
      missing.length === 0,
      [this.#trigger.events.at(-1)?.seq ?? 0],
      () =>
        `at ${stamp(gatheredAtMs)} it is decided up to ${stamp(this.#decidedUntilMs)}: ${missing.length} due times have no row, the first is ${stamp(missing[0] ?? 0)}`,
    );
  }
}

/** Whether every member that was asked for is there. */
function hasAll(definition: TriggerDefinitionValue, asked: object): boolean {
  return firstDifference({ ...definition, ...filledIn(asked) }, definition) === null;
}

function changed(before: TriggerDefinitionValue, change: object): object {
  return { ...before, ...filledIn(change) };
}

/** A schedule is of UTC unless it says otherwise. */
function filledIn(asked: object): object {
  const schedule: unknown = Reflect.get(asked, 'schedule');
  return typeof schedule === 'object' && schedule !== null
    ? { ...asked, schedule: { timezone: 'UTC', ...schedule } }
    : asked;
}

/** Rule 3. */
function checkOutcomes(
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
      expect(
        membersOf(fire, all).some((known) => wasBusy(known, fire, busy)),
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

type Expect = (holds: boolean, what: () => string) => void;

const isMissed = (fire: Fire): boolean => fire.outcome === 'skipped' && fire.reason === 'missed';
/** It was to run, and was not sent. */
const isHeldBack = (fire: Fire): boolean =>
  !RAN.has(fire.outcome) && fire.reason !== 'missed' && fire.reason !== 'paused';

/** The rows of due times that one look decided, in order. */
function checkDecision(
  fires: readonly Fire[],
  limits: Evidence['fires'],
  expect: Expect,
): void {
  const definition = fires[0]?.definition;
  if (definition === undefined) return;
  const { paused, jitterMs } = definition;
  for (const { dueAt, outcome, reason, dueMs, decidedMs } of fires) {
    const tookMs = decidedMs - dueMs;
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
      outcome !== 'late' || (tookMs > limits.graceMs && tookMs <= limits.lateMs + jitterMs),
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
    () => `${fires[lastMissed]?.dueAt} is missed, and ${fires[firstInTime]?.dueAt} before it is not`,
  );
  const { policy, limit = 0, windowMs = 0 } = missed;
  const latest = (most: number): void => {
    expect(
      caughtUp.length <= most,
      () => `${caughtUp.length} of ${fires.length} due times are caught up at once by ${policy} ${most}`,
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

/** Rule 4. */
function checkRequests(
  court: Court,
  given: {
    triggers: readonly Trigger[];
    all: readonly Known[];
    fates: ReadonlyMap<string, readonly Fate[]>;
    evidence: Evidence;
  },
): void {
  const { triggers, all, fates, evidence } = given;
  const fires = triggers.flatMap((trigger) => trigger.fires.map((fire) => ({ trigger, fire })));
  const byRequest = Map.groupBy(fires, ({ fire }) => fire.requestId ?? '');
  const announced = announcementsOf(all);
  for (const { trigger, fire } of fires) {
    const { dueAt, outcome, requestId, conversationId, seq } = fire;
    const ran = RAN.has(outcome);
    const place = (): Place => trigger.stream.at([seq]);
    const whose = `trigger ${fire.triggerId}: the row of ${dueAt}`;
    court.expect('D2', ran === (requestId !== undefined && conversationId !== undefined), () => ({
      what: `${whose} is ${outcome}, and names ${requestId === undefined ? 'no request' : `request ${requestId}`}${conversationId === undefined ? ', no conversation' : ''}`,
      ...place(),
    }));
    if (requestId === undefined) continue;
    const rows = byRequest.get(requestId)?.length ?? 0;
    court.expect('D2', rows === 1, () => ({
      what: `${whose} names request ${requestId}, which ${rows} rows name`,
      ...place(),
    }));
    const became = fates.get(requestId) ?? [];
    const [fate] = became;
    court.expect(
      'D2',
      became.length === 1 && fate?.known.evidence.conversationId === conversationId,
      () => ({
        what: `${whose} ran as request ${requestId} in ${conversationId}, which has ${became.length} receipts${fate === undefined ? '' : `, in ${became.map(({ known }) => known.evidence.conversationId).join(', ')}`}`,
        ...place(),
      }),
    );
    if (fate !== undefined) {
      const content = contentTaken(fate.known, requestId, fate.receipt);
      court.expect('D2', content === null || content === fire.definition.content, () => ({
        what: `${whose} ran as request ${requestId} with another content than rule ${fire.rule} has: ${JSON.stringify(content?.slice(0, 80))}`,
        ...place(),
      }));
    }
    checkAnnouncement(court, { fire, whose, place, fate, told: announced.get(requestId) ?? [] });
  }
  checkNobodyElse(court, { all, byRequest, announced, evidence });
}

type Announcement = { known: Known; event: Extract<Event, { type: 'trigger.fired' }> };

function announcementsOf(all: readonly Known[]): Map<string, Announcement[]> {
  const found = new Map<string, Announcement[]>();
  for (const known of all)
    for (const event of known.events) {
      if (event.type !== 'trigger.fired') continue;
      const key = event.requestId ?? '';
      found.set(key, [...(found.get(key) ?? []), { known, event }]);
    }
  return found;
}

function checkAnnouncement(
  court: Court,
  given: {
    fire: Fire;
    whose: string;
    place: () => Place;
    fate: Fate | undefined;
    told: readonly Announcement[];
  },
): void {
  const { fire, whose, place, fate, told } = given;
  const [first] = told;
  court.expect(
    'D2',
    told.length === 1 && first?.known.evidence.conversationId === fire.conversationId,
    () => ({
      what: `${whose} ran, and ${fire.conversationId} was told so ${told.length} times`,
      ...place(),
    }),
  );
  if (first === undefined) return;
  const { triggerId, title, dueAt, outcome } = first.event.payload;
  const differs = firstDifference(
    { triggerId, title, dueAt, outcome },
    {
      triggerId: fire.triggerId,
      title: fire.definition.title,
      dueAt: fire.dueAt,
      outcome: fire.outcome,
    },
  );
  court.expect('D2', differs === null, () => ({
    what: `${whose} is told otherwise in its conversation: ${differs}`,
    ...place(),
  }));
  const itself = first.known.events.find(
    ({ type, requestId }) => requestId === fire.requestId && type !== 'trigger.fired',
  );
  court.expect(
    'D2',
    fate === undefined || itself === undefined || first.event.seq < itself.seq,
    () => ({
      what: `${whose} was told of in its conversation (${first.event.seq}) after its message was (${itself?.seq})`,
      ...place(),
    }),
  );
}

/** What no ledger knows of, no trigger has sent. */
function checkNobodyElse(
  court: Court,
  given: {
    all: readonly Known[];
    byRequest: ReadonlyMap<string, unknown>;
    announced: ReadonlyMap<string, readonly Announcement[]>;
    evidence: Evidence;
  },
): void {
  const { all, byRequest, announced, evidence } = given;
  for (const [requestId, [first]] of announced)
    court.expect('D2', byRequest.has(requestId), () => ({
      what: `a trigger has sent request ${requestId}, and no ledger has it`,
      conversationId: first?.known.evidence.conversationId ?? '',
      excerpt: [JSON.stringify(first?.event)],
    }));
  const asked = new Set(evidence.commands.map(({ requestId }) => requestId));
  for (const known of all)
    for (const [requestId, [receipt]] of receiptsOf(known))
      court.expect('D2', asked.has(requestId), () => ({
        what: `request ${requestId} was sent by no client and by no trigger`,
        conversationId: known.evidence.conversationId,
        excerpt: excerpt(known.evidence.log, [receipt?.seq ?? 0]),
      }));
}

/** A row as the ledger has it, when its conversation has said what became of it. */
function rowOf(fire: Fire, fates: ReadonlyMap<string, readonly Fate[]>): Partial<LedgerRowValue> {
  const { triggerId, dueAt, decidedAt, rule, cause, requestId, conversationId } = fire;
  const receipt = fates.get(requestId ?? '')?.[0]?.receipt;
  const told =
    receipt?.status !== 'rejected'
      ? { outcome: fire.outcome, reason: fire.reason }
      : receipt.code === 'busy'
        ? { outcome: 'skipped' as const, reason: 'busy' }
        : { outcome: 'rejected' as const, reason: receipt.code };
  return withoutUndefined({
    triggerId,
    dueAt,
    decidedAt,
    rule,
    cause,
    requestId,
    conversationId,
    ...told,
    turnId: receipt?.turnId ?? undefined,
  });
}

function withoutUndefined(row: object): object {
  return Object.fromEntries(Object.entries(row).filter(([, value]) => value !== undefined));
}

/** Of a run by hand each is a row of its own; of a due time there is one. */
const keyOf = ({ cause, dueAt, requestId }: Partial<LedgerRowValue>): string =>
  cause === 'manual' ? `manual ${dueAt} ${requestId}` : (dueAt ?? '');

/** Rule 5, of the whole ledger. */
function checkLedger(
  court: Court,
  { evidence, fires, stream, rules, isRemoved }: Trigger,
  fates: ReadonlyMap<string, readonly Fate[]>,
): void {
  const { triggerId, ledger, counts, view } = evidence;
  const wanted = new Map<string, Partial<LedgerRowValue>>();
  const seqs = new Map<string, number>();
  for (const fire of fires) {
    const row = rowOf(fire, fates);
    wanted.set(keyOf(row), row);
    seqs.set(keyOf(row), fire.seq);
  }
  const read = new Map(ledger.map((row) => [keyOf(row), row]));
  const expect = (holds: boolean, seq: number, what: () => string): void =>
    court.expect('D1', holds, () => ({
      what: `trigger ${triggerId}: ${what()}`,
      ...stream.at([seq]),
    }));
  expect(
    ledger.length === read.size,
    0,
    () => `its ledger has ${ledger.length} rows of ${read.size} due times`,
  );
  for (const key of new Set([...wanted.keys(), ...read.keys()])) {
    const row = wanted.get(key);
    const got = read.get(key);
    const differs = firstDifference(got === undefined ? undefined : plain(got), row);
    expect(differs === null, seqs.get(key) ?? 0, () =>
      got === undefined
        ? `${key} is decided, and not in the ledger`
        : row === undefined
          ? `${key} is in the ledger, and was not decided`
          : `the ledger says otherwise of ${key} than the logs: ${differs}`,
    );
  }
  isNewestFirst(ledger, (holds, what) => expect(holds, 0, what));
  const counted: LedgerCountsValue = { fired: 0, late: 0, 'caught-up': 0, skipped: 0, rejected: 0 };
  for (const { outcome } of wanted.values()) if (outcome !== undefined) counted[outcome] += 1;
  const miscounted = firstDifference(counts, counted);
  expect(miscounted === null, 0, () => `its counts are wrong: ${miscounted}`);
  expect(
    (view === null) === isRemoved,
    0,
    () => `it is ${isRemoved ? '' : 'not '}removed, and is ${view === null ? 'not ' : ''}there`,
  );
  if (view === null) return;
  const rule = rules.at(-1);
  const definition = rule?.definition ?? {};
  const isTrouble = ({ outcome, reason }: LedgerRowValue): boolean =>
    outcome === 'late' || outcome === 'rejected' || (outcome === 'skipped' && reason !== 'paused');
  const shown = firstDifference(
    {
      ...Object.fromEntries(Object.entries(view).filter(([name]) => name in definition)),
      rule: view.rule,
      counts: view.counts,
      last: view.last,
      trouble: view.trouble,
    },
    {
      ...definition,
      rule: rule?.name,
      counts: counted,
      last: ledger[0] ?? null,
      trouble: ledger.find((row) => isTrouble(row)) ?? null,
    },
  );
  expect(shown === null, 0, () => `it is shown otherwise than it is: ${shown}`);
  expect(
    !view.paused || view.nextDueAt === null,
    0,
    () => `it is paused, and is shown as due at ${view.nextDueAt}`,
  );
}

function plain({ words: _, ...row }: LedgerRowValue): object {
  return row;
}

function isNewestFirst(items: readonly LedgerRowValue[], expect: Expect): void {
  const unordered = items.find(({ dueAt }, index) => dueAt > (items[index - 1]?.dueAt ?? dueAt));
  expect(
    unordered === undefined,
    () => `the ledger has ${unordered?.dueAt} after an older one`,
  );
}

/** Rule 5, of what a client read while things went on. */
function checkReading(
  court: Court,
  { evidence, fires, stream }: Trigger,
  { sentAtMs, outcome, items, whole }: LedgerReading,
  fates: ReadonlyMap<string, readonly Fate[]>,
): void {
  const { triggerId } = evidence;
  const expect = (holds: boolean, what: () => string): void =>
    court.expect('D1', holds, () => ({
      what: `trigger ${triggerId}: read at ${stamp(sentAtMs)}, ${what()}`,
      ...stream.at([]),
    }));
  isNewestFirst(items, expect);
  const read = new Set(items.map((row) => keyOf(row)));
  expect(
    read.size === items.length,
    () => `the ledger gave ${items.length} rows of ${read.size} due times`,
  );
  const versions = Map.groupBy(fires, (fire) => keyOf(fire));
  for (const row of items) {
    expect(
      outcome === null || row.outcome === outcome,
      () => `the row of ${row.dueAt} is ${row.outcome}, and ${outcome} was asked for`,
    );
    expect(
      (versions.get(keyOf(row)) ?? []).some((fire) => couldRead(row, rowOf(fire, fates), fire)),
      () => `the ledger gave a row of ${row.dueAt} that was never there: ${JSON.stringify(row)}`,
    );
  }
  if (outcome !== null) return;
  const lastMs = whole ? -Infinity : Date.parse(items.at(-1)?.dueAt ?? '9999-01-01T00:00:00Z');
  for (const fire of fires)
    if (fire.recordedMs < sentAtMs - CLOCK_SLACK_MS && fire.dueMs > lastMs)
      expect(read.has(keyOf(fire)), () => `the ledger left out the row of ${fire.dueAt}`);
}

/** As it was decided, or as its conversation has answered. */
function couldRead(row: LedgerRowValue, answered: Partial<LedgerRowValue>, fire: Fire): boolean {
  const { turnId: _, ...before } = {
    ...answered,
    ...withoutUndefined({ outcome: fire.outcome, reason: fire.reason }),
  } as Partial<LedgerRowValue>;
  const decided = fire.reason === undefined ? withoutReason(before) : before;
  return [answered, decided].some((version) => firstDifference(plain(row), version) === null);
}

function withoutReason({ reason: _, ...row }: Partial<LedgerRowValue>): Partial<LedgerRowValue> {
  return row;
}

/** A3: what was answered as done is recorded. */
function checkTriggerActs(
  court: Court,
  triggers: readonly Trigger[],
  { triggerActs }: Evidence,
): void {
  const byId = new Map(triggers.map((trigger) => [trigger.evidence.triggerId, trigger]));
  for (const asked of triggerActs) {
    if (asked.answer.is !== 'done') continue;
    const { act, triggerId } = asked;
    const trigger = byId.get(triggerId);
    court.expect('A3', trigger !== undefined && isRecorded(trigger, asked), () => ({
      what: `${act.do} of trigger ${triggerId} was answered as done, and is not in its log`,
      triggerId,
      excerpt: [JSON.stringify(asked)],
    }));
  }
  // A request asked for twice is answered with the same row.
  const fired = triggerActs.flatMap(({ act, row }) =>
    act.do === 'fire' && row !== null ? [{ requestId: act.requestId, row }] : [],
  );
  for (const [requestId, rows] of Map.groupBy(fired, (each) => each.requestId)) {
    const due = new Set(rows.map(({ row }) => `${row.triggerId} ${row.dueAt}`));
    court.expect('A2', due.size === 1, () => ({
      what: `the run by hand ${requestId} was answered with ${due.size} rows: ${[...due].join(', ')}`,
      excerpt: rows.map(({ row }) => JSON.stringify(row)),
    }));
  }
}

function isRecorded(
  { events, fires, rules }: Trigger,
  { act, sentAtMs, answeredAtMs, row, count }: Evidence['triggerActs'][number],
): boolean {
  const until = answeredAtMs + CLOCK_SLACK_MS;
  switch (act.do) {
    case 'create':
      return rules.length > 0;
    case 'change':
      return events.some((event, index) => {
        if (event.type !== 'trigger.updated' && event.type !== 'trigger.created') return false;
        const next = events
          .slice(index + 1)
          .find(({ type }) => type === 'trigger.updated' || type === 'trigger.removed');
        // At some moment between the question and its answer it was so.
        return (
          Date.parse(event.at) <= until &&
          (next === undefined || Date.parse(next.at) >= sentAtMs - CLOCK_SLACK_MS) &&
          hasAll(event.payload.definition, act.change)
        );
      });
    case 'remove':
      return events.some((event) => event.type === 'trigger.removed' && Date.parse(event.at) <= until);
    case 'fire':
      return fires.some(
        (fire) =>
          fire.cause === 'manual' &&
          fire.recordedMs <= until &&
          (row === null || row.dueAt === fire.dueAt) &&
          (fire.requestId === undefined || fire.requestId === act.requestId),
      );
    case 'backfill': {
      const parts = events.filter(
        (event): event is Decided =>
          event.type === 'trigger.decided' &&
          event.payload.cause === 'backfill' &&
          event.payload.commandId === act.requestId &&
          Date.parse(event.at) <= until,
      );
      const runs = parts
        .flatMap(({ payload }) => payload.fires)
        .filter(({ requestId }) => requestId !== undefined).length;
      return parts.length > 0 && (count === null || runs === count);
    }
  }
}
