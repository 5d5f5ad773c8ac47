/** The log itself: streams, their events, the keys of appends; and with each event what is projected from it. */
import type { SQLInputValue } from 'node:sqlite';

import type { NewEvent } from '../../contracts/events.ts';
import { conversationStream, tableStream, teamStream } from '../../contracts/ids.ts';
import { mailOfEnd } from '../../domain/mail.ts';
import { project, projectTable, projectTrigger, type Change } from '../../domain/projection.ts';
import { toStoredText } from '../exact-text.ts';
import {
  conversationOfStream,
  eventEncoder,
  placeEvent,
  tableOfStream,
  teamOfStream,
  triggerOfStream,
} from '../stored-event.ts';
import type { Connection } from './connection.ts';
import { refreshListing, type Touched } from './listing.ts';
import { type EndedAttempt, noAftermath, type Place, Projector } from './projector.ts';
import { one, run } from './query.ts';
import { readHead } from './read.ts';
import { integer } from './rows.ts';
import { TriggerProjector } from './trigger-projector.ts';
import { answerText } from './turns.ts';

export type Stream = {
  /** 0: nothing was written to it. */
  id: number;
  name: string;
  conversationId: string | null;
  tableId: string | null;
  rootId: string | null;
  triggerId: string | null;
  lastSeq: number;
};

export class Log {
  readonly #connection: Connection;
  readonly projector: Projector;
  readonly triggers: TriggerProjector;

  constructor(connection: Connection) {
    this.#connection = connection;
    this.projector = new Projector(connection);
    this.triggers = new TriggerProjector(connection);
  }

  stream(name: string): Stream {
    const row = readHead(this.#connection, name);
    return {
      id: row?.stream ?? 0,
      name,
      conversationId: conversationOfStream(name),
      tableId: tableOfStream(name),
      rootId: teamOfStream(name),
      triggerId: triggerOfStream(name),
      lastSeq: row?.lastSeq ?? 0,
    };
  }

  /** The first append under that key; null: there is none. */
  appended(stream: Stream, key: string): { firstSeq: number; lastSeq: number } | null {
    const row = one(
      this.#connection,
      'SELECT first_seq, last_seq FROM appends WHERE stream = ? AND key = ?',
      stream.id,
      toStoredText(key),
    );
    return row === undefined
      ? null
      : { firstSeq: integer(row, 'first_seq'), lastSeq: integer(row, 'last_seq') };
  }

  remember(stream: Stream, key: string, firstSeq: number): void {
    run(
      this.#connection,
      'INSERT INTO appends (stream, key, first_seq, last_seq) VALUES (?, ?, ?, ?)',
      this.#idOf(stream),
      toStoredText(key),
      firstSeq,
      stream.lastSeq,
    );
  }

  /**
   * Appends and projects. Tells the table of a conversation what its list shows now (T1), its team what the tree does (T2), and its
   * parent how its task has ended (M1). Moves the stream's last seq.
   */
  insert({
    stream,
    events,
    epoch,
    at,
    times,
  }: {
    stream: Stream;
    events: readonly NewEvent[];
    epoch: number | null;
    at: string;
    /** When each of them was, if not now. */
    times?: readonly string[];
  }): void {
    if (events.length === 0) return;
    const id = this.#idOf(stream);
    const { conversationId, triggerId } = stream;
    const encode = eventEncoder();
    const changes: { change: Change; place: Place }[] = [];
    const values: SQLInputValue[] = [];
    let seq = stream.lastSeq;
    for (const newEvent of events) {
      const own = times?.[seq - stream.lastSeq];
      seq += 1;
      const event = placeEvent({ event: newEvent, stream, seq, at: own ?? at });
      values.push(id, seq, event.type, epoch, encode(event));
      if (conversationId !== null) {
        for (const change of project(event))
          changes.push({ change, place: { conversationId, stream: id, seq, at: event.at } });
      } else if (stream.tableId !== null) {
        for (const change of projectTable(event))
          this.projector.applyToTable(change, stream.tableId, { stream: id, at: event.at });
      } else if (triggerId !== null) {
        for (const change of projectTrigger(event))
          this.triggers.apply(change, { triggerId, stream: id, at: event.at });
      }
    }
    this.#insertRows(values);
    stream.lastSeq = seq;
    if (conversationId === null || changes.length === 0) return;
    const touched = noAftermath();
    for (const { change, place } of changes) this.projector.apply(change, place, touched);
    const { agents } = this.projector;
    let rootId: string | null = null;
    if (touched.names || touched.activityAt !== null)
      rootId = this.#tellTable(conversationId, touched, at);
    else if (touched.mailbox) rootId = agents.rootOf(conversationId);
    if (rootId === null) return;
    if (touched.newTeam) this.#tellTeam(rootId, rootId, at);
    this.#tellTeam(rootId, conversationId, at);
    for (const end of touched.ends) this.#followEnd(rootId, conversationId, end, at);
  }

  /** Tells the team of a conversation, if it is of one, that its mailbox has changed. */
  tellMailbox(conversationId: string, at: string): void {
    const rootId = this.projector.agents.rootOf(conversationId);
    if (rootId !== null) this.#tellTeam(rootId, conversationId, at);
  }

  /** The root of its team; null: it stands alone. */
  #tellTable(conversationId: string, touched: Touched, at: string): string | null {
    const told = refreshListing(this.#connection, conversationId, touched);
    if (told === null) return null;
    const { rootId, listed } = told;
    if (listed !== null) {
      const stream = this.stream(tableStream(listed.tableId));
      this.insert({ stream, events: [listed.event], epoch: null, at });
    }
    return rootId;
  }

  #tellTeam(rootId: string, conversationId: string, at: string): void {
    const { agents } = this.projector;
    const stream = this.stream(teamStream(rootId));
    this.insert({ stream, events: [agents.changed(conversationId)], epoch: null, at });
    agents.setTold(conversationId, stream.lastSeq);
  }

