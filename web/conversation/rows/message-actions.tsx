import { useState } from 'react';

import type { MessageViewValue } from '../../../src/contracts/view.ts';
import { Button, IconButton } from '../../parts/button.tsx';
import { CopyButton } from '../../parts/copy-button.tsx';
import { Dialog } from '../../parts/dialog.tsx';
import { Icon } from '../../parts/icon.tsx';
import { Menu, type MenuItem } from '../../parts/menu.tsx';
import { useSelected } from '../../parts/use-readable.ts';
import { useConversation, useFork } from '../conversation-context.ts';

/**
 * What can be done with a message: buttons where it is pointed at, the same in a menu on a narrow screen. `onEdit`: it may be
 * edited. A message that is cut from the history can be copied, and nothing else.
 */
export function MessageActions({
  message,
  onEdit,
}: {
  message: MessageViewValue;
  onEdit?: () => void;
}) {
  const { handle, perform } = useConversation();
  const isBusy = useSelected(handle, ({ view }) => view.activeTurn !== null);
  const [isAsking, setAsking] = useState(false);
  const { messageId, content } = message;
  const isCut = message.cut === true;

  const fork = useFork();
  const rollBack = (): void => {
    setAsking(false);
    void perform('roll back', handle.rollback(messageId));
  };
  const items: MenuItem[] = [
    ...(onEdit === undefined || isCut
      ? []
      : [{ label: 'Edit', icon: 'edit' as const, onSelect: onEdit }]),
    ...(isCut
      ? []
      : [
          {
            label: 'Fork from here',
            icon: 'fork' as const,
            onSelect: () => void fork({ messageId }),
          },
          {
            label: isBusy ? 'Roll back to here (when the turn has ended)' : 'Roll back to here',
            icon: 'undo' as const,
            disabled: isBusy,
            onSelect: () => setAsking(true),
          },
        ]),
  ];
  return (
    <div className="message-actions">
      <CopyButton size="s" text={() => content} />
      <span className="message-actions-wide">
        {onEdit !== undefined && !isCut && (
          <IconButton size="s" icon="edit" label="Edit" onClick={onEdit} />
        )}
        {!isCut && (
          <>
            <IconButton
              size="s"
              icon="fork"
              label="Fork from here"
              onClick={() => void fork({ messageId })}
            />
            <IconButton
              size="s"
              icon="undo"
              label="Roll back to here"
              title={isBusy ? 'Roll back to here: when the turn has ended' : 'Roll back to here'}
              disabled={isBusy}
              onClick={() => setAsking(true)}
            />
          </>
        )}
      </span>
      {items.length > 0 && (
        <span className="message-actions-narrow">
          <Menu label="Message actions" trigger={<Icon name="more" size={18} />} items={items} />
        </span>
      )}
      <Dialog
        title="Roll back to here?"
        isOpen={isAsking}
        onClose={() => setAsking(false)}
        footer={
          <>
            <Button onClick={() => setAsking(false)}>Keep everything</Button>
            <Button variant="primary" onClick={rollBack}>
              Roll back
            </Button>
          </>
        }
      >
        <p>
          Everything after this message is cut from the history: the assistant no longer knows of
          it. It stays readable here.
        </p>
      </Dialog>
    </div>
  );
}
