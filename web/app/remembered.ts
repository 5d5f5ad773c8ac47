/** What this browser remembers of how the page is used: no fact of the engine's is here. */
import type { Readable } from '../client/contract.ts';

export type Remembered = Readable<string | null> & { set(value: string | null): void };

/** As much of localStorage as this needs; each of its methods may throw (private windows, a full disk). */
export type Shelf = Pick<Storage, 'getItem' | 'setItem' | 'removeItem'>;

/** A word under `name`. Where the browser keeps nothing, it lasts as long as the page. */
export function remembered(name: string, shelf: Shelf | null = browserShelf()): Remembered {
  const key = `holdfast.${name}`;
  const listeners = new Set<() => void>();
  let value = attempt(() => shelf?.getItem(key) ?? null);
  return {
    get: () => value,
    subscribe(listener) {
      listeners.add(listener);
      return () => listeners.delete(listener);
    },
    set(next) {
      if (next === value) return;
      value = next;
      attempt(() => (next === null ? shelf?.removeItem(key) : shelf?.setItem(key, next)) ?? null);
      for (const listener of listeners) listener();
    },
  };
}

function attempt(read: () => string | null): string | null {
  try {
    return read();
  } catch {
    return null;
  }
}

/** Null where there is none, also where asking for it throws. */
export function browserShelf(): Shelf | null {
  try {
    return globalThis.localStorage ?? null;
  } catch {
    return null;
  }
}
