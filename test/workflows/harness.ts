/**
 * The conversation's workflow on a real Temporal server, with typed doubles where its activities would be.
 */
import { randomUUID } from 'node:crypto';

import { Client, Connection, type WorkflowHandle } from '@temporalio/client';
import { DefaultLogger, NativeConnection, Runtime, Worker } from '@temporalio/worker';

import type { AttemptEnd, AttemptRef } from '../../src/activities/live-turn.ts';
import type {
  ConversationStart,
  RecordActivities,
  RecordAnswer,
  RecordRequest,
} from '../../src/activities/records.ts';
import type { ClaimActivities, TurnActivities } from '../../src/activities/turns.ts';
import { conversationWorkflowId } from '../../src/contracts/ids.ts';
import { CLAIM_TASK_QUEUE, hostTaskQueue, WORKFLOW_TASK_QUEUE } from '../../src/contracts/names.ts';
import type { WorkflowSnapshotValue } from '../../src/contracts/signals.ts';
import type { conversation } from '../../src/workflows/conversation.ts';
import { eventually } from '../support/eventually.ts';

/** What stands in for the store and the turn host: it keeps what was recorded, and ends turns when it is told to. */
export class Double {
  readonly recorded: RecordRequest[] = [];
  readonly keys = new Map<string, RecordRequest>();
  readonly ran: AttemptRef[] = [];
  readonly stopped: (AttemptRef & { by: string })[] = [];
  readonly answered: string[] = [];
  readonly ends = new Map<string, PromiseWithResolvers<AttemptEnd>>();
  /** Attempts whose end is in the log. */
  readonly ended = new Set<string>();
  start: ConversationStart = {
    provider: 'scripted',
    model: null,
    tableId: null,
    state: 'idle',
    host: null,
    turn: null,
    queue: [],
  };
  failOnceAfterRecording: string | null = null;
  /** A turn that the store has and the workflow does not; the next record finds it, once. */
  behindOnce: ConversationStart['turn'] = null;

  types(): string[] {
    return this.recorded.flatMap(({ events }) => events.map(({ type }) => type));
  }

  endOf(ref: { turnId: string; attempt: number }): PromiseWithResolvers<AttemptEnd> {
    const key = `${ref.turnId}.${ref.attempt}`;
    const known = this.ends.get(key) ?? Promise.withResolvers<AttemptEnd>();
    this.ends.set(key, known);
    return known;
  }

  end(
    ref: { turnId: string; attempt: number },
    outcome: AttemptEnd['outcome'] = 'completed',
  ): void {
    this.ended.add(`${ref.turnId}.${ref.attempt}`);
    this.endOf(ref).resolve({ outcome, cause: null });
  }

  recordDecision(request: RecordRequest): RecordAnswer {
    if (this.behindOnce !== null) {
      this.start = { ...this.start, turn: this.behindOnce };
      this.behindOnce = null;
      return 'behind';
    }
    const known = this.keys.get(request.key);
    if (known !== undefined) {
      const same = known.request?.turnId === request.request?.turnId;
      return request.request === null || same ? 'recorded' : 'known';
    }
    const { unlessEnded } = request;
    if (unlessEnded !== null && this.ended.has(`${unlessEnded.turnId}.${unlessEnded.attempt}`))
      return 'ended';
    this.keys.set(request.key, request);
    this.recorded.push(request);
    return 'recorded';
  }
}

/** A started conversation, and what stands behind it. */
export type Started = { id: string; double: Double; handle: WorkflowHandle<typeof conversation> };

export type Harness = {
  client: Client;
  taskQueue: string;
  host: string;
  doubleOf(conversationId: string): Double;
  /** Starts a conversation that is pinned to this harness's host, unless `unpinned`. */
  start(name: string, options?: { unpinned?: boolean }): Promise<Started>;
  stop(): Promise<void>;
};

