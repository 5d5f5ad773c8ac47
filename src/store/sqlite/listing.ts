/**
 * What a list shows of a conversation: brought up to date at certain moments, and told to the table in the same
 * transaction (T1 of ../port.ts).
 *
 * Invariants:
 *  1 The columns of a conversation that a list shows change only here and with its names, and whatever changed them was
 *    told: a table's view is always the fold of the table's stream (L4).
 *  2 A moment is an append that changes state, turns, queue, open approvals, or rows other than the running turn's. Deltas
 *    and segments of a turn are none: they cost a list nothing, and count at the next moment.
 *  3 What comes up from below another is told as a whole (`conversation.listed`): a page that it enters may not know it.
 *  4 A moment costs what the running turn has written, not what the conversation has.
 */
import type { NewEvent } from '../../contracts/events.ts';
import { lastLineOf } from '../../domain/projection.ts';
import { toStoredText } from '../exact-text.ts';
import type { Connection } from './connection.ts';
import { one, run } from './query.ts';
import { text, textOrNull, type Row } from './rows.ts';
import { LISTED, toSummary } from './views.ts';

/** What an append has changed of what a list shows. */
export type Touched = {
  names: boolean;
  /** When, of the newest event that did; null: nothing but names. */
  activityAt: string | null;
};

/** What others are told of what a list shows. */
export type Told = {
  /** Of its team; null: it stands alone. */
  rootId: string | null;
  /** For its table's stream; null: it is in none. */
  listed: { tableId: string; event: NewEvent } | null;
};

/** Rows that count as messages. The condition of the index `messages_shown`, word for word, or it would not be used. */
const SHOWN =
  "kind = 'text' AND role IN ('user', 'assistant') AND status IN ('complete', 'partial') AND cut = 0";
/** How many of them are looked at for one that is not blank. */
const LAST_LINE_ROWS = 8;

/** Brings the list's columns up to date. Null: there is no such conversation. */
export function refreshListing(
  connection: Connection,
  conversationId: string,
  { names, activityAt }: Touched,
): Told | null {
  const before = listedRow(connection, conversationId);
  if (before === undefined) return null;
  const tableId = textOrNull(before, 'table_id');
  const isListed = names || (tableId !== null && isBelowAnother(connection, tableId, before));
  if (activityAt !== null) updateActivity(connection, conversationId, activityAt);
  const rootId = textOrNull(before, 'root_id');
  if (tableId === null) return { rootId, listed: null };
  const after = listedRow(connection, conversationId);
  if (after === undefined) return null;
  const conversation = toSummary(after);
  const scope = { conversationId, tableId };
  if (isListed) {
    const event: NewEvent = { type: 'conversation.listed', ...scope, payload: { conversation } };
    return { rootId, listed: { tableId, event } };
  }
  const { state, lastLine, messageCount, turnCount, queued, held, approvals, lastAt } =
    conversation;
  const payload = { state, lastLine, messageCount, turnCount, queued, held, approvals, lastAt };
  return { rootId, listed: { tableId, event: { type: 'conversation.state', ...scope, payload } } };
}

/** The rows before `seq` will not change any more, since a turn begins there: they need not be counted again. */
export function countUpTo(connection: Connection, conversationId: string, seq: number): void {
  run(
    connection,
    `UPDATE conversations SET counted_seq = ?1 - 1, counted = counted +
       (SELECT count(*) FROM messages WHERE conversation_id = ?2 AND seq > counted_seq AND seq < ?1 AND ${SHOWN})
     WHERE conversation_id = ?2`,
    seq,
    conversationId,
  );
}

/**
 * Changes rows that may have been counted already, from `seq` on up to `lastSeq`, and counts them anew: what they cost is
 * theirs, not the conversation's.
 */
export function recounting(
  connection: Connection,
  rows: { conversationId: string; seq: number; lastSeq: number },
  change: () => void,
): void {
  addCounted(connection, rows, '-');
  change();
  addCounted(connection, rows, '+');
}

function addCounted(
  connection: Connection,
  { conversationId, seq, lastSeq }: { conversationId: string; seq: number; lastSeq: number },
  sign: '+' | '-',
): void {
  run(
    connection,
    `UPDATE conversations SET counted = counted ${sign}
       (SELECT count(*) FROM messages WHERE conversation_id = ?1 AND seq BETWEEN ?2 AND min(?3, counted_seq) AND ${SHOWN})
     WHERE conversation_id = ?1`,
    conversationId,
    seq,
    lastSeq,
  );
}

function updateActivity(connection: Connection, conversationId: string, at: string): void {
  run(
    connection,
    `UPDATE conversations SET last_at = max(last_at, ?1), last_line = ?2,
       message_count = counted + (SELECT count(*) FROM messages WHERE conversation_id = ?3 AND seq > counted_seq AND ${SHOWN}),
       approvals = (SELECT count(*) FROM attempts a CROSS JOIN approvals p USING (turn_id, attempt)
         WHERE a.conversation_id = ?3 AND a.outcome IS NULL AND p.decision IS NULL),
       waiting_at = CASE WHEN held = 1 OR table_id IS NULL
           OR EXISTS (SELECT 1 FROM attempts WHERE conversation_id = ?3 AND outcome IS NULL)
         THEN NULL ELSE head_at END
     WHERE conversation_id = ?3`,
    at,
    toStoredText(newestLine(connection, conversationId)),
    conversationId,
  );
}

function newestLine(connection: Connection, conversationId: string): string {
  const newest = connection
    .prepare(
      `SELECT content FROM messages WHERE conversation_id = ? AND ${SHOWN} ORDER BY seq DESC LIMIT ${LAST_LINE_ROWS}`,
    )
    .iterate(conversationId);
  for (const row of newest) {
    const line = lastLineOf(text(row, 'content'));
    if (line !== '') return line;
  }
  return '';
}

function listedRow(connection: Connection, conversationId: string): Row | undefined {
  return one(
    connection,
    `SELECT ${LISTED} FROM conversations WHERE conversation_id = ?`,
    conversationId,
  );
}

/** Whether it was not its table's most recent one up to now. */
function isBelowAnother(connection: Connection, tableId: string, row: Row): boolean {
  const above = one(
    connection,
    `SELECT 1 FROM conversations WHERE table_id = ? AND archived = 0 AND (last_at, conversation_id) > (?, ?) LIMIT 1`,
    tableId,
    text(row, 'last_at'),
    text(row, 'conversation_id'),
  );
  return above !== undefined;
}
