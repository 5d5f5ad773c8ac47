/**
 * Work for when the browser has nothing better to do.
 *
 * Invariants:
 *  1 A job runs once, in the order in which it was added, or never when it was cancelled.
 *  2 A job that is cancelled or done is held by nobody: what it closes over can be collected at once.
 *  3 At most one wake-up is asked for at a time, and none while there is nothing to do.
 */

/** Calls `run` when there is time; `hasTime` tells whether there is still some. */
export type IdleScheduler = (run: (hasTime: () => boolean) => void) => void;

export type IdleQueue = {
  /** Answers with how to cancel it. */
  add(job: () => void): () => void;
  /** Jobs that wait. */
  readonly size: number;
};

export function createIdleQueue(schedule: IdleScheduler = whenIdle): IdleQueue {
  const jobs = new Set<() => void>();
  let isAsked = false;
  const ask = (): void => {
    if (isAsked || jobs.size === 0) return;
    isAsked = true;
    schedule(run);
  };
  const run = (hasTime: () => boolean): void => {
    isAsked = false;
    try {
      for (const job of jobs) {
        jobs.delete(job);
        job();
        if (!hasTime()) break;
      }
    } finally {
      ask();
    }
  };
  return {
    add(job) {
      // one closure for each time that it is added: the same function twice is two jobs
      const own = (): void => job();
      jobs.add(own);
      ask();
      return () => void jobs.delete(own);
    },
    get size() {
      return jobs.size;
    },
  };
}

/** A browser without `requestIdleCallback` (Safari) does it in a task of its own, one job each. */
function whenIdle(run: (hasTime: () => boolean) => void): void {
  if (typeof requestIdleCallback === 'function')
    requestIdleCallback((deadline) => run(() => deadline.timeRemaining() > 4), { timeout: 2_000 });
  else setTimeout(() => run(() => false), 50);
}
