/**
 * The gateway: a Fastify app over the store (reads) and the workflow commands (writes).
 *
 * Invariants (numbers of design.md):
 *  A3 nothing is accepted here that Temporal has not made durable; L3 nothing is shown that is not in the store.
 *  X1 Host, Origin and token are checked before a request is read, on every route, found or not. The page's files and
 *     `/healthz` need no token.
 *  G1 no state of this process matters: any gateway can answer what another has begun.
 */
import { monitorEventLoopDelay } from 'node:perf_hooks';

import websocket from '@fastify/websocket';
import Fastify, { LogController, type FastifyInstance, type FastifyRequest } from 'fastify';

import { HoldfastError } from '../contracts/errors.ts';
import { MCP_PATH, WS_PROTOCOL } from '../contracts/names.ts';
import type { Room } from '../store/disk-room.ts';
import type { Store } from '../store/port.ts';
import { Agents } from './agents.ts';
import { CommandGate } from './command-gate.ts';
import type { WorkflowCommands } from './commands.ts';
import { Connections } from './connections.ts';
import { Conversations } from './conversations.ts';
import { asyncApiOf, openApiOf, registeredRoutes, type RegisteredRoute } from './documents.ts';
import { createFeed, type Feed } from './feed.ts';
import { History } from './history.ts';
import { Holds } from './holds.ts';
import { mountMcp } from './mcp/mount.ts';
import { Metrics } from './metrics.ts';
import { handleError, invalidRequest, rawProblem, sendProblem } from './problem.ts';
import type { ProviderDirectory } from './provider-directory.ts';
import { Queue } from './queue.ts';
import { agentRoutes } from './routes/agents.ts';
import { conversationRoutes } from './routes/conversations.ts';
import { eventRoutes } from './routes/events.ts';
import { historyRoutes } from './routes/history.ts';
import { isPageUrl, pageRoutes } from './routes/page.ts';
import { queueRoutes } from './routes/queue.ts';
import { socketRoute } from './routes/socket.ts';
import { systemRoutes } from './routes/system.ts';
import { tableRoutes } from './routes/tables.ts';
import { triggerRoutes } from './routes/triggers.ts';
import { whyRoutes } from './routes/why.ts';
import { Allowlist, Tickets, TokenCheck, bearerToken, judgeHandshake } from './security.ts';
import { Tables } from './tables.ts';
import { Triggers } from './triggers.ts';
import { TurnEnds } from './turn-ends.ts';
import { parseJson, schemaCompiler } from './validation.ts';
import { type EngineFacts, Why } from './why.ts';

declare module 'fastify' {
  interface FastifyRequest {
    /** What this handshake is closed with as soon as it is open; null: it is welcome, or no handshake. */
    socketRefusal: ReturnType<typeof judgeHandshake>;
  }
}

export type GatewayConfig = {
  /** Values of the Host header that are served beside the loopback names. */
  allowedHosts: readonly string[];
  /** Values of the Origin header that are served beside the API's own. */
  allowedOrigins: readonly string[];
  bodyLimitBytes: number;
  frameLimitBytes: number;
  receiptWaitMs: number;
  pingIntervalMs: number;
  socketHighWaterBytes: number;
  socketHardCapBytes: number;
  /** Folders in which agents may work; the first is the default. */
  workspaceRoots: readonly string[];
  /** What a team may have spent when one more agent is made; null: anything. */
  agentBudgetUsd: number | null;
};

/** Where the log goes: an object of pino's shape, or false. */
export type GatewayLog = { level: string; stream?: { write(line: string): void } } | false;

export type GatewayDependencies = {
  config: GatewayConfig;
  /** The API's token. */
  token: string;
  /** The conversation whose agent's token this is; null: it is none. */
  conversationOfToken: (token: string) => string | null;
  /** Stays the caller's to close, after the app. */
  store: Store;
  commands: WorkflowCommands;
  providers: ProviderDirectory;
  /** A look at the disks; see store/disk-room.ts. */
  room: () => Room;
  engine: EngineFacts;
  metrics?: Metrics;
  log: GatewayLog;
  /** Where the built page is; see page.ts. */
  pageFolder: string;
  /** Shown in the documents. */
  version: string;
};

/** How long a client may take to send a request; not how long it may wait for its answer. */
const RECEIVE_TIMEOUT_MS = 60_000;
/** Silence of a connection after which TCP asks whether the other end is still there. */
const KEEPALIVE_AFTER_MS = 30_000;
/** Longer than every id, so that a wrong id is told from a wrong address. */
const PARAMETER_LIMIT_CHARS = 1_024;

