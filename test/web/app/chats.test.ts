import { describe, expect, test } from 'vitest';

import type { ConversationViewValue } from '../../../src/contracts/view.ts';
import {
  activityOf,
  badgesOf,
  groupByDay,
  mergeChats,
  neighbour,
  snippetParts,
} from '../../../web/app/chats.ts';
import { conversation, summary } from './fixtures.ts';

const words = (part: Parameters<typeof summary>[0]) => badgesOf(summary(part)).map((b) => b.words);

describe('badges', () => {
  test('nothing to say of an idle conversation', () => {
    expect(words({})).toEqual([]);
  });
  test.each([
    [{ state: 'processing' }, ['running']],
    [{ state: 'cancelled' }, ['cancelling']],
    [{ state: 'processing', approvals: 2 }, ['needs approval', 'running']],
    [{ queued: 3, held: true }, ['queued 3', 'held']],
  ] as const)('%j', (part, expected) => {
    expect(words(part)).toEqual(expected);
  });
});

describe('of the conversation that is shown, badges are what it shows', () => {
  const activeTurn: ConversationViewValue['activeTurn'] = {
    turnId: 't1',
    attempt: 1,
    requestId: 'r1',
    phase: 'streaming',
    startedAt: '2026-11-22T09:00:00.000Z',
    lastActivityAt: '2026-11-22T09:00:00.000Z',
  };
  const shown = (part: Partial<ConversationViewValue>) =>
    badgesOf(activityOf(conversation(part))).map((badge) => badge.words);

  test('a turn that has ended runs no more, before the engine has settled what comes after it', () => {
    expect(shown({ state: 'processing', activeTurn })).toEqual(['running']);
    expect(shown({ state: 'processing' })).toEqual([]);
    expect(shown({ state: 'cancelled', activeTurn })).toEqual(['cancelling']);
    expect(shown({ state: 'cancelled' })).toEqual([]);
  });
  test('what waits in it', () => {
    const item = { requestId: 'r2', turnId: 't2', content: 'x', attempt: 1, position: 0 };
    expect(shown({ queue: [item], held: true })).toEqual(['queued 1', 'held']);
  });
});

describe('by day', () => {
  // local times, as a reader's calendar has them
  const at = (day: number, hour: number) => new Date(2026, 10, day, hour).toISOString();
  const now = new Date(2026, 10, 22, 9).getTime();
  test('of the calendar, not of 24 hours', () => {
    const chats = [
      { lastAt: at(22, 0) },
      { lastAt: at(21, 23) },
      { lastAt: at(20, 12) },
      { lastAt: at(15, 0) },
      { lastAt: at(14, 23) },
    ];
    expect(groupByDay(chats, now).map(({ day, chats: group }) => [day, group.length])).toEqual([
      ['Today', 1],
      ['Yesterday', 1],
      ['Previous 7 days', 2],
      ['Older', 1],
    ]);
  });
  test('what a clock ahead of this one wrote is of today', () => {
    expect(groupByDay([{ lastAt: at(23, 1) }], now)[0]?.day).toBe('Today');
  });
  test('the order within a group stays', () => {
    const chats = [{ lastAt: at(22, 8) }, { lastAt: at(22, 7) }];
    expect(groupByDay(chats, now)[0]?.chats).toEqual(chats);
  });
});

describe('pages behind the live list', () => {
  const a = summary({ conversationId: 'a' });
  const b = summary({ conversationId: 'b', title: 'live' });
  test('without pages it is the live list itself', () => {
    const live = [a];
    expect(mergeChats(live, [])).toBe(live);
    expect(mergeChats(live, [a])).toBe(live);
  });
  test('each once, as the live list has it', () => {
    const old = summary({ conversationId: 'b', title: 'old' });
    const c = summary({ conversationId: 'c' });
    expect(mergeChats([a, b], [old, c, c])).toEqual([a, b, c]);
  });
});

describe('a snippet', () => {
  test('is cut at its marks', () => {
    expect(snippetParts('the \u0002night\u0003ly \u0002build\u0003')).toEqual([
      { text: 'the ', found: false },
      { text: 'night', found: true },
      { text: 'ly ', found: false },
      { text: 'build', found: true },
    ]);
  });
  test.each(['\u0003a\u0002b', '\u0002\u0002', 'a\u0003\u0003b', ''])(
    'no mark is ever shown: %j',
    (snippet) => {
      const text = snippetParts(snippet)
        .map((part) => part.text)
        .join('');
      expect(text).toBe(snippet.replaceAll('\u0002', '').replaceAll('\u0003', ''));
    },
  );
});

test('the chat above and below', () => {
  const chats = [{ conversationId: 'a' }, { conversationId: 'b' }];
  expect(neighbour(chats, 'a', 1)).toBe('b');
  expect(neighbour(chats, 'b', -1)).toBe('a');
  expect(neighbour(chats, 'b', 1)).toBeNull();
  expect(neighbour(chats, 'gone', 1)).toBe('a');
  expect(neighbour([], null, 1)).toBeNull();
});
