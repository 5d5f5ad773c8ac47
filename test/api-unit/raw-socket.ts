/**
 * A WebSocket client by hand, on a bare TCP connection: it can do what a well-behaved one cannot (send what is no frame,
 * stop reading, keep silent when pinged), and it sees every byte that comes back.
 */
import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { connect, type Socket } from 'node:net';

import { eventually } from '../support/eventually.ts';

export type Handshake = {
  port: number;
  path?: string;
  headers?: Record<string, string>;
  protocols?: string[];
  /** Answers the server's pings; true unless told otherwise. */
  answersPings?: boolean;
};

export type Frame = {
  type: string;
  conversationId?: string;
  tableId?: string;
  rootId?: string;
  requestId?: string;
  turnId?: string;
  attempt?: number;
  seq?: number;
  payload: Record<string, unknown>;
};

export class RawSocket {
  readonly #socket: Socket;
  readonly #answersPings: boolean;
  #rest: Buffer = Buffer.alloc(0);
  #fragments: Buffer[] = [];
  /** Status line and headers of the answer to the handshake. */
  head = '';
  status = 0;
  /** What came with an answer that is no upgrade. */
  body = '';
  readonly frames: Frame[] = [];
  /** The texts of the frames, as they came. */
  readonly texts: string[] = [];
  closeCode: number | null = null;
  closed = false;
  pings = 0;
  /** Data chunks as the kernel handed them over. */
  chunks = 0;

  private constructor(socket: Socket, answersPings: boolean) {
    this.#socket = socket;
    this.#answersPings = answersPings;
  }

  /** Resolves when the handshake has been answered, whatever the answer. */
  static async open({
    port,
    path = '/v1/ws',
    headers = {},
    protocols = [],
    answersPings = true,
  }: Handshake): Promise<RawSocket> {
    const socket = connect({ host: '127.0.0.1', port });
    socket.setNoDelay(true);
    const raw = new RawSocket(socket, answersPings);
    socket.on('data', (bytes) => raw.#read(bytes));
    socket.on('error', () => undefined);
    socket.on('close', () => {
      raw.closed = true;
    });
    await once(socket, 'connect');
    const lines = {
      Host: `127.0.0.1:${port}`,
      Connection: 'Upgrade',
      Upgrade: 'websocket',
      'Sec-WebSocket-Version': '13',
      'Sec-WebSocket-Key': randomBytes(16).toString('base64'),
      ...(protocols.length === 0 ? {} : { 'Sec-WebSocket-Protocol': protocols.join(', ') }),
      ...headers,
    };
    const text = Object.entries(lines).map(([name, value]) => `${name}: ${value}\r\n`);
    socket.write(`GET ${path} HTTP/1.1\r\n${text.join('')}\r\n`);
    await eventually(() => raw.status > 0 || raw.closed);
    return raw;
  }

  send(frame: unknown): void {
    this.sendText(JSON.stringify(frame));
  }

  sendText(text: string): void {
    this.sendRaw(0x1, Buffer.from(text, 'utf8'));
  }

  /** One masked frame with this opcode. */
  sendRaw(opcode: number, payload: Buffer): void {
    this.#socket.write(maskedFrame(opcode, payload));
  }

  /** Bytes, as they are. */
  sendBytes(bytes: Buffer): void {
    this.#socket.write(bytes);
  }

  /** What was sent and has not been taken by the kernel. */
  get unsentBytes(): number {
    return this.#socket.writableLength;
  }

  pause(): void {
    this.#socket.pause();
  }

  resume(): void {
    this.#socket.resume();
  }

  /** Drops the connection without a word. */
  destroy(): void {
    this.#socket.destroy();
  }

  close(code = 1000): void {
    const payload = Buffer.alloc(2);
    payload.writeUInt16BE(code);
    this.sendRaw(0x8, payload);
  }

  /** The first frame that fits, from `from` on. */
  async until(fits: (frame: Frame) => boolean, withinMs = 10_000): Promise<Frame> {
    return eventually(() => this.frames.find(fits), withinMs);
  }

  async untilType(type: string): Promise<Frame> {
    return this.until((frame) => frame.type === type);
  }

  /** Events of a conversation's log that came, in the order in which they came. */
  events(conversationId: string): Frame[] {
    return this.frames.filter(
      (frame) =>
        frame.seq !== undefined &&
        frame.tableId === undefined &&
        frame.rootId === undefined &&
        frame.conversationId === conversationId,
    );
  }

  /** As {@link events}, of a table's stream. */
  teamEvents(rootId: string): Frame[] {
    return this.frames.filter((frame) => frame.seq !== undefined && frame.rootId === rootId);
  }

  tableEvents(tableId: string): Frame[] {
    return this.frames.filter((frame) => frame.seq !== undefined && frame.tableId === tableId);
  }

  async untilClosed(): Promise<number | null> {
    await eventually(() => this.closed || this.closeCode !== null);
    return this.closeCode;
  }

  #read(bytes: Buffer): void {
    this.chunks += 1;
    this.#rest = this.#rest.length === 0 ? bytes : Buffer.concat([this.#rest, bytes]);
    if (this.status === 0) this.#readHead();
    if (this.status === 101) this.#readFrames();
    else if (this.status > 0) {
      this.body += this.#rest.toString('utf8');
      this.#rest = Buffer.alloc(0);
    }
  }

