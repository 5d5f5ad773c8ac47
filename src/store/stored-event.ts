/**
 * An event as it is stored and delivered: its one JSON text. Neutral of the engine.
 *
 * Invariants:
 *  1 The text is built once, at the append; every reader is given these very characters (L2, L3).
 *  2 Field order is fixed: type, conversationId, tableId, rootId, turnId, attempt, requestId, seq, at, payload.
 *  3 A conversation's stream stamps its conversationId, a table's its tableId, a team's its rootId, whatever the appender wrote.
 *    A trigger's events name it in their payload (trigger-basis.ts refuses another's).
 */
import type { Event, NewEvent } from '../contracts/events.ts';
import { conversationStream, tableStream, teamStream, triggerStream } from '../contracts/ids.ts';

const CONVERSATION_PREFIX = conversationStream('');
const TABLE_PREFIX = tableStream('');
const TEAM_PREFIX = teamStream('');
const TRIGGER_PREFIX = triggerStream('');

/** The conversation whose stream this is, or null for another kind of stream. */
export function conversationOfStream(stream: string): string | null {
  return stream.startsWith(CONVERSATION_PREFIX) ? stream.slice(CONVERSATION_PREFIX.length) : null;
}

/** The table whose stream this is, or null for another kind of stream. */
export function tableOfStream(stream: string): string | null {
  return stream.startsWith(TABLE_PREFIX) ? stream.slice(TABLE_PREFIX.length) : null;
}

/** The root of the team whose stream this is, or null for another kind of stream. */
export function teamOfStream(stream: string): string | null {
  return stream.startsWith(TEAM_PREFIX) ? stream.slice(TEAM_PREFIX.length) : null;
}

/** The trigger whose stream this is, or null for another kind of stream. */
export function triggerOfStream(stream: string): string | null {
  return stream.startsWith(TRIGGER_PREFIX) ? stream.slice(TRIGGER_PREFIX.length) : null;
}

/** The event in its place: stamped, its fields in the stored order. */
export function placeEvent({
  event,
  stream,
  seq,
  at,
}: {
  event: NewEvent;
  /**
   * Whose stream it is, {@link conversationOfStream}, {@link tableOfStream}, {@link teamOfStream}; null keeps what the event
   * names.
   */
  stream: { conversationId: string | null; tableId: string | null; rootId?: string | null };
  seq: number;
  at: string;
}): Event {
  const conversationId = stream.conversationId ?? event.conversationId;
  const tableId = stream.tableId ?? event.tableId;
  const rootId = stream.rootId ?? event.rootId;
  const placed: Record<string, unknown> = { type: event.type };
  if (conversationId !== undefined) placed['conversationId'] = conversationId;
  if (tableId !== undefined) placed['tableId'] = tableId;
  if (rootId !== undefined) placed['rootId'] = rootId;
  if (event.turnId !== undefined) placed['turnId'] = event.turnId;
  if (event.attempt !== undefined) placed['attempt'] = event.attempt;
  if (event.requestId !== undefined) placed['requestId'] = event.requestId;
  placed['seq'] = seq;
  placed['at'] = at;
  placed['payload'] = event.payload;
  if (!isEvent(placed)) throw new TypeError('an event has a type and a payload');
  return placed;
}

/**
 * The stored texts of one stream's placed events: the same as `JSON.stringify(event)`, in half the time for a flood,
 * whose events differ in little but their payload.
 */
export function eventEncoder(): (event: Event) => string {
  let last: Event | null = null;
  let head = '';
  let middle = '';
  return (event) => {
    if (last === null || !sameScope(last, event)) {
      const { type, conversationId, tableId, rootId, turnId, attempt, requestId } = event;
      const scope = JSON.stringify({
        type,
        conversationId,
        tableId,
        rootId,
        turnId,
        attempt,
        requestId,
      });
      head = `${scope.slice(0, -1)},"seq":`;
    }
    if (last?.at !== event.at) middle = `,"at":${JSON.stringify(event.at)},"payload":`;
    last = event;
    return `${head}${event.seq}${middle}${JSON.stringify(event.payload)}}`;
  };
}

function sameScope(one: Event, other: Event): boolean {
  return (
    one.type === other.type &&
    one.conversationId === other.conversationId &&
    one.tableId === other.tableId &&
    one.rootId === other.rootId &&
    one.turnId === other.turnId &&
    one.attempt === other.attempt &&
    one.requestId === other.requestId
  );
}

/** The inverse of {@link eventEncoder}, for texts that came from a store. */
export function decodeEvent(json: string): Event {
  const value: unknown = JSON.parse(json);
  if (!isEvent(value)) throw new TypeError('a stored event is not readable');
  return value;
}

/** The store's own texts are trusted: contracts checked them on the way in. */
function isEvent(value: unknown): value is Event {
  return (
    typeof value === 'object' &&
    value !== null &&
    'type' in value &&
    'payload' in value &&
    value.payload !== undefined
  );
}
