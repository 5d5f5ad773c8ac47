/** Reload, closing and other devices while a turn runs: each shows the log, each word once. */
import { expect, test } from 'vitest';

import { DEVICES, sharedStage } from './engine.ts';
import { script } from './stage.ts';

const stage = sharedStage();
const TURN = script('words 30', 'words 60 every 100');

test.each(DEVICES)('%s: reload in mid-turn goes on where it was', async (name) => {
  const chat = await stage.newChat();
  const page = await stage.open(name, chat);
  await page.send(TURN);
  await page.showsWord('w29');
  await page.page.reload();
  await page.showsWord('w29');
  expect(await page.turn.isVisible()).toBe(true);
  await page.isIdle();
  await page.equals(await stage.view(chat));
});

test.each(DEVICES)('%s: closed in mid-turn and opened again', async (name) => {
  const chat = await stage.newChat();
  const first = await stage.open(name, chat);
  await first.send(TURN);
  await first.showsWord('w29');
  const second = await stage.reopen(first, chat);
  await second.showsWord('w29');
  await second.isIdle();
  await second.equals(await stage.view(chat));
});

test('a second device in mid-turn, and what each one sends afterwards, is on both', async () => {
  const chat = await stage.newChat();
  const desktop = await stage.open('desktop', chat);
  await desktop.send(TURN);
  await desktop.showsWord('w29');
  const phone = await stage.open('phone', chat);
  await phone.showsWord('w29');
  await Promise.all([desktop.isIdle(), phone.isIdle()]);
  const view = await stage.view(chat);
  await desktop.equals(view);
  await phone.equals(view);

  await phone.send(script('text "from the phone"'));
  await desktop.log.getByText('from the phone', { exact: true }).waitFor();
  await phone.log.getByText('from the phone', { exact: true }).waitFor();
});
