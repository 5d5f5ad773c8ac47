/** A chat client on one WebSocket, as plain as the protocol allows: what a measurement sees is what a client would. */
import { randomUUID } from 'node:crypto';

import type { Stack } from './stack.ts';
import { Waiting } from './waiting.ts';

export type Frame = {
  type: string;
  conversationId?: string;
  requestId?: string;
  turnId?: string;
  seq?: number;
  payload?: Record<string, unknown>;
  /** When it was seen here, `performance.now()`. */
  seenAt: number;
};

export class Client {
  readonly #socket: WebSocket;
  readonly #waiting = new Waiting<Frame>();
  /** Called with every frame; for measurements that look at all of them. */
  onFrame: ((frame: Frame) => void) | null = null;

  private constructor(socket: WebSocket) {
    this.#socket = socket;
    socket.addEventListener('message', (message) => {
      const seenAt = performance.now();
      const frame: Frame = { ...(JSON.parse(String(message.data)) as Frame), seenAt };
      this.onFrame?.(frame);
      this.#waiting.offer(frame);
    });
  }

  static async connect(stack: Stack): Promise<Client> {
    const url = `${stack.status.api.replace('http', 'ws')}/v1/ws`;
    const socket = new WebSocket(url, ['holdfast.v1', `holdfast.token.${stack.token}`]);
    await new Promise<void>((resolve, reject) => {
      socket.addEventListener('open', () => resolve());
      socket.addEventListener('error', () => reject(new Error('the socket failed')));
    });
    return new Client(socket);
  }

  /** Resolves with the next frame that matches. To be called before what causes it. */
  next(matches: (frame: Frame) => boolean): Promise<Frame> {
    return this.#waiting.next(matches);
  }

  send(frame: Record<string, unknown>): void {
    this.#socket.send(JSON.stringify(frame));
  }

  async subscribe(conversationId: string): Promise<void> {
    const caughtUp = this.next(
      (frame) => frame.type === 'caught-up' && frame.conversationId === conversationId,
    );
    this.send({ type: 'chat.subscribe', conversationId });
    await caughtUp;
  }

  close(): void {
    this.#socket.close();
  }
}

/** Sends, and resolves when the turn has ended and its conversation is free again. */
export async function runTurn(
  client: Client,
  conversationId: string,
  content: string,
): Promise<void> {
  const requestId = randomUUID();
  const end = client.next((frame) => isEnd(frame, requestId));
  const idle = client.next((frame) => isIdle(frame, conversationId));
  client.send({ type: 'chat.send', conversationId, requestId, payload: { content } });
  await end;
  await idle;
}

/** The end of a turn, by its requestId. */
export function isEnd(frame: Frame, requestId: string): boolean {
  const ends = ['chat.done', 'chat.error', 'chat.cancelled', 'chat.interrupted'];
  return ends.includes(frame.type) && frame.requestId === requestId;
}

/** The moment the conversation is free again. */
export function isIdle(frame: Frame, conversationId: string): boolean {
  return (
    frame.type === 'conversation.state' &&
    frame.conversationId === conversationId &&
    frame.payload?.['state'] === 'idle'
  );
}
