/** Reading turns: their attempts, their requests, their approvals, their answers. */
import { HoldfastError } from '../../contracts/errors.ts';
import type { UsageValue } from '../../contracts/events.ts';
import type { TurnViewValue } from '../../contracts/view.ts';
import { addUsage } from '../../domain/segments.ts';
import type { AttemptRow, RequestRow } from '../port.ts';
import { composeSnapshot } from '../snapshot.ts';
import type { Connection } from './connection.ts';
import { all, one, type Answer } from './query.ts';
import { readRunning } from './read.ts';
import { integer, oneOfOrNull, text, textOrNull } from './rows.ts';
import { toAttempt, toAttemptView, toRequest } from './views.ts';

const DECISIONS = ['allow', 'deny', 'withdrawn'] as const;

const ATTEMPTS = `SELECT a.* FROM attempts a`;

export function turns(
  connection: Connection,
  conversationId: string,
  cursor: string | null,
  limit: number,
): Answer<'turns'> {
  if (cursor !== null && !/^[1-9][0-9]{0,15}$/.test(cursor))
    throw new HoldfastError('invalid_request', 'This cursor is not one that a list of turns gave.');
  return connection.consistently(() => {
    const starts = all(
      connection,
      // A turn's place is that of its first attempt.
      `SELECT turn_id, started_seq FROM attempts a WHERE conversation_id = ? AND started_seq < ? AND NOT EXISTS
         (SELECT 1 FROM attempts e WHERE e.turn_id = a.turn_id AND +e.conversation_id = a.conversation_id
            AND e.started_seq < a.started_seq)
       ORDER BY started_seq DESC LIMIT ?`,
      conversationId,
      cursor === null ? Number.MAX_SAFE_INTEGER : Number(cursor),
      limit + 1,
    );
    const page = starts.slice(0, limit);
    const last = page.at(-1);
    return {
      items: page.flatMap((row) => turnOf(connection, conversationId, text(row, 'turn_id')) ?? []),
      nextCursor:
        starts.length > limit && last !== undefined ? String(integer(last, 'started_seq')) : null,
    };
  });
}

export function oneTurn(
  connection: Connection,
  conversationId: string,
  turnId: string,
): TurnViewValue | null {
  return connection.consistently(() => turnOf(connection, conversationId, turnId));
}

function turnOf(
  connection: Connection,
  conversationId: string,
  turnId: string,
): TurnViewValue | null {
  const attempts = all(
    connection,
    `${ATTEMPTS} WHERE a.turn_id = ? AND a.conversation_id = ? ORDER BY a.attempt`,
    turnId,
    conversationId,
  ).map(toAttemptView);
  const first = attempts[0];
  const newest = attempts.at(-1);
  if (first === undefined || newest === undefined) return null;
  const usages = attempts.flatMap(({ usage }) => (usage === null ? [] : [usage]));
  return {
    turnId,
    conversationId,
    requestId: first.requestId,
    outcome: newest.outcome,
    cause: newest.cause,
    startedAt: first.startedAt,
    endedAt: newest.endedAt,
    usage: usages.reduce<UsageValue | null>(addUsage, null),
    attempts,
  };
}

export function oneAttempt(
  connection: Connection,
  turnId: string,
  number: number,
): AttemptRow | null {
  const row = one(connection, `${ATTEMPTS} WHERE a.turn_id = ? AND a.attempt = ?`, turnId, number);
  return row === undefined ? null : toAttempt(row);
}

export function latestAttempt(connection: Connection, turnId: string): Answer<'latestAttempt'> {
  return connection.consistently(() => {
    const row = one(
      connection,
      `${ATTEMPTS} WHERE a.turn_id = ? ORDER BY a.attempt DESC LIMIT 1`,
      turnId,
    );
    if (row === undefined) return null;
    const prompt = one(
      connection,
      `SELECT content FROM messages WHERE turn_id = ? AND role = 'user'
       ORDER BY attempt, tool_call_id, seq LIMIT 1`,
      turnId,
    );
    return { ...toAttempt(row), content: prompt === undefined ? '' : text(prompt, 'content') };
  });
}

export function unclaimedAttempt(
  connection: Connection,
  conversationId: string,
  host: string,
): Answer<'unclaimedAttempt'> {
  const row = one(
    connection,
    `SELECT a.turn_id, a.attempt FROM attempts a JOIN conversations c USING (conversation_id)
     WHERE a.outcome IS NULL AND a.conversation_id = ? AND a.spool IS NULL AND c.host = ?`,
    conversationId,
    host,
  );
  return row === undefined
    ? null
    : { conversationId, turnId: text(row, 'turn_id'), attempt: integer(row, 'attempt') };
}

export function runningAttempts(connection: Connection, host: string | null): AttemptRow[] {
  const rows =
    host === null
      ? all(connection, `${ATTEMPTS} WHERE a.outcome IS NULL ORDER BY a.started_at, a.rowid`)
      : all(
          connection,
          `${ATTEMPTS} WHERE a.outcome IS NULL AND a.host = ? ORDER BY a.started_at, a.rowid`,
          host,
        );
  return rows.map(toAttempt);
}

export function request(
  connection: Connection,
  conversationId: string,
  requestId: string,
): RequestRow | null {
  const row = one(
    connection,
    'SELECT * FROM requests WHERE conversation_id = ? AND request_id = ?',
    conversationId,
    requestId,
  );
  return row === undefined ? null : toRequest(row);
}

export function answerText(connection: Connection, turnId: string, number: number): string {
  return connection.consistently(() => {
    const rows = all(
      connection,
      `SELECT conversation_id, message_id, status, content FROM messages
       WHERE turn_id = ? AND attempt = ? AND tool_call_id IS NULL AND role = 'assistant' AND kind = 'text'
         AND status <> 'discarded' ORDER BY seq`,
      turnId,
      number,
    );
    const open = rows.find((row) => row['status'] === 'open');
    const live =
      open === undefined
        ? null
        : readRunning({
            connection,
            conversationId: text(open, 'conversation_id'),
            messageLimit: 0,
          });
    const overlays = live === null ? {} : composeSnapshot({ rows: live, messageLimit: 0 }).overlays;
    return rows
      .map((row) =>
        row['status'] === 'open' ? (overlays[text(row, 'message_id')] ?? '') : text(row, 'content'),
      )
      .join('');
  });
}

export function approval(
  connection: Connection,
  conversationId: string,
  approvalId: string,
): Answer<'approval'> {
  const row = one(
    connection,
    'SELECT * FROM approvals WHERE conversation_id = ? AND approval_id = ?',
    conversationId,
    approvalId,
  );
  if (row === undefined) return null;
  return {
    turnId: text(row, 'turn_id'),
    attempt: integer(row, 'attempt'),
    decision: oneOfOrNull(row, 'decision', DECISIONS),
    by: textOrNull(row, 'decided_by'),
  };
}
