/** A real Claude Code as the engine runs it (stdin a FIFO, stdout a file), with our driver and a scripted model. */
import { execFileSync, spawn } from 'node:child_process';
import {
  closeSync,
  constants,
  mkdirSync,
  mkdtempSync,
  openSync,
  readFileSync,
  readSync,
  rmSync,
  writeSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

import type {
  ProviderDriver,
  ProviderReport,
  TurnPrompt,
} from '../../../src/contracts/provider-events.ts';
import { createClaudeProvider } from '../../../src/providers/claude/provider.ts';
import { LineSplitter } from '../../../src/providers/process/line-splitter.ts';
import { eventually } from '../../support/eventually.ts';
import { type ModelApi, startModelApi } from './model-api.ts';

/** Nothing listens there: whatever would leave the machine through a proxy ends. */
const DEAD_PROXY = 'http://127.0.0.1:9';

const AS_THE_ENGINE = 'spool=$1; shift; exec "$@" <>"$spool/in" >>"$spool/out" 2>>"$spool/err"';

/** Attempts of all sessions: none has the key of another, as in the engine. */
let attempts = 0;

export class ClaudeSession {
  readonly api: ModelApi;
  readonly home: string;
  readonly workspace: string;
  readonly reports: ProviderReport[] = [];
  readonly #driver: ProviderDriver;
  readonly #child: ReturnType<typeof spawn>;
  readonly #splitter = new LineSplitter();
  readonly #spool: string;
  readonly #in: number;
  readonly #out: number;
  static async start({
    home = mkdtempSync(join(tmpdir(), 'claude-real-')),
    resumeSessionId = null,
    environment = {},
    mcpConfigPath,
  }: {
    home?: string;
    resumeSessionId?: string | null;
    mcpConfigPath?: string;
    environment?: Record<string, string>;
  } = {}): Promise<ClaudeSession> {
    const provider = createClaudeProvider();
    const lookup = await provider.lookup(process.env);
    if (!lookup.found) throw new Error(lookup.problem);
    const workspace = join(home, 'workspace');
    mkdirSync(workspace, { recursive: true });
    const spec = {
      workspacePath: workspace,
      model: null,
      resumeSessionId,
      newSessionId: crypto.randomUUID(),
      ...(mcpConfigPath === undefined ? {} : { mcpConfigPath }),
    };
    const api = await startModelApi();
    const command = provider.command(lookup.program, spec);
    const spool = mkdtempSync(join(home, 'spool-'));
    execFileSync('mkfifo', [join(spool, 'in')]);
    const child = spawn(
      'sh',
      ['-c', AS_THE_ENGINE, 'sh', spool, command.program, ...command.args],
      {
        cwd: workspace,
        detached: true,
        stdio: 'ignore',
        env: {
          PATH: process.env['PATH'],
          HOME: home,
          TMPDIR: home,
          ANTHROPIC_BASE_URL: api.url,
          ANTHROPIC_API_KEY: 'no-key',
          CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC: '1',
          DISABLE_TELEMETRY: '1',
          DISABLE_ERROR_REPORTING: '1',
          HTTP_PROXY: DEAD_PROXY,
          HTTPS_PROXY: DEAD_PROXY,
          NO_PROXY: '127.0.0.1',
          ...command.environment,
          ...environment,
        },
      },
    );
    return new ClaudeSession({
      api,
      home,
      workspace,
      spool,
      child,
      driver: provider.createDriver(spec),
    });
  }

  private constructor(parts: {
    api: ModelApi;
    home: string;
    workspace: string;
    spool: string;
    child: ReturnType<typeof spawn>;
    driver: ProviderDriver;
  }) {
    this.api = parts.api;
    this.home = parts.home;
    this.workspace = parts.workspace;
    this.#spool = parts.spool;
    this.#child = parts.child;
    this.#driver = parts.driver;
    // reading and writing, as the wrapper does: it needs nobody at the other end
    this.#in = openSync(join(parts.spool, 'in'), constants.O_RDWR);
    this.#out = openSync(join(parts.spool, 'out'), constants.O_RDONLY | constants.O_CREAT);
  }

  #send(frames: string[]): void {
    for (const frame of frames) writeSync(this.#in, `${frame}\n`);
  }

  /** Sends a prompt; answers the key of its attempt. */
  begin(content: string, { attemptKey, ...more }: Partial<TurnPrompt> = {}): string {
    attempts += 1;
    const key = attemptKey ?? `turn-${attempts}.1`;
    this.#send(this.#driver.begin({ ...more, attemptKey: key, content }));
    return key;
  }

  /** Hands a message to the running turn, `times` times. */
  steer(id: string, content: string, times = 1): void {
    const frames = this.#driver.steer?.({ id, content }) ?? [];
    if (frames.length === 0) throw new Error('it is not handed over now');
    for (let time = 0; time < times; time += 1) this.#send(frames);
  }

  cancel(): void {
    this.#send(this.#driver.cancel());
  }

  answer(approvalId: string, decision: 'allow' | 'deny', message: string | null = null): void {
    this.#send(this.#driver.answer(approvalId, decision, message));
  }

  /** Takes what has been written since. */
  #read(): void {
    const buffer = Buffer.alloc(64 * 1024);
    for (let size = readSync(this.#out, buffer); size > 0; size = readSync(this.#out, buffer))
      for (const line of this.#splitter.push(buffer.subarray(0, size)))
        if (line.kind === 'line') this.reports.push(...this.#driver.line(line.text));
  }

  async until(found: (report: ProviderReport) => boolean): Promise<ProviderReport> {
    return await eventually(() => {
      this.#read();
      if (this.#child.exitCode !== null && this.#child.exitCode !== 0)
        throw new Error(`claude ended with ${this.#child.exitCode}: ${this.errors()}`);
      return this.reports.find(found);
    }, 40_000);
  }

  /** Waits for the end of the n-th turn; answers its reports. */
  async turn(number: number): Promise<ProviderReport[]> {
    const ends = (): number[] =>
      this.reports.flatMap(({ type }, index) => (type === 'end' ? [index] : []));
    await eventually(() => {
      this.#read();
      return ends().length >= number;
    }, 40_000);
    return this.reports.slice(
      number === 1 ? 0 : (ends()[number - 2] ?? 0) + 1,
      (ends()[number - 1] ?? 0) + 1,
    );
  }

  output(): string {
    return readFileSync(join(this.#spool, 'out'), 'utf8');
  }

  errors(): string {
    return readFileSync(join(this.#spool, 'err'), 'utf8');
  }

  /** Ends the process, and its tools, for certain. `keep`: its home stays, for another session. */
  async end({ keep = false }: { keep?: boolean } = {}): Promise<void> {
    if (this.#child.exitCode === null && this.#child.signalCode === null) {
      const exited = new Promise((resolve) => this.#child.once('exit', resolve));
      // TERM, as the engine does it: Claude Code then ends its tools itself
      if (this.#child.pid !== undefined) process.kill(-this.#child.pid, 'SIGTERM');
      await exited;
    }
    closeSync(this.#in);
    closeSync(this.#out);
    await this.api.close();
    if (!keep) rmSync(this.home, { recursive: true, force: true, maxRetries: 5 });
  }
}
