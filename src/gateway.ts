/**
 * The gateway: HTTP, WebSocket and Server-Sent Events over the store, commands to Temporal. Stateless; any number may run.
 *
 * It serves reads with Temporal down, and connects when the first command comes.
 * Says `{"ready":true,"role":"gateway"}` on stdout when it listens.
 */
import packageFile from '../package.json' with { type: 'json' };
import { createApp } from './api/app.ts';
import { Metrics } from './api/metrics.ts';
import { createTemporalCommands, lazyTemporalConnection } from './api/temporal-commands.ts';
import { loadConfig, ownEnvironment } from './config.ts';
import { announceReady, outliveFullLogs } from './process-entry.ts';
import { createProviders, describeProviders } from './providers/registry.ts';
import { watchRoom } from './store/disk-room.ts';
import { openStore } from './store/open.ts';
import { readToken } from './supervisor/home.ts';

outliveFullLogs();
const config = loadConfig();
const token = readToken(config);
if (token === null)
  throw new Error(`there is no token at ${config.paths.token}; \`holdfast start\` makes one`);

const metrics = new Metrics();
const commandDurations = metrics.histogram(
  'temporal_command_duration_seconds',
  'One attempt of a command, by what became of it.',
);
// Reads only: what is written is written by the workflow and the turn hosts.
const store = await openStore({ url: config.store.url, readOnly: true });
const connection = lazyTemporalConnection(config.temporal.connection);
const providers = createProviders();
const app = createApp({
  config: { ...config.api, workspaceRoots: config.turns.workspaceRoots },
  token,
  store,
  commands: createTemporalCommands({
    connection,
    namespace: config.temporal.namespace,
    observe: ({ call, fate, durationMs }) =>
      commandDurations.observe(durationMs / 1_000, { call, fate }),
  }),
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
await app.listen({ host: config.api.host, port: config.api.port });
announceReady('gateway', { addresses: app.addresses() });

async function stop(): Promise<void> {
  await app.close();
  await store.close();
  await connection.close();
}
