/** docs/configuration.md says what the table in src/config.ts says: every name, its default, what it does. */
import { readFileSync } from 'node:fs';

import { expect, test } from 'vitest';

import { loadConfig, TEMPORAL_VARIABLES, VARIABLES } from '../../src/config.ts';
import { PROCESS_MARK } from '../../src/contracts/names.ts';

const document = readFileSync(new URL('../../docs/configuration.md', import.meta.url), 'utf8');

type Row = { written: string | null; unset: string; about: string };

function rowOf([name, { written, unset, about }]: [string, Row]): string {
  return `| \`${name}\` | ${written === null ? unset : `\`${written}\``} | ${about} |`;
}

test.each([
  ['VARIABLES', VARIABLES],
  ['TEMPORAL_VARIABLES', TEMPORAL_VARIABLES],
])('the rows of %s stand in the document, in order, word for word', (_, variables) => {
  const wanted = Object.entries<Row>(variables).map(rowOf).join('\n');
  expect(document).toContain(wanted);
});

test('the document names nothing that is not in the table', () => {
  const known = new Set([...Object.keys(VARIABLES), PROCESS_MARK]);
  const named = document.match(/HOLDFAST_[A-Z_]*[A-Z]/g) ?? [];
  expect(named.filter((name) => !known.has(name))).toEqual([]);
});

test('every default that is written in the document can be set as it is written', () => {
  const defaults = Object.entries<Row>(VARIABLES).flatMap(([name, { written }]) =>
    written === null ? [] : [[name, written] as const],
  );
  const set = loadConfig({ HOME: '/h', ...Object.fromEntries(defaults) });
  expect(set).toEqual(loadConfig({ HOME: '/h' }));
});
