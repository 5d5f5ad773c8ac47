/**
 * Cuts markdown into blocks as it comes: pieces that are parsed by themselves, so that a growing text is parsed only at its end.
 *
 * Invariants:
 *  1 The blocks' sources, in order, are the text.
 *  2 A sealed block changes no more: it is the same object for ever. All but the last one are sealed; after the end all are.
 *  3 What is cut depends on the text alone, never on the pieces in which it came.
 *  4 A source has at most {@link BLOCK_LIMIT_CHARS} characters, and no pair of surrogates or CR LF is cut in two.
 *  5 Each character is looked at a bounded number of times.
 *  6 Up to that limit, a list, fence, table, quote or paragraph is never cut: the blocks, parsed one by one, are the text parsed as
 *    a whole (of HTML, as of everything that renders nothing, only where it ends).
 *
 * A block's `text` is its source, and:
 *  - before it the definitions of links that it uses and an earlier block has;
 *  - of a longer fence, each piece is a fence: the opening line is put before it, and a closing one behind it. In the same way each
 *    piece of a long table has its heading;
 *  - footnotes are left as they are written (`[^1]:` is escaped): their two ends are rarely in one block, and a note that nothing in
 *    its block refers to would not be shown at all.
 */
import type { Block, FencePiece } from './contract.ts';
import {
  closesFence,
  definedLabel,
  fenceOf,
  htmlOf,
  indentOf,
  INDENT_LIMIT,
  isFootnote,
  isHeading,
  isTableDelimiter,
  isThematicBreak,
  itemOf,
  normalLabel,
  type Fence,
  type HtmlEnd,
} from './markdown-lines.ts';

/** The longest source: what is parsed with each frame while it is open. Source: page-stack measurements, 8 KB. */
export const BLOCK_LIMIT_CHARS = 8_192;
/** Shorter than this, a block takes the next paragraph in: a row for each line would be many rows. */
export const BLOCK_TARGET_CHARS = 1_024;
/** A cut that the limit forces is put at a line's beginning, or between words, if there is one within so much. */
const CUT_SEARCH_CHARS = BLOCK_LIMIT_CHARS - BLOCK_TARGET_CHARS;
/** Definitions put before one block, at most: each may be as long as a block. */
const DEFINITIONS_LIMIT_CHARS = BLOCK_LIMIT_CHARS;

/** A {@link Block} with the part of the text that it is. */
export type CutBlock = Block & { readonly source: string };

export class BlockCutter {
  readonly #name: string;
  readonly #sealed: CutBlock[] = [];
  readonly #reusable: readonly CutBlock[];
  /** Counts characters that were looked at, for invariant 5. */
  work = 0;

  // The open block: whole lines, and the line that has no end yet. The two are strings that grow, so neither is looked into.
  #lines = '';
  #line = '';
  /** Put before its source. */
  #prefix = '';
  /** Places in its source of a footnote's definition. */
  #footnotes: number[] = [];
  /** Place of its newest list item. */
  #item = 0;
  /** Place in it over which nothing goes on. */
  #boundary = 0;
  #shown: CutBlock | null = null;

  /** The fence of which a piece was sealed, and that goes on. */
  #cutFence: { key: string; indent: number; isInLine: boolean } | null = null;
  /** The line's beginning is in the block before. */
  #isRest = false;
  #endsWithReturn = false;

  // Where the line stands.
  #fence: Fence | null = null;
  #html: HtmlEnd | null = null;
  /** Column from which on a line belongs to the list's last item; null: no list. */
  #list: number | null = null;
  #table: string | null = null;
  #inParagraph = false;
  #afterBlank = false;
  #previousLine = '';
  readonly #definitions = new Map<string, string>();

  /** `name` begins the blocks' keys. `reusable`: blocks of an earlier cut of about the same text, taken where they are equal. */
  constructor(name: string, reusable: readonly CutBlock[] = []) {
    this.#name = name;
    this.#reusable = reusable;
  }

  /** How many blocks of {@link blocks} are sealed. */
  get sealedCount(): number {
    return this.#sealed.length;
  }

  /** The sealed ones; the list grows, and is not to be changed. */
  get sealed(): readonly CutBlock[] {
    return this.#sealed;
  }

  /** The last one while it is open; null when everything is sealed. The same object until text comes. */
  get open(): CutBlock | null {
    if (this.#length === 0) return null;
    if (this.#shown === null) {
      const source = this.#lines + this.#line;
      this.#shown = this.#made(source, false, { fence: this.#pieceOf(source, false) });
    }
    return this.#shown;
  }

  get #length(): number {
    return this.#lines.length + this.#line.length;
  }