/** The app, ready to listen. Its `close` answers everybody who waits, says goodbye to every socket, and stops the feed. */
export function createApp(dependencies: GatewayDependencies): FastifyInstance {
  const { config, store, commands, providers, room, log } = dependencies;
  const metrics = dependencies.metrics ?? new Metrics();
  const app = Fastify({
    bodyLimit: config.bodyLimitBytes,
    requestTimeout: RECEIVE_TIMEOUT_MS,
    // A held send waits as long as its turn takes, and is let go when its caller's machine has gone.
    connectionTimeout: 0,
    http: { keepAlive: true, keepAliveInitialDelay: KEEPALIVE_AFTER_MS },
    // A request while closing is answered by our own hook, as a problem.
    return503OnClosing: false,
    // Fastify's own lines hold the address with its query, and so a ticket.
    logController: new LogController({ disableRequestLogging: true }),
    logger: log,
    routerOptions: { maxParamLength: PARAMETER_LIMIT_CHARS },
    frameworkErrors: (error, _request, reply) => void sendProblem(reply, error),
    clientErrorHandler: (error, socket) => {
      if (error.code === 'ECONNRESET' || !socket.writable) {
        socket.destroy();
        return;
      }
      socket.end(rawProblem('invalid_request'));
    },
  });

  const feed = createFeed({ store, log: app.log });
  const gate = new CommandGate(room);
  const { workspaceRoots, receiptWaitMs, agentBudgetUsd } = config;
  const parts = { store, feed, commands, gate, providers, workspaceRoots };
  const conversations = new Conversations(parts);
  const tables = new Tables(parts);
  const agents = new Agents({ ...parts, receiptWaitMs, agentBudgetUsd });
  const queue = new Queue(parts);
  const turnEnds = new TurnEnds(parts);
  const holds = new Holds();
  const connections = new Connections(config.pingIntervalMs);
  // Setting the machine's clock makes no ticket older or younger.
  const tickets = new Tickets(() => performance.now());
  const routes: RegisteredRoute[] = [];
  const errors = metrics.counter('socket_errors_total', 'Frames answered with an error, by code.');
  const closed = metrics.counter('sockets_closed_total', 'WebSockets closed, by close code.');
  observe({ app, metrics, feed, holds, connections, gate, room });

  app.setValidatorCompiler(schemaCompiler);
  // The schemas of answers are what tests hold them against; nothing is left out of an answer by a schema.
  app.setSerializerCompiler(() => (data) => JSON.stringify(data));
  app.setErrorHandler(handleError);
  readJsonOnly(app);
  app.addHook('onRoute', (route) => {
    routes.push(...registeredRoutes(route));
  });

  app.register(websocket, {
    options: {
      maxPayload: config.frameLimitBytes,
      // Off: with it a frame could not be shared, nor written between two others.
      perMessageDeflate: false,
      // Never the token, which is offered beside it.
      handleProtocols: (offered) => (offered.has(WS_PROTOCOL) ? WS_PROTOCOL : false),
    },
    errorHandler: (error, socket, request) => {
      request.log.debug({ err: error }, 'socket failed');
      // The WebSocket library closes by itself for what it refused (1009, 1007, 1002), and reads on so that its close frame
      // arrives: ended at once, the connection is reset over data that is still coming, and the code is lost.
      if (isRefusedByLibrary(error)) setTimeout(() => socket.terminate(), CLOSING_MS).unref();
      else socket.terminate();
    },
    preClose: (done) => {
      holds.stop();
      void sayGoodbye({ connections, feed }).finally(done);
    },
  });
  // After the plugin, whose hook tells a handshake from a request.
  app.after(() => {
    guard(app, { ...dependencies, tickets, holds, routes });
    app.register(conversationRoutes, { conversations, turnEnds, holds, receiptWaitMs });
    app.register(queueRoutes, { queue, conversations, turnEnds, holds, receiptWaitMs });
    app.register(historyRoutes, { history: new History(parts), holds, receiptWaitMs });
    app.register(tableRoutes, { tables, holds, receiptWaitMs });
    app.register(triggerRoutes, { triggers: new Triggers(parts), holds, receiptWaitMs });
    app.register(agentRoutes, { agents, holds, receiptWaitMs });
    app.register(whyRoutes, {
      why: new Why({ store, commands, room, engine: dependencies.engine }),
    });
    const { conversationOfToken: conversationOf, version } = dependencies;
    mountMcp(app, { agents, store, conversationOf, version });
    app.register(pageRoutes, { folder: dependencies.pageFolder });
    app.register(eventRoutes, {
      conversations,
      tables,
      agents,
      connections,
      store,
      feed,
      socketHighWaterBytes: config.socketHighWaterBytes,
    });
    app.register(systemRoutes, {
      store,
      commands,
      providers,
      metrics,
      tickets,
      openApi: () => openApiOf({ routes, version: dependencies.version }),
      asyncApi: () => asyncApiOf({ version: dependencies.version }),
    });
    app.register(socketRoute, {
      store,
      feed,
      conversations,
      tables,
      agents,
      queue,
      connections,
      limits: config,
      log: app.log,
      onError: (code) => errors.add({ code }),
      onClosed: (code) => closed.add({ code }),
    });
  });
  return app;
}

