/**
 * Folding away: the pieces (deltas) of turns that are over. What they said as a whole is in events that stay.
 *
 * Invariants:
 *  1 Only pieces go, of attempts that have ended and are not their conversation's last. So the newest event of every stream
 *    stays: it tells where the stream is.
 *  2 An attempt whose rows the store had to close itself keeps its pieces: nothing else in the log has its whole text.
 *  3 The floor of a stream is moved with them: whoever has less than that may have missed one of them.
 */
import type { Connection } from './connection.ts';
import { all, one, run } from './query.ts';
import { integer, text, type Row } from './rows.ts';

/** Most rows of one transaction: some 5 ms. */
const STEP_ROWS = 1_000;
/** Most attempts of one transaction: most of those without pieces cost a look. */
const STEP_ATTEMPTS = 64;

export type CompactStep = {
  rows: number;
  /** Whether there may be more to fold. */
  more: boolean;
};

/** One transaction's part, at most `limit` rows. */
export function compactStep(
  connection: Connection,
  { endedBefore, limit }: { endedBefore: string; limit: number },
): CompactStep {
  const most = Math.min(limit, STEP_ROWS);
  let rows = 0;
  const due = all(
    connection,
    `SELECT a.rowid AS id, a.conversation_id, a.started_seq, c.stream FROM attempts a JOIN conversations c USING (conversation_id)
     WHERE a.pieces = 'due' AND a.ended_at < ? ORDER BY a.ended_at LIMIT ${STEP_ATTEMPTS}`,
    endedBefore,
  );
  for (const attempt of due) {
    const folded = foldAttempt(connection, attempt, most - rows);
    rows += folded;
    // Not all of it, perhaps: it stays due.
    if (rows >= most) return { rows, more: true };
    run(
      connection,
      "UPDATE attempts SET pieces = 'folded' WHERE rowid = ?",
      integer(attempt, 'id'),
    );
  }
  return { rows, more: due.length === STEP_ATTEMPTS };
}

/** Deletes at most `limit` of the attempt's pieces, oldest first; how many. */
function foldAttempt(connection: Connection, attempt: Row, limit: number): number {
  const stream = integer(attempt, 'stream');
  const from = integer(attempt, 'started_seq');
  const next = one(
    connection,
    `SELECT started_seq FROM attempts WHERE conversation_id = ? AND started_seq > ?
     ORDER BY started_seq LIMIT 1`,
    text(attempt, 'conversation_id'),
    from,
  );
  // The last attempt is never due.
  if (next === undefined) return 0;
  const pieces = all(
    connection,
    `SELECT event, seq FROM events WHERE stream = ? AND seq >= ? AND seq < ? AND type IN ('chat.delta', 'tool.output')
     ORDER BY seq LIMIT ?`,
    stream,
    from,
    integer(next, 'started_seq'),
    limit,
  );
  const last = pieces.at(-1);
  if (last === undefined) return 0;
  for (const piece of pieces)
    run(connection, 'DELETE FROM events WHERE event = ?', integer(piece, 'event'));
  run(
    connection,
    'UPDATE streams SET replay_floor = max(replay_floor, ?) WHERE stream = ?',
    integer(last, 'seq'),
    stream,
  );
  return pieces.length;
}
