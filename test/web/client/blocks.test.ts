import * as fc from 'fast-check';
import { createElement } from 'react';
import { renderToStaticMarkup } from 'react-dom/server';
import Markdown from 'react-markdown';
import remarkGfm from 'remark-gfm';
import { describe, expect, it } from 'vitest';

import {
  BLOCK_LIMIT_CHARS,
  BlockCutter,
  blocksOf,
  type CutBlock,
} from '../../../web/client/blocks.ts';

const sources = (text: string) => blocksOf('m', text).sealed.map(({ source }) => source);
const texts = (text: string) => blocksOf('m', text).sealed.map(({ text: own }) => own);
/** As long as a block that takes nothing more in. */
const long = `${'many words of one paragraph '.repeat(45).trim()}\n\n`;

/** What a reader would see; white space between blocks says nothing. */
function html(text: string): string {
  return tidy(markup(text));
}
function markup(text: string): string {
  return renderToStaticMarkup(createElement(Markdown, { remarkPlugins: [remarkGfm] }, text));
}
function tidy(written: string): string {
  return written.replaceAll(/\s*\n\s*(?=<|$)/g, '').replaceAll(/>\s*\n\s*/g, '>');
}

const SYNTAX: readonly string[] = [
  '\n,\n\n,\r\n,\r,```,````,~~~,```js\n,- ,* ,1. ,2) ,> ,# ,###### h\n,---,===\n,    ,  ,\t,|,| a | b |\n',
  '|---|---|\n,<div>,</div>,<!--,-->,<pre>,</pre>,<b>,<?,?>,\\,`,[a]: http://x\n,[a],[^1]: note\n,[^1]',
  '😀,\ud83d,word ',
].flatMap((line) => line.split(','));

/** Texts that were made to be cut in the wrong place: pieces of syntax, and of a length that forces cuts. */
const nasty = fc
  .array(
    fc.oneof(
      {
        weight: 8,
        arbitrary: fc.constantFrom(...SYNTAX),
      },
      { weight: 2, arbitrary: fc.string({ maxLength: 6 }) },
      {
        weight: 1,
        arbitrary: fc
          .tuple(
            fc.constantFrom(
              'x',
              'é ',
              '😀',
              'word ',
              'a\n',
              '- item\n',
              '| 1 | 2 |\n',
              '\r\n',
              '` ',
            ),
            fc.integer({ min: 100, max: 5_000 }),
          )
          .map(([piece, count]) => piece.repeat(count)),
      },
    ),
    { maxLength: 40, size: 'max' },
  )
  .map((parts) => parts.join(''));

/** The text in pieces that end at any place. */
function pieces(text: string, cuts: readonly number[]): string[] {
  const places = [...new Set(cuts.map((cut) => cut % (text.length + 1)))].toSorted((a, b) => a - b);
  return [0, ...places].map((place, index) => text.slice(place, [...places, text.length][index]));
}

