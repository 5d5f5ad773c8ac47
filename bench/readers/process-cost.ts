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

/**
 * Memory after full garbage collections of all threads, asked for by the inspector that every Node process opens at
 * SIGUSR1, and that is closed again. One process at a time: they all open it on the same port.
 */
export async function memoryOf(pid: number): Promise<Memory> {
  process.kill(pid, 'SIGUSR1');
  const socket = new WebSocket(await inspectorUrl());
  await new Promise((resolve, reject) => {
    socket.addEventListener('open', resolve);
    socket.addEventListener('error', () => reject(new Error('the inspector does not answer')));
  });
  const main = new Thread((message) => socket.send(message));
  const threads = [main];
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
    throw new Error('another process has the inspector port; its memory is not the one asked for');
  // Answers when all threads that there are have been named.
  await main.ask('NodeWorker.enable', { waitForDebuggerOnStart: false });
  for (let round = 0; round < COLLECTIONS; round += 1)
    for (const thread of threads) await thread.ask('HeapProfiler.collectGarbage');
  let heap = 0;
  let resident = 0;
  for (const thread of threads) {
    const usage = (await thread.evaluate('process.memoryUsage()')) as NodeJS.MemoryUsage;
    heap += usage.heapUsed + usage.external;
    resident = usage.rss;
  }
  // It closes the socket that this came by, so there is no answer.
  const closed = new Promise((resolve) => socket.addEventListener('close', resolve));
  main.tell('Runtime.evaluate', { expression: 'process._debugEnd()' });
  await closed;
  return { heap, resident };
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
