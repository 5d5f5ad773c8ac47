import {
  useCallback,
  useEffect,
  useId,
  useImperativeHandle,
  useRef,
  useState,
  type KeyboardEvent,
  type Ref,
} from 'react';

import type { WhenBusyName } from '../client/contract.ts';
import { Button, IconButton } from '../parts/button.tsx';
import { isComposing } from '../parts/composing.ts';
import { Dialog } from '../parts/dialog.tsx';
import { Icon } from '../parts/icon.tsx';
import { Menu } from '../parts/menu.tsx';
import { useReadable, useSelected } from '../parts/use-readable.ts';
import { before, useConversation } from './conversation-context.ts';
import { useAutosize } from './inline-editor.tsx';
import { promptProblem } from './prompt-limits.ts';

export type ComposerHandle = { compose(text: string): void; focus(): void };

/**
 * Where one writes. What is typed is kept at each key; what is sent is the client's from then on, also while the engine is away. While a turn
 * runs a message is queued, unless another way is chosen.
 */
export function Composer({ ref }: { ref: Ref<ComposerHandle> }) {
  const { handle, perform, followEnd } = useConversation();
  const [text, write] = useDraft();
  const area = useAutosize(text);
  const isRunning = useSelected(
    handle,
    ({ work, view }) => work !== null || view.activeTurn !== null,
  );
  const isCancelling = useSelected(
    handle,
    ({ work, view }) => (work?.phase ?? view.activeTurn?.phase) === 'cancelling',
  );
  const turnId = useSelected(handle, ({ view }) => view.activeTurn?.turnId ?? null);
  /** The turn that it was asked of: another one that has begun meanwhile is not stopped by the answer. */
  const [asked, setAsked] = useState<string | null>(null);
  const isReturning = useRef(false);
  const problemId = useId();
  const problem = promptProblem(text);
  const isBlank = text.trim() === '';

  const send = (whenBusy?: WhenBusyName): void => {
    if (isBlank || problem !== null) return;
    handle.send(whenBusy === undefined ? { content: text } : { content: text, whenBusy });
    write('');
    followEnd();
    area.current?.focus();
  };
  const stop = (): void => {
    setAsked(null);
    // Its button can be pressed no more. Under a finger, the field would bring up a keyboard over what is read.
    if (!window.matchMedia('(hover: none)').matches) area.current?.focus();
    void perform('stop the turn', handle.cancel());
  };
  useImperativeHandle(
    ref,
    () => ({
      compose(more) {
        write(before(more, handle.draft.get()));
        area.current?.focus();
      },
      focus: () => area.current?.focus(),
    }),
    [handle, write, area],
  );
  useSlashKey(area);

  const onKeyDown = (event: KeyboardEvent): void => {
    // an input method takes Enter and Escape for itself
    if (isComposing(event)) return;
    if (event.key === 'Enter' && !event.shiftKey && !event.altKey) {
      event.preventDefault();
      send();
    } else if (event.key === 'Escape' && isRunning && !isCancelling && isBlank) {
      event.preventDefault();
      // else the dialog that it opens takes the same key, and closes
      event.stopPropagation();
      setAsked(turnId);
    }
  };
  return (
    <div className={problem === null ? 'composer' : 'composer composer-refused'}>
      <textarea
        ref={area}
        className="composer-text"
        aria-label="Message"
        aria-invalid={problem !== null}
        aria-describedby={problem === null ? undefined : problemId}
        placeholder={isRunning ? 'Write the next message' : 'Write a message'}
        value={text}
        rows={1}
        enterKeyHint="send"
        onChange={({ target }) => write(target.value)}
        onKeyDown={onKeyDown}
      />
      {problem !== null && (
        <p id={problemId} role="alert" className="composer-problem">
          {problem}
        </p>
      )}
      <div
        className="composer-buttons"
        onFocus={() => {
          // a menu gives the focus back to its button; what was sent is followed by what is typed next
          if (isReturning.current) area.current?.focus();
          isReturning.current = false;
        }}
      >
        <span className="composer-hint">
          <kbd>Enter</kbd> {isRunning ? 'queues' : 'sends'}, <kbd>Shift Enter</kbd> breaks the line
        </span>
        {isRunning && (
          <Button className="composer-stop" disabled={isCancelling} onClick={stop}>
            <Icon name="stop" size={16} />
            Stop
          </Button>
        )}
        {isRunning && (
          <Menu
            label="How to send"
            className="composer-how"
            trigger={<Icon name="chevron" size={18} />}
            items={WAYS.map(({ whenBusy, label, icon }) => ({
              label,
              icon,
              disabled: isBlank || problem !== null,
              onSelect: () => {
                isReturning.current = true;
                send(whenBusy);
              },
            }))}
          />
        )}
        <IconButton
          className="composer-send"
          icon={isRunning ? 'plus' : 'send'}
          label={isRunning ? 'Queue' : 'Send'}
          disabled={isBlank || problem !== null}
          onClick={() => send()}
        />
      </div>
      <Dialog
        title="Stop this turn?"
        isOpen={asked !== null && asked === turnId}
        onClose={() => setAsked(null)}
        footer={
          <>
            <Button onClick={() => setAsked(null)}>Keep going</Button>
            <Button variant="primary" onClick={stop}>
              Stop the turn
            </Button>
          </>
        }
      >
        <p>What it has said so far is kept, and it can be retried.</p>
      </Dialog>
    </div>
  );
}

const WAYS = [
  { whenBusy: 'queue', label: 'Queue: after this turn', icon: 'clock' },
  { whenBusy: 'interrupt', label: 'Interrupt: stop this turn, then send', icon: 'bolt' },
  { whenBusy: 'steer', label: 'Steer: into this turn', icon: 'up' },
] as const;

/** The draft, as it is typed: kept here too, so that the field never waits for anybody, and taken over when another tab changes it. */
function useDraft(): [string, (text: string) => void] {
  const { handle } = useConversation();
  const draft = useReadable(handle.draft);
  const [text, setText] = useState(draft);
  const written = useRef(draft);
  useEffect(() => {
    if (draft === written.current) return;
    written.current = draft;
    setText(draft);
  }, [draft]);
  const write = useCallback(
    (next: string) => {
      written.current = next;
      setText(next);
      handle.setDraft(next);
    },
    [handle],
  );
  return [text, write];
}

/** `/` goes to the composer, from wherever nothing is typed. */
function useSlashKey(area: { readonly current: HTMLTextAreaElement | null }): void {
  useEffect(() => {
    const onKey = (event: globalThis.KeyboardEvent): void => {
      const { target, key } = event;
      if (key !== '/' || event.defaultPrevented || event.ctrlKey || event.metaKey || event.altKey)
        return;
      const isTyping =
        target instanceof HTMLElement &&
        (target.isContentEditable ||
          target.closest('input, textarea, select, [role="dialog"], [role="menu"]') !== null);
      if (isTyping) return;
      event.preventDefault();
      area.current?.focus();
    };
    window.addEventListener('keydown', onKey);
    return () => window.removeEventListener('keydown', onKey);
  }, [area]);
}
