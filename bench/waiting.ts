/** Waiting for a frame. What is waited for here takes seconds; a bench that waits for ever says nothing, and leaves its stack behind. */
const PATIENCE_MS = 180_000;

type Waiter<T> = { matches: (frame: T) => boolean; resolve: (frame: T) => void };

export class Waiting<T> {
  readonly #waiters = new Set<Waiter<T>>();

  /** Resolves with the next frame that matches; rejects when none has come for a long time. `matches` is asked once for each frame. */
  next(matches: (frame: T) => boolean): Promise<T> {
    const { promise, resolve, reject } = Promise.withResolvers<T>();
    const waiter: Waiter<T> = {
      matches,
      resolve: (frame) => {
        clearTimeout(late);
        resolve(frame);
      },
    };
    const late = setTimeout(() => {
      this.#waiters.delete(waiter);
      reject(
        new Error(`in ${PATIENCE_MS / 1_000} s no frame came for which ${matches.toString()}`),
      );
    }, PATIENCE_MS);
    this.#waiters.add(waiter);
    // Of several that are waited for one after the other the first to fail says enough.
    promise.catch(() => undefined);
    return promise;
  }

  offer(frame: T): void {
    for (const waiter of this.#waiters)
      if (waiter.matches(frame)) {
        this.#waiters.delete(waiter);
        waiter.resolve(frame);
      }
  }
}
