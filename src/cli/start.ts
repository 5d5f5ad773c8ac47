/** `holdfast start`: the supervisor, in the foreground. */
import { parseArgs } from 'node:util';

import { runSupervisor } from '../supervisor.ts';
import { readToken } from '../supervisor/home.ts';
import type { SupervisorState } from '../supervisor/state.ts';
import { ApiClient, isRecord } from './api-client.ts';
import type { CommandContext } from './command.ts';
import { harmless } from './terminal-text.ts';

export const startUsage = `holdfast start
  Runs Temporal (unless TEMPORAL_ADDRESS is set), the workflow worker, the turn host and the gateway, and restarts each
  one that dies. Ctrl-C stops them; running turns go on and are taken over at the next start.
`;

/** Each CLI is asked for its version; one that hangs must not hide that Holdfast is ready. */
const PROVIDERS_WITHIN_MS = 5_000;

export async function start(context: CommandContext): Promise<number> {
  parseArgs({ args: context.args, options: {} });
  const { config, environment, out } = context;
  return runSupervisor({
    config,
    environment,
    show: (line) => out.write(`${harmless(line)}\n`),
    welcome: async ({ state, startMs }) => {
      const token = readToken(config) ?? '';
      const providers = await describeProviders(new ApiClient({ address: state.api, token }));
      return welcome({ state, startMs, token, providers, logs: config.paths.logs });
    },
  });
}

function welcome({
  state,
  startMs,
  token,
  providers,
  logs,
}: {
  state: SupervisorState;
  startMs: number;
  token: string;
  providers: string;
  logs: string;
}): string[] {
  return [
    '',
    `Holdfast is ready, after ${(startMs / 1000).toFixed(1)} s.`,
    '',
    `  Page         ${state.api}/#token=${token}`,
    `  Temporal UI  ${state.temporalUi ?? `of ${state.temporal}: unknown`}`,
    `  Providers    ${providers}`,
    `  Logs         ${logs}`,
    '',
    'Ctrl-C stops Holdfast; running turns go on and are taken over at the next start.',
  ];
}

async function describeProviders(client: ApiClient): Promise<string> {
  try {
    const { body } = await client.call({
      method: 'GET',
      path: '/v1/providers',
      signal: AbortSignal.timeout(PROVIDERS_WITHIN_MS),
    });
    const items = isRecord(body) && Array.isArray(body['items']) ? body['items'] : [];
    const words = items.filter(isRecord).map((item) => {
      const name = String(item['providerId']);
      if (item['found'] !== true) return `${name} (not found)`;
      return typeof item['version'] === 'string' ? `${name} ${item['version']}` : name;
    });
    return words.join(', ');
  } catch (error) {
    return `unknown: ${error instanceof Error ? error.message : String(error)}`;
  }
}
