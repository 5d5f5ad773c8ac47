import { type ChildProcess, execFileSync, spawn } from 'node:child_process';
import { once } from 'node:events';
import {
  chmodSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

import { afterEach, beforeEach, describe, expect, test } from 'vitest';

import { eventually } from '../support/eventually.ts';
import { temporalDevScript } from '../support/temporal-server.ts';

/** All the programs that the search itself may need; the script sees no other than these and our stand-ins. */
const tools = 'sh cat chmod dirname env grep gzip mkdir mv rm sed sleep tail tar uname'.split(' ');

/** Stands in for a `temporal` that can do what is asked of it. */
const able = '#!/bin/sh\necho "  --search-attribute KEY=VALUE"\n';

let folder: string;
let home: string;
let bin: string;

function program(name: string, text: string, where = bin): string {
  const file = join(where, name);
  writeFileSync(file, text);
  chmodSync(file, 0o755);
  return file;
}

/** A `go` that needs `seconds` for its build and writes down that it was asked for it. */
function goThatBuilds(seconds: number): void {
  program(
    'go',
    `#!/bin/sh\necho "$*" >>"${folder}/go.log"\ncp "$2/go.mod" "${folder}/go.mod"\nsleep ${seconds}\ncp "${folder}/able" "$7"\n`,
  );
  symlinkSync(execFileSync('which', ['cp'], { encoding: 'utf8' }).trim(), join(bin, 'cp'));
  program('able', able, folder);
}

const cached = () => join(home, '.cache/holdfast/temporal-v1.5.1-2');
const inCache = () =>
  existsSync(join(home, '.cache')) ? readdirSync(join(home, '.cache/holdfast')) : [];
const builds = () =>
  existsSync(join(folder, 'go.log'))
    ? readFileSync(join(folder, 'go.log'), 'utf8').trim().split('\n')
    : [];

function start(
  environment: Record<string, string> = {},
  script = temporalDevScript,
): {
  child: ChildProcess;
  words: () => string;
} {
  const child = spawn(script, ['bin'], {
    env: { PATH: bin, HOME: home, ...environment },
  });
  let words = '';
  child.stderr.setEncoding('utf8').on('data', (text: string) => (words += text));
  return { child, words: () => words };
}

/** Runs `temporal-dev.sh bin` to its end. */
async function search(environment: Record<string, string> = {}) {
  const { child, words } = start(environment);
  let path = '';
  child.stdout?.setEncoding('utf8').on('data', (text: string) => (path += text));
  const [code] = (await once(child, 'close')) as [number | null];
  return { code, path: path.trim(), words: words() };
}

beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'holdfast-search-'));
  home = join(folder, 'an empty home');
  bin = join(folder, 'bin');
  mkdirSync(home);
  mkdirSync(bin);
  for (const tool of tools) {
    symlinkSync(execFileSync('which', [tool], { encoding: 'utf8' }).trim(), join(bin, tool));
  }
});
afterEach(() => rmSync(folder, { recursive: true, force: true }));

