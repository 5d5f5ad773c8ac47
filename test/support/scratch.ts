/**
 * Where the tests keep what they make: in memory where there is plenty, else where the system keeps temporary files.
 *
 * Every engine of ours commits with an fsync. On a disk that others use too one takes up to a quarter of a second (measured; 0.3 ms
 * when they rest), and a Temporal server does some three hundred steps a second in memory, a dozen there. What a file in memory does
 * not show is a cut of power; no test cuts it.
 *
 * 1 One folder for a run of the tests, removed at its end; what a run that was killed has left is removed by the next.
 */
import { mkdirSync, readdirSync, rmSync, statfsSync } from 'node:fs';
import { freemem, tmpdir } from 'node:os';
import { join } from 'node:path';

import { identify } from '../../src/providers/process/process-table.ts';

const MEMORY = '/dev/shm';
const PREFIX = 'holdfast-test-';
/** The tests of a full disk take 2 GB for a moment, a run of the rest less than 1. */
const PLENTY_BYTES = 8 * 1024 ** 3;

/** To be called before any test, by the process that runs them all: from then on `tmpdir()` is that folder, in what it starts too. */
export function useScratch(): void {
  if (!isPlenty()) return;
  for (const name of readdirSync(MEMORY).filter((each) => each.startsWith(PREFIX)))
    if (identify(Number(name.slice(PREFIX.length))) === null) remove(join(MEMORY, name));
  const folder = join(MEMORY, `${PREFIX}${process.pid}`);
  mkdirSync(folder, { recursive: true, mode: 0o700 });
  process.on('exit', () => remove(folder));
  process.env['HOLDFAST_TEST_KEEP'] = tmpdir();
  process.env['TMPDIR'] = folder;
}

/** Where a test leaves what somebody is to look at. */
export function keptFolder(): string {
  return process.env['HOLDFAST_TEST_KEEP'] ?? tmpdir();
}

function isPlenty(): boolean {
  try {
    const { bavail, bsize } = statfsSync(MEMORY);
    return Math.min(bavail * bsize, freemem()) > PLENTY_BYTES;
  } catch {
    return false;
  }
}

function remove(folder: string): void {
  rmSync(folder, { recursive: true, force: true, maxRetries: 3 });
}
