import type { MailRowValue } from '../../contracts/agents.ts';
/**
 * Reading mailboxes. A page, a row and what is to be taken cost the same however much was received; `withUntakenMail` costs what
 * waits to be taken.
 */
import { HoldfastError } from '../../contracts/errors.ts';
import type { MailStateName } from '../../contracts/events.ts';
import { MAIL_QUEUE_LIMIT_BYTES, RECOVERY_OWED_MS } from '../../contracts/limits.ts';
import { promptOfMail } from '../../domain/mail.ts';
import { ROOT_AGENT_ID } from '../agent-basis.ts';
import type { TakeableMail } from '../port.ts';
import type { Connection } from './connection.ts';
import { HOLDFAST } from './mail-projector.ts';
import { all, one, type Answer } from './query.ts';
import { integer, integerOrNull, oneOf, oneOfOrNull, text, textOrNull, type Row } from './rows.ts';
import { MAIL_KINDS, MAIL_STATES, OUTCOMES } from './views.ts';

/** With what tells who it is from. CROSS: that is looked up for each row, never the other way round. */
const MAIL = `SELECT m.*, s.agent_id AS sender_id, s.name AS sender_name, s.depth AS sender_depth
  FROM mail m LEFT JOIN agents s ON s.conversation_id = m.sender`;
const TAKEABLE = "m.state = 'accepted' AND m.covered_by IS NULL";
/** A host is about to tell its receiver of a boot. */
const OWED = 'EXISTS (SELECT 1 FROM owed_recoveries o WHERE o.root_id = m.receiver AND o.at > ?)';

type Box = 'receiver' | 'sender';

export function mail(
  connection: Connection,
  {
    conversationId,
    box,
    state,
    cursor,
    limit,
  }: {
    conversationId: string;
    box: 'in' | 'out' | 'any';
    state: MailStateName | null;
    cursor: string | null;
    limit: number;
  },
): Answer<'mail'> {
  const after = startOf(cursor);
  return connection.consistently(() => {
    const page = (column: Box): Row[] =>
      all(
        connection,
        `${MAIL} WHERE m.${column} = ? ${column === 'sender' ? "AND m.sender <> '' " : ''}${state === null ? '' : 'AND m.state = ? '}AND m.row > ?
         ORDER BY m.row LIMIT ?`,
        conversationId,
        ...(state === null ? [] : [state]),
        after,
        limit + 1,
      );
    const boxes: Box[] =
      box === 'any' ? ['receiver', 'sender'] : [box === 'in' ? 'receiver' : 'sender'];
    // By its index each, and merged here: both at once would have to be sorted.
    const found = new Map(boxes.flatMap(page).map((row) => [integer(row, 'row'), row]));
    const rows = [...found].toSorted(([first], [other]) => first - other).slice(0, limit + 1);
    const shown = rows.slice(0, limit);
    const last = shown.at(-1);
    return {
      items: shown.map(([, row]) => toMailRow(connection, row)),
      nextCursor: rows.length > limit && last !== undefined ? String(last[0]) : null,
    };
  });
}

export function mailRow(
  connection: Connection,
  {
    conversationId,
    from,
    messageId,
  }: { conversationId: string; from: string | null; messageId: string },
): Answer<'mailRow'> {
  return connection.consistently(() => {
    const row = one(
      connection,
      `${MAIL} WHERE m.receiver = ? AND m.sender = ? AND m.message_id = ?`,
      conversationId,
      from ?? HOLDFAST,
      messageId,
    );
    return row === undefined ? null : toMailRow(connection, row);
  });
}

export function takeableMail(
  connection: Connection,
  {
    conversationId,
    limit,
    limitBytes,
    waiting,
  }: { conversationId: string; limit: number; limitBytes: number; waiting: boolean },
  clock: () => number,
): Answer<'takeableMail'> {
  return connection.consistently(() => {
    const rows = connection
      .prepare(
        `${MAIL} WHERE m.receiver = ? AND ${TAKEABLE} AND (m.waits = 0 OR ?) AND (m.boot IS NULL OR NOT ${OWED}) ORDER BY m.row`,
      )
      .iterate(conversationId, Number(waiting), owedSince(connection, clock));
    // One that is larger than all the room there ever is goes alone.
    const isRoomy = limitBytes >= MAIL_QUEUE_LIMIT_BYTES;
    const items: TakeableMail[] = [];
    let bytes = 0;
    for (const row of rows) {
      const next = items.length < limit ? toTakeable(row) : null;
      bytes += next === null ? 0 : Buffer.byteLength(promptOfMail(next));
      const fits = bytes <= limitBytes || (items.length === 0 && isRoomy);
      if (next === null || !fits) return { items, more: true };
      items.push(next);
    }
    return { items, more: false };
  });
}

export function untakenMail(connection: Connection, conversationId: string, limit: number): number {
  const row = one(
    connection,
    `SELECT count(*) AS count FROM (SELECT 1 FROM mail m WHERE m.receiver = ? AND ${TAKEABLE} LIMIT ?)`,
    conversationId,
    limit,
  );
  return row === undefined ? 0 : integer(row, 'count');
}

