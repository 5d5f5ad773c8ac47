/** What somebody is in the midst of is kept, comes back to where it belongs, and is asked about where it cannot be kept. */
import { expect, test } from 'vitest';

import { eventually } from '../support/eventually.ts';
import { type ChatPage, gone, seen } from './chat-page.ts';
import { sharedStage } from './engine.ts';
import { script } from './stage.ts';

const stage = sharedStage();

const focused = ({ page }: ChatPage): Promise<string> =>
  page.evaluate('document.activeElement.getAttribute("aria-label") ?? ""');
const editorOf = ({ log }: ChatPage) => log.getByRole('textbox', { name: 'Edit message' });

test('an edit of a message and one of the queue are open after a reload, with what was typed, until they are ended', async () => {
  const chat = await stage.newChat();
  const page = await stage.open('desktop', chat);
  await page.send(script('words 3', 'hang'));
  await page.showsWord('w2');
  await page.send('alpha');
  await seen(page.queue);
  await page.queue.getByRole('button', { name: 'Edit', exact: true }).click();
  await page.queue.getByRole('textbox').fill('alpha, and beta');
  await page.act(page.rows('You'), 'Edit');
  await editorOf(page).fill('said otherwise');
  await page.page.reload();

  await seen(editorOf(page));
  expect(await editorOf(page).inputValue()).toBe('said otherwise');
  expect(await page.queue.getByRole('textbox').inputValue()).toBe('alpha, and beta');
  // neither takes the focus from where one writes
  expect(await focused(page)).not.toMatch(/^Edit/);
  await editorOf(page).press('Escape');
  await gone(editorOf(page));
  await page.queue.getByRole('button', { name: 'Save', exact: true }).click();
  await seen(page.queue.getByText('alpha, and beta', { exact: true }));
  await page.page.reload();
  await seen(page.queue.getByText('alpha, and beta', { exact: true }));
  expect(await page.page.getByRole('textbox', { name: /^Edit/ }).count()).toBe(0);
  await page.button('Stop').click();
  await page.isIdle();
});

test('an edit whose message was cut meanwhile is in the composer, and that is said', async () => {
  const chat = await stage.newChat();
  await stage.send(chat, script('text "first answer"'), { wait: true });
  await stage.send(chat, script('text "second answer"'), { wait: true });
  const page = await stage.open('desktop', chat);
  await seen(page.log.getByText('second answer', { exact: true }));
  await page.act(page.rows('You'), 'Edit');
  await editorOf(page).fill('a better question');
  await page.page.goto('about:blank');
  const [first] = (await stage.view(chat)).messages;
  await stage.holdfast.ask({
    path: `/v1/conversations/${chat.conversationId}/rollback`,
    body: { messageId: first?.messageId ?? '' },
  });
  await page.goTo(chat);
  await eventually(async () => (await page.composer.inputValue()) === 'a better question');
  await seen(page.main.getByRole('status').getByText(/was cut from the history/));
  await page.page.reload();
  await eventually(async () => (await page.composer.inputValue()) === 'a better question');
  expect(await page.main.getByText(/was cut from the history/).count()).toBe(0);
});

test('a replacement that was refused comes back as one, and as a draft where its message is no more', async () => {
  const chat = await stage.newChat();
  await stage.send(chat, script('text "first answer"'), { wait: true });
  const page = await stage.open('desktop', chat);
  page.device.expectFault(
    /^console: Failed to load resource: the server responded with a status of 409/,
  );
  const refusal = { code: 'busy', title: 'It is busy.', status: 409 };
  const posts = '**/messages';
  await page.page.route(posts, (route) => route.fulfill({ status: 409, json: refusal }));
  const saysOtherwise = async (): Promise<void> => {
    await page.act(page.rows('You').filter({ hasText: '#script' }), 'Edit');
    await editorOf(page).fill(script('text "another answer"'));
    await editorOf(page).press('Enter');
    await seen(page.button('Send again'));
  };
  await saysOtherwise();
  const refused = page.rows('You').filter({ hasText: 'It is busy.' });
  await refused.getByRole('button', { name: 'Edit', exact: true }).click();
  await seen(editorOf(page));
  expect(await editorOf(page).inputValue()).toBe(script('text "another answer"'));
  expect(await page.composer.inputValue()).toBe('');
  await eventually(async () => (await focused(page)) === 'Edit message');

  await editorOf(page).press('Enter');
  await seen(page.button('Send again'));
  await page.page.unroute(posts);
  // what it was to replace is replaced by another device
  const [first] = (await stage.view(chat)).messages;
  await stage.holdfast.ask({
    path: `/v1/conversations/${chat.conversationId}/messages?wait=end`,
    body: {
      requestId: 'other-device',
      content: 'said elsewhere',
      replaces: first?.messageId ?? '',
    },
  });
  await seen(page.log.getByText('said elsewhere', { exact: true }));
  await refused.getByRole('button', { name: 'Edit', exact: true }).click();
  await eventually(
    async () => (await page.composer.inputValue()) === script('text "another answer"'),
  );
  await seen(page.main.getByRole('status').getByText(/it is a new one/));
});

test('leaving asks while a draft is kept nowhere, and only then', async () => {
  const chat = await stage.newChat();
  const page = await stage.open('desktop', chat);
  const asked: string[] = [];
  page.page.on('dialog', (dialog) => {
    asked.push(dialog.type());
    void dialog.accept();
  });
  await page.composer.fill('kept');
  await page.page.reload();
  await eventually(async () => (await page.composer.inputValue()) === 'kept');
  expect(asked).toEqual([]);

  await page.page.evaluate(
    `Storage.prototype.setItem = () => { throw new DOMException('full', 'QuotaExceededError'); }`,
  );
  await page.composer.click();
  await page.composer.fill('kept nowhere');
  await page.page.reload();
  expect(asked).toEqual(['beforeunload']);
  await eventually(async () => (await page.composer.inputValue()) === 'kept');
});

test('a long fence is one box with one Copy, which copies all of it', async () => {
  const chat = await stage.newChat();
  const code = Array.from({ length: 900 }, (_, line) => `const line${line} = ${line};`).join('\n');
  const page = await stage.open('desktop', chat);
  await page.send(script(`text ${JSON.stringify(`Here it is:\n\n\`\`\`ts\n${code}\n\`\`\`\n`)}`));
  await page.isIdle();
  await seen(page.ended('Completed'));
  // to the very beginning, although rows on the way are larger than was thought
  await page.log.press('Home');
  await seen(page.button('Copy code'));
  expect(await page.button('Copy code').count()).toBe(1);
  await page.button('Copy code').click();
  await seen(page.log.getByRole('status').getByText('Copied'));
  expect(await page.page.evaluate('navigator.clipboard.readText()')).toBe(code);

  // where the first piece ends and the next one begins
  const seam = (): Promise<{ top: number; bottom: number }[]> =>
    page.page.evaluate(
      `[...document.querySelectorAll('.code-block')].map((box) => box.getBoundingClientRect().toJSON())`,
    );
  const [first, second] = await eventually(async () => {
    // again, as long as the list still holds on to where Home has brought it
    await page.page.evaluate(`document.querySelector('.code-block').scrollIntoView(false)`);
    const boxes = await seam();
    return boxes.length === 2 ? boxes : null;
  });
  expect(Math.abs((second?.top ?? Number.NaN) - (first?.bottom ?? Number.NaN))).toBeLessThan(0.6);
  expect(await page.button('Copy code').count()).toBe(1);
});
