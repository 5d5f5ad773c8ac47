/** New chat while another one works: it does not wait, and nothing of the other one is lost. */
import { randomUUID } from 'node:crypto';

import { expect, test } from 'vitest';

import { eventually } from '../support/eventually.ts';
import { ChatPage, seen } from './chat-page.ts';
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

test('what is typed for the first chat of a table goes into the one that another device makes', async () => {
  const tableId = `t-${randomUUID()}`;
  await stage.holdfast.ask({ path: '/v1/tables', body: { tableId, provider: 'scripted' } });
  const device = await stage.device('desktop');
  await device.open(stage.printedAddress);
  await device.page.goto(`${stage.holdfast.api}/#/t/${tableId}`);
  const page = new ChatPage(device, stage.holdfast.api);
  await seen(page.main.getByText('Start a conversation'));
  await page.composer.fill('half a thought');
  const conversationId = await stage.anotherChat(tableId);
  await seen(page.button('Conversation actions'));
  expect(await page.place()).toEqual({ tableId, conversationId });
  await eventually(async () => (await page.composer.inputValue()) === 'half a thought');
});