  #readHead(): void {
    const end = this.#rest.indexOf('\r\n\r\n');
    if (end === -1) return;
    this.head = this.#rest.subarray(0, end).toString('latin1');
    this.#rest = this.#rest.subarray(end + 4);
    this.status = Number(/^HTTP\/1\.1 ([0-9]{3})/.exec(this.head)?.[1]);
  }

  #readFrames(): void {
    for (;;) {
      const parsed = parseFrame(this.#rest);
      if (parsed === null) return;
      this.#rest = this.#rest.subarray(parsed.size);
      this.#take(parsed);
    }
  }

  #take({ opcode, fin, payload }: ServerFrame): void {
    switch (opcode) {
      case 0x0:
      case 0x1: {
        this.#fragments.push(payload);
        if (!fin) return;
        const text = Buffer.concat(this.#fragments.splice(0)).toString('utf8');
        this.texts.push(text);
        this.frames.push(JSON.parse(text) as Frame);
        return;
      }
      case 0x8:
        this.closeCode = payload.length >= 2 ? payload.readUInt16BE(0) : 1005;
        this.#socket.end(maskedFrame(0x8, payload.subarray(0, 2)));
        return;
      case 0x9:
        this.pings += 1;
        if (this.#answersPings) this.sendRaw(0xa, payload);
        return;
      case 0xa:
        return;
      default:
        throw new Error(`the server sent opcode ${opcode}`);
    }
  }
}

type ServerFrame = { opcode: number; fin: boolean; payload: Buffer; size: number };

/** The frame at the start of `bytes`; null when it is not there whole. Throws: on what no server may send. */
export function parseFrame(bytes: Buffer): ServerFrame | null {
  const [first, second] = bytes;
  if (first === undefined || second === undefined) return null;
  if ((first & 0x70) !== 0) throw new Error('a reserved bit is set');
  if ((second & 0x80) !== 0) throw new Error('a server never masks');
  let length = second;
  let start = 2;
  if (length === 126) {
    if (bytes.length < 4) return null;
    length = bytes.readUInt16BE(2);
    if (length < 126) throw new Error('not the shortest length');
    start = 4;
  } else if (length === 127) {
    if (bytes.length < 10) return null;
    length = Number(bytes.readBigUInt64BE(2));
    if (length < 65_536) throw new Error('not the shortest length');
    start = 10;
  }
  if (bytes.length < start + length) return null;
  return {
    opcode: first & 0x0f,
    fin: (first & 0x80) !== 0,
    payload: bytes.subarray(start, start + length),
    size: start + length,
  };
}

function maskedFrame(opcode: number, payload: Buffer): Buffer {
  const mask = randomBytes(4);
  const { length } = payload;
  const header =
    length < 126
      ? Buffer.from([0x80 | opcode, 0x80 | length])
      : length < 65_536
        ? Buffer.from([0x80 | opcode, 0x80 | 126, length >> 8, length & 0xff])
        : Buffer.alloc(10);
  if (header.length === 10) {
    header[0] = 0x80 | opcode;
    header[1] = 0x80 | 127;
    header.writeBigUInt64BE(BigInt(length), 2);
  }
  const body = Buffer.from(payload);
  for (let index = 0; index < length; index += 1)
    body[index] = (body[index] ?? 0) ^ (mask[index % 4] ?? 0);
  return Buffer.concat([header, mask, body]);
}