  blocks(): readonly CutBlock[] {
    const { open } = this;
    return open === null ? [...this.#sealed] : [...this.#sealed, open];
  }

  append(text: string): void {
    if (text === '') return;
    this.#shown = null;
    let place = 0;
    if (this.#endsWithReturn) {
      this.#endsWithReturn = false;
      if (text.startsWith('\n')) {
        this.#put('\n');
        place = 1;
      }
      this.#endLine();
    }
    let feed = -2;
    let carriage = -2;
    while (place < text.length) {
      if (feed !== -1 && feed < place) feed = text.indexOf('\n', place);
      if (carriage !== -1 && carriage < place) carriage = text.indexOf('\r', place);
      const first = feed === -1 || (carriage !== -1 && carriage < feed) ? carriage : feed;
      const end = first === -1 ? text.length : first + 1;
      this.#put(text.slice(place, end));
      place = end;
      if (first === -1) break;
      if (first === carriage) {
        if (place === text.length) {
          this.#endsWithReturn = true;
          break;
        }
        if (text.startsWith('\n', place)) {
          this.#put('\n');
          place += 1;
        }
      }
      this.#endLine();
    }
    this.work += text.length;
  }

  /** No more text comes: everything is sealed. */
  end(): void {
    this.#endsWithReturn = false;
    if (this.#line !== '') this.#endLine();
    if (this.#length > 0) this.#seal(this.#length);
  }

  /** Adds a piece of a line, cutting wherever the block would be too long. */
  #put(piece: string): void {
    let left = piece;
    while (this.#length + left.length > BLOCK_LIMIT_CHARS) {
      const room = BLOCK_LIMIT_CHARS - this.#length;
      this.#line += left.slice(0, room);
      left = left.slice(room);
      this.#cutLong();
    }
    this.#line += left;
  }

  /** The block is as long as one may be, and goes on. */
  #cutLong(): void {
    const source = this.#lines + this.#line;
    this.work += source.length;
    const earliest = source.length - CUT_SEARCH_CHARS;
    if (this.#boundary > 0) {
      this.#seal(this.#boundary);
    } else if (this.#list !== null && this.#item > earliest) {
      this.#seal(this.#item);
    } else if (this.#lines.length > earliest) {
      this.#seal(this.#lines.length, { goesOn: true });
    } else {
      // In the middle of a line. Within code a space is no better place than another.
      const word = this.#fence === null ? lastWord(source, earliest) : -1;
      const at = word > earliest ? word : lastCharacter(source, this.#fence, earliest);
      this.#seal(at, { goesOn: true });
      this.#isRest = true;
    }
  }

  #endLine(): void {
    const line = withoutEnd(this.#line);
    this.work += line.length;
    if (this.#isRest) {
      this.#isRest = false;
      if (this.#html !== null && this.#html !== 'blank' && this.#html.holds.test(line))
        this.#html = null;
      this.#inParagraph = this.#fence === null && this.#html === null;
      this.#afterBlank = false;
      this.#takeLine();
    } else if (this.#fence !== null && closesFence(this.#fence, line)) {
      // A piece that holds nothing but the end of its fence would be an empty fence.
      const only = this.#lines === '' && this.#prefix !== '';
      const codeLength = this.#lines.length;
      this.#fence = null;
      this.#takeLine();
      this.#seal(this.#length, only ? { text: '', codeLength } : { codeLength });
    } else {
      this.#read(line);
      this.#takeLine();
    }
    this.#previousLine = line;
  }

  #takeLine(): void {
    this.#lines += this.#line;
    this.#line = '';
  }

  /** What a whole line, which is not part of the block's lines yet, changes. */
  #read(line: string): void {
    if (this.#fence !== null || (this.#inParagraph && /^[a-z]/i.test(line))) return;
    const isBlank = line.trim() === '';
    if (this.#html !== null) {
      const ends = this.#html === 'blank' ? isBlank : this.#html.holds.test(line);
      if (ends) this.#html = null;
      this.#afterBlank = isBlank;
      return;
    }
    if (isBlank) {
      this.#leaveParagraph();
      this.#afterBlank = true;
      return;
    }
    const text = line.trimStart();
    const indent = text.length === line.length ? 0 : indentOf(line);
    if (isFootnote(text)) this.#footnotes.push(this.#lines.length + line.length - text.length);
    if (!this.#staysInList(text, indent, line)) {
      this.#list = null;
      this.#readAtTop(text, indent, line);
    }
    this.#afterBlank = false;
  }

  #leaveParagraph(): void {
    this.#inParagraph = false;
    if (this.#table === null) return;
    this.#table = null;
    // The heading of a table that has ended where its last piece does.
    if (this.#lines === '') this.#prefix = '';
  }

  #staysInList(text: string, indent: number, line: string): boolean {
    if (this.#list === null) return false;
    if (indent >= this.#list) return true;
    const item = indent <= INDENT_LIMIT ? itemOf(text, indent) : null;
    if (item !== null) {
      this.#list = item.content;
      this.#item = this.#lines.length;
      return true;
    }
    if (this.#afterBlank) return false;
    // A paragraph goes on without being indented; what begins something else ends the list.
    const begins =
      fenceOf(text, line) !== null ||
      isHeading(text) ||
      isThematicBreak(text) ||
      text.startsWith('>') ||
      htmlOf(text, true) !== null;
    return indent > INDENT_LIMIT || !begins;
  }

  /** A line that belongs to no list that was begun before it. */
  #readAtTop(text: string, indent: number, line: string): void {
    // Indented code goes on behind blank lines, as the text of a footnote does.
    if (indent > INDENT_LIMIT) return;
    const fence = fenceOf(text, line);
    if (fence !== null) {
      this.#leaveParagraph();
      if (this.#lines !== '') this.#seal(this.#lines.length);
      this.#fence = fence;
      return;
    }
    const heading = isHeading(text);
    if (heading) this.#leaveParagraph();
    if (heading || this.#afterBlank) this.#mayCut();
    if (heading) return;
    if (isThematicBreak(text)) {
      this.#leaveParagraph();
      return;
    }
    const html = htmlOf(text, this.#inParagraph);
    if (html !== null) {
      this.#leaveParagraph();
      this.#html = html === 'whole' ? null : html;
      return;
    }
    const item = itemOf(text, indent);
    if (item !== null && (item.interrupts || !this.#inParagraph)) {
      this.#leaveParagraph();
      this.#list = item.content;
      this.#item = this.#lines.length;
      return;
    }
    if (text.startsWith('>')) this.#leaveParagraph();
    const label = this.#inParagraph ? null : definedLabel(text);
    if (label !== null) {
      if (!this.#definitions.has(label)) this.#definitions.set(label, text);
      return;
    }
    if (this.#inParagraph && this.#table === null && isTableDelimiter(line, this.#previousLine))
      this.#table = `${this.#previousLine}\n${line}\n`;
    this.#inParagraph = true;
  }

  /** Nothing goes on over the beginning of this line. */
  #mayCut(): void {
    if (this.#lines.length >= BLOCK_TARGET_CHARS) this.#seal(this.#lines.length);
    else this.#boundary = this.#lines.length;
  }

  /**
   * Seals the first `length` characters of the open block. `goesOn`: what the line stands in does so in the next block. `text`: in
   * place of what it is by itself. `codeLength`: of what of it is a fence's code, and not its end.
   */
  #seal(length: number, { goesOn = false, text, codeLength = length }: Sealing = {}): void {
    const whole = this.#lines + this.#line;
    this.work += whole.length;
    const source = whole.slice(0, length);
    const fence = this.#pieceOf(source.slice(0, codeLength), goesOn);
    const block = this.#made(source, true, { text, fence });
    const known = this.#reusable[this.#sealed.length];
    const isKnown =
      known?.sealed === true &&
      known.source === source &&
      known.text === block.text &&
      known.fence?.key === fence?.key &&
      known.fence?.goesOn === fence?.goesOn;
    this.#sealed.push(isKnown ? known : block);
    const lines = Math.max(0, this.#lines.length - length);
    this.#lines = whole.slice(length, length + lines);
    this.#line = whole.slice(length + lines);
    this.#prefix = goesOn ? this.#heading() : '';
    this.#cutFence =
      fence?.goesOn === true
        ? {
            key: fence.key,
            indent: this.#cutFence?.indent ?? indentOf(this.#fence?.opener ?? ''),
            isInLine: !/[\r\n]$/.test(source),
          }
        : null;
    this.#item = Math.max(0, this.#item - length);
    this.#boundary = Math.max(0, this.#boundary - length);
    this.#footnotes = this.#footnotes.flatMap((place) => (place < length ? [] : [place - length]));
    this.#shown = null;
  }

  /** What makes a piece of a fence or of a table one. */
  #heading(): string {
    return this.#fence === null ? (this.#table ?? '') : `${this.#fence.opener}\n`;
  }

  #made(
    source: string,
    sealed: boolean,
    { text, fence }: { text?: string | undefined; fence: FencePiece | null },
  ): CutBlock {
    const own = { key: this.#key, text: text ?? this.#textOf(source, sealed), sealed, source };
    return fence === null ? own : { ...own, fence };
  }

  /** Of the block that is open. */
  get #key(): string {
    return `${this.#name}.${this.#sealed.length}`;
  }

  /** What this source is of a fence that is cut; null: there is none, or this is the whole of it. */
  #pieceOf(source: string, goesOn: boolean): FencePiece | null {
    const known = this.#cutFence;
    if (known !== null) {
      const { key, indent, isInLine } = known;
      return { key, isFirst: false, goesOn, code: unindented(source, indent, isInLine) };
    }
    if (!goesOn || this.#fence === null) return null;
    const { opener } = this.#fence;
    const from = opener.length + (source.startsWith('\r\n', opener.length) ? 2 : 1);
    const code = unindented(source.slice(from), indentOf(opener), false);
    return { key: this.#key, isFirst: true, goesOn, code };
  }

  #textOf(source: string, sealed: boolean): string {
    if (this.#fence !== null) {
      if (!sealed) return this.#prefix + source;
      const end = /[\r\n]$/.test(source) ? '' : '\n';
      return `${this.#prefix}${source}${end}${this.#fence.mark.repeat(this.#fence.length)}`;
    }
    return this.#definitionsFor(source) + this.#prefix + this.#withoutFootnotes(source);
  }

  #withoutFootnotes(source: string): string {
    const places = this.#footnotes.filter((place) => place < source.length);
    if (places.length === 0) return source;
    const starts = [0, ...places];
    return starts.map((start, index) => source.slice(start, starts[index + 1])).join('\\');
  }

  /** The lines that say where the links go that this source names, and that an earlier block has defined. */
  #definitionsFor(source: string): string {
    if (this.#definitions.size === 0) return '';
    const lines = new Set<string>();
    let length = 0;
    for (const [, label = ''] of source.matchAll(/\[((?:[^[\]\\]|\\.)+)\]/g)) {
      const known = this.#definitions.get(normalLabel(label));
      if (known === undefined || lines.has(known) || source.includes(known)) continue;
      length += known.length + 1;
      if (length > DEFINITIONS_LIMIT_CHARS) break;
      lines.add(known);
    }
    return lines.size === 0 ? '' : `${[...lines].join('\n')}\n\n`;
  }
}

type Sealing = { goesOn?: boolean; text?: string; codeLength?: number };

/** Code as it is meant: its lines are in as far as the fence is, or less. `isInLine`: it begins in the middle of one. */
function unindented(code: string, indent: number, isInLine: boolean): string {
  if (indent === 0) return code;
  const begins = isInLine ? '(?<=[\\r\\n])' : '(?<=^|[\\r\\n])';
  return code.replaceAll(new RegExp(`${begins} {1,${indent}}`, 'g'), '');
}

/** All blocks of a text that is whole. */
export function blocksOf(
  name: string,
  text: string,
  reusable: readonly CutBlock[] = [],
): BlockCutter {
  const cutter = new BlockCutter(name, reusable);
  cutter.append(text);
  cutter.end();
  return cutter;
}

function withoutEnd(line: string): string {
  if (line.endsWith('\r\n')) return line.slice(0, -2);
  return line.endsWith('\n') || line.endsWith('\r') ? line.slice(0, -1) : line;
}

/** Where the last word begins that looks like nothing but a word; -1: nowhere. */
function lastWord(source: string, earliest: number): number {
  for (
    let space = source.lastIndexOf(' ', source.length - 2);
    space > earliest;
    space = source.lastIndexOf(' ', space - 1)
  )
    if (/^\p{L}/u.test(source.slice(space + 1, space + 3))) return space + 1;
  return -1;
}

/** The last place that is not within a character, nor within CR LF, and behind which no fence seems to end. */
function lastCharacter(source: string, fence: Fence | null, earliest: number): number {
  const last = source.length - 1;
  let at = last;
  while (at > earliest && !isWholeAt(source, at)) at -= 1;
  if (fence === null) return at;
  const whole = at;
  while (at > earliest && (/[\s`~]/.test(source.charAt(at)) || !isWholeAt(source, at))) at -= 1;
  return at > earliest ? at : whole;
}

/** Whether nothing that belongs together is cut by a cut before that character. */
function isWholeAt(source: string, place: number): boolean {
  const before = source.charCodeAt(place - 1);
  const isPair = before >= 0xd800 && before <= 0xdbff;
  return !isPair && before !== 0x0d;
}
