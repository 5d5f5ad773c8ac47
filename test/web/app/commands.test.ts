import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest';

import { chatCommands } from '../../../web/app/chat-commands.ts';
import { createNotices } from '../../../web/app/notices.ts';
import { remembered, type Shelf } from '../../../web/app/remembered.ts';
import { moveStartDraft, startConversation, startDrafts } from '../../../web/app/start.ts';
import type { Problem } from '../../../web/client/contract.ts';
import { fixtureClient, summary, table } from './fixtures.ts';

function shelf(kept: Record<string, string> = {}): Shelf & { kept: Record<string, string> } {
  return {
    kept,
    getItem: (key) => kept[key] ?? null,
    setItem: (key, value) => void (kept[key] = value),
    removeItem: (key) => void delete kept[key],
  };
}
const full: Shelf = {
  getItem: () => {
    throw new Error('denied');
  },
  setItem: () => {
    throw new Error('full');
  },
  removeItem: () => {},
};
const refused: Problem = { code: 'storage_full', status: 503, title: 'The disk is full.' };

beforeEach(() => void vi.useFakeTimers());
afterEach(() => void vi.useRealTimers());

describe('what a browser remembers', () => {
  test('is there at the next load, and told of when it changes', () => {
    const place = shelf();
    const theme = remembered('theme', place);
    const told = vi.fn<() => void>();
    theme.subscribe(told);
    theme.set('dark');
    theme.set('dark');
    expect(told).toHaveBeenCalledTimes(1);
    expect(remembered('theme', place).get()).toBe('dark');
    theme.set(null);
    expect(place.kept).toEqual({});
  });
  test('lasts as long as the page where nothing is kept', () => {
    for (const none of [full, null]) {
      const theme = remembered('theme', none);
      theme.set('dark');
      expect(theme.get()).toBe('dark');
    }
  });
});

describe('the first message', () => {
  test('is made whole: table, conversation, message; the ids are those that were chosen before', async () => {
    const client = fixtureClient();
    const drafts = startDrafts(null, shelf());
    drafts.setText('Hello');
    const draft = drafts.get();
    expect(
      await startConversation(client, { draft, tableId: null, provider: 'claude' }),
    ).toBeNull();
    expect(client.asked).toEqual([
      ['createTable', { tableId: draft.tableId, title: 'My table', provider: 'claude' }],
      ['newChat', draft.tableId, { conversationId: draft.conversationId, provider: 'claude' }],
      ['send', draft.conversationId, { content: 'Hello' }],
    ]);
  });
  test('in a table that is there makes none', async () => {
    const client = fixtureClient();
    const draft = { text: 'Hello', tableId: 'unused', conversationId: 'c9' };
    await startConversation(client, { draft, tableId: 't1', provider: null });
    expect(client.asked.map(([name]) => name)).toEqual(['newChat', 'send']);
  });
  test('that was refused is not sent, is kept, and asks for the same ids again', async () => {
    const place = shelf();
    const drafts = startDrafts(null, place);
    drafts.setText('Hello');
    const client = fixtureClient({ refuse: { ok: false, problem: refused } });
    const draft = drafts.get();
    expect(await startConversation(client, { draft, tableId: null, provider: null })).toBe(refused);
    expect(client.asked.map(([name]) => name)).toEqual(['createTable']);
    // the page is loaded again
    expect(startDrafts(null, place).get()).toEqual(draft);
  });
  test.each(['{', '[]', '{"text":"x","tableId":"../x","conversationId":"c"}', 'null'])(
    'what cannot be read is nothing: %s',
    (kept) => {
      expect(startDrafts(null, shelf({ 'holdfast.start.first': kept })).get().text).toBe('');
    },
  );
  test('what was typed before there was a table goes with the first one that is there', () => {
    const place = shelf();
    const typed = startDrafts(null, place);
    typed.setText('Hello');
    // another page, or the command line, has made one
    expect(startDrafts('t7', place).get().text).toBe('Hello');
    expect(startDrafts(null, place).get().text).toBe('');
    // what was typed in that table is not written over
    typed.setText('Later');
    expect(startDrafts('t7', place).get().text).toBe('Hello');
  });
  test('made by itself, but not its conversation: the same ids are asked for again', () => {
    const place = shelf();
    const typed = startDrafts(null, place);
    typed.setText('Hello');
    const draft = typed.get();
    expect(startDrafts(draft.tableId, place).get()).toEqual(draft);
  });
  test('what somebody else has made a conversation for is its draft, before what is there', () => {
    const place = shelf();
    const client = fixtureClient();
    const conversation = client.openConversation('c1');
    conversation.setDraft('and this');
    startDrafts('t1', place).setText('Hello');
    moveStartDraft(client, { tableId: 't1', conversationId: 'c1' }, place);
    expect(conversation.draft.get()).toBe('Hello\n\nand this');
    moveStartDraft(client, { tableId: 't1', conversationId: 'c1' }, place);
    expect(conversation.draft.get()).toBe('Hello\n\nand this');
  });
  test('where it cannot be kept it says so, and tries again each time it is asked', () => {
    const place = shelf();
    let isFull = true;
    const filling: Shelf = {
      ...place,
      setItem(key, value) {
        if (isFull) throw new Error('QuotaExceededError');
        place.setItem(key, value);
      },
    };
    const drafts = startDrafts(null, filling);
    expect(drafts.isKept()).toBe(true);
    drafts.setText('Hello');
    expect(drafts.isKept()).toBe(false);
    drafts.setText(' ');
    expect(drafts.isKept()).toBe(true);
    drafts.setText('Hello again');
    isFull = false;
    expect(drafts.isKept()).toBe(true);
    expect(startDrafts(null, place).get().text).toBe('Hello again');
    const nowhere = startDrafts(null, null);
    nowhere.setText('Hello');
    expect(nowhere.isKept()).toBe(false);
  });
  test('cleared, the next one has ids of its own', () => {
    const drafts = startDrafts(null, shelf());
    const { tableId } = drafts.get();
    drafts.clear();
    expect(drafts.get().tableId).not.toBe(tableId);
  });
});

