/**
 * A conversation's log that came from elsewhere, as the log of a new conversation here.
 *
 * Invariants:
 *  1 What was said and done stays, in its order and with its times: folded, both logs show the same, but for ids.
 *  2 An id that is taken here is replaced, wherever it stands, by the same new one. A turn that had not begun gets a new one
 *     always: it may begin here and there. The message of a turn's prompt goes with its turn (`promptMessageId`).
 *  3 Nothing runs afterwards and nothing starts by itself: what ran is `interrupted`, what waited is cancelled, and no host has it.
 *    Its mailbox and its place in a team stay where they were.
 *  4 Of the pieces of what was said only those stay whose whole is nowhere else.
 *  5 A log that no store could have written is refused, with its place.
 */
import { HoldfastError } from '../contracts/errors.ts';
import type { Event, QueueItemValue } from '../contracts/events.ts';
import { attemptKey } from '../contracts/ids.ts';
import { promptMessageId } from './turn-ids.ts';

/** The ids of turns that began, and of messages, which a store may have already. */
export function idsOf(events: readonly Event[]): { turns: string[]; messages: string[] } {
  const turns = startedTurns(events);
  const messages = new Set([...turns].map(promptMessageId));
  for (const event of events) {
    const messageId = rowOf(event);
    if (messageId !== null) messages.add(messageId);
  }
  return { turns: [...turns], messages: [...messages] };
}

/** Throws: `invalid_request` by invariant 5. */
export function adopted({
  conversationId,
  events,
  isTaken,
  newId,
  now,
}: {
  /** Of the new conversation. */
  conversationId: string;
  events: readonly Event[];
  isTaken: (kind: 'turn' | 'message', id: string) => boolean;
  /** A UUID that was never given before. */
  newId: () => string;
  /** Of what is added: the end of what ran. */
  now: string;
}): Event[] {
  const end = checked(events);
  const ids = new Ids({ events, isTaken, newId });
  const whole = endedPieces(events);
  const log: Event[] = [];
  const add = (event: Event): void => {
    log.push({ ...event, conversationId, seq: log.length + 1 });
  };
  for (const event of events) {
    if (!whole.has(event)) for (const rewritten of rewrite(event, ids)) add(rewritten);
  }
  const place = { seq: 0, at: now };
  if (end.running !== null) {
    const { turnId, attempt, requestId } = end.running;
    add({
      ...place,
      type: 'chat.interrupted',
      turnId: ids.turn(turnId),
      attempt,
      ...(requestId === undefined ? {} : { requestId }),
      payload: { cause: 'imported', retryable: true },
    });
  }
  if (end.state !== 'idle')
    add({ ...place, type: 'conversation.state', payload: { state: 'idle' } });
  // Nobody waits for these any more: their requests were made elsewhere, and their receipts are not here.
  for (const { turnId, requestId } of end.queue)
    add({
      ...place,
      type: 'chat.cancelled',
      turnId: ids.turn(turnId),
      requestId,
      payload: { by: 'imported' },
    });
  if (end.queue.length > 0)
    add({ ...place, type: 'queue.changed', payload: { queue: [], held: false } });
  return log;
}

/** Old ids to new ones. */
class Ids {
  readonly #turns = new Map<string, string>();
  readonly #messages = new Map<string, string>();
  readonly #newId: () => string;

  constructor({
    events,
    isTaken,
    newId,
  }: {
    events: readonly Event[];
    isTaken: (kind: 'turn' | 'message', id: string) => boolean;
    newId: () => string;
  }) {
    this.#newId = newId;
    for (const turnId of startedTurns(events))
      if (isTaken('turn', turnId) || isTaken('message', promptMessageId(turnId)))
        this.#renewTurn(turnId);
      else this.#turns.set(turnId, turnId);
    for (const event of events) {
      const messageId = rowOf(event);
      if (messageId !== null && !this.#messages.has(messageId) && isTaken('message', messageId))
        this.#messages.set(messageId, newId());
    }
  }

  turn(turnId: string): string {
    return this.#turns.get(turnId) ?? this.#renewTurn(turnId);
  }

  message(messageId: string): string {
    return this.#messages.get(messageId) ?? messageId;
  }

  #renewTurn(turnId: string): string {
    const renewed = `t${this.#newId().replaceAll('-', '')}`;
    this.#turns.set(turnId, renewed);
    this.#messages.set(promptMessageId(turnId), promptMessageId(renewed));
    return renewed;
  }
}

function startedTurns(events: readonly Event[]): Set<string> {
  return new Set(
    events.flatMap(({ type, turnId }) =>
      type === 'chat.started' && turnId !== undefined ? [turnId] : [],
    ),
  );
}

/** The message whose row an event makes; null: it makes none. */
function rowOf(event: Event): string | null {
  switch (event.type) {
    case 'message.created':
    case 'message.copied':
    case 'assistant.segment.started':
    case 'tool.start':
      return event.payload.messageId;
    default:
      return null;
  }
}

