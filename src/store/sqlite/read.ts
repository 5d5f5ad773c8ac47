/**
 * The store's reads: each exported function answers the method of the port that it is named after (../port.ts).
 * Synchronous; each sees one commit (`consistently`), its caller waits for a busy database.
 */
import { HoldfastError } from '../../contracts/errors.ts';
import type {
  ConversationStateName,
  Event,
  OutcomeName,
  UsageValue,
} from '../../contracts/events.ts';
import type { AttemptViewValue, MessageViewValue, TurnViewValue } from '../../contracts/view.ts';
import { addUsage } from '../../domain/segments.ts';
import type {
  AttemptRow,
  ConversationRow,
  RequestRow,
  Store,
  StoredEvent,
  WorkflowState,
} from '../port.ts';
import { composeSnapshot, type SnapshotRows } from '../snapshot.ts';
import { decodeEvent } from '../stored-event.ts';
import type { Connection } from './connection.ts';
import {
  isAnything,
  isQueue,
  isUsage,
  integer,
  integerOrNull,
  json,
  jsonOrNull,
  oneOf,
  oneOfOrNull,
  text,
  textOrNull,
  type Row,
} from './rows.ts';

/** The ends of an attempt, as its column may hold them. */
export const OUTCOMES: readonly OutcomeName[] = ['completed', 'failed', 'cancelled', 'interrupted'];
const STATES: readonly ConversationStateName[] = ['idle', 'processing', 'cancelled'];
const ROLES: readonly MessageViewValue['role'][] = ['user', 'assistant', 'tool', 'system'];
const KINDS: readonly MessageViewValue['kind'][] = ['text', 'reasoning', 'tool'];
const STATUSES: readonly MessageViewValue['status'][] = [
  'open',
  'complete',
  'partial',
  'discarded',
];
const TOOL_STATUSES = ['running', 'ok', 'error', 'denied'] as const;
const REQUEST_KINDS: readonly RequestRow['kind'][] = ['send', 'retry'];
const REQUEST_STATUSES: readonly RequestRow['status'][] = ['started', 'queued', 'rejected'];
const DECISIONS = ['allow', 'deny', 'withdrawn'] as const;

/** What {@link Store} answers, without the promise. */
type Answer<K extends keyof Store> = Store[K] extends (...args: never) => Promise<infer T>
  ? T
  : never;

type Values = (string | number | null)[];

function one(connection: Connection, sql: string, ...values: Values): Row | undefined {
  return connection.prepare(sql).get(...values);
}

function all(connection: Connection, sql: string, ...values: Values): Row[] {
  return connection.prepare(sql).all(...values);
}

const ATTEMPTS = `SELECT a.* FROM attempts a`;

export function conversation(
  connection: Connection,
  conversationId: string,
): ConversationRow | null {
  const row = one(
    connection,
    'SELECT * FROM conversations WHERE conversation_id = ?',
    conversationId,
  );
  return row === undefined ? null : toConversation(row);
}

export function workflowState(
  connection: Connection,
  conversationId: string,
): WorkflowState | null {
  return connection.consistently(() => {
    const row = one(
      connection,
      'SELECT * FROM conversations WHERE conversation_id = ?',
      conversationId,
    );
    if (row === undefined) return null;
    const running = runningOf(connection, conversationId);
    const turn =
      running === null
        ? null
        : {
            turnId: running.turnId,
            attempt: running.attempt,
            requestId: running.requestId,
            startedAt: running.startedAt,
            cancelRequested: running.cancelBy !== null,
          };
    return {
      ...toConversation(row),
      state: oneOf(row, 'state', STATES),
      turn,
      queue: json(row, 'queue', isQueue),
    };
  });
}

export function unsettled(connection: Connection, after: string, limit: number): string[] {
  // The condition is the index's own, word for word, or it would not be used.
  return all(
    connection,
    `SELECT conversation_id FROM conversations WHERE (state <> 'idle' OR queue <> '[]') AND conversation_id > ?
     ORDER BY conversation_id LIMIT ?`,
    after,
    limit,
  ).map((row) => text(row, 'conversation_id'));
}

function runningOf(connection: Connection, conversationId: string): AttemptRow | null {
  const row = one(
    connection,
    `${ATTEMPTS} WHERE a.outcome IS NULL AND a.conversation_id = ?`,
    conversationId,
  );
  return row === undefined ? null : toAttempt(row);
}

