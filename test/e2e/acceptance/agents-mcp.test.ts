/** Agents by their tools: real providers speak real MCP to a real gateway. M1, A2 and X1 of the design. */
import { readFileSync, statSync } from 'node:fs';
import { join } from 'node:path';

import type { Client } from '@modelcontextprotocol/client';
import { describe, expect, test } from 'vitest';

import { AgentTokens } from '../../../src/agent-tokens.ts';
import type { MailboxAnswerValue, TeamViewValue } from '../../../src/contracts/agents.ts';
import type { Event } from '../../../src/contracts/events.ts';
import { readGatewayAddress } from '../../../src/gateway-address.ts';
import { signalProcess } from '../../../src/providers/process/process-table.ts';
import { readLiveState } from '../../../src/supervisor/state.ts';
import { connect, GENERATIONS, textOf } from '../../mcp/mcp-harness.ts';
import { eventually } from '../../support/eventually.ts';
import { newConversation, readLog, script, send } from './conversations.ts';
import { sharedHoldfast } from './shared-holdfast.ts';

const holdfast = sharedHoldfast();
const quoted = (text: string) => JSON.stringify(text);

function teamOf(conversationId: string): Promise<TeamViewValue> {
  return holdfast.ask({ path: `/v1/conversations/${conversationId}/agents` });
}

async function mailOf(conversationId: string): Promise<MailboxAnswerValue['items']> {
  const { items } = await holdfast.ask<MailboxAnswerValue>({
    path: `/v1/conversations/${conversationId}/mailbox`,
  });
  return items;
}

/** A client of the official SDK, as that conversation's agent. */
function clientOf(conversationId: string, generation: '2025' | '2026' = '2025'): Promise<Client> {
  const tokens = new AgentTokens({ keyFile: join(holdfast.home, 'agent-key') });
  const url = new URL(`${holdfast.api}/mcp`);
  return connect({ url, generation, token: tokens.tokenOf(conversationId) });
}

async function call(client: Client, name: string, args: Record<string, unknown> = {}) {
  const result = await client.callTool({ name, arguments: args });
  return { isError: result.isError === true, text: textOf(result), is: result.structuredContent };
}

/** The tool calls of a log, as name and status. */
function callsOf(log: readonly Event[]): string[] {
  const names = new Map<string, string>();
  const calls: string[] = [];
  for (const event of log) {
    if (event.type === 'tool.start') names.set(event.payload.toolCallId, event.payload.name);
    if (event.type === 'tool.end')
      calls.push(`${names.get(event.payload.toolCallId)} ${event.payload.status}`);
  }
  return calls;
}

