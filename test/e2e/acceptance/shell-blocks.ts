/** What a document tells its reader to type, typed: its fenced `sh` blocks, in order, in one shell. */
import { existsSync, readFileSync } from 'node:fs';
import { dirname, join } from 'node:path';

import { expect } from 'vitest';

import { type Holdfast, projectFolder } from '../../support/holdfast.ts';
import { runProgram } from '../../support/program.ts';

const MARK = '::: end of block';

/** The text of a file of this project. */
export function read(document: string): string {
  return readFileSync(join(projectFolder, document), 'utf8');
}

/** The `sh` blocks of a document. */
export function shellBlocksOf(document: string): string[] {
  return [...read(document).matchAll(/^```sh\n(.*?)^```$/gms)].map((match) => match[1] ?? '');
}

/** Types the blocks one after another, in the project's folder; answers with what each wrote on stdout and stderr. */
export async function typeBlocks(blocks: readonly string[], holdfast: Holdfast): Promise<string[]> {
  const lines = blocks.map((block) => `{\n${block}} 2>&1\necho "${MARK}"\n`);
  const shell = runProgram({
    program: '/bin/sh',
    args: ['-c', lines.join('')],
    environment: holdfast.environment,
    cwd: projectFolder,
  });
  expect(await shell.ended).toBe(0);
  expect(shell.stderr()).toBe('');
  return shell.stdout().split(`${MARK}\n`).slice(0, -1);
}

/**
 * Holds the output of each block against what is expected of it; a block that nobody expects anything of is a failure.
 * All together, so that a failure shows them all.
 */
export function expectAnswers(
  outputs: readonly string[],
  expected: readonly (readonly RegExp[])[],
): void {
  expect(outputs).toEqual(
    expected.map((patterns, index) => {
      const output = outputs[index] ?? '';
      return patterns.every((pattern) => pattern.test(output)) ? output : patterns.map(String);
    }),
  );
}

/** Links of a document to files and headings of this project that are not there. */
export function deadLinksOf(document: string): string[] {
  return [...read(document).matchAll(/\]\((?!https?:)([^)]+)\)/g)]
    .map((match) => match[1] ?? '')
    .filter((link) => {
      const [file = '', heading] = link.split('#');
      const target = file === '' ? document : join(dirname(document), file);
      if (!existsSync(join(projectFolder, target))) return true;
      return heading !== undefined && !headingsOf(target).includes(heading);
    });
}

/** Headings as they are linked to. */
function headingsOf(document: string): string[] {
  return [...read(document).matchAll(/^#+ (.+)$/gm)].map((match) =>
    (match[1] ?? '')
      .toLowerCase()
      .replaceAll(/[^\p{L}\p{N} _-]/gu, '')
      .replaceAll(' ', '-'),
  );
}
