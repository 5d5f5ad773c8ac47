/**
 * The one queue of this process's writes: group commit.
 *
 * Invariants:
 *  1 Writes that arrive in one turn of the event loop, or while the lock is awaited, share a transaction and its
 *    one fsync; they run in the order of their arrival.
 *  2 Each stands alone: one that is refused has written nothing and leaves its neighbours as they are; where one
 *    fails half-way, the transaction is rolled back and each is run again by itself. (Savepoints would do the same and
 *    copy every page that a neighbour touches; what fails half-way is a defect or a full disk.)
 *  3 Nothing is answered before the transaction that holds it has been committed.
 *  4 A transaction runs in one go, never across a turn of the event loop.
 */
import { HoldfastError } from '../../contracts/errors.ts';
import type { Connection } from './connection.ts';
import { storageError } from './database-errors.ts';
import type { GiveWay } from './give-way.ts';
import { whenFree } from './when-free.ts';

/** Most events of one transaction (about 10 ms of this process's event loop); a larger write goes alone. */
const GROUP_EVENTS = 2_000;

/** How this process treats the others that write. */
export type Courtesy = Pick<GiveWay, 'waiting' | 'done' | 'owes' | 'pause'>;

type Write = {
  run: () => unknown;
  events: number;
  settle: (outcome: Outcome) => void;
  /** It shared a transaction that was lost. */
  alone: boolean;
};
type Outcome = { ok: true } | { ok: false; error: unknown };

export class Writer {
  readonly #connection: Connection;
  readonly #giveWay: Courtesy;
  readonly #onCommit: () => void;
  readonly #deadlineMs: number;
  #queue: Write[] = [];
  #pump: Promise<void> | null = null;
  #closed = false;

  /** `onCommit` is called after each commit, when other processes can see it. */
  constructor({
    connection,
    giveWay,
    onCommit,
    deadlineMs,
  }: {
    connection: Connection;
    giveWay: Courtesy;
    onCommit: () => void;
    /** How long a write waits for those of other processes. */
    deadlineMs: number;
  }) {
    this.#connection = connection;
    this.#giveWay = giveWay;
    this.#onCommit = onCommit;
    this.#deadlineMs = deadlineMs;
  }

  /** Runs `run` in a transaction. It is synchronous, may be run more than once, and undoes nothing itself. `events`: about how many it inserts. */
  write<T>({ run, events }: { run: () => T; events: number }): Promise<T> {
    if (this.#closed) return Promise.reject(new HoldfastError('shutting_down'));
    return new Promise<T>((resolve, reject) => {
      let value: T;
      this.#queue.push({
        run: () => {
          value = run();
        },
        events,
        settle: (outcome) => {
          if (outcome.ok) resolve(value);
          else reject(asError(outcome.error));
        },
        alone: false,
      });
      this.#pump ??= this.#start();
    });
  }

  /** Refuses further writes and resolves when the accepted ones are settled. */
  async close(): Promise<void> {
    this.#closed = true;
    await this.#pump;
  }

  async #start(): Promise<void> {
    try {
      while (this.#queue.length > 0) {
        // After the poll phase: what the sockets and files of this turn of the loop brought is all here.
        await new Promise((resolve) => setImmediate(resolve));
        if (this.#giveWay.owes()) await this.#giveWay.pause();
        await this.#commitNext();
      }
    } finally {
      this.#pump = null;
    }
  }

  async #commitNext(): Promise<void> {
    let group: Write[] = [];
    let outcomes: Outcome[] | null;
    try {
      outcomes = await whenFree({
        what: 'writing',
        deadlineMs: this.#deadlineMs,
        action: () => {
          this.#connection.prepare('BEGIN IMMEDIATE').run();
          group = this.#take();
          return this.#transact(group);
        },
        onBusy: () => this.#giveWay.waiting(),
      });
    } catch (error) {
      // Not even begun: all that is queued has been waiting for the same thing.
      group = this.#queue.splice(0);
      const outcome: Outcome = { ok: false, error: storageError(error, this.#connection.path) };
      outcomes = group.map(() => outcome);
    }
    this.#giveWay.done();
    if (outcomes === null) {
      this.#queue.unshift(...group.map((write) => ({ ...write, alone: true })));
      return;
    }
    if (outcomes.some(({ ok }) => ok)) this.#onCommit();
    for (const [index, outcome] of outcomes.entries()) group[index]?.settle(outcome);
  }

  #take(): Write[] {
    let events = 0;
    let count = 0;
    for (const write of this.#queue) {
      if (count > 0 && (write.alone || events + write.events > GROUP_EVENTS)) break;
      events += write.events;
      count += 1;
      if (write.alone) break;
    }
    return this.#queue.splice(0, count);
  }

  /** Runs the writes of an open transaction and commits it. Does not throw. Null: the transaction is lost, each of the several writes must go alone. */
  #transact(group: readonly Write[]): Outcome[] | null {
    try {
      const outcomes = group.map((write) => this.#isolate(write));
      this.#connection.prepare('COMMIT').run();
      return outcomes;
    } catch (error) {
      this.#connection.rollback();
      return group.length > 1
        ? null
        : [{ ok: false, error: storageError(error, this.#connection.path) }];
    }
  }

  /** Runs one write of an open transaction. Throws when it failed half-way: the transaction must not be committed. */
  #isolate({ run }: Write): Outcome {
    const before = this.#connection.writes;
    try {
      run();
      return { ok: true };
    } catch (error) {
      if (this.#connection.writes > before) throw error;
      return { ok: false, error: storageError(error, this.#connection.path) };
    }
  }
}

function asError(error: unknown): Error {
  return error instanceof Error ? error : new Error(String(error));
}
