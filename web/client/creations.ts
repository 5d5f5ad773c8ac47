/** Conversations that the engine has accepted to make, as far as this page has seen it: until they are there, "not found" passes. */
import type { Outcome } from './contract.ts';
import type { Parts } from './parts.ts';

/** Nobody is left to wait without an end for what will not come. */
const WITHIN_MS = 60_000;

export class Creations {
  readonly #parts: Pick<Parts, 'now'>;
  /** By conversationId: until when it is waited for. */
  readonly #untilMs = new Map<string, number>();

  constructor(parts: Pick<Parts, 'now'>) {
    this.#parts = parts;
  }

  /** Notes what has come of asking for one, and passes it on. */
  async asked<T>(conversationId: string, answer: Promise<Outcome<T>>): Promise<Outcome<T>> {
    const outcome = await answer;
    if (outcome.ok && 'accepted' in outcome)
      this.#untilMs.set(conversationId, this.#parts.now() + WITHIN_MS);
    return outcome;
  }

  isAwaited(conversationId: string): boolean {
    return (this.#untilMs.get(conversationId) ?? 0) > this.#parts.now();
  }

  /** It is there. */
  seen(conversationId: string): void {
    this.#untilMs.delete(conversationId);
  }
}
