/**
 * The feed: the log, followed as it grows, for everybody who reads it live in this process.
 *
 * Invariants (numbers of design.md section 12):
 *  L3 nothing is handed on that was not read from the log.
 *  L4 a subscriber gets afterSeq + 1, + 2, + 3 … each once and in order, or is told that it has been lost;
 *     never a gap, never a repeat. A follower is told of every event committed after `follow` answered.
 *  F3 rows that are read live are read once and encoded once for each encoding, whatever the number of subscribers.
 *     A crowd that comes back to one stream shares what was read for the first of them.
 *  W2 of a subscriber whose sink is above its high-water mark only the cursor is kept; it is refilled from the
 *     log as the sink drains. A stream that nobody reads costs nothing.
 *
 * One `store.watch` for the process. For each stream with a reader: `tail`, up to where it has been read. A
 * subscriber is *live* (its cursor has reached the tail, and the next read is its next too) or *refilling* (it reads
 * the log by itself until it has reached the tail); the change from one to the other happens in one tick.
 */
import type { Heads, Store, StoredEvent } from '../store/port.ts';
import { encodeEvents, type EncodedEvents, type Encoding } from './frame-encoding.ts';

/** Where a subscriber's bytes go. `write` never blocks; the reader looks at `isFull` first. */
export interface Sink {
  /** More bytes are unsent than the high-water mark. */
  isFull(): boolean;
  /** Takes the bytes, which are shared and must not be changed. */
  write(bytes: Buffer): void;
  /** Calls back once, when the sink has drained; never if it is closed first. */
  onceDrained(callback: () => void): void;
}

export type SubscribeRequest = {
  stream: string;
  /** The last seq the subscriber has. */
  afterSeq: number;
  encoding: Encoding;
  sink: Sink;
  /** Everything up to `seq` has been written, and what follows is live. Called once. */
  onCaughtUp: (seq: number) => void;
  /** The log no longer holds what comes next (it fell out of the replay window). The subscription has ended. */
  onLost: () => void;
};

export type Subscription = { readonly cursor: number; close(): void };

/** A listener of events in this process. */
export type Listener = {
  onEvent: (event: StoredEvent) => void;
  /** Events have been compacted away before they could be read: what they said is to be looked up. */
  onSkipped: () => void;
};
export type Follower = { close(): void };

export interface Feed {
  subscribe(request: SubscribeRequest): Subscription;
  /** From when this resolves on, `listener` is told of every event that is committed to `stream`, in order. */
  follow(stream: string, listener: Listener): Promise<Follower>;
  /** What the feed has done so far and what it holds. */
  readonly counts: Readonly<FeedCounts>;
  close(): void;
}

export type FeedCounts = {
  /** Events read from the log. */
  eventsRead: number;
  /** Events written to sinks. */
  eventsDelivered: number;
  bytesDelivered: number;
  /** Times a live subscriber was too slow and fell back to its cursor. */
  fallenBehind: number;
  readFailures: number;
  streams: number;
  subscribers: number;
};

export type FeedLog = { warn(fields: { err: unknown; stream: string }, text: string): void };

/** Events of one read: few enough that a slow socket overshoots its high-water mark by little. */
const BATCH_TARGET_BYTES = 256 * 1024;
const BATCH_LIMIT_EVENTS = 1_024;
/** What most who come back have missed fits into one read. */
const BATCH_FIRST_EVENTS = 256;
/** How long what was read for one who came back is there for the next, at most. After a restart of the gateway all clients are back within it. */
const KEEP_MS = 500;
/** Of all streams together; their frames take as much again. */
const KEPT_LIMIT_CHARS = 8 * 1024 * 1024;
/** After a failed read; doubled for each that follows, at most {@link RETRY_MAX_MS}. */
const RETRY_MS = 50;
const RETRY_MAX_MS = 2_000;

/** Events as they were read, without a gap from `firstSeq` on. */
class Batch {
  readonly items: readonly StoredEvent[];
  readonly firstSeq: number;
  readonly lastSeq: number;
  /** Length of all of their texts. */
  readonly chars: number;
  readonly #encoded = new Map<Encoding, EncodedEvents>();

  constructor(items: readonly StoredEvent[], firstSeq: number) {
    this.items = items;
    this.firstSeq = firstSeq;
    this.lastSeq = firstSeq + items.length - 1;
    this.chars = items.reduce((sum, item) => sum + item.json.length, 0);
  }

