/**
 * What one socket follows: streams of conversations, of tables and of teams.
 *
 * Invariants (numbers of design.md section 12):
 *  L4 replay, then `caught-up`, then live: nothing between is missing or comes twice. What cannot be replayed is
 *     said by `reset` and made good by `snapshot`.
 *  W2 subscriptions are bounded, whatever they are of.
 *  T1 a table that is subscribed with `active` brings its active conversation: in one read with the table's snapshot, and
 *     later after the very event that names another one. What the client has subscribed itself is never dropped for that,
 *     nor sent twice.
 */
import { HoldfastError } from '../contracts/errors.ts';
import type { ServerFrame } from '../contracts/frames.ts';
import { conversationStream, isId, tableStream, teamStream } from '../contracts/ids.ts';
import type { ConversationViewValue } from '../contracts/view.ts';
import type { Store, StoredEvent } from '../store/port.ts';
import type { Agents } from './agents.ts';
import type { Conversations } from './conversations.ts';
import type { Feed, Follower, Sink, Subscription } from './feed.ts';
import { memberOf } from './json-members.ts';
import type { Tables } from './tables.ts';
import type { Wait } from './wait-until.ts';

const SUBSCRIPTION_LIMIT = 1_024;

/** One end of a socket, as those who write to it see it. */
export interface SocketLine extends Sink {
  send(frame: ServerFrame): void;
  /** Answers with `error`; ids of the frame that caused it are taken from `given`. */
  refuse(given: unknown, error: unknown): void;
  /** Waits until a large answer may be read for this socket. False when it has closed. */
  room(): Promise<boolean>;
  /** For a fact in the log, as long as a command waits for its receipt. */
  wait(): Wait;
}

/** Whose stream; frames name it in the same way. */
type Subject = { conversationId: string } | { tableId: string } | { rootId: string };
type Request = { requestId?: string };

/** A subscription of this socket; replaced, not changed, when the client subscribes anew. */
type Seat = {
  readonly subject: Subject;
  readonly stream: string;
  /** The table's seat that brought it; null: the client asked for it. */
  readonly broughtBy: Seat | null;
  closed: boolean;
  subscription: Subscription | null;
  active: ActiveConversation | null;
};

/** The active conversation that a table's seat brings along. */
type ActiveConversation = {
  current: string | null;
  /** Has become active at that seq; taken up when the seat has been given that event. */
  next: { seq: number; conversationId: string | null } | null;
  follower: Follower | null;
};

export type SeatDependencies = {
  store: Store;
  feed: Feed;
  conversations: Conversations;
  tables: Tables;
  agents: Agents;
};

export class SocketSeats {
  readonly #line: SocketLine;
  readonly #deps: SeatDependencies;
  readonly #seats = new Map<string, Seat>();
  /** The last thing that was asked about a team: which team it is, the store has to say first. */
  #team: Promise<void> = Promise.resolve();
  /** How many such things are under way. */
  #teamsAsked = 0;
  #closed = false;

  constructor(line: SocketLine, dependencies: SeatDependencies) {
    this.#line = line;
    this.#deps = dependencies;
  }

  hasConversation(conversationId: string): boolean {
    return this.#seats.has(conversationStream(conversationId));
  }

