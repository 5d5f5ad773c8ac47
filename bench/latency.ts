/** How long a send, a prompt, a first word and every further word take, each beside its floor. */
import { type ChildProcess, spawn } from 'node:child_process';
import { randomUUID } from 'node:crypto';
import { mkdtempSync, openSync, rmSync, watch, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

import { Client as TemporalClient, Connection } from '@temporalio/client';
import { NativeConnection, Worker } from '@temporalio/worker';

import { scriptedProvider } from '../src/providers/scripted/provider.ts';
import { scriptedCommand, startBareProgram } from './bare-program.ts';
import { Client, type Frame, isEnd, isIdle } from './client.ts';
import { type Figure, median, quantile } from './figures.ts';
import { startFloorWorker } from './floor-worker.ts';
import { newConversation, settled, type Stack } from './stack.ts';

const here = (path: string): string => fileURLToPath(new URL(path, import.meta.url));
/** Milliseconds since 1970 with microseconds: comparable between the processes of a machine. */
const wallNow = (): number => performance.timeOrigin + performance.now();

type Floor = {
  temporal: TemporalClient;
  taskQueue: string;
  activityQueue: string;
  /** When the activity of signal `n` began. */
  started: Map<number, (at: number) => void>;
  stop(): Promise<void>;
};

async function startFloor(stack: Stack, folder: string): Promise<Floor> {
  const taskQueue = `floor-${randomUUID()}`;
  const activityQueue = `${taskQueue}-activities`;
  const stopWorker = await startFloorWorker({ address: stack.status.temporal, taskQueue, folder });
  const native = await NativeConnection.connect({ address: stack.status.temporal });
  const started = new Map<number, (at: number) => void>();
  const worker = await Worker.create({
    connection: native,
    taskQueue: activityQueue,
    activities: {
      started(n: number): void {
        started.get(n)?.(performance.now());
      },
    },
  });
  const running = worker.run();
  const connection = await Connection.connect({ address: stack.status.temporal });
  return {
    temporal: new TemporalClient({ connection }),
    taskQueue,
    activityQueue,
    started,
    async stop(): Promise<void> {
      worker.shutdown();
      await running;
      stopWorker();
      await connection.close();
      await native.close();
    },
  };
}

/** One turn from send to idle; when each of its milestones was seen. */
async function turn(
  client: Client,
  conversationId: string,
  content: string,
): Promise<{ sentAt: number; accepted: Frame; firstDelta: Frame }> {
  const requestId = randomUUID();
  const accepted = client.next(
    (frame) => frame.type === 'chat.accepted' && frame.requestId === requestId,
  );
  const firstDelta = client.next(
    (frame) => frame.type === 'chat.delta' && frame.conversationId === conversationId,
  );
  const end = client.next((frame) => isEnd(frame, requestId));
  const idle = client.next((frame) => isIdle(frame, conversationId));
  const sentAt = performance.now();
  client.send({ type: 'chat.send', conversationId, requestId, payload: { content } });
  const result = { sentAt, accepted: await accepted, firstDelta: await firstDelta };
  await end;
  await idle;
  return result;
}

/** send → `chat.accepted`, and send → the provider has the prompt, on a warm session. */
async function measureSend(stack: Stack, floor: Floor, client: Client): Promise<Figure[]> {
  const rounds = 150;
  const conversationId = await newConversation(stack);
  await client.subscribe(conversationId);
  await turn(client, conversationId, '#script\nwords 1');
  const spool = await spoolOf(stack, conversationId);
  const workflowId = `floor-${randomUUID()}`;
  const signal = (n: number) =>
    floor.temporal.workflow.signalWithStart('floor', {
      workflowId,
      taskQueue: floor.taskQueue,
      args: [{ activityQueue: floor.activityQueue }],
      signal: 'go',
      signalArgs: [n],
    });
  const product = { accepted: [] as number[], prompt: [] as number[] };
  const bare = { signalled: [] as number[], started: [] as number[] };
  for (let round = 0; round < rounds + 10; round += 1) {
    // The two alternate, so that both meet the same machine.
    const begun = new Promise<number>((resolve) => floor.started.set(round, resolve));
    await settled();
    const from = performance.now();
    await signal(round);
    const signalled = performance.now() - from;
    const started = (await begun) - from;
    await settled();
    const answered = firstGrowth(spool);
    const { sentAt, accepted } = await turn(client, conversationId, '#script\nwords 1');
    const prompt = (await answered) - sentAt;
    if (round < 10) continue;
    bare.signalled.push(signalled);
    bare.started.push(started);
    product.accepted.push(accepted.seenAt - sentAt);
    product.prompt.push(prompt);
  }
  const acceptedRatio = median(product.accepted) / median(bare.signalled);
  const promptRatio = median(product.prompt) / median(bare.started);
  return [
    {
      name: 'send → durable `chat.accepted`, p50',
      unit: 'ms',
      product: median(product.accepted),
      floor: median(bare.signalled),
      goal: '≤ 1.2 ×',
      met: acceptedRatio <= 1.2,
    },
    {
      name: 'send → the warm provider has the prompt, p50',
      unit: 'ms',
      product: median(product.prompt),
      floor: median(bare.started),
      goal: '≤ 1.3 ×',
      met: promptRatio <= 1.3,
    },
  ];
}

/** The spool of a conversation's warm process. */
async function spoolOf(stack: Stack, conversationId: string): Promise<string> {
  const { items } = await stack.call<{ items: { turnId: string }[] }>(
    'GET',
    `/v1/conversations/${conversationId}/turns`,
  );
  return join(stack.status.home, 'spools', `${items.at(-1)?.turnId}.1`, 'out.jsonl');
}

/** When the file next grows: the provider has read its prompt and answers it. */
function firstGrowth(file: string): Promise<number> {
  return new Promise((resolve) => {
    const watcher = watch(file, () => {
      watcher.close();
      resolve(performance.now());
    });
  });
}

/** First delta of a cold provider, at the client, against the same program run by hand. */
async function measureFirstDelta(stack: Stack, client: Client, folder: string): Promise<Figure> {
  const product: number[] = [];
  const floor: number[] = [];
  for (let round = 0; round < 20; round += 1) {
    floor.push(await byHand(folder));
    const conversationId = await newConversation(stack);
    await client.subscribe(conversationId);
    // Pinned to a host, as a conversation is that a person has just opened.
    await until(async () => {
      const { items } = await stack.call<{ items: { type: string; payload: { host?: string } }[] }>(
        'GET',
        `/v1/conversations/${conversationId}/events`,
      );
      return items.some(({ payload }) => payload.host !== undefined);
    });
    const { sentAt, firstDelta } = await turn(client, conversationId, '#script\nwords 1');
    product.push(firstDelta.seenAt - sentAt);
  }
  const more = median(product) - median(floor);
  return {
    name: 'first delta, cold provider, p50',
    unit: 'ms',
    product: median(product),
    floor: median(floor),
    goal: `≤ 20 ms more (is ${more.toFixed(1)})`,
    met: more <= 20,
  };
}

async function byHand(folder: string): Promise<number> {
  const from = performance.now();
  const program = await startBareProgram(folder);
  const said = program.next('delta');
  program.begin('#script\nwords 1');
  const at = await said;
  program.stop();
  return at - from;
}

async function until(look: () => Promise<boolean>): Promise<void> {
  while (!(await look())) await new Promise((resolve) => setTimeout(resolve, 5));
}

const STREAMS = 20;
const STAMPS = 250;
const EVERY_MS = 20;

/** A provider's line → a client's socket, synced to disk in between: 20 streams of 50 lines a second. */
async function measureDelivery(stack: Stack, client: Client, folder: string): Promise<Figure[]> {
  const floor = await floorDelivery(folder);
  const product = await productDelivery(stack, client);
  const again = await floorDelivery(mkdtempSync(join(folder, 'again-')));
  const bare = [...floor, ...again];
  const ratio = median(product) / median(bare);
  return [
    {
      name: 'provider line → client, 20 × 50 lines/s, p50',
      unit: 'ms',
      product: median(product),
      floor: median(bare),
      goal: '≤ 1.5 ×',
      met: ratio <= 1.5,
    },
    {
      name: 'the same, p99',
      unit: 'ms',
      product: quantile(product, 0.99),
      floor: quantile(bare, 0.99),
      goal: '≤ 15 ms',
      met: quantile(product, 0.99) <= 15,
    },
  ];
}

/** Ages of the stamps in a text, at its arrival. */
function ages(text: string, at: number): number[] {
  return text
    .split(' ')
    .filter(Boolean)
    .map((stamp) => at - Number(stamp));
}

async function productDelivery(stack: Stack, client: Client): Promise<number[]> {
  const conversations = await Promise.all(
    Array.from({ length: STREAMS }, () => newConversation(stack)),
  );
  for (const conversationId of conversations) {
    await client.subscribe(conversationId);
    await turn(client, conversationId, '#script\nwords 1');
  }
  const found: number[] = [];
  client.onFrame = (frame) => {
    if (frame.type === 'chat.delta')
      found.push(...ages(String(frame.payload?.['text']), performance.timeOrigin + frame.seenAt));
  };
  await Promise.all(
    conversations.map((id) => turn(client, id, `#script\nstamps ${STAMPS} every ${EVERY_MS}`)),
  );
  client.onFrame = null;
  return found;
}

async function floorDelivery(folder: string): Promise<number[]> {
  const files = Array.from({ length: STREAMS }, (_, index) => join(folder, `${index}.jsonl`));
  for (const file of files) writeFileSync(file, '');
  const server = spawn(
    process.execPath,
    [here('./floor/tail-server.ts'), join(folder, 'floor.db'), ...files],
    {
      stdio: ['ignore', 'pipe', 'inherit'],
    },
  );
  const { port } = JSON.parse(await firstLine(server)) as { port: number };
  const socket = new WebSocket(`ws://127.0.0.1:${port}`);
  await new Promise((resolve) => socket.addEventListener('open', resolve));
  const found: number[] = [];
  const complete = new Promise<void>((resolve) => {
    socket.addEventListener('message', (message) => {
      const at = wallNow();
      const { type, text } = JSON.parse(String(message.data)) as { type: string; text?: string };
      if (type === 'delta' && text !== undefined) found.push(...ages(text, at));
      if (found.length >= STREAMS * STAMPS) resolve();
    });
  });
  const { program, args, environment, spec } = await scriptedCommand(folder);
  const writers = files.map((file) => {
    const child = spawn(program, args, {
      env: { ...process.env, ...environment },
      stdio: ['pipe', openSync(file, 'a'), 'inherit'],
    });
    const content = `#script\nstamps ${STAMPS} every ${EVERY_MS}`;
    const frames = scriptedProvider.createDriver(spec).begin({ attemptKey: 'floor.1', content });
    child.stdin?.write(frames.map((frame) => `${frame}\n`).join(''));
    return child;
  });
  await complete;
  for (const child of [...writers, server]) child.kill();
  socket.close();
  return found;
}

function firstLine(child: ChildProcess): Promise<string> {
  return new Promise((resolve) => {
    child.stdout?.once('data', (data) => resolve(String(data)));
  });
}

export async function measureLatency(stack: Stack): Promise<Figure[]> {
  const folder = mkdtempSync(join(tmpdir(), 'holdfast-bench-floor-'));
  const floor = await startFloor(stack, folder);
  const client = await Client.connect(stack);
  try {
    const figures = await measureSend(stack, floor, client);
    figures.push(await measureFirstDelta(stack, client, folder));
    figures.push(...(await measureDelivery(stack, client, folder)));
    return figures;
  } finally {
    client.close();
    await floor.stop();
    rmSync(folder, { recursive: true, force: true });
  }
}
