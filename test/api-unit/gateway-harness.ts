/**
 * A gateway on a real port over a real store, with a workflow double behind it. Every JSON answer that a test asks for
 * through {@link Gateway.call} is held against the OpenAPI document that the gateway itself serves.
 */
import { mkdirSync, mkdtempSync, realpathSync, rmSync } from 'node:fs';
import { request as httpRequest, type IncomingMessage } from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

import type { FastifyInstance } from 'fastify';
import { Compile, type Validator } from 'typebox/compile';
import { onTestFinished } from 'vitest';

import { AgentTokens } from '../../src/agent-tokens.ts';
import { createApp, type GatewayConfig, type GatewayDependencies } from '../../src/api/app.ts';
import type { WorkflowCommands } from '../../src/api/commands.ts';
import { Metrics } from '../../src/api/metrics.ts';
import type { ProviderItemValue } from '../../src/contracts/http.ts';
import { conversationStream, tableStream, teamStream } from '../../src/contracts/ids.ts';
import { openStore } from '../../src/store/open.ts';
import type { Store } from '../../src/store/port.ts';
import { type Frame, type Handshake, RawSocket } from './raw-socket.ts';
import { WorkflowDouble } from './workflow-double.ts';

export const TOKEN = 'test-token-0123456789abcdef';

const capabilities = {
  warmSessions: true,
  approvals: true,
  protocolCancel: true,
  resume: true,
  steer: false,
} as const;
const providerItems: ProviderItemValue[] = [
  { providerId: 'scripted', found: true, version: '1', capabilities, problem: null },
  { providerId: 'other', found: true, version: '1', capabilities, problem: null },
  { providerId: 'claude', found: false, version: null, capabilities, problem: 'not on PATH' },
];

export type Answer = {
  status: number;
  headers: IncomingMessage['headers'];
  text: string;
  /** The JSON body; an empty record when there is none. */
  body: Record<string, unknown>;
};

export type Call = {
  body?: unknown;
  /** Sent as it is, instead of `body`. */
  raw?: string | Buffer;
  headers?: Record<string, string>;
  /** Null: no Authorization. */
  token?: string | null;
};

export type GatewayOptions = {
  config?: Partial<GatewayConfig>;
  /** Stands between the gateway and the store, to make it slow or forgetful. */
  wrapStore?: (store: Store) => Store;
  commands?: (store: Store) => WorkflowCommands;
  room?: GatewayDependencies['room'];
  engine?: Partial<GatewayDependencies['engine']>;
  log?: GatewayDependencies['log'];
  /** Of the built page; by default there is none. */
  pageFolder?: string;
};

export class Gateway {
  readonly app: FastifyInstance;
  readonly store: Store;
  readonly workflow: WorkflowDouble;
  readonly port: number;
  /** A folder inside the workspace roots. */
  readonly workspace: string;
  readonly outside: string;
  readonly agentTokens: AgentTokens;
  readonly #sockets: RawSocket[] = [];
  #validators: Map<string, Validator> | null = null;
  readonly #refusals: { method: string; pattern: string; codes: ReadonlySet<string> }[] = [];

  private constructor(parts: {
    app: FastifyInstance;
    store: Store;
    workflow: WorkflowDouble;
    port: number;
    workspace: string;
    outside: string;
    agentTokens: AgentTokens;
  }) {
    this.app = parts.app;
    this.store = parts.store;
    this.workflow = parts.workflow;
    this.port = parts.port;
    this.workspace = parts.workspace;
    this.outside = parts.outside;
    this.agentTokens = parts.agentTokens;
  }

