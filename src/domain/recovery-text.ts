/**
 * The prompt with which a team's root is told what a boot has interrupted (M2).
 *
 * Invariants:
 *  1 Nothing but the template's own text and facts of this team is in it; a name cannot end a line, nor stand for a placeholder.
 *  2 It is bounded, however large the team is and whatever its names are; what is left out is counted.
 */
import type { AgentViewValue } from '../contracts/events.ts';

/** What a template may have in `{{ }}`. */
const RECOVERY_PLACEHOLDERS = ['when', 'interrupted', 'team', 'undelivered'] as const;

export const RECOVERY_TEMPLATE = `Holdfast was stopped and has started again. At {{when}} it found that this had been interrupted:
{{interrupted}}

Your team now:
{{team}}

Messages that are not delivered yet: {{undelivered}}.

What was interrupted keeps what it had said, and does not go on by itself. An agent goes on, in its own session, when you write to it (send_message). Look at what is there before you repeat anything.`;

/** Longest template, and longest prompt that is made of one. */
export const RECOVERY_TEMPLATE_CHARS = 16 * 1024;
export const RECOVERY_TEXT_CHARS = 64 * 1024;
/** Lines of a list; the rest is counted. */
const LIST_LINES = 40;
/** Of a name or a role: they are up to 200 characters long. */
const NAME_CHARS = 60;
/** Agents that are named beside the number of their undelivered messages. */
const NAMED_RECEIVERS = 8;

/** Why a text is no template; null: it is one. */
export function templateProblem(template: string): string | null {
  if (template.trim() === '') return 'it is empty';
  if (template.length > RECOVERY_TEMPLATE_CHARS)
    return `it is longer than ${RECOVERY_TEMPLATE_CHARS} characters`;
  const known = new Set<string>(RECOVERY_PLACEHOLDERS);
  for (const [found, name = ''] of template.matchAll(PLACEHOLDER))
    if (!known.has(name))
      return `${shortened(found)} is none of ${RECOVERY_PLACEHOLDERS.map((each) => `{{${each}}}`).join(', ')}`;
  return null;
}

/** Anything in double braces, so that one that is misspelt is told and not sent. */
const PLACEHOLDER = /\{\{\s*([^{}]*?)\s*\}\}/gu;

/** What a boot has interrupted, with the team as it is now. */
export type RecoveryFacts = {
  /** RFC 3339. */
  when: string;
  rootId: string;
  /** Newest last; a conversation may be in it twice. */
  interrupted: readonly { conversationId: string; cause: string }[];
  /** The root, and a parent before its children. */
  agents: readonly AgentViewValue[];
  /** Rows of the root's mailbox that are told in this prompt, and count as delivered with it. */
  covered: number;
};

/** `template` must be one, see {@link templateProblem}. */
export function recoveryText({
  template,
  facts,
}: {
  template: string;
  facts: RecoveryFacts;
}): string {
  const values: Record<string, string> = {
    when: facts.when,
    interrupted: interruptedText(facts),
    team: teamText(facts),
    undelivered: undeliveredText(facts),
  };
  const text = template.replaceAll(PLACEHOLDER, (found, name: string) => values[name] ?? found);
  return text.length <= RECOVERY_TEXT_CHARS
    ? text
    : `${text.slice(0, RECOVERY_TEXT_CHARS - 1).toWellFormed()}…`;
}

/** The root first, as the one that is spoken to. */
function interruptedText({ rootId, interrupted, agents }: RecoveryFacts): string {
  const causes = causeOf(interrupted);
  const named = agents.filter(({ conversationId }) => causes.has(conversationId));
  const lines = [
    ...named.filter(({ conversationId }) => conversationId === rootId),
    ...named.filter(({ conversationId }) => conversationId !== rootId),
  ].map((agent) => {
    const who = agent.conversationId === rootId ? 'your own turn' : nameOf(agent);
    return `- ${who}: ${causes.get(agent.conversationId) ?? ''}`;
  });
  return listed(lines, (left) => `- and ${left} more agents`, '- nothing');
}