/** What a snapshot is composed of, inside one transaction of the caller; null when there is no such conversation. */
export function readRunning({
  connection,
  conversationId,
  messageLimit,
}: {
  connection: Connection;
  conversationId: string;
  /** Messages of before the running turn; its own are all in the events. */
  messageLimit: number;
}): SnapshotRows | null {
  const row = one(
    connection,
    `SELECT c.*, a.started_seq, a.usage_before,
       (SELECT max(seq) FROM events WHERE events.stream = c.stream) AS last_seq
     FROM conversations c LEFT JOIN attempts a ON a.conversation_id = c.conversation_id AND a.outcome IS NULL
     WHERE c.conversation_id = ?`,
    conversationId,
  );
  if (row === undefined) return null;
  const lastSeq = integer(row, 'last_seq');
  const startedSeq = integerOrNull(row, 'started_seq');
  const newer = all(
    connection,
    'SELECT * FROM messages WHERE conversation_id = ? AND seq < ? ORDER BY seq DESC LIMIT ?',
    conversationId,
    startedSeq ?? lastSeq + 1,
    messageLimit + 1,
  );
  const before = {
    ...toConversationFacts(row),
    messages: newer.slice(0, messageLimit).map(toMessage).toReversed(),
    activeTurn: null,
    overlays: {},
    queue: json(row, 'queue', isQueue),
    approvals: [],
    usage: json(row, startedSeq === null ? 'usage' : 'usage_before', isUsage),
    hasOlder: newer.length > messageLimit,
    lastSeq: startedSeq === null ? lastSeq : startedSeq - 1,
  };
  const events = startedSeq === null ? [] : eventsToFold(connection, row, startedSeq);
  return { before, events, lastSeq };
}

/** The running turn's events, without the deltas of messages that have ended. Read as they are asked for. */
function* eventsToFold(connection: Connection, row: Row, startedSeq: number): Generator<Event> {
  const stream = integer(row, 'stream');
  const open = one(
    connection,
    "SELECT min(seq) AS seq FROM messages WHERE conversation_id = ? AND status = 'open' AND seq >= ?",
    text(row, 'conversation_id'),
    startedSeq,
  );
  const openSeq = open === undefined ? null : integerOrNull(open, 'seq');
  const from = openSeq ?? integer(row, 'last_seq') + 1;
  const lasting = `SELECT json FROM events WHERE stream = ? AND seq >= ? AND seq < ?
    AND type NOT IN ('chat.delta', 'tool.output') ORDER BY seq`;
  const rest = 'SELECT json FROM events WHERE stream = ? AND seq >= ? ORDER BY seq';
  for (const found of connection.prepare(lasting).iterate(stream, startedSeq, from))
    yield decodeEvent(text(found, 'json'));
  for (const found of connection.prepare(rest).iterate(stream, from))
    yield decodeEvent(text(found, 'json'));
}

export function snapshot(
  connection: Connection,
  conversationId: string,
  messageLimit: number,
): Answer<'snapshot'> {
  return connection.consistently(() => {
    const rows = readRunning({ connection, conversationId, messageLimit });
    return rows === null ? null : composeSnapshot({ rows, messageLimit });
  });
}

export function messages(
  connection: Connection,
  conversationId: string,
  before: string | null,
  limit: number,
): Answer<'messages'> {
  return connection.consistently(() => {
    let end = Number.MAX_SAFE_INTEGER;
    if (before !== null) {
      const row = one(
        connection,
        'SELECT seq FROM messages WHERE conversation_id = ? AND message_id = ?',
        conversationId,
        before,
      );
      if (row === undefined) return null;
      end = integer(row, 'seq');
    }
    const rows = all(
      connection,
      'SELECT * FROM messages WHERE conversation_id = ? AND seq < ? ORDER BY seq DESC LIMIT ?',
      conversationId,
      end,
      limit + 1,
    );
    const items = rows.slice(0, limit).map(toMessage);
    const last = items.at(-1);
    return {
      items: withLiveContent(connection, conversationId, items),
      nextCursor: rows.length > limit && last !== undefined ? last.messageId : null,
    };
  });
}

/** Rows that are open as a snapshot shows them: their content is in events only. */
function withLiveContent(
  connection: Connection,
  conversationId: string,
  items: MessageViewValue[],
): MessageViewValue[] {
  if (!items.some(({ status }) => status === 'open')) return items;
  const rows = readRunning({ connection, conversationId, messageLimit: 0 });
  if (rows === null) return items;
  const { messages: live } = composeSnapshot({ rows, messageLimit: 0 });
  const byId = new Map(live.map((message) => [message.messageId, message]));
  return items.map((item) => (item.status === 'open' ? (byId.get(item.messageId) ?? item) : item));
}

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
      `SELECT turn_id, min(started_seq) AS started_seq FROM attempts WHERE conversation_id = ?
       GROUP BY turn_id HAVING min(started_seq) < ? ORDER BY 2 DESC LIMIT ?`,
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
  if (row === undefined) return null;
  const position = integerOrNull(row, 'position');
  const code = textOrNull(row, 'code');
  return {
    conversationId,
    requestId,
    kind: oneOf(row, 'kind', REQUEST_KINDS),
    status: oneOf(row, 'status', REQUEST_STATUSES),
    turnId: textOrNull(row, 'turn_id'),
    attempt: integer(row, 'attempt'),
    ...(position === null ? {} : { position }),
    ...(code === null ? {} : { code }),
    contentHash: text(row, 'content_hash'),
    at: text(row, 'at'),
  };
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