  /** What comes after `cursor`, which must be at least `firstSeq - 1`. */
  bytesAfter(cursor: number, encoding: Encoding): Buffer {
    let encoded = this.#encoded.get(encoding);
    if (encoded === undefined) {
      encoded = encodeEvents(this.items, encoding);
      this.#encoded.set(encoding, encoded);
    }
    const skipped = cursor - this.firstSeq;
    return skipped < 0 ? encoded.bytes : encoded.bytes.subarray(encoded.ends[skipped] ?? 0);
  }
}

type Read = { batch: Batch | null; logEnd: number };

/** One stream that somebody reads. */
class StreamTail {
  readonly stream: string;
  /** Read up to here, for the live subscribers and the followers; null until the log's end is known. */
  tail: number | null = null;
  /** The newest seq that is known to exist. */
  head = 0;
  pumping = false;
  batchEvents = BATCH_FIRST_EVENTS;
  readonly live = new Set<Subscriber>();
  readonly refilling = new Set<Subscriber>();
  readonly followers = new Set<{ listener: Listener }>();
  /** Reads under way, by their cursor: subscribers that come back together share one. */
  readonly reads = new Map<number, Promise<Read>>();
  /** What was read for subscribers that came back, as long as others may want the same. */
  readonly kept: Batch[] = [];
  readonly whenReady: (() => void)[] = [];

  constructor(stream: string) {
    this.stream = stream;
  }

  /** What comes next for `cursor`, where it has been kept. */
  keptAfter(cursor: number): Batch | undefined {
    return this.kept.find(({ firstSeq, lastSeq }) => cursor >= firstSeq - 1 && cursor < lastSeq);
  }

  get isUnused(): boolean {
    return (
      this.live.size === 0 &&
      this.refilling.size === 0 &&
      this.followers.size === 0 &&
      this.whenReady.length === 0
    );
  }
}

class Subscriber implements Subscription {
  readonly request: SubscribeRequest;
  cursor: number;
  closed = false;
  caughtUp = false;
  readonly #close: (subscriber: Subscriber) => void;

  constructor(request: SubscribeRequest, close: (subscriber: Subscriber) => void) {
    this.request = request;
    this.cursor = request.afterSeq;
    this.#close = close;
  }

  close(): void {
    this.closed = true;
    this.#close(this);
  }
}

/** The feed of this process. `log` hears of reads that failed; they are tried again. */
export function createFeed({ store, log }: { store: Store; log: FeedLog }): Feed {
  return new LogFeed(store, log);
}

