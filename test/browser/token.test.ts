/** Who has no token, a wrong one, and the right one. */
import { expect, test } from 'vitest';

import { ChatPage, gone, seen } from './chat-page.ts';
import { DEVICES, sharedStage } from './engine.ts';

const stage = sharedStage();
/** The refusal itself, of which the browser speaks of its own accord. */
const REFUSED = /^console: Failed to load resource: the server responded with a status of 401/;

test.each(DEVICES)('%s: no token, a wrong one, the right one, and never again', async (name) => {
  const device = await stage.device(name);
  device.expectFault(REFUSED);
  device.expectFault(/^console: WebSocket connection to .* failed/);
  await device.open(stage.holdfast.api);
  const page = new ChatPage(device, stage.holdfast.api);
  const dialog = page.page.getByRole('dialog', { name: 'Connect' });
  const field = dialog.getByRole('textbox', { name: 'Token' });
  await seen(field);
  await field.fill('not-the-token-of-this-engine');
  await dialog.getByRole('button', { name: 'Connect' }).click();
  await seen(dialog.getByRole('alert'));
  await field.fill(stage.holdfast.token);
  await dialog.getByRole('button', { name: 'Connect' }).click();
  await gone(dialog);
  await page.isIn();

  await page.page.reload();
  await page.isIn();
  await gone(dialog);
  for (const request of device.requests) expect(request).not.toContain(stage.holdfast.token);
});

test('a token that is not this engine’s any more is asked for again, over the page', async () => {
  const chat = await stage.newChat();
  const device = await stage.device('desktop');
  device.expectFault(REFUSED);
  device.expectFault(/^console: WebSocket connection to .* failed/);
  await device.open(`${stage.holdfast.api}/#token=an-older-token-of-this-engine`);
  const page = new ChatPage(device, stage.holdfast.api);
  const dialog = page.page.getByRole('dialog', { name: 'Connect' });
  await dialog.getByRole('textbox', { name: 'Token' }).fill(stage.printedAddress);
  await dialog.getByRole('button', { name: 'Connect' }).click();
  await gone(dialog);
  await page.goTo(chat);
});

test('the printed address, pasted into a page that is open, lets it in and is not left there', async () => {
  const chat = await stage.newChat();
  const device = await stage.device('desktop');
  device.expectFault(REFUSED);
  device.expectFault(/^console: WebSocket connection to .* failed/);
  const place = `${stage.holdfast.api}/#/t/${chat.tableId}/c/${chat.conversationId}`;
  await device.open(place);
  const page = new ChatPage(device, stage.holdfast.api);
  const dialog = page.page.getByRole('dialog', { name: 'Connect' });
  await seen(dialog);
  await page.page.goto(stage.printedAddress);
  await gone(dialog);
  await page.isIn();
  expect(page.page.url()).toBe(place);
});
