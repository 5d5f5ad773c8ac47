/**
 * The workflows on a real Temporal server, with typed doubles where their activities would be.
 */
import { randomUUID } from 'node:crypto';

import { activityInfo } from '@temporalio/activity';
import { Client, Connection, type WorkflowHandle } from '@temporalio/client';
import { ApplicationFailure } from '@temporalio/common';
import { DefaultLogger, NativeConnection, Runtime, Worker } from '@temporalio/worker';

import type { AttemptEnd, AttemptRef } from '../../src/activities/live-turn.ts';
import type { MailActivities, MailItem } from '../../src/activities/mail.ts';
import {
  type ConversationStart,
  isOvertaken,
  type RecordActivities,
  type RecordAnswer,
  type RecordRequest,
} from '../../src/activities/records.ts';
import type { SteerAnswer, SteerRequest } from '../../src/activities/steering.ts';
import type { TableActivities, TableWord } from '../../src/activities/tables.ts';
import type { TriggerActivities } from '../../src/activities/triggers.ts';
import type { ClaimActivities, TurnActivities } from '../../src/activities/turns.ts';
import type { MailSignalValue } from '../../src/contracts/agents.ts';
import {
  conversationWorkflowId,
  tableWorkflowId,
  triggerWorkflowId,
} from '../../src/contracts/ids.ts';
import { CLAIM_TASK_QUEUE, hostTaskQueue, WORKFLOW_TASK_QUEUE } from '../../src/contracts/names.ts';
import type { WorkflowSnapshotValue } from '../../src/contracts/signals.ts';
import type { TriggerCommand } from '../../src/contracts/trigger-check.ts';
import type { Occupied, Replaced } from '../../src/domain/conversation.ts';
import {
  decideTable,
  type TableCommand,
  type TableEffect,
  type TableFacts,
} from '../../src/domain/table.ts';
import type { conversation } from '../../src/workflows/conversation.ts';
import type { table } from '../../src/workflows/table.ts';
import type { trigger } from '../../src/workflows/trigger.ts';
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
  /** What the table says to a start; `waiting` only to one that gives way. Null: it lets it be. */
  occupied: Occupied | null = null;
  /** Another conversation of the table waits. */
  othersWait = false;
  readonly offered: SteerRequest[] = [];
  /** requestIds that the running turn takes in; others it refuses, once {@link answerOffer} says so. */
  readonly taken = new Set<string>();
  readonly offers = new Map<string, PromiseWithResolvers<SteerAnswer>>();
  /** Messages of the history that can be replaced. */
  readonly messages = new Map<string, Replaced>();
  /** Turns whose prompt is cut from the history. */
  readonly cut = new Set<string>();
  failOnceAfterRecording: string | null = null;
  /** What a look into the mailbox takes: as much as there is room for. */
  readonly mail: MailItem[] = [];
  /** It has something that starts nothing by itself: taken when it is asked for. */
  readonly waitingMail: MailItem[] = [];
  /** What its mailbox was told, and whom it has told: `mail`, `children`. */
  readonly mailSignals: MailSignalValue[] = [];
  readonly told: string[] = [];
  /** A turn that the store has and the workflow does not; the next record finds it, once. */
  behindOnce: ConversationStart['turn'] = null;
  /** {@link start} is what the store has, and the workflow may not have come to. */
  isAhead = false;

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

  offerOf(requestId: string): PromiseWithResolvers<SteerAnswer> {
    const known = this.offers.get(requestId) ?? Promise.withResolvers<SteerAnswer>();
    this.offers.set(requestId, known);
    return known;
  }

  /** Ends whatever is still asked for: a worker that stops waits for its activities. */
  letGo(): void {
    for (const end of this.ends.values()) end.resolve({ outcome: 'interrupted', cause: null });
    for (const offer of this.offers.values()) offer.resolve('refused');
  }

  /** `told`: whether the conversation hears of it before the turn ends. */
  answerOffer(requestId: string, answer: SteerAnswer, { told } = { told: true }): void {
    if (answer === 'taken') this.taken.add(requestId);
    if (told) this.offerOf(requestId).resolve(answer);
  }

  lookUp(messageId: string): Replaced & { kept: boolean } {
    const known = this.messages.get(messageId);
    return known === undefined
      ? { messageId, found: false, kept: false, previousMessageId: null }
      : { ...known, kept: known.found };
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
    const starts = request.events.some(({ type }) => type === 'chat.started');
    const givesWay = this.occupied !== 'waiting' || request.waitedSince !== undefined;
    if (starts && givesWay && this.occupied !== null) return `occupied-${this.occupied}`;
    this.keys.set(request.key, request);
    this.recorded.push(request);
    return request.leaves !== undefined && this.othersWait ? 'recorded-others-wait' : 'recorded';
  }
}

