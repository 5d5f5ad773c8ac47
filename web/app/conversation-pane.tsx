import { useEffect, useEffectEvent } from 'react';

import type { ConversationHandle, ConversationState, HoldfastClient } from '../client/contract.ts';
import { Conversation } from '../conversation/conversation.tsx';
import { useOpened } from '../parts/use-opened.ts';
import { useSelected } from '../parts/use-readable.ts';
import { documentTitle } from './link-words.ts';
import type { PanelName } from './place.ts';

/** The conversation that is shown, opened for as long as it is. */
export function ConversationPane({
  client,
  conversationId,
  onOpenPanel,
  onOpenConversation,
  onTable,
}: {
  client: HoldfastClient;
  conversationId: string;
  onOpenPanel: (panel: PanelName) => void;
  onOpenConversation: (conversationId: string) => void;
  /** Told once it is known which table it belongs to; null: to none. */
  onTable: (tableId: string | null) => void;
}) {
  const handle = useOpened(conversationId, (id) => client.openConversation(id));
  if (handle === null) return null;
  return (
    <>
      <Beside handle={handle} onTable={onTable} />
      <Conversation
        key={conversationId}
        handle={handle}
        client={client}
        onOpenPanel={onOpenPanel}
        onOpenConversation={onOpenConversation}
      />
    </>
  );
}

const titleOfState = (state: ConversationState) =>
  documentTitle(state.is === 'ready' ? state.view : null);
const tableOfState = (state: ConversationState) =>
  state.is === 'ready' ? state.view.tableId : undefined;

/** What the page outside of the pane takes from it. By itself, so that a frame of text draws neither. */
function Beside({
  handle,
  onTable,
}: {
  handle: ConversationHandle;
  onTable: (tableId: string | null) => void;
}) {
  const title = useSelected(handle, titleOfState);
  const tableId = useSelected(handle, tableOfState);
  useEffect(() => {
    document.title = title;
    return () => {
      document.title = 'Holdfast';
    };
  }, [title]);
  const tell = useEffectEvent(onTable);
  useEffect(() => {
    if (tableId !== undefined) tell(tableId);
  }, [tableId]);
  return null;
}
