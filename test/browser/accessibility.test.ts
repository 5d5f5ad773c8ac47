/** What axe finds in each main state: nothing that is serious or critical. */
import axe from 'axe-core';
import { expect, test } from 'vitest';

import { ChatPage, seen } from './chat-page.ts';
import { DEVICES, sharedStage } from './engine.ts';
import { script } from './stage.ts';

const stage = sharedStage();

type Violation = { id: string; impact: string | null; nodes: { html: string; summary: string }[] };

/** Serious and critical findings, in words. */
async function findings(page: ChatPage, state: string): Promise<string[]> {
  await page.page.evaluate(`typeof axe === 'undefined' && (() => { ${axe.source} })()`);
  const violations = await page.page.evaluate<
    Violation[]
  >(`axe.run(document).then(({ violations }) =>
    violations.map(({ id, impact, nodes }) => ({
      id, impact,
      nodes: nodes.map(({ html, failureSummary }) => ({ html: html.slice(0, 200), summary: failureSummary })),
    })))`);
  return violations
    .filter(({ impact }) => impact === 'serious' || impact === 'critical')
    .flatMap(({ id, nodes }) =>
      nodes.map(({ html, summary }) => `${state}: ${id}: ${html} ${summary}`),
    );
}

const RICH = [
  '## A heading',
  'Text with `code`, **bold** and a [link](https://example.com).',
  '| a | b |\n|---|---|\n| 1 | 2 |',
  '```ts\nconst answer: number = 42; // a comment\n```',
  '- [x] done\n- [ ] to do',
  '> quoted',
].join('\n\n');

const SETTINGS = DEVICES.flatMap((device) =>
  (['light', 'dark'] as const).map((colorScheme) => ({ device, colorScheme })),
);

test.each(SETTINGS)(
  '$device, $colorScheme: no serious fault in any main state',
  async ({ device, colorScheme }) => {
    const chat = await stage.newChat();
    const page = await stage.open(device, chat, { colorScheme });
    const found = await findings(page, 'empty');

    await page.send(
      script(
        'think 10',
        `text ${JSON.stringify(RICH)}`,
        'tool shell prints 5',
        'ask write',
        'text "and so on"',
      ),
    );
    await seen(page.approval());
    found.push(...(await findings(page, 'approval, tool, code')));
    await page.send('one that waits');
    await seen(page.queue);
    found.push(...(await findings(page, 'queue')));
    await page.approval().getByRole('button', { name: 'Allow' }).click();
    await page.isIdle();
    found.push(...(await findings(page, 'answered')));

    await page.openNavigation();
    found.push(...(await findings(page, 'list of chats')));
    if (page.isPhone) await page.page.keyboard.press('Escape');
    await page.button('Conversation actions').click();
    found.push(...(await findings(page, 'menu')));
    await page.page.keyboard.press('Escape');
    for (const [item, panel] of [
      ['Triggers', 'Triggers'],
      ['Agents', 'Agents'],
      ['Why?', 'Why'],
    ] as const) {
      await page.choose(item);
      await seen(page.panel(panel));
      found.push(...(await findings(page, panel)));
      if (page.isPhone) await page.page.keyboard.press('Escape');
    }
    expect(found).toEqual([]);
  },
);

test.each(DEVICES)('%s: the token entry', async (name) => {
  const device = await stage.device(name);
  device.expectFault(/status of 401|WebSocket connection/);
  await device.open(stage.holdfast.api);
  const page = new ChatPage(device, stage.holdfast.api);
  await seen(page.page.getByRole('dialog', { name: 'Connect' }));
  expect(await findings(page, 'token entry')).toEqual([]);
});
