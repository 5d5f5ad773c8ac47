import { memo, type MouseEvent } from 'react';

import { Icon } from '../parts/icon.tsx';
import { Menu } from '../parts/menu.tsx';
import { badgesOf, snippetParts, titleOf, type ListedChat } from './chats.ts';

export type ChatActions = {
  onOpen: (conversationId: string) => void;
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
        <ChatBadges chat={chat} />
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

function ChatBadges({ chat }: { chat: ListedChat }) {
  const badges = badgesOf(chat);
  if (badges.length === 0 && !chat.archived) return null;
  return (
    <span className="chat-row-badges">
      {badges.map(({ words, tone, isLive }) => (
        <span key={words} className={`badge badge-${tone}`}>
          {isLive && <span className="pulse-dot" aria-hidden="true" />}
          {words}
        </span>
      ))}
      {chat.archived && <span className="badge">archived</span>}
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
