/** The feed's invariants, over a log in memory that answers slowly, out of order, and sometimes not at all. */
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';

import { createFeed, type Feed, type Sink } from '../../src/api/feed.ts';
import type { Heads, Store, StoredEvent } from '../../src/store/port.ts';
import { eventually } from '../support/eventually.ts';
import { parseFrame } from './raw-socket.ts';

/** As much of a store as the feed uses. */
class MemoryLog {
  readonly streams = new Map<string, StoredEvent[]>();
  readonly #listeners = new Set<(heads: Heads) => void>();
  /** Turns of the event loop that a read takes; asked for each. */
  delay: () => number = () => 0;
  fails: () => boolean = () => false;
  reads = 0;
  /** The lowest seq that is still there. */
  floor = 1;

  append(stream: string, count: number, text = ''): void {
    const log = this.streams.get(stream) ?? [];
    this.streams.set(stream, log);
    for (let n = 0; n < count; n += 1) {
      const seq = log.length + 1;
      log.push({
        seq,
        type: 'notice',
        json: JSON.stringify({ type: 'notice', seq, stream, text }),
      });
    }
    this.wake(stream);
  }

  wake(stream: string): void {
    const heads = new Map([[stream, this.streams.get(stream)?.length ?? 0]]);
    for (const listener of this.#listeners) listener(heads);
  }

  get listeners(): number {
    return this.#listeners.size;
  }

  asStore(): Store {
    const answer = async <T>(look: () => T): Promise<T> => {
      this.reads += 1;
      const fails = this.fails();
      for (let turns = this.delay(); turns > 0; turns -= 1) await new Promise(setImmediate);
      if (fails) throw new Error('the disk hiccups');
      return look();
    };
    const log = (stream: string): StoredEvent[] => this.streams.get(stream) ?? [];
    return {
      lastSeq: (stream: string) => answer(() => log(stream).length),
      events: (stream: string, afterSeq: number, limit: number) =>
        answer(() => ({
          items: log(stream)
            .slice(Math.max(afterSeq, this.floor - 1))
            .slice(0, limit),
          lastSeq: log(stream).length,
        })),
      watch: (listener: (heads: Heads) => void) => {
        this.#listeners.add(listener);
        return () => this.#listeners.delete(listener);
      },
    } as unknown as Store;
  }
}

/** Decodes what it is given; drains when it is told to. */
class TestSink implements Sink {
  readonly seqs: number[] = [];
  readonly writes: Buffer[] = [];
  readonly #highWaterBytes: number;
  readonly #drained: (() => void)[] = [];
  unsentBytes = 0;
  mostUnsentBytes = 0;

  constructor(highWaterBytes = Infinity) {
    this.#highWaterBytes = highWaterBytes;
  }

  isFull(): boolean {
    return this.unsentBytes > this.#highWaterBytes;
  }

  write(bytes: Buffer): void {
    this.writes.push(bytes);
    this.unsentBytes += bytes.length;
    this.mostUnsentBytes = Math.max(this.mostUnsentBytes, this.unsentBytes);
    for (let rest = bytes; rest.length > 0;) {
      const frame = parseFrame(rest);
      if (frame === null) throw new Error('half a frame');
      this.seqs.push((JSON.parse(frame.payload.toString('utf8')) as { seq: number }).seq);
      rest = rest.subarray(frame.size);
    }
  }

  onceDrained(callback: () => void): void {
    this.#drained.push(callback);
  }

