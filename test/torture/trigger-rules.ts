/**
 * Triggers: D1, the ledger has one row for each due time and none outside; D2, a row that ran names a request that A1 holds for.
 *
 *  1 A trigger's own events say which rule was in force when: one holds after the moment from which it is, up to and with the
 *    moment of the next. What was due in between, an independent judge works out (due-judge.ts).
 *  2 Of every due time up to `decidedUntil` there is one row, decided by the rule that was in force, and `decidedUntil` never goes
 *    back. A backfill puts a row in the place of one that did not run, or of none, where it was asked to.
 *  3 What a row says: trigger-outcomes.ts.
 *  4 What it sent, and what is read of it: ledger-rules.ts.
 */
import type { Event, TriggerDefinitionValue } from '../../src/contracts/events.ts';
import { CLOCK_SLACK_MS, type Court, firstDifference, type Known } from './court.ts';
import { judgedDueTimes, judgedNextDue } from './due-judge.ts';
import type { Evidence, TriggerAct } from './evidence.ts';
import { checkLedger, checkReading, checkRequests } from './ledger-rules.ts';
import { checkLog, checkRereads } from './stream-rules.ts';
import {
  type Decided,
  type Fate,
  fatesOf,
  type Fire,
  RAN,
  readTrigger,
  type Rule,
  stamp,
  type Trigger,
} from './trigger-log.ts';
import { checkOutcomes } from './trigger-outcomes.ts';

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
    const { lookMs } = this.#evidence.fires;
    const last = gatheredAtMs - lookMs - rule.definition.jitterMs;
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
      return events.some(
        (event) => event.type === 'trigger.removed' && Date.parse(event.at) <= until,
      );
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
