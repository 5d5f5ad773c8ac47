/**
 * One reader of Server-Sent Events.
 *
 * Invariants: L4 every event after the cursor, once, in order; W2 unsent bytes are bounded as for a socket. Where the
 * log no longer has what comes next, a `reset` event says so and the stream ends.
 */
import type { ServerResponse } from 'node:http';

import { Progress, type LongConnection } from './connections.ts';
import type { Feed, Sink, Subscription } from './feed.ts';

/** What EventSource waits before it comes back. */
const RECONNECT_MS = 1_000;
/** Intervals without a byte read by the peer, while some were waiting, that drop it. */
const STUCK_INTERVALS = 2;

/** Streams `stream` after `afterSeq` to `response`, whose headers have been written, until either side closes. */
export function openEventStream(parts: EventStreamParts): LongConnection {
  return new EventStream(parts);
}

type EventStreamParts = {
  response: ServerResponse;
  feed: Feed;
  stream: string;
  afterSeq: number;
  highWaterBytes: number;
};

class EventStream implements LongConnection, Sink {
  readonly #response: ServerResponse;
  readonly #highWaterBytes: number;
  readonly #progress = new Progress();
  readonly #subscription: Subscription;
  #stuck = 0;

  constructor({ response, feed, stream, afterSeq, highWaterBytes }: EventStreamParts) {
    this.#response = response;
    this.#highWaterBytes = Math.max(highWaterBytes, response.writableHighWaterMark);
    response.write(`retry: ${RECONNECT_MS}\n\n`);
    this.#subscription = feed.subscribe({
      stream,
      afterSeq,
      encoding: 'server-sent-events',
      sink: this,
      onCaughtUp: (seq) => this.#comment(`caught-up ${seq}`),
      onLost: () => {
        this.#response.write('event: reset\ndata: {"reason":"fell-behind"}\n\n');
        this.#response.end();
      },
    });
    response.once('close', () => this.#subscription.close());
  }

  isFull(): boolean {
    return this.#response.writableLength > this.#highWaterBytes;
  }

  write(bytes: Buffer): void {
    if (!this.#response.writableEnded) this.#response.write(bytes);
  }

  onceDrained(callback: () => void): void {
    this.#response.once('drain', callback);
  }

  /** A comment keeps proxies from closing a quiet stream, and finds out about a peer that is gone. */
  tick(): void {
    const { socket } = this.#response;
    if (socket === null) return;
    this.#stuck = this.#progress.advanced(socket) ? 0 : this.#stuck + 1;
    if (this.#stuck >= STUCK_INTERVALS) this.destroy();
    else if (!this.isFull()) this.#comment('ping');
  }

  shutDown(): void {
    this.#subscription.close();
    this.#response.end();
  }

  destroy(): void {
    this.#response.destroy();
  }

  #comment(text: string): void {
    if (!this.#response.writableEnded) this.#response.write(`: ${text}\n\n`);
  }
}
