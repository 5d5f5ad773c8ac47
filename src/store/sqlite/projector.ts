/** Applies what an event changes (domain/projection.ts) to the rows, in the transaction of its append. */
import { HoldfastError } from '../../contracts/errors.ts';
import type { OutcomeName, UsageValue } from '../../contracts/events.ts';
import type { MessageViewValue } from '../../contracts/view.ts';
import { foldEvents } from '../../domain/fold.ts';
import type { Change, TableChange } from '../../domain/projection.ts';
import { addUsage } from '../../domain/segments.ts';
import { toStoredText } from '../exact-text.ts';
import { AgentProjector } from './agent-projector.ts';
import type { Connection } from './connection.ts';
import { countUpTo, recounting, type Touched } from './listing.ts';
import { MailProjector } from './mail-projector.ts';
import { one, run } from './query.ts';
import { readRunning } from './read.ts';
import {
  integer,
  isUsage,
  json,
  jsonOrNull,
  oneOfOrNull,
  text,
  textOrNull,
  type Row,
} from './rows.ts';
import { documentOf, indexedPart, INDEX_TEXT, REMOVE_TEXT } from './search.ts';
import { refusalOfStart } from './slot.ts';
import { OUTCOMES } from './views.ts';

type Of<T extends Change['type']> = Extract<Change, { type: T }>;

/** One event's place, for the rows that are projected from it. */
export type Place = { conversationId: string; stream: number; seq: number; at: string };

/** What an append has changed that others are to be told of. */
export type Aftermath = Touched & {
  /** A row of its mailbox. */
  mailbox: boolean;
  /** It is the first child of its root. */
  newTeam: boolean;
  ends: EndedAttempt[];
};

export type EndedAttempt = Omit<Of<'attempt.end'>, 'type'> & { at: string };

export function noAftermath(): Aftermath {
  return { names: false, activityAt: null, mailbox: false, newTeam: false, ends: [] };
}

export class Projector {
  readonly #connection: Connection;
  readonly agents: AgentProjector;
  readonly mail: MailProjector;

  constructor(connection: Connection) {
    this.#connection = connection;
    this.agents = new AgentProjector(connection);
    this.mail = new MailProjector(connection);
  }

