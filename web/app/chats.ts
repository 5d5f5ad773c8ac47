/** The list of conversations, as words and groups. Pure. */
import type { ConversationSummaryValue } from '../../src/contracts/events.ts';
import type { ConversationViewValue } from '../../src/contracts/view.ts';

/** What a search or an older page gives: a summary, and what was found in it. */
export type ListedChat = ConversationSummaryValue & {
  match?: { messageId: string | null; snippet: string };
};

/** What is going on in a conversation. */
export type Activity = Pick<ConversationSummaryValue, 'state' | 'queued' | 'held' | 'approvals'>;

/**
 * Of a conversation that is shown: what it shows itself. The list is told of it by the table's stream, which says "processing" until
 * the engine has settled what comes after the turn, a moment after its end.
 */
export function activityOf(view: ConversationViewValue): Activity {
  const { activeTurn, state, queue, held, approvals } = view;
  return {
    state: activeTurn === null ? 'idle' : state,
    queued: queue.length,
    held,
    approvals: approvals.length,
  };
}

export type Badge = {
  words: string;
  tone: 'accent' | 'warn' | 'plain';
  /** It changes by itself while one looks. */
  isLive: boolean;
};

/** The states of a conversation that are worth a word, the most urgent first. */
export function badgesOf(chat: Activity): Badge[] {
  const badges: Badge[] = [];
  if (chat.approvals > 0) badges.push({ words: 'needs approval', tone: 'warn', isLive: false });
  if (chat.state === 'cancelled') badges.push({ words: 'cancelling', tone: 'warn', isLive: true });
  if (chat.state === 'processing') badges.push({ words: 'running', tone: 'accent', isLive: true });
  if (chat.queued > 0) {
    badges.push({ words: `queued ${chat.queued}`, tone: 'plain', isLive: false });
  }
  if (chat.held) badges.push({ words: 'held', tone: 'plain', isLive: false });
  return badges;
}

/** What is shown where nobody gave a title: the first line that was written gives one. */
export function titleOf(chat: { title: string }): string {
  return chat.title.trim() === '' ? 'New chat' : chat.title;
}

export type Day = 'Today' | 'Yesterday' | 'Previous 7 days' | 'Older';

/** By the days of the reader's own calendar, each group in the order given; empty groups are left out. */
export function groupByDay<T extends { lastAt: string }>(
  chats: readonly T[],
  nowMs: number,
): { day: Day; chats: T[] }[] {
  const groups = new Map<Day, T[]>();
  for (const chat of chats) {
    const day = dayOf(Date.parse(chat.lastAt), nowMs);
    const group = groups.get(day) ?? [];
    group.push(chat);
    groups.set(day, group);
  }
  const order: Day[] = ['Today', 'Yesterday', 'Previous 7 days', 'Older'];
  return order.flatMap((day) => {
    const group = groups.get(day);
    return group === undefined ? [] : [{ day, chats: group }];
  });
}

function dayOf(atMs: number, nowMs: number): Day {
  // by the calendar and not by 24 hours: two days a year are of another length
  const startOf = (daysAgo: number) => {
    const day = new Date(nowMs);
    return new Date(day.getFullYear(), day.getMonth(), day.getDate() - daysAgo).getTime();
  };
  if (atMs >= startOf(0)) return 'Today';
  if (atMs >= startOf(1)) return 'Yesterday';
  if (atMs >= startOf(7)) return 'Previous 7 days';
  return 'Older';
}

/**
 * The table's live list with the pages that were loaded behind it. A conversation of the view is as the view has it; pages only
 * add what lies below, and what came up since they were loaded is not there twice.
 */
export function mergeChats(
  live: readonly ListedChat[],
  loaded: readonly ListedChat[],
): readonly ListedChat[] {
  if (loaded.length === 0) return live;
  const known = new Set(live.map((chat) => chat.conversationId));
  const below = loaded.filter((chat) => {
    const isNew = !known.has(chat.conversationId);
    known.add(chat.conversationId);
    return isNew;
  });
  return below.length === 0 ? live : [...live, ...below];
}

/** A piece of a snippet; `found`: it lay between U+0002 and U+0003. */
export type SnippetPart = { text: string; found: boolean };

/** Cuts a snippet at its marks; none of them is among the parts. */
export function snippetParts(snippet: string): SnippetPart[] {
  const [head = '', ...marked] = snippet.split('\u0002');
  const parts = [{ text: head.replaceAll('\u0003', ''), found: false }];
  for (const piece of marked) {
    const [inside = '', ...behind] = piece.split('\u0003');
    parts.push({ text: inside, found: true }, { text: behind.join(''), found: false });
  }
  return parts.filter(({ text }) => text !== '');
}

/** The conversation above (-1) or below (1) that one; of one that is not listed, the first. */
export function neighbour(
  chats: readonly { conversationId: string }[],
  conversationId: string | null,
  step: -1 | 1,
): string | null {
  const index = chats.findIndex((chat) => chat.conversationId === conversationId);
  if (index === -1) return chats[0]?.conversationId ?? null;
  return chats[index + step]?.conversationId ?? null;
}
