/**
 * Folds away what nobody resumes from any more: the pieces of turns that ended longer ago than the replay window. The rows
 * that hold the same text stay, as does every other event; a client with an older cursor gets a snapshot.
 *
 * In small steps with pauses, so that no append of a running turn waits for it; any number of workers may do it at once.
 */
import { Rounds } from './rounds.ts';
import type { Store } from './store/port.ts';

/** Between two looks. */
const EVERY_MS = 60_000;
/** Rows of one step: a transaction of some 5 ms. */
const STEP_ROWS = 1_000;
/** Between two steps; the store is free for others most of the time. */
const PAUSE_MS = 50;

export class Compactor {
  readonly #store: Pick<Store, 'compact'>;
  readonly #windowMs: number;
  readonly #log: (text: string) => void;
  readonly #clock: () => number;
  readonly #everyMs: number;
  readonly #rounds = new Rounds({
    round: async () => ((await this.#step()) > 0 ? PAUSE_MS : this.#everyMs),
    // A full or busy disk passes; nothing is lost by waiting.
    onFailure: (error) => {
      this.#log(`old deltas were not folded away: ${String(error)}`);
      return this.#everyMs;
    },
  });

  constructor(parts: {
    store: Pick<Store, 'compact'>;
    /** How long the pieces of an ended turn are kept. */
    windowMs: number;
    log: (text: string) => void;
    /** Milliseconds since 1970, as the store stamps its events. */
    clock?: () => number;
    everyMs?: number;
  }) {
    this.#store = parts.store;
    this.#windowMs = parts.windowMs;
    this.#log = parts.log;
    this.#clock = parts.clock ?? Date.now;
    this.#everyMs = parts.everyMs ?? EVERY_MS;
  }

  /** Folds now, and then again and again. */
  start(): void {
    this.#rounds.start();
  }

  stop(): void {
    this.#rounds.stop();
  }

  async #step(): Promise<number> {
    const endedBefore = new Date(this.#clock() - this.#windowMs).toISOString();
    return this.#store.compact({ endedBefore, limit: STEP_ROWS });
  }
}