/** What stands in for the store of a table: it decides on `facts`, keeps the slot, and remembers what was asked and told. */
export class TableDouble {
  exists = true;
  facts: TableFacts = { activeConversationId: null, running: null, waiting: [] };
  readonly commands: TableCommand[] = [];
  readonly freshIds: string[] = [];
  readonly told: TableEffect[] = [];
  /** What its conversations have told it, where it is not the workflow that hears it. */
  readonly words: TableWord[] = [];
  opened = 0;
  failOnceAfterDeciding = false;

  decide(
    command: TableCommand,
    freshId: string,
  ): Awaited<ReturnType<TableActivities['decideTable']>> {
    this.commands.push(command);
    this.freshIds.push(freshId);
    const { events, effects } = decideTable(this.facts, command);
    for (const event of events)
      if (event.type === 'conversation.activated')
        this.facts = { ...this.facts, activeConversationId: event.conversationId ?? null };
    return { activeConversationId: this.facts.activeConversationId, effects };
  }
}

/** What stands in for the store of a trigger: it keeps what was asked, and answers looks as it is told to. */
export class TriggerDouble {
  readonly commands: TriggerCommand[] = [];
  /** By when what is looked for was due, look by look. */
  readonly looks: number[] = [];
  /** Answers of the looks that are still to come, in order; nothing is waited for after them. */
  readonly waits: (number | null)[] = [];
  /** What the next commands meet, in order, before they are carried out. */
  readonly faults: Error[] = [];
  /** Names of commands that are refused for good. */
  readonly refused = new Set<string>();
  /** The next look does not answer before this. */
  held: Promise<void> | null = null;

  carryOut(command: TriggerCommand): void {
    const fault = this.faults.shift();
    if (fault !== undefined) throw fault;
    if (this.refused.has(command.name))
      throw ApplicationFailure.nonRetryable('it makes no sense', 'invalid_request');
    this.commands.push(command);
  }

  async look(dueByMs: number): Promise<{ waitMs: number | null }> {
    this.looks.push(dueByMs);
    const { held } = this;
    this.held = null;
    await held;
    return { waitMs: this.waits.shift() ?? null };
  }
}

/** A started conversation, and what stands behind it. */
export type Started = { id: string; double: Double; handle: WorkflowHandle<typeof conversation> };

/** A started table, and what stands behind it. */
export type StartedTable = {
  id: string;
  double: TableDouble;
  handle: WorkflowHandle<typeof table>;
};

/** A started trigger, and what stands behind it. */
export type StartedTrigger = {
  id: string;
  double: TriggerDouble;
  handle: WorkflowHandle<typeof trigger>;
};

export type Harness = {
  client: Client;
  taskQueue: string;
  host: string;
  doubleOf(conversationId: string): Double;
  tableDoubleOf(tableId: string): TableDouble;
  triggerDoubleOf(triggerId: string): TriggerDouble;
  /** Starts a conversation that is pinned to this harness's host, unless `unpinned`. */
  start(name: string, options?: { unpinned?: boolean; tableId?: string }): Promise<Started>;
  startTable(name: string): Promise<StartedTable>;
  /** Starts a trigger's Workflow with that signal, or as a fire does. `prepare`: before it runs. */
  startTrigger(
    name: string,
    options?: { with?: TriggerCommand; prepare?: (double: TriggerDouble) => void },
  ): Promise<StartedTrigger>;
  /** Workflows of that Task Queue too, from now on. */
  serve(taskQueue: string): Promise<void>;
  stop(): Promise<void>;
};