describe('a scripted parent', () => {
  test('makes a child, writes to it, and is given how it ended, once (M1)', async () => {
    const root = await newConversation(holdfast);
    const sent = await send(
      holdfast,
      root,
      script(`spawn b ${quoted(script('text "from b"'))}`, 'tell b "thanks"', 'team', 'inbox'),
    );
    expect(sent).toMatchObject({ outcome: 'completed' });
    const log = await readLog(holdfast, root);
    expect(callsOf(log)).toEqual([
      'spawn_agent ok',
      'send_message ok',
      'list_team ok',
      'check_inbox ok',
    ]);
    const { agents } = await teamOf(root);
    expect(agents.map(({ agentId, depth }) => [agentId, depth])).toEqual([
      ['root', 0],
      ['b', 1],
    ]);
    const b = agents[1]?.conversationId ?? '';
    const mine = await eventually(async () => {
      const rows = await mailOf(root);
      return rows.length > 0 && rows.every(({ state }) => state === 'applied') && rows;
    });
    expect(mine.map(({ kind, from, content }) => [kind, from, content])).toEqual([
      ['result', 'b', 'from b'],
    ]);
    const his = await eventually(async () => {
      const rows = await mailOf(b);
      return rows.length === 2 && rows.every(({ state }) => state === 'applied') && rows;
    });
    expect(his.map(({ kind, from, content }) => [kind, from, content])).toEqual([
      ['task', 'root', script('text "from b"')],
      ['message', 'root', 'thanks'],
    ]);
  });

  test('is told of a refusal, and nothing is stored (A2)', async () => {
    const root = await newConversation(holdfast);
    const { outcome } = await send(
      holdfast,
      root,
      script('tell nobody "x"', 'tell root "x"', 'spawn b "one"', 'spawn b "two"', 'text "on"'),
    );
    expect(outcome).toBe('completed');
    const log = await readLog(holdfast, root);
    expect(callsOf(log)).toEqual([
      'send_message error',
      'send_message error',
      'spawn_agent ok',
      'spawn_agent error',
    ]);
    const { agents } = await teamOf(root);
    expect(agents).toHaveLength(2);
    expect(await mailOf(agents[1]?.conversationId ?? '')).toHaveLength(1);
  });

  test('has its token in a file of its own user, and nowhere else (X1)', async () => {
    const root = await newConversation(holdfast);
    await send(holdfast, root, script('team'));
    const tokens = new AgentTokens({ keyFile: join(holdfast.home, 'agent-key') });
    const token = tokens.tokenOf(root);
    expect(statSync(join(holdfast.home, 'agent-key')).mode & 0o777).toBe(0o600);
    expect(readGatewayAddress({ file: join(holdfast.home, 'run/gateway-address') })).toBe(
      holdfast.api,
    );
    const log = await readLog(holdfast, root);
    const turnId = log.find(({ type }) => type === 'chat.started')?.turnId ?? '';
    const folder = join(holdfast.home, 'spools', `${turnId}.1`);
    expect(statSync(join(folder, 'mcp.json')).mode & 0o777).toBe(0o600);
    expect(readFileSync(join(folder, 'mcp.json'), 'utf8')).toContain(token);
    for (const file of ['spec.json', 'in.jsonl', 'out.jsonl'])
      expect(readFileSync(join(folder, file), 'utf8')).not.toContain(token);
    expect(JSON.stringify(log)).not.toContain(token);
    expect(holdfast.logs()).not.toContain(token);
  });

  test('whose gateway is killed in the middle of a call makes one child (A2)', async () => {
    const root = await newConversation(holdfast);
    // Its tools are loaded: the kill falls into a call.
    await send(holdfast, root, script('team'));
    const { requestId } = await holdfast.ask<{ requestId: string }>({
      path: `/v1/conversations/${root}/messages`,
      body: {
        requestId: 'killed',
        content: script(
          ...Array.from({ length: 8 }, (_, n) => `spawn a${n} ${quoted(script('text "x"'))}`),
          'text "on"',
        ),
      },
    });
    expect(requestId).toBe('killed');
    for (const child of [1, 3]) {
      await eventually(async () => {
        // A gateway that is away answers nothing.
        const team = await teamOf(root).catch(() => null);
        return (team?.agents.length ?? 0) > child;
      }, 60_000);
      killGateway();
    }
    const log = await eventually(async () => {
      const events = await readLog(holdfast, root).catch(() => []);
      return events.filter(({ type }) => type === 'chat.done').length >= 2 && events;
    }, 60_000);
    expect(callsOf(log)).toEqual([
      'list_team ok',
      ...Array.from({ length: 8 }, () => 'spawn_agent ok'),
    ]);
    const { agents } = await teamOf(root);
    expect(agents.map(({ agentId }) => agentId).toSorted()).toEqual([
      ...Array.from({ length: 8 }, (_, n) => `a${n}`),
      'root',
    ]);
    for (const { agentId, conversationId } of agents.slice(1)) {
      const tasks = (await mailOf(conversationId)).filter(({ kind }) => kind === 'task');
      expect([agentId, tasks.length]).toEqual([agentId, 1]);
    }
  });
});

