import * as fc from 'fast-check';
import { afterEach, describe, expect, it } from 'vitest';

import type { NewEvent } from '../../../src/contracts/events.ts';
import { createClient } from '../../../web/client/client.ts';
import type { ConversationHandle, HoldfastClient, Unsent } from '../../../web/client/contract.ts';
import type { Answer } from '../../../web/client/parts.ts';
import { Browser, Clock, Gateway, Page, settled } from './browser.ts';

type Fate =
  /** Decided, and answered. */
  | 'receipt'
  /** Durable, and decided a second later. */
  | 'accepted'
  /** Decided, and the answer is lost. */
  | 'silent'
  /** Lost on the way there. */
  | 'lost'
  | 'unavailable'
  | 'limited'
  /** Decided: rejected for good. */
  | 'busy'
  | 'too-large';

type Body = { requestId: string; content: string; whenBusy: string; replaces?: string };

/** What the engine makes of sends: each requestId is decided once, for ever (A2). */
class Engine extends Gateway {
  readonly clock: Clock;
  fates: Fate[] = [];
  /** Waits with the answer. */
  isSlow = false;
  readonly decided = new Map<string, { status: 'started' | 'rejected'; turnId: string }>();
  /** Who has sent what, in order. */
  readonly posts: { page: Page; body: Body }[] = [];
  readonly underWay = new Map<string, Set<Page>>();
  /** Two pages that live have sent one message at the same time. */
  violations: string[] = [];

  constructor(clock: Clock) {
    super();
    this.clock = clock;
    this.logs.set('c1', []);
    this.answers = ({ method, url, body }, page) =>
      method === 'POST' && url.endsWith('/messages') ? this.#post(body as Body, page) : undefined;
  }

  add(event: NewEvent): void {
    const seq = (this.logs.get('c1')?.length ?? 0) + 1;
    this.append('c1', [{ ...event, seq, at: new Date(this.clock.now).toISOString() }]);
  }

  decide({ requestId, content }: Body): { status: 'started' | 'rejected'; turnId: string } {
    const known = this.decided.get(requestId);
    if (known !== undefined) return known;
    const receipt = { status: 'started' as const, turnId: `t-${requestId}` };
    this.decided.set(requestId, receipt);
    const { turnId } = receipt;
    this.add({
      type: 'message.created',
      turnId,
      requestId,
      payload: { messageId: `m-${requestId}`, role: 'user', content },
    });
    return receipt;
  }

  async #post(body: Body, page: Page): Promise<Answer> {
    this.posts.push({ page, body });
    const { requestId } = body;
    const others = this.underWay.get(requestId) ?? new Set();
    this.underWay.set(requestId, others);
    for (const other of others)
      if (other !== page && !other.isGone) this.violations.push(requestId);
    others.add(page);
    if (this.isSlow) await new Promise<void>((resolve) => this.clock.after(400, resolve));
    const fate = this.fates.shift() ?? 'receipt';
    try {
      return this.#answer(fate, body);
    } finally {
      others.delete(page);
    }
  }

  #answer(fate: Fate, body: Body): Answer {
    const { requestId } = body;
    const refuse = (status: number, code: string, retryAfterMs: number | null = null) => ({
      status,
      retryAfterMs,
      body: { code, status, title: code },
    });
    const known = this.decided.get(requestId);
    if (known?.status === 'rejected') return refuse(409, 'busy');
    switch (fate) {
      case 'receipt':
        return { status: 200, retryAfterMs: null, body: { requestId, ...this.decide(body) } };
      case 'accepted':
        if (known !== undefined)
          return { status: 200, retryAfterMs: null, body: { requestId, ...known } };
        this.clock.after(1_000, () => void this.decide(body));
        return { status: 202, retryAfterMs: null, body: { requestId, accepted: true } };
      case 'silent':
        this.decide(body);
        throw new Error('the answer was lost');
      case 'lost':
        throw new Error('it never came');
      case 'unavailable':
        return refuse(503, 'temporal_unavailable', 1_000);
      case 'limited':
        return refuse(429, 'rate_limited');
      case 'busy':
        if (known !== undefined)
          return { status: 200, retryAfterMs: null, body: { requestId, ...known } };
        this.decided.set(requestId, { status: 'rejected', turnId: '' });
        this.add({ type: 'chat.rejected', requestId, payload: { code: 'busy' } });
        return refuse(409, 'busy');
      case 'too-large':
        return refuse(413, 'payload_too_large');
    }
  }

  get said(): string[] {
    return (this.logs.get('c1') ?? []).flatMap((event) =>
      event.type === 'message.created' ? [event.payload.content] : [],
    );
  }
}

