import { spawn, spawnSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

import { afterEach, beforeEach, expect, test } from 'vitest';

import {
  isSameProcess,
  markedProcesses,
  processFacts,
  signalGroup,
  signalProcess,
} from '../../../src/providers/process/process-table.ts';
import { Spool, type SpoolSpec } from '../../../src/providers/process/spool.ts';
import { eventually } from '../../support/eventually.ts';

const echoProgram = fileURLToPath(new URL('../../fixtures/echo-provider.mjs', import.meta.url));
const ownerProgram = fileURLToPath(new URL('../../fixtures/spool-owner.ts', import.meta.url));
const forever = new AbortController().signal;

let root: string;
let marks: string[];

beforeEach(() => {
  root = mkdtempSync(join(tmpdir(), 'holdfast spool-'));
  marks = [];
});
afterEach(() => {
  for (const found of markedProcesses())
    if (marks.includes(found.mark)) signalProcess(found, 'SIGKILL');
  rmSync(root, { recursive: true, force: true });
});

function specOf(mark: string): SpoolSpec {
  marks.push(mark);
  return {
    mark,
    conversationId: 'c1',
    providerId: 'echo',
    session: { workspacePath: root, model: null, resumeSessionId: null, newSessionId: 'n' },
    program: process.execPath,
    args: [echoProgram],
    environmentNames: [],
    bootId: '',
    createdAt: new Date().toISOString(),
  };
}

async function started(mark: string): Promise<Spool> {
  const spool = await Spool.create({ root, name: mark, spec: specOf(mark) });
  spool.launch({ environment: { PATH: process.env['PATH'] ?? '' }, onWrapperEnd: () => undefined });
  expect(await spool.inputReady(forever)).toBe(true);
  await eventually(() => output(spool).includes('hello'));
  return spool;
}

function output(spool: Spool): string {
  return readFileSync(join(spool.path, 'out.jsonl'), 'utf8');
}

test('a program started through a spool reads frames and is known by pid, start time and mark', async () => {
  const spool = await started('turn1.1');
  expect(await spool.write(['one', 'two'], forever)).toBe(true);
  await eventually(() => output(spool).endsWith('one\ntwo\n'));
  const identity = spool.identity();
  expect(output(spool)).toContain(`hello pid=${identity?.pid}`);
  expect(spool.isAlive()).toBe(true);
  expect(spool.exitCode()).toBeNull();
});

test('the exit code and the last words on stderr are kept', async () => {
  const spool = await started('turn2.1');
  await spool.write(['exit 7'], forever);
  await eventually(() => spool.exitCode() !== null);
  expect(spool.exitCode()).toBe(7);
  expect(spool.stderrTail()).toBe('last words\n');
  expect(spool.isAlive()).toBe(false);
  expect(await spool.write(['late'], forever)).toBe(false);
});

test('TERM to the group ends the program, and the wrapper still writes the exit code', async () => {
  const spool = await started('turn3.1');
  const identity = spool.identity();
  expect(identity).not.toBeNull();
  if (identity !== null) signalGroup(identity, 'SIGTERM');
  await eventually(() => spool.exitCode() !== null);
  expect(spool.exitCode()).toBe(143);
});

test('kill -9 of the process that started it reaches neither the program nor its output; another process goes on', async () => {
  marks.push('turn4.1');
  const owner = spawn(process.execPath, [
    ownerProgram,
    root,
    'turn4.1',
    process.execPath,
    echoProgram,
  ]);
  await new Promise((resolve) => owner.stdout.once('data', resolve));
  owner.kill('SIGKILL');
  await new Promise((resolve) => owner.once('exit', resolve));
  const spool = Spool.open({ root, name: 'turn4.1' });
  expect(spool).not.toBeNull();
  if (spool === null) return;
  expect(spool.isAlive()).toBe(true);
  expect(await spool.write(['second'], forever)).toBe(true);
  await eventually(() => output(spool).endsWith('first\nsecond\n'));
});

test('a prompt larger than the pipe is written whole while the program is slow to read', async () => {
  const spool = await started('turn5.1');
  const identity = spool.identity();
  if (identity !== null) signalProcess(identity, 'SIGSTOP');
  const writing = spool.write(['x'.repeat(512 * 1024)], forever);
  const first = await Promise.race([
    writing,
    new Promise((resolve) => setImmediate(() => resolve('waiting'))),
  ]);
  expect(first).toBe('waiting');
  if (identity !== null) signalProcess(identity, 'SIGCONT');
  expect(await writing).toBe(true);
  await eventually(() => output(spool).length > 512 * 1024);
});

test('the mark finds a grandchild in a session of its own', async () => {
  const spool = await started('turn6.1');
  await spool.write(['child'], forever);
  await eventually(() => markedProcesses().filter(({ mark }) => mark === 'turn6.1').length >= 3);
  const pid = spool.identity()?.pid ?? 0;
  const group = processFacts(pid)?.groupId;
  const others = markedProcesses().filter(
    (found) => found.mark === 'turn6.1' && processFacts(found.pid)?.groupId !== group,
  );
  expect(others).toHaveLength(1);
});

test('calls are read back in order; a torn last line is a call that never went out', async () => {
  const spool = await Spool.create({ root, name: 'turn7.1', spec: specOf('turn7.1') });
  const begin = { type: 'begin', attemptKey: 'turn7.1', content: 'hi' } as const;
  const cancel = { type: 'cancel', attemptKey: 'turn7.1' } as const;
  spool.recordCall({ outOffset: 0, call: begin, frames: ['a'] });
  spool.recordSent(0);
  spool.recordCall({ outOffset: 10, call: cancel, frames: ['b'] });
  writeFileSync(join(spool.path, 'in.jsonl'), '{"outOffset":10,"ca', { flag: 'a' });
  expect(Spool.open({ root, name: 'turn7.1' })?.calls()).toEqual([
    { outOffset: 0, call: begin, frames: ['a'], sent: true },
    { outOffset: 10, call: cancel, frames: ['b'], sent: false },
  ]);
});

test('what is recorded after a torn line, by whoever has the spool next, is not lost with it', async () => {
  const spool = await Spool.create({ root, name: 'turn10.1', spec: specOf('turn10.1') });
  const begin = { type: 'begin', attemptKey: 'turn10.1', content: 'hi' } as const;
  const cancel = { type: 'cancel', attemptKey: 'turn10.1' } as const;
  spool.recordCall({ outOffset: 0, upSeconds: 7, call: begin, frames: ['a'] });
  writeFileSync(join(spool.path, 'in.jsonl'), '{"sen', { flag: 'a' });
  const next = Spool.open({ root, name: 'turn10.1' });
  expect(next?.calls()).toHaveLength(1);
  next?.recordSent(0);
  next?.recordCall({ outOffset: 3, call: cancel, frames: ['b'] });
  expect(Spool.open({ root, name: 'turn10.1' })?.calls()).toEqual([
    { outOffset: 0, upSeconds: 7, call: begin, frames: ['a'], sent: true },
    { outOffset: 3, call: cancel, frames: ['b'], sent: false },
  ]);
});

test('a pid that now belongs to another process is not taken for the provider', async () => {
  const spool = await Spool.create({ root, name: 'turn8.1', spec: specOf('turn8.1') });
  writeFileSync(join(spool.path, 'pid'), String(process.pid));
  expect(spool.identity()).toBeNull();
  const stranger = { pid: process.pid, startTime: '1' };
  expect(isSameProcess(stranger)).toBe(false);
  expect(signalProcess(stranger, 'SIGKILL')).toBe(false);
});

test('a program that does not exist gives exit code 127 and says why', async () => {
  const spec = { ...specOf('turn9.1'), program: '/nowhere/agent', args: [] };
  const spool = await Spool.create({ root, name: 'turn9.1', spec });
  spool.launch({ environment: {}, onWrapperEnd: () => undefined });
  await eventually(() => spool.exitCode() !== null);
  expect(spool.exitCode()).toBe(127);
  expect(spool.stderrTail()).toContain('/nowhere/agent');
});

test('the shell that the wrapper needs is there', () => {
  expect(spawnSync('/bin/sh', ['-c', 'command -v mkfifo']).status).toBe(0);
});
