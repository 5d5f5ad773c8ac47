/**
 * The turn host: owns the spools, starts provider CLIs, writes the log. Kept lean, for starting a process stops the event
 * loop in proportion to the parent's memory (design.md section 3).
 *
 * At boot it evicts an older custody process of the same host, adopts what that one left, and only then asks Temporal
 * for work: streams go on before Temporal has said anything.
 * Says `{"ready":true,"role":"turn-host"}` on stdout when it polls.
 */
import { mkdirSync } from 'node:fs';

import { WorkflowClient } from '@temporalio/client';
import { DefaultLogger, NativeConnection, Runtime, Worker } from '@temporalio/worker';

import type { CustodyLog } from './activities/custody-settings.ts';
import { Custody } from './activities/custody.ts';
import { hasLostCustodyOfHost, takeCustodyOfHost } from './activities/eviction.ts';
import type { AttemptRef } from './activities/live-turn.ts';
import { createClaimActivities, createTurnActivities } from './activities/turns.ts';
import { loadConfig, ownEnvironment, silenceLimitMs } from './config.ts';
import { conversationWorkflowId } from './contracts/ids.ts';
import { HEARTBEAT_MS, TURN_LIMIT_MS } from './contracts/limits.ts';
import { CLAIM_TASK_QUEUE, hostTaskQueue, SIGNAL } from './contracts/names.ts';
import type { QuietSignalValue } from './contracts/signals.ts';
import { announceReady, connectPatiently, outliveFullLogs } from './process-entry.ts';
import { createProviders } from './providers/registry.ts';
import { watchRoom } from './store/disk-room.ts';
import { openStore } from './store/open.ts';

outliveFullLogs();
const config = loadConfig();
const { turns, paths } = config;
Runtime.install({ logger: new DefaultLogger('WARN') });
for (const folder of [paths.spools, paths.run]) mkdirSync(folder, { recursive: true, mode: 0o700 });

const log: CustodyLog = (level, text, facts = {}) => {
  process.stderr.write(
    `${JSON.stringify({ at: new Date().toISOString(), level, text, ...facts })}\n`,
  );
};

const seat = { folder: paths.run, host: turns.hostName };
await takeCustodyOfHost({ ...seat, log });
const workers: Worker[] = [];
/** Once Temporal is there; what is silent before that, its Web UI could not have shown. */
let client: WorkflowClient | null = null;
const store = await openStore({ url: config.store.url });
const custody = new Custody({
  store,
  providers: createProviders(),
  settings: {
    host: turns.hostName,
    spoolRoot: paths.spools,
    environment: ownEnvironment(),
    cancelGraceMs: turns.cancelGraceMs,
    termGraceMs: turns.termGraceMs,
    sessionIdleMs: turns.sessionIdleMs,
    sessionLimit: turns.sessionLimit,
    sessionSpoolLimitBytes: turns.sessionSpoolLimitBytes,
    lineLimitBytes: turns.providerLineLimitBytes,
    silence: (subject) => ({
      quietMs: silenceLimitMs(turns.quietAfter, subject),
      stalledMs: silenceLimitMs(turns.stalledAfter, subject),
    }),
    room: watchRoom(config.disk),
    turnLimitMs: TURN_LIMIT_MS,
  },
  log,
  events: { onQuiet: tellOperators, onSuperseded: giveUp },
});
const adopted = await custody.adopt();
if (adopted.attempts + adopted.sessions > 0)
  log('info', 'adopted what an earlier process left', adopted);
const tick = setInterval(() => {
  if (hasLostCustodyOfHost(seat)) giveUp();
  else custody.tick();
}, 1_000);

const connection = await connectPatiently(() =>
  NativeConnection.connect(config.temporal.connection),
);
const shared = {
  connection,
  namespace: config.temporal.namespace,
  // The turn goes on without us: nothing to wait for.
  shutdownGraceTime: 0,
};
client = new WorkflowClient({ connection, namespace: config.temporal.namespace });
workers.push(
  await Worker.create({
    ...shared,
    taskQueue: hostTaskQueue(turns.hostName),
    activities: createTurnActivities({ custody, heartbeatMs: HEARTBEAT_MS }),
    // Joining a turn costs nothing: what is bounded is the number of provider processes (Custody).
    maxConcurrentActivityTaskExecutions: 1_000,
    maxHeartbeatThrottleInterval: HEARTBEAT_MS,
    defaultHeartbeatThrottleInterval: HEARTBEAT_MS,
  }),
  await Worker.create({
    ...shared,
    taskQueue: CLAIM_TASK_QUEUE,
    activities: createClaimActivities({ custody }),
    maxConcurrentActivityTaskExecutions: 10,
  }),
);
for (const signal of ['SIGINT', 'SIGTERM'] as const) process.on(signal, () => shutdown());
announceReady('turn-host', { host: turns.hostName, ...adopted });
await Promise.all(workers.map((worker) => worker.run()));
clearInterval(tick);
await custody.endIdleSessions();
custody.close();
await store.close();
await connection.close();

/** For the search attribute. Lost, it misleads nobody about the turn: the log says what happened. */
function tellOperators({ conversationId, ...said }: AttemptRef & { quiet: boolean }): void {
  const argument: QuietSignalValue = said;
  client
    ?.getHandle(conversationWorkflowId(conversationId))
    .signal(SIGNAL.quiet, argument)
    .catch((error: unknown) =>
      log('warn', 'Temporal was not told of a silence', { error: String(error) }),
    );
}

/** Ends at once, without a word to the provider processes: they are another custody's. */
function giveUp(): void {
  log('error', 'another process has custody of this host; stopping', { host: turns.hostName });
  process.exit(1);
}

function shutdown(): void {
  for (const worker of workers) if (worker.getState() === 'RUNNING') worker.shutdown();
}
