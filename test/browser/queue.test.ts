/** What waits behind a running turn: seen, edited, moved, removed, held, promoted. */
import { expect, test } from 'vitest';

import { eventually } from '../support/eventually.ts';
import { gone, seen } from './chat-page.ts';
import { DEVICES, sharedStage } from './engine.ts';
import { script } from './stage.ts';

const stage = sharedStage();

test.each(DEVICES)(
  '%s: the queue is edited, moved, and shortened; what is left runs in its order',
  async (name) => {
    const chat = await stage.newChat();
    const page = await stage.open(name, chat);
    await page.send(script('words 3', 'hang'));
    await page.showsWord('w2');
    for (const text of ['alpha', 'beta', 'gamma']) await page.send(text);
    const items = page.queue.getByRole('listitem');
    await eventually(async () => (await items.count()) === 3);
    const texts = async (): Promise<string[]> =>
      (await items.allInnerTexts()).map((each) => /alpha|beta|gamma|delta/.exec(each)?.[0] ?? each);

    await items.nth(1).getByRole('button', { name: 'Edit', exact: true }).click();
    const editor = page.queue.getByRole('textbox');
    await editor.fill('delta');
    await page.queue.getByRole('button', { name: 'Save', exact: true }).click();
    await eventually(async () => (await texts()).join() === 'alpha,delta,gamma');

    await items.nth(2).getByRole('button', { name: 'Move up', exact: true }).click();
    await eventually(async () => (await texts()).join() === 'alpha,gamma,delta');
    await items.nth(0).getByRole('button', { name: 'Move down', exact: true }).click();
    await eventually(async () => (await texts()).join() === 'gamma,alpha,delta');
    await items.nth(1).getByRole('button', { name: 'Remove', exact: true }).click();
    await eventually(async () => (await texts()).join() === 'gamma,delta');
    expect((await stage.view(chat)).queue.map(({ content }) => content)).toEqual([
      'gamma',
      'delta',
    ]);

    await page.button('Stop').click();
    await gone(page.queue);
    await page.isIdle();
    const { messages } = await stage.view(chat);
    expect(
      messages
        .filter(({ role }) => role === 'user')
        .map(({ content }) => content)
        .slice(1),
    ).toEqual(['gamma', 'delta']);
  },
);

test('held, released, and sent now', async () => {
  const chat = await stage.newChat();
  const page = await stage.open('desktop', chat);
  await page.send(script('words 3', 'hang'));
  await page.showsWord('w2');
  await page.send(script('text "the first answer"'));
  await page.send(script('text "the second answer"'));
  await seen(page.queue);
  await page.button('Hold').click();
  await seen(page.button('Release'));
  await page.button('Stop').click();
  await page.isIdle();
  expect(await page.queue.getByRole('listitem').count()).toBe(2);

  await page.queue.getByRole('listitem').nth(1).getByRole('button', { name: 'Send now' }).click();
  await seen(page.log.getByText('the second answer', { exact: true }));
  expect(await page.queue.getByRole('listitem').count()).toBe(1);
  await page.button('Release').click();
  await seen(page.log.getByText('the first answer', { exact: true }));
  await gone(page.queue);
});

test('the keyboard stays in the queue when an item goes, and comes back to the composer with the last', async () => {
  const chat = await stage.newChat();
  const page = await stage.open('desktop', chat);
  await page.send(script('words 3', 'hang'));
  await page.showsWord('w2');
  for (const text of ['alpha', 'beta']) await page.send(text);
  const items = page.queue.getByRole('listitem');
  await eventually(async () => (await items.count()) === 2);
  await items.nth(0).getByRole('button', { name: 'Remove' }).focus();
  await page.page.keyboard.press('Enter');
  await eventually(async () => (await items.count()) === 1);
  const isFocused = (name: string): Promise<boolean> =>
    page.page.evaluate<boolean>(`document.activeElement.ariaLabel === ${JSON.stringify(name)}`);
  await eventually(() => isFocused('Remove'));
  await page.page.keyboard.press('Enter');
  await gone(page.queue);
  await eventually(() => isFocused('Message'));
});

test('a queued message that began to run while it was edited, and another chat was looked at, is in the composer', async () => {
  const chat = await stage.newChat();
  const page = await stage.open('desktop', chat);
  await page.send(script('words 3', 'hang'));
  await page.showsWord('w2');
  await page.send('alpha');
  await seen(page.queue);
  await page.queue.getByRole('button', { name: 'Edit', exact: true }).click();
  await page.queue.getByRole('textbox').fill('alpha, and what was thought of later');
  const other = await stage.newChat();
  await page.goTo(other);
  await stage.holdfast.ask({
    path: `/v1/conversations/${chat.conversationId}/cancel`,
    body: {},
  });
  await eventually(async () => (await stage.view(chat)).queue.length === 0);
  await page.goTo(chat);
  await eventually(
    async () => (await page.composer.inputValue()) === 'alpha, and what was thought of later',
  );
});

test('the question whether to stop a turn is not answered for the next one', async () => {
  const chat = await stage.newChat();
  const page = await stage.open('desktop', chat);
  await page.send(script('words 3', 'hang'));
  await page.showsWord('w2');
  await page.send(script('words 5', 'hang'));
  await seen(page.queue);
  await page.composer.press('Escape');
  const dialog = page.page.getByRole('dialog', { name: 'Stop this turn?' });
  await seen(dialog);
  // on another device it is stopped, and what waited runs
  await stage.holdfast.ask({
    path: `/v1/conversations/${chat.conversationId}/cancel`,
    body: {},
  });
  await gone(page.queue);
  await gone(dialog);
  await page.showsWord('w4');
  expect((await stage.view(chat)).activeTurn).not.toBeNull();
  await page.button('Stop').click();
  await page.isIdle();
});
