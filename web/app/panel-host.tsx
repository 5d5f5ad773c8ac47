import type { HoldfastClient } from '../client/contract.ts';
import { IconButton } from '../parts/button.tsx';
import { Dialog } from '../parts/dialog.tsx';
import { later } from '../parts/later.ts';
import { useLater } from '../parts/use-later.ts';
import { PaneBoundary } from './pane-boundary.tsx';
import type { PanelName } from './place.ts';

const panels = later(() => import('../panels/panels.tsx'));

const TITLES = { agents: 'Agents', triggers: 'Triggers', why: 'Why' } as const;

/** One panel beside the conversation; on a narrow screen over it. */
export function PanelHost({
  client,
  panel,
  tableId,
  conversationId,
  isNarrow,
  onOpenConversation,
  onClose,
}: {
  client: HoldfastClient;
  panel: PanelName;
  tableId: string | null;
  conversationId: string | null;
  isNarrow: boolean;
  onOpenConversation: (conversationId: string) => void;
  onClose: () => void;
}) {
  const title = TITLES[panel];
  const content = (
    <PaneBoundary key={panel} name={title}>
      <PanelContent
        client={client}
        panel={panel}
        tableId={tableId}
        conversationId={conversationId}
        onOpenConversation={onOpenConversation}
      />
    </PaneBoundary>
  );
  if (isNarrow) {
    return (
      <Dialog title={title} isOpen onClose={onClose} className="panel-sheet">
        {content}
      </Dialog>
    );
  }
  return (
    <aside
      className="panel"
      aria-label={title}
      onKeyDown={(event) => {
        // what React calls below it may be a dialog or a menu over the page, which closes itself
        const isInside = event.target instanceof Node && event.currentTarget.contains(event.target);
        if (event.key === 'Escape' && isInside && !event.defaultPrevented) onClose();
      }}
    >
      <header className="panel-header">
        <h2 className="panel-title">{title}</h2>
        <IconButton label={`Close ${title}`} icon="close" onClick={onClose} />
      </header>
      <div className="panel-body">{content}</div>
    </aside>
  );
}

function PanelContent({
  client,
  panel,
  tableId,
  conversationId,
  onOpenConversation,
}: {
  client: HoldfastClient;
  panel: PanelName;
  tableId: string | null;
  conversationId: string | null;
  onOpenConversation: (conversationId: string) => void;
}) {
  const code = useLater(panels);
  if (code === null) return <p className="panel-empty">Loading…</p>;
  const { AgentsPanel, TriggersPanel, WhyPanel } = code;
  if (panel === 'triggers') {
    return (
      <TriggersPanel
        client={client}
        tableId={tableId}
        conversationId={conversationId}
        onOpenConversation={onOpenConversation}
      />
    );
  }
  if (conversationId === null) return <p className="panel-empty">Open a conversation first.</p>;
  const of = { client, conversationId, onOpenConversation };
  return panel === 'agents' ? (
    <AgentsPanel key={conversationId} {...of} />
  ) : (
    <WhyPanel key={conversationId} {...of} />
  );
}
