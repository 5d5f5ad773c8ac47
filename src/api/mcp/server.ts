/**
 * The tools as an MCP server, by the official SDK. Loaded when somebody calls: the SDK takes some 0.2 s and 30 MB, which those
 * who use no agents need not have.
 *
 *  1 Stateless: each HTTP request has a server of its own, so that any gateway answers any call, also after a restart.
 *  2 Clients of both generations of the protocol are served: those that begin with `initialize` (2025), and those whose every
 *    request says all there is to know (2026-07-28).
 *  3 Whatever is refused is a result that a model can read; only what is no call of a tool of ours is an error of the protocol.
 */
import {
  type CallToolResult,
  createMcpHandler,
  isLegacyRequest,
  McpServer,
  type StandardSchemaWithJSON,
  WebStandardStreamableHTTPServerTransport,
} from '@modelcontextprotocol/server';
import type { TSchema } from 'typebox';

import { MCP_SERVER } from '../../contracts/names.ts';
import { refusalText } from './refusals.ts';
import { type AgentActions, type Caller, type Tool, tools } from './tools.ts';

/** Told to a model when it connects. */
const INSTRUCTIONS =
  'You are one of a team of agents. With these tools you make other agents, write to them, and see how they are doing. Everything that is for you (what an agent answers, how its task ended) is given to you as a message by itself, when your turn is over: end your turn rather than wait or look again and again.';

/** What `/mcp` is served by. */
export type AgentsHandler = {
  /** `body`: undefined for none. */
  serve(request: Request, call: { conversationId: string; body: unknown }): Promise<Response>;
  /** Ends what is open. */
  close(): Promise<void>;
};

/** Serves the tools to the agents of all conversations. Whose token a request had, its caller has looked at. */
export function createAgentsHandler({
  agents,
  version,
  onFailure,
}: {
  agents: AgentActions;
  version: string;
  /** A call that was refused or failed; never with what was said in it. */
  onFailure: (error: unknown) => void;
}): AgentsHandler {
  const serverFor = (conversationId: string): McpServer =>
    createServer({ caller: { conversationId, agents }, version, onFailure });
  const modern = createMcpHandler(({ authInfo }) => serverFor(authInfo?.clientId ?? ''), {
    legacy: 'reject',
  });
  return {
    async serve(request, { conversationId, body }) {
      const parsed = body === undefined ? {} : { parsedBody: body };
      const isModern = !(await isLegacyRequest(request, body));
      if (isModern)
        return await modern.fetch(request, {
          ...parsed,
          authInfo: { token: '', clientId: conversationId, scopes: [] },
        });
      if (request.method !== 'POST') return noSessions();
      const server = serverFor(conversationId);
      // As one JSON document, not as a stream: when this process dies in the middle of a call, the connection breaks, and a client
      // that read a stream would go on waiting for the rest of it.
      const transport = new WebStandardStreamableHTTPServerTransport({ enableJsonResponse: true });
      await server.connect(transport);
      const gone = Promise.withResolvers<Response>();
      // What was asked for is carried out all the same; its answer goes to nobody.
      request.signal.addEventListener('abort', () => gone.resolve(Response.error()), {
        once: true,
      });
      try {
        return await Promise.race([transport.handleRequest(request, parsed), gone.promise]);
      } finally {
        void server.close();
      }
    },
    close: () => modern.close(),
  };
}

/** A GET would be a stream of what nobody asked for, a DELETE the end of a session; there is neither. */
function noSessions(): Response {
  return Response.json(
    { jsonrpc: '2.0', error: { code: -32_000, message: 'Method not allowed.' }, id: null },
    { status: 405, headers: { allow: 'POST' } },
  );
}

function createServer({
  caller,
  version,
  onFailure,
}: {
  caller: Caller;
  version: string;
  onFailure: (error: unknown) => void;
}): McpServer {
  const server = new McpServer(
    { name: MCP_SERVER, version },
    // They never change.
    { capabilities: { tools: { listChanged: false } }, instructions: INSTRUCTIONS },
  );
  const call = async (tool: Tool, input: unknown): Promise<CallToolResult> => {
    try {
      const answer = await tool.run(caller, input);
      return {
        content: [{ type: 'text', text: JSON.stringify(answer) }],
        structuredContent: answer,
      };
    } catch (error) {
      onFailure(error);
      return { content: [{ type: 'text', text: refusalText(error) }], isError: true };
    }
  };
  for (const tool of tools)
    server.registerTool(
      tool.name,
      {
        title: tool.title,
        description: tool.description,
        inputSchema: unchecked(tool.input),
        outputSchema: unchecked(tool.output),
        annotations: {
          readOnlyHint: tool.readOnly,
          idempotentHint: tool.idempotent,
          destructiveHint: false,
          openWorldHint: false,
        },
      },
      (input) => call(tool, input),
    );
  return server;
}

/** A schema to be shown. The tools check their arguments themselves, so that a refusal reads like every other. */
function unchecked(schema: TSchema): StandardSchemaWithJSON {
  const json = () => ({ ...schema });
  return {
    '~standard': {
      version: 1,
      vendor: 'typebox',
      validate: (value) => ({ value }),
      jsonSchema: { input: json, output: json },
    },
  };
}
