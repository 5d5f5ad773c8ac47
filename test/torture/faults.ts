/** The fault injector: of all cells (role × fault × state of some conversation or trigger) it hits the one that was hit least. */
import type { ProcessIdentity } from '../../src/providers/process/process-table.ts';
import {
  type Fault,
  FAULT_ROLES,
  type FaultKind,
  type FaultRole,
  type Phase,
  PHASES,
  TRIGGER_PHASES,
  type TriggerPhase,
} from './evidence.ts';
import type { Random } from './random.ts';
import { SILENCE, type Stack } from './stack.ts';
import {
  type Live,
  type LiveTeam,
  type LiveTrigger,
  phasesOf,
  phasesOfTrigger,
  type Watcher,
} from './watcher.ts';

export type Cell = { role: FaultRole; fault: FaultKind; phase: Phase };

/** What can be done to each role. */
export const FAULTS: readonly { role: FaultRole; fault: FaultKind }[] = FAULT_ROLES.flatMap(
  (role) =>
    (role === 'disk' ? (['fill'] as const) : (['kill', 'stop'] as const)).map((fault) => ({
      role,
      fault,
    })),
);

export const CELLS: readonly Cell[] = FAULTS.flatMap(({ role, fault }) =>
  PHASES.map((phase) => ({ role, fault, phase })),
);

export const cellKey = ({ role, fault, phase }: Cell): string => `${role} ${fault} ${phase}`;

const isOfTrigger = (phase: Phase): phase is TriggerPhase =>
  TRIGGER_PHASES.some((each) => each === phase);

/** Nothing may come into that state for so long. */
const WAIT_FOR_PHASE_MS = 4_000;
/** A turn host is back, and has adopted what there is, within it. */
const WAIT_FOR_BOOT_MS = 8_000;
/** From a due time to its decision, its row, its message. */
const MOST_STEP_MS = 80;
/** Of the kills of the turn host, those that take the providers of a team with them: what is dead when it boots, it has to tell. */
const WITH_PROVIDERS = 0.5;
/** A supervisor that was killed costs the run some 5 s, in which little else can be hit. */
const SUPERVISOR_COST = 4;

