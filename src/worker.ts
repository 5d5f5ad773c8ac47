/**
 * The workflow worker: replays conversations, records what they decide, and starts again those that Temporal has lost.
 * Holds no provider and no chat client.
 *
 * Says `{"ready":true,"role":"worker"}` on stdout when it polls.
 */
import { fileURLToPath } from 'node:url';

import { WorkflowClient } from '@temporalio/client';
import { DefaultLogger, NativeConnection, Runtime, Worker } from '@temporalio/worker';

import { createRecordActivities } from './activities/records.ts';
import { loadConfig } from './config.ts';
import { WORKFLOW_TASK_QUEUE } from './contracts/names.ts';
import { announceReady, connectPatiently, outliveFullLogs } from './process-entry.ts';
import { Reviver } from './revival.ts';
import { openStore } from './store/open.ts';
import { whenThereIsRoom } from './store/write-failures.ts';
import { pulseFile, showPulse } from './supervisor/pulse.ts';

outliveFullLogs();
const config = loadConfig();
showPulse(pulseFile({ config, role: 'worker' }));
Runtime.install({ logger: new DefaultLogger('WARN') });

const store = await whenThereIsRoom(() => openStore({ url: config.store.url }));
const connection = await connectPatiently(() =>
  NativeConnection.connect(config.temporal.connection),
);
const worker = await Worker.create({
  connection,
  namespace: config.temporal.namespace,
  taskQueue: WORKFLOW_TASK_QUEUE,
  // Pre-bundled: a worker that bundles at boot needs a second and 100 MB more. `npm run build` makes it.
  workflowBundle: { codePath: fileURLToPath(new URL('../dist/workflows.js', import.meta.url)) },
  activities: createRecordActivities({ store }),
  // One workflow thread and a small cache of conversations: a conversation that is not in it is replayed from its history.
  workflowThreadPoolSize: 1,
  maxCachedWorkflows: 200,
  // What Temporal waits for a worker that was killed before it gives its conversations to the next one (default 10 s).
  stickyQueueScheduleToStartTimeout: '2 seconds',
  shutdownGraceTime: '2 seconds',
  reuseV8Context: true,
});

for (const signal of ['SIGINT', 'SIGTERM'] as const) process.on(signal, () => shutdown());
announceReady('worker');
const reviver = new Reviver({
  store,
  client: new WorkflowClient({ connection, namespace: config.temporal.namespace }),
  taskQueue: WORKFLOW_TASK_QUEUE,
  log: (text) => void process.stderr.write(`${new Date().toISOString()} ${text}\n`),
});
reviver.start();
await worker.run();
reviver.stop();
await store.close();
await connection.close();

function shutdown(): void {
  if (worker.getState() === 'RUNNING') worker.shutdown();
}
