/**
 * The supervisor with real processes that misbehave. Numbers: the invariants of src/supervisor.ts, supervisor/child.ts
 * and supervisor/lock.ts.
 */
import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

import { afterEach, beforeEach, describe, expect, test } from 'vitest';

import { bootId, identify, isSameProcess } from '../../../src/providers/process/process-table.ts';
import {
  type ProcessRecord,
  readLiveState,
  readState,
  writeState,
} from '../../../src/supervisor/state.ts';
import { eventually } from '../../support/eventually.ts';
import { type Program, runProgram } from '../../support/program.ts';

const node = fileURLToPath(new URL('../../../node_modules/.bin/node', import.meta.url));
const run = fileURLToPath(new URL('../../fixtures/supervisor/run.ts', import.meta.url));

let home: string;
let started: Program[];
/** Every process that was ever seen in the state file, so that none outlives its test. */
let seen: ProcessRecord[];

beforeEach(() => {
  home = mkdtempSync(join(tmpdir(), 'holdfast-supervisor-'));
  started = [];
  seen = [];
});

afterEach(async () => {
  for (const program of started) {
    program.kill('SIGKILL');
    await program.ended;
  }
  for (const record of [...seen, ...(readState({ runFolder: join(home, 'run') })?.processes ?? [])])
    if (record.pid !== process.pid && isSameProcess(record)) process.kill(record.pid, 'SIGKILL');
  rmSync(home, { recursive: true, force: true });
});

function start(
  behaviours: Record<string, string> = {},
  settings: Record<string, string> = {},
): Program {
  const program = runProgram({
    program: node,
    args: [run, JSON.stringify(behaviours)],
    environment: {
      PATH: process.env['PATH'],
      HOME: home,
      HOLDFAST_HOME: home,
      HOLDFAST_PORT: '0',
      HOLDFAST_TEMPORAL_PORT: '0',
      HOLDFAST_TEMPORAL_UI_PORT: '0',
      ...settings,
    },
  });
  started.push(program);
  return program;
}

async function welcomed(program: Program): Promise<string> {
  return eventually(() => /^WELCOME .*$/m.exec(program.stdout())?.[0]);
}

function live(): ProcessRecord[] {
  const processes = readLiveState({ runFolder: join(home, 'run') })?.processes ?? [];
  seen.push(...processes);
  return processes;
}

function of(role: string): ProcessRecord | undefined {
  return live().find((record) => record.role === role);
}

async function must(role: string): Promise<ProcessRecord> {
  return eventually(() => of(role));
}

const history = (): string[] =>
  existsSync(join(home, 'history'))
    ? readFileSync(join(home, 'history'), 'utf8').trim().split('\n')
    : [];

describe('starting and stopping', () => {
  test('runs all four, writes them down, and stops them in order: the gateway first, Temporal last', async () => {
    const supervisor = start();
    await welcomed(supervisor);
    const roles = live().map((record) => record.role);
    expect(roles.toSorted()).toEqual(['gateway', 'supervisor', 'temporal', 'turn-host', 'worker']);
    expect(readState({ runFolder: join(home, 'run') })?.phase).toBe('ready');
    expect(live().every((record) => record.restarts === 0)).toBe(true);

    const processes = live();
    supervisor.kill('SIGTERM');
    expect(await supervisor.ended).toBe(0);
    expect(processes.filter((record) => isSameProcess(record))).toEqual([]);
    const terms = history().filter((line) => line.endsWith('TERM'));
    expect(terms[0]).toBe('gateway TERM');
    expect(terms.at(-1)).toBe('temporal TERM');
    expect(terms).toHaveLength(4);
    expect(readState({ runFolder: join(home, 'run') })).toBeNull();
    expect(existsSync(join(home, 'run/lock'))).toBe(false);
  });

  test.each(['SIGINT', 'SIGHUP'] as const)('%s stops it as TERM does', async (signal) => {
    const supervisor = start();
    await welcomed(supervisor);
    supervisor.kill(signal);
    expect(await supervisor.ended).toBe(0);
    expect(live()).toEqual([]);
  });

  test('a signal that comes twice at once, as through npm, is one', async () => {
    const supervisor = start({ worker: 'stubborn' });
    await welcomed(supervisor);
    supervisor.kill('SIGINT');
    supervisor.kill('SIGINT');
    expect(await supervisor.ended).toBe(0);
    expect(supervisor.stdout()).not.toContain('Stopping at once');
    expect(supervisor.stdout()).toContain('worker did not stop in 5 s and was killed');
  });

  test('a second Ctrl-C hurries: what ignores TERM is killed without waiting', async () => {
    const supervisor = start({ worker: 'stubborn', gateway: 'stubborn' });
    await welcomed(supervisor);
    const askedMs = performance.now();
    supervisor.kill('SIGINT');
    await eventually(() => supervisor.stdout().includes('Stopping.'));
    await eventually(() => {
      supervisor.kill('SIGINT');
      return supervisor.stdout().includes('Stopping at once.');
    });
    expect(await supervisor.ended).toBe(0);
    expect(performance.now() - askedMs).toBeLessThan(4_500);
    expect(live()).toEqual([]);
  });

  test('stops also while something is not ready yet', async () => {
    const supervisor = start({ worker: 'mute' });
    await must('worker');
    await eventually(() => history().includes('gateway ready'));
    supervisor.kill('SIGTERM');
    expect(await supervisor.ended).toBe(0);
    expect(live()).toEqual([]);
  });

  test('a start that no restart can mend ends with exit code 1 and says why', async () => {
    const supervisor = start({ temporal: 'hopeless' });
    expect(await supervisor.ended).toBe(1);
    expect(supervisor.stdout()).toContain('temporal-dev: there is no temporal CLI');
    expect(live()).toEqual([]);
  });
});

