/**
 * What a write does inside its transaction: append, claim, remember a session.
 *
 * Every function here is synchronous and is called inside a transaction that its caller (writer.ts) commits or rolls
 * back; a throw means "nothing of this write". The checks of an append come in this order:
 *  1 its key (A2): a repeated one is answered as the first was, whatever has happened since;
 *  2 `unlessEnded`: an attempt that has ended is answered `ended`;
 *  3 its fence (F1).
 */
import type { SQLInputValue } from 'node:sqlite';

import { HoldfastError } from '../../contracts/errors.ts';
import type { NewEvent, OutcomeName, UsageValue } from '../../contracts/events.ts';
import { conversationStream } from '../../contracts/ids.ts';
import type { MessageViewValue } from '../../contracts/view.ts';
import { foldEvents } from '../../domain/fold.ts';
import { project, type Change } from '../../domain/projection.ts';
import { addUsage } from '../../domain/segments.ts';
import { toStoredText } from '../exact-text.ts';
import type { AppendRequest, AppendResult, Claim, ClaimRequest, Fence } from '../port.ts';
import { conversationOfStream, eventEncoder, placeEvent } from '../stored-event.ts';
import type { Connection } from './connection.ts';
import { OUTCOMES, readHead, readRunning } from './read.ts';
import {
  integer,
  integerOrNull,
  isUsage,
  json,
  jsonOrNull,
  oneOfOrNull,
  text,
  textOrNull,
  type Row,
} from './rows.ts';

type Stream = { id: number; name: string; conversationId: string | null; lastSeq: number };

/** One event's place, for the rows that are projected from it. */
type Place = { conversationId: string; stream: number; seq: number; at: string };

export class Transcriber {
  readonly #connection: Connection;
  readonly #clock: () => number;

  constructor({ connection, clock }: { connection: Connection; clock: () => number }) {
    this.#connection = connection;
    this.#clock = clock;
  }

