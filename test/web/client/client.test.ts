import * as fc from 'fast-check';
import { afterEach, describe, expect, it } from 'vitest';

import type { Event } from '../../../src/contracts/events.ts';
import { emptyView, foldEvents } from '../../../src/domain/fold.ts';
import { createClient } from '../../../web/client/client.ts';
import type { HoldfastClient, LinkState } from '../../../web/client/contract.ts';
import { LINGER_MS } from '../../../web/client/opened.ts';
import { chapters } from '../../domain/chapters.ts';
import { stored } from '../../domain/reports.ts';
import { Browser, Clock, Gateway, Page, settled } from './browser.ts';

const opened: HoldfastClient[] = [];
afterEach(() => {
  for (const client of opened.splice(0)) client.close();
});

type Setting = { clock: Clock; browser: Browser; gateway: Gateway; page: Page };
function setting(change: { fragment?: string } = {}): Setting {
  const clock = new Clock();
  const browser = new Browser();
  const gateway = new Gateway();
  gateway.serverTime = () => new Date(clock.now).toISOString();
  return { clock, browser, gateway, page: new Page({ clock, browser, gateway, ...change }) };
}
function clientOf({ page }: { page: Page }): HoldfastClient {
  const client = createClient(page.parts);
  opened.push(client);
  return client;
}
async function live(change: { fragment?: string } = {}) {
  const own = setting(change);
  const client = clientOf(own);
  await settled();
  return { ...own, client };
}

const hello = (n: number) =>
  stored(
    Array.from({ length: n }, (_, index) => ({
      type: 'message.created' as const,
      payload: { messageId: `m${index}`, role: 'user' as const, content: `hello ${index}` },
    })),
  );

