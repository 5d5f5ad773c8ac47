import { useMemo } from 'react';

import type { MessageViewValue } from '../../../src/contracts/view.ts';
import type { Row } from '../../client/contract.ts';
import { Icon } from '../../parts/icon.tsx';
import { Piece, type PieceOfFence } from '../code-block.tsx';
import { useConversation } from '../conversation-context.ts';
import { fenceCode } from '../fence-code.ts';
import { Markdown } from '../markdown.tsx';
import { MessageActions } from './message-actions.tsx';

type BlockRowValue = Extract<Row, { type: 'block' }>;

/** A piece of what the assistant says. */
export function BlockRow({ row }: { row: BlockRowValue }) {
  const { block, message, isLast, isOpen } = row;
  const isEnd = isLast && !isOpen;
  const piece = usePiece(row);
  return (
    <div className={isOpen ? 'block-row block-row-open' : 'block-row'}>
      <Piece value={piece}>
        <Markdown text={block.text} isSealed={block.sealed} />
      </Piece>
      {isEnd && <Incomplete status={message.status} />}
      {isEnd && <MessageActions message={message} />}
    </div>
  );
}

/** The same object while it is the same piece, so that nothing is drawn again for it. */
function usePiece({ block, message, isFenceEnd }: BlockRowValue): PieceOfFence | null {
  const { handle } = useConversation();
  const { fence } = block;
  const { turnId, attempt } = message;
  return useMemo(() => {
    if (fence === undefined) return null;
    const { key, isFirst, goesOn } = fence;
    const code = (): string => {
      const shown = fenceCode(handle.get().rows, key);
      if (shown !== '' || turnId === null || attempt === null) return shown;
      // of an attempt that is shown beside another one
      return fenceCode(handle.rowsOfAttempt(turnId, attempt), key);
    };
    return { key, isFirst, goesOn: goesOn && isFenceEnd !== true, code };
  }, [handle, fence, isFenceEnd, turnId, attempt]);
}

/** Says so where a text is not what it was to become. */
export function Incomplete({ status }: { status: MessageViewValue['status'] }) {
  if (status !== 'partial' && status !== 'discarded') return null;
  return (
    <p className="incomplete">
      <Icon name="warning" size={14} />
      {status === 'partial' ? 'Partial: it was cut off here' : 'Taken back by the agent'}
    </p>
  );
}
