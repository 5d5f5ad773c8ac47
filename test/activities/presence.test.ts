/** Since when the engine has been there, by a clock that a test sets. */
import { beforeEach, expect, test } from 'vitest';

import { Presence } from '../../src/activities/presence.ts';

const GRACE_MS = 10_000;
const START_MS = 1_000_000;
let nowMs: number;
let presence: Presence;

beforeEach(() => {
  nowMs = START_MS;
  presence = new Presence({ graceMs: GRACE_MS, clock: () => nowMs });
});

const seenAt = (ms: number): number => {
  nowMs = ms;
  return presence.seen();
};

test('since it started, as long as it is seen again within the grace', () => {
  for (const ms of [0, 5_000, 15_000, 25_000, 35_000]) expect(seenAt(START_MS + ms)).toBe(START_MS);
});

test('the start itself counts: one that took longer than the grace to be seen has not been there', () => {
  expect(seenAt(START_MS + GRACE_MS + 1)).toBe(START_MS + GRACE_MS + 1);
});

test('an absence of more than the grace: since its end; and it ends only once', () => {
  seenAt(START_MS + 1_000);
  const back = START_MS + 1_000 + GRACE_MS + 1;
  expect(seenAt(back)).toBe(back);
  expect(seenAt(back + 1)).toBe(back);
  expect(seenAt(back + GRACE_MS)).toBe(back);
});

test('a clock that is set forward, or a machine that slept: an absence', () => {
  const later = START_MS + 2 * 86_400_000;
  expect(seenAt(later)).toBe(later);
  expect(seenAt(later + 5_000)).toBe(later);
});

test('a clock that is set back: since then, for what was noted before is a time that is still to come', () => {
  seenAt(START_MS + 5_000);
  const back = START_MS - 60_000;
  expect(seenAt(back)).toBe(back);
  // Also when it has caught up with itself.
  for (let ms = 0; ms <= 70_000; ms += 5_000) expect(seenAt(back + ms)).toBe(back);
});

test('a clock that is set back by less than it has been there: no absence', () => {
  seenAt(START_MS + 5_000);
  expect(seenAt(START_MS + 1_000)).toBe(START_MS);
  expect(seenAt(START_MS + 6_000)).toBe(START_MS);
});
