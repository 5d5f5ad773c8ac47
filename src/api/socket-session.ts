/**
 * One WebSocket: its frames in, its bytes out. What it follows is in socket-seats.ts, what it commands in socket-commands.ts.
 *
 * Invariants (numbers of design.md section 12):
 *  C2 closing the socket ends subscriptions and waits, and nothing else.
 *  W2 unsent bytes are bounded, and so is what is read before it has been carried out.
 *  S4 a frame that cannot be understood is answered with `error`; the socket lives on.
 */
import { setMaxListeners } from 'node:events';
import type { Socket } from 'node:net';

import type { WebSocket } from 'ws';

import { ERRORS, HoldfastError } from '../contracts/errors.ts';
import { CLIENT_FRAMES, type ClientFrame, type ServerFrame } from '../contracts/frames.ts';
import { isId } from '../contracts/ids.ts';
import { MESSAGE_PAGE, PROMPT_LIMIT_BYTES, QUEUE_LIMIT } from '../contracts/limits.ts';
import { WS_CLOSE, WS_PROTOCOL } from '../contracts/names.ts';
import { Progress, type LongConnection } from './connections.ts';
import { encodeTextFrame } from './frame-encoding.ts';
import { memberOf } from './json-members.ts';
import { invalidRequest, publicError } from './problem.ts';
import {
  SocketCommands,
  type CommandDependencies,
  type CommandLine,
  type FrameOf,
} from './socket-commands.ts';
import { SocketSeats, type SeatDependencies } from './socket-seats.ts';
import { compileCheck, parseJson, type SchemaCheck } from './validation.ts';
import type { Wait } from './wait-until.ts';

/** `ws` numbers its states; the class itself is not imported. */
const OPEN = 1;
/** Misses of the server's ping that drop the socket. Source: protocol.md section 3. */
const PING_MISSES = 2;

export type SocketLimits = {
  frameLimitBytes: number;
  bodyLimitBytes: number;
  receiptWaitMs: number;
  socketHighWaterBytes: number;
  socketHardCapBytes: number;
};

export type SocketDependencies = SeatDependencies &
  CommandDependencies & {
    limits: SocketLimits;
    log: { error(fields: { err: unknown }, text: string): void };
    /** Told of each frame that was answered with an error. */
    onError: (code: string) => void;
  };

const frameChecks: ReadonlyMap<string, SchemaCheck<ClientFrame>> = new Map(
  Object.entries(CLIENT_FRAMES).map(([type, schema]) => [type, compileCheck<ClientFrame>(schema)]),
);

/** Serves `socket` until it closes. Attaches its listeners before it returns. */
export function openSession(
  connection: { socket: WebSocket; stream: Socket },
  dependencies: SocketDependencies,
): LongConnection {
  return new SocketSession(connection, dependencies);
}

class SocketSession implements LongConnection, CommandLine {
  readonly #socket: WebSocket;
  readonly #stream: Socket;
  readonly #deps: SocketDependencies;
  readonly #highWaterBytes: number;
  readonly #seats: SocketSeats;
  readonly #commands: SocketCommands;
  readonly #closed = new AbortController();
  readonly #progress = new Progress();
  readonly #drained: (() => void)[] = [];
  #corked = false;
  #heard = true;
  #misses = 0;

