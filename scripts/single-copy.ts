/**
 * Refuses a lock file that installs two copies, or two versions, of what must be one.
 *
 * Two copies of an SDK package fail far from their cause: an error is no longer recognised as one, a payload
 * converter is another class, a TypeBox schema is no schema.
 */
import { readFile } from 'node:fs/promises';
import { fileURLToPath } from 'node:url';

type Lock = { packages: Record<string, { version?: string }> };

/** Packages of which one copy is allowed; a scope's packages must also be of one version. */
const single = ['@temporalio/', 'typebox', 'fastify', 'ws', '@swc/core', 'typescript', 'vitest'];

/** What is wrong with `lock`, a line each; empty when all is well. */
export function findCopies(lock: Lock): string[] {
  const places = Object.entries(lock.packages).flatMap(([path, { version = '' }]) => {
    const name = path.split('node_modules/').at(-1) ?? '';
    const rule = single.find(
      (each) => name === each || (each.endsWith('/') && name.startsWith(each)),
    );
    return rule === undefined ? [] : [{ name, rule, place: `${path} ${version}`, version }];
  });
  const several = (of: typeof places, what: string) =>
    `${what}: ${of.map(({ place }) => place).join(', ')}`;
  return [
    ...[...Map.groupBy(places, ({ name }) => name)]
      .filter(([, copies]) => copies.length > 1)
      .map(([name, copies]) => several(copies, `${name} is there ${copies.length} times`)),
    ...[...Map.groupBy(places, ({ rule }) => rule)]
      .filter(
        ([rule, all]) => rule.endsWith('/') && new Set(all.map(({ version }) => version)).size > 1,
      )
      .map(([rule, all]) => several(all, `${rule}* has several versions`)),
  ];
}

if (import.meta.main) {
  const file = fileURLToPath(new URL('../package-lock.json', import.meta.url));
  const problems = findCopies(JSON.parse(await readFile(file, 'utf8')) as Lock);
  for (const problem of problems) process.stderr.write(`${problem}\n`);
  process.exitCode = problems.length === 0 ? 0 : 1;
}
