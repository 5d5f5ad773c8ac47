/**
 * A disk that fills up and is emptied again, without another process's disk being filled: a part of this one is declared
 * to be all there is, by the reserve that Holdfast is told to keep, and a real file takes that part up.
 */
import { closeSync, mkdtempSync, openSync, rmSync, statfsSync, writeSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

/** What others write to the disk while a test runs should be less. */
const PART_BYTES = 256 * 1024 * 1024;

export class Ballast {
  /** For `HOLDFAST_DISK_RESERVE_BYTES`. */
  readonly reserveBytes: number;
  readonly #folder: string;

  constructor() {
    this.#folder = mkdtempSync(join(tmpdir(), 'holdfast-ballast-'));
    const { bavail, bsize } = statfsSync(this.#folder);
    this.reserveBytes = Math.max(0, bavail * bsize - PART_BYTES);
  }

  /** Leaves less than the reserve free; what runs has still more than enough. */
  fill(): void {
    const block = Buffer.alloc(8 * 1024 * 1024);
    const descriptor = openSync(join(this.#folder, 'ballast'), 'w');
    try {
      for (let size = 0; size < 2 * PART_BYTES; size += block.length) writeSync(descriptor, block);
    } finally {
      closeSync(descriptor);
    }
  }

  /** Makes room again. */
  empty(): void {
    rmSync(join(this.#folder, 'ballast'), { force: true });
  }

  remove(): void {
    rmSync(this.#folder, { recursive: true, force: true });
  }
}