  /** What an end of a member leads to elsewhere: its root is owed a recovery (M2), its parent is told of its task (M1). */
  #followEnd(rootId: string, conversationId: string, end: EndedAttempt, at: string): void {
    const { agents } = this.projector;
    const { turnId, attempt, outcome, cause, message, boot } = end;
    if (outcome === 'interrupted' && boot !== null)
      agents.owe(rootId, conversationId, { turnId, attempt, boot, cause: cause ?? '', at: end.at });
    if (rootId === conversationId) return;
    const parentId = agents.parentOfTask(conversationId, turnId);
    if (parentId === null) return;
    const text = answerText(this.#connection, turnId, attempt);
    const mail = mailOfEnd({ turnId, attempt, outcome, cause, message, text });
    const event: NewEvent = {
      type: 'mail.accepted',
      payload: {
        ...mail,
        messageId: agents.freeMessageId(parentId, conversationId, mail.messageId),
        from: conversationId,
        ...(outcome === 'cancelled' && cause === CASCADE ? { waits: true } : {}),
        ...(boot === null ? {} : { boot }),
      },
    };
    const stream = this.stream(conversationStream(parentId));
    this.insert({ stream, events: [event], epoch: null, at });
  }

  #idOf(stream: Stream): number {
    if (stream.id === 0)
      stream.id = Number(
        this.#connection.run('INSERT INTO streams (name) VALUES (?)', [stream.name])
          .lastInsertRowid,
      );
    return stream.id;
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
}

/** Who cancels what is below somebody that was cancelled. */
const CASCADE = 'cascade';

const EVENT_COLUMNS = 5;
/** Many rows in one INSERT: a call costs as much as two rows. More than 64 gained nothing (measured 10 to 256). */
const INSERTS = [64, 16, 4, 1].map((rows) => ({
  rows,
  sql: `INSERT INTO events (stream, seq, type, epoch, json) VALUES ${Array(rows).fill('(?, ?, ?, ?, ?)').join(', ')}`,
}));
