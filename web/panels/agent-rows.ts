/** The team as a tree that is walked with the keyboard. Pure. */
import type { TeamViewValue } from '../../src/contracts/agents.ts';

export type Agent = TeamViewValue['agents'][number];

export type TreeRow = {
  agent: Agent;
  level: number;
  /** Among its siblings, from 1. */
  place: number;
  siblings: number;
  /** Null: it has no children. */
  isOpen: boolean | null;
};

/** The rows that are seen: what lies below an agent that is folded is left out. */
export function treeRows(agents: readonly Agent[], folded: ReadonlySet<string>): TreeRow[] {
  const known = new Set(agents.map((agent) => agent.conversationId));
  const children = new Map<string | null, Agent[]>();
  for (const agent of agents) {
    // one whose parent is not in the view (yet) stands at the top rather than nowhere
    const parent = agent.parentId !== null && known.has(agent.parentId) ? agent.parentId : null;
    const siblings = children.get(parent) ?? [];
    siblings.push(agent);
    children.set(parent, siblings);
  }
  const rows: TreeRow[] = [];
  const walk = (parent: string | null, level: number) => {
    const siblings = children.get(parent) ?? [];
    for (const [index, agent] of siblings.entries()) {
      const { conversationId } = agent;
      const isOpen = children.has(conversationId) ? !folded.has(conversationId) : null;
      rows.push({ agent, level, place: index + 1, siblings: siblings.length, isOpen });
      if (isOpen === true) walk(conversationId, level + 1);
    }
  };
  walk(null, 1);
  return rows;
}

export type TreeMove =
  | { is: 'select'; conversationId: string }
  | { is: 'fold' | 'unfold'; conversationId: string };

/** What a key does in a tree (ARIA Authoring Practices, tree view). Null: the key is not the tree's. */
export function treeMove(
  rows: readonly TreeRow[],
  selectedId: string,
  key: string,
): TreeMove | null {
  const index = rows.findIndex((row) => row.agent.conversationId === selectedId);
  const row = rows[index];
  const select = (other: TreeRow | undefined): TreeMove | null =>
    other === undefined ? null : { is: 'select', conversationId: other.agent.conversationId };
  switch (key) {
    case 'ArrowDown':
      return select(rows[index + 1]);
    case 'ArrowUp':
      return select(rows[index - 1]);
    case 'Home':
      return select(rows[0]);
    case 'End':
      return select(rows.at(-1));
    case 'ArrowRight':
      if (row === undefined || row.isOpen === null) return null;
      return row.isOpen ? select(rows[index + 1]) : { is: 'unfold', conversationId: selectedId };
    case 'ArrowLeft':
      if (row === undefined) return null;
      if (row.isOpen === true) return { is: 'fold', conversationId: selectedId };
      return select(rows.slice(0, index).findLast((above) => above.level < row.level));
    default:
      return null;
  }
}

/** The state in a word or two, as the list of conversations has it. */
export function stateWords(agent: Agent): { words: string; tone: string; isLive: boolean } {
  if (agent.approvals > 0) return { words: 'needs approval', tone: 'warn', isLive: false };
  if (agent.state === 'cancelled') return { words: 'cancelling', tone: 'warn', isLive: true };
  if (agent.state === 'processing') return { words: 'running', tone: 'accent', isLive: true };
  if (agent.queued > 0) return { words: `queued ${agent.queued}`, tone: 'plain', isLive: false };
  switch (agent.outcome) {
    case null:
      return { words: 'idle', tone: 'plain', isLive: false };
    case 'completed':
      return { words: 'completed', tone: 'good', isLive: false };
    case 'failed':
      return { words: 'failed', tone: 'bad', isLive: false };
    case 'cancelled':
    case 'interrupted':
      return { words: agent.outcome, tone: 'warn', isLive: false };
  }
}

/** What of its mail has not been taken; null: nothing is to be said. */
export function mailWords({ mail }: Agent): string | null {
  const waiting = mail.accepted + mail.delivered;
  const lost = mail.failed + mail.expired;
  const parts = [
    ...(waiting > 0 ? [`${waiting} waiting`] : []),
    ...(lost > 0 ? [`${lost} not taken`] : []),
  ];
  return parts.length === 0 ? null : parts.join(', ');
}
