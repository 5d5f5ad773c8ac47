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

test('what was stopped leaves the keyboard in the composer, by the button as by the question', async () => {
  const chat = await stage.newChat();
  const page = await stage.open('desktop', chat);
  const { keyboard } = page.page;
  const focused = (): Promise<string> =>
    page.page.evaluate('document.activeElement.getAttribute("aria-label") ?? ""');
  const isInComposer = () => eventually(async () => (await focused()) === 'Message');
  await page.send(script('words 3', 'hang'));
  await page.showsWord('w2');
  await page.button('Stop').focus();
  await keyboard.press('Enter');
  await isInComposer();
  await page.isIdle();
  expect(await focused()).toBe('Message');

  await page.send(script('words 3', 'hang'));
  await seen(page.turn);
  await page.composer.press('Escape');
  const question = page.page.getByRole('dialog', { name: 'Stop this turn?' });
  await question.getByRole('button', { name: 'Stop the turn' }).focus();
  await keyboard.press('Enter');
  await gone(question);
  await isInComposer();
  await page.isIdle();
  expect(await focused()).toBe('Message');
});

test('an Enter of an input method does not save the title', async () => {
  const chat = await stage.newChat();
  const page = await stage.open('desktop', chat);
  await page.choose('Rename');
  const title = page.page.getByRole('textbox', { name: 'Title' });
  await title.fill('にほん');
  // as Safari tells it: the composition is over, and the key is the input method's all the same
  await page.page.evaluate(
    `document.querySelector('input[aria-label="Title"]').dispatchEvent(
      new KeyboardEvent('keydown', { key: 'Enter', keyCode: 229, bubbles: true, cancelable: true }))`,
  );
  await page.page.evaluate('new Promise((resolve) => setTimeout(resolve, 100))');
  expect(await title.isVisible()).toBe(true);
  expect((await stage.view(chat)).title).toBe('');
  await title.press('Enter');
  await gone(title);
  await eventually(async () => (await stage.view(chat)).title === 'にほん');
});

test('the tables behind the first ones are in the menu, one key away', async () => {
  const chat = await stage.newChat('The oldest one');
  await Promise.all(
    Array.from({ length: 55 }, (_, index) =>
      stage.holdfast.ask({
        path: '/v1/tables',
        body: { tableId: `more-${index}`, title: `Another ${index}`, provider: 'scripted' },
      }),
    ),
  );
  const page = await stage.open('desktop', chat);
  const { keyboard } = page.page;
  const oldest = page.page.getByRole('menuitemcheckbox', { name: 'The oldest one' });
  await page.button('Table: The oldest one').focus();
  await keyboard.press('Enter');
  const more = page.page.getByRole('menuitem', { name: 'More tables' });
  await seen(more);
  expect(await oldest.count()).toBe(0);
  await keyboard.press('End');
  await keyboard.press('ArrowUp');
  await keyboard.press('ArrowUp');
  await keyboard.press('Enter');
  await seen(oldest);
  // what had the focus is gone, and what came with it has it
  await gone(more);
  await keyboard.press('ArrowDown');
  // tables of other tests are older
  await keyboard.press('End');
  await eventually(async () => {
    await keyboard.press('ArrowUp');
    return page.page.evaluate<boolean>(
      `document.activeElement.textContent.includes('The oldest one')`,
    );
  });
  await keyboard.press('Escape');
  await gone(oldest);
});
