/** A long text in pieces that a virtual list can draw: their sum is the text. */

/** Aimed at, in characters; a piece ends with a line where one ends in its second half. */
const CHUNK_CHARS = 4_096;

export function textChunks(text: string, size: number = CHUNK_CHARS): readonly string[] {
  const chunks: string[] = [];
  let from = 0;
  while (from < text.length) {
    let to = Math.min(from + size, text.length);
    if (to < text.length) {
      const line = text.lastIndexOf('\n', to - 1);
      if (line >= from + size / 2) to = line + 1;
      // never between the halves of one character
      else if (/[\ud800-\udbff]/u.test(text.charAt(to - 1))) to -= 1;
    }
    chunks.push(text.slice(from, to));
    from = to;
  }
  return chunks;
}
