import { execFile } from 'node:child_process';
import { readdirSync, readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';

import { describe, expect, test } from 'vitest';

const lawFolder = fileURLToPath(new URL('.', import.meta.url));
const oxlint = fileURLToPath(new URL('../../node_modules/.bin/oxlint', import.meta.url));

/** The rules that a fixture's first line says it breaks; none for a legal one. */
function expected(file: string): string[] {
  const [, rules = ''] = /^\/\/ expects: (.*)\n/.exec(readFileSync(lawFolder + file, 'utf8')) ?? [];
  return rules.split(' ').filter(Boolean).toSorted();
}

const fixtures = ['src', 'test', 'web'].flatMap((root) =>
  readdirSync(lawFolder + root, { recursive: true, encoding: 'utf8' })
    .filter((name) => /\.tsx?$/.test(name))
    .map((name) => `${root}/${name}`),
);

/** One run over all fixtures: which rules were reported for which file. */
async function lint(): Promise<Map<string, string[]>> {
  const args = ['-c', 'lint.config.ts', '-f', 'json', 'src', 'test', 'web'];
  const output = await new Promise<string>((resolve, reject) => {
    // it exits with 1, as it should, because there are findings: only silence is a failure
    execFile(oxlint, args, { cwd: lawFolder, maxBuffer: 2 ** 26 }, (error, stdout, stderr) => {
      if (stdout.startsWith('{')) resolve(stdout);
      else reject(new Error(`oxlint: ${stderr}${stdout}`, { cause: error }));
    });
  });
  const { diagnostics } = JSON.parse(output) as {
    diagnostics: { code: string; filename: string }[];
  };
  const found = Map.groupBy(diagnostics, ({ filename }) => filename);
  return new Map(
    [...found].map(([file, all]) => [file, [...new Set(all.map(({ code }) => code))].toSorted()]),
  );
}

describe('the import law', async () => {
  const found = await lint();

  test('reports nothing outside its fixtures', () => {
    expect([...found.keys()].filter((file) => !fixtures.includes(file))).toEqual([]);
  });

  const planted = fixtures.filter((file) => expected(file).length > 0);
  const legal = fixtures.filter((file) => !planted.includes(file));

  test.each(planted)('finds what is planted in %s', (file) => {
    expect(found.get(file)).toEqual(expected(file));
  });

  test.each(legal)('finds nothing in the legal %s', (file) => {
    expect(found.get(file)).toBeUndefined();
  });
});
