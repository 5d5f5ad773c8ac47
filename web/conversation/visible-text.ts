/**
 * Text that somebody decides upon, with nothing in it that cannot be seen: what turns the direction of writing, has no width,
 * or looks like a space and is none is shown by its number.
 */

/** `mark`: what stood there, as `U+202E`. */
export type TextPiece = { is: 'text'; text: string } | { is: 'mark'; mark: string };

/** Format and control characters but line feed and tab, every space but the one, what has no meaning that is known to all. */
const BY_CATEGORY = String.raw`(?![\n\t ])[\p{C}\p{Z}]`;
/** Fillers that are letters by name, an empty braille cell, and selectors that draw nothing; U+FE0F, which colours an emoji, is left. */
const BY_NAME = String.raw`[\u{115f}\u{1160}\u{2800}\u{3164}\u{ffa0}]|[\u{fe00}-\u{fe0e}]|[\u{e0100}-\u{e01ef}]`;
const DECEIVING = new RegExp(`${BY_CATEGORY}|${BY_NAME}`, 'gu');

/** `text` as one string, for where there are no elements: a name that is read out. */
export function visibleWords(text: string): string {
  return visiblePieces(text)
    .map((piece) => (piece.is === 'text' ? piece.text : piece.mark))
    .join('');
}

/** `text` in pieces, in order; one piece when there is nothing to mark. */
export function visiblePieces(text: string): readonly TextPiece[] {
  const pieces: TextPiece[] = [];
  let from = 0;
  for (const found of text.matchAll(DECEIVING)) {
    if (found.index > from) pieces.push({ is: 'text', text: text.slice(from, found.index) });
    const code = found[0].codePointAt(0) ?? 0;
    pieces.push({ is: 'mark', mark: `U+${code.toString(16).toUpperCase().padStart(4, '0')}` });
    from = found.index + found[0].length;
  }
  if (from < text.length || pieces.length === 0)
    pieces.push({ is: 'text', text: text.slice(from) });
  return pieces;
}
