import { useLayoutEffect, useRef, useState, type FocusEvent, type KeyboardEvent } from 'react';

import type { QueueItemValue } from '../client/contract.ts';
import { Button, IconButton } from '../parts/button.tsx';
import { Icon } from '../parts/icon.tsx';
import { useChoice, useConversation } from './conversation-context.ts';
import { savingChoice, useEditor } from './edits.ts';
import { InlineEditor } from './inline-editor.tsx';
import { mailWords } from './words.ts';

/** Up to so many are shown; the rest when it is asked for. */
const SHOWN = 4;

/** What waits, in its order, to be edited, moved, sent at once or removed. Nothing while nothing waits. */
export function QueueList({
  queue,
  isHeld,
}: {
  queue: readonly QueueItemValue[];
  isHeld: boolean;
}) {
  const { handle, perform } = useConversation();
  const [isAll, setAll] = useState(false);
  const place = useKeptFocus(queue);
  if (queue.length === 0) return null;
  const shown = isAll ? queue : queue.slice(0, SHOWN);
  const move = (item: QueueItemValue, by: number): void => {
    const position = item.position + by;
    if (position < 0 || position >= queue.length) return;
    void perform('move it', handle.updateQueued(item.requestId, { position }));
  };
  return (
    <section className="queue" aria-label="Waiting">
      <header className="queue-header">
        <span className="queue-title">
          {queue.length} waiting
          {isHeld && <span className="queue-held">held</span>}
        </span>
        <Button
          size="s"
          onClick={() =>
            void perform(isHeld ? 'release the queue' : 'hold the queue', handle.holdQueue(!isHeld))
          }
        >
          <Icon name={isHeld ? 'play' : 'pause'} size={14} />
          {isHeld ? 'Release' : 'Hold'}
        </Button>
      </header>
      {/* a list without marks is none to Safari */}
      <ul {...place} role="list" aria-label="Queue" className="queue-items">
        {shown.map((item) => (
          <QueueRow
            key={item.requestId}
            item={item}
            isFirst={item.position === 0}
            isLast={item.position === queue.length - 1}
            onMove={move}
          />
        ))}
      </ul>
      {queue.length > SHOWN && (
        <button type="button" className="link-button" onClick={() => setAll(!isAll)}>
          {isAll ? 'Show fewer' : `Show all ${queue.length}`}
        </button>
      )}
    </section>
  );
}

/** The button that had the focus went with its item: the same one of the item in its place has it then, else the composer. */
function useKeptFocus(queue: readonly QueueItemValue[]) {
  const { focusComposer } = useConversation();
  const list = useRef<HTMLUListElement>(null);
  const focused = useRef<{ index: number; label: string } | null>(null);
  useLayoutEffect(() => {
    if (focused.current === null || document.activeElement !== document.body) return;
    const { index, label } = focused.current;
    const items = list.current?.children ?? [];
    const buttons = items[Math.min(index, items.length - 1)]?.querySelectorAll('button') ?? [];
    const usable = [...buttons].filter((button) => !button.disabled);
    const next = usable.find((button) => button.ariaLabel === label) ?? usable[0];
    if (next === undefined) {
      focused.current = null;
      focusComposer();
    } else next.focus();
  }, [queue, focusComposer]);
  const onFocus = ({ target }: FocusEvent): void => {
    const items = [...(list.current?.children ?? [])];
    const index = items.findIndex((item) => item.contains(target));
    focused.current = { index, label: target.ariaLabel ?? '' };
  };
  const onBlur = ({ relatedTarget, currentTarget }: FocusEvent): void => {
    if (relatedTarget !== null && !currentTarget.contains(relatedTarget)) focused.current = null;
  };
  return { ref: list, onFocus, onBlur };
}

function QueueRow({
  item,
  isFirst,
  isLast,
  onMove,
}: {
  item: QueueItemValue;
  isFirst: boolean;
  isLast: boolean;
  onMove: (item: QueueItemValue, by: number) => void;
}) {
  const { handle, perform, compose, focusComposer } = useConversation();
  const { requestId, content, mail, attempt } = item;
  const editor = useEditor({ of: 'queued', id: requestId }, content);
  const { text } = editor;
  const [isSaving = false, setSaving] = useChoice(savingChoice(requestId));
  const isOpen = text !== null && !isSaving;
  // of a retry the text is its turn's; what is offered to the running turn may be taken at any moment
  const canEdit = mail === undefined && attempt === 1 && item.steer !== true;
  /** It stays kept until there is an answer. Refused, it is edited on, or has become a message when the item waits no more. */
  const save = async (changed: string): Promise<void> => {
    setSaving(true);
    const command = handle.updateQueued(requestId, { content: changed });
    const { is } = await perform('change it', command);
    const waits = handle.get().view.queue.some((each) => each.requestId === requestId);
    if (is === 'refused' && !waits) compose(changed);
    if (is !== 'refused' || !waits) editor.close();
    setSaving(false);
  };
  const byKeys = (event: KeyboardEvent): void => {
    if (!event.altKey || isOpen) return;
    const by = { ArrowUp: -1, ArrowDown: 1 }[event.key];
    if (by === undefined) return;
    // Alt with an arrow is the chat above or below, elsewhere
    event.preventDefault();
    event.stopPropagation();
    onMove(item, by);
  };
  if (isOpen)
    return (
      <li className="queue-item queue-item-editing">
        <InlineEditor
          label="Edit queued message"
          saveLabel="Save"
          text={text}
          takesFocus={editor.takesFocus}
          onChange={editor.write}
          onCancel={() => {
            editor.close();
            focusComposer();
          }}
          onSave={() => {
            focusComposer();
            if (text === content) editor.close();
            else void save(text);
          }}
        />
      </li>
    );
  return (
    <li className="queue-item" onKeyDown={byKeys}>
      <div className="queue-item-text">
        <span className="queue-item-words">{content}</span>
        <Marks item={item} />
      </div>
      <div className="queue-item-buttons">
        {canEdit && (
          <IconButton size="s" icon="edit" label="Edit" disabled={isSaving} onClick={editor.open} />
        )}
        <IconButton
          size="s"
          icon="up"
          label="Move up"
          disabled={isFirst}
          onClick={() => onMove(item, -1)}
        />
        <IconButton
          size="s"
          icon="down"
          label="Move down"
          disabled={isLast}
          onClick={() => onMove(item, 1)}
        />
        <IconButton
          size="s"
          icon="bolt"
          label="Send now"
          title="Send now: what runs is cancelled"
          onClick={() => void perform('send it now', handle.updateQueued(requestId, { now: true }))}
        />
        <IconButton
          size="s"
          icon="trash"
          label="Remove"
          disabled={item.steer === true}
          onClick={() => void perform('remove it', handle.removeQueued(requestId))}
        />
      </div>
    </li>
  );
}

function Marks({ item }: { item: QueueItemValue }) {
  const marks = [
    item.mail === undefined ? null : mailWords(item.mail.kind),
    item.steer === true ? 'offered to the running turn' : null,
    item.now === true ? 'next' : null,
    item.held === true ? 'held' : null,
    item.attempt > 1 ? `retry, attempt ${item.attempt}` : null,
    item.replaces === undefined ? null : 'replaces an earlier message',
    item.edited === undefined ? null : item.edited === 1 ? 'edited' : `edited ${item.edited} times`,
  ].filter((mark) => mark !== null);
  if (marks.length === 0) return null;
  return <span className="queue-item-marks">{marks.join(' · ')}</span>;
}
