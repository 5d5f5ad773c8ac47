/** Something that a process does again and again while it lives: one round at a time, a pause after each, whatever came of it. */
export class Rounds {
  readonly #round: () => Promise<number>;
  readonly #onFailure: (error: unknown) => number;
  #timer: NodeJS.Timeout | null = null;
  #stopped = false;

  constructor(parts: {
    /** Answers with the pause before the next one, in milliseconds. */
    round: () => Promise<number>;
    /** The same, after a round that failed. */
    onFailure: (error: unknown) => number;
  }) {
    this.#round = parts.round;
    this.#onFailure = parts.onFailure;
  }

  get isStopped(): boolean {
    return this.#stopped;
  }

  /** One now, and then again and again. */
  start(): void {
    if (this.#stopped) return;
    void this.#round()
      .catch((error: unknown) => this.#onFailure(error))
      .then((pauseMs) => {
        if (!this.#stopped) this.#timer = setTimeout(() => this.start(), pauseMs);
      });
  }

  /** No other round begins; one that is under way may look at {@link isStopped}. */
  stop(): void {
    this.#stopped = true;
    if (this.#timer !== null) clearTimeout(this.#timer);
  }
}
