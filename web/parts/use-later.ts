import { useEffect } from 'react';

import type { Later } from './later.ts';
import { useReadable } from './use-readable.ts';

/** How long until what could not be loaded is asked for again. */
const AGAIN_MS = 2_000;

/** The code, null until it is there; wanted for as long as whoever needs it is drawn and `isWanted`. */
export function useLater<T>(code: Later<T>, isWanted = true): T | null {
  const loaded = useReadable(code);
  const isMissing = isWanted && loaded === null;
  useEffect(() => {
    if (!isMissing) return;
    code.want();
    const timer = setInterval(() => code.want(), AGAIN_MS);
    return () => clearInterval(timer);
  }, [code, isMissing]);
  return loaded;
}
