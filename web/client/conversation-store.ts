/** One conversation that somebody looks at: its stream, folded once for each frame. */
import type { Event } from '../../src/contracts/events.ts';
import type {
  ConversationViewValue,
  MessageViewValue,
  TurnViewValue,
} from '../../src/contracts/view.ts';
import type { ConversationState, Problem } from './contract.ts';
import { ConversationFold } from './conversation-fold.ts';
import type { Engine } from './engine.ts';
import { path } from './http.ts';
import type { Stop } from './parts.ts';
import { Value } from './readable.ts';
import type { AttemptFate } from './retries.ts';
import type { Stream } from './streams.ts';
import { shapeOf } from './wire.ts';

/** The most that the API gives at once. */
const PAGE = 200;
/** Of the log before the snapshot so many events are read, for what only they say. */
const RECALL_EVENTS = 200;
/** When turns and messages do not agree, the turns are asked for once more. */
const LOOK_AGAIN_MS = 500;
/** Pages of turns that are read for one page of messages, at most: turns are fewer than messages. */
const TURN_PAGES = 10;

export class ConversationStore {
  readonly conversationId: string;
  readonly state: Value<ConversationState>;
  readonly #engine: Engine;
  readonly #fold: ConversationFold;
  readonly #stream: Stream;
  readonly #flush = (): void => this.flush();
  #pending: Event[] = [];
  #cursor: number | null = null;
  #is: ConversationState['is'] = 'loading';
  #problem: Problem | null = null;
  #older: ConversationState['older'] = 'none';
  #isCaughtUp = false;
  #turnsCursor: string | null = null;
  #turnsAsked = 0;
  /** They are there, or on their way. */
  #isTurnsAsked = false;
  #stopLook: Stop | null = null;
  #closed = false;

  constructor(engine: Engine, conversationId: string) {
    this.#engine = engine;
    this.conversationId = conversationId;
    this.#fold = new ConversationFold(conversationId);
    this.state = new Value<ConversationState>({
      is: 'loading',
      problem: null,
      view: this.#fold.view,
      rows: [],
      work: null,
      older: 'none',
      isStale: true,
    });
    this.#stream = engine.streams.open('conversation', conversationId, {
      cursor: () => this.#cursor,
      onSnapshot: (payload) => this.#begin(payload),
      onEvent: (event) => {
        this.#cursor = event.seq;
        this.#pending.push(event);
        engine.frames.request(this.#flush);
      },
      onCaughtUp: () => {
        this.#isCaughtUp = true;
        engine.frames.request(this.#flush);
      },
      onLost: () => {
        this.#isCaughtUp = false;
        engine.frames.request(this.#flush);
      },
      onProblem: (problem) => {
        this.#is = 'failed';
        this.#problem = problem;
        this.flush();
      },
    });
    // Beside the snapshot: what both say is on the screen at about the same time.
    void this.#loadTurns(null);
  }

  get view(): ConversationViewValue {
    return this.#fold.view;
  }

  /** Whether the log, as far as it is shown here, has nothing of that turn. */
  isAwaited(turnId: string | null): boolean {
    const { messages, queue, activeTurn } = this.#fold.view;
    if (turnId === null) return true;
    return !(
      activeTurn?.turnId === turnId ||
      messages.some((message) => message.turnId === turnId) ||
      queue.some((item) => item.turnId === turnId)
    );
  }

  /** What has become of an attempt, as far as it is shown here. */
  fateOf({ turnId, attempt }: { turnId: string; attempt: number }): AttemptFate {
    const { is, problem, isStale } = this.state.get();
    if (is === 'failed' && problem?.code === 'not_found') return 'over';
    if (is !== 'ready' || isStale) return 'unknown';
    const { activeTurn } = this.#fold.view;
    if (activeTurn?.turnId === turnId) return activeTurn.attempt === attempt ? 'running' : 'over';
    const turn = this.#fold.turn(turnId);
    const last = turn?.attempts.at(-1);
    if (turn === undefined || last === undefined || last.attempt < attempt) return 'unknown';
    if (last.attempt > attempt) return 'over';
    if (last.outcome === null) return 'unknown';
    return turn.retryable ? 'ended' : 'over';
  }

  /** Folds what has come, and tells whoever looks. */
  flush(): void {
    if (this.#closed) return;
    this.#engine.frames.forget(this.#flush);
    const events = this.#pending;
    this.#pending = [];
    for (const event of events) {
      this.#engine.outbox.sawEvent(event);
      this.#engine.onEvent(event);
    }
    this.#fold.setClock(this.#engine.link.clockOffsetMs);
    this.#fold.apply(events);
    this.#fold.setUnsent(this.#engine.outbox.of(this.conversationId));
    this.#show();
  }

  /** The unsent messages are others. */
  unsentChanged(): void {
    this.#engine.frames.request(this.#flush);
  }

  changeRows(change: (fold: ConversationFold) => void): void {
    change(this.#fold);
    this.#show();
  }

  rowsOfAttempt(turnId: string, attempt: number): ConversationState['rows'] {
    return this.#fold.rowsOfAttempt(turnId, attempt);
  }

  loadOlder(): void {
    if (this.#older !== 'more' && this.#older !== 'failed') return;
    void this.#loadOlder();
  }

  close(): void {
    this.#closed = true;
    this.#stopLook?.();
    this.#engine.frames.forget(this.#flush);
    this.#engine.streams.close(this.#stream);
  }

  #begin(payload: unknown): void {
    const view = shapeOf<ConversationViewValue>(payload);
    if (view === null) return;
    const isFirst = this.#cursor === null;
    this.#pending = [];
    this.#cursor = view.lastSeq;
    this.#is = 'ready';
    this.#problem = null;
    this.#fold.setClock(this.#engine.link.clockOffsetMs);
    this.#fold.begin(view);
    this.#engine.creations.seen(this.conversationId);
    this.#engine.outbox.sawView(view);
    this.#older = this.#fold.view.hasOlder ? 'more' : 'none';
    // Not with the next frame: until now there was nothing to see.
    this.flush();
    void this.#recall(view.lastSeq);
    if (!isFirst || !this.#isTurnsAsked) void this.#loadTurns(null);
    else this.#lookAgain();
  }

  #show(): void {
    this.state.set({
      is: this.#is,
      problem: this.#problem,
      view: this.#fold.view,
      rows: this.#fold.rows,
      work: this.#fold.work,
      older: this.#older,
      isStale: !this.#isCaughtUp,
    });
  }

  async #loadTurns(cursor: string | null): Promise<void> {
    this.#turnsAsked += 1;
    const asked = this.#turnsAsked;
    this.#isTurnsAsked = true;
    const answer = await this.#engine.http.get<Page<TurnViewValue>>({
      method: 'GET',
      path: path('conversations', this.conversationId, 'turns'),
      query: { limit: PAGE, cursor: cursor ?? undefined },
      repeats: 2,
    });
    if (this.#closed || asked !== this.#turnsAsked) return;
    this.#isTurnsAsked = answer.ok;
    if (!answer.ok || !('value' in answer)) return;
    const { items, nextCursor } = answer.value;
    this.#turnsCursor = nextCursor;
    this.#engine.outbox.sawTurns(items);
    this.#fold.loadTurns(items);
    this.#fold.setUnsent(this.#engine.outbox.of(this.conversationId));
    this.#show();
    this.#lookAgain();
  }

  /** Turns and snapshot are two answers: what ended between them is in neither. */
  #lookAgain(): void {
    if (this.#is !== 'ready' || !this.#fold.areTurnsBehind || this.#stopLook !== null) return;
    this.#stopLook = this.#engine.parts.after(LOOK_AGAIN_MS, () => {
      this.#stopLook = null;
      if (this.#fold.areTurnsBehind) void this.#loadTurns(null);
    });
  }

