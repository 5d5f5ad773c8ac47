/** The pulse of the Temporal server, of servers that answer, refuse, hang and go. A real one: test/e2e/acceptance/survival.test.ts. */
import { once } from 'node:events';
import { createServer, type ServerHttp2Session, type ServerHttp2Stream } from 'node:http2';
import type { AddressInfo } from 'node:net';

import { expect, onTestFinished, test } from 'vitest';

import { askTemporal } from '../../../src/supervisor/temporal-pulse.ts';
import { eventually } from '../../support/eventually.ts';

type Answer = (stream: ServerHttp2Stream) => void;
const GRPC = { ':status': 200, 'content-type': 'application/grpc' };

/** A server whose calls are given to what `answer` is at that moment; the questions so far. */
async function serverThat(answer: Answer) {
  const asked: { path: string; body: string }[] = [];
  const sessions = new Set<ServerHttp2Session>();
  const server = createServer();
  const it = { answer, asked, sessions, address: '' };
  server.on('session', (session) => {
    sessions.add(session);
    session.on('error', () => undefined);
    session.on('close', () => sessions.delete(session));
  });
  server.on('stream', (stream, headers) => {
    stream.on('error', () => undefined);
    let body = '';
    stream.on('data', (bytes: Buffer) => (body += bytes.toString('latin1')));
    stream.on('end', () => {
      asked.push({ path: String(headers[':path']), body });
      it.answer(stream);
    });
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  onTestFinished(() => {
    for (const session of sessions) session.destroy();
    server.close();
  });
  it.address = `127.0.0.1:${(server.address() as AddressInfo).port}`;
  return it;
}

const knows: Answer = (stream) => {
  stream.respond(GRPC, { waitForTrailers: true });
  stream.on('wantTrailers', () => stream.sendTrailers({ 'grpc-status': '0' }));
  stream.end(Buffer.from([0, 0, 0, 0, 2, 10, 0]));
};
const fails: Answer = (stream) => {
  const grpc = { 'grpc-status': '14', 'grpc-message': 'Error: interrupted (9)' };
  stream.respond({ ...GRPC, ...grpc }, { endStream: true });
};
const failsLate: Answer = (stream) => {
  stream.respond(GRPC, { waitForTrailers: true });
  stream.on('wantTrailers', () => stream.sendTrailers({ 'grpc-status': '14' }));
  stream.end();
};
const breaksOff: Answer = (stream) => stream.session?.destroy();

function pulseOf(address: string, namespace = 'default') {
  const pulse = askTemporal({ address, namespace });
  onTestFinished(pulse.close);
  return pulse;
}

test('a server that knows its namespace beats, again and again; closed, it is asked no more', async () => {
  const server = await serverThat(knows);
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
  server.answer = knows;
  await eventually(() => pulse.lastMs() !== null);
});

test('a server that hangs does not beat; the question is given up, and asked again', async () => {
  const server = await serverThat(() => undefined);
  const pulse = pulseOf(server.address);
  await eventually(() => server.asked.length === 2);
  expect(pulse.lastMs()).toBeNull();
});

test('where nobody listens nothing beats, and nothing is thrown', async () => {
  const server = createServer().listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address() as AddressInfo;
  server.close();
  const pulse = pulseOf(`127.0.0.1:${port}`);
  const late = await serverThat(knows);
  const other = pulseOf(late.address);
  // Time enough for two questions of the first.
  const beat = await eventually(() => other.lastMs());
  await eventually(() => (other.lastMs() ?? 0) > beat);
  expect(pulse.lastMs()).toBeNull();
});
