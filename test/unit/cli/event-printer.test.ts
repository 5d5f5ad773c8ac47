/** Numbers: the invariants of src/cli/event-printer.ts. */
import { expect, test } from 'vitest';

import { createEventPrinter } from '../../../src/cli/event-printer.ts';
import type { NewEvent } from '../../../src/contracts/events.ts';

function printed(events: NewEvent[], openText?: string[]) {
  const lines: string[] = [];
  let terminal = '';
  const printer = createEventPrinter({
    answer: (text) => {
      terminal += text;
    },
    note: (line) => {
      lines.push(line);
      terminal += `${line}\n`;
    },
    ...(openText === undefined ? {} : { openText }),
  });
  events.forEach((event, index) => printer.print({ ...event, seq: index + 1, at: '' }));
  printer.finish();
  return { lines, terminal, printed: printer.printed() };
}

const started = (messageId: string, kind: 'text' | 'reasoning' = 'text'): NewEvent => ({
  type: 'assistant.segment.started',
  payload: { messageId, kind },
});
const delta = (messageId: string, text: string): NewEvent => ({
  type: 'chat.delta',
  payload: { messageId, text },
});

test('1: text is written as it comes, reasoning is not', () => {
  const result = printed([
    started('r', 'reasoning'),
    delta('r', 'hm'),
    started('a'),
    delta('a', 'one '),
    delta('a', 'two\n'),
    delta('a', 'three'),
  ]);
  expect(result).toEqual({ lines: [], terminal: 'one two\nthree\n', printed: 'one two\nthree' });
});

test('2: a note begins a line of its own, and the answer goes on after it', () => {
  const result = printed([
    started('a'),
    delta('a', 'one'),
    { type: 'tool.start', payload: { toolCallId: 't', messageId: 'm', name: 'build', input: {} } },
    { type: 'tool.end', payload: { toolCallId: 't', status: 'error', output: '' } },
    started('b'),
    delta('b', 'two'),
  ]);
  expect(result.terminal).toBe('one\n[tool build]\n[tool ended: error]\ntwo\n');
  expect(result.printed).toBe('onetwo');
});

test('2: a line that was open before the first event is closed before a note', () => {
  const result = printed(
    [delta('a', ' more'), { type: 'notice', payload: { code: 'c', text: 't' } }],
    ['a'],
  );
  expect(result.terminal).toBe(' more\n[c: t]\n');
});

test('what is taken back is said', () => {
  const { lines, printed: text } = printed([
    started('a'),
    delta('a', 'half'),
    { type: 'assistant.segment.discarded', payload: { messageId: 'a', reason: 'retry' } },
    started('b'),
    delta('b', 'whole'),
  ]);
  expect(lines).toEqual(['[taken back: retry; it is said again]']);
  expect(text).toBe('halfwhole');
});

test('somebody who must decide is told what, and how', () => {
  const { lines } = printed([
    {
      type: 'approval.requested',
      conversationId: 'c1',
      payload: { approvalId: 'ap1', title: 'Run deploy', input: {}, options: ['allow', 'deny'] },
    },
  ]);
  expect(lines).toEqual([
    '[waits for your decision: Run deploy. Answer: POST /v1/conversations/c1/approvals/ap1 {"decision": "allow" or "deny"}]',
  ]);
});

test('a message that a trigger sent says which one, for when, and why now', () => {
  const fired = (title: string): NewEvent => ({
    type: 'trigger.fired',
    requestId: 'r1',
    payload: {
      triggerId: 'g1',
      title,
      dueAt: '2026-01-01T03:00:00.000Z',
      outcome: 'caught-up',
      words: 'Missed, and run now.',
    },
  });
  const { lines } = printed([fired('nightly'), fired('')]);
  expect(lines).toEqual([
    '[trigger nightly, due 2026-01-01T03:00:00.000Z: Missed, and run now.]',
    '[trigger g1, due 2026-01-01T03:00:00.000Z: Missed, and run now.]',
  ]);
});
