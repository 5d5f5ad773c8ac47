/**
 * The workflow worker: replays conversations and tables, records what they decide, starts again those that Temporal has
 * lost, looks at triggers that are overdue and at mail that nobody took, and folds away old deltas.
 * Holds no provider and no chat client.
 *
 * Says `{"ready":true,"role":"worker"}` on stdout when it polls.
 */
import { fileURLToPath } from 'node:url';

import { ScheduleClient, WorkflowClient } from '@temporalio/client';
import { DefaultLogger, NativeConnection, Runtime, Worker } from '@temporalio/worker';

import { createMailActivities } from './activities/mail.ts';
import { Presence } from './activities/presence.ts';
import { createRecordActivities } from './activities/records.ts';
import { createTableActivities } from './activities/tables.ts';
import { createTriggerActivities } from './activities/triggers.ts';
import { Compactor } from './compaction.ts';
import { loadConfig } from './config.ts';
import { WORKFLOW_TASK_QUEUE } from './contracts/names.ts';
import { MailWatch } from './mail-watch.ts';
import { announceReady, connectPatiently, outliveFullLogs } from './process-entry.ts';
import { Reviver } from './revival.ts';
import { openStore } from './store/open.ts';
import { whenThereIsRoom } from './store/write-failures.ts';
import { pulseFile, showPulse } from './supervisor/pulse.ts';
import { triggerSchedules } from './trigger-schedules.ts';
import { TriggerWatch } from './trigger-watch.ts';
import { workflowSignals } from './workflow-signals.ts';

/** Temporal answers in milliseconds, or not at all. */
const PING_LIMIT_MS = 3_000;

outliveFullLogs();
const config = loadConfig();
showPulse(pulseFile({ config, role: 'worker' }));
Runtime.install({ logger: new DefaultLogger('WARN') });

const store = await whenThereIsRoom(() => openStore({ url: config.store.url }));
const connection = await connectPatiently(() =>
  NativeConnection.connect(config.temporal.connection),
);
const client = new WorkflowClient({ connection, namespace: config.temporal.namespace });
const signals = workflowSignals({ client, taskQueue: WORKFLOW_TASK_QUEUE });
const log = (text: string): void =>
  void process.stderr.write(`${new Date().toISOString()} ${text}\n`);
const { graceMs } = config.triggers;
const presence = new Presence({ graceMs });
const schedules = triggerSchedules({
  client: new ScheduleClient({ connection, namespace: config.temporal.namespace }),
  taskQueue: WORKFLOW_TASK_QUEUE,
  log,
});
const worker = await Worker.create({
  connection,
  namespace: config.temporal.namespace,
  taskQueue: WORKFLOW_TASK_QUEUE,
  // Pre-bundled: a worker that bundles at boot needs a second and 100 MB more. `npm run build` makes it.
  workflowBundle: { codePath: fileURLToPath(new URL('../dist/workflows.js', import.meta.url)) },
  activities: {
    ...createRecordActivities({ store }),
    ...createTableActivities({ store, signals }),
    ...createMailActivities({ store, signals }),
    ...createTriggerActivities({ store, signals, schedules, presence, graceMs }),
  },
  // One workflow thread and a small cache of conversations: a conversation that is not in it is replayed from its history.
  workflowThreadPoolSize: 1,
  // With 40 (the default) that thread replays them interleaved, and on a busy machine all of them take longer than their 10 s,
  // are lost, and begin again. Found by torture; the others wait at the server, where no time runs against them.
  maxConcurrentWorkflowTaskExecutions: 8,
  maxCachedWorkflows: 200,
  // What Temporal waits for a worker that was killed before it gives its conversations to the next one (default 10 s).
  stickyQueueScheduleToStartTimeout: '2 seconds',
  shutdownGraceTime: '2 seconds',
  reuseV8Context: true,
});

for (const signal of ['SIGINT', 'SIGTERM'] as const) process.on(signal, () => shutdown());
announceReady('worker');
const compactor = new Compactor({ store, windowMs: config.store.replayWindowMs, log });
compactor.start();
const reviver = new Reviver({
  store,
  client,
  signals,
  taskQueue: WORKFLOW_TASK_QUEUE,
  log,
});
reviver.start();
const triggerWatch = new TriggerWatch({
  store,
  signals,
  schedules,
  presence,
  graceMs,
  ping: () =>
    connection.withDeadline(Date.now() + PING_LIMIT_MS, () =>
      connection.workflowService.getSystemInfo({}),
    ),
  log,
});
triggerWatch.start();
const mailWatch = new MailWatch({ store, signals, log });
mailWatch.start();
await worker.run();
triggerWatch.stop();
mailWatch.stop();
await triggerWatch.idle();
reviver.stop();
compactor.stop();
await store.close();
await connection.close();

function shutdown(): void {
  if (worker.getState() === 'RUNNING') worker.shutdown();
}
