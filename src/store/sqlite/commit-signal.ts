/**
 * How a commit wakes the readers of other processes: the writer overwrites one byte of a file beside the database.
 *
 * Invariants:
 *  1 The byte is written after the commit: whoever is woken by it finds the commit. (Watching the WAL itself wakes
 *    readers before, and costs them a millisecond. Source: design.md section 2.)
 *  2 A wake may be lost, or come for nothing: readers also look by themselves, slowly (commits.ts).
 *  3 The file may be deleted or replaced at any time; both sides go on with the new one within {@link CHECK_MS}.
 */
import {
  closeSync,
  fstatSync,
  openSync,
  constants,
  statSync,
  watch,
  writeSync,
  type FSWatcher,
} from 'node:fs';

import type { StoreLog } from '../store-log.ts';

/** How often both sides look whether the file is still the one they hold. */
export const CHECK_MS = 1_000;

/** The writing side. Never throws: a wake that is lost is made up for by the readers. */
export class CommitAnnouncer {
  readonly #path: string;
  readonly #byte = new Uint8Array(1);
  #descriptor: number | null = null;
  #checkedAt = 0;

  constructor(path: string) {
    this.#path = path;
  }

  announce(): void {
    try {
      const time = performance.now();
      if (time - this.#checkedAt >= CHECK_MS) {
        this.#checkedAt = time;
        if (this.#descriptor !== null && !isAt(this.#descriptor, this.#path)) this.close();
      }
      this.#descriptor ??= openFile(this.#path);
      this.#byte[0] = ((this.#byte[0] ?? 0) + 1) & 0xff;
      writeSync(this.#descriptor, this.#byte, 0, 1, 0);
    } catch {
      this.close();
    }
  }

  close(): void {
    if (this.#descriptor !== null) closeSync(this.#descriptor);
    this.#descriptor = null;
  }
}

/** The reading side: calls `wake` soon after a commit of any process. */
export class CommitWatcher {
  readonly #path: string;
  readonly #wake: () => void;
  readonly #log: StoreLog;
  #watched: { watcher: FSWatcher; descriptor: number } | null = null;
  #complained = false;

  constructor({ path, wake, log }: { path: string; wake: () => void; log: StoreLog }) {
    this.#path = path;
    this.#wake = wake;
    this.#log = log;
    this.check();
  }

  /** Whether wakes can be expected. */
  get watching(): boolean {
    return this.#watched !== null;
  }

  /** Watches the file that is there now, making one when there is none. To be called every {@link CHECK_MS}. */
  check(): void {
    try {
      if (this.#watched !== null && isAt(this.#watched.descriptor, this.#path)) return;
      this.close();
      this.#watch(openFile(this.#path));
    } catch (error) {
      this.#fail(error);
    }
  }

  /** Holds the file open meanwhile: a file that replaced it cannot be given the same inode number then. */
  #watch(descriptor: number): void {
    try {
      const watcher = watch(this.#path, { persistent: false }, this.#wake);
      watcher.on('error', (error) => this.#fail(error));
      this.#watched = { watcher, descriptor };
    } catch (error) {
      closeSync(descriptor);
      throw error;
    }
  }

  close(): void {
    if (this.#watched === null) return;
    const { watcher, descriptor } = this.#watched;
    this.#watched = null;
    watcher.close();
    closeSync(descriptor);
  }

  #fail(error: unknown): void {
    this.close();
    if (this.#complained) return;
    this.#complained = true;
    this.#log('commits of other processes cannot be watched; the store is polled instead', {
      path: this.#path,
      error: String(error),
    });
  }
}

/** Opens the file to overwrite it, making it, with its one byte, when it is not there. */
function openFile(path: string): number {
  const descriptor = openSync(path, constants.O_RDWR | constants.O_CREAT, 0o600);
  if (fstatSync(descriptor).size === 0) writeSync(descriptor, new Uint8Array(1), 0, 1, 0);
  return descriptor;
}

/** Whether the open file is still the one under `path`. */
function isAt(descriptor: number, path: string): boolean {
  const there = statSync(path, { throwIfNoEntry: false });
  const held = fstatSync(descriptor);
  return there?.ino === held.ino && there.dev === held.dev;
}
