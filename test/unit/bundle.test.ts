import {
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  utimesSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';

import { afterEach, beforeEach, describe, expect, test } from 'vitest';

import { type Bundler, ensureWorkflowBundle } from '../../scripts/bundle.ts';

let folder: string;
let bundled: string[];

const map = '//# sourceMappingURL=data:application/json;charset=utf-8;base64,e30=';
const bundle: Bundler = (entry) => {
  bundled.push(entry);
  return Promise.resolve(`var bundle = ${bundled.length};\n${map}`);
};

function write(file: string, text: string): void {
  mkdirSync(dirname(join(folder, file)), { recursive: true });
  writeFileSync(join(folder, file), text);
}

beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'holdfast-bundle-'));
  bundled = [];
  write('src/workflows/index.ts', 'export {};');
  write('src/contracts/ids.ts', 'export const a = 1;');
  write('node_modules/@temporalio/worker/package.json', '{"version":"1.0.0"}');
});
afterEach(() => rmSync(folder, { recursive: true, force: true }));

describe('the workflow bundle', () => {
  test('is made from the entry once and kept while nothing changes', async () => {
    const first = await ensureWorkflowBundle({ folder, bundle });
    const second = await ensureWorkflowBundle({ folder, bundle });

    expect(first).toEqual({ path: join(folder, 'dist/workflows.js'), built: true });
    expect(second).toEqual({ path: first.path, built: false });
    expect(bundled).toEqual([join(folder, 'src/workflows/index.ts')]);
  });

  test('leaves the source map where the SDK looks for it: last', async () => {
    const { path } = await ensureWorkflowBundle({ folder, bundle });
    expect(readFileSync(path, 'utf8')).toMatch(
      /^var bundle = 1;\n\/\/ holdfast: .*\n\/\/# sourceMappingURL=[^\n]*e30=$/,
    );
  });

  test.each([
    ['a changed workflow', 'src/workflows/index.ts', 'export const b = 1;'],
    ['a new nested file', 'src/domain/segments/open.ts', 'export {};'],
    ['a changed contract', 'src/contracts/ids.ts', 'export const a = 2;'],
    ['another SDK', 'node_modules/@temporalio/worker/package.json', '{"version":"1.0.1"}'],
  ])('is made again after %s', async (_, file, text) => {
    await ensureWorkflowBundle({ folder, bundle });
    write(file, text);
    expect((await ensureWorkflowBundle({ folder, bundle })).built).toBe(true);
    expect((await ensureWorkflowBundle({ folder, bundle })).built).toBe(false);
  });

  test('is made again when a source was renamed or its text moved to another file', async () => {
    write('src/domain/a.ts', 'one');
    write('src/domain/b.ts', 'two');
    await ensureWorkflowBundle({ folder, bundle });
    write('src/domain/a.ts', 'two');
    write('src/domain/b.ts', 'one');
    expect((await ensureWorkflowBundle({ folder, bundle })).built).toBe(true);
  });

  test('does not mind touched files, nor files it cannot hold', async () => {
    await ensureWorkflowBundle({ folder, bundle });
    utimesSync(join(folder, 'src/contracts/ids.ts'), new Date(0), new Date(0));
    write('src/store/port.ts', 'export {};');
    expect((await ensureWorkflowBundle({ folder, bundle })).built).toBe(false);
  });

  test('stays as it was when the new one cannot be made, and nothing is left lying about', async () => {
    const { path } = await ensureWorkflowBundle({ folder, bundle });
    const before = readFileSync(path, 'utf8');
    write('src/workflows/index.ts', 'export const broken = ;');
    const broken: Bundler = () => Promise.reject(new Error('syntax'));

    await expect(ensureWorkflowBundle({ folder, bundle: broken })).rejects.toThrow('syntax');

    expect(readFileSync(path, 'utf8')).toBe(before);
    expect(readdirSync(dirname(path))).toEqual(['workflows.js']);
  });
});