  /** Stopped, with its folder, when the test has finished. */
  static async start({
    config,
    wrapStore,
    commands,
    room,
    engine,
    log,
    pageFolder,
  }: GatewayOptions = {}): Promise<Gateway> {
    const folder = realpathSync(mkdtempSync(join(tmpdir(), 'holdfast-api-')));
    const workspace = join(folder, 'workspace');
    const outside = join(folder, 'outside');
    mkdirSync(workspace);
    mkdirSync(outside);
    const store = await openStore({ url: `sqlite:${join(folder, 'test.db')}` });
    const workflow = new WorkflowDouble(store);
    const agentTokens = new AgentTokens({ keyFile: join(folder, 'agent-key') });
    const app = createApp({
      config: {
        allowedHosts: [],
        allowedOrigins: [],
        bodyLimitBytes: 1024 * 1024,
        frameLimitBytes: 1024 * 1024,
        receiptWaitMs: 2_000,
        pingIntervalMs: 15_000,
        socketHighWaterBytes: 1024 * 1024,
        socketHardCapBytes: 64 * 1024 * 1024,
        workspaceRoots: [workspace],
        agentBudgetUsd: null,
        ...config,
      },
      token: TOKEN,
      conversationOfToken: (given) => agentTokens.conversationOf(given),
      store: wrapStore?.(store) ?? store,
      commands: commands?.(store) ?? workflow,
      providers: { describe: async () => providerItems },
      room: room ?? (() => ({ level: 'ample', freeBytes: 1, reserveBytes: 0 })),
      engine: {
        processes: () => null,
        embeddedTemporal: () => true,
        temporalUi: 'http://127.0.0.1:8233',
        namespace: 'default',
        ...engine,
      },
      metrics: new Metrics(),
      log: log ?? false,
      pageFolder: pageFolder ?? join(folder, 'no-page'),
      version: '0.0.0-test',
    });
    await app.listen({ host: '127.0.0.1', port: 0 });
    const address = app.server.address();
    if (typeof address !== 'object' || address === null) throw new Error('does not listen');
    const gateway = new Gateway({
      app,
      store,
      workflow,
      port: address.port,
      workspace,
      outside,
      agentTokens,
    });
    onTestFinished(async () => {
      for (const socket of gateway.#sockets) socket.destroy();
      await app.close();
      await workflow.quiet();
      await store.close();
      rmSync(folder, { recursive: true, force: true });
    });
    return gateway;
  }

  async call(method: string, path: string, call: Call = {}): Promise<Answer> {
    const answer = await this.request(method, path, call);
    if (method !== 'HEAD' && method !== 'OPTIONS') await this.#check(method, path, answer);
    return answer;
  }

  get(path: string, call?: Call): Promise<Answer> {
    return this.call('GET', path, call);
  }

  post(path: string, body?: unknown, call: Call = {}): Promise<Answer> {
    return this.call('POST', path, { ...call, body });
  }

  patch(path: string, body: unknown): Promise<Answer> {
    return this.call('PATCH', path, { body });
  }

  delete(path: string): Promise<Answer> {
    return this.call('DELETE', path);
  }

  /** One exchange on a connection of its own, answer unchecked. */
  async request(method: string, path: string, call: Call = {}): Promise<Answer> {
    const response = await this.open(method, path, call);
    const parts: Buffer[] = [];
    for await (const part of response) parts.push(part as Buffer);
    const text = Buffer.concat(parts).toString('utf8');
    const isJson = /json/.test(response.headers['content-type'] ?? '');
    return {
      status: response.statusCode ?? 0,
      headers: response.headers,
      text,
      body: isJson && text !== '' ? (JSON.parse(text) as Record<string, unknown>) : {},
    };
  }

  /** Resolves with the head of the answer; aborting `signal` drops the connection. */
  async open(
    method: string,
    path: string,
    { body, raw, headers = {}, token = TOKEN, signal }: Call & { signal?: AbortSignal } = {},
  ): Promise<IncomingMessage> {
    const content = raw ?? (body === undefined ? undefined : JSON.stringify(body));
    const { promise, resolve, reject } = Promise.withResolvers<IncomingMessage>();
    const outgoing = httpRequest(
      {
        host: '127.0.0.1',
        port: this.port,
        method,
        path,
        agent: false,
        ...(signal === undefined ? {} : { signal }),
        headers: {
          ...(token === null ? {} : { authorization: `Bearer ${token}` }),
          ...(body === undefined ? {} : { 'content-type': 'application/json' }),
          ...(content === undefined ? {} : { 'content-length': Buffer.byteLength(content) }),
          ...headers,
        },
      },
      resolve,
    );
    outgoing.on('error', reject);
    outgoing.end(content);
    return promise;
  }

  /** A socket that is let in, unless `handshake` says otherwise. */
  async socket(handshake: Partial<Handshake> = {}): Promise<RawSocket> {
    const socket = await RawSocket.open({
      port: this.port,
      headers: { authorization: `Bearer ${TOKEN}` },
      ...handshake,
    });
    this.#sockets.push(socket);
    return socket;
  }

  /** As a client does: what is accepted and not done in the time of one answer is asked for again. */
  async #create(path: string, body: object): Promise<void> {
    let answer = await this.post(path, body);
    while (answer.status === 503 && answer.body['accepted'] === true)
      answer = await this.post(path, body);
    if (answer.status !== 200) throw new Error(`not created: ${answer.text}`);
  }

  /** A conversation, made through the API. */
  async conversation(conversationId = 'c1'): Promise<string> {
    await this.#create('/v1/conversations', { conversationId });
    return conversationId;
  }

  /** A conversation with a running turn. */
  async running(conversationId = 'c1'): Promise<string> {
    await this.conversation(conversationId);
    const sent = await this.send(conversationId, 'first', 'hello');
    if (sent.body['status'] !== 'started') throw new Error(`not started: ${sent.text}`);
    return conversationId;
  }

  /** A table, made through the API. */
  async table(tableId = 't1'): Promise<string> {
    await this.#create('/v1/tables', { tableId });
    return tableId;
  }

  /** New chat. */
  async chat(conversationId: string, tableId = 't1'): Promise<string> {
    await this.#create(`/v1/tables/${tableId}/conversations`, { conversationId });
    return conversationId;
  }

