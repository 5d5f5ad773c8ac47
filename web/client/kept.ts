/** Strings kept in this browser. Nothing here throws: what cannot be kept is not, and whoever has it goes on having it. */
import type { Parts } from './parts.ts';

/** Before every name, so that nothing else of this origin is touched. */
const PREFIX = 'holdfast.';

export class Kept {
  readonly #parts: Pick<Parts, 'kept'>;

  constructor(parts: Pick<Parts, 'kept'>) {
    this.#parts = parts;
  }

  get(name: string): string | null {
    try {
      return this.#parts.kept?.getItem(PREFIX + name) ?? null;
    } catch {
      return null;
    }
  }

  /** Whether it is kept. */
  set(name: string, value: string): boolean {
    try {
      this.#parts.kept?.setItem(PREFIX + name, value);
      return this.#parts.kept !== null;
    } catch {
      return false;
    }
  }

  remove(name: string): void {
    try {
      this.#parts.kept?.removeItem(PREFIX + name);
    } catch {
      // It was not kept.
    }
  }

  /** Names that begin so. */
  names(beginning: string): string[] {
    const names: string[] = [];
    try {
      const { kept } = this.#parts;
      for (let index = 0; index < (kept?.length ?? 0); index += 1) {
        const key = kept?.key(index) ?? '';
        if (key.startsWith(PREFIX + beginning)) names.push(key.slice(PREFIX.length));
      }
    } catch {
      return names;
    }
    return names;
  }

  /** The name that a key of another page's change stands for; null: it is not ours. */
  nameOf(key: string): string | null {
    return key.startsWith(PREFIX) ? key.slice(PREFIX.length) : null;
  }
}
