/** A turn of which nothing is heard: its evidence, and what can be done about it. */
import { expect, test } from 'vitest';

import { eventually } from '../support/eventually.ts';
import { gone, seen } from './chat-page.ts';
import { DEVICES, sharedStage } from './engine.ts';
import { script } from './stage.ts';

const stage = sharedStage({ environment: { HOLDFAST_QUIET_AFTER_MS: '2000' } });

test.each(DEVICES)(
  '%s: the evidence in words; wait, then retry, which ends the silent one',
  async (name) => {
    const chat = await stage.newChat();
    const page = await stage.open(name, chat);
    await page.send(script('ignore-cancel', 'words 3', 'hang once', 'text " and on"'));
    const alert = page.turn.getByRole('alert');
    await seen(alert);
    expect(await alert.innerText()).toMatch(/last event\s+chat\.delta/i);
    expect(await alert.innerText()).toMatch(/process\s+lives/i);

    await alert.getByRole('button', { name: 'Wait' }).click();
    await gone(alert);
    await page.button('Show the evidence').click();
    await alert.getByRole('button', { name: 'Retry' }).click();
    await seen(page.ended('Completed'));
    const { messages } = await stage.view(chat);
    expect(messages.filter(({ role }) => role === 'user')).toHaveLength(1);
    expect(await page.page.getByRole('tab').count()).toBe(2);
  },
);

test('cancelled from there, and heard of again', async () => {
  const chat = await stage.newChat();
  const page = await stage.open('desktop', chat);
  await page.send(script('words 3', 'sleep 4000', 'text "heard again"', 'hang'));
  await seen(page.turn.getByRole('alert'));
  await seen(page.log.getByText(/heard again/));
  await gone(page.turn.getByRole('alert'));
  await seen(page.turn.getByRole('alert'));
  await page.turn.getByRole('button', { name: 'Cancel turn' }).click();
  await page.isIdle();
  await seen(page.ended('Cancelled'));
});

test('retried, and the page is closed before the end is recorded: the next one retries it, once', async () => {
  const chat = await stage.newChat();
  const page = await stage.open('desktop', chat);
  await page.send(script('ignore-cancel', 'words 3', 'hang once', 'text " and on"'));
  const alert = page.turn.getByRole('alert');
  await seen(alert);
  await alert.getByRole('button', { name: 'Retry' }).click();
  await seen(page.turn.getByRole('list', { name: /cancel/i }).getByRole('listitem'));
  await page.page.goto('about:blank');
  await eventually(async () => (await stage.view(chat)).activeTurn === null);
  // wherever one comes back to
  const other = await stage.newChat();
  await page.goTo(other);
  const attempts = async (): Promise<number> => {
    const { messages } = await stage.view(chat);
    return Math.max(...messages.map(({ attempt }) => attempt ?? 0));
  };
  await eventually(async () => (await attempts()) === 2);
  await page.goTo(chat);
  await seen(page.ended('Completed'));
  await page.page.reload();
  await seen(page.ended('Completed'));
  expect(await attempts()).toBe(2);
});
