/** What was typed and not sent, by conversation; kept in this browser. */
import type { Readable } from './contract.ts';
import { KeptTexts } from './kept-texts.ts';
import type { Kept } from './kept.ts';
import type { Parts } from './parts.ts';
import { Value } from './readable.ts';

export class Drafts {
  readonly texts: KeptTexts;
  readonly #values = new Map<string, Value<string>>();

  constructor(parts: Pick<Parts, 'after'>, kept: Kept) {
    this.texts = new KeptTexts({ parts, kept }, 'draft.', (conversationId, text) =>
      this.#values.get(conversationId)?.set(text ?? ''),
    );
  }

  of(conversationId: string): Readable<string> {
    return this.#value(conversationId);
  }

  set(conversationId: string, text: string): void {
    this.#value(conversationId).set(text);
    this.texts.set(conversationId, text === '' ? null : text);
  }

  #value(conversationId: string): Value<string> {
    const known = this.#values.get(conversationId);
    if (known !== undefined) return known;
    const value = new Value(this.texts.get(conversationId) ?? '');
    this.#values.set(conversationId, value);
    return value;
  }
}