  applyToTable(change: TableChange, tableId: string, place: { stream: number; at: string }): void {
    switch (change.type) {
      case 'table.insert':
        this.#run(
          `INSERT INTO tables (table_id, stream, title, workspace_path, provider, model, created_at)
           VALUES (?, ?, ?, ?, ?, ?, ?)`,
          tableId,
          place.stream,
          toStoredText(change.title),
          toStoredText(change.workspacePath),
          toStoredText(change.provider),
          orNull(change.model),
          place.at,
        );
        return;
      case 'table.update':
        this.#requireTable(tableId);
        this.#run(
          'UPDATE tables SET title = ? WHERE table_id = ?',
          toStoredText(change.title),
          tableId,
        );
        return;
      case 'table.activate':
        this.#requireTable(tableId);
        this.#run(
          'UPDATE tables SET active_conversation_id = ? WHERE table_id = ?',
          change.conversationId,
          tableId,
        );
        return;
    }
  }

  /** Notes in `touched` what of it others are to be told of. */
  apply(change: Change, place: Place, touched: Aftermath): void {
    const { conversationId, at } = place;
    switch (change.type) {
      case 'conversation.insert':
        touched.names = true;
        touched.activityAt = at;
        this.#insertConversation(change, place);
        if (change.agent !== null) touched.newTeam = this.agents.link(conversationId, change.agent);
        return;
      case 'conversation.update':
        this.#updateConversation(conversationId, change.set, at, touched);
        return;
      case 'queue.set':
        touched.activityAt = at;
        this.#setQueue(change, place);
        return;
      case 'message.insert':
        // An open row is a turn's own: it counts when the turn next has something to tell.
        if (change.message.status !== 'open') touched.activityAt = at;
        this.#insertMessage(change.message, place);
        return;
      case 'message.update':
        this.#updateMessage(change, conversationId);
        return;
      case 'messages.cut':
        touched.activityAt = at;
        this.#cutMessages(conversationId, change.messageId);
        return;
      case 'tool.update':
        this.#updateTool(change, conversationId);
        return;
      case 'request.steered':
        this.#run(
          `UPDATE requests SET steered_turn = ?, steered_attempt = ?
           WHERE conversation_id = ? AND request_id = ? AND steered_turn IS NULL`,
          change.turnId,
          change.attempt,
          conversationId,
          change.requestId,
        );
        return;
      case 'attempt.insert':
        touched.activityAt = at;
        this.#insertAttempt(change, place);
        return;
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
        if (!this.#endAttempt(change, place)) return;
        touched.activityAt = at;
        touched.ends.push({ ...change, at });
        return;
      case 'mail.insert':
        this.requireConversation(conversationId);
        if (change.kind === 'recovery') this.agents.settle(conversationId, change.boot ?? null);
        if (this.mail.insert(conversationId, change, at)) touched.mailbox = true;
        return;
      case 'mail.expire':
        if (this.mail.expire(conversationId, change)) touched.mailbox = true;
        return;
      case 'mail.again':
        if (this.mail.again(conversationId, change, at)) touched.mailbox = true;
        return;
      case 'mail.follow':
        if (this.mail.follow(conversationId, change.requestId, change.fate, at))
          touched.mailbox = true;
        return;
      case 'approval.insert':
        touched.activityAt = at;
        this.requireConversation(conversationId);
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
        touched.activityAt = at;
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

  /** Throws: `not_found`. */
  requireConversation(conversationId: string): Row {
    const row = one(
      this.#connection,
      'SELECT stream, table_id, usage FROM conversations WHERE conversation_id = ?',
      conversationId,
    );
    if (row === undefined)
      throw new HoldfastError('not_found', 'This conversation has not been created.', {
        conversationId,
      });
    return row;
  }

  #requireTable(tableId: string): void {
    const row = one(this.#connection, 'SELECT 1 FROM tables WHERE table_id = ?', tableId);
    if (row === undefined)
      throw new HoldfastError('not_found', 'This table has not been created.', { tableId });
  }

  #run(sql: string, ...values: (string | number | null)[]): number {
    return run(this.#connection, sql, ...values);
  }

  #insertConversation(
    change: Of<'conversation.insert'>,
    { conversationId, stream, at }: Place,
  ): void {
    if (change.tableId !== null) this.#requireTable(change.tableId);
    this.#run(
      `INSERT INTO conversations (conversation_id, stream, table_id, title, provider, model, workspace_path, usage,
         created_at, last_at, forked_from)
       VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)`,
      conversationId,
      stream,
      change.tableId,
      toStoredText(change.title),
      toStoredText(change.provider),
      orNull(change.model),
      toStoredText(change.workspacePath),
      JSON.stringify(NO_USAGE),
      at,
      at,
      change.forkedFrom === null ? null : JSON.stringify(change.forkedFrom),
    );
    this.#indexText(stream, 0, change.title);
  }

  #updateConversation(
    conversationId: string,
    set: Of<'conversation.update'>['set'],
    at: string,
    touched: Touched,
  ): void {
    const { title, archived, provider, model, host, state } = set;
    const stream = integer(this.requireConversation(conversationId), 'stream');
    if ([title, archived, provider, model].some((value) => value !== undefined))
      touched.names = true;
    if (state !== undefined) touched.activityAt = at;
    if (title !== undefined) {
      this.#run(REMOVE_TEXT, documentOf(stream, 0));
      this.#indexText(stream, 0, title);
    }
    if (provider !== undefined)
      this.#run(
        `UPDATE conversations SET provider_session_id = NULL, session_generation = session_generation + 1
         WHERE conversation_id = ? AND provider <> ?`,
        conversationId,
        toStoredText(provider),
      );
    const values: [column: string, value: string | number | null | undefined][] = [
      ['title', title === undefined ? undefined : toStoredText(title)],
      ['archived', archived === undefined ? undefined : Number(archived)],
      ['provider', provider === undefined ? undefined : toStoredText(provider)],
      ['model', model === undefined ? undefined : orNull(model)],
      ['host', host === undefined ? undefined : toStoredText(host)],
      ['state', state],
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

  #setQueue({ queue, held }: Of<'queue.set'>, { conversationId, at }: Place): void {
    this.requireConversation(conversationId);
    // Rows that are held do not wait; those behind them may.
    const first = queue.find((item) => item.held !== true);
    this.#run(
      `UPDATE conversations SET queue = ?, queued = ?, head_at = ?, held = coalesce(?, held) WHERE conversation_id = ?`,
      JSON.stringify(queue),
      queue.length,
      first === undefined ? null : (first.at ?? at),
      held === null ? null : Number(held),
      conversationId,
    );
  }

  #insertMessage(message: MessageViewValue, { conversationId, stream, seq }: Place): void {
    this.requireConversation(conversationId);
    const { tool } = message;
    const input = tool?.input === undefined ? null : JSON.stringify(tool.input);
    this.#run(
      `INSERT INTO messages (conversation_id, message_id, seq, role, kind, turn_id, attempt,
         tool_call_id, tool_name, tool_input, tool_status, status, at, content, mail)
       VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)`,
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
      message.mail === undefined ? null : JSON.stringify(message.mail),
    );
    if (message.kind === 'text') this.#indexText(stream, seq, message.content);
  }

  #updateMessage(
    { messageId, content, status }: Omit<Of<'message.update'>, 'type'>,
    conversationId: string,
  ): void {
    const row = one(
      this.#connection,
      `SELECT message, m.seq, m.kind, m.status, c.stream FROM messages m JOIN conversations c USING (conversation_id)
       WHERE m.conversation_id = ? AND m.message_id = ?`,
      conversationId,
      messageId,
    );
    if (row === undefined) return;
    const [stream, seq] = [integer(row, 'stream'), integer(row, 'seq')];
    const update = (): void => {
      this.#run(
        'UPDATE messages SET content = ?, status = ? WHERE message = ?',
        toStoredText(content),
        status,
        integer(row, 'message'),
      );
    };
    if (row['status'] === 'open') {
      update();
    } else {
      recounting(this.#connection, { conversationId, seq, lastSeq: seq }, update);
      this.#run(REMOVE_TEXT, documentOf(stream, seq));
    }
    if (row['kind'] !== 'text') return;
    this.#indexText(stream, seq, content);
  }

  #indexText(stream: number, seq: number, content: string): void {
    const part = indexedPart(content);
    if (part !== null) this.#run(INDEX_TEXT, documentOf(stream, seq), part);
  }

  #cutMessages(conversationId: string, messageId: string | null): void {
    this.requireConversation(conversationId);
    const row =
      messageId === null
        ? undefined
        : one(
            this.#connection,
            'SELECT seq FROM messages WHERE conversation_id = ? AND message_id = ?',
            conversationId,
            messageId,
          );
    if (messageId !== null && row === undefined)
      throw new HoldfastError('not_found', 'There is no such message to cut after.', { messageId });
    const seq = row === undefined ? 1 : integer(row, 'seq') + 1;
    recounting(this.#connection, { conversationId, seq, lastSeq: Number.MAX_SAFE_INTEGER }, () => {
      this.#run(
        'UPDATE messages SET cut = 1 WHERE conversation_id = ? AND seq >= ? AND cut = 0',
        conversationId,
        seq,
      );
    });
    this.#run(
      `UPDATE conversations SET provider_session_id = NULL, session_generation = session_generation + 1
       WHERE conversation_id = ?`,
      conversationId,
    );
  }

  #updateTool(change: Of<'tool.update'>, conversationId: string): void {
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
  }

  #insertAttempt(change: Of<'attempt.insert'>, { conversationId, seq, at }: Place): void {
    const conversation = this.requireConversation(conversationId);
    const tableId = textOrNull(conversation, 'table_id');
    const refusal = refusalOfStart(this.#connection, { conversationId, tableId });
    if (refusal !== null) throw refusal;
    // From now on no longer the last: its pieces may be folded away in time.
    this.#run(
      `UPDATE attempts SET pieces = 'due' WHERE pieces = 'last' AND rowid =
         (SELECT rowid FROM attempts WHERE conversation_id = ? ORDER BY started_seq DESC LIMIT 1)`,
      conversationId,
    );
    countUpTo(this.#connection, conversationId, seq);
    // The plus keeps the database from looking for the turn among all of the conversation's.
    this.#run(
      `UPDATE conversations SET turn_count = turn_count + NOT EXISTS
         (SELECT 1 FROM attempts WHERE turn_id = ? AND +conversation_id = ?2) WHERE conversation_id = ?2`,
      change.turnId,
      conversationId,
    );
    this.#run(
      `INSERT INTO attempts (turn_id, attempt, conversation_id, table_id, request_id, provider, model, started_seq,
         started_at, usage_before)
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

  #addUsage(change: Of<'attempt.usage'>, conversationId: string): void {
    const conversation = this.requireConversation(conversationId);
    this.#run(
      'UPDATE conversations SET usage = ? WHERE conversation_id = ?',
      JSON.stringify(addUsage(json(conversation, 'usage', isUsage), change.usage)),
      conversationId,
    );
    const row = one(
      this.#connection,
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

  /** False for an attempt that is not known here. */
  #endAttempt(change: Of<'attempt.end'>, { conversationId, seq, at }: Place): boolean {
    const row = one(
      this.#connection,
      'SELECT outcome FROM attempts WHERE turn_id = ? AND attempt = ? AND conversation_id = ?',
      change.turnId,
      change.attempt,
      conversationId,
    );
    if (row === undefined) return false;
    const outcome: OutcomeName | null = oneOfOrNull(row, 'outcome', OUTCOMES);
    if (outcome !== null)
      throw new HoldfastError('fenced', 'This attempt has ended; it ends once (A1).', {
        turnId: change.turnId,
        attempt: change.attempt,
        outcome,
      });
    const closed = this.#closeOpenMessages(conversationId, seq);
    // What the log does not say as a whole is in its pieces alone: they stay.
    this.#run(
      `UPDATE attempts SET outcome = ?, cause = ?, ended_at = ?, pieces = ${closed > 0 ? "'kept'" : 'pieces'}
       WHERE turn_id = ? AND attempt = ?`,
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
    return true;
  }

  /**
   * The recorder closes every segment and tool before it ends the attempt. Where it could not, what was delivered
   * stays in the transcript all the same (L5), by the rule of the fold (L4): `seq` is the end that is being applied.
   * The number of rows that were open.
   */
  #closeOpenMessages(conversationId: string, seq: number): number {
    const open = this.#connection
      .prepare(
        "SELECT message_id FROM messages WHERE conversation_id = ? AND status = 'open' AND seq < ?",
      )
      .all(conversationId, seq);
    if (open.length === 0) return 0;
    const rows = readRunning({ connection: this.#connection, conversationId, messageLimit: 0 });
    if (rows === null) return open.length;
    const view = foldEvents(rows.before, rows.events);
    for (const row of open) {
      const messageId = text(row, 'message_id');
      const message = view.messages.find((candidate) => candidate.messageId === messageId);
      if (message === undefined) continue;
      if (message.tool !== undefined)
        this.#run(
          'UPDATE messages SET tool_status = ? WHERE conversation_id = ? AND message_id = ?',
          message.tool.status,
          conversationId,
          messageId,
        );
      const { content, status } = message;
      this.#updateMessage({ messageId, content, status }, conversationId);
    }
    return open.length;
  }
}

const NO_USAGE: UsageValue = { inputTokens: 0, outputTokens: 0 };

export function orNull(value: string | null | undefined): string | null {
  return value === null || value === undefined ? null : toStoredText(value);
}
