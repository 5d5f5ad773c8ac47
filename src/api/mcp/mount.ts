/**
 * `/mcp` in the gateway: who may call, and the way from Fastify's requests to the SDK's.
 *
 * Invariants (numbers of design.md section 12):
 *  X1 Host and Origin are checked before (app.ts), the agent's token here, before anything of a request is read. It opens this
 *     address for its own conversation, as long as that is there and not archived; no other token does.
 *  G1 nothing is kept between two requests.
 */
import type { FastifyInstance, FastifyRequest } from 'fastify';

import { HoldfastError, isHoldfastError } from '../../contracts/errors.ts';
import { MCP_PATH } from '../../contracts/names.ts';
import type { Store } from '../../store/port.ts';
import { PROBLEM_TYPE, publicError } from '../problem.ts';
import { bearerToken } from '../security.ts';
import type { AgentsHandler } from './server.ts';
import type { AgentActions } from './tools.ts';

declare module 'fastify' {
  interface FastifyRequest {
    /** Whose token this is; null: of a request that is not for `/mcp`. */
    agentConversationId: string | null;
  }
}

/** JSON-RPC's own codes, for what is refused before it is read as a message. */
const PARSE_ERROR = -32_700;
const INVALID_REQUEST = -32_600;
const INTERNAL_ERROR = -32_603;

/** What `/mcp` stands on. */
export type McpParts = {
  agents: AgentActions;
  store: Pick<Store, 'summary'>;
  /** Whose token that is; null: nobody's. */
  conversationOf: (token: string) => string | null;
  /** Shown to clients. */
  version: string;
};

/** Serves `/mcp` in `app`, whose hooks have checked Host and Origin, and whose parser reads the bodies. */
export function mountMcp(
  app: FastifyInstance,
  { agents, store, conversationOf, version }: McpParts,
): void {
  let handler: Promise<AgentsHandler> | null = null;
  const load = (): Promise<AgentsHandler> =>
    (handler ??= import('./server.ts').then(({ createAgentsHandler }) =>
      createAgentsHandler({ agents, version, onFailure: (error) => logFailure(app, error) }),
    ));

  app.decorateRequest('agentConversationId', null);
  app.register(async (scope) => {
    scope.addHook('preClose', async () => {
      const loaded = await handler?.catch(() => null);
      await loaded?.close();
    });
    scope.addHook('onRequest', async (request, reply) => {
      const conversationId = conversationOf(bearerToken(request.headers.authorization) ?? '');
      const known = conversationId === null ? null : await store.summary(conversationId);
      if (known === null || known.archived) {
        reply.header('www-authenticate', 'Bearer');
        throw new HoldfastError(
          'unauthorized',
          'This is no token of an agent, or its conversation is archived or gone.',
        );
      }
      request.agentConversationId = conversationId;
    });
    scope.addHook('onSend', async (_request, reply, payload) => {
      if (reply.getHeader('content-type') !== PROBLEM_TYPE || typeof payload !== 'string')
        return payload;
      reply.header('content-type', 'application/json; charset=utf-8');
      return rpcError(payload);
    });
    scope.route({
      // GET and DELETE are refused, but to nobody without a token: a client asks for a stream, and is to hear that there is none.
      method: ['GET', 'POST', 'DELETE'],
      url: MCP_PATH,
      handler: async (request, reply) => {
        const gone = new AbortController();
        reply.raw.once('close', () => {
          if (!reply.raw.writableFinished) gone.abort();
        });
        const loaded = await load();
        const response = await loaded.serve(webRequest(request, gone.signal), {
          conversationId: request.agentConversationId ?? '',
          body: request.body,
        });
        if (gone.signal.aborted) return reply.hijack();
        return reply.send(response);
      },
    });
  });
}

function logFailure({ log }: FastifyInstance, error: unknown): void {
  if (publicError(error).status < 500) return;
  // Nothing of the request: it holds what agents say.
  if (isHoldfastError(error)) log.warn({ code: error.code }, 'a tool was refused for now');
  else log.error({ err: error }, 'a tool failed');
}

/** What the SDK looks at; the token is not its business, and the body has been read. */
function webRequest({ method, url, headers }: FastifyRequest, signal: AbortSignal): Request {
  const passed = new Headers();
  for (const [name, value] of Object.entries(headers))
    if (typeof value === 'string' && /^(accept|content-type|last-event-id|mcp-.+)$/.test(name))
      passed.set(name, value);
  return new Request(new URL(url, 'http://gateway.invalid'), { method, headers: passed, signal });
}

/** A problem as the error of a request whose id was not read. */
function rpcError(problem: string): string {
  const data: unknown = JSON.parse(problem);
  const { code, status, title, detail } = fieldsOf(data);
  const isInternal = Number(status) >= 500;
  const number = isInternal
    ? INTERNAL_ERROR
    : Number(status) === 400
      ? PARSE_ERROR
      : INVALID_REQUEST;
  const words = typeof detail === 'string' ? detail : title;
  return JSON.stringify({
    jsonrpc: '2.0',
    error: { code: number, message: `${String(code)}: ${String(words)}`, data },
    id: null,
  });
}

function fieldsOf(value: unknown): Readonly<Record<string, unknown>> {
  return typeof value === 'object' && value !== null ? { ...value } : {};
}