/** Workers of their own Task Queues, against the server at `address`. `claimHost` stands in for the answer to a claim. */
export async function startHarness(parts: {
  address: string;
  /** No other harness may be there: all serve the queue of claims. `default`, of a server of its own. */
  namespace?: string;
  bundlePath: string;
  claimHost?: (host: string) => Promise<{ host: string }>;
}): Promise<Harness> {
  const host = `double-${randomUUID().slice(0, 8)}`;
  const taskQueue = `${WORKFLOW_TASK_QUEUE}-${host}`;
  const doubles = new Map<string, Double>();
  const tableDoubles = new Map<string, TableDouble>();
  const tableDoubleOf = (tableId: string): TableDouble => {
    const known = tableDoubles.get(tableId) ?? new TableDouble();
    tableDoubles.set(tableId, known);
    return known;
  };
  const triggerDoubles = new Map<string, TriggerDouble>();
  const triggerDoubleOf = (triggerId: string): TriggerDouble => {
    const known = triggerDoubles.get(triggerId) ?? new TriggerDouble();
    triggerDoubles.set(triggerId, known);
    return known;
  };
  const doubleOf = (conversationId: string): Double => {
    const known = doubles.get(conversationId) ?? new Double();
    doubles.set(conversationId, known);
    return known;
  };
  Runtime.install({ logger: new DefaultLogger('ERROR') });
  const connection = await NativeConnection.connect({ address: parts.address });
  const clientConnection = await Connection.connect({ address: parts.address });
  const { namespace = 'default' } = parts;
  const client = new Client({ connection: clientConnection, namespace });
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
    lookUpMessage: ({ conversationId, messageId }) =>
      Promise.resolve(doubleOf(conversationId).lookUp(messageId)),
    hasGoneOn: ({ conversationId, basis }) => {
      const { start, isAhead } = doubleOf(conversationId);
      // Only of one that says what it has: a double keeps no state by itself.
      return Promise.resolve(isAhead && isOvertaken(basis, { held: false, ...start }));
    },
    cutTurns: ({ conversationId, turnIds }) =>
      Promise.resolve(turnIds.filter((id) => doubleOf(conversationId).cut.has(id))),
    takenBySteering: ({ conversationId, requestIds }) =>
      Promise.resolve(requestIds.filter((id) => doubleOf(conversationId).taken.has(id))),
  };
  const mail: MailActivities = {
    takeMail: ({ conversationId, limit, waiting, message, again }) => {
      const double = doubleOf(conversationId);
      double.mailSignals.push({
        ...(message === undefined ? {} : { message }),
        ...(again === undefined ? {} : { again }),
      });
      const from = waiting ? [double.waitingMail, double.mail] : [double.mail];
      const items = from.flatMap((box) => box.splice(0, limit));
      return Promise.resolve({
        items,
        more: double.mail.length > 0,
        waits: double.waitingMail.length > 0,
      });
    },
    tellMailbox: ({ conversationId }) => {
      doubleOf(conversationId).told.push('mail');
      return Promise.resolve();
    },
    tellChildren: ({ conversationId }) => {
      doubleOf(conversationId).told.push('children');
      return Promise.resolve([]);
    },
  };
  const tables: TableActivities = {
    openTable: ({ tableId }) => {
      const double = tableDoubleOf(tableId);
      if (!double.exists) throw ApplicationFailure.nonRetryable('there is no table', 'not_found');
      double.opened += 1;
      return Promise.resolve(double.facts.activeConversationId);
    },
    decideTable: ({ tableId, command, freshId }) => {
      const double = tableDoubleOf(tableId);
      const decided = double.decide(command, freshId);
      if (double.failOnceAfterDeciding) {
        double.failOnceAfterDeciding = false;
        throw new Error('the worker died after the commit');
      }
      return Promise.resolve(decided);
    },
    tellConversations: (effects) => {
      // Each table tells its own: its conversations are named after it.
      for (const effect of effects)
        tableDoubleOf(effect.conversationId.replace(/_.*$/, '')).told.push(effect);
      return Promise.resolve();
    },
    tellTable: ({ tableId, word }) => {
      tableDoubleOf(tableId).words.push(word);
      return Promise.resolve();
    },
  };
  const triggers: TriggerActivities = {
    carryOutCommand: async ({ triggerId, command }) => triggerDoubleOf(triggerId).carryOut(command),
    lookAtTrigger: ({ triggerId, dueByMs = NaN }) => triggerDoubleOf(triggerId).look(dueByMs),
  };
  const turns: TurnActivities = {
    runTurn: (ref) => {
      const double = doubleOf(ref.conversationId);
      // On a slow machine it is asked again, for it tells no sign of life: that one joins.
      if (activityInfo().attempt === 1) double.ran.push(ref);
      return double.endOf(ref).promise;
    },
    stopTurn: (request) => {
      const double = doubleOf(request.conversationId);
      double.stopped.push(request);
      double.end(request, 'cancelled');
      return Promise.resolve('cancelling');
    },
    steerTurn: (request) => {
      const double = doubleOf(request.conversationId);
      double.offered.push(request);
      return double.offerOf(request.requestId).promise;
    },
    answerApproval: (request) => {
      const { approvalId, turnId } = request;
      doubleOf(request.conversationId).answered.push(`${approvalId} of ${turnId}`);
      return Promise.resolve(true);
    },
  };
  const claims: ClaimActivities = {
    claimHost: () => parts.claimHost?.(host) ?? Promise.resolve({ host }),
  };
  const workflowWorker = (ofQueue: string): Promise<Worker> =>
    Worker.create({
      connection,
      namespace,
      taskQueue: ofQueue,
      workflowBundle: { codePath: parts.bundlePath },
      activities: { ...records, ...tables, ...triggers, ...mail },
    });
  const workers = [
    await workflowWorker(taskQueue),
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
    tableDoubleOf,
    triggerDoubleOf,
    async start(name, { unpinned = false, tableId } = {}) {
      const id = `${name}-${randomUUID().slice(0, 8)}`;
      const double = doubleOf(id);
      if (tableId !== undefined) double.start = { ...double.start, tableId };
      if (!unpinned) double.start = { ...double.start, host };
      const handle = await client.workflow.start<typeof conversation>('conversation', {
        workflowId: conversationWorkflowId(id),
        taskQueue,
        args: [{ conversationId: id }],
      });
      return { id, double, handle };
    },
    async startTable(name) {
      const id = `${name}-${randomUUID().slice(0, 8)}`;
      const handle = await client.workflow.start<typeof table>('table', {
        workflowId: tableWorkflowId(id),
        taskQueue,
        args: [{ tableId: id }],
      });
      return { id, double: tableDoubleOf(id), handle };
    },
    async startTrigger(name, { with: command, prepare } = {}) {
      const id = `${name}-${randomUUID().slice(0, 8)}`;
      const double = triggerDoubleOf(id);
      prepare?.(double);
      const options = {
        workflowId: triggerWorkflowId(id),
        taskQueue,
        args: [{ triggerId: id }] as [{ triggerId: string }],
      };
      const handle = await (command === undefined
        ? client.workflow.start<typeof trigger>('trigger', options)
        : client.workflow.signalWithStart<typeof trigger, [unknown]>('trigger', {
            ...options,
            signal: command.name,
            signalArgs: [command.value],
          }));
      return { id, double, handle };
    },
    async serve(ofQueue) {
      const worker = await workflowWorker(ofQueue);
      workers.push(worker);
      running.push(worker.run());
    },
    async stop() {
      for (const worker of workers) worker.shutdown();
      const stopped = Promise.all(running);
      // Again and again: one may just have been asked for.
      const lettingGo = setInterval(() => {
        for (const double of doubles.values()) double.letGo();
      }, 50);
      await stopped.finally(() => clearInterval(lettingGo));
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
