/**
 * Applies what a trigger's event changes (domain/projection.ts) to the rows, in the transaction of its append; and what a
 * conversation answers, in the transaction of its receipt.
 *
 * Invariants:
 *  1 D1 A due time has one row. A `due` fire never meets another; a `backfill` takes the place of a row that did not run, and
 *    leaves one that did. A request has one row of cause `manual`, the first.
 *  2 D2 A row awaits its receipt (`settled` = 0) until it is there, whichever of the two comes first.
 *  3 What has a receipt has arrived: it is not to be sent (`delivered` = 1).
 *  4 The counts of a trigger are of its rows as they are.
 */
import type {
  DecidedFireValue,
  TriggerCauseName,
  TriggerDefinitionValue,
  TriggerOutcomeName,
} from '../../contracts/events.ts';
import { isRun, refusedBy, type TriggerChange } from '../../domain/projection.ts';
import { toStoredText } from '../exact-text.ts';
import type { RequestRow } from '../port.ts';
import type { Standing } from '../trigger-basis.ts';
import type { Connection } from './connection.ts';
import { orNull } from './projector.ts';
import { all, one, run } from './query.ts';
import { integer, oneOf, text, textOrNull } from './rows.ts';
import { REQUEST_STATUSES, TRIGGER_OUTCOMES } from './views.ts';

/** What a conversation answered. */
type Receipt = Pick<RequestRow, 'status' | 'turnId'> & { code: string | null };

/** Columns of LedgerCounts. */
const COUNTS: Readonly<Record<TriggerOutcomeName, string>> = {
  fired: 'fired',
  late: 'late',
  'caught-up': 'caught_up',
  skipped: 'skipped',
  rejected: 'rejected',
};

export class TriggerProjector {
  readonly #connection: Connection;

  constructor(connection: Connection) {
    this.#connection = connection;
  }

  standing(triggerId: string): Standing {
    const row = one(
      this.#connection,
      'SELECT decided_until, removed_at FROM triggers WHERE trigger_id = ?',
      triggerId,
    );
    return row === undefined
      ? null
      : { decidedUntil: text(row, 'decided_until'), removed: row['removed_at'] !== null };
  }

