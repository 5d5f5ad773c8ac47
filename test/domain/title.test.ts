import * as fc from 'fast-check';
import { describe, expect, it } from 'vitest';

import { MADE_TITLE_CHARS } from '../../src/contracts/limits.ts';
import { characters, titleOf } from '../../src/domain/title.ts';

/** Words of ten characters, with a space between. */
const words = (count: number): string =>
  Array.from({ length: count }, () => 'abcdefghij').join(' ');

describe('title of a first message', () => {
  it.each<[string, string]>([
    ['Fix the login page', 'Fix the login page'],
    ['  Fix\tthe   login\u00A0page \n more of it', 'Fix the login page'],
    ['\n \r\n\u2028Second line', 'Second line'],
    ['one\rtwo', 'one'],
    ['one\u2029two', 'one'],
    // markdown's marks at its beginning
    ['# Heading', 'Heading'],
    ['### > - * deep', 'deep'],
    ['* item', 'item'],
    ['> > quoted', 'quoted'],
    ['#hashtag stays', '#hashtag stays'],
    ['-v is an option', '-v is an option'],
    ['**bold** stays', '**bold** stays'],
    ['a # b - c', 'a # b - c'],
    ['# \ntext', '#'],
    ['---', '---'],
    // nothing to see
    ['', 'Untitled'],
    [' \n\t\r\n ', 'Untitled'],
    ['\u0000\u0007\u200B\uFEFF', 'Untitled'],
    ['\u200Bzero\u200Dwidth\u202E', 'zero width'],
    ['\u001B[31mred', '[31mred'],
    // its length, to the character
    ['x'.repeat(MADE_TITLE_CHARS), 'x'.repeat(MADE_TITLE_CHARS)],
    ['x'.repeat(MADE_TITLE_CHARS + 1), `${'x'.repeat(MADE_TITLE_CHARS - 1)}…`],
    ['😀'.repeat(MADE_TITLE_CHARS), '😀'.repeat(MADE_TITLE_CHARS)],
    ['😀'.repeat(MADE_TITLE_CHARS + 1), `${'😀'.repeat(MADE_TITLE_CHARS - 1)}…`],
    // cut at a word, unless that would leave too little
    [words(9), `${words(7)}…`],
    [
      `${'x'.repeat(MADE_TITLE_CHARS / 2)} ${'y'.repeat(MADE_TITLE_CHARS)}`,
      `${'x'.repeat(MADE_TITLE_CHARS / 2)} ${'y'.repeat(MADE_TITLE_CHARS / 2 - 2)}…`,
    ],
    [
      `${'x'.repeat(MADE_TITLE_CHARS / 2 + 1)} ${'y'.repeat(MADE_TITLE_CHARS)}`,
      `${'x'.repeat(MADE_TITLE_CHARS / 2 + 1)}…`,
    ],
  ])('of %j is %j', (content, title) => {
    expect(titleOf(content)).toBe(title);
  });

  it('of a message of half a MiB is made of what comes first', () => {
    expect(titleOf(`${' '.repeat(3_999)}x`.repeat(130))).toBe('x');
    // Not in the middle of a character.
    expect(titleOf(`${' '.repeat(3_999)}😀x`)).toBe('😀');
    expect(titleOf('\n'.repeat(512 * 1024))).toBe('Untitled');
    expect(titleOf('-'.repeat(512 * 1024))).toBe(`${'-'.repeat(MADE_TITLE_CHARS - 1)}…`);
  });

  it('property: never empty, one line, no longer than a title, well-formed where the message is', () => {
    const piece = fc.oneof(
      fc.string({ unit: 'binary' }),
      fc.string({ unit: 'grapheme' }),
      fc.constantFrom(
        ' ',
        '\n',
        '\r\n',
        '\u2028',
        '# ',
        '- ',
        '> ',
        '\u200D',
        '😀',
        'word ',
        words(8),
      ),
    );
    fc.assert(
      fc.property(fc.array(piece, { maxLength: 30 }), (pieces) => {
        const content = pieces.join('');
        const title = titleOf(content);
        expect(title.trim()).toBe(title);
        expect(title).not.toBe('');
        expect(title).not.toMatch(/[\p{Cc}\p{Cf}\u2028\u2029]/u);
        expect(Array.from(title).length).toBeLessThanOrEqual(MADE_TITLE_CHARS);
        expect(title.isWellFormed() || !content.isWellFormed()).toBe(true);
        const said = title.replace(/…$/u, '');
        const known = content.replaceAll(/[\p{Cc}\p{Cf}\s]+/gu, ' ');
        expect(title === 'Untitled' || known.includes(said)).toBe(true);
      }),
      { numRuns: 2_000 },
    );
  });
});

describe('the first characters of a text', () => {
  it.each<[string, number, string]>([
    ['abc', 2, 'ab'],
    ['abc', 3, 'abc'],
    ['abc', 9, 'abc'],
    ['abc', 0, ''],
    ['', 1, ''],
    ['😀😀', 1, '😀'],
    ['a😀b', 2, 'a😀'],
    ['\uD83Dx', 1, '\uD83D'],
  ])('of %j, %i, are %j', (text, count, first) => {
    expect(characters(text, count)).toBe(first);
  });
});
