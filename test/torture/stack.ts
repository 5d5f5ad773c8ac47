/**
 * The real thing under torture: `holdfast start` with a home of its own, its processes by recorded identity, and the
 * end of all of them for certain.
 *
 * 1 A process is signalled only when pid, start time and boot are those that were recorded; never by name.
 * 2 Whatever was stopped is continued, whatever was started is ended, also when the run fails.
 */
import { type ChildProcess, spawn } from 'node:child_process';
import { closeSync, mkdirSync, openSync, readdirSync, readFileSync, readlinkSync } from 'node:fs';
import { createServer } from 'node:net';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

import { parseAttemptKey } from '../../src/contracts/ids.ts';
import { PROCESS_MARK } from '../../src/contracts/names.ts';
import {
  identify,
  isSameProcess,
  markedProcesses,
  type ProcessIdentity,
  signalProcess,
} from '../../src/providers/process/process-table.ts';
import { Spool } from '../../src/providers/process/spool.ts';
import { readLiveState, readState, type SupervisorState } from '../../src/supervisor/state.ts';
import { Ballast } from '../support/ballast.ts';
import type { ProcessEvidence, ProcessRole, RoleUse } from './evidence.ts';

const command = fileURLToPath(new URL('../../bin/holdfast.mjs', import.meta.url));
/** A cold machine builds the Temporal CLI. */
const FIRST_READY_WITHIN_MS = 600_000;
/** Short, so that a run sees warm sessions used and also ended. */
export const SESSION_IDLE_MS = 6_000;

/**
 * Limits of the silence clock. No step of a script is silent for more than 0.9 s, and no stop but those that are meant to
 * reach the limit lasts more than 8 s: on a loaded machine 4 s are left before anything but a hang is ended. A tool may
 * be silent for longer, as with the limits that Holdfast has by default: one that is Holdfast's own waits for its answer
 * until after a fault everything moves again, which may take a minute (W1).
 */
export const SILENCE = { quietMs: 5_000, stalledMs: 12_000, stalledInToolMs: 75_000 };

/** Shorter than most of what a fault takes away: so there are gaps, and the policies for what was missed in them are met. */
export const TRIGGER_GRACE_MS = 3_000;

/** Others share the disk: one whose own ballast goes may make room. */
const LOOK_AT_DISK_MS = 20;

/** Below those that an operating system gives to whoever asks for any: nobody takes one of these while it is not listened on. */
const PORTS = { from: 20_000, to: 31_999 };

/** A port that is free, for a gateway that is to be found where it was: agents' tools know where it was when they began. */
export async function choosePort(): Promise<number> {
  for (;;) {
    const port = PORTS.from + Math.floor(Math.random() * (PORTS.to - PORTS.from + 1));
    const server = createServer();
    const { promise, resolve } = Promise.withResolvers<boolean>();
    server.once('error', () => resolve(false));
    server.listen(port, '127.0.0.1', () => server.close(() => resolve(true)));
    if (await promise) return port;
  }
}

export class Stack {
  readonly home: string;
  readonly workspace: string;
  readonly #environment: Record<string, string | undefined>;
  readonly #logFile: string;
  readonly #ballast: Ballast;
  readonly #stopped = new Map<string, ProcessIdentity>();
  /** Each process of a role that was ever seen, to be sure of its end. */
  readonly #seen = new Map<string, ProcessIdentity>();
  readonly #strangers: { child: ChildProcess; identity: ProcessIdentity; what: string }[] = [];
  #supervisor: ChildProcess | null = null;
  #emptyDisk: (() => void) | null = null;
  #token: string | null = null;

