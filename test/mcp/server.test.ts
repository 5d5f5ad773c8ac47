/** Numbers: those of src/api/mcp/tools.ts and server.ts; X1 of the design. */
import { request as httpRequest } from 'node:http';

import type { Client } from '@modelcontextprotocol/client';
import { Compile } from 'typebox/compile';
import { describe, expect, test } from 'vitest';

import { HoldfastError } from '../../src/contracts/errors.ts';
import { MCP_TOOLS } from '../../src/contracts/names.ts';
import { eventually } from '../support/eventually.ts';
import { agentView, GENERATIONS, mailRow, McpServerDouble, textOf } from './mcp-harness.ts';

async function call(client: Client, name: string, args: Record<string, unknown> = {}) {
  const result = await client.callTool({ name, arguments: args });
  return { result, text: textOf(result), isError: result.isError === true };
}

/** One request, by hand. */
async function post(
  { url }: McpServerDouble,
  body: unknown,
  headers: Record<string, string> = {},
): Promise<{ status: number; type: string | null; text: string; headers: Headers }> {
  const response = await fetch(url, {
    method: 'POST',
    headers: {
      authorization: 'Bearer token-1',
      'content-type': 'application/json',
      accept: 'application/json, text/event-stream',
      ...headers,
    },
    body: typeof body === 'string' ? body : JSON.stringify(body),
  });
  const type = response.headers.get('content-type');
  return { status: response.status, type, text: await response.text(), headers: response.headers };
}

const initialize = {
  jsonrpc: '2.0',
  id: 1,
  method: 'initialize',
  params: {
    protocolVersion: '2025-11-25',
    capabilities: {},
    clientInfo: { name: 'by hand', version: '1' },
  },
};
const callTeam = {
  jsonrpc: '2.0',
  id: 2,
  method: 'tools/call',
  params: { name: 'list_team', arguments: {} },
};

