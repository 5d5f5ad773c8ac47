/** The floor of triggers: Schedules as Temporal has them, on the product's own server, whose Workflow does nothing. */
import { randomUUID } from 'node:crypto';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as pause } from 'node:timers/promises';

import {
  Client,
  Connection,
  ScheduleOverlapPolicy,
  type ScheduleSpec,
  WorkflowNotFoundError,
} from '@temporalio/client';

import { startFloorWorker } from '../floor-worker.ts';
import type { Stack } from '../stack.ts';

const WORKFLOW = 'nothing';
const CATCHUP_MS = 600_000;
const PATIENCE_MS = 30_000;
/** A fire is visible by its Workflow Id as soon as it is there. */
const LOOK_EVERY_MS = 20;

export class BareSchedules {
  readonly #client: Client;
  readonly #connection: Connection;
  readonly #taskQueue: string;
  readonly #stopWorker: () => void;
  readonly #folder: string;

  private constructor(parts: {
    connection: Connection;
    taskQueue: string;
    stopWorker: () => void;
    folder: string;
  }) {
    this.#connection = parts.connection;
    this.#client = new Client({ connection: parts.connection });
    this.#taskQueue = parts.taskQueue;
    this.#stopWorker = parts.stopWorker;
    this.#folder = parts.folder;
  }

  static async start(stack: Stack): Promise<BareSchedules> {
    const address = stack.status.temporal;
    const taskQueue = `floor-${randomUUID()}`;
    const folder = mkdtempSync(join(tmpdir(), 'holdfast-bench-floor-'));
    const stopWorker = await startFloorWorker({ address, taskQueue, folder });
    const connection = await Connection.connect({ address });
    return new BareSchedules({ connection, taskQueue, stopWorker, folder });
  }

  /** Milliseconds until Temporal has both: a Workflow that was started by a signal, and a Schedule. */
  async create(spec: ScheduleSpec): Promise<number> {
    const id = `floor-${randomUUID()}`;
    const from = performance.now();
    await this.#client.workflow.signalWithStart(WORKFLOW, {
      workflowId: id,
      taskQueue: this.#taskQueue,
      signal: 'go',
      signalArgs: [],
    });
    await this.#create(id, spec);
    return performance.now() - from;
  }

  /**
   * Lets a Schedule fire each second, and says of `count` fires how long after its due time each Workflow was started, and
   * how long after it its first task was over. The first `skipped` fires are not counted.
   */
  async fires({
    count,
    skipped,
  }: {
    count: number;
    skipped: number;
  }): Promise<{ started: number[]; over: number[] }> {
    const id = `floor-${randomUUID()}`;
    await this.#create(id, { intervals: [{ every: 1_000 }] });
    const firstMs = (Math.floor(Date.now() / 1_000) + 1 + skipped) * 1_000;
    const started: number[] = [];
    const over: number[] = [];
    for (let dueMs = firstMs; dueMs < firstMs + count * 1_000; dueMs += 1_000) {
      await pause(Math.max(0, dueMs + 500 - Date.now()));
      const times = await this.timesOf(fireIdOf(id, dueMs));
      started.push(times.started - dueMs);
      over.push(times.over - dueMs);
    }
    await this.#client.schedule.getHandle(id).delete();
    return { started, over };
  }

  /** When a Workflow was started, and when it was over; milliseconds since 1970. Waits for its end. */
  async timesOf(workflowId: string): Promise<{ started: number; over: number }> {
    const deadline = performance.now() + PATIENCE_MS;
    for (;;) {
      try {
        const { startTime, closeTime } = await this.#client.workflow
          .getHandle(workflowId)
          .describe();
        if (closeTime !== undefined)
          return { started: startTime.getTime(), over: closeTime.getTime() };
      } catch (error) {
        if (!(error instanceof WorkflowNotFoundError) || performance.now() > deadline) throw error;
      }
      if (performance.now() > deadline) throw new Error(`${workflowId} did not end`);
      await pause(LOOK_EVERY_MS);
    }
  }

  async stop(): Promise<void> {
    this.#stopWorker();
    await this.#connection.close();
    rmSync(this.#folder, { recursive: true, force: true });
  }

  async #create(scheduleId: string, spec: ScheduleSpec): Promise<void> {
    await this.#client.schedule.create({
      scheduleId,
      spec,
      action: {
        type: 'startWorkflow',
        workflowType: WORKFLOW,
        workflowId: scheduleId,
        taskQueue: this.#taskQueue,
        args: [],
      },
      policies: { overlap: ScheduleOverlapPolicy.ALLOW_ALL, catchupWindow: CATCHUP_MS },
    });
  }
}

/** The Workflow Id that Temporal gives to a fire. */
export function fireIdOf(scheduleId: string, dueMs: number): string {
  return `${scheduleId}-${new Date(dueMs).toISOString().slice(0, 19)}Z`;
}