describe('commands of the list', () => {
  function list(world: Parameters<typeof fixtureClient>[0] = {}) {
    const client = fixtureClient(world);
    const notices = createNotices();
    const opened: string[] = [];
    const commands = chatCommands(client, notices, (id) => opened.push(id));
    return { client, notices, opened, commands };
  }
  const running = summary({ conversationId: 'c7', title: 'Build', state: 'processing' });

  test('a new chat opens, and says what it cancels with the way there', async () => {
    const { client, notices, opened, commands } = list({
      view: table({ conversations: [running] }),
    });
    await commands.newChat(client.openTable('t1'));
    expect(opened).toHaveLength(1);
    expect(notices.get()?.words).toBe('“Build” was running and is cancelled.');
    notices.get()?.action?.run();
    expect(opened[1]).toBe('c7');
  });
  test('where nothing runs it says nothing', async () => {
    const { client, notices, commands } = list({ view: table({ conversations: [summary()] }) });
    await commands.newChat(client.openTable('t1'));
    expect(notices.get()).toBeNull();
  });
  test('a refusal is said, and one stays where one is', async () => {
    const { client, notices, opened, commands } = list({
      refuse: { ok: false, problem: refused },
    });
    await commands.newChat(client.openTable('t1'));
    await commands.fork(summary());
    await commands.archive(summary());
    expect(opened).toEqual([]);
    expect(notices.get()).toMatchObject({ words: 'The disk is full.', tone: 'bad' });
  });
  test('what was archived can be taken back', async () => {
    const { client, notices, commands } = list();
    await commands.archive(summary({ title: 'Old' }));
    expect(notices.get()?.words).toBe('“Old” is archived.');
    notices.get()?.action?.run();
    await vi.advanceTimersByTimeAsync(0);
    expect(client.asked).toEqual([
      ['patch', 'c1', { archived: true }],
      ['patch', 'c1', { archived: false }],
    ]);
  });
  test('a fork opens under the id that was chosen for it', async () => {
    const { client, opened, commands } = list();
    await commands.fork(summary());
    expect(client.asked).toEqual([['fork', 'c1', { conversationId: opened[0] }]]);
  });
  test('a notice goes by itself, and the next one takes its place and its time', async () => {
    const { notices } = list();
    notices.say('one');
    await vi.advanceTimersByTimeAsync(9_000);
    notices.say('two');
    await vi.advanceTimersByTimeAsync(9_000);
    expect(notices.get()?.words).toBe('two');
    await vi.advanceTimersByTimeAsync(1_000);
    expect(notices.get()).toBeNull();
  });
});
