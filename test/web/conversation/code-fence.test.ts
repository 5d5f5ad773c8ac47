/** One long fence is many rows, and looks like one box. */
import { createElement } from 'react';
import { renderToStaticMarkup } from 'react-dom/server';
import { describe, expect, test } from 'vitest';

import type { NewEvent } from '../../../src/contracts/events.ts';
import { BLOCK_LIMIT_CHARS } from '../../../web/client/blocks.ts';
import type { HoldfastClient, Row } from '../../../web/client/contract.ts';
import { ConversationFold } from '../../../web/client/conversation-fold.ts';
import {
  ConversationContext,
  type ConversationTools,
} from '../../../web/conversation/conversation-context.ts';
import { fenceCode } from '../../../web/conversation/fence-code.ts';
import { placeMemory } from '../../../web/conversation/place-memory.ts';
import { RowView } from '../../../web/conversation/rows/row.tsx';
import { stored } from '../../domain/reports.ts';
import { fakeClient, fakeHandle } from './fixtures.ts';

const CODE = 'const answer = 42;\n'.repeat(1_500);
const segment = { turnId: 't1', attempt: 1 };
const begun: NewEvent[] = [
  { type: 'chat.started', ...segment, payload: { attempt: 1, provider: 'p', model: null } },
  {
    type: 'assistant.segment.started',
    ...segment,
    payload: { messageId: 'm1', kind: 'text' },
  },
];
const delta = (text: string): NewEvent => ({
  type: 'chat.delta',
  ...segment,
  payload: { messageId: 'm1', text },
});
const ended = (content: string): NewEvent => ({
  type: 'assistant.segment.ended',
  ...segment,
  payload: { messageId: 'm1', content, status: 'complete' },
});

/** The rows after each of the events, those of the last one last. */
function told(events: readonly NewEvent[]): (readonly Row[])[] {
  const fold = new ConversationFold('c1');
  return stored([...begun, ...events]).map((event) => {
    fold.apply([event]);
    return fold.rows;
  });
}
const whole = (text: string): readonly Row[] => told([delta(text), ended(text)]).at(-1) ?? [];

function draw(row: Row): string {
  const tools: ConversationTools = {
    handle: fakeHandle('finished'),
    client: fakeClient() as HoldfastClient,
    memory: placeMemory('fences'),
    openPanel: () => undefined,
    openConversation: () => undefined,
    perform: () => Promise.resolve({ is: 'accepted' }),
    compare: () => undefined,
    compose: () => undefined,
    editMessage: () => undefined,
    say: () => undefined,
    followEnd: () => undefined,
    focusComposer: () => undefined,
  };
  return renderToStaticMarkup(
    createElement(ConversationContext, { value: tools }, createElement(RowView, { row })),
  );
}
const count = (markup: readonly string[], what: string): number[] =>
  markup.map((each) => each.split(what).length - 1);

test('one language, one Copy, one Wrap; no gap, and corners only at its ends', () => {
  const rows = whole(`before\n\n\`\`\`ts\n${CODE}\`\`\`\n\nafter`);
  const markup = rows.map(draw);
  const fences = markup.filter((each) => each.includes('code-block-text'));
  expect(fences.length).toBeGreaterThan(2);
  const rest = fences.slice(1).map(() => 0);
  for (const what of ['code-block-language', 'aria-label="Copy code"', 'aria-pressed'])
    expect(count(fences, what)).toEqual([1, ...rest]);
  const ends = fences.slice(1, -1).map(() => 1);
  expect(count(fences, 'row-fence-continued')).toEqual([0, ...ends, 1]);
  expect(count(fences, 'code-block-continued')).toEqual([0, ...ends, 1]);
  expect(count(fences, 'code-block-goes-on')).toEqual([1, ...ends, 0]);
});

test('one that is short is what it was', () => {
  const [markup = ''] = whole('```ts\nx\n```').map(draw);
  expect(count([markup], 'aria-label="Copy code"')).toEqual([1]);
  expect(markup).not.toMatch(/continued|goes-on/);
});

describe('Copy', () => {
  test.each([
    ['at its end', `\`\`\`ts\n${CODE}\`\`\``],
    ['never', `\`\`\`ts\n${CODE}`],
    ['behind what was cut', `\`\`\`ts\n${CODE}\`\`\`\n\n\`\`\`ts\n${'other\n'.repeat(3_000)}`],
  ])('has the whole code of one that is closed %s', (_, text) => {
    expect(fenceCode(whole(text), 'm1.0')).toBe(CODE.slice(0, -1));
  });

  test('of a line that was cut in its middle has the line', () => {
    const line = 'x'.repeat(3 * BLOCK_LIMIT_CHARS);
    expect(fenceCode(whole(`\`\`\`\n${line}\n\`\`\``), 'm1.0')).toBe(line);
  });
});

test('a fence whose end is a piece by itself ends with the one before it, as it comes and at once', () => {
  const first = `\`\`\`\n${'x'.repeat(BLOCK_LIMIT_CHARS - 5)}\n`;
  const isEnd = (rows: readonly Row[]) =>
    rows.map((row) => row.type === 'block' && row.isFenceEnd === true);
  const states = told([delta(first), delta('``'), delta('`\n'), delta('after'), delta(' that')]);
  expect(states.map(isEnd).slice(2)).toEqual([
    [false],
    [false, false],
    [true],
    [true, false],
    [true, false],
  ]);
  // and what does not change is the same row
  expect(states.at(-1)?.[0]).toBe(states.at(-2)?.[0]);
  const rows = whole(`${first}\`\`\`\nafter`);
  expect(isEnd(rows)).toEqual([true, false]);
  expect(rows.map(draw)[0]).not.toContain('code-block-goes-on');
});
