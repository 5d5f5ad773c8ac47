import { chmodSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

import { afterEach, beforeEach, expect, test } from 'vitest';

import { RECOVERY_TEMPLATE } from '../../src/domain/recovery-text.ts';
import { readRecoveryTemplate } from '../../src/recovery-template.ts';

let folder: string;
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'holdfast-template-'));
});
afterEach(() => {
  rmSync(folder, { recursive: true, force: true });
});

function fileWith(content: string | Buffer): string {
  const file = join(folder, 'prompt.txt');
  writeFileSync(file, content);
  chmodSync(file, 0o600);
  return file;
}

test('without a setting, and when nobody is to be told, it is the built-in text', () => {
  expect(readRecoveryTemplate(null)).toEqual({ template: RECOVERY_TEMPLATE });
  expect(readRecoveryTemplate('off')).toEqual({ template: RECOVERY_TEMPLATE });
});

test('a file’s text, without the space around it', () => {
  expect(readRecoveryTemplate(fileWith('\nGone at {{when}}: {{interrupted}} – ü\n\n'))).toEqual({
    template: 'Gone at {{when}}: {{interrupted}} – ü',
  });
});

test.each<[string, () => string, string]>([
  ['is not there', () => join(folder, 'none'), 'ENOENT'],
  [
    'is a folder',
    () => {
      const path = join(folder, 'a');
      mkdirSync(path);
      return path;
    },
    'EISDIR',
  ],
  ['is empty', () => fileWith(' \n'), 'it is empty'],
  ['has an unknown placeholder', () => fileWith('{{team}} {{teams}}'), '{{teams}} is none of'],
  ['is not UTF-8', () => fileWith(Buffer.from([0xff, 0xfe, 0x41])), 'it is not UTF-8'],
  ['is long', () => fileWith('x'.repeat(20_000)), 'it is longer than 16384 characters'],
  ['is very long', () => fileWith('x'.repeat(200_000)), 'it is longer than 16384 characters'],
])('a file that %s: a sentence that names it, says why, and what to do', (_what, make, why) => {
  const file = make();
  const read = readRecoveryTemplate(file);
  const problem = 'problem' in read ? read.problem : '';
  expect(problem).toContain(`HOLDFAST_RECOVERY_PROMPT: ${file} cannot be used: `);
  expect(problem).toContain(why);
  expect(problem).toContain('set it to off');
});