export function mailTexts(
  connection: Connection,
  conversationId: string,
  requestIds: readonly string[],
): Map<string, string> {
  return connection.consistently(() => {
    const texts = new Map<string, string>();
    for (const requestId of requestIds) {
      const row = one(
        connection,
        `${MAIL} WHERE m.receiver = ? AND m.request_id = ?`,
        conversationId,
        requestId,
      );
      if (row !== undefined) texts.set(requestId, promptOfMail(toTakeable(row)));
    }
    return texts;
  });
}

export function withUntakenMail(
  connection: Connection,
  { acceptedBefore, after, limit }: { acceptedBefore: string; after: string; limit: number },
  clock: () => number,
): string[] {
  return all(
    connection,
    // The condition is the index's own, word for word, or it would not be used.
    `SELECT DISTINCT receiver FROM mail m
     WHERE state = 'accepted' AND covered_by IS NULL AND waits = 0 AND receiver > ? AND accepted_at < ?
       AND (boot IS NULL OR NOT ${OWED})
     ORDER BY receiver LIMIT ?`,
    after,
    acceptedBefore,
    owedSince(connection, clock),
    limit,
  ).map((row) => text(row, 'receiver'));
}

/** What was owed before then is waited for no more. */
function owedSince(connection: Connection, clock: () => number): string {
  const owed = one(connection, 'SELECT 1 FROM owed_recoveries LIMIT 1');
  return owed === undefined ? '' : new Date(clock() - RECOVERY_OWED_MS).toISOString();
}

function toTakeable(row: Row): TakeableMail {
  const from = fromOf(row);
  return {
    messageId: text(row, 'message_id'),
    from,
    sender: from === null ? null : senderOf(row, from),
    kind: oneOf(row, 'kind', MAIL_KINDS),
    content: text(row, 'content'),
    outcome: oneOfOrNull(row, 'outcome', OUTCOMES),
    whenBusy: oneOf(row, 'when_busy', ['queue', 'steer']),
    requestId: text(row, 'request_id'),
    expiresAt: textOrNull(row, 'expires_at'),
  };
}

function fromOf(row: Row): string | null {
  const sender = text(row, 'sender');
  return sender === HOLDFAST ? null : sender;
}

/** The root is called as its agentId: its title may change, and a prompt must stay as it was. */
function senderOf(row: Row, conversationId: string): { agentId: string; name: string } {
  const agentId = textOrNull(row, 'sender_id');
  if (agentId === null) return { agentId: conversationId, name: '' };
  return {
    agentId,
    name: integer(row, 'sender_depth') === 0 ? ROOT_AGENT_ID : text(row, 'sender_name'),
  };
}

function toMailRow(connection: Connection, row: Row): MailRowValue {
  const from = fromOf(row);
  const receiver = text(row, 'receiver');
  const coveredBy = integerOrNull(row, 'covered_by');
  const optional = {
    outcome: oneOfOrNull(row, 'outcome', OUTCOMES),
    reason: textOrNull(row, 'reason'),
    requestId: coveredBy === null ? text(row, 'request_id') : null,
    turnId: textOrNull(row, 'turn_id'),
    coveredBy: coveredBy === null ? null : messageOf(connection, coveredBy),
    deliveredAt: textOrNull(row, 'delivered_at'),
    appliedAt: textOrNull(row, 'applied_at'),
    expiresAt: textOrNull(row, 'expires_at'),
  };
  const { outcome, reason, requestId, turnId, deliveredAt, appliedAt, expiresAt } = optional;
  return {
    messageId: text(row, 'message_id'),
    from: from === null ? null : senderOf(row, from).agentId,
    to: addressOf(connection, receiver),
    fromConversationId: from,
    toConversationId: receiver,
    kind: oneOf(row, 'kind', MAIL_KINDS),
    content: text(row, 'content'),
    ...(outcome === null ? {} : { outcome }),
    state: oneOf(row, 'state', MAIL_STATES),
    ...(reason === null ? {} : { reason }),
    ...(requestId === null ? {} : { requestId }),
    ...(turnId === null ? {} : { turnId }),
    ...(optional.coveredBy === null ? {} : { coveredBy: optional.coveredBy }),
    acceptedAt: text(row, 'accepted_at'),
    ...(deliveredAt === null ? {} : { deliveredAt }),
    ...(appliedAt === null ? {} : { appliedAt }),
    ...(expiresAt === null ? {} : { expiresAt }),
  };
}

function addressOf(connection: Connection, conversationId: string): string {
  const row = one(
    connection,
    'SELECT agent_id FROM agents WHERE conversation_id = ?',
    conversationId,
  );
  return row === undefined ? conversationId : text(row, 'agent_id');
}

function messageOf(connection: Connection, id: number): string | null {
  const row = one(connection, 'SELECT message_id FROM mail WHERE row = ?', id);
  return row === undefined ? null : text(row, 'message_id');
}

const CURSOR = /^[1-9][0-9]{0,14}$/;

/** After which row a page begins. Throws: `invalid_request` for a cursor that no mailbox gave. */
function startOf(cursor: string | null): number {
  if (cursor === null) return 0;
  if (!CURSOR.test(cursor))
    throw new HoldfastError('invalid_request', 'This cursor is not one that a mailbox gave.');
  return Number(cursor);
}
