import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

import { afterEach, beforeEach, expect, test } from 'vitest';

import { lastBeatMs, Pulse, PULSE_MS, showPulse } from '../../../src/supervisor/pulse.ts';
import { eventually } from '../../support/eventually.ts';

let folder: string;
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'holdfast-pulse-'));
});
afterEach(() => rmSync(folder, { recursive: true }));

/** Looks once a second; beats as given, the last one for ever. Answers with the second at which it is found still. */
function foundStillAfter(beats: (number | null)[], seconds = 100): number | null {
  const pulse = new Pulse({ limitMs: 10_000, beat: 1, nowMs: 0 });
  for (let second = 1; second <= seconds; second += 1) {
    const beat = beats[Math.min(second, beats.length) - 1] ?? null;
    if (pulse.isStill({ beat, nowMs: second * PULSE_MS })) return second;
  }
  return null;
}

test('one that beats is left alone; one that stops is found after the limit', () => {
  expect(foundStillAfter(Array.from({ length: 100 }, (_, second) => second + 2))).toBeNull();
  expect(foundStillAfter([2, 3, 4])).toBe(14);
});

test('1 a beat is any change, also back in time', () => {
  expect(foundStillAfter([2, 3, -1_000_000])).toBe(14);
});

test('2 one that has not begun to beat is not judged', () => {
  expect(foundStillAfter([1])).toBeNull();
});

test('3 a sleep of the supervisor does not count', () => {
  const pulse = new Pulse({ limitMs: 10_000, beat: null, nowMs: 0 });
  expect(pulse.isStill({ beat: 5, nowMs: 1_000 })).toBe(false);
  expect(pulse.isStill({ beat: 5, nowMs: 3_600_000 })).toBe(false);
  for (let nowMs = 3_601_000; nowMs <= 3_610_000; nowMs += 1_000)
    expect(pulse.isStill({ beat: 5, nowMs })).toBe(false);
  expect(pulse.isStill({ beat: 5, nowMs: 3_611_000 })).toBe(true);
});

test('a process beats in its file; where it cannot, it goes on without', async () => {
  const file = join(folder, 'pulse');
  expect(lastBeatMs(file)).toBeNull();
  showPulse(file);
  const first = await eventually(() => lastBeatMs(file));
  await eventually(() => lastBeatMs(file) !== first);
  showPulse(join(folder, 'no', 'such', 'folder'));
  expect(lastBeatMs(join(folder, 'no', 'such', 'folder'))).toBeNull();
  // What the system refuses to look at is not there either.
  expect(lastBeatMs(join(folder, 'x'.repeat(300)))).toBeNull();
});
