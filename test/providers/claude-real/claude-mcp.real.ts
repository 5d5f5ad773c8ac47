/** A real Claude Code and Holdfast's tools: it is told of them as the engine does it, and calls them over a real socket. */
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

import { describe, expect, it, onTestFinished } from 'vitest';

import { HoldfastError } from '../../../src/contracts/errors.ts';
import { MCP_TOOLS } from '../../../src/contracts/names.ts';
import { mailRow, McpServerDouble } from '../../mcp/mcp-harness.ts';
import { ClaudeSession } from './claude-session.ts';
import type { Answer } from './model-api.ts';

async function startAgent(
  script: Answer[],
  { token = 'token-1' }: { token?: string } = {},
): Promise<{ session: ClaudeSession; server: McpServerDouble }> {
  const server = await McpServerDouble.start();
  const folder = mkdtempSync(join(tmpdir(), 'claude-mcp-'));
  const mcpConfigPath = join(folder, 'mcp.json');
  const headers = { Authorization: `Bearer ${token}` };
  const holdfast = { type: 'http', url: server.url.href, headers };
  writeFileSync(mcpConfigPath, JSON.stringify({ mcpServers: { holdfast } }), { mode: 0o600 });
  const session = await ClaudeSession.start({ mcpConfigPath });
  session.api.script.push(...script);
  onTestFinished(async () => {
    await session.end();
    rmSync(folder, { recursive: true });
  });
  return { session, server };
}

const says = (text: string): Answer => ({ type: 'message', parts: [{ type: 'text', text }] });
const calls = (name: string, input: Record<string, unknown>): Answer => ({
  type: 'message',
  parts: [{ type: 'tool', name: `mcp__holdfast__${name}`, input }],
});

/** The `init` line: what Claude Code says of its servers and tools. */
function init(session: ClaudeSession): { mcp_servers: unknown[]; tools: string[] } {
  const line = session
    .output()
    .split('\n')
    .find((text) => text.includes('"subtype":"init"'));
  return JSON.parse(line ?? '{}') as { mcp_servers: unknown[]; tools: string[] };
}

describe('a real Claude Code', () => {
  it('is connected, and offers the tools to its model', async () => {
    const { session } = await startAgent([says('hello')]);
    session.begin('hi');
    await session.turn(1);
    expect(init(session).mcp_servers).toEqual([
      expect.objectContaining({ name: 'holdfast', status: 'connected' }),
    ]);
    expect(init(session).tools).toEqual(
      expect.arrayContaining(MCP_TOOLS.map((tool) => `mcp__holdfast__${tool}`)),
    );
  });

  it('calls all of them without asking anybody, and gives its model what they answer', async () => {
    const { session, server } = await startAgent([
      calls('spawn_agent', { name: 'b', prompt: 'do it' }),
      calls('send_message', { to: 'b', content: 'more' }),
      calls('check_inbox', {}),
      calls('list_team', {}),
      says('done'),
    ]);
    server.agents.rows = [mailRow({ messageId: 'm7' })];
    session.begin('go');
    const reports = await session.turn(1);
    expect(reports.filter(({ type }) => type === 'approval')).toEqual([]);
    expect(
      reports.flatMap((report) =>
        report.type === 'tool.end' ? [[report.status, report.output.includes('m7')]] : [],
      ),
    ).toEqual([
      ['ok', false],
      ['ok', false],
      ['ok', true],
      ['ok', false],
    ]);
    expect(
      server.agents.asked.map(({ action, conversationId }) => [action, conversationId]),
    ).toEqual([
      ['spawn', 'c1'],
      ['send', 'c1'],
      ['mailbox', 'c1'],
      ['mailbox', 'c1'],
      ['team', 'c1'],
    ]);
    expect(reports.at(-1)).toMatchObject({ type: 'end', end: { outcome: 'completed' } });
  });

  it('gives its model the words of a refusal, and goes on', async () => {
    const { session, server } = await startAgent([
      calls('spawn_agent', { name: 'b', prompt: 'do it' }),
      calls('spawn_agent', { prompt: 'do it' }),
      says('done'),
    ]);
    server.agents.failure = new HoldfastError('budget_exceeded', 'Too deep.');
    session.begin('go');
    const reports = await session.turn(1);
    const ends = reports.flatMap((report) => (report.type === 'tool.end' ? [report] : []));
    expect(ends.map(({ status }) => status)).toEqual(['error', 'error']);
    expect(ends[0]?.output).toContain('budget_exceeded: Too deep. Nothing was done');
    expect(ends[1]?.output).toMatch(/name/);
    expect(reports.at(-1)).toMatchObject({ type: 'end', end: { outcome: 'completed' } });
  });

  it('works without them when its token is dead', async () => {
    const { session } = await startAgent([says('hello')], { token: 'dead' });
    session.begin('hi');
    expect((await session.turn(1)).at(-1)).toMatchObject({ end: { outcome: 'completed' } });
    expect(init(session).tools.filter((tool) => tool.startsWith('mcp__'))).toEqual([]);
  });
});