describe.each(GENERATIONS)('a client of %s', (generation) => {
  test('sees the four tools, with schemas that say what they take and give', async () => {
    const server = await McpServerDouble.start();
    const client = await server.connect(generation);
    expect(client.getInstructions()).toMatch(/given to you as a message by itself/);
    const { tools } = await client.listTools();
    expect(tools.map(({ name }) => name)).toEqual([...MCP_TOOLS]);
    for (const tool of tools) {
      expect(tool.description?.length).toBeGreaterThan(60);
      expect(tool.inputSchema).toMatchObject({ type: 'object', additionalProperties: false });
      expect(tool.outputSchema).toMatchObject({ type: 'object' });
    }
    const [spawn, send, inbox] = tools;
    expect(spawn?.inputSchema.required).toEqual(['name', 'prompt']);
    expect(Object.keys(spawn?.inputSchema.properties ?? {})).toEqual([
      'name',
      'prompt',
      'agent_id',
      'role',
      'provider',
      'model',
      'workspace',
    ]);
    expect(send?.inputSchema.required).toEqual(['to', 'content']);
    expect(Object.keys(send?.inputSchema.properties ?? {})).toEqual([
      'to',
      'content',
      'message_id',
    ]);
    expect(inbox?.annotations).toMatchObject({ readOnlyHint: true });
  });

  test('spawn_agent asks for the child of the conversation whose token it is', async () => {
    const server = await McpServerDouble.start();
    server.tokens.set('token-2', 'c2');
    const client = await server.connect(generation, 'token-2');
    const { result } = await call(client, 'spawn_agent', { name: 'b', prompt: 'do it' });
    expect(result.structuredContent).toEqual({ agent_id: 'made', conversation_id: 'child-made' });
    expect(JSON.parse(textOf(result))).toEqual(result.structuredContent);
    await call(client, 'spawn_agent', {
      name: 'b',
      prompt: 'do it',
      agent_id: 'b2',
      role: 'tests',
      provider: 'claude',
      model: 'opus',
      workspace: '/w',
    });
    expect(server.agents.asked).toEqual([
      { action: 'spawn', conversationId: 'c2', body: { name: 'b', content: 'do it' } },
      {
        action: 'spawn',
        conversationId: 'c2',
        body: {
          name: 'b',
          content: 'do it',
          agentId: 'b2',
          role: 'tests',
          provider: 'claude',
          model: 'opus',
          workspacePath: '/w',
        },
      },
    ]);
  });

  test('M1 send_message answers when its row is there, however long that takes: what its sender does next comes after it', async () => {
    const server = await McpServerDouble.start();
    const client = await server.connect(generation);
    const args = { to: 'b', content: 'hi', message_id: 'm7' };
    server.agents.unrecorded = 4;
    const sent = await call(client, 'send_message', args);
    expect(sent.result.structuredContent).toEqual({ message_id: 'm7', state: 'delivered' });
    const body = { to: 'b', content: 'hi', messageId: 'm7' };
    const once = { action: 'send', conversationId: 'c1', body };
    expect(server.agents.asked).toEqual([once, once, once, once, once]);
  });

  test('M1 send_message that is not recorded for long says under which id to call again', async () => {
    const server = await McpServerDouble.start();
    const client = await server.connect(generation);
    server.agents.unrecorded = 5;
    const { text, isError } = await call(client, 'send_message', { to: 'b', content: 'hi' });
    expect(isError).toBe(true);
    const ids = server.agents.asked.map(({ body }) => (body as { messageId: string }).messageId);
    expect(new Set(ids).size).toBe(1);
    expect(text).toContain(`call again with message_id "${ids[0]}"`);
  });

  test('2: check_inbox shows what waits, each once, and nothing else', async () => {
    const server = await McpServerDouble.start();
    const long = `${'x'.repeat(999)}\u{1F600} and more`;
    server.agents.rows = [
      mailRow({ messageId: 'one', content: long }),
      mailRow({ messageId: 'two', state: 'delivered', from: null, fromConversationId: null }),
      mailRow({ messageId: 'old', state: 'applied' }),
      mailRow({ messageId: 'bad', state: 'failed' }),
      mailRow({ messageId: 'end', kind: 'error', outcome: 'interrupted' }),
    ];
    const client = await server.connect(generation);
    const { result } = await call(client, 'check_inbox');
    expect(result.structuredContent).toEqual({
      waiting: [
        waiting({ message_id: 'two', state: 'delivered', from: null }),
        // cut between two characters, not in one
        waiting({ message_id: 'one', content: `${'x'.repeat(999)}…` }),
        waiting({ message_id: 'end', kind: 'error', outcome: 'interrupted' }),
      ],
      more: false,
    });
    expect(server.agents.asked.every(({ action }) => action === 'mailbox')).toBe(true);
    server.agents.rows = Array.from({ length: 60 }, (_, n) => mailRow({ messageId: `m${n}` }));
    const many = await call(client, 'check_inbox');
    expect(many.result.structuredContent).toMatchObject({ more: true });
    expect((many.result.structuredContent as { waiting: unknown[] }).waiting).toHaveLength(50);
  });

  test('list_team shows the tree by agentIds, and who asks', async () => {
    const server = await McpServerDouble.start();
    server.agents.members = [
      agentView({ state: 'processing', lastLine: 'y'.repeat(500) }),
      agentView({
        agentId: 'b',
        conversationId: 'c-b',
        parentId: 'c1',
        name: 'Bee',
        role: 'tests',
        depth: 1,
        outcome: 'failed',
        mail: { accepted: 1, delivered: 2, applied: 4, failed: 8, expired: 16 },
      }),
    ];
    server.tokens.set('token-b', 'c-b');
    const client = await server.connect(generation, 'token-b');
    const { result } = await call(client, 'list_team');
    expect(result.structuredContent).toEqual({
      team: [
        member({ agent_id: 'root', state: 'processing', last_line: `${'y'.repeat(160)}…` }),
        member({
          agent_id: 'b',
          you: true,
          parent: 'root',
          name: 'Bee',
          role: 'tests',
          last_outcome: 'failed',
          mail_waiting: 3,
        }),
      ],
    });
  });

  test('what is answered is what its schema says', async () => {
    const server = await McpServerDouble.start();
    server.agents.rows = [mailRow(), mailRow({ kind: 'result', outcome: 'completed' })];
    server.agents.members = [agentView()];
    const client = await server.connect(generation);
    const { tools } = await client.listTools();
    const args: Record<string, Record<string, unknown>> = {
      spawn_agent: { name: 'b', prompt: 'x' },
      send_message: { to: 'b', content: 'x' },
    };
    for (const { name, outputSchema } of tools) {
      const { result } = await call(client, name, args[name]);
      expect(Compile(outputSchema as object).Check(result.structuredContent)).toBe(true);
    }
  });

  test.each<[string, Record<string, unknown>, RegExp]>([
    ['spawn_agent', {}, /name is required; prompt is required/],
    ['spawn_agent', { name: 'b' }, /prompt is required/],
    ['spawn_agent', { name: '', prompt: 'x' }, /name must not have fewer than 1 characters/],
    ['spawn_agent', { name: 'b', prompt: 7 }, /prompt must be string/],
    ['spawn_agent', { name: 'b', prompt: 'x', agent_id: '../b' }, /agent_id must match/],
    ['spawn_agent', { name: 'b', prompt: 'x', command: 'rm' }, /command is not known here/],
    ['spawn_agent', { name: 'b', prompt: 'x', model: 'x'.repeat(201) }, /model must not have more/],
    ['send_message', { content: 'x' }, /to is required/],
    ['send_message', { to: 'b', content: '' }, /content must not have fewer/],
    ['send_message', { to: ['b'], content: 'x' }, /to must be string/],
    ['send_message', { to: 'b', content: 'x', message_id: 'no spaces' }, /message_id must match/],
    ['check_inbox', { take: true }, /take is not known here/],
    ['list_team', { of: 'c2' }, /of is not known here/],
  ])(
    '1: wrong arguments are told in words, and nothing is done: %s %j',
    async (name, args, words) => {
      const server = await McpServerDouble.start();
      const client = await server.connect(generation);
      const { text, isError } = await call(client, name, args);
      expect(isError).toBe(true);
      expect(text).toMatch(words);
      expect(text).toMatch(
        /^invalid_request: Wrong arguments of [a-z_]+: .+\. Nothing was done\. Correct/,
      );
      expect(server.agents.asked).toEqual([]);
    },
  );

  test.each<[HoldfastError, RegExp]>([
    [
      new HoldfastError('budget_exceeded', 'Agents are at most 8 deep.', { limit: 'depth' }),
      /^budget_exceeded: Agents are at most 8 deep\. .*Do the work yourself/,
    ],
    [new HoldfastError('not_found', 'No such agent'), /^not_found: No such agent\. .*list_team/],
    [new HoldfastError('request_id_reused'), /^request_id_reused: .*Take another id/],
    [new HoldfastError('payload_too_large'), /^payload_too_large: .*Write less/],
    [new HoldfastError('storage_full'), /^storage_full: .*Nothing was done\. Call again/],
    [
      new HoldfastError('temporal_unavailable', 'Not recorded in time.', { accepted: true }),
      /^temporal_unavailable: Not recorded in time\. It may have been done/,
    ],
    [
      new HoldfastError('temporal_unavailable', 'No answer.', { accepted: 'unknown' }),
      /^temporal_unavailable: No answer\. It may have been done/,
    ],
  ])('3: a refusal is a result: %s', async (failure, words) => {
    const server = await McpServerDouble.start();
    server.agents.failure = failure;
    const client = await server.connect(generation);
    for (const [name, args] of [
      ['spawn_agent', { name: 'b', prompt: 'x' }],
      ['send_message', { to: 'b', content: 'x' }],
      ['check_inbox', {}],
      ['list_team', {}],
    ] as const) {
      const { text, isError } = await call(client, name, args);
      expect(isError).toBe(true);
      expect(text).toMatch(words);
    }
  });

  test('3: a failure of ours says nothing of itself', async () => {
    const server = await McpServerDouble.start();
    server.agents.failure = new Error('SQLITE_CORRUPT at /home/ann');
    const client = await server.connect(generation);
    const { text, isError } = await call(client, 'list_team');
    expect(isError).toBe(true);
    expect(text).toMatch(/^internal: /);
    expect(text).not.toMatch(/SQLITE|ann/);
  });

  test('3: an unknown tool is an error of the protocol', async () => {
    const server = await McpServerDouble.start();
    const client = await server.connect(generation);
    for (const name of ['no_such_tool', 'constructor', '__proto__', ''])
      await expect(client.callTool({ name, arguments: {} })).rejects.toMatchObject({
        code: -32_602,
      });
    expect(server.agents.asked).toEqual([]);
  });

  test('calls at the same time are answered each with its own', async () => {
    const server = await McpServerDouble.start();
    const client = await server.connect(generation);
    const arrived = Promise.withResolvers<void>();
    server.agents.before = () => {
      if (server.agents.asked.length === 8) arrived.resolve();
      return arrived.promise;
    };
    const answers = await Promise.all(
      Array.from({ length: 8 }, (_, n) =>
        call(client, 'spawn_agent', { name: `n${n}`, prompt: 'x', agent_id: `a${n}` }),
      ),
    );
    expect(answers.map(({ result }) => result.structuredContent)).toEqual(
      Array.from({ length: 8 }, (_, n) => ({ agent_id: `a${n}`, conversation_id: `child-a${n}` })),
    );
  });

  test('X1: a token dies with its conversation, in mid-connection too', async () => {
    const server = await McpServerDouble.start();
    const client = await server.connect(generation);
    await call(client, 'list_team');
    server.archived.add('c1');
    await expect(client.callTool({ name: 'list_team', arguments: {} })).rejects.toThrow(
      /unauthorized|401/i,
    );
    server.archived.delete('c1');
    await call(client, 'list_team');
    server.gone.add('c1');
    await expect(client.callTool({ name: 'list_team', arguments: {} })).rejects.toThrow(
      /unauthorized|401/i,
    );
    await expect(server.connect(generation, 'token-2')).rejects.toThrow(/unauthorized|401/i);
    expect(server.agents.asked).toHaveLength(2);
  });
});

