/**
 * A client as a chat page is one: it follows a conversation over a WebSocket, whatever happens to the connection, and
 * comes back with the last seq it has.
 *
 * 1. Its reader sees every connection's events as one history: a gap, a repeat or a `reset` is a fault.
 * 2. It comes back until it is closed, at an address that it asks for each time: a new supervisor may have another port.
 */
import type { Event } from '../../src/contracts/events.ts';
import { type Frame, Reader } from './chat-clients.ts';

/** Between two tries to connect. */
const RETRY_MS = 25;

export class SteadyClient {
  readonly reader: Reader;
  readonly #conversationId: string;
  readonly #gateway: () => { api: string; token: string };
  #socket: WebSocket | null = null;
  #connections = 0;
  #closed = false;

  /** `gateway`: where it is now; may throw while it is nowhere. */
  constructor({
    conversationId,
    gateway,
  }: {
    conversationId: string;
    gateway: () => { api: string; token: string };
  }) {
    this.reader = new Reader(conversationId);
    this.#conversationId = conversationId;
    this.#gateway = gateway;
    this.#connect();
  }

  /** How often it was let in. */
  get connections(): number {
    return this.#connections;
  }

  close(): void {
    this.#closed = true;
    this.#socket?.close();
  }

  #connect(): void {
    if (this.#closed) return;
    let socket: WebSocket;
    try {
      const { api, token } = this.#gateway();
      const address = `${api.replace(/^http/, 'ws')}/v1/ws`;
      socket = new WebSocket(address, ['holdfast.v1', `holdfast.token.${token}`]);
    } catch {
      setTimeout(() => this.#connect(), RETRY_MS);
      return;
    }
    this.#socket = socket;
    socket.addEventListener('open', () => {
      this.#connections += 1;
      const conversationId = this.#conversationId;
      const { lastSeq } = this.reader.view;
      socket.send(JSON.stringify({ type: 'hello', payload: { conversationId, lastSeq } }));
    });
    socket.addEventListener('message', ({ data }) => this.#receive(String(data)));
    socket.addEventListener('close', () => setTimeout(() => this.#connect(), RETRY_MS));
  }

  #receive(text: string): void {
    const frame = JSON.parse(text) as Frame;
    if (frame.seq !== undefined) this.reader.take(frame as Event);
    else if (['reset', 'snapshot', 'error'].includes(frame.type)) this.reader.faults.push(text);
  }
}
