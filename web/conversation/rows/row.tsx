import { memo } from 'react';

import type { Row } from '../../client/contract.ts';
import { RowBoundary } from '../row-boundary.tsx';
import { visibleWords } from '../visible-text.ts';
import { ApprovalCard } from './approval-card.tsx';
import { BlockRow } from './block-row.tsx';
import { CutRow, NoteRow } from './note-row.tsx';
import { ReasoningRow } from './reasoning-row.tsx';
import { SystemRow } from './system-row.tsx';
import { ToolRow } from './tool-row.tsx';
import { TurnEndRow } from './turn-end-row.tsx';
import { UnsentRow } from './unsent-row.tsx';
import { UserRow } from './user-row.tsx';

/** One row of the list. It is drawn again only when its object is another one. */
export const RowView = memo(function RowView({ row }: { row: Row }) {
  return (
    <article
      className={rowClass(row)}
      aria-label={rowName(row)}
      aria-busy={isComing(row) ? true : undefined}
    >
      <RowBoundary of={row} text={textOf(row)}>
        <RowContent row={row} />
      </RowBoundary>
    </article>
  );
});

/** Its accessible name. Source: docs/page.md. */
export function rowName(row: Row): string {
  switch (row.type) {
    case 'user':
    case 'unsent':
      return 'You';
    case 'block':
      return 'Assistant';
    case 'reasoning':
      return 'Reasoning';
    case 'tool':
      return `Tool ${visibleWords(row.message.tool?.name ?? '')}`.trim();
    case 'approval':
      return 'Approval';
    case 'system':
    case 'turn-end':
    case 'note':
    case 'cut':
      return 'Note';
  }
}

function rowClass(row: Row): string {
  const classes = ['row', `row-${row.type}`];
  if (row.type === 'block' && row.isFirst) classes.push('row-first-block');
  if (row.type === 'block' && row.block.fence?.isFirst === false)
    classes.push('row-fence-continued');
  if ('message' in row && row.message.cut === true) classes.push('row-cut-away');
  return classes.join(' ');
}

function isComing(row: Row): boolean {
  return (row.type === 'block' || row.type === 'reasoning') && row.isOpen;
}

/** Longest text that stands in for a row which cannot be drawn. */
const STAND_IN_CHARS = 20_000;

function textOf(row: Row): string {
  if (row.type === 'block') return row.block.text;
  if (row.type === 'approval') return row.approval.title;
  return 'message' in row ? row.message.content.slice(0, STAND_IN_CHARS) : '';
}

function RowContent({ row }: { row: Row }) {
  switch (row.type) {
    case 'user':
      return row.message.mail === undefined ? (
        <UserRow rowKey={row.key} message={row.message} />
      ) : (
        <SystemRow rowKey={row.key} message={row.message} />
      );
    case 'system':
      return <SystemRow rowKey={row.key} message={row.message} />;
    case 'block':
      return <BlockRow row={row} />;
    case 'reasoning':
      return <ReasoningRow row={row} />;
    case 'tool':
      return <ToolRow row={row} />;
    case 'approval':
      return <ApprovalCard approval={row.approval} answer={row.answer} />;
    case 'turn-end':
      return <TurnEndRow row={row} />;
    case 'note':
      return <NoteRow note={row.note} />;
    case 'cut':
      return <CutRow name={row.key} count={row.count} isOpen={row.isOpen} />;
    case 'unsent':
      return <UnsentRow unsent={row.unsent} />;
  }
}
