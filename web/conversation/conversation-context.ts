/** What every row and region of one conversation may do. The value stays the same object while the conversation does. */
import { createContext, useCallback, useContext, useState, useSyncExternalStore } from 'react';

import type { ConversationHandle, HoldfastClient, Outcome, TurnInfo } from '../client/contract.ts';
import { freshId } from '../parts/fresh-id.ts';
import type { PlaceMemory } from './place-memory.ts';

export type PanelName = 'triggers' | 'agents' | 'why';

/** `accepted`: it is durable, and what came of it will be shown by the log. */
export type Performed<T> = { is: 'done'; value: T } | { is: 'accepted' } | { is: 'refused' };

export type ConversationTools = {
  readonly handle: ConversationHandle;
  readonly client: HoldfastClient;
  readonly memory: PlaceMemory;
  readonly openPanel: (panel: PanelName) => void;
  readonly openConversation: (conversationId: string) => void;
  /** Waits for a command; a refusal is shown as "Could not <what>. …". */
  readonly perform: <T>(what: string, command: Promise<Outcome<T>>) => Promise<Performed<T>>;
  /** Puts text into the composer, before what is there, and goes there. */
  readonly compose: (text: string) => void;
  /** Opens the editor of that message with `text`, before what is in it; where it cannot be replaced any more, it goes into the composer. */
  readonly editMessage: (messageId: string, text: string) => void;
  /** One quiet sentence above the composer. */
  readonly say: (words: string) => void;
  /** What had the focus is gone. */
  readonly focusComposer: () => void;
  /** Shows two attempts of that turn beside each other. */
  readonly compare: (turn: TurnInfo) => void;
  /** Goes to the newest row and stays there. */
  readonly followEnd: () => void;
};

/** A text that is to be written before a draft. */
export function before(text: string, draft: string): string {
  return draft.trim() === '' ? text : `${text}\n\n${draft}`;
}

export const ConversationContext = createContext<ConversationTools | null>(null);

export function useConversation(): ConversationTools {
  const tools = useContext(ConversationContext);
  if (tools === null) throw new Error('a row stands outside of a conversation');
  return tools;
}

/** Forks the conversation, up to that message or as a whole, and goes to what is made. */
export function useFork(): (request?: { messageId: string }) => Promise<void> {
  const { handle, perform, openConversation } = useConversation();
  return async (request) => {
    const conversationId = freshId();
    const command = handle.fork({ ...request, conversationId });
    const made = await perform('fork the conversation', command);
    if (made.is !== 'refused') openConversation(conversationId);
  };
}

/** Open or folded, kept while the page lives, and the same wherever that name is; `undefined` until somebody has chosen. */
export function useChoice(name: string): [boolean | undefined, (isOpen: boolean) => void] {
  const { choices } = useConversation().memory;
  const subscribe = useCallback((listener: () => void) => choices.subscribe(listener), [choices]);
  const get = () => choices.get(name);
  return [useSyncExternalStore(subscribe, get, get), (isOpen) => choices.set(name, isOpen)];
}

/** The text of an editor that is open, kept while the page lives; null: it is closed. */
export function useEditorText(name: string): [string | null, (text: string | null) => void] {
  const { memory } = useConversation();
  const [, render] = useState(0);
  return [
    memory.texts.get(name) ?? null,
    (text) => {
      if (text === null) memory.texts.delete(name);
      else memory.texts.set(name, text);
      render((count) => count + 1);
    },
  ];
}
