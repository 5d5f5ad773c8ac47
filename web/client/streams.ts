/**
 * What the socket brings, given to whom it belongs: streams of conversations, tables and teams.
 *
 * Invariants:
 *  L4 a stream's owner gets a snapshot, or the events after its cursor, each once and in order; a gap is not passed on, but asked for
 *     anew.
 *  1 As long as the link is open, every open stream is subscribed; a new link is subscribed from each one's cursor.
 */
import type { Event } from '../../src/contracts/events.ts';
import type { ServerFrame } from '../../src/contracts/frames.ts';
import type { Problem } from './contract.ts';
import type { Link } from './link.ts';
import type { Parts, Stop } from './parts.ts';
import { isRecord } from './wire.ts';

export type StreamKind = 'conversation' | 'table' | 'team';

/** Who follows a stream. */
export type StreamOwner = {
  /** The last event that it has; null: it has nothing, and begins with a snapshot. */
  cursor: () => number | null;
  /** `isReset`: in place of what it has, which is no longer to be made good by events. */
  onSnapshot: (view: unknown) => void;
  onEvent: (event: Event) => void;
  /** Everything there is has come, and what comes is live. */
  onCaughtUp: () => void;
  onLost: () => void;
  onProblem: (problem: Problem) => void;
};

/** A subscription that failed for a reason that may pass is tried again after this. */
const RETRY_MS = 2_000;
/** Refusals that no repeating changes. */
const FINAL: ReadonlySet<string> = new Set(['not_found', 'invalid_request', 'rate_limited']);

export class Stream {
  readonly kind: StreamKind;
  readonly id: string;
  readonly owner: StreamOwner;
  /** Events are of no use before it. */
  awaitsSnapshot = false;
  /** Of a team: whose it is, once that was said. */
  rootId: string | null = null;
  stopRetry: Stop | null = null;

  constructor(kind: StreamKind, id: string, owner: StreamOwner) {
    this.kind = kind;
    this.id = id;
    this.owner = owner;
  }
}

export class Streams {
  readonly #link: () => Link;
  readonly #isAwaited: (conversationId: string) => boolean;
  readonly #parts: Parts;
  readonly #streams = new Set<Stream>();
  /** requestId of a subscription → whose it is: an answer about a team names its root, and not who was asked for. */
  readonly #asked = new Map<string, Stream>();
  #asks = 0;

  /** `isAwaited`: the conversation is being made, so that it may not be there yet. */
  constructor(
    parts: Parts,
    { link, isAwaited }: { link: () => Link; isAwaited: (conversationId: string) => boolean },
  ) {
    this.#parts = parts;
    this.#link = link;
    this.#isAwaited = isAwaited;
  }

