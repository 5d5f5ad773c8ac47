/** Everything by keys alone. */
import { expect, test } from 'vitest';

import { eventually } from '../support/eventually.ts';
import { gone, seen } from './chat-page.ts';
import { sharedStage } from './engine.ts';
import { script } from './stage.ts';

const stage = sharedStage();

test('the shortcuts of docs/page.md', async () => {
  const chat = await stage.newChat();
  await stage.send(chat, 'one', { wait: true });
  const older = chat.conversationId;
  const newer = await stage.anotherChat(chat.tableId, 'The newer one');
  const page = await stage.open('desktop', { ...chat, conversationId: newer });
  const { keyboard } = page.page;
  const focused = (): Promise<string> =>
    page.page.evaluate('document.activeElement.getAttribute("aria-label") ?? ""');

  await keyboard.press('Control+k');
  await eventually(async () => (await focused()) === 'Search chats');
  await page.log
    .or(page.main)
    .first()
    .click({ position: { x: 5, y: 5 } });
  await keyboard.press('/');
  await eventually(async () => (await focused()) === 'Message');
  // in a field it is a letter
  await keyboard.type('a/b?');
  expect(await page.composer.inputValue()).toBe('a/b?');
  await page.composer.fill('');

  await keyboard.press('Alt+ArrowDown');
  await eventually(async () => (await page.place()).conversationId === older);
  await keyboard.press('Alt+ArrowUp');
  await eventually(async () => (await page.place()).conversationId === newer);

  await keyboard.press('Control+Shift+o');
  await eventually(async () => ![older, newer].includes((await page.place()).conversationId));
  await eventually(async () => (await focused()) === 'Message');

  await page.main.click({ position: { x: 5, y: 5 } });
  await keyboard.press('?');
  const sheet = page.page.getByRole('dialog', { name: 'Keyboard' });
  await seen(sheet);
  await keyboard.press('Escape');
  await gone(sheet);
});

test('Shift+Enter is a new line; an approval, a menu and a panel are worked by keys', async () => {
  const chat = await stage.newChat();
  const page = await stage.open('desktop', chat);
  const { keyboard } = page.page;
  await page.composer.focus();
  await keyboard.type('#script');
  await keyboard.press('Shift+Enter');
  await keyboard.type('ask shell');
  await keyboard.press('Shift+Enter');
  await keyboard.type('words 3');
  expect(await page.composer.inputValue()).toBe(script('ask shell', 'words 3'));
  await keyboard.press('Enter');

  const allow = page.approval().getByRole('button', { name: 'Allow' });
  await seen(allow);
  await allow.focus();
  await keyboard.press('Enter');
  await page.showsWord('w2');

  await page.button('Conversation actions').focus();
  await keyboard.press('Enter');
  const item = page.page.getByRole('menuitem', { name: 'Triggers' });
  await seen(item);
  await keyboard.press('End');
  await keyboard.press('Enter');
  await seen(page.panel('Triggers'));
  await page.panel('Triggers').getByRole('button').first().focus();
  await keyboard.press('Escape');
  await gone(page.panel('Triggers'));
});
