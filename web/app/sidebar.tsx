import { useMemo, useRef, useState, type RefObject } from 'react';

import { SEARCH_QUERY_CHARS } from '../../src/contracts/limits.ts';
import type { TableFactsValue } from '../../src/contracts/view.ts';
import type { HoldfastClient, TableHandle, TableState } from '../client/contract.ts';
import { Button, IconButton } from '../parts/button.tsx';
import { Icon } from '../parts/icon.tsx';
import { Menu } from '../parts/menu.tsx';
import { ProblemLine } from '../parts/problem-line.tsx';
import { useReadable } from '../parts/use-readable.ts';
import { withConversation } from '../parts/with-conversation.ts';
import type { ChatCommands } from './chat-commands.ts';
import { ChatList } from './chat-list.tsx';
import type { ChatActions } from './chat-row.tsx';
import { mergeChats, type ListedChat } from './chats.ts';
import { TableMenu } from './table-menu.tsx';
import { TextDialog } from './text-dialog.tsx';
import { THEMES, type ThemeStore } from './theme.ts';
import { useChatPages, type ChatFilter } from './use-chat-pages.ts';
import { useDebounced } from './use-debounced.ts';

/** So long after the last letter, a search is asked. */
const SEARCH_MS = 200;

export type SidebarProps = {
  client: HoldfastClient;
  table: TableHandle;
  tables: readonly TableFactsValue[];
  currentId: string | null;
  theme: ThemeStore;
  commands: ChatCommands;
  search: RefObject<HTMLInputElement | null>;
  hrefOf: (conversationId: string) => string;
  onOpen: (conversationId: string) => void;
  onTable: (tableId: string) => void;
  onNewChat: () => void;
  onTriggers: () => void;
  onKeyboard: () => void;
  onClose: () => void;
};

/** The table, its conversations, search; at its foot what belongs to the whole page. */
export function Sidebar(props: SidebarProps) {
  const { client, table, tables, currentId, commands, search, hrefOf, onOpen } = props;
  const state = useReadable(table);
  const [typed, setTyped] = useState('');
  const [isArchive, setIsArchive] = useState(false);
  const [renaming, setRenaming] = useState<ListedChat | null>(null);
  const q = useDebounced(typed.trim(), SEARCH_MS);
  const filter: ChatFilter =
    q === '' && !isArchive
      ? null
      : { q, archived: isArchive ? (q === '' ? 'true' : 'any') : 'false' };
  const pages = useChatPages(table, filter);
  const chats = shownChats(state, pages.items, filter);
  const latest = useRef(onOpen);
  latest.current = onOpen;
  const actions: ChatActions = useMemo(
    () => ({
      onOpen: (conversationId) => latest.current(conversationId),
      follow: (conversationId) => client.openConversation(conversationId),
      onRename: setRenaming,
      onArchive: (chat) => void commands.archive(chat),
      onFork: (chat) => void commands.fork(chat),
    }),
    [commands, client],
  );
  const hasMore = filter === null ? state.view.hasOlder && pages.hasMore : pages.hasMore;
  return (
    <nav className="sidebar" aria-label="Conversations">
      <div className="sidebar-top">
        <TableMenu
          client={client}
          handle={table}
          tableId={table.tableId}
          title={state.is === 'ready' ? state.view.title : titleAmong(tables, table.tableId)}
          tables={tables}
          onTable={props.onTable}
        />
        <IconButton label="Hide sidebar" icon="sidebar" onClick={props.onClose} />
      </div>
      <div className="sidebar-tools">
        <Button className="sidebar-new" onClick={props.onNewChat}>
          <Icon name="plus" />
          New chat
        </Button>
        <div className="sidebar-search">
          <Icon name="search" size={16} />
          <input
            ref={search}
            type="search"
            aria-label="Search chats"
            placeholder="Search"
            maxLength={SEARCH_QUERY_CHARS}
            value={typed}
            onChange={(event) => setTyped(event.target.value)}
            onKeyDown={(event) => {
              if (event.key === 'Escape' && typed !== '') {
                event.stopPropagation();
                setTyped('');
              }
            }}
          />
          <button
            type="button"
            className="sidebar-archived"
            aria-pressed={isArchive}
            onClick={() => setIsArchive(!isArchive)}
          >
            Archived
          </button>
        </div>
      </div>
      <div className="sidebar-list">
        {state.is === 'failed' && state.problem !== null ? (
          <ProblemLine problem={state.problem} onRetry={() => client.reconnect()} />
        ) : (
          <ChatList
            chats={chats}
            pages={{ ...pages, hasMore }}
            isSearch={q !== ''}
            emptyWords={
              q !== '' ? 'Nothing found.' : isArchive ? 'Nothing is archived.' : 'No chats yet.'
            }
            isLoading={state.is === 'loading' || (filter !== null && pages.is === 'loading')}
            currentId={currentId}
            hrefOf={hrefOf}
            actions={actions}
          />
        )}
      </div>
      <SidebarFoot {...props} />
      {renaming !== null && (
        <TextDialog
          title="Rename chat"
          label="Title"
          initial={renaming.title}
          action="Rename"
          onClose={() => setRenaming(null)}
          onSubmit={(title) =>
            withConversation(client, renaming.conversationId, (handle) => handle.patch({ title }))
          }
        />
      )}
    </nav>
  );
}

function SidebarFoot({ theme, onTriggers, onKeyboard }: SidebarProps) {
  const chosen = useReadable(theme);
  const icons = { system: 'auto', light: 'sun', dark: 'moon' } as const;
  const labels = { system: 'As the system', light: 'Light', dark: 'Dark' } as const;
  return (
    <div className="sidebar-foot">
      <button type="button" className="sidebar-foot-button" onClick={onTriggers}>
        <Icon name="clock" size={17} />
        Triggers
      </button>
      <IconButton label="Keyboard shortcuts" icon="keyboard" onClick={onKeyboard} />
      <Menu
        label="Theme"
        trigger={<Icon name={icons[chosen]} />}
        items={THEMES.map((each) => ({
          label: labels[each],
          icon: icons[each],
          checked: each === chosen,
          onSelect: () => theme.choose(each),
        }))}
      />
    </div>
  );
}

/** Of a search only what was found; each as the live view has it, where it is in that. */
function shownChats(
  state: TableState,
  loaded: readonly ListedChat[],
  filter: ChatFilter,
): readonly ListedChat[] {
  const live = state.view.conversations;
  if (filter === null) return mergeChats(live, loaded);
  const byId = new Map(live.map((chat) => [chat.conversationId, chat]));
  return loaded.map((chat) => {
    const now = byId.get(chat.conversationId);
    return now === undefined ? chat : { ...now, ...(chat.match && { match: chat.match }) };
  });
}

function titleAmong(tables: readonly TableFactsValue[], tableId: string): string {
  return tables.find((table) => table.tableId === tableId)?.title ?? '';
}
