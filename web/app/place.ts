/**
 * Where one is: which table, conversation and panel. The address's hash is its one owner, so that reload, back, forward, bookmarks
 * and a second window do what they do everywhere.
 *
 * `#/t/<tableId>/c/<conversationId>?panel=agents`. A hash that begins with `#token=` is the client's, and no place.
 */
import type { Readable } from '../client/contract.ts';

export const PANELS = ['agents', 'triggers', 'why'] as const;
export type PanelName = (typeof PANELS)[number];

export type Place = {
  tableId: string | null;
  conversationId: string | null;
  panel: PanelName | null;
};

export type PlaceStore = Readable<Place> & {
  /** Members that are left out stay. `replace`: the present entry of the history is overwritten, and back does not come here again. */
  go(change: Partial<Place>, how?: 'push' | 'replace'): void;
  /** Out of what was opened by the last `go`: back, where that leads there, so that the history does not grow by opening and closing. */
  leave(change: Partial<Place>): void;
  /** The address of that place, for a link. */
  hrefOf(change: Partial<Place>): string;
  close(): void;
};

/** As much of a window as this needs. */
export type AddressBar = {
  location: { readonly hash: string; readonly pathname: string; readonly search: string };
  history: {
    readonly state: unknown;
    back(): void;
    pushState(data: unknown, unused: string, url: string): void;
    replaceState(data: unknown, unused: string, url: string): void;
  };
  addEventListener(type: 'hashchange' | 'popstate', listener: () => void): void;
  removeEventListener(type: 'hashchange' | 'popstate', listener: () => void): void;
};

const NOWHERE: Place = { tableId: null, conversationId: null, panel: null };
/** As in contracts/ids.ts; anything else in an address is not asked for. */
const ID = '[A-Za-z0-9][A-Za-z0-9_-]{0,63}';
const PLACE = new RegExp(`^#?(?:/t/(${ID}))?(?:/c/(${ID}))?/?(?:\\?(.*))?$`);

/** The place that a hash names; null for a hash that is none of this page's. */
export function placeOf(hash: string): Place | null {
  const found = PLACE.exec(hash);
  if (found === null) return null;
  const [, tableId = null, conversationId = null, query = ''] = found;
  const asked = new URLSearchParams(query).get('panel');
  const panel = PANELS.find((name) => name === asked) ?? null;
  return { tableId, conversationId, panel };
}

/** {@link placeOf}, the other way; `#/` is nowhere. */
export function hashOf({ tableId, conversationId, panel }: Place): string {
  const table = tableId === null ? '' : `/t/${tableId}`;
  const conversation = conversationId === null ? '' : `/c/${conversationId}`;
  const query = panel === null ? '' : `?panel=${panel}`;
  return `#${table}${conversation}${query}`.replace(/^#$/, '#/');
}

/** The place store of a window. */
export function createPlace(bar: AddressBar): PlaceStore {
  const listeners = new Set<() => void>();
  let place = placeOf(bar.location.hash) ?? NOWHERE;
  const read = () => {
    const next = placeOf(bar.location.hash);
    // a token that is pasted into the address of an open page: the client's, and one stays where one is
    if (next === null || isSame(next, place)) return;
    place = next;
    for (const listener of listeners) listener();
  };
  bar.addEventListener('hashchange', read);
  bar.addEventListener('popstate', read);
  return {
    get: () => place,
    subscribe(listener) {
      listeners.add(listener);
      return () => listeners.delete(listener);
    },
    go(change, how = 'push') {
      const next = { ...place, ...change };
      const address = `${bar.location.pathname}${bar.location.search}${hashOf(next)}`;
      if (how === 'replace' || isSame(next, place)) bar.history.replaceState(null, '', address);
      else bar.history.pushState({ from: hashOf(place) }, '', address);
      if (isSame(next, place)) return;
      place = next;
      for (const listener of listeners) listener();
    },
    leave(change) {
      const { state } = bar.history;
      const from =
        typeof state === 'object' && state !== null && 'from' in state ? state.from : null;
      if (from === hashOf({ ...place, ...change })) bar.history.back();
      else this.go(change, 'replace');
    },
    hrefOf: (change) => hashOf({ ...place, ...change }),
    close() {
      bar.removeEventListener('hashchange', read);
      bar.removeEventListener('popstate', read);
      listeners.clear();
    },
  };
}

function isSame(one: Place, other: Place): boolean {
  return (
    one.tableId === other.tableId &&
    one.conversationId === other.conversationId &&
    one.panel === other.panel
  );
}