  async #loadOlder(): Promise<void> {
    const [first] = this.#fold.view.messages;
    if (first === undefined) return;
    this.#older = 'loading';
    this.#show();
    const answer = await this.#engine.http.get<Page<MessageViewValue>>({
      method: 'GET',
      path: path('conversations', this.conversationId, 'messages'),
      query: { before: first.messageId, limit: PAGE },
      repeats: 1,
    });
    if (this.#closed || this.#older !== 'loading') return;
    // A reset has put other messages in place of those.
    const isStill = this.#fold.view.messages[0]?.messageId === first.messageId;
    if (!answer.ok || !('value' in answer)) {
      this.#older = 'failed';
    } else if (isStill) {
      const { items, nextCursor } = answer.value;
      this.#fold.prepend(items.toReversed(), nextCursor !== null);
      this.#older = nextCursor === null ? 'none' : 'more';
      void this.#loadTurnsOf(items);
    }
    this.#show();
  }

  /** Turns of messages that have come into sight. */
  async #loadTurnsOf(messages: readonly MessageViewValue[]): Promise<void> {
    for (let page = 0; page < TURN_PAGES && this.#turnsCursor !== null; page += 1) {
      const isKnown = messages.every(
        ({ turnId }) => turnId === null || this.#fold.turn(turnId) !== undefined,
      );
      if (isKnown) return;
      await this.#loadTurns(this.#turnsCursor);
    }
  }

  /** Reads the end of the log before the snapshot: notes, answers, how long things took. */
  async #recall(lastSeq: number): Promise<void> {
    if (lastSeq === 0) return;
    const ask = (after: number | undefined) =>
      this.#engine.http.get<{ items: Event[] }>({
        method: 'GET',
        path: path('conversations', this.conversationId, 'events'),
        query: { limit: RECALL_EVENTS, after },
      });
    let answer = await ask(Math.max(0, lastSeq - RECALL_EVENTS));
    // The log does not reach so far back any more: from its oldest event on.
    if (!answer.ok && answer.problem.status === 410) answer = await ask(undefined);
    if (this.#closed || !answer.ok || !('value' in answer)) return;
    this.#fold.recall(answer.value.items.filter(({ seq }) => seq <= lastSeq));
    this.#show();
  }
}

type Page<T> = { items: T[]; nextCursor: string | null };
