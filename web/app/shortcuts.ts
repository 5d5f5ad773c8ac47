/** The keys of the page. What the composer does with Enter and Escape is the composer's. */
export type Shortcut = 'search' | 'new-chat' | 'above' | 'below' | 'composer' | 'help';

export type Key = Pick<
  KeyboardEvent,
  'key' | 'code' | 'ctrlKey' | 'metaKey' | 'shiftKey' | 'altKey'
>;

/** What a key asks for. `isTyping`: it would be a letter of a text, so that a bare key asks for nothing. */
export function shortcutOf(event: Key, isTyping: boolean): Shortcut | null {
  const { key, code, ctrlKey, metaKey, shiftKey, altKey } = event;
  if (ctrlKey || metaKey) {
    if (altKey) return null;
    if (!shiftKey && key.toLowerCase() === 'k') return 'search';
    if (shiftKey && (code === 'KeyO' || key.toLowerCase() === 'o')) return 'new-chat';
    return null;
  }
  if (altKey) {
    if (shiftKey) return null;
    if (key === 'ArrowUp') return 'above';
    return key === 'ArrowDown' ? 'below' : null;
  }
  if (isTyping) return null;
  if (key === '/') return 'composer';
  return key === '?' ? 'help' : null;
}

/** For the sheet: what the keys do, those of the composer among them. */
export const SHORTCUT_WORDS: readonly { keys: readonly string[]; does: string }[] = [
  { keys: ['Enter'], does: 'Send' },
  { keys: ['Shift', 'Enter'], does: 'New line' },
  { keys: ['Escape'], does: 'Stop, or close what is open' },
  { keys: ['/'], does: 'Write a message' },
  { keys: ['Mod', 'K'], does: 'Search chats' },
  { keys: ['Mod', 'Shift', 'O'], does: 'New chat' },
  { keys: ['Alt', '↑'], does: 'The chat above' },
  { keys: ['Alt', '↓'], does: 'The chat below' },
  { keys: ['?'], does: 'This list' },
];

/** Whether keys that are pressed there write. */
export function isTypingAt(target: EventTarget | null): boolean {
  if (!(target instanceof HTMLElement)) return false;
  return target.isContentEditable || target.matches('input, textarea, select');
}

/** Whether something modal has the keyboard: the page's own keys are not for it. */
export function isModalOpen(target: EventTarget | null): boolean {
  return (
    target instanceof Element &&
    target.closest('[role="dialog"], [role="alertdialog"], [role="menu"]') !== null
  );
}