  /**
   * Subscribes, in place of the subscription of the same stream. `lastSeq` null: the snapshot first.
   *
   * Throws: `rate_limited`. What is found out later is answered with `error`.
   */
  subscribe({
    subject,
    lastSeq,
    active = false,
    request,
  }: {
    subject: Subject;
    lastSeq: number | null;
    /** Of a table: with its active conversation. */
    active?: boolean;
    request: Request;
  }): void {
    const seat = this.#take(subject, null);
    if (seat === null) throw tooMany();
    if (active) seat.active = { current: null, next: null, follower: null };
    this.#start({ seat, lastSeq, request }).catch((error: unknown) => {
      this.#giveUp(seat, request, error);
    });
  }

  unsubscribe(subject: Subject): void {
    const seat = this.#seats.get(streamOf(subject));
    if (seat !== undefined) this.#leave(seat);
  }

  /**
   * Subscribes to the team of a conversation, whichever member that is; as {@link subscribe}. What is asked about teams is done in
   * its order.
   *
   * Throws: `rate_limited`.
   */
  subscribeTeam({
    conversationId,
    lastSeq,
    request,
  }: {
    conversationId: string;
    lastSeq: number | null;
    request: Request;
  }): void {
    const given = { conversationId, ...request };
    this.#askOfTeam(given, async () => {
      const rootId = await this.#deps.agents.rootOf(conversationId);
      if (!this.#closed) this.subscribe({ subject: { rootId }, lastSeq, request });
    });
  }

  /** Ends the subscription of that conversation's team, if there is one, and calls `done`. Throws: `rate_limited`. */
  unsubscribeTeam({
    conversationId,
    request,
    done,
  }: {
    conversationId: string;
    request: Request;
    done: () => void;
  }): void {
    this.#askOfTeam({ conversationId, ...request }, async () => {
      const link = await this.#deps.store.agent(conversationId);
      this.unsubscribe({ rootId: link?.rootId ?? conversationId });
      done();
    });
  }

  #askOfTeam(given: { conversationId: string }, work: () => Promise<void>): void {
    if (this.#teamsAsked >= SUBSCRIPTION_LIMIT) throw tooMany();
    this.#teamsAsked += 1;
    this.#team = this.#team
      .then(work)
      .catch((error: unknown) => {
        if (!this.#closed) this.#line.refuse(given, error);
      })
      .finally(() => {
        this.#teamsAsked -= 1;
      });
  }

  /**
   * Subscribes the sender of a message to its conversation, silently, from `afterSeq` on; null: what it needs is not in the log any
   * more, so with the snapshot. Does nothing when there are too many.
   */
  async join(conversationId: string, afterSeq: () => Promise<number | null>): Promise<void> {
    const seat = this.#take({ conversationId }, null);
    if (seat === null) return;
    const from = await afterSeq();
    if (seat.closed) return;
    if (from === null) await this.#snapshotThenFollow(seat, {});
    else this.#follow({ seat, afterSeq: from, announce: null });
  }

  close(): void {
    this.#closed = true;
    for (const seat of this.#seats.values()) end(seat);
    this.#seats.clear();
  }

  /** Takes a seat, in place of the one there was. Null when there are too many. */
  #take(subject: Subject, broughtBy: Seat | null): Seat | null {
    const stream = streamOf(subject);
    const old = this.#seats.get(stream);
    if (old === undefined && this.#seats.size >= SUBSCRIPTION_LIMIT) return null;
    if (old !== undefined) this.#leave(old);
    const seat: Seat = {
      subject,
      stream,
      broughtBy,
      closed: false,
      subscription: null,
      active: null,
    };
    this.#seats.set(stream, seat);
    return seat;
  }

  #leave(seat: Seat): void {
    end(seat);
    if (this.#seats.get(seat.stream) === seat) this.#seats.delete(seat.stream);
    if (seat.active !== null) this.#dropBrought(seat);
  }

  /** Drops the conversation that a table's seat has brought, unless the client has taken it over. */
  #dropBrought(table: Seat): void {
    const conversationId = table.active?.current ?? null;
    if (conversationId === null) return;
    const brought = this.#seats.get(conversationStream(conversationId));
    if (brought?.broughtBy === table) this.#leave(brought);
  }

  #giveUp(seat: Seat, request: Request, error: unknown): void {
    if (seat.closed) return;
    this.#leave(seat);
    this.#line.refuse({ ...seat.subject, ...request }, error);
  }

  async #start({
    seat,
    lastSeq,
    request,
  }: {
    seat: Seat;
    lastSeq: number | null;
    request: Request;
  }): Promise<void> {
    const { store } = this.#deps;
    const { subject, stream, active } = seat;
    // What becomes active from here on is heard of; what is active now is read after this.
    if (active !== null && !(await this.#listen(seat, active))) return;
    if (lastSeq !== null) {
      await this.#mustExist(subject);
      const [floor, head] = await Promise.all([store.replayFloor(stream), store.lastSeq(stream)]);
      if (seat.closed) return;
      if (lastSeq >= floor && lastSeq <= head) {
        if (active !== null && 'tableId' in subject) {
          const view = await store.tableView(subject.tableId, 1);
          if (seat.closed || view === null) return;
          becomes(active, view.lastSeq, view.activeConversationId);
        }
        this.#follow({ seat, afterSeq: lastSeq, announce: request });
        return;
      }
      const reason = lastSeq > head ? 'cursor-ahead' : 'cursor-expired';
      this.#line.send({ type: 'reset', ...subject, ...request, payload: { reason } });
    }
    await this.#snapshotThenFollow(seat, request);
  }

  async #mustExist(subject: Subject): Promise<void> {
    if ('tableId' in subject) await this.#deps.tables.facts(subject.tableId);
    else if ('conversationId' in subject)
      await this.#deps.conversations.mustExist(subject.conversationId);
    // Of a team its root has been found already.
  }

  async #snapshotThenFollow(seat: Seat, request: Request): Promise<void> {
    if (!(await this.#line.room()) || seat.closed) return;
    const { subject } = seat;
    const { tables, agents, conversations } = this.#deps;
    if ('rootId' in subject) {
      this.#show(seat, await agents.team(subject.rootId), request);
      return;
    }
    if (!('tableId' in subject)) {
      this.#show(seat, await conversations.snapshot(subject.conversationId), request);
      return;
    }
    if (seat.active === null) {
      this.#show(seat, await tables.snapshot(subject.tableId), request);
      return;
    }
    const { table, active } = await tables.withActive(subject.tableId);
    if (seat.closed) return;
    this.#show(seat, table, request);
    const { next } = seat.active;
    // Told already, unless it has become so after this was read.
    if (next !== null && next.seq <= table.lastSeq) seat.active.next = null;
    this.#bring(seat, table.activeConversationId, active);
  }

  /** Sends the snapshot and goes on after it. */
  #show(seat: Seat, view: { lastSeq: number }, request: Request): void {
    if (seat.closed) return;
    this.#line.send({ type: 'snapshot', ...seat.subject, ...request, payload: view });
    this.#follow({ seat, afterSeq: view.lastSeq, announce: request });
  }

  /** Replays and goes live. `announce`: says `caught-up` with this requestId; null: says nothing. */
  #follow({
    seat,
    afterSeq,
    announce,
  }: {
    seat: Seat;
    afterSeq: number;
    announce: Request | null;
  }): void {
    const { subject, stream } = seat;
    let pending = announce;
    seat.subscription = this.#deps.feed.subscribe({
      stream,
      afterSeq,
      encoding: 'websocket',
      sink: seat.active === null ? this.#line : this.#sinkOf(seat),
      onCaughtUp: (seq) => {
        if (pending !== null)
          this.#line.send({ type: 'caught-up', ...subject, ...pending, payload: { seq } });
        pending = null;
        this.#bringNext(seat);
      },
      onLost: () => {
        seat.subscription = null;
        // A request that is still waiting for its `caught-up` gets it after the snapshot.
        const request = pending ?? {};
        const payload = { reason: 'fell-behind' };
        this.#line.send({ type: 'reset', ...subject, ...request, payload });
        this.#snapshotThenFollow(seat, request).catch((error: unknown) => {
          this.#giveUp(seat, request, error);
        });
      },
    });
  }

  // The active conversation of a table

  /** Hears of each conversation that becomes active. False: the seat has been left meanwhile. */
  async #listen(seat: Seat, active: ActiveConversation): Promise<boolean> {
    const follower = await this.#deps.feed.follow(seat.stream, {
      onEvent: (event) => {
        const conversationId = activatedBy(event);
        if (conversationId === null) return;
        becomes(active, event.seq, conversationId);
        this.#bringNext(seat);
      },
      // The seat's own subscription is lost by the same gap, and begins anew with a snapshot.
      onSkipped: () => undefined,
    });
    if (seat.closed) {
      follower.close();
      return false;
    }
    active.follower = follower;
    return true;
  }

  /** The line, with a look after each write: the event may have come with it that the next active conversation waits for. */
  #sinkOf(seat: Seat): Sink {
    return {
      isFull: () => this.#line.isFull(),
      onceDrained: (callback) => this.#line.onceDrained(callback),
      write: (bytes) => {
        this.#line.write(bytes);
        this.#bringNext(seat);
      },
    };
  }

  #bringNext(seat: Seat): void {
    const next = seat.active?.next ?? null;
    if (next === null || seat.active === null || seat.closed) return;
    if (seat.subscription === null || seat.subscription.cursor < next.seq) return;
    seat.active.next = null;
    this.#bring(seat, next.conversationId, null);
  }

  /** Subscribes what is active now, beginning with `view` if it has been read. */
  #bring(seat: Seat, conversationId: string | null, view: ConversationViewValue | null): void {
    const { active } = seat;
    if (active === null) return;
    const stays = conversationId !== null && conversationId === active.current;
    // After a gap of the table's stream nothing of its active conversation is missing.
    if (stays && this.hasConversation(conversationId)) return;
    this.#dropBrought(seat);
    active.current = conversationId;
    // One that the client has subscribed itself goes on as it is.
    if (conversationId === null || this.hasConversation(conversationId)) return;
    const brought = this.#take({ conversationId }, seat);
    if (brought === null) {
      this.#line.refuse({ conversationId }, tooMany());
      return;
    }
    if (view !== null) {
      this.#show(brought, view, {});
      return;
    }
    this.#snapshotThenFollow(brought, {}).catch((error: unknown) => {
      this.#giveUp(brought, {}, error);
    });
  }
}

function streamOf(subject: Subject): string {
  if ('rootId' in subject) return teamStream(subject.rootId);
  return 'tableId' in subject
    ? tableStream(subject.tableId)
    : conversationStream(subject.conversationId);
}

function end(seat: Seat): void {
  seat.closed = true;
  seat.subscription?.close();
  seat.active?.follower?.close();
}

function becomes(active: ActiveConversation, seq: number, conversationId: string | null): void {
  if (active.next === null || active.next.seq < seq) active.next = { seq, conversationId };
}

/** The conversation that this event makes active; null for every other event. */
function activatedBy(event: StoredEvent): string | null {
  if (event.type !== 'conversation.activated') return null;
  const conversationId = memberOf(JSON.parse(event.json), 'conversationId');
  return isId(conversationId) ? conversationId : null;
}

function tooMany(): HoldfastError {
  return new HoldfastError('rate_limited', 'This socket has too many subscriptions.');
}
