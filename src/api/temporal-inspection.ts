/**
 * What Temporal says of one conversation, for `why`: whether its Workflow is there and moves, whether a worker answers for it, who
 * polls its queues. All is asked at once, with one deadline, and nothing is changed.
 */
import { type Connection, WorkflowNotFoundError, type WorkflowClient } from '@temporalio/client';

import { conversationWorkflowId } from '../contracts/ids.ts';
import { hostTaskQueue, WORKFLOW_TASK_QUEUE } from '../contracts/names.ts';
import type { TemporalLook } from '../domain/why-facts.ts';
import { snapshotQuery } from '../workflows/definitions.ts';

/**
 * A healthy server describes in some milliseconds, and a worker that has to replay first answers a Query in less than half a
 * second (HISTORY_EVENTS_LIMIT).
 */
const PATIENCE_MS = 1_500;

/** Numbers of Temporal's enumerations, which the client does not export: of a pending task's state, and of queues. */
const STARTED = 2;
const QUEUE_OF = { workflows: 1, activities: 2 } as const;

type Inspected = {
  connection: Connection;
  client: WorkflowClient;
  namespace: string;
  conversationId: string;
  /** The turn host that the conversation is pinned to. */
  host: string | null;
};

/** Rejects when the server does not answer; that no worker does is an answer. */
export async function inspectConversation(inspected: Inspected): Promise<TemporalLook> {
  const { connection, client, conversationId, host } = inspected;
  const handle = client.getHandle(conversationWorkflowId(conversationId));
  const soon = <T>(call: () => Promise<T>): Promise<T> =>
    connection.withDeadline(Date.now() + PATIENCE_MS, call);
  const [workflow, worker, workflows, turns] = await Promise.all([
    soon(() => describe(handle)),
    soon(() => handle.query(snapshotQuery)).then(
      ({ inWords }): TemporalLook['worker'] => ({ is: 'answers', inWords }),
      silence,
    ),
    soon(() => lastPoll(inspected, WORKFLOW_TASK_QUEUE, QUEUE_OF.workflows)).catch(() => null),
    host === null
      ? null
      : soon(() => lastPoll(inspected, hostTaskQueue(host), QUEUE_OF.activities)).catch(() => null),
  ]);
  return {
    workflow,
    // One that has ended answers from its history, which says nothing of now.
    worker: workflow.is === 'running' ? worker : { is: 'not-asked' },
    polledAt: { workflows, turns },
  };
}

async function describe(
  handle: ReturnType<WorkflowClient['getHandle']>,
): Promise<TemporalLook['workflow']> {
  try {
    const { status, raw } = await handle.describe();
    if (status.name !== 'RUNNING') return { is: 'closed', status: status.name.toLowerCase() };
    const { pendingWorkflowTask: task, pendingActivities } = raw;
    const turn = pendingActivities?.find(({ activityType }) => activityType?.name === RUN_TURN);
    return {
      is: 'running',
      task:
        task == null
          ? null
          : {
              since: isoOf(task.originalScheduledTime ?? task.scheduledTime) ?? '',
              attempt: task.attempt ?? 1,
              isTaken: Number(task.state) === STARTED,
            },
      turn:
        turn === undefined
          ? null
          : {
              since: isoOf(turn.lastStartedTime ?? turn.scheduledTime) ?? '',
              attempt: turn.attempt ?? 1,
              isTaken: Number(turn.state) === STARTED,
              heartbeatAt: isoOf(turn.lastHeartbeatTime),
              failure: turn.lastFailure?.message ?? null,
            },
    };
  } catch (error) {
    if (error instanceof WorkflowNotFoundError) return { is: 'unknown' };
    throw error;
  }
}

/** The Activity that a turn is, by the name of its function (activities/turns.ts). */
const RUN_TURN = 'runTurn';

/** Why there is no answer. The server tells a Workflow whose tasks fail from one that nobody serves. */
function silence(error: unknown): TemporalLook['worker'] {
  const says = detailsOf(error);
  if (/failed state/i.test(says)) return { is: 'failing', says };
  return {
    is: 'silent',
    says: /deadline/i.test(says) ? `has not answered within ${PATIENCE_MS / 1_000} s` : says,
  };
}

function detailsOf(error: unknown): string {
  for (let at = error, depth = 0; depth < 4 && at instanceof Error; depth += 1, at = at.cause)
    if ('details' in at && typeof at.details === 'string' && at.details !== '') return at.details;
  return error instanceof Error ? error.message : String(error);
}

/** When a worker last asked that queue for something; null: none has in the last five minutes. */
async function lastPoll(
  { connection, namespace }: Inspected,
  name: string,
  taskQueueType: number,
): Promise<string | null> {
  const { pollers } = await connection.workflowService.describeTaskQueue({
    namespace,
    taskQueue: { name },
    taskQueueType,
  });
  const times = (pollers ?? []).flatMap(({ lastAccessTime }) => isoOf(lastAccessTime) ?? []);
  return times.toSorted().at(-1) ?? null;
}

type ProtoTime = { seconds?: { toString(): string } | null; nanos?: number | null };

function isoOf(time: ProtoTime | null | undefined): string | null {
  if (time?.seconds == null) return null;
  const ms = Number(time.seconds.toString()) * 1_000 + (time.nanos ?? 0) / 1e6;
  return new Date(ms).toISOString();
}