describe('client: the link', () => {
  it('takes the token out of the address, says hello, and keeps the token', async () => {
    const { client, page, browser } = await live({ fragment: 'chat=c1&token=right&x=y' });
    expect(page.fragment).toBe('chat=c1&x=y');
    expect(browser.kept.get('holdfast.token')).toBe('right');
    expect(page.socket.url).toBe('ws://127.0.0.1:1/v1/ws');
    expect(page.socket.protocols).toEqual(['holdfast.v1', 'holdfast.token.right']);
    expect(page.socket.sent).toEqual([{ type: 'hello', payload: { client: 'page' } }]);
    expect(client.link.get()).toEqual({ is: 'live' });
  });

  it('without a token it asks for one; with a wrong one too, and tries nothing until there is another', async () => {
    const { client, page, clock, browser } = await live({ fragment: '' });
    expect(client.link.get()).toEqual({ is: 'unauthorised', hadToken: false });
    expect(page.sockets).toHaveLength(0);
    client.setToken('wrong');
    await settled();
    expect(client.link.get()).toEqual({ is: 'unauthorised', hadToken: true });
    expect(browser.kept.get('holdfast.token')).toBeUndefined();
    await clock.advance(60_000);
    page.tell({ is: 'wake' });
    client.setToken(' right ');
    await settled();
    expect(client.link.get()).toEqual({ is: 'live' });
    expect(browser.kept.get('holdfast.token')).toBe('right');
  });

  it('a 401 is the same as 4001, unless it is of the token before', async () => {
    const { client, gateway } = await live();
    gateway.answers = ({ url }) =>
      url.includes('providers') ? { status: 401, retryAfterMs: null, body: {} } : undefined;
    const asked = client.providers();
    client.setToken('right');
    expect(await asked).toMatchObject({ ok: false, problem: { status: 401 } });
    expect(client.link.get()).toEqual({ is: 'unauthorised', hadToken: true });
  });

  it('a token that is put into the address of an open page is taken, and one stays where one was', async () => {
    const own = setting({ fragment: 'token=old' });
    const client = clientOf(own);
    await settled();
    expect(client.link.get().is).toBe('unauthorised');
    own.page.fragment = 'token=right';
    own.page.tell({ is: 'address', before: '/t/t1/c/c1' });
    await settled();
    expect(own.page.fragment).toBe('/t/t1/c/c1');
    expect(client.link.get()).toEqual({ is: 'live' });
    expect(own.browser.kept.get('holdfast.token')).toBe('right');
    own.page.fragment = '/t/t2';
    own.page.tell({ is: 'address', before: '/t/t1/c/c1' });
    expect(own.page.fragment).toBe('/t/t2');
    expect(own.page.sockets).toHaveLength(2);
  });

  it('an address with a wrong token does not cost the right one that is kept', async () => {
    const own = await live();
    own.page.die();
    const page = new Page({ ...own, fragment: 'token=wrong' });
    const client = clientOf({ page });
    await settled();
    expect(client.link.get()).toEqual({ is: 'live' });
    expect(own.browser.kept.get('holdfast.token')).toBe('right');
  });

  it('another token in the address outlives a page that the engine was away for', async () => {
    const own = setting();
    own.browser.kept.set('holdfast.token', 'of the engine before');
    own.gateway.isUp = false;
    clientOf(own);
    await settled();
    own.page.die();
    own.gateway.isUp = true;
    const client = clientOf({ page: new Page({ ...own, fragment: '' }) });
    await settled();
    expect(client.link.get()).toEqual({ is: 'live' });
    expect([...own.browser.kept]).toEqual([['holdfast.token', 'right']]);
  });

  it('a token that another page was given is taken over', async () => {
    const own = await live({ fragment: '' });
    const other = new Page({ ...own, fragment: 'token=right' });
    clientOf({ page: other });
    await settled();
    expect(own.client.link.get()).toEqual({ is: 'live' });
  });

  it('tries again after 0.2 s, doubled to 5 s, and says when; from the beginning once it was live', async () => {
    const { client, gateway, page, clock } = await live();
    const lostAt = clock.now;
    gateway.isUp = false;
    page.socket.close(1006);
    const waits: number[] = [];
    for (let attempt = 0; attempt < 8; attempt += 1) {
      const state = client.link.get();
      if (state.is !== 'reconnecting' || state.nextTryAtMs === null) throw new Error(state.is);
      expect(state).toMatchObject({ why: 'lost', sinceMs: lostAt });
      waits.push(state.nextTryAtMs - clock.now);
      const sockets = page.sockets.length;
      await clock.advance(state.nextTryAtMs - clock.now - 1);
      expect(page.sockets).toHaveLength(sockets);
      await clock.advance(1);
      expect(page.sockets).toHaveLength(sockets + 1);
    }
    expect(waits).toEqual([200, 400, 800, 1_600, 3_200, 5_000, 5_000, 5_000]);
    gateway.isUp = true;
    await clock.advance(5_000);
    expect(client.link.get()).toEqual({ is: 'live' });
    page.socket.close(1006);
    expect(client.link.get()).toMatchObject({ nextTryAtMs: clock.now + 200, sinceMs: clock.now });
  });

  it('the delays of pages that lost the same gateway differ', async () => {
    const own = setting();
    const client = createClient({ ...own.page.parts, random: () => 1 });
    opened.push(client);
    await settled();
    own.gateway.isUp = false;
    own.page.socket.close(1006);
    expect(client.link.get()).toMatchObject({ nextTryAtMs: own.clock.now + 150 });
  });

  it.each(['wake', 'online'] as const)('at once when the browser says %s', async (is) => {
    const { client, gateway, page, clock } = await live();
    gateway.isUp = false;
    page.socket.close(1006);
    await clock.advance(20_000);
    gateway.isUp = true;
    page.tell({ is });
    await settled();
    expect(client.link.get()).toEqual({ is: 'live' });
    expect(page.sockets.filter(({ isClosed }) => !isClosed)).toHaveLength(1);
  });

  it('says why: the gateway says goodbye, the browser is offline', async () => {
    const { client, gateway, page, clock } = await live();
    gateway.isUp = false;
    page.socket.give({ type: 'goodbye', payload: { reason: 'restart' } });
    expect(client.link.get()).toEqual({ is: 'live' });
    page.socket.close(1012);
    expect(client.link.get()).toMatchObject({ is: 'reconnecting', why: 'restarting' });
    await clock.advance(1_000);
    expect(client.link.get()).toMatchObject({ why: 'restarting' });
    page.isOffline = true;
    page.tell({ is: 'offline' });
    expect(client.link.get()).toMatchObject({ why: 'offline' });
    page.isOffline = false;
    gateway.isUp = true;
    page.tell({ is: 'online' });
    await settled();
    page.socket.close(1006);
    expect(client.link.get()).toMatchObject({ why: 'lost' });
  });

  it('offline is believed only when the socket no longer answers: the gateway may be on this machine', async () => {
    const { client, page, clock } = await live();
    page.isOffline = true;
    page.tell({ is: 'offline' });
    await clock.advance(10_000);
    expect(client.link.get()).toEqual({ is: 'live' });
    page.socket.isDead = true;
    page.tell({ is: 'offline' });
    await clock.advance(3_000);
    expect(client.link.get()).toMatchObject({ is: 'reconnecting', why: 'offline' });
  });

  it('a silent socket is asked, and given up after 35 s; one that answers is kept', async () => {
    const { client, page, clock } = await live();
    await clock.advance(120_000);
    expect(client.link.get()).toEqual({ is: 'live' });
    const pings = page.socket.sent.filter(({ type }) => type === 'ping').length;
    expect(pings).toBeGreaterThanOrEqual(7);
    expect(pings).toBeLessThanOrEqual(9);
    const [socket] = page.sockets;
    if (socket === undefined) throw new Error('none');
    const seen: LinkState[] = [];
    client.link.subscribe(() => seen.push(client.link.get()));
    socket.isDead = true;
    await clock.advance(19_000);
    expect(page.sockets).toHaveLength(1);
    await clock.advance(17_000);
    expect(seen.map(({ is }) => is)).toContain('reconnecting');
    expect(client.link.get()).toEqual({ is: 'live' });
    expect(page.sockets).toHaveLength(2);
    expect(socket.isClosed).toBe(true);
  });

  it('after a sleep the first word decides, within 3 s', async () => {
    const { client, page, clock } = await live();
    await clock.sleep(3_600_000);
    expect(client.link.get()).toEqual({ is: 'live' });
    page.socket.isDead = true;
    await clock.sleep(3_600_000);
    await clock.advance(3_300);
    expect(page.sockets).toHaveLength(2);
    expect(client.link.get()).toEqual({ is: 'live' });
  });

  it('a socket that never opens is given up; what it says later is not heard', async () => {
    const { client, gateway, page, clock } = await live();
    gateway.isUp = false;
    page.socket.close(1006);
    gateway.connected = () => undefined;
    await clock.advance(200);
    const stuck = page.socket;
    await clock.advance(10_200);
    expect(stuck.isClosed).toBe(true);
    Reflect.deleteProperty(gateway, 'connected');
    gateway.isUp = true;
    await clock.advance(5_000);
    stuck.open();
    expect(client.link.get()).toEqual({ is: 'live' });
    expect(stuck.sent).toEqual([]);
  });

  it('closed, it leaves nothing behind', async () => {
    const { client, gateway, page, clock } = await live();
    gateway.logs.set('c1', hello(2));
    client.openConversation('c1');
    client.openTriggers();
    await settled();
    client.close();
    expect(page.socket.isClosed).toBe(true);
    await clock.advance(0);
    const { waiting } = clock;
    await clock.advance(3_600_000);
    expect(page.sockets).toHaveLength(1);
    expect(clock.waiting).toBeLessThanOrEqual(waiting);
  });
});