  append(request: AppendRequest): AppendResult {
    const stream = this.#stream(request.stream);
    const repeated = request.key === undefined ? null : this.#repeated(stream, request.key);
    if (repeated !== null) return repeated;
    if (request.unlessEnded !== undefined) {
      const ended = this.#ended(request.unlessEnded);
      if (ended !== null) return ended;
    }
    if (request.fence !== undefined) this.#checkFence(request.fence, stream.conversationId);
    const at = this.#now();
    const epoch = request.fence?.epoch ?? null;
    const firstSeq = stream.lastSeq + 1;
    const lastSeq = this.#insertEvents({ stream, events: request.events, epoch, at });
    if (request.key !== undefined)
      this.#run(
        'INSERT INTO appends (stream, key, first_seq, last_seq) VALUES (?, ?, ?, ?)',
        this.#idOf(stream),
        toStoredText(request.key),
        firstSeq,
        lastSeq,
      );
    if (request.fence !== undefined && request.spoolOffset !== undefined)
      this.#run(
        'UPDATE attempts SET spool_offset = max(spool_offset, ?) WHERE turn_id = ? AND attempt = ?',
        request.spoolOffset,
        request.fence.turnId,
        request.fence.attempt,
      );
    if (request.request !== undefined) this.#insertRequest(stream, request.request, at);
    return { status: 'appended', firstSeq, lastSeq };
  }

  claim({ conversationId, turnId, attempt, host, place, events }: ClaimRequest): Claim {
    const row = this.#get(
      `SELECT a.conversation_id, a.outcome, a.host, a.spool, a.spool_from, a.spool_offset, c.epoch,
         (SELECT max(attempt) FROM attempts WHERE turn_id = a.turn_id) AS newest
       FROM attempts a JOIN conversations c USING (conversation_id)
       WHERE a.turn_id = ? AND a.attempt = ?`,
      turnId,
      attempt,
    );
    const claimable =
      row !== undefined &&
      text(row, 'conversation_id') === conversationId &&
      row['outcome'] === null &&
      integer(row, 'newest') === attempt;
    if (!claimable)
      throw fenced(
        'This attempt cannot be claimed: it is unknown, has ended, or a newer one exists.',
        {
          turnId,
          attempt,
        },
      );
    const recorded = recordedPlace(row);
    const kept = place === null ? recorded : { host, ...place };
    if (kept === null)
      throw new HoldfastError('internal', 'A first claim must say where the attempt is written.', {
        turnId,
        attempt,
      });
    const epoch = integer(row, 'epoch') + 1;
    const same =
      recorded !== null &&
      recorded.host === kept.host &&
      recorded.spool === kept.spool &&
      recorded.from === kept.from;
    const spoolOffset = same ? integer(row, 'spool_offset') : kept.from;
    this.#run(
      'UPDATE conversations SET epoch = ? WHERE conversation_id = ?',
      epoch,
      conversationId,
    );
    this.#run(
      `UPDATE attempts SET epoch = ?, host = ?, spool = ?, spool_from = ?, spool_offset = ?
       WHERE turn_id = ? AND attempt = ?`,
      epoch,
      toStoredText(kept.host),
      toStoredText(kept.spool),
      kept.from,
      spoolOffset,
      turnId,
      attempt,
    );
    const stream = this.#stream(conversationStream(conversationId));
    this.#insertEvents({ stream, events: events?.(epoch) ?? [], epoch, at: this.#now() });
    return { epoch, place: kept, spoolOffset };
  }

  saveProviderSession(fence: Fence, conversationId: string, sessionId: string): void {
    this.#checkFence(fence, conversationId);
    this.#run(
      'UPDATE conversations SET provider_session_id = ? WHERE conversation_id = ?',
      toStoredText(sessionId),
      conversationId,
    );
  }

  #now(): string {
    return new Date(this.#clock()).toISOString();
  }

  #get(sql: string, ...values: (string | number | null)[]): Row | undefined {
    return this.#connection.prepare(sql).get(...values);
  }

  /** The number of rows that were changed. */
  #run(sql: string, ...values: (string | number | null)[]): number {
    return Number(this.#connection.run(sql, values).changes);
  }

  /** A stream without a row has id 0; {@link #idOf} makes one when something is written. */
  #stream(name: string): Stream {
    const row = readHead(this.#connection, name);
    return {
      id: row?.stream ?? 0,
      name,
      conversationId: conversationOfStream(name),
      lastSeq: row?.lastSeq ?? 0,
    };
  }

  #idOf(stream: Stream): number {
    if (stream.id === 0)
      stream.id = Number(
        this.#connection.run('INSERT INTO streams (name) VALUES (?)', [stream.name])
          .lastInsertRowid,
      );
    return stream.id;
  }

  #repeated(stream: Stream, key: string): AppendResult | null {
    const row = this.#get(
      'SELECT first_seq, last_seq FROM appends WHERE stream = ? AND key = ?',
      stream.id,
      toStoredText(key),
    );
    return row === undefined
      ? null
      : {
          status: 'repeated',
          firstSeq: integer(row, 'first_seq'),
          lastSeq: integer(row, 'last_seq'),
        };
  }

  #ended({ turnId, attempt }: { turnId: string; attempt: number }): AppendResult | null {
    const row = this.#get(
      'SELECT outcome, cause FROM attempts WHERE turn_id = ? AND attempt = ?',
      turnId,
      attempt,
    );
    const outcome = row === undefined ? null : oneOfOrNull(row, 'outcome', OUTCOMES);
    return row === undefined || outcome === null
      ? null
      : { status: 'ended', outcome, cause: textOrNull(row, 'cause') };
  }

  /**
   * The fence must be the attempt's own newest epoch. One that is higher was never issued by this database (it was
   * restored from a backup, say) and would let epochs go back later, so it is refused as well.
   */
  #checkFence({ turnId, attempt, epoch }: Fence, conversationId: string | null): void {
    const row = this.#get(
      'SELECT conversation_id, outcome, epoch FROM attempts WHERE turn_id = ? AND attempt = ?',
      turnId,
      attempt,
    );
    const detail = { turnId, attempt, epoch };
    if (row === undefined || text(row, 'conversation_id') !== conversationId)
      throw fenced('This attempt is not known in this conversation.', detail);
    if (row['outcome'] !== null) throw fenced('This attempt has ended.', detail);
    if (integer(row, 'epoch') !== epoch) throw fenced('A newer owner has taken this turn.', detail);
  }

  /** Appends and projects; returns the stream's new last seq. */
  #insertEvents({
    stream,
    events,
    epoch,
    at,
  }: {
    stream: Stream;
    events: readonly NewEvent[];
    epoch: number | null;
    at: string;
  }): number {
    if (events.length === 0) return stream.lastSeq;
    const id = this.#idOf(stream);
    const { conversationId } = stream;
    const encode = eventEncoder();
    const changes: { change: Change; place: Place }[] = [];
    const values: SQLInputValue[] = [];
    let seq = stream.lastSeq;
    for (const newEvent of events) {
      seq += 1;
      const event = placeEvent({ event: newEvent, conversationId, seq, at });
      values.push(id, seq, event.type, epoch, encode(event));
      if (conversationId !== null)
        for (const change of project(event))
          changes.push({ change, place: { conversationId, stream: id, seq, at } });
    }
    this.#insertRows(values);
    for (const { change, place } of changes) this.#apply(change, place);
    stream.lastSeq = seq;
    return seq;
  }

  /** Inserts rows of {@link EVENT_COLUMNS} values each. */
  #insertRows(values: readonly SQLInputValue[]): void {
    let from = 0;
    for (const { rows, sql } of INSERTS) {
      const width = rows * EVENT_COLUMNS;
      for (; from + width <= values.length; from += width)
        this.#connection.run(sql, values.slice(from, from + width));
    }
  }

  #insertRequest(stream: Stream, request: NonNullable<AppendRequest['request']>, at: string): void {
    const { conversationId } = stream;
    if (conversationId === null)
      throw new HoldfastError('internal', 'Only a conversation remembers requests.');
    this.#requireConversation(conversationId);
    const inserted = this.#run(
      `INSERT INTO requests (conversation_id, request_id, kind, status, turn_id, attempt, position, code, content_hash, at)
       VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT DO NOTHING`,
      conversationId,
      request.requestId,
      request.kind,
      request.status,
      request.turnId,
      request.attempt,
      request.position ?? null,
      request.code === undefined ? null : toStoredText(request.code),
      toStoredText(request.contentHash),
      at,
    );
    if (inserted === 0)
      throw new HoldfastError('request_id_reused', undefined, { requestId: request.requestId });
  }

  #requireConversation(conversationId: string): Row {
    const row = this.#get(
      'SELECT table_id, usage FROM conversations WHERE conversation_id = ?',
      conversationId,
    );
    if (row === undefined)
      throw new HoldfastError('not_found', 'This conversation has not been created.', {
        conversationId,
      });
    return row;
  }

  #apply(change: Change, place: Place): void {
    const { conversationId, stream, at } = place;
    switch (change.type) {
      case 'conversation.insert':
        this.#run(
          `INSERT INTO conversations (conversation_id, stream, table_id, title, provider, model, workspace_path, usage, created_at)
           VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)`,
          conversationId,
          stream,
          change.tableId,
          toStoredText(change.title),
          toStoredText(change.provider),
          orNull(change.model),
          toStoredText(change.workspacePath),
          JSON.stringify(NO_USAGE),
          at,
        );
        return;
      case 'conversation.update':
        this.#requireConversation(conversationId);
        this.#updateConversation(conversationId, change.set);
        return;
      case 'queue.set':
        this.#requireConversation(conversationId);
        this.#run(
          'UPDATE conversations SET queue = ? WHERE conversation_id = ?',
          JSON.stringify(change.queue),
          conversationId,
        );
        return;
      case 'message.insert':
        this.#requireConversation(conversationId);
        this.#insertMessage(change.message, place);
        return;
      case 'message.update':
        this.#run(
          'UPDATE messages SET content = ?, status = ? WHERE conversation_id = ? AND message_id = ?',
          toStoredText(change.content),
          change.status,
          conversationId,
          change.messageId,
        );
        return;
      case 'tool.update':
        this.#run(
          `UPDATE messages SET content = ?, status = 'complete', tool_status = ? WHERE message =
             (SELECT message FROM messages WHERE turn_id = ? AND attempt = ? AND tool_call_id = ? AND conversation_id = ?
              ORDER BY seq DESC LIMIT 1)`,
          toStoredText(change.content),
          change.toolStatus,
          change.turnId,
          change.attempt,
          toStoredText(change.toolCallId),
          conversationId,
        );
        return;
      case 'attempt.insert': {
        const conversation = this.#requireConversation(conversationId);
        this.#insertAttempt(change, place, conversation);
        return;
      }
      case 'attempt.usage':
        this.#addUsage(change, conversationId);
        return;
      case 'attempt.cancelling':
        this.#run(
          'UPDATE attempts SET cancel_by = coalesce(cancel_by, ?) WHERE turn_id = ? AND attempt = ? AND conversation_id = ?',
          toStoredText(change.by),
          change.turnId,
          change.attempt,
          conversationId,
        );
        return;
      case 'attempt.end':
        this.#endAttempt(change, place);
        return;
      case 'approval.insert':
        this.#requireConversation(conversationId);
        this.#run(
          `INSERT INTO approvals (conversation_id, approval_id, turn_id, attempt) VALUES (?, ?, ?, ?)
           ON CONFLICT DO UPDATE SET turn_id = excluded.turn_id, attempt = excluded.attempt, decision = NULL, decided_by = NULL`,
          conversationId,
          change.approvalId,
          change.turnId,
          change.attempt,
        );
        return;
      case 'approval.resolve':
        this.#run(
          `UPDATE approvals SET decision = ?, decided_by = ?
           WHERE conversation_id = ? AND approval_id = ? AND decision IS NULL`,
          change.decision,
          toStoredText(change.by),
          conversationId,
          change.approvalId,
        );
        return;
    }
  }

  #updateConversation(
    conversationId: string,
    set: Extract<Change, { type: 'conversation.update' }>['set'],
  ): void {
    const values: [column: string, value: string | number | null | undefined][] = [
      ['title', set.title === undefined ? undefined : toStoredText(set.title)],
      ['archived', set.archived === undefined ? undefined : Number(set.archived)],
      ['provider', set.provider === undefined ? undefined : toStoredText(set.provider)],
      ['model', set.model === undefined ? undefined : orNull(set.model)],
      ['host', set.host === undefined ? undefined : toStoredText(set.host)],
      ['state', set.state],
    ];
    for (const [column, value] of values) {
      if (value === undefined) continue;
      this.#run(
        `UPDATE conversations SET ${column} = ? WHERE conversation_id = ?`,
        value,
        conversationId,
      );
    }
  }

  #insertMessage(message: MessageViewValue, { conversationId, seq }: Place): void {
    const { tool } = message;
    const input = tool?.input === undefined ? null : JSON.stringify(tool.input);
    this.#run(
      `INSERT INTO messages (conversation_id, message_id, seq, role, kind, turn_id, attempt,
         tool_call_id, tool_name, tool_input, tool_status, status, at, content)
       VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)`,
      conversationId,
      message.messageId,
      seq,
      message.role,
      message.kind,
      message.turnId,
      message.attempt,
      orNull(tool?.toolCallId),
      orNull(tool?.name),
      input,
      tool?.status ?? null,
      message.status,
      message.at,
      toStoredText(message.content),
    );
  }

  #insertAttempt(
    change: Extract<Change, { type: 'attempt.insert' }>,
    { conversationId, seq, at }: Place,
    conversation: Row,
  ): void {
    const tableId = textOrNull(conversation, 'table_id');
    // Two unique indexes stand behind this; asked first so that the refusal has a name.
    const running = this.#get(
      `SELECT turn_id FROM attempts WHERE outcome IS NULL AND conversation_id = ?
       UNION ALL SELECT turn_id FROM attempts WHERE outcome IS NULL AND table_id = ? AND table_id IS NOT NULL`,
      conversationId,
      tableId,
    );
    if (running !== undefined)
      throw new HoldfastError(
        'busy',
        'Another turn of this conversation, or of its table, is running.',
        { turnId: text(running, 'turn_id') },
      );
    this.#run(
      `INSERT INTO attempts (turn_id, attempt, conversation_id, table_id, request_id, provider, model, started_seq, started_at, usage_before)
       VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)`,
      change.turnId,
      change.attempt,
      conversationId,
      tableId,
      change.requestId,
      toStoredText(change.provider),
      orNull(change.model),
      seq,
      at,
      JSON.stringify(json(conversation, 'usage', isUsage)),
    );
  }

  #addUsage(change: Extract<Change, { type: 'attempt.usage' }>, conversationId: string): void {
    const conversation = this.#requireConversation(conversationId);
    this.#run(
      'UPDATE conversations SET usage = ? WHERE conversation_id = ?',
      JSON.stringify(addUsage(json(conversation, 'usage', isUsage), change.usage)),
      conversationId,
    );
    const row = this.#get(
      'SELECT usage FROM attempts WHERE turn_id = ? AND attempt = ? AND conversation_id = ?',
      change.turnId,
      change.attempt,
      conversationId,
    );
    if (row === undefined) return;
    this.#run(
      'UPDATE attempts SET usage = ? WHERE turn_id = ? AND attempt = ?',
      JSON.stringify(addUsage(jsonOrNull(row, 'usage', isUsage), change.usage)),
      change.turnId,
      change.attempt,
    );
  }

  #endAttempt(
    change: Extract<Change, { type: 'attempt.end' }>,
    { conversationId, seq, at }: Place,
  ): void {
    const row = this.#get(
      'SELECT outcome FROM attempts WHERE turn_id = ? AND attempt = ? AND conversation_id = ?',
      change.turnId,
      change.attempt,
      conversationId,
    );
    if (row === undefined) return;
    const outcome: OutcomeName | null = oneOfOrNull(row, 'outcome', OUTCOMES);
    if (outcome !== null)
      throw fenced('This attempt has ended; it ends once (A1).', {
        turnId: change.turnId,
        attempt: change.attempt,
        outcome,
      });
    this.#closeOpenMessages(conversationId, seq);
    this.#run(
      'UPDATE attempts SET outcome = ?, cause = ?, ended_at = ? WHERE turn_id = ? AND attempt = ?',
      change.outcome,
      orNull(change.cause),
      at,
      change.turnId,
      change.attempt,
    );
    this.#run(
      `UPDATE approvals SET decision = 'withdrawn', decided_by = ?
       WHERE turn_id = ? AND attempt = ? AND decision IS NULL AND conversation_id = ?`,
      change.outcome,
      change.turnId,
      change.attempt,
      conversationId,
    );
  }

  /**
   * The recorder closes every segment and tool before it ends the attempt. Where it could not, what was delivered
   * stays in the transcript all the same (L5), by the rule of the fold (L4): `seq` is the end that is being applied.
   */
  #closeOpenMessages(conversationId: string, seq: number): void {
    const open = this.#connection
      .prepare(
        "SELECT message_id FROM messages WHERE conversation_id = ? AND status = 'open' AND seq < ?",
      )
      .all(conversationId, seq);
    if (open.length === 0) return;
    const rows = readRunning({
      connection: this.#connection,
      conversationId,
      messageLimit: 0,
    });
    if (rows === null) return;
    const view = foldEvents(rows.before, rows.events);
    for (const row of open) {
      const messageId = text(row, 'message_id');
      const message = view.messages.find((candidate) => candidate.messageId === messageId);
      if (message === undefined) continue;
      this.#run(
        'UPDATE messages SET content = ?, status = ?, tool_status = ? WHERE conversation_id = ? AND message_id = ?',
        toStoredText(message.content),
        message.status,
        message.tool?.status ?? null,
        conversationId,
        messageId,
      );
    }
  }
}

const EVENT_COLUMNS = 5;
/** Many rows in one INSERT: a call costs as much as two rows. More than 64 gained nothing (measured 10 to 256). */
const INSERTS = [64, 16, 4, 1].map((rows) => ({
  rows,
  sql: `INSERT INTO events (stream, seq, type, epoch, json) VALUES ${Array(rows).fill('(?, ?, ?, ?, ?)').join(', ')}`,
}));

const NO_USAGE: UsageValue = { inputTokens: 0, outputTokens: 0 };

function recordedPlace(row: Row): Claim['place'] | null {
  const host = textOrNull(row, 'host');
  const spool = textOrNull(row, 'spool');
  const from = integerOrNull(row, 'spool_from');
  return host === null || spool === null || from === null ? null : { host, spool, from };
}

function orNull(value: string | null | undefined): string | null {
  return value === null || value === undefined ? null : toStoredText(value);
}

function fenced(message: string, detail: Readonly<Record<string, unknown>>): HoldfastError {
  return new HoldfastError('fenced', message, detail);
}
