/**
 * Records the histories that `npm test` replays (R1): one for each path through the conversation's workflow.
 *
 *     node test/replay/record.ts            writes those that are missing
 *     node test/replay/record.ts --all      writes all anew: only together with a deliberate, versioned change
 *
 * `a-silence-told-to-an-earlier-version` was recorded with the worker of commit 167ad6a, which did not know these signals: it
 * cannot be recorded again.
 *
 * A history that stands was written by a workflow that people have running: new code must replay it, so it is never
 * recorded anew to get green.
 */
import { execFileSync } from 'node:child_process';
import { existsSync, mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

import { historyToJSON } from '@temporalio/common/lib/proto-utils.js';

import { eventually } from '../support/eventually.ts';
import { findTemporalBinary, startTemporal } from '../support/temporal-server.ts';
import {
  type Harness,
  idle,
  ran,
  snapshotOf,
  type Started,
  startHarness,
} from '../workflows/harness.ts';

const folder = fileURLToPath(new URL('./histories/', import.meta.url));
const bundlePath = fileURLToPath(new URL('../../dist/workflows.js', import.meta.url));

type Path = {
  name: string;
  unpinned?: boolean;
  walk(started: Started, harness: Harness): Promise<void>;
};

const paths: Path[] = [
  {
    name: 'first-send-with-host-claim',
    unpinned: true,
    async walk({ double, handle }) {
      await handle.signal('send', { requestId: 'r1', content: 'one' });
      double.end(await ran(double));
      await idle(handle);
    },
  },
  {
    name: 'three-turns',
    async walk({ double, handle }) {
      for (const n of [1, 2, 3]) {
        await handle.signal('send', { requestId: `r${n}`, content: `${n}` });
        double.end(await ran(double, n));
        await idle(handle);
      }
    },
  },
  {
    name: 'queue-reject-steer-interrupt',
    async walk({ double, handle }) {
      await handle.signal('send', { requestId: 'r1', content: 'one' });
      await ran(double);
      await handle.signal('send', { requestId: 'r2', content: 'two' });
      await handle.signal('send', { requestId: 'r3', content: 'three', whenBusy: 'reject' });
      await handle.signal('send', { requestId: 'r4', content: 'four', whenBusy: 'steer' });
      await handle.signal('send', { requestId: 'r5', content: 'five', whenBusy: 'interrupt' });
      for (const n of [2, 3, 4]) double.end(await ran(double, n));
      await idle(handle);
    },
  },
  {
    name: 'cancel-twice',
    async walk({ double, handle }) {
      await handle.signal('send', { requestId: 'r1', content: 'one' });
      await ran(double);
      await handle.signal('cancel', { by: 'ann' });
      await handle.signal('cancel');
      await idle(handle);
      await handle.signal('cancel');
    },
  },
  {
    name: 'retry-of-an-interrupted-turn',
    async walk({ double, handle }) {
      await handle.signal('send', { requestId: 'r1', content: 'one' });
      const first = await ran(double);
      double.end(first, 'interrupted');
      await idle(handle);
      await handle.signal('retry', { turnId: first.turnId });
      double.end(await ran(double, 2));
      await idle(handle);
      await handle.signal('retry', { turnId: 'tnone', requestId: 'r2' });
      await eventually(() => double.types().includes('chat.rejected'));
    },
  },
  {
    name: 'send-before-the-end-is-told',
    async walk({ double, handle }) {
      await handle.signal('send', { requestId: 'r1', content: 'one' });
      const first = await ran(double);
      double.ended.add(`${first.turnId}.1`);
      await handle.signal('send', { requestId: 'r2', content: 'two', whenBusy: 'reject' });
      const second = await ran(double, 2);
      double.end(first);
      double.end(second);
      await idle(handle);
    },
  },
  {
    name: 'approval',
    async walk({ double, handle }) {
      await handle.signal('send', { requestId: 'r1', content: 'one' });
      const ref = await ran(double);
      await handle.signal('resolveApproval', { approvalId: 'a1', decision: 'allow' });
      await eventually(() => double.answered.length === 1);
      double.end(ref);
      await idle(handle);
    },
  },
  {
    name: 'known-to-the-store-and-malformed-signals',
    async walk({ id, double, handle }) {
      // As if an earlier run had decided r1, and Temporal had forgotten it.
      double.keys.set('request:r1', {
        conversationId: id,
        key: 'request:r1',
        events: [],
        request: {
          requestId: 'r1',
          kind: 'send',
          status: 'started',
          turnId: 'told',
          attempt: 1,
          content: 'one',
        },
        unlessEnded: null,
      });
      await handle.signal('send', { requestId: 'r1', content: 'one' });
      await handle.signal('send', { nonsense: true } as never);
      await handle.signal('send', { requestId: 'r2', content: 'two' });
      double.end(await ran(double));
      await idle(handle);
    },
  },
  {
    name: 'a-turn-that-the-workflow-had-forgotten',
    async walk({ double, handle, id }, harness) {
      double.behindOnce = {
        turnId: 'told',
        attempt: 1,
        requestId: 'r0',
        startedAt: '2026-01-01T00:00:00.000Z',
        cancelRequested: true,
      };
      await handle.signal('send', { requestId: 'r1', content: 'one' });
      await eventually(() => double.ran.some(({ turnId }) => turnId === 'told'));
      double.end({ turnId: 'told', attempt: 1 });
      const second = await ran(double, 2);
      double.end(second);
      await idle(harness.client.workflow.getHandle(`conversation:${id}`));
      await snapshotOf(handle);
    },
  },
  {
    name: 'a-silence-and-a-reopening',
    async walk({ double, handle }) {
      await handle.signal('send', { requestId: 'r1', content: 'one' });
      const ref = await ran(double);
      for (const quiet of [true, false, true])
        await handle.signal('quiet', { turnId: ref.turnId, attempt: 1, quiet });
      await eventually(async () => (await snapshotOf(handle)).inWords.endsWith('silent.'));
      double.end(ref);
      await idle(handle);
      double.start = {
        ...double.start,
        state: 'processing',
        queue: [{ requestId: 'r2', turnId: 'twaits', content: 'two', position: 0, attempt: 1 }],
      };
      await handle.signal('reopen');
      double.end(await ran(double, 2));
      await idle(handle);
    },
  },
];

const all = process.argv.includes('--all');
mkdirSync(folder, { recursive: true });
execFileSync(process.execPath, [
  fileURLToPath(new URL('../../scripts/bundle.ts', import.meta.url)),
]);
const server = await startTemporal({ binary: await findTemporalBinary() });
const harness = await startHarness({ address: server.address, bundlePath });
try {
  for (const path of paths) {
    const { name, unpinned = false } = path;
    const file = join(folder, `${name}.json`);
    if (existsSync(file) && !all) continue;
    const started = await harness.start(name, { unpinned });
    await path.walk(started, harness);
    // The last Workflow Task is closed when the server says that none is pending.
    await eventually(async () => (await started.handle.describe()).raw.pendingWorkflowTask == null);
    const history = await started.handle.fetchHistory();
    writeFileSync(file, `${JSON.stringify(JSON.parse(historyToJSON(history)), null, 1)}\n`);
    process.stdout.write(`${name}: ${history.events?.length} events\n`);
  }
} finally {
  await harness.stop();
  await server.stop();
}