/** The same event with the ids of here; none for what is only of there. */
function rewrite(event: Event, ids: Ids): Event[] {
  // The switch keeps each type with its payload; what has no id in its payload needs nothing more than its turn's.
  const placed: Event =
    event.turnId === undefined ? event : { ...event, turnId: ids.turn(event.turnId) };
  switch (placed.type) {
    case 'conversation.created': {
      const { agent: _, ...payload } = placed.payload;
      return [{ ...placed, payload: { ...payload, tableId: null } }];
    }
    // Its mailbox is of there: what had not been taken would begin turns here.
    case 'mail.accepted':
    case 'mail.expired':
    case 'mail.again':
      return [];
    case 'conversation.updated': {
      const { host: _, ...payload } = placed.payload;
      return Object.keys(payload).length === 0 ? [] : [{ ...placed, payload }];
    }
    case 'message.created':
      return [withMessage(placed, ids)];
    case 'message.copied':
      return [withMessage(placed, ids)];
    case 'assistant.segment.started':
      return [withMessage(placed, ids)];
    case 'assistant.segment.ended':
      return [withMessage(placed, ids)];
    case 'assistant.segment.discarded':
      return [withMessage(placed, ids)];
    case 'chat.delta':
      return [withMessage(placed, ids)];
    case 'tool.start':
      return [withMessage(placed, ids)];
    case 'history.cut': {
      const { messageId } = placed.payload;
      const payload = {
        ...placed.payload,
        messageId: messageId === null ? null : ids.message(messageId),
      };
      return [{ ...placed, payload }];
    }
    case 'chat.steered': {
      const { turnId } = placed.payload;
      return [{ ...placed, payload: { ...placed.payload, turnId: ids.turn(turnId) } }];
    }
    case 'queue.changed': {
      const queue = placed.payload.queue.map((item) => queued(item, ids));
      return [{ ...placed, payload: { ...placed.payload, queue } }];
    }
    default:
      return [placed];
  }
}

function withMessage<T extends { payload: { messageId: string } }>(event: T, ids: Ids): T {
  return {
    ...event,
    payload: { ...event.payload, messageId: ids.message(event.payload.messageId) },
  };
}

function queued(item: QueueItemValue, ids: Ids): QueueItemValue {
  const { replaces } = item;
  return {
    ...item,
    turnId: ids.turn(item.turnId),
    ...(replaces === undefined ? {} : { replaces: ids.message(replaces) }),
  };
}

/** The pieces of segments and tool calls whose end is in the log, with all that they said. */
function endedPieces(events: readonly Event[]): ReadonlySet<Event> {
  const pieces = new Set<Event>();
  const ended = new Set<string>();
  for (const event of events.toReversed()) {
    const of = `${event.turnId}.${event.attempt}`;
    switch (event.type) {
      case 'assistant.segment.ended':
      case 'assistant.segment.discarded':
        ended.add(`segment ${event.payload.messageId}`);
        break;
      case 'chat.delta':
        if (ended.has(`segment ${event.payload.messageId}`)) pieces.add(event);
        break;
      case 'tool.end':
        ended.add(`tool ${of} ${event.payload.toolCallId}`);
        break;
      case 'tool.start':
        ended.delete(`tool ${of} ${event.payload.toolCallId}`);
        break;
      case 'tool.output':
        if (ended.has(`tool ${of} ${event.payload.toolCallId}`)) pieces.add(event);
        break;
      default:
        break;
    }
  }
  return pieces;
}

type LogEnd = {
  running: { turnId: string; attempt: number; requestId: string | undefined } | null;
  state: string;
  queue: readonly QueueItemValue[];
  held: boolean;
};

/** Where the log leaves its conversation. Throws: `invalid_request`. */
function checked(events: readonly Event[]): LogEnd {
  const end: LogEnd = { running: null, state: 'idle', queue: [], held: false };
  const attempts = new Set<string>();
  const rows = new Set<string>();
  let lastSeq = 0;
  for (const [index, event] of events.entries()) {
    const { type, seq, turnId, attempt, requestId } = event;
    const refuse = (what: string): HoldfastError =>
      new HoldfastError('invalid_request', `This is no conversation's log: ${what} (seq ${seq}).`, {
        seq,
      });
    if (seq <= lastSeq) throw refuse('its events are out of order');
    lastSeq = seq;
    if ((type === 'conversation.created') !== (index === 0))
      throw refuse('it begins with its creation, once');
    if (OF_OTHERS.has(type)) throw refuse(`${type} is of another stream`);
    const row = rowOf(event);
    if (row !== null && rows.has(row)) throw refuse(`message ${row} begins twice`);
    if (row !== null) rows.add(row);
    switch (event.type) {
      case 'conversation.state':
        end.state = event.payload.state;
        break;
      case 'queue.changed':
        end.queue = event.payload.queue;
        end.held = end.queue.length > 0 && (event.payload.held ?? end.held);
        break;
      case 'history.cut': {
        const { messageId } = event.payload;
        if (messageId !== null && !rows.has(messageId))
          throw refuse(`there is no message ${messageId} to cut after`);
        break;
      }
      case 'chat.started': {
        if (turnId === undefined) throw refuse('a turn without an id begins');
        const key = attemptKey(turnId, event.payload.attempt);
        if ((attempt ?? 1) !== event.payload.attempt) throw refuse('an attempt contradicts itself');
        if (end.running !== null) throw refuse('a turn begins while another one runs');
        if (attempts.has(key)) throw refuse(`attempt ${key} begins twice`);
        attempts.add(key);
        end.running = { turnId, attempt: event.payload.attempt, requestId };
        break;
      }
      case 'chat.done':
      case 'chat.error':
      case 'chat.cancelled':
      case 'chat.interrupted': {
        // A queued message that was removed ends without an attempt.
        if (turnId === undefined || attempt === undefined) break;
        if (end.running?.turnId !== turnId || end.running.attempt !== attempt)
          throw refuse(`attempt ${attemptKey(turnId, attempt)} ends and does not run`);
        end.running = null;
        break;
      }
      default:
        break;
    }
  }
  if (events.length === 0)
    throw new HoldfastError('invalid_request', 'An empty log is no conversation.');
  return end;
}

const OF_OTHERS: ReadonlySet<string> = new Set([
  'table.created',
  'table.updated',
  'conversation.listed',
  'conversation.activated',
  'agent.changed',
]);
