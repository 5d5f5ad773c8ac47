import { memo, useRef, type MouseEvent } from 'react';

import type { ConversationHandle } from '../client/contract.ts';
import { Icon } from '../parts/icon.tsx';
import { Menu } from '../parts/menu.tsx';
import { useOpened } from '../parts/use-opened.ts';
import { useSelected } from '../parts/use-readable.ts';
import {
  activityOf,
  badgesOf,
  snippetParts,
  titleOf,
  type Activity,
  type ListedChat,
} from './chats.ts';

export type ChatActions = {
  onOpen: (conversationId: string) => void;
  /** Looks at the one that is shown, as the conversation itself does; null where nothing can be looked at. */
  follow: ((conversationId: string) => ConversationHandle) | null;
  onRename: (chat: ListedChat) => void;
  onArchive: (chat: ListedChat) => void;
  onFork: (chat: ListedChat) => void;
};

/** One conversation of the list: a link whose name is its title, then its states in words, then its last line. */
export const ChatRow = memo(function ChatRow({
  chat,
  href,
  isCurrent,
  actions,
}: {
  chat: ListedChat;
  href: string;
  isCurrent: boolean;
  actions: ChatActions;
}) {
  const title = titleOf(chat);
  const open = (event: MouseEvent) => {
    // a new tab or window is the browser's own business
    if (event.metaKey || event.ctrlKey || event.shiftKey || event.altKey || event.button !== 0)
      return;
    event.preventDefault();
    actions.onOpen(chat.conversationId);
  };
  return (
    <div className="chat-row" data-current={isCurrent}>
      <a
        className="chat-row-link"
        href={href}
        aria-current={isCurrent ? 'page' : undefined}
        onClick={open}
      >
        <span className="chat-row-title">{title}</span>
        {isCurrent && actions.follow !== null ? (
          <FollowedBadges chat={chat} follow={actions.follow} />
        ) : (
          <ChatBadges activity={chat} isArchived={chat.archived} />
        )}
        <ChatLine chat={chat} />
      </a>
      <Menu
        label="Chat actions"
        className="chat-row-menu"
        trigger={<Icon name="more" size={17} />}
        items={[
          { label: 'Rename…', icon: 'edit', onSelect: () => actions.onRename(chat) },
          { label: 'Fork', icon: 'fork', onSelect: () => actions.onFork(chat) },
          {
            label: chat.archived ? 'Put back' : 'Archive',
            icon: 'archive',
            onSelect: () => actions.onArchive(chat),
          },
        ]}
      />
    </div>
  );
});

/** Those of the conversation that is shown: they change together with it. */
function FollowedBadges({
  chat,
  follow,
}: {
  chat: ListedChat;
  follow: (conversationId: string) => ConversationHandle;
}) {
  const handle = useOpened(chat.conversationId, follow);
  if (handle === null) return <ChatBadges activity={chat} isArchived={chat.archived} />;
  return <LiveBadges chat={chat} handle={handle} />;
}

function LiveBadges({ chat, handle }: { chat: ListedChat; handle: ConversationHandle }) {
  // drawn again with what it says, not with each word that comes
  const known = useRef<Activity>(chat);
  const activity = useSelected(handle, ({ is, view }): Activity | null => {
    if (is !== 'ready') return null;
    const now = activityOf(view);
    if (!isSame(known.current, now)) known.current = now;
    return known.current;
  });
  return <ChatBadges activity={activity ?? chat} isArchived={chat.archived} />;
}

function isSame(one: Activity, other: Activity): boolean {
  return (
    one.state === other.state &&
    one.queued === other.queued &&
    one.held === other.held &&
    one.approvals === other.approvals
  );
}

function ChatBadges({ activity, isArchived }: { activity: Activity; isArchived: boolean }) {
  const badges = badgesOf(activity);
  if (badges.length === 0 && !isArchived) return null;
  return (
    <span className="chat-row-badges">
      {badges.map(({ words, tone, isLive }) => (
        <span key={words} className={`badge badge-${tone}`}>
          {isLive && <span className="pulse-dot" aria-hidden="true" />}
          {words}
        </span>
      ))}
      {isArchived && <span className="badge">archived</span>}
    </span>
  );
}

function ChatLine({ chat }: { chat: ListedChat }) {
  const { match, lastLine } = chat;
  if (match === undefined) {
    return lastLine === '' ? null : <span className="chat-row-line">{lastLine}</span>;
  }
  return (
    <span className="chat-row-line chat-row-match">
      {snippetParts(match.snippet).map(({ text, found }, index) =>
        // the parts of a snippet have no other name than their place, and a snippet never changes
        found ? <mark key={index}>{text}</mark> : <span key={index}>{text}</span>,
      )}
    </span>
  );
}
