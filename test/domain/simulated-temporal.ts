/**
 * Temporal in one process, for tests that need thousands of lives of real Workflow code: what `@temporalio/workflow` exports
 * (a test says `vi.mock('@temporalio/workflow', () => import('./simulated-temporal.ts'))`), and the server behind it.
 *
 * Kept, because the product rests on it: signals are durable and ordered; a Workflow Task is complete or never was; what its
 * local activities did stays done when it never was, and they run again; in a task signals come before results; activities
 * are scheduled when their task completes; a worker that lost its cache replays. A replay that calls something else fails.
 */
import { AsyncLocalStorage } from 'node:async_hooks';

import { ActivityFailure } from '@temporalio/common';
import { vi } from 'vitest';

export { ActivityFailure };

/** Nothing is cancelled here. */
export function isCancellation(): boolean {
  return false;
}

type Json = unknown;
type Handler = (argument: Json) => unknown;
type Job =
  | { type: 'signal'; name: string; argument: Json }
  | { type: 'resolved'; seq: number; result: Json };
type Call = { name: string; argument: Json };
type LocalCall = Call & { result: Json };
/** A completed Workflow Task: what came in, when, and what its local activities answered. */
type Task = { jobs: Job[]; at: number; history: History; locals: LocalCall[] };
/** How long the history is: Temporal suggests to continue as new, or it is so large that it must not grow. */
export type History = 'short' | 'long' | 'huge';

/** What the simulated server asks of the world around it. */
export interface Surroundings {
  /** Carries out a local activity of that run; rejects when its attempt failed. It is tried again then. */
  local(run: Run, call: Call): Promise<Json>;
  /** An activity was scheduled; {@link Run.resolve} answers it. */
  scheduled(run: Run, seq: number, call: Call): void;
  /** The time at which a task begins, in ms. */
  now(): number;
  /** How long the history is in this task. */
  history(): History;
}

/** Unwinds a Workflow whose worker is gone: nothing that it awaits ever comes. */
const NEVER = new Promise<never>(() => undefined);

class ContinuedAsNew extends Error {
  readonly input: Json;
  constructor(input: Json) {
    super('continued as new');
    this.input = input;
  }
}

/** One execution in a worker's cache. */
class Instance {
  readonly handlers = new Map<string, Handler>();
  readonly attributes = new Map<string, Json>();
  readonly waiting = new Map<number, (result: Json) => void>();
  conditions: { holds: () => boolean; go: () => void }[] = [];
  activities: Call[] = [];
  localsInFlight = 0;
  parked = false;
  localDone = Promise.withResolvers<void>();
  replayed: LocalCall[] = [];
  locals: LocalCall[] = [];
  history: History = 'short';
  fresh = 0;
  dead = false;
  outcome: { error: unknown } | null = null;
  readonly run: Run;

  constructor(run: Run) {
    this.run = run;
  }

  async local(call: Call): Promise<Json> {
    this.localsInFlight += 1;
    const known = this.replayed.shift();
    if (known !== undefined) mustBeSame(known, call);
    const result = known === undefined ? await this.#carryOut(call) : known.result;
    if (this.dead) return NEVER;
    this.locals.push({ ...call, result });
    this.localsInFlight -= 1;
    this.localDone.resolve();
    return result;
  }

  async #carryOut(call: Call): Promise<Json> {
    for (let tries = 1; ; tries += 1)
      try {
        const result = await this.run.surroundings.local(this.run, throughJson(call));
        return this.dead ? await NEVER : throughJson(result);
      } catch (error) {
        if (this.dead) return NEVER;
        if (tries === 5) {
          this.outcome = { error };
          this.localDone.resolve();
          return NEVER;
        }
      }
  }
}

/** Temporal itself looks at the name alone. */
function mustBeSame(known: Call, call: Call | undefined): void {
  const [first, second] = [known, call].map((each) => JSON.stringify([each?.name, each?.argument]));
  if (first !== second) throw new Error(`nondeterminism: ${first} is now ${second}`);
}

function throughJson<T>(value: T): T {
  return value === undefined ? value : (JSON.parse(JSON.stringify(value)) as T);
}

const instances = new AsyncLocalStorage<Instance>();

function current(): Instance {
  const instance = instances.getStore();
  if (instance === undefined) throw new Error('this is no Workflow');
  return instance;
}