describe('the temporal CLI is', () => {
  test('the one that HOLDFAST_TEMPORAL_BIN names', async () => {
    program('temporal', able);
    const named = program('another', able, folder);
    expect(await search({ HOLDFAST_TEMPORAL_BIN: named })).toEqual({
      code: 0,
      path: named,
      words: '',
    });
  });

  test('the one on PATH', async () => {
    const found = program('temporal', able);
    expect(await search()).toEqual({ code: 0, path: found, words: '' });
  });

  test('the one in the cache when that on PATH is of no use', async () => {
    const useless = program('temporal', '#!/bin/sh\necho old\n');
    mkdirSync(join(home, '.cache/holdfast'), { recursive: true });
    program('temporal-v1.5.1-2', able, join(home, '.cache/holdfast'));
    const { code, path, words } = await search();
    expect({ code, path }).toEqual({ code: 0, path: cached() });
    expect(words).toContain(`${useless} cannot start a server`);
  });

  test('downloaded, from the address of its version, into the cache', async () => {
    program('temporal', able, folder);
    execFileSync('tar', ['-czf', join(folder, 'archive'), '-C', folder, 'temporal']);
    program(
      'curl',
      `#!/bin/sh\nfor last; do :; done\necho "$last" >"${folder}/url"\nwhile [ "$1" != -o ]; do shift; done\ncat "${folder}/archive" >"$2"\n`,
    );

    expect(await search()).toMatchObject({ code: 0, path: cached() });
    expect(readFileSync(join(folder, 'url'), 'utf8')).toMatch(
      /^https:\/\/temporal\.download\/cli\/archive\/v1\.5\.1\?platform=(linux|darwin)&arch=(amd64|arm64)\n$/,
    );
    expect(inCache()).toEqual(['temporal-v1.5.1-2']);
  });

  test('built by go where it cannot be downloaded, once for two that ask at once', async () => {
    program('curl', '#!/bin/sh\necho "curl: (6) Could not resolve host" >&2\nexit 6\n');
    goThatBuilds(2);

    const both = await Promise.all([search(), search()]);

    expect(both.map(({ code, path }) => ({ code, path }))).toEqual([
      { code: 0, path: cached() },
      { code: 0, path: cached() },
    ]);
    expect(builds()).toEqual([
      expect.stringMatching(
        /^-C \S.* build -v -mod=mod -o \S.* github\.com\/temporalio\/cli\/cmd\/temporal$/,
      ),
    ]);
    // Of its own accord it would take the driver that leaves queries open.
    expect(readFileSync(join(folder, 'go.mod'), 'utf8').match(/\S+ v[0-9.]+$/gm)).toEqual([
      'github.com/temporalio/cli v1.5.1',
      'modernc.org/sqlite v1.40.1',
    ]);
    const words = both.map((each) => each.words).join('');
    expect(words).toContain('no download: curl: (6) Could not resolve host');
    expect(words).toContain('building the temporal CLI');
    expect(words).toContain('waiting for process');
    expect(inCache()).toEqual(['temporal-v1.5.1-2']);
    expect(await search()).toEqual({ code: 0, path: cached(), words: '' });
  });

  test('built although another died while building it, or left something that does not run', async () => {
    goThatBuilds(0);
    mkdirSync(`${cached()}.lock`, { recursive: true });
    writeFileSync(`${cached()}.lock/pid`, '999999999\n');
    program('temporal-v1.5.1-2', 'cut off', join(home, '.cache/holdfast'));
    expect(await search()).toMatchObject({ code: 0, path: cached() });
    expect(inCache()).toEqual(['temporal-v1.5.1-2']);
  });
});

describe('it says what is missing, and leaves nothing behind,', () => {
  test('when there is no way to have it', async () => {
    const { code, path, words } = await search();
    expect({ code, path }).toEqual({ code: 69, path: '' });
    expect(words).toContain('no download: there is no curl');
    expect(words).toContain('no build: there is no go');
    expect(words).toContain('HOLDFAST_TEMPORAL_BIN');
    expect(inCache()).toEqual([]);
  });

  test('when the build fails, with the words of go', async () => {
    program('go', '#!/bin/sh\necho "go: module requires go >= 1.25.0" >&2\nexit 1\n');
    const { code, words } = await search();
    expect(code).toBe(69);
    expect(words).toContain('go: module requires go >= 1.25.0');
    expect(inCache()).toEqual([]);
  });

  test('when HOLDFAST_TEMPORAL_BIN names something else: nothing other is tried', async () => {
    program('temporal', able);
    const { code, words } = await search({ HOLDFAST_TEMPORAL_BIN: '/nonexistent' });
    expect(code).toBe(69);
    expect(words).toContain('HOLDFAST_TEMPORAL_BIN=/nonexistent is not a temporal CLI');
  });

  test('when there is no home to keep it in', async () => {
    const { code, words } = await search({ HOME: '' });
    expect(code).toBe(69);
    expect(words).toContain('neither HOME nor XDG_CACHE_HOME');
  });

  test('when it is stopped in the middle of a build, which ends with it', async () => {
    program('go', `#!/bin/sh\necho $$ >"${folder}/go.pid"\nexec sleep 600\n`);
    const { child } = start();
    const pid = Number(await eventually(() => readFileSync(join(folder, 'go.pid'), 'utf8').trim()));
    child.kill('SIGTERM');
    expect(await once(child, 'exit')).toEqual([143, null]);
    expect(inCache()).toEqual([]);
    await eventually(() => !isThere(pid));
  });

  test('when it is stopped before it has noted whom it has started', async () => {
    const go = join(folder, 'go.pid');
    program('go', `#!/bin/sh\necho $$ >"${go}"\nexec sleep 600\n`);
    const text = readFileSync(temporalDevScript, 'utf8');
    const stopsThere = text.replace(
      /^ {2}child=\$!$/m,
      () =>
        `case "$*" in *' build '*) while [ ! -s "${go}" ]; do :; done; kill -TERM $$ ;; esac; child=$!`,
    );
    expect(stopsThere).not.toBe(text);
    const script = join(folder, 'temporal-dev.sh');
    writeFileSync(script, stopsThere, { mode: 0o755 });
    const { child } = start({}, script);
    expect(await once(child, 'exit')).toEqual([143, null]);
    expect(inCache()).toEqual([]);
    const pid = Number(readFileSync(go, 'utf8').trim());
    await eventually(() => !isThere(pid));
  });
});

function isThere(pid: number): boolean {
  try {
    return process.kill(pid, 0);
  } catch {
    return false;
  }
}
