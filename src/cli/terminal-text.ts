/** Text of providers on a person's terminal. */

// eslint-disable-next-line no-control-regex
const CONTROL = /[\u0000-\u0008\u000b-\u001f\u007f-\u009f]/g;

/**
 * `text` without what would steer the terminal: an answer must not be able to move the cursor, set the title or fill the
 * clipboard. Line ends and tabs stay. Not for pipes and files: they get the exact bytes.
 */
export function harmless(text: string): string {
  return text
    .replaceAll('\r\n', '\n')
    .replace(CONTROL, (character) =>
      character.codePointAt(0) === 0x7f
        ? '\u2421'
        : String.fromCodePoint(0x2400 + ((character.codePointAt(0) ?? 0) % 0x20)),
    );
}
