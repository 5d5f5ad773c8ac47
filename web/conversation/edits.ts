/** Edits under way: the editor of one, and what becomes of a text whose message is gone. */
import { useEffect } from 'react';

import type { ConversationViewValue } from '../../src/contracts/view.ts';
import type { Edit, EditName } from '../client/contract.ts';
import { useReadable, useSelected } from '../parts/use-readable.ts';
import { before, useConversation } from './conversation-context.ts';

type Editor = {
  /** Null: it is closed. */
  text: string | null;
  open: () => void;
  write: (text: string) => void;
  close: () => void;
  /** Somebody has just asked for it here. One that was left open, or is another tab's, takes the focus from nobody. */
  takesFocus: () => boolean;
};

/** The editor of what `name` names, which says `original` now. */
export function useEditor({ of, id }: EditName, original: string): Editor {
  const { handle, memory } = useConversation();
  const edit = useSelected(handle.edits, (edits) => editOf(edits, { of, id }));
  const write = (text: string): void => handle.setEdit({ of, id, text, original });
  return {
    text: edit?.text ?? null,
    write,
    open: () => {
      memory.focused = id;
      write(original);
    },
    close: () => handle.endEdit({ of, id }),
    takesFocus: () => {
      const isAsked = memory.focused === id;
      if (isAsked) memory.focused = null;
      return isAsked;
    },
  };
}

/** Whether the edit of that queued message was saved, and has no answer yet. */
export function savingChoice(requestId: string): string {
  return `saving ${requestId}`;
}

/** The edit of that name; null: there is none. */
export function editOf(edits: readonly Edit[], { of, id }: EditName): Edit | null {
  return edits.find((each) => each.of === of && each.id === id) ?? null;
}

/** The message is part of the history: it can be said otherwise. */
export function canReplace(
  { messages }: Pick<ConversationViewValue, 'messages'>,
  messageId: string,
): boolean {
  const message = messages.findLast((each) => each.messageId === messageId);
  return message?.role === 'user' && message.cut !== true;
}

/** Edits whose message waits no more, or was cut from the history. `text`: what is not said anywhere else; null: nothing. */
export function lostEdits(
  edits: readonly Edit[],
  { messages, queue, hasOlder }: Pick<ConversationViewValue, 'messages' | 'queue' | 'hasOlder'>,
): { edit: Edit; text: string | null }[] {
  return edits.flatMap((edit) => {
    const { of, id, text, original } = edit;
    // Saved, as the page went.
    const isSaved = (content: string): boolean => original === null && content === text;
    if (of === 'queued') {
      const item = queue.find((each) => each.requestId === id);
      if (item !== undefined) return isSaved(item.content) ? [{ edit, text: null }] : [];
    } else {
      const message = messages.findLast((each) => each.messageId === id);
      // What was not loaded may be there.
      if (message === undefined ? hasOlder : message.cut !== true) return [];
    }
    const isSaid =
      text === original ||
      text.trim() === '' ||
      (of === 'queued' &&
        messages.some(({ role, content }) => role === 'user' && isSaved(content)));
    return [{ edit, text: isSaid ? null : text }];
  });
}

/** What was being edited when its message went is not lost: it goes into the composer. */
export function LostEdits() {
  const { handle, memory, compose, say } = useConversation();
  const edits = useReadable(handle.edits);
  const isKnown = useSelected(handle, (state) => state.is === 'ready');
  const messages = useSelected(handle, ({ view }) => view.messages);
  const queue = useSelected(handle, ({ view }) => view.queue);
  const hasOlder = useSelected(handle, ({ view }) => view.hasOlder);
  useEffect(() => {
    if (!isKnown) return;
    for (const { edit, text } of lostEdits(edits, { messages, queue, hasOlder })) {
      if (memory.choices.get(savingChoice(edit.id)) === true) continue;
      // another tab may have put it there already
      if (text !== null && !isBefore(text, handle.draft.get())) compose(text);
      handle.endEdit(edit);
      if (text !== null && edit.of === 'message')
        say('The message that you were editing was cut from the history; what you wrote is below.');
    }
  }, [edits, isKnown, messages, queue, hasOlder, handle, memory, compose, say]);
  return null;
}

function isBefore(text: string, draft: string): boolean {
  return draft === text || draft.startsWith(before(text, '\n\n'));
}
