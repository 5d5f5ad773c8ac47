/** What costs something while somebody looks at it: counted, and kept for a while after the last one has gone. */
import type { Opened } from './contract.ts';
import type { Parts, Stop } from './parts.ts';
import type { Value } from './readable.ts';

/** Going back to what was just left shows it at once, and asks for nothing but what was missed. */
export const LINGER_MS = 30_000;

export type Shared<T> = { readonly state: Value<T>; close(): void };

type Seat<S> = { shared: S; users: number; stopLinger: Stop | null };

export class OpenedByKey<S extends Shared<unknown>> {
  readonly #parts: Pick<Parts, 'after'>;
  readonly #make: (key: string) => S;
  readonly #seats = new Map<string, Seat<S>>();

  constructor(parts: Pick<Parts, 'after'>, make: (key: string) => S) {
    this.#parts = parts;
    this.#make = make;
  }

  /** The one of that key, and how to let it go: to be called once, and harmless twice. */
  open(key: string): { shared: S; release: () => void } {
    let seat = this.#seats.get(key);
    if (seat === undefined) {
      seat = { shared: this.#make(key), users: 0, stopLinger: null };
      this.#seats.set(key, seat);
    }
    seat.stopLinger?.();
    seat.stopLinger = null;
    seat.users += 1;
    const taken = seat;
    let released = false;
    return {
      shared: taken.shared,
      release: () => {
        if (released) return;
        released = true;
        taken.users -= 1;
        if (taken.users > 0) return;
        taken.stopLinger = this.#parts.after(LINGER_MS, () => {
          this.#seats.delete(key);
          taken.shared.close();
        });
      },
    };
  }

  get(key: string): S | undefined {
    return this.#seats.get(key)?.shared;
  }

  all(): S[] {
    return [...this.#seats.values()].map(({ shared }) => shared);
  }

  close(): void {
    for (const { shared, stopLinger } of this.#seats.values()) {
      stopLinger?.();
      shared.close();
    }
    this.#seats.clear();
  }
}

/** The readable half of a handle. */
export function openedOf<T>(state: Value<T>, release: () => void): Opened<T> {
  return { get: state.get, subscribe: state.subscribe, release };
}
