/**
 * The pulse of a process: a file that it touches as long as its event loop turns, and that the supervisor looks at (of Temporal:
 * temporal-pulse.ts). One that stands still (stopped by a signal, caught in a loop, frozen alone) serves nobody and holds what it holds; it is
 * replaced like one that died.
 *
 * Invariants:
 *  1 Whether it beats is seen by change alone: setting the clock makes no process look dead.
 *  2 One that has never beaten since it was started is not judged: its start may take long, or its disk be full. Nor is one whose beat cannot
 *    be looked at.
 *  3 Time in which the supervisor itself stood still (a machine that slept) does not count.
 */
import { closeSync, openSync, type Stats, statSync } from 'node:fs';
import { utimes } from 'node:fs/promises';
import { join } from 'node:path';

import type { Config } from '../config.ts';

/** Between two beats, and between two looks. */
export const PULSE_MS = 1_000;
/** A look that comes this late came after a sleep of our own. */
const ASLEEP_MS = 5 * PULSE_MS;

/** Where a process of that role beats. */
export function pulseFile({
  config,
  role,
}: {
  config: Pick<Config, 'paths'>;
  role: string;
}): string {
  return join(config.paths.run, `${role}.pulse`);
}

/** Beats in `file` until the process ends. What cannot be written is not worth an error: see invariant 2. */
export function showPulse(file: string): void {
  try {
    closeSync(openSync(file, 'a', 0o600));
  } catch {
    return;
  }
  const beat = (): void => {
    const now = new Date();
    utimes(file, now, now).catch(() => undefined);
  };
  beat();
  setInterval(beat, PULSE_MS).unref();
}

/** When `file` was touched last, in ms since 1970; null when it is not there. */
export function lastBeatMs(file: string): number | null {
  return lookAt(file)?.mtimeMs ?? null;
}

/** null when it is not there, or cannot be looked at: a sick disk must not end the supervisor. */
export function lookAt(file: string): Stats | null {
  try {
    return statSync(file);
  } catch {
    return null;
  }
}

/**
 * What tells of the beats of one process. `lastMs`: changes with each; null: there was none. `ailment`: why it has to be replaced at once
 * although it beats or may beat again, as the end of a sentence about it; null: it need not be.
 */
export type BeatSource = {
  lastMs: () => number | null;
  ailment?: () => string | null;
  close: () => void;
};

/** Of a process that beats in that file. */
export function beatsIn(file: string): BeatSource {
  return { lastMs: () => lastBeatMs(file), close: () => undefined };
}

/** Judges one process, from its start on. */
export class Pulse {
  readonly #limitMs: number;
  readonly #atStart: number | null;
  #last: number | null;
  #beatAtMs: number;
  #lookedAtMs: number;

  /** `beat`: the file's last beat before this process was started. Times of `nowMs` are those of `performance.now()`. */
  constructor({ limitMs, beat, nowMs }: { limitMs: number; beat: number | null; nowMs: number }) {
    this.#limitMs = limitMs;
    this.#atStart = beat;
    this.#last = beat;
    this.#beatAtMs = nowMs;
    this.#lookedAtMs = nowMs;
  }

  /** Takes a look; whether the process has stood still for longer than the limit. */
  isStill({ beat, nowMs }: { beat: number | null; nowMs: number }): boolean {
    const wasAsleep = nowMs - this.#lookedAtMs > ASLEEP_MS;
    this.#lookedAtMs = nowMs;
    if (beat !== this.#last || wasAsleep) this.#beatAtMs = nowMs;
    this.#last = beat;
    return beat !== null && beat !== this.#atStart && nowMs - this.#beatAtMs > this.#limitMs;
  }
}