describe('restarts', () => {
  test('child 2: a killed process is started again at once, and the others are left alone', async () => {
    const supervisor = start();
    await welcomed(supervisor);
    const before = await must('turn-host');
    const gateway = await must('gateway');
    process.kill(before.pid, 'SIGKILL');
    const after = await eventually(() => {
      const record = of('turn-host');
      return record !== undefined && record.pid !== before.pid ? record : null;
    });
    expect(after.restarts).toBe(1);
    expect(of('gateway')).toEqual(gateway);
    expect(supervisor.stdout()).toContain('turn-host was ended by SIGKILL; starting it again now.');
  });

  test('child 2: a process that crashes is said with the end of its log, and does not keep the rest from being ready', async () => {
    const supervisor = start({ worker: 'once' });
    await welcomed(supervisor);
    expect(supervisor.stdout()).toContain('worker ended with exit code 7; starting it again now.');
    expect(supervisor.stdout()).toContain('  worker: worker cannot go on');
    expect((await must('worker')).restarts).toBe(1);
  });

  test('child 2: one that crashes every time is tried again and again, later each time', async () => {
    const supervisor = start({ worker: 'crash' });
    await eventually(() =>
      supervisor.stdout().includes('worker ended with exit code 7; starting it again in 0.8 s.'),
    );
    for (const next of ['now', 'in 0.1 s', 'in 0.2 s', 'in 0.4 s'])
      expect(supervisor.stdout()).toContain(`exit code 7; starting it again ${next}.`);
    expect(supervisor.stdout()).not.toContain('WELCOME');
    expect((await must('gateway')).restarts).toBe(0);
  });

  test('3: a chosen port is kept over restarts', async () => {
    const supervisor = start();
    const [, api] = (await welcomed(supervisor)).split(' ');
    const before = await must('gateway');
    process.kill(before.pid, 'SIGKILL');
    await eventually(() => of('gateway')?.restarts === 1);
    const { pid } = await must('gateway');
    const environment = readFileSync(`/proc/${pid}/environ`, 'utf8').split('\0');
    expect(environment).toContain(`HOLDFAST_PORT=${new URL(api ?? '').port}`);
  });
});

describe('one for a home', () => {
  test('1: a second start says where the first is, and changes nothing', async () => {
    const first = start();
    const [, api] = (await welcomed(first)).split(' ');
    const before = live();
    const second = start();
    expect(await second.ended).toBe(1);
    expect(second.stdout()).toContain(
      `already running for ${home}, as process ${first.pid}: ${api}`,
    );
    expect(live()).toEqual(before);
  });

  test('lock 2: of eight starts at once exactly one runs', async () => {
    const starts = Array.from({ length: 8 }, () => start());
    const ends = starts.map((program) => program.ended);
    const winner = await eventually(() =>
      starts.find((program) => program.stdout().includes('WELCOME')),
    );
    const losers = ends.filter((_, index) => starts[index] !== winner);
    expect(await Promise.all(losers)).toEqual(Array.from({ length: 7 }, () => 1));
    expect(history().filter((line) => line === 'gateway start')).toHaveLength(1);
    winner.kill('SIGTERM');
    expect(await winner.ended).toBe(0);
    expect(readdirSync(join(home, 'run'))).toEqual([]);
  });

  test('2: after a kill -9 of the supervisor its children go on; the next start ends them and runs its own', async () => {
    const first = start();
    await welcomed(first);
    const children = live().filter((record) => record.role !== 'supervisor');
    first.kill('SIGKILL');
    await first.ended;
    expect(children.every((record) => isSameProcess(record))).toBe(true);

    const second = start({ gateway: 'steady' });
    await welcomed(second);
    expect(children.filter((record) => isSameProcess(record))).toEqual([]);
    for (const { role, pid } of children)
      expect(second.stdout()).toContain(`Ended ${role} (process ${pid}), left over`);
    expect(live()).toHaveLength(5);
    expect((await must('supervisor')).pid).toBe(second.pid);
  });

  test('2: left-over children that ignore TERM, or are stopped, are ended too', async () => {
    const first = start({ worker: 'stubborn' });
    await welcomed(first);
    const worker = await must('worker');
    const gateway = await must('gateway');
    process.kill(gateway.pid, 'SIGSTOP');
    first.kill('SIGKILL');
    await first.ended;
    await welcomed(start());
    expect(isSameProcess(worker)).toBe(false);
    expect(isSameProcess(gateway)).toBe(false);
  });

  test('lock 4: neither a lock nor a record with a number that was given to another process since means anything', async () => {
    const stranger = identify(process.pid);
    if (stranger === null) throw new Error('no /proc');
    const other = { ...stranger, startTime: '1' };
    mkdirSync(join(home, 'run/lock'), { recursive: true, mode: 0o700 });
    writeFileSync(join(home, 'run/lock', `${other.pid}_1_${bootId()}`), '');
    const record = { ...other, startedAt: '', restarts: 0 };
    writeState({
      runFolder: join(home, 'run'),
      state: {
        phase: 'ready',
        api: 'http://127.0.0.1:1',
        temporal: '127.0.0.1:1',
        namespace: 'default',
        temporalUi: null,
        processes: [
          { role: 'supervisor', ...record },
          { role: 'gateway', ...record },
        ],
      },
    });
    // Would end this very test if numbers alone counted.
    await welcomed(start());
  });
});

