import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import {
  cpSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

import { afterEach, beforeEach, describe, expect, test } from 'vitest';

import { eventually } from '../support/eventually.ts';

const repository = fileURLToPath(new URL('../..', import.meta.url));
const npm = join(repository, 'test/fixtures/npm.mjs');

type Package = { integrity: string; version: string; dev?: boolean; optional?: boolean };
const plain: Record<string, Package> = {
  'node_modules/fastify': { integrity: 'sha512-f', version: '5.0.0' },
  'node_modules/vitest': { integrity: 'sha512-v', version: '5.0.0', dev: true },
  'node_modules/other-platform': { integrity: 'sha512-o', version: '1.0.0', optional: true },
};

let clone: string;

function writeLock(file: string, packages: Record<string, Package>): void {
  writeFileSync(join(clone, file), JSON.stringify({ packages: { '': {}, ...packages } }));
}

/** What is installed, as npm records it. */
function installed(packages: Record<string, Package>): void {
  mkdirSync(join(clone, 'node_modules/.bin'), { recursive: true });
  writeLock('node_modules/.package-lock.json', packages);
  writeFileSync(join(clone, 'node_modules/.bin/node'), '#!/bin/sh\necho "node $*" >>npm.log\n', {
    mode: 0o755,
  });
}

function start(
  event: 'prestart' | 'pretest',
  mode = '',
): { child: ChildProcess; words: () => string } {
  const child = spawn(process.execPath, [join(clone, 'scripts/ensure.mjs')], {
    env: { ...process.env, npm_lifecycle_event: event, npm_execpath: npm, FAKE_NPM: mode },
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  let words = '';
  child.stderr?.setEncoding('utf8').on('data', (text: string) => (words += text));
  return { child, words: () => words };
}

/** Runs it to its end: exit code, what it said, and what it ran. */
async function ensure(event: 'prestart' | 'pretest', mode = '') {
  const { child, words } = start(event, mode);
  const [code] = (await once(child, 'close')) as [number | null];
  return { code, words: words(), ran: ran() };
}

/** The commands that were run so far, a line each. */
function ran(): string[] {
  const log = join(clone, 'npm.log');
  return existsSync(log) ? readFileSync(log, 'utf8').trim().split('\n') : [];
}

const bundle = 'node scripts/build.ts --page-optional';
const install = 'ci --no-audit --no-fund --loglevel=error';

beforeEach(() => {
  clone = mkdtempSync(join(tmpdir(), 'holdfast-ensure-'));
  mkdirSync(join(clone, 'scripts'));
  cpSync(join(repository, 'scripts/ensure.mjs'), join(clone, 'scripts/ensure.mjs'));
  writeLock('package-lock.json', plain);
});
afterEach(() => rmSync(clone, { recursive: true, force: true }));

describe('what is missing is installed, once', () => {
  test('on a bare clone', async () => {
    expect(await ensure('pretest')).toMatchObject({
      code: 0,
      ran: [`${install} --include=dev`, bundle],
    });
    expect(await ensure('pretest')).toMatchObject({
      ran: [`${install} --include=dev`, bundle, bundle],
    });
    expect(readdirSync(clone).filter((name) => name.startsWith('.ensure'))).toEqual([]);
  });

  test.each([
    ['an interrupted installation', () => rmSync(join(clone, 'node_modules/.package-lock.json'))],
    [
      'another version in the lock',
      () =>
        writeLock('package-lock.json', {
          ...plain,
          'node_modules/fastify': { integrity: 'sha512-g', version: '5.0.1' },
        }),
    ],
    [
      'a new package in the lock',
      () =>
        writeLock('package-lock.json', {
          ...plain,
          'node_modules/ws': { integrity: 'sha512-w', version: '8.0.0' },
        }),
    ],
  ])('after %s', async (_, change) => {
    installed(plain);
    change();
    expect((await ensure('prestart')).ran).toEqual([install, bundle]);
  });

  test('2: by one of two that start at once; the other waits', async () => {
    const both = await Promise.all([ensure('pretest', 'slow'), ensure('pretest', 'slow')]);
    expect(both.map(({ code }) => code)).toEqual([0, 0]);
    expect(ran().toSorted()).toEqual([`${install} --include=dev`, bundle, bundle].toSorted());
    expect(both.map(({ words }) => words).join('')).toContain(
      'waiting for the installation of process',
    );
  });
});

describe('1: nothing is installed when nothing is missing', () => {
  test('a package for another platform is not', async () => {
    const { 'node_modules/other-platform': _, ...here } = plain;
    installed(here);
    expect(await ensure('pretest')).toMatchObject({ code: 0, ran: [bundle] });
  });

  test('3: for `npm start` the development packages are not; for `npm test` they are', async () => {
    const { 'node_modules/vitest': _, ...production } = plain;
    installed(production);
    expect((await ensure('prestart')).ran).toEqual([bundle]);
    expect((await ensure('pretest')).ran).toEqual([bundle, `${install} --include=dev`, bundle]);
  });
});

describe('a failure is told', () => {
  test('npm ci that fails', async () => {
    const { code, words, ran: commands } = await ensure('prestart', 'fails');
    expect(code).toBe(1);
    expect(words).toContain('npm ci failed');
    expect(commands).toEqual([install]);
  });

  test('an npm that runs no install scripts, and so brings no Node 24', async () => {
    const { code, words } = await ensure('prestart', 'no-scripts');
    expect(code).toBe(1);
    expect(words).toContain('npm rebuild node --ignore-scripts=false');
  });
});

describe('2: the lock', () => {
  test('of a killed owner whose npm goes on is respected until that ends', async () => {
    const first = start('prestart', 'waits');
    await eventually(() => existsSync(join(clone, 'installing')));
    first.child.kill('SIGKILL');
    await once(first.child, 'close', { signal: AbortSignal.timeout(100) }).catch(() => null);

    const second = start('prestart');
    await eventually(() => second.words().includes('waiting for the installation'));
    expect(ran()).toEqual([install]);
    writeFileSync(join(clone, 'go-on'), '');

    await once(second.child, 'exit');
    expect(second.child.exitCode).toBe(0);
    expect(ran()).toEqual([install, bundle]);
  });

  test('of a dead owner is taken over, by one of many', async () => {
    mkdirSync(join(clone, '.ensure.lock'));
    // no process has this number and that start time
    writeFileSync(join(clone, '.ensure.lock', `${process.pid}-1`), '');
    const many = await Promise.all(Array.from({ length: 6 }, () => ensure('prestart', 'slow')));
    expect(many.map(({ code }) => code)).toEqual(many.map(() => 0));
    expect(ran().filter((command) => command === install)).toHaveLength(1);
  });

  test('is given back on SIGTERM, which also ends npm', async () => {
    const { child } = start('prestart', 'waits');
    await eventually(() => existsSync(join(clone, 'installing')));
    child.kill('SIGTERM');
    const [code] = (await once(child, 'exit')) as [number | null];
    expect(code).toBe(1);
    expect(readdirSync(clone).filter((name) => name.startsWith('.ensure'))).toEqual([]);
    expect((await ensure('prestart')).ran).toEqual([install, install, bundle]);
  });
});
