/**
 * The search index: a contentless FTS5 table beside the texts that it finds.
 *
 * A document's number says whose it is: a title is 0 of its conversation's stream, a message its seq. Indexed are titles,
 * what users wrote, and what assistants have finished writing; no thoughts, no tools. What was cut stays to be found.
 */
import { SEARCH_TEXT_CHARS } from '../../contracts/limits.ts';
import type { SearchQuery, SearchTerm } from '../../domain/search-query.ts';

/** Most events of one stream, as far as they are found: 2^30. The numbers stay exact up to eight million streams. */
export const DOCUMENTS_EACH = 2 ** 30;

/** For a contentless table a document that is there already must be removed first. */
export const INDEX_TEXT = 'INSERT INTO search (rowid, text) VALUES (?, ?)';
export const REMOVE_TEXT = 'DELETE FROM search WHERE rowid = ?';

/** Number of the document that was made by that event; seq 0 is the conversation's title. */
export function documentOf(stream: number, seq: number): number {
  return stream * DOCUMENTS_EACH + seq;
}

/** What of a text is indexed; null when that is nothing. */
export function indexedPart(text: string): string | null {
  const part = text.slice(0, SEARCH_TEXT_CHARS).toWellFormed();
  return part.trim() === '' ? null : part;
}

/** The query in the language of FTS5. Words hold letters, digits and marks only, so nothing of it was typed as syntax. */
export function matchExpression({ all, none }: SearchQuery): string {
  const wanted = all.map(phrase).join(' AND ');
  return none.length === 0 ? wanted : `(${wanted}) NOT (${none.map(phrase).join(' OR ')})`;
}

function phrase({ words, prefix }: SearchTerm): string {
  return `"${words.join(' ')}"${prefix ? ' *' : ''}`;
}
