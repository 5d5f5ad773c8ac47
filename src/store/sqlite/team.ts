/** Reading who is whose child: members of a team, as the tree shows them, and what a boot owes their root. */
import type { AgentViewValue, MailStateName } from '../../contracts/events.ts';
import { teamStream } from '../../contracts/ids.ts';
import { RECOVERY_OWED_MS } from '../../contracts/limits.ts';
import { ROOT_AGENT_ID } from '../agent-basis.ts';
import { toStoredText } from '../exact-text.ts';
import type { OwedRecovery } from '../port.ts';
import { decodeEvent } from '../stored-event.ts';
import type { Connection } from './connection.ts';
import { all, one, type Answer } from './query.ts';
import { readHead } from './read.ts';
import { integer, isUsage, json, oneOf, oneOfOrNull, text, textOrNull, type Row } from './rows.ts';
import { MAIL_STATES, OUTCOMES, STATES } from './views.ts';

export function agent(connection: Connection, conversationId: string): Answer<'agent'> {
  const row = one(
    connection,
    `SELECT a.*, (SELECT content FROM mail WHERE receiver = a.conversation_id AND kind = 'task' ORDER BY row LIMIT 1) AS task
     FROM agents a WHERE conversation_id = ? AND depth > 0`,
    conversationId,
  );
  return row === undefined
    ? null
    : {
        conversationId,
        agentId: text(row, 'agent_id'),
        name: text(row, 'name'),
        role: text(row, 'role'),
        rootId: text(row, 'root_id'),
        parentId: text(row, 'parent_id'),
        depth: integer(row, 'depth'),
        task: textOrNull(row, 'task'),
      };
}

export function memberByAgentId(
  connection: Connection,
  rootId: string,
  agentId: string,
): string | null {
  const row =
    agentId === ROOT_AGENT_ID
      ? one(
          connection,
          'SELECT conversation_id FROM conversations WHERE conversation_id = ?1 AND coalesce(root_id, ?1) = ?1',
          rootId,
        )
      : one(
          connection,
          'SELECT conversation_id FROM agents WHERE root_id = ? AND agent_id = ?',
          rootId,
          agentId,
        );
  return row === undefined ? null : text(row, 'conversation_id');
}

export function children(connection: Connection, conversationId: string): string[] {
  return all(
    connection,
    'SELECT conversation_id FROM agents WHERE parent_id = ? ORDER BY member',
    conversationId,
  ).map((row) => text(row, 'conversation_id'));
}

export function team(connection: Connection, rootId: string): Answer<'team'> {
  return connection.consistently(() => {
    const root = one(
      connection,
      'SELECT root_id FROM conversations WHERE conversation_id = ?',
      rootId,
    );
    if (root === undefined) return null;
    const teamId = textOrNull(root, 'root_id');
    if (teamId === null) {
      const alone = memberView(connection, rootId);
      return alone === null ? null : { rootId, agents: [alone], lastSeq: 0 };
    }
    if (teamId !== rootId) return null;
    const head = readHead(connection, teamStream(rootId));
    const agents = all(
      connection,
      `SELECT e.json FROM agents a CROSS JOIN events e ON e.stream = ? AND e.seq = a.told
       WHERE a.root_id = ? ORDER BY a.member`,
      head?.stream ?? 0,
      rootId,
    ).map((row) => {
      const event = decodeEvent(text(row, 'json'));
      if (event.type !== 'agent.changed')
        throw new TypeError('a member was told as something else');
      return event.payload.agent;
    });
    return { rootId, agents, lastSeq: head?.lastSeq ?? 0 };
  });
}

