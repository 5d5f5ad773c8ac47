/** From the printed address to an answer, on an engine that has never been used. */
import { expect, test } from 'vitest';

import { PATIENCE_MS } from '../support/browser.ts';
import { eventually } from '../support/eventually.ts';
import { ChatPage, gone, seen } from './chat-page.ts';
import { DEVICES, sharedStage } from './engine.ts';
import { script } from './stage.ts';

const stage = sharedStage({ perTest: true });

/** An engine that has never been used may answer that it is not there yet; the page asks again. */
const NOT_YET = /^console: Failed to load resource: .* status of 503/;

test.each(DEVICES)('%s: the first message is answered in front of the eyes', async (name) => {
  const device = await stage.device(name);
  device.expectFault(NOT_YET);
  await device.open(stage.printedAddress);
  const page = new ChatPage(device, stage.holdfast.api);
  await page.isIn();
  // the token is nobody's to read over a shoulder, to bookmark or to share
  expect(device.page.url()).not.toContain(stage.holdfast.token);

  await page.send(script('words 20', 'words 40 every 60', 'usage 120 60 0.01'));
  await seen(page.rows('You'));
  await seen(page.turn.getByRole('status'));
  await page.showsWord('w5');
  // it is shown as it comes, and not at its end
  expect(await page.turn.isVisible()).toBe(true);
  await page.isIdle();

  const chat = await page.place();
  const view = await stage.view(chat);
  expect(view.messages.map(({ role }) => role)).toEqual(['user', 'assistant']);
  await page.equals(view);
  await seen(page.ended('Completed'));
  await seen(page.log.getByText('$0.01'));

  // known from now on: no token in the address, and the same chat
  await device.page.reload();
  await page.equals(view);
  expect(await page.place()).toEqual(chat);
  await gone(page.page.getByRole('dialog', { name: 'Connect' }));
});

test('an answer without a script comes as well, and the chat has a title', async () => {
  const device = await stage.device('desktop');
  device.expectFault(NOT_YET);
  await device.open(stage.printedAddress);
  const page = new ChatPage(device, stage.holdfast.api);
  await page.isIn();
  await page.send('Why is the sea salty?');
  await seen(page.rows('Assistant'));
  await page.isIdle();
  await page.openNavigation();
  await seen(page.chat('Why is the sea salty?'));
});

test.each(DEVICES)(
  '%s: a first message whose way is only half made is kept, and sent once',
  async (name) => {
    const device = await stage.device(name);
    device.expectFault(/^console: Failed to load resource: net::ERR_FAILED/);
    device.expectFault(NOT_YET);
    await device.open(stage.printedAddress);
    const page = new ChatPage(device, stage.holdfast.api);
    await page.isIn();
    // the table is made, and then the engine is away
    const chats = '**/v1/tables/*/conversations';
    await device.page.route(chats, (route) =>
      route.request().method() === 'POST' ? route.abort() : route.continue(),
    );
    await page.composer.fill('a message that is not lost');
    await page.button('Send').click();
    await seen(page.main.getByRole('alert'));
    expect(await page.composer.inputValue()).toBe('a message that is not lost');
    await device.page.reload();
    await page.isIn();
    expect(await page.composer.inputValue()).toBe('a message that is not lost');

    await device.page.unroute(chats);
    await page.button('Send').click();
    await seen(page.rows('You'));
    const sent = async (): Promise<number> => {
      const { messages } = await stage.view(await page.place());
      return messages.filter(({ role }) => role === 'user').length;
    };
    await eventually(async () => (await sent()) > 0, PATIENCE_MS);
    await page.isIdle();
    expect(await sent()).toBe(1);
    expect(await page.composer.inputValue()).toBe('');
  },
);
