/**
 * What people type to search: words, "phrases" and -exclusions; and the place in a text where it was found.
 *
 * Invariants:
 *  1 A query is only ever words: runs of letters, digits and marks. Nothing else of what was typed goes on, so no search
 *    engine's own syntax can be reached.
 *  2 Every word and phrase must occur, no excluded one may; the last word is found by its beginning too (people type on).
 *  3 A query that says nothing to look for, or does not say where a phrase ends, is refused with the place.
 */
import { HoldfastError } from '../contracts/errors.ts';
import { SEARCH_QUERY_CHARS } from '../contracts/limits.ts';

/** Words that stand side by side, in this order; nearly always one. */
export type SearchTerm = {
  words: readonly string[];
  /** The last of them may go on. */
  prefix: boolean;
};
export type SearchQuery = { all: readonly SearchTerm[]; none: readonly SearchTerm[] };

/** Throws: `invalid_request` by invariant 3, with the place as `at`, in characters from 0. */
export function parseSearchQuery(query: string): SearchQuery {
  if (query.length > SEARCH_QUERY_CHARS)
    throw refusal(`A search may be ${SEARCH_QUERY_CHARS} characters long.`, SEARCH_QUERY_CHARS);
  const all: SearchTerm[] = [];
  const none: SearchTerm[] = [];
  let firstExclusion = 0;
  for (const { text, at, excluded, quoted, isLast } of pieces(query)) {
    const words = wordsOf(text);
    if (words.length === 0) continue;
    if (excluded) {
      if (none.length === 0) firstExclusion = at;
      none.push({ words, prefix: false });
    } else {
      all.push({ words, prefix: isLast && !quoted });
    }
  }
  if (all.length === 0 && none.length > 0)
    throw refusal('A search needs a word to find beside what it excludes.', firstExclusion);
  if (all.length === 0) throw refusal('There is no word to search for.', 0);
  return { all, none };
}

type Piece = { text: string; at: number; excluded: boolean; quoted: boolean; isLast: boolean };

/** What stands between blanks and quotes. */
function* pieces(query: string): Generator<Piece> {
  const expression = /(?<minus>-?)(?:"(?<phrase>[^"]*)(?<close>"?)|(?<word>[^\s"]+))/gu;
  for (const match of query.matchAll(expression)) {
    const { minus = '', phrase, close, word = '' } = match.groups ?? {};
    const at = match.index;
    if (phrase !== undefined && close === '')
      throw refusal('This quote is not closed.', at + minus.length);
    const isLast = query.slice(at + match[0].length).trim() === '';
    const quoted = phrase !== undefined;
    yield { text: phrase ?? word, at, excluded: minus !== '', quoted, isLast };
  }
}

function refusal(message: string, at: number): HoldfastError {
  return new HoldfastError(
    'invalid_request',
    `${message} (At character ${at + 1} of the search.)`,
    {
      at,
    },
  );
}

const WORD = /[\p{L}\p{N}\p{M}\p{Co}]+/gu;
/** Marks alone are no word. */
const LETTER = /[\p{L}\p{N}\p{Co}]/u;

function wordsOf(text: string): string[] {
  return (text.match(WORD) ?? []).filter((word) => LETTER.test(word));
}

/** Marks around what was found, in a snippet. */
export const FOUND_BEGIN = '\u0002';
export const FOUND_END = '\u0003';
/** Length of a snippet without its marks, about. */
const SNIPPET_CHARS = 160;
/** How much of it stands before what was found. */
const SNIPPET_BEFORE_CHARS = 40;
/** Where what was found is longer: twice the longest query. */
const SNIPPET_LIMIT_CHARS = 1_024;

/** The first place in `text` where something of the query is found, with its marks; the text's beginning when nothing is. */
export function snippetOf(text: string, query: SearchQuery): string {
  const clean = text.replaceAll(FOUND_BEGIN, ' ').replaceAll(FOUND_END, ' ');
  const terms = query.all.map(({ words, prefix }) => ({ words: words.map(folded), prefix }));
  const [first] = found(clean, terms);
  const near = (first?.from ?? 0) - SNIPPET_BEFORE_CHARS;
  const from = near <= 0 ? 0 : startOfWord(clean, near);
  const end = Math.max(from + SNIPPET_CHARS, first?.to ?? 0);
  const to = endOfWord(clean, Math.min(end, from + SNIPPET_LIMIT_CHARS));
  const window = clean.slice(from, to);
  let snippet = '';
  let done = 0;
  for (const place of found(window, terms)) {
    if (place.from < done) continue;
    snippet += `${window.slice(done, place.from)}${FOUND_BEGIN}${window.slice(place.from, place.to)}${FOUND_END}`;
    done = place.to;
  }
  snippet += window.slice(done);
  const line = snippet.replaceAll(/\s+/gu, ' ').trim();
  return `${from > 0 ? '…' : ''}${line}${to < clean.length ? '…' : ''}`;
}

type Token = { from: number; to: number; folded: string };

/** Where the terms stand, in order of their ends. */
function* found(
  text: string,
  terms: readonly SearchTerm[],
): Generator<{ from: number; to: number }> {
  const longest = Math.max(...terms.map(({ words }) => words.length));
  const recent: Token[] = [];
  for (const match of text.matchAll(WORD)) {
    const to = match.index + match[0].length;
    recent.push({ from: match.index, to, folded: folded(match[0]) });
    if (recent.length > longest) recent.shift();
    // The longest, where several end here.
    const lengths = terms.filter((term) => endsWith(recent, term)).map(({ words }) => words.length);
    const start = recent.at(-Math.max(...lengths));
    if (lengths.length > 0 && start !== undefined) yield { from: start.from, to };
  }
}

function endsWith(tokens: readonly Token[], { words, prefix }: SearchTerm): boolean {
  const offset = tokens.length - words.length;
  return (
    offset >= 0 &&
    words.every((word, index) => {
      const token = tokens[offset + index]?.folded ?? '';
      return prefix && index === words.length - 1 ? token.startsWith(word) : token === word;
    })
  );
}

/** Without case and diacritics, as the index compares. */
function folded(word: string): string {
  const lower = word.toLowerCase();
  return /^[a-z0-9]*$/.test(lower) ? lower : lower.normalize('NFD').replaceAll(/\p{M}/gu, '');
}

/** Cuts between words where one is near, else at least not through a character. */
function startOfWord(text: string, place: number): number {
  const blank = text.slice(place, place + 20).search(/\s/u);
  if (blank !== -1) return place + blank + 1;
  return isLowSurrogate(text, place) ? place + 1 : place;
}

function endOfWord(text: string, place: number): number {
  if (place >= text.length) return text.length;
  const blank = text.slice(place, place + 20).search(/\s/u);
  if (blank !== -1) return place + blank;
  return isLowSurrogate(text, place) ? place + 1 : place;
}

function isLowSurrogate(text: string, place: number): boolean {
  const unit = text.charCodeAt(place);
  return unit >= 0xdc00 && unit <= 0xdfff;
}
