import { useEffectEvent, useLayoutEffect, useState } from 'react';

import type { Opened } from '../client/contract.ts';

/**
 * Opens what `key` names and releases it when the key changes or the component goes; null until it is open, and for a key that is null.
 *
 * It is opened in a layout effect: a render that is thrown away opens nothing, and nothing is painted in between.
 */
export function useOpened<T extends Opened<unknown>>(
  key: string | null,
  open: (key: string) => T,
): T | null {
  const [opened, setOpened] = useState<{ key: string; handle: T } | null>(null);
  const openNow = useEffectEvent(open);
  useLayoutEffect(() => {
    if (key === null) return;
    const handle = openNow(key);
    setOpened({ key, handle });
    return () => {
      setOpened(null);
      handle.release();
    };
  }, [key]);
  return opened !== null && opened.key === key ? opened.handle : null;
}