export class Injector {
  readonly #stack: Stack;
  readonly #watcher: Watcher;
  readonly #random: Random;
  readonly #pauseMs: { least: number; most: number };
  readonly #cells: readonly Cell[];
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
    /** States that nothing of this run comes into. */
    without: readonly Phase[];
  }) {
    this.#cells = CELLS.filter(({ phase }) => !parts.without.includes(phase));
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
      const { phase } = cell;
      if (isOfTrigger(phase)) {
        const trigger = await this.#watcher.untilTrigger(
          (each) => phasesOfTrigger(each).includes(phase) && this.#canHit(cell, this.#goalOf(each)),
          WAIT_FOR_PHASE_MS,
        );
        // Such a state is over in some milliseconds, and each of its steps is to be hit.
        if (this.#random.chance(0.6)) await pause(this.#random.between(1, MOST_STEP_MS), signal);
        if (trigger !== null && !signal.aborted) this.#hit(cell, this.#goalOf(trigger));
        continue;
      }
      const madeOwed = phase === 'recovery-owed' && this.#interruptTeam();
      const live = await this.#watcher.until(
        (each) => phasesOf(each).includes(phase) && this.#canHit(cell, each),
        madeOwed ? WAIT_FOR_BOOT_MS : WAIT_FOR_PHASE_MS,
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
    // A disk that is full already cannot be filled.
    const possible = this.#cells.filter(({ role }) => role !== 'disk' || !this.#stack.isDiskFull);
    const costs = possible.map((cell) => ({ cell, cost: cost(cell) }));
    return costs.reduce((least, each) => (each.cost < least.cost ? each : least)).cell;
  }

  /** The conversation that a trigger sends to now; null: none is known. */
  #goalOf({ sending, definition }: LiveTrigger): Live | null {
    const table = this.#watcher.tables().find(({ tableId }) => tableId === definition?.tableId);
    const [conversationId = definition?.conversationId ?? table?.activeConversationId ?? null] =
      sending.values();
    return conversationId === null ? null : this.#watcher.live(conversationId);
  }

  /** A recovery is owed for milliseconds, and hardly ever unless somebody sees to it. False: no team has a turn running. */
  #interruptTeam(): boolean {
    const busy = this.#watcher
      .all()
      .find(({ team, turn, conversationId }) =>
        team === null || turn === null ? false : this.#stack.providerOf(conversationId) !== null,
      );
    if (busy === undefined) return false;
    const [phase = 'streaming'] = phasesOf(busy);
    this.#hit({ role: 'turn-host', fault: 'kill', phase }, busy, { withProviders: true });
    return true;
  }

  #canHit({ role }: Cell, live: Live | null): boolean {
    if (role !== 'provider') return true;
    return live !== null && this.#stack.providerOf(live.conversationId) !== null;
  }

  /** `live`: whose provider it hits; a kill of the turn host may take those of its team `withProviders`. */
  #hit(
    cell: Cell,
    live: Live | null,
    { withProviders = this.#random.chance(WITH_PROVIDERS) } = {},
  ): void {
    const { role, fault } = cell;
    const conversationId = live?.conversationId ?? '';
    const provider = role === 'provider' ? this.#stack.providerOf(conversationId) : null;
    const target = this.#targetOf(role, provider);
    if (target === null && role !== 'disk') return;
    // Before the blow: it is these states that it hits.
    const phases = new Set<Phase>(
      role === 'provider'
        ? [cell.phase, ...(live === null ? [] : phasesOf(live))]
        : [
            ...this.#watcher.all().flatMap((each) => phasesOf(each)),
            ...this.#watcher.triggers().flatMap((each) => phasesOfTrigger(each)),
          ],
    );
    const made: Fault = {
      atMs: Date.now(),
      role,
      fault,
      pid: target?.pid ?? null,
      state: cell.phase,
      conversationId,
      attemptKey: role === 'provider' ? (live?.turn?.key ?? null) : null,
      forMs: this.#durationMs(cell),
    };
    if (!this.#strike(made, target)) return;
    for (const phase of phases) {
      const key = cellKey({ role, fault, phase });
      this.hits.set(key, (this.hits.get(key) ?? 0) + 1);
    }
    this.faults.push(made);
    if (role === 'turn-host' && fault === 'kill' && withProviders)
      this.#killProviders(live?.team ?? null, made);
    if (role === 'supervisor' && fault === 'kill') this.#startAgain();
  }

  /** Those of a team, while nobody is there to see it. */
  #killProviders(team: LiveTeam | null, { state }: Fault): void {
    if (team === null) return;
    for (const conversationId of team.members) {
      const provider = this.#stack.providerOf(conversationId);
      const live = this.#watcher.live(conversationId);
      if (provider === null || live.turn === null || this.#random.chance(0.2)) continue;
      const fault: Fault = {
        atMs: Date.now(),
        role: 'provider',
        fault: 'kill',
        pid: provider.identity.pid,
        state,
        conversationId,
        attemptKey: live.turn.key,
        forMs: 0,
      };
      if (this.#strike(fault, provider.identity)) this.faults.push(fault);
    }
  }

  /** Null: there is no such process now, or the fault hits none. */
  #targetOf(
    role: FaultRole,
    provider: { identity: ProcessIdentity } | null,
  ): ProcessIdentity | null {
    if (role === 'disk') return null;
    return role === 'provider' ? (provider?.identity ?? null) : this.#stack.processOf(role);
  }

  /** False: it hit nothing. */
  #strike(fault: Fault, target: ProcessIdentity | null): boolean {
    if (target === null)
      return this.#stack.fillDisk(fault.forMs, (fullUntilMs) => {
        // As long as it really was: an event loop that is late empties it late.
        fault.forMs = fullUntilMs - fault.atMs;
      });
    return fault.fault === 'kill'
      ? this.#stack.kill(target)
      : this.#stack.stop(target, fault.forMs);
  }

  #durationMs({ role, fault }: Cell): number {
    if (fault === 'kill') return 0;
    if (fault === 'fill') return this.#random.between(300, 4_000);
    // Beyond what the silence clock allows: to it, a stopped provider is one that hangs.
    if (role === 'provider' && this.#random.chance(0.12))
      return SILENCE.stalledMs + this.#random.between(1_000, 4_000);
    return this.#random.chance(0.15)
      ? this.#random.between(5_500, 8_000)
      : this.#random.between(50, 2_500);
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