async function sayGoodbye({
  connections,
  feed,
}: {
  connections: Connections;
  feed: Feed;
}): Promise<void> {
  await connections.shutDown();
  feed.close();
}

/** Bodies are JSON or refused: what a form or a plain text could carry, any page could send without being asked (CSRF). */
function readJsonOnly(app: FastifyInstance): void {
  app.removeAllContentTypeParsers();
  app.addContentTypeParser<Buffer>(
    'application/json',
    { parseAs: 'buffer' },
    async (request: FastifyRequest, body: Buffer) => {
      const charset = /;\s*charset="?([^";\s]+)/i.exec(request.headers['content-type'] ?? '')?.[1];
      if (charset !== undefined && !/^utf-?8$/i.test(charset))
        throw new HoldfastError('unsupported_media_type', 'JSON is UTF-8.');
      const encoding = request.headers['content-encoding'];
      if (encoding !== undefined && encoding !== 'identity')
        throw new HoldfastError('unsupported_media_type', 'Compressed bodies are not taken.');
      if (body.length === 0) return undefined;
      const value = parseJson(body);
      // Fastify's validation takes it for no body at all.
      if (value === null) throw invalidRequest([{ path: '', message: 'must be object' }]);
      return value;
    },
  );
}

/** Checks who asks (X1), answers preflights, and tells a wrong method from a wrong address. */
function guard(
  app: FastifyInstance,
  {
    config,
    token,
    tickets,
    holds,
    routes,
  }: GatewayDependencies & { tickets: Tickets; holds: Holds; routes: readonly RegisteredRoute[] },
): void {
  const tokenCheck = new TokenCheck(token);
  const allowlistOf = (port: number): Allowlist =>
    new Allowlist({ port, hosts: config.allowedHosts, origins: config.allowedOrigins });
  let allowlist = allowlistOf(0);
  // The port is known once the server listens.
  app.addHook('onListen', async () => {
    allowlist = allowlistOf(listeningPort(app));
  });

  app.decorateRequest('socketRefusal', null);
  app.addHook('onRequest', async (request, reply) => {
    const { headers } = request;
    if (!allowlist.servesHost(headers.host)) throw new HoldfastError('host_not_allowed');
    if (holds.isStopping) throw new HoldfastError('shutting_down');
    if (request.ws && request.routeOptions.url === SOCKET_URL) {
      const ticket = ticketOf(request);
      request.socketRefusal = judgeHandshake({
        headers,
        ticket,
        allowlist,
        token: tokenCheck,
        tickets,
      });
      return;
    }
    if (headers.origin !== undefined) {
      if (!allowlist.allowsOrigin(headers.origin)) throw new HoldfastError('origin_not_allowed');
      reply.header('access-control-allow-origin', headers.origin).header('vary', 'Origin');
    }
    // A preflight carries no token, and asks only what an allowed page may ask.
    if (isPreflight(request)) return;
    if (request.routeOptions.url === HEALTH_URL) return;
    // They hold no secret, and are where a token is asked for.
    if (isPageUrl(request.routeOptions.url)) return;
    // Has tokens of its own, which are none here.
    if (request.routeOptions.url === MCP_PATH) return;
    if (!tokenCheck.matches(bearerToken(headers.authorization))) {
      reply.header('www-authenticate', 'Bearer');
      throw new HoldfastError('unauthorized');
    }
  });

  app.options('*', async (request, reply) => {
    const methods = methodsOf(request.url, routes);
    if (methods.length === 0) throw new HoldfastError('not_found');
    reply.header('allow', methods.join(', '));
    if (isPreflight(request))
      reply
        .header('access-control-allow-methods', methods.join(', '))
        .header('access-control-allow-headers', 'authorization, content-type, last-event-id')
        .header('access-control-max-age', '600');
    return reply.code(204).send();
  });

  app.setNotFoundHandler((request, reply) => {
    const methods = methodsOf(request.url, routes);
    if (methods.length === 0) return sendProblem(reply, new HoldfastError('not_found'));
    reply.header('allow', methods.join(', '));
    return sendProblem(reply, new HoldfastError('method_not_allowed'));
  });
}

