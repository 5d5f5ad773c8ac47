/** Beside the conversation: triggers with their ledgers, the team, and why. */
import { randomUUID } from 'node:crypto';

import { expect, test } from 'vitest';

import { eventually } from '../support/eventually.ts';
import { seen } from './chat-page.ts';
import { DEVICES, sharedStage } from './engine.ts';
import { script } from './stage.ts';

const stage = sharedStage();

test.each(DEVICES)(
  '%s: a trigger, its next due time, and a ledger that grows when it fires',
  async (name) => {
    const chat = await stage.newChat();
    const triggerId = `g-${randomUUID()}`;
    await stage.holdfast.ask({
      path: '/v1/triggers',
      body: {
        triggerId,
        title: `Nightly ${name}`,
        conversationId: chat.conversationId,
        content: script('text "fired and answered"'),
        schedule: { cron: '0 3 * * *', timezone: 'Europe/Berlin' },
      },
    });
    const page = await stage.open(name, chat);
    await page.choose('Triggers');
    const panel = page.panel('Triggers');
    await seen(panel.getByText(`Nightly ${name}`));
    await stage.holdfast.call({ path: `/v1/triggers/${triggerId}/fire`, body: {} });
    await panel
      .getByRole('article', { name: `Nightly ${name}` })
      .getByRole('button', { name: /^Ledger/ })
      .click();
    const ledger = panel.getByRole('table');
    await seen(ledger.getByRole('row').filter({ hasText: /fired/i }));
    await eventually(async () => (await ledger.getByRole('columnheader').count()) > 2);
  },
);

test.each(DEVICES)('%s: the team of an agent that spawned two', async (name) => {
  const chat = await stage.newChat();
  const page = await stage.open(name, chat);
  await page.send(
    script(
      'spawn reader "#script\\nwords 3"',
      'spawn writer "#script\\nwords 3\\nhang"',
      'words 5',
    ),
  );
  await page.showsWord('w4');
  await page.choose('Agents');
  const panel = page.panel('Agents');
  const tree = panel.getByRole('tree');
  await seen(tree.getByRole('treeitem', { name: /reader/ }));
  await seen(tree.getByRole('treeitem', { name: /writer/ }));
  await eventually(async () => /processing|running/i.test((await tree.innerText()).toLowerCase()));
});

test.each(DEVICES)('%s: why a conversation does what it does', async (name) => {
  const chat = await stage.newChat();
  const page = await stage.open(name, chat);
  await page.send(script('words 3', 'hang'));
  await page.showsWord('w2');
  await page.choose('Why?');
  const panel = page.panel('Why');
  await seen(panel.getByRole('link', { name: /Temporal/ }));
  expect(await panel.innerText()).toMatch(/running|wait/i);
});
