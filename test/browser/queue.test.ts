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
