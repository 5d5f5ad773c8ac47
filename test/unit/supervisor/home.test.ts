/** Numbers: the invariants of src/supervisor/home.ts. */
import {
  chmodSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

import { afterEach, beforeEach, expect, test } from 'vitest';

import { type Config, loadConfig } from '../../../src/config.ts';
import { HomeError, makeFolders, makeIdentity, readToken } from '../../../src/supervisor/home.ts';

let parent: string;
let config: Config;
beforeEach(() => {
  parent = mkdtempSync(join(tmpdir(), 'holdfast-home-'));
  config = loadConfig({ HOME: parent, HOLDFAST_HOME: join(parent, 'a/b/home') });
});
afterEach(() => {
  rmSync(parent, { recursive: true, force: true });
});

const mode = (path: string): string => (statSync(path).mode & 0o777).toString(8);

test('1: everything is private, whatever the umask', () => {
  const before = process.umask(0);
  try {
    makeFolders(config);
    makeIdentity(config);
  } finally {
    process.umask(before);
  }
  const { home, paths } = config;
  expect([home, paths.run, paths.logs, paths.spools, paths.cache].map(mode)).toEqual(
    Array.from({ length: 5 }, () => '700'),
  );
  expect([paths.token, paths.hostName].map(mode)).toEqual(['600', '600']);
});

test('1: a home of ours that has become readable is made private again', () => {
  makeFolders(config);
  makeIdentity(config);
  chmodSync(config.home, 0o755);
  chmodSync(config.paths.token, 0o644);
  makeFolders(config);
  makeIdentity(config);
  expect([mode(config.home), mode(config.paths.token)]).toEqual(['700', '600']);
});

test('1: a folder with somebody else’s things that others can read is refused and left as it is', () => {
  mkdirSync(config.home, { recursive: true });
  chmodSync(config.home, 0o755);
  writeFileSync(join(config.home, 'thesis.txt'), '');
  expect(() => makeFolders(config)).toThrow(HomeError);
  expect(() => makeFolders(config)).toThrow(`chmod 700 ${config.home}`);
  expect(mode(config.home)).toBe('755');
});

test('a home that cannot be made is an error that names it', () => {
  writeFileSync(join(parent, 'a'), '');
  expect(() => makeFolders(config)).toThrow(`HOLDFAST_HOME=${config.home} cannot be used`);
});

test('2: the token is 32 random bytes, made once', () => {
  expect(readToken(config)).toBeNull();
  makeFolders(config);
  makeIdentity(config);
  const token = readToken(config);
  expect(token).toMatch(/^[A-Za-z0-9_-]{43}$/);
  makeIdentity(config);
  expect(readToken(config)).toBe(token);
});

test('2: an empty token file, left by a full disk, is no token and is replaced', () => {
  makeFolders(config);
  writeFileSync(config.paths.token, '');
  expect(readToken(config)).toBeNull();
  makeIdentity(config);
  expect(readToken(config)).toMatch(/^[A-Za-z0-9_-]{43}$/);
});

test('2: the host’s name is written once and read back by the configuration', () => {
  const renamed = loadConfig({
    HOME: parent,
    HOLDFAST_HOME: config.home,
    HOLDFAST_HOST_NAME: 'first',
  });
  makeFolders(renamed);
  makeIdentity(renamed);
  makeIdentity(config);
  expect(readFileSync(config.paths.hostName, 'utf8')).toBe('first\n');
  expect(loadConfig({ HOME: parent, HOLDFAST_HOME: config.home }).turns.hostName).toBe('first');
});
