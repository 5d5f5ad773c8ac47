import { memo, useRef, useState } from 'react';

import { TITLE_LIMIT_CHARS } from '../../src/contracts/limits.ts';
import type { ConversationViewValue } from '../../src/contracts/view.ts';
import { isComposing } from '../parts/composing.ts';
import { Icon } from '../parts/icon.tsx';
import { Menu } from '../parts/menu.tsx';
import { usageText } from '../parts/usage-words.ts';
import { useConversation, useFork } from './conversation-context.ts';

/** What the conversation is called, who answers in it, what it has cost, and what can be done with the whole of it. */
export const ConversationHeader = memo(function ConversationHeader({
  title,
  provider,
  model,
  usage,
  isArchived,
}: {
  title: string;
  provider: string;
  model: string | null;
  usage: ConversationViewValue['usage'];
  isArchived: boolean;
}) {
  const { handle, perform, openPanel } = useConversation();
  const [isRenaming, setRenaming] = useState(false);
  const fork = useFork();
  const rename = (next: string): void => {
    setRenaming(false);
    if (next.trim() === '' || next === title) return;
    void perform('rename it', handle.patch({ title: next.trim() }));
  };
  const used = usageText(usage);
  return (
    <header className="conversation-header">
      <div className="conversation-header-names">
        {isRenaming ? (
          <TitleEditor title={title} onDone={rename} onCancel={() => setRenaming(false)} />
        ) : (
          <h1 className="conversation-header-title">
            <button
              type="button"
              className="conversation-header-rename"
              title="Rename"
              onClick={() => setRenaming(true)}
            >
              {title === '' ? 'New chat' : title}
            </button>
          </h1>
        )}
        <p className="conversation-header-facts">
          {isArchived && <span className="conversation-header-archived">Archived</span>}
          <span>{[provider, model].filter(Boolean).join(' · ')}</span>
          {used !== null && <span>{used}</span>}
        </p>
      </div>
      <Menu
        label="Conversation actions"
        trigger={<Icon name="more" size={20} />}
        items={[
          { label: 'Rename', icon: 'edit', onSelect: () => setRenaming(true) },
          {
            label: isArchived ? 'Bring back from the archive' : 'Archive',
            icon: 'archive',
            onSelect: () =>
              void perform(
                isArchived ? 'bring it back' : 'archive it',
                handle.patch({ archived: !isArchived }),
              ),
          },
          { label: 'Fork', icon: 'fork', onSelect: () => void fork() },
          { label: 'Why?', icon: 'why', separated: true, onSelect: () => openPanel('why') },
          { label: 'Agents', icon: 'agents', onSelect: () => openPanel('agents') },
          { label: 'Triggers', icon: 'clock', onSelect: () => openPanel('triggers') },
        ]}
      />
    </header>
  );
});

function TitleEditor({
  title,
  onDone,
  onCancel,
}: {
  title: string;
  onDone: (title: string) => void;
  onCancel: () => void;
}) {
  const isOver = useRef(false);
  const end = (then: () => void): void => {
    // leaving the field comes after Enter and Escape, which have ended it already
    if (isOver.current) return;
    isOver.current = true;
    then();
  };
  return (
    <input
      className="conversation-header-input"
      aria-label="Title"
      defaultValue={title}
      maxLength={TITLE_LIMIT_CHARS}
      // from a menu, which gives the focus back to its button when it has closed
      ref={(input) => {
        if (input === null) return;
        const timer = setTimeout(() => input.select(), 60);
        return () => clearTimeout(timer);
      }}
      onKeyDown={(event) => {
        // an input method takes Enter and Escape for itself
        if (isComposing(event)) return;
        const { value } = event.currentTarget;
        if (event.key === 'Enter') end(() => onDone(value));
        if (event.key === 'Escape') end(onCancel);
      }}
      onBlur={({ currentTarget: { value } }) => end(() => onDone(value))}
    />
  );
}
