/**
 * Reading a conversation: its state, its transcript, its log. As in the other modules of reads (turns.ts, tables.ts,
 * lists.ts), each exported function answers the method of the port that it is named after (../port.ts), is synchronous
 * and sees one commit (`consistently`); its caller waits for a busy database.
 */
import type { Event } from '../../contracts/events.ts';
import type { MessageViewValue } from '../../contracts/view.ts';
import type { AttemptRow, ConversationRow, StoredEvent, WorkflowState } from '../port.ts';
import { composeSnapshot, type SnapshotRows } from '../snapshot.ts';
import { decodeEvent } from '../stored-event.ts';
import type { Connection } from './connection.ts';
import { all, one, type Answer } from './query.ts';
import { integer, integerOrNull, isQueue, isUsage, json, oneOf, text, type Row } from './rows.ts';
import { STATES, toAttempt, toConversation, toConversationFacts, toMessage } from './views.ts';

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
      held: integer(row, 'held') === 1,
    };
  });
}

export function unsettled(connection: Connection, after: string, limit: number): string[] {
  // The condition is the index's own, word for word, or it would not be used.
  return all(
    connection,
    `SELECT conversation_id FROM conversations
     WHERE (state <> 'idle' OR (table_id IS NULL AND head_at IS NOT NULL AND held = 0)) AND conversation_id > ?
     ORDER BY conversation_id LIMIT ?`,
    after,
    limit,
  ).map((row) => text(row, 'conversation_id'));
}

function runningOf(connection: Connection, conversationId: string): AttemptRow | null {
  const row = one(
    connection,
    'SELECT * FROM attempts WHERE outcome IS NULL AND conversation_id = ?',
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
    held: integer(row, 'held') === 1,
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
  const byId = new Map(live.map((each) => [each.messageId, each]));
  return items.map((item) => (item.status === 'open' ? (byId.get(item.messageId) ?? item) : item));
}

export function message(
  connection: Connection,
  conversationId: string,
  messageId: string,
): Answer<'message'> {
  return connection.consistently(() => {
    const row = one(
      connection,
      'SELECT * FROM messages WHERE conversation_id = ? AND message_id = ?',
      conversationId,
      messageId,
    );
    if (row === undefined) return null;
    const previous = one(
      connection,
      `SELECT message_id FROM messages WHERE conversation_id = ? AND seq < ? AND cut = 0
       ORDER BY seq DESC LIMIT 1`,
      conversationId,
      integer(row, 'seq'),
    );
    const [live] = withLiveContent(connection, conversationId, [toMessage(row)]);
    return live === undefined
      ? null
      : {
          message: live,
          previousMessageId: previous === undefined ? null : text(previous, 'message_id'),
        };
  });
}

export function history(
  connection: Connection,
  conversationId: string,
  turnId: string,
  limitBytes: number,
): Answer<'history'> {
  return connection.consistently(() => {
    const rows: MessageViewValue[] = [];
    let leftBytes = limitBytes;
    const older = connection
      .prepare(
        `SELECT * FROM messages WHERE conversation_id = ? AND turn_id IS NOT ? AND cut = 0 AND status IN ('complete', 'partial')
         ORDER BY seq DESC`,
      )
      .iterate(conversationId, turnId);
    for (const row of older) {
      const whole = toMessage(row);
      const bytes = Buffer.byteLength(whole.content);
      const content = bytes <= leftBytes ? whole.content : endOf(whole.content, leftBytes);
      if (content !== '' || whole.content === '') rows.unshift({ ...whole, content });
      if (bytes > leftBytes) return { rows, truncated: true };
      leftBytes -= bytes;
    }
    return { rows, truncated: false };
  });
}

/** As much of a text's end as fits, in whole characters. */
function endOf(content: string, limitBytes: number): string {
  const bytes = Buffer.from(content);
  let from = bytes.length - limitBytes;
  while (from < bytes.length && ((bytes[from] ?? 0) & 0xc0) === 0x80) from += 1;
  return bytes.toString('utf8', from);
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
