/**
 * The gateway, a workflow worker and a turn host as processes of their own, as the supervisor starts them, against a
 * Temporal server of their own: each can be killed, frozen and started again by itself.
 */
import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { request as httpRequest } from 'node:http';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { text } from 'node:stream/consumers';
import { fileURLToPath } from 'node:url';

import { markedProcesses, signalProcess } from '../../../src/providers/process/process-table.ts';
import { chooseFreePort } from '../../../src/supervisor/ports.ts';
import { RawSocket } from '../../api-unit/raw-socket.ts';
import { eventually } from '../../support/eventually.ts';
import { type Program, runProgram } from '../../support/program.ts';
import { startTemporal, type TemporalServer } from '../../support/temporal-server.ts';

const project = fileURLToPath(new URL('../../..', import.meta.url));
const TOKEN = 'integration-token-0123456789';

export type Role = 'gateway' | 'worker' | 'turn-host';
export type Answer = { status: number; body: Record<string, unknown> };

export class Stack {
  readonly #binary: string;
  readonly #folder: string;
  readonly #programs = new Map<Role, Program>();
  readonly #sockets: RawSocket[] = [];
  #temporal: TemporalServer | null = null;
  #temporalPort = 0;
  port = 0;

  constructor(binary: string) {
    this.#binary = binary;
    this.#folder = mkdtempSync(join(tmpdir(), 'holdfast-stack-'));
    mkdirSync(join(this.#folder, 'workspace'));
    writeFileSync(join(this.#folder, 'token'), TOKEN, { mode: 0o600 });
  }

  async startAll(): Promise<void> {
    this.#temporalPort = await chooseFreePort({ host: '127.0.0.1', taken: [] });
    this.port = await chooseFreePort({ host: '127.0.0.1', taken: [this.#temporalPort] });
    await this.startTemporal();
    await Promise.all([this.start('gateway'), this.start('worker'), this.start('turn-host')]);
  }

  get temporalAddress(): string {
    return `127.0.0.1:${this.#temporalPort}`;
  }

  async startTemporal(): Promise<void> {
    this.#temporal = await startTemporal({
      binary: this.#binary,
      home: this.#folder,
      environment: { HOLDFAST_TEMPORAL_PORT: String(this.#temporalPort) },
    });
  }

  async stopTemporal(signal: NodeJS.Signals = 'SIGTERM'): Promise<void> {
    await this.#temporal?.stop(signal);
    this.#temporal = null;
  }

  /** Stops the server's process where it is; it keeps its connections and answers nothing. */
  freezeTemporal(): void {
    process.kill(this.#temporal?.pid ?? 0, 'SIGSTOP');
  }

  thawTemporal(): void {
    process.kill(this.#temporal?.pid ?? 0, 'SIGCONT');
  }

  async start(role: Role): Promise<void> {
    const program = runProgram({
      program: process.execPath,
      args: ['--max-semi-space-size=4', join(project, `src/${role}.ts`)],
      cwd: project,
      environment: {
        PATH: `${join(project, 'node_modules/.bin')}:${dirname(process.execPath)}:/usr/local/bin:/usr/bin:/bin`,
        HOME: this.#folder,
        NODE_COMPILE_CACHE: join(project, 'node_modules/.cache/node'),
        HOLDFAST_HOME: this.#folder,
        HOLDFAST_HOST_NAME: 'stack',
        HOLDFAST_PORT: String(this.port),
        HOLDFAST_RECEIPT_WAIT_MS: '1500',
        HOLDFAST_WORKSPACE_ROOTS: join(this.#folder, 'workspace'),
        TEMPORAL_ADDRESS: `127.0.0.1:${this.#temporalPort}`,
      },
    });
    this.#programs.set(role, program);
    const ready = eventually(() => program.stdout().includes('"ready":true'), 30_000);
    const ended = program.ended.then((code) => {
      throw new Error(`${role} ended with ${code}: ${program.stderr()}`);
    });
    ended.catch(() => undefined);
    await Promise.race([ready, ended]);
  }

  /** Starts the gateway while a file of its home is away. */
  async startWithout(file: string): Promise<void> {
    const path = join(this.#folder, file);
    renameSync(path, `${path}.away`);
    try {
      await this.start('gateway');
    } finally {
      renameSync(`${path}.away`, path);
      this.#programs.delete('gateway');
    }
  }

  async stop(role: Role, signal: NodeJS.Signals = 'SIGTERM'): Promise<number | NodeJS.Signals> {
    const program = this.#programs.get(role);
    if (program === undefined) throw new Error(`${role} does not run`);
    this.#programs.delete(role);
    program.kill(signal);
    return program.ended;
  }

  /** What a process says of itself in /proc, in bytes. */
  residentBytes(role: Role): number {
    const status = readFileSync(`/proc/${this.#programs.get(role)?.pid ?? 0}/status`, 'utf8');
    return Number(/^VmRSS:\s+([0-9]+) kB$/m.exec(status)?.[1]) * 1024;
  }

  stderr(role: Role): string {
    return this.#programs.get(role)?.stderr() ?? '';
  }

  async call(
    method: 'GET' | 'POST' | 'PATCH' | 'DELETE',
    path: string,
    body?: unknown,
  ): Promise<Answer> {
    const content = body === undefined ? undefined : JSON.stringify(body);
    const outgoing = httpRequest({
      host: '127.0.0.1',
      port: this.port,
      method,
      path,
      agent: false,
      headers: {
        authorization: `Bearer ${TOKEN}`,
        ...(content === undefined
          ? {}
          : { 'content-type': 'application/json', 'content-length': Buffer.byteLength(content) }),
      },
    });
    const { promise, resolve, reject } = Promise.withResolvers<Answer>();
    outgoing.on('error', reject).on('response', (response) => {
      text(response).then(
        (said) =>
          resolve({ status: response.statusCode ?? 0, body: JSON.parse(said) as Answer['body'] }),
        reject,
      );
    });
    outgoing.end(content);
    return promise;
  }

  /** A new conversation with the scripted provider. */
  async conversation(conversationId: string): Promise<string> {
    const answer = await this.call('POST', '/v1/conversations', { conversationId });
    // A worker that is just coming back may take longer than a request waits; it says to repeat, so that is done.
    if (answer.status === 503 && answer.body['accepted'] === true)
      return await this.conversation(conversationId);
    if (answer.status !== 200) throw new Error(`not created: ${JSON.stringify(answer)}`);
    return conversationId;
  }

  send(conversationId: string, requestId: string, content: string, query = ''): Promise<Answer> {
    return this.call('POST', `/v1/conversations/${conversationId}/messages${query}`, {
      requestId,
      content,
    });
  }

  /** The whole log, read back over HTTP. */
  async log(conversationId: string): Promise<{ type: string; seq: number; requestId?: string }[]> {
    const events: { type: string; seq: number }[] = [];
    for (;;) {
      const after = events.at(-1)?.seq ?? 0;
      const { body } = await this.call(
        'GET',
        `/v1/conversations/${conversationId}/events?after=${after}`,
      );
      const { items, lastSeq } = body as { items: typeof events; lastSeq: number };
      events.push(...items);
      if (events.length >= lastSeq || items.length === 0) return events;
    }
  }

  async socket(): Promise<RawSocket> {
    const socket = await RawSocket.open({
      port: this.port,
      headers: {},
      protocols: ['holdfast.v1', `holdfast.token.${TOKEN}`],
    });
    this.#sockets.push(socket);
    return socket;
  }

  async discard(): Promise<void> {
    for (const socket of this.#sockets) socket.destroy();
    await Promise.all([...this.#programs.keys()].map((role) => this.stop(role, 'SIGKILL')));
    await this.stopTemporal('SIGKILL');
    const spools = join(this.#folder, 'spools');
    const marks = new Set(existsSync(spools) ? readdirSync(spools) : []);
    await eventually(() => {
      const ours = markedProcesses().filter(({ mark }) => marks.has(mark));
      for (const provider of ours) signalProcess(provider, 'SIGKILL');
      return ours.length === 0;
    });
    rmSync(this.#folder, { recursive: true, force: true });
  }
}
