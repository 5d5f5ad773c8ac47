/** What can die under a page that is open: the network, the gateway, the turn host. Nothing flashes, and each word is there once. */
import { expect, test } from 'vitest';

import { signalProcess } from '../../src/providers/process/process-table.ts';
import { textOf } from '../support/chat-clients.ts';
import { eventually } from '../support/eventually.ts';
import type { ChatPage } from './chat-page.ts';
import { gone, numberedWords, seen } from './chat-page.ts';
import { DEVICES, sharedStage } from './engine.ts';
import { script } from './stage.ts';

const stage = sharedStage();
const LONG = script('words 30', 'words 90 every 80');

/** As much of an element as is asked for here. */
type Box = { getBoundingClientRect(): { top: number } };

/** Notes from now on whether a word that was seen is ever not there, which would be a flash; answers with what it noted. */
async function watchForFlash(page: ChatPage): Promise<() => Promise<number>> {
  // runs in the page: between two frames, as an eye would see it
  await page.page.evaluate(`{
    const log = document.querySelector('[role="log"]');
    window.least = Infinity;
    window.most = 0;
    const look = () => {
      const count = (log.isConnected ? log.innerText : '').match(/\\bw\\d+\\b/g)?.length ?? 0;
      window.most = Math.max(window.most, count);
      // words that were there and are not
      window.lost = Math.max(window.lost ?? 0, window.most - count);
      window.watching = requestAnimationFrame(look);
    };
    look();
  }`);
  return () => page.page.evaluate('cancelAnimationFrame(window.watching), window.lost');
}

test.each(DEVICES)('%s: the network goes in mid-turn and comes back', async (name) => {
  const chat = await stage.newChat();
  const page = await stage.open(name, chat, { through: 'proxy' });
  page.device.expectOutage();
  await page.send(LONG);
  await page.showsWord('w29');
  const lostWords = await watchForFlash(page);

  stage.proxy.cut();
  await seen(page.connection.getByText(/Reconnecting|Offline/));
  const shown = await page.words();
  expect(shown.length).toBeGreaterThanOrEqual(30);
  // the turn goes on meanwhile
  await eventually(
    async () => numberedWords(textOf(await stage.view(chat))).length > shown.length + 10,
  );
  expect(await page.words()).toEqual(shown);

  stage.proxy.mend();
  await seen(page.connection.getByText('Back'));
  await page.isIdle();
  await page.equals(await stage.view(chat));
  expect(await lostWords()).toBe(0);
});

test.each(DEVICES)('%s: the browser says offline, and online', async (name) => {
  const chat = await stage.newChat();
  const page = await stage.open(name, chat, { through: 'proxy' });
  page.device.expectOutage();
  await page.send(LONG);
  await page.showsWord('w29');
  await page.device.context.setOffline(true);
  stage.proxy.cut();
  await seen(page.connection.getByText('Offline'));
  stage.proxy.mend();
  await page.device.context.setOffline(false);
  await seen(page.connection.getByText('Back'));
  await page.isIdle();
  await page.equals(await stage.view(chat));
});

test.each(DEVICES)('%s: kill -9 of the gateway in mid-stream', async (name) => {
  const chat = await stage.newChat();
  const page = await stage.open(name, chat);
  page.device.expectOutage();
  await page.send(LONG);
  await page.showsWord('w29');
  const lostWords = await watchForFlash(page);

  const before = await stage.holdfast.process('gateway');
  signalProcess(before, 'SIGKILL');
  await stage.holdfast.process('gateway', before);
  await page.isIdle();
  await page.equals(await stage.view(chat));
  expect(await lostWords()).toBe(0);
});

test.each(DEVICES)('%s: kill -9 of the turn host in mid-stream', async (name) => {
  const chat = await stage.newChat();
  const page = await stage.open(name, chat);
  await page.send(LONG);
  await page.showsWord('w29');
  const lostWords = await watchForFlash(page);

  const before = await stage.holdfast.process('turn-host');
  signalProcess(before, 'SIGKILL');
  await seen(page.log.getByText(/re-attached/i));
  await page.isIdle();
  const view = await stage.view(chat);
  await page.equals(view);
  expect(await lostWords()).toBe(0);
  expect(numberedWords(textOf(view))).toHaveLength(120);
});

test.each(DEVICES)(
  '%s: a message and a draft of a time without a gateway outlive a reload, and it is said once',
  async (name) => {
    const chat = await stage.newChat();
    const page = await stage.open(name, chat, { through: 'proxy' });
    page.device.expectOutage();
    stage.proxy.cut();
    await seen(page.connection.getByText(/Reconnecting/));
    await page.send(script('text "it arrived"'));
    await seen(page.rows('You'));
    await page.composer.fill('a draft');

    // The page itself comes from the gateway: it is gone before there is a way again, and what it kept is sent by the next one.
    await page.page.close();
    stage.proxy.mend();
    const again = await stage.reopen(page, chat);
    await seen(again.log.getByText('it arrived', { exact: true }));
    expect(await again.composer.inputValue()).toBe('a draft');
    await again.isIdle();
    const { messages } = await stage.view(chat);
    expect(messages.filter(({ role }) => role === 'user')).toHaveLength(1);
    await eventually(async () => (await again.rows('You').count()) === 1);
    await gone(again.page.getByText(/Sending|Kept here/));
  },
);

test.each(DEVICES)(
  '%s: what was scrolled to stays in place, through a lost connection and while an answer comes',
  async (name) => {
    const chat = await stage.newChat();
    for (let n = 1; n <= 8; n++)
      await stage.send(chat, script(`text "This is answer number ${n}. "`, 'words 120'), {
        wait: true,
      });
    const page = await stage.open(name, chat, { through: 'proxy' });
    page.device.expectOutage();
    await page.send(script('words 60 every 150'));
    await seen(page.turn);
    const answer = page.log.getByText(/This is answer number 6\./);
    const box = (await page.log.boundingBox()) ?? { x: 0, y: 0, width: 0, height: 0 };
    await page.page.mouse.move(box.x + box.width / 2, box.y + box.height / 2);
    // not its `boundingBox`, which waits for a row that has gone out of sight
    const top = (): Promise<number | undefined> =>
      answer.evaluateAll(
        ([first]) => (first as unknown as Box | undefined)?.getBoundingClientRect().top,
      );
    await eventually(async () => {
      await page.page.mouse.wheel(0, -60);
      await page.page.evaluate('new Promise((drawn) => requestAnimationFrame(drawn))');
      return ((await top()) ?? 0) > box.y + 40;
    });
    // rows that come into sight for the first time are measured, and then lie still
    const place = await eventually(async () => {
      const before = await top();
      await page.page.evaluate(
        'new Promise((done) => { let left = 20; const next = () => (left-- > 0 ? requestAnimationFrame(next) : done()); next(); })',
      );
      return before !== undefined && before === (await top()) ? before : null;
    });

    stage.proxy.cut();
    await seen(page.connection.getByText(/Reconnecting/));
    expect(await top()).toBeCloseTo(place, 0);
    stage.proxy.mend();
    await seen(page.connection.getByText('Back'));
    expect(await top()).toBeCloseTo(place, 0);
    await page.isIdle();
    await eventually(async () => Math.abs(((await top()) ?? 0) - place) <= 1, 3_000);
    await page.button('Jump to latest').click();
    await seen(page.ended('Completed').last());
  },
);
