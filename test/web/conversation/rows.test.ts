/** Each state of the fixtures, drawn without a browser: names, words, and nothing that is drawn whole when it is large. */
import { createElement } from 'react';
import { renderToStaticMarkup } from 'react-dom/server';
import { describe, expect, test } from 'vitest';

import type { HoldfastClient, Row } from '../../../web/client/contract.ts';
import {
  ConversationContext,
  type ConversationTools,
} from '../../../web/conversation/conversation-context.ts';
import { Conversation } from '../../../web/conversation/conversation.tsx';
import { placeMemory } from '../../../web/conversation/place-memory.ts';
import { RowView, rowName } from '../../../web/conversation/rows/row.tsx';
import { STATES, fakeClient, fakeHandle, tool } from './fixtures.ts';

const client = fakeClient() as HoldfastClient;

function draw(row: Row, state = 'finished'): string {
  const tools: ConversationTools = {
    handle: fakeHandle(state),
    client,
    memory: placeMemory(`rows ${row.key}`),
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

const drawAll = (state: string): string =>
  fakeHandle(state)
    .get()
    .rows.map((row) => draw(row, state))
    .join('');

test.each(Object.keys(STATES))('%s: each row is an article with a name', (state) => {
  for (const row of fakeHandle(state).get().rows.slice(-40)) {
    const markup = draw(row, state);
    expect(markup).toMatch(/^<article [^>]*aria-label="[^"]+"/);
    expect(markup).toContain(`aria-label="${rowName(row)}"`);
    expect(markup).not.toContain('This could not be drawn');
  }
});

test.each(Object.keys(STATES))('%s: the whole is a main with a composer', (state) => {
  const markup = renderToStaticMarkup(
    createElement(Conversation, {
      handle: fakeHandle(state),
      client,
      onOpenPanel: () => undefined,
      onOpenConversation: () => undefined,
    }),
  );
  expect(markup).toMatch(/^<main/);
  expect(markup).toContain('aria-label="Message"');
  expect(markup).toContain('aria-label="Conversation actions"');
  const isRunning = fakeHandle(state).get().work !== null;
  expect(markup.includes('aria-label="Turn"')).toBe(isRunning);
  expect(markup.includes('aria-label="Queue"')).toBe(isRunning || state === 'held');
  expect(markup.includes('aria-label="Send"')).toBe(!isRunning);
});

describe('what a row says', () => {
  test('an approval shows its input whole, before its answers', () => {
    const markup = drawAll('approval');
    const input = markup.indexOf('rm -rf ./build &amp;&amp; npm run build&quot;');
    expect(input).toBeGreaterThan(0);
    expect(markup).toContain('&quot;timeoutMs&quot;: 120000');
    expect(markup.indexOf('>Allow<')).toBeGreaterThan(input);
    expect(markup).toContain('aria-label="Approval: Run a command"');
    // what is hidden in it is shown
    expect(markup).toMatch(/safe<span[^>]*>U\+202E<\/span> txt\.exe<span[^>]*>U\+200B<\/span>/);
  });

  test('one that is answered says by whom, and cannot be answered', () => {
    const markup = drawAll('answered');
    expect(markup).toContain('Allowed by laptop');
    expect(markup).not.toContain('>Allow<');
    expect(drawAll('approval')).toContain('Denied by phone');
  });

  test('ends are told apart, with their causes', () => {
    const markup = drawAll('ends');
    for (const words of [
      'Cancelled',
      'by laptop; a partial answer was kept',
      'Failed',
      '529 overloaded_error: try again later',
      'Interrupted',
      'the machine was restarted',
      'Partial: it was cut off here',
    ])
      expect(markup).toContain(words);
  });

  test('attempts are tabs, of which one is chosen', () => {
    const markup = drawAll('attempts');
    expect(markup).toContain('role="tablist" aria-label="Attempts"');
    expect(markup.match(/role="tab"/g)).toHaveLength(3);
    expect(markup.match(/aria-selected="true"/g)).toHaveLength(1);
    expect(markup).toContain('Side by side');
  });

  test('mail names its sender, each letter by itself', () => {
    const markup = drawAll('mail');
    expect(markup).toContain('Agent tester (tests) has finished its task and says');
    expect(markup).toContain('The task of agent docs ended failed');
    expect(markup).toContain('After an interruption');
    expect(markup.match(/Open agent/g)).toHaveLength(2);
  });

  test('what is not sent looks so, and what was refused can be sent again', () => {
    const markup = drawAll('unsent');
    expect(markup.match(/unsent-row-state/g)).toHaveLength(3);
    expect(markup.match(/>Send again</g)).toHaveLength(1);
    expect(markup).toContain('Too many messages wait.');
  });

  test('what was cut can be copied, and nothing else', () => {
    const cut = fakeHandle('cut')
      .get()
      .rows.filter((row) => row.type === 'user' && row.message.cut === true);
    expect(cut).toHaveLength(1);
    const markup = cut.map((row) => draw(row)).join('');
    expect(markup).toContain('aria-label="Copy"');
    for (const name of ['Edit', 'Fork from here', 'Roll back to here'])
      expect(markup).not.toContain(`aria-label="${name}"`);
  });
});

test('what is decided upon hides nothing in its title, its tool or its summary', () => {
  const title = 'Bash: echo \u202etxt.exe\u200b';
  const approval = {
    approvalId: 'a',
    turnId: 't',
    title,
    input: { command: 'ls' },
    options: ['allow', 'deny'] as ('allow' | 'deny')[],
    at: '2026-11-22T09:00:00.000Z',
  };
  const asked = draw({ key: 'a', type: 'approval', approval, answer: null });
  expect(asked).toContain('aria-label="Approval: Bash: echo U+202Etxt.exeU+200B"');
  const row = tool('t', 'Ba\u2066sh', { command: 'rm \u202e/' }, '', { status: 'running' });
  for (const markup of [asked, draw(row)]) {
    expect(markup).toContain('>U+202E<');
    expect(markup).not.toMatch(/[\u202e\u2066\u200b]/);
  }
});

describe('what is large is not drawn whole', () => {
  const huge = 'a line of output that is as long as such lines are\n'.repeat(100_000);

  test.each(['ok', 'error', 'running'] as const)('a tool that is %s', (status) => {
    const markup = draw(tool('huge', 'Bash', { command: 'cat all' }, huge, { status }));
    expect(markup.length).toBeLessThan(40_000);
  });

  test('an input, a message, reasoning', () => {
    const asked = draw({
      key: 'a',
      type: 'approval',
      approval: {
        approvalId: 'a',
        turnId: 't',
        title: 'T',
        input: { command: huge },
        options: ['allow', 'deny'],
        at: '2026-11-22T09:00:00.000Z',
      },
      answer: null,
    });
    expect(asked.length).toBeLessThan(40_000);
    expect(asked).toContain('scroll to its end before you decide');
    expect(drawAll('long').length).toBeLessThan(60_000);
  });
});
