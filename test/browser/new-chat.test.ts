/** New chat while another one works: it does not wait, and nothing of the other one is lost. */
import { test } from 'vitest';

import { seen } from './chat-page.ts';
import { DEVICES, sharedStage } from './engine.ts';
import { script } from './stage.ts';

const stage = sharedStage();

test.each(DEVICES)('%s: a new chat while one is processing', async (name) => {
  const chat = await stage.newChat();
  const page = await stage.open(name, chat);
  const first = script('# the first one', 'words 12', 'hang');
  await page.send(first);
  await page.showsWord('w11');

  if (page.isPhone) await page.openNavigation();
  await page.button('New chat').first().click();
  await page.page.waitForURL((url) => !url.hash.includes(chat.conversationId));
  await page.send(script('text "the second one answers"'));
  await seen(page.log.getByText('the second one answers', { exact: true }));
  await page.isIdle();

  await page.goTo(chat);
  await page.isIdle();
  await page.equals(await stage.view(chat));
  await seen(page.ended('Cancelled'));
  await seen(page.button('Retry'));
});
