/**
 * Records the histories that `npm test` replays (R1): one for each path through the workflows.
 *
 *     node test/replay/record.ts            writes those that are missing
 *     node test/replay/record.ts NAME…      writes these anew: only those of a version that nobody has run
 *     node test/replay/record.ts --all      writes all anew: only together with a deliberate, versioned change
 *
 * `a-silence-told-to-an-earlier-version` was recorded with the worker of commit 167ad6a, which did not know these signals, and
 * `a-long-run-of-an-earlier-version` with that of 49c3918, whose runs were longer: they cannot be recorded again.
 *
 * A history that stands was written by a workflow that people have running: new code must replay it, so it is never
 * recorded anew to get green.
 */
import { execFileSync } from 'node:child_process';
import { existsSync, mkdirSync, writeFileSync } from 'node:fs';
import { basename, join } from 'node:path';
import { fileURLToPath } from 'node:url';

import { ScheduleClient } from '@temporalio/client';
import { historyToJSON } from '@temporalio/common/lib/proto-utils.js';

import type { MailItem } from '../../src/activities/mail.ts';
import type { TriggerDefinitionValue } from '../../src/contracts/events.ts';
import { triggerWorkflowId } from '../../src/contracts/ids.ts';
import { triggerSchedules } from '../../src/trigger-schedules.ts';
import { eventually } from '../support/eventually.ts';
import { findTemporalBinary, startTemporal } from '../support/temporal-server.ts';
import {
  type Harness,
  idle,
  ran,
  snapshotOf,
  type Started,
  type StartedTable,
  startHarness,
} from '../workflows/harness.ts';

const folder = fileURLToPath(new URL('./histories/', import.meta.url));
const bundlePath = fileURLToPath(new URL('../../dist/workflows.js', import.meta.url));

