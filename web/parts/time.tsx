import { useEffect, useState } from 'react';

import { onTick } from './ticker.ts';
import { agoWords, durationWords, fullWords } from './time-words.ts';

/** `Date.now()`, again at each whole multiple of `everyMs`; it stands still while the tab is hidden. */
export function useNow(everyMs: number): number {
  const [now, setNow] = useState(() => Date.now());
  useEffect(() => onTick(everyMs, () => setNow(Date.now())), [everyMs]);
  return now;
}

/** A length of time in words: `0.6 s`, `12 s`, `1 min 5 s`, `2 h 3 min`, `3 d 4 h`. */
export function Duration({ ms }: { ms: number }) {
  return <span className="duration">{durationWords(ms)}</span>;
}

/** How long ago (or in how long), kept up to date. `at`: RFC 3339, or milliseconds since 1970. The full time is its title. */
export function Ago({ at }: { at: string | number }) {
  const atMs = typeof at === 'number' ? at : Date.parse(at);
  const age = Math.abs(Date.now() - atMs);
  const now = useNow(age < 90_000 ? 1_000 : 30_000);
  if (Number.isNaN(atMs)) return null;
  return (
    <time className="ago" dateTime={new Date(atMs).toISOString()} title={fullWords(atMs)}>
      {agoWords(atMs, now)}
    </time>
  );
}
