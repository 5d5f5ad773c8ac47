import fc from 'fast-check';
import { createElement } from 'react';
import { renderToStaticMarkup } from 'react-dom/server';
import { describe, expect, test } from 'vitest';

import { isTooCostly } from '../../../web/conversation/markdown-cost.ts';
import { Markdown } from '../../../web/conversation/markdown.tsx';
import { hostileMarkdown } from './texts.ts';

const html = (text: string): string => renderToStaticMarkup(createElement(Markdown, { text }));

/** Tag → its attributes, of everything that is drawn. What is text is escaped, so that each `<` begins a tag. */
function elements(markup: string): { tag: string; attributes: Map<string, string> }[] {
  return [...markup.matchAll(/<([a-z][a-z0-9]*)((?:\s+[^<>]*?)?)\s*\/?>/gi)].map(
    ([, tag = '', rest = '']) => ({
      tag: tag.toLowerCase(),
      attributes: new Map(
        [...rest.matchAll(/([a-z-]+)(?:="([^"]*)")?/gi)].map(([, name = '', value = '']) => [
          name.toLowerCase(),
          value,
        ]),
      ),
    }),
  );
}

const DRAWN = new Set(
  'div span p a h3 h4 h5 ul ol li input table thead tbody tr th td pre code button svg path rect blockquote em strong del br hr sup section'.split(
    ' ',
  ),
);
const ASKS = ['src', 'srcset', 'poster', 'data', 'action', 'formaction', 'background', 'ping'];

/** What of any markup is against invariants 1 and 2. */
function harms(markup: string): string[] {
  return elements(markup).flatMap(({ tag, attributes }) => {
    const names = [...attributes.keys()];
    const href = attributes.get('href');
    const isLink = href !== undefined;
    return [
      DRAWN.has(tag) ? null : `draws ${tag}`,
      ...names.map((name) =>
        name.startsWith('on') || ASKS.includes(name) ? `${tag} has ${name}` : null,
      ),
      isLink && tag !== 'a' ? `${tag} leads somewhere` : null,
      isLink && !/^(https?:\/\/|mailto:)/.test(href) ? `leads to ${href}` : null,
      isLink && attributes.get('rel') !== 'noreferrer noopener' ? 'tells where it is' : null,
      isLink && attributes.get('target') !== '_blank' ? 'leaves the page' : null,
    ].filter((harm) => harm !== null);
  });
}

test('what is looked for would be found', () => {
  const bad = '<img src="x"><a href="javascript:x" onclick="y">z</a><script>';
  expect(harms(bad)).toEqual([
    'draws img',
    'img has src',
    'a has onclick',
    'leads to javascript:x',
    'tells where it is',
    'leaves the page',
    'draws script',
  ]);
});

describe('invariants 1 and 2: what is drawn is harmless', () => {
  test.each(hostileMarkdown)('%s', (text) => {
    expect(harms(html(text))).toEqual([]);
  });

  test('any mixture of it', () => {
    const piece = fc.oneof(
      fc.constantFrom(...hostileMarkdown),
      fc.constantFrom('\n', '\n\n', '> ', '- ', '`', '```', '[', '](', ')', '![', '<', '|', '**'),
      fc.constantFrom('javascript:alert(1)', '&colon;', '&#106;', '//x', 'https://example.org'),
      fc.string({ maxLength: 6 }),
    );
    fc.assert(
      fc.property(fc.array(piece, { maxLength: 12 }), (pieces) => {
        expect(harms(html(pieces.join('')))).toEqual([]);
      }),
      { numRuns: 150 },
    );
  });

  test('raw HTML is text', () => {
    expect(html('a <b>c</b> <script>x</script>')).toContain(
      'a &lt;b&gt;c&lt;/b&gt; &lt;script&gt;x&lt;/script&gt;',
    );
  });

  test('an address that leads nowhere is shown beside its words', () => {
    const markup = html('[words](./docs/page.md) [more](javascript:alert(1))');
    expect(markup).toContain('words');
    expect(markup).toContain('(./docs/page.md)');
    expect(markup).toContain('(javascript:alert(1))');
    expect(markup).not.toContain('<a');
  });

  test('an image is its words and its address', () => {
    const markup = html('![a cat](https://example.org/cat.png) ![](/ws?leak)');
    expect(markup).toContain('Image not loaded: a cat');
    expect(markup).toContain('href="https://example.org/cat.png"');
    expect(markup).toContain('/ws?leak');
    expect(markup).not.toContain('<img');
  });

  test('a footnote leads nowhere in the page', () => {
    expect(html('x[^1]\n\n[^1]: y')).not.toContain('href');
  });
});

