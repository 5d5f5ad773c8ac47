import * as fc from 'fast-check';
import { describe, expect, it } from 'vitest';

import type { AgentViewValue } from '../../src/contracts/events.ts';
import {
  RECOVERY_TEMPLATE,
  RECOVERY_TEMPLATE_CHARS,
  RECOVERY_TEXT_CHARS,
  type RecoveryFacts,
  recoveryText,
  templateProblem,
} from '../../src/domain/recovery-text.ts';

const NO_MAIL = { accepted: 0, delivered: 0, applied: 0, failed: 0, expired: 0 };
const WHEN = '2026-11-22T04:00:00.000Z';

function agent(agentId: string, changed: Partial<AgentViewValue> = {}): AgentViewValue {
  return {
    agentId,
    conversationId: `c-${agentId}`,
    parentId: 'c-root',
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
    mail: NO_MAIL,
    createdAt: WHEN,
    lastAt: WHEN,
    ...changed,
  };
}

const root = (changed: Partial<AgentViewValue> = {}): AgentViewValue =>
  agent('root', { parentId: null, depth: 0, ...changed });

const died = (agentId: string, cause = 'provider_died') => ({
  conversationId: `c-${agentId}`,
  cause,
});

function tell(template: string, facts: Partial<RecoveryFacts>): string {
  return recoveryText({
    template,
    facts: {
      when: WHEN,
      rootId: 'c-root',
      interrupted: [],
      agents: [root()],
      covered: 0,
      ...facts,
    },
  });
}

const lines = (template: string, facts: Partial<RecoveryFacts>): string[] =>
  tell(template, facts).split('\n');

