/** Edits that are under way, kept in this browser; and what is kept nowhere but in this page. */
import { afterEach, describe, expect, it } from 'vitest';

import { createClient } from '../../../web/client/client.ts';
import type { ConversationHandle, HoldfastClient } from '../../../web/client/contract.ts';
import { Browser, Clock, Gateway, Page, settled } from './browser.ts';

type Tab = { page: Page; client: HoldfastClient; handle: ConversationHandle };
const opened: HoldfastClient[] = [];
afterEach(() => {
  for (const client of opened.splice(0)) client.close();
});

class World {
  readonly clock = new Clock();
  readonly browser = new Browser();
  readonly gateway = new Gateway();

  async tab(): Promise<Tab> {
    const page = new Page(this);
    const client = createClient(page.parts);
    opened.push(client);
    await settled();
    return { page, client, handle: client.openConversation('c1') };
  }

  get keptNames(): string[] {
    return [...this.browser.kept.keys()].filter((key) => key !== 'holdfast.token').toSorted();
  }
}

const ofMessage = { of: 'message', id: 'm-1', original: 'said' } as const;
const ofQueued = { of: 'queued', id: 'r1', original: 'waits' } as const;

describe('edits: kept as drafts are', () => {
  it('are kept by message and by queued item, over a reload, until they have ended', async () => {
    const own = new World();
    const one = await own.tab();
    one.handle.setEdit({ ...ofMessage, text: 'said, but' });
    one.handle.setEdit({ ...ofQueued, text: 'waits\nlong' });
    one.client.openConversation('c2').setEdit({ ...ofQueued, text: 'elsewhere' });
    await own.clock.advance(300);
    one.page.die();

    const two = await own.tab();
    expect(two.handle.edits.get()).toEqual([
      { ...ofMessage, text: 'said, but', original: null },
      { ...ofQueued, text: 'waits\nlong', original: null },
    ]);
    two.handle.endEdit(ofMessage);
    two.page.die();
    const three = await own.tab();
    expect(three.handle.edits.get()).toEqual([
      { ...ofQueued, text: 'waits\nlong', original: null },
    ]);
    three.handle.endEdit(ofQueued);
    expect(own.keptNames).toEqual(['holdfast.edit.c2.queued.r1']);
  });

  it('what was typed in the last moment is kept when the page goes', async () => {
    const own = new World();
    const one = await own.tab();
    one.handle.setEdit({ ...ofMessage, text: 'sa' });
    await own.clock.advance(300);
    one.handle.setEdit({ ...ofMessage, text: 'saying' });
    one.page.tell({ is: 'leaving' });
    one.page.die();
    expect((await own.tab()).handle.edits.get()).toMatchObject([{ text: 'saying' }]);
  });

  it('one in which nothing is changed is open, and not kept; one that was emptied is', async () => {
    const own = new World();
    const one = await own.tab();
    one.handle.setEdit({ ...ofMessage, text: 'said' });
    await own.clock.advance(300);
    expect(one.handle.edits.get()).toEqual([{ ...ofMessage, text: 'said' }]);
    expect(own.keptNames).toEqual([]);
    one.handle.setEdit({ ...ofMessage, text: '' });
    await own.clock.advance(300);
    one.page.die();
    expect((await own.tab()).handle.edits.get()).toMatchObject([{ id: 'm-1', text: '' }]);
  });

  it('another page shows them too; what is typed there and not kept yet is newer', async () => {
    const own = new World();
    const one = await own.tab();
    const two = await own.tab();
    one.handle.setEdit({ ...ofMessage, text: 'one' });
    await own.clock.advance(300);
    expect(two.handle.edits.get()).toMatchObject([{ id: 'm-1', text: 'one' }]);
    two.handle.setEdit({ ...ofMessage, text: 'two' });
    one.handle.setEdit({ ...ofMessage, text: 'one and' });
    one.page.tell({ is: 'hidden' });
    expect(two.handle.edits.get()).toMatchObject([{ text: 'two' }]);
    await own.clock.advance(300);
    expect(one.handle.edits.get()).toMatchObject([{ text: 'two' }]);
    one.handle.endEdit(ofMessage);
    expect(two.handle.edits.get()).toEqual([]);
  });

  it('a text that goes into the composer is kept there before the edit is forgotten', async () => {
    const own = new World();
    const one = await own.tab();
    one.handle.setEdit({ ...ofQueued, text: 'began to run' });
    await own.clock.advance(300);
    one.handle.setDraft('began to run');
    one.handle.endEdit(ofQueued);
    // not a moment later
    one.page.die();
    const two = await own.tab();
    expect(two.handle.draft.get()).toBe('began to run');
    expect(two.handle.edits.get()).toEqual([]);
  });
});

