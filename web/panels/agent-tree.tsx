import { useRef, useState, type KeyboardEvent } from 'react';

import { Icon } from '../parts/icon.tsx';
import {
  mailWords,
  stateWords,
  treeMove,
  treeRows,
  type Agent,
  type TreeRow,
} from './agent-rows.ts';

/** The team, walked with the arrow keys; Enter, or a second press, opens the conversation of an agent. */
export function AgentTree({
  agents,
  selectedId,
  shownId,
  onSelect,
  onOpen,
}: {
  agents: readonly Agent[];
  selectedId: string;
  /** The conversation that is shown beside it. */
  shownId: string;
  onSelect: (conversationId: string) => void;
  onOpen: (conversationId: string) => void;
}) {
  const [folded, setFolded] = useState<ReadonlySet<string>>(new Set());
  const tree = useRef<HTMLDivElement>(null);
  const rows = treeRows(agents, folded);
  const fold = (conversationId: string, isFolded: boolean) => {
    const next = new Set(folded);
    if (isFolded) next.add(conversationId);
    else next.delete(conversationId);
    setFolded(next);
    // what is folded away cannot stay selected
    if (
      isFolded &&
      !treeRows(agents, next).some((row) => row.agent.conversationId === selectedId)
    ) {
      onSelect(conversationId);
    }
  };
  const press = (event: KeyboardEvent) => {
    if (event.altKey || event.ctrlKey || event.metaKey) return;
    if (event.key === 'Enter') {
      event.preventDefault();
      onOpen(selectedId);
      return;
    }
    const move = treeMove(rows, selectedId, event.key);
    if (move === null) return;
    event.preventDefault();
    if (move.is !== 'select') {
      fold(move.conversationId, move.is === 'fold');
      return;
    }
    onSelect(move.conversationId);
    const index = rows.findIndex((row) => row.agent.conversationId === move.conversationId);
    tree.current?.querySelectorAll<HTMLElement>('[role="treeitem"]')[index]?.focus();
  };
  return (
    <div ref={tree} className="agent-tree" role="tree" aria-label="Team" onKeyDown={press}>
      {rows.map((row) => (
        <TreeItem
          key={row.agent.conversationId}
          row={row}
          isSelected={row.agent.conversationId === selectedId}
          isShown={row.agent.conversationId === shownId}
          onSelect={() => onSelect(row.agent.conversationId)}
          onOpen={() => onOpen(row.agent.conversationId)}
          onFold={() => fold(row.agent.conversationId, row.isOpen === true)}
        />
      ))}
    </div>
  );
}

function TreeItem({
  row,
  isSelected,
  isShown,
  onSelect,
  onOpen,
  onFold,
}: {
  row: TreeRow;
  isSelected: boolean;
  isShown: boolean;
  onSelect: () => void;
  onOpen: () => void;
  onFold: () => void;
}) {
  const { agent, level, place, siblings, isOpen } = row;
  const { words, tone, isLive } = stateWords(agent);
  const mail = mailWords(agent);
  return (
    <div
      role="treeitem"
      className="agent-row"
      aria-level={level}
      aria-posinset={place}
      aria-setsize={siblings}
      aria-selected={isSelected}
      aria-expanded={isOpen ?? undefined}
      aria-current={isShown ? 'true' : undefined}
      tabIndex={isSelected ? 0 : -1}
      style={{ paddingInlineStart: `calc(var(--gap-2) + ${level - 1} * var(--gap-6))` }}
      onClick={onSelect}
      onDoubleClick={onOpen}
    >
      {/* for the pointer alone: the keyboard folds with the arrows, and says so by aria-expanded */}
      <span
        className="agent-row-fold"
        data-open={isOpen}
        aria-hidden="true"
        onClick={(event) => {
          if (isOpen === null) return;
          event.stopPropagation();
          onFold();
        }}
      >
        {isOpen !== null && <Icon name="chevron" size={16} />}
      </span>
      <span className="agent-row-main">
        <span className="agent-row-name">
          {agent.name}
          {agent.role !== '' && <span className="agent-row-role"> {agent.role}</span>}
        </span>
        {agent.lastLine !== '' && <span className="agent-row-line">{agent.lastLine}</span>}
      </span>
      <span className="agent-row-state">
        <span className={`badge badge-${tone}`}>
          {isLive && <span className="pulse-dot" aria-hidden="true" />}
          {words}
        </span>
        {mail !== null && (
          <span className="agent-row-mail">
            <Icon name="mail" size={14} />
            {mail}
          </span>
        )}
      </span>
    </div>
  );
}