/** What the tree would show of a conversation if it were told now; of one that stands alone, as a root. Null: there is none. */
export function memberView(connection: Connection, conversationId: string): AgentViewValue | null {
  const row = one(
    connection,
    `SELECT c.conversation_id, c.title, c.provider, c.model, c.workspace_path, c.provider_session_id, c.state, c.last_line,
       c.turn_count, c.queued, c.approvals, c.usage, c.created_at, c.last_at,
       a.parent_id, a.agent_id, a.name, a.role, coalesce(a.depth, 0) AS depth,
       a.accepted, a.delivered, a.applied, a.failed, a.expired,
       (SELECT outcome FROM attempts t WHERE t.conversation_id = c.conversation_id AND t.outcome IS NOT NULL
        ORDER BY t.started_seq DESC LIMIT 1) AS outcome
     FROM conversations c LEFT JOIN agents a USING (conversation_id) WHERE c.conversation_id = ?`,
    conversationId,
  );
  if (row === undefined) return null;
  const isRoot = integer(row, 'depth') === 0;
  return {
    agentId: isRoot ? ROOT_AGENT_ID : text(row, 'agent_id'),
    conversationId,
    parentId: textOrNull(row, 'parent_id'),
    name: text(row, isRoot ? 'title' : 'name'),
    role: isRoot ? '' : text(row, 'role'),
    depth: integer(row, 'depth'),
    provider: text(row, 'provider'),
    model: textOrNull(row, 'model'),
    workspacePath: text(row, 'workspace_path'),
    providerSessionId: textOrNull(row, 'provider_session_id'),
    state: oneOf(row, 'state', STATES),
    outcome: oneOfOrNull(row, 'outcome', OUTCOMES),
    lastLine: text(row, 'last_line'),
    turnCount: integer(row, 'turn_count'),
    queued: integer(row, 'queued'),
    approvals: integer(row, 'approvals'),
    usage: json(row, 'usage', isUsage),
    mail: row['accepted'] === null ? countMail(connection, conversationId) : mailCounts(row),
    createdAt: text(row, 'created_at'),
    lastAt: text(row, 'last_at'),
  };
}

function mailCounts(row: Row): AgentViewValue['mail'] {
  return {
    accepted: integer(row, 'accepted'),
    delivered: integer(row, 'delivered'),
    applied: integer(row, 'applied'),
    failed: integer(row, 'failed'),
    expired: integer(row, 'expired'),
  };
}

/** Rows of a conversation's mailbox by state. Of one that stands alone: a member's are kept. */
export function countMail(
  connection: Connection,
  conversationId: string,
): Record<MailStateName, number> {
  const counts = { accepted: 0, delivered: 0, applied: 0, failed: 0, expired: 0 };
  const rows = all(
    connection,
    'SELECT state, count(*) AS count FROM mail WHERE receiver = ? GROUP BY state',
    conversationId,
  );
  for (const row of rows) counts[oneOf(row, 'state', MAIL_STATES)] = integer(row, 'count');
  return counts;
}

export function owedRecoveries(
  connection: Connection,
  host: string,
  clock: () => number,
): OwedRecovery[] {
  return connection.consistently(() => readOwed(connection, host, clock));
}

/** By other hosts. */
function owedForLong(connection: Connection, host: string, clock: () => number): Row[] {
  const others = all(
    connection,
    'SELECT * FROM owed_recoveries WHERE host NOT IN (?, ?)',
    '',
    toStoredText(host),
  );
  if (others.length === 0) return [];
  const longAgo = new Date(clock() - RECOVERY_OWED_MS).toISOString();
  return others.filter((row) => text(row, 'at') <= longAgo);
}

function readOwed(connection: Connection, host: string, clock: () => number): OwedRecovery[] {
  // What ran nowhere that is known is anybody's to tell, and what its host has not told for long: it would be owed for ever.
  const rows = [...new Set(['', toStoredText(host)])]
    .flatMap((of) =>
      all(connection, 'SELECT * FROM owed_recoveries WHERE host = ? ORDER BY owed', of),
    )
    .concat(owedForLong(connection, host, clock))
    .toSorted((first, other) => integer(first, 'owed') - integer(other, 'owed'));
  const byRoot = new Map<string, OwedRecovery['interrupted']>();
  for (const row of rows) {
    const rootId = text(row, 'root_id');
    const interrupted = byRoot.get(rootId) ?? [];
    byRoot.set(rootId, interrupted);
    interrupted.push({
      conversationId: text(row, 'conversation_id'),
      turnId: text(row, 'turn_id'),
      attempt: integer(row, 'attempt'),
      boot: text(row, 'boot'),
      cause: text(row, 'cause'),
      at: text(row, 'at'),
    });
  }
  return [...byRoot].map(([rootId, interrupted]) => ({ rootId, interrupted }));
}
