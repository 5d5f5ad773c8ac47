/**
 * What a write does inside its transaction: append, claim, remember a session, copy a history, mark as delivered.
 *
 * Every function here is synchronous and is called inside a transaction that its caller (writer.ts) commits or rolls
 * back; a throw means "nothing of this write". The checks of an append come in this order:
 *  1 its key (A2): a repeated one is answered as the first was, whatever has happened since;
 *  2 `unlessEnded`: an attempt that has ended is answered `ended`;
 *  3 its fence (F1);
 *  4 whether its turn may start (S1), and `unlessWaitedBefore`; of a trigger, whether it stands as it was decided upon (D1); of an
 *    agent, whether it may be made (T2).
 */
import { randomUUID } from 'node:crypto';

import { HoldfastError } from '../../contracts/errors.ts';
import type { Event, NewEvent } from '../../contracts/events.ts';
import { appendKey, conversationStream } from '../../contracts/ids.ts';
import type { MessageViewValue } from '../../contracts/view.ts';
import { adopted, idsOf } from '../../domain/transfer.ts';
import { checkAgent } from '../agent-basis.ts';
import { toStoredText } from '../exact-text.ts';
import type { AppendRequest, AppendResult, Claim, ClaimRequest, Fence, Store } from '../port.ts';
import { checkTriggerEvents } from '../trigger-basis.ts';
import type { Connection } from './connection.ts';
import { Log, type Stream } from './log.ts';
import { orNull } from './projector.ts';
import { all, one, run } from './query.ts';
import { integer, integerOrNull, oneOfOrNull, text, textOrNull, type Row } from './rows.ts';
import { refusalOfStart, refusalOfWaiting } from './slot.ts';
import { OUTCOMES, toMessage } from './views.ts';

export class Transcriber {
  readonly #connection: Connection;
  readonly #clock: () => number;
  readonly #log: Log;

  constructor({ connection, clock }: { connection: Connection; clock: () => number }) {
    this.#connection = connection;
    this.#clock = clock;
    this.#log = new Log(connection);
  }

