/** The fault injector: of all cells (role × fault × state of some conversation) it hits the one that was hit least. */
import type { ProcessIdentity } from '../../src/providers/process/process-table.ts';
import {
  CONVERSATION_PHASES,
  type ConversationPhase,
  type Fault,
  FAULT_ROLES,
  type FaultRole,
} from './evidence.ts';
import type { Random } from './random.ts';
import type { Stack } from './stack.ts';
import { type Live, phasesOf, type Watcher } from './watcher.ts';

export type Cell = { role: FaultRole; fault: 'kill' | 'stop'; phase: ConversationPhase };

export const CELLS: readonly Cell[] = FAULT_ROLES.flatMap((role) =>
  (['kill', 'stop'] as const).flatMap((fault) =>
    CONVERSATION_PHASES.map((phase) => ({ role, fault, phase })),
  ),
);

export const cellKey = ({ role, fault, phase }: Cell): string => `${role} ${fault} ${phase}`;

/** No conversation may come into that state for so long. */
const WAIT_FOR_PHASE_MS = 4_000;
/** A supervisor that was killed costs the run some 5 s, in which little else can be hit. */
const SUPERVISOR_COST = 4;

export class Injector {
  readonly #stack: Stack;
  readonly #watcher: Watcher;
  readonly #random: Random;
  readonly #pauseMs: { least: number; most: number };
  readonly #tries = new Map<string, number>();
  readonly #restarts = new Set<Promise<void>>();
  /** How often each cell was hit. One fault hits every state that a conversation is in. */
  readonly hits = new Map<string, number>();
  readonly faults: Fault[] = [];
  #stopping = new AbortController();

  constructor(parts: {
    stack: Stack;
    watcher: Watcher;
    random: Random;
    pauseMs: { least: number; most: number };
  }) {
    this.#stack = parts.stack;
    this.#watcher = parts.watcher;
    this.#random = parts.random;
    this.#pauseMs = parts.pauseMs;
  }

  /** Injects until {@link stop}. */
  async run(): Promise<void> {
    const { signal } = this.#stopping;
    while (!signal.aborted) {
      await pause(this.#random.between(this.#pauseMs.least, this.#pauseMs.most), signal);
      const cell = this.#leastHit();
      const key = cellKey(cell);
      this.#tries.set(key, (this.#tries.get(key) ?? 0) + 1);
      const live = await this.#watcher.until(
        (each) => phasesOf(each).includes(cell.phase) && this.#canHit(cell, each),
        WAIT_FOR_PHASE_MS,
      );
      if (live !== null && !signal.aborted) this.#hit(cell, live);
    }
    await Promise.all(this.#restarts);
  }

  stop(): void {
    this.#stopping.abort();
  }

  #leastHit(): Cell {
    const cost = (cell: Cell): number => {
      const hits = this.hits.get(cellKey(cell)) ?? 0;
      // A state that does not come is not waited for again and again.
      const tries = this.#tries.get(cellKey(cell)) ?? 0;
      const each = cell.role === 'supervisor' ? SUPERVISOR_COST : 1;
      return (hits + Math.max(0, tries - hits) / 2) * each + this.#random.next() / 2;
    };
    const costs = CELLS.map((cell) => ({ cell, cost: cost(cell) }));
    return costs.reduce((least, each) => (each.cost < least.cost ? each : least)).cell;
  }

  #canHit({ role }: Cell, live: Live): boolean {
    if (role !== 'provider') return true;
    return this.#stack.providerOf(live.conversationId) !== null;
  }

  #hit(cell: Cell, live: Live): void {
    const { role, fault } = cell;
    const provider = role === 'provider' ? this.#stack.providerOf(live.conversationId) : null;
    const target: ProcessIdentity | null =
      role === 'provider' ? (provider?.identity ?? null) : this.#stack.processOf(role);
    if (target === null) return;
    // Before the blow: it is these states that it hits.
    const phases = new Set(
      (role === 'provider' ? [live] : this.#watcher.all()).flatMap((each) => phasesOf(each)),
    );
    const forMs =
      fault === 'kill'
        ? 0
        : this.#random.chance(0.15)
          ? this.#random.between(5_500, 8_000)
          : this.#random.between(50, 2_500);
    const done = fault === 'kill' ? this.#stack.kill(target) : this.#stack.stop(target, forMs);
    if (!done) return;
    for (const phase of phases) {
      const key = cellKey({ role, fault, phase });
      this.hits.set(key, (this.hits.get(key) ?? 0) + 1);
    }
    this.faults.push({
      atMs: Date.now(),
      role,
      fault,
      pid: target.pid,
      state: cell.phase,
      conversationId: live.conversationId,
      attemptKey: role === 'provider' ? (live.turn?.key ?? null) : null,
      forMs,
    });
    if (role === 'supervisor' && fault === 'kill') this.#startAgain();
  }

  /** After a while without one: its children go on meanwhile. */
  #startAgain(): void {
    const restart = pause(this.#random.between(0, 2_500), this.#stopping.signal)
      .then(async () => {
        for (let waited = 0; this.#stack.isSupervised && waited < 5_000; waited += 20)
          await pause(20, null);
        this.#stack.start();
        await this.#stack.ready(90_000);
      })
      // The end of the run finds out, and says so.
      .catch(() => undefined);
    this.#restarts.add(restart);
    void restart.finally(() => this.#restarts.delete(restart));
  }
}

/** Resolves after so long, or when `signal` is aborted. */
export async function pause(ms: number, signal: AbortSignal | null): Promise<void> {
  if (signal?.aborted === true) return;
  const { promise, resolve } = Promise.withResolvers<void>();
  const timer = setTimeout(resolve, ms);
  const end = (): void => resolve();
  signal?.addEventListener('abort', end, { once: true });
  await promise;
  clearTimeout(timer);
  signal?.removeEventListener('abort', end);
}
