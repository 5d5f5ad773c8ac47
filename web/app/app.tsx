import { CSPProvider } from '@base-ui/react/csp-provider';
import { useCallback, useEffect, useMemo, useRef, useState } from 'react';

import type { HoldfastClient } from '../client/contract.ts';
import { IconButton } from '../parts/button.tsx';
import { later } from '../parts/later.ts';
import { useLater } from '../parts/use-later.ts';
import { useOpened } from '../parts/use-opened.ts';
import { useReadable } from '../parts/use-readable.ts';
import { chatCommands } from './chat-commands.ts';
import { neighbour } from './chats.ts';
import { ConnectDialog } from './connect-dialog.tsx';
import { ConnectionLine } from './connection-line.tsx';
import { homeTable } from './home.ts';
import { MainPane } from './main-pane.tsx';
import { NoticeLine } from './notice-line.tsx';
import { createNotices } from './notices.ts';
import { PaneBoundary } from './pane-boundary.tsx';
import { PanelHost } from './panel-host.tsx';
import { hashOf, type PanelName, type Place, type PlaceStore } from './place.ts';
import { remembered } from './remembered.ts';
import { ShortcutSheet } from './shortcut-sheet.tsx';
import type { Shortcut } from './shortcuts.ts';
import { Sidebar } from './sidebar.tsx';
import type { ThemeStore } from './theme.ts';
import { useDrawer } from './use-drawer.ts';
import { useNarrow } from './use-narrow.ts';
import { useShortcuts } from './use-shortcuts.ts';

const drawerCode = later(() => import('./drawer.tsx'));

/** The page. */
export function App(props: { client: HoldfastClient; place: PlaceStore; theme: ThemeStore }) {
  return (
    <CSPProvider disableStyleElements>
      <PaneBoundary name="The page">
        <Shell {...props} />
      </PaneBoundary>
      <ConnectDialog client={props.client} />
    </CSPProvider>
  );
}

