/**
 * A disk that fills up and is emptied again, without another process's disk being filled: a part of this one is declared
 * to be all there is, by the reserve that Holdfast is told to keep, and a real file takes that part up.
 *
 * 1 The file has no name: whatever ends this process, kill -9 included, the disk has its room again.
 * 2 It takes what is needed at that moment: what others write or remove meanwhile makes it smaller or larger.
 */
import { spawnSync } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { closeSync, ftruncateSync, openSync, rmSync, statfsSync, writeSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

const MB = 1024 * 1024;
/** What others may write to the disk meanwhile. */
const PART_BYTES = 2_048 * MB;
/** The same, where a file of that size is not had in a moment. */
const WRITTEN_PART_BYTES = 256 * MB;
/** Of a small disk no more than this is taken. */
const PART_OF_DISK = 1 / 4;
/** A full disk has so much less free than the reserve; what runs has still more than enough. */
const SHORT_BYTES = 64 * MB;
/** When the disk has got so much more room since, it is not filled: that would take it from others. */
const MOST_OF_PART = 1.25;

/** Of util-linux. */
const ALLOCATOR = 'fallocate';

export class Ballast {
  /** For `HOLDFAST_DISK_RESERVE_BYTES`. */
  readonly reserveBytes: number;
  readonly folder: string;
  readonly #descriptor: number;
  readonly #canAllocate: boolean;
  readonly #mostBytes: number;
  #sizeBytes = 0;
  #removed = false;

  /**
   * `folder`: on the disk in question. `share`: of the part that is usual, from 0 to 1. Who takes less is no disturbance
   * to others on the disk: when that part is full, theirs is not.
   */
  constructor({ folder = tmpdir(), share = 1 }: { folder?: string; share?: number } = {}) {
    this.folder = folder;
    const path = join(folder, `holdfast-ballast-${process.pid}-${performance.now()}`);
    this.#descriptor = openSync(path, 'wx');
    rmSync(path);
    this.#canAllocate = this.#allocate(MB);
    this.empty();
    const free = this.#freeBytes();
    const usual = this.#canAllocate ? PART_BYTES : WRITTEN_PART_BYTES;
    const part = share * Math.min(usual, free * PART_OF_DISK);
    this.reserveBytes = Math.floor(free - part);
    this.#mostBytes = Math.ceil(part * MOST_OF_PART) + SHORT_BYTES;
  }

  /** Leaves less than the reserve free. False: it could not. */
  fill(): boolean {
    const short = Math.min(SHORT_BYTES, this.reserveBytes / 4);
    // What was allocated may not all count at once, and others go on writing.
    for (let tries = 0; tries < 3 && !this.isFull; tries += 1) {
      const missing = Math.ceil(this.#freeBytes() - this.reserveBytes + short);
      if (this.#sizeBytes + missing > this.#mostBytes) return false;
      this.#grow(missing);
    }
    return this.isFull;
  }

  /** Whether less than the reserve is free, by whomever. */
  get isFull(): boolean {
    return this.#freeBytes() < this.reserveBytes;
  }

  /** Makes room again. */
  empty(): void {
    if (this.#removed) return;
    ftruncateSync(this.#descriptor, 0);
    this.#sizeBytes = 0;
  }

  /** Makes room for good. */
  remove(): void {
    if (this.#removed) return;
    this.#removed = true;
    closeSync(this.#descriptor);
  }

  #freeBytes(): number {
    const { bavail, bsize } = statfsSync(this.folder);
    return bavail * bsize;
  }

  #grow(byBytes: number): void {
    if (byBytes <= 0 || this.#removed) return;
    if (this.#canAllocate && this.#allocate(this.#sizeBytes + byBytes)) return;
    // Noise: some file systems keep what repeats, or is zero, in less room.
    const block = randomBytes(8 * MB);
    const end = this.#sizeBytes + byBytes;
    while (this.#sizeBytes < end)
      this.#sizeBytes += writeSync(this.#descriptor, block, 0, block.length, this.#sizeBytes);
  }

  /** Where there is such a program and the file system can: real room in a moment, without a byte being written. */
  #allocate(sizeBytes: number): boolean {
    const inChild = 3;
    const { status } = spawnSync(ALLOCATOR, ['-l', String(sizeBytes), `/dev/fd/${inChild}`], {
      stdio: ['ignore', 'ignore', 'ignore', this.#descriptor],
    });
    if (status !== 0) return false;
    this.#sizeBytes = sizeBytes;
    return true;
  }
}
