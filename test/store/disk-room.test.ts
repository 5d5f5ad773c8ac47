import { statfsSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

import { describe, expect, test } from 'vitest';

import { watchRoom } from '../../src/store/disk-room.ts';

const GB = 1024 ** 3;
/** Something is always being written on a machine that runs tests. */
const NOISE_BYTES = GB / 4;

function freeBytes(): number {
  const { bavail, bsize } = statfsSync(tmpdir());
  return bavail * bsize;
}

describe('the room on the disks', () => {
  test('is what the file system says', () => {
    const room = watchRoom({ folders: [tmpdir()], reserveBytes: 0 })();
    expect(Math.abs(room.freeBytes - freeBytes())).toBeLessThan(NOISE_BYTES);
    expect(room).toMatchObject({ level: 'ample', reserveBytes: 0 });
  });

  test.each([
    ['ample', (free: number) => free - NOISE_BYTES],
    ['low', (free: number) => free + NOISE_BYTES],
    ['low', (free: number) => (free - NOISE_BYTES) * 4],
    ['exhausted', (free: number) => (free + NOISE_BYTES) * 4],
  ] as const)('%s', (level, reserveOf) => {
    const reserveBytes = Math.max(1, Math.round(reserveOf(freeBytes())));
    expect(watchRoom({ folders: [tmpdir()], reserveBytes })()).toMatchObject({
      level,
      reserveBytes,
    });
  });

  test('without a configured reserve 64 MiB are kept, of a small disk a twentieth', () => {
    const { blocks, bsize } = statfsSync(tmpdir());
    const { reserveBytes } = watchRoom({ folders: [tmpdir()], reserveBytes: null })();
    expect(reserveBytes).toBe(Math.min(64 * 1024 ** 2, Math.floor((blocks * bsize) / 20)));
  });

  test('of several disks it is that of the fullest; a folder that is not there counts as the one above it', () => {
    // /proc is a file system without any room.
    const full = watchRoom({ folders: [tmpdir(), '/proc/self'], reserveBytes: 1 })();
    expect(full).toMatchObject({ level: 'exhausted', freeBytes: 0 });
    const absent = join(tmpdir(), 'not', 'there');
    const room = watchRoom({ folders: [absent], reserveBytes: 0 })();
    expect(Math.abs(room.freeBytes - freeBytes())).toBeLessThan(NOISE_BYTES);
  });

  test('nothing to look at is no reason to refuse', () => {
    expect(watchRoom({ folders: [], reserveBytes: null })().level).toBe('ample');
  });
});
