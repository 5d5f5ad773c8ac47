import * as fc from 'fast-check';
import { describe, expect, it } from 'vitest';

import type { MailKindName, OutcomeName } from '../../src/contracts/events.ts';
import { isId } from '../../src/contracts/ids.ts';
import { MAIL_END_BYTES } from '../../src/contracts/limits.ts';
import {
  agentIdOf,
  childConversationId,
  endMailId,
  mailOfEnd,
  promptOfMail,
  withoutHeading,
} from '../../src/domain/mail.ts';
import { mailRequestId, mayBeMail } from '../../src/store/mail-request-id.ts';

const kim = { agentId: 'kim', name: 'Kim' };
const kinds: readonly MailKindName[] = ['task', 'message', 'result', 'error', 'recovery'];
const bytes = (text: string): number => new TextEncoder().encode(text).length;
const anyText = fc.string({ unit: 'binary', maxLength: 40 });

describe('an agent’s ids', () => {
  it('follow from team and agentId: the same child asked for twice is one, and no two that differ are', () => {
    expect(childConversationId('r', 'kim')).toBe(childConversationId('r', 'kim'));
    const ids = [
      ['r', 'kim'],
      ['r', 'kim2'],
      ['r2', 'kim'],
      ['rk', 'im'],
      ['kim', 'r'],
    ].map(([root = '', agentId = '']) => childConversationId(root, agentId));
    expect(new Set(ids).size).toBe(5);
    for (const id of ids) expect(isId(id)).toBe(true);
  });

  it.each([
    ['Kim', 'kim'],
    ['Dr. Übel & Söhne', 'dr-ubel-sohne'],
    ['  -- a_b --  ', 'a-b'],
    ['日本', null],
    ['', null],
    ['-', null],
    ['x'.repeat(90), 'x'.repeat(48)],
  ])('are made from a name: %s', (name, id) => {
    expect(agentIdOf(name)).toBe(id);
  });

  it('made from any name are ids', () => {
    fc.assert(
      fc.property(anyText, (name) => {
        const id = agentIdOf(name);
        return id === null || isId(id);
      }),
    );
  });
});

describe('a mail’s prompt', () => {
  const mail = { sender: kim, content: 'line 1\nline 2', outcome: null };

  it('says in its first line who says it and what it is; a task is given as it is', () => {
    expect(
      kinds.map((kind) => promptOfMail({ ...mail, kind, outcome: 'cancelled' })),
    ).toStrictEqual([
      'line 1\nline 2',
      '[Holdfast mail] Message from agent Kim (kim):\nline 1\nline 2',
      '[Holdfast mail] Agent Kim (kim) has finished its task and says:\nline 1\nline 2',
      '[Holdfast mail] The task of agent Kim (kim) ended cancelled:\nline 1\nline 2',
      '[Holdfast mail] After an interruption:\nline 1\nline 2',
    ]);
    expect(promptOfMail({ ...mail, kind: 'error' })).toContain(' ended failed:');
  });

  it('keeps a name to its line, and does not say it twice', () => {
    const says = (name: string) =>
      promptOfMail({ ...mail, kind: 'message', sender: { agentId: 'kim', name } }).split('\n')[0];
    expect(says('a\n\t b  ')).toBe('[Holdfast mail] Message from agent a b (kim):');
    for (const name of ['kim', ' kim\n', '', '\u2028'])
      expect(says(name)).toBe('[Holdfast mail] Message from agent kim:');
  });

  it('loses its heading, and nothing else, again', () => {
    fc.assert(
      fc.property(
        fc.constantFrom(...kinds.filter((kind) => kind !== 'task')),
        anyText,
        anyText,
        (kind, name, content) =>
          withoutHeading(promptOfMail({ ...mail, kind, content, sender: { ...kim, name } })) ===
          content,
      ),
    );
    expect(withoutHeading('[Holdfast mail]')).toBe('[Holdfast mail]');
    expect(withoutHeading('[Holdfast mail] cut')).toBe('');
    expect(withoutHeading('a\nb')).toBe('a\nb');
  });
});

