/** What a process uses, looked at from outside: its processor time, and its memory once its garbage is gone. */
import { readFileSync } from 'node:fs';

import { Waiting } from '../waiting.ts';

/** The kernel's clock tick is a hundredth of a second wherever Linux runs. */
const TICK_MS = 10;
/** Fields of /proc/<pid>/stat after the name in brackets: user and system time. */
const USER_FIELD = 11;

/** Processor time so far, all threads, kernel and user, in milliseconds; in steps of 10. */
export function cpuMs(pid: number): number {
  const stat = readFileSync(`/proc/${pid}/stat`, 'utf8');
  const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
  return (Number(fields[USER_FIELD]) + Number(fields[USER_FIELD + 1])) * TICK_MS;
}

/** Bytes. `heap`: what JavaScript holds, buffers outside of its heap too. */
export type Memory = { heap: number; resident: number };

const INSPECTOR = 'http://127.0.0.1:9229/json/list';
const PATIENCE_MS = 10_000;
/** What is freed by one collection may be held by what the next frees. */
const COLLECTIONS = 3;
/** How often the event loop is looked at; it stands still for so long by itself. */
const LOOP_RESOLUTION_MS = 5;

/**
 * Memory after full garbage collections of all threads. One process at a time: see {@link inspect}.
 */
export function memoryOf(pid: number): Promise<Memory> {
  return inspect(pid, async (threads) => {
    for (let round = 0; round < COLLECTIONS; round += 1)
      for (const thread of threads) await thread.ask('HeapProfiler.collectGarbage');
    let heap = 0;
    let resident = 0;
    for (const thread of threads) {
      const usage = (await thread.evaluate('process.memoryUsage()')) as NodeJS.MemoryUsage;
      heap += usage.heapUsed + usage.external;
      resident = usage.rss;
    }
    return { heap, resident };
  });
}

/** From now on the process's main thread takes note of how long its event loop stands still. */
export async function watchEventLoop(pid: number): Promise<void> {
  await inspect(pid, async ([main]) => {
    await main.evaluate(
      `globalThis.eventLoopDelay = process.getBuiltinModule('node:perf_hooks').monitorEventLoopDelay({ resolution: ${LOOP_RESOLUTION_MS} }); eventLoopDelay.enable()`,
    );
  });
}

/** The longest it has stood still since it was asked to take note, or asked this before; in milliseconds. */
export function longestBlockMs(pid: number): Promise<number> {
  return inspect(pid, async ([main]) => {
    const max = await main.evaluate(
      '{ const { max } = eventLoopDelay; eventLoopDelay.reset(); max }',
    );
    return Number(max) / 1e6 - LOOP_RESOLUTION_MS;
  });
}

/**
 * Does something in the process, by the inspector that every Node process opens at SIGUSR1, and that is closed again. The
 * threads: the main one, then its workers. One process at a time: they all open it on the same port.
 */
async function inspect<T>(
  pid: number,
  work: (threads: readonly [Thread, ...Thread[]]) => Promise<T>,
): Promise<T> {
  process.kill(pid, 'SIGUSR1');
  const socket = new WebSocket(await inspectorUrl());
  await new Promise((resolve, reject) => {
    socket.addEventListener('open', resolve);
    socket.addEventListener('error', () => reject(new Error('the inspector does not answer')));
  });
  const main = new Thread((message) => socket.send(message));
  const threads: [Thread, ...Thread[]] = [main];
  socket.addEventListener('message', ({ data }) => {
    const { method, params } = main.receive(String(data));
    if (method === 'NodeWorker.attachedToWorker') {
      const { sessionId } = params;
      threads.push(
        new Thread((message) =>
          main.tell('NodeWorker.sendMessageToWorker', { sessionId, message }),
        ),
      );
      sessions.push(sessionId);
    } else if (method === 'NodeWorker.receivedMessageFromWorker') {
      threads[sessions.indexOf(params.sessionId)]?.receive(params.message);
    }
  });
  /** Of the threads, in their order; the main one has none. */
  const sessions: (string | undefined)[] = [undefined];
  const own = await main.evaluate('process.pid');
  if (own !== pid)
    throw new Error('another process has the inspector port; it is not the one asked for');
  // Answers when all threads that there are have been named.
  await main.ask('NodeWorker.enable', { waitForDebuggerOnStart: false });
  const result = await work(threads);
  // It closes the socket that this came by, so there is no answer.
  const closed = new Promise((resolve) => socket.addEventListener('close', resolve));
  main.tell('Runtime.evaluate', { expression: 'process._debugEnd()' });
  await closed;
  await inspectorGone();
  return result;
}

type InspectorMessage = {
  id?: number;
  result?: { result?: { value?: unknown } };
  method?: string;
  params: { sessionId: string; message: string };
};

/** One thread of a process, by its inspector. */
class Thread {
  readonly #send: (message: string) => void;
  readonly #answers = new Waiting<InspectorMessage>();
  #id = 0;

  constructor(send: (message: string) => void) {
    this.#send = send;
  }

  receive(text: string): InspectorMessage {
    const message = JSON.parse(text) as InspectorMessage;
    this.#answers.offer(message);
    return message;
  }

  tell(method: string, params: object = {}): number {
    this.#id += 1;
    this.#send(JSON.stringify({ id: this.#id, method, params }));
    return this.#id;
  }

  async ask(method: string, params: object = {}): Promise<unknown> {
    const id = this.tell(method, params);
    return (await this.#answers.next((message) => message.id === id)).result?.result?.value;
  }

  evaluate(expression: string): Promise<unknown> {
    return this.ask('Runtime.evaluate', { expression, returnByValue: true });
  }
}

async function inspectorUrl(): Promise<string> {
  const deadline = performance.now() + PATIENCE_MS;
  for (;;) {
    try {
      const [first] = (await (await fetch(INSPECTOR)).json()) as {
        webSocketDebuggerUrl: string;
      }[];
      if (first !== undefined) return first.webSocketDebuggerUrl;
    } catch (error) {
      if (performance.now() > deadline) throw error;
    }
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
}

/** The port is free for the next process. */
async function inspectorGone(): Promise<void> {
  const deadline = performance.now() + PATIENCE_MS;
  while (performance.now() < deadline) {
    try {
      await fetch(INSPECTOR);
    } catch {
      return;
    }
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
  throw new Error('a process did not close its inspector');
}
