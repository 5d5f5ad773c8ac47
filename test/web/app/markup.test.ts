/** Names and roles, as they are drawn: docs/page.md. */
import { createElement } from 'react';
import { renderToStaticMarkup } from 'react-dom/server';
import { describe, expect, test } from 'vitest';

import { ChatList } from '../../../web/app/chat-list.tsx';
import { ConnectionLine } from '../../../web/app/connection-line.tsx';
import { PaneBoundary } from '../../../web/app/pane-boundary.tsx';
import { StartPane } from '../../../web/app/start-pane.tsx';
import { Button, IconButton } from '../../../web/parts/button.tsx';
import { Icon, type IconName } from '../../../web/parts/icon.tsx';
import { fixtureClient, NOW_MS, minutesAgo, summary } from './fixtures.ts';

const html = renderToStaticMarkup;
const none = () => {};
const actions = { onOpen: none, follow: null, onRename: none, onArchive: none, onFork: none };
const pages = { items: [], is: 'idle', problem: null, hasMore: false, loadMore: none } as const;

function list(chats: Parameters<typeof ChatList>[0]['chats'], isSearch = false) {
  return html(
    createElement(ChatList, {
      chats,
      pages,
      isSearch,
      emptyWords: 'No chats yet.',
      isLoading: false,
      currentId: 'c1',
      hrefOf: (id) => `#/t/t1/c/${id}`,
      actions,
    }),
  );
}
/** Of each link its text, which is its name. */
const linkNames = (markup: string) =>
  [...markup.matchAll(/<a [^>]*>(.*?)<\/a>/g)].map(([, inside = '']) =>
    inside
      .replaceAll(/<[^>]*>/g, ' ')
      .replaceAll(/\s+/g, ' ')
      .trim(),
  );

describe('the list of chats', () => {
  test('a link’s name begins with its title, and says its states in words', () => {
    const markup = list([
      summary({ title: 'Build', state: 'processing', queued: 2, lastLine: 'Looking' }),
      summary({ conversationId: 'c2', title: '', approvals: 1 }),
    ]);
    expect(linkNames(markup)).toEqual([
      'Build running queued 2 Looking',
      'New chat needs approval',
    ]);
    expect(markup).toContain('aria-label="Chats"');
    expect(markup).toContain('href="#/t/t1/c/c2"');
    expect(markup.match(/aria-current="page"/g)).toHaveLength(1);
  });
  test('what a search found is marked, and nothing in it is markup', () => {
    const match = { messageId: 'm', snippet: 'a \u0002<b>\u0003' };
    const markup = list([{ ...summary({ title: '<i>x</i>' }), match }], true);
    expect(markup).toContain('<mark>&lt;b&gt;</mark>');
    expect(markup).not.toContain('<i>x');
    expect(markup.includes('\u0002') || markup.includes('\u0003')).toBe(false);
  });
  test('days are headings of the items that begin them', () => {
    const old = summary({ conversationId: 'c2', lastAt: minutesAgo(60 * 24 * 40, NOW_MS) });
    expect(
      list([summary({ lastAt: new Date().toISOString() }), old]).match(/<h3[^>]*>[^<]*/g),
    ).toEqual([expect.stringContaining('Today'), expect.stringContaining('Older')]);
  });
  test('an empty list says so', () => {
    expect(list([])).toContain('No chats yet.');
  });
});

test('the first message can be typed at once', () => {
  const markup = html(
    createElement(StartPane, {
      client: fixtureClient(),
      tableId: null,
      tableProvider: null,
      onStarting: none,
      onStarted: none,
    }),
  );
  expect(markup).toContain('<main');
  expect(markup).toMatch(/<textarea[^>]*aria-label="Message"/);
  expect(markup).toMatch(/<button[^>]*aria-label="Send"/);
});

test('the connection is a status from the beginning, and empty', () => {
  const markup = html(createElement(ConnectionLine, { client: fixtureClient() }));
  expect(markup).toContain('<span role="status" aria-label="Connection"></span>');
});

test('a pane that breaks says so, and can be shown again', () => {
  const boundary = new PaneBoundary({ name: 'The list', children: null });
  boundary.state = { error: new Error('no such row'), isBroken: true } as never;
  const markup = html(createElement('div', null, boundary.render()));
  expect(markup).toContain('The list could not be shown.');
  expect(markup).toContain('no such row');
  expect(markup).toContain('Show again');
});

describe('parts', () => {
  test('a button submits nothing unless it is asked to', () => {
    expect(html(createElement(Button, null, 'Go'))).toContain('type="button"');
    expect(html(createElement(Button, { type: 'submit' }, 'Go'))).toContain('type="submit"');
    const icon = html(createElement(IconButton, { label: 'Close', icon: 'close' }));
    expect(icon).toContain('aria-label="Close"');
    expect(icon).toContain('type="button"');
  });
  test('every icon of docs/page.md is drawn, without a name and with no image', () => {
    const names: IconName[] = [
      ...(['send', 'stop', 'plus', 'search', 'menu', 'more', 'copy', 'check', 'edit'] as const),
      ...(['fork', 'undo', 'retry', 'up', 'down', 'trash', 'bolt', 'pause', 'play'] as const),
      ...(['clock', 'chevron', 'close', 'agents', 'why', 'sun', 'moon', 'sidebar'] as const),
      ...(['external', 'tool', 'warning'] as const),
    ];
    for (const name of names) {
      const markup = html(createElement(Icon, { name }));
      expect(markup).toMatch(/<(path|rect|circle)/);
      expect(markup).toContain('aria-hidden="true"');
      expect(markup).not.toMatch(/<image|href=|url\(/);
    }
  });
});
