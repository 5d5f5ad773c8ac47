/** `holdfast agents`: the tree of a team, what each agent does, and what of its mail did not arrive. */
import { parseArgs } from 'node:util';

import type { MailRowValue, TeamViewValue } from '../contracts/agents.ts';
import type { AgentViewValue, MailStateName } from '../contracts/events.ts';
import { agentLine, agentTree, type OpenMail } from './agent-tree.ts';
import { isRecord } from './api-client.ts';
import {
  type CommandContext,
  CommandError,
  connect,
  EXIT,
  oneConversation,
  read,
} from './command.ts';
import { followEvents } from './follow.ts';
import { harmless } from './terminal-text.ts';

export const agentsUsage = `holdfast agents [options] ID
  The team of a conversation, whichever member it is, as a tree: the state of each agent, its mail, and what it said last.
  Below an agent: mail that has not reached it, and since when; "!" is what failed or expired, and can be sent again.

  --follow   go on with a line for each change, until Ctrl-C
  --json     the team as the API answers it; with --follow one JSON object a line: it, then every event
`;

/** Failed and expired rows that are shown of each agent. */
const LOST_SHOWN = 3;

export async function agents(context: CommandContext): Promise<number> {
  const { values, positionals } = parseArgs({
    args: context.args,
    allowPositionals: true,
    options: {
      json: { type: 'boolean', default: false },
      follow: { type: 'boolean', default: false },
    },
  });
  const conversationId = oneConversation(positionals);
  const { json, follow } = values;
  const path = `/v1/conversations/${encodeURIComponent(conversationId)}/agents`;
  const team = await readTeam(context, path);
  const { out } = context;
  const write = (text: string): void => out.write(out.isTerminal ? harmless(text) : text);
  if (!json) await showTree(context, team);
  else if (follow) write(`${JSON.stringify({ type: 'snapshot', payload: team })}\n`);
  else write(`${JSON.stringify(team, null, 2)}\n`);
  if (!follow) return EXIT.ok;

  const following = new AbortController();
  process.once('SIGINT', () => following.abort());
  const { signal } = following;
  const client = connect(context.config);
  for await (const event of followEvents({ client, path, afterSeq: team.lastSeq, signal })) {
    if (event.type === 'reset') {
      context.err.write('[older changes are no longer kept; the team as it is now:]\n');
      const now = await readTeam(context, path);
      if (json) write(`${JSON.stringify({ type: 'snapshot', payload: now })}\n`);
      else await showTree(context, now);
    } else if (json) write(`${JSON.stringify(event)}\n`);
    else if (event.type === 'agent.changed')
      out.write(agentLine(event.payload.agent, { nowMs: Date.now() }));
  }
  return EXIT.ok;
}

async function readTeam(context: CommandContext, path: string): Promise<TeamViewValue> {
  const { body } = await read(context.config, path);
  if (!isTeam(body)) throw new CommandError('The gateway did not answer with a team.');
  return body;
}

async function showTree(context: CommandContext, team: TeamViewValue): Promise<void> {
  const mail = new Map<string, OpenMail>();
  for (const agent of team.agents) {
    const open = await openMail(context, agent);
    if (open !== null) mail.set(agent.conversationId, open);
  }
  context.out.write(agentTree(team.agents, mail, { nowMs: Date.now() }));
}

/** Null: all of its mail has been applied. */
async function openMail(
  context: CommandContext,
  { conversationId, mail }: AgentViewValue,
): Promise<OpenMail | null> {
  const rows = async (state: MailStateName, limit: number): Promise<MailRowValue[]> => {
    if (mail[state] === 0) return [];
    const path = `/v1/conversations/${encodeURIComponent(conversationId)}/mailbox`;
    const { body } = await read(context.config, `${path}?state=${state}&limit=${limit}`);
    const items = isRecord(body) ? body['items'] : null;
    if (!Array.isArray(items) || !items.every(isMail))
      throw new CommandError('The gateway did not answer with a mailbox.');
    return items;
  };
  const [accepted = null] = await rows('accepted', 1);
  const [delivered = null] = await rows('delivered', 1);
  const failed = await rows('failed', LOST_SHOWN);
  const expired = await rows('expired', LOST_SHOWN);
  const lost = [...failed, ...expired]
    .toSorted((one, other) => Date.parse(one.acceptedAt) - Date.parse(other.acceptedAt))
    .slice(0, LOST_SHOWN);
  const isEmpty = accepted === null && delivered === null && lost.length === 0;
  return isEmpty ? null : { accepted, delivered, lost };
}

/** As far as the tree needs it. */
function isTeam(value: unknown): value is TeamViewValue {
  return (
    isRecord(value) &&
    typeof value['lastSeq'] === 'number' &&
    Array.isArray(value['agents']) &&
    value['agents'].every((agent) => isRecord(agent) && isRecord(agent['mail']))
  );
}

function isMail(value: unknown): value is MailRowValue {
  return (
    isRecord(value) &&
    typeof value['messageId'] === 'string' &&
    typeof value['acceptedAt'] === 'string'
  );
}
