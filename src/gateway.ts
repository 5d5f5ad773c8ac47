/**
 * The gateway: HTTP, WebSocket and Server-Sent Events over the store, commands to Temporal. Stateless; any number may run.
 *
 * It serves reads with Temporal down, and connects when the first command comes.
 * Says `{"ready":true,"role":"gateway"}` on stdout when it listens.
 */
import { fileURLToPath } from 'node:url';

import packageFile from '../package.json' with { type: 'json' };
import { AgentTokens } from './agent-tokens.ts';
import { createApp } from './api/app.ts';
import { lateCommands } from './api/late-commands.ts';
import { Metrics } from './api/metrics.ts';
import { loadConfig, ownEnvironment } from './config.ts';
import type { EngineProcess } from './domain/why-facts.ts';
import { writeGatewayAddress } from './gateway-address.ts';
import { announceReady, keepCompiled, outliveFullLogs } from './process-entry.ts';
import { createProviders, describeProviders } from './providers/registry.ts';
import { watchRoom } from './store/disk-room.ts';
import { openStore } from './store/open.ts';
import { whenThereIsRoom } from './store/write-failures.ts';
import { apiAddress } from './supervisor/address.ts';
import { readToken } from './supervisor/home.ts';
import { lastBeatMs, pulseFile, showPulse } from './supervisor/pulse.ts';
import { readLiveState } from './supervisor/state.ts';

/** Clients that lost their gateway are back within this; loading stops the event loop for some 0.2 s. */
const LOAD_TEMPORAL_AFTER_MS = 500;

outliveFullLogs();
const config = loadConfig();
showPulse(pulseFile({ config, role: 'gateway' }));
const token = readToken(config);
if (token === null)
  throw new Error(`there is no token at ${config.paths.token}; \`holdfast start\` makes one`);

/** A supervised gateway is told its server's address as if it were anybody's; once seen, it stays the supervisor's own. */
let embeddedTemporal = config.temporal.embedded;
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
  engine: {
    processes: engineProcesses,
    embeddedTemporal: () => embeddedTemporal,
    temporalUi: config.temporal.uiUrl,
    namespace: config.temporal.namespace,
  },
  metrics,
  // Stdout is for the supervisor's one line.
  log: { level: 'info', stream: process.stderr },
  pageFolder: fileURLToPath(new URL('../dist/web', import.meta.url)),
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
engineProcesses();
announceReady('gateway', { addresses: app.addresses() });
setTimeout(() => void temporal.load(), LOAD_TEMPORAL_AFTER_MS).unref();

/** What the supervisor has written down and lives; null when there is no such word. */
function engineProcesses(): EngineProcess[] | null {
  const state = readLiveState({ runFolder: config.paths.run });
  if (state === null) return null;
  embeddedTemporal ||= state.processes.some(({ role }) => role === 'temporal');
  const nowMs = Date.now();
  return state.processes.map(({ role, pid, startedAt, restarts }) => {
    // Only these show a pulse; what the one before has left says nothing of one that has just been started.
    const hasPulse = role === 'gateway' || role === 'worker' || role === 'turn-host';
    const beatMs = hasPulse ? lastBeatMs(pulseFile({ config, role })) : null;
    const stillForMs =
      beatMs === null ? null : Math.max(0, nowMs - Math.max(beatMs, Date.parse(startedAt)));
    return { role, pid, startedAt, restarts, stillForMs };
  });
}

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
