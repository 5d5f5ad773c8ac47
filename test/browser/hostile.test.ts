/** What a model writes is nobody's to trust: it makes no request, runs nothing, and is nothing but words. */
import { expect, test } from 'vitest';

import { seen } from './chat-page.ts';
import { DEVICES, sharedStage } from './engine.ts';
import { script } from './stage.ts';

const stage = sharedStage();

const MARKDOWN = [
  '![same origin](/v1/tables?leak=1) and ![other](https://evil.example/x.png?secret)',
  '![reference][pic]',
  '[pic]: /v1/providers "leak"',
  '<img src=/v1/tables onerror="window.hacked=1"> <script>window.hacked = 1</script>',
  '<iframe src="/healthz"></iframe><link rel=stylesheet href=/metrics><style>@import "/readyz"</style>',
  '<svg onload="window.hacked=1"><image href="/openapi.json"/></svg><form action=/v1/tables><input name=a></form>',
  '[run](javascript:window.hacked=1) [data](data:text/html,<script>window.hacked=1</script>) [file](file:///etc/passwd)',
  '[safe](https://example.com/?a=1) [vb](vbscript:x) <https://example.org/auto> [token](#token=stolen)',
  '[id](#root) <div id="root">clobber</div> <base href="https://evil.example/">',
  '- [ ] <input type=checkbox autofocus onfocus="window.hacked=1">',
  '| a | b |\n|---|---|\n| ![cell](/v1/ws) | `<img src=/v1/tables>` |',
  '# A heading of the model',
  'end of it',
].join('\n\n');

test.each(DEVICES)('%s: hostile markdown is words', async (name) => {
  const chat = await stage.newChat();
  const page = await stage.open(name, chat);
  const { device } = page;
  const before = device.requests.length;
  await page.send(script(`text ${JSON.stringify(MARKDOWN)}`));
  await seen(page.log.getByText('end of it', { exact: true }));
  await page.isIdle();

  // also what would have been asked for late, when it is drawn again
  await page.page.reload();
  await seen(page.log.getByText('end of it', { exact: true }));
  expect(await page.page.evaluate('window.hacked')).toBeUndefined();
  const answers = page.rows('Assistant');
  const forbidden =
    'img, script, iframe, link, style, form, base, object, h1, input:not([disabled])';
  expect(await answers.locator(forbidden).count()).toBe(0);
  // a text, because it runs in the page: what it names is not known here
  const links = await page.page.evaluate<[string, string, string][]>(
    `[...document.querySelectorAll('[role="log"] article a')].map((a) => [a.getAttribute('href'), a.target, a.rel])`,
  );
  expect(links.length).toBeGreaterThan(2);
  for (const [href, target, rel] of links) {
    expect(href).toMatch(/^(https?:|mailto:)/);
    expect(target).toBe('_blank');
    expect(rel.split(' ').toSorted()).toEqual(['noopener', 'noreferrer']);
  }
  const asked = device.requests
    .slice(before)
    .map((request) => new URL(request.split(' ')[1] ?? '').pathname);
  for (const path of ['/metrics', '/readyz', '/openapi.json', '/healthz'])
    expect(asked).not.toContain(path);
  expect(device.requests.filter((request) => /leak|evil|secret/.test(request))).toEqual([]);
});

test('a title, a tool and a search result are words as well', async () => {
  const chat = await stage.newChat('<img src=/v1/tables onerror=hacked=1>');
  const page = await stage.open('desktop', chat);
  await page.send(
    script('tool "<b>x</b>" prints 2', `text "<i>done</i>"`).replace('tool "<b>x</b>"', 'tool b'),
  );
  await seen(page.log.getByText('<i>done</i>'));
  expect(await page.page.locator('main img, nav img, main i').count()).toBe(0);
});
