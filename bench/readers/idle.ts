/** Ten thousand conversations in which nothing happens: what they cost those that stream, and what each of them holds in memory. */
import { randomUUID } from 'node:crypto';
import { setTimeout as pause } from 'node:timers/promises';

import type { Store } from '../../src/store/port.ts';
import { Client, runTurn } from '../client.ts';
import { type Figure, median, quantile } from '../figures.ts';
import { newConversation, type Stack } from '../stack.ts';
import { addTurns, createInStore } from './history.ts';
import { cpuMs, type Memory, memoryOf } from './process-cost.ts';

const IDLE = 10_000;
/** Of those, with a Workflow in Temporal and a turn host; the others are in the store alone. A create costs Temporal some 40 ms of a processor, so all of them would take minutes. */
const REAL = 2_500;
/** Of the real ones, made before the first look at the memory: caches that are bounded are full from here on. */
const WARM_UP = 1_000;
const CREATES_AT_ONCE = 16;
const APPENDS_AT_ONCE = 64;
const STREAMS = 100;
/** 1,000 lines a second in all, as many as where delivery is measured (bench/latency.ts). */
const STAMPS = 30;
const STAMP_EVERY_MS = 100;
const ROUNDS = 15;
const PATIENCE_MS = 300_000;
const ROLES = ['gateway', 'worker', 'turn-host'] as const;

/** What stands beside the idle ones and alone: stacks of the same settings, measured in turn. */
export const IDLE_SETTINGS = { HOLDFAST_SESSION_LIMIT: '128' } as const;

type Side = { stack: Stack; client: Client; conversations: string[] };

export async function measureIdle({
  quiet,
  crowded,
  store,
}: {
  quiet: Stack;
  crowded: Stack;
  /** Of `crowded`. */
  store: Store;
}): Promise<Figure[]> {
  await createReal(crowded, store, WARM_UP);
  const before = await memory(crowded);
  const from = performance.now();
  await createReal(crowded, store, REAL - WARM_UP);
  const seconds = (performance.now() - from) / 1_000;
  const after = await memory(crowded);
  const figures = [memoryFigure({ before, after, seconds })];
  await createStored(store, IDLE - REAL);

  const alone = await startStreams(quiet);
  const beside = await startStreams(crowded);
  const ages = { alone: [] as number[][], beside: [] as number[][] };
  try {
    for (let round = 0; round < ROUNDS; round += 1) {
      ages.alone.push(await stream(alone));
      ages.beside.push(await stream(beside));
    }
  } finally {
    alone.client.close();
    beside.client.close();
  }
  const p99 = (rounds: number[][]): number => median(rounds.map((each) => quantile(each, 0.99)));
  const p50 = (rounds: number[][]): number => median(rounds.map((each) => quantile(each, 0.5)));
  const [product, floor] = [p99(ages.beside), p99(ages.alone)];
  return [
    {
      name: `delta, ${STREAMS} streaming beside ${IDLE.toLocaleString('en')} idle conversations (floor: ${STREAMS} streaming alone), p99`,
      unit: 'ms',
      product,
      floor,
      goal: '≤ 1.3 ×',
      met: product <= 1.3 * floor,
      note: `p50 ${p50(ages.beside).toFixed(2)} ms against ${p50(ages.alone).toFixed(2)}; p99 of each round, alone/beside: ${ages.alone.map((each, round) => `${quantile(each, 0.99).toFixed(1)}/${quantile(ages.beside[round] ?? [], 0.99).toFixed(1)}`).join(' · ')}`,
    },
    ...figures,
  ];
}

type Memories = Record<(typeof ROLES)[number], Memory>;

function memoryFigure({
  before,
  after,
  seconds,
}: {
  before: Memories;
  after: Memories;
  seconds: number;
}): Figure {
  const kilobytes = (role: keyof Memories, kind: keyof Memory): number =>
    (after[role][kind] - before[role][kind]) / (REAL - WARM_UP) / 1_024;
  const sum = (kind: keyof Memory): number =>
    ROLES.reduce((total, role) => total + kilobytes(role, kind), 0);
  const each = ROLES.map(
    (role) =>
      `${role} ${kilobytes(role, 'heap').toFixed(2)} of ${kilobytes(role, 'resident').toFixed(2)}`,
  );
  return {
    name: 'held for each idle conversation in gateway, worker and turn host together, after garbage collection',
    unit: 'KB',
    product: sum('heap'),
    floor: null,
    goal: '≤ 2 KB',
    met: sum('heap') <= 2,
    note: `heap and buffers of JavaScript; of resident memory ${sum('resident').toFixed(2)} KB. Each, heap of resident: ${each.join(' · ')}. ${(REAL - WARM_UP).toLocaleString('en')} real Workflows beyond the first ${WARM_UP.toLocaleString('en')}, each with a host and a turn in its log, made in ${seconds.toFixed(0)} s`,
  };
}

