/**
 * History: fork, rollback, edit and resend, title, archive, search; and what the provider is told after each, by its own word
 * (`say history`). Numbers: design.md section 12.
 */
import { randomUUID } from 'node:crypto';

import { describe, expect, test } from 'vitest';

import type { ConversationSummaryValue } from '../../../src/contracts/events.ts';
import type { ConversationViewValue, MessageViewValue } from '../../../src/contracts/view.ts';
import type { Role } from '../../../src/supervisor/state.ts';
import { readLog, script } from './conversations.ts';
import { endsOf, viewOf, undisturbedAnd } from './faults.ts';
import { sharedHoldfast } from './shared-holdfast.ts';
import { expectWholeTable, TableFollower, TableUnderTest } from './tables.ts';

const holdfast = sharedHoldfast();
const TIMEOUT_MS = 180_000;
const NOTHING_TOLD = 'none';

/** Prompts carry a word of their own each, so that it shows who was told what. */
const saying = (word: string): string => script(`text "said-${word}"`, `# asked-${word}`);

type Row = Pick<MessageViewValue, 'role' | 'content'> & { cut: boolean };
const rowsOf = ({ messages }: ConversationViewValue): Row[] =>
  messages.map(({ role, content, cut }) => ({ role, content, cut: cut === true }));
const pair = (word: string, cut = false): Row[] => [
  { role: 'user', content: saying(word), cut },
  { role: 'assistant', content: `said-${word}`, cut },
];

/** A table with one conversation in which these words were said. */
async function saidBefore(...wordsSaid: string[]) {
  const table = await TableUnderTest.create(holdfast);
  const follower = new TableFollower(table);
  const conversationId = await table.newChat();
  for (const word of wordsSaid) await table.endOf(await table.send(conversationId, saying(word)));
  const { messages } = await viewOf({ holdfast, conversationId });
  return { table, follower, conversationId, ids: messages.map(({ messageId }) => messageId) };
}

/** What the provider was told of before, and its session, by its own word. */
async function toldTo(
  table: TableUnderTest,
  conversationId: string,
): Promise<{ history: string; session: string }> {
  const ask = async (fact: string): Promise<string> =>
    (await table.endOf(await table.send(conversationId, script(`say ${fact}`)))).text ?? '';
  return { history: await ask('history'), session: await ask('session') };
}

/** Asks while that process is killed, then again until it is done. */
async function insistThrough<T>(
  table: TableUnderTest,
  victim: Role | null,
  call: Parameters<TableUnderTest['insist']>[0],
): Promise<T> {
  const asked = holdfast.call(call).catch(() => null);
  const isBack = await table.kill(victim);
  await asked;
  const answer = await table.insist<T>(call);
  await isBack();
  return answer;
}

describe('A fork', () => {
  test.each(undisturbedAnd('gateway', 'worker'))(
    'L5 has the history up to its message under fresh ids, is not made active, and its provider is told that much; with a kill -9 of: $victim',
    { timeout: TIMEOUT_MS },
    async ({ victim }) => {
      const { table, follower, conversationId, ids } = await saidBefore('alpha', 'beta');
      const fork = randomUUID();
      const body = { conversationId: fork, messageId: ids[1] };
      const path = `/v1/conversations/${conversationId}/fork`;
      const view = await insistThrough<ConversationViewValue>(table, victim, { path, body });
      expect(view).toMatchObject({ conversationId: fork, tableId: table.tableId, state: 'idle' });
      expect(rowsOf(view)).toEqual(pair('alpha'));
      expect(view.messages.filter(({ messageId }) => ids.includes(messageId))).toEqual([]);
      expect(await table.facts()).toMatchObject({ activeConversationId: conversationId });
      const row = (await table.list()).find((each) => each.conversationId === fork);
      expect(row).toMatchObject({ forkedFrom: { conversationId, messageId: ids[1] } });

      const told = await toldTo(table, fork);
      for (const word of ['asked-alpha', 'said-alpha']) expect(told.history).toContain(word);
      for (const word of ['asked-beta', 'said-beta']) expect(told.history).not.toContain(word);
      // The origin goes on as if nothing had happened, in its own session.
      const origin = await toldTo(table, conversationId);
      expect(origin.history).toBe(NOTHING_TOLD);
      expect(origin.session).not.toBe(told.session);
      const messages = rowsOf(await viewOf({ holdfast, conversationId }));
      expect(messages.slice(0, 4)).toEqual([...pair('alpha'), ...pair('beta')]);
      await table.atRest();
      await expectWholeTable(table, follower);
      follower.close();
    },
  );

  test('at a message that does not exist, or was cut, is refused, and makes no conversation', async () => {
    const { table, follower, conversationId, ids } = await saidBefore('alpha', 'beta');
    await table.insist({
      path: `/v1/conversations/${conversationId}/rollback`,
      body: { messageId: ids[1] },
    });
    for (const messageId of ['no-such', ids[2]]) {
      const body = { conversationId: randomUUID(), messageId };
      const path = `/v1/conversations/${conversationId}/fork`;
      expect(await holdfast.call({ path, body })).toMatchObject({
        status: 404,
        body: { code: 'not_found' },
      });
      expect(
        await holdfast.call({ path: `/v1/conversations/${body.conversationId}` }),
      ).toMatchObject({ status: 404 });
    }
    expect(await table.list()).toHaveLength(1);
    follower.close();
  });
});

