import { useCallback, useEffect, useState } from 'react';

const isDrawerEntry = () => {
  const state: unknown = window.history.state;
  return typeof state === 'object' && state !== null && 'drawer' in state;
};

/**
 * The drawer of a narrow screen. Open, it is an entry of the history, so that the button "back" closes it; going elsewhere out
 * of it overwrites that entry.
 */
export function useDrawer(): {
  isOpen: boolean;
  open: () => void;
  close: () => void;
  left: () => void;
} {
  const [isOpen, setIsOpen] = useState(false);
  useEffect(() => {
    const moved = () => setIsOpen(isDrawerEntry());
    window.addEventListener('popstate', moved);
    return () => window.removeEventListener('popstate', moved);
  }, []);
  const open = useCallback(() => {
    if (!isDrawerEntry()) window.history.pushState({ drawer: true }, '');
    setIsOpen(true);
  }, []);
  const close = useCallback(() => {
    setIsOpen(false);
    if (isDrawerEntry()) window.history.back();
  }, []);
  const left = useCallback(() => setIsOpen(false), []);
  return { isOpen, open, close, left };
}
