import { useEffect, useEffectEvent, useRef, useState } from 'react';

import type { Problem, TableHandle } from '../client/contract.ts';
import type { ListedChat } from './chats.ts';

/** What is listed beside the table's live view: null is the live view with what is older behind it. */
export type ChatFilter = { q: string; archived: 'true' | 'false' | 'any' } | null;

export type ChatPages = {
  items: readonly ListedChat[];
  is: 'idle' | 'loading' | 'failed';
  problem: Problem | null;
  hasMore: boolean;
  loadMore: () => void;
};

type Pages = Omit<ChatPages, 'loadMore'> & { cursor: string | null };

const EMPTY: Pages = { items: [], is: 'idle', problem: null, hasMore: true, cursor: null };

/**
 * Pages of a table's conversations: of a search or of the archive the first one at once, of what is older than the live view
 * only what is asked for. An answer to a question that is no longer asked is dropped.
 */
export function useChatPages(handle: TableHandle | null, filter: ChatFilter): ChatPages {
  const [pages, setPages] = useState<Pages>(EMPTY);
  const asked = useRef(0);
  const question = filter === null ? '' : `${filter.archived} ${filter.q}`;

  const load = (from: Pages) => {
    if (handle === null || from.is === 'loading' || !from.hasMore) return;
    asked.current += 1;
    const mine = asked.current;
    setPages({ ...from, is: 'loading', problem: null });
    const request = {
      ...(filter === null || filter.q === '' ? {} : { q: filter.q }),
      ...(filter === null ? {} : { archived: filter.archived }),
      ...(from.cursor === null ? {} : { cursor: from.cursor }),
    };
    void handle.list(request).then((outcome) => {
      if (mine !== asked.current) return;
      if (!outcome.ok) {
        setPages({ ...from, is: 'failed', problem: outcome.problem });
      } else if ('value' in outcome) {
        const { items, nextCursor } = outcome.value;
        const all = [...from.items, ...items];
        setPages({
          items: all,
          is: 'idle',
          problem: null,
          hasMore: nextCursor !== null,
          cursor: nextCursor,
        });
      }
    });
  };

  const begin = useEffectEvent(() => {
    if (filter === null) setPages(EMPTY);
    else load(EMPTY);
  });
  useEffect(() => {
    asked.current += 1;
    begin();
    return () => {
      asked.current += 1;
    };
  }, [handle, question]);

  return { ...pages, loadMore: () => load(pages) };
}