describe('the recovery prompt', () => {
  it('says when, what was interrupted, the state of each agent and what is not delivered', () => {
    const agents = [
      root({ mail: { ...NO_MAIL, accepted: 3 } }),
      agent('planner', { name: 'Planner', role: 'plans', mail: { ...NO_MAIL, delivered: 2 } }),
      agent('tester', { parentId: 'c-planner', depth: 2, state: 'processing' }),
    ];
    const interrupted = [died('planner'), died('root', 'host_rebooted')];
    expect(tell(RECOVERY_TEMPLATE, { agents, interrupted, covered: 1 })).toBe(
      `Holdfast was stopped and has started again. At ${WHEN} it found that this had been interrupted:
- your own turn: host_rebooted
- Planner (planner): provider_died

Your team now:
- Planner (planner), plans: interrupted; messages not delivered: 2
- tester, below planner: running

Messages that are not delivered yet: 2 to you, 2 to agents (planner 2).

What was interrupted keeps what it had said, and does not go on by itself. An agent goes on, in its own session, when you write to it (send_message). Look at what is there before you repeat anything.`,
    );
  });

  it.each<[string, Partial<AgentViewValue>]>([
    ['running', { state: 'processing', outcome: 'failed' }],
    ['being cancelled', { state: 'cancelled' }],
    ['idle, its last turn was completed', { outcome: 'completed' }],
    ['idle, its last turn failed', { outcome: 'failed', queued: 1 }],
    ['idle, its last turn was cancelled', { outcome: 'cancelled' }],
    ['idle, its last turn was interrupted', { outcome: 'interrupted' }],
    ['waiting to start', { queued: 1 }],
    ['idle, has not run yet', {}],
  ])('tells an agent as "%s"', (words, changed) => {
    expect(tell('{{team}}', { agents: [root(), agent('a', changed)] })).toBe(`- a: ${words}`);
  });

  it('tells one that was interrupted as that, whatever its conversation knows of it by then', () => {
    const agents = [root(), agent('a', { state: 'processing' })];
    expect(tell('{{team}}', { agents, interrupted: [died('a')] })).toBe('- a: interrupted');
  });

  it('names an agent once, by its newest cause, when it was interrupted more than once', () => {
    const interrupted = [died('a', 'provider_died'), died('a', 'spool_lost')];
    const facts = { agents: [root(), agent('a')], interrupted };
    expect(tell('{{interrupted}}', facts)).toBe('- a: spool_lost');
  });

  it('begins with the interrupted, in the team too; the others keep their order', () => {
    const agents = [root(), agent('a'), agent('b'), agent('c')];
    const told = lines('{{team}}', { agents, interrupted: [died('c')] });
    expect(told.map((line) => line.slice(0, 3))).toEqual(['- c', '- a', '- b']);
  });

  it('has words for nothing', () => {
    expect(tell('{{interrupted}}|{{team}}|{{undelivered}}', {})).toBe(
      '- nothing|- no other agent|none',
    );
    // More than there is, when a row was taken between two reads.
    expect(tell('{{undelivered}}', { covered: 2 })).toBe('none');
  });

  it('counts what is accepted or delivered as undelivered, and nothing else', () => {
    const mail = { accepted: 1, delivered: 2, applied: 4, failed: 8, expired: 16 };
    const agents = [root({ mail }), agent('a', { mail }), agent('b')];
    expect(tell('{{undelivered}}', { agents, covered: 2 })).toBe('1 to you, 3 to agents (a 3)');
    const some = Array.from({ length: 9 }, (_, n) => agent(`a${n}`, { mail }));
    expect(tell('{{undelivered}}', { agents: [root(), ...some] })).toBe(
      '27 to agents (a0 3, a1 3, a2 3, a3 3, a4 3, a5 3, a6 3, a7 3, …)',
    );
  });

  it('1 a name or a role ends no line and stands for no placeholder', () => {
    const agents = [
      root(),
      agent('a', { name: 'x\n- root: completed\u2028{{when}}', role: '\u0000\r\n {{team}} ' }),
    ];
    expect(lines('{{team}}', { agents })).toEqual([
      '- x - root: completed {{when}} (a), {{team}}: idle, has not run yet',
    ]);
  });

  it('2 lists of more than 40 are counted, by state', () => {
    const many = Array.from({ length: 1_024 }, (_, n) =>
      agent(`a${n}`, n % 2 === 0 ? { state: 'processing' } : { outcome: 'completed' }),
    );
    const agents = [root(), ...many];
    const interrupted = many.slice(0, 50).map(({ agentId }) => died(agentId));
    const team = lines('{{team}}', { agents, interrupted });
    expect(team).toHaveLength(41);
    expect(team.at(-1)).toBe(
      '- and 984 more agents: 10 interrupted, 487 running, 487 idle, its last turn was completed',
    );
    const told = lines('{{interrupted}}', { agents, interrupted });
    expect(told).toHaveLength(41);
    expect(told.at(-1)).toBe('- and 10 more agents');
    expect(lines('{{team}}', { agents: [root(), ...many.slice(0, 40)] })).toHaveLength(40);
  });

  it('2 is bounded whatever the names are and however often a placeholder stands in the template', () => {
    const template = '{{team}}'.repeat(RECOVERY_TEMPLATE_CHARS / 8);
    expect(templateProblem(template)).toBe(null);
    fc.assert(
      fc.property(
        fc.array(
          fc.record({ name: fc.string({ unit: 'binary', maxLength: 200 }), role: fc.string() }),
          {
            minLength: 1,
            maxLength: 60,
          },
        ),
        (given) => {
          const agents = [root(), ...given.map((each, n) => agent(`a${n}`, each))];
          const text = tell(template, { agents });
          expect(text.length).toBeLessThanOrEqual(RECOVERY_TEXT_CHARS);
          expect(text.isWellFormed()).toBe(true);
          for (const line of lines('{{team}}', { agents })) expect(line).toMatch(/^- /);
          for (const line of lines('{{team}}', { agents })) expect(line.length).toBeLessThan(300);
        },
      ),
      { numRuns: 50 },
    );
    const long = agent('a', { name: 'n'.repeat(200) });
    expect(tell('{{team}}', { agents: [root(), long] })).toBe(
      `- ${'n'.repeat(59)}… (a): idle, has not run yet`,
    );
    const full = tell(template, { agents: [root(), ...Array.from({ length: 60 }, () => long)] });
    expect(full).toHaveLength(RECOVERY_TEXT_CHARS);
    expect(full.endsWith('…')).toBe(true);
  });
});

describe('a template', () => {
  it('is any text with the known placeholders, or none', () => {
    expect(templateProblem(RECOVERY_TEMPLATE)).toBe(null);
    expect(templateProblem('just look around; { when } {when}')).toBe(null);
    expect(templateProblem('{{ when }}{{undelivered}}')).toBe(null);
    expect(tell('{{ when }}, {{when}} and {{  when}}', {})).toBe(`${WHEN}, ${WHEN} and ${WHEN}`);
  });

  it.each([
    ['', 'it is empty'],
    [' \n', 'it is empty'],
    ['a'.repeat(RECOVERY_TEMPLATE_CHARS + 1), 'it is longer than 16384 characters'],
    [
      'at {{when}} {{ Team }}',
      '{{ Team }} is none of {{when}}, {{interrupted}}, {{team}}, {{undelivered}}',
    ],
    ['{{}}', '{{}} is none of {{when}}, {{interrupted}}, {{team}}, {{undelivered}}'],
    [
      `{{${'x'.repeat(100)}}}`,
      `{{${'x'.repeat(57)}… is none of {{when}}, {{interrupted}}, {{team}}, {{undelivered}}`,
    ],
  ])('is refused, with why: %j', (template, problem) => {
    expect(templateProblem(template)).toBe(problem);
  });

  it('may be as long as its limit', () => {
    expect(templateProblem('a'.repeat(RECOVERY_TEMPLATE_CHARS))).toBe(null);
  });
});