describe('client: a conversation', () => {
  it('loading, ready with the snapshot at once, then a state for each frame and no more', async () => {
    const { client, gateway, page } = await live();
    const log = hello(5);
    gateway.append('c1', log.slice(0, 1));
    const handle = client.openConversation('c1');
    expect(handle.get()).toMatchObject({ is: 'loading', rows: [] });
    await settled();
    expect(handle.get()).toMatchObject({ is: 'ready', older: 'none' });
    page.frame();
    let told = 0;
    handle.subscribe(() => (told += 1));
    gateway.append('c1', log.slice(1));
    expect(handle.get().rows).toHaveLength(1);
    expect(told).toBe(0);
    page.frame();
    expect(handle.get().rows).toHaveLength(5);
    expect(told).toBe(1);
    page.frame();
    expect(told).toBe(1);
  });

  it('in a hidden page, where no frame is drawn, it goes on by a timer', async () => {
    const { client, gateway, page, clock } = await live();
    gateway.append('c1', hello(5).slice(0, 1));
    const handle = client.openConversation('c1');
    await settled();
    page.frame();
    gateway.append('c1', hello(5).slice(1, 2));
    page.isHidden = true;
    page.tell({ is: 'hidden' });
    expect(page.framesAsked).toBe(0);
    await clock.advance(1_000);
    expect(handle.get().rows).toHaveLength(2);
    gateway.append('c1', hello(5).slice(2, 3));
    page.isHidden = false;
    page.tell({ is: 'wake' });
    page.frame();
    expect(handle.get().rows).toHaveLength(3);
  });

  it('what is not there has failed, and says why', async () => {
    const { client } = await live();
    const handle = client.openConversation('none');
    await settled();
    expect(handle.get()).toMatchObject({ is: 'failed', problem: { code: 'not_found' } });
  });

  it('is one stream for all who look, a while longer than they do, and resumes where it was', async () => {
    const { client, gateway, page, clock } = await live();
    gateway.append('c1', hello(2));
    const subscriptions = () =>
      page.socket.sent.filter(({ type }) => type.startsWith('chat.')).map(({ type }) => type);
    const one = client.openConversation('c1');
    const other = client.openConversation('c1');
    await settled();
    one.release();
    one.release();
    await clock.advance(LINGER_MS);
    other.release();
    await clock.advance(LINGER_MS - 1);
    const third = client.openConversation('c1');
    expect(third.get().rows).toHaveLength(2);
    await clock.advance(LINGER_MS);
    expect(subscriptions()).toEqual(['chat.subscribe']);
    third.release();
    await clock.advance(LINGER_MS);
    expect(subscriptions()).toEqual(['chat.subscribe', 'chat.unsubscribe']);
  });

  it('a gap is not shown, but asked for anew, once', async () => {
    const { client, gateway, page } = await live();
    const log = hello(6);
    gateway.append('c1', log.slice(0, 1));
    const handle = client.openConversation('c1');
    await settled();
    gateway.logs.get('c1')?.push(...log.slice(1, 3));
    await settled();
    const { onFrame } = page.socket;
    page.socket.onFrame = () => undefined;
    gateway.append('c1', log.slice(3));
    page.frame();
    expect(handle.get().rows).toHaveLength(1);
    const asked = page.socket.sent.filter(({ type }) => type === 'chat.subscribe').slice(1);
    expect(asked).toHaveLength(1);
    expect(asked[0]?.payload).toEqual({ lastSeq: 1 });
    if (asked[0] !== undefined) onFrame(asked[0]);
    page.frame();
    expect(handle.get().rows).toHaveLength(6);
  });

  it('a lost link changes nothing but that the rows may be old', async () => {
    const { client, gateway, page } = await live();
    gateway.append('c1', hello(3));
    const handle = client.openConversation('c1');
    await settled();
    page.frame();
    const { rows } = handle.get();
    expect(handle.get().isStale).toBe(false);
    gateway.isUp = false;
    page.socket.close(1006);
    page.frame();
    expect(handle.get()).toMatchObject({ is: 'ready', isStale: true });
    expect(handle.get().rows).toBe(rows);
  });

  it('L4: over any losses, resets and deaths of the gateway the view is the fold of the log, each event once', async () => {
    const act = fc.oneof(
      { weight: 8, arbitrary: fc.nat(6).map((count) => ({ type: 'append' as const, count })) },
      { weight: 3, arbitrary: fc.constant({ type: 'frame' as const }) },
      { weight: 2, arbitrary: fc.constant({ type: 'lose' as const }) },
      { weight: 1, arbitrary: fc.constant({ type: 'die' as const }) },
      { weight: 1, arbitrary: fc.constant({ type: 'reset' as const }) },
      { weight: 1, arbitrary: fc.constant({ type: 'reopen' as const }) },
      { weight: 2, arbitrary: fc.nat(6_000).map((ms) => ({ type: 'wait' as const, ms })) },
    );
    await fc.assert(
      fc.asyncProperty(chapters, fc.array(act, { maxLength: 40 }), async (log, acts) => {
        const { client, gateway, page, clock } = await live();
        gateway.append('c1', log.slice(0, 1));
        let next = 1;
        let handle = client.openConversation('c1');
        await settled();
        for (const one of acts) {
          if (one.type === 'append') {
            gateway.append('c1', log.slice(next, next + one.count));
            next += one.count;
          } else if (one.type === 'frame') page.frame();
          else if (one.type === 'lose') page.socket.close(1006);
          else if (one.type === 'die') gateway.isUp = !gateway.isUp;
          else if (one.type === 'wait') await clock.advance(one.ms);
          else if (one.type === 'reopen') {
            handle.release();
            handle = client.openConversation('c1');
          } else {
            const conversationId = 'c1';
            page.socket.give({ type: 'reset', conversationId, payload: { reason: 'fell-behind' } });
            page.socket.give({ type: 'snapshot', conversationId, payload: gateway.view('c1') });
          }
          await settled();
          const { view } = handle.get();
          const upTo = log.slice(0, next).filter(({ seq }) => seq <= view.lastSeq);
          expect(view).toEqual(foldEvents(emptyView('c1'), upTo));
        }
        gateway.isUp = true;
        page.tell({ is: 'wake' });
        await clock.advance(10_000);
        page.frame();
        expect(handle.get().view).toEqual(foldEvents(emptyView('c1'), log.slice(0, next)));
        expect(handle.get().isStale).toBe(false);
        client.close();
      }),
      { numRuns: 40 },
    );
  });

  it('older pages are read from the first message on, once at a time', async () => {
    const { client, gateway, page } = await live();
    const log = hello(10);
    const whole = foldEvents(emptyView('c1'), log);
    gateway.logs.set('c1', log);
    gateway.view = () => ({ ...whole, messages: whole.messages.slice(6), hasOlder: true });
    const asked: string[] = [];
    let release: () => void = () => undefined;
    gateway.answers = async ({ url }) => {
      if (!url.includes('/messages?'))
        return { status: 200, retryAfterMs: null, body: { items: [], nextCursor: null } };
      asked.push(url);
      const before = /before=(\w+)/.exec(url)?.[1];
      const end = whole.messages.findIndex(({ messageId }) => messageId === before);
      await new Promise<void>((resolve) => {
        release = resolve;
      });
      const items = whole.messages.slice(Math.max(0, end - 4), end).toReversed();
      return { status: 200, retryAfterMs: null, body: { items, nextCursor: end > 4 ? 'x' : null } };
    };
    const handle = client.openConversation('c1');
    await settled();
    expect(handle.get().older).toBe('more');
    handle.loadOlder();
    handle.loadOlder();
    await settled();
    expect(handle.get().older).toBe('loading');
    expect(asked).toHaveLength(1);
    release();
    await settled();
    expect(handle.get()).toMatchObject({ older: 'more' });
    expect(handle.get().rows).toHaveLength(8);
    handle.loadOlder();
    await settled();
    release();
    await settled();
    expect(handle.get()).toMatchObject({ older: 'none', view: { hasOlder: false } });
    expect(handle.get().view.messages).toEqual(whole.messages);
    handle.loadOlder();
    expect(asked).toHaveLength(2);
    page.frame();
  });

  it('times are of this machine: a server whose clock is ahead by an hour makes nothing an hour old', async () => {
    const own = setting();
    const hour = 3_600_000;
    own.gateway.serverTime = () => new Date(own.clock.now + hour).toISOString();
    const client = clientOf(own);
    const at = new Date(own.clock.now + hour - 2_000).toISOString();
    const started = {
      type: 'chat.started',
      seq: 1,
      at,
      turnId: 't1',
      attempt: 1,
      requestId: 'r1',
      payload: { attempt: 1, provider: 'p', model: null },
    } as Event;
    own.gateway.append('c1', [started]);
    const handle = client.openConversation('c1');
    await settled();
    expect(handle.get().work).toMatchObject({
      phase: 'starting',
      startedAtMs: own.clock.now - 2_000,
      lastSignMs: own.clock.now - 2_000,
    });
  });
});