describe('invariant 3', () => {
  test('headings are below the page’s own, in their order', () => {
    const levels = elements(html('# a\n## b\n### c\n#### d\n##### e\n###### f'))
      .map(({ tag }) => tag)
      .filter((tag) => /^h\d$/.test(tag));
    expect(levels).toEqual(['h3', 'h3', 'h4', 'h5', 'h5', 'h5']);
  });

  test('a task has a name and cannot be changed', () => {
    const fields = elements(html('- [x] a\n- [ ] b')).filter(({ tag }) => tag === 'input');
    expect(fields.map(({ attributes }) => attributes.get('aria-label'))).toEqual(['Done', 'To do']);
    for (const { attributes } of fields) {
      expect(attributes.get('type')).toBe('checkbox');
      expect([...attributes.keys()]).toContain('disabled');
    }
  });

  test.each([
    ['a table', '| a |\n|---|\n| b |', 'region'],
    ['a fence', '```ts\nx\n```', 'group'],
  ])('%s scrolls by itself and takes the focus', (_, text, role) => {
    const box = elements(html(text)).find(({ attributes }) => attributes.get('role') === role);
    expect(box?.attributes.get('tabindex')).toBe('0');
    expect(box?.attributes.get('aria-label')).not.toBe('');
  });

  test('a fence is its language and exactly its text', () => {
    const markup = html('```TypeScript title="x"\nif (a < b) {\n\n  "&amp;"\n}\n\n```');
    expect(markup).toContain('>TypeScript</span>');
    expect(markup).toContain('<code>if (a &lt; b) {\n\n  &quot;&amp;amp;&quot;\n}\n</code>');
  });

  test('a fence that is not closed yet is one already', () => {
    expect(html('```py\nprint(1)')).toContain('<code>print(1)</code>');
  });
});

describe('markup that would cost seconds is shown as it is written', () => {
  const block = (piece: string): string =>
    piece.repeat(Math.ceil(8_192 / piece.length)).slice(0, 8_192);

  test.each(['>', '> ', '1. ', '- + * ', '> - ', '*a_', '_a*b~', '~a '])('%s', (piece) => {
    const text = block(piece);
    const markup = html(text);
    expect(markup).toContain('markdown-as-written');
    expect(markup).not.toMatch(/<(?:blockquote|ul|ol|em|del)/);
  });

  test('an ordinary one is not, however long', () => {
    const table = `| a | b_c | **d** |\n|---|---|---|\n${'| 1 | `x_y` | *z* |\n'.repeat(300)}`;
    for (const text of [
      block(
        'Some **prose** with `code` and [a link](https://example.com/a_b).\n\n- one\n  - two\n',
      ),
      '> '.repeat(20) + 'deep',
      `${'  '.repeat(40)}- far to the right`,
      '\n>>>>>>> theirs\n=======\n',
      table.slice(0, 8_192),
      `\`\`\`\n${block('a_b = *c * ~d; // >>>\n')}\n\`\`\``.slice(0, 8_192),
    ])
      expect(isTooCostly(text)).toBe(false);
  });

  test('what says so takes no longer than reading it', () => {
    const startedAt = performance.now();
    for (const piece of [' ', '\t', '1', '1.', '- ', '>', '*', '\n', '> 1.-'])
      isTooCostly(piece.repeat(1_000_000 / piece.length));
    expect(performance.now() - startedAt).toBeLessThan(3_000);
  });
});
