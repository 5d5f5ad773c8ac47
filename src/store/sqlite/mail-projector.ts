/**
 * Applies what an event of a conversation says of its mailbox to the rows, in the transaction of its append; and what the
 * conversation answers, in the transaction of its receipt.
 *
 * Invariants:
 *  1 M1 (receiver, sender, message) has one row, the first. What comes again changes nothing.
 *  2 A row goes `accepted → delivered → applied`, or from one of the first two to `failed`, or from the first to `expired`. From those
 *    two, by `mail.again`, to `accepted` under its next requestId; nowhere else.
 *  3 A row that another covers has that one's state, turn and times, until it is sent by itself. Only what Holdfast tells covers, and
 *    that is never covered: there is no chain of rows in which one would have to follow another's.
 *  4 A row of which the receipt was there before follows it all the same: it would otherwise be taken for ever.
 *  5 The counts of a member (agents) are of its rows as they are.
 */
import type { EventPayloads, MailStateName } from '../../contracts/events.ts';
import { MAIL_EXPIRY_MS } from '../../contracts/limits.ts';
import type { MailFate } from '../../domain/projection.ts';
import { toStoredText } from '../exact-text.ts';
import { mailRequestId, mayBeMail } from '../mail-request-id.ts';
import type { RequestRow } from '../port.ts';
import type { Connection } from './connection.ts';
import { one, run } from './query.ts';
import { integer, isQueue, json, oneOf, text, textOrNull, type Row } from './rows.ts';
import { MAIL_STATES, REQUEST_STATUSES } from './views.ts';

/** As the column `sender` has Holdfast itself. */
export const HOLDFAST = '';

/** What a conversation answered. */
type Receipt = Pick<RequestRow, 'status' | 'turnId'> & { code: string | null };
type Name = { messageId: string; from: string | null };

/** Every function answers whether it has changed a row. */
export class MailProjector {
  readonly #connection: Connection;

  constructor(connection: Connection) {
    this.#connection = connection;
  }

