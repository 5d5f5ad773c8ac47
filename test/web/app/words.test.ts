import { describe, expect, test } from 'vitest';

import { homeConversation, homeTable } from '../../../web/app/home.ts';
import { documentTitle, linkWords, tokenIn } from '../../../web/app/link-words.ts';
import { shortcutOf, type Key } from '../../../web/app/shortcuts.ts';
import { agoWords, durationWords, withLocalTimes } from '../../../web/parts/time-words.ts';
import { conversation } from './fixtures.ts';

describe('a length of time', () => {
  test.each([
    [-5, 'under 0.1 s'],
    [50, '0.1 s'],
    [600, '0.6 s'],
    [9_949, '9.9 s'],
    [9_960, '9 s'],
    [12_900, '12 s'],
    [59_999, '59 s'],
    [60_000, '1 min'],
    [65_000, '1 min 5 s'],
    [7_380_000, '2 h 3 min'],
    [273_600_000, '3 d 4 h'],
  ])('%i ms: %s', (ms, words) => {
    expect(durationWords(ms)).toBe(words);
  });
});

describe('how long ago', () => {
  const now = Date.parse('2026-11-22T10:00:00Z');
  test.each([
    [1_000, 'just now'],
    [12_000, '12 s ago'],
    [5 * 60_000, '5 min ago'],
    [3 * 3_600_000, '3 h ago'],
    [-500, 'now'],
    [-7_200_000, 'in 2 h'],
  ])('%i ms: %s', (age, words) => {
    expect(agoWords(now - age, now)).toBe(words);
  });
  test('a day away it is a date', () => {
    expect(agoWords(now - 40 * 86_400_000, now)).toMatch(/13/);
    expect(agoWords(Date.parse('2024-01-02T12:00:00Z'), now)).toMatch(/2024/);
  });
});

describe('the connection', () => {
  const lost = (why: 'lost' | 'restarting' | 'offline') =>
    linkWords({ is: 'reconnecting', why, sinceMs: 0, nextTryAtMs: null });
  test('is empty while live, and else what docs/page.md calls it', () => {
    expect(linkWords({ is: 'live' })).toBe('');
    expect(linkWords({ is: 'unauthorised', hadToken: true })).toBe('');
    expect(lost('lost')).toBe('Reconnecting…');
    expect(lost('restarting')).toBe('Engine restarting…');
    expect(lost('offline')).toBe('Offline');
  });
});

describe('the document’s title', () => {
  const approval = { approvalId: 'p', turnId: 't', title: 'x', input: {}, options: [], at: '' };
  test.each([
    [null, 'Holdfast'],
    [conversation({ title: 'Build' }), 'Build'],
    [conversation({ title: ' ' }), 'New chat'],
    [conversation({ title: 'Build', state: 'processing' }), '● Build'],
    [
      conversation({ title: 'Build', state: 'processing', approvals: [approval] }),
      'Build (needs approval)',
    ],
  ])('%#', (view, title) => {
    expect(documentTitle(view)).toBe(title);
  });
});

test('the token in what was pasted', () => {
  expect(tokenIn('  abc \n')).toBe('abc');
  expect(tokenIn('http://127.0.0.1:4610/#token=a%2Bb')).toBe('a+b');
  expect(tokenIn('http://127.0.0.1:4610/#token=%E0%A4%A')).toBe('%E0%A4%A');
});

describe('keys', () => {
  const key = (part: Partial<Key>): Key => ({
    key: '',
    code: '',
    ctrlKey: false,
    metaKey: false,
    shiftKey: false,
    altKey: false,
    ...part,
  });
  test.each([
    [{ key: 'k', ctrlKey: true }, 'search'],
    [{ key: 'K', metaKey: true }, 'search'],
    [{ key: 'O', code: 'KeyO', ctrlKey: true, shiftKey: true }, 'new-chat'],
    [{ key: 'ArrowUp', altKey: true }, 'above'],
    [{ key: 'ArrowDown', altKey: true }, 'below'],
    [{ key: '/' }, 'composer'],
    [{ key: '?', shiftKey: true }, 'help'],
    [{ key: 'k' }, null],
    [{ key: 'k', ctrlKey: true, altKey: true }, null],
    [{ key: 'o', ctrlKey: true }, null],
    [{ key: 'ArrowUp' }, null],
  ] as const)('%j: %s', (part, shortcut) => {
    expect(shortcutOf(key(part), false)).toBe(shortcut);
  });
  test('while one types, a bare key is a letter and the others work', () => {
    expect(shortcutOf(key({ key: '/' }), true)).toBeNull();
    expect(shortcutOf(key({ key: '?' }), true)).toBeNull();
    expect(shortcutOf(key({ key: 'k', ctrlKey: true }), true)).toBe('search');
    expect(shortcutOf(key({ key: 'ArrowUp', altKey: true }), true)).toBe('above');
  });
});

describe('where the address does not say where one is', () => {
  const nowhere = { tableId: null, conversationId: null, panel: null };
  const tables = [
    { tableId: 't2', activeConversationId: null },
    { tableId: 't1', activeConversationId: 'c1' },
  ];
  test('the table of the last place, else the newest', () => {
    expect(homeTable({ place: nowhere, last: '#/t/t1/c/c1', tables })).toBe('t1');
    expect(homeTable({ place: nowhere, last: '#/t/gone/c/c1', tables })).toBe('t2');
    expect(homeTable({ place: nowhere, last: null, tables })).toBe('t2');
    expect(homeTable({ place: nowhere, last: '#/t/t1', tables: [] })).toBeNull();
    expect(homeTable({ place: nowhere, last: '#/t/t1', tables: null })).toBeNull();
  });
  test('what the address says needs no list of tables', () => {
    const place = { ...nowhere, tableId: 't9' };
    expect(homeTable({ place, last: '#/t/t1', tables: null })).toBe('t9');
  });
  test('the conversation that was shown last, else the active one, else the newest', () => {
    const conversations = [{ conversationId: 'c3' }, { conversationId: 'c2' }];
    const view = { tableId: 't1', activeConversationId: 'c1', conversations };
    expect(homeConversation('#/t/t1/c/c2', view)).toBe('c2');
    expect(homeConversation('#/t/t1/c/gone', view)).toBe('c1');
    expect(homeConversation('#/t/t2/c/c2', view)).toBe('c1');
    expect(homeConversation(null, { ...view, activeConversationId: null })).toBe('c3');
    const empty = { tableId: 't1', activeConversationId: null, conversations: [] };
    expect(homeConversation(null, empty)).toBeNull();
  });
});

test('times of the engine are told in the zone of the reader, and nothing else is touched', () => {
  const at = '2026-11-22T08:35:43.703Z';
  const local = new Date(at).toLocaleString(undefined, {
    dateStyle: 'medium',
    timeStyle: 'medium',
  });
  expect(withLocalTimes(`${at} (0.5 s ago), since ${at}`)).toBe(
    `${local} (0.5 s ago), since ${local}`,
  );
  expect(withLocalTimes('2026-11-22, r1, 08:35')).toBe('2026-11-22, r1, 08:35');
});