/** Those that were interrupted first: they are why this is said. */
function teamText({ rootId, interrupted, agents }: RecoveryFacts): string {
  const causes = causeOf(interrupted);
  const others = agents.filter(({ conversationId }) => conversationId !== rootId);
  const told = [
    ...others.filter(({ conversationId }) => causes.has(conversationId)),
    ...others.filter(({ conversationId }) => !causes.has(conversationId)),
  ];
  const stateOf = (agent: AgentViewValue): string =>
    causes.has(agent.conversationId) ? 'interrupted' : stateWords(agent);
  const names = new Map(agents.map((agent) => [agent.conversationId, agent]));
  const lines = told.map((agent) => {
    const parent = agent.parentId === rootId ? undefined : names.get(agent.parentId ?? '');
    const below = parent === undefined ? '' : `, below ${parent.agentId}`;
    const role = shortened(agent.role);
    const waits = undeliveredOf(agent);
    const mail = waits === 0 ? '' : `; messages not delivered: ${waits}`;
    return `- ${nameOf(agent)}${role === '' ? '' : `, ${role}`}${below}: ${stateOf(agent)}${mail}`;
  });
  const left = told.slice(LIST_LINES).map(stateOf);
  const counts = [...new Set(left)].map(
    (state) => `${left.filter((each) => each === state).length} ${state}`,
  );
  return listed(
    lines,
    (count) => `- and ${count} more agents: ${counts.join(', ')}`,
    '- no other agent',
  );
}

function undeliveredText({ rootId, agents, covered }: RecoveryFacts): string {
  const waiting = agents.filter((agent) => undeliveredOf(agent) > 0);
  const receivers = waiting.filter(({ conversationId }) => conversationId !== rootId);
  const root = waiting.find(({ conversationId }) => conversationId === rootId);
  const toRoot = root === undefined ? 0 : Math.max(0, undeliveredOf(root) - covered);
  const toAgents = receivers.reduce((sum, agent) => sum + undeliveredOf(agent), 0);
  const named = receivers
    .slice(0, NAMED_RECEIVERS)
    .map((agent) => `${agent.agentId} ${undeliveredOf(agent)}`);
  const others = receivers.length > NAMED_RECEIVERS ? ', …' : '';
  const parts = [
    ...(toRoot === 0 ? [] : [`${toRoot} to you`]),
    ...(toAgents === 0 ? [] : [`${toAgents} to agents (${named.join(', ')}${others})`]),
  ];
  return parts.length === 0 ? 'none' : parts.join(', ');
}

/** The newest cause of each conversation. */
function causeOf(interrupted: RecoveryFacts['interrupted']): Map<string, string> {
  return new Map(
    interrupted.map(({ conversationId, cause }) => [conversationId, shortened(cause)]),
  );
}

function undeliveredOf({ mail }: AgentViewValue): number {
  return mail.accepted + mail.delivered;
}

function stateWords({ state, outcome, queued }: AgentViewValue): string {
  switch (state) {
    case 'processing':
      return 'running';
    case 'cancelled':
      return 'being cancelled';
    case 'idle':
      if (outcome !== null) return `idle, its last turn ${ENDED[outcome]}`;
      return queued > 0 ? 'waiting to start' : 'idle, has not run yet';
  }
}

const ENDED = {
  completed: 'was completed',
  failed: 'failed',
  cancelled: 'was cancelled',
  interrupted: 'was interrupted',
} as const;

function nameOf({ agentId, name }: AgentViewValue): string {
  const plain = shortened(name);
  return plain === '' || plain === agentId ? agentId : `${plain} (${agentId})`;
}

function listed(lines: string[], more: (left: number) => string, none: string): string {
  if (lines.length === 0) return none;
  const left = lines.length - LIST_LINES;
  return (left <= 0 ? lines : [...lines.slice(0, LIST_LINES), more(left)]).join('\n');
}

/** On one line, and not long. */
function shortened(text: string): string {
  const plain = text.replace(/[\s\p{C}]+/gu, ' ').trim();
  return plain.length <= NAME_CHARS ? plain : `${plain.slice(0, NAME_CHARS - 1).toWellFormed()}…`;
}