  insert(receiver: string, mail: EventPayloads['mail.accepted'], at: string): boolean {
    const { messageId, from, kind, content } = mail;
    const requestId = mailRequestId({ from, messageId, sending: 1 });
    const inserted = this.#connection.run(
      `INSERT INTO mail (receiver, sender, message_id, kind, outcome, when_busy, waits, boot, request_id, accepted_at, expires_at,
         content) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT DO NOTHING`,
      [
        receiver,
        from ?? HOLDFAST,
        messageId,
        kind,
        mail.outcome ?? null,
        mail.whenBusy ?? 'queue',
        Number(mail.waits === true),
        mail.boot ?? null,
        requestId,
        at,
        mail.expiresAt ?? null,
        toStoredText(content),
      ],
    );
    if (Number(inserted.changes) === 0) return false;
    this.#count(receiver, null, 'accepted', 1);
    const row = Number(inserted.lastInsertRowid);
    if (from === null) for (const covered of mail.covers ?? []) this.#cover(receiver, covered, row);
    this.#catchUp(receiver, requestId, at);
    return true;
  }

  expire(receiver: string, name: Name): boolean {
    const row = this.#row(receiver, name);
    if (row === undefined || row['state'] !== 'accepted' || row['covered_by'] !== null)
      return false;
    return this.#follow(receiver, row, 'expired', "state = 'expired', reason = 'expired'");
  }

  again(receiver: string, { sending, ...name }: Name & { sending: number }, at: string): boolean {
    const row = this.#row(receiver, name);
    const state = row === undefined ? null : oneOf(row, 'state', MAIL_STATES);
    if (row === undefined || (state !== 'failed' && state !== 'expired')) return false;
    if (sending <= integer(row, 'sending')) return false;
    const requestId = mailRequestId({ ...name, sending });
    const accepted = Date.parse(text(row, 'accepted_at'));
    const expires = textOrNull(row, 'expires_at');
    // It is given as long as it had. One whose time was over before it was recorded would expire at once, for ever.
    const had = expires === null ? null : Date.parse(expires) - accepted;
    const again = had === null ? null : new Date(Date.parse(at) + (had > 0 ? had : MAIL_EXPIRY_MS));
    this.#run(
      `UPDATE mail SET sending = ?, request_id = ?, expires_at = ?, waits = 0, covered_by = NULL WHERE row = ?`,
      sending,
      requestId,
      again?.toISOString() ?? null,
      integer(row, 'row'),
    );
    this.#follow(
      receiver,
      row,
      'accepted',
      `state = 'accepted', accepted_at = ?, reason = NULL, turn_id = NULL, delivered_at = NULL`,
      at,
    );
    this.#catchUp(receiver, requestId, at);
    return true;
  }

  /** On the way of every send and turn: nothing for what cannot be mail. */
  follow(receiver: string, requestId: string, fate: MailFate, at: string): boolean {
    if (!mayBeMail(requestId)) return false;
    const row = one(
      this.#connection,
      'SELECT row, state, covered_by FROM mail WHERE receiver = ? AND request_id = ?',
      receiver,
      requestId,
    );
    if (row === undefined) return false;
    const state = oneOf(row, 'state', MAIL_STATES);
    if (state !== 'accepted' && !(state === 'delivered' && fate.state !== 'delivered'))
      return false;
    if (row['covered_by'] !== null)
      this.#run('UPDATE mail SET covered_by = NULL WHERE row = ?', integer(row, 'row'));
    switch (fate.state) {
      case 'delivered':
        return this.#follow(
          receiver,
          row,
          'delivered',
          "state = 'delivered', turn_id = ?, delivered_at = ?",
          fate.turnId,
          at,
        );
      case 'applied':
        return this.#follow(
          receiver,
          row,
          'applied',
          "state = 'applied', turn_id = ?, delivered_at = coalesce(delivered_at, ?2), applied_at = ?2",
          fate.turnId,
          at,
        );
      case 'failed':
        return this.#follow(
          receiver,
          row,
          'failed',
          "state = 'failed', reason = ?",
          toStoredText(fate.reason),
        );
    }
  }

  receive(receiver: string, requestId: string, receipt: Receipt, at: string): boolean {
    return this.follow(receiver, requestId, fateOf(receipt), at);
  }

  /** Changes the row, and those that it covers, to that state by `set`. */
  #follow(
    receiver: string,
    row: Row,
    state: MailStateName,
    set: string,
    ...values: (string | null)[]
  ): true {
    const before = oneOf(row, 'state', MAIL_STATES);
    const id = integer(row, 'row');
    const parameters = values.length + 1;
    const rows =
      this.#run(`UPDATE mail SET ${set} WHERE row = ?${parameters}`, ...values, id) +
      this.#run(`UPDATE mail SET ${set} WHERE covered_by = ?${parameters}`, ...values, id);
    this.#count(receiver, before, state, rows);
    return true;
  }

  /** What is on its way already, or told, goes its own way. */
  #cover(receiver: string, name: Name, by: number): void {
    const row = this.#row(receiver, name);
    if (row === undefined || integer(row, 'row') === by) return;
    if (row['state'] !== 'accepted' || row['covered_by'] !== null) return;
    this.#run('UPDATE mail SET covered_by = ? WHERE row = ?', by, integer(row, 'row'));
  }

  /** Invariant 4. */
  #catchUp(receiver: string, requestId: string, at: string): void {
    const row = one(
      this.#connection,
      `SELECT status, turn_id, code, steered_turn FROM requests WHERE conversation_id = ? AND request_id = ?`,
      receiver,
      requestId,
    );
    if (row === undefined) return;
    const steeredInto = textOrNull(row, 'steered_turn');
    const receipt: Receipt = {
      status: oneOf(row, 'status', REQUEST_STATUSES),
      turnId: textOrNull(row, 'turn_id'),
      code: textOrNull(row, 'code'),
    };
    const fate: MailFate =
      steeredInto !== null
        ? { state: 'applied', turnId: steeredInto }
        : receipt.status === 'queued'
          ? this.#fateOfQueued(receiver, requestId, receipt.turnId)
          : fateOf(receipt);
    this.follow(receiver, requestId, fate, at);
  }

  #fateOfQueued(receiver: string, requestId: string, turnId: string | null): MailFate {
    const started = one(this.#connection, 'SELECT 1 FROM attempts WHERE turn_id = ?', turnId);
    if (started !== undefined) return { state: 'applied', turnId };
    const row = one(
      this.#connection,
      'SELECT queue FROM conversations WHERE conversation_id = ?',
      receiver,
    );
    const waits =
      row !== undefined && json(row, 'queue', isQueue).some((item) => item.requestId === requestId);
    return waits ? { state: 'delivered', turnId } : { state: 'failed', reason: 'removed' };
  }

  #row(receiver: string, { messageId, from }: Name): Row | undefined {
    return one(
      this.#connection,
      `SELECT row, state, covered_by, sending, accepted_at, expires_at FROM mail
       WHERE receiver = ? AND sender = ? AND message_id = ?`,
      receiver,
      from ?? HOLDFAST,
      messageId,
    );
  }

  #count(receiver: string, before: MailStateName | null, state: MailStateName, rows: number): void {
    if (before === state) return;
    const less = before === null ? '' : `${before} = ${before} - ?1, `;
    this.#run(
      `UPDATE agents SET ${less}${state} = ${state} + ?1 WHERE conversation_id = ?2`,
      rows,
      receiver,
    );
  }

  #run(sql: string, ...values: (string | number | null)[]): number {
    return run(this.#connection, sql, ...values);
  }
}

function fateOf({ status, turnId, code }: Receipt): MailFate {
  switch (status) {
    case 'started':
      return { state: 'applied', turnId };
    case 'queued':
      return { state: 'delivered', turnId };
    case 'rejected':
      return { state: 'failed', reason: code ?? 'rejected' };
  }
}
