/**
 * Work that is done at most once for each frame that the browser draws (rule 3 of the contract). A page that nobody sees draws none:
 * then a timer does it.
 */
import type { Parts, Stop } from './parts.ts';

/** A hidden page is brought up to date this often, so that it is when somebody looks. */
const HIDDEN_MS = 250;

export class FrameBatch {
  readonly #parts: Pick<Parts, 'after' | 'beforeFrame' | 'isHidden'>;
  readonly #jobs = new Set<() => void>();
  #stop: Stop | null = null;

  constructor(parts: Pick<Parts, 'after' | 'beforeFrame' | 'isHidden'>) {
    this.#parts = parts;
  }

  /** Calls `job` once before the next frame, however often it is asked for. */
  request(job: () => void): void {
    this.#jobs.add(job);
    this.#stop ??= this.#begin();
  }

  /** What was asked for in vain: it is being done now, or its owner has gone. */
  forget(job: () => void): void {
    this.#jobs.delete(job);
  }

  /** The page was hidden or shown: a frame that is waited for may never come. */
  visibilityChanged(): void {
    if (this.#stop === null) return;
    this.#stop();
    this.#stop = this.#begin();
  }

  close(): void {
    this.#stop?.();
    this.#stop = null;
    this.#jobs.clear();
  }

  #begin(): Stop {
    const run = (): void => this.#run();
    return this.#parts.isHidden()
      ? this.#parts.after(HIDDEN_MS, run)
      : this.#parts.beforeFrame(run);
  }

  #run(): void {
    this.#stop = null;
    const jobs = [...this.#jobs];
    this.#jobs.clear();
    for (const job of jobs) job();
  }
}
