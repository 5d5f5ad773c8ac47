import type { MessageViewValue } from '../../../src/contracts/view.ts';
import type { Row } from '../../client/contract.ts';
import { Icon } from '../../parts/icon.tsx';
import { Markdown } from '../markdown.tsx';
import { MessageActions } from './message-actions.tsx';

/** A piece of what the assistant says. */
export function BlockRow({ row }: { row: Extract<Row, { type: 'block' }> }) {
  const { block, message, isLast, isOpen } = row;
  const isEnd = isLast && !isOpen;
  return (
    <div className={isOpen ? 'block-row block-row-open' : 'block-row'}>
      <Markdown text={block.text} isSealed={block.sealed} />
      {isEnd && <Incomplete status={message.status} />}
      {isEnd && <MessageActions message={message} />}
    </div>
  );
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
