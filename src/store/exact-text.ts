/**
 * Text columns that give back exactly what was put in. Neutral of the engine.
 *
 * A JavaScript string may hold lone surrogates (half an emoji that a CLI cut off, an escape in a client's
 * JSON); UTF-8 cannot, so a database would quietly replace them, and a row would no longer equal the event
 * it was projected from (L4). Such a string is stored as its JSON text behind a mark.
 */
const MARK = '\u0001';

/** What to store for `value`: nearly always itself. */
export function toStoredText(value: string): string {
  return value.isWellFormed() && !value.startsWith(MARK) ? value : MARK + JSON.stringify(value);
}

/** The inverse of {@link toStoredText}. */
export function fromStoredText(stored: string): string {
  return stored.startsWith(MARK) ? String(JSON.parse(stored.slice(MARK.length))) : stored;
}
