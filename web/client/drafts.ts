/** What was typed and not sent, by conversation; kept in this browser. */
import type { Readable } from './contract.ts';
import type { Kept } from './kept.ts';
import type { Parts, Stop } from './parts.ts';
import { Value } from './readable.ts';

/** A pause in typing. */
const KEEP_AFTER_MS = 200;

export class Drafts {
  readonly #parts: Pick<Parts, 'after'>;
  readonly #kept: Kept;
  readonly #values = new Map<string, Value<string>>();
  readonly #unkept = new Set<string>();
  #stop: Stop | null = null;

  constructor(parts: Pick<Parts, 'after'>, kept: Kept) {
    this.#parts = parts;
    this.#kept = kept;
  }

  of(conversationId: string): Readable<string> {
    return this.#value(conversationId);
  }

  set(conversationId: string, text: string): void {
    this.#value(conversationId).set(text);
    this.#unkept.add(conversationId);
    this.#stop ??= this.#parts.after(KEEP_AFTER_MS, () => this.keep());
  }

  /** Another page has changed what is kept. What is typed here and not kept yet is newer. */
  keptChanged(name: string, value: string | null): void {
    if (!name.startsWith(BEGINNING)) return;
    const conversationId = name.slice(BEGINNING.length);
    if (!this.#unkept.has(conversationId)) this.#values.get(conversationId)?.set(value ?? '');
  }

  /** Now: the page may be gone in a moment. */
  keep(): void {
    this.#stop?.();
    this.#stop = null;
    for (const conversationId of this.#unkept) {
      const text = this.#value(conversationId).get();
      if (text === '') this.#kept.remove(nameOf(conversationId));
      else this.#kept.set(nameOf(conversationId), text);
    }
    this.#unkept.clear();
  }

  #value(conversationId: string): Value<string> {
    const known = this.#values.get(conversationId);
    if (known !== undefined) return known;
    const value = new Value(this.#kept.get(nameOf(conversationId)) ?? '');
    this.#values.set(conversationId, value);
    return value;
  }
}

const BEGINNING = 'draft.';

function nameOf(conversationId: string): string {
  return BEGINNING + conversationId;
}
