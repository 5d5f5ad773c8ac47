/**
 * The commands of one socket: carried out, and answered with `ok`, `chat.accepted` or `error`.
 *
 * Invariants (numbers of design.md section 12):
 *  C2 closing the socket ends waits, and nothing else: a command that was read is carried out.
 *  S3 commands for one conversation reach Temporal in the order in which they were sent.
 *  W2 unfinished commands and their bytes are bounded.
 */
import type { ClientFrame, ClientFrameType } from '../contracts/frames.ts';
import { conversationStream } from '../contracts/ids.ts';
import type { RequestRow, Store } from '../store/port.ts';
import type { Conversations, Submission } from './conversations.ts';
import { memberOf } from './json-members.ts';
import { findInLog } from './log-search.ts';
import { invalidRequest, publicError } from './problem.ts';
import type { Queue } from './queue.ts';
import { receiptOf, rejection } from './receipts.ts';
import type { PendingCommand } from './recorded-command.ts';
import type { SocketLine, SocketSeats } from './socket-seats.ts';

/** Commands of one socket that may be unfinished, and their bytes, before its reading is paused. */
const UNFINISHED_LIMIT = 256;
const UNFINISHED_LIMIT_BYTES = 32 * 1024 * 1024;

/** The first events of a request. */
const firstEvents = new Set(['message.created', 'chat.started', 'chat.queued', 'chat.rejected']);

export type FrameOf<T extends ClientFrameType> = Extract<ClientFrame, { type: T }>;

export type CommandFrame = FrameOf<
  | 'chat.send'
  | 'chat.cancel'
  | 'chat.retry'
  | 'chat.warm'
  | 'approval.resolve'
  | 'queue.update'
  | 'queue.remove'
  | 'queue.hold'
>;

export type CommandDependencies = { store: Store; conversations: Conversations; queue: Queue };

/** What the commands need of their socket. */
export interface CommandLine extends SocketLine {
  pauseReading(): void;
  resumeReading(): void;
}

export class SocketCommands {
  readonly #line: CommandLine;
  readonly #seats: SocketSeats;
  readonly #deps: CommandDependencies;
  /** The last command of each conversation that has one under way. */
  readonly #chains = new Map<string, Promise<void>>();
  #unfinished = 0;
  #unfinishedBytes = 0;

  constructor(line: CommandLine, seats: SocketSeats, dependencies: CommandDependencies) {
    this.#line = line;
    this.#seats = seats;
    this.#deps = dependencies;
  }

