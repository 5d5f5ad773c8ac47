import { execFile } from 'node:child_process';
import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { request } from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { promisify } from 'node:util';

import { afterEach, beforeEach, describe, expect, test } from 'vitest';

import {
  startTemporal,
  temporalDevScript,
  type TemporalServer,
} from '../support/temporal-server.ts';
import { temporalAddress, temporalBinary } from '../support/temporal.ts';

const run = promisify(execFile);

/** Runs one command of the `temporal` CLI against `address` and resolves with what it printed. */
async function temporal(address: string, ...args: string[]): Promise<string> {
  const { stdout } = await run(temporalBinary(), [...args, '--address', address]);
  return stdout;
}

async function describeNamespace(address: string): Promise<unknown> {
  return JSON.parse(
    await temporal(address, 'operator', 'namespace', 'describe', '-n', 'default', '-o', 'json'),
  );
}

const attributes = {
  HoldfastState: 'Keyword',
  HoldfastTable: 'Keyword',
  HoldfastProvider: 'Keyword',
  HoldfastTurnStartedAt: 'Datetime',
  HoldfastQuiet: 'Bool',
};

/** The custom search attributes of the server at `address` with their types. */
async function listAttributes(address: string): Promise<Record<string, string>> {
  const table = await temporal(address, 'operator', 'search-attribute', 'list');
  const rows = table.matchAll(/^\s*(Holdfast\w+)\s+(\w+)\s*$/gm);
  return Object.fromEntries([...rows].map(([, name = '', type = '']) => [name, type]));
}

let folder: string;
let home: string;
let servers: TemporalServer[];

async function start(environment: Record<string, string> = {}): Promise<TemporalServer> {
  const server = await startTemporal({ binary: temporalBinary(), home, environment });
  servers.push(server);
  return server;
}

/** Runs the script where it must refuse to start, and resolves with its exit code and words. */
async function refusal(
  environment: Record<string, string>,
): Promise<{ code: unknown; words: string }> {
  const options = { env: { ...process.env, HOLDFAST_HOME: home, ...environment }, timeout: 30_000 };
  try {
    const { stdout } = await run(temporalDevScript, options);
    return { code: 0, words: stdout };
  } catch (error) {
    const { code, stderr } = error as { code: unknown; stderr: string };
    return { code, words: stderr };
  }
}

beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'holdfast-temporal-dev-'));
  // a folder's name may hold whatever a URL gives a meaning
  home = join(folder, "Tom's data 100%20?#&");
  servers = [];
});

afterEach(async () => {
  await Promise.all(servers.map((server) => server.stop('SIGKILL')));
  rmSync(folder, { recursive: true, force: true });
});

describe('a server that says it is ready', () => {
  test('has the search attributes and keeps finished workflows for 90 days', async () => {
    const { address, ui } = await start();

    expect(ui).toBe('off');
    expect(await listAttributes(address)).toEqual(attributes);
    expect(await describeNamespace(address)).toMatchObject({
      config: { workflowExecutionRetentionTtl: '7776000s' },
    });
  });

  test('took free ports for 0, and serves the Web UI', async () => {
    const [first, second] = await Promise.all([
      start({ HOLDFAST_TEMPORAL_UI_PORT: '0' }),
      startTemporal({ binary: temporalBinary() }),
    ]);
    servers.push(second);

    expect(first.address).not.toBe(second.address);
    expect(first.ui).toMatch(/^http:\/\/127\.0\.0\.1:[0-9]+$/);
    expect(first.ui).not.toContain(first.address);
    expect((await fetch(first.ui)).status).toBe(200);
  });

  test('runs with every flag of the design, on its own database', async () => {
    const { pid } = await start();
    const flags = readFileSync(`/proc/${pid}/cmdline`, 'utf8').split('\0').join(' ');

    for (const flag of [
      '--ip 127.0.0.1',
      '--headless',
      '--db-filename temporal.db',
      '--sqlite-pragma journal_mode=wal',
      '--sqlite-pragma synchronous=full',
      '--sqlite-pragma journal_size_limit=16777216',
      'history.transferProcessorMaxPollRPS=2000',
      'history.timerProcessorMaxPollRPS=2000',
      'history.visibilityProcessorMaxPollRPS=2000',
      'matching.numTaskqueueReadPartitions=1',
      'matching.numTaskqueueWritePartitions=1',
    ]) {
      expect(flags).toContain(flag);
    }
    using database = new DatabaseSync(join(home, 'temporal.db'), { readOnly: true });
    expect(database.prepare('PRAGMA journal_mode').get()).toEqual({ journal_mode: 'wal' });
  });

  test('answers its HTTP API under its own name only', async () => {
    const { pid } = await start();
    const answers = await Promise.all(
      listeningPorts(pid).map(async (port) => [
        await statusOfHttpApi(port, `127.0.0.1:${port}`),
        await statusOfHttpApi(port, 'rebound.example'),
      ]),
    );

    expect(answers.filter(([own]) => own === 200)).toEqual([[200, 403]]);
  });
});

