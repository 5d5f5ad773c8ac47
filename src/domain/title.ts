/** A conversation's title, made from its first message. */
import { MADE_TITLE_CHARS } from '../contracts/limits.ts';

/**
 * The first line that says something, without markdown's marks at its beginning; cut at a word, with an ellipsis, where it is
 * longer than {@link MADE_TITLE_CHARS}. Never empty.
 */
export function titleOf(content: string): string {
  const lines = content.split(/[\r\n\u2028\u2029]/, 50).map(tidy);
  const line = lines.find((each) => each !== '') ?? '';
  if (line === '') return 'Untitled';
  const head = characters(line, MADE_TITLE_CHARS);
  if (head === line) return line;
  const short = characters(line, MADE_TITLE_CHARS - 1);
  const space = short.lastIndexOf(' ');
  return `${(space > MADE_TITLE_CHARS / 2 ? short.slice(0, space) : short).trimEnd()}…`;
}

/** The first `count` code points: half a surrogate pair would be no text. */
export function characters(text: string, count: number): string {
  let end = 0;
  for (let taken = 0; taken < count && end < text.length; taken += 1)
    end += (text.codePointAt(end) ?? 0) > 0xffff ? 2 : 1;
  return text.slice(0, end);
}

function tidy(line: string): string {
  return characters(line, 4_000)
    .replace(/[\p{Cc}\p{Cf}\s]+/gu, ' ')
    .trim()
    .replace(/^(?:[#>*-]+ +)+/, '')
    .trim();
}
