/**
 * Clients of the public protocol, as anyone would write them: they fold what they are sent, and note what must not be.
 *
 * 1. A client's `view` is the snapshot it was given (or nothing at all) with every event since folded into it.
 * 2. An event that does not follow the one before it by exactly 1 is a fault, and so is anything that cannot be read.
 */
import { type IncomingMessage, request as httpRequest } from 'node:http';

import type { Event } from '../../src/contracts/events.ts';
import type { ConversationViewValue } from '../../src/contracts/view.ts';
import { applyToView, emptyView } from '../../src/domain/fold.ts';
import { eventually } from './eventually.ts';

export type Frame = {
  type: string;
  seq?: number;
  conversationId?: string;
  requestId?: string;
  payload?: unknown;
};

/** What one reader of one conversation knows. */
export class Reader {
  view: ConversationViewValue;
  /** Events received, in order of arrival. */
  readonly events: Event[] = [];
  readonly faults: string[] = [];

  constructor(conversationId: string) {
    this.view = emptyView(conversationId);
  }

  take(event: Event): void {
    if (event.seq !== this.view.lastSeq + 1)
      this.faults.push(`seq ${event.seq} came after ${this.view.lastSeq}`);
    this.events.push(event);
    this.view = applyToView(this.view, event);
  }

  /** The assistant's text: what its rows hold, and what is still open. */
  get text(): string {
    return textOf(this.view);
  }

  /** Waits until `is` holds of the view. */
  async until(is: (view: ConversationViewValue) => boolean, withinMs = 30_000): Promise<void> {
    await eventually(() => is(this.view), withinMs);
  }
}

/** The assistant's text of a view, in order; what was discarded is not part of it. */
export function textOf(view: ConversationViewValue): string {
  return view.messages
    .filter(
      ({ role, kind, status }) => role === 'assistant' && kind === 'text' && status !== 'discarded',
    )
    .map(({ messageId, content }) => view.overlays[messageId] ?? content)
    .join('');
}

/** One WebSocket that reads one conversation. The token goes in a subprotocol, as from a browser. */
export class ChatSocket {
  readonly reader: Reader;
  /** Frames that are no events. */
  readonly frames: Frame[] = [];
  readonly #socket: WebSocket;
  #closeCode: number | null = null;

  constructor({
    api,
    conversationId,
    protocols,
    headers = {},
  }: {
    api: string;
    conversationId: string;
    protocols: string[];
    headers?: Record<string, string>;
  }) {
    this.reader = new Reader(conversationId);
    const address = `${api.replace(/^http/, 'ws')}/v1/ws`;
    this.#socket = new WebSocket(address, { protocols, headers });
    this.#socket.addEventListener('message', ({ data }) => this.#receive(String(data)));
    this.#socket.addEventListener('close', ({ code }) => {
      this.#closeCode = code;
    });
  }

  #receive(text: string): void {
    const frame = JSON.parse(text) as Frame;
    if (frame.seq !== undefined) {
      this.reader.take(frame as Event);
      return;
    }
    this.frames.push(frame);
    if (frame.type === 'snapshot') this.reader.view = frame.payload as ConversationViewValue;
  }

  async opened(): Promise<void> {
    await eventually(() => this.#socket.readyState === WebSocket.OPEN);
  }

  send(frame: Frame): void {
    this.#socket.send(JSON.stringify(frame));
  }

  /** The first frame of that type, with that requestId when one is given. */
  async frame(type: string, requestId?: string): Promise<Frame> {
    return eventually(() =>
      this.frames.find(
        (frame) =>
          frame.type === type && (requestId === undefined || frame.requestId === requestId),
      ),
    );
  }

  /** The code with which the server closed it. */
  async closeCode(): Promise<number> {
    return eventually(() => this.#closeCode);
  }

  close(): void {
    this.#socket.close();
  }
}

/** A reader of Server-Sent Events from after `after`; it gives the events' ids to the fold as they come. */
export class EventStreamClient {
  readonly reader: Reader;
  readonly #outgoing: ReturnType<typeof httpRequest>;
  #rest = '';

  constructor({
    api,
    token,
    conversationId,
    after,
  }: {
    api: string;
    token: string;
    conversationId: string;
    after: number;
  }) {
    this.reader = new Reader(conversationId);
    this.#outgoing = httpRequest(
      `${api}/v1/conversations/${conversationId}/events?after=${after}`,
      {
        agent: false,
        headers: { authorization: `Bearer ${token}`, accept: 'text/event-stream' },
      },
    );
    this.#outgoing.on('response', (response: IncomingMessage) => {
      if (response.statusCode !== 200) this.reader.faults.push(`status ${response.statusCode}`);
      response.setEncoding('utf8').on('data', (chunk: string) => this.#receive(chunk));
      response.on('error', () => {});
    });
    // It is closed by us, or by a gateway that goes: what counts is what had come.
    this.#outgoing.on('error', () => {});
    this.#outgoing.end();
  }

  #receive(chunk: string): void {
    const parts = (this.#rest + chunk).split('\n\n');
    this.#rest = parts.pop() ?? '';
    for (const part of parts) {
      const fields = new Map(
        part
          .split('\n')
          .filter((line) => !line.startsWith(':'))
          .map((line) => [line.slice(0, line.indexOf(':')), line.slice(line.indexOf(':') + 2)]),
      );
      const data = fields.get('data');
      if (data === undefined) continue;
      const event = JSON.parse(data) as Event;
      if (fields.get('id') !== String(event.seq))
        this.reader.faults.push(`id ${fields.get('id')} of seq ${event.seq}`);
      this.reader.take(event);
    }
  }

  close(): void {
    this.#outgoing.destroy();
  }
}
