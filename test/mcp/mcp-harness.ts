/** A gateway's `/mcp` alone, on a real port, over a double of what it asks; and clients of both generations of the protocol. */
import { Client, StreamableHTTPClientTransport } from '@modelcontextprotocol/client';
import Fastify, { type FastifyInstance } from 'fastify';
import { onTestFinished } from 'vitest';

import { mountMcp } from '../../src/api/mcp/mount.ts';
import type { AgentActions } from '../../src/api/mcp/tools.ts';
import { handleError } from '../../src/api/problem.ts';
import type { MailRowValue, TeamViewValue } from '../../src/contracts/agents.ts';
import type { AgentViewValue } from '../../src/contracts/events.ts';

export const AT = '2026-11-22T04:00:00.000Z';

/** Both kinds of client: those that begin with `initialize`, and those whose every request says all there is to know. */
export const GENERATIONS = ['2025', '2026'] as const;
export type Generation = (typeof GENERATIONS)[number];

export function mailRow(row: Partial<MailRowValue> = {}): MailRowValue {
  return {
    messageId: 'm1',
    from: 'b',
    to: 'root',
    fromConversationId: 'c-b',
    toConversationId: 'c1',
    kind: 'message',
    content: 'hello',
    state: 'accepted',
    acceptedAt: AT,
    ...row,
  };
}

export function agentView(view: Partial<AgentViewValue> = {}): AgentViewValue {
  return {
    agentId: 'root',
    conversationId: 'c1',
    parentId: null,
    name: '',
    role: '',
    depth: 0,
    provider: 'scripted',
    model: null,
    workspacePath: '/work',
    providerSessionId: null,
    state: 'idle',
    outcome: null,
    lastLine: '',
    turnCount: 0,
    queued: 0,
    approvals: 0,
    usage: { inputTokens: 0, outputTokens: 0 },
    mail: { accepted: 0, delivered: 0, applied: 0, failed: 0, expired: 0 },
    createdAt: AT,
    lastAt: AT,
    ...view,
  };
}

/** Records what it is asked, and answers what the test has set. */
export class AgentsDouble implements AgentActions {
  readonly asked: { action: string; conversationId: string; body: unknown }[] = [];
  /** Thrown by whatever is asked next, until it is taken away. */
  failure: Error | null = null;
  /** Waited for before every answer. */
  before: () => Promise<void> = async () => undefined;
  rows: MailRowValue[] = [];
  members: AgentViewValue[] = [];
  /** How often a message is asked for before it is recorded. */
  unrecorded = 0;

  async spawn(conversationId: string, body: Parameters<AgentActions['spawn']>[1]) {
    await this.#ask('spawn', conversationId, body);
    const agentId = body.agentId ?? 'made';
    return { agentId, conversationId: `child-${agentId}` };
  }

  async send(
    conversationId: string,
    body: Parameters<AgentActions['send']>[1],
  ): ReturnType<AgentActions['send']> {
    await this.#ask('send', conversationId, body);
    const messageId = body.messageId ?? 'made';
    if (this.unrecorded === 0)
      return { status: 'recorded', row: mailRow({ messageId, state: 'delivered' }) };
    this.unrecorded -= 1;
    return { status: 'accepted', messageId };
  }

  async team(conversationId: string): Promise<TeamViewValue> {
    await this.#ask('team', conversationId, null);
    return { rootId: 'c1', agents: this.members, lastSeq: 1 };
  }

  async mailbox(conversationId: string, query: Parameters<AgentActions['mailbox']>[1]) {
    await this.#ask('mailbox', conversationId, query);
    const { state, limit = 200 } = query;
    const found = this.rows.filter((row) => state === undefined || row.state === state);
    return { items: found.slice(0, limit), nextCursor: found.length > limit ? 'more' : null };
  }

  async #ask(action: string, conversationId: string, body: unknown): Promise<void> {
    this.asked.push({ action, conversationId, body });
    await this.before();
    if (this.failure !== null) throw this.failure;
  }
}

export class McpServerDouble {
  readonly app: FastifyInstance = Fastify();
  readonly agents = new AgentsDouble();
  /** Tokens, and the conversation of each. */
  readonly tokens = new Map([['token-1', 'c1']]);
  readonly archived = new Set<string>();
  readonly gone = new Set<string>();
  url = new URL('http://127.0.0.1');

  static async start(): Promise<McpServerDouble> {
    const double = new McpServerDouble();
    const { app } = double;
    app.setErrorHandler(handleError);
    mountMcp(app, {
      agents: double.agents,
      conversationOf: (token) => double.tokens.get(token) ?? null,
      store: {
        summary: async (conversationId) =>
          double.gone.has(conversationId)
            ? null
            : {
                conversationId,
                tableId: null,
                title: '',
                archived: double.archived.has(conversationId),
                provider: 'scripted',
                model: null,
                createdAt: AT,
                forkedFrom: null,
                state: 'idle',
                lastLine: '',
                messageCount: 0,
                turnCount: 0,
                queued: 0,
                held: false,
                approvals: 0,
                lastAt: AT,
              },
      },
      version: '0.0.0-test',
    });
    await app.listen({ host: '127.0.0.1', port: 0 });
    const address = app.server.address();
    if (typeof address !== 'object' || address === null) throw new Error('does not listen');
    double.url = new URL(`http://127.0.0.1:${address.port}/mcp`);
    onTestFinished(() => app.close());
    return double;
  }

  connect(generation: Generation, token = 'token-1'): Promise<Client> {
    return connect({ url: this.url, generation, token });
  }
}

/** The official SDK's own client. */
export async function connect({
  url,
  generation,
  token,
}: {
  url: URL;
  generation: Generation;
  token: string;
}): Promise<Client> {
  const client = new Client(
    { name: 'test', version: '1' },
    generation === '2025' ? {} : { versionNegotiation: { mode: { pin: '2026-07-28' } } },
  );
  const headers = { authorization: `Bearer ${token}` };
  await client.connect(new StreamableHTTPClientTransport(url, { requestInit: { headers } }));
  onTestFinished(() => client.close());
  return client;
}

/** The one text of a result. */
export function textOf(result: Awaited<ReturnType<Client['callTool']>>): string {
  const [part, ...more] = result.content;
  if (part?.type !== 'text' || more.length > 0) throw new Error('not one text');
  return part.text;
}
