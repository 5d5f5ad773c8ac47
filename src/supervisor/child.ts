/**
 * One supervised process: started, started again when it dies, stopped when asked.
 *
 *  1 It leads its own session: a Ctrl-C in the terminal reaches the supervisor alone, which then stops everyone in order.
 *  2 Until {@link Child.stop} it is always either running or about to be started; there is no last restart.
 *  3 `onChange` is called straight after a spawn, before anything else happens, so that the record of it is on disk.
 *  4 One that stands still for longer than it may, or has what only a new start heals, is killed, and started again like one that died.
 *  5 It never runs twice: the next one starts after the last one is gone.
 */
import { spawn } from 'node:child_process';
import { closeSync } from 'node:fs';

import {
  identify,
  type ProcessIdentity,
  signalProcess,
} from '../providers/process/process-table.ts';
import { endProcess } from './evict.ts';
import { followLog, lastLines, openLog, rotateLog } from './log-file.ts';
import { type BeatSource, Pulse, PULSE_MS } from './pulse.ts';
import { planRestart } from './restart-policy.ts';
import type { ProcessRecord, Role } from './state.ts';

export type ChildSpec = {
  role: Exclude<Role, 'supervisor'>;
  program: string;
  args: readonly string[];
  environment: Readonly<Record<string, string>>;
  cwd: string;
  /** Whether `line` of its output is the one that says that it serves. */
  saysReady: (line: string) => boolean;
  /** Done before the first start; a failure counts like a death. */
  prepare?: () => Promise<void>;
  /** Lines of its output to show until it is ready for the first time: it may take long, and says why. */
  relay?: (line: string) => boolean;
  /** How it shows that it lives and is well, looked at from its start to its end, and how long it may stand still; 0: for ever. */
  pulse?: { feel: () => BeatSource; limitMs: number };
  /** Exit codes, before it was ever ready, that no restart can mend. */
  hopelessExitCodes?: readonly number[];
};

export type ChildEvents = {
  onChange: () => void;
  say: (line: string) => void;
  /** It ended, before it was ever ready, in a way that no restart can mend. */
  onHopeless: (role: Role) => void;
};

const ROTATION_CHECK_MS = 5_000;
const SHOWN_LINES = 8;