describe('client: commands', () => {
  const answer = (status: number, body: unknown) => ({ status, retryAfterMs: null, body });

  it.each([
    [200, { a: 1 }, { ok: true, value: { a: 1 } }],
    [202, { accepted: true }, { ok: true, accepted: true }],
    [
      409,
      { code: 'busy', title: 'Busy.', detail: 'd' },
      { ok: false, problem: { code: 'busy', status: 409, title: 'Busy.', detail: 'd' } },
    ],
    [
      502,
      undefined,
      { ok: false, problem: { code: 'unexpected', status: 502, title: 'Answered with 502.' } },
    ],
  ])('answered with %i', async (status, body, outcome) => {
    const { client, gateway } = await live();
    gateway.answers = ({ method }) => (method === 'POST' ? answer(status, body) : undefined);
    expect(await client.openConversation('c1').rollback(null)).toEqual(outcome);
  });

  it('what may be asked twice is, when no answer comes, with the same id', async () => {
    const { client, gateway, clock } = await live();
    gateway.isUp = false;
    const outcome = client.createTable({ title: 'T' });
    await clock.advance(500);
    gateway.answers = ({ method, body }) => (method === 'POST' ? answer(200, body) : undefined);
    gateway.isUp = true;
    await clock.advance(500);
    expect(await outcome).toMatchObject({ ok: true, value: { title: 'T' } });
    const ids = gateway.asked.filter(({ method }) => method === 'POST').map(({ body }) => body);
    expect(ids.length).toBeGreaterThan(1);
    expect(new Set(ids.map((body) => JSON.stringify(body))).size).toBe(1);
    gateway.isUp = false;
    const lost = client.providers();
    await clock.advance(2_000);
    expect(await lost).toMatchObject({ ok: false, problem: { code: 'unreachable', status: 0 } });
  });

  it('what is accepted and not done yet is asked for again, with the same id', async () => {
    const { client, gateway, clock } = await live();
    const notYet = { code: 'temporal_unavailable', accepted: true };
    let asked = 0;
    gateway.answers = ({ method, body }) => {
      if (method !== 'POST') return undefined;
      asked += 1;
      return asked < 3 ? answer(503, notYet) : answer(200, body);
    };
    const outcome = client.createTable({ title: 'T' });
    await clock.advance(5_000);
    expect(await outcome).toMatchObject({ ok: true, value: { title: 'T' } });
    const ids = gateway.asked.filter(({ method }) => method === 'POST').map(({ body }) => body);
    expect(new Set(ids.map((body) => JSON.stringify(body))).size).toBe(1);
    // Not for ever: whoever asked is told.
    gateway.answers = ({ method }) => (method === 'POST' ? answer(503, notYet) : undefined);
    const never = client.createTable({ title: 'T' });
    await clock.advance(60_000);
    expect(await never).toMatchObject({ ok: false, problem: { code: 'temporal_unavailable' } });
  });

  it('a cancel names the turn that is shown; one that has ended by itself is no failure', async () => {
    const { client, gateway, page } = await live();
    const [started] = stored([
      {
        type: 'chat.started',
        turnId: 't1',
        attempt: 1,
        payload: { attempt: 1, provider: 'p', model: null },
      },
    ]);
    gateway.append('c1', started === undefined ? [] : [started]);
    const handle = client.openConversation('c1');
    await settled();
    page.frame();
    gateway.answers = ({ method }) =>
      method === 'POST' ? answer(409, { code: 'turn_mismatch', title: 'No.' }) : undefined;
    expect(await handle.cancel({ holdQueue: true })).toEqual({ ok: true, value: { turnId: null } });
    expect(gateway.asked.at(-1)?.body).toEqual({ holdQueue: true, turnId: 't1' });
    await handle.cancel({ cascade: true });
    expect(gateway.asked.at(-1)?.body).toEqual({ cascade: true });
  });

  it('ids in an address are one segment of it', async () => {
    const { client, gateway } = await live();
    await client.openConversation('a/../b').why();
    expect(gateway.asked.at(-1)?.url).toBe('http://127.0.0.1:1/v1/conversations/a%2F..%2Fb/why');
  });
});