  drain(): void {
    this.unsentBytes = 0;
    for (const callback of this.#drained.splice(0)) callback();
  }
}

const quiet = { warn: () => undefined };
const upTo = (last: number, from = 1): number[] =>
  Array.from({ length: Math.max(0, last - from + 1) }, (_, index) => from + index);

function start(log: MemoryLog): Feed {
  return createFeed({ store: log.asStore(), log: quiet });
}

function join(feed: Feed, stream: string, afterSeq: number, sink: TestSink) {
  const seen = { caughtUp: [] as number[], lost: 0 };
  const subscription = feed.subscribe({
    stream,
    afterSeq,
    encoding: 'websocket',
    sink,
    onCaughtUp: (seq) => seen.caughtUp.push(seq),
    onLost: () => {
      seen.lost += 1;
    },
  });
  return { subscription, seen, sink };
}

describe('L4: every subscriber has exactly afterSeq + 1, + 2, … in order', () => {
  type Step =
    | { do: 'append'; stream: number; count: number; bytes: number }
    | { do: 'join'; stream: number; back: number; highWaterBytes: number }
    | { do: 'drain'; which: number }
    | { do: 'leave'; which: number }
    | { do: 'follow'; stream: number }
    | { do: 'wake again'; stream: number }
    | { do: 'turn'; times: number };

  const stream = fc.integer({ min: 0, max: 1 });
  const which = fc.integer({ min: 0, max: 30 });
  const step: fc.Arbitrary<Step> = fc.oneof(
    {
      weight: 4,
      arbitrary: fc
        .record({
          do: fc.constant('append' as const),
          stream,
          count: fc.integer({ min: 1, max: 400 }),
          bytes: fc.constantFrom(0, 10, 200, 70_000),
        })
        .map((s) => ({ ...s, count: s.bytes > 1_000 ? (s.count % 5) + 1 : s.count })),
    },
    {
      weight: 2,
      arbitrary: fc.record({
        do: fc.constant('join' as const),
        stream,
        back: fc.integer({ min: 0, max: 900 }),
        highWaterBytes: fc.constantFrom(0, 1_000, 50_000, Infinity),
      }),
    },
    { weight: 3, arbitrary: fc.record({ do: fc.constant('drain' as const), which }) },
    { weight: 1, arbitrary: fc.record({ do: fc.constant('leave' as const), which }) },
    { weight: 1, arbitrary: fc.record({ do: fc.constant('follow' as const), stream }) },
    { weight: 1, arbitrary: fc.record({ do: fc.constant('wake again' as const), stream }) },
    {
      weight: 3,
      arbitrary: fc.record({
        do: fc.constant('turn' as const),
        times: fc.integer({ min: 1, max: 6 }),
      }),
    },
  );

  it('whatever is appended, whoever joins, stops reading or leaves, however reads lag and fail', async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.array(step, { minLength: 5, maxLength: 60 }),
        fc.infiniteStream(fc.integer({ min: 0, max: 4 })),
        fc.infiniteStream(fc.integer({ min: 0, max: 19 })),
        async (steps, delays, failures) => {
          const log = new MemoryLog();
          log.delay = () => Number(delays.next().value);
          log.fails = () => failures.next().value === 0;
          const feed = start(log);
          type Member = ReturnType<typeof join> & { name: string; from: number; left: boolean };
          const members: Member[] = [];
          const followers: { name: string; from: number; seqs: number[] }[] = [];
          const length = (name: string): number => log.streams.get(name)?.length ?? 0;
          for (const one of steps) {
            switch (one.do) {
              case 'append':
                log.append(`s${one.stream}`, one.count, 'x'.repeat(one.bytes));
                break;
              case 'join': {
                const name = `s${one.stream}`;
                const from = Math.max(0, length(name) - one.back);
                const sink = new TestSink(one.highWaterBytes);
                members.push({ ...join(feed, name, from, sink), name, from, left: false });
                break;
              }
              case 'follow': {
                const name = `s${one.stream}`;
                const follower = { name, from: Infinity, seqs: [] as number[] };
                followers.push(follower);
                void feed
                  .follow(name, {
                    onEvent: (event) => follower.seqs.push(event.seq),
                    onSkipped: () => follower.seqs.push(Number.NaN),
                  })
                  .then(() => {
                    follower.from = length(name);
                    return null;
                  });
                break;
              }
              case 'drain':
                members[one.which % members.length]?.sink.drain();
                break;
              case 'leave': {
                const member = members[one.which % members.length];
                if (member === undefined) break;
                member.subscription.close();
                member.left = true;
                break;
              }
              case 'wake again':
                log.wake(`s${one.stream}`);
                break;
              case 'turn':
                for (let turns = 0; turns < one.times; turns += 1) await new Promise(setImmediate);
            }
          }
          log.fails = () => false;
          await eventually(() => {
            for (const { sink } of members) sink.drain();
            return members.every(
              ({ left, sink, name, from }) => left || sink.seqs.length >= length(name) - from,
            );
          }, 5_000);
          for (const { left, sink, name, from, seen } of members) {
            const wanted = upTo(length(name), from + 1);
            expect(sink.seqs).toEqual(left ? wanted.slice(0, sink.seqs.length) : wanted);
            expect(seen.lost).toBe(0);
            await eventually(() => left || seen.caughtUp.length === 1, 5_000);
          }
          await eventually(
            () =>
              followers.every(
                ({ name, from, seqs: seen }) =>
                  from === length(name) || (from < Infinity && seen.at(-1) === length(name)),
              ),
            5_000,
          );
          for (const { name, from, seqs } of followers) {
            expect(seqs.filter((seq) => seq > from)).toEqual(upTo(length(name), from + 1));
            expect(seqs).toEqual(upTo(seqs.at(-1) ?? 0, seqs[0]));
          }
          for (const { subscription } of members) subscription.close();
          feed.close();
          expect(log.listeners).toBe(0);
        },
      ),
      { numRuns: 150 },
    );
  }, 120_000);
});

