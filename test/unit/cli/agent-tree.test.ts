/** Numbers: the invariants of src/cli/agent-tree.ts. */
import * as fc from 'fast-check';
import { describe, expect, test } from 'vitest';

import { agentLine, agentTree, type OpenMail } from '../../../src/cli/agent-tree.ts';
import type { MailRowValue } from '../../../src/contracts/agents.ts';
import type { AgentViewValue } from '../../../src/contracts/events.ts';

const reader = { nowMs: Date.parse('2026-11-22T12:00:00.000Z'), timezone: 'Europe/Berlin' };
const noMail = { accepted: 0, delivered: 0, applied: 0, failed: 0, expired: 0 };

function agent(agentId: string, change: Partial<AgentViewValue> = {}): AgentViewValue {
  return {
    agentId,
    conversationId: agentId === 'root' ? 'c1' : `conversation-${agentId}`,
    parentId: agentId === 'root' ? null : 'c1',
    name: agentId,
    role: '',
    depth: 1,
    provider: 'scripted',
    model: null,
    workspacePath: '/w',
    providerSessionId: null,
    state: 'idle',
    outcome: null,
    lastLine: '',
    turnCount: 0,
    queued: 0,
    approvals: 0,
    usage: { inputTokens: 0, outputTokens: 0 },
    mail: noMail,
    createdAt: '2026-11-22T10:00:00.000Z',
    lastAt: '2026-11-22T11:00:00.000Z',
    ...change,
  };
}

function mailRow(change: Partial<MailRowValue> = {}): MailRowValue {
  return {
    messageId: 'm1',
    from: 'root',
    to: 'a',
    fromConversationId: 'c1',
    toConversationId: 'conversation-a',
    kind: 'message',
    content: 'x',
    state: 'accepted',
    acceptedAt: '2026-11-22T11:58:00.000Z',
    ...change,
  };
}

const nothing = new Map<string, OpenMail>();
/** The second column and those after it, of the one agent. */
function cells(change: Partial<AgentViewValue>): string[] {
  const [, line = ''] = agentTree(
    [agent('a', { parentId: null, ...change })],
    nothing,
    reader,
  ).split('\n');
  return line.split(/ {2,}/).slice(1);
}

test('a team is a tree: children below their parent, in their order, with what each does', () => {
  const agents = [
    agent('root', { name: 'The root', state: 'processing', lastLine: 'Thinking.' }),
    agent('planner', { name: 'Planner', role: 'plans', outcome: 'completed', lastLine: 'A plan.' }),
    agent('reader', { state: 'cancelled', mail: { ...noMail, applied: 2, delivered: 1 } }),
    agent('tester', { parentId: 'conversation-planner', outcome: 'interrupted', queued: 2 }),
    agent('writer', { parentId: 'conversation-planner', approvals: 1 }),
  ];
  expect(agentTree(agents, nothing, reader)).toBe(
    [
      'AGENT                         STATE                        MAIL                    LAST                 SAYS',
      'root "The root"               processing                   -                       2026-11-22 12:00:00  Thinking.',
      '├─ planner "Planner" (plans)  idle, completed              -                       2026-11-22 12:00:00  A plan.',
      '│  ├─ tester                  idle, interrupted, 2 queued  -                       2026-11-22 12:00:00',
      '│  └─ writer                  idle, 1 to approve           -                       2026-11-22 12:00:00',
      '└─ reader                     cancelling                   1 delivered, 2 applied  2026-11-22 12:00:00',
      '',
    ].join('\n'),
  );
});

test('below an agent: what has not reached it and since when, and what failed or expired', () => {
  const mail = { accepted: 3, delivered: 1, applied: 0, failed: 2, expired: 3 };
  const agents = [agent('root'), agent('a', { mail }), agent('b')];
  const open: OpenMail = {
    accepted: mailRow(),
    delivered: mailRow({ deliveredAt: '2026-11-22T11:00:00.000Z' }),
    lost: [
      mailRow({ messageId: 'm2', state: 'failed', reason: 'removed' }),
      mailRow({
        messageId: 'm3',
        from: null,
        state: 'expired',
        reason: 'expired',
        acceptedAt: '2026-11-20T12:00:00.000Z',
      }),
    ],
  };
  const lines = agentTree(agents, new Map([['conversation-a', open]]), reader).split('\n');
  expect(lines.slice(3, -2)).toEqual([
    '│    . 3 not delivered, since 2026-11-22 12:58:00 (2 min)',
    '│    . 1 in its queue, since 2026-11-22 12:00:00 (60 min)',
    '│    ! failed: removed, m2 from root, since 2026-11-22 12:58:00 (2 min)',
    '│    ! expired, m3 from Holdfast, since 2026-11-20 13:00:00 (2 days)',
    '│    ! and 3 more failed or expired',
  ]);
  expect(lines[8]).toMatch(/^└─ b /);
});

test.each<[Partial<AgentViewValue>, string]>([
  [{}, 'idle'],
  [{ outcome: 'failed' }, 'idle, failed'],
  [{ state: 'processing', outcome: 'failed' }, 'processing'],
  [{ state: 'cancelled' }, 'cancelling'],
  [{ state: 'processing', queued: 1, approvals: 2 }, 'processing, 1 queued, 2 to approve'],
])('%j is %s', (change, state) => {
  expect(cells(change)[0]).toBe(state);
});

test('a change is one line, with its time', () => {
  expect(
    agentLine(
      agent('a', { name: 'Reader', lastLine: 'Read.', mail: { ...noMail, failed: 1 } }),
      reader,
    ),
  ).toBe('2026-11-22 12:00:00  a "Reader"  idle  mail: 1 failed  Read.\n');
});

test('2: one whose parent is not among them is shown all the same', () => {
  const agents = [agent('root'), agent('lost', { parentId: 'gone' })];
  expect(agentTree(agents, nothing, reader).split('\n').slice(2, 3)[0]).toMatch(/^lost /);
});

describe('1: what somebody else wrote', () => {
  test('is one line of printable text, whatever it is', () => {
    const text = fc.string({ unit: 'binary', maxLength: 300 });
    fc.assert(
      fc.property(text, text, text, text, (name, role, lastLine, reason) => {
        const told = agent('a', { name, role, lastLine, mail: { ...noMail, failed: 1 } });
        const lost = [mailRow({ state: 'failed', reason, from: reason })];
        const open: OpenMail = { accepted: null, delivered: null, lost };
        const tree = agentTree(
          [agent('root'), told],
          new Map([[told.conversationId, open]]),
          reader,
        );
        expect(tree.split('\n')).toHaveLength(5);
        expect(agentLine(told, reader).split('\n')).toHaveLength(2);
        expect(tree + agentLine(told, reader)).not.toMatch(
          // oxlint-disable-next-line no-control-regex
          /[\u0000-\u0009\u000b-\u001f\u007f-\u009f\u2028\u202e]/,
        );
      }),
    );
  });
});
