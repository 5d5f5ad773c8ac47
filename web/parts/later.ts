/** Code that the first paint does not need: loaded when it is first wanted, or in a quiet moment before. */
import type { Readable } from '../client/contract.ts';

/** Null until it is there. */
export type Later<T> = Readable<T | null> & {
  /** Begins to load it; again, where it could not be loaded before. */
  want(): void;
};

const all: Later<unknown>[] = [];

/** `load` is called at most once, unless it fails. */
export function later<T>(load: () => Promise<T>): Later<T> {
  const listeners = new Set<() => void>();
  let value: T | null = null;
  let isLoading = false;
  const code: Later<T> = {
    get: () => value,
    subscribe(listener) {
      listeners.add(listener);
      return () => listeners.delete(listener);
    },
    want() {
      if (isLoading || value !== null) return;
      isLoading = true;
      load().then(
        (loaded) => {
          value = loaded;
          for (const listener of listeners) listener();
        },
        () => {
          // the engine is away: whoever wants it next asks again
          isLoading = false;
        },
      );
    },
  };
  all.push(code);
  return code;
}

/** All that is left, so that it is there when it is wanted, also without a connection. */
export function wantTheRest(): void {
  for (const code of all) code.want();
}
