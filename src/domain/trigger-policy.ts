/**
 * What becomes of due times, as pure decisions. docs/triggers.md has the table.
 *
 *  D1 a decision is about every due time after `from`, up to and with `until`, whoever makes it and however long ago that
 *     was: a gap is no special case. The store accepts it only while `from` is the trigger's `decidedUntil`.
 *  D2 what runs has a requestId of its own, made here and stored with the row before anything is sent.
 */
import type {
  DecidedFireValue,
  TriggerDefinitionValue,
  TriggerOutcomeName,
} from '../contracts/events.ts';
import {
  COUNT_LIMIT,
  MISSED_WINDOW_MS,
  RUN_ALL_DEFAULT,
  RUN_ALL_LIMIT,
  TRIGGER_LATE_MS,
  TRIGGER_LATEST_MS,
} from '../contracts/limits.ts';
import { countDue, dueTimes, dueTimesBack, jitterOf, nextDue } from './due-times.ts';

/** A trigger, as far as decisions rest on it. See `TriggerRow` of store/port.ts. */
export type DecidedTrigger = {
  triggerId: string;
  definition: TriggerDefinitionValue;
  rule: string;
  decidedUntil: string;
};

/** Where its messages go, as the store says at this moment. */
export type TriggerTarget =
  | { kind: 'conversation'; conversationId: string; busy: boolean }
  /** A conversation that is still to be made in the table: one for each that runs, or the table's first. */
  | { kind: 'new'; each: boolean; busy: boolean }
  | { kind: 'gone'; what: string };

export type Ids = { requestId(): string; conversationId(): string };

export type DueDecision = {
  from: string;
  until: string;
  nextDueAt: string | null;
  fires: DecidedFireValue[];
  /** There is more to decide up to now. */
  more: boolean;
};

/**
 * What a look found: the decision (null: nothing is due), and after how long all that was due by `dueByMs` and is jittered can
 * be acted upon (null: nothing of that is left).
 */
export type Look = { decision: DueDecision | null; waitMs: number | null };

/** A part of a gap that was begun: all of it is missed, also its last due times. */
export type Gap = { untilMs: number };

export type LookRequest = {
  trigger: DecidedTrigger;
  nowMs: number;
  /** Since when the engine has been there without a break. */
  presentSinceMs: number;
  graceMs: number;
  target: TriggerTarget;
  ids: Ids;
  /** Most rows of one decision. */
  limit: number;
  /** Found by an earlier part of the same look. */
  gap?: Gap | undefined;
  /**
   * Before an edit: everything up to then (not later than now), at once, and `decidedUntil` moves there though nothing was due.
   */
  settleMs?: number | undefined;
  /** Not later than now: what is due after it is not waited for. Now, when it is left out. */
  dueByMs?: number | undefined;
};