describe('blocks: properties', () => {
  it('1, 4: sources are the text; none is too long; nothing that belongs together is cut', () => {
    fc.assert(
      fc.property(nasty, (text) => {
        const parts = sources(text);
        expect(parts.join('')).toBe(text);
        for (const [index, part] of parts.entries()) {
          expect(part.length).toBeGreaterThan(0);
          expect(part.length).toBeLessThanOrEqual(BLOCK_LIMIT_CHARS);
          const next = parts[index + 1] ?? '';
          expect(/[\ud800-\udbff]$/.test(part) && /^[\udc00-\udfff]/.test(next)).toBe(false);
          expect(part.endsWith('\r') && next.startsWith('\n')).toBe(false);
        }
      }),
      { numRuns: 150 },
    );
  });

  it('2, 3: whatever pieces it comes in, the blocks are those of the text so far, and sealed ones stay', () => {
    fc.assert(
      fc.property(nasty, fc.array(fc.nat(), { maxLength: 12 }), (text, cuts) => {
        const cutter = new BlockCutter('m');
        let sealed: readonly CutBlock[] = [];
        let soFar = '';
        for (const piece of pieces(text, cuts)) {
          cutter.append(piece);
          soFar += piece;
          const whole = new BlockCutter('m');
          whole.append(soFar);
          expect(cutter.blocks()).toEqual(whole.blocks());
          expect(
            cutter
              .blocks()
              .map(({ source }) => source)
              .join(''),
          ).toBe(soFar);
          expect(cutter.sealed.slice(0, sealed.length).every((each, n) => each === sealed[n])).toBe(
            true,
          );
          sealed = [...cutter.sealed];
        }
        cutter.end();
        expect(cutter.blocks()).toEqual(blocksOf('m', text).blocks());
        expect(cutter.blocks().every((block) => block.sealed)).toBe(true);
        expect(cutter.open).toBeNull();
      }),
      { numRuns: 150 },
    );
  });

  it('3: CR LF that comes in two pieces ends one line', () => {
    const text = `${'a line of words\r\n'.repeat(300)}\r\n\`\`\`\r\ncode\r\n\`\`\`\r\nend\r`;
    const cutter = new BlockCutter('m');
    for (const character of text) cutter.append(character);
    cutter.end();
    expect(cutter.blocks()).toEqual(blocksOf('m', text).blocks());
    expect(cutter.blocks()).toHaveLength(3);
  });

  it('keys count the blocks', () => {
    expect(blocksOf('m', long.repeat(3)).sealed.map(({ key }) => key)).toEqual([
      'm.0',
      'm.1',
      'm.2',
    ]);
  });

  const words = fc
    .tuple(
      fc.constantFrom('plain words ', '*some* `code` ', 'with [ref] ', '[a](http://x) '),
      fc.integer({ min: 1, max: 40 }),
    )
    .map(([piece, count]) => piece.repeat(count).trim());
  const code = fc
    .array(
      fc.constantFrom(
        'let x = 1;',
        '',
        '- no item',
        '# no heading',
        '  deeper',
        '> no quote',
        '~~',
        '``',
      ),
      { minLength: 1, maxLength: 12 },
    )
    .map((lines) => lines.join('\n'));
  const indented = (text: string, by: string) =>
    text
      .split('\n')
      .map((line) => (line === '' ? '' : by + line))
      .join('\n');
  const fenced = fc
    .tuple(code, fc.constantFrom('```', '~~~', '`````'), fc.constantFrom('', 'js', ' py x'))
    .map(([text, fence, info]) => `${fence}${info}\n${text}\n${fence}`);
  const item = fc.oneof(
    words,
    fc.tuple(words, words).map(([one, other]) => `${one}\n\n${other}`),
    fc.tuple(words, fenced).map(([one, other]) => `${one}\n\n${other}`),
    fc.tuple(words, words).map(([one, other]) => `${one}\n- ${other}\n- nested`),
    words.map((text) => `${text}\n\n1. one\n\n   more\n2. two`),
  );
  const list = fc
    .tuple(
      fc.array(item, { minLength: 1, maxLength: 5 }),
      fc.constantFrom('-', '*', '1.', '10)'),
      fc.constantFrom('\n', '\n\n'),
    )
    .map(([items, marker, between]) =>
      items
        .map((text) => `${marker} ${indented(text, ' '.repeat(marker.length + 1)).trimStart()}`)
        .join(between),
    );
  const construct = fc.oneof(
    { weight: 3, arbitrary: words },
    { weight: 2, arbitrary: fenced },
    { weight: 3, arbitrary: list },
    fc.constantFrom('# Heading', 'Setext\n===', '***', '- - -', '> quoted\n> more', '> a\nlazily'),
    fc.constantFrom(
      '<div>\n# no heading\n</div>',
      '<!-- a\n\n- b\n\nc -->',
      '<pre>\n\n# x\n\n</pre>',
    ),
    fc.constantFrom('    indented\n\n    code', '| a | b |\n|---|:-:|\n| 1 | 2 |', 'a\n2. no list'),
    words.map((text) => `> ${text}\n>\n> - ${text}`),
    fc.tuple(words, fenced).map(([one, other]) => `${one}\n${other}\n${one}`),
    fc.tuple(words, words).map(([one, other]) => `${one}\n## Heading\n${other}`),
    fc.tuple(list, fenced).map(([one, other]) => `${one}\n${other}`),
  );

  /** Of what may be one list: lists one after the other, which the same marker joins, and code that is indented into them. */
  const longestList = (constructs: readonly string[], end: string): number => {
    let longest = 0;
    let chars = 0;
    for (const each of constructs) {
      const goesOn = /^(?:[-*]|\d+[.)]| {3}) /.test(each);
      chars = goesOn ? chars + each.replaceAll('\n', end).length + 2 * end.length : 0;
      longest = Math.max(longest, chars);
    }
    return longest;
  };

  it('6: the blocks, rendered one by one, are the text rendered as a whole', () => {
    fc.assert(
      fc.property(
        fc.array(construct, { minLength: 1, maxLength: 10, size: 'max' }),
        fc.constantFrom('\n', '\r\n'),
        (constructs, end) => {
          // A longer one is cut, wherever it has to be.
          fc.pre(longestList(constructs, end) <= BLOCK_LIMIT_CHARS);
          // What micromark takes for text, in the whole alone: a list from 10 on is one, after a blank line (CommonMark 0.31.2, 5.3).
          fc.pre(!constructs.join('\n\n').includes('    code\n\n10)'));
          const text = ['[ref]: http://example.org "T"', ...constructs]
            .join('\n\n')
            .replaceAll('\n', end);
          expect(tidy(texts(text).map(html).join('\n'))).toBe(html(text));
        },
      ),
      { numRuns: 25, endOnFailure: true },
    );
  });

  it('each piece of a long fence is a fence, and together they have its lines', () => {
    fc.assert(
      fc.property(
        fc.array(
          fc.constantFrom(
            'let x = 1;',
            '',
            '~~~',
            '``',
            '  ```js',
            '- a',
            '[a]: http://x',
            '[^1]: x',
          ),
          { minLength: 1_500, maxLength: 4_000, size: 'max' },
        ),
        fc.constantFrom('````js', '   ````', '~~~~~ x y'),
        (lines, opener) => {
          const close = /`+|~+/.exec(opener)?.[0] ?? '';
          const blocks = blocksOf('m', `${opener}\n${lines.join('\n')}\n${close}\nend`).sealed;
          const rendered = blocks.slice(0, -1).map(({ text }) => markup(text));
          const codes = rendered.map((each) => /^<pre><code[^>]*>(.*)<\/code><\/pre>$/s.exec(each));
          expect(codes.every((each) => each !== null)).toBe(true);
          const whole = markup(`${opener}\n${lines.join('\n')}\n${close}`);
          expect(whole).toContain(`>${codes.map((each) => each?.[1]).join('')}</code>`);
          expect(blocks.at(-1)?.text).toBe('end');
        },
      ),
      { numRuns: 6, endOnFailure: true },
    );
  });

  it.each([
    { what: 'in pieces of one character', text: long.repeat(150), size: 1 },
    { what: 'in one line', text: 'word '.repeat(40_000), size: 7 },
    { what: 'in one paragraph', text: 'a line of words\n'.repeat(15_000), size: 9 },
    { what: 'in one fence', text: `\`\`\`\n${'a line of code\n'.repeat(15_000)}`, size: 30 },
    { what: 'in one list', text: '- an item\n\n'.repeat(20_000), size: 1_000 },
    { what: 'in many fences', text: '```\nx\n```\n'.repeat(20_000), size: 3 },
    { what: 'with many definitions', text: '[a]: http://x\n\n[a]\n\n'.repeat(10_000), size: 50 },
    { what: 'at once', text: long.repeat(150), size: 1e9 },
  ])('5: work grows with the text alone: $what', ({ text, size }) => {
    const cutter = new BlockCutter('m');
    for (let place = 0; place < text.length; place += size)
      cutter.append(text.slice(place, place + size));
    cutter.end();
    expect(cutter.work).toBeLessThan(8 * text.length);
  });

  it('5: of two texts, one ten times as long, the work is ten times as much', () => {
    const work = (count: number) => {
      const cutter = new BlockCutter('m');
      for (let piece = 0; piece < count; piece += 1) cutter.append('some words and\n\n- a list ');
      return cutter.work / count;
    };
    expect(work(20_000) / work(2_000)).toBeLessThan(1.1);
  });

  it.each([
    ['line', 'words without an end '],
    ['paragraph', 'words with an end\n'],
    ['word', 'x'],
    ['run of backticks', '`'],
    ['run of brackets', '['],
    ['run of returns', '\r'],
    ['quote', '> '],
  ])('5 MB of one %s is cut', (_, piece) => {
    const text = piece.repeat((5 * 1024 * 1024) / piece.length);
    const blocks = blocksOf('m', text).sealed;
    expect(blocks.length).toBeGreaterThan(600);
    expect(blocks.reduce((sum, { source }) => sum + source.length, 0)).toBe(text.length);
    expect(Math.max(...blocks.map((block) => block.text.length))).toBeLessThan(
      2 * BLOCK_LIMIT_CHARS + 100,
    );
  });
});

describe('blocks: where a text is cut', () => {
  it.each([
    { what: 'short paragraphs stay together', text: 'a\n\nb\n\nc', blocks: ['a\n\nb\n\nc'] },
    { what: 'behind a long paragraph', text: `${long}b`, blocks: [long, 'b'] },
    {
      what: 'around each fence',
      text: 'a\n```js\nx\n\ny\n```\nb\n\nc',
      blocks: ['a\n', '```js\nx\n\ny\n```\n', 'b\n\nc'],
    },
    { what: 'a longer closer', text: '```\nx\n`````  \ny', blocks: ['```\nx\n`````  \n', 'y'] },
    { what: 'no shorter closer', text: '````\n```\n# x\n', blocks: ['````\n```\n# x\n'] },
    { what: 'no other closer', text: '~~~\n```\nx\n~~~\ny', blocks: ['~~~\n```\nx\n~~~\n', 'y'] },
    { what: 'no closer with words', text: '```\n``` js\n```\n', blocks: ['```\n``` js\n```\n'] },
    { what: 'no fence with a backtick', text: '```a`b\nx\n\ny', blocks: ['```a`b\nx\n\ny'] },
    { what: 'a fence 3 columns in', text: 'a\n   ```\nb', blocks: ['a\n', '   ```\nb'] },
    { what: 'no fence 4 columns in', text: 'a\n    ```\nb', blocks: ['a\n    ```\nb'] },
    {
      what: 'before a heading',
      text: `${long.trim()}\n# H\nx`,
      blocks: [`${long.trim()}\n`, '# H\nx'],
    },
    {
      what: 'not before what is no heading',
      text: `${long.trim()}\n#H\n####### H\n`,
      blocks: [`${long.trim()}\n#H\n####### H\n`],
    },
    {
      what: 'not within a loose list',
      text: `- ${long}- b\n\n  c\n\n* d`,
      blocks: [`- ${long}- b\n\n  c\n\n* d`],
    },
    { what: 'behind a list', text: `- ${long}b`, blocks: [`- ${long}`, 'b'] },
    {
      what: 'not before a fence of an item',
      text: `1. ${long}   \`\`\`\n   x\n   \`\`\`\n\n2. b`,
      blocks: [`1. ${long}   \`\`\`\n   x\n   \`\`\`\n\n2. b`],
    },
    {
      what: 'before a fence that is not far enough in to be an item’s',
      text: '1. a\n  ```\nx\n  ```\n',
      blocks: ['1. a\n', '  ```\nx\n  ```\n'],
    },
    { what: 'not before indented code', text: `    ${long}    b`, blocks: [`    ${long}    b`] },
    {
      what: 'not in HTML that is open',
      text: `<pre>${long}# b\n</pre>\n`,
      blocks: [`<pre>${long}# b\n</pre>\n`],
    },
    {
      what: 'not before a fence that is HTML',
      text: '<details>\n```\nx\n```\n',
      blocks: ['<details>\n```\nx\n```\n'],
    },
    {
      what: 'before a fence behind HTML',
      text: '<details>\n\n```\nx',
      blocks: ['<details>\n\n', '```\nx'],
    },
    {
      what: 'a fence that is not closed',
      text: 'a\n\n```js\nx\n\n',
      blocks: ['a\n\n', '```js\nx\n\n'],
    },
    { what: 'nothing', text: '', blocks: [] },
  ])('$what', ({ text, blocks }) => {
    expect(sources(text)).toEqual(blocks);
    expect(sources(text.replaceAll('\n', '\r\n'))).toEqual(
      blocks.map((block) => block.replaceAll('\n', '\r\n')),
    );
    expect(sources(text.replaceAll('\n', '\r'))).toEqual(
      blocks.map((block) => block.replaceAll('\n', '\r')),
    );
  });

  it('a list that is too long is cut before an item, a paragraph before a line, a line before a word', () => {
    const list = sources('1. an item of a list\n\n'.repeat(1_000));
    expect(list.every((each) => each.startsWith('1. '))).toBe(true);
    const paragraph = sources('Some words of a line.\n'.repeat(1_000));
    expect(paragraph.every((each) => each.startsWith('Some '))).toBe(true);
    const line = sources('Word - 1. # > '.repeat(1_000));
    expect(line.every((each) => each.startsWith('Word '))).toBe(true);
  });

  it('what is too long does not take along what stood before it', () => {
    const [first, second] = sources(`short\n\n${'a line of words\n'.repeat(600)}`);
    expect(first).toBe('short\n\n');
    expect(second?.startsWith('a line')).toBe(true);
  });

  it('pieces of a long table have its heading, and nothing has that is not the table', () => {
    const head = '| a | b |\n|---|---|\n';
    const parts = texts(`before\n\n${head}${'| one | two |\n'.repeat(1_500)}\nafter`);
    expect(parts.length).toBeGreaterThan(2);
    expect(parts[0]).toBe('before\n\n');
    expect(parts.slice(1, -1).every((each) => each.startsWith(head))).toBe(true);
    expect(parts.slice(1, -1).every((each) => html(each).startsWith('<table>'))).toBe(true);
    const exact = `${head}${'| one | two |\n'.repeat(583)}`;
    const full = exact + 'x'.repeat(BLOCK_LIMIT_CHARS - exact.length - 1);
    expect(texts(`${full}\n\nafter`).at(-1)).toBe('\nafter');
    expect(texts(`${full}\n# after`).at(-1)).toBe('# after');
  });

  it('a fence that ends where a piece does leaves no empty fence', () => {
    const code = `\`\`\`\n${'x'.repeat(BLOCK_LIMIT_CHARS - 5)}\n`;
    const blocks = blocksOf('m', `${code}\`\`\`\nend`).sealed;
    expect(blocks.map(({ text }) => text)).toEqual([`${code}\`\`\``, '', 'end']);
  });

  it('a long line of code is not cut before what would end the fence', () => {
    const line = `${'x'.repeat(BLOCK_LIMIT_CHARS - 30)}${'`'.repeat(60)}`;
    const blocks = blocksOf('m', `\`\`\`\n${line}\n\`\`\`\n`).sealed;
    expect(blocks.map(({ text }) => html(text)).every((each) => each.startsWith('<pre>'))).toBe(
      true,
    );
    expect(blocks[1]?.source.startsWith('x')).toBe(true);
  });
});

describe('blocks: what is put around a source', () => {
  it('definitions of earlier blocks, where they are used, the first of each name', () => {
    const text = `[A b]: http://one 'T'\n[a  B]: http://two\n\n${long}see [a b] and [x][A B], not [c]\n\n${long}none`;
    const parts = texts(text);
    expect(parts).toHaveLength(3);
    expect(parts[1]).toBe(`[A b]: http://one 'T'\n\nsee [a b] and [x][A B], not [c]\n\n${long}`);
    expect(parts[2]).toBe('none');
    expect(html(parts[1] ?? '')).toContain('<a href="http://one" title="T">a b</a>');
  });

  it.each([
    'text\n[a]: http://x',
    '[a]: ',
    '[a]: http://x y',
    '- [a]: http://x',
    '[^a]: http://x',
    '[ ]: x',
  ])('%j defines nothing', (line) => {
    expect(texts(`${line}\n\n${long}[a] [ ] [^a]`).at(-1)).not.toContain('http');
  });

  it('so many definitions as a block is long', () => {
    const names = Array.from({ length: 400 }, (_, n) => `r${n}`);
    const defined = names.map((name) => `[${name}]: http://${'x'.repeat(1_000)}\n`).join('\n');
    const used = texts(`${defined}\n${long}${names.map((name) => `[${name}]`).join(' ')}`).at(-1);
    expect(used?.length).toBeLessThan(2 * BLOCK_LIMIT_CHARS);
  });

  it('a footnote is shown as it is written, in code as in text', () => {
    const text = 'a[^1]\n\n[^1]: the *note*\n\n- x\n  [^2]: other\n\n```\n[^3]: code\n```\n';
    const parts = texts(text);
    expect(parts[0]).toBe('a[^1]\n\n\\[^1]: the *note*\n\n- x\n  \\[^2]: other\n\n');
    expect(parts[1]).toBe('```\n[^3]: code\n```\n');
    expect(html(parts[0] ?? '')).toContain('[^1]: the <em>note</em>');
    const later = texts(`${long}${long.trim()}\n\n[^1]: note\n`);
    expect(later.at(-1)).toBe('\\[^1]: note\n');
  });

  it('an open fence has no end, a piece of one that is sealed has', () => {
    const cutter = new BlockCutter('m');
    cutter.append(`  ~~~js\n${'code\n'.repeat(2_000)}mo`);
    expect(cutter.sealed[0]?.text.endsWith('code\n~~~')).toBe(true);
    expect(cutter.open?.text.startsWith('  ~~~js\ncode\n')).toBe(true);
    expect(cutter.open?.text.endsWith('\nmo')).toBe(true);
    expect(cutter.open).toBe(cutter.open);
  });
});

describe('blocks: the pieces of a fence', () => {
  const fencesOf = (text: string) => blocksOf('m', text).sealed.map(({ fence }) => fence);

  it('say which one they are of, and together have its code', () => {
    const code = 'let x = 1;\n'.repeat(2_000);
    const found = fencesOf(`before\n\n\`\`\`ts\n${code}\`\`\`\n\nafter`);
    const own = found.filter((fence) => fence !== undefined);
    expect(own.length).toBeGreaterThan(2);
    expect(own.map(({ key, isFirst, goesOn }) => ({ key, isFirst, goesOn }))).toEqual(
      own.map((_, index) => ({
        key: 'm.1',
        isFirst: index === 0,
        goesOn: index < own.length - 1,
      })),
    );
    expect(own.map((fence) => fence.code).join('')).toBe(code);
    expect([found[0], found.at(-1)]).toEqual([undefined, undefined]);
  });

  it('of one that is not cut there are none', () => {
    expect(fencesOf(`\`\`\`ts\nx\n\`\`\`\n${long}`)).toEqual([undefined, undefined]);
    expect(fencesOf('word '.repeat(4_000)).every((fence) => fence === undefined)).toBe(true);
  });

  it('two fences, one behind the other, are two; so is one that was never closed', () => {
    const one = `\`\`\`\n${'a\n'.repeat(5_000)}\`\`\`\n`;
    const keys = fencesOf(`${one}~~~\n${'b\n'.repeat(5_000)}`).map((fence) => fence?.key);
    expect(keys).toEqual(['m.0', 'm.0', 'm.2', 'm.2']);
    const last = fencesOf(`~~~\n${'b\n'.repeat(5_000)}`).at(-1);
    expect(last).toMatchObject({ key: 'm.0', isFirst: false, goesOn: false });
  });

  it('while it comes, each but the open one goes on', () => {
    const cutter = new BlockCutter('m');
    cutter.append(`~~~js\n${'code\n'.repeat(2_000)}mo`);
    expect(cutter.sealed.map(({ fence }) => fence?.goesOn)).toEqual([true]);
    expect(cutter.open?.fence).toMatchObject({ key: 'm.0', isFirst: false, goesOn: false });
    expect(cutter.open?.fence?.code.endsWith('\nmo')).toBe(true);
  });

  it('have the code of the fence, however it is written and wherever it is cut', () => {
    const line = fc.oneof(
      fc.constantFrom('', '  indented', '``', 'x'.repeat(BLOCK_LIMIT_CHARS), 'two words'),
      fc.string({ unit: fc.constantFrom('a', ' ', '😀', '~'), maxLength: 60 }),
    );
    fc.assert(
      fc.property(
        fc.array(line, { minLength: 700, maxLength: 1_500, size: 'max' }),
        fc.constantFrom('', ' ', '   '),
        fc.constantFrom('\n', '\r\n'),
        fc.constantFrom('````````', '````````ts x', '~~~~~~~~'.repeat(8)),
        fc.boolean(),
        (lines, indent, end, opener, isClosed) => {
          const close = isClosed ? `${indent}${/^(?:`+|~+)/.exec(opener)?.[0]}${end}` : '';
          const body = lines.map((each) => indent + each + end).join('');
          const all = fencesOf(`${indent}${opener}${end}${body}${close}`);
          expect(all.length).toBeGreaterThan(1);
          const code = lines.map((each) => each + end).join('');
          expect(all.map((fence) => fence?.code).join('')).toBe(code);
        },
      ),
      { numRuns: 12 },
    );
  });

  it('the same source that now goes on is another block', () => {
    const first = `~~~\n${'x'.repeat(BLOCK_LIMIT_CHARS - 5)}\n`;
    const known = blocksOf('m', first).sealed;
    const longer = blocksOf('m', `${first}more`, known).sealed;
    expect(known[0]?.fence).toBeUndefined();
    expect(longer[0]?.source).toBe(known[0]?.source);
    expect(longer[0]?.fence?.goesOn).toBe(true);
  });
});

describe('blocks: another cut of the same text', () => {
  it('takes the blocks that are the same', () => {
    const first = blocksOf('m', `${long}${long}b`);
    const second = blocksOf('m', `${long}${long}c`, first.sealed);
    expect(second.sealed.map((block, index) => block === first.sealed[index])).toEqual([
      true,
      true,
      false,
    ]);
  });
});
