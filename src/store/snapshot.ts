/**
 * The snapshot, composed from rows and events. Neutral of the engine.
 *
 * Invariants:
 *  1 L4 holds by construction: rows speak for everything before the running turn, and what came after is the
 *    same fold that a client applies to the events themselves.
 *  2 Whatever is open is in the snapshot: the page of messages reaches back to the oldest open one.
 */
import type { Event } from '../contracts/events.ts';
import type { ConversationViewValue } from '../contracts/view.ts';
import { foldEvents } from '../domain/fold.ts';

/** What an engine reads, in one read transaction, for a snapshot. */
export type SnapshotRows = {
  /**
   * The conversation without its running turn. Absolute facts (title, state, queue …) as they are now, since
   * folding them again changes nothing; strictly of the time before the turn's newest `chat.started`: `messages`
   * (oldest first), `usage`, `lastSeq`. `activeTurn` is null, `overlays` and `approvals` are empty.
   */
  before: ConversationViewValue;
  /**
   * The events from that `chat.started` on, in order; none when no turn runs. Deltas of messages that have ended may
   * be left out: the ending event carries the whole content. Gone through once.
   */
  events: Iterable<Event>;
  /** The stream's newest seq at the time of the read. */
  lastSeq: number;
};

/** The snapshot with its newest `messageLimit` messages, more where an older one is still open. */
export function composeSnapshot({
  rows,
  messageLimit,
}: {
  rows: SnapshotRows;
  messageLimit: number;
}): ConversationViewValue {
  const view = foldEvents(rows.before, rows.events);
  const { messages } = view;
  const oldestOpen = messages.findIndex((message) => message.status === 'open');
  const newest = Math.max(0, messages.length - messageLimit);
  const first = oldestOpen === -1 ? newest : Math.min(newest, oldestOpen);
  return {
    ...view,
    messages: first === 0 ? messages : messages.slice(first),
    hasOlder: view.hasOlder || first > 0,
    lastSeq: rows.lastSeq,
  };
}
