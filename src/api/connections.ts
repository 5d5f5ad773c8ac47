/**
 * The connections that stay open: WebSockets and Server-Sent Events. One clock for all of them.
 */

export interface LongConnection {
  /** Called at every interval of the server's ping. */
  tick(): void;
  /** Says goodbye and asks the peer to close. */
  shutDown(): void;
  /** Drops what is left. */
  destroy(): void;
}

/** How long a peer is given to close after the goodbye. */
const GOODBYE_MS = 1_000;

export class Connections {
  readonly #open = new Set<LongConnection>();
  readonly #timer: NodeJS.Timeout;
  #whenEmpty: (() => void) | null = null;

  constructor(pingIntervalMs: number) {
    this.#timer = setInterval(() => {
      for (const connection of this.#open) connection.tick();
    }, pingIntervalMs).unref();
  }

  get size(): number {
    return this.#open.size;
  }

  add(connection: LongConnection): void {
    this.#open.add(connection);
  }

  remove(connection: LongConnection): void {
    this.#open.delete(connection);
    if (this.#open.size === 0) this.#whenEmpty?.();
  }

  /** Resolves when all are closed, by themselves or because their time is over. */
  async shutDown(): Promise<void> {
    clearInterval(this.#timer);
    for (const connection of this.#open) connection.shutDown();
    if (this.#open.size === 0) return;
    await new Promise<void>((resolve) => {
      const timer = setTimeout(resolve, GOODBYE_MS);
      this.#whenEmpty = () => {
        clearTimeout(timer);
        resolve();
      };
    });
    for (const connection of this.#open) connection.destroy();
  }
}

/**
 * Whether a peer still reads what is written to it. TCP's own keepalive never fires while data is unacknowledged, so a
 * peer that is gone would be kept until the kernel gives up, a quarter of an hour later.
 */
export class Progress {
  #flushedBytes = 0;

  /** Whether bytes have left since the last call, or none were waiting to. */
  advanced(stream: { bytesWritten: number; writableLength: number }): boolean {
    const flushedBytes = stream.bytesWritten - stream.writableLength;
    const advanced = stream.writableLength === 0 || flushedBytes > this.#flushedBytes;
    this.#flushedBytes = flushedBytes;
    return advanced;
  }
}
