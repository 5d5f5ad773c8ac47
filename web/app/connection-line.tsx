import { useEffect, useRef, useState } from 'react';

import type { HoldfastClient } from '../client/contract.ts';
import { useNow } from '../parts/time.tsx';
import { useReadable } from '../parts/use-readable.ts';
import { linkWords } from './link-words.ts';

/** A connection that is back sooner is not spoken of: most are. */
const UNSAID_MS = 300;
const BACK_MS = 2_000;
/** From then on it is worth to offer a try. */
const WAITS_MS = 1_200;

/** How the connection is, when it is not as it should be; the rest of the page stays as it is. */
export function ConnectionLine({ client }: { client: HoldfastClient }) {
  const link = useReadable(client.link);
  const words = useSaid(linkWords(link), link.is === 'live');
  const isWaiting = link.is === 'reconnecting' && link.nextTryAtMs !== null && words !== '';
  return (
    <div className="connection-line" data-shown={words !== ''} data-is={link.is}>
      <span role="status" aria-label="Connection">
        {words}
      </span>
      {isWaiting && <TryNow atMs={link.nextTryAtMs} onTry={() => client.reconnect()} />}
    </div>
  );
}

function TryNow({ atMs, onTry }: { atMs: number | null; onTry: () => void }) {
  const now = useNow(1_000);
  if (atMs === null || atMs - now < WAITS_MS) return null;
  return (
    <button type="button" className="connection-line-try" onClick={onTry}>
      Try now
    </button>
  );
}

/** The words, once they have held for a moment; and "Back" for a while after words that were said. */
function useSaid(words: string, isLive: boolean): string {
  const [said, setSaid] = useState('');
  const wasLost = useRef(false);
  useEffect(() => {
    if (words !== '') {
      const timer = setTimeout(() => {
        wasLost.current ||= words !== 'Connecting…';
        setSaid(words);
      }, UNSAID_MS);
      return () => clearTimeout(timer);
    }
    setSaid(isLive && wasLost.current ? 'Back' : '');
    wasLost.current = false;
    const timer = setTimeout(() => setSaid(''), BACK_MS);
    return () => clearTimeout(timer);
  }, [words, isLive]);
  return said;
}
