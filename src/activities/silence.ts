/**
 * The silence clock of one turn: how long its provider has said nothing, measured against two limits that depend on what
 * it is doing. Source: design.md section 6.
 *
 * Invariants:
 *  1 Silence is measured on the monotonic clock: setting the wall clock neither ends a turn nor saves one.
 *  2 Output that lies unread in the spool (this process was stopped, or is busy) is no silence.
 *  3 Each silence is called quiet once; a new one begins with the next output.
 *  4 Time in which this process stood still is not counted: nobody knows whether the provider ran.
 *  5 A limit is noticed within a few milliseconds: a timer stands at the nearest one.
 */
import type { PhaseName } from '../contracts/events.ts';

/** Limits of a phase; null: none. */
export type SilenceLimitsOfPhase = { quietMs: number | null; stalledMs: number | null };

export type Silence = { phase: PhaseName; silentMs: number };

export type SilenceClockParts = {
  limits: (phase: PhaseName) => SilenceLimitsOfPhase;
  phase: () => PhaseName;
  /** Whether there is output that nobody has looked at yet; asking makes somebody look. */
  isBehind: () => boolean;
  onQuiet: (silence: Silence) => void;
  /** There is output again, after {@link onQuiet}. */
  onHeard?: () => void;
  onStalled: (silence: Silence) => void;
  /** Called now and then while there is output: the moment from which evidence is counted. */
  onMark: () => void;
};

/** A timer that fires this late did so because the process stood still. */
const FROZEN_MS = 1_000;
/** How soon to look again when output lies unread. */
const BEHIND_MS = 50;
/** `setTimeout` takes at most 2^31 - 1; looking once an hour costs nothing. */
const LONGEST_TIMER_MS = 3_600_000;

export class SilenceClock {
  readonly #parts: SilenceClockParts;
  #lastOutputMs = performance.now();
  #saidQuiet = false;
  #timer: NodeJS.Timeout | null = null;
  #timerAtMs = Number.POSITIVE_INFINITY;
  #stopped = false;

  constructor(parts: SilenceClockParts) {
    this.#parts = parts;
    this.#arm();
  }

  /** The provider has said something. Cheap: called for every read. */
  output(): void {
    this.#lastOutputMs = performance.now();
    if (this.#saidQuiet) this.#parts.onHeard?.();
    this.#saidQuiet = false;
    // A phase with a shorter limit may have begun; with a later deadline the timer just looks again when it fires.
    if (this.#nextLimitAtMs() < this.#timerAtMs) this.#arm();
  }

  stop(): void {
    this.#stopped = true;
    if (this.#timer !== null) clearTimeout(this.#timer);
  }

  #look(): void {
    if (this.#stopped) return;
    const lateMs = performance.now() - this.#timerAtMs;
    if (lateMs > FROZEN_MS) {
      // This process stood still, and perhaps the provider with it (a suspended machine, a paused container).
      this.#lastOutputMs += lateMs;
      this.#arm();
      return;
    }
    if (this.#parts.isBehind()) {
      this.#arm(BEHIND_MS);
      return;
    }
    const phase = this.#parts.phase();
    const { quietMs, stalledMs } = this.#parts.limits(phase);
    const silentMs = performance.now() - this.#lastOutputMs;
    if (stalledMs !== null && silentMs >= stalledMs) {
      this.stop();
      this.#parts.onStalled({ phase, silentMs });
      return;
    }
    if (quietMs !== null && silentMs >= quietMs && !this.#saidQuiet) {
      this.#saidQuiet = true;
      this.#parts.onQuiet({ phase, silentMs });
    } else if (!this.#saidQuiet) this.#parts.onMark();
    this.#arm();
  }

  #nextLimitAtMs(): number {
    const { quietMs, stalledMs } = this.#parts.limits(this.#parts.phase());
    const limits = [this.#saidQuiet ? null : quietMs, stalledMs].filter((limit) => limit !== null);
    return this.#lastOutputMs + Math.min(...limits, LONGEST_TIMER_MS);
  }

  #arm(inMs = Math.max(1, this.#nextLimitAtMs() - performance.now())): void {
    if (this.#stopped) return;
    if (this.#timer !== null) clearTimeout(this.#timer);
    this.#timerAtMs = performance.now() + inMs;
    this.#timer = setTimeout(() => this.#look(), inMs);
    this.#timer.unref();
  }
}