describe('leaving the page', () => {
  /** Whether the page asks when somebody is about to leave it. */
  const asks = ({ page }: Tab): boolean => {
    let isHeld = false;
    page.tell({ is: 'asked', stay: () => (isHeld = true) });
    return isHeld;
  };

  it('is not asked about while everything is kept, typed a moment ago or not', async () => {
    const own = new World();
    const one = await own.tab();
    expect(asks(one)).toBe(false);
    one.handle.setDraft('half');
    one.handle.setEdit({ ...ofMessage, text: 'said, but' });
    expect(asks(one)).toBe(false);
    expect(own.keptNames).toEqual(['holdfast.draft.c1', 'holdfast.edit.c1.message.m-1']);
    own.gateway.isUp = false;
    one.handle.send({ content: 'hello' });
    await settled();
    expect(asks(one)).toBe(false);
  });

  it('asks for a draft that could not be kept, until there is room, or it is gone', async () => {
    const own = new World();
    const one = await own.tab();
    own.browser.isFull = true;
    one.handle.setDraft('half');
    await own.clock.advance(300);
    expect(asks(one)).toBe(true);
    one.handle.setDraft('  ');
    expect(asks(one)).toBe(false);
    one.handle.setDraft('half a');
    expect(asks(one)).toBe(true);
    own.browser.isFull = false;
    expect(asks(one)).toBe(false);
    expect(own.browser.kept.get('holdfast.draft.c1')).toBe('half a');
  });

  it('asks for an edit that could not be kept, until it has ended', async () => {
    const own = new World();
    const one = await own.tab();
    own.browser.isFull = true;
    one.handle.setEdit({ ...ofMessage, text: 'said' });
    expect(asks(one)).toBe(false);
    one.handle.setEdit({ ...ofMessage, text: 'said, but' });
    expect(asks(one)).toBe(true);
    one.handle.endEdit(ofMessage);
    expect(asks(one)).toBe(false);
  });

  it('asks for a message that is only here, sent or refused, until the log has it or it is kept', async () => {
    const own = new World();
    own.gateway.logs.set('c1', []);
    const one = await own.tab();
    own.browser.isFull = true;
    own.gateway.isUp = false;
    const requestId = one.handle.send({ content: 'hello' });
    await settled();
    expect(asks(one)).toBe(true);
    const refusal = { code: 'busy', title: 'Busy.', status: 409 };
    own.gateway.answers = ({ method }) =>
      method === 'POST' ? { status: 409, retryAfterMs: null, body: refusal } : undefined;
    own.gateway.isUp = true;
    await own.clock.advance(20_000);
    expect(asks(one)).toBe(true);
    one.handle.takeBack(requestId);
    expect(asks(one)).toBe(false);

    own.gateway.isUp = false;
    one.handle.send({ content: 'again' });
    expect(asks(one)).toBe(true);
    own.browser.isFull = false;
    expect(asks(one)).toBe(false);
    expect(own.keptNames).toHaveLength(1);
    one.page.frame();
    expect(one.handle.get().rows).toMatchObject([{ unsent: { content: 'again' } }]);
    expect(one.handle.get().rows[0]).not.toHaveProperty('unsent.isOnlyHere');
  });

  it('one that is durable is no reason to stay', async () => {
    const own = new World();
    const one = await own.tab();
    own.browser.isFull = true;
    own.gateway.answers = ({ method }) =>
      method === 'POST' ? { status: 202, retryAfterMs: null, body: { accepted: true } } : undefined;
    one.handle.send({ content: 'hello' });
    await settled();
    expect(asks(one)).toBe(false);
  });

  it('where nothing may be kept at all, what is typed is a reason', async () => {
    const own = new World();
    const page = new Page(own);
    const client = createClient({ ...page.parts, kept: null, locks: null });
    opened.push(client);
    const one = { page, client, handle: client.openConversation('c1') };
    expect(asks(one)).toBe(false);
    one.handle.setDraft('half');
    expect(asks(one)).toBe(true);
  });
});