type Path = {
  name: string;
  unpinned?: boolean;
  /** The conversation belongs to a table. */
  tableId?: string;
  /** Answers which run is recorded, when it is not the last. */
  walk(started: Started, harness: Harness): Promise<Recorded | void>;
};
type Recorded = Pick<Started['handle'], 'describe' | 'fetchHistory'>;
type TablePath = { name: string; walk(started: StartedTable): Promise<void> };
/** Answers what is recorded. */
type TriggerPath = { name: string; walk(harness: Harness, name: string): Promise<Recorded> };

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
    // Past what is a run's length now.
    name: 'a-long-run-of-an-earlier-version',
    async walk({ double, handle }) {
      for (let n = 1; n <= 26; n += 1) {
        await handle.signal('send', { requestId: `r${n}`, content: `${n}` });
        double.end(await ran(double, n));
        await idle(handle);
      }
    },
  },
  {
    name: 'a-run-that-has-become-long',
    async walk({ double, handle }, harness) {
      const { runId } = await handle.describe();
      for (let n = 1; n <= 26; n += 1) {
        await handle.signal('send', { requestId: `r${n}`, content: `${n}` });
        double.end(await ran(double, n));
        await idle(handle);
      }
      return harness.client.workflow.getHandle(handle.workflowId, runId);
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

/** What was recorded under that key, once it is there. */
const recordedAs = (double: Started['double'], key: string) =>
  eventually(() => double.keys.get(key));

paths.push(
  {
    name: 'queue-commands',
    async walk({ double, handle }) {
      for (const n of [1, 2, 3, 4])
        await handle.signal('send', { requestId: `r${n}`, content: `${n}` });
      await ran(double);
      await handle.signal('updateQueued', { commandId: 'k1', requestId: 'r3', content: 'drei' });
      await handle.signal('updateQueued', { commandId: 'k2', requestId: 'r4', position: 0 });
      await handle.signal('removeQueued', { commandId: 'k3', requestId: 'r2' });
      await handle.signal('removeQueued', { commandId: 'k4', requestId: 'none' });
      await handle.signal('holdQueue', { commandId: 'k5', held: true });
      await handle.signal('updateQueued', { commandId: 'k6', requestId: 'r3', now: true });
      double.end(await ran(double, 2));
      await idle(handle);
      await handle.signal('holdQueue', { commandId: 'k7', held: false });
      await ran(double, 3);
      await handle.signal('send', { requestId: 'r5', content: '5' });
      await handle.signal('cancel', { holdQueue: true });
      await idle(handle);
    },
  },
  {
    name: 'steer-taken-refused-unheard',
    async walk({ double, handle }) {
      await handle.signal('send', { requestId: 'r1', content: '1' });
      await ran(double);
      for (const n of [2, 3, 4])
        await handle.signal('send', { requestId: `r${n}`, content: `${n}`, whenBusy: 'steer' });
      await eventually(() => double.offered.length === 3);
      double.answerOffer('r2', 'taken');
      await recordedAs(double, 'steered:r2');
      double.answerOffer('r3', 'refused');
      await recordedAs(double, 'steered:r3');
      double.answerOffer('r4', 'taken', { told: false });
      double.end(await ran(double));
      double.end(await ran(double, 2));
      await idle(handle);
      double.answerOffer('r4', 'taken');
    },
  },
  {
    name: 'edit-rollback-update',
    async walk({ double, handle }) {
      double.messages.set('m5', { messageId: 'm5', found: true, previousMessageId: 'm4' });
      await handle.signal('updateConversation', {
        commandId: 'k1',
        title: 'Work',
        provider: 'claude',
      });
      await handle.signal('rollback', { commandId: 'k2', messageId: 'm5' });
      await handle.signal('rollback', { commandId: 'k3', messageId: null });
      await handle.signal('send', { requestId: 'r1', content: '1', replaces: 'm5' });
      const first = await ran(double);
      await handle.signal('send', { requestId: 'r2', content: '2', replaces: 'm5' });
      await handle.signal('send', { requestId: 'r3', content: '3', replaces: 'none' });
      await recordedAs(double, 'request:r3');
      double.end(first, 'interrupted');
      const second = await ran(double, 2);
      await handle.signal('retry', { turnId: first.turnId, requestId: 'again' });
      await recordedAs(double, 'request:again');
      double.cut.add(first.turnId);
      double.end(second);
      await idle(handle);
    },
  },
  {
    name: 'mail-of-a-team',
    async walk({ id, double, handle }, harness) {
      const item = (n: number): MailItem => ({
        requestId: `mail-${n}`,
        content: `mail ${n}`,
        whenBusy: 'queue',
        mail: { messageId: `m${n}`, from: 'child', kind: 'message', bytes: 6 },
      });
      double.mail.push(item(1));
      await handle.signal('mail', {});
      const first = await ran(double);
      double.mail.push(...Array.from({ length: 40 }, (_, n) => item(n + 2)));
      double.waitingMail.push(item(100));
      const message = { messageId: 'm2', from: 'child', content: 'mail 2' };
      await handle.signal('mail', { message });
      await handle.signal('mail', { again: { messageId: 'm9', from: 'child' } });
      await handle.signal('mail', { again: 'no such thing' });
      await eventually(() => double.mailSignals.length === 3);
      double.end(first);
      for (const n of [2, 3]) double.end(await ran(double, n));
      await idle(handle);
      // What it tells its parent, and what it passes on to its children.
      const parentId = `${id}-parent`;
      double.start = { ...double.start, host: harness.host, parentId };
      await handle.signal('reopen');
      await handle.signal('send', { requestId: 'r1', content: 'one' });
      await ran(double, 4);
      await handle.signal('cancel', { cascade: true });
      await eventually(() => harness.doubleOf(parentId).told.length > 0);
      await eventually(() => double.told.includes('children'));
      await idle(handle);
    },
  },
  {
    name: 'in-a-table',
    tableId: 'recorded-table',
    async walk({ double, handle }) {
      double.occupied = 'elsewhere';
      await handle.signal('send', { requestId: 'r1', content: '1' });
      await handle.signal('send', { requestId: 'r2', content: '2', whenBusy: 'interrupt' });
      await recordedAs(double, 'request:r2');
      const { queue } = await snapshotOf(handle);
      double.start = { ...double.start, queue };
      await handle.signal('reopen');
      await handle.signal('updateConversation', { commandId: 'k1', archived: false });
      await recordedAs(double, 'command:k1');
      double.occupied = null;
      await handle.signal('reopen');
      const first = await ran(double);
      double.occupied = 'waiting';
      double.othersWait = true;
      double.end(first);
      await recordedAs(double, `settled:${first.turnId}.1`);
      double.start = { ...double.start, queue: (await snapshotOf(handle)).queue };
      await handle.signal('reopen');
      double.end(await ran(double, 2));
      await idle(handle);
    },
  },
);

const tablePaths: TablePath[] = [
  {
    name: 'table-commands-and-looks',
    async walk({ double, handle, id }) {
      const chat = (name: string) => ({
        conversationId: `${id}_${name}`,
        title: '',
        provider: 'scripted',
        model: null,
      });
      await handle.signal('newConversation', chat('a'));
      await handle.signal('newConversation', chat('b'));
      await eventually(() => double.told.length === 2);
      const waiting = [{ conversationId: `${id}_a`, since: '2026-01-01T00:00:00.000Z' }];
      double.facts = { ...double.facts, waiting };
      await handle.signal('look');
      await handle.signal('wantSlot', { conversationId: `${id}_b`, interrupt: false });
      await handle.signal('wantSlot', { nonsense: true } as never);
      await handle.signal('activate', {
        commandId: 'k1',
        conversationId: `${id}_b`,
        whenBusy: 'interrupt',
      });
      await handle.signal('updateTable', { commandId: 'k2', title: 'Work' });
      await eventually(() => double.commands.length === 6);
      await handle.query('snapshot');
    },
  },
];

const definition: TriggerDefinitionValue = {
  title: '',
  tableId: null,
  conversationId: 'c1',
  content: 'x',
  schedule: { everyMs: 3_600_000, timezone: 'UTC' },
  jitterMs: 0,
  startAt: null,
  endAt: null,
  missed: { policy: 'run-once' },
  whenBusy: 'queue',
  newConversation: false,
  paused: false,
};

const triggerPaths: TriggerPath[] = [
  {
    name: 'trigger-commands',
    async walk(harness, name) {
      const { double, handle } = await harness.startTrigger(name, {
        with: { name: 'create', value: { definition } },
        prepare: ({ faults, refused, waits }) => {
          faults.push(new Error('the disk is full'));
          refused.add('backfill');
          // So that each of them is a Workflow Task of its own.
          waits.push(...Array.from({ length: 6 }, () => 3_600_000));
        },
      });
      const looked = (count: number) => eventually(() => double.looks.length >= count);
      await looked(1);
      await handle.signal('change', { commandId: 'k1', change: { paused: true } });
      await looked(2);
      await handle.signal('fire', { commandId: 'k2', requestId: 'k2' });
      await looked(3);
      await handle.signal('backfill', { commandId: 'k3' });
      await looked(4);
      await handle.signal('look');
      await looked(5);
      await handle.signal('nonsense', {});
      await handle.signal('fire', { commandId: 'k4', requestId: 'k4' });
      await looked(6);
      await handle.signal('remove', { commandId: 'k5' });
      await handle.result();
      return handle;
    },
  },
  {
    name: 'trigger-look-with-a-wait',
    async walk(harness, name) {
      const { handle } = await harness.startTrigger(name, {
        prepare: ({ waits }) => waits.push(20, 0, 30),
      });
      await handle.result();
      return handle;
    },
  },
  {
    name: 'trigger-started-by-its-schedule',
    async walk(harness, name) {
      const { connection, workflow } = harness.client;
      const client = new ScheduleClient({ connection, namespace: 'default' });
      const schedules = triggerSchedules({
        client,
        taskQueue: harness.taskQueue,
        log: (text) => void process.stderr.write(`${text}\n`),
      });
      const triggerId = name;
      const at = new Date().toISOString();
      await schedules.sync({
        triggerId,
        definition,
        rule: 'r1',
        createdAt: at,
        updatedAt: at,
        decidedUntil: at,
        nextDueAt: at,
        removedAt: null,
      });
      const schedule = client.getHandle(triggerWorkflowId(triggerId));
      await schedule.trigger();
      const [action] = await eventually(async () => {
        const { recentActions } = (await schedule.describe()).info;
        return recentActions.length > 0 && recentActions;
      });
      await schedules.remove(triggerId);
      if (action?.action.type !== 'startWorkflow') throw new Error('it starts a Workflow');
      const handle = workflow.getHandle(action.action.workflow.workflowId);
      await handle.result();
      return handle;
    },
  },
];

const all = process.argv.includes('--all');
const named = process.argv.slice(2).filter((argument) => !argument.startsWith('-'));
mkdirSync(folder, { recursive: true });
execFileSync(process.execPath, [
  fileURLToPath(new URL('../../scripts/bundle.ts', import.meta.url)),
]);
const server = await startTemporal({ binary: await findTemporalBinary() });
const harness = await startHarness({ address: server.address, bundlePath });
/** Where the path's history goes; null: it is there already. */
function fileOf({ name }: { name: string }): string | null {
  const file = join(folder, `${name}.json`);
  return existsSync(file) && !all && !named.includes(name) ? null : file;
}

async function write(file: string, { handle }: { handle: Recorded }): Promise<void> {
  // The last Workflow Task is closed when the server says that none is pending.
  await eventually(async () => (await handle.describe()).raw.pendingWorkflowTask == null);
  const history = await handle.fetchHistory();
  const text = JSON.stringify(JSON.parse(historyToJSON(history)), null, 1);
  // Stack traces name the folder in which it was recorded.
  const root = fileURLToPath(new URL('../../', import.meta.url));
  writeFileSync(file, `${text.replaceAll(root, '/')}\n`);
  process.stdout.write(`${basename(file)}: ${history.events?.length} events\n`);
}

try {
  for (const path of paths) {
    const file = fileOf(path);
    if (file === null) continue;
    const { name, unpinned = false, tableId } = path;
    const started = await harness.start(name, {
      unpinned,
      ...(tableId === undefined ? {} : { tableId }),
    });
    const handle = (await path.walk(started, harness)) ?? started.handle;
    await write(file, { handle });
  }
  for (const path of tablePaths) {
    const file = fileOf(path);
    if (file === null) continue;
    const started = await harness.startTable(path.name);
    await path.walk(started);
    await write(file, started);
  }
  for (const path of triggerPaths) {
    const file = fileOf(path);
    if (file !== null) await write(file, { handle: await path.walk(harness, path.name) });
  }
} finally {
  await harness.stop();
  await server.stop();
}
