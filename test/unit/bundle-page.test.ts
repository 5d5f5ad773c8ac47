import {
  lstatSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  rmSync,
  utimesSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { brotliDecompressSync, gunzipSync } from 'node:zlib';

import { afterEach, beforeEach, describe, expect, test } from 'vitest';

import { ensurePage, NoPageError, type PageBuilder } from '../../scripts/bundle-page.ts';

const LONG = 'export const long = 1;\n'.repeat(200);
let folder: string;
let builds: number;

const build: PageBuilder = async ({ folder: source, outFolder }) => {
  builds += 1;
  mkdirSync(join(outFolder, 'assets'));
  writeFileSync(join(outFolder, 'index.html'), readFileSync(join(source, 'web/index.html')));
  writeFileSync(join(outFolder, 'assets/main-1.js'), LONG);
};

function write(file: string, text: string): void {
  mkdirSync(dirname(join(folder, file)), { recursive: true });
  writeFileSync(join(folder, file), text);
}
const ensure = (builder: PageBuilder = build) => ensurePage({ folder, build: builder });
const page = (): string => readFileSync(join(folder, 'dist/web/index.html'), 'utf8');
const inDist = (): string[] => readdirSync(join(folder, 'dist')).toSorted();

beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'holdfast-bundle-page-'));
  builds = 0;
  write('web/index.html', 'one');
  write('web/main.ts', 'export {};');
  write('src/contracts/ids.ts', 'export const a = 1;');
  write('package-lock.json', '{"packages":{"node_modules/react":{"version":"19.0.0"}}}');
});
afterEach(() => rmSync(folder, { recursive: true, force: true }));

describe('the page', () => {
  test('is built once and kept while nothing changes', async () => {
    expect(await ensure()).toEqual({ path: join(folder, 'dist/web'), built: true });
    expect(await ensure()).toEqual({ path: join(folder, 'dist/web'), built: false });
    expect(builds).toBe(1);
    expect(page()).toBe('one');
    expect(inDist()).toEqual(['web', readlinkSync(join(folder, 'dist/web'))]);
  });

  test.each([
    ['a changed document', 'web/index.html', 'two'],
    ['a new nested style', 'web/styles/tokens.css', ':root {}'],
    ['a changed contract', 'src/contracts/ids.ts', 'export const a = 2;'],
    ['a changed fold', 'src/domain/fold.ts', 'export {};'],
    ['another package', 'package-lock.json', '{"packages":{}}'],
  ])('is built again after %s', async (_, file, text) => {
    await ensure();
    write(file, text);
    expect((await ensure()).built).toBe(true);
    expect((await ensure()).built).toBe(false);
  });

  test('does not mind touched files, nor files it cannot hold', async () => {
    await ensure();
    utimesSync(join(folder, 'web/main.ts'), new Date(0), new Date(0));
    write('src/store/port.ts', 'export {};');
    expect((await ensure()).built).toBe(false);
  });

  test('is compressed where that saves something', async () => {
    const { path } = await ensure();
    expect(readdirSync(join(path, 'assets')).toSorted()).toEqual([
      'main-1.js',
      'main-1.js.br',
      'main-1.js.gz',
    ]);
    const read = (ending: string) => readFileSync(join(path, `assets/main-1.js${ending}`));
    expect(brotliDecompressSync(read('.br')).toString()).toBe(LONG);
    expect(gunzipSync(read('.gz')).toString()).toBe(LONG);
    expect(readdirSync(path).toSorted()).toEqual(['assets', 'index.html']);
  });

  test('3: the build before stays for who reads it, and no older one', async () => {
    await ensure();
    const first = readlinkSync(join(folder, 'dist/web'));
    write('web/index.html', 'two');
    await ensure();
    const second = readlinkSync(join(folder, 'dist/web'));
    expect(inDist()).toEqual(['web', first, second].toSorted());
    write('web/index.html', 'three');
    await ensure();
    const third = readlinkSync(join(folder, 'dist/web'));
    expect(inDist()).toEqual(['web', second, third].toSorted());
    // back to sources that are built already
    write('web/index.html', 'two');
    expect(await ensure()).toMatchObject({ built: false });
    expect(page()).toBe('two');
    expect(builds).toBe(3);
  });

  test('2: two builders at once make one page, and a reader always finds one', async () => {
    await ensure();
    write('web/index.html', 'two');
    const found = new Set<string>();
    let isDone = false;
    const reader = (async () => {
      while (!isDone) {
        found.add(page());
        await new Promise((resolve) => setImmediate(resolve));
      }
    })();
    const builders = Promise.all(Array.from({ length: 4 }, () => ensure())).finally(() => {
      isDone = true;
    });
    await Promise.all([builders, reader]);
    expect([...found].filter((each) => each !== 'one' && each !== 'two')).toEqual([]);
    expect(page()).toBe('two');
    expect(inDist().filter((name) => name.includes('.'))).toEqual([]);
  });

  test('1: is never called by the name of sources that changed while it was built', async () => {
    let isFirst = true;
    const slow: PageBuilder = async (place) => {
      await build(place);
      if (isFirst) write('web/index.html', 'two');
      isFirst = false;
    };
    expect(await ensure(slow)).toMatchObject({ built: true });
    expect(page()).toBe('two');
    expect(builds).toBe(2);
    expect((await ensure()).built).toBe(false);
  });

  test('stays as it was when the new one cannot be made, and nothing is left lying about', async () => {
    await ensure();
    const before = inDist();
    write('web/main.ts', 'export const broken = ;');
    await expect(ensure(() => Promise.reject(new Error('syntax')))).rejects.toThrow('syntax');
    expect(page()).toBe('one');
    expect(inDist()).toEqual(before);
  });

  test('takes the place of a folder that somebody else has put there', async () => {
    write('dist/web/index.html', 'by hand');
    await ensure();
    expect(page()).toBe('one');
    expect(lstatSync(join(folder, 'dist/web')).isSymbolicLink()).toBe(true);
  });

  test('what a killed builder left is removed, once it is certain that it was killed', async () => {
    write('dist/.web-killed/index.html', 'half');
    write('dist/.web-other/index.html', 'half, and going on');
    utimesSync(join(folder, 'dist/.web-killed'), new Date(0), new Date(0));
    await ensure();
    expect(inDist().filter((name) => name.startsWith('.web-'))).toEqual(['.web-other']);
  });

  test('that is not there is told apart from one that is broken', async () => {
    rmSync(join(folder, 'web/index.html'));
    await expect(ensure()).rejects.toThrow(NoPageError);
  });
});
