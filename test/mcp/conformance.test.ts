/**
 * The official conformance runner against `/mcp` of a gateway: all of its server scenarios. Those that do not apply are in
 * conformance-baseline.yml, each with its reason; one that fails and is not there, or is there and passes, fails here.
 */
import { execFile } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { createServer, request as httpRequest } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

import { expect, onTestFinished, test } from 'vitest';

import { Gateway } from '../api-unit/gateway-harness.ts';

const path = (relative: string) => fileURLToPath(new URL(relative, import.meta.url));
const RUNNER = path('../../node_modules/@modelcontextprotocol/conformance/dist/index.js');
const BASELINE = path('./conformance-baseline.yml');

test('the scenarios that apply to a server with these tools pass', async () => {
  const gateway = await Gateway.start();
  const url = await withToken(gateway, await gateway.conversation());
  const { code, output } = await run(url, ['--suite', 'all', '--expected-failures', BASELINE]);
  expect(output).toContain('Baseline check passed');
  expect(code).toBe(0);
  const ran = [...output.matchAll(/=== Running scenario: ([a-z0-9-]+) ===/g)].map(
    ([, name]) => name,
  );
  const excused = readFileSync(BASELINE, 'utf8').match(/^ {2}- [a-z0-9-]+/gm) ?? [];
  expect(ran.length - excused.length).toBeGreaterThanOrEqual(4);
}, 120_000);

async function run(url: URL, args: string[]): Promise<{ code: number; output: string }> {
  const cwd = mkdtempSync(join(tmpdir(), 'holdfast-conformance-'));
  onTestFinished(() => rmSync(cwd, { recursive: true }));
  const ended = Promise.withResolvers<{ code: number; output: string }>();
  execFile(
    process.execPath,
    [RUNNER, 'server', '--url', url.href, ...args],
    { cwd },
    (error, stdout, stderr) => {
      const code = typeof error?.code === 'number' ? error.code : error === null ? 0 : -1;
      ended.resolve({ code, output: stdout + stderr });
    },
  );
  return ended.promise;
}

/**
 * The gateway under another port, which adds the token: the runner has no way to send one. A Host and an Origin of that port are
 * the gateway's own; others pass as they are.
 */
async function withToken(gateway: Gateway, conversationId: string): Promise<URL> {
  const authorization = `Bearer ${gateway.agentTokens.tokenOf(conversationId)}`;
  const server = createServer((incoming, outgoing) => {
    const { headers, method, url } = incoming;
    const own = (text: string) => text.replace(new RegExp(`:${portOf()}$`), `:${gateway.port}`);
    const { host = '', origin } = headers;
    const onward = httpRequest(
      {
        host: '127.0.0.1',
        port: gateway.port,
        method,
        path: url,
        headers: {
          ...headers,
          host: own(host),
          ...(origin === undefined ? {} : { origin: own(origin) }),
          authorization,
        },
      },
      (answer) => {
        outgoing.writeHead(answer.statusCode ?? 502, answer.headers);
        answer.pipe(outgoing);
      },
    );
    onward.on('error', () => outgoing.destroy());
    incoming.pipe(onward);
  });
  const portOf = (): number => (server.address() as AddressInfo).port;
  const listening = Promise.withResolvers<void>();
  server.listen(0, '127.0.0.1', () => listening.resolve());
  await listening.promise;
  onTestFinished(() => {
    server.closeAllConnections();
    server.close();
  });
  return new URL(`http://127.0.0.1:${portOf()}/mcp`);
}
