/** The pulse of the Temporal server, of servers that answer, refuse, hang and go. A real one: test/e2e/acceptance/survival.test.ts. */
import { mkdtempSync, rmSync, statfsSync, truncateSync, writeFileSync } from 'node:fs';
import type { ServerHttp2Stream } from 'node:http2';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

import { beforeEach, describe, expect, onTestFinished, test } from 'vitest';

import { askTemporal } from '../../../src/supervisor/temporal-pulse.ts';
import { eventually } from '../../support/eventually.ts';
import { accept, deadPort, grpcServer, listen, refuse } from '../../support/grpc-server.ts';

type Answer = (stream: ServerHttp2Stream) => void;
const UNAVAILABLE = 14;
const RESOURCE_EXHAUSTED = 8;

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
const isBusy: Answer = (stream) => refuse(stream, RESOURCE_EXHAUSTED);
const isInterrupted: Answer = (stream) =>
  refuse(stream, UNAVAILABLE, 'GetNamespace operation failed. Error interrupted (9)');
const breaksOff: Answer = (stream) => stream.session?.destroy();

function pulseOf(
  address: string,
  { namespace = 'default', wal = { file: '/nonexistent', limitBytes: 0 } } = {},
) {
  const pulse = askTemporal({ server: { address, namespace }, wal, everyMs: 100 });
  onTestFinished(pulse.close);
  return { ...pulse, ailment: () => pulse.ailment?.() };
}

test('a server that knows its namespace beats, again and again; closed, it is asked no more', async () => {
  const server = await serverThat(accept);
  // Longer than what one byte can tell the length of.
  const namespace = 'n'.repeat(300);
  const pulse = pulseOf(server.address, { namespace });
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
  const asked = server.asked.length;
  const other = pulseOf(server.address);
  await eventually(() => server.asked.length >= asked + 3);
  other.close();
  const ofFirst = server.asked.slice(asked).filter(({ body }) => body === server.asked[0]?.body);
  expect(ofFirst).toEqual([]);
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

test('3 a server that has no time for one question more lives', async () => {
  const server = await serverThat(isBusy);
  const pulse = pulseOf(server.address);
  await eventually(() => pulse.lastMs() !== null);
  expect(pulse.ailment()).toBeNull();
});

test('a server that answers that it was interrupted, and nothing else, is ill; once or twice it is not', async () => {
  const server = await serverThat(isInterrupted);
  const pulse = pulseOf(server.address);
  /** Once so many more have been asked, of which all but the last are answered. */
  const asked = async (more: number): Promise<void> => {
    const until = server.asked.length + more;
    await eventually(() => server.asked.length === until);
  };
  await asked(2);
  server.answer = accept;
  await asked(2);
  expect(pulse.lastMs()).not.toBeNull();
  server.answer = isInterrupted;
  await asked(2);
  // An answer of before the good one no longer counts.
  expect(pulse.ailment()).toBeNull();
  // Being refused for another reason, or not answered at all, heals nothing.
  server.answer = isBusy;
  await asked(1);
  server.answer = breaksOff;
  await asked(1);
  expect(pulse.ailment()).toBeNull();
  server.answer = isInterrupted;
  await asked(2);
  expect(pulse.ailment()).toBe('answers everything "interrupted"');
});

describe('the write-ahead log', () => {
  let file: string;
  beforeEach(() => {
    const folder = mkdtempSync(join(tmpdir(), 'holdfast-wal-'));
    file = join(folder, 'temporal.db-wal');
    onTestFinished(() => rmSync(folder, { recursive: true }));
  });
  const holds = (bytes: number): void => {
    writeFileSync(file, '');
    truncateSync(file, bytes);
  };
  const MB = 2 ** 20;

  async function watched(limitBytes: number) {
    const server = await serverThat(accept);
    return pulseOf(server.address, { wal: { file, limitBytes } });
  }

  test('that has grown by more than it may is told with its size; one that is not there has none', async () => {
    const { ailment } = await watched(10 * MB);
    expect(ailment()).toBeNull();
    holds(10 * MB);
    expect(ailment()).toBeNull();
    holds(12 * MB);
    expect(ailment()).toBe(`no longer checkpoints its database: ${file} has 12 MB`);
    expect((await watched(0)).ailment()).toBeNull();
  });

  test('5 that has taken more than the disk has left is too long, whatever it may have', async () => {
    const { ailment } = await watched(2 ** 50);
    holds(30 * MB);
    expect(ailment()).toBeNull();
    // A file with a hole: it takes nothing, and is longer than any disk has room.
    const { bavail, bsize } = statfsSync(tmpdir());
    holds(2 * bavail * bsize);
    expect(ailment()).toContain('no longer checkpoints');
    holds(4 * MB);
    expect(ailment()).toBeNull();
  });

  test('4 that was long already is none of this server, until it has been cut', async () => {
    holds(100 * MB);
    const { ailment } = await watched(10 * MB);
    // One that cannot be looked at, for once, has not been cut.
    rmSync(file);
    expect(ailment()).toBeNull();
    holds(110 * MB);
    expect(ailment()).toBeNull();
    holds(4 * MB);
    expect(ailment()).toBeNull();
    holds(15 * MB);
    expect(ailment()).toContain('has 15 MB');
  });
});