/** Sidebar, conversation, panel; what goes from one to the other goes through the place. */
function Shell({
  client,
  place,
  theme,
}: {
  client: HoldfastClient;
  place: PlaceStore;
  theme: ThemeStore;
}) {
  const here = useReadable(place);
  const paged = useReadable(client.tables);
  const isNarrow = useNarrow();
  const drawer = useDrawer();
  const drawn = useLater(drawerCode, isNarrow);
  const [last] = useState(() => remembered('place'));
  const [collapsed] = useState(() => remembered('sidebar'));
  const isCollapsed = useReadable(collapsed) === 'collapsed';
  const [notices] = useState(createNotices);
  const [isSheetOpen, setSheetOpen] = useState(false);
  const search = useRef<HTMLInputElement>(null);
  /** The search was asked for, and its field is not drawn yet. */
  const wantsSearch = useRef(false);
  /** A new chat was asked for, and is not there yet. */
  const isMaking = useRef(false);
  const tables = paged.is === 'ready' || paged.items.length > 0 ? paged.items : null;
  const tableId = homeTable({ place: here, last: last.get(), tables });
  const table = useOpened(tableId, (id) => client.openTable(id));

  useEffect(() => {
    if (here.tableId !== null) last.set(hashOf({ ...here, panel: null }));
  }, [here, last]);

  const { isOpen: isDrawerOpen, left: leftDrawer } = drawer;
  const go = useCallback(
    (change: Partial<Place>) => {
      place.go(change, isDrawerOpen ? 'replace' : 'push');
      leftDrawer();
    },
    [place, isDrawerOpen, leftDrawer],
  );
  const goNow = useRef(go);
  goNow.current = go;
  const openConversation = useCallback(
    (conversationId: string) => goNow.current({ conversationId }),
    [],
  );
  const openInTable = useCallback(
    (conversationId: string) => goNow.current({ tableId, conversationId }),
    [tableId],
  );
  const openPanel = useCallback((panel: PanelName) => goNow.current({ panel }), []);
  const openTable = (next: string) => {
    // the other panels are of a conversation, and which one it will be is not known yet
    const panel = here.panel === 'triggers' ? here.panel : null;
    go({ tableId: next, conversationId: null, panel });
  };
  const commands = useMemo(
    () => chatCommands(client, notices, openInTable),
    [client, notices, openInTable],
  );

  const newChat = () => {
    if (table === null) {
      focusComposer();
      return;
    }
    if (isMaking.current) return;
    isMaking.current = true;
    void commands.newChat(table).then(() => {
      isMaking.current = false;
      focusComposer();
    });
  };
  const showSidebar = () => {
    if (isNarrow) drawer.open();
    else collapsed.set(null);
  };
  const hideSidebar = () => {
    if (isNarrow) drawer.close();
    else collapsed.set('collapsed');
  };
  const onShortcut = (shortcut: Shortcut) => {
    if (shortcut === 'help') setSheetOpen(true);
    if (shortcut === 'composer') focusComposer();
    if (shortcut === 'new-chat') newChat();
    if (shortcut === 'search') {
      wantsSearch.current = true;
      showSidebar();
      focusSearch();
    }
    if ((shortcut === 'above' || shortcut === 'below') && table !== null) {
      const step = shortcut === 'above' ? -1 : 1;
      const to = neighbour(table.get().view.conversations, here.conversationId, step);
      if (to !== null) openInTable(to);
    }
  };
  useShortcuts(onShortcut);
  const focusSearch = () => {
    if (search.current === null) return;
    wantsSearch.current = false;
    search.current.focus();
    search.current.select();
  };
  // a sidebar that was folded away is there after the render that unfolds it
  useEffect(() => {
    if (wantsSearch.current) focusSearch();
  });

  const sidebar = table !== null && (
    <PaneBoundary name="The list of conversations">
      <Sidebar
        key={table.tableId}
        client={client}
        table={table}
        tables={tables ?? []}
        currentId={here.conversationId}
        theme={theme}
        commands={commands}
        search={search}
        hrefOf={(conversationId) => place.hrefOf({ tableId, conversationId })}
        onOpen={openInTable}
        onTable={openTable}
        onNewChat={newChat}
        onTriggers={() => go({ panel: 'triggers' })}
        onKeyboard={() => setSheetOpen(true)}
        onClose={hideSidebar}
      />
    </PaneBoundary>
  );
  const hasToggle = table !== null && (isNarrow || isCollapsed);
  return (
    <div className="app" data-toggle={hasToggle}>
      {!isNarrow && !isCollapsed && sidebar}
      {isNarrow && drawn !== null && (
        <drawn.Drawer
          label="Chats and tables"
          isOpen={isDrawerOpen && table !== null}
          onClose={drawer.close}
          initialFocus={() => (wantsSearch.current ? search.current : null)}
        >
          {sidebar}
        </drawn.Drawer>
      )}
      <div className="app-main">
        {hasToggle && (
          <div className="app-bar">
            <IconButton
              label={isNarrow ? 'Open chats' : 'Show sidebar'}
              icon={isNarrow ? 'menu' : 'sidebar'}
              onClick={showSidebar}
            />
            <IconButton label="New chat" icon="plus" onClick={newChat} />
          </div>
        )}
        <div className="app-lines">
          <NoticeLine notices={notices} />
          <ConnectionLine client={client} />
        </div>
        <PaneBoundary key={here.conversationId} name="The conversation">
          <MainPane
            client={client}
            place={place}
            table={table}
            tables={paged}
            last={last.get()}
            onOpenPanel={openPanel}
            onOpenConversation={openConversation}
          />
        </PaneBoundary>
      </div>
      {here.panel !== null && (
        <PanelHost
          client={client}
          panel={here.panel}
          tableId={tableId}
          conversationId={here.conversationId}
          isNarrow={isNarrow}
          onOpenConversation={openConversation}
          onClose={() => place.leave({ panel: null })}
        />
      )}
      <ShortcutSheet isOpen={isSheetOpen} onClose={() => setSheetOpen(false)} />
    </div>
  );
}

/** The composer is known by its role and name (docs/page.md), wherever it is drawn. */
function focusComposer(): void {
  // a conversation that was just opened draws its composer in the frame that comes
  requestAnimationFrame(() => {
    document.querySelector<HTMLElement>('textarea[aria-label="Message"]')?.focus();
  });
}
