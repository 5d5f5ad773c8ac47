/** What this browser remembers of how the page is used: no fact of the engine's is here. */
import type { Readable } from '../client/contract.ts';

export type Remembered = Readable<string | null> & {
  set(value: string | null): void;
  /** Whether it outlives this page; what could not be kept is tried again. */
  isKept(): boolean;
};

/** As much of localStorage as this needs; each of its methods may throw (private windows, a full disk). */
export type Shelf = Pick<Storage, 'getItem' | 'setItem' | 'removeItem'>;

/** A word under `name`. Where the browser keeps nothing, it lasts as long as the page. */
export function remembered(name: string, shelf: Shelf | null = browserShelf()): Remembered {
  const key = `holdfast.${name}`;
  const listeners = new Set<() => void>();
  let value = attempt(() => shelf?.getItem(key) ?? null);
  let isKept = true;
  const keep = () => {
    try {
      if (value === null) shelf?.removeItem(key);
      else shelf?.setItem(key, value);
      isKept = shelf !== null || value === null;
    } catch {
      isKept = value === null;
    }
  };
  return {
    get: () => value,
    subscribe(listener) {
      listeners.add(listener);
      return () => listeners.delete(listener);
    },
    isKept() {
      if (!isKept) keep();
      return isKept;
    },
    set(next) {
      if (next === value) return;
      value = next;
      keep();
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
