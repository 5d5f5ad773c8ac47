/** What every engine of the store must find. The language is that of src/domain/search-query.ts. */
import * as fc from 'fast-check';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';

import type { NewEvent } from '../../src/contracts/events.ts';
import { conversationStream, tableStream } from '../../src/contracts/ids.ts';
import { SEARCH_QUERY_CHARS, SEARCH_TEXT_CHARS } from '../../src/contracts/limits.ts';
import type { Store } from '../../src/store/port.ts';
import {
  activated,
  closed,
  created,
  delta,
  done,
  segment,
  started,
  tableCreated,
  ticking,
  turn,
  upTo,
  type StoreData,
} from './contract-events.ts';

export function describeSearch(engine: string, makeData: () => Promise<StoreData>): void {
  describe(`search in the store on ${engine}`, () => {
    let data: StoreData;
    let store: Store;
    beforeEach(async () => {
      data = await makeData();
      store = await data.open({ clock: ticking() });
      await store.append({ stream: tableStream('tb'), events: [tableCreated()] });
      await store.append({ stream: tableStream('other'), events: [tableCreated()] });
      await store.append({ stream: tableStream('tb'), events: [activated('a')] });
    });
    afterEach(() => data.destroy());

    let fresh = 0;
    const say = (id: string, ...events: NewEvent[]) =>
      store.append({ stream: conversationStream(id), events });
    const wrote = (content: string, role: 'user' | 'system' = 'user'): NewEvent => ({
      type: 'message.created',
      payload: { messageId: `m${(fresh += 1)}`, role, content },
    });
    const search = (
      query: string,
      rest: { archived?: boolean | null; cursor?: string | null; limit?: number } = {},
    ) =>
      store.conversations({
        tableId: 'tb',
        archived: false,
        cursor: null,
        limit: 100,
        ...rest,
        query,
      });
    const ids = async (query: string) =>
      (await search(query)).items.map(({ conversationId }) => conversationId);
    const found = async (id: string, query: string) => (await ids(query)).includes(id);

    it('finds words, phrases and without exclusions, in one message or the title, most recent first', async () => {
      await say('a', created('tb', 'Über den Wolken'), wrote('The quick brown fox'));
      await say('b', created('tb'), wrote('the brown bear is quick'), wrote('and lazy'));
      await say('c', created('tb'), wrote('quick'), wrote('brown'));
      await say('x', created('other'), wrote('the quick brown fox'));
      expect(await ids('quick brown')).toStrictEqual(['b', 'a']);
      expect(await ids('"quick brown"')).toStrictEqual(['a']);
      expect(await ids('"brown quick"')).toStrictEqual([]);
      expect(await ids('quick -fox')).toStrictEqual(['c', 'b']);
      expect(await ids('quick -"brown fox" -bear')).toStrictEqual(['c']);
      expect(await ids('wolken')).toStrictEqual(['a']);
      // The last word may go on; others and phrases may not.
      expect(await ids('quick bro')).toStrictEqual(['b', 'a']);
      expect(await ids('bro quick')).toStrictEqual([]);
      expect(await ids('"quick bro"')).toStrictEqual([]);
      expect(await ids('quick -bro')).toStrictEqual(['c', 'b', 'a']);
      // The newest that something happens in comes up.
      await say('a', { type: 'conversation.state', payload: { state: 'processing' } });
      expect(await ids('quick brown')).toStrictEqual(['a', 'b']);
    });

    it('says where: the newest message, or the title, and the place in it', async () => {
      await say('a', created('tb', 'needle of title'));
      await say('b', created('tb', 'needle too'), wrote('a needle'), wrote('the newest needle'));
      await say('b', wrote('nothing'));
      const { items } = await search('needle');
      expect(items.map(({ match }) => match)).toStrictEqual([
        { messageId: `m${fresh - 1}`, snippet: 'the newest \u0002needle\u0003' },
        { messageId: null, snippet: '\u0002needle\u0003 of title' },
      ]);
      const { match: _, ...summary } = items[0] ?? {};
      expect(summary).toStrictEqual(await store.summary('b'));
    });

    it('goes page by page, archived or not or both', async () => {
      for (const id of ['a', 'b', 'c', 'd']) await say(id, created('tb'), wrote('needle'));
      await say('b', { type: 'conversation.updated', payload: { archived: true } });
      const walk = async (archived: boolean | null, limit: number) => {
        const walked: string[] = [];
        let cursor: string | null = null;
        do {
          const page = await search('needle', { archived, cursor, limit });
          walked.push(...page.items.map(({ conversationId }) => conversationId));
          cursor = page.nextCursor;
        } while (cursor !== null && walked.length < 9);
        return walked;
      };
      expect(await walk(false, 1)).toStrictEqual(['d', 'c', 'a']);
      expect(await walk(false, 3)).toStrictEqual(['d', 'c', 'a']);
      expect(await walk(true, 2)).toStrictEqual(['b']);
      expect(await walk(null, 2)).toStrictEqual(['d', 'c', 'b', 'a']);
      await expect(search('needle', { cursor: 'nonsense' })).rejects.toMatchObject({
        code: 'invalid_request',
      });
    });

    it('knows an assistant’s text when it has ended, and no more when it was taken back; what was cut stays', async () => {
      await say('a', created('tb'), started(turn), segment('s1'), delta('s1', 'opening'));
      expect(await found('a', 'opening')).toBe(false);
      await say('a', closed('s1', 'opening closed'));
      expect(await found('a', 'opening')).toBe(true);
      const discarded: NewEvent = {
        type: 'assistant.segment.discarded',
        ...turn,
        payload: { messageId: 's1', reason: 'retry' },
      };
      await say('a', segment('s2'), closed('s2', 'second'), discarded);
      expect(await found('a', 'opening')).toBe(false);
      expect(await found('a', 'second')).toBe(true);
      // Closed once more, it is there once, with its newest text.
      await say('a', closed('s1', 'again'), closed('s1', 'at last'));
      expect(await found('a', 'again')).toBe(false);
      expect(await found('a', '"at last"')).toBe(true);
      await say('a', segment('s3'), delta('s3', 'partly'), done(turn));
      expect(await found('a', 'partly')).toBe(true);
      await say('a', { type: 'history.cut', payload: { messageId: null, by: 'rollback' } });
      expect(await found('a', 'second')).toBe(true);
    });

    it('does not look into thoughts and tools', async () => {
      await say(
        'a',
        created('tb'),
        started(turn),
        segment('s1', 'reasoning'),
        closed('s1', 'needle'),
        {
          type: 'tool.start',
          ...turn,
          payload: { toolCallId: 'x', messageId: 's2', name: 'needle', input: 'needle' },
        },
        { type: 'tool.end', ...turn, payload: { toolCallId: 'x', status: 'ok', output: 'needle' } },
      );
      expect(await ids('needle')).toStrictEqual([]);
    });

    it('forgets an old title', async () => {
      const title = (text: string): NewEvent => ({
        type: 'conversation.updated',
        payload: { title: text },
      });
      await say('a', created('tb', 'first'));
      await say('a', title('second'));
      expect(await ids('first')).toStrictEqual([]);
      expect(await ids('second')).toStrictEqual(['a']);
      await say('a', title(''));
      expect(await ids('second')).toStrictEqual([]);
      await say('a', title('third'), title('fourth'));
      expect([await ids('third'), await ids('fourth')]).toStrictEqual([[], ['a']]);
    });

    it('finds what was copied', async () => {
      await say('a', created('tb'), wrote('needle'));
      await store.fork({
        conversationId: 'f',
        create: {
          tableId: 'tb',
          title: '',
          provider: 'scripted',
          model: null,
          workspacePath: '/w',
        },
        origin: { conversationId: 'a', messageId: null },
      });
      expect(await ids('needle')).toStrictEqual(['f', 'a']);
    });

    it.each([
      ['Ünïcödé façade', 'UNICODE'],
      ['Ünïcödé façade', 'facade'],
      ['naïve resumé', 'résume'],
      ['e\u0301te\u0301', 'été'],
      ['日本語 テスト', '日本語'],
      ['Ελληνικά κείμενα', 'ΕΛΛΗΝΙΚΆ'],
      ['Привет, мир!', 'привет'],
      ['snake_case kebab-case', 'case'],
      ['snake_case kebab-case', 'kebab-case'],
      ['path/to/file.ts:42', 'file.ts:42'],
      ["it's 100% (sure)", "it's"],
      ['C++ and C#', 'C++'],
      ['🚀 launch', '🚀 launch'],
      [`${'a'.repeat(64)} ${'ä'.repeat(65)}`, 'a'.repeat(64)],
      [`${'a'.repeat(64)} ${'ä'.repeat(65)}`, 'ä'.repeat(65)],
      ['half \ud83d an emoji', 'emoji'],
      ['zero \0 inside', 'inside'],
      ['\u0001mark', 'mark'],
      ['NEAR AND OR NOT', 'NEAR'],
      ['text: x', 'text:'],
    ])('finds in %j: %j', async (text, query) => {
      await say('a', created('tb'), wrote(text));
      await say('b', created('tb'), wrote('something else'));
      expect(await ids(query)).toStrictEqual(['a']);
      expect((await search(query)).items[0]?.match?.snippet).toContain('\u0002');
    });

    it('does not take half a long word for the whole', async () => {
      const word = 'x'.repeat(80);
      await say('a', created('tb'), wrote(word));
      expect(await found('a', word)).toBe(true);
      expect(await found('a', `${word} more`)).toBe(false);
      expect(await found('a', `"${word.slice(1)}"`)).toBe(false);
      expect(await found('a', `${word}y`)).toBe(false);
    });

    it.each([
      ['" OR 1=1', 0],
      ['needle"', 6],
      ['a "b" c "', 8],
      ['-"open', 1],
      ['', 0],
      ['  ', 0],
      ['"" - * ( ) : ^ + {}', 0],
      ['🚀', 0],
      ['-needle', 0],
      [' -needle -"other thing"', 1],
    ])('refuses %j, and says that it is at %d', async (query, at) => {
      await expect(search(query)).rejects.toMatchObject({
        code: 'invalid_request',
        detail: { at },
        message: expect.stringContaining(`character ${at + 1}`) as string,
      });
    });

    it.each([
      'needle AND',
      'needle OR',
      'NOT needle',
      'needle NEAR(',
      'needle*',
      '*needle',
      'text:needle',
      '{text}:needle',
      '^needle',
      'needle + ',
      "needle'; DROP TABLE messages; --",
      'needle")',
      '(needle',
      'search MATCH needle',
      'needle\0',
      'needle \ud800',
    ])('takes %j as words, not as syntax', async (query) => {
      await say('a', created('tb'), wrote('needle'));
      // Whatever it finds, it is an answer, or our own refusal of an open quote.
      const refusal = await search(query).then(
        () => null,
        (error: unknown) => error,
      );
      const unclosed: unknown = expect.objectContaining({
        code: 'invalid_request',
        detail: { at: 6 },
      });
      expect(refusal).toEqual(query.includes('"') ? unclosed : null);
      expect(await ids('needle')).toStrictEqual(['a']);
    });

    it('no query breaks it', async () => {
      await say('a', created('tb'), wrote('a "needle" (in) the* hay:stack NOT OR AND'));
      await fc.assert(
        fc.asyncProperty(
          fc.oneof(
            fc.string({ unit: 'binary', maxLength: 40 }),
            fc
              .array(
                fc.constantFrom(
                  '"',
                  '-',
                  '*',
                  '(',
                  ')',
                  ':',
                  '^',
                  '+',
                  '{',
                  '}',
                  'AND',
                  'NEAR',
                  'a',
                  ' ',
                  '\0',
                  'é',
                ),
                { maxLength: 20 },
              )
              .map((parts) => parts.join('')),
          ),
          async (query) => {
            await search(query).catch((error: unknown) => {
              if ((error as { code?: string }).code !== 'invalid_request') throw error;
            });
          },
        ),
        { numRuns: 300 },
      );
    });

    it('W2 a query has a limit, of which the last character counts', async () => {
      await say('a', created('tb'), wrote('needle'));
      const padded = (length: number) => 'needle'.padEnd(length);
      expect(await found('a', padded(SEARCH_QUERY_CHARS))).toBe(true);
      await expect(search(padded(SEARCH_QUERY_CHARS + 1))).rejects.toMatchObject({
        code: 'invalid_request',
      });
      // As many words as go in, of each kind.
      const words = (sign: string) => Array.from({ length: 120 }, () => `${sign}a`).join(' ');
      await say('b', created('tb'), wrote('a needle'));
      expect(await ids(`needle ${words('')}`)).toStrictEqual(['b']);
      expect(await ids(`needle ${words('-')}`)).toStrictEqual(['a']);
    });

    it('W2 looks into the beginning of a long text only', async () => {
      const last = (length: number) => `${'x '.repeat(length / 2).slice(0, length - 7)} needle`;
      await say('a', created('tb'), wrote(last(SEARCH_TEXT_CHARS)));
      await say('b', created('tb'), wrote(last(SEARCH_TEXT_CHARS + 1)));
      expect(await ids('"needle"')).toStrictEqual(['a']);
      const { items } = await search('needle');
      expect(items.map(({ match }) => (match?.snippet.length ?? 0) < 300)).toStrictEqual(
        items.map(() => true),
      );
    });

    it('finds each of many in its place', async () => {
      await Promise.all(
        upTo(40).map((index) => say(`c${index}`, created('tb'), wrote(`word${index} common`))),
      );
      expect(await ids('word7')).toStrictEqual(['c7']);
      expect(await ids('"common"')).toHaveLength(40);
    });
  });
}
