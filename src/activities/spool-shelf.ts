/** Spools of processes that have ended: the newest few are kept for whoever wants to look. */
import type { Spool } from '../providers/process/spool.ts';

const KEPT_SPOOLS = 20;
/** A larger one is not kept. */
const KEPT_SPOOL_BYTES = 8 * 1024 * 1024;

export class SpoolShelf {
  /** Oldest first. */
  #kept: Spool[] = [];

  /** Keeps them, and removes what is too old or too large then. */
  add(ended: readonly Spool[]): void {
    for (const spool of ended) {
      if (spool.outSize() > KEPT_SPOOL_BYTES) spool.remove();
      else this.#kept.push(spool);
    }
    this.#kept.sort((a, b) => (a.spec.createdAt < b.spec.createdAt ? -1 : 1));
    for (const spool of this.#kept.splice(0, Math.max(0, this.#kept.length - KEPT_SPOOLS)))
      spool.remove();
  }

  /** Its folder is made anew: the one of that name must not be tidied away later. */
  forget(name: string): void {
    this.#kept = this.#kept.filter((spool) => spool.name !== name);
  }
}
