/** Conversations that the engine has accepted to make, as far as this page has seen it: until they are there, "not found" passes. */
import type { ConversationViewValue } from '../../src/contracts/view.ts';
import type { Outcome } from './contract.ts';
import type { Http } from './http.ts';
import type { Parts } from './parts.ts';

/** Nobody is left to wait without an end for what will not come. */
const WITHIN_MS = 60_000;

export class Creations {
  readonly #parts: Pick<Parts, 'now' | 'freshId'>;
  /** By conversationId: until when it is waited for. */
  readonly #untilMs = new Map<string, number>();

  constructor(parts: Pick<Parts, 'now' | 'freshId'>) {
    this.#parts = parts;
  }

  /** Asks for one. It is made once for its id, which is chosen here unless `asked` has one, so that it may be asked for again. */
  async make(
    http: Http,
    { path, asked, repeats }: { path: string; asked: { conversationId?: string }; repeats: number },
  ): Promise<Outcome<ConversationViewValue>> {
    const body = { conversationId: this.#parts.freshId(), ...asked };
    const outcome = await http.get<ConversationViewValue>({
      method: 'POST',
      path,
      body,
      repeats,
      isCreation: true,
    });
    if (outcome.ok && 'accepted' in outcome)
      this.#untilMs.set(body.conversationId, this.#parts.now() + WITHIN_MS);
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