/** Decides what is due by now and has not been decided. */
export function decideDue(request: LookRequest): Look & { gap: Gap | undefined } {
  const { trigger, nowMs, graceMs, presentSinceMs, limit, settleMs } = request;
  const { dueByMs = nowMs } = request;
  const { definition, triggerId } = trigger;
  const fromMs = Date.parse(trigger.decidedUntil);
  const delayOf = (dueMs: number): number => {
    const delayMs = jitterOf(triggerId, dueMs, definition.jitterMs);
    return settleMs === undefined ? delayMs : Math.min(delayMs, nowMs - dueMs);
  };
  const endMs = Math.min(settleMs ?? nowMs, nowMs);
  const ripe: number[] = [];
  let waitsFromMs: number | null = null;
  let more = false;
  for (const dueMs of dueTimes(definition, fromMs, endMs)) {
    if (ripe.length === limit) {
      more = true;
      break;
    }
    const actMs = dueMs + delayOf(dueMs);
    if (actMs > nowMs) {
      // Those behind it wait for it: rows are written in order.
      waitsFromMs = dueMs;
      break;
    }
    ripe.push(dueMs);
  }
  let waitMs: number | null = null;
  if (waitsFromMs !== null)
    for (const dueMs of dueTimes(definition, waitsFromMs - 1, Math.min(dueByMs, nowMs)))
      waitMs = Math.max(waitMs ?? 0, dueMs + delayOf(dueMs) - nowMs);
  const [first] = ripe;
  const last = ripe.at(-1);
  let { gap } = request;
  if (first !== undefined && gap === undefined) {
    const actMs = first + delayOf(first);
    if (presentSinceMs - actMs > graceMs) gap = { untilMs: presentSinceMs };
  }
  const settles = settleMs !== undefined && endMs > fromMs;
  if (last === undefined && !settles) return { decision: null, waitMs, gap };
  // An edit may have been accepted before what has been decided since.
  const untilMs = Math.max(
    fromMs,
    last !== undefined && (more || waitsFromMs !== null) ? last : endMs,
  );
  const missedUntilMs = Math.max(gap?.untilMs ?? 0, nowMs - Math.max(TRIGGER_LATE_MS, graceMs));
  // The only one of its kind, a daily one say, is worth being late: nothing that came after it has taken its place.
  const latestMs =
    !more && last !== undefined && nowMs - last - delayOf(last) <= TRIGGER_LATEST_MS ? last : null;
  const judge = new Judge({ request, fromMs, endMs, missedUntilMs, gap, delayOf, latestMs });
  const next = nextDue(definition, untilMs);
  return {
    decision: {
      from: trigger.decidedUntil,
      until: stamp(untilMs),
      nextDueAt: next === null ? null : stamp(next),
      fires: ripe.map((dueMs) => judge.decide(dueMs)),
      more,
    },
    waitMs,
    gap,
  };
}

/** Judges the due times of one decision, in order. */
class Judge {
  readonly #request: LookRequest;
  readonly #fromMs: number;
  readonly #missedUntilMs: number;
  readonly #lastMissedMs: number;
  readonly #gap: Gap | undefined;
  readonly #delayOf: (dueMs: number) => number;
  readonly #sender: Sender;
  readonly #latestMs: number | null;
  #chosen: ReadonlySet<number> | null = null;
  #missedCount: number | null = null;

  constructor(parts: {
    request: LookRequest;
    fromMs: number;
    /** What is due later is not of this decision, nor of a part that follows it. */
    endMs: number;
    missedUntilMs: number;
    gap: Gap | undefined;
    delayOf: (dueMs: number) => number;
    latestMs: number | null;
  }) {
    this.#latestMs = parts.latestMs;
    this.#request = parts.request;
    this.#fromMs = parts.fromMs;
    this.#missedUntilMs = parts.missedUntilMs;
    this.#lastMissedMs = Math.min(parts.missedUntilMs, parts.endMs);
    this.#gap = parts.gap;
    this.#delayOf = parts.delayOf;
    this.#sender = new Sender(parts.request);
  }

  decide(dueMs: number): DecidedFireValue {
    const { trigger, nowMs, graceMs } = this.#request;
    const row = {
      dueAt: stamp(dueMs),
      decidedAt: stamp(nowMs),
      rule: trigger.rule,
    };
    if (trigger.definition.paused)
      return { ...row, outcome: 'skipped', reason: 'paused', words: 'The trigger was paused.' };
    if (this.#isMissed(dueMs)) return this.#byPolicy(dueMs, row);
    const lateMs = nowMs - dueMs - this.#delayOf(dueMs);
    return lateMs <= graceMs
      ? this.#sender.send(row, 'fired', `In time, ${inWords(lateMs)} after it was due.`)
      : this.#sender.send(
          row,
          'late',
          `Decided ${inWords(lateMs)} after it was due; Holdfast was there, and busy.`,
        );
  }

  #isMissed(dueMs: number): boolean {
    const actMs = dueMs + this.#delayOf(dueMs);
    if (this.#gap !== undefined && actMs < this.#gap.untilMs) return true;
    return actMs < this.#missedUntilMs && dueMs !== this.#latestMs;
  }

