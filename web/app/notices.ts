/** One quiet line about what has just been done, with a way to go on from there; the next one takes its place. */
import type { Readable } from '../client/contract.ts';

export type Notice = {
  words: string;
  tone: 'plain' | 'bad';
  action: { label: string; run: () => void } | null;
};
export type Notices = Readable<Notice | null> & {
  say(words: string, more?: Partial<Pick<Notice, 'tone' | 'action'>>): void;
  clear(): void;
};

/** How long a line stays. */
const STAYS_MS = 10_000;

/** One place for notices; a line goes by itself after a while. */
export function createNotices(): Notices {
  const listeners = new Set<() => void>();
  let notice: Notice | null = null;
  let timer: ReturnType<typeof setTimeout> | undefined;
  const set = (next: Notice | null) => {
    clearTimeout(timer);
    notice = next;
    if (next !== null) timer = setTimeout(() => set(null), STAYS_MS);
    for (const listener of listeners) listener();
  };
  return {
    get: () => notice,
    subscribe(listener) {
      listeners.add(listener);
      return () => listeners.delete(listener);
    },
    say: (words, { tone = 'plain', action = null } = {}) => set({ words, tone, action }),
    clear: () => set(null),
  };
}