/** Workers of their own Task Queues, against the server at `address`. `claimHost` stands in for the answer to a claim. */
export async function startHarness(parts: {
  address: string;
  bundlePath: string;
  claimHost?: (host: string) => Promise<{ host: string }>;
}): Promise<Harness> {
  const host = `double-${randomUUID().slice(0, 8)}`;
  const taskQueue = `${WORKFLOW_TASK_QUEUE}-${host}`;
  const doubles = new Map<string, Double>();
  const doubleOf = (conversationId: string): Double => {
    const known = doubles.get(conversationId) ?? new Double();
    doubles.set(conversationId, known);
    return known;
  };
  Runtime.install({ logger: new DefaultLogger('ERROR') });
  const connection = await NativeConnection.connect({ address: parts.address });
  const clientConnection = await Connection.connect({ address: parts.address });
  const client = new Client({ connection: clientConnection });
  const namespace = 'default';
  const records: RecordActivities = {
    openConversation: ({ conversationId }) => Promise.resolve(doubleOf(conversationId).start),
    recordDecision: (request) => {
      const double = doubleOf(request.conversationId);
      const answer = double.recordDecision(request);
      if (double.failOnceAfterRecording === request.key) {
        double.failOnceAfterRecording = null;
        throw new Error('the worker died after the commit');
      }
      return Promise.resolve(answer);
    },
    lookUpTurn: ({ conversationId, turnId }) => {
      const last = doubleOf(conversationId).ran.findLast((ref) => ref.turnId === turnId);
      return Promise.resolve(
        last === undefined
          ? null
          : { lastAttempt: last.attempt, outcome: 'interrupted', content: 'again' },
      );
    },
  };
  const turns: TurnActivities = {
    runTurn: (ref) => {
      const double = doubleOf(ref.conversationId);
      double.ran.push(ref);
      return double.endOf(ref).promise;
    },
    stopTurn: (request) => {
      const double = doubleOf(request.conversationId);
      double.stopped.push(request);
      double.end(request, 'cancelled');
      return Promise.resolve('cancelling');
    },
    answerApproval: (request) => {
      doubleOf(request.conversationId).answered.push(request.approvalId);
      return Promise.resolve(true);
    },
  };
  const claims: ClaimActivities = {
    claimHost: () => parts.claimHost?.(host) ?? Promise.resolve({ host }),
  };
  const workers = [
    // One queue for each harness: another file's worker must not take its tasks.
    await Worker.create({
      connection,
      namespace,
      taskQueue,
      workflowBundle: { codePath: parts.bundlePath },
      activities: records,
    }),
    await Worker.create({
      connection,
      namespace,
      taskQueue: hostTaskQueue(host),
      activities: turns,
    }),
    await Worker.create({ connection, namespace, taskQueue: CLAIM_TASK_QUEUE, activities: claims }),
  ];
  const running = workers.map((worker) => worker.run());
  return {
    client,
    taskQueue,
    host,
    doubleOf,
    async start(name, { unpinned = false } = {}) {
      const id = `${name}-${randomUUID().slice(0, 8)}`;
      const double = doubleOf(id);
      if (!unpinned) double.start = { ...double.start, host };
      const handle = await client.workflow.start<typeof conversation>('conversation', {
        workflowId: conversationWorkflowId(id),
        taskQueue,
        args: [{ conversationId: id }],
      });
      return { id, double, handle };
    },
    async stop() {
      for (const worker of workers) worker.shutdown();
      await Promise.all(running);
      await connection.close();
      await clientConnection.close();
    },
  };
}

/** The `count`-th attempt that the workflow has asked for. */
export function ran(double: Double, count = 1): Promise<AttemptRef> {
  return eventually(() => double.ran.at(count - 1));
}

/** What the `snapshot` query answers. */
export function snapshotOf(handle: Started['handle']): Promise<WorkflowSnapshotValue> {
  return handle.query<WorkflowSnapshotValue>('snapshot');
}

/** Resolves when the conversation is idle. */
export async function idle(handle: Started['handle']): Promise<void> {
  await eventually(async () => (await snapshotOf(handle)).state === 'idle');
}
