/** A turn that still runs, and that somebody wants retried. */
import { afterEach, describe, expect, it } from 'vitest';

import type { NewEvent } from '../../../src/contracts/events.ts';
import { createClient } from '../../../web/client/client.ts';
import type { ConversationHandle, HoldfastClient } from '../../../web/client/contract.ts';
import { Browser, Clock, Gateway, Page, settled } from './browser.ts';

type Tab = { page: Page; client: HoldfastClient; handle: ConversationHandle };
const opened: HoldfastClient[] = [];
afterEach(() => {
  for (const client of opened.splice(0)) client.close();
});

/** An engine with one turn, which is told when to end; the API lists its attempts as the log has them. */
const OUTCOMES: Record<string, string> = {
  'chat.done': 'completed',
  'chat.cancelled': 'cancelled',
  'chat.interrupted': 'interrupted',
};

class World {
  readonly clock = new Clock();
  readonly browser = new Browser();
  readonly gateway = new Gateway();
  readonly asked: { what: 'cancel' | 'retry'; body: unknown; page: Page }[] = [];
  /** Answers to come of a retry; then it is taken. */
  readonly fates: ('lost' | 'silent' | 'unavailable' | 'refused')[] = [];
  /** The gateway takes the cancel, and says nothing. */
  isCancelLost = false;
  readonly #taken = new Set<string>();

