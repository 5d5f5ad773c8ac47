import type { Store, StoredEvent } from '../store/port.ts';

/** Events read at a time. */
const PAGE = 500;

/** The first event of `stream` after `after` that fits; null when the log has none. */
export async function findInLog({
  store,
  stream,
  after,
  fits,
}: {
  store: Store;
  stream: string;
  after: number;
  fits: (event: StoredEvent) => boolean;
}): Promise<StoredEvent | null> {
  for (let from = after; ;) {
    const { items } = await store.events(stream, from, PAGE);
    const last = items.at(-1);
    if (last === undefined) return null;
    const found = items.find(fits);
    if (found !== undefined) return found;
    from = last.seq;
  }
}
