/** S1: who may start a turn. Two unique indexes stand behind it; asked first, so that a refusal has a reason. */
import { HoldfastError } from '../../contracts/errors.ts';
import type { Connection } from './connection.ts';
import { one } from './query.ts';
import { text, textOrNull } from './rows.ts';

type Where = { conversationId: string; tableId: string | null };

/** Why a turn of that conversation may not start now; null: it may. */
export function refusalOfStart(
  connection: Connection,
  { conversationId, tableId }: Where,
): HoldfastError | null {
  const own = one(
    connection,
    'SELECT turn_id FROM attempts WHERE outcome IS NULL AND conversation_id = ?',
    conversationId,
  );
  if (own !== undefined)
    return busy('own', 'Another turn of this conversation is running.', {
      turnId: text(own, 'turn_id'),
    });
  if (tableId === null) return null;
  const other = one(
    connection,
    `SELECT turn_id, conversation_id FROM attempts
     WHERE outcome IS NULL AND table_id = ? AND table_id IS NOT NULL`,
    tableId,
  );
  if (other !== undefined)
    return busy('running', 'A turn of another conversation of this table is running.', {
      turnId: text(other, 'turn_id'),
      conversationId: text(other, 'conversation_id'),
    });
  const row = one(
    connection,
    'SELECT active_conversation_id FROM tables WHERE table_id = ?',
    tableId,
  );
  const active = row === undefined ? null : textOrNull(row, 'active_conversation_id');
  return active === conversationId
    ? null
    : busy('elsewhere', 'Another conversation of this table is the active one.', {
        conversationId: active,
      });
}

/** The refusal when another conversation of the table waits since before `time`; else null. */
export function refusalOfWaiting(
  connection: Connection,
  { conversationId, tableId }: Where,
  time: string,
): HoldfastError | null {
  if (tableId === null) return null;
  const longer = one(
    connection,
    `SELECT conversation_id, waiting_at FROM conversations
     WHERE table_id = ? AND waiting_at IS NOT NULL AND waiting_at < ? AND conversation_id <> ? ORDER BY waiting_at LIMIT 1`,
    tableId,
    time,
    conversationId,
  );
  return longer === undefined
    ? null
    : busy('waiting', 'Another conversation of this table has waited longer.', {
        conversationId: text(longer, 'conversation_id'),
        since: text(longer, 'waiting_at'),
      });
}

function busy(
  reason: 'own' | 'running' | 'elsewhere' | 'waiting',
  message: string,
  detail: Readonly<Record<string, unknown>>,
): HoldfastError {
  return new HoldfastError('busy', message, { reason, ...detail });
}
