/**
 * Texts that somebody is writing, each kept in this browser under its name as soon as there is a pause.
 *
 * Invariants:
 *  1 What was typed here and is not kept yet is newer than what another page keeps.
 *  2 What could not be kept is tried again with whatever is kept next; until then {@link isAllKept} is false.
 */
import type { Kept } from './kept.ts';
import type { Parts, Stop } from './parts.ts';

/** A pause in typing. */
const KEEP_AFTER_MS = 200;

export class KeptTexts {
  readonly #parts: Pick<Parts, 'after'>;
  readonly #kept: Kept;
  readonly #beginning: string;
  readonly #onOther: (name: string, text: string | null) => void;
  /** Null: there is none any more. */
  readonly #unkept = new Map<string, string | null>();
  #stop: Stop | null = null;

  /** `beginning`: of all names in the browser. `onOther`: another page has changed one. */
  constructor(
    { parts, kept }: { parts: Pick<Parts, 'after'>; kept: Kept },
    beginning: string,
    onOther: (name: string, text: string | null) => void,
  ) {
    this.#parts = parts;
    this.#kept = kept;
    this.#beginning = beginning;
    this.#onOther = onOther;
  }

  get(name: string): string | null {
    const own = this.#unkept.get(name);
    return own === undefined ? this.#kept.get(this.#beginning + name) : own;
  }

  /** Names of what is kept that begin so. */
  names(beginning: string): string[] {
    const all = this.#kept.names(this.#beginning + beginning);
    return all.map((name) => name.slice(this.#beginning.length));
  }

  set(name: string, text: string | null): void {
    this.#unkept.set(name, text);
    this.#stop ??= this.#parts.after(KEEP_AFTER_MS, () => this.keep());
  }

  /** Another page has changed what is kept in this browser. */
  keptChanged(name: string, value: string | null): void {
    if (!name.startsWith(this.#beginning)) return;
    const own = name.slice(this.#beginning.length);
    if (!this.#unkept.has(own)) this.#onOther(own, value);
  }

  /** Now: the page may be gone in a moment. */
  keep(): void {
    this.#stop?.();
    this.#stop = null;
    for (const [name, text] of this.#unkept) {
      if (text === null) this.#kept.remove(this.#beginning + name);
      else if (!this.#kept.set(this.#beginning + name, text)) continue;
      this.#unkept.delete(name);
    }
  }

  /** Whether no words would be gone with this page; to be asked after {@link keep}. */
  get isAllKept(): boolean {
    for (const text of this.#unkept.values()) if (text !== null && text.trim() !== '') return false;
    return true;
  }
}
