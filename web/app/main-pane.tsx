import { useEffect, useState } from 'react';

import type { TableFactsValue } from '../../src/contracts/view.ts';
import type { HoldfastClient, Paged, TableHandle, TableState } from '../client/contract.ts';
import { ProblemLine } from '../parts/problem-line.tsx';
import { useReadable, useSelected } from '../parts/use-readable.ts';
import { ConversationPane } from './conversation-pane.tsx';
import { homeConversation } from './home.ts';
import type { PanelName, PlaceStore } from './place.ts';
import { StartPane } from './start-pane.tsx';
import { moveStartDraft } from './start.ts';

type Ways = {
  client: HoldfastClient;
  place: PlaceStore;
  onOpenPanel: (panel: PanelName) => void;
  onOpenConversation: (conversationId: string) => void;
};

/** What is in the middle: the conversation that the place names, else the one to go on with, else the place for a first message. */
export function MainPane({
  table,
  tables,
  last,
  ...ways
}: Ways & { table: TableHandle | null; tables: Paged<TableFactsValue>; last: string | null }) {
  const { client, place } = ways;
  const { conversationId, tableId } = useReadable(place);
  const [isStarting, setStarting] = useState(false);
  if (conversationId !== null) {
    return (
      <ConversationPane
        client={client}
        conversationId={conversationId}
        onOpenPanel={ways.onOpenPanel}
        onOpenConversation={ways.onOpenConversation}
        onTable={(owner) => {
          // an address without a table, or with another's: the list beside it is that of its own
          if (owner !== null && owner !== tableId) place.go({ tableId: owner }, 'replace');
        }}
      />
    );
  }
  if (table !== null && !isStarting) return <TableHome {...ways} table={table} last={last} />;
  if (!isStarting && tables.is === 'failed' && tables.problem !== null) {
    return (
      <main className="start-pane">
        <ProblemLine problem={tables.problem} onRetry={() => client.reconnect()} />
      </main>
    );
  }
  if (!isStarting && tables.is !== 'ready') return <main className="start-pane" aria-busy="true" />;
  return <Start {...ways} table={null} tableProvider={null} onStarting={setStarting} />;
}

function TableHome({ table, last, ...ways }: Ways & { table: TableHandle; last: string | null }) {
  const is = useSelected(table, (state: TableState) => state.is);
  const problem = useSelected(table, (state: TableState) => state.problem);
  const provider = useSelected(table, (state: TableState) => state.view.provider);
  const home = useSelected(table, (state: TableState) =>
    state.is === 'ready' ? homeConversation(last, state.view) : null,
  );
  const [isStarting, setStarting] = useState(false);
  const { client, place } = ways;
  useEffect(() => {
    if (home === null || isStarting) return;
    const { tableId } = table;
    moveStartDraft(client, { tableId, conversationId: home });
    place.go({ tableId, conversationId: home }, 'replace');
  }, [home, isStarting, client, place, table]);
  if (!isStarting && is === 'failed' && problem !== null) {
    return (
      <main className="start-pane">
        <ProblemLine problem={problem} onRetry={() => place.go({ tableId: null })} />
      </main>
    );
  }
  if (!isStarting && (is !== 'ready' || home !== null))
    return <main className="start-pane" aria-busy="true" />;
  return <Start {...ways} table={table} tableProvider={provider} onStarting={setStarting} />;
}

function Start({
  client,
  place,
  table,
  tableProvider,
  onStarting,
}: Ways & {
  table: TableHandle | null;
  tableProvider: string | null;
  onStarting: (isStarting: boolean) => void;
}) {
  return (
    <StartPane
      client={client}
      tableId={table?.tableId ?? null}
      tableProvider={tableProvider}
      onStarting={onStarting}
      onStarted={(tableId, conversationId) => place.go({ tableId, conversationId }, 'replace')}
    />
  );
}
