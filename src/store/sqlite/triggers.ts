/** Reading triggers: what they are, and which of them somebody must look at. */
import type { Connection } from './connection.ts';
import { cursorOf, parseCursor } from './lists.ts';
import { all, one, type Answer } from './query.ts';
import { integer, text } from './rows.ts';
import { toTrigger } from './views.ts';

/** With the present definition. CROSS: that is looked up for each trigger, never the other way round. */
const TRIGGERS =
  'SELECT t.*, r.definition FROM triggers t CROSS JOIN trigger_rules r USING (stream, rule)';

export function trigger(connection: Connection, triggerId: string): Answer<'trigger'> {
  const row = one(connection, `${TRIGGERS} WHERE t.trigger_id = ?`, triggerId);
  return row === undefined ? null : toTrigger(row);
}

export function triggers(
  connection: Connection,
  {
    tableId,
    conversationId,
    cursor,
    limit,
  }: {
    tableId: string | null;
    conversationId: string | null;
    cursor: string | null;
    limit: number;
  },
): Answer<'triggers'> {
  const before = parseCursor(cursor, 'triggers');
  const asked: [column: string, value: string | null][] = [
    ['t.table_id', tableId],
    ['t.conversation_id', conversationId],
  ];
  const filters = asked.flatMap(([column, value]) => (value === null ? [] : [{ column, value }]));
  const rows = all(
    connection,
    `${TRIGGERS} WHERE t.removed_at IS NULL${filters.map(({ column }) => ` AND ${column} = ?`).join('')}
       AND (t.created_at, t.trigger_id) < (?, ?) ORDER BY t.created_at DESC, t.trigger_id DESC LIMIT ?`,
    ...filters.map(({ value }) => value),
    before.at,
    before.id,
    limit + 1,
  );
  const items = rows.slice(0, limit).map(toTrigger);
  const last = items.at(-1);
  return {
    items,
    nextCursor:
      rows.length > limit && last !== undefined ? cursorOf(last.createdAt, last.triggerId) : null,
  };
}

export function triggerCount(connection: Connection): number {
  const row = one(connection, 'SELECT count(*) AS count FROM triggers WHERE removed_at IS NULL');
  return row === undefined ? 0 : integer(row, 'count');
}

export function overdueTriggers(
  connection: Connection,
  {
    dueBefore,
    decidedBefore,
    after,
    limit,
  }: { dueBefore: string; decidedBefore: string; after: string; limit: number },
): string[] {
  // By what is due and what is to be sent, however many triggers there are: the plus keeps the database from going through them
  // by their ids.
  return all(
    connection,
    `SELECT trigger_id FROM triggers WHERE next_due_at IS NOT NULL AND next_due_at < ?1 AND +trigger_id > ?3
     UNION
     SELECT t.trigger_id FROM ledger l CROSS JOIN triggers t USING (stream)
     WHERE l.delivered = 0 AND l.decided_at < ?2 AND +t.trigger_id > ?3
     ORDER BY trigger_id LIMIT ?4`,
    dueBefore,
    decidedBefore,
    after,
    limit,
  ).map((row) => text(row, 'trigger_id'));
}