describe('A rollback', () => {
  test.each(undisturbedAnd('worker', 'temporal'))(
    'L5 cuts what comes after its message; that stays readable, and the provider no longer knows it; with a kill -9 of: $victim',
    { timeout: TIMEOUT_MS },
    async ({ victim }) => {
      const { table, follower, conversationId, ids } = await saidBefore('alpha', 'beta', 'gamma');
      const before = await toldTo(table, conversationId);
      expect(before.history).toBe(NOTHING_TOLD);
      const path = `/v1/conversations/${conversationId}/rollback`;
      const view = await insistThrough<ConversationViewValue>(table, victim, {
        path,
        body: { messageId: ids[1] },
      });
      expect(rowsOf(view).slice(0, 6)).toEqual([
        ...pair('alpha'),
        ...pair('beta', true),
        ...pair('gamma', true),
      ]);
      expect(
        rowsOf(view)
          .slice(6)
          .every(({ cut }) => cut),
      ).toBe(true);
      const { items } = await table.insist<{ items: MessageViewValue[] }>({
        path: `/v1/conversations/${conversationId}/messages`,
      });
      expect(items.toReversed()).toEqual(view.messages);

      const after = await toldTo(table, conversationId);
      expect(after.history).toContain('said-alpha');
      for (const word of ['beta', 'gamma']) expect(after.history).not.toContain(word);
      expect(after.session).not.toBe(before.session);
      const log = await readLog(holdfast, conversationId);
      const cuts = log.flatMap((event) => (event.type === 'history.cut' ? [event.payload] : []));
      // It may have been asked for twice; to cut twice at one place is to cut once.
      expect(new Set(cuts.map(({ messageId, by }) => `${by} ${messageId}`))).toEqual(
        new Set([`rollback ${ids[1]}`]),
      );
      await table.atRest();
      await expectWholeTable(table, follower);
      follower.close();
    },
  );

  test('to nothing at all leaves a provider that is told nothing; while a turn runs it is refused', async () => {
    const { table, follower, conversationId } = await saidBefore('alpha');
    const path = `/v1/conversations/${conversationId}/rollback`;
    const running = await table.streaming(conversationId);
    expect(await holdfast.call({ path, body: { messageId: null } })).toMatchObject({
      status: 409,
      body: { code: 'busy', turnId: running.turnId },
    });
    await table.insist({ path: `/v1/conversations/${conversationId}/cancel?wait=end`, body: {} });
    const view = await table.insist<ConversationViewValue>({ path, body: { messageId: null } });
    expect(rowsOf(view).every(({ cut }) => cut)).toBe(true);
    expect(view.messages).toHaveLength(4);
    expect((await toldTo(table, conversationId)).history).toBe(NOTHING_TOLD);
    await table.atRest();
    await expectWholeTable(table, follower);
    follower.close();
  });
});

