/** What an agent asks leave for, answered from another device. */
import { expect, test } from 'vitest';

import { gone, seen } from './chat-page.ts';
import { sharedStage } from './engine.ts';
import { script } from './stage.ts';

const stage = sharedStage();
const ASK = script('text "I would like to."', 'ask shell', 'words 5');

test.each([
  ['desktop', 'phone'],
  ['phone', 'desktop'],
] as const)('asked on the %s, allowed on the %s', async (asked, answering) => {
  const chat = await stage.newChat();
  const first = await stage.open(asked, chat);
  await first.send(ASK);
  await seen(first.approval());
  const second = await stage.open(answering, chat);
  await second.openNavigation();
  await seen(second.navigation.getByRole('link', { name: /needs approval/ }));
  if (second.isPhone) await second.page.keyboard.press('Escape');

  await second.approval().getByRole('button', { name: 'Allow' }).click();
  for (const page of [first, second]) {
    await seen(page.log.getByText(/Allowed by/));
    await gone(page.button('Allow'));
    await page.isIdle();
    await page.equals(await stage.view(chat));
  }
  await first.openNavigation();
  await gone(first.navigation.getByRole('link', { name: /needs approval/ }));
});

test('denied on the other device; the tool says so on both', async () => {
  const chat = await stage.newChat();
  const desktop = await stage.open('desktop', chat);
  await desktop.send(ASK);
  await seen(desktop.approval());
  const phone = await stage.open('phone', chat);
  await phone.approval().getByRole('button', { name: 'Deny' }).click();
  for (const page of [desktop, phone]) await seen(page.log.getByText(/Denied by/));
  expect((await stage.view(chat)).approvals).toEqual([]);
});

test('asked, then stopped: withdrawn, and nobody is asked any more', async () => {
  const chat = await stage.newChat();
  const page = await stage.open('desktop', chat);
  await page.send(ASK);
  await seen(page.approval());
  await page.button('Stop').click();
  await page.isIdle();
  await seen(page.log.getByText('Withdrawn'));
  await gone(page.button('Allow'));
});
