/** Which of two processes of one host name is its custody. */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

import { afterEach, beforeEach, expect, test } from 'vitest';

import { hasLostCustodyOfHost, takeCustodyOfHost } from '../../src/activities/eviction.ts';
import { identify } from '../../src/providers/process/process-table.ts';

let folder: string;
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'holdfast-eviction-'));
});
afterEach(() => rmSync(folder, { recursive: true }));

function record(identity: unknown): void {
  writeFileSync(join(folder, 'turn-host.h1.json'), JSON.stringify(identity));
}

function other() {
  const child = spawn('/bin/sh', ['-c', 'read -r _'], { stdio: ['pipe', 'ignore', 'ignore'] });
  return { child, identity: identify(child.pid ?? 0) };
}

test('a new process ends the recorded one, running or stopped, and is the custody from then on', async () => {
  const { child, identity } = other();
  record(identity);
  child.kill('SIGSTOP');
  const ended = once(child, 'exit');
  const said: string[] = [];
  await takeCustodyOfHost({ folder, host: 'h1', log: (_level, text) => said.push(text) });
  expect(await ended).toEqual([null, 'SIGKILL']);
  expect(said).toHaveLength(1);
  expect(hasLostCustodyOfHost({ folder, host: 'h1' })).toBe(false);
});

test('a number that was given to another process since is not touched', async () => {
  const { child, identity } = other();
  record({ ...identity, startTime: '1' });
  await takeCustodyOfHost({ folder, host: 'h1', log: () => undefined });
  expect(child.exitCode ?? child.signalCode).toBeNull();
  child.stdin.end();
  await once(child, 'exit');
});

test('it is lost when another process that lives has recorded itself since; a torn or old record is no other', async () => {
  await takeCustodyOfHost({ folder, host: 'h1', log: () => undefined });
  const { child, identity } = other();
  record(identity);
  expect(hasLostCustodyOfHost({ folder, host: 'h1' })).toBe(true);
  expect(hasLostCustodyOfHost({ folder, host: 'h2' })).toBe(false);
  child.stdin.end();
  await once(child, 'exit');
  expect(hasLostCustodyOfHost({ folder, host: 'h1' })).toBe(false);
  writeFileSync(join(folder, 'turn-host.h1.json'), '{"pid":');
  expect(hasLostCustodyOfHost({ folder, host: 'h1' })).toBe(false);
});