describe('Edit and resend', () => {
  test.each(undisturbedAnd('gateway', 'worker'))(
    'A1 L5 cuts the message and all after it, and the new one runs in its place, once; with a kill -9 of: $victim',
    { timeout: TIMEOUT_MS },
    async ({ victim }) => {
      const { table, follower, conversationId, ids } = await saidBefore('alpha', 'beta', 'gamma');
      const requestId = randomUUID();
      const content = script('say history', '# asked-delta');
      const path = `/v1/conversations/${conversationId}/messages`;
      const body = { requestId, content, replaces: ids[2] };
      const asked = holdfast.call({ path, body }).catch(() => null);
      const isBack = await table.kill(victim);
      await asked;
      await isBack();
      const turn = await table.send(conversationId, content, { requestId, replaces: ids[2] ?? '' });
      const end = await table.endOf(turn);
      expect(end).toMatchObject({ outcome: 'completed', turnId: turn.turnId });
      expect(end.text).toContain('said-alpha');
      for (const word of ['beta', 'gamma', 'delta']) expect(end.text).not.toContain(word);
      await table.atRest();

      expect(rowsOf(await viewOf({ holdfast, conversationId }))).toEqual([
        ...pair('alpha'),
        ...pair('beta', true),
        ...pair('gamma', true),
        { role: 'user', content, cut: false },
        { role: 'assistant', content: end.text, cut: false },
      ]);
      const log = await readLog(holdfast, conversationId);
      const decided = log.findIndex(({ type }) => type === 'history.cut');
      // One decision: the cut, the new message, its start.
      expect(log.slice(decided, decided + 3)).toMatchObject([
        { type: 'history.cut', requestId, payload: { messageId: ids[1], by: 'edit' } },
        { type: 'message.created', requestId, payload: { content } },
        { type: 'chat.started', requestId },
      ]);
      expect(log.filter(({ type }) => type === 'history.cut')).toHaveLength(1);
      expect(endsOf(log)).toHaveLength(4);
      expect(
        await holdfast.call({ path, body: { ...body, requestId: randomUUID() } }),
      ).toMatchObject({ status: 404, body: { code: 'not_found' } });
      await expectWholeTable(table, follower);
      follower.close();
    },
  );
});

test(
  'a search finds an old message and a title, with the place; archived ones only when asked for; a title is made once',
  { timeout: TIMEOUT_MS },
  async () => {
    const table = await TableUnderTest.create(holdfast);
    const follower = new TableFollower(table);
    const old = await table.newChat();
    await table.endOf(await table.send(old, 'Where do puffins nest in winter?'));
    await table.endOf(await table.send(old, 'And the razorbills?'));
    const other = await table.newChat();
    await table.endOf(await table.send(other, 'Something about trains'));
    type Found = ConversationSummaryValue & {
      match?: { messageId: string | null; snippet: string };
    };
    const search = async (words: string, more = ''): Promise<Found[]> =>
      table.list(`?q=${encodeURIComponent(words)}${more}`);
    const matched = (snippet = ''): string =>
      snippet.slice(snippet.indexOf('\u0002') + 1, snippet.indexOf('\u0003')).toLowerCase();

    const { messages } = await viewOf({ holdfast, conversationId: old });
    const byMessage = await search('razorbills');
    expect(byMessage.map(({ conversationId }) => conversationId)).toEqual([old]);
    expect(messages.map(({ messageId }) => messageId)).toContain(byMessage[0]?.match?.messageId);
    expect(matched(byMessage[0]?.match?.snippet)).toBe('razorbills');
    expect((await search('puffins')).map(({ conversationId }) => conversationId)).toEqual([old]);
    expect(await search('puffins trains')).toEqual([]);
    expect(await search('penguins')).toEqual([]);
    expect(
      await holdfast.call({ path: `${table.path}/conversations?q=${encodeURIComponent('"half')}` }),
    ).toMatchObject({ status: 400, body: { code: 'invalid_request' } });

    // Made from the first message, kept at the second; a person's own stays.
    expect((await viewOf({ holdfast, conversationId: old })).title).toBe(
      'Where do puffins nest in winter?',
    );
    await table.insist({
      method: 'PATCH',
      path: `/v1/conversations/${old}`,
      body: { title: 'Seabirds', archived: true },
    });
    expect(await search('seabirds')).toEqual([]);
    const archived = await search('seabirds', '&archived=true');
    expect(archived).toMatchObject([
      { conversationId: old, title: 'Seabirds', archived: true, match: { messageId: null } },
    ]);
    expect((await search('razorbills', '&archived=any')).map((row) => row.title)).toEqual([
      'Seabirds',
    ]);
    expect((await table.list()).map(({ conversationId }) => conversationId)).toEqual([other]);
    await table.endOf(await table.send(old, 'One more about auks'));
    expect((await viewOf({ holdfast, conversationId: old })).title).toBe('Seabirds');
    const log = await readLog(holdfast, old);
    const titles = log.flatMap((event) =>
      event.type === 'conversation.updated' && event.payload.title !== undefined
        ? [event.payload.title]
        : [],
    );
    expect(titles).toEqual(['Where do puffins nest in winter?', 'Seabirds']);
    await table.atRest();
    await expectWholeTable(table, follower);
    follower.close();
  },
);