type Tab = { page: Page; client: HoldfastClient; handle: ConversationHandle };
const opened: HoldfastClient[] = [];
afterEach(() => {
  for (const client of opened.splice(0)) client.close();
});

class World {
  readonly clock = new Clock();
  readonly browser = new Browser();
  readonly engine = new Engine(this.clock);

  tab(): Tab {
    const { clock, browser, engine: gateway } = this;
    const page = new Page({ clock, browser, gateway });
    const client = createClient(page.parts);
    opened.push(client);
    return { page, client, handle: client.openConversation('c1') };
  }

  get keptNames(): string[] {
    return [...this.browser.kept.keys()].filter((key) => key.startsWith('holdfast.unsent.'));
  }
}

async function world(): Promise<World & { one: Tab }> {
  const own = new World();
  const one = own.tab();
  await settled();
  return Object.assign(own, { one });
}
const unsentOf = ({ page, handle }: Tab): Unsent[] => {
  page.frame();
  return handle.get().rows.flatMap((row) => (row.type === 'unsent' ? [row.unsent] : []));
};

describe('outbox: a message', () => {
  it('is kept and shown as unsent, until its event shows, in one frame', async () => {
    const { one, engine, ...own } = await world();
    engine.isSlow = true;
    const requestId = one.handle.send({ content: 'hello', whenBusy: 'steer', replaces: 'm0' });
    expect(unsentOf(one)).toMatchObject([
      { requestId, content: 'hello', is: 'sending', problem: null, replaces: 'm0' },
    ]);
    expect(own.browser.kept.has(`holdfast.unsent.${requestId}`)).toBe(true);
    await own.clock.advance(400);
    expect(engine.posts.map(({ body }) => body)).toEqual([
      { requestId, content: 'hello', whenBusy: 'steer', replaces: 'm0' },
    ]);
    expect(one.handle.get().rows.map(({ type }) => type)).toEqual(['unsent']);
    one.page.frame();
    expect(one.handle.get().rows.map(({ type }) => type)).toEqual(['user']);
    expect([...own.browser.kept.keys()]).toEqual(['holdfast.token']);
  });

  it.each<[string, NewEvent]>([
    ['waits', { type: 'chat.queued', payload: { position: 0 } }],
    ['has begun', { type: 'chat.started', payload: { attempt: 1, provider: 'p', model: null } }],
    ['was taken in', { type: 'chat.steered', payload: { turnId: 't', attempt: 1 } }],
  ])('is sent no more when the log says that it %s, answer or not', async (_, event) => {
    const { one, engine, clock, keptNames } = await world();
    engine.fates = ['lost'];
    const requestId = one.handle.send({ content: 'hello' });
    await settled();
    engine.add({ ...event, requestId, turnId: 't1' });
    expect(unsentOf(one)).toEqual([]);
    await clock.advance(60_000);
    expect(engine.posts).toHaveLength(1);
    expect(keptNames).toEqual([]);
  });

  it('without an answer it is sent again under the same id, later each time', async () => {
    const { one, engine, clock } = await world();
    engine.fates = ['lost', 'unavailable', 'limited', 'silent'];
    one.handle.send({ content: 'hello' });
    await settled();
    expect(unsentOf(one)).toMatchObject([{ is: 'sending', problem: { code: 'unreachable' } }]);
    await clock.advance(500);
    expect(unsentOf(one)).toMatchObject([{ problem: { code: 'temporal_unavailable' } }]);
    await clock.advance(60_000);
    expect(engine.said).toEqual(['hello']);
    expect(new Set(engine.posts.map(({ body }) => body.requestId)).size).toBe(1);
    expect(unsentOf(one)).toEqual([]);
  });

  it('without a connection it waits, and goes when there is one', async () => {
    const { one, engine, clock } = await world();
    engine.isUp = false;
    one.page.socket.close(1006);
    one.handle.send({ content: 'hello' });
    await clock.advance(120_000);
    expect(unsentOf(one)).toMatchObject([{ is: 'sending' }]);
    engine.isUp = true;
    one.page.tell({ is: 'online' });
    await clock.advance(100);
    expect(engine.said).toEqual(['hello']);
    expect(unsentOf(one)).toEqual([]);
  });

  it('an answer that was waited for when the link went is not waited for when it is back', async () => {
    const { clock, browser, engine } = new World();
    const { answers } = engine;
    const page = new Page({ clock, browser, gateway: engine });
    let aborted = 0;
    const client = createClient({
      ...page.parts,
      fetch: (request) =>
        new Promise((resolve, reject) => {
          request.signal?.addEventListener('abort', () => {
            aborted += 1;
            reject(new Error('aborted'));
          });
          page.parts.fetch(request).then(resolve, reject);
        }),
    });
    opened.push(client);
    const one = { page, client, handle: client.openConversation('c1') };
    await settled();
    engine.answers = () => new Promise<Answer>(() => undefined);
    one.handle.send({ content: 'hello' });
    await clock.advance(3_000);
    engine.answers = answers;
    one.page.socket.close(1006);
    await clock.advance(1_000);
    expect(aborted).toBe(1);
    expect(engine.said).toEqual(['hello']);
    expect(unsentOf(one)).toEqual([]);
  });

  it('one that was accepted is asked for again, until there is a receipt', async () => {
    const { one, engine, clock, keptNames } = await world();
    engine.fates = ['accepted'];
    one.handle.send({ content: 'hello' });
    await settled();
    expect(unsentOf(one)).toMatchObject([{ is: 'accepted' }]);
    await clock.advance(10_000);
    expect(unsentOf(one)).toEqual([]);
    expect(keptNames).toEqual([]);
    expect(engine.said).toEqual(['hello']);
  });

  it('one that was accepted, in a conversation that nobody looks at, is asked for until there is a receipt', async () => {
    const own = await world();
    const { one, engine, clock } = own;
    engine.logs.delete('c2');
    const elsewhere = one.client.openConversation('c2');
    const accepted = { status: 202, retryAfterMs: null, body: { accepted: true } };
    const receipt = { status: 200, retryAfterMs: null, body: { status: 'started', turnId: 't' } };
    let posts = 0;
    engine.answers = ({ method }) => {
      if (method !== 'POST') return undefined;
      posts += 1;
      return posts < 3 ? accepted : receipt;
    };
    elsewhere.send({ content: 'hello' });
    await clock.advance(2_900);
    expect(posts).toBe(1);
    one.page.tell({ is: 'wake' });
    await settled();
    expect(posts).toBe(2);
    expect(own.keptNames).toHaveLength(1);
    await clock.advance(3_000);
    expect(posts).toBe(3);
    expect(own.keptNames).toEqual([]);
    await clock.advance(60_000);
    expect(posts).toBe(3);
    one.page.frame();
    expect(elsewhere.get().rows).toEqual([]);
  });

  it('one with a receipt whose event was never seen here goes after a while', async () => {
    const own = await world();
    const { one, engine, clock } = own;
    engine.answers = () => ({
      status: 200,
      retryAfterMs: null,
      body: { status: 'queued', turnId: 't9' },
    });
    one.handle.send({ content: 'hello' });
    await settled();
    // The log has it, whatever becomes of this page.
    expect(own.keptNames).toEqual([]);
    await clock.advance(9_900);
    expect(unsentOf(one)).toMatchObject([{ is: 'accepted' }]);
    await clock.advance(200);
    expect(unsentOf(one)).toEqual([]);
  });

  it.each<[Fate, string]>([
    ['busy', 'busy'],
    ['too-large', 'payload_too_large'],
  ])(
    'one that is refused (%s) keeps its text, over a reload too, until it is taken back',
    async (fate, code) => {
      const own = await world();
      const { one, engine, clock, browser } = own;
      engine.fates = [fate];
      const requestId = one.handle.send({ content: 'hello' });
      await clock.advance(60_000);
      expect(unsentOf(one)).toMatchObject([{ is: 'refused', problem: { code } }]);
      expect(engine.posts).toHaveLength(1);
      one.page.die();
      const two = own.tab();
      await clock.advance(60_000);
      expect(unsentOf(two)).toMatchObject([{ requestId, is: 'refused', problem: { code } }]);
      expect(engine.posts).toHaveLength(1);
      expect(two.handle.takeBack(requestId)).toBe('hello');
      expect(two.handle.takeBack(requestId)).toBe('');
      expect(unsentOf(two)).toEqual([]);
      expect([...browser.kept.keys()]).toEqual(['holdfast.token']);
    },
  );

  it('one that is refused and sent again is another request; what is under way is not taken back', async () => {
    const { one, engine, clock } = await world();
    engine.fates = ['busy'];
    const requestId = one.handle.send({ content: 'hello' });
    expect(one.handle.takeBack(requestId)).toBe('');
    one.handle.sendAgain(requestId);
    await settled();
    expect(unsentOf(one)).toMatchObject([{ is: 'refused' }]);
    one.handle.sendAgain(requestId);
    await clock.advance(100);
    expect(engine.said).toEqual(['hello']);
    expect(new Set(engine.posts.map(({ body }) => body.requestId)).size).toBe(2);
    expect(unsentOf(one)).toEqual([]);
  });

  it('many go in their order, each when the one before has an answer; another conversation does not wait', async () => {
    const { one, engine, clock } = await world();
    engine.isSlow = true;
    engine.fates = ['lost', 'too-large'];
    engine.logs.set('c2', []);
    for (const content of ['a', 'b', 'c']) one.handle.send({ content });
    one.client.openConversation('c2').send({ content: 'elsewhere' });
    await settled();
    expect(engine.posts.map(({ body }) => body.content)).toEqual(['a', 'elsewhere']);
    await clock.advance(20_000);
    expect(
      engine.posts.map(({ body }) => body.content).filter((each) => each !== 'elsewhere'),
    ).toEqual(['a', 'a', 'b', 'c']);
  });

  it('where nothing can be kept it is sent all the same', async () => {
    const { one, engine, browser, clock } = await world();
    browser.isFull = true;
    one.handle.send({ content: 'hello' });
    one.handle.setDraft('x'.repeat(100));
    await clock.advance(1_000);
    expect(engine.said).toEqual(['hello']);
    // and does not look as if it were kept
    engine.isUp = false;
    one.handle.send({ content: 'only here' });
    await clock.advance(100);
    one.page.frame();
    expect(unsentOf(one)).toMatchObject([{ content: 'only here', isOnlyHere: true }]);
    engine.isUp = true;
    await clock.advance(20_000);
    expect(engine.said).toEqual(['hello', 'only here']);
    const page = new Page({ clock, browser, gateway: engine });
    const client = createClient({ ...page.parts, kept: null, locks: null });
    opened.push(client);
    const handle = client.openConversation('c1');
    handle.send({ content: 'again' });
    await clock.advance(1_000);
    expect(engine.said).toEqual(['hello', 'only here', 'again']);
  });
});

