/** Reading tables: what they are, who is active, who runs, who waits. */
import { tableStream } from '../../contracts/ids.ts';
import type { TableState } from '../port.ts';
import type { Connection } from './connection.ts';
import { cursorOf, newestConversations, parseCursor } from './lists.ts';
import { all, one, type Answer } from './query.ts';
import { readHead, snapshot } from './read.ts';
import { integer, text, textOrNull } from './rows.ts';
import { toTableFacts } from './views.ts';

export function table(connection: Connection, tableId: string): Answer<'table'> {
  const row = one(connection, 'SELECT * FROM tables WHERE table_id = ?', tableId);
  return row === undefined ? null : toTableFacts(row);
}

export function tables(
  connection: Connection,
  cursor: string | null,
  limit: number,
): Answer<'tables'> {
  const before = parseCursor(cursor, 'tables');
  const rows = all(
    connection,
    `SELECT * FROM tables WHERE (created_at, table_id) < (?, ?)
     ORDER BY created_at DESC, table_id DESC LIMIT ?`,
    before.at,
    before.id,
    limit + 1,
  );
  const items = rows.slice(0, limit).map(toTableFacts);
  const last = items.at(-1);
  return {
    items,
    nextCursor:
      rows.length > limit && last !== undefined ? cursorOf(last.createdAt, last.tableId) : null,
  };
}

export function tableState(connection: Connection, tableId: string): TableState | null {
  return connection.consistently(() => {
    const row = one(
      connection,
      'SELECT active_conversation_id FROM tables WHERE table_id = ?',
      tableId,
    );
    if (row === undefined) return null;
    const running = one(
      connection,
      `SELECT conversation_id, turn_id, attempt, cancel_by FROM attempts
       WHERE outcome IS NULL AND table_id = ? AND table_id IS NOT NULL`,
      tableId,
    );
    return {
      tableId,
      activeConversationId: textOrNull(row, 'active_conversation_id'),
      running:
        running === undefined
          ? null
          : {
              conversationId: text(running, 'conversation_id'),
              turnId: text(running, 'turn_id'),
              attempt: integer(running, 'attempt'),
              cancelRequested: running['cancel_by'] !== null,
            },
      waiting: all(
        connection,
        `SELECT conversation_id, waiting_at FROM conversations
         WHERE table_id = ? AND waiting_at IS NOT NULL ORDER BY waiting_at, conversation_id`,
        tableId,
      ).map((each) => ({
        conversationId: text(each, 'conversation_id'),
        since: text(each, 'waiting_at'),
      })),
    };
  });
}

export function waitingTables(connection: Connection, after: string, limit: number): string[] {
  return all(
    connection,
    `SELECT DISTINCT table_id FROM conversations c WHERE waiting_at IS NOT NULL AND table_id > ?
       AND NOT EXISTS (SELECT 1 FROM attempts a WHERE a.table_id = c.table_id AND a.table_id IS NOT NULL AND a.outcome IS NULL)
     ORDER BY table_id LIMIT ?`,
    after,
    limit,
  ).map((row) => text(row, 'table_id'));
}

export function tableView(
  connection: Connection,
  tableId: string,
  conversationLimit: number,
): Answer<'tableView'> {
  return connection.consistently(() => {
    const facts = table(connection, tableId);
    if (facts === null) return null;
    const found = newestConversations(connection, {
      tableId,
      archived: false,
      cursor: null,
      limit: conversationLimit + 1,
    });
    return {
      ...facts,
      conversations: found.slice(0, conversationLimit),
      hasOlder: found.length > conversationLimit,
      lastSeq: readHead(connection, tableStream(tableId))?.lastSeq ?? 0,
    };
  });
}

export function tableWithActive(
  connection: Connection,
  tableId: string,
  conversationLimit: number,
  messageLimit: number,
): Answer<'tableWithActive'> {
  return connection.consistently(() => {
    const view = tableView(connection, tableId, conversationLimit);
    if (view === null) return null;
    const { activeConversationId } = view;
    const active =
      activeConversationId === null
        ? null
        : snapshot(connection, activeConversationId, messageLimit);
    return { table: view, active };
  });
}