  /** A conversation with a running turn and these requests waiting behind it. */
  async queued(...requestIds: string[]): Promise<string> {
    const conversationId = await this.running();
    for (const requestId of requestIds) {
      const { body } = await this.send(conversationId, requestId, `text of ${requestId}`);
      if (body['status'] !== 'queued') throw new Error(`not queued: ${JSON.stringify(body)}`);
    }
    return conversationId;
  }

  send(
    conversationId: string,
    requestId: string,
    content: string,
    { wait, ...more }: { whenBusy?: string; replaces?: string; wait?: 'end' } = {},
  ): Promise<Answer> {
    const query = wait === undefined ? '' : `?wait=${wait}`;
    return this.post(`/v1/conversations/${conversationId}/messages${query}`, {
      requestId,
      content,
      ...more,
    });
  }

  /** The whole log as the store has it. */
  async log(conversationId: string): Promise<Frame[]> {
    const { items } = await this.store.events(conversationStream(conversationId), 0, 1_000_000);
    return items.map((item) => JSON.parse(item.json) as Frame);
  }

  /** A table's whole stream. */
  async tableLog(tableId = 't1'): Promise<Frame[]> {
    const { items } = await this.store.events(tableStream(tableId), 0, 1_000_000);
    return items.map((item) => JSON.parse(item.json) as Frame);
  }

  /** A team's whole stream. */
  async teamLog(rootId = 'c1'): Promise<Frame[]> {
    const { items } = await this.store.events(teamStream(rootId), 0, 1_000_000);
    return items.map((item) => JSON.parse(item.json) as Frame);
  }

  /** An agent, made through the API: its conversationId. */
  async agent(parentId: string, body: object): Promise<string> {
    const answer = await this.post(`/v1/conversations/${parentId}/agents`, body);
    if (answer.status !== 200) throw new Error(`not made: ${answer.text}`);
    return String(answer.body['conversationId']);
  }

  lastSeq(conversationId: string): Promise<number> {
    return this.store.lastSeq(conversationStream(conversationId));
  }

  /** Holds a JSON answer against the document. A route or a status that the document does not have is a failure. */
  async #check(method: string, path: string, answer: Answer): Promise<void> {
    const type = answer.headers['content-type'] ?? '';
    if (!type.includes('json')) return;
    this.#validators ??= await this.#readDocument();
    const [pathname = ''] = path.split('?');
    if (type.includes('problem+json')) {
      const problem = this.#validators.get('problem');
      if (problem?.Check(answer.body) !== true || answer.body['status'] !== answer.status)
        throw new Error(`no problem: ${answer.text}`);
      this.#checkRefusal(method, pathname, answer);
      return;
    }
    for (const [key, validator] of this.#validators) {
      const [of, pattern, status] = key.split(' ');
      if (of !== method || status !== String(answer.status)) continue;
      if (!new RegExp(`^${pattern}$`).test(pathname)) continue;
      if (!validator.Check(answer.body))
        throw new Error(
          `${key} answers what its document does not say: ${JSON.stringify(validator.Errors(answer.body))} ${answer.text.slice(0, 500)}`,
        );
      return;
    }
    // The documents themselves have no schema.
    if (!pathname.endsWith('.json'))
      throw new Error(`${method} ${path} ${answer.status} is not in the document`);
  }

  /** A code that the document does not name for its route is a failure; an address that is none has no document. */
  #checkRefusal(method: string, pathname: string, { status, body }: Answer): void {
    const code = String(body['code']);
    const named = this.#refusals.find(
      (route) => route.method === method && new RegExp(`^${route.pattern}$`).test(pathname),
    );
    if (named !== undefined && !named.codes.has(`${status} ${code}`))
      throw new Error(`${method} ${named.pattern} does not name ${status} ${code}`);
  }

  async #readDocument(): Promise<Map<string, Validator>> {
    const { body } = await this.request('GET', '/openapi.json');
    const document = body as {
      paths: Record<
        string,
        Record<
          string,
          {
            responses: Record<
              string,
              { description: string; content: Record<string, { schema: object }> }
            >;
          }
        >
      >;
      components: { schemas: { Problem: object } };
    };
    const validators = new Map([['problem', Compile(document.components.schemas.Problem)]]);
    for (const [path, operations] of Object.entries(document.paths)) {
      const pattern = path.replaceAll(/\{[A-Za-z]+\}/g, '[^/]+');
      for (const [method, { responses }] of Object.entries(operations)) {
        const codes = Object.entries(responses).flatMap(([status, { description }]) =>
          [...description.matchAll(/`(\w+)`:/g)].map(([, code]) => `${status} ${code}`),
        );
        this.#refusals.push({ method: method.toUpperCase(), pattern, codes: new Set(codes) });
        for (const [status, { content }] of Object.entries(responses)) {
          const schema = content['application/json']?.schema;
          if (schema !== undefined)
            validators.set(`${method.toUpperCase()} ${pattern} ${status}`, Compile(schema));
        }
      }
    }
    return validators;
  }
}
