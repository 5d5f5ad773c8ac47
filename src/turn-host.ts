/**
 * The turn host: owns the spools, starts provider CLIs, writes the log. Kept lean, for starting a process stops the event
 * loop in proportion to the parent's memory (design.md section 3).
 *
 * At boot it evicts an older custody process of the same host, adopts what that one left, and only then asks Temporal
 * for work: streams go on before Temporal has said anything.
 * Then it tells the roots of teams what it found dead; nothing waits for that.
 * Says `{"ready":true,"role":"turn-host"}` on stdout when it polls.
 */
import { randomUUID } from 'node:crypto';
import { mkdirSync } from 'node:fs';

import type { WorkflowClient } from '@temporalio/client';
import type { Worker } from '@temporalio/worker';

import type { CustodyLog, McpAccess } from './activities/custody-settings.ts';
import { Custody } from './activities/custody.ts';
import { hasLostCustodyOfHost, takeCustodyOfHost } from './activities/eviction.ts';
import { QuietTeller, type QuietWord } from './activities/quiet-teller.ts';
import { Recovery } from './activities/recovery.ts';
import { AgentTokens } from './agent-tokens.ts';
import { loadConfig, ownEnvironment, silenceLimitMs } from './config.ts';
import { conversationWorkflowId } from './contracts/ids.ts';
import { HEARTBEAT_MS, TURN_LIMIT_MS } from './contracts/limits.ts';
import {
  CLAIM_TASK_QUEUE,
  hostTaskQueue,
  MCP_PATH,
  SIGNAL,
  WORKFLOW_TASK_QUEUE,
} from './contracts/names.ts';
import type { QuietSignalValue } from './contracts/signals.ts';
import { RECOVERY_TEMPLATE } from './domain/recovery-text.ts';
import { readGatewayAddress } from './gateway-address.ts';
import { announceReady, connectPatiently, outliveFullLogs } from './process-entry.ts';
import { createProviders } from './providers/registry.ts';
import { readRecoveryTemplate } from './recovery-template.ts';
import { watchRoom } from './store/disk-room.ts';
import { openStore } from './store/open.ts';
import { whenThereIsRoom } from './store/write-failures.ts';
import { apiAddress } from './supervisor/address.ts';
import { pulseFile, showPulse } from './supervisor/pulse.ts';
import { workflowSignals } from './workflow-signals.ts';

outliveFullLogs();
const config = loadConfig();
showPulse(pulseFile({ config, role: 'turn-host' }));
const { turns, paths } = config;
for (const folder of [paths.spools, paths.run]) mkdirSync(folder, { recursive: true, mode: 0o700 });

const log: CustodyLog = (level, text, facts = {}) => {
  process.stderr.write(
    `${JSON.stringify({ at: new Date().toISOString(), level, text, ...facts })}\n`,
  );
};

const seat = { folder: paths.run, host: turns.hostName };
await takeCustodyOfHost({ ...seat, log });
const workers: Worker[] = [];
/** Once Temporal is there. */
let client: WorkflowClient | null = null;
const teller = new QuietTeller({ say: tellTemporal });
const store = await whenThereIsRoom(() => openStore({ url: config.store.url }));
const agentTokens = new AgentTokens({ keyFile: paths.agentKey });
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
    mcp: mcpOf,
    boot: config.agents.recoveryPrompt === 'off' ? null : randomUUID(),
  },
  log,
  events: {
    onQuiet: (word) => teller.tell(word),
    onEnded: (ref) => teller.forget(ref),
    onSuperseded: giveUp,
  },
});
// What is recorded for this host is seen some 15 ms before Temporal's activity brings it.
const stopWatching = store.watch((heads) => custody.notice(heads));
const adopted = await custody.adopt();
if (adopted.attempts + adopted.sessions > 0)
  log('info', 'adopted what an earlier process left', adopted);
const recovery = new Recovery({
  store,
  host: turns.hostName,
  template: recoveryTemplate(),
  look: lookIntoMailbox,
  log,
});
// Not awaited: an end that the store cannot take now holds up no turn.
const recovered = custody.deadRecorded.then(() => recovery.run());
recovered.catch((error: unknown) => log('error', 'recovery failed', { error: String(error) }));
const tick = setInterval(() => {
  if (hasLostCustodyOfHost(seat)) giveUp();
  else custody.tick();
}, 1_000);

// Loaded only now: it takes longer than everything above together, and no stream shall wait for it.
const temporal = await import('@temporalio/worker');
const { WorkflowClient: Client } = await import('@temporalio/client');
const { createClaimActivities, createTurnActivities } = await import('./activities/turns.ts');
temporal.Runtime.install({ logger: new temporal.DefaultLogger('WARN') });
const connection = await connectPatiently(() =>
  temporal.NativeConnection.connect(config.temporal.connection),
);
const shared = {
  connection,
  namespace: config.temporal.namespace,
  // The turn goes on without us: nothing to wait for.
  shutdownGraceTime: 0,
};
client = new Client({ connection, namespace: config.temporal.namespace });
workers.push(
  await temporal.Worker.create({
    ...shared,
    taskQueue: hostTaskQueue(turns.hostName),
    activities: createTurnActivities({ custody, heartbeatMs: HEARTBEAT_MS }),
    // Joining a turn costs nothing: what is bounded is the number of provider processes (Custody).
    maxConcurrentActivityTaskExecutions: 1_000,
    maxHeartbeatThrottleInterval: HEARTBEAT_MS,
    defaultHeartbeatThrottleInterval: HEARTBEAT_MS,
  }),
  await temporal.Worker.create({
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

/** Asked at each start of a provider: a gateway on a port of its own choice has another one each time. */
function mcpOf(conversationId: string): McpAccess | null {
  const { host, port } = config.api;
  const address =
    port === 0 ? readGatewayAddress({ file: paths.gatewayAddress }) : apiAddress({ host, port });
  if (address === null) return null;
  try {
    return { url: `${address}${MCP_PATH}`, token: agentTokens.tokenOf(conversationId) };
  } catch (error) {
    // An agent without its tools is better than none.
    log('error', 'there is no key for agents', { error: String(error) });
    return null;
  }
}

async function tellTemporal({ conversationId, ...said }: QuietWord): Promise<void> {
  if (client === null) throw new Error('Temporal is not there yet');
  const argument: QuietSignalValue = said;
  await client.getHandle(conversationWorkflowId(conversationId)).signal(SIGNAL.quiet, argument);
}

/** A template that has become unusable since the start is no reason to run no turns. */
function recoveryTemplate(): string {
  const read = readRecoveryTemplate(config.agents.recoveryPrompt);
  if ('template' in read) return read.template;
  log('error', 'the built-in recovery prompt is used', { problem: read.problem });
  return RECOVERY_TEMPLATE;
}

async function lookIntoMailbox(conversationId: string): Promise<void> {
  if (client === null) throw new Error('Temporal is not there yet');
  const signals = workflowSignals({ client, taskQueue: WORKFLOW_TASK_QUEUE });
  await signals.signalConversation(conversationId, SIGNAL.mail, {});
}

/** Ends at once, without a word to the provider processes: they are another custody's. */
function giveUp(): void {
  log('error', 'another process has custody of this host; stopping', { host: turns.hostName });
  process.exit(1);
}

function shutdown(): void {
  stopWatching();
  recovery.stop();
  for (const worker of workers) if (worker.getState() === 'RUNNING') worker.shutdown();
}
