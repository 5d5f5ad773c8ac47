/**
 * One WebSocket: its frames in, its subscriptions, its bytes out.
 *
 * Invariants (numbers of design.md section 12):
 *  L4 replay, then `caught-up`, then live: nothing between is missing or comes twice. What cannot be replayed is
 *     said by `reset` and made good by `snapshot`.
 *  C2 closing the socket ends subscriptions and waits, and nothing else: a command that was read is carried out.
 *  S3 commands for one conversation reach Temporal in the order in which they were sent.
 *  W2 unsent bytes, unfinished commands and subscriptions are bounded.
 *  S4 a frame that cannot be understood is answered with `error`; the socket lives on.
 */
import { setMaxListeners } from 'node:events';
import type { Socket } from 'node:net';

import type { WebSocket } from 'ws';

import { ERRORS, HoldfastError } from '../contracts/errors.ts';
import {
  CLIENT_FRAMES,
  type ClientFrame,
  type ClientFrameType,
  type ServerFrame,
} from '../contracts/frames.ts';
import { conversationStream, isId } from '../contracts/ids.ts';
import { MESSAGE_PAGE, PROMPT_LIMIT_BYTES, QUEUE_LIMIT } from '../contracts/limits.ts';
import { WS_CLOSE, WS_PROTOCOL } from '../contracts/names.ts';
import type { RequestRow, Store } from '../store/port.ts';
import { Progress, type LongConnection } from './connections.ts';
import { receiptOf, rejection, type Conversations, type Submission } from './conversations.ts';
import type { Feed, Sink, Subscription } from './feed.ts';
import { encodeTextFrame } from './frame-encoding.ts';
import { invalidRequest, publicError } from './problem.ts';
import { compileCheck, parseJson, type SchemaCheck } from './validation.ts';

/** `ws` numbers its states; the class itself is not imported. */
const OPEN = 1;
/** Commands of one socket that may be unfinished, and their bytes, before its reading is paused. */
const UNFINISHED_LIMIT = 256;
const UNFINISHED_LIMIT_BYTES = 32 * 1024 * 1024;
const SUBSCRIPTION_LIMIT = 1_024;
/** Misses of the server's ping that drop the socket. Source: protocol.md section 3. */
const PING_MISSES = 2;
/** Events searched at a time for the first one of a request that is sent again. */
const SEARCH_PAGE = 500;

const receiptEvents = new Set(['chat.started', 'chat.queued', 'chat.rejected']);

export type SocketLimits = {
  frameLimitBytes: number;
  bodyLimitBytes: number;
  receiptWaitMs: number;
  socketHighWaterBytes: number;
  socketHardCapBytes: number;
};

export type SocketDependencies = {
  store: Store;
  feed: Feed;
  conversations: Conversations;
  limits: SocketLimits;
  log: { error(fields: { err: unknown }, text: string): void };
  /** Told of each frame that was answered with an error. */
  onError: (code: string) => void;
};

/** A subscription of this socket; replaced, not changed, when the client subscribes anew. */
type Seat = { closed: boolean; subscription: Subscription | null };

type FrameOf<T extends ClientFrameType> = Extract<ClientFrame, { type: T }>;

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

class SocketSession implements LongConnection, Sink {
  readonly #socket: WebSocket;
  readonly #stream: Socket;
  readonly #deps: SocketDependencies;
  readonly #highWaterBytes: number;
  readonly #seats = new Map<string, Seat>();
  /** The last command of each conversation that has one under way. */
  readonly #chains = new Map<string, Promise<void>>();
  readonly #closed = new AbortController();
  readonly #progress = new Progress();
  readonly #drained: (() => void)[] = [];
  #unfinished = 0;
  #unfinishedBytes = 0;
  #frameBytes = 0;
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

