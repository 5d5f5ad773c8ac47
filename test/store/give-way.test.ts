/** Fairness between writing processes; numbers are those of give-way.ts. */
import { mkdtempSync, rmSync, statSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

import { afterEach, beforeEach, expect, it } from 'vitest';

import { GiveWay } from '../../src/store/sqlite/give-way.ts';

let folder = '';
let time = 1_000;
const made: GiveWay[] = [];
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'holdfast-give-way-'));
});
afterEach(() => {
  for (const one of made.splice(0)) one.close();
  rmSync(folder, { recursive: true });
});

/** One process's side. */
function side(): GiveWay {
  const one = new GiveWay({ path: join(folder, 'waiting'), now: () => (time += 1) });
  made.push(one);
  return one;
}

it('who has committed since another began to wait, gives way until that one had its turn', () => {
  const [flood, other] = [side(), side()];
  flood.done();
  expect(flood.owes()).toBe(false);
  other.waiting();
  expect(flood.owes()).toBe(false);
  flood.done();
  expect(flood.owes()).toBe(true);
  expect(other.owes()).toBe(false);
  other.waiting();
  other.done();
  expect(flood.owes()).toBe(false);
});

it('1 two that wait never give way to each other', () => {
  const [one, other] = [side(), side()];
  one.done();
  other.done();
  one.waiting();
  other.waiting();
  one.waiting();
  expect([one.owes(), other.owes()]).toStrictEqual([false, false]);
  // The longer waiter is served first: once it had its turn, it owes the other one.
  one.done();
  other.waiting();
  expect([one.owes(), other.owes()]).toStrictEqual([true, false]);
});

it('the longest waiter keeps the place while it renews it', () => {
  const [flood, first, second] = [side(), side(), side()];
  first.waiting();
  second.waiting();
  flood.done();
  second.done();
  // `second` had only asked; the mark of `first` still stands.
  expect(flood.owes()).toBe(true);
  first.done();
  expect(flood.owes()).toBe(false);
});

it('2 a mark that is not renewed is void', () => {
  const [flood, died, other] = [side(), side(), side()];
  died.waiting();
  flood.done();
  expect(flood.owes()).toBe(true);
  time += 60;
  expect(flood.owes()).toBe(false);
  // And its place is free, though it was there first.
  other.waiting();
  flood.done();
  expect(flood.owes()).toBe(true);
  other.done();
  expect(flood.owes()).toBe(false);
});

it('pausing ends when the other had its turn, and by itself when it never comes', async () => {
  const [flood, other] = [side(), side()];
  other.waiting();
  flood.done();
  const paused = flood.pause();
  other.done();
  await paused;
  expect(flood.owes()).toBe(false);
  other.waiting();
  flood.done();
  await flood.pause();
  expect(statSync(join(folder, 'waiting')).size).toBe(24);
});
