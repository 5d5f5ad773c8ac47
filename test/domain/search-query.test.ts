/** Numbers are those of search-query.ts. */
import * as fc from 'fast-check';
import { describe, expect, it } from 'vitest';

import { isHoldfastError } from '../../src/contracts/errors.ts';
import { SEARCH_QUERY_CHARS } from '../../src/contracts/limits.ts';
import {
  FOUND_BEGIN,
  FOUND_END,
  parseSearchQuery,
  snippetOf,
  type SearchQuery,
} from '../../src/domain/search-query.ts';

/** A query in short: `word`, `word*` for one that may go on, `-word`. */
function inShort({ all, none }: SearchQuery): string {
  return [
    ...all.map(({ words, prefix }) => words.join('_') + (prefix ? '*' : '')),
    ...none.map(({ words, prefix }) => `-${words.join('_')}${prefix ? '*' : ''}`),
  ].join(' ');
}

const marked = (text: string, query: string) =>
  snippetOf(text, parseSearchQuery(query)).replaceAll(FOUND_BEGIN, '[').replaceAll(FOUND_END, ']');

describe('reading a query', () => {
  it.each([
    ['one', 'one*'],
    ['one two', 'one two*'],
    ['one two ', 'one two*'],
    ['one "two three"', 'one two_three'],
    ['"one two" three', 'one_two three*'],
    ['one -two', 'one -two'],
    ['-two one', 'one* -two'],
    ['one -"two three"', 'one -two_three'],
    ['one - two', 'one two*'],
    ['one--two', 'one_two*'],
    ['one --two', 'one -two'],
    ['kebab-case', 'kebab_case*'],
    ['one"two"three', 'one two three*'],
    ['"" one', 'one*'],
    ['one ""', 'one'],
    ['one -', 'one'],
    ['(one) OR two*', 'one OR two*'],
    ['text:one', 'text_one*'],
    ['e\u0301te', 'e\u0301te*'],
    ['\u0301 one', 'one*'],
    ['日本 語', '日本 語*'],
  ])('2 %j is %j', (query, expected) => {
    expect(inShort(parseSearchQuery(query))).toBe(expected);
  });

  it.each([
    ['"open', 0],
    ['one "open', 4],
    ['one -"open', 5],
    ['one "closed" "', 13],
    ['', 0],
    ['*', 0],
    ['-one', 0],
    ['  -one -two', 2],
    ['x'.repeat(SEARCH_QUERY_CHARS + 1), SEARCH_QUERY_CHARS],
  ])('3 %j is refused, at %d', (query, at) => {
    expect(() => parseSearchQuery(query)).toThrow(
      expect.objectContaining({ code: 'invalid_request', detail: { at } }),
    );
  });

  it('1 whatever is typed, only letters, digits and marks go on', () => {
    fc.assert(
      fc.property(fc.string({ unit: 'binary', maxLength: 60 }), (query) => {
        let parsed: SearchQuery;
        try {
          parsed = parseSearchQuery(query);
        } catch (error) {
          if (!isHoldfastError(error) || error.code !== 'invalid_request') throw error;
          return;
        }
        const words = [...parsed.all, ...parsed.none].flatMap((term) => term.words);
        expect(parsed.all.length).toBeGreaterThan(0);
        for (const word of words) {
          expect(word).toMatch(/^[\p{L}\p{N}\p{M}\p{Co}]+$/u);
          expect(query).toContain(word);
        }
      }),
      { numRuns: 1_000 },
    );
  });
});

describe('the place where something was found', () => {
  it.each([
    ['a needle in hay', 'needle', 'a [needle] in hay'],
    ['needle', 'needle', '[needle]'],
    ['a needle', 'need', 'a [needle]'],
    ['a needle', '"need"', 'a needle'],
    ['Needle, NEEDLE; needles', 'needle', '[Needle], [NEEDLE]; [needles]'],
    ['the quick brown fox', '"quick brown"', 'the [quick brown] fox'],
    ['quick quick brown', '"quick brown"', 'quick [quick brown]'],
    ['the quick brown fox', 'fox quick', 'the [quick] brown [fox]'],
    ['the quick brown fox', '"quick brown" quick', 'the [quick] brown fox'],
    ['kebab-case', 'kebab-case', '[kebab-case]'],
    ['Façade', 'facade', '[Façade]'],
    ['e\u0301te\u0301', 'été', '[e\u0301te\u0301]'],
    ['  many\n\n  lines\tneedle  ', 'needle', 'many lines [needle]'],
    ['nothing here', 'needle', 'nothing here'],
    ['', 'needle', ''],
    ['x \u0002needle\u0003 y', 'needle', 'x [needle] y'],
    ['one two -three', 'one -three', '[one] two -three'],
  ])('%j, %j: %j', (text, query, expected) => {
    expect(marked(text, query)).toBe(expected);
  });

  it('is cut out of a long text between words, and says so', () => {
    const text = `${'before '.repeat(50)}needle ${'after '.repeat(100)}`;
    const snippet = marked(text, 'needle');
    expect(snippet).toMatch(/^…(before )+\[needle\]( after)+…$/u);
    expect(snippet.length).toBeLessThan(200);
    expect(marked(`needle ${'after '.repeat(100)}`, 'needle')).toMatch(/^\[needle\]( after)+…$/u);
    expect(marked(`${'before '.repeat(50)}needle`, 'needle')).toMatch(/^…(before )+\[needle\]$/u);
  });

  it('is not cut through a character, and a word that is longer than it stays whole', () => {
    const emoji = '😀'.repeat(300);
    for (const gap of ['', 'x']) {
      const snippet = marked(`${emoji}${gap} needle ${gap}${emoji}`, 'needle');
      expect(snippet.isWellFormed()).toBe(true);
      expect(snippet).toContain('[needle]');
    }
    const word = 'n'.repeat(500);
    const before = 'x'.repeat(39);
    expect(marked(`${'x'.repeat(99)} ${word} x`, word.slice(0, 400))).toBe(`…${before} [${word}]…`);
    expect(marked(`x ${'n'.repeat(100_000)}`, 'nnn').length).toBeLessThan(1_100);
  });
});
