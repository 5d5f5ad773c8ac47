/** Why a write was refused, and whether it is worth another try. */
import { type HoldfastError, isHoldfastError } from '../contracts/errors.ts';

/** Between two tries of a write that waits for room. */
const ROOM_PAUSE_MS = 1_000;

/** The store's word for it, or the file system's. */
export function isStorageFull(error: unknown): boolean {
  if (isHoldfastError(error)) return error.code === 'storage_full';
  const code = error instanceof Error && 'code' in error ? error.code : null;
  return code === 'ENOSPC' || code === 'EDQUOT';
}

/** Somebody else may write here now. */
export function isFenced(error: unknown): error is HoldfastError {
  return isHoldfastError(error) && error.code === 'fenced';
}

/** Whether the same write may succeed later: the disk is full, or another process holds the database. */
export function isPassing(error: unknown): boolean {
  return isStorageFull(error) || (isHoldfastError(error) && error.code === 'internal');
}

/** Repeats a write as long as there is no room for it. Every other failure is the caller's. */
export async function whenThereIsRoom<T>(write: () => Promise<T>): Promise<T> {
  for (;;) {
    try {
      return await write();
    } catch (error) {
      if (!isStorageFull(error)) throw error;
      await new Promise((resolve) => setTimeout(resolve, ROOM_PAUSE_MS));
    }
  }
}