describe('what it makes and leaves', () => {
  test('home 1: folders 0700, token 0600 and the same at every start', async () => {
    const first = start();
    await welcomed(first);
    const mode = (path: string): number => statSync(join(home, path)).mode & 0o777;
    expect([mode('.'), mode('spools'), mode('run'), mode('logs'), mode('token')]).toEqual([
      0o700, 0o700, 0o700, 0o700, 0o600,
    ]);
    const token = readFileSync(join(home, 'token'), 'utf8').trim();
    expect(Buffer.from(token, 'base64url')).toHaveLength(32);
    const hostName = readFileSync(join(home, 'host-name'), 'utf8');
    first.kill('SIGTERM');
    await first.ended;
    await welcomed(start());
    expect(readFileSync(join(home, 'token'), 'utf8').trim()).toBe(token);
    expect(readFileSync(join(home, 'host-name'), 'utf8')).toBe(hostName);
  });

  test('log 1: a child goes on logging when the supervisor is killed', async () => {
    const supervisor = start({ worker: 'chatty' });
    await welcomed(supervisor);
    const worker = await must('worker');
    supervisor.kill('SIGKILL');
    await supervisor.ended;
    const log = join(home, 'logs/worker.log');
    const before = statSync(log).size;
    process.kill(worker.pid, 'SIGUSR1');
    await eventually(() => statSync(log).size >= before + 65_536);
    expect(isSameProcess(worker)).toBe(true);
  });

  test('log 2: a log above its limit is rotated while its writer goes on', async () => {
    const supervisor = start({ worker: 'chatty' }, { HOLDFAST_LOG_LIMIT_BYTES: '100000' });
    await welcomed(supervisor);
    const { pid } = await must('worker');
    const log = join(home, 'logs/worker.log');
    process.kill(pid, 'SIGUSR1');
    await eventually(() => statSync(log).size > 65_000);
    process.kill(pid, 'SIGUSR1');
    await eventually(() => existsSync(`${log}.1`) && statSync(log).size === 0);
    expect(statSync(`${log}.1`).size).toBeGreaterThan(131_000);
    process.kill(pid, 'SIGUSR1');
    await eventually(() => statSync(log).size === 65_536);
  });

  test('a port that is in use is said with the name to set, and nothing is started', async () => {
    const server = createServer();
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    const address = server.address();
    const port = typeof address === 'object' ? address?.port : 0;
    const supervisor = start({}, { HOLDFAST_PORT: String(port) });
    expect(await supervisor.ended).toBe(1);
    expect(supervisor.stdout()).toContain(`Port ${port} of 127.0.0.1 is in use`);
    expect(supervisor.stdout()).toContain('HOLDFAST_PORT');
    expect(history()).toEqual([]);
    await new Promise((resolve) => server.close(resolve));
  });

  test('two settings with the same port are said before anything is started', async () => {
    const supervisor = start({}, { HOLDFAST_PORT: '24610', HOLDFAST_TEMPORAL_PORT: '24610' });
    expect(await supervisor.ended).toBe(1);
    expect(supervisor.stdout()).toContain('HOLDFAST_TEMPORAL_PORT');
    expect(history()).toEqual([]);
  });

  test('with TEMPORAL_ADDRESS no server is started', async () => {
    const supervisor = start({}, { TEMPORAL_ADDRESS: '127.0.0.1:1' });
    expect(await welcomed(supervisor)).toContain(' 127.0.0.1:1');
    expect(of('temporal')).toBeUndefined();
    expect(history().some((line) => line.startsWith('temporal'))).toBe(false);
  });
});