  constructor(
    { socket, stream }: { socket: WebSocket; stream: Socket },
    dependencies: SocketDependencies,
  ) {
    this.#socket = socket;
    this.#stream = stream;
    this.#deps = dependencies;
    this.#seats = new SocketSeats(this, dependencies);
    this.#commands = new SocketCommands(this, this.#seats, dependencies);
    // Below the stream's own mark it would never say that it has drained.
    this.#highWaterBytes = Math.max(
      dependencies.limits.socketHighWaterBytes,
      stream.writableHighWaterMark,
    );
    // One listener for each command that waits; they go with it.
    setMaxListeners(0, this.#closed.signal);
    socket.on('message', (data, isBinary) => this.#receive(data, isBinary));
    socket.on('pong', () => {
      this.#heard = true;
    });
    socket.on('close', () => this.#end());
    stream.on('drain', () => {
      for (const callback of this.#drained.splice(0)) callback();
    });
  }

  // Bytes out

  isFull(): boolean {
    return this.#stream.writableLength > this.#highWaterBytes;
  }

  /**
   * Writes whole frames behind the library's back: it knows no way to send one encoded frame to many. Every frame of
   * its own leaves in one synchronous piece, since compression is off, so this is always between two frames.
   */
  write(bytes: Buffer): void {
    if (this.#socket.readyState !== OPEN) return;
    if (this.#stream.writableLength > this.#deps.limits.socketHardCapBytes) {
      this.#socket.close(WS_CLOSE.tooSlow, 'too slow');
      return;
    }
    if (!this.#corked) {
      // One write for each tick, whatever number of streams and frames it brings.
      this.#corked = true;
      this.#stream.cork();
      process.nextTick(() => {
        this.#corked = false;
        this.#stream.uncork();
      });
    }
    this.#stream.write(bytes);
  }

  onceDrained(callback: () => void): void {
    this.#drained.push(callback);
  }

  send(frame: ServerFrame): void {
    this.write(encodeTextFrame(JSON.stringify(frame)));
  }

  /** Waits until a large answer may be read for this socket. False when it has closed. */
  async room(): Promise<boolean> {
    while (this.isFull() && this.#socket.readyState === OPEN)
      await new Promise<void>((resolve) => {
        this.onceDrained(resolve);
      });
    return this.#socket.readyState === OPEN;
  }

  // Life

  tick(): void {
    const reads = this.#progress.advanced(this.#stream);
    // A ping behind a backlog that is being read has not been missed: it has not arrived.
    const behindBacklog = this.#stream.writableLength > 0 && reads;
    // Nor can the answer be heard while reading is paused.
    const excused = behindBacklog || this.#socket.isPaused;
    this.#misses = this.#heard || excused ? 0 : this.#misses + 1;
    if (this.#misses >= PING_MISSES) {
      this.#socket.terminate();
      return;
    }
    this.#heard = false;
    if (this.#socket.readyState === OPEN) this.#socket.ping();
  }

  shutDown(): void {
    this.send({ type: 'goodbye', payload: { reason: 'restart' } });
    this.#socket.close(WS_CLOSE.restart, 'restart');
  }

  destroy(): void {
    this.#socket.terminate();
  }

  #end(): void {
    this.#seats.close();
    this.#closed.abort(new HoldfastError('shutting_down', 'The socket has closed.'));
    // Who waits for room shall see that there is no socket any more.
    for (const callback of this.#drained.splice(0)) callback();
  }

  // Frames in

  #receive(data: unknown, isBinary: boolean): void {
    this.#heard = true;
    if (this.#socket.readyState !== OPEN) return;
    let given: unknown;
    try {
      if (isBinary || !Buffer.isBuffer(data))
        throw new HoldfastError('invalid_request', 'Frames are JSON text; this one is binary.');
      given = parseJson(data);
      this.#take(this.#checked(given), data.length);
    } catch (error) {
      this.refuse(given, error);
    }
  }

  /** Throws: `invalid_request` with what is wrong. */
  #checked(given: unknown): ClientFrame {
    const type = memberOf(given, 'type');
    const check = typeof type === 'string' ? frameChecks.get(type) : undefined;
    if (check === undefined)
      throw invalidRequest([
        { path: '/type', message: `must be one of ${[...frameChecks.keys()].join(', ')}` },
      ]);
    const result = check(given);
    if (!result.valid) throw invalidRequest(result.faults);
    return result.value;
  }

  refuse(given: unknown, error: unknown): void {
    const { code, message, status, detail } = publicError(error);
    if (status >= 500 && status !== ERRORS.temporal_unavailable.status)
      this.#deps.log.error({ err: error }, 'frame failed');
    this.#deps.onError(code);
    const requestId = memberOf(given, 'requestId');
    const conversationId = memberOf(given, 'conversationId');
    const tableId = memberOf(given, 'tableId');
    const rootId = memberOf(given, 'rootId');
    this.send({
      type: 'error',
      ...(isId(conversationId) ? { conversationId } : {}),
      ...(isId(tableId) ? { tableId } : {}),
      ...(isId(rootId) ? { rootId } : {}),
      ...(isId(requestId) ? { requestId } : {}),
      // As over HTTP: the first decision of an approval, the turn that really runs, what was wrong with the frame.
      payload: { ...detail, code, message },
    });
  }

  #take(frame: ClientFrame, frameBytes: number): void {
    switch (frame.type) {
      case 'ping':
        this.send({
          type: 'pong',
          ...requestOf(frame),
          payload: { serverTime: new Date().toISOString() },
        });
        return;
      case 'hello':
        this.#hello(frame);
        return;
      case 'chat.subscribe': {
        const { conversationId, payload } = frame;
        this.#seats.subscribe({
          subject: { conversationId },
          lastSeq: payload?.lastSeq ?? null,
          request: requestOf(frame),
        });
        return;
      }
      case 'table.subscribe': {
        const { tableId, payload } = frame;
        this.#seats.subscribe({
          subject: { tableId },
          lastSeq: payload?.lastSeq ?? null,
          active: payload?.active === true,
          request: requestOf(frame),
        });
        return;
      }
      case 'agents.subscribe': {
        const { conversationId, payload } = frame;
        this.#seats.subscribeTeam({
          conversationId,
          lastSeq: payload?.lastSeq ?? null,
          request: requestOf(frame),
        });
        return;
      }
      case 'agents.unsubscribe': {
        const { conversationId } = frame;
        const request = requestOf(frame);
        this.#seats.unsubscribeTeam({
          conversationId,
          request,
          done: () => this.send({ type: 'ok', conversationId, ...request }),
        });
        return;
      }
      case 'chat.unsubscribe': {
        const { conversationId } = frame;
        this.#seats.unsubscribe({ conversationId });
        this.send({ type: 'ok', conversationId, ...requestOf(frame) });
        return;
      }
      case 'table.unsubscribe': {
        const { tableId } = frame;
        this.#seats.unsubscribe({ tableId });
        this.send({ type: 'ok', tableId, ...requestOf(frame) });
        return;
      }
      default:
        this.#commands.take(frame, frameBytes);
    }
  }

  #hello(frame: FrameOf<'hello'>): void {
    const { limits } = this.#deps;
    this.send({
      type: 'hello',
      ...requestOf(frame),
      payload: {
        protocol: WS_PROTOCOL,
        serverTime: new Date().toISOString(),
        limits: {
          frameBytes: limits.frameLimitBytes,
          bodyBytes: limits.bodyLimitBytes,
          promptBytes: PROMPT_LIMIT_BYTES,
          queueItems: QUEUE_LIMIT,
          messagePage: MESSAGE_PAGE,
        },
      },
    });
    const { conversationId, tableId, lastSeq = null } = frame.payload ?? {};
    const request = requestOf(frame);
    if (tableId !== undefined)
      this.#seats.subscribe({
        subject: { tableId },
        // One seq for two streams is the conversation's.
        lastSeq: conversationId === undefined ? lastSeq : null,
        request,
      });
    if (conversationId !== undefined)
      this.#seats.subscribe({ subject: { conversationId }, lastSeq, request });
  }

  // What commands and subscriptions need

  wait(): Wait {
    return { waitMs: this.#deps.limits.receiptWaitMs, abort: this.#closed.signal };
  }

  pauseReading(): void {
    if (!this.#socket.isPaused) this.#socket.pause();
  }

  resumeReading(): void {
    if (this.#socket.isPaused) this.#socket.resume();
  }
}

function requestOf(frame: ClientFrame): { requestId?: string } {
  return frame.requestId === undefined ? {} : { requestId: frame.requestId };
}
