import { describe, expect, test } from 'vitest';

import { createPlace, hashOf, placeOf, type AddressBar } from '../../../web/app/place.ts';

/** A window's address with its history: back and forward tell of it as a browser does. */
function addressBar(hash = '') {
  const entries = [{ hash, state: null as unknown }];
  let at = 0;
  const listeners = { hashchange: new Set<() => void>(), popstate: new Set<() => void>() };
  const hashIn = (url: string) => (url.includes('#') ? url.slice(url.indexOf('#')) : '');
  const bar: AddressBar = {
    location: {
      get hash() {
        return entries[at]!.hash;
      },
      pathname: '/',
      search: '',
    },
    history: {
      get state() {
        return entries[at]!.state;
      },
      back: () => move(-1),
      pushState(state, _unused, url) {
        entries.splice(at + 1, Infinity, { hash: hashIn(url), state });
        at += 1;
      },
      replaceState(state, _unused, url) {
        entries[at] = { hash: hashIn(url), state };
      },
    },
    addEventListener: (type, listener) => void listeners[type].add(listener),
    removeEventListener: (type, listener) => void listeners[type].delete(listener),
  };
  function move(by: number) {
    at += by;
    for (const listener of listeners.popstate) listener();
  }
  const typed = (next: string) => {
    bar.history.pushState(null, '', next);
    for (const listener of listeners.hashchange) listener();
  };
  return { bar, move, typed, entries, listeners };
}

describe('the place in an address', () => {
  test.each([
    ['', { tableId: null, conversationId: null, panel: null }],
    ['#/', { tableId: null, conversationId: null, panel: null }],
    ['#/t/t1', { tableId: 't1', conversationId: null, panel: null }],
    ['#/t/t1/c/c1', { tableId: 't1', conversationId: 'c1', panel: null }],
    ['#/c/c1', { tableId: null, conversationId: 'c1', panel: null }],
    ['#/t/t1/c/c1?panel=why', { tableId: 't1', conversationId: 'c1', panel: 'why' }],
    ['#/t/t1?panel=triggers', { tableId: 't1', conversationId: null, panel: 'triggers' }],
    ['#/t/t1/c/c1?panel=settings', { tableId: 't1', conversationId: 'c1', panel: null }],
  ])('%s', (hash, place) => {
    expect(placeOf(hash)).toEqual(place);
  });

  test.each(['#token=abc', '#/t/../c/1', '#/t/<b>', '#/t/t1/c/' + 'x'.repeat(65), '#x/t/t1'])(
    '%s is none of the page’s',
    (hash) => {
      expect(placeOf(hash)).toBeNull();
    },
  );

  test('what is written is read back', () => {
    for (const tableId of [null, 't1']) {
      for (const conversationId of [null, 'c1']) {
        for (const panel of [null, 'agents', 'triggers', 'why'] as const) {
          const place = { tableId, conversationId, panel };
          expect(placeOf(hashOf(place))).toEqual(place);
        }
      }
    }
  });
});

describe('the place store', () => {
  test('goes, tells of it once, and follows back and forward', () => {
    const { bar, move } = addressBar('#/t/t1/c/c1');
    const place = createPlace(bar);
    let told = 0;
    place.subscribe(() => (told += 1));
    place.go({ conversationId: 'c2' });
    expect(bar.location.hash).toBe('#/t/t1/c/c2');
    expect(told).toBe(1);
    place.go({ conversationId: 'c2' });
    expect(told).toBe(1);
    move(-1);
    expect(place.get()).toEqual({ tableId: 't1', conversationId: 'c1', panel: null });
    move(1);
    expect(place.get().conversationId).toBe('c2');
    expect(told).toBe(3);
  });

  test('an address that is typed is followed; a token in it changes nothing', () => {
    const { bar, typed } = addressBar('#/t/t1/c/c1');
    const place = createPlace(bar);
    const before = place.get();
    typed('#token=secret');
    expect(place.get()).toBe(before);
    typed('#/t/t2');
    expect(place.get()).toEqual({ tableId: 't2', conversationId: null, panel: null });
  });

  test('a token in the first address is no place, and stays for whom it is', () => {
    const { bar } = addressBar('#token=secret');
    expect(createPlace(bar).get()).toEqual({ tableId: null, conversationId: null, panel: null });
    expect(bar.location.hash).toBe('#token=secret');
  });

  test('a panel that was opened here is left by going back; one that came with the address is not', () => {
    const { bar, entries } = addressBar('#/t/t1/c/c1');
    const place = createPlace(bar);
    place.go({ panel: 'agents' });
    place.leave({ panel: null });
    expect(place.get().panel).toBeNull();
    expect(bar.location.hash).toBe('#/t/t1/c/c1');
    expect(entries).toHaveLength(2); // the entry forward is the panel's
    const linked = addressBar('#/t/t1/c/c1?panel=why');
    const other = createPlace(linked.bar);
    other.leave({ panel: null });
    expect(other.get().panel).toBeNull();
    expect(linked.entries).toHaveLength(1);
  });

  test('replace leaves no entry behind', () => {
    const { bar, entries } = addressBar('');
    createPlace(bar).go({ tableId: 't1', conversationId: 'c1' }, 'replace');
    expect(entries.map(({ hash }) => hash)).toEqual(['#/t/t1/c/c1']);
  });

  test('closed, it listens no more', () => {
    const { bar, listeners } = addressBar('');
    createPlace(bar).close();
    expect(listeners.hashchange.size + listeners.popstate.size).toBe(0);
  });
});
