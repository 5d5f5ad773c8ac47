import { visiblePieces } from './visible-text.ts';

/** {@link visiblePieces} as elements. */
export function visibleText(text: string) {
  const pieces = visiblePieces(text);
  if (pieces.length === 1 && pieces[0]?.is === 'text') return text;
  return pieces.map((piece, index) =>
    piece.is === 'text' ? (
      piece.text
    ) : (
      <span key={index} className="visible-text-mark" title="A character that is not seen">
        {piece.mark}
      </span>
    ),
  );
}