/** Everything that can run without an answer from outside has run. */
export function settled(): Promise<void> {
  return new Promise((resolve) => void setImmediate(resolve));
}

/** One Workflow Id, from its first start on. */
export class Run {
  readonly id: string;
  /** Another one each time that a Workflow Id is started. */
  readonly runId: string;
  readonly surroundings: Surroundings;
  readonly #workflow: (input: never) => Promise<unknown>;
  #input: Json;
  #history: Task[] = [];
  #pending: Job[] = [];
  #instance: Instance | null = null;
  /** Activities that completed tasks have scheduled. */
  #scheduled: Call[] = [];
  #started = false;
  #failed = false;
  #generation = 0;
  #inTask: Job[] | null = null;
  /** Search attributes as of the last completed task. */
  attributes = new Map<string, Json>();
  lost = false;

  constructor(parts: {
    id: string;
    runId: string;
    workflow: (input: never) => Promise<unknown>;
    input: Json;
    surroundings: Surroundings;
  }) {
    this.id = parts.id;
    this.runId = parts.runId;
    this.surroundings = parts.surroundings;
    this.#workflow = parts.workflow;
    this.#input = parts.input;
  }

  signal(name: string, argument: Json): void {
    this.#pending.push({ type: 'signal', name, argument: throughJson(argument) });
  }

