/** docs/failure-modes.md names a test for each fault: it is there, under that title. */
import { existsSync, readFileSync } from 'node:fs';

import { expect, test } from 'vitest';

const project = new URL('../../', import.meta.url);
const document = readFileSync(new URL('docs/failure-modes.md', project), 'utf8');
const rows = document
  .split('\n')
  .filter((line) => /^\| (?!fault \|)[^-]/.test(line))
  .map((line) => line.split(' | '));

/** What no test can do here; said so in the row. */
const BY_HAND = 'shown by hand, on a full file system |';

test('every fault has four columns', () => {
  expect(rows.length).toBeGreaterThan(25);
  expect(rows.filter((row) => row.length !== 4)).toEqual([]);
});

test.each(rows.map((row) => [row[0]?.slice(2) ?? '', row.at(-1) ?? '']))('%s', (_fault, shown) => {
  if (shown === BY_HAND) return;
  const [, path = '', title = ''] = /^`(test\/[^`]+)` "([^"]+)" \|$/.exec(shown) ?? [];
  expect(path).not.toBe('');
  const file = new URL(path, project);
  expect(existsSync(file)).toBe(true);
  // Of a title, not of any line: titles stand in quotes.
  const titles = readFileSync(file, 'utf8').match(/'(?:[^'\\\n]|\\.)*'|`(?:[^`\\\n]|\\.)*`/g) ?? [];
  expect(titles.some((each) => each.includes(title))).toBe(true);
});