  append(request: AppendRequest): AppendResult {
    const stream = this.#log.stream(request.stream);
    if (stream.rootId !== null) throw new TypeError("a team's stream is the store's own");
    const first = request.key === undefined ? null : this.#log.appended(stream, request.key);
    if (first !== null) return { status: 'repeated', ...first };
    if (request.unlessEnded !== undefined) {
      const ended = this.#ended(request.unlessEnded);
      if (ended !== null) return ended;
    }
    if (request.fence !== undefined) this.#checkFence(request.fence, stream.conversationId);
    this.#checkStart(request, stream.conversationId);
    if (stream.triggerId !== null)
      checkTriggerEvents({
        triggerId: stream.triggerId,
        standing: this.#log.triggers.standing(stream.triggerId),
        events: request.events,
      });
    this.#checkAgents(request, stream.conversationId);
    const at = this.#now();
    const firstSeq = stream.lastSeq + 1;
    const { events } = request;
    this.#log.insert({ stream, events, epoch: request.fence?.epoch ?? null, at });
    if (request.key !== undefined) this.#log.remember(stream, request.key, firstSeq);
    if (request.fence !== undefined && request.spoolOffset !== undefined)
      this.#run(
        'UPDATE attempts SET spool_offset = max(spool_offset, ?) WHERE turn_id = ? AND attempt = ?',
        request.spoolOffset,
        request.fence.turnId,
        request.fence.attempt,
      );
    if (request.request !== undefined) this.#insertRequest(stream, request.request, at);
    return { status: 'appended', firstSeq, lastSeq: stream.lastSeq };
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
    const stream = this.#log.stream(conversationStream(conversationId));
    this.#log.insert({ stream, events: events?.(epoch) ?? [], epoch, at: this.#now() });
    return { epoch, place: kept, spoolOffset };
  }

  saveProviderSession(
    fence: Fence,
    conversationId: string,
    sessionId: string | null,
    sessionGeneration: number,
  ): void {
    this.#checkFence(fence, conversationId);
    this.#run(
      'UPDATE conversations SET provider_session_id = ? WHERE conversation_id = ? AND session_generation = ?',
      orNull(sessionId),
      conversationId,
      sessionGeneration,
    );
  }

  markDelivered(triggerId: string, requestIds: readonly string[]): void {
    this.#log.triggers.markDelivered(triggerId, requestIds);
  }

  forgetDelivery(triggerId: string, decidedBefore: string): void {
    this.#log.triggers.forgetDelivery(triggerId, decidedBefore);
  }

  fork({ conversationId, create, origin }: Parameters<Store['fork']>[0]): boolean {
    const stream = this.#log.stream(conversationStream(conversationId));
    if (this.#log.appended(stream, appendKey.created()) !== null) return true;
    const rows = this.#rowsToCopy(origin);
    if (rows === null) return false;
    const copies = rows.map(({ role, kind, content, status, at, tool, mail }): NewEvent => ({
      type: 'message.copied',
      payload: {
        messageId: randomUUID(),
        role,
        kind,
        content,
        status,
        at,
        ...(tool === undefined ? {} : { tool }),
        ...(mail === undefined ? {} : { mail }),
      },
    }));
    this.#create(stream, [
      { type: 'conversation.created', payload: { ...create, forkedFrom: origin } },
      ...copies,
    ]);
    return true;
  }

  importConversation({ conversationId, events }: Parameters<Store['importConversation']>[0]): {
    lastSeq: number;
  } {
    const stream = this.#log.stream(conversationStream(conversationId));
    if (stream.lastSeq > 0)
      throw new HoldfastError('invalid_request', 'This conversation exists already.', {
        conversationId,
      });
    const log = adopted({
      conversationId,
      events,
      isTaken: this.#taken(events),
      newId: randomUUID,
      now: this.#now(),
    });
    this.#create(
      stream,
      log,
      log.map(({ at }) => at),
    );
    return { lastSeq: stream.lastSeq };
  }

  #create(stream: Stream, events: readonly NewEvent[], times: readonly string[] = []): void {
    this.#log.insert({ stream, events, epoch: null, at: this.#now(), times });
    this.#log.remember(stream, appendKey.created(), 1);
  }

  /** Null: there is no such conversation, or no such row among those that are copied. */
  #rowsToCopy({
    conversationId,
    messageId,
  }: Parameters<Store['fork']>[0]['origin']): MessageViewValue[] | null {
    const copied = "cut = 0 AND status IN ('complete', 'partial')";
    const end = this.#get(
      messageId === null
        ? 'SELECT 9007199254740991 AS seq FROM conversations WHERE conversation_id = ?1'
        : `SELECT seq FROM messages WHERE conversation_id = ?1 AND message_id = ?2 AND ${copied}`,
      ...(messageId === null ? [conversationId] : [conversationId, messageId]),
    );
    if (end === undefined) return null;
    return all(
      this.#connection,
      `SELECT * FROM messages WHERE conversation_id = ? AND seq <= ? AND ${copied} ORDER BY seq`,
      conversationId,
      integer(end, 'seq'),
    ).map(toMessage);
  }

  /** Which ids of a foreign log this store has already. */
  #taken(events: readonly Event[]): (kind: 'turn' | 'message', id: string) => boolean {
    const { turns, messages } = idsOf(events);
    const find = (sql: string, ids: readonly string[]): Set<string> =>
      new Set(all(this.#connection, sql, JSON.stringify(ids)).map((row) => text(row, 'id')));
    const taken = {
      turn: find(
        `SELECT turn_id AS id FROM attempts WHERE turn_id IN (SELECT value FROM json_each(?1))
         UNION SELECT turn_id FROM requests WHERE turn_id IN (SELECT value FROM json_each(?1))`,
        turns,
      ),
      // No index leads from a message's id alone; an import may look through all of them once.
      message: find(
        `SELECT DISTINCT message_id AS id FROM messages WHERE message_id IN (SELECT value FROM json_each(?))`,
        messages,
      ),
    };
    return (kind, id) => taken[kind].has(id);
  }

  #now(): string {
    return new Date(this.#clock()).toISOString();
  }

  #get(sql: string, ...values: (string | number | null)[]): Row | undefined {
    return one(this.#connection, sql, ...values);
  }

  #run(sql: string, ...values: (string | number | null)[]): number {
    return run(this.#connection, sql, ...values);
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

  /**
   * Refuses before anything is written what the projection would refuse too: a write that fails half-way takes its
   * neighbours' transaction with it (writer.ts). Where the append ends a turn first, the projection decides.
   */
  #checkStart({ events, unlessWaitedBefore }: AppendRequest, conversationId: string | null): void {
    const starts =
      events.some(({ type }) => type === 'chat.started') &&
      !events.some(({ type, attempt }) => attempt !== undefined && ENDS.has(type));
    if (conversationId === null || (!starts && unlessWaitedBefore === undefined)) return;
    const row = this.#get(
      'SELECT table_id FROM conversations WHERE conversation_id = ?',
      conversationId,
    );
    // It is created in this very append.
    if (row === undefined) return;
    const where = { conversationId, tableId: textOrNull(row, 'table_id') };
    const refusal =
      (starts ? refusalOfStart(this.#connection, where) : null) ??
      (unlessWaitedBefore === undefined
        ? null
        : refusalOfWaiting(this.#connection, where, unlessWaitedBefore));
    if (refusal !== null) throw refusal;
  }

  /** As in {@link Transcriber.#checkStart}: before anything is written. */
  #checkAgents({ events }: AppendRequest, conversationId: string | null): void {
    if (conversationId === null) return;
    for (const event of events) {
      if (event.type !== 'conversation.created' || event.payload.agent === undefined) continue;
      const { agent } = event.payload;
      checkAgent(agent, this.#log.projector.agents.standing(agent));
    }
  }

  #insertRequest(stream: Stream, request: NonNullable<AppendRequest['request']>, at: string): void {
    const { conversationId } = stream;
    if (conversationId === null)
      throw new HoldfastError('internal', 'Only a conversation remembers requests.');
    this.#log.projector.requireConversation(conversationId);
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
      orNull(request.code),
      toStoredText(request.contentHash),
      at,
    );
    if (inserted === 0)
      throw new HoldfastError('request_id_reused', undefined, { requestId: request.requestId });
    const { requestId, status, turnId, code = null } = request;
    const receipt = { status, turnId, code };
    this.#log.triggers.receive(conversationId, requestId, receipt);
    if (this.#log.projector.mail.receive(conversationId, requestId, receipt, at))
      this.#log.tellMailbox(conversationId, at);
  }
}

const ENDS: ReadonlySet<string> = new Set([
  'chat.done',
  'chat.error',
  'chat.cancelled',
  'chat.interrupted',
]);

function recordedPlace(row: Row): Claim['place'] | null {
  const host = textOrNull(row, 'host');
  const spool = textOrNull(row, 'spool');
  const from = integerOrNull(row, 'spool_from');
  return host === null || spool === null || from === null ? null : { host, spool, from };
}

function fenced(message: string, detail: Readonly<Record<string, unknown>>): HoldfastError {
  return new HoldfastError('fenced', message, detail);
}