class LogFeed implements Feed {
  readonly #store: Store;
  readonly #log: FeedLog;
  readonly #streams = new Map<string, StreamTail>();
  readonly #timers = new Set<NodeJS.Timeout>();
  /** Streams that keep batches. */
  readonly #keeping = new Set<StreamTail>();
  #keptChars = 0;
  #forgetting: NodeJS.Timeout | null = null;
  readonly #stopWatching: () => void;
  readonly #counts: Omit<FeedCounts, 'streams' | 'subscribers'> = {
    eventsRead: 0,
    eventsDelivered: 0,
    bytesDelivered: 0,
    fallenBehind: 0,
    readFailures: 0,
  };
  #closed = false;

  constructor(store: Store, log: FeedLog) {
    this.#store = store;
    this.#log = log;
    this.#stopWatching = store.watch((heads) => this.#wake(heads));
  }

  get counts(): FeedCounts {
    let subscribers = 0;
    for (const tail of this.#streams.values()) subscribers += tail.live.size + tail.refilling.size;
    return { ...this.#counts, streams: this.#streams.size, subscribers };
  }

  subscribe(request: SubscribeRequest): Subscription {
    const tail = this.#tailOf(request.stream);
    const subscriber = new Subscriber(request, (closing) => {
      tail.live.delete(closing);
      tail.refilling.delete(closing);
      this.#release(tail);
    });
    if (this.#closed) {
      subscriber.closed = true;
      return subscriber;
    }
    tail.refilling.add(subscriber);
    void this.#refill(tail, subscriber);
    return subscriber;
  }

  async follow(stream: string, listener: Listener): Promise<Follower> {
    const tail = this.#tailOf(stream);
    const follower = { listener };
    tail.followers.add(follower);
    // What was committed before the end of the log was known is not the follower's: it looks at the store after this.
    await this.#ready(tail);
    return {
      close: () => {
        tail.followers.delete(follower);
        this.#release(tail);
      },
    };
  }

  close(): void {
    if (this.#closed) return;
    this.#closed = true;
    this.#stopWatching();
    for (const timer of this.#timers) clearTimeout(timer);
    this.#forget();
    for (const tail of this.#streams.values()) {
      for (const subscriber of [...tail.live, ...tail.refilling]) subscriber.closed = true;
      for (const resolve of tail.whenReady.splice(0)) resolve();
    }
    this.#streams.clear();
  }

  #wake(heads: Heads): void {
    for (const [stream, seq] of heads) {
      const tail = this.#streams.get(stream);
      if (tail === undefined || seq <= tail.head) continue;
      tail.head = seq;
      void this.#pump(tail);
    }
  }

  #tailOf(stream: string): StreamTail {
    let tail = this.#streams.get(stream);
    if (tail === undefined) {
      tail = new StreamTail(stream);
      if (this.#closed) return tail;
      this.#streams.set(stream, tail);
      void this.#findEnd(tail);
    }
    return tail;
  }

  #release(tail: StreamTail): void {
    if (tail.isUnused && this.#streams.get(tail.stream) === tail) this.#streams.delete(tail.stream);
  }

  #isCurrent(tail: StreamTail): boolean {
    return !this.#closed && this.#streams.get(tail.stream) === tail;
  }

  /** Finds where the log ends. A wake that comes meanwhile is kept in `head`, so nothing between is missed. */
  async #findEnd(tail: StreamTail): Promise<void> {
    const end = await this.#tenaciously(tail, () => this.#store.lastSeq(tail.stream));
    if (end === null) return;
    tail.tail = end;
    tail.head = Math.max(tail.head, end);
    for (const resolve of tail.whenReady.splice(0)) resolve();
    void this.#pump(tail);
  }

  #ready(tail: StreamTail): Promise<void> {
    if (tail.tail !== null || this.#closed) return Promise.resolve();
    return new Promise((resolve) => tail.whenReady.push(resolve));
  }

  /** Reads what is new once and hands it to everybody who is live. */
  async #pump(tail: StreamTail): Promise<void> {
    if (tail.pumping || tail.tail === null) return;
    tail.pumping = true;
    try {
      while (tail.head > tail.tail && this.#isCurrent(tail)) {
        if (tail.live.size === 0 && tail.followers.size === 0) {
          // Only refilling subscribers: they read by themselves, and join when they have come this far.
          tail.tail = tail.head;
          return;
        }
        const from: number = tail.tail;
        const read = await this.#tenaciously(tail, () => this.#read(tail, from));
        if (read === null) return;
        if (read.batch === null) {
          this.#skip(tail, from, read.logEnd);
          continue;
        }
        tail.tail = read.batch.lastSeq;
        tail.head = Math.max(tail.head, read.logEnd);
        this.#publish(tail, read.batch);
      }
    } finally {
      tail.pumping = false;
    }
  }

  /** The log does not go on at `from`: what came next was compacted away, or has not become visible. */
  #skip(tail: StreamTail, from: number, logEnd: number): void {
    if (logEnd <= from) {
      // Told of a commit that is not there; the next wake brings it.
      tail.head = from;
      return;
    }
    tail.tail = logEnd;
    for (const subscriber of tail.live) this.#lose(tail, subscriber);
    for (const { listener } of tail.followers) listener.onSkipped();
  }

  #publish(tail: StreamTail, batch: Batch): void {
    for (const subscriber of tail.live) {
      if (subscriber.request.sink.isFull()) {
        this.#counts.fallenBehind += 1;
        tail.live.delete(subscriber);
        tail.refilling.add(subscriber);
        this.#refillWhenDrained(tail, subscriber);
      } else {
        this.#deliver(subscriber, batch);
      }
    }
    if (tail.followers.size === 0) return;
    for (const event of batch.items)
      for (const follower of tail.followers) follower.listener.onEvent(event);
  }

  #deliver(subscriber: Subscriber, batch: Batch): void {
    if (batch.lastSeq <= subscriber.cursor) return;
    const bytes = batch.bytesAfter(subscriber.cursor, subscriber.request.encoding);
    this.#counts.eventsDelivered += batch.lastSeq - subscriber.cursor;
    this.#counts.bytesDelivered += bytes.length;
    subscriber.cursor = batch.lastSeq;
    subscriber.request.sink.write(bytes);
  }

  /** Brings a subscriber from its cursor to the tail, as fast as its sink drains. */
  async #refill(tail: StreamTail, subscriber: Subscriber): Promise<void> {
    await this.#ready(tail);
    while (!subscriber.closed && this.#isCurrent(tail)) {
      if (subscriber.request.sink.isFull()) {
        this.#refillWhenDrained(tail, subscriber);
        return;
      }
      if (tail.tail !== null && subscriber.cursor >= tail.tail) {
        tail.refilling.delete(subscriber);
        tail.live.add(subscriber);
        if (!subscriber.caughtUp) {
          subscriber.caughtUp = true;
          subscriber.request.onCaughtUp(subscriber.cursor);
        }
        return;
      }
      const from = subscriber.cursor;
      const kept = tail.keptAfter(from);
      if (kept !== undefined) {
        this.#deliver(subscriber, kept);
        continue;
      }
      const read = await this.#tenaciously(tail, () => this.#read(tail, from));
      if (read === null || subscriber.closed) return;
      if (read.batch === null) {
        // More was there, or the tail would not be further: it has been compacted away.
        this.#lose(tail, subscriber);
        return;
      }
      this.#keep(tail, read.batch);
      this.#deliver(subscriber, read.batch);
    }
  }

  /** Keeps a batch for a moment, where somebody else reads this stream too: a lone reader's is of use to nobody. */
  #keep(tail: StreamTail, batch: Batch): void {
    const isShared = tail.live.size + tail.refilling.size > 1;
    if (!isShared || tail.kept.includes(batch)) return;
    if (this.#keptChars + batch.chars > KEPT_LIMIT_CHARS) return;
    tail.kept.push(batch);
    this.#keptChars += batch.chars;
    this.#keeping.add(tail);
    this.#forgetting ??= setTimeout(() => this.#forget(), KEEP_MS).unref();
  }

  #forget(): void {
    if (this.#forgetting !== null) clearTimeout(this.#forgetting);
    this.#forgetting = null;
    for (const tail of this.#keeping) tail.kept.length = 0;
    this.#keeping.clear();
    this.#keptChars = 0;
  }

  #refillWhenDrained(tail: StreamTail, subscriber: Subscriber): void {
    subscriber.request.sink.onceDrained(() => void this.#refill(tail, subscriber));
  }

  #lose(tail: StreamTail, subscriber: Subscriber): void {
    subscriber.closed = true;
    tail.live.delete(subscriber);
    tail.refilling.delete(subscriber);
    this.#release(tail);
    subscriber.request.onLost();
  }

  /** Events after `afterSeq`, shared by all who ask for the same while it is under way. */
  #read(tail: StreamTail, afterSeq: number): Promise<Read> {
    const pending = tail.reads.get(afterSeq);
    if (pending !== undefined) return pending;
    const read = this.#readLog(tail, afterSeq).finally(() => tail.reads.delete(afterSeq));
    tail.reads.set(afterSeq, read);
    return read;
  }

  async #readLog(tail: StreamTail, afterSeq: number): Promise<Read> {
    const { items, lastSeq } = await this.#store.events(tail.stream, afterSeq, tail.batchEvents);
    this.#counts.eventsRead += items.length;
    const gapAt = items.findIndex((item, index) => item.seq !== afterSeq + 1 + index);
    const gapless = gapAt === -1 ? items : items.slice(0, gapAt);
    if (gapless.length === 0) return { batch: null, logEnd: lastSeq };
    const batch = new Batch(gapless, afterSeq + 1);
    const wanted = Math.floor((BATCH_TARGET_BYTES * gapless.length) / Math.max(1, batch.chars));
    tail.batchEvents = Math.min(BATCH_LIMIT_EVENTS, Math.max(1, wanted));
    return { batch, logEnd: lastSeq };
  }

  /** Repeats a read that fails until it succeeds; null when nobody wants it any more. */
  async #tenaciously<T>(tail: StreamTail, read: () => Promise<T>): Promise<T | null> {
    for (
      let delayMs = RETRY_MS;
      this.#isCurrent(tail);
      delayMs = Math.min(delayMs * 2, RETRY_MAX_MS)
    ) {
      try {
        const result = await read();
        return this.#isCurrent(tail) ? result : null;
      } catch (error) {
        if (!this.#isCurrent(tail)) return null;
        this.#counts.readFailures += 1;
        this.#log.warn({ err: error, stream: tail.stream }, 'reading the log failed; trying again');
        await this.#pause(delayMs);
      }
    }
    return null;
  }

  #pause(delayMs: number): Promise<void> {
    return new Promise((resolve) => {
      const timer = setTimeout(() => {
        this.#timers.delete(timer);
        resolve();
      }, delayMs);
      this.#timers.add(timer);
    });
  }
}
