/**
 * A real Holdfast for tests: `node bin/holdfast.mjs start` in a home of its own, with free ports, as a user starts it.
 *
 * 1. It may be stopped and started again on the same home; its providers go on meanwhile, as they should.
 * 2. Nothing of it outlives its tests: `discard` ends its processes and its providers', each by its own identity; when
 *    the test runner goes, however it goes, the supervisor is ended, and its processes with it.
 * 3. One that does not come up is a failure that shows what it said.
 */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { request as httpRequest } from 'node:http';
import { tmpdir } from 'node:os';
import { delimiter, dirname, join } from 'node:path';
import { text } from 'node:stream/consumers';
import { fileURLToPath } from 'node:url';

import {
  identify,
  isSameProcess,
  markedProcesses,
  type ProcessIdentity,
  signalProcess,
} from '../../src/providers/process/process-table.ts';
import { readLiveState, readState, type Role } from '../../src/supervisor/state.ts';
import { eventually } from './eventually.ts';
import { type Program, runProgram } from './program.ts';

/** The project's folder. */
export const projectFolder = fileURLToPath(new URL('../..', import.meta.url));
const bin = join(projectFolder, 'bin/holdfast.mjs');
const node = join(projectFolder, 'node_modules/.bin/node');

/** Up in 2.5 s on a quiet machine. */
const READY_WITHIN_MS = 60_000;
/** The supervisor's own grace for its three groups of processes, and some more. */
const STOPPED_WITHIN_MS = 30_000;
/** Longest wait for an answer; a turn of these tests takes seconds. */
const ANSWER_WITHIN_MS = 45_000;

export type Answer = { status: number; headers: Record<string, unknown>; body: unknown };

export type Call = {
  method?: 'GET' | 'POST' | 'PATCH' | 'DELETE';
  path: string;
  /** Sent as JSON; a string is sent as it is. */
  body?: unknown;
  /** Beside, or in place of, the token's and the content's own. `null` leaves one out. */
  headers?: Record<string, string | null>;
};

/** Each waits for the gateway's own five seconds. */
const ACCEPTED_TRIES = 6;

function isAccepted(body: unknown): boolean {
  return typeof body === 'object' && body !== null && 'accepted' in body && body.accepted === true;
}

export class Holdfast {
  readonly home: string;
  /** The only workspace root. */
  readonly workspace: string;
  readonly #folder: string;
  readonly #environment: Record<string, string>;
  #supervisor: Program | null = null;
  #guard: ReturnType<typeof spawn> | null = null;

