/** How an agent's provider is told of its tools, and when. */
import { readFileSync, statSync } from 'node:fs';

import { describe, expect, test } from 'vitest';

import type { McpAccess } from '../../src/activities/custody-settings.ts';
import type { AttemptRef } from '../../src/activities/live-turn.ts';
import { McpServerDouble } from '../mcp/mcp-harness.ts';
import { eventually } from '../support/eventually.ts';
import {
  accept,
  log,
  newCustody,
  setUpCustody,
  spoolFile,
  spoolText,
  store,
} from './custody-harness.ts';

setUpCustody();

const TEAM = '#script\nteam\ntext "|"\nsay turns';

/** What the turn said, and how often its process was asked before. */
async function saidBy(custody: ReturnType<typeof newCustody>, ref: AttemptRef) {
  expect((await custody.run(ref)).outcome).toBe('completed');
  const [team = '', turns = ''] = (await store.answerText(ref.turnId, ref.attempt)).split('|');
  return { team, turns };
}

describe('a provider is told of its tools in a file', () => {
  test('that only its user can read; the token is nowhere else', async () => {
    const server = await McpServerDouble.start();
    const asked: string[] = [];
    const custody = newCustody({
      mcp: (conversationId) => {
        asked.push(conversationId);
        return { url: server.url.href, token: 'token-1' };
      },
    });
    const ref = await accept(TEAM);
    expect((await saidBy(custody, ref)).team).toBe('{"team":[]}');
    expect(new Set(asked)).toEqual(new Set(['c1']));
    const file = spoolFile(ref, 'mcp.json');
    expect(statSync(file).mode & 0o777).toBe(0o600);
    expect(JSON.parse(readFileSync(file, 'utf8'))).toEqual({
      mcpServers: {
        holdfast: {
          type: 'http',
          url: server.url.href,
          headers: { Authorization: 'Bearer token-1' },
        },
      },
    });
    const spec = spoolText(ref, 'spec.json');
    expect(JSON.parse(spec)).toMatchObject({ args: expect.arrayContaining([file]) as unknown });
    for (const text of [spec, JSON.stringify(await log(ref))])
      expect(text).not.toContain('token-1');
  });

  test('and of none when nobody has said where the gateway is', async () => {
    const custody = newCustody();
    const ref = await accept('#script\nteam\ntext "on"');
    expect((await custody.run(ref)).outcome).toBe('completed');
    expect(() => statSync(spoolFile(ref, 'mcp.json'))).toThrow(/ENOENT/);
    expect(await store.answerText(ref.turnId, 1)).toBe('on');
  });

  test('a warm process goes on as long as they are where they were', async () => {
    const server = await McpServerDouble.start();
    const other = await McpServerDouble.start();
    let access: McpAccess | null = { url: server.url.href, token: 'token-1' };
    const custody = newCustody({ mcp: () => access });
    expect(await saidBy(custody, await accept(TEAM))).toMatchObject({ turns: '1' });
    expect(await saidBy(custody, await accept(TEAM))).toMatchObject({ turns: '2' });
    access = null;
    expect(await saidBy(custody, await accept(TEAM))).toMatchObject({ turns: '3' });
    access = { url: other.url.href, token: 'token-1' };
    expect(await saidBy(custody, await accept(TEAM))).toEqual({ team: '{"team":[]}', turns: '1' });
    expect(other.agents.asked).toHaveLength(1);
  });

  test.each<[string, Record<string, string>, string | undefined]>([
    ['no proxy', {}, undefined],
    ['a proxy', { HTTP_PROXY: 'http://p' }, '127.0.0.1'],
    ['exceptions', { https_proxy: 'http://p', no_proxy: '.corp' }, '.corp,127.0.0.1'],
  ])('no proxy stands before them: %s', async (_name, proxies, expected) => {
    const custody = newCustody({
      mcp: () => ({ url: 'http://127.0.0.1:9/mcp', token: 'token-1' }),
      environment: { PATH: process.env['PATH'], ...proxies },
    });
    const ref = await accept('#script\nhang');
    void custody.run(ref).catch(() => undefined);
    const environment = await eventually(() => {
      const pid = custody.status(ref)?.pid ?? null;
      return pid === null ? null : environmentOf(pid);
    });
    expect([environment.get('NO_PROXY'), environment.get('no_proxy')]).toEqual([
      expected,
      expected,
    ]);
  });
});

function environmentOf(pid: number): Map<string, string> {
  const entries = readFileSync(`/proc/${pid}/environ`, 'utf8').split('\0');
  return new Map(
    entries.map((entry) => {
      const at = entry.indexOf('=');
      return [entry.slice(0, at), entry.slice(at + 1)];
    }),
  );
}
