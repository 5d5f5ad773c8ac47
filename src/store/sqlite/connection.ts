/**
 * One connection to the database file: opened, tuned, migrated, and never waited for by blocking.
 *
 * Invariants:
 *  1 No call sleeps in the event loop: the database's own busy handler is off; whoever finds it busy tries
 *    again later (`whenFree`), up to a deadline.
 *  2 A committed transaction is on disk: WAL with synchronous=FULL.
 *  3 Concurrent openers run each migration once.
 */
import { closeSync, existsSync, mkdirSync, openSync } from 'node:fs';
import { dirname } from 'node:path';
import {
  DatabaseSync,
  type SQLInputValue,
  type StatementResultingChanges,
  type StatementSync,
} from 'node:sqlite';

import { HoldfastError } from '../../contracts/errors.ts';
import { storageError } from './database-errors.ts';
import { isCurrent, migrateOnce } from './migrate.ts';
import { integer } from './rows.ts';
import { MIGRATIONS } from './schema.ts';
import { whenFree } from './when-free.ts';

export type Connection = {
  readonly database: DatabaseSync;
  readonly path: string;
  /** The statement for `sql`, prepared once. */
  prepare(sql: string): StatementSync;
  /** Runs a statement that writes. */
  run(sql: string, values: readonly SQLInputValue[]): StatementResultingChanges;
  /** How many statements {@link run} was given, failed ones too. */
  readonly writes: number;
  /** Ends an open transaction without its writes, if there is one: some errors have ended it already. Does not throw. */
  rollback(): void;
  /** Runs synchronous reads that must all see the same commit. */
  consistently<T>(read: () => T): T;
  close(): void;
};

/** Throws: `internal` for a database that is newer than this code, or is not one of ours. */
export async function openConnection({
  path,
  readOnly,
  deadlineMs,
  sizeLimitBytes,
}: {
  path: string;
  readOnly: boolean;
  /** How long to wait for other processes. */
  deadlineMs: number;
  sizeLimitBytes?: number;
}): Promise<Connection> {
  mkdirSync(dirname(path), { recursive: true, mode: 0o700 });
  createPrivate(path);
  const database = new DatabaseSync(path, { timeout: 0 });
  try {
    const wait = { what: 'opening it', deadlineMs };
    const plan = { database, path, migrations: MIGRATIONS };
    // Before anything is changed: it may be somebody else's.
    await whenFree({ ...wait, action: () => isCurrent(plan) });
    await whenFree({ ...wait, action: () => tune(database) });
    while (!(await whenFree({ ...wait, action: () => migrateOnce(plan) })));
    if (sizeLimitBytes !== undefined) limitSize(database, sizeLimitBytes);
    if (readOnly) database.exec('PRAGMA query_only = ON');
  } catch (error) {
    database.close();
    throw storageError(error, path);
  }
  return connectionTo(database, path);
}

function connectionTo(database: DatabaseSync, path: string): Connection {
  const statements = new Map<string, StatementSync>();
  let writes = 0;
  return {
    database,
    path,
    get writes() {
      return writes;
    },
    run(sql, values) {
      writes += 1;
      return this.prepare(sql).run(...values);
    },
    prepare(sql) {
      let statement = statements.get(sql);
      if (statement === undefined) {
        statement = database.prepare(sql);
        statements.set(sql, statement);
      }
      return statement;
    },
    rollback() {
      try {
        if (database.isTransaction) this.prepare('ROLLBACK').run();
      } catch {
        // The disk is gone as well; the error that led here says so.
      }
    },
    consistently(read) {
      if (database.isTransaction) return read();
      this.prepare('BEGIN').run();
      try {
        return read();
      } finally {
        // It has read only: there is nothing to commit.
        this.rollback();
      }
    },
    close() {
      database.close();
    },
  };
}

/**
 * Makes the file, for its owner alone: prompts are private. The files beside it take over its mode.
 *
 * Only when it is not there: whoever closes any descriptor of a file loses all of its process's locks on that file,
 * those of an open connection too (https://sqlite.org/howtocorrupt.html, section 2.2).
 */
function createPrivate(path: string): void {
  if (existsSync(path)) return;
  try {
    closeSync(openSync(path, 'wx', 0o600));
  } catch (error) {
    // Another process was faster.
    if (!existsSync(path)) throw error;
  }
}

function tune(database: DatabaseSync): void {
  const mode = database.prepare('PRAGMA journal_mode = WAL').get();
  if (mode?.['journal_mode'] !== 'wal')
    throw new HoldfastError(
      'internal',
      'The database cannot keep a write-ahead log where it is; it needs a local disk, not a network share.',
    );
  // Measured on 4 shared cores. wal_autocheckpoint: a checkpoint of 1,000 pages stalls one commit of a flood for 4 to
  // 9 ms, of 4,000 for 10 to 30 ms; every 250 pages costs a fifth of the throughput; a thread for checkpoints moved the
  // stalls but gained nothing for its 20 MB. At 20 × 50 events/s the slowest append in 8 s took 5 ms. cache_size: twice
  // as much gained nothing. journal_size_limit: a log that a burst has grown is cut back.
  database.exec(`
    PRAGMA synchronous = FULL;
    PRAGMA foreign_keys = ON;
    PRAGMA temp_store = MEMORY;
    PRAGMA cache_size = -8000;
    PRAGMA wal_autocheckpoint = 1000;
    PRAGMA journal_size_limit = 67108864;
  `);
}

function limitSize(database: DatabaseSync, sizeLimitBytes: number): void {
  const row = database.prepare('PRAGMA page_size').get() ?? {};
  const pageSize = integer(row, 'page_size');
  database.exec(`PRAGMA max_page_count = ${Math.max(1, Math.floor(sizeLimitBytes / pageSize))}`);
}
