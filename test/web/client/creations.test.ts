/** A conversation that the engine has accepted to make, and that is not there yet. */
import { afterEach, describe, expect, it } from 'vitest';

import { createClient } from '../../../web/client/client.ts';
import type { ConversationHandle, HoldfastClient } from '../../../web/client/contract.ts';
import { Browser, Clock, Gateway, Page, settled } from './browser.ts';

const opened: HoldfastClient[] = [];
afterEach(() => {
  for (const client of opened.splice(0)) client.close();
});

const problem = (status: number, code: string, more: object = {}) => ({
  status,
  retryAfterMs: null,
  body: { code, title: code, status, ...more },
});
const notFound = problem(404, 'not_found');
const notYet = problem(503, 'temporal_unavailable', { accepted: true });

/** An engine that makes a conversation when it is told to. */
class World {
  readonly clock = new Clock();
  readonly gateway = new Gateway();
  readonly page = new Page({ clock: this.clock, browser: new Browser(), gateway: this.gateway });
  readonly client = createClient(this.page.parts);
  posts = 0;

  constructor() {
    opened.push(this.client);
    this.gateway.answers = ({ method, url, body }) => {
      if (method !== 'POST') return undefined;
      const { requestId = '', content = '' } = body as { requestId?: string; content?: string };
      if (url.endsWith('/tables/t/conversations') || url.endsWith('/fork')) return notYet;
      if (!url.endsWith('/c1/messages')) return notFound;
      this.posts += 1;
      if (!this.gateway.logs.has('c1')) return notFound;
      const at = new Date(this.clock.now).toISOString();
      const payload = { messageId: 'm1', role: 'user' as const, content };
      this.gateway.append('c1', [
        { type: 'message.created', seq: 1, at, requestId, turnId: 't1', payload },
      ]);
      const receipt = { requestId, status: 'started', turnId: 't1' };
      return { status: 200, retryAfterMs: null, body: receipt };
    };
  }

  async goOn(ms: number): Promise<void> {
    await this.clock.advance(ms);
    this.page.frame();
  }

  rows(handle: ConversationHandle): unknown[] {
    this.page.frame();
    return handle.get().rows.map((row) => (row.type === 'unsent' ? row.unsent.is : row.type));
  }
}

describe('creations: a conversation that is accepted and not there yet', () => {
  it.each(['a new chat', 'a fork'])(
    '%s: its first message waits for it, and so does what is shown',
    async (what) => {
      const own = new World();
      const made =
        what === 'a fork'
          ? own.client.openConversation('c0').fork({ conversationId: 'c1' })
          : own.client.openTable('t').newChat({ conversationId: 'c1' });
      await own.goOn(5_000);
      expect(await made).toEqual({ ok: true, accepted: true });
      const handle = own.client.openConversation('c1');
      handle.send({ content: 'hello' });
      await own.goOn(20_000);
      expect(own.rows(handle)).toEqual(['sending']);
      expect(handle.get().is).toBe('loading');
      expect(own.posts).toBeGreaterThan(2);

      own.gateway.logs.set('c1', []);
      await own.goOn(12_000);
      expect(own.rows(handle)).toEqual(['user']);
      expect(handle.get().is).toBe('ready');
    },
  );

  it('is not waited for without end', async () => {
    const own = new World();
    const made = own.client.openTable('t').newChat({ conversationId: 'c1' });
    await own.goOn(5_000);
    await made;
    const handle = own.client.openConversation('c1');
    handle.send({ content: 'hello' });
    await own.goOn(90_000);
    expect(own.rows(handle)).toEqual(['refused']);
    expect(handle.get()).toMatchObject({ is: 'failed', problem: { code: 'not_found' } });
  });

  it('one that nobody has accepted is refused at once', async () => {
    const own = new World();
    const handle = own.client.openConversation('c1');
    handle.send({ content: 'hello' });
    await settled();
    expect(own.rows(handle)).toEqual(['refused']);
    expect(handle.get().is).toBe('failed');
  });

  it('once it was there, what is missing is missing', async () => {
    const own = new World();
    const made = own.client.openTable('t').newChat({ conversationId: 'c1' });
    await own.goOn(5_000);
    await made;
    own.gateway.logs.set('c1', []);
    const handle = own.client.openConversation('c1');
    await own.goOn(3_000);
    expect(handle.get().is).toBe('ready');
    own.gateway.logs.delete('c1');
    handle.send({ content: 'hello' });
    await settled();
    expect(own.rows(handle)).toEqual(['refused']);
  });
});
