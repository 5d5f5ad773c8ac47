/**
 * The gateway: HTTP, WebSocket and Server-Sent Events over the store, commands to Temporal. Stateless; any number may run.
 *
 * It serves reads with Temporal down, and connects when the first command comes.
 * Says `{"ready":true,"role":"gateway"}` on stdout when it listens.
 */
import packageFile from '../package.json' with { type: 'json' };
import { AgentTokens } from './agent-tokens.ts';
import { createApp } from './api/app.ts';
import { lateCommands } from './api/late-commands.ts';
import { Metrics } from './api/metrics.ts';
import { loadConfig, ownEnvironment } from './config.ts';
import { writeGatewayAddress } from './gateway-address.ts';
import { announceReady, keepCompiled, outliveFullLogs } from './process-entry.ts';
import { createProviders, describeProviders } from './providers/registry.ts';
import { watchRoom } from './store/disk-room.ts';
import { openStore } from './store/open.ts';
import { whenThereIsRoom } from './store/write-failures.ts';
import { apiAddress } from './supervisor/address.ts';
import { readToken } from './supervisor/home.ts';
import { pulseFile, showPulse } from './supervisor/pulse.ts';

/** Clients that lost their gateway are back within this; loading stops the event loop for some 0.2 s. */
const LOAD_TEMPORAL_AFTER_MS = 500;

outliveFullLogs();
const config = loadConfig();
showPulse(pulseFile({ config, role: 'gateway' }));
const token = readToken(config);
if (token === null)
  throw new Error(`there is no token at ${config.paths.token}; \`holdfast start\` makes one`);

const metrics = new Metrics();
const commandDurations = metrics.histogram(
  'temporal_command_duration_seconds',
  'One attempt of a command, by what became of it.',
);
// Reads only: what is written is written by the workflow and the turn hosts.
const store = await whenThereIsRoom(() => openStore({ url: config.store.url, readOnly: true }));
// Loading the client takes a third of the start, and whoever comes back to read needs none of it.
const temporal = lateCommands(async () => {
  const { createTemporalCommands, lazyTemporalConnection } =
    await import('./api/temporal-commands.ts');
  const connection = lazyTemporalConnection(config.temporal.connection);
  keepCompiled();
  return {
    close: () => connection.close(),
    commands: createTemporalCommands({
      connection,
      namespace: config.temporal.namespace,
      observe: ({ call, fate, durationMs }) =>
        commandDurations.observe(durationMs / 1_000, { call, fate }),
    }),
  };
});
const providers = createProviders();
const agentTokens = new AgentTokens({ keyFile: config.paths.agentKey });
const app = createApp({
  config: {
    ...config.api,
    workspaceRoots: config.turns.workspaceRoots,
    agentBudgetUsd: config.agents.budgetUsd,
  },
  token,
  conversationOfToken: (given) => agentTokens.conversationOf(given),
  store,
  commands: temporal.commands,
  providers: {
    describe: () => describeProviders({ providers, environment: ownEnvironment() }),
  },
  room: watchRoom(config.disk),
  metrics,
  // Stdout is for the supervisor's one line.
  log: { level: 'info', stream: process.stderr },
  version: packageFile.version,
});

for (const signal of ['SIGINT', 'SIGTERM'] as const) process.once(signal, () => void stop());
await app.listen({
  host: config.api.host,
  port: config.api.port,
  // Clients that all come back at once: of those that Node's default (511) leaves out, each tries again after a second.
  backlog: 4_096,
});
tellTurnHosts();
announceReady('gateway', { addresses: app.addresses() });
setTimeout(() => void temporal.load(), LOAD_TEMPORAL_AFTER_MS).unref();

/** A full disk is no reason to serve nobody: the agents whose providers start meanwhile have no tools. */
function tellTurnHosts(): void {
  const listening = app.server.address();
  if (typeof listening !== 'object' || listening === null) return;
  const address = apiAddress({ host: config.api.host, port: listening.port });
  try {
    writeGatewayAddress({ file: config.paths.gatewayAddress, address });
  } catch (error) {
    app.log.error({ err: error }, 'the address was not written down');
  }
}

async function stop(): Promise<void> {
  await app.close();
  await store.close();
  await temporal.close();
}
