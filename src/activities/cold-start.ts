/** What a turn needs that has no process to run on: a program, a spool for it, and what its new session must be told. */
import { randomUUID } from 'node:crypto';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';

import { HISTORY_TEXT_BYTES } from '../contracts/limits.ts';
import { MCP_SERVER } from '../contracts/names.ts';
import type { Provider } from '../contracts/provider-events.ts';
import { historyText } from '../domain/history-text.ts';
import { allowedEnvironment } from '../providers/process/environment.ts';
import { bootId } from '../providers/process/process-table.ts';
import { Spool } from '../providers/process/spool.ts';
import type { AttemptRow, ConversationRow, Store } from '../store/port.ts';
import type { CustodySettings, McpAccess } from './custody-settings.ts';

export type ColdStart = { provider: Provider; row: AttemptRow; conversation: ConversationRow };

const MCP_CONFIG_FILE = 'mcp.json';

/** Of a session that no conversation has: it is neither continued nor remembered. */
const NO_GENERATION = -1;

/** The provider's session to continue; null: there is none, and what was said before has to be told. */
export function sessionToResume({ provider, conversation }: ColdStart): string | null {
  return provider.capabilities.resume ? conversation.providerSessionId : null;
}

/** What was said before this attempt, without its own turn, as text; undefined when nothing was. */
export async function historyBefore(
  store: Store,
  { conversationId, turnId }: AttemptRow,
): Promise<string | undefined> {
  const { rows, truncated } = await store.history(conversationId, turnId, HISTORY_TEXT_BYTES);
  // A character has a byte at least: this cuts only what is told beside the rows' own text.
  return historyText({ rows, truncated, limitChars: HISTORY_TEXT_BYTES }) ?? undefined;
}

/** With a proxy for everything else, the gateway is asked without it: it may be on this very machine. */
function reachingDirectly(
  mcp: McpAccess | null,
  environment: Record<string, string>,
): Record<string, string> {
  const isProxied = Object.keys(environment).some((name) => /^https?_proxy$/i.test(name));
  if (mcp === null || !isProxied) return environment;
  const { NO_PROXY, no_proxy } = environment;
  const direct = [NO_PROXY ?? no_proxy ?? '', new URL(mcp.url).hostname]
    .filter((name) => name !== '')
    .join(',');
  return { ...environment, NO_PROXY: direct, no_proxy: direct };
}

/** Beside the provider's other files, and removed with them: what is in it dies with the conversation, not with the process. */
function writeMcpConfig({ folder, mcp }: { folder: string; mcp: McpAccess }): void {
  const server = {
    type: 'http',
    url: mcp.url,
    headers: { Authorization: `Bearer ${mcp.token}` },
  };
  writeFileSync(
    join(folder, MCP_CONFIG_FILE),
    JSON.stringify({ mcpServers: { [MCP_SERVER]: server } }),
    { mode: 0o600 },
  );
}

/** Makes the spool of an attempt whose process it is to be; the program is not started. */
export async function makeSpool(
  start: ColdStart & { settings: CustodySettings; program: string; key: string },
): Promise<{ spool: Spool; environment: Record<string, string> }> {
  const { settings, provider, row, key, conversation } = start;
  const mcp = settings.mcp(row.conversationId);
  const session = {
    workspacePath: conversation.workspacePath,
    model: row.model,
    resumeSessionId: sessionToResume(start),
    newSessionId: randomUUID(),
    ...(mcp === null ? {} : { mcpConfigPath: join(settings.spoolRoot, key, MCP_CONFIG_FILE) }),
  };
  const command = provider.command(start.program, session);
  const environment = reachingDirectly(mcp, {
    ...allowedEnvironment({
      environment: settings.environment,
      names: provider.environmentNames,
    }),
    ...command.environment,
  });
  const spool = await Spool.create({
    root: settings.spoolRoot,
    name: key,
    spec: {
      mark: key,
      conversationId: row.conversationId,
      providerId: provider.providerId,
      session,
      // The conversation may have changed its provider since the attempt was started: its session is another's.
      sessionGeneration:
        row.provider === conversation.provider ? conversation.sessionGeneration : NO_GENERATION,
      ...(mcp === null ? {} : { mcpUrl: mcp.url }),
      program: command.program,
      args: command.args,
      environmentNames: Object.keys(environment),
      bootId: bootId(),
      createdAt: new Date().toISOString(),
    },
  });
  if (mcp !== null) writeMcpConfig({ folder: spool.path, mcp });
  return { spool, environment };
}
