/** scripts/build.ts with the real builders, on a checkout that is as small as one can be. */
import {
  cpSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

import { afterEach, beforeEach, expect, test } from 'vitest';

import { runProgram } from '../support/program.ts';

const repository = fileURLToPath(new URL('../..', import.meta.url));
let folder: string;

function write(file: string, content: string): void {
  mkdirSync(dirname(join(folder, file)), { recursive: true });
  writeFileSync(join(folder, file), content);
}

async function build(...args: string[]): Promise<{ code: unknown; said: string }> {
  const program = runProgram({
    program: process.execPath,
    args: [join(folder, 'scripts/build.ts'), ...args],
    environment: process.env,
    cwd: folder,
  });
  return { code: await program.ended, said: program.stderr() };
}

beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'holdfast-build-'));
  cpSync(join(repository, 'scripts'), join(folder, 'scripts'), { recursive: true });
  symlinkSync(join(repository, 'node_modules'), join(folder, 'node_modules'));
  cpSync(join(repository, 'web/vite.config.ts'), join(folder, 'web/vite.config.ts'), {});
  write('package.json', '{"type":"module"}');
  write('src/workflows/index.ts', 'export async function nothing(): Promise<void> {}');
  write(
    'web/index.html',
    '<!doctype html><title>x</title><script type="module" src="./main.ts"></script>',
  );
  write('web/main.ts', 'document.title = `built for ${process.env.NODE_ENV}`;');
});
afterEach(() => rmSync(folder, { recursive: true, force: true }));

test(
  'builds both; the page has nothing in it that its policy forbids',
  { timeout: 60_000 },
  async () => {
    expect(await build('--page-optional')).toMatchObject({ code: 0 });
    const document = readFileSync(join(folder, 'dist/web/index.html'), 'utf8');
    expect(document).toMatch(
      /<script type="module" crossorigin src="\/assets\/index-[\w-]+\.js"><\/script>/,
    );
    expect(document).not.toMatch(/<style|<script(?![^>]*\ssrc=)| on\w+=|data:/);
    expect(readFileSync(join(folder, 'dist/workflows.js'), 'utf8')).toContain('nothing');
    expect(await build()).toEqual({ code: 0, said: '' });
  },
);

test(
  'what draws the page is named by its document, and is compiled where it is read',
  { timeout: 60_000 },
  async () => {
    write('web/main.ts', `import('./draw.tsx').then(({ draw }) => draw());`);
    write('web/draw.tsx', `export const draw = (): void => console.log('drawn');`);
    expect(await build()).toMatchObject({ code: 0 });
    const document = readFileSync(join(folder, 'dist/web/index.html'), 'utf8');
    const named = /<link rel="modulepreload" crossorigin href="(\/assets\/draw-[\w-]+\.js)">/;
    const [, drawing = ''] = named.exec(document) ?? [];
    const code = readFileSync(join(folder, 'dist/web', drawing), 'utf8');
    expect(code).toMatch(/^\/\/# allFunctionsCalledOnLoad\n/);
    expect(code).toContain('drawn');
  },
);

test(
  'a page that cannot be built is no reason not to start, and is one to fail a build',
  { timeout: 60_000 },
  async () => {
    write('web/main.ts', 'this is no program');
    const started = await build('--page-optional');
    expect(started.code).toBe(0);
    expect(started.said).toContain('the page could not be built');
    expect(started.said).toContain('npm run build');
    expect(readFileSync(join(folder, 'dist/workflows.js'), 'utf8')).toContain('nothing');
    expect((await build()).code).toBe(1);
  },
);
