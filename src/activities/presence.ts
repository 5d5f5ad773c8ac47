/**
 * Since when the engine has been there: this worker runs, Temporal answers it, and the clock goes on evenly.
 *
 * What was due before that, nobody could have acted upon. Kept in memory: a worker that starts has not been there before.
 */
export class Presence {
  readonly #graceMs: number;
  readonly #clock: () => number;
  #sinceMs: number;
  #seenMs: number;

  constructor(parts: {
    /** A shorter absence is none. */
    graceMs: number;
    /** Milliseconds since 1970: a clock that is set, and a machine that slept, show as an absence. */
    clock?: () => number;
  }) {
    this.#graceMs = parts.graceMs;
    this.#clock = parts.clock ?? Date.now;
    this.#sinceMs = this.#clock();
    this.#seenMs = this.#sinceMs;
  }

  /** To be called whenever Temporal has just answered. Since when it has done so without a break, in milliseconds since 1970. */
  seen(): number {
    const nowMs = this.#clock();
    // A clock that was set back has no absence in it, but what was noted by it is worth nothing.
    if (nowMs - this.#seenMs > this.#graceMs || nowMs < this.#sinceMs) this.#sinceMs = nowMs;
    this.#seenMs = nowMs;
    return this.#sinceMs;
  }
}
