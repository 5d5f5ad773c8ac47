/** Waiting for a busy database without blocking the event loop. */
import { setTimeout as sleep } from 'node:timers/promises';

import { HoldfastError } from '../../contracts/errors.ts';
import { isBusy } from './database-errors.ts';

/** How long an operation waits for other processes' writes before it fails. The longest that a healthy one holds the lock, a checkpoint of a large WAL on a slow disk, is a second or two. */
export const BUSY_DEADLINE_MS = 10_000;

/** Runs `action` now, or as soon as no other process is in its way. Throws: `internal` after `deadlineMs`. */
export async function whenFree<T>({
  action,
  what,
  deadlineMs,
  onBusy,
}: {
  /** Synchronous; what it throws while the database is busy has done nothing. */
  action: () => T;
  /** For the error's message. */
  what: string;
  deadlineMs: number;
  /** Called after each attempt in vain. */
  onBusy?: () => void;
}): Promise<T> {
  const started = performance.now();
  for (let attempt = 1; ; attempt += 1) {
    try {
      return action();
    } catch (error) {
      if (!isBusy(error)) throw error;
      const waitedMs = Math.round(performance.now() - started);
      if (waitedMs >= deadlineMs)
        throw new HoldfastError(
          'internal',
          `The database has been locked by another process for ${waitedMs} ms, while ${what}.`,
          { waitedMs },
        );
      onBusy?.();
      await sleep(backoffMs(attempt));
    }
  }
}

/** About 1 ms at first, when the lock is one commit away; never more than 10 on average, whatever holds it. Jittered, so that two waiters part. */
function backoffMs(attempt: number): number {
  return Math.min(10, 1 + attempt / 20) * (0.5 + Math.random());
}