/** Real ones, each with its Workflow, a turn host and a past. Resolves when nothing is left to do for them. */
async function createReal(stack: Stack, store: Store, count: number): Promise<void> {
  const ids: string[] = [];
  await manyTimes(count, CREATES_AT_ONCE, async () => {
    ids.push(await createPatiently(stack));
  });
  const deadline = performance.now() + PATIENCE_MS;
  for (const id of ids)
    while ((await store.conversation(id))?.host == null) {
      if (performance.now() > deadline) throw new Error('a new conversation has no host');
      await pause(20);
    }
  await addPast(store, ids);
  await atRest(stack);
}

/** A machine that is busy elsewhere may need longer than the gateway waits: what it has accepted is asked for again. */
async function createPatiently(stack: Stack): Promise<string> {
  const conversationId = randomUUID();
  const deadline = performance.now() + PATIENCE_MS;
  for (;;)
    try {
      await stack.call('POST', '/v1/conversations', { conversationId, provider: 'scripted' });
      return conversationId;
    } catch (error) {
      if (!String(error).includes('"accepted":true') || performance.now() > deadline) throw error;
    }
}

/** What Temporal and the hosts know nothing of. */
async function createStored(store: Store, count: number): Promise<void> {
  const ids: string[] = [];
  await manyTimes(count, APPENDS_AT_ONCE, async () => {
    const id = randomUUID();
    await createInStore(store, id);
    ids.push(id);
  });
  await addPast(store, ids);
}

async function addPast(store: Store, ids: readonly string[]): Promise<void> {
  let next = 0;
  await manyTimes(ids.length, APPENDS_AT_ONCE, async () => {
    const conversationId = ids[next++] ?? '';
    await addTurns(store, { conversationId, turns: 1, deltas: 3 });
  });
}

async function manyTimes(
  count: number,
  atOnce: number,
  action: () => Promise<void>,
): Promise<void> {
  let begun = 0;
  await Promise.all(
    Array.from({ length: atOnce }, async () => {
      while (begun < count) {
        begun += 1;
        await action();
      }
    }),
  );
}

/** Our processes use next to no processor: what was begun for the new ones is over. */
async function atRest(stack: Stack): Promise<void> {
  const used = (): number => ROLES.reduce((sum, role) => sum + cpuMs(stack.processOf(role).pid), 0);
  const deadline = performance.now() + PATIENCE_MS;
  for (let last = used(); performance.now() < deadline;) {
    await pause(2_000);
    const now = used();
    if (now - last < 100) return;
    last = now;
  }
  throw new Error('the stack never came to rest');
}

async function memory(stack: Stack): Promise<Memories> {
  const of = (role: (typeof ROLES)[number]): Promise<Memory> => memoryOf(stack.processOf(role).pid);
  // One after the other: they share the inspector's port.
  return {
    gateway: await of('gateway'),
    worker: await of('worker'),
    'turn-host': await of('turn-host'),
  };
}

/** Conversations with a warm provider each. */
async function startStreams(stack: Stack): Promise<Side> {
  const client = await Client.connect(stack);
  const conversations: string[] = [];
  for (let made = 0; made < STREAMS; made += 10)
    await Promise.all(
      Array.from({ length: 10 }, async () => {
        const conversationId = await newConversation(stack);
        await client.subscribe(conversationId);
        await runTurn(client, conversationId, '#script\nwords 1');
        conversations.push(conversationId);
      }),
    );
  return { stack, client, conversations };
}

/** All of them at once; how old each stamp was at the client. */
async function stream({ client, conversations }: Side): Promise<number[]> {
  const ages: number[] = [];
  client.onFrame = (frame) => {
    if (frame.type !== 'chat.delta') return;
    const at = performance.timeOrigin + frame.seenAt;
    for (const stamp of String(frame.payload?.['text']).split(' ').filter(Boolean))
      ages.push(at - Number(stamp));
  };
  const script = `#script\nstamps ${STAMPS} every ${STAMP_EVERY_MS}`;
  await Promise.all(conversations.map((id) => runTurn(client, id, script)));
  client.onFrame = null;
  return ages;
}
