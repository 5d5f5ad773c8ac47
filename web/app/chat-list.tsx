import { useEffect, useEffectEvent, useRef } from 'react';

import { ProblemLine } from '../parts/problem-line.tsx';
import { useNow } from '../parts/time.tsx';
import { ChatRow, type ChatActions } from './chat-row.tsx';
import { groupByDay, type ListedChat } from './chats.ts';
import type { ChatPages } from './use-chat-pages.ts';

/** Conversations by day; of a search in the order in which they were found. More is loaded when the end comes near. */
export function ChatList({
  chats,
  pages,
  isSearch,
  emptyWords,
  isLoading,
  currentId,
  hrefOf,
  actions,
}: {
  chats: readonly ListedChat[];
  pages: ChatPages;
  isSearch: boolean;
  emptyWords: string;
  isLoading: boolean;
  currentId: string | null;
  hrefOf: (conversationId: string) => string;
  actions: ChatActions;
}) {
  const now = useNow(60_000);
  const groups = isSearch ? [{ day: null, chats: [...chats] }] : groupByDay(chats, now);
  return (
    <div className="chat-list">
      <ul className="chat-list-rows" aria-label="Chats" aria-busy={isLoading}>
        {groups.flatMap(({ day, chats: group }) =>
          group.map((chat, index) => (
            <li key={chat.conversationId} className="chat-list-item">
              {index === 0 && day !== null && <h3 className="chat-list-day">{day}</h3>}
              <ChatRow
                chat={chat}
                href={hrefOf(chat.conversationId)}
                isCurrent={chat.conversationId === currentId}
                actions={actions}
              />
            </li>
          )),
        )}
      </ul>
      {chats.length === 0 && !isLoading && pages.is === 'idle' && (
        <p className="chat-list-empty">{emptyWords}</p>
      )}
      {pages.is === 'failed' && pages.problem !== null && (
        <ProblemLine problem={pages.problem} onRetry={pages.loadMore} />
      )}
      {pages.hasMore && pages.is !== 'failed' && chats.length > 0 && (
        <End isLoading={pages.is === 'loading'} onNear={pages.loadMore} />
      )}
    </div>
  );
}

/** The end of what is loaded: seen, it asks for more. It is a button as well, for those who do not scroll. */
function End({ isLoading, onNear }: { isLoading: boolean; onNear: () => void }) {
  const button = useRef<HTMLButtonElement>(null);
  const near = useEffectEvent(onNear);
  useEffect(() => {
    const element = button.current;
    if (element === null || isLoading) return;
    const observer = new IntersectionObserver((entries) => {
      if (entries.some((entry) => entry.isIntersecting)) near();
    });
    observer.observe(element);
    return () => observer.disconnect();
  }, [isLoading]);
  return (
    <button
      ref={button}
      type="button"
      className="chat-list-more"
      disabled={isLoading}
      onClick={onNear}
    >
      {isLoading ? 'Loading…' : 'Load more'}
    </button>
  );
}