describe('M1 how a child’s task ended', () => {
  type End = Parameters<typeof mailOfEnd>[0];
  const end: Omit<End, 'outcome'> = {
    turnId: 't1',
    attempt: 2,
    cause: null,
    message: null,
    text: 'the answer',
  };

  it.each<[OutcomeName, Partial<End>, string]>([
    ['completed', {}, 'the answer'],
    ['completed', { text: ' \n' }, '(It said nothing.)'],
    [
      'failed',
      { cause: 'provider_error', message: 'no money' },
      '(provider_error)\nno money\nIt had said:\nthe answer',
    ],
    ['cancelled', { cause: 'user' }, '(user)\nIt had said:\nthe answer'],
    ['interrupted', { cause: 'lost', text: '' }, '(lost)\nIt had said nothing.'],
    ['interrupted', { message: '' }, 'It had said:\nthe answer'],
  ])('is told: %s %o', (outcome, given, content) => {
    expect(mailOfEnd({ ...end, outcome, ...given })).toStrictEqual({
      messageId: 'end-t1-2',
      kind: outcome === 'completed' ? 'result' : 'error',
      outcome,
      content,
    });
    expect(endMailId(end)).toBe('end-t1-2');
  });

  it.each([
    ['one byte each', 'a', 1],
    ['two', 'ä', 2],
    ['three', '語', 3],
    ['four', '🐚', 4],
    ['half a pair', '\udc1a', 3],
  ])('with the end of a long text, in whole characters of %s', (_, character, size) => {
    const most = Math.floor(MAIL_END_BYTES / size);
    const said = (count: number) =>
      mailOfEnd({ ...end, outcome: 'completed', text: character.repeat(count) }).content;
    expect(said(most)).toBe(character.repeat(most));
    expect(said(most + 3)).toBe(
      `(The beginning is left out: 3 characters.)\n${character.repeat(most)}`,
    );
  });

  it('with the end of any text: as much as fits, never half a character', () => {
    fc.assert(
      fc.property(
        fc.array(fc.constantFrom('a', 'ä', '語', '🐚', '\n'), { maxLength: 60 }),
        (few) => {
          const text = few.join('') + 'xyz🐚ä'.repeat(8_000) + few.join('');
          const { content } = mailOfEnd({ ...end, outcome: 'completed', text });
          const [, leftOut = '', kept = ''] =
            /^\(The beginning is left out: (\d+) characters\.\)\n([^]*)$/u.exec(content) ?? [];
          expect(text.endsWith(kept)).toBe(true);
          expect(Array.from(text).length).toBe(Number(leftOut) + Array.from(kept).length);
          expect(bytes(kept)).toBeLessThanOrEqual(MAIL_END_BYTES);
          expect(bytes(kept)).toBeGreaterThan(MAIL_END_BYTES - 4);
        },
      ),
      { numRuns: 20 },
    );
  });
});

describe('A2 the request of a mail', () => {
  it('is another for each sender, message and sending, and is known as one that may be mail', () => {
    const facts = [
      { from: 'a', messageId: 'b', sending: 1 },
      { from: 'a', messageId: 'b', sending: 2 },
      { from: null, messageId: 'b', sending: 1 },
      { from: 'null', messageId: 'b', sending: 1 },
      { from: 'b', messageId: 'a', sending: 1 },
      { from: 'a', messageId: 'b1', sending: 1 },
    ];
    const ids = facts.map(mailRequestId);
    expect(new Set(ids).size).toBe(facts.length);
    expect(ids).toStrictEqual(facts.map(mailRequestId));
    expect(ids.every((id) => isId(id) && mayBeMail(id))).toBe(true);
    for (const other of ['', 'mail', 'r-mail-1', 'retry-t1-1'])
      expect(mayBeMail(other)).toBe(false);
  });
});
