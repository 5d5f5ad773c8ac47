/**
 * Fairness between writing processes, which the database itself does not give: a writer that floods takes
 * the lock again microseconds after it let go, and one that tries every millisecond may not get in for seconds.
 *
 * A process that finds the lock taken says so in a small file beside the database; whoever has committed since
 * that process began to wait, gives way once, briefly, before it writes again. Nobody waits: the file costs one
 * read of 24 bytes for each commit (about 2 µs).
 *
 * Invariants:
 *  1 Two waiters never give way to each other: only who has had a turn since the other's wait began gives way.
 *  2 A mark that its writer does not renew (it died) is void after {@link STALE_MS}; it is never a lock.
 */
import { closeSync, constants, openSync, readSync, writeSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';

/** A waiter renews its mark at every try, some ms apart. */
const STALE_MS = 50;
/** A waiter tries every 0.5 to 1.5 ms at first: it will have tried at least twice. */
const GIVE_WAY_MS = 4;
const MARK_BYTES = 24;

type Mark = { id: number; since: number; renewed: number };
const NOBODY: Mark = { id: 0, since: 0, renewed: 0 };

/** The monotonic clock, which all processes of a machine share; `performance.now` begins anew in each. */
function machineNow(): number {
  return Number(process.hrtime.bigint()) / 1e6;
}

export class GiveWay {
  readonly #id = Math.floor(Math.random() * Number.MAX_SAFE_INTEGER) + 1;
  readonly #buffer = new DataView(new ArrayBuffer(MARK_BYTES));
  readonly #descriptor: number;
  readonly #now: () => number;
  #waitingSince: number | null = null;
  #lastCommit = 0;

  constructor({
    path,
    now = machineNow,
  }: {
    /** Of the file that the processes share. */
    path: string;
    /** Milliseconds, finer than one, comparable between the processes of a machine. */
    now?: () => number;
  }) {
    this.#now = now;
    this.#descriptor = openSync(path, constants.O_RDWR | constants.O_CREAT, 0o600);
  }

  /** This process found the lock taken, again or for the first time. */
  waiting(): void {
    const time = this.#now();
    this.#waitingSince ??= time;
    const mark = this.#read();
    // The longest waiter keeps the place.
    if (isFresh(mark, time) && mark.id !== this.#id && mark.since < this.#waitingSince) return;
    this.#write({ id: this.#id, since: this.#waitingSince, renewed: time });
  }

  /** This process has committed, or given up. */
  done(): void {
    this.#lastCommit = this.#now();
    if (this.#waitingSince === null) return;
    this.#waitingSince = null;
    if (this.#read().id === this.#id) this.#write(NOBODY);
  }

  /** Whether another process waits since before this one's last commit. */
  owes(): boolean {
    const mark = this.#read();
    return mark.id !== this.#id && isFresh(mark, this.#now()) && mark.since <= this.#lastCommit;
  }

  /** Lets the waiting process go first: resolves when it has gone, or after a few milliseconds. */
  async pause(): Promise<void> {
    const until = this.#now() + GIVE_WAY_MS;
    do await sleep(1);
    while (this.owes() && this.#now() < until);
  }

  close(): void {
    closeSync(this.#descriptor);
  }

  #read(): Mark {
    if (readMark(this.#descriptor, this.#buffer) < MARK_BYTES) return NOBODY;
    return {
      id: this.#buffer.getFloat64(0),
      since: this.#buffer.getFloat64(8),
      renewed: this.#buffer.getFloat64(16),
    };
  }

  #write({ id, since, renewed }: Mark): void {
    this.#buffer.setFloat64(0, id);
    this.#buffer.setFloat64(8, since);
    this.#buffer.setFloat64(16, renewed);
    try {
      writeSync(this.#descriptor, this.#buffer, 0, MARK_BYTES, 0);
    } catch {
      // A full disk: fairness is a courtesy, the append is what has to say so.
    }
  }
}

/** The number of bytes read; fairness is a courtesy, so an error is none. */
function readMark(descriptor: number, buffer: DataView): number {
  try {
    return readSync(descriptor, buffer, 0, MARK_BYTES, 0);
  } catch {
    return 0;
  }
}

function isFresh(mark: Mark, time: number): boolean {
  return mark.id !== 0 && Math.abs(time - mark.renewed) < STALE_MS;
}
