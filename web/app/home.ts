/** Which table and conversation are shown where the address does not say. Pure. */
import { placeOf, type Place } from './place.ts';

/** What is known when it has to be decided. */
export type Known = {
  place: Place;
  /** The hash of the last place, as it was remembered. */
  last: string | null;
  /** Newest first; null: not read yet. */
  tables: readonly { tableId: string; activeConversationId: string | null }[] | null;
};

/** Of nothing in the address: the last place, where its table is still there, else the newest table. Null: not known yet, or none. */
export function homeTable({ place, last, tables }: Known): string | null {
  if (place.tableId !== null) return place.tableId;
  if (tables === null) return null;
  const lastTable = placeOf(last ?? '')?.tableId ?? null;
  const isThere = tables.some(({ tableId }) => tableId === lastTable);
  return isThere ? lastTable : (tables[0]?.tableId ?? null);
}

/** Of a table: the conversation that was shown last in it, else its active one, else its newest. Null: it has none. */
export function homeConversation(
  last: string | null,
  view: {
    tableId: string;
    activeConversationId: string | null;
    conversations: readonly { conversationId: string }[];
  },
): string | null {
  const remembered = placeOf(last ?? '');
  const lastId = remembered?.tableId === view.tableId ? remembered.conversationId : null;
  const isListed = view.conversations.some(({ conversationId }) => conversationId === lastId);
  if (lastId !== null && isListed) return lastId;
  return view.activeConversationId ?? view.conversations[0]?.conversationId ?? null;
}
