/** What every command passes on its way to Temporal. W2: commands in flight are bounded; new work is refused while there is still room to end what runs. */
import { HoldfastError } from '../contracts/errors.ts';
import type { Room } from '../store/disk-room.ts';

/** Commands that may wait for Temporal at once. At 800 signals a second (design.md section 3) the last waits about a second. */
const COMMANDS_IN_FLIGHT = 1_024;

export class CommandGate {
  readonly #room: () => Room;
  #inFlight = 0;

  constructor(room: () => Room) {
    this.#room = room;
  }

  get inFlight(): number {
    return this.#inFlight;
  }

  /**
   * What would only wait for room, in Temporal's history, is better refused. Cancels, answers and removals are always taken.
   *
   * Throws: `storage_full`.
   */
  mustHaveRoom(): void {
    const { level, freeBytes, reserveBytes } = this.#room();
    if (level === 'ample') return;
    throw new HoldfastError(
      'storage_full',
      `The disk is full: ${megabytes(freeBytes)} are free, and Holdfast keeps ${megabytes(reserveBytes)} for what runs (HOLDFAST_DISK_RESERVE_BYTES). Nothing was accepted; make room, then repeat it.`,
      { accepted: false, freeBytes, reserveBytes },
    );
  }

  /** Runs one command within the bound on commands in flight. Throws: `rate_limited`, and what the command throws. */
  async carry(command: () => Promise<void>): Promise<void> {
    if (this.#inFlight >= COMMANDS_IN_FLIGHT)
      throw new HoldfastError(
        'rate_limited',
        'Too many commands wait for Temporal; nothing was accepted.',
        { accepted: false },
      );
    this.#inFlight += 1;
    try {
      await command();
    } finally {
      this.#inFlight -= 1;
    }
  }
}

function megabytes(count: number): string {
  return `${(count / 1024 ** 2).toFixed(1)} MB`;
}