  constructor(parts: {
    folder: string;
    port: number;
    environment: Readonly<Record<string, string | undefined>>;
  }) {
    this.home = join(parts.folder, 'home');
    this.workspace = join(parts.folder, 'work');
    this.#logFile = join(parts.folder, 'start.log');
    mkdirSync(this.workspace, { recursive: true });
    mkdirSync(this.home, { recursive: true, mode: 0o700 });
    // Half of what a test takes that needs the disk for itself, and may run beside this.
    this.#ballast = new Ballast({ folder: parts.folder, share: 0.5 });
    const inherited = Object.entries(parts.environment).filter(
      ([name]) =>
        (!name.startsWith('HOLDFAST_') && !name.startsWith('TEMPORAL_')) ||
        name === 'HOLDFAST_TEMPORAL_BIN',
    );
    this.#environment = {
      ...Object.fromEntries(inherited),
      HOLDFAST_HOME: this.home,
      HOLDFAST_PORT: String(parts.port),
      HOLDFAST_TEMPORAL_PORT: '0',
      HOLDFAST_TEMPORAL_UI_PORT: 'off',
      HOLDFAST_WORKSPACE_ROOTS: this.workspace,
      HOLDFAST_SESSION_IDLE_MS: String(SESSION_IDLE_MS),
      HOLDFAST_DISK_RESERVE_BYTES: String(this.#ballast.reserveBytes),
      HOLDFAST_QUIET_AFTER_MS: String(SILENCE.quietMs),
      HOLDFAST_STALLED_AFTER_MS: `${SILENCE.stalledMs},tool-running=${SILENCE.stalledInToolMs}`,
      HOLDFAST_TRIGGER_GRACE_MS: String(TRIGGER_GRACE_MS),
    };
  }

  get database(): string {
    return join(this.home, 'holdfast.db');
  }

  get spools(): string {
    return join(this.home, 'spools');
  }

  get runFolder(): string {
    return join(this.home, 'run');
  }

  get isSupervised(): boolean {
    const { pid, exitCode, signalCode } = this.#supervisor ?? {};
    return pid !== undefined && exitCode === null && signalCode === null;
  }