describe('F3: reading and encoding once', () => {
  it('a hundred live subscribers share one read and one buffer', async () => {
    const log = new MemoryLog();
    const feed = start(log);
    log.append('s', 10);
    const members = upTo(100).map(() => join(feed, 's', 10, new TestSink()));
    await eventually(() => members.every(({ seen }) => seen.caughtUp.length === 1));
    const before = log.reads;
    log.append('s', 50);
    await eventually(() => members.every(({ sink }) => sink.seqs.length === 50));
    expect(log.reads - before).toBe(1);
    const [first] = members;
    for (const { sink } of members) {
      expect(sink.writes).toHaveLength(1);
      expect(sink.writes[0]?.buffer).toBe(first?.sink.writes[0]?.buffer);
      expect(sink.seqs).toEqual(upTo(60, 11));
    }
    feed.close();
  });

  it('subscribers that come back together with one cursor share the replay', async () => {
    const log = new MemoryLog();
    log.delay = () => 3;
    const feed = start(log);
    log.append('s', 100);
    const members = upTo(50).map(() => join(feed, 's', 20, new TestSink()));
    await eventually(() => members.every(({ seen }) => seen.caughtUp.length === 1));
    // One for the end of the log, one for the events.
    expect(log.reads).toBe(2);
    feed.close();
  });

  it('a stream that nobody reads is not read', async () => {
    const log = new MemoryLog();
    const feed = start(log);
    log.append('s', 100);
    const member = join(feed, 's', 100, new TestSink());
    await eventually(() => member.seen.caughtUp.length === 1);
    member.subscription.close();
    expect(feed.counts).toMatchObject({ streams: 0, subscribers: 0 });
    const before = log.reads;
    log.append('s', 100);
    await new Promise(setImmediate);
    expect(log.reads).toBe(before);
    feed.close();
  });
});

describe('W2: bounded', () => {
  it('a full sink gets nothing more until it drains, and overshoots by one batch at most', async () => {
    const log = new MemoryLog();
    const feed = start(log);
    const slow = join(feed, 's', 0, new TestSink(10_000));
    const quick = join(feed, 's', 0, new TestSink());
    await eventually(() => slow.seen.caughtUp.length === 1);
    for (let n = 1; n <= 200; n += 1) {
      log.append('s', 100, 'x'.repeat(1_000));
      await eventually(() => quick.sink.seqs.length === n * 100);
    }
    expect(slow.sink.unsentBytes).toBeLessThan(700_000);
    expect(feed.counts.fallenBehind).toBe(1);
    await eventually(() => {
      slow.sink.drain();
      return slow.sink.seqs.length === 20_000;
    });
    expect(slow.sink.seqs).toEqual(upTo(20_000));
    expect(slow.sink.mostUnsentBytes).toBeLessThan(700_000);
    feed.close();
  });
});

describe('what cannot be replayed', () => {
  it('is said once, and the subscription is over', async () => {
    const log = new MemoryLog();
    const feed = start(log);
    log.append('s', 100);
    log.floor = 50;
    const old = join(feed, 's', 10, new TestSink());
    const exact = join(feed, 's', 49, new TestSink());
    await eventually(() => old.seen.lost === 1 && exact.sink.seqs.length === 51);
    log.append('s', 10);
    await eventually(() => exact.sink.seqs.length === 61);
    expect(old.sink.seqs).toEqual([]);
    expect(old.seen).toEqual({ caughtUp: [], lost: 1 });
    expect(feed.counts.subscribers).toBe(1);
    feed.close();
  });

  it('also when it happens to a live reader', async () => {
    const log = new MemoryLog();
    const feed = start(log);
    const member = join(feed, 's', 0, new TestSink());
    await eventually(() => member.seen.caughtUp.length === 1);
    log.delay = () => 3;
    log.append('s', 100);
    log.floor = 60;
    await eventually(() => member.seen.lost === 1);
    expect(member.sink.seqs).toEqual([]);
    expect(feed.counts).toMatchObject({ streams: 0, subscribers: 0 });
    feed.close();
  });
});

describe('followers', () => {
  it('are given everything that is committed after follow has answered', async () => {
    const log = new MemoryLog();
    log.delay = () => 2;
    const feed = start(log);
    log.append('s', 5);
    const seen: number[] = [];
    const answered = feed.follow('s', {
      onEvent: (event) => seen.push(event.seq),
      onSkipped: () => undefined,
    });
    log.append('s', 1);
    const follower = await answered;
    log.append('s', 3);
    await eventually(() => seen.at(-1) === 9);
    expect(seen.filter((seq) => seq > 6)).toEqual([7, 8, 9]);
    follower.close();
    expect(feed.counts.streams).toBe(0);
    feed.close();
  });

  it('are told when events were compacted away before they could be read', async () => {
    const log = new MemoryLog();
    const feed = start(log);
    const seen: (number | string)[] = [];
    await feed.follow('s', {
      onEvent: (event) => seen.push(event.seq),
      onSkipped: () => seen.push('skipped'),
    });
    log.append('s', 3);
    await eventually(() => seen.length === 3);
    log.delay = () => 3;
    log.append('s', 10);
    log.floor = 9;
    await eventually(() => seen.length === 4);
    log.append('s', 1);
    await eventually(() => seen.at(-1) === 14);
    expect(seen).toEqual([1, 2, 3, 'skipped', 14]);
    feed.close();
  });

  it('a closed feed answers, and holds nothing', async () => {
    const log = new MemoryLog();
    log.delay = () => 5;
    const feed = start(log);
    const answered = feed.follow('s', { onEvent: () => undefined, onSkipped: () => undefined });
    feed.close();
    const follower = await answered;
    follower.close();
    expect(feed.counts).toMatchObject({ streams: 0, subscribers: 0 });
    expect(join(feed, 's', 0, new TestSink()).seen.caughtUp).toEqual([]);
    expect(log.listeners).toBe(0);
  });
});
