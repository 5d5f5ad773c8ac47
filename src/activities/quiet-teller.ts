/**
 * Tells Temporal of silences, for the search attribute, without filling its history: each word costs some five events, and
 * a turn may fall silent and be heard again for a whole day.
 *
 * Invariants:
 *  1 One word at a time for each attempt; the next one says what is true then, not what was true when it was asked for.
 *  2 At most one word in {@link EVERY_MS} after the first, and {@link WORDS} for each attempt.
 *  3 A word that could not be said is tried again as long as it is still to be said.
 */
import type { AttemptRef } from './live-turn.ts';

const EVERY_MS = 60_000;
const AGAIN_MS = 5_000;
const WORDS = 20;

export type QuietWord = AttemptRef & { quiet: boolean };

type Attempt = {
  ref: AttemptRef;
  /** What Temporal was told last; null: it may be either, from an earlier process. */
  told: boolean | null;
  quiet: boolean;
  words: number;
  /** When the next word may be said; on the clock of `performance.now()`. */
  notBeforeMs: number;
  saying: boolean;
  timer: NodeJS.Timeout | null;
};

export class QuietTeller {
  readonly #say: (word: QuietWord) => Promise<void>;
  readonly #pace: { everyMs: number; againMs: number; words: number };
  readonly #attempts = new Map<string, Attempt>();

  /** `say` rejects when Temporal was not told. */
  constructor(parts: {
    say: (word: QuietWord) => Promise<void>;
    pace?: { everyMs: number; againMs: number; words: number };
  }) {
    this.#say = parts.say;
    this.#pace = parts.pace ?? { everyMs: EVERY_MS, againMs: AGAIN_MS, words: WORDS };
  }

  tell({ quiet, ...ref }: QuietWord): void {
    const key = keyOf(ref);
    const known = this.#attempts.get(key);
    const attempt = known ?? {
      ref,
      told: null,
      quiet,
      words: 0,
      notBeforeMs: 0,
      saying: false,
      timer: null,
    };
    attempt.quiet = quiet;
    this.#attempts.set(key, attempt);
    this.#next(attempt);
  }

  /** Nothing more is said of it: the workflow knows its end. */
  forget(ref: AttemptRef): void {
    const key = keyOf(ref);
    const timer = this.#attempts.get(key)?.timer;
    if (timer != null) clearTimeout(timer);
    this.#attempts.delete(key);
  }

  #next(attempt: Attempt): void {
    const { told, quiet, words, saying, timer } = attempt;
    if (saying || timer !== null || told === quiet || words >= this.#pace.words) return;
    const waitMs = attempt.notBeforeMs - performance.now();
    if (waitMs <= 0) {
      void this.#sayNow(attempt);
      return;
    }
    attempt.timer = setTimeout(() => {
      attempt.timer = null;
      this.#next(attempt);
    }, waitMs).unref();
  }

  async #sayNow(attempt: Attempt): Promise<void> {
    const { ref, quiet } = attempt;
    attempt.saying = true;
    attempt.words += 1;
    try {
      await this.#say({ ...ref, quiet });
      attempt.told = quiet;
      attempt.notBeforeMs = performance.now() + this.#pace.everyMs;
    } catch {
      attempt.notBeforeMs = performance.now() + this.#pace.againMs;
    }
    attempt.saying = false;
    if (this.#attempts.get(keyOf(ref)) === attempt) this.#next(attempt);
  }
}

function keyOf({ conversationId, turnId, attempt }: AttemptRef): string {
  return `${conversationId} ${turnId}.${attempt}`;
}
