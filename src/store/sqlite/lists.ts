/**
 * Lists of a table's conversations, most recent first, with or without a search.
 *
 * A page is read by its index, without a sort; with a search, what is found is grouped and sorted: that costs some 0.6 µs
 * for each message in which the words occur, in all tables.
 */
import { HoldfastError } from '../../contracts/errors.ts';
import type { ConversationSummaryValue } from '../../contracts/events.ts';
import { isId } from '../../contracts/ids.ts';
import { SEARCH_TEXT_CHARS } from '../../contracts/limits.ts';
import { parseSearchQuery, snippetOf, type SearchQuery } from '../../domain/search-query.ts';
import type { ListedConversation } from '../port.ts';
import type { Connection } from './connection.ts';
import { all, one, type Answer } from './query.ts';
import { integer, text, type Row } from './rows.ts';
import { DOCUMENTS_EACH, matchExpression } from './search.ts';
import { LISTED, toSummary } from './views.ts';

export function conversations(
  connection: Connection,
  request: {
    tableId: string;
    archived: boolean | null;
    query: string | null;
    cursor: string | null;
    limit: number;
  },
): Answer<'conversations'> {
  const { query, limit } = request;
  const search = query === null ? null : parseSearchQuery(query);
  return connection.consistently(() => {
    const more = { ...request, limit: limit + 1 };
    const found =
      search === null
        ? newestConversations(connection, more)
        : foundConversations(connection, { ...more, search });
    const items = found.slice(0, limit);
    const last = items.at(-1);
    return {
      items,
      nextCursor:
        found.length > limit && last !== undefined
          ? cursorOf(last.lastAt, last.conversationId)
          : null,
    };
  });
}

export function summary(
  connection: Connection,
  conversationId: string,
): ConversationSummaryValue | null {
  const row = one(
    connection,
    `SELECT ${LISTED} FROM conversations WHERE conversation_id = ?`,
    conversationId,
  );
  return row === undefined ? null : toSummary(row);
}

type PageRequest = {
  tableId: string;
  archived: boolean | null;
  cursor: string | null;
  limit: number;
};

/** One page of a list, in one read transaction of the caller. */
export function newestConversations(
  connection: Connection,
  { tableId, archived, cursor, limit }: PageRequest,
): ConversationSummaryValue[] {
  const before = parseCursor(cursor, 'conversations');
  // By the index each, and merged here: both at once would have to be sorted.
  const lists = (archived === null ? [0, 1] : [Number(archived)]).map((flag) =>
    all(
      connection,
      `SELECT ${LISTED} FROM conversations WHERE table_id = ? AND archived = ? AND (last_at, conversation_id) < (?, ?)
       ORDER BY last_at DESC, conversation_id DESC LIMIT ?`,
      tableId,
      flag,
      before.at,
      before.id,
      limit,
    ).map(toSummary),
  );
  return lists.flat().toSorted(newestFirst).slice(0, limit);
}

function newestFirst(first: ConversationSummaryValue, other: ConversationSummaryValue): number {
  if (first.lastAt !== other.lastAt) return first.lastAt > other.lastAt ? -1 : 1;
  return first.conversationId > other.conversationId ? -1 : 1;
}

function foundConversations(
  connection: Connection,
  { tableId, archived, cursor, limit, search }: PageRequest & { search: SearchQuery },
): ListedConversation[] {
  const before = parseCursor(cursor, 'conversations');
  const flag = archived === null ? null : Number(archived);
  // The newest message has the largest number of its conversation's, the title the smallest. CROSS: in this order.
  return all(
    connection,
    `WITH found AS (SELECT rowid / ${DOCUMENTS_EACH} AS stream, max(rowid) AS document FROM search WHERE search MATCH ? GROUP BY 1)
     SELECT ${LISTED}, document FROM found CROSS JOIN conversations c ON c.stream = found.stream
     WHERE c.table_id = ? AND (?3 IS NULL OR c.archived = ?3) AND (c.last_at, c.conversation_id) < (?4, ?5)
     ORDER BY c.last_at DESC, c.conversation_id DESC LIMIT ?6`,
    matchExpression(search),
    tableId,
    flag,
    before.at,
    before.id,
    limit,
  ).map((row) => ({ ...toSummary(row), match: matchOf(connection, row, search) }));
}

function matchOf(
  connection: Connection,
  row: Row,
  search: SearchQuery,
): NonNullable<ListedConversation['match']> {
  const seq = integer(row, 'document') % DOCUMENTS_EACH;
  if (seq === 0) return { messageId: null, snippet: snippetOf(text(row, 'title'), search) };
  const message = one(
    connection,
    'SELECT message_id, content FROM messages WHERE conversation_id = ? AND seq = ?',
    text(row, 'conversation_id'),
    seq,
  );
  if (message === undefined)
    throw new TypeError('the search index names a message that is not there');
  const content = text(message, 'content').slice(0, SEARCH_TEXT_CHARS);
  return { messageId: text(message, 'message_id'), snippet: snippetOf(content, search) };
}

/** Where a page of a list ends: later ones begin after this. */
export function cursorOf(at: string, id: string): string {
  return `${at}~${id}`;
}

/** After everything that a list may hold. */
const BEFORE_ALL = { at: '~', id: '' };
const TIME = /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$/;

/** Throws: `invalid_request` for one that {@link cursorOf} did not make. */
export function parseCursor(cursor: string | null, of: string): { at: string; id: string } {
  if (cursor === null) return BEFORE_ALL;
  const at = cursor.slice(0, cursor.indexOf('~'));
  const id = cursor.slice(at.length + 1);
  if (!TIME.test(at) || !isId(id))
    throw new HoldfastError('invalid_request', `This cursor is not one that a list of ${of} gave.`);
  return { at, id };
}