  /** An activity of `generation` (see {@link generation}) has answered. */
  resolve(generation: number, seq: number, result: Json): void {
    if (generation === this.#generation)
      this.#pending.push({ type: 'resolved', seq, result: throughJson(result) });
  }

  /** Raised by each Continue-As-New: activities of an earlier one are nobody's. */
  get generation(): number {
    return this.#generation;
  }

  get hasTask(): boolean {
    return (
      this.#inTask === null &&
      !this.lost &&
      !this.#failed &&
      (!this.#started || this.#pending.length > 0)
    );
  }

  /** It goes on by itself; else it waits for a local activity, or for its next task. */
  get isMoving(): boolean {
    return this.#inTask !== null && !this.#failed && this.#instance?.parked !== true;
  }

  /** The worker died. What its task did stays done; the task itself never was. */
  crash(): void {
    if (this.#instance !== null) this.#instance.dead = true;
    this.#instance = null;
    if (this.#inTask !== null) this.#pending.unshift(...this.#inTask);
    this.#inTask = null;
  }

  /** Temporal has forgotten it. */
  lose(): void {
    this.crash();
    this.lost = true;
  }

  /** Carries out one Workflow Task. Throws what would keep a Workflow Task from ever completing; it has none from then on. */
  async task(): Promise<void> {
    try {
      await this.#carryOut();
    } catch (error) {
      this.#failed = true;
      throw error;
    }
  }

  async #carryOut(): Promise<void> {
    const jobs = this.#pending;
    this.#pending = [];
    this.#inTask = jobs;
    const instance = this.#instance ?? (await this.#replay());
    // It may have died while it was replayed.
    if (this.#inTask !== jobs) return;
    this.#instance = instance;
    const { surroundings } = this;
    const task = { jobs, at: surroundings.now(), history: surroundings.history() };
    await this.#activate(instance, task);
    if (instance.dead) return;
    const { locals } = instance;
    instance.locals = [];
    if (instance.outcome?.error instanceof ContinuedAsNew) {
      // A signal that came meanwhile must not be left behind: the server refuses, and the task is carried out again.
      if (this.#pending.length > 0) this.crash();
      else this.#continueAsNew(instance, instance.outcome.error.input);
      return;
    }
    this.#history.push({ ...task, locals });
    this.#started = true;
    this.#inTask = null;
    this.attributes = new Map(instance.attributes);
    for (const call of instance.activities.slice(this.#scheduled.length)) {
      this.#scheduled.push(throughJson(call));
      this.surroundings.scheduled(this, this.#scheduled.length - 1, throughJson(call));
    }
  }

  #continueAsNew(instance: Instance, input: Json): void {
    instance.dead = true;
    this.#instance = null;
    this.#inTask = null;
    this.#input = throughJson(input);
    this.#history = [];
    this.#scheduled = [];
    this.#started = false;
    this.#generation += 1;
  }

  async #replay(): Promise<Instance> {
    const instance = new Instance(this);
    for (const task of this.#history) {
      instance.replayed = [...task.locals];
      await this.#activate(instance, task);
      instance.locals = [];
      if (instance.replayed.length > 0)
        throw new Error(`nondeterminism: ${instance.replayed[0]?.name} is not called`);
    }
    for (const [index, call] of this.#scheduled.entries())
      mustBeSame(call, instance.activities[index]);
    return instance;
  }

  async #activate(instance: Instance, { jobs, at, history }: Omit<Task, 'locals'>): Promise<void> {
    vi.setSystemTime(at);
    instance.history = history;
    await instances.run(instance, async () => {
      const first = instance.handlers.size === 0;
      if (first) {
        // Not awaited: it goes on for the life of the instance.
        (this.#workflow as (input: Json) => Promise<unknown>)(throughJson(this.#input)).then(
          () => (instance.outcome = { error: new Error('the Workflow returned') }),
          (error: unknown) => (instance.outcome = { error }),
        );
      }
      for (const job of jobs)
        if (job.type === 'signal') instance.handlers.get(job.name)?.(job.argument);
      await this.#unblock(instance);
      for (const job of jobs)
        if (job.type === 'resolved') instance.waiting.get(job.seq)?.(job.result);
      await this.#unblock(instance);
      while (instance.localsInFlight > 0 && instance.outcome === null && !instance.dead) {
        instance.localDone = Promise.withResolvers();
        instance.parked = true;
        await instance.localDone.promise;
        instance.parked = false;
        vi.setSystemTime(at);
        await this.#unblock(instance);
      }
    });
    if (
      instance.outcome !== null &&
      !(instance.outcome.error instanceof ContinuedAsNew) &&
      !instance.dead
    )
      throw new Error(`${this.id}: ${String(instance.outcome.error)}`, {
        cause: instance.outcome.error,
      });
  }

  async #unblock(instance: Instance): Promise<void> {
    for (;;) {
      await settled();
      const ready = instance.conditions.filter(({ holds }) => holds());
      if (ready.length === 0) return;
      instance.conditions = instance.conditions.filter((each) => !ready.includes(each));
      for (const { go } of ready) go();
    }
  }
}

// What Workflow code imports.

export function defineSignal(name: string): { name: string } {
  return { name };
}
export function defineQuery(name: string): { name: string } {
  return { name };
}
export function setHandler({ name }: { name: string }, handler: Handler): void {
  current().handlers.set(name, handler);
}
/** Signals come when the handlers are set. */
export function setDefaultSignalHandler(): void {}
export function uuid4(): string {
  const instance = current();
  instance.fresh += 1;
  return `${instance.run.runId}x${instance.run.generation}x${instance.fresh}`;
}
export function patched(): boolean {
  return true;
}
export function allHandlersFinished(): boolean {
  return true;
}
export function workflowInfo() {
  const { history } = current();
  return {
    historyLength: 1,
    historySize: history === 'huge' ? Number.MAX_SAFE_INTEGER : 1,
    continueAsNewSuggested: history !== 'short',
  };
}
export function setCurrentDetails(): void {}
export function upsertSearchAttributes(pairs: { key: { name: string }; value: Json }[]): void {
  for (const { key, value } of pairs) current().attributes.set(key.name, value);
}
export async function condition(holds: () => boolean): Promise<void> {
  if (holds()) return;
  await new Promise<void>((go) => current().conditions.push({ holds, go }));
}
export function continueAsNew(input: Json): Promise<never> {
  return Promise.reject(new ContinuedAsNew(input));
}
export const log = { info() {}, warn() {} };

type Calls = Record<string, (argument: Json) => Promise<Json>>;

export function proxyLocalActivities(): Calls {
  return proxy((call) => current().local(call));
}
export function proxyActivities(): Calls {
  return proxy((call) => {
    const instance = current();
    const seq = instance.activities.push(call) - 1;
    return new Promise((resolve) => void instance.waiting.set(seq, resolve));
  });
}

function proxy(carryOut: (call: Call) => Promise<Json>): Calls {
  return new Proxy<Calls>(
    {},
    { get: (_target, name) => (argument: Json) => carryOut({ name: String(name), argument }) },
  );
}