/** The ports on which process `pid` listens. */
function listeningPorts(pid: number): number[] {
  const sockets = readdirSync(`/proc/${pid}/fd`).map((fd) => readlinkSync(`/proc/${pid}/fd/${fd}`));
  return readFileSync(`/proc/${pid}/net/tcp`, 'utf8')
    .split('\n')
    .map((line) => line.trim().split(/\s+/))
    .filter(
      ([, , , state, , , , , , inode]) => state === '0A' && sockets.includes(`socket:[${inode}]`),
    )
    .map(([, local = '']) => Number.parseInt(local.split(':')[1] ?? '', 16));
}

/** How `port` answers when it is asked as Temporal's HTTP API under the name `host`; null when it does not speak HTTP. */
async function statusOfHttpApi(port: number, host: string): Promise<number | null> {
  const { promise, resolve } = Promise.withResolvers<number | null>();
  const asked = request({ port, host: '127.0.0.1', path: '/api/v1/namespaces', headers: { host } });
  asked.on('error', () => resolve(null));
  asked.on('response', (response) => {
    response.resume();
    resolve(response.statusCode ?? null);
  });
  asked.end();
  return promise;
}

describe('the database', () => {
  const workflow = ['--workflow-id', 'kept', '--type', 'conversation', '--task-queue', 'nobody'];

  test.each(['SIGTERM', 'SIGINT', 'SIGKILL'] as const)(
    'keeps workflows, attributes and retention over a %s',
    async (signal) => {
      const first = await start();
      await temporal(first.address, 'workflow', 'start', ...workflow);
      expect(await first.stop(signal)).toBe(signal === 'SIGKILL' ? null : 0);

      const { address } = await start();
      const found = await temporal(address, 'workflow', 'describe', '-w', 'kept', '-o', 'json');
      expect(JSON.parse(found)).toMatchObject({
        workflowExecutionInfo: { status: 'WORKFLOW_EXECUTION_STATUS_RUNNING' },
      });
      expect(await listAttributes(address)).toEqual(attributes);
      expect(await describeNamespace(address)).toMatchObject({
        config: { workflowExecutionRetentionTtl: '7776000s' },
      });
    },
  );

  test('of an older version gets the attributes that it lacks', async () => {
    const older = await start();
    const gone = ['operator', 'search-attribute', 'remove', '--name', 'HoldfastQuiet', '--yes'];
    await temporal(older.address, ...gone);
    const { HoldfastQuiet: _, ...fewer } = attributes;
    expect(await listAttributes(older.address)).toEqual(fewer);
    await older.stop();

    const { address } = await start();
    expect(await listAttributes(address)).toEqual(attributes);
  });

  test('has one server: a second one is refused and the first goes on', async () => {
    const { address, pid } = await start();

    const { code, words } = await refusal({ HOLDFAST_TEMPORAL_PORT: '0' });

    expect(code).toBe(75);
    expect(words).toContain(`is in use by the server with process id ${pid}`);
    expect(await listAttributes(address)).toEqual(attributes);
  });

  test('whose making was cut short is made anew', async () => {
    mkdirSync(home, { recursive: true });
    // what a kill -9 leaves: a file without all its tables, which no server would ever complete
    new DatabaseSync(join(home, 'temporal.db')).exec('CREATE TABLE half (made)');
    writeFileSync(join(home, 'temporal.db.unready'), '');

    const { address, readLog } = await start();

    expect(readLog()).toContain('the last start was cut short');
    expect(await listAttributes(address)).toEqual(attributes);
    expect(existsSync(join(home, 'temporal.db.unready'))).toBe(false);
  });
});

describe('it refuses, in words,', () => {
  test('a port that another Temporal server has, and leaves that one alone', async () => {
    const [, port = ''] = temporalAddress().split(':');
    const { code, words } = await refusal({ HOLDFAST_TEMPORAL_PORT: port });
    expect(code).toBe(75);
    expect(words).toContain(`another Temporal server has port ${port}`);
  });

  test.each([
    ['HOLDFAST_TEMPORAL_PORT', '70000'],
    ['HOLDFAST_TEMPORAL_PORT', 'http'],
    ['HOLDFAST_TEMPORAL_UI_PORT', '08233'],
    ['HOLDFAST_TEMPORAL_LOG_LEVEL', 'loud'],
  ])('%s=%s', async (name, value) => {
    const { code, words } = await refusal({ HOLDFAST_TEMPORAL_PORT: '0', [name]: value });
    expect(code).toBe(64);
    expect(words).toContain(`${name}=${value} is not`);
  });
});