  /** Takes a frame of so many bytes; answers it by itself, also what goes wrong. */
  take(frame: CommandFrame, frameBytes: number): void {
    // An answer to an approval waits for the log; what is sent after it need not.
    if (frame.type === 'approval.resolve')
      this.#began(
        this.#attempt(frame, () => this.#approvalResolve(frame)),
        frameBytes,
      );
    else this.#inOrder(frame, frameBytes);
  }

  /** Runs a command after the earlier ones of its conversation (S3). */
  #inOrder(frame: Exclude<CommandFrame, FrameOf<'approval.resolve'>>, frameBytes: number): void {
    const { conversationId } = frame;
    const before = this.#chains.get(conversationId) ?? Promise.resolve();
    const link = before
      .then(() => this.#attempt(frame, () => this.#run(frame, frameBytes)))
      .finally(() => {
        if (this.#chains.get(conversationId) === link) this.#chains.delete(conversationId);
      });
    this.#chains.set(conversationId, link);
    this.#began(link, frameBytes);
  }

  async #attempt(frame: CommandFrame, run: () => Promise<void>): Promise<void> {
    try {
      await run();
    } catch (error) {
      this.#line.refuse(frame, error);
    }
  }

  /** Counts a command that does not reject; above a limit no further frame is read until some have finished. */
  #began(command: Promise<void>, bytes: number): void {
    this.#unfinished += 1;
    this.#unfinishedBytes += bytes;
    if (this.#isOverloaded) this.#line.pauseReading();
    void command.finally(() => {
      this.#unfinished -= 1;
      this.#unfinishedBytes -= bytes;
      if (!this.#isOverloaded) this.#line.resumeReading();
    });
  }

  get #isOverloaded(): boolean {
    return this.#unfinished >= UNFINISHED_LIMIT || this.#unfinishedBytes >= UNFINISHED_LIMIT_BYTES;
  }

  /** Resolves when the command is durable: the next one of its conversation need not wait for what comes of it. */
  async #run(
    frame: Exclude<CommandFrame, FrameOf<'approval.resolve'>>,
    frameBytes: number,
  ): Promise<void> {
    const { queue } = this.#deps;
    const { conversationId } = frame;
    switch (frame.type) {
      case 'chat.send':
        return this.#chatSend(frame);
      case 'chat.cancel':
        return this.#chatCancel(frame);
      case 'chat.retry':
        return this.#chatRetry(frame, frameBytes);
      case 'chat.warm':
        await this.#deps.conversations.mustExist(conversationId);
        this.#ok(frame, {});
        return;
      case 'queue.update': {
        const { requestId, payload: change } = frame;
        const command = queue.update({ conversationId, requestId, change }, this.#line.wait());
        return this.#answerLater(frame, command, frameBytes);
      }
      case 'queue.remove': {
        const { requestId } = frame;
        const command = queue.remove({ conversationId, requestId }, this.#line.wait());
        return this.#answerLater(frame, command, frameBytes);
      }
      case 'queue.hold': {
        const { held } = frame.payload;
        const command = queue.hold({ conversationId, held }, this.#line.wait());
        return this.#answerLater(frame, command, frameBytes);
      }
    }
  }

  async #answerLater<T extends object>(
    frame: CommandFrame,
    { accepted, answer }: PendingCommand<T>,
    frameBytes: number,
  ): Promise<void> {
    await accepted;
    const answered = this.#attempt(frame, async () => {
      this.#ok(frame, (await answer) ?? { accepted: true });
    });
    this.#began(answered, frameBytes);
  }

  async #chatSend(frame: FrameOf<'chat.send'>): Promise<void> {
    const { conversationId, requestId, payload } = frame;
    const stream = conversationStream(conversationId);
    const unsubscribed = (): boolean => !this.#seats.hasConversation(conversationId);
    const justBefore = unsubscribed() ? await this.#deps.store.lastSeq(stream) : 0;
    const submission = this.#deps.conversations.send(
      { conversationId, requestId, ...payload },
      this.#line.wait(),
    );
    const known = await submission.accepted;
    this.#line.send({
      type: 'chat.accepted',
      conversationId,
      requestId,
      ...(known?.turnId == null ? {} : { turnId: known.turnId }),
      payload: known === null ? {} : { receipt: receiptOf(known) },
    });
    if (known === null) this.#listenForReuse(frame, submission);
    if (!unsubscribed()) return;
    await this.#seats.join(conversationId, async () =>
      known === null ? justBefore : this.#seqBefore(conversationId, requestId),
    );
  }

  /** Of two sends that share a requestId and came at once, the one that lost is told, though both were accepted. */
  #listenForReuse(frame: CommandFrame, submission: Submission): void {
    submission.receipt.catch((error: unknown) => {
      if (publicError(error).code === 'request_id_reused') this.#line.refuse(frame, error);
    });
  }

  /** The seq before the first event of a request that was decided earlier; null when the log no longer has it. */
  async #seqBefore(conversationId: string, requestId: string): Promise<number | null> {
    const { store } = this.#deps;
    const stream = conversationStream(conversationId);
    const first = await findInLog({
      store,
      stream,
      after: await store.replayFloor(stream),
      fits: ({ type, json }) =>
        firstEvents.has(type) && memberOf(JSON.parse(json), 'requestId') === requestId,
    });
    return first === null ? null : first.seq - 1;
  }

  async #chatCancel(frame: FrameOf<'chat.cancel'>): Promise<void> {
    const cancelled = await this.#deps.conversations.cancel({
      conversationId: frame.conversationId,
      turnId: frame.turnId ?? frame.payload?.turnId ?? null,
      holdQueue: frame.payload?.holdQueue,
      cascade: frame.payload?.cascade,
    });
    this.#ok(frame, { turnId: cancelled?.turnId ?? null });
  }

  async #chatRetry(frame: FrameOf<'chat.retry'>, frameBytes: number): Promise<void> {
    const turnId = frame.turnId ?? frame.payload?.turnId;
    if (turnId === undefined) throw invalidRequest([{ path: '/turnId', message: 'is required' }]);
    const { conversationId, requestId } = frame;
    const submission = this.#deps.conversations.retry(
      { conversationId, turnId, requestId },
      this.#line.wait(),
    );
    await submission.accepted;
    const answered = this.#attempt(frame, async () => {
      this.#ok(frame, submissionPayload(await submission.receipt));
    });
    this.#began(answered, frameBytes);
  }

  async #approvalResolve(frame: FrameOf<'approval.resolve'>): Promise<void> {
    const { approvalId, decision, message } = frame.payload;
    const answer = await this.#deps.conversations.resolveApproval(
      { conversationId: frame.conversationId, approvalId, decision, message },
      this.#line.wait(),
    );
    this.#ok(frame, answer ?? { approvalId, accepted: true });
  }

  #ok(frame: CommandFrame, payload: object): void {
    const { conversationId, requestId } = frame;
    this.#line.send({
      type: 'ok',
      conversationId,
      ...(requestId === undefined ? {} : { requestId }),
      payload,
    });
  }
}

function submissionPayload(row: RequestRow | null): object {
  if (row === null) return { accepted: true };
  if (row.status === 'rejected') throw rejection(row);
  return { receipt: receiptOf(row) };
}
