/**
 * A team as a tree for a person.
 *
 *  1 One agent is one line, and one line for each piece of its mail that needs somebody; nothing in it steers the terminal.
 *  2 Every agent of the team is shown, also one whose parent is not among them.
 */
import type { MailRowValue } from '../contracts/agents.ts';
import type { AgentViewValue } from '../contracts/events.ts';
import { aligned, localTime, oneLine, type Reader, roughly } from './text-table.ts';

const NAME_CHARS = 40;
const WORDS_CHARS = 80;

/** What of an agent's mail is still to reach it, and what never did. */
export type OpenMail = {
  /** Recorded and not in its queue yet; in its queue and not applied. The oldest of each. */
  accepted: MailRowValue | null;
  delivered: MailRowValue | null;
  /** Failed and expired ones, oldest first, perhaps not all. */
  lost: readonly MailRowValue[];
};

/** The team as a tree. `mail`: by conversationId, of those that have any. */
export function agentTree(
  agents: readonly AgentViewValue[],
  mail: ReadonlyMap<string, OpenMail>,
  reader: Reader,
): string {
  const placed = inTreeOrder(agents);
  const rows = placed.map(({ agent, branch }) => [
    `${branch}${label(agent)}`,
    stateOf(agent),
    mailOf(agent),
    localTime(agent.lastAt, reader),
    oneLine(agent.lastLine, WORDS_CHARS),
  ]);
  const [head = '', ...lines] = aligned([['AGENT', 'STATE', 'MAIL', 'LAST', 'SAYS'], ...rows]);
  const told = lines.flatMap((line, index) => {
    const { agent, below } = placed[index] ?? {};
    if (agent === undefined) return [line];
    const open = mail.get(agent.conversationId);
    const notes = open === undefined ? [] : mailNotes(agent, open, reader);
    return [line, ...notes.map((note) => `${below ?? ''}  ${note}`)];
  });
  return [head, ...told].map((line) => `${line}\n`).join('');
}

/** One line: what an agent does now. */
export function agentLine(agent: AgentViewValue, reader: Reader): string {
  const parts = [
    localTime(agent.lastAt, reader),
    label(agent),
    stateOf(agent),
    `mail: ${mailOf(agent)}`,
    oneLine(agent.lastLine, WORDS_CHARS),
  ];
  return `${parts.filter((part) => part !== '').join('  ')}\n`;
}

type Placed = {
  agent: AgentViewValue;
  /** Before its name. */
  branch: string;
  /** Before what is said below it. */
  below: string;
};

function inTreeOrder(agents: readonly AgentViewValue[]): Placed[] {
  const ids = new Set(agents.map(({ conversationId }) => conversationId));
  const childrenOf = Map.groupBy(agents, ({ parentId }) =>
    parentId !== null && ids.has(parentId) ? parentId : null,
  );
  const placed: Placed[] = [];
  const place = (agent: AgentViewValue, branch: string, below: string): void => {
    placed.push({ agent, branch, below });
    const children = childrenOf.get(agent.conversationId) ?? [];
    for (const [index, child] of children.entries()) {
      const isLast = index === children.length - 1;
      place(child, `${below}${isLast ? '└─ ' : '├─ '}`, `${below}${isLast ? '   ' : '│  '}`);
    }
  };
  for (const top of childrenOf.get(null) ?? []) place(top, '', '');
  return placed;
}

function label({ agentId, name, role }: AgentViewValue): string {
  const said = oneLine(name, NAME_CHARS);
  const named = said === '' || said === agentId ? agentId : `${agentId} "${said}"`;
  const does = oneLine(role, NAME_CHARS);
  return does === '' ? named : `${named} (${does})`;
}

function stateOf({ state, outcome, queued, approvals }: AgentViewValue): string {
  const now = state === 'idle' ? `idle${outcome === null ? '' : `, ${outcome}`}` : state;
  return [
    state === 'cancelled' ? 'cancelling' : now,
    ...(queued === 0 ? [] : [`${queued} queued`]),
    ...(approvals === 0 ? [] : [`${approvals} to approve`]),
  ].join(', ');
}

function mailOf({ mail }: AgentViewValue): string {
  const told = Object.entries(mail).flatMap(([state, count]) =>
    count === 0 ? [] : [`${count} ${state}`],
  );
  return told.length === 0 ? '-' : told.join(', ');
}

function mailNotes(
  { mail }: AgentViewValue,
  { accepted, delivered, lost }: OpenMail,
  reader: Reader,
): string[] {
  const since = (at: string): string =>
    `since ${localTime(at, reader)} (${roughly(Math.max(0, reader.nowMs - Date.parse(at)))})`;
  const notes: string[] = [];
  if (accepted !== null)
    notes.push(`. ${mail.accepted} not delivered, ${since(accepted.acceptedAt)}`);
  if (delivered !== null)
    notes.push(
      `. ${mail.delivered} in its queue, ${since(delivered.deliveredAt ?? delivered.acceptedAt)}`,
    );
  for (const { messageId, from, state, reason, acceptedAt } of lost) {
    const why = reason === undefined || reason === state ? '' : `: ${oneLine(reason, NAME_CHARS)}`;
    const sender = oneLine(from ?? 'Holdfast', NAME_CHARS);
    notes.push(`! ${state}${why}, ${messageId} from ${sender}, ${since(acceptedAt)}`);
  }
  const untold = mail.failed + mail.expired - lost.length;
  if (untold > 0) notes.push(`! and ${untold} more failed or expired`);
  return notes;
}
