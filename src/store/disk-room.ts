/**
 * Room on the disks that Holdfast writes to: the store's, the spools', the embedded Temporal server's.
 *
 * A part of each is kept back, so that what runs can be brought to an end that is recorded: with less than the reserve
 * free nothing new is accepted; with less than a quarter of it, running turns are stopped. A disk that somebody else
 * fills in one go passes both marks at once; then what is owed is written when there is room again.
 */
import { existsSync, statfsSync } from 'node:fs';
import { dirname } from 'node:path';

/** `ample`: everything goes on. `low`: nothing new is accepted. `exhausted`: what runs is stopped. */
export type RoomLevel = 'ample' | 'low' | 'exhausted';

/** Of the disk with the least room for its reserve, in bytes. */
export type Room = { level: RoomLevel; freeBytes: number; reserveBytes: number };

/** Kept free unless it is configured; of a small disk only this part. */
const RESERVE_BYTES = 64 * 1024 * 1024;
const RESERVE_PART = 1 / 20;
/** The part of the reserve that is left to the ends of running turns. */
const EXHAUSTED_PART = 1 / 4;

/**
 * A look at the disks, at each call: some microseconds for each folder. A folder that is not there yet counts as the
 * nearest one above it; one that cannot be looked at counts as ample: the write itself will tell.
 *
 * `reserveBytes`: null for the default; 0 keeps nothing back.
 */
export function watchRoom({
  folders,
  reserveBytes,
}: {
  folders: readonly string[];
  reserveBytes: number | null;
}): () => Room {
  const distinct = [...new Set(folders)];
  return () => {
    let least: Room | null = null;
    for (const folder of distinct) {
      const room = roomOf(folder, reserveBytes);
      if (room !== null && (least === null || spare(room) < spare(least))) least = room;
    }
    return least ?? { level: 'ample', freeBytes: Number.MAX_SAFE_INTEGER, reserveBytes: 0 };
  };
}

function spare({ freeBytes, reserveBytes }: Room): number {
  return freeBytes - reserveBytes;
}

function roomOf(folder: string, configured: number | null): Room | null {
  try {
    const { bavail, bsize, blocks } = statfsSync(existingFolder(folder));
    const freeBytes = bavail * bsize;
    const reserveBytes =
      configured ?? Math.min(RESERVE_BYTES, Math.floor(blocks * bsize * RESERVE_PART));
    return { level: levelOf({ freeBytes, reserveBytes }), freeBytes, reserveBytes };
  } catch {
    return null;
  }
}

function levelOf({ freeBytes, reserveBytes }: Omit<Room, 'level'>): RoomLevel {
  if (freeBytes >= reserveBytes) return 'ample';
  return freeBytes < reserveBytes * EXHAUSTED_PART ? 'exhausted' : 'low';
}

/** `path` itself, or the nearest folder above it that is there. */
export function existingFolder(path: string): string {
  return existsSync(path) || dirname(path) === path ? path : existingFolder(dirname(path));
}