export function eventsAfter(
  connection: Connection,
  stream: string,
  afterSeq: number,
  limit: number,
): Answer<'events'> {
  return connection.consistently(() => {
    const head = readHead(connection, stream);
    if (head === null) return { items: [], lastSeq: 0 };
    const { lastSeq } = head;
    if (afterSeq >= lastSeq) return { items: [], lastSeq };
    const items = all(
      connection,
      'SELECT seq, type, json FROM events WHERE stream = ? AND seq > ? ORDER BY seq LIMIT ?',
      head.stream,
      afterSeq,
      limit,
    ).map((row): StoredEvent => ({
      seq: integer(row, 'seq'),
      type: text(row, 'type'),
      json: text(row, 'json'),
    }));
    return { items, lastSeq };
  });
}

/** Null for a stream that nothing was written to. */
export function readHead(
  connection: Connection,
  stream: string,
): { stream: number; lastSeq: number } | null {
  const row = one(
    connection,
    `SELECT stream, (SELECT max(seq) FROM events WHERE events.stream = streams.stream) AS last_seq
     FROM streams WHERE name = ?`,
    stream,
  );
  if (row === undefined) return null;
  return { stream: integer(row, 'stream'), lastSeq: integerOrNull(row, 'last_seq') ?? 0 };
}

export function newestSeq(connection: Connection, stream: string): number {
  return readHead(connection, stream)?.lastSeq ?? 0;
}

export function replayFloor(connection: Connection, stream: string): number {
  const row = one(connection, 'SELECT replay_floor FROM streams WHERE name = ?', stream);
  return row === undefined ? 0 : integer(row, 'replay_floor');
}

function toConversation(row: Row): ConversationRow {
  return {
    conversationId: text(row, 'conversation_id'),
    tableId: textOrNull(row, 'table_id'),
    title: text(row, 'title'),
    provider: text(row, 'provider'),
    model: textOrNull(row, 'model'),
    workspacePath: text(row, 'workspace_path'),
    host: textOrNull(row, 'host'),
    providerSessionId: textOrNull(row, 'provider_session_id'),
  };
}

function toConversationFacts(row: Row): {
  conversationId: string;
  tableId: string | null;
  title: string;
  archived: boolean;
  provider: string;
  model: string | null;
  workspacePath: string;
  state: ConversationStateName;
} {
  return {
    conversationId: text(row, 'conversation_id'),
    tableId: textOrNull(row, 'table_id'),
    title: text(row, 'title'),
    archived: integer(row, 'archived') === 1,
    provider: text(row, 'provider'),
    model: textOrNull(row, 'model'),
    workspacePath: text(row, 'workspace_path'),
    state: oneOf(row, 'state', STATES),
  };
}

function toMessage(row: Row): MessageViewValue {
  const toolCallId = textOrNull(row, 'tool_call_id');
  return {
    messageId: text(row, 'message_id'),
    role: oneOf(row, 'role', ROLES),
    kind: oneOf(row, 'kind', KINDS),
    turnId: textOrNull(row, 'turn_id'),
    attempt: integerOrNull(row, 'attempt'),
    content: text(row, 'content'),
    status: oneOf(row, 'status', STATUSES),
    at: text(row, 'at'),
    ...(toolCallId === null
      ? {}
      : {
          tool: {
            toolCallId,
            name: text(row, 'tool_name'),
            input: row['tool_input'] === null ? undefined : json(row, 'tool_input', isAnything),
            status: oneOf(row, 'tool_status', TOOL_STATUSES),
          },
        }),
  };
}

function toAttemptView(row: Row): AttemptViewValue {
  return {
    attempt: integer(row, 'attempt'),
    requestId: textOrNull(row, 'request_id'),
    provider: text(row, 'provider'),
    model: textOrNull(row, 'model'),
    outcome: oneOfOrNull(row, 'outcome', OUTCOMES),
    cause: textOrNull(row, 'cause'),
    startedAt: text(row, 'started_at'),
    endedAt: textOrNull(row, 'ended_at'),
    usage: jsonOrNull(row, 'usage', isUsage),
  };
}

function toAttempt(row: Row): AttemptRow {
  const spool = textOrNull(row, 'spool');
  const host = textOrNull(row, 'host');
  const from = integerOrNull(row, 'spool_from');
  return {
    conversationId: text(row, 'conversation_id'),
    turnId: text(row, 'turn_id'),
    attempt: integer(row, 'attempt'),
    requestId: textOrNull(row, 'request_id'),
    provider: text(row, 'provider'),
    model: textOrNull(row, 'model'),
    startedAt: text(row, 'started_at'),
    outcome: oneOfOrNull(row, 'outcome', OUTCOMES),
    cause: textOrNull(row, 'cause'),
    usage: jsonOrNull(row, 'usage', isUsage),
    cancelBy: textOrNull(row, 'cancel_by'),
    epoch: integer(row, 'epoch'),
    place: spool === null || host === null || from === null ? null : { host, spool, from },
    spoolOffset: integer(row, 'spool_offset'),
  };
}