  apply(
    change: TriggerChange,
    { triggerId, stream, at }: { triggerId: string; stream: number; at: string },
  ): void {
    switch (change.type) {
      case 'trigger.insert':
        this.#run(
          `INSERT INTO triggers (trigger_id, stream, table_id, conversation_id, rule, created_at, updated_at, decided_until,
             next_due_at) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)`,
          triggerId,
          stream,
          change.definition.tableId,
          change.definition.conversationId,
          toStoredText(change.rule),
          at,
          at,
          change.decidedUntil,
          change.nextDueAt,
        );
        this.#setRule(stream, change.rule, change.definition);
        return;
      case 'trigger.update':
        this.#setRule(stream, change.rule, change.definition);
        this.#run(
          `UPDATE triggers SET table_id = ?, conversation_id = ?, rule = ?, updated_at = ?, next_due_at = ? WHERE stream = ?`,
          change.definition.tableId,
          change.definition.conversationId,
          toStoredText(change.rule),
          at,
          change.nextDueAt,
          stream,
        );
        return;
      case 'trigger.remove':
        this.#run(
          'UPDATE triggers SET removed_at = ?, next_due_at = NULL WHERE stream = ?',
          at,
          stream,
        );
        return;
      case 'trigger.advance':
        this.#run(
          'UPDATE triggers SET decided_until = ?, next_due_at = ? WHERE stream = ?',
          change.decidedUntil,
          change.nextDueAt,
          stream,
        );
        return;
      case 'ledger.insert':
        this.#insertRows(stream, change.cause, change.fires);
        return;
    }
  }

  /** Writes the receipt of a request into the rows that await it. On the way of every send: one statement where there is none. */
  receive(conversationId: string, requestId: string, receipt: Receipt): void {
    if (receipt.status !== 'rejected') {
      this.#run(
        `UPDATE ledger SET turn_id = ?, settled = 1, delivered = 1
         WHERE settled = 0 AND request_id = ? AND conversation_id = ?`,
        receipt.turnId,
        requestId,
        conversationId,
      );
      return;
    }
    const rows = all(
      this.#connection,
      'SELECT row, stream, outcome, words FROM ledger WHERE settled = 0 AND request_id = ? AND conversation_id = ?',
      requestId,
      conversationId,
    );
    const refusal = refusedBy(receipt.code ?? 'rejected');
    for (const row of rows) {
      this.#run(
        `UPDATE ledger SET outcome = ?, reason = ?, words = ?, settled = 1, delivered = 1 WHERE row = ?`,
        refusal.outcome,
        toStoredText(refusal.reason),
        toStoredText(added(text(row, 'words'), refusal.words)),
        integer(row, 'row'),
      );
      const counts = new Counts();
      counts.add(oneOf(row, 'outcome', TRIGGER_OUTCOMES), -1);
      counts.add(refusal.outcome, 1);
      this.#addCounts(integer(row, 'stream'), counts);
    }
  }

  markDelivered(triggerId: string, requestIds: readonly string[]): void {
    for (const requestId of requestIds)
      this.#run(
        `UPDATE ledger SET delivered = 1 WHERE delivered = 0 AND request_id = ?
           AND stream = (SELECT stream FROM triggers WHERE trigger_id = ?)`,
        requestId,
        triggerId,
      );
  }

  forgetDelivery(triggerId: string, decidedBefore: string): void {
    this.#run(
      `UPDATE ledger SET delivered = 0 WHERE settled = 0 AND delivered = 1 AND decided_at < ?
         AND stream = (SELECT stream FROM triggers WHERE trigger_id = ?)`,
      decidedBefore,
      triggerId,
    );
  }

  #setRule(stream: number, rule: string, definition: TriggerDefinitionValue): void {
    this.#run(
      `INSERT INTO trigger_rules (stream, rule, definition) VALUES (?, ?, ?)
       ON CONFLICT DO UPDATE SET definition = excluded.definition`,
      stream,
      toStoredText(rule),
      JSON.stringify(definition),
    );
  }

  #insertRows(stream: number, cause: TriggerCauseName, fires: readonly DecidedFireValue[]): void {
    const counts = new Counts();
    for (const fire of fires)
      if (this.#makeWay(stream, cause, fire, counts)) this.#insertRow(stream, cause, fire, counts);
    this.#addCounts(stream, counts);
  }

  /** Whether there is room for a row, once what it takes the place of is gone. */
  #makeWay(
    stream: number,
    cause: TriggerCauseName,
    { dueAt, requestId }: DecidedFireValue,
    counts: Counts,
  ): boolean {
    if (cause === 'manual')
      return (
        requestId === undefined ||
        one(
          this.#connection,
          "SELECT 1 FROM ledger WHERE stream = ? AND request_id = ? AND cause = 'manual'",
          stream,
          requestId,
        ) === undefined
      );
    const there = one(
      this.#connection,
      "SELECT row, outcome FROM ledger WHERE stream = ? AND due_at = ? AND cause <> 'manual'",
      stream,
      dueAt,
    );
    if (there === undefined) return true;
    if (cause === 'due') throw new TypeError(`${dueAt} has been decided before (D1)`);
    const outcome = oneOf(there, 'outcome', TRIGGER_OUTCOMES);
    if (isRun(outcome)) return false;
    this.#run('DELETE FROM ledger WHERE row = ?', integer(there, 'row'));
    counts.add(outcome, -1);
    return true;
  }

  #insertRow(
    stream: number,
    cause: TriggerCauseName,
    fire: DecidedFireValue,
    counts: Counts,
  ): void {
    const { requestId, conversationId, whenBusy } = fire;
    const isSent = isRun(fire.outcome);
    const receipt =
      isSent && requestId !== undefined && conversationId !== undefined
        ? this.#receiptOf(conversationId, requestId)
        : null;
    const refusal = receipt?.status === 'rejected' ? refusedBy(receipt.code ?? 'rejected') : null;
    const { outcome, reason } = refusal ?? fire;
    const awaited = isSent && receipt === null;
    this.#run(
      `INSERT INTO ledger (stream, due_at, cause, decided_at, outcome, reason, words, rule, request_id, conversation_id,
         when_busy, turn_id, settled, delivered) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)`,
      stream,
      fire.dueAt,
      cause,
      fire.decidedAt,
      outcome,
      orNull(reason),
      toStoredText(refusal === null ? fire.words : added(fire.words, refusal.words)),
      toStoredText(fire.rule),
      requestId ?? null,
      conversationId ?? null,
      whenBusy ?? null,
      receipt?.turnId ?? null,
      Number(!awaited),
      Number(!awaited),
    );
    counts.add(outcome, 1);
  }

  /** Of a message that had been sent before: by a client, under the requestId that it then gave for a run by hand. */
  #receiptOf(conversationId: string, requestId: string): Receipt | null {
    const row = one(
      this.#connection,
      'SELECT status, turn_id, code FROM requests WHERE conversation_id = ? AND request_id = ?',
      conversationId,
      requestId,
    );
    return row === undefined
      ? null
      : {
          status: oneOf(row, 'status', REQUEST_STATUSES),
          turnId: textOrNull(row, 'turn_id'),
          code: textOrNull(row, 'code'),
        };
  }

  #addCounts(stream: number, counts: Counts): void {
    for (const [outcome, by] of counts.changed()) {
      const column = COUNTS[outcome];
      this.#run(`UPDATE triggers SET ${column} = ${column} + ? WHERE stream = ?`, by, stream);
    }
  }

  #run(sql: string, ...values: (string | number | null)[]): number {
    return run(this.#connection, sql, ...values);
  }
}

/** By how much a trigger's counts change. */
class Counts {
  readonly #by = new Map<TriggerOutcomeName, number>();

  add(outcome: TriggerOutcomeName, by: 1 | -1): void {
    this.#by.set(outcome, (this.#by.get(outcome) ?? 0) + by);
  }

  changed(): [TriggerOutcomeName, number][] {
    return [...this.#by].filter(([, by]) => by !== 0);
  }
}

function added(words: string, more: string): string {
  return words === '' ? more : `${words} ${more}`;
}
