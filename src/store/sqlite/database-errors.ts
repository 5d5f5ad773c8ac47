/** What errors of the database mean. */
import { statfsSync } from 'node:fs';
import { dirname } from 'node:path';

import { HoldfastError } from '../../contracts/errors.ts';

/** Primary result codes of SQLite: https://sqlite.org/rescode.html */
const SQLITE_BUSY = 5;
const SQLITE_IOERR = 10;
const SQLITE_FULL = 13;
const SQLITE_CANTOPEN = 14;
const SQLITE_PROTOCOL = 15;

/** The primary code of a database error, or null for another error. */
function resultCode(error: unknown): number | null {
  if (typeof error !== 'object' || error === null || !('errcode' in error)) return null;
  return typeof error.errcode === 'number' ? error.errcode & 0xff : null;
}

/** Whether another process was in the way; the same call succeeds later. */
export function isBusy(error: unknown): boolean {
  const code = resultCode(error);
  // PROTOCOL: lost the race for the WAL's locks too often; it means busy.
  return code === SQLITE_BUSY || code === SQLITE_PROTOCOL;
}

/** `storage_full` for what a full disk looks like from here; anything else as it is. */
export function storageError(error: unknown, path: string): unknown {
  const code = resultCode(error);
  const full =
    code === SQLITE_FULL ||
    // A quota, or no room for a file to be made or to grow, is reported as an error of reading or opening.
    ((code === SQLITE_IOERR || code === SQLITE_CANTOPEN) && freeBytes(path) < 1024 * 1024);
  return full ? new HoldfastError('storage_full') : error;
}

function freeBytes(path: string): number {
  try {
    const { bavail, bsize } = statfsSync(dirname(path));
    return bavail * bsize;
  } catch {
    return Number.POSITIVE_INFINITY;
  }
}