describe('1: stateless', () => {
  test('a call needs no `initialize` before it, and no session is made', async () => {
    const server = await McpServerDouble.start();
    const answer = await post(server, callTeam);
    expect(answer.status).toBe(200);
    expect(answer.headers.get('mcp-session-id')).toBeNull();
    expect(JSON.parse(answer.text)).toMatchObject({ id: 2, result: { structuredContent: {} } });
    expect((await post(server, initialize)).headers.get('mcp-session-id')).toBeNull();
  });

  test('an answer is one document: when this process dies, nobody waits for the rest of a stream', async () => {
    const server = await McpServerDouble.start();
    for (const message of [initialize, callTeam])
      expect((await post(server, message)).type).toMatch(/^application\/json/);
  });

  test.each(['GET', 'DELETE'])('%s is not allowed: there are no sessions', async (method) => {
    const { url } = await McpServerDouble.start();
    const response = await fetch(url, {
      method,
      headers: { authorization: 'Bearer token-1', accept: 'text/event-stream' },
    });
    expect(response.status).toBe(405);
    expect(response.headers.get('allow')).toBe('POST');
  });

  test('a notification is taken without an answer', async () => {
    const server = await McpServerDouble.start();
    const answer = await post(server, { jsonrpc: '2.0', method: 'notifications/initialized' });
    expect(answer).toMatchObject({ status: 202, text: '' });
  });

  test('who listens for changes, of which there are none, is let go when the gateway stops', async () => {
    const server = await McpServerDouble.start();
    const client = await server.connect('2026');
    const subscription = await client.listen({ toolsListChanged: true });
    await server.app.close();
    await subscription.closed;
  });

  test('who goes away in the middle of a call leaves nothing behind, and it is carried out', async () => {
    const server = await McpServerDouble.start();
    const release = Promise.withResolvers<void>();
    server.agents.before = () => release.promise;
    const body = JSON.stringify(callTeam);
    const outgoing = httpRequest(server.url, {
      method: 'POST',
      headers: {
        authorization: 'Bearer token-1',
        'content-type': 'application/json',
        accept: 'application/json, text/event-stream',
        'content-length': Buffer.byteLength(body),
      },
    });
    outgoing.on('error', () => undefined);
    outgoing.end(body);
    await eventually(() => server.agents.asked.length === 1);
    outgoing.destroy();
    await eventually(async () => (await connections(server)) === 0);
    release.resolve();
    expect((await post(server, callTeam)).status).toBe(200);
  });
});

