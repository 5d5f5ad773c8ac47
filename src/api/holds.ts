/** Requests that wait for something: each is let go when its caller has gone or Holdfast stops, and changes nothing by it (C2). */
import type { FastifyReply } from 'fastify';

import { HoldfastError } from '../contracts/errors.ts';

/** Requests held open at once. A held request is a socket and a promise; this bounds both (W2). */
const HOLD_LIMIT = 4_096;

export class Holds {
  readonly #open = new Set<AbortController>();
  #stopping = false;

  get size(): number {
    return this.#open.size;
  }

  get isStopping(): boolean {
    return this.#stopping;
  }

  /** The abort signal of this reply's waits. Throws: `rate_limited`, `shutting_down`. */
  begin(reply: FastifyReply): AbortSignal {
    if (this.#stopping) throw new HoldfastError('shutting_down');
    if (this.#open.size >= HOLD_LIMIT)
      throw new HoldfastError('rate_limited', 'Too many requests wait for an answer.');
    const controller = new AbortController();
    this.#open.add(controller);
    // Comes after every reply, and when the caller closes before it.
    reply.raw.once('close', () => {
      this.#open.delete(controller);
      controller.abort(new HoldfastError('shutting_down', 'The caller has gone.'));
    });
    return controller.signal;
  }

  /** Answers everybody who waits: what they asked for goes on, and may be asked for again with the same id. */
  stop(): void {
    this.#stopping = true;
    for (const controller of this.#open)
      controller.abort(
        new HoldfastError(
          'shutting_down',
          'Holdfast is stopping. What was accepted goes on; repeat the request with the same id to hear of it.',
        ),
      );
  }
}