  #send(frame: ServerFrame): void {
    this.write(encodeTextFrame(JSON.stringify(frame)));
  }

  /** Waits until a large answer may be read for this socket. False when it has closed. */
  async #room(): Promise<boolean> {
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
    this.#send({ type: 'goodbye', payload: { reason: 'restart' } });
    this.#socket.close(WS_CLOSE.restart, 'restart');
  }

  destroy(): void {
    this.#socket.terminate();
  }

  #end(): void {
    for (const seat of this.#seats.values()) leave(seat);
    this.#seats.clear();
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
      this.#frameBytes = data.length;
      given = parseJson(data);
      this.#take(this.#checked(given));
    } catch (error) {
      this.#refuse(given, error);
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

  #refuse(given: unknown, error: unknown): void {
    const { code, message, status, detail } = publicError(error);
    if (status >= 500 && status !== ERRORS.temporal_unavailable.status)
      this.#deps.log.error({ err: error }, 'frame failed');
    this.#deps.onError(code);
    const requestId = memberOf(given, 'requestId');
    const conversationId = memberOf(given, 'conversationId');
    this.#send({
      type: 'error',
      ...(isId(conversationId) ? { conversationId } : {}),
      ...(isId(requestId) ? { requestId } : {}),
      // As over HTTP: the first decision of an approval, the turn that really runs, what was wrong with the frame.
      payload: { ...detail, code, message },
    });
  }

  #take(frame: ClientFrame): void {
    switch (frame.type) {
      case 'ping':
        this.#send({
          type: 'pong',
          ...requestOf(frame),
          payload: { serverTime: new Date().toISOString() },
        });
        return;
      case 'hello':
        this.#hello(frame);
        return;
      case 'chat.subscribe':
        this.#subscribe(frame, frame.conversationId, frame.payload?.lastSeq ?? null);
        return;
      case 'chat.unsubscribe':
        this.#unsubscribe(frame);
        return;
      case 'chat.send':
        this.#command(frame, () => this.#chatSend(frame));
        return;
      case 'chat.cancel':
        this.#command(frame, () => this.#chatCancel(frame));
        return;
      case 'chat.retry':
        this.#command(frame, () => this.#chatRetry(frame));
        return;
      case 'approval.resolve':
        // Waits for the log; what is sent after it need not.
        this.#aside(frame, () => this.#approvalResolve(frame));
        return;
    }
  }

  #hello(frame: FrameOf<'hello'>): void {
    const { limits } = this.#deps;
    this.#send({
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
    const { conversationId, lastSeq } = frame.payload ?? {};
    if (conversationId !== undefined) this.#subscribe(frame, conversationId, lastSeq ?? null);
  }

  // Subscriptions

  #unsubscribe(frame: FrameOf<'chat.unsubscribe'>): void {
    const seat = this.#seats.get(frame.conversationId);
    if (seat !== undefined) leave(seat);
    this.#seats.delete(frame.conversationId);
    this.#send({ type: 'ok', conversationId: frame.conversationId, ...requestOf(frame) });
  }

  /** Takes a seat for `conversationId`, in place of the one it had. Null when there are too many. */
  #takeSeat(conversationId: string): Seat | null {
    const old = this.#seats.get(conversationId);
    if (old === undefined && this.#seats.size >= SUBSCRIPTION_LIMIT) return null;
    if (old !== undefined) leave(old);
    const seat: Seat = { closed: false, subscription: null };
    this.#seats.set(conversationId, seat);
    return seat;
  }

  #subscribe(frame: ClientFrame, conversationId: string, lastSeq: number | null): void {
    const seat = this.#takeSeat(conversationId);
    if (seat === null)
      throw new HoldfastError('rate_limited', 'This socket has too many subscriptions.');
    const request = requestOf(frame);
    this.#startSeat({ conversationId, lastSeq, seat, request }).catch((error: unknown) => {
      if (this.#seats.get(conversationId) === seat) this.#seats.delete(conversationId);
      if (!seat.closed) this.#refuse({ conversationId, ...request }, error);
    });
  }

  async #startSeat({
    conversationId,
    lastSeq,
    seat,
    request,
  }: {
    conversationId: string;
    lastSeq: number | null;
    seat: Seat;
    request: { requestId?: string };
  }): Promise<void> {
    const { store, conversations } = this.#deps;
    if (lastSeq !== null) {
      await conversations.mustExist(conversationId);
      const stream = conversationStream(conversationId);
      const [floor, end] = await Promise.all([store.replayFloor(stream), store.lastSeq(stream)]);
      if (seat.closed) return;
      if (lastSeq >= floor && lastSeq <= end) {
        this.#follow({ conversationId, afterSeq: lastSeq, seat, announce: request });
        return;
      }
      const reason = lastSeq > end ? 'cursor-ahead' : 'cursor-expired';
      this.#send({ type: 'reset', conversationId, ...request, payload: { reason } });
    }
    await this.#snapshotThenFollow({ conversationId, seat, request });
  }

  async #snapshotThenFollow({
    conversationId,
    seat,
    request,
  }: {
    conversationId: string;
    seat: Seat;
    request: { requestId?: string };
  }): Promise<void> {
    if (!(await this.#room()) || seat.closed) return;
    const view = await this.#deps.conversations.snapshot(conversationId);
    if (seat.closed) return;
    this.#send({ type: 'snapshot', conversationId, ...request, payload: view });
    this.#follow({ conversationId, afterSeq: view.lastSeq, seat, announce: request });
  }

  /** Replays and goes live. `announce`: says `caught-up` with this requestId; null: says nothing. */
  #follow({
    conversationId,
    afterSeq,
    seat,
    announce,
  }: {
    conversationId: string;
    afterSeq: number;
    seat: Seat;
    announce: { requestId?: string } | null;
  }): void {
    let pending = announce;
    seat.subscription = this.#deps.feed.subscribe({
      stream: conversationStream(conversationId),
      afterSeq,
      encoding: 'websocket',
      sink: this,
      onCaughtUp: (seq) => {
        if (pending !== null)
          this.#send({ type: 'caught-up', conversationId, ...pending, payload: { seq } });
        pending = null;
      },
      onLost: () => {
        seat.subscription = null;
        // A request that is still waiting for its `caught-up` gets it after the snapshot.
        const request = pending ?? {};
        this.#send({
          type: 'reset',
          conversationId,
          ...request,
          payload: { reason: 'fell-behind' },
        });
        this.#snapshotThenFollow({ conversationId, seat, request }).catch((error: unknown) => {
          if (!seat.closed) this.#refuse({ conversationId, ...request }, error);
        });
      },
    });
  }

  // Commands

  /** Runs `run` after the earlier commands of its conversation (S3), and answers what it throws. */
  #command(frame: ClientFrame & { conversationId: string }, run: () => Promise<void>): void {
    const { conversationId } = frame;
    const before = this.#chains.get(conversationId) ?? Promise.resolve();
    const link = before
      .then(() => this.#attempt(frame, run))
      .finally(() => {
        if (this.#chains.get(conversationId) === link) this.#chains.delete(conversationId);
      });
    this.#chains.set(conversationId, link);
    this.#began(link);
  }

  #aside(frame: ClientFrame, run: () => Promise<void>): void {
    this.#began(this.#attempt(frame, run));
  }

  async #attempt(frame: ClientFrame, run: () => Promise<void>): Promise<void> {
    try {
      await run();
    } catch (error) {
      this.#refuse(frame, error);
    }
  }

  /** Counts a command that does not reject; above a limit no further frame is read until some have finished. */
  #began(command: Promise<void>): void {
    const bytes = this.#frameBytes;
    this.#unfinished += 1;
    this.#unfinishedBytes += bytes;
    if (this.#isOverloaded && !this.#socket.isPaused) this.#socket.pause();
    void command.finally(() => {
      this.#unfinished -= 1;
      this.#unfinishedBytes -= bytes;
      if (!this.#isOverloaded && this.#socket.isPaused) this.#socket.resume();
    });
  }

  get #isOverloaded(): boolean {
    return this.#unfinished >= UNFINISHED_LIMIT || this.#unfinishedBytes >= UNFINISHED_LIMIT_BYTES;
  }

  async #chatSend(frame: FrameOf<'chat.send'>): Promise<void> {
    const { conversationId, requestId, payload } = frame;
    const stream = conversationStream(conversationId);
    const unsubscribed = (): boolean => !this.#seats.has(conversationId);
    const justBefore = unsubscribed() ? await this.#deps.store.lastSeq(stream) : 0;
    const { whenBusy } = payload;
    const submission = this.#deps.conversations.send(
      {
        conversationId,
        requestId,
        content: payload.content,
        ...(whenBusy === undefined ? {} : { whenBusy }),
      },
      this.#wait(),
    );
    const known = await submission.accepted;
    this.#send({
      type: 'chat.accepted',
      conversationId,
      requestId,
      ...(known?.turnId == null ? {} : { turnId: known.turnId }),
      payload: known === null ? {} : { receipt: receiptOf(known) },
    });
    if (known === null) this.#listenForReuse(frame, submission);
    if (!unsubscribed()) return;
    const seat = this.#takeSeat(conversationId);
    if (seat === null) return;
    const from = known === null ? justBefore : await this.#seqBefore(conversationId, requestId);
    if (seat.closed) return;
    if (from === null) await this.#snapshotThenFollow({ conversationId, seat, request: {} });
    else this.#follow({ conversationId, afterSeq: from, seat, announce: null });
  }

  /** Of two sends that share a requestId and came at once, the one that lost is told, though both were accepted. */
  #listenForReuse(frame: ClientFrame, submission: Submission): void {
    submission.receipt.catch((error: unknown) => {
      if (publicError(error).code === 'request_id_reused') this.#refuse(frame, error);
    });
  }

  /** The seq before the first event of a request that was decided earlier; null when the log no longer has it. */
  async #seqBefore(conversationId: string, requestId: string): Promise<number | null> {
    const { store } = this.#deps;
    const stream = conversationStream(conversationId);
    for (let after = await store.replayFloor(stream); ;) {
      const { items } = await store.events(stream, after, SEARCH_PAGE);
      const last = items.at(-1);
      if (last === undefined) return null;
      const first = items.find(
        ({ type, json }) =>
          (receiptEvents.has(type) || type === 'message.created') &&
          memberOf(JSON.parse(json), 'requestId') === requestId,
      );
      if (first !== undefined) return first.seq - 1;
      after = last.seq;
    }
  }

  async #chatCancel(frame: FrameOf<'chat.cancel'>): Promise<void> {
    const cancelled = await this.#deps.conversations.cancel({
      conversationId: frame.conversationId,
      turnId: frame.turnId ?? frame.payload?.turnId ?? null,
    });
    this.#ok(frame, { turnId: cancelled?.turnId ?? null });
  }

  async #chatRetry(frame: FrameOf<'chat.retry'>): Promise<void> {
    const turnId = frame.turnId ?? frame.payload?.turnId;
    if (turnId === undefined) throw invalidRequest([{ path: '/turnId', message: 'is required' }]);
    const { conversationId, requestId } = frame;
    const submission = this.#deps.conversations.retry(
      { conversationId, turnId, requestId },
      this.#wait(),
    );
    await submission.accepted;
    // The next command need not wait for the receipt of this one: their order is in Temporal.
    this.#aside(frame, async () => {
      const row = await submission.receipt;
      this.#ok(frame, submissionPayload(row));
    });
  }

  async #approvalResolve(frame: FrameOf<'approval.resolve'>): Promise<void> {
    const { approvalId, decision, message } = frame.payload;
    const answer = await this.#deps.conversations.resolveApproval(
      { conversationId: frame.conversationId, approvalId, decision, message },
      this.#wait(),
    );
    this.#ok(frame, answer ?? { approvalId, accepted: true });
  }

  #ok(frame: ClientFrame & { conversationId: string }, payload: object): void {
    const { conversationId } = frame;
    this.#send({ type: 'ok', conversationId, ...requestOf(frame), payload });
  }

  #wait(): { waitMs: number; abort: AbortSignal } {
    return { waitMs: this.#deps.limits.receiptWaitMs, abort: this.#closed.signal };
  }
}

function leave(seat: Seat): void {
  seat.closed = true;
  seat.subscription?.close();
}

function submissionPayload(row: RequestRow | null): object {
  if (row === null) return { accepted: true };
  if (row.status === 'rejected') throw rejection(row);
  return { receipt: receiptOf(row) };
}

function requestOf(frame: ClientFrame): { requestId?: string } {
  return frame.requestId === undefined ? {} : { requestId: frame.requestId };
}

function memberOf(value: unknown, name: string): unknown {
  if (typeof value !== 'object' || value === null || !Object.hasOwn(value, name)) return undefined;
  return Object.getOwnPropertyDescriptor(value, name)?.value;
}