  /** Makes the folders; starts nothing. `temporalBinary`: the `temporal` program for its server. */
  constructor({
    temporalBinary,
    environment = {},
  }: {
    temporalBinary: string;
    environment?: Record<string, string>;
  }) {
    this.#folder = mkdtempSync(join(tmpdir(), 'holdfast-e2e-'));
    this.home = join(this.#folder, 'state');
    this.workspace = join(this.#folder, 'workspace');
    mkdirSync(this.workspace);
    this.#environment = {
      // The project's own programs first, as npm and npx put them; no agent CLI that this machine may have.
      PATH: [
        join(projectFolder, 'node_modules/.bin'),
        dirname(process.execPath),
        '/usr/local/bin',
        '/usr/bin',
        '/bin',
      ].join(delimiter),
      HOME: this.#folder,
      HOLDFAST_HOME: this.home,
      HOLDFAST_PORT: '0',
      HOLDFAST_TEMPORAL_PORT: '0',
      HOLDFAST_TEMPORAL_UI_PORT: '0',
      HOLDFAST_TEMPORAL_BIN: temporalBinary,
      HOLDFAST_WORKSPACE_ROOTS: this.workspace,
      ...environment,
    };
  }

  /** The environment of whoever works with this Holdfast from a shell. */
  get environment(): Readonly<Record<string, string>> {
    return this.#environment;
  }

  /** Address of the API, `http://127.0.0.1:<port>`. */
  get api(): string {
    return this.#state().api;
  }

  /** host:port of its Temporal server. */
  get temporal(): string {
    return this.#state().temporal;
  }

  get token(): string {
    return readFileSync(join(this.home, 'token'), 'utf8').trim();
  }

  /** Starts it and resolves when it says that it is ready. `command`: how, when not by bin/holdfast.mjs. */
  async start({ command }: { command?: { program: string; args: string[] } } = {}): Promise<void> {
    const { program, args } = command ?? { program: node, args: [bin, 'start'] };
    // A session of its own: a Ctrl-C in the terminal is for the test runner.
    const supervisor = runProgram({
      program,
      args,
      environment: this.#environment,
      cwd: projectFolder,
      detached: true,
    });
    this.#supervisor = supervisor;
    // Reads until the pipe ends, which it does with us.
    this.#guard = spawn('/bin/sh', ['-c', `read -r _; kill -TERM ${supervisor.pid}`], {
      stdio: ['pipe', 'ignore', 'ignore'],
      detached: true,
    });
    const isUp = eventually(
      () => supervisor.stdout().includes('Holdfast is ready'),
      READY_WITHIN_MS,
    );
    const isGone = supervisor.ended.then((code) => {
      throw new Error(`it ended with ${code}`);
    });
    isUp.catch(() => undefined);
    isGone.catch(() => undefined);
    try {
      await Promise.race([isUp, isGone]);
    } catch (error) {
      const said = `${supervisor.stdout()}${supervisor.stderr()}`;
      throw new Error(`Holdfast did not come up:\n${said}`, { cause: error });
    }
  }

  /** A Ctrl-C in its terminal: SIGINT to the whole group in the foreground. Resolves with the exit code. */
  async pressCtrlC(): Promise<number | NodeJS.Signals> {
    const supervisor = this.#running();
    process.kill(-supervisor.pid, 'SIGINT');
    return this.#gone(supervisor);
  }

  /** KILL to the supervisor alone; what it runs goes on. */
  async killSupervisor(): Promise<void> {
    const supervisor = this.#running();
    process.kill(supervisor.pid, 'SIGKILL');
    await this.#gone(supervisor);
  }

  /** The process of a role, once there is one that is not `other`. */
  async process(role: Role, other?: ProcessIdentity): Promise<ProcessIdentity> {
    return eventually(() => {
      const found = readLiveState({ runFolder: join(this.home, 'run') })?.processes.find(
        (record) => record.role === role,
      );
      return found !== undefined && found.pid !== other?.pid ? found : null;
    }, 20_000);
  }

  /** The provider's process of a running turn, as `holdfast status` tells it. */
  async providerOf(turnId: string): Promise<ProcessIdentity> {
    const { stdout } = await this.run(['status', '--json']);
    const { turns } = JSON.parse(stdout) as {
      turns: { turnId: string; providerPid: number | null }[];
    };
    const pid = turns.find((turn) => turn.turnId === turnId)?.providerPid ?? null;
    const identity = pid === null ? null : identify(pid);
    if (identity === null) throw new Error(`turn ${turnId} has no provider process: ${stdout}`);
    return identity;
  }

  /** Runs `holdfast <args>`. */
  async run(
    args: readonly string[],
  ): Promise<{ code: number | NodeJS.Signals; stdout: string; stderr: string }> {
    const program = runProgram({
      program: node,
      args: [bin, ...args],
      environment: this.#environment,
      cwd: this.workspace,
    });
    const closed = once(program.child, 'close');
    const code = await program.ended;
    await closed;
    return { code, stdout: program.stdout(), stderr: program.stderr() };
  }

  /** One HTTP request, by `node:http`: with `fetch` neither Host nor Origin could be given. */
  async call({ method, path, body, headers = {} }: Call): Promise<Answer> {
    const content = body === undefined || typeof body === 'string' ? body : JSON.stringify(body);
    const wanted: Record<string, string | null> = {
      authorization: `Bearer ${this.token}`,
      ...(content === undefined ? {} : { 'content-type': 'application/json' }),
      ...headers,
    };
    const given = Object.entries(wanted).filter(
      (entry): entry is [string, string] => entry[1] !== null,
    );
    const outgoing = httpRequest(`${this.api}${path}`, {
      method: method ?? (body === undefined ? 'GET' : 'POST'),
      agent: false,
      headers: Object.fromEntries(given),
      signal: AbortSignal.timeout(ANSWER_WITHIN_MS),
    });
    const { promise, resolve, reject } = Promise.withResolvers<Answer>();
    outgoing.on('error', reject).on('response', (response) => {
      text(response).then((said) => {
        const isJson = /json/.test(response.headers['content-type'] ?? '');
        const answer: unknown = isJson ? JSON.parse(said) : said;
        resolve({ status: response.statusCode ?? 0, headers: response.headers, body: answer });
      }, reject);
    });
    outgoing.end(content);
    return promise;
  }

  /** The body of a call that must be answered with 200. */
  async ask<T>(call: Call): Promise<T> {
    for (let tries = 1; ; tries += 1) {
      const { status, body } = await this.call(call);
      if (status === 200) return body as T;
      // An engine that has just come up has not got to it yet: the request is to be repeated.
      if (status !== 503 || !isAccepted(body) || tries === ACCEPTED_TRIES)
        throw new Error(`${call.path} answered ${status}: ${JSON.stringify(body).slice(0, 1_000)}`);
    }
  }

  /** The end of what each of its processes has logged, for whoever looks at a failed test. */
  logs(): string {
    const folder = join(this.home, 'logs');
    const files = existsSync(folder) ? readdirSync(folder) : [];
    return files
      .map((file) => `--- ${file}\n${readFileSync(join(folder, file), 'utf8').slice(-4_000)}\n`)
      .join('');
  }

  /** Ends everything that was ever started here, and removes the folder. */
  async discard(): Promise<void> {
    const supervisor = this.#supervisor;
    if (
      supervisor !== null &&
      supervisor.child.exitCode === null &&
      supervisor.child.signalCode === null
    ) {
      supervisor.kill('SIGTERM');
      await this.#gone(supervisor);
    }
    for (const record of readState({ runFolder: join(this.home, 'run') })?.processes ?? [])
      if (isSameProcess(record)) signalProcess(record, 'SIGKILL');
    await eventually(() => {
      const strays = this.#providers();
      for (const stray of strays) signalProcess(stray, 'SIGKILL');
      return strays.length === 0;
    });
    rmSync(this.#folder, { recursive: true, force: true });
  }

  /** Everything that runs under the mark of one of our spools. */
  #providers(): { pid: number; startTime: string }[] {
    const spools = join(this.home, 'spools');
    const marks = new Set(existsSync(spools) ? readdirSync(spools) : []);
    return markedProcesses().filter(({ mark }) => marks.has(mark));
  }

  async #gone(supervisor: Program): Promise<number | NodeJS.Signals> {
    const late = setTimeout(() => supervisor.kill('SIGKILL'), STOPPED_WITHIN_MS);
    const code = await supervisor.ended;
    clearTimeout(late);
    this.#guard?.kill('SIGKILL');
    this.#supervisor = null;
    return code;
  }

  #running(): Program {
    if (this.#supervisor === null) throw new Error('Holdfast is not started');
    return this.#supervisor;
  }

  #state() {
    const state = readLiveState({ runFolder: join(this.home, 'run') });
    if (state === null) throw new Error('Holdfast does not run');
    return state;
  }
}
