/**
 * Work that is done at most once for each frame that the browser draws (rule 3 of the contract). A page that nobody sees draws none:
 * then a timer does it.
 *
 * A frame that took long, with all that was drawn in it, is followed by as long a pause: a browser that draws without a break reads
 * its socket last, so that what comes fast would be shown ever later. What comes in the pause is drawn together.
 */
import type { Parts, Stop } from './parts.ts';

/** A hidden page is brought up to date this often, so that it is when somebody looks. */
const HIDDEN_MS = 250;
/** A frame that takes longer is a long one: with less there is time for everything else between two of them. */
const LONG_FRAME_MS = 24;
/** Nobody waits longer for what has come. */
const PAUSE_LIMIT_MS = 250;

type BatchParts = Pick<Parts, 'after' | 'beforeFrame' | 'isHidden' | 'now'>;

export class FrameBatch {
  readonly #parts: BatchParts;
  readonly #jobs = new Set<() => void>();
  #stop: Stop | null = null;
  /** Until then, by the clock of the parts, there is a pause. */
  #pauseUntilMs = 0;
  #stopMeasuring: Stop | null = null;

  constructor(parts: BatchParts) {
    this.#parts = parts;
  }

  /** Calls `job` once before the next frame, however often it is asked for. */
  request(job: () => void): void {
    this.#jobs.add(job);
    this.#stop ??= this.#begin();
  }

  /** What was asked for in vain: it is being done now, or its owner has gone. */
  forget(job: () => void): void {
    this.#jobs.delete(job);
  }

  /** The page was hidden or shown: a frame that is waited for may never come. */
  visibilityChanged(): void {
    if (this.#stop === null) return;
    this.#stop();
    this.#stop = this.#begin();
  }

  close(): void {
    this.#stop?.();
    this.#stop = null;
    this.#stopMeasuring?.();
    this.#stopMeasuring = null;
    this.#jobs.clear();
  }

  #begin(): Stop {
    const run = (): void => this.#run();
    if (this.#parts.isHidden()) return this.#parts.after(HIDDEN_MS, run);
    const pauseMs = Math.min(PAUSE_LIMIT_MS, this.#pauseUntilMs - this.#parts.now());
    if (pauseMs <= 0) return this.#parts.beforeFrame(run);
    return this.#parts.after(pauseMs, () => {
      this.#stop = this.#parts.beforeFrame(run);
    });
  }

  #run(): void {
    this.#stop = null;
    const jobs = [...this.#jobs];
    this.#jobs.clear();
    const startedAtMs = this.#parts.now();
    for (const job of jobs) job();
    this.#stopMeasuring?.();
    // A timer comes when the frame has been drawn.
    this.#stopMeasuring = this.#parts.after(0, () => {
      this.#stopMeasuring = null;
      const nowMs = this.#parts.now();
      const tookMs = nowMs - startedAtMs;
      // The timers of a page that nobody sees are late by themselves.
      if (tookMs > LONG_FRAME_MS && !this.#parts.isHidden()) this.#pauseUntilMs = nowMs + tookMs;
    });
  }
}
