/**
 * The fold from a table's events to its snapshot: what a client and the store both make of a table's stream.
 *
 * Invariants:
 *  1 Folding a stream in any number of pieces gives the same view: snapshot ⊕ events after its `lastSeq` = the whole
 *    stream folded (L4, T1). An event at or below `lastSeq` changes nothing.
 *  2 The view given is never changed; what an event did not touch is shared with the new view.
 *  3 Conversations are in order of `lastAt`, then id, newest first; archived ones are not among them.
 *  4 A view may be a page (`hasOlder`): it stays the newest so many of the whole, never with one missing in between. So
 *    nothing is put below the page's end, and what sinks below it leaves. The store tells a conversation that comes up
 *    from below another with `conversation.listed`, so that every page that it enters knows all of it.
 *  5 An unknown event type moves `lastSeq` and nothing else.
 */
import type { ConversationSummaryValue, Event, EventPayloads } from '../contracts/events.ts';
import type { TableViewValue } from '../contracts/view.ts';

/** The view of a table of which no event is known. */
export function emptyTableView(tableId: string): TableViewValue {
  return {
    tableId,
    title: '',
    workspacePath: '',
    provider: '',
    model: null,
    activeConversationId: null,
    createdAt: '1970-01-01T00:00:00.000Z',
    conversations: [],
    hasOlder: false,
    lastSeq: 0,
  };
}

/** The view after `events`, which are in order of `seq`; `view` itself when all of them are known to it. */
export function foldTableEvents(view: TableViewValue, events: Iterable<Event>): TableViewValue {
  let draft: Draft | null = null;
  for (const event of events) {
    if (event.seq <= (draft?.view ?? view).lastSeq) continue;
    draft ??= { view: { ...view }, ownsConversations: false };
    fold(draft, event);
    draft.view.lastSeq = event.seq;
  }
  return draft === null ? view : draft.view;
}

/** A view being made: the list is the original's until it is owned, that is copied once and then changed in place. */
type Draft = { view: TableViewValue; ownsConversations: boolean };

function fold(draft: Draft, event: Event): void {
  const { view } = draft;
  switch (event.type) {
    case 'table.created': {
      const { title, workspacePath, provider, model } = event.payload;
      Object.assign(view, { title, workspacePath, provider, model, createdAt: event.at });
      break;
    }
    case 'table.updated':
      view.title = event.payload.title ?? view.title;
      break;
    case 'conversation.activated':
      view.activeConversationId = event.conversationId ?? view.activeConversationId;
      break;
    case 'conversation.listed':
      place(draft, event.payload.conversation, event.at);
      break;
    case 'conversation.state': {
      const known = view.conversations.find((each) => each.conversationId === event.conversationId);
      // Else it is archived (or the page is empty): whatever comes up into a page is listed.
      if (known !== undefined) place(draft, withActivity(known, event.payload), event.at);
      break;
    }
    default:
      break;
  }
}

/** Puts the conversation where it belongs now, in place of what was known of it. */
function place(draft: Draft, conversation: ConversationSummaryValue, at: string): void {
  const { view } = draft;
  const { conversationId } = conversation;
  // Everything down to here is in the view. Of an empty page only what has just happened is known to be the newest.
  const end = view.conversations.at(-1) ?? { lastAt: at, conversationId: '' };
  const from = view.conversations.findIndex((each) => each.conversationId === conversationId);
  const below = view.hasOlder && isNewer(end, conversation);
  if (from === -1 && (conversation.archived || below)) return;
  const conversations = conversationsOf(draft);
  if (from !== -1) conversations.splice(from, 1);
  if (conversation.archived || below) return;
  const to = conversations.findIndex((each) => isNewer(conversation, each));
  conversations.splice(to === -1 ? conversations.length : to, 0, conversation);
}

type Place = Pick<ConversationSummaryValue, 'lastAt' | 'conversationId'>;

/** Whether `one` comes before `other` in a list. */
function isNewer(one: Place, other: Place): boolean {
  return one.lastAt === other.lastAt
    ? one.conversationId > other.conversationId
    : one.lastAt > other.lastAt;
}

/** Only what a list shows; a field that this code does not know stays out. */
function withActivity(
  known: ConversationSummaryValue,
  told: EventPayloads['conversation.state'],
): ConversationSummaryValue {
  return {
    ...known,
    state: told.state,
    lastLine: told.lastLine ?? known.lastLine,
    messageCount: told.messageCount ?? known.messageCount,
    turnCount: told.turnCount ?? known.turnCount,
    queued: told.queued ?? known.queued,
    held: told.held ?? known.held,
    approvals: told.approvals ?? known.approvals,
    lastAt: told.lastAt ?? known.lastAt,
  };
}

function conversationsOf(draft: Draft): ConversationSummaryValue[] {
  if (!draft.ownsConversations) draft.view.conversations = [...draft.view.conversations];
  draft.ownsConversations = true;
  return draft.view.conversations;
}