  open(kind: StreamKind, id: string, owner: StreamOwner): Stream {
    const stream = new Stream(kind, id, owner);
    this.#streams.add(stream);
    if (this.#link().isOpen) this.#subscribe(stream);
    return stream;
  }

  close(stream: Stream): void {
    this.#streams.delete(stream);
    stream.stopRetry?.();
    for (const [requestId, asked] of this.#asked)
      if (asked === stream) this.#asked.delete(requestId);
    if (!this.#link().isOpen) return;
    const { kind, id } = stream;
    if (kind === 'table') this.#link().send({ type: 'table.unsubscribe', tableId: id });
    else if (kind === 'conversation')
      this.#link().send({ type: 'chat.unsubscribe', conversationId: id });
    else if (!this.#teamsOf(stream.rootId).some((other) => other !== stream))
      this.#link().send({ type: 'agents.unsubscribe', conversationId: id });
  }

  onOpen(): void {
    this.#asked.clear();
    for (const stream of this.#streams) this.#subscribe(stream);
  }

  onLost(): void {
    this.#asked.clear();
    for (const stream of this.#streams) {
      stream.stopRetry?.();
      stream.stopRetry = null;
      stream.owner.onLost();
    }
  }

  onEvent(event: Event): void {
    for (const stream of this.#streamsOf(event)) {
      if (stream.awaitsSnapshot) continue;
      const cursor = stream.owner.cursor() ?? 0;
      if (event.seq <= cursor) continue;
      if (event.seq === cursor + 1) stream.owner.onEvent(event);
      // What is missing was lost on the way: from the cursor on, once more.
      else if (!this.#isAsked(stream)) this.#subscribe(stream);
    }
  }

  onFrame(frame: ServerFrame): void {
    const asked = frame.requestId === undefined ? undefined : this.#asked.get(frame.requestId);
    if (asked !== undefined && frame.rootId !== undefined) asked.rootId = frame.rootId;
    const streams =
      asked?.kind === 'team' && frame.rootId === undefined ? [asked] : this.#streamsOf(frame);
    for (const stream of streams) this.#tell(stream, frame, asked === stream);
  }

  #tell(stream: Stream, frame: ServerFrame, isAnswer: boolean): void {
    switch (frame.type) {
      case 'snapshot':
        stream.awaitsSnapshot = false;
        stream.owner.onSnapshot(frame.payload);
        return;
      case 'reset':
        stream.awaitsSnapshot = true;
        return;
      case 'caught-up':
        if (frame.requestId !== undefined) this.#asked.delete(frame.requestId);
        stream.owner.onCaughtUp();
        return;
      case 'error':
        // An error without our requestId is of something else that was asked of this conversation.
        if (isAnswer) this.#refused(stream, frame);
        return;
      default:
    }
  }

  #refused(stream: Stream, frame: ServerFrame): void {
    if (frame.requestId !== undefined) this.#asked.delete(frame.requestId);
    const { code, message } = isRecord(frame.payload) ? frame.payload : {};
    const problem: Problem = {
      code: typeof code === 'string' ? code : 'unexpected',
      status: 0,
      title: typeof message === 'string' ? message : 'The stream could not be read.',
    };
    const isComing =
      problem.code === 'not_found' && stream.kind === 'conversation' && this.#isAwaited(stream.id);
    if (FINAL.has(problem.code) && !isComing) {
      stream.owner.onProblem(problem);
      return;
    }
    stream.stopRetry?.();
    stream.stopRetry = this.#parts.after(RETRY_MS, () => {
      stream.stopRetry = null;
      if (this.#link().isOpen && this.#streams.has(stream)) this.#subscribe(stream);
    });
  }

  #isAsked(stream: Stream): boolean {
    return [...this.#asked.values()].includes(stream);
  }

  #subscribe(stream: Stream): void {
    const lastSeq = stream.owner.cursor();
    stream.awaitsSnapshot = lastSeq === null;
    this.#asks += 1;
    const requestId = `subscribe-${this.#asks}`;
    this.#asked.set(requestId, stream);
    const { kind, id } = stream;
    const request = { requestId, payload: { lastSeq } };
    if (kind === 'table') this.#link().send({ type: 'table.subscribe', tableId: id, ...request });
    else if (kind === 'conversation')
      this.#link().send({ type: 'chat.subscribe', conversationId: id, ...request });
    else this.#link().send({ type: 'agents.subscribe', conversationId: id, ...request });
  }

  #streamsOf(frame: {
    conversationId?: string;
    tableId?: string;
    rootId?: string;
  }): readonly Stream[] {
    const { tableId, rootId, conversationId } = frame;
    if (tableId !== undefined) return this.#named('table', tableId);
    if (rootId !== undefined) return this.#teamsOf(rootId);
    return conversationId === undefined ? [] : this.#named('conversation', conversationId);
  }

  #named(kind: StreamKind, id: string): readonly Stream[] {
    return [...this.#streams].filter((stream) => stream.kind === kind && stream.id === id);
  }

  #teamsOf(rootId: string | null): readonly Stream[] {
    return rootId === null
      ? []
      : [...this.#streams].filter((stream) => stream.kind === 'team' && stream.rootId === rootId);
  }
}