export class Child {
  readonly spec: ChildSpec;
  /** Settles when it is ready for the first time. */
  readonly ready: Promise<void>;
  readonly #events: ChildEvents;
  readonly #log: { file: string; limitBytes: number };
  readonly #ready = Promise.withResolvers<void>();
  #restarts = 0;
  #deathsMs: number[] = [];
  #everReady = false;
  #stopping = false;
  #timer: NodeJS.Timeout | undefined;
  #current: {
    identity: ProcessIdentity;
    startedAt: string;
    gone: Promise<void>;
  } | null = null;

  constructor({
    spec,
    log,
    events,
  }: {
    spec: ChildSpec;
    log: { file: string; limitBytes: number };
    events: ChildEvents;
  }) {
    this.spec = spec;
    this.#log = log;
    this.#events = events;
    this.ready = this.#ready.promise;
  }

  /** The running process, for the state file; null between two runs. */
  get record(): ProcessRecord | null {
    if (this.#current === null) return null;
    const { identity, startedAt } = this.#current;
    return { role: this.spec.role, ...identity, startedAt, restarts: this.#restarts };
  }

  /** Where its output goes. */
  get logFile(): string {
    return this.#log.file;
  }

  get isReady(): boolean {
    return this.#everReady;
  }

  start(): void {
    void this.#prepareAndSpawn();
  }

  async #prepareAndSpawn(): Promise<void> {
    try {
      await this.spec.prepare?.();
    } catch (error) {
      const why = error instanceof Error ? error.message : String(error);
      this.#restartLater({
        how: `could not be prepared: ${why}`,
        tail: [],
        run: () => this.start(),
      });
      return;
    }
    if (!this.#stopping) this.#spawn();
  }

  /** TERM, after `graceMs` KILL. Answers when it is gone; it is not started again. */
  async stop({ graceMs }: { graceMs: number }): Promise<void> {
    this.#stopping = true;
    clearTimeout(this.#timer);
    const current = this.#current;
    if (current === null) return;
    const end = await endProcess({ target: current.identity, graceMs });
    if (end === 'killed' || end === 'survived')
      this.#events.say(`${this.spec.role} did not stop in ${graceMs / 1000} s and was killed.`);
    await current.gone;
  }

  /** KILL, now: the person at the terminal will not wait. */
  hurry(): void {
    this.#stopping = true;
    clearTimeout(this.#timer);
    if (this.#current !== null) signalProcess(this.#current.identity, 'SIGKILL');
  }

  /** Starts it; what the system refuses (no file, no memory, no process) counts like a death. */
  #spawn(): void {
    try {
      this.#spawnNow();
    } catch (error) {
      const why = error instanceof Error ? error.message : String(error);
      this.#restartLater({
        how: `could not be started: ${why}`,
        tail: [],
        run: () => this.#spawn(),
      });
    }
  }

  #spawnNow(): void {
    const { role, program, args, environment, cwd } = this.spec;
    const { fd, startOffset } = openLog(this.#log);
    const process = spawn(program, args, {
      cwd,
      env: environment,
      detached: true,
      stdio: ['ignore', fd, fd],
    });
    closeSync(fd);
    const startedAt = new Date().toISOString();
    const identity = process.pid === undefined ? null : identify(process.pid);
    const gone = Promise.withResolvers<void>();
    this.#current = identity === null ? null : { identity, startedAt, gone: gone.promise };
    this.#events.onChange();

    const stopFollowing = followLog({
      ...this.#log,
      startOffset,
      onLine: (line) => {
        if (this.spec.saysReady(line)) {
          stopFollowing();
          this.#everReady = true;
          this.#ready.resolve();
        } else if (!this.#everReady && this.spec.relay?.(line) === true) this.#events.say(line);
      },
    });
    const rotation = setInterval(() => rotateLog(this.#log), ROTATION_CHECK_MS);
    const stopLooking = this.#watchPulse(identity);

    const ended = (how: string, code: number | null): void => {
      stopFollowing();
      clearInterval(rotation);
      stopLooking();
      this.#current = null;
      gone.resolve();
      this.#events.onChange();
      if (this.#stopping) return;
      const tail = lastLines({ ...this.#log, startOffset, count: SHOWN_LINES });
      if (!this.#everReady && code !== null && this.spec.hopelessExitCodes?.includes(code)) {
        this.#events.say(`${role} ${how}.`);
        this.#stopping = true;
        this.#events.onHopeless(role);
        return;
      }
      this.#restartLater({ how, tail, run: () => this.#spawn() });
    };
    // Exactly one of the two comes first; `error` without `exit` when the program could not be started at all.
    let once = false;
    const onEnd = (how: string, code: number | null): void => {
      if (once) return;
      once = true;
      ended(how, code);
    };
    process.once('error', (error) => onEnd(`could not be started: ${error.message}`, null));
    process.once('exit', (code, signal) =>
      onEnd(signal === null ? `ended with exit code ${code}` : `was ended by ${signal}`, code),
    );
  }

  /** Looks at its pulse; returns how to stop. */
  #watchPulse(identity: ProcessIdentity | null): () => void {
    const { role, pulse } = this.spec;
    if (pulse === undefined || identity === null) return () => undefined;
    const limitMs = pulse.limitMs === 0 ? Infinity : pulse.limitMs;
    const source = pulse.feel();
    const look = () => ({ beat: source.lastMs(), nowMs: performance.now() });
    const watched = new Pulse({ limitMs, ...look() });
    const judge = (): string | null =>
      watched.isStill(look())
        ? `has stood still for ${limitMs / 1000} s`
        : (source.ailment?.() ?? null);
    const timer = setInterval(() => {
      const why = this.#stopping ? null : judge();
      if (why === null) return;
      clearInterval(timer);
      this.#events.say(`${role} ${why}; it is killed.`);
      signalProcess(identity, 'SIGKILL');
    }, PULSE_MS);
    return () => {
      clearInterval(timer);
      source.close();
    };
  }

  #restartLater({ how, tail, run }: { how: string; tail: string[]; run: () => void }): void {
    if (this.#stopping) return;
    const { role } = this.spec;
    const plan = planRestart({ deathsMs: this.#deathsMs, nowMs: performance.now() });
    this.#deathsMs = plan.remembered;
    this.#restarts += 1;
    const next = plan.delayMs === 0 ? 'now' : `in ${plan.delayMs / 1000} s`;
    this.#events.say(
      plan.overBudget
        ? `${role} KEEPS FAILING: ${plan.deaths} times in a minute. It ${how}; starting it again ${next}. Its log: ${this.#log.file}`
        : `${role} ${how}; starting it again ${next}.`,
    );
    for (const line of tail) this.#events.say(`  ${role}: ${line}`);
    this.#timer = setTimeout(run, plan.delayMs);
  }
}