  /** Starts the supervisor; everything that an earlier one left is its business. */
  start(): void {
    const log = openSync(this.#logFile, 'a');
    const child = spawn(process.execPath, [command, 'start'], {
      env: this.#environment,
      stdio: ['ignore', log, log],
      // A Ctrl-C is for us: we end it in our own time.
      detached: true,
    });
    closeSync(log);
    child.on('error', () => undefined);
    this.#supervisor = child;
    const identity = child.pid === undefined ? null : identify(child.pid);
    if (identity !== null) this.#seen.set(keyOf(identity), identity);
  }

  /** Answers when every role runs and the API is ready. Throws when that takes too long, or the supervisor gives up. */
  async ready(withinMs = FIRST_READY_WITHIN_MS): Promise<void> {
    const deadline = performance.now() + withinMs;
    for (;;) {
      if (await this.#isReady()) return;
      if (!this.isSupervised) throw new Error(`holdfast start ended; see ${this.#logFile}`);
      if (performance.now() > deadline) throw new Error('holdfast did not get ready in time');
      await new Promise((resolve) => setTimeout(resolve, 100));
    }
  }

  async #isReady(): Promise<boolean> {
    const address = this.address();
    if (address === null || this.state()?.phase !== 'ready') return false;
    try {
      const headers = { authorization: `Bearer ${address.token}` };
      return (await fetch(`${address.api}/readyz`, { headers, signal: AbortSignal.timeout(3_000) }))
        .ok;
    } catch {
      return false;
    }
  }

  /** What the running supervisor has written down, with the processes that live. */
  state(): SupervisorState | null {
    const state = readLiveState({ runFolder: this.runFolder });
    for (const record of state?.processes ?? []) this.#seen.set(keyOf(record), record);
    return state;
  }

  address(): { api: string; token: string } | null {
    const state = readState({ runFolder: this.runFolder });
    if (state === null) return null;
    try {
      this.#token ??= readFileSync(join(this.home, 'token'), 'utf8').trim();
    } catch {
      return null;
    }
    return { api: state.api, token: this.#token };
  }

  processOf(role: ProcessRole): ProcessIdentity | null {
    return this.state()?.processes.find((record) => record.role === role) ?? null;
  }

  /** The live provider process of a conversation, with the mark it was started under. */
  providerOf(conversationId: string): { identity: ProcessIdentity; mark: string } | null {
    for (const name of this.spoolNames()) {
      const spool = Spool.open({ root: this.spools, name });
      if (spool === null || spool.spec.conversationId !== conversationId || !spool.isAlive())
        continue;
      const identity = spool.identity();
      if (identity !== null) return { identity, mark: spool.spec.mark };
    }
    return null;
  }

  spoolNames(): string[] {
    try {
      return readdirSync(this.spools).filter((name) => parseAttemptKey(name) !== null);
    } catch {
      return [];
    }
  }

  kill(target: ProcessIdentity): boolean {
    return isSameProcess(target) && signalProcess(target, 'SIGKILL');
  }

  /** Stops it until {@link continueAll}, or for so long. */
  stop(target: ProcessIdentity, forMs: number): boolean {
    if (!isSameProcess(target) || !signalProcess(target, 'SIGSTOP')) return false;
    this.#stopped.set(keyOf(target), target);
    setTimeout(() => this.#continue(target), forMs).unref();
    return true;
  }

  /**
   * Fills the disk until {@link continueAll}, or for so long, or until somebody else makes room. Then tells until when it
   * was full without a break. False: it could not, or is full.
   */
  fillDisk(forMs: number, onRoom: (fullUntilMs: number) => void): boolean {
    if (this.#emptyDisk !== null) return false;
    if (!this.#ballast.fill()) {
      this.#ballast.empty();
      return false;
    }
    let fullUntilMs = Date.now();
    const look = (): void => {
      const now = Date.now();
      if (this.#ballast.isFull) fullUntilMs = now;
      else empty();
    };
    const looking = setInterval(look, LOOK_AT_DISK_MS);
    const late = setTimeout(() => empty(), forMs);
    const empty = (): void => {
      if (this.#emptyDisk === null) return;
      this.#emptyDisk = null;
      clearInterval(looking);
      clearTimeout(late);
      if (this.#ballast.isFull) fullUntilMs = Date.now();
      this.#ballast.empty();
      onRoom(fullUntilMs);
    };
    this.#emptyDisk = empty;
    return true;
  }

  get isDiskFull(): boolean {
    return this.#emptyDisk !== null;
  }

  /** Lets everything go on: what was stopped, and the disk. */
  continueAll(): void {
    this.#emptyDisk?.();
    for (const target of this.#stopped.values()) this.#continue(target);
  }

  #continue(target: ProcessIdentity): void {
    if (this.#stopped.delete(keyOf(target))) signalProcess(target, 'SIGCONT');
  }

  /** Processes that must live through everything: an unmarked one, and one that carries another installation's mark. */
  plantStrangers(): void {
    for (const [what, mark] of [
      ['unmarked', null],
      ['marked by another installation', 'tforeign0installation.1'],
    ] as const) {
      const child = spawn('sleep', ['7200'], {
        detached: true,
        stdio: 'ignore',
        env: {
          PATH: this.#environment['PATH'],
          ...(mark === null ? {} : { [PROCESS_MARK]: mark }),
        },
      });
      child.unref();
      const identity = child.pid === undefined ? null : identify(child.pid);
      if (identity !== null) this.#strangers.push({ child, identity, what });
    }
  }

  /** A process that looks like one which an ended attempt left behind unseen: the next boot must end it. */
  plantStray(mark: string): void {
    const child = spawn('sleep', ['7200'], {
      detached: true,
      stdio: 'ignore',
      env: { PATH: this.#environment['PATH'], [PROCESS_MARK]: mark },
    });
    child.unref();
    const identity = child.pid === undefined ? null : identify(child.pid);
    if (identity !== null) this.#seen.set(keyOf(identity), identity);
  }

  strangersGone(): ProcessEvidence[] {
    return this.#strangers
      .filter(({ identity }) => !isSameProcess(identity))
      .map(({ identity, what }) => ({ pid: identity.pid, mark: null, command: `sleep (${what})` }));
  }

  /** Live processes that carry the mark of one of these turns. */
  marked(isOurs: (turnId: string) => boolean): (ProcessEvidence & { identity: ProcessIdentity })[] {
    return markedProcesses().flatMap(({ pid, mark }) => {
      const parsed = parseAttemptKey(mark);
      const identity = identify(pid);
      if (parsed === null || identity === null || !isOurs(parsed.turnId)) return [];
      return [{ pid, mark, command: commandOf(pid), identity }];
    });
  }

  /** Resident memory and open descriptors of each role now. */
  use(): RoleUse[] {
    return (this.state()?.processes ?? []).flatMap(({ role, pid }) => {
      try {
        const status = readFileSync(`/proc/${pid}/status`, 'utf8');
        const residentMb = Number(/VmRSS:\s+(\d+) kB/.exec(status)?.[1] ?? 0) / 1024;
        return [{ role, residentMb, descriptors: readdirSync(`/proc/${pid}/fd`).length }];
      } catch {
        // It died in between.
        return [];
      }
    });
  }

  lastLogLines(count: number): { file: string; lines: string[] }[] {
    const folder = join(this.home, 'logs');
    const files = [this.#logFile];
    try {
      files.push(...readdirSync(folder).map((name) => join(folder, name)));
    } catch {
      // It has not come that far.
    }
    return files.map((file) => ({ file, lines: tail(file, count) }));
  }

  /** Ends everything that this run has started, by its identity; answers when it is gone. */
  async end(isOurs: (turnId: string) => boolean): Promise<void> {
    this.state();
    this.continueAll();
    const supervisor = this.#supervisor;
    if (this.isSupervised && supervisor !== null) {
      supervisor.kill('SIGTERM');
      await this.#gone([...this.#seen.values()], 20_000);
    }
    this.state();
    for (const identity of this.#seen.values()) this.kill(identity);
    for (const { identity } of this.marked(isOurs)) this.kill(identity);
    for (const { identity } of this.#strangers) this.kill(identity);
    await this.#gone([...this.#seen.values()], 5_000);
    this.#ballast.remove();
  }

  /** The same at once, for a process that is about to exit. */
  endNow(isOurs: (turnId: string) => boolean): void {
    this.#ballast.remove();
    this.state();
    for (const identity of this.#seen.values()) this.kill(identity);
    this.state();
    for (const identity of this.#seen.values()) this.kill(identity);
    for (const { identity } of this.marked(isOurs)) this.kill(identity);
    for (const { identity } of this.#strangers) this.kill(identity);
  }

  async #gone(processes: readonly ProcessIdentity[], withinMs: number): Promise<void> {
    const deadline = performance.now() + withinMs;
    while (processes.some((identity) => isSameProcess(identity)) && performance.now() < deadline)
      await new Promise((resolve) => setTimeout(resolve, 20));
  }
}

function keyOf({ pid, startTime }: ProcessIdentity): string {
  return `${pid} ${startTime}`;
}

function commandOf(pid: number): string {
  try {
    const words = readFileSync(`/proc/${pid}/cmdline`, 'utf8')
      .split('\0')
      .join(' ')
      .replaceAll('\n', ' ')
      .trim()
      .slice(0, 300);
    return words === '' ? readlinkSync(`/proc/${pid}/exe`) : words;
  } catch {
    return 'unknown';
  }
}

function tail(file: string, count: number): string[] {
  try {
    return readFileSync(file, 'utf8').trimEnd().split('\n').slice(-count);
  } catch {
    return [];
  }
}
