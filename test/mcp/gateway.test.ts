/** `/mcp` behind the checks of the whole gateway. Numbers: X1 of the design, those of security.ts. */
import { describe, expect, test } from 'vitest';

import { JSON_DEPTH_LIMIT } from '../../src/contracts/limits.ts';
import { type Call, Gateway, TOKEN } from '../api-unit/gateway-harness.ts';
import { connect, GENERATIONS } from './mcp-harness.ts';

const LIST = { jsonrpc: '2.0', id: 1, method: 'tools/list', params: {} };

async function start(options?: Parameters<typeof Gateway.start>[0]) {
  const gateway = await Gateway.start(options);
  const conversationId = await gateway.conversation();
  const token = gateway.agentTokens.tokenOf(conversationId);
  const post = ({ headers = {}, ...call }: Call = {}) =>
    gateway.request('POST', '/mcp', {
      token,
      body: LIST,
      ...call,
      headers: { accept: 'application/json, text/event-stream', ...headers },
    });
  return { gateway, conversationId, token, post };
}

describe.each(GENERATIONS)('a client of %s', (generation) => {
  test('is served with the agent’s token', async () => {
    const { gateway, token } = await start();
    const url = new URL(`http://127.0.0.1:${gateway.port}/mcp`);
    const client = await connect({ url, generation, token });
    expect((await client.listTools()).tools).toHaveLength(4);
  });
});

describe('X1: checked before anything is read', () => {
  test.each<[string, Record<string, string>, number, string]>([
    ['another Host', { host: 'evil.example' }, 421, 'host_not_allowed'],
    ['another port', { host: '127.0.0.1:1' }, 421, 'host_not_allowed'],
    ['another Origin', { origin: 'http://evil.example' }, 403, 'origin_not_allowed'],
    ['a sandboxed page', { origin: 'null' }, 403, 'origin_not_allowed'],
  ])('%s, with a good token', async (_what, headers, status, code) => {
    const { post } = await start();
    const answer = await post({ headers });
    expect(answer.status).toBe(status);
    expect(answer.body).toMatchObject({
      jsonrpc: '2.0',
      id: null,
      error: { code: -32_600, message: expect.stringContaining(`${code}: `) as string },
    });
  });

  test('the general token is none here, and the agent’s is none elsewhere', async () => {
    const { gateway, conversationId, token, post } = await start();
    expect((await post()).status).toBe(200);
    for (const wrong of [TOKEN, null, `${token}x`, 'hfa_'])
      expect((await post({ token: wrong })).status).toBe(401);
    for (const path of [
      `/v1/conversations/${conversationId}`,
      '/openapi.json',
      '/metrics',
      '/mcp/',
    ])
      expect((await gateway.request('GET', path, { token })).status).toBe(401);
    const socket = await gateway.request('GET', '/v1/ws', { token });
    expect(socket.status).toBe(401);
  });

  test('of a conversation that never was, and of one that is archived', async () => {
    const { gateway, conversationId, post } = await start();
    const foreign = gateway.agentTokens.tokenOf('never-made');
    expect((await post({ token: foreign })).status).toBe(401);
    await gateway.patch(`/v1/conversations/${conversationId}`, { archived: true });
    const refused = await post();
    expect(refused.status).toBe(401);
    expect(refused.headers['www-authenticate']).toBe('Bearer');
    await gateway.patch(`/v1/conversations/${conversationId}`, { archived: false });
    expect((await post()).status).toBe(200);
  });
});

describe('the limits of the gateway', () => {
  test('depth', async () => {
    const { post } = await start();
    const deep = (depth: number) => ({
      ...LIST,
      params: { _meta: { deep: JSON.parse('['.repeat(depth) + ']'.repeat(depth)) as unknown } },
    });
    expect((await post({ body: deep(JSON_DEPTH_LIMIT - 3) })).status).toBe(200);
    const refused = await post({ body: deep(JSON_DEPTH_LIMIT) });
    expect(refused.status).toBe(400);
    expect(refused.body).toMatchObject({
      error: { message: expect.stringMatching(/nested deeper/) as string },
    });
  });

  test('size', async () => {
    const { post } = await start({ config: { bodyLimitBytes: 100_000 } });
    const refused = await post({
      body: { ...LIST, params: { _meta: { x: 'x'.repeat(100_000) } } },
    });
    expect(refused.status).toBe(413);
    expect(refused.body).toMatchObject({
      error: { message: expect.stringMatching(/^payload_too_large: /) as string },
    });
  });

  test.each<[string, string, number]>([
    ['text/plain', JSON.stringify(LIST), 415],
    ['application/json; charset=latin1', JSON.stringify(LIST), 415],
    ['application/json', '{"jsonrpc"', 400],
    ['application/json', '\ufffe', 400],
  ])('form: %s %j', async (type, raw, status) => {
    const { post } = await start();
    const refused = await post({ body: undefined, raw, headers: { 'content-type': type } });
    expect(refused.status).toBe(status);
    expect(refused.body).toMatchObject({ jsonrpc: '2.0', id: null });
  });

  test('while it stops', async () => {
    const { gateway, post } = await start();
    await post();
    await gateway.app.close();
    await expect(post()).rejects.toThrow(/ECONNREFUSED/);
  });
});

test('nobody’s log holds a token, and the documents do not name the address', async () => {
  const lines: string[] = [];
  const { gateway, token, post } = await start({
    log: { level: 'trace', stream: { write: (line) => void lines.push(line) } },
  });
  await post();
  await post({ token: `${token}x` });
  expect(lines.join('')).not.toContain(token.slice(-20));
  const { text } = await gateway.request('GET', '/openapi.json');
  expect(text).not.toContain('/mcp');
});
