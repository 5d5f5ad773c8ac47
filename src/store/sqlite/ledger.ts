/**
 * Reading a trigger's ledger. A page, the newest rows and the counts cost the same however long it is; `ranBetween` costs what
 * lies in its range.
 */
import { HoldfastError } from '../../contracts/errors.ts';
import type { TriggerDefinitionValue, TriggerOutcomeName } from '../../contracts/events.ts';
import type { LedgerRowValue } from '../../contracts/triggers.ts';
import { toStoredText } from '../exact-text.ts';
import type { Undelivered } from '../port.ts';
import type { Connection } from './connection.ts';
import { all, one, type Answer } from './query.ts';
import { integer, isDefinition, json, oneOf, text, type Row } from './rows.ts';
import { toLedgerCounts, toLedgerRow, TRIGGER_OUTCOMES, WHEN_BUSY } from './views.ts';

/** The condition of the index `ledger_trouble`, word for word, or it would not be used. */
const TROUBLE =
  "(outcome IN ('late', 'rejected') OR (outcome = 'skipped' AND reason IS NOT 'paused'))";
const NEWEST_FIRST = 'ORDER BY due_at DESC, row DESC LIMIT';

export function ledger(
  connection: Connection,
  {
    triggerId,
    outcome,
    from,
    to,
    cursor,
    limit,
  }: {
    triggerId: string;
    outcome: TriggerOutcomeName | null;
    from: string | null;
    to: string | null;
    cursor: string | null;
    limit: number;
  },
): Answer<'ledger'> {
  const before = startOf(cursor, to);
  return connection.consistently(() => {
    const stream = streamOf(connection, triggerId);
    const rows = all(
      connection,
      // Left to itself, the database looks for an outcome among all rows.
      `SELECT * FROM ledger ${outcome === null ? 'WHERE' : 'INDEXED BY ledger_by_outcome WHERE outcome = ? AND'} stream = ?
         AND due_at >= ? AND (due_at, row) < (?, ?) ${NEWEST_FIRST} ?`,
      ...(outcome === null ? [] : [outcome]),
      stream,
      from ?? '',
      before.at,
      before.row,
      limit + 1,
    );
    const shown = rows.slice(0, limit);
    const last = shown.at(-1);
    return {
      items: shown.map((row) => toLedgerRow(triggerId, row)),
      nextCursor:
        rows.length > limit && last !== undefined
          ? `${text(last, 'due_at')}.${integer(last, 'row')}`
          : null,
    };
  });
}

export function ledgerSummary(connection: Connection, triggerId: string): Answer<'ledgerSummary'> {
  return connection.consistently(() => {
    const counted = one(
      connection,
      'SELECT stream, fired, late, caught_up, skipped, rejected FROM triggers WHERE trigger_id = ?',
      triggerId,
    );
    if (counted === undefined)
      return {
        counts: { fired: 0, late: 0, 'caught-up': 0, skipped: 0, rejected: 0 },
        last: null,
        trouble: null,
      };
    const stream = integer(counted, 'stream');
    const newest = (sql: string): LedgerRowValue | null => {
      const row = one(connection, sql, stream);
      return row === undefined ? null : toLedgerRow(triggerId, row);
    };
    return {
      counts: toLedgerCounts(counted),
      last: newest(`SELECT * FROM ledger WHERE stream = ? ${NEWEST_FIRST} 1`),
      trouble: newest(`SELECT * FROM ledger WHERE stream = ? AND ${TROUBLE} ${NEWEST_FIRST} 1`),
    };
  });
}

export function ledgerRow(
  connection: Connection,
  triggerId: string,
  requestId: string,
): LedgerRowValue | null {
  return connection.consistently(() => {
    // A run by hand may have been given the id of a due one's: the first stands for it.
    const row = one(
      connection,
      'SELECT * FROM ledger WHERE stream = ? AND request_id = ? ORDER BY row LIMIT 1',
      streamOf(connection, triggerId),
      requestId,
    );
    return row === undefined ? null : toLedgerRow(triggerId, row);
  });
}

export function ranBetween(
  connection: Connection,
  triggerId: string,
  from: string,
  to: string,
): string[] {
  return connection.consistently(() =>
    all(
      connection,
      `SELECT due_at FROM ledger WHERE stream = ? AND due_at BETWEEN ? AND ? AND cause <> 'manual'
         AND outcome IN ('fired', 'late', 'caught-up') ORDER BY due_at`,
      streamOf(connection, triggerId),
      from,
      to,
    ).map((row) => text(row, 'due_at')),
  );
}

export function undelivered(
  connection: Connection,
  triggerId: string,
  limit: number,
): Undelivered[] {
  return connection.consistently(() => {
    const stream = streamOf(connection, triggerId);
    // Read once each: a definition may be half a megabyte.
    const definitions = new Map<string, TriggerDefinitionValue>();
    const definitionOf = (rule: string): TriggerDefinitionValue => {
      const known = definitions.get(rule) ?? definitionOfRule(connection, stream, rule);
      definitions.set(rule, known);
      return known;
    };
    return all(
      connection,
      `SELECT * FROM ledger WHERE stream = ? AND delivered = 0 ORDER BY decided_at, due_at, row LIMIT ?`,
      stream,
      limit,
    ).map((row) => ({
      triggerId,
      dueAt: text(row, 'due_at'),
      decidedAt: text(row, 'decided_at'),
      outcome: oneOf(row, 'outcome', TRIGGER_OUTCOMES),
      words: text(row, 'words'),
      requestId: text(row, 'request_id'),
      conversationId: text(row, 'conversation_id'),
      whenBusy: oneOf(row, 'when_busy', WHEN_BUSY),
      definition: definitionOf(text(row, 'rule')),
    }));
  });
}

function definitionOfRule(
  connection: Connection,
  stream: number,
  rule: string,
): TriggerDefinitionValue {
  const row: Row =
    one(
      connection,
      'SELECT definition FROM trigger_rules WHERE stream = ? AND rule = ?',
      stream,
      toStoredText(rule),
    ) ?? {};
  return json(row, 'definition', isDefinition);
}

/** 0, which no stream has, for a trigger that there is not. */
function streamOf(connection: Connection, triggerId: string): number {
  const row = one(connection, 'SELECT stream FROM triggers WHERE trigger_id = ?', triggerId);
  return row === undefined ? 0 : integer(row, 'stream');
}

/** Of another shape than those of lists that go by ids. */
const CURSOR = /^(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z)\.(\d{1,15})$/;
const AFTER_ALL = '~';

/** After which row a page begins: the cursor's, or all of `to`. Throws: `invalid_request` for a cursor that no ledger gave. */
function startOf(cursor: string | null, to: string | null): { at: string; row: number } {
  const end = { at: to ?? AFTER_ALL, row: Number.MAX_SAFE_INTEGER };
  if (cursor === null) return end;
  const [, at, row] = CURSOR.exec(cursor) ?? [];
  if (at === undefined || row === undefined)
    throw new HoldfastError('invalid_request', 'This cursor is not one that a ledger gave.');
  return at > end.at ? end : { at, row: Number(row) };
}