describe.each(GENERATIONS)('a client of %s', (generation) => {
  test('makes agents, writes, and sees them; asked again it is the same (A2)', async () => {
    const root = await newConversation(holdfast);
    const client = await clientOf(root, generation);
    const args = { name: 'Test writer', prompt: script('text "ok"'), role: 'tests' };
    const made = await call(client, 'spawn_agent', args);
    expect(made).toMatchObject({ isError: false, is: { agent_id: 'test-writer' } });
    expect(await call(client, 'spawn_agent', args)).toEqual(made);
    const message = { to: 'test-writer', content: 'hello', message_id: 'm1' };
    const sent = await call(client, 'send_message', message);
    expect(sent).toMatchObject({ isError: false, is: { message_id: 'm1' } });
    const again = await call(client, 'send_message', message);
    expect(again).toMatchObject({ isError: false, is: { message_id: 'm1' } });
    const { conversation_id: child } = made.is as { conversation_id: string };
    expect((await mailOf(child)).map(({ messageId }) => messageId)).toEqual(['task', 'm1']);
    expect((await call(client, 'list_team')).is).toMatchObject({
      team: [
        { agent_id: 'root', you: true, parent: null },
        { agent_id: 'test-writer', parent: 'root', name: 'Test writer', role: 'tests' },
      ],
    });
  });

  test.each<[string, string, Record<string, unknown>, RegExp]>([
    ['an unknown agent', 'send_message', { to: 'nobody', content: 'x' }, /^not_found: /],
    ['itself', 'send_message', { to: 'root', content: 'x' }, /^invalid_request: /],
    [
      'a message of 1 MB',
      'send_message',
      { to: 'b', content: 'x'.repeat(1024 * 1024) },
      /^payload_too_large: /,
    ],
    [
      'a prompt of 1 MB',
      'spawn_agent',
      { name: 'c', prompt: 'x'.repeat(1024 * 1024) },
      /^payload_too_large: /,
    ],
    [
      'no such provider',
      'spawn_agent',
      { name: 'c', prompt: 'x', provider: 'nope' },
      /^provider_not_found: /,
    ],
    [
      'a folder that is not allowed',
      'spawn_agent',
      { name: 'c', prompt: 'x', workspace: '/etc' },
      /^workspace_not_allowed: /,
    ],
    [
      'the name of the root',
      'spawn_agent',
      { name: 'c', prompt: 'x', agent_id: 'root' },
      /^invalid_request: /,
    ],
    ['wrong arguments', 'spawn_agent', { name: 'c' }, /^invalid_request: .*prompt is required/],
  ])('is told in words of %s, and nothing is stored', async (_what, name, args, words) => {
    const root = await newConversation(holdfast);
    const client = await clientOf(root, generation);
    const { is } = await call(client, 'spawn_agent', { name: 'b', prompt: script('text "x"') });
    const { conversation_id: b } = is as { conversation_id: string };
    const refused = await call(client, name, args);
    expect(refused.isError).toBe(true);
    expect(refused.text).toMatch(words);
    expect((await teamOf(root)).agents).toHaveLength(2);
    expect(await mailOf(b)).toHaveLength(1);
  });

  test('goes on, on the same connection, after the gateway was killed (G1)', async () => {
    const root = await newConversation(holdfast);
    const client = await clientOf(root, generation);
    const args = { name: 'b', prompt: script('text "ok"') };
    const made = await call(client, 'spawn_agent', args);
    killGateway();
    const again = await eventually(
      () => call(client, 'spawn_agent', args).catch(() => false as const),
      60_000,
    );
    expect(again).toEqual(made);
    expect((await teamOf(root)).agents).toHaveLength(2);
  });

  test('does not reach an agent of another team (X1)', async () => {
    const [mine, other] = [await newConversation(holdfast), await newConversation(holdfast)];
    const client = await clientOf(mine, generation);
    for (const to of [other, 'root']) {
      const { isError } = await call(client, 'send_message', { to, content: 'x' });
      expect(isError).toBe(true);
    }
    expect(await mailOf(other)).toEqual([]);
  });

  test('loses its token with its conversation (X1)', async () => {
    const root = await newConversation(holdfast);
    const client = await clientOf(root, generation);
    expect((await call(client, 'list_team')).isError).toBe(false);
    const path = `/v1/conversations/${root}`;
    await holdfast.ask({ method: 'PATCH', path, body: { archived: true } });
    await expect(client.callTool({ name: 'list_team', arguments: {} })).rejects.toThrow(
      /unauthorized|401/i,
    );
    await expect(clientOf('never-made', generation)).rejects.toThrow(/unauthorized|401/i);
    await holdfast.ask({ method: 'PATCH', path, body: { archived: false } });
    expect((await call(client, 'list_team')).isError).toBe(false);
  });
});

test('X1: each token opens what is its own and nothing else', async () => {
  const root = await newConversation(holdfast);
  const tokens = new AgentTokens({ keyFile: join(holdfast.home, 'agent-key') });
  const post = (token: string) =>
    holdfast.call({
      path: '/mcp',
      body: { jsonrpc: '2.0', id: 1, method: 'tools/list', params: {} },
      headers: {
        authorization: `Bearer ${token}`,
        accept: 'application/json, text/event-stream',
      },
    });
  expect((await post(tokens.tokenOf(root))).status).toBe(200);
  expect((await post(holdfast.token)).status).toBe(401);
  const authorization = `Bearer ${tokens.tokenOf(root)}`;
  for (const path of [
    '/v1/conversations',
    `/v1/conversations/${root}`,
    `/v1/conversations/${root}/agents`,
    '/v1/providers',
    '/metrics',
    '/no-such-thing',
  ])
    expect((await holdfast.call({ path, headers: { authorization } })).status).toBe(401);
});

function killGateway(): void {
  const { processes } = readLiveState({ runFolder: join(holdfast.home, 'run') }) ?? {};
  const gateway = processes?.find(({ role }) => role === 'gateway');
  if (gateway === undefined) throw new Error('there is no gateway');
  signalProcess(gateway, 'SIGKILL');
}
