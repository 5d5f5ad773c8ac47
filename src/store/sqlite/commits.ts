/**
 * Watching for commits: which streams grew, told to this process's listeners.
 *
 * Invariants:
 *  1 Every listener is told of every growth after its own `watch` call, in order, at least once.
 *  2 A listener is called from its own turn of the event loop, never from inside a caller's `append` or `watch`.
 *  3 One query for a wake, however many commits and listeners: wakes of one turn of the loop are one.
 */
import { setImmediate as nextTurn } from 'node:timers';

import type { Heads } from '../port.ts';
import type { StoreLog } from '../store-log.ts';
import { CHECK_MS, CommitWatcher } from './commit-signal.ts';
import type { Connection } from './connection.ts';
import { isBusy } from './database-errors.ts';
import { integer, text } from './rows.ts';

/** How often to look without a wake when the file cannot be watched (inotify's limits). */
const UNWATCHED_POLL_MS = 20;
const BUSY_RETRY_MS = 2;

/** By what is new alone. Not by the index on (stream, seq): going through that to group would read the whole log. */
const GROWTH = `
  SELECT name, last_seq, last_event
  FROM (SELECT stream, max(seq) AS last_seq, max(event) AS last_event FROM events NOT INDEXED WHERE event > ? GROUP BY stream)
  JOIN streams USING (stream) ORDER BY last_event`;

export class Commits {
  readonly #connection: Connection;
  readonly #path: string;
  readonly #log: StoreLog;
  readonly #listeners = new Set<(heads: Heads) => void>();
  /** The newest event that listeners were told of. */
  #known = 0;
  #watcher: CommitWatcher | null = null;
  #poll: NodeJS.Timeout | null = null;
  #scheduled = false;
  #closed = false;

  /** `path`: of the file that writers overwrite. */
  constructor({ connection, path, log }: { connection: Connection; path: string; log: StoreLog }) {
    this.#connection = connection;
    this.#path = path;
    this.#log = log;
  }

  watch(listener: (heads: Heads) => void): () => void {
    // A function of its own, so that the same listener may be given twice.
    const own = (heads: Heads): void => listener(heads);
    if (this.#listeners.size === 0) this.#begin();
    this.#listeners.add(own);
    return () => {
      this.#listeners.delete(own);
      if (this.#listeners.size === 0) this.#end();
    };
  }

  /** There may have been a commit: look soon. */
  wake(): void {
    if (this.#scheduled || this.#listeners.size === 0) return;
    this.#scheduled = true;
    nextTurn(() => {
      this.#scheduled = false;
      this.#look();
    });
  }

  close(): void {
    this.#closed = true;
    this.#listeners.clear();
    this.#end();
  }

  #begin(): void {
    if (this.#closed) return;
    // Watched first and read then: a commit in between wakes for nothing, none is missed.
    this.#watcher = new CommitWatcher({
      path: this.#path,
      wake: () => this.wake(),
      log: this.#log,
    });
    this.#known = this.#newest();
    this.#pollLater();
  }

  #pollLater(): void {
    const delayMs = this.#watcher?.watching === true ? CHECK_MS : UNWATCHED_POLL_MS;
    this.#poll = setTimeout(() => {
      this.#watcher?.check();
      this.wake();
      this.#pollLater();
    }, delayMs);
    this.#poll.unref();
  }

  #end(): void {
    this.#watcher?.close();
    this.#watcher = null;
    if (this.#poll !== null) clearTimeout(this.#poll);
    this.#poll = null;
  }

  #newest(): number {
    try {
      const row = this.#connection
        .prepare('SELECT coalesce(max(event), 0) AS newest FROM events')
        .get();
      return row === undefined ? 0 : integer(row, 'newest');
    } catch (error) {
      if (!isBusy(error)) throw error;
      // From the beginning, then: telling of what is old is allowed, missing what is new is not.
      return 0;
    }
  }

  #look(): void {
    if (this.#listeners.size === 0) return;
    const heads = new Map<string, number>();
    try {
      const rows = this.#connection.prepare(GROWTH).all(this.#known);
      for (const row of rows) {
        heads.set(text(row, 'name'), integer(row, 'last_seq'));
        this.#known = integer(row, 'last_event');
      }
    } catch (error) {
      // Busy for a moment: another process opens or closes the database.
      if (isBusy(error)) setTimeout(() => this.wake(), BUSY_RETRY_MS).unref();
      else this.#log('the store could not be read', { error: String(error) });
      return;
    }
    if (heads.size === 0) return;
    for (const listener of this.#listeners) {
      try {
        listener(heads);
      } catch (error) {
        this.#log('a listener of the store failed', { error: String(error) });
      }
    }
  }
}
