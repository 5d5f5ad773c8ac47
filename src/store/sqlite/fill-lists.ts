/**
 * What the third migration fills in for conversations that were there before it: what lists show, the search index, and
 * whose pieces may be folded away. In the migration's transaction: a few seconds for each million messages.
 *
 * It belongs to that migration and is never edited, whatever becomes of the rest: so it repeats what it needs of it.
 */
import type { DatabaseSync } from 'node:sqlite';

import { lastLineOf } from '../../domain/projection.ts';
import { fromStoredText, toStoredText } from '../exact-text.ts';
import { documentOf, indexedPart, INDEX_TEXT } from './search.ts';

const SHOWN =
  "kind = 'text' AND role IN ('user', 'assistant') AND status IN ('complete', 'partial') AND cut = 0";

export function fillLists(database: DatabaseSync): void {
  database.exec(`
    UPDATE conversations SET
      queued = json_array_length(queue),
      head_at = CASE WHEN queue = '[]' THEN NULL ELSE coalesce(queue ->> '$[0].at', created_at) END,
      message_count = (SELECT count(*) FROM messages m WHERE m.conversation_id = conversations.conversation_id AND ${SHOWN}),
      turn_count = (SELECT count(DISTINCT turn_id) FROM attempts a WHERE a.conversation_id = conversations.conversation_id),
      approvals = (SELECT count(*) FROM attempts a JOIN approvals p USING (turn_id, attempt)
        WHERE a.conversation_id = conversations.conversation_id AND a.outcome IS NULL AND p.decision IS NULL),
      last_at = max(created_at,
        coalesce((SELECT max(at) FROM messages m WHERE m.conversation_id = conversations.conversation_id), ''),
        coalesce((SELECT max(coalesce(ended_at, started_at)) FROM attempts a
          WHERE a.conversation_id = conversations.conversation_id), ''));

    UPDATE attempts SET pieces = 'due' WHERE outcome IS NOT NULL AND EXISTS
      (SELECT 1 FROM attempts later WHERE later.conversation_id = attempts.conversation_id AND later.started_seq > attempts.started_seq);
    -- A row that the store closed itself: no event has its whole text.
    UPDATE attempts SET pieces = 'kept' WHERE outcome IS NOT NULL AND EXISTS
      (SELECT 1 FROM messages m JOIN conversations c USING (conversation_id)
       WHERE m.turn_id = attempts.turn_id AND m.attempt = attempts.attempt AND m.status = 'partial'
         AND NOT EXISTS (SELECT 1 FROM events e WHERE e.stream = c.stream AND e.seq > m.seq
           AND e.type = 'assistant.segment.ended' AND e.type NOT IN ('chat.delta', 'tool.output')
           AND e.json ->> '$.payload.messageId' = m.message_id));
  `);
  fillLastLines(database);
  fillSearch(database);
}

function fillLastLines(database: DatabaseSync): void {
  const newest = database.prepare(
    `SELECT content FROM messages WHERE conversation_id = ? AND ${SHOWN} ORDER BY seq DESC LIMIT 8`,
  );
  const set = database.prepare('UPDATE conversations SET last_line = ? WHERE conversation_id = ?');
  const ids = database.prepare('SELECT conversation_id AS id FROM conversations').all();
  for (const { id = null } of ids) {
    const line = newest
      .all(id)
      .map(({ content }) => lastLineOf(fromStoredText(String(content))))
      .find((found) => found !== '');
    if (line !== undefined) set.run(toStoredText(line), id);
  }
}

function fillSearch(database: DatabaseSync): void {
  const index = database.prepare(INDEX_TEXT);
  const add = (stream: unknown, seq: unknown, stored: unknown): void => {
    const part = indexedPart(fromStoredText(String(stored)));
    if (part !== null) index.run(documentOf(Number(stream), Number(seq)), part);
  };
  const titles = database.prepare('SELECT stream, title FROM conversations');
  for (const { stream, title } of titles.iterate()) add(stream, 0, title);
  const texts = database.prepare(
    `SELECT c.stream, m.seq, m.content FROM messages m JOIN conversations c USING (conversation_id)
     WHERE m.kind = 'text' AND m.status IN ('complete', 'partial')`,
  );
  for (const { stream, seq, content } of texts.iterate()) add(stream, seq, content);
}
