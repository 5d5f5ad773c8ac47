/** The pulse of the Temporal server, of servers that answer, refuse, hang and go. A real one: test/e2e/acceptance/survival.test.ts. */
import type { ServerHttp2Stream } from 'node:http2';

import { expect, onTestFinished, test } from 'vitest';

import { askTemporal } from '../../../src/supervisor/temporal-pulse.ts';
import { eventually } from '../../support/eventually.ts';
import { accept, deadPort, grpcServer, listen, refuse } from '../../support/grpc-server.ts';

type Answer = (stream: ServerHttp2Stream) => void;
const UNAVAILABLE = 14;

/** A server whose calls are given to what `answer` is at that moment; the questions so far. */
async function serverThat(answer: Answer) {
  const asked: { path: string; body: string }[] = [];
  const it = { answer, asked };
  const { server, sessions } = grpcServer((stream, path, body) => {
    asked.push({ path, body });
    it.answer(stream);
  });
  return Object.assign(it, { sessions, address: `127.0.0.1:${await listen(server)}` });
}

const fails: Answer = (stream) => refuse(stream, UNAVAILABLE);
const failsLate: Answer = (stream) => {
  stream.respond({ ':status': 200, 'content-type': 'application/grpc' }, { waitForTrailers: true });
  stream.on('wantTrailers', () => stream.sendTrailers({ 'grpc-status': String(UNAVAILABLE) }));
  stream.end();
};
const breaksOff: Answer = (stream) => stream.session?.destroy();

function pulseOf(address: string, namespace = 'default') {
  const pulse = askTemporal({ address, namespace });
  onTestFinished(pulse.close);
  return pulse;
}

test('a server that knows its namespace beats, again and again; closed, it is asked no more', async () => {
  const server = await serverThat(accept);
  // Longer than what one byte can tell the length of.
  const namespace = 'n'.repeat(300);
  const pulse = pulseOf(server.address, namespace);
  expect(pulse.lastMs()).toBeNull();
  const first = await eventually(() => pulse.lastMs());
  await eventually(() => (pulse.lastMs() ?? 0) > first);
  pulse.close();
  const message = Buffer.concat([Buffer.from([10, 0xac, 2]), Buffer.from(namespace)]);
  const head = Buffer.from([0, 0, 0, 1, 0x2f]);
  expect(server.asked[0]).toEqual({
    path: '/temporal.api.workflowservice.v1.WorkflowService/DescribeNamespace',
    body: Buffer.concat([head, message]).toString('latin1'),
  });
  // No question keeps its connection.
  await eventually(() => server.sessions.size === 0);
});

test.each([
  ['fails at once, as one whose database does', fails],
  ['fails behind its answer', failsLate],
  ['breaks off', breaksOff],
])('a server that %s does not beat, and beats again when it can', async (_name, answer) => {
  const server = await serverThat(answer);
  const pulse = pulseOf(server.address);
  await eventually(() => server.asked.length === 2);
  expect(pulse.lastMs()).toBeNull();
  server.answer = accept;
  await eventually(() => pulse.lastMs() !== null);
});

test('a server that hangs does not beat; the question is given up, and asked again', async () => {
  const server = await serverThat(() => undefined);
  const pulse = pulseOf(server.address);
  await eventually(() => server.asked.length === 2);
  expect(pulse.lastMs()).toBeNull();
});

test('where nobody listens nothing beats, and nothing is thrown', async () => {
  const pulse = pulseOf(`127.0.0.1:${await deadPort()}`);
  const late = await serverThat(accept);
  const other = pulseOf(late.address);
  // Time enough for two questions of the first.
  const beat = await eventually(() => other.lastMs());
  await eventually(() => (other.lastMs() ?? 0) > beat);
  expect(pulse.lastMs()).toBeNull();
});
