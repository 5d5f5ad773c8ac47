/**
 * A wall clock for all Node processes of a Holdfast, which a test can set while they run. Not for the Temporal server,
 * which asks the kernel.
 */
import { mkdtempSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

const preload = new URL('../fixtures/wall-clock.mjs', import.meta.url).href;
const bin = fileURLToPath(new URL('../../bin/holdfast.mjs', import.meta.url));

export class WallClock {
  readonly #folder: string;

  constructor() {
    this.#folder = mkdtempSync(join(tmpdir(), 'wall-clock-'));
    this.set(0);
    writeFileSync(
      this.#node,
      [
        '#!/bin/sh',
        // Here, since no process is handed more of the environment than it needs.
        `export WALL_CLOCK_FILE='${this.#file}' WALL_CLOCK_NODE='${this.#node}'`,
        `exec '${process.execPath}' --import '${preload}' "$@"`,
        '',
      ].join('\n'),
      { mode: 0o700 },
    );
  }

  get #file(): string {
    return join(this.#folder, 'offset-ms');
  }

  get #node(): string {
    return join(this.#folder, 'node');
  }

  /** How to start a Holdfast that goes by this clock. */
  get command(): { program: string; args: string[] } {
    return { program: this.#node, args: [bin, 'start'] };
  }

  /** Sets it to the machine's clock and so much more, or less. Every process has noticed some milliseconds later. */
  set(offsetMs: number): void {
    writeFileSync(`${this.#file}.new`, String(offsetMs));
    renameSync(`${this.#file}.new`, this.#file);
  }

  discard(): void {
    rmSync(this.#folder, { recursive: true, force: true });
  }
}