  #byPolicy(
    dueMs: number,
    row: Pick<DecidedFireValue, 'dueAt' | 'decidedAt' | 'rule'>,
  ): DecidedFireValue {
    const { nowMs, trigger } = this.#request;
    const { missed } = trigger.definition;
    const agoMs = nowMs - dueMs;
    const why = this.#gap === undefined ? 'Nobody looked at it' : 'Holdfast was not running';
    const was = `Missed: ${why} when it was due, ${inWords(agoMs)} before.`;
    const skip = (because: string): DecidedFireValue => ({
      ...row,
      outcome: 'skipped',
      reason: 'missed',
      words: `${was} ${because}`,
    });
    const run = (because: string): DecidedFireValue =>
      this.#sender.send(row, 'caught-up', `${was} ${because}`);
    switch (missed.policy) {
      case 'skip':
        return skip('Not run: the policy is skip.');
      case 'run-once':
        return this.#isChosen(dueMs, 1)
          ? run(`Run now, as the latest of ${this.#countMissed()} (run-once).`)
          : skip(`Not run: of ${this.#countMissed()}, run-once runs the latest.`);
      case 'run-all': {
        const limit = missed.limit ?? RUN_ALL_DEFAULT;
        return this.#isChosen(dueMs, limit)
          ? run(`Run now, as one of the latest ${limit} of ${this.#countMissed()} (run-all).`)
          : skip(`Not run: of ${this.#countMissed()}, run-all runs the latest ${limit}.`);
      }
      case 'window': {
        const windowMs = missed.windowMs ?? MISSED_WINDOW_MS;
        if (agoMs > windowMs)
          return skip(`Not run: older than the window of ${inWords(windowMs)}.`);
        // Nobody wants a day of an every-second trigger at once, whatever the window says.
        return this.#isChosen(dueMs, RUN_ALL_LIMIT)
          ? run(`Run now: not older than ${inWords(windowMs)} (window).`)
          : skip(
              `Not run: of ${this.#countMissed()}, the latest ${RUN_ALL_LIMIT} are run at most.`,
            );
      }
    }
  }

  /** Whether it is one of the newest `limit` that were missed. */
  #isChosen(dueMs: number, limit: number): boolean {
    if (this.#chosen === null) {
      const { definition } = this.#request.trigger;
      const found: number[] = [];
      // Of jittered ones, some that are due before the end of the gap are acted upon after it, and are not missed.
      for (let asked = limit + 1; ; asked *= 2) {
        const back = dueTimesBack(definition, this.#fromMs, this.#lastMissedMs, asked);
        found.splice(0, found.length, ...back.filter((each) => this.#isMissed(each)));
        if (found.length >= limit || back.length < asked) break;
      }
      this.#chosen = new Set(found.slice(-limit));
    }
    return this.#chosen.has(dueMs);
  }

  #countMissed(): number {
    const { definition } = this.#request.trigger;
    this.#missedCount ??= countDue(definition, this.#fromMs, this.#lastMissedMs, COUNT_LIMIT);
    return this.#missedCount;
  }
}

/** Makes rows that run, of one decision. */
class Sender {
  readonly #target: TriggerTarget;
  readonly #ids: Ids;
  readonly #whenBusy: TriggerDefinitionValue['whenBusy'];
  #made: string | null = null;
  #interrupted = false;
  #sent = false;

  constructor(request: { trigger: DecidedTrigger; target: TriggerTarget; ids: Ids }) {
    this.#target = request.target;
    this.#ids = request.ids;
    this.#whenBusy = request.trigger.definition.whenBusy;
  }

