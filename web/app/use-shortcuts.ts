import { useEffect, useEffectEvent } from 'react';

import { isModalOpen, isTypingAt, shortcutOf, type Shortcut } from './shortcuts.ts';

/** Calls `onShortcut` for the page's own keys, wherever the focus is, but for an open dialog or menu. */
export function useShortcuts(onShortcut: (shortcut: Shortcut) => void): void {
  const act = useEffectEvent(onShortcut);
  useEffect(() => {
    const pressed = (event: KeyboardEvent) => {
      if (event.defaultPrevented || event.isComposing || isModalOpen(event.target)) return;
      const shortcut = shortcutOf(event, isTypingAt(event.target));
      if (shortcut === null) return;
      event.preventDefault();
      // a key that is held down goes on through the chats, and does not make one thirty times a second
      if (event.repeat && shortcut === 'new-chat') return;
      act(shortcut);
    };
    document.addEventListener('keydown', pressed);
    return () => document.removeEventListener('keydown', pressed);
  }, []);
}
