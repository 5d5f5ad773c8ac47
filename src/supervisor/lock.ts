/**
 * One supervisor for a home.
 *
 *  1 The lock is a folder that holds one file, named after its owner (pid, start time, boot), and comes into being by a
 *    rename, whole: there is no moment in which it is held by nobody in particular.
 *  2 A rename onto a folder with a file in it fails, so of several takers one wins.
 *  3 A stale lock is emptied by removing the very name that was seen dead. That cannot hit a new owner, whose name is
 *    another; so taking over is safe even between two takers.
 *  4 The owner of another boot, or of a pid that was given to another process since, is dead.
 */
import { mkdirSync, readdirSync, renameSync, rmdirSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';

import {
  identify,
  isSameProcess,
  type ProcessIdentity,
} from '../providers/process/process-table.ts';

export type Lock = { release: () => void };
export type LockResult = { held: Lock } | { heldBy: ProcessIdentity };

/** Takes the lock in `folder`, or says who has it. Throws: what the file system throws. */
export function takeLock({ folder }: { folder: string }): LockResult {
  const self = identify(process.pid);
  if (self === null) throw new Error('/proc does not know this process');
  const name = nameOf(self);
  const lock = join(folder, 'lock');
  const prepared = join(folder, `lock.${name}`);
  mkdirSync(prepared, { recursive: true, mode: 0o700 });
  writeFileSync(join(prepared, name), '', { mode: 0o600 });
  try {
    for (;;) {
      if (renamed(prepared, lock)) return { held: { release: () => release(lock, name) } };
      for (const owner of ownersOf(lock)) {
        const identity = parseName(owner);
        if (identity !== null && isSameProcess(identity)) return { heldBy: identity };
        rmSync(join(lock, owner), { force: true, recursive: true });
      }
    }
  } finally {
    rmSync(prepared, { force: true, recursive: true });
  }
}

function renamed(from: string, to: string): boolean {
  try {
    renameSync(from, to);
    return true;
  } catch (error) {
    if (error instanceof Error && 'code' in error) {
      if (error.code === 'ENOTEMPTY' || error.code === 'EEXIST') return false;
    }
    throw error;
  }
}

function ownersOf(lock: string): string[] {
  try {
    return readdirSync(lock);
  } catch {
    // Released while we looked, or never taken.
    return [];
  }
}

function release(lock: string, name: string): void {
  rmSync(join(lock, name), { force: true });
  try {
    rmdirSync(lock);
  } catch {
    // Another owner has moved in already.
  }
}

function nameOf({ pid, startTime, bootId }: ProcessIdentity): string {
  return `${pid}_${startTime}_${bootId}`;
}

function parseName(name: string): ProcessIdentity | null {
  const [, pid, startTime, bootId] = /^([0-9]+)_([0-9]+)_([0-9a-f-]+)$/.exec(name) ?? [];
  return pid === undefined || startTime === undefined || bootId === undefined
    ? null
    : { pid: Number(pid), startTime, bootId };
}