  /** A row that runs, unless its target is gone or busy. */
  send(
    row: Pick<DecidedFireValue, 'dueAt' | 'decidedAt' | 'rule'> & { reason?: string },
    outcome: TriggerOutcomeName,
    words: string,
    requestId = this.#ids.requestId(),
  ): DecidedFireValue {
    const target = this.#target;
    if (target.kind === 'gone')
      return {
        ...row,
        outcome: 'rejected',
        reason: 'not_found',
        words: `${words} There is no ${target.what} any more.`,
      };
    if ((target.busy || this.#sent) && this.#whenBusy === 'skip')
      return {
        ...row,
        outcome: 'skipped',
        reason: 'busy',
        words: `${words} Not run: its conversation was busy, and whenBusy is skip.`,
      };
    this.#sent = true;
    const { conversationId, whenBusy } = { conversationId: this.#conversation(), ...this.#busy() };
    return { ...row, outcome, words, requestId, conversationId, whenBusy };
  }

  #conversation(): string {
    const target = this.#target;
    if (target.kind === 'conversation') return target.conversationId;
    if (target.kind === 'new' && target.each) return this.#ids.conversationId();
    this.#made ??= this.#ids.conversationId();
    return this.#made;
  }

  /** Of several that run at once only the first interrupts: else each would end the one before. */
  #busy(): { whenBusy: 'queue' | 'reject' | 'interrupt' } {
    if (this.#whenBusy === 'skip') return { whenBusy: 'reject' };
    if (this.#whenBusy === 'queue' || this.#interrupted) return { whenBusy: 'queue' };
    this.#interrupted = true;
    return { whenBusy: 'interrupt' };
  }
}

/** A run that somebody asked for now. */
export function decideManual(request: {
  trigger: DecidedTrigger;
  nowMs: number;
  target: TriggerTarget;
  ids: Ids;
  requestId: string;
}): DecidedFireValue {
  const { trigger, nowMs, requestId } = request;
  const now = stamp(nowMs);
  const row = { dueAt: now, decidedAt: now, rule: trigger.rule, reason: 'manual' };
  return new Sender(request).send(row, 'fired', 'Run by hand.', requestId);
}

/** Due times of the past that somebody wants to have run: all of the range but those that ran. */
export function decideBackfill(request: {
  trigger: DecidedTrigger;
  nowMs: number;
  fromMs: number;
  toMs: number;
  /** Due times of the range that have run. */
  ran: readonly string[];
  target: TriggerTarget;
  ids: Ids;
}): DecidedFireValue[] {
  const { trigger, nowMs, fromMs, toMs } = request;
  const ran = new Set(request.ran.map((at) => Date.parse(at)));
  const sender = new Sender(request);
  const until = Math.min(toMs, Date.parse(trigger.decidedUntil));
  return [...dueTimes(trigger.definition, fromMs - 1, until)]
    .filter((dueMs) => !ran.has(dueMs))
    .map((dueMs) =>
      sender.send(
        {
          dueAt: stamp(dueMs),
          decidedAt: stamp(nowMs),
          rule: trigger.rule,
          reason: 'backfill',
        },
        'caught-up',
        'Run afterwards: a backfill asked for it.',
      ),
    );
}

/** Due times that are looked at to find how close two of them may lie. */
const DISTANCES = 200;

/**
 * The shortest time between two due times, in milliseconds; Infinity for a one-shot. A jitter is shorter than that, or due times
 * would wait for each other.
 */
export function shortestDistance(schedule: TriggerDefinitionValue['schedule']): number {
  if ('at' in schedule) return Infinity;
  if ('everyMs' in schedule) return schedule.everyMs;
  let shortestMs = Infinity;
  let beforeMs = -Infinity;
  let seen = 0;
  for (const dueMs of dueTimes({ schedule, startAt: null, endAt: null }, FAR_MS, Infinity)) {
    shortestMs = Math.min(shortestMs, dueMs - beforeMs);
    beforeMs = dueMs;
    seen += 1;
    if (seen > DISTANCES) break;
  }
  return shortestMs;
}

/** Any beginning will do. */
const FAR_MS = Date.UTC(2025, 0, 1);

/** The name of the rule after `rule`. */
export function ruleAfter(rule: string): string {
  return `r${Number(rule.slice(1)) + 1}`;
}

function stamp(ms: number): string {
  return new Date(ms).toISOString();
}

/** A span for people: `40 ms`, `4.2 s`, `94 s`, `5 min`, `3 h`, `4 days`. */
export function inWords(ms: number): string {
  if (ms < 1_000) return `${Math.max(0, Math.round(ms))} ms`;
  if (ms < 10_000) return `${(ms / 1_000).toFixed(1)} s`;
  if (ms < 180_000) return `${Math.round(ms / 1_000)} s`;
  if (ms < 3 * 3_600_000) return `${Math.round(ms / 60_000)} min`;
  if (ms < 3 * 86_400_000) return `${Math.round(ms / 3_600_000)} h`;
  return `${Math.round(ms / 86_400_000)} days`;
}