describe('outbox: pages', () => {
  it('what a page leaves behind goes under its id with the next one', async () => {
    const own = await world();
    const { one, engine, clock } = own;
    engine.fates = ['silent', 'lost'];
    const requestId = one.handle.send({ content: 'hello' });
    one.handle.send({ content: 'second' });
    await settled();
    one.page.die();
    const two = own.tab();
    expect(unsentOf(two)).toEqual([]);
    await clock.advance(5_000);
    expect(engine.said).toEqual(['hello', 'second']);
    expect(engine.posts.filter(({ body }) => body.requestId === requestId).length).toBeGreaterThan(
      1,
    );
    expect(unsentOf(two)).toEqual([]);
    expect(own.keptNames).toEqual([]);
  });

  it('3: of two pages the one that has it sends it, and only that one shows it; when it dies, the other does', async () => {
    const own = await world();
    const { one, engine, clock } = own;
    const two = own.tab();
    await settled();
    engine.fates = Array.from({ length: 8 }, () => 'lost' as const);
    one.handle.send({ content: 'hello' });
    await clock.advance(5_000);
    const three = own.tab();
    await clock.advance(5_000);
    expect(new Set(engine.posts.map(({ page }) => page))).toEqual(new Set([one.page]));
    expect(unsentOf(one)).toHaveLength(1);
    expect([...unsentOf(two), ...unsentOf(three)]).toEqual([]);
    one.page.die();
    await clock.advance(20_000);
    expect(engine.said).toEqual(['hello']);
    expect(engine.violations).toEqual([]);
    expect(own.keptNames).toEqual([]);
  });

  it('a page that may not use locks sends all the same', async () => {
    const own = await world();
    own.engine.fates = ['lost'];
    own.one.handle.send({ content: 'hello' });
    await settled();
    own.one.page.die();
    const page = new Page({ clock: own.clock, browser: own.browser, gateway: own.engine });
    const locks = { request: () => Promise.reject(new Error('SecurityError')) };
    opened.push(createClient({ ...page.parts, locks }));
    await own.clock.advance(5_000);
    expect(own.engine.said).toEqual(['hello']);
  });

  it.each([
    '',
    '{',
    '1',
    '{"conversationId":"c1"}',
    '{"conversationId":"c1","requestId":"r","content":1}',
  ])('what is kept and cannot be read (%j) does no harm', async (value) => {
    const own = new World();
    own.browser.kept.set('holdfast.unsent.r', value);
    const one = own.tab();
    one.handle.send({ content: 'hello' });
    await own.clock.advance(1_000);
    expect(own.engine.said).toEqual(['hello']);
  });

  it('1, 2, 3: whatever dies and is lost, each message is said once, under one id, sent by one page at a time', async () => {
    const fate = fc.constantFrom<Fate>(
      'receipt',
      'accepted',
      'silent',
      'lost',
      'unavailable',
      'limited',
    );
    const act = fc.oneof(
      {
        weight: 6,
        arbitrary: fc.record({ type: fc.constant('send' as const), tab: fc.nat(2), fate }),
      },
      {
        weight: 3,
        arbitrary: fc.record({ type: fc.constant('wait' as const), ms: fc.nat(4_000) }),
      },
      { weight: 2, arbitrary: fc.record({ type: fc.constant('reload' as const), tab: fc.nat(2) }) },
      { weight: 2, arbitrary: fc.record({ type: fc.constant('lose' as const), tab: fc.nat(2) }) },
      { weight: 1, arbitrary: fc.record({ type: fc.constant('gateway' as const) }) },
      { weight: 1, arbitrary: fc.record({ type: fc.constant('frame' as const), tab: fc.nat(2) }) },
      { weight: 1, arbitrary: fc.record({ type: fc.constant('slow' as const) }) },
    );
    await fc.assert(
      fc.asyncProperty(fc.array(act, { maxLength: 30, size: 'max' }), async (acts) => {
        const own = new World();
        const { clock, engine } = own;
        const tabs = [own.tab(), own.tab()];
        const tabOf = (which: number): number => which % tabs.length;
        await settled();
        const wanted: { content: string; requestId: string; life: Tab }[] = [];
        for (const one of acts) {
          if (one.type === 'send') {
            const tab = tabs[tabOf(one.tab)];
            if (tab === undefined) continue;
            engine.fates.push(one.fate);
            const content = `message ${wanted.length}`;
            wanted.push({ content, requestId: tab.handle.send({ content }), life: tab });
          } else if (one.type === 'wait') await clock.advance(one.ms);
          else if (one.type === 'gateway') engine.isUp = !engine.isUp;
          else if (one.type === 'slow') engine.isSlow = !engine.isSlow;
          else {
            const which = tabOf(one.tab);
            if (one.type === 'frame') tabs[which]?.page.frame();
            if (one.type === 'lose') tabs[which]?.page.socket.close(1006);
            if (one.type === 'reload') {
              tabs[which]?.page.die();
              tabs[which] = own.tab();
            }
          }
          await settled();
        }
        engine.isUp = true;
        for (let round = 0; round < 12; round += 1) {
          for (const { page } of tabs) page.tell({ is: 'wake' });
          await clock.advance(15_000);
          for (const { page } of tabs) page.frame();
        }
        expect([...engine.said].toSorted()).toEqual(
          wanted.map(({ content }) => content).toSorted(),
        );
        expect(engine.violations).toEqual([]);
        for (const { body } of engine.posts)
          expect(wanted.find(({ content }) => content === body.content)?.requestId).toBe(
            body.requestId,
          );
        for (const tab of tabs) expect(unsentOf(tab)).toEqual([]);
        expect(own.keptNames).toEqual([]);
        for (const { client } of tabs) client.close();
      }),
      { numRuns: 120 },
    );
  });
});