  constructor() {
    this.gateway.logs.set('c1', []);
    this.gateway.logs.set('c2', []);
    this.started(1, 'r1');
    this.gateway.answers = ({ method, url, body }, page) => {
      if (method === 'GET' && url.includes('/c1/turns'))
        return { status: 200, retryAfterMs: null, body: { items: this.#turns, nextCursor: null } };
      const [, what] = /\/c1\/(?:turns\/t1\/)?(cancel|retry)$/.exec(url) ?? [];
      if (what !== 'cancel' && what !== 'retry') return undefined;
      this.asked.push({ what, body, page });
      if (what === 'cancel') {
        if (this.isCancelLost) throw new Error('it never came');
        return { status: 200, retryAfterMs: null, body: { turnId: 't1' } };
      }
      return this.#retry((body as { requestId: string }).requestId);
    };
  }

  get #log() {
    return this.gateway.logs.get('c1') ?? [];
  }

  get #turns() {
    const attempts = this.#log.flatMap((event) =>
      event.type === 'chat.started'
        ? [
            {
              attempt: event.payload.attempt,
              requestId: event.requestId ?? null,
              provider: 'p',
              model: null,
              outcome: this.#outcomeOf(event.payload.attempt),
              cause: null,
              startedAt: event.at,
              endedAt: null,
              usage: null,
            },
          ]
        : [],
    );
    return [{ turnId: 't1', attempts }];
  }

  #outcomeOf(attempt: number): string | null {
    const ends = this.#log.filter((event) => event.attempt === attempt && event.type in OUTCOMES);
    return OUTCOMES[ends.at(0)?.type ?? ''] ?? null;
  }

  #retry(requestId: string) {
    const fate = this.fates.shift();
    if (fate === 'lost') throw new Error('it never came');
    if (fate === 'unavailable' || fate === 'refused') {
      const [status, code] = fate === 'refused' ? [409, 'not_retryable'] : [503, 'busy'];
      return { status, retryAfterMs: null, body: { code, title: code, status } };
    }
    if (!this.#taken.has(requestId)) this.started(this.#turns[0]!.attempts.length + 1, requestId);
    this.#taken.add(requestId);
    if (fate === 'silent') throw new Error('the answer was lost');
    const body = { requestId, status: 'started', turnId: 't1' };
    return { status: 200, retryAfterMs: null, body };
  }

  add(event: NewEvent): void {
    const at = new Date(this.clock.now).toISOString();
    this.gateway.append('c1', [{ ...event, seq: this.#log.length + 1, at }]);
  }

  started(attempt: number, requestId: string): void {
    const payload = { attempt, provider: 'p', model: null };
    this.add({ type: 'chat.started', turnId: 't1', attempt, requestId, payload });
  }

  cancelled(attempt = 1): void {
    this.add({ type: 'chat.cancelled', turnId: 't1', attempt, payload: { by: 'page' } });
  }

  interrupted(attempt = 1): void {
    const payload = { cause: 'stalled', retryable: true };
    this.add({ type: 'chat.interrupted', turnId: 't1', attempt, payload });
  }

  async tab(conversationId = 'c1'): Promise<Tab> {
    const page = new Page(this);
    const client = createClient(page.parts);
    opened.push(client);
    const handle = client.openConversation(conversationId);
    await settled();
    return { page, client, handle };
  }

  /** Frames and answers, and a while. */
  async goOn({ page }: Tab, ms = 100): Promise<void> {
    for (let round = 0; round < 3; round += 1) {
      page.frame();
      await this.clock.advance(ms);
    }
  }

  get retries(): string[] {
    return this.asked.flatMap(({ what, body }) =>
      what === 'retry' ? [(body as { requestId: string }).requestId] : [],
    );
  }
  get cancels(): unknown[] {
    return this.asked.flatMap(({ what, body }) => (what === 'cancel' ? [body] : []));
  }
  /** Attempts after the first one. */
  get attempts(): number {
    return this.#log.filter(({ type }) => type === 'chat.started').length - 1;
  }
  get keptNames(): string[] {
    return [...this.browser.kept.keys()].filter((key) => key.startsWith('holdfast.retry.'));
  }
}

describe('retries: a turn that still runs', () => {
  it('is cancelled, and retried once that end is recorded', async () => {
    const own = new World();
    const one = await own.tab();
    const outcome = one.handle.retryAfterEnd('t1');
    await own.goOn(one);
    expect(own.cancels).toEqual([{ turnId: 't1' }]);
    expect(own.retries).toEqual([]);
    expect(own.keptNames).toHaveLength(1);
    own.cancelled();
    await own.goOn(one);
    expect(own.retries).toHaveLength(1);
    expect(await outcome).toMatchObject({ ok: true });
    expect(own.keptNames).toEqual([]);
    await own.goOn(one, 60_000);
    expect(own.attempts).toBe(1);
  });

  it('also when it ends in another way before it is cancelled, seen at once or by the next page', async () => {
    for (const isReloaded of [false, true]) {
      const own = new World();
      const one = await own.tab();
      void one.handle.retryAfterEnd('t1');
      await own.goOn(one);
      if (isReloaded) one.page.die();
      own.interrupted();
      await own.goOn(isReloaded ? await own.tab() : one);
      expect(own.retries).toHaveLength(1);
      expect(own.attempts).toBe(1);
      expect(own.keptNames).toEqual([]);
    }
  });

  it('also when the conversation is left meanwhile, for longer than it is kept open', async () => {
    const own = new World();
    const one = await own.tab();
    void one.handle.retryAfterEnd('t1');
    await own.goOn(one);
    one.handle.release();
    one.client.openConversation('c2');
    await own.goOn(one, 60_000);
    own.cancelled();
    await own.goOn(one);
    expect(own.attempts).toBe(1);
  });

  it('also when the page goes meanwhile: the next one does it, in whatever conversation it is', async () => {
    const own = new World();
    const one = await own.tab();
    void one.handle.retryAfterEnd('t1');
    await own.goOn(one);
    one.page.die();
    own.cancelled();
    const two = await own.tab('c2');
    await own.goOn(two);
    expect(own.attempts).toBe(1);
    expect(own.keptNames).toEqual([]);
    // and the one after that has nothing to do
    two.page.die();
    await own.goOn(await own.tab());
    expect(own.retries).toHaveLength(1);
  });

  it('the page went before its cancel was taken: the next one cancels', async () => {
    const own = new World();
    const one = await own.tab();
    own.gateway.isUp = false;
    void one.handle.retryAfterEnd('t1');
    await settled();
    one.page.die();
    own.gateway.isUp = true;
    const two = await own.tab();
    await own.goOn(two);
    expect(own.cancels).toEqual([{ turnId: 't1' }]);
    own.cancelled();
    await own.goOn(two);
    expect(own.attempts).toBe(1);
  });

  it('of two pages one does it; pressed twice it is one', async () => {
    const own = new World();
    const one = await own.tab();
    const two = await own.tab();
    void one.handle.retryAfterEnd('t1');
    void one.handle.retryAfterEnd('t1');
    await own.goOn(one);
    own.cancelled();
    await own.goOn(two);
    expect(own.retries).toEqual([]);
    await own.goOn(one);
    await own.goOn(two);
    expect(own.retries).toHaveLength(1);
    expect(new Set(own.asked.map(({ page }) => page))).toEqual(new Set([one.page]));
  });

  it('is asked again under one id until there is an answer, by the next page too', async () => {
    const own = new World();
    own.fates.push('lost', 'unavailable', 'silent', 'lost');
    const one = await own.tab();
    void one.handle.retryAfterEnd('t1');
    await own.goOn(one);
    own.cancelled();
    await own.goOn(one, 1_000);
    one.page.die();
    const two = await own.tab();
    await own.goOn(two, 10_000);
    expect(new Set(own.retries).size).toBe(1);
    expect(own.attempts).toBe(1);
    expect(own.keptNames).toEqual([]);
  });

  it.each([
    [
      'completed',
      (own: World) => {
        own.add({ type: 'chat.done', turnId: 't1', attempt: 1, payload: {} });
      },
    ],
    [
      'was retried by somebody else, and that was cancelled too',
      (own: World) => {
        own.cancelled();
        own.started(2, 'r2');
        own.cancelled(2);
      },
    ],
    [
      'was retried by somebody else, and runs',
      (own: World) => {
        own.cancelled();
        own.started(2, 'r2');
      },
    ],
  ])('comes to nothing when the turn %s, seen at once or by the next page', async (_, happens) => {
    for (const isReloaded of [false, true]) {
      const own = new World();
      const one = await own.tab();
      void one.handle.retryAfterEnd('t1');
      await own.goOn(one);
      if (isReloaded) one.page.die();
      happens(own);
      await own.goOn(isReloaded ? await own.tab() : one);
      expect(own.retries).toEqual([]);
      expect(own.cancels).toHaveLength(1);
      expect(own.keptNames).toEqual([]);
    }
  });

  it('is not done by a page that comes much later', async () => {
    const own = new World();
    const one = await own.tab();
    void one.handle.retryAfterEnd('t1');
    await own.goOn(one);
    one.page.die();
    own.cancelled();
    await own.clock.advance(3_600_000);
    await own.goOn(await own.tab());
    expect(own.retries).toEqual([]);
    expect(own.keptNames).toEqual([]);
  });

  it('a cancel or a retry that is refused is told, and nothing waits any longer', async () => {
    const own = new World();
    const one = await own.tab();
    own.isCancelLost = true;
    const first = one.handle.retryAfterEnd('t1');
    await own.goOn(one, 1_000);
    expect(await first).toMatchObject({ ok: false, problem: { code: 'unreachable' } });
    expect(own.keptNames).toEqual([]);
    own.isCancelLost = false;
    own.fates.push('refused');
    const second = one.handle.retryAfterEnd('t1');
    await own.goOn(one);
    own.cancelled();
    await own.goOn(one);
    expect(await second).toMatchObject({ ok: false, problem: { code: 'not_retryable' } });
    expect(own.keptNames).toEqual([]);
    expect(own.attempts).toBe(0);
  });

  it.each(['', '{', '1', '{"conversationId":"c1"}'])(
    'what is kept and cannot be read (%j) does no harm',
    async (value) => {
      const own = new World();
      own.browser.kept.set('holdfast.retry.r', value);
      const one = await own.tab();
      own.cancelled();
      await own.goOn(one);
      expect(own.asked).toEqual([]);
    },
  );
});
