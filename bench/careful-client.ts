/**
 * A client that comes back: when its connection is lost it connects again at once and goes on after the last seq it
 * has. It keeps the text of every turn and notes each event that is missing, repeated or replaced by a snapshot (L1, L4).
 */
import { randomUUID } from 'node:crypto';

import { type Frame, isEnd } from './client.ts';
import type { Stack } from './stack.ts';
import { Waiting } from './waiting.ts';

/** Between two tries while nobody listens; the first is made at once. What it adds to a figure is one of these at most. */
const FIRST_PAUSE_MS = 10;
const LONGEST_PAUSE_MS = 80;

export class CarefulClient {
  readonly conversationId: string;
  /** What must not have happened, in words. */
  readonly faults: string[] = [];
  readonly #stack: Stack;
  readonly #waiting = new Waiting<Frame>();
  readonly #texts = new Map<string, string>();
  #socket: WebSocket | null = null;
  #lastSeq = 0;
  #connections = 0;
  #connectedAt = 0;
  #pauseMs = 0;
  #closed = false;

  private constructor(parts: { stack: Stack; conversationId: string }) {
    this.#stack = parts.stack;
    this.conversationId = parts.conversationId;
  }

  /** Resolves when everything that the log holds has arrived. */
  static async connect(parts: { stack: Stack; conversationId: string }): Promise<CarefulClient> {
    const client = new CarefulClient(parts);
    const caughtUp = client.next(({ type }) => type === 'caught-up');
    client.#open();
    await caughtUp;
    return client;
  }

  /** How often it has connected; what arrives now came by the last of these connections. */
  get connections(): number {
    return this.#connections;
  }

  /** When the last of them was open, `performance.now()`. */
  get connectedAt(): number {
    return this.#connectedAt;
  }

  /** Resolves with the next frame that matches. To be called before what causes it. */
  next(matches: (frame: Frame) => boolean): Promise<Frame> {
    return this.#waiting.next(matches);
  }

  /** Sends a message; its requestId. */
  send(content: string): string {
    const requestId = randomUUID();
    const { conversationId } = this;
    this.#say({ type: 'chat.send', conversationId, requestId, payload: { content } });
    return requestId;
  }

  /** Resolves when the turn has ended, in whatever way. To be called before it can have. */
  end(requestId: string): Promise<Frame> {
    return this.next((frame) => isEnd(frame, requestId));
  }

  /** The text of a request's turn so far. */
  textOf(requestId: string): string {
    return this.#texts.get(requestId) ?? '';
  }

  close(): void {
    this.#closed = true;
    this.#socket?.close();
  }

  #say(frame: object): void {
    this.#socket?.send(JSON.stringify(frame));
  }

  #open(): void {
    this.#connections += 1;
    const { status, token } = this.#stack;
    const socket = new WebSocket(`${status.api.replace('http', 'ws')}/v1/ws`, [
      'holdfast.v1',
      `holdfast.token.${token}`,
    ]);
    this.#socket = socket;
    socket.addEventListener('open', () => {
      this.#pauseMs = 0;
      this.#connectedAt = performance.now();
      const { conversationId } = this;
      const payload = { lastSeq: this.#lastSeq };
      this.#say({ type: 'chat.subscribe', conversationId, payload });
    });
    socket.addEventListener('message', ({ data }) => {
      const seenAt = performance.now();
      this.#receive({ ...(JSON.parse(String(data)) as Frame), seenAt });
    });
    socket.addEventListener('close', () => {
      if (this.#closed) return;
      const pauseMs = this.#pauseMs;
      this.#pauseMs = Math.min(LONGEST_PAUSE_MS, pauseMs === 0 ? FIRST_PAUSE_MS : pauseMs * 2);
      setTimeout(() => this.#closed || this.#open(), pauseMs);
    });
  }

  #receive(frame: Frame): void {
    const { type, seq, requestId } = frame;
    if (type === 'reset' || type === 'snapshot' || type === 'error')
      this.faults.push(`${this.conversationId}: ${type} after seq ${this.#lastSeq}`);
    if (seq !== undefined) {
      if (seq !== this.#lastSeq + 1)
        this.faults.push(`${this.conversationId}: seq ${seq} after ${this.#lastSeq}`);
      this.#lastSeq = seq;
    }
    if (type === 'chat.delta' && requestId !== undefined)
      this.#texts.set(requestId, this.textOf(requestId) + String(frame.payload?.['text']));
    this.#waiting.offer(frame);
  }
}