describe('client: drafts', () => {
  it('are kept by conversation, over a reload and a death', async () => {
    const own = await live();
    const one = own.client.openConversation('c1');
    one.setDraft('half');
    expect(one.draft.get()).toBe('half');
    await own.clock.advance(300);
    one.setDraft('half a');
    own.page.tell({ is: 'leaving' });
    one.setDraft('lost with the page');
    own.page.die();
    const page = new Page({ ...own, fragment: '' });
    const client = clientOf({ page });
    expect(client.openConversation('c1').draft.get()).toBe('half a');
    expect(client.openConversation('c2').draft.get()).toBe('');
    client.openConversation('c1').setDraft('');
    await own.clock.advance(300);
    expect([...own.browser.kept.keys()]).toEqual(['holdfast.token']);
  });

  it('are one in all pages, so that none writes over what was typed in another', async () => {
    const own = await live();
    const other = clientOf({ page: new Page({ ...own, fragment: '' }) });
    const here = own.client.openConversation('c1');
    const there = other.openConversation('c1');
    expect(there.draft.get()).toBe('');
    here.setDraft('a long text');
    await own.clock.advance(300);
    expect(there.draft.get()).toBe('a long text');
    // sent in the one, it does not wait in the other to be sent once more
    here.setDraft('');
    await own.clock.advance(300);
    expect(there.draft.get()).toBe('');
    // both at once: what is typed here is not taken away while it is typed
    here.setDraft('mine');
    there.setDraft('theirs');
    own.page.tell({ is: 'hidden' });
    expect(there.draft.get()).toBe('theirs');
  });
});
