/** Stop, what is kept, and the next attempt. */
import { expect, test } from 'vitest';

import { gone, seen } from './chat-page.ts';
import { DEVICES, sharedStage } from './engine.ts';
import { script } from './stage.ts';

// The program below does not heed a cancel, so that its steps can be watched.
const stage = sharedStage();

test.each(DEVICES)(
  '%s: a cancel shows its steps, keeps what was said, and says that it is not all',
  async (name) => {
    const chat = await stage.newChat();
    const page = await stage.open(name, chat);
    await page.send(script('ignore-cancel', 'words 10', 'hang'));
    await page.showsWord('w9');
    await page.button('Stop').click();
    await seen(page.turn.getByRole('status').getByText('Cancelling'));
    await seen(page.turn.getByRole('list', { name: /cancel/i }).getByRole('listitem'));
    await page.isIdle();

    await page.equals(await stage.view(chat));
    // On a phone it would bring up the keyboard.
    expect(await page.page.evaluate('document.activeElement.tagName === "TEXTAREA"')).toBe(
      !page.isPhone,
    );
    await seen(page.ended('Cancelled'));
    await seen(page.log.getByText(/partial/i));
    await seen(page.button('Retry'));
  },
);

test.each(DEVICES)(
  '%s: retried, both attempts can be looked at, one after the other and beside each other',
  async (name) => {
    const chat = await stage.newChat();
    const page = await stage.open(name, chat);
    await page.send(script('ignore-cancel', 'words 5', 'hang once', 'text " and the rest"'));
    await page.showsWord('w4');
    await page.button('Stop').click();
    await page.isIdle();
    await page.button('Retry').click();
    await seen(page.ended('Completed'));

    const tabs = page.page.getByRole('tablist', { name: 'Attempts' }).getByRole('tab');
    expect(await tabs.count()).toBe(2);
    await tabs.first().click();
    await seen(page.ended('Cancelled'));
    await tabs.last().click();
    await seen(page.log.getByText(/and the rest/));

    await page.button('Side by side').click();
    const both = page.page.getByRole('dialog', { name: /side by side/i });
    await seen(both.getByRole('region', { name: 'Attempt 1' }));
    await seen(both.getByRole('region', { name: 'Attempt 2' }).getByText(/and the rest/));
    await page.page.keyboard.press('Escape');
    await gone(both);
  },
);

test('Escape stops what runs once it is confirmed, and never a draft', async () => {
  const chat = await stage.newChat();
  const page = await stage.open('desktop', chat);
  await page.send(script('words 5', 'hang'));
  await page.showsWord('w4');
  await page.composer.fill('a thought that is not finished');
  await page.composer.press('Escape');
  expect(await page.turn.isVisible()).toBe(true);
  expect(await page.composer.inputValue()).toBe('a thought that is not finished');
  await page.composer.fill('');
  await page.composer.press('Escape');
  const question = page.page.getByRole('dialog', { name: 'Stop this turn?' });
  await question.getByRole('button', { name: 'Keep going' }).click();
  await gone(question);
  expect(await page.turn.isVisible()).toBe(true);
  await page.composer.press('Escape');
  await question.getByRole('button', { name: 'Stop the turn' }).click();
  await page.isIdle();
  await seen(page.ended('Cancelled'));
});
