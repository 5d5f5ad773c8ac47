/** What was said: found again, branched off, said otherwise. */
import { expect, test } from 'vitest';

import { eventually } from '../support/eventually.ts';
import { gone, seen } from './chat-page.ts';
import { DEVICES, sharedStage } from './engine.ts';
import { script } from './stage.ts';

const stage = sharedStage();
/** Of which the browser speaks of its own accord. */
const REFUSED = /^console: Failed to load resource: the server responded with a status of 400/;

test.each(DEVICES)('%s: a search finds what was said in an older chat', async (name) => {
  const chat = await stage.newChat();
  await stage.send(chat, script('text "The pelican lives by the lagoon."'), { wait: true });
  const other = await stage.anotherChat(chat.tableId, 'Something else');
  await stage.send({ ...chat, conversationId: other }, script('text "Nothing of birds."'), {
    wait: true,
  });
  const page = await stage.open(name, { ...chat, conversationId: other });

  await page.openNavigation();
  const search = page.page.getByRole('searchbox', { name: 'Search chats' });
  await search.fill('pelican lag');
  const found = page.navigation.getByRole('list', { name: 'Chats' }).getByRole('link');
  await seen(found.filter({ hasText: 'pelican' }));
  await eventually(async () => (await found.count()) === 1);
  await found.click();
  await seen(page.log.getByText('The pelican lives by the lagoon.'));
  expect((await page.place()).conversationId).toBe(chat.conversationId);

  await page.openNavigation();
  page.device.expectFault(REFUSED);
  await search.fill('"unclosed');
  await seen(page.page.getByRole('navigation', { name: 'Conversations' }).getByText(/quote/i));
  await search.fill('nothing has this word');
  await eventually(async () => (await found.count()) === 0);
});

test.each(DEVICES)(
  '%s: a fork goes on from a message, and leaves the chat as it was',
  async (name) => {
    const chat = await stage.newChat();
    await stage.send(chat, script('text "first answer"'), { wait: true });
    await stage.send(chat, script('text "second answer"'), { wait: true });
    const page = await stage.open(name, chat);
    await seen(page.log.getByText('second answer', { exact: true }));

    await page.act(page.rows('Assistant').filter({ hasText: 'first answer' }), 'Fork from here');
    await page.page.waitForURL((url) => !url.hash.includes(chat.conversationId));
    await seen(page.log.getByText('first answer', { exact: true }));
    await gone(page.log.getByText('second answer', { exact: true }));
    await page.send(script('text "another second answer"'));
    await seen(page.log.getByText('another second answer', { exact: true }));

    await page.goTo(chat);
    await seen(page.log.getByText('second answer', { exact: true }));
    expect(await page.log.getByText('another second answer', { exact: true }).count()).toBe(0);
  },
);

test.each(DEVICES)(
  '%s: edit and resend cuts what came after, which stays readable',
  async (name) => {
    const chat = await stage.newChat();
    await stage.send(chat, script('text "kept answer"'), { wait: true });
    await stage.send(chat, script('text "answer to the old words"'), { wait: true });
    const page = await stage.open(name, chat);
    await page.act(page.rows('You').filter({ hasText: 'answer to the old words' }), 'Edit');
    const editor = page.log.getByRole('textbox');
    await editor.fill(script('text "answer to the new words"'));
    await page.log.getByRole('button', { name: 'Send', exact: true }).click();
    await seen(page.log.getByText('answer to the new words', { exact: true }));
    await page.isIdle();
    await seen(page.log.getByText('kept answer', { exact: true }));
    await gone(page.log.getByText('answer to the old words', { exact: true }));

    const cut = page.log.getByRole('button', { expanded: false }).filter({ hasText: /cut/i });
    await cut.click();
    await seen(page.log.getByText('answer to the old words', { exact: true }));
  },
);

test('rename and archive', async () => {
  const chat = await stage.newChat();
  await stage.send(chat, script('text "hello"'), { wait: true });
  const page = await stage.open('desktop', chat);
  await page.choose('Rename');
  const title = page.main.getByRole('textbox', { name: 'Title' });
  await title.fill('Another name');
  await title.press('Enter');
  await seen(page.chat('Another name'));
  await page.choose('Archive');
  await gone(page.chat('Another name'));
  expect((await stage.view(chat)).archived).toBe(true);
});

test('the list says that a chat runs for as long as the chat itself does, and no longer', async () => {
  const chat = await stage.newChat();
  const page = await stage.open('desktop', chat);
  await seen(page.navigation);
  // each state in which both are drawn at the same time
  await page.page.evaluate(`{
    globalThis.states = [];
    new MutationObserver(() => {
      const runs = document.querySelector('section[aria-label="Turn"]') !== null;
      const badge = document.querySelector('a[aria-current="page"] .chat-row-badges');
      const listed = badge?.textContent.includes('running') === true;
      globalThis.states.push(\`\${runs} \${listed}\`);
    }).observe(document.body, { subtree: true, childList: true, characterData: true });
  }`);
  await page.send(script('words 5 every 20'));
  await seen(page.ended('Completed'));
  await seen(page.chat('#script'));
  const states: string[] = await page.page.evaluate('globalThis.states');
  const ended = states.slice(states.lastIndexOf('true true') + 1);
  expect(states).toContain('true true');
  expect(new Set(ended)).toEqual(new Set(['false false']));
});
