/**
 * Whether an agent may be made (T2 of port.ts). Neutral of the engine. Asked before anything is written.
 */
import { HoldfastError } from '../contracts/errors.ts';
import type { AgentLinkValue } from '../contracts/events.ts';
import { AGENT_BREADTH_LIMIT, AGENT_DEPTH_LIMIT, AGENT_LIMIT } from '../contracts/limits.ts';

/** The root's agentId in its team. */
export const ROOT_AGENT_ID = 'root';

/** What the store knows of the team that an agent is to join. */
export type TeamStanding = {
  /** Null: it was not created. `rootId` is its own id where it stands alone. */
  parent: { rootId: string; depth: number } | null;
  /** Whether there is a member with that agentId. */
  isTaken: boolean;
  /** Of the parent. */
  children: number;
  /** Of the team, without its root. */
  agents: number;
};

/**
 * Throws: `not_found` for a parent that was not created; `request_id_reused` for an agentId that the team has; `budget_exceeded`,
 * detail `limit`, for one agent too many. And a TypeError, which is a defect of the caller, for a link that contradicts its parent's.
 */
export function checkAgent(agent: AgentLinkValue, standing: TeamStanding): void {
  const { agentId, rootId, parentId, depth } = agent;
  const { parent, isTaken, children, agents } = standing;
  if (parent === null)
    throw new HoldfastError('not_found', 'The parent has not been created.', {
      conversationId: parentId,
    });
  if (parent.rootId !== rootId || parent.depth + 1 !== depth)
    throw new TypeError(
      `agent ${agentId} of root ${rootId} at depth ${depth}: its parent is of root ${parent.rootId} at depth ${parent.depth}`,
    );
  if (isTaken || agentId === ROOT_AGENT_ID)
    throw new HoldfastError('request_id_reused', 'The team has an agent of this agentId.', {
      rootId,
      agentId,
    });
  const over: readonly [limit: string, count: number, most: number][] = [
    ['depth', depth, AGENT_DEPTH_LIMIT],
    ['breadth', children + 1, AGENT_BREADTH_LIMIT],
    ['agents', agents + 1, AGENT_LIMIT],
  ];
  for (const [limit, count, most] of over)
    if (count > most)
      throw new HoldfastError('budget_exceeded', `This would be one too many: ${limit} ${most}.`, {
        limit,
        most,
      });
}