const SOCKET_URL = '/v1/ws';
const HEALTH_URL = '/healthz';

function isPreflight(request: FastifyRequest): boolean {
  const { headers, method } = request;
  return (
    method === 'OPTIONS' &&
    headers.origin !== undefined &&
    headers['access-control-request-method'] !== undefined
  );
}

function ticketOf(request: FastifyRequest): string | null {
  const { query } = request;
  return typeof query === 'object' &&
    query !== null &&
    'ticket' in query &&
    typeof query.ticket === 'string'
    ? query.ticket
    : null;
}

/** The port requests are addressed to. */
function listeningPort(app: FastifyInstance): number {
  const address = app.server.address();
  return typeof address === 'object' && address !== null ? address.port : 0;
}

/** The methods an address takes; none when it is no address of ours. */
function methodsOf(url: string, routes: readonly RegisteredRoute[]): string[] {
  const [path = ''] = url.split('?');
  const methods = routes
    .filter((route) => {
      const pattern = route.url.replaceAll('.', '\\.').replaceAll(/:[A-Za-z]+/g, '[^/]+');
      return new RegExp(`^${pattern}$`).test(path);
    })
    .map((route) => route.method);
  return methods.includes('GET')
    ? [...methods, 'HEAD', 'OPTIONS']
    : [...methods, ...options(methods)];
}

function options(methods: readonly string[]): string[] {
  return methods.length === 0 ? [] : ['OPTIONS'];
}

/** The gateway's own figures. */
/** How long a peer may take to read why its socket is closed. */
const CLOSING_MS = 2_000;

/** What the WebSocket library refuses by itself, with a close code of its own. */
function isRefusedByLibrary(error: unknown): boolean {
  return (
    error instanceof Error &&
    'code' in error &&
    typeof error.code === 'string' &&
    error.code.startsWith('WS_ERR_')
  );
}

function observe({
  app,
  metrics,
  feed,
  holds,
  connections,
  gate,
  room,
}: {
  app: FastifyInstance;
  metrics: Metrics;
  feed: Feed;
  holds: Holds;
  connections: Connections;
  gate: CommandGate;
  room: () => Room;
}): void {
  const requests = metrics.histogram(
    'http_request_duration_seconds',
    'From the arrival of a request to the end of its answer, held requests included.',
  );
  app.addHook('onResponse', async (request, reply) => {
    requests.observe(reply.elapsedTime / 1_000, {
      method: request.method,
      route: request.routeOptions.url ?? '(none)',
      status: reply.statusCode,
    });
  });
  metrics.gauge('connections', 'WebSockets and event streams open.', () => connections.size);
  metrics.gauge('held_requests', 'Requests that wait for their answer.', () => holds.size);
  metrics.gauge('commands_in_flight', 'Commands that wait for Temporal.', () => gate.inFlight);
  metrics.gauge('feed_streams', 'Streams that are followed.', () => feed.counts.streams);
  metrics.gauge('feed_subscribers', 'Subscriptions of clients.', () => feed.counts.subscribers);
  const grown = (name: string, help: string, read: () => number): void =>
    metrics.gauge(name, help, read, 'counter');
  grown('feed_events_read_total', 'Events read from the log.', () => feed.counts.eventsRead);
  grown('feed_events_delivered_total', 'Events written.', () => feed.counts.eventsDelivered);
  grown('feed_bytes_delivered_total', 'Bytes written.', () => feed.counts.bytesDelivered);
  grown(
    'feed_fallen_behind_total',
    'Readers that were too slow and fell back to the log.',
    () => feed.counts.fallenBehind,
  );
  grown(
    'feed_read_failures_total',
    'Reads of the log that failed.',
    () => feed.counts.readFailures,
  );
  metrics.gauge(
    'disk_free_bytes',
    'Free on the disk with the least room for its reserve.',
    () => room().freeBytes,
  );
  metrics.gauge(
    'disk_reserve_bytes',
    'Kept free on that disk; with less, new work is refused.',
    () => room().reserveBytes,
  );
  metrics.gauge('process_resident_memory_bytes', 'Resident memory of this process.', () =>
    process.memoryUsage.rss(),
  );
  const delay = monitorEventLoopDelay({ resolution: 20 });
  delay.enable();
  app.addHook('onClose', async () => {
    delay.disable();
  });
  metrics.gauge('event_loop_delay_seconds', '99th percentile of the last readings.', () => {
    const seconds = delay.percentile(99) / 1e9;
    delay.reset();
    return Number.isFinite(seconds) ? seconds : 0;
  });
}
