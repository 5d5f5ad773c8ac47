/**
 * What one line of markdown is, as far as it says where a text may be cut. Of CommonMark and GFM; lists and quotes are seen from
 * outside: what is within them is never looked at.
 *
 * Every expression here is linear in its line, and a line is never longer than a block.
 */

export type Fence = {
  mark: '`' | '~';
  length: number;
  /** Its first line, as it was written, without its end. */
  opener: string;
};

/** Columns of white space before the text; a tab goes to the next multiple of 4. */
export function indentOf(line: string): number {
  let columns = 0;
  for (const character of line) {
    if (character === ' ') columns += 1;
    else if (character === '\t') columns += 4 - (columns % 4);
    else break;
  }
  return columns;
}

/** A line that is at most this far in is no indented code. */
export const INDENT_LIMIT = 3;

/** The fence that this line opens. `text`: the line without the white space before it. */
export function fenceOf(text: string, line: string): Fence | null {
  const run = /^(?:`{3,}|~{3,})/.exec(text)?.[0];
  if (run === undefined) return null;
  const mark = run.startsWith('`') ? '`' : '~';
  // Else it is code within a line.
  if (mark === '`' && text.includes('`', run.length)) return null;
  return { mark, length: run.length, opener: line };
}

export function closesFence(fence: Fence, line: string): boolean {
  const [, run = ''] = /^ {0,3}(`+|~+)[ \t]*$/.exec(line) ?? [];
  return run.startsWith(fence.mark) && run.length >= fence.length;
}

export function isHeading(text: string): boolean {
  return /^#{1,6}(?:[ \t]|$)/.test(text);
}

export function isThematicBreak(text: string): boolean {
  return /^(?:(?:\*[ \t]*){3,}|(?:-[ \t]*){3,}|(?:_[ \t]*){3,})$/.test(text);
}

export type Item = {
  /** Column at which its text begins: what is further in belongs to it. */
  content: number;
  /** It may begin in the middle of a paragraph. */
  interrupts: boolean;
};

/** The list item that this line begins. */
export function itemOf(text: string, indent: number): Item | null {
  const match = /^(?:[-+*]|(\d{1,9})[.)])(?=[ \t]|$)/.exec(text);
  if (match === null || isThematicBreak(text)) return null;
  const [marker, number] = match;
  const rest = text.slice(marker.length);
  const isEmpty = rest.trim() === '';
  const start = indent + marker.length;
  const spaces = indentOf(`${' '.repeat(start)}${rest}`) - start;
  return {
    // Five and more are one space and indented code.
    content: start + (isEmpty || spaces > 4 ? 1 : spaces),
    interrupts: !isEmpty && (number === undefined || Number(number) === 1),
  };
}

/** Where HTML that begins in a line ends: with the line that holds this; `blank`: before a blank line. */
export type HtmlEnd = { holds: RegExp } | 'blank';

const HTML_WITH_END: readonly [RegExp, RegExp][] = [
  [/^<(?:script|pre|style|textarea)(?:[ \t>]|$)/i, /<\/(?:script|pre|style|textarea)>/i],
  [/^<!--/, /-->/],
  [/^<\?/, /\?>/],
  [/^<![a-z]/i, />/],
  [/^<!\[CDATA\[/, /\]\]>/],
];
const HTML_BLOCK =
  /^<\/?(?:address|article|aside|base|basefont|blockquote|body|caption|center|col|colgroup|dd|details|dialog|dir|div|dl|dt|fieldset|figcaption|figure|footer|form|frame|frameset|h[1-6]|head|header|hr|html|iframe|legend|li|link|main|menu|menuitem|nav|noframes|ol|optgroup|option|p|param|search|section|summary|table|tbody|td|tfoot|th|thead|title|tr|track|ul)(?:[ \t>]|\/>|$)/i;
const HTML_TAG = /^<(?:\/[a-z][a-z0-9-]*[ \t]*|[a-z][a-z0-9-]*(?:[ \t][^<>]*)?\/?)>[ \t]*$/i;

/** The HTML that begins with this line; null: none does, or it ends with this line. */
export function htmlOf(text: string, inParagraph: boolean): HtmlEnd | 'whole' | null {
  if (!text.startsWith('<')) return null;
  for (const [begins, holds] of HTML_WITH_END)
    if (begins.test(text)) return holds.test(text) ? 'whole' : { holds };
  if (HTML_BLOCK.test(text)) return 'blank';
  return !inParagraph && HTML_TAG.test(text) ? 'blank' : null;
}

/** A link's definition that stands in one line, by its label; null for every other line. */
export function definedLabel(text: string): string | null {
  const match =
    /^\[((?:[^[\]\\]|\\.)+)\]:[ \t]*(?:<[^<>]*>|[^\s<]\S*)(?:[ \t]+(?:"[^"]*"|'[^']*'|\([^()]*\)))?[ \t]*$/.exec(
      text,
    );
  const label = match?.[1];
  return label === undefined || label.startsWith('^') || label.trim() === ''
    ? null
    : normalLabel(label);
}

/** Labels are told apart without their case and their spaces. */
export function normalLabel(label: string): string {
  return label.trim().replace(/\s+/g, ' ').toLowerCase();
}

/** Whether the line defines a footnote. */
export function isFootnote(text: string): boolean {
  return /^\[\^[^\s\]]+\]:/.test(text);
}

/** Whether `line` is the row of dashes below the heading row `header` of a table. */
export function isTableDelimiter(line: string, header: string): boolean {
  const text = line.trim();
  if (!text.includes('|') || !/^\|?[ \t]*:?-+:?[ \t]*(?:\|[ \t]*:?-+:?[ \t]*)*\|?$/.test(text))
    return false;
  return header.includes('|') && cellsOf(text) === cellsOf(header.trim());
}

function cellsOf(row: string): number {
  const bars = row.match(/\\.|\|/g)?.filter((found) => found === '|').length ?? 0;
  return bars + 1 - (row.startsWith('|') ? 1 : 0) - (/(?:^|[^\\])\|$/.test(row) ? 1 : 0);
}
