/** Many readers, in processes of their own: what the gateway uses of the processor is the gateway's alone. */
import { type ChildProcess, fork } from 'node:child_process';
import { fileURLToPath } from 'node:url';

const PROGRAM = fileURLToPath(new URL('./swarm-process.ts', import.meta.url));
/** One process could not read as fast as the gateway writes; with the gateway these fill four processors. */
const PROCESSES = 3;
/** Time for an order to reach every process before it is carried out. */
const LEAD_MS = 100;

/** What is read from: a gateway, or its floor (bench/floor/row-server.ts). */
export type Target =
  | { kind: 'gateway'; port: number; token: string }
  | { kind: 'rows'; port: number };
/** One that comes back: it has everything up to `lastSeq`, and `missed` events are there for it. */
export type Returning = { conversationId: string; lastSeq: number; missed: number };

export type Task =
  | { do: 'reconnect'; target: Target; clients: readonly Returning[]; at: number }
  | { do: 'watch'; target: Target; conversationId: string; lastSeq: number; count: number }
  | { do: 'received' }
  | { do: 'ages' }
  | { do: 'leave' };

export type Answer = {
  /** Of `reconnect`: milliseconds from the moment all of them began to each one's `caught-up`. */
  ms?: number[];
  /** Of `received`: events (bytes, from the floor) of each watcher so far. */
  received?: number[];
  /** Of `ages`: how old each stamp was when it arrived, since the last time this was asked. */
  ages?: Float64Array;
  faults?: string[];
};

export class Swarm {
  readonly #processes: readonly ChildProcess[];
  /** What must not have happened, in words. */
  readonly faults: string[] = [];

  private constructor(processes: readonly ChildProcess[]) {
    this.#processes = processes;
  }

  static async start(): Promise<Swarm> {
    const swarm = new Swarm(
      Array.from({ length: PROCESSES }, () =>
        fork(PROGRAM, {
          serialization: 'advanced',
          stdio: ['ignore', 'inherit', 'inherit', 'ipc'],
        }),
      ),
    );
    // The first answer is there when all of them are.
    await swarm.leave();
    return swarm;
  }

  /** All at once, each with a connection of its own; milliseconds until it was caught up. */
  async reconnect(target: Target, clients: readonly Returning[]): Promise<number[]> {
    const at = performance.timeOrigin + performance.now() + LEAD_MS;
    const answers = await this.#all((index) => ({
      do: 'reconnect',
      target,
      clients: clients.filter((_, client) => client % PROCESSES === index),
      at,
    }));
    return answers.flatMap(({ ms = [] }) => ms);
  }

  /** Resolves when all are caught up; they stay, and count what they receive. */
  async watch(
    target: Target,
    { conversationId, lastSeq, count }: { conversationId: string; lastSeq: number; count: number },
  ): Promise<void> {
    const share = Math.ceil(count / PROCESSES);
    await this.#all((index) => ({
      do: 'watch',
      target,
      conversationId,
      lastSeq,
      count: Math.min(share, count - index * share),
    }));
  }

  /** Events (bytes, from the floor) of each watcher so far. */
  async received(): Promise<number[]> {
    return (await this.#all(() => ({ do: 'received' }))).flatMap(({ received = [] }) => received);
  }

  /** How old each stamp was at its arrival, at every watcher, since this was last asked; in milliseconds. */
  async ages(): Promise<Float64Array> {
    const parts = (await this.#all(() => ({ do: 'ages' }))).flatMap(({ ages }) => ages ?? []);
    const all = new Float64Array(parts.reduce((sum, part) => sum + part.length, 0));
    let at = 0;
    for (const part of parts) {
      all.set(part, at);
      at += part.length;
    }
    return all;
  }

  /** The watchers go away. */
  async leave(): Promise<void> {
    await this.#all(() => ({ do: 'leave' }));
  }

  stop(): void {
    for (const child of this.#processes) child.kill();
  }

  async #all(taskOf: (index: number) => Task): Promise<Answer[]> {
    const answers = await Promise.all(
      this.#processes.map((child, index) => ask(child, taskOf(index))),
    );
    this.faults.push(...answers.flatMap(({ faults = [] }) => faults));
    return answers;
  }
}

/** One task at a time. */
function ask(child: ChildProcess, task: Task): Promise<Answer> {
  return new Promise((resolve, reject) => {
    const gone = (code: number | null): void => reject(new Error(`readers ended with ${code}`));
    child.once('exit', gone);
    child.once('message', (answer) => {
      child.off('exit', gone);
      resolve(answer as Answer);
    });
    child.send(task);
  });
}
