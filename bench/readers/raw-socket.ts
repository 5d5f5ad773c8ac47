/**
 * A WebSocket client that costs next to nothing, so that thousands of them on the gateway's own machine leave it its
 * processor: one buffer for all sockets, nothing is parsed that nobody asked for.
 */
import { connect, type Socket } from 'node:net';

/** Reads are handled before the next one begins: all sockets of a process share it. */
const shared = Buffer.allocUnsafe(256 * 1024);
/** Longer than any answer: a server that does not answer at all must not keep the bench. */
const PATIENCE_MS = 60_000;

const TEXT = 1;
const CLOSE = 8;
const PING = 9;
const PONG = 10;

/** A whole frame's payload: `bytes` from `start` to `end`, to be looked at before the call returns. */
export type OnMessage = (bytes: Buffer, start: number, end: number) => void;

export class RawSocket {
  /** Called with each text frame. */
  onMessage: OnMessage = () => undefined;
  /** Called when the server has ended the connection, with why. */
  onClosed: (why: string) => void = () => undefined;
  /** Everything received since the handshake. */
  receivedBytes = 0;
  readonly #socket: Socket;
  #opened: (() => void) | null;
  #head = '';
  #rest: Buffer | null = null;

  private constructor(
    { port, token }: { port: number; token: string },
    opened: () => void,
    failed: (error: Error) => void,
  ) {
    this.#opened = opened;
    this.#socket = connect({
      host: '127.0.0.1',
      port,
      noDelay: true,
      onread: {
        buffer: shared,
        callback: (count, bytes) => {
          // Typed as any view; it is ours.
          this.#read(Buffer.from(bytes.buffer, bytes.byteOffset, count));
          return true;
        },
      },
    });
    const fail = (why: string): void => {
      failed(new Error(why));
      this.onClosed(why);
    };
    this.#socket.on('error', (error) => fail(error.message));
    this.#socket.on('close', () => fail('the connection was closed'));
    this.#socket.write(
      `GET /v1/ws HTTP/1.1\r\nHost: 127.0.0.1:${port}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n` +
        `Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n` +
        `Sec-WebSocket-Protocol: holdfast.v1\r\nAuthorization: Bearer ${token}\r\n\r\n`,
    );
  }

  /** Resolves when the handshake has been answered. */
  static async open(to: { port: number; token: string }): Promise<RawSocket> {
    const { promise, resolve, reject } = Promise.withResolvers<void>();
    const socket = new RawSocket(to, resolve, reject);
    await promise;
    return socket;
  }

  send(frame: object): void {
    this.#write(TEXT, Buffer.from(JSON.stringify(frame)));
  }

  /** Subscribes after `lastSeq`; resolves, with how many events came before, when the server says that it is caught up. */
  catchUp({
    conversationId,
    lastSeq,
  }: {
    conversationId: string;
    lastSeq: number;
  }): Promise<number> {
    const { promise, resolve, reject } = Promise.withResolvers<number>();
    const late = setTimeout(() => reject(new Error('it never caught up')), PATIENCE_MS);
    let events = 0;
    this.onMessage = (bytes, start) => {
      if (isEvent(bytes, start)) events += 1;
      else if (isCaughtUp(bytes, start)) {
        clearTimeout(late);
        resolve(events);
      } else {
        clearTimeout(late);
        reject(new Error(`unexpected: ${bytes.toString('utf8', start, start + 200)}`));
      }
    };
    this.onClosed = (why) => {
      clearTimeout(late);
      reject(new Error(why));
    };
    this.send({ type: 'chat.subscribe', conversationId, payload: { lastSeq } });
    return promise;
  }

  close(): void {
    this.onClosed = () => undefined;
    this.#socket.destroy();
  }

  #write(opcode: number, payload: Buffer): void {
    const extended = payload.length >= 126 ? 2 : 0;
    // Four bytes of mask, all zero: what is masked with it stays as it is.
    const header = Buffer.alloc(2 + extended + 4);
    header[0] = 0x80 | opcode;
    header[1] = 0x80 | (extended === 0 ? payload.length : 126);
    if (extended > 0) header.writeUInt16BE(payload.length, 2);
    this.#socket.write(Buffer.concat([header, payload]));
  }

  #read(bytes: Buffer): void {
    if (this.#opened === null) {
      this.receivedBytes += bytes.length;
      this.#frames(bytes);
      return;
    }
    this.#head += bytes.toString('latin1');
    const end = this.#head.indexOf('\r\n\r\n');
    if (end < 0) return;
    if (!this.#head.startsWith('HTTP/1.1 101 ')) {
      this.#socket.destroy(new Error(`the handshake was refused: ${this.#head.slice(0, 200)}`));
      return;
    }
    const after = Buffer.from(this.#head.slice(end + 4), 'latin1');
    this.#opened();
    this.#opened = null;
    if (after.length > 0) this.#read(after);
  }

  #frames(chunk: Buffer): void {
    const bytes = this.#rest === null ? chunk : Buffer.concat([this.#rest, chunk]);
    this.#rest = null;
    let at = 0;
    for (;;) {
      const frame = frameAt(bytes, at);
      if (frame === null) break;
      at = frame.end;
      if (frame.opcode === TEXT) this.onMessage(bytes, frame.start, frame.end);
      else if (frame.opcode === PING)
        this.#write(PONG, Buffer.from(bytes.subarray(frame.start, frame.end)));
      else if (frame.opcode === CLOSE)
        this.onClosed(`closed with ${bytes.readUInt16BE(frame.start)}`);
    }
    // A copy: the buffer is the next read's.
    if (at < bytes.length) this.#rest = Buffer.from(bytes.subarray(at));
  }
}

function frameAt(bytes: Buffer, at: number): { opcode: number; start: number; end: number } | null {
  const left = bytes.length - at;
  if (left < 2) return null;
  const opcode = (bytes[at] ?? 0) & 0x0f;
  const short = (bytes[at + 1] ?? 0) & 0x7f;
  const header = short < 126 ? 2 : short === 126 ? 4 : 10;
  if (left < header) return null;
  const length =
    short < 126
      ? short
      : short === 126
        ? bytes.readUInt16BE(at + 2)
        : Number(bytes.readBigUInt64BE(at + 2));
  if (left < header + length) return null;
  return { opcode, start: at + header, end: at + header + length };
}

/** Where a frame's type begins: frames are `{"type":"…`. */
const TYPE_AT = '{"type":"'.length;
/** Types by their first four letters, as one number. `chat.accepted` is no event, and no reader here sends anything. */
const letters = (word: string): number => Buffer.from(word).readUInt32BE(0);
const EVENTS = new Set(['chat', 'mess', 'conv', 'assi', 'tool', 'usag', 'noti'].map(letters));
const CAUGHT_UP = letters('caug');

/** Whether a frame of the server is an event of a conversation's log. */
export function isEvent(bytes: Buffer, start: number): boolean {
  return EVENTS.has(bytes.readUInt32BE(start + TYPE_AT));
}

function isCaughtUp(bytes: Buffer, start: number): boolean {
  return bytes.readUInt32BE(start + TYPE_AT) === CAUGHT_UP;
}