describe('what is no message of the protocol', () => {
  test.each<[string, string, number]>([
    ['no JSON', '{"jsonrpc":', 400],
    ['no object', '7', 400],
    ['no request', '{"hello":1}', 400],
    ['nothing', '', 400],
  ])('%s is refused as JSON-RPC does', async (_name, body, status) => {
    const server = await McpServerDouble.start();
    const answer = await post(server, body);
    expect(answer.status).toBe(status);
    expect(JSON.parse(answer.text)).toMatchObject({ jsonrpc: '2.0', error: {} });
    expect(server.agents.asked).toEqual([]);
  });

  test('X1: without a token, with a wrong one, and with more than one word', async () => {
    const server = await McpServerDouble.start();
    for (const authorization of ['', 'Bearer', 'Bearer wrong', 'Basic token-1', 'token-1']) {
      const answer = await post(server, callTeam, { authorization });
      expect(answer.status).toBe(401);
      expect(answer.headers.get('www-authenticate')).toBe('Bearer');
      expect(JSON.parse(answer.text)).toMatchObject({
        jsonrpc: '2.0',
        id: null,
        error: { message: expect.stringMatching(/^unauthorized: /) as string },
      });
    }
    expect(server.agents.asked).toEqual([]);
  });
});

function connections({ app }: McpServerDouble): Promise<number> {
  const { promise, resolve, reject } = Promise.withResolvers<number>();
  app.server.getConnections((error, count) => (error === null ? resolve(count) : reject(error)));
  return promise;
}

function waiting(row: Record<string, unknown>) {
  return {
    message_id: 'm1',
    from: 'b',
    kind: 'message',
    state: 'accepted',
    accepted_at: mailRow().acceptedAt,
    content: 'hello',
    ...row,
  };
}

function member(view: Record<string, unknown>) {
  return {
    agent_id: '',
    you: false,
    parent: null,
    name: '',
    role: '',
    provider: 'scripted',
    state: 'idle',
    last_outcome: null,
    last_line: '',
    mail_waiting: 0,
    ...view,
  };
}
