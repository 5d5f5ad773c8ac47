/**
 * Waiting for a fact of the store, woken by the log: no polling, and no state that outlives the wait.
 */
import type { StoredEvent } from '../store/port.ts';
import type { Feed } from './feed.ts';

/** How long a caller waits for what it asked for to show in the log. */
export type Wait = {
  /** How long at most; null: as long as it takes. */
  waitMs: number | null;
  /** Ends the wait by throwing its reason; what was begun before is carried out all the same (C2). */
  abort: AbortSignal;
};

export type WaitRequest<T> = Wait & {
  feed: Feed;
  stream: string;
  /** Looks at the store; a result other than null ends the wait. Asked at the start and after each event that wakes. */
  check: () => Promise<T | null>;
  /** Which events may have made `check` true. */
  wakes: (event: StoredEvent) => boolean;
  /** Called once the stream is followed, before the first look: what it causes cannot be missed. Made, like that look, though `abort` has come. */
  before?: () => Promise<void>;
};

/** What `check` found, or null when it found nothing in time. */
export async function waitUntil<T>(request: WaitRequest<T>): Promise<T | null> {
  const { feed, stream, check, wakes, waitMs, abort, before } = request;
  const bell = new Bell(abort);
  const follower = await feed.follow(stream, {
    onEvent: (event) => {
      if (wakes(event)) bell.ring();
    },
    onSkipped: () => bell.ring(),
  });
  try {
    await before?.();
    const deadlineAt = waitMs === null ? null : performance.now() + waitMs;
    for (;;) {
      // Armed before the look, so that an event between the look and the wait is not lost.
      const rung = bell.next();
      const result = await check();
      if (result !== null) return result;
      const leftMs = deadlineAt === null ? null : deadlineAt - performance.now();
      if (leftMs !== null && leftMs <= 0) return null;
      await bell.within(rung, leftMs);
    }
  } finally {
    follower.close();
    bell.close();
  }
}

/** Rung by events; waited for with a deadline; broken by the abort signal. */
class Bell {
  readonly #abort: AbortSignal;
  readonly #onAbort = (): void => this.ring();
  #ring: (() => void) | null = null;

  constructor(abort: AbortSignal) {
    this.#abort = abort;
    abort.addEventListener('abort', this.#onAbort);
  }

  next(): Promise<void> {
    return new Promise((resolve) => {
      this.#ring = resolve;
    });
  }

  ring(): void {
    this.#ring?.();
  }

  async within(rung: Promise<void>, leftMs: number | null): Promise<void> {
    this.#abort.throwIfAborted();
    const timer = leftMs === null ? undefined : setTimeout(this.#onAbort, leftMs);
    await rung;
    clearTimeout(timer);
    this.#abort.throwIfAborted();
  }

  close(): void {
    this.#abort.removeEventListener('abort', this.#onAbort);
  }
}
