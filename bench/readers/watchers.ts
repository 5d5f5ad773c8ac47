/** A thousand watchers of one conversation: what each delivery costs the gateway, and how late it is. */
import { spawn } from 'node:child_process';
import { randomUUID } from 'node:crypto';
import { mkdtempSync, openSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as pause } from 'node:timers/promises';

import type { NewEvent } from '../../src/contracts/events.ts';
import { conversationStream } from '../../src/contracts/ids.ts';
import { scriptedProvider } from '../../src/providers/scripted/provider.ts';
import type { Fence, Store } from '../../src/store/port.ts';
import { scriptedCommand } from '../bare-program.ts';
import { Client, runTurn } from '../client.ts';
import { type Figure, median, quantile } from '../figures.ts';
import { newConversation, type Stack } from '../stack.ts';
import { createInStore } from './history.ts';
import { cpuMs } from './process-cost.ts';
import type { RowServer } from './rows.ts';
import { Swarm, type Target } from './swarm.ts';

const WATCHERS = 1_000;
/** What a commit of a talkative provider brings. */
const BURST = 200;
const BURSTS = 30;
const BURST_EVERY_MS = 150;
const STAMPS = 500;
const STAMP_EVERY_MS = 20;
const PATIENCE_MS = 60_000;

type Parts = {
  stack: Stack;
  store: Store;
  rows: RowServer;
  gateway: Target;
};

export async function measureWatchers(parts: Parts): Promise<Figure[]> {
  const swarm = await Swarm.start();
  try {
    return [await measureBursts(parts, swarm), await measureDeltas(parts, swarm)];
  } finally {
    swarm.stop();
  }
}

/** A turn that this process writes: no host knows of it, so all of the gateway's work is delivery. */
async function startTurn(
  store: Store,
): Promise<{ conversationId: string; burst: () => Promise<number> }> {
  const conversationId = `bursts-${randomUUID()}`;
  const turnId = randomUUID();
  const stream = conversationStream(conversationId);
  await createInStore(store, conversationId);
  const payload = { attempt: 1, provider: 'scripted', model: null };
  await store.append({ stream, events: [{ type: 'chat.started', turnId, attempt: 1, payload }] });
  const place = { spool: 'bench', from: 0 };
  const { epoch } = await store.claim({ conversationId, turnId, attempt: 1, host: 'bench', place });
  const fence: Fence = { turnId, attempt: 1, epoch };
  const delta: NewEvent = {
    type: 'chat.delta',
    turnId,
    attempt: 1,
    requestId: randomUUID(),
    payload: { messageId: `${turnId}-1-1`, text: 'some words of it ' },
  };
  const events = Array.from({ length: BURST }, () => delta);
  return {
    conversationId,
    async burst() {
      const result = await store.append({ stream, fence, events });
      if (result.status !== 'appended') throw new Error(`the burst was not appended`);
      return result.lastSeq;
    },
  };
}

async function measureBursts(
  { stack, store, rows, gateway }: Parts,
  swarm: Swarm,
): Promise<Figure> {
  const { conversationId, burst } = await startTurn(store);
  const { pid } = stack.processOf('gateway');
  const lastSeq = 2;
  await swarm.watch(gateway, { conversationId, lastSeq, count: WATCHERS });
  const first = await burst();
  await reach(swarm, (received) => received >= BURST);
  const product = await perDelivery(pid, async () => {
    for (let done = 0; done < BURSTS; done += 1)
      await Promise.all([burst(), pause(BURST_EVERY_MS)]);
    await reach(swarm, (received) => received >= BURST * (BURSTS + 1));
  });
  const received = await swarm.received();
  const wrong = received.filter((count) => count !== BURST * (BURSTS + 1));
  await swarm.leave();

  const floor: Target = { kind: 'rows', port: rows.port };
  await swarm.watch(floor, { conversationId, lastSeq: 0, count: WATCHERS });
  let cursor = first + BURST * BURSTS;
  const bare = await perDelivery(rows.pid, async () => {
    for (let done = 0; done < BURSTS; done += 1) {
      const pausing = pause(BURST_EVERY_MS);
      const end = await burst();
      await rows.order(`rows ${conversationStream(conversationId)} ${cursor}`);
      cursor = end;
      await pausing;
    }
    await still(swarm);
  });
  await swarm.leave();
  return {
    name: `processor time for each delivery: 1,000 watchers of one conversation, bursts of ${BURST}`,
    unit: 'µs',
    product,
    floor: bare,
    goal: '≤ 0.5 µs',
    met: product <= 0.5,
    faults: [
      ...swarm.faults.splice(0),
      ...wrong.map((count) => `a watcher got ${count} events of ${BURST * (BURSTS + 1)}`),
    ],
  };
}

/** Microseconds of a process for each event that `bursts` brought to each watcher. */
async function perDelivery(pid: number, bursts: () => Promise<void>): Promise<number> {
  const before = cpuMs(pid);
  await bursts();
  return ((cpuMs(pid) - before) * 1_000) / (BURST * BURSTS * WATCHERS);
}

async function reach(swarm: Swarm, enough: (received: number) => boolean): Promise<void> {
  const deadline = performance.now() + PATIENCE_MS;
  while (!(await swarm.received()).every(enough)) {
    if (performance.now() > deadline) throw new Error('a burst never reached all watchers');
    await pause(20);
  }
}

/** Nothing more arrives. */
async function still(swarm: Swarm): Promise<void> {
  const sum = async (): Promise<number> =>
    (await swarm.received()).reduce((total, received) => total + received, 0);
  for (let last = -1, now = await sum(); now !== last; now = await sum()) {
    last = now;
    await pause(200);
  }
}

/** Deltas of a real turn, 50 a second: from the provider's line to each of the watchers. */
async function measureDeltas({ stack, rows, gateway }: Parts, swarm: Swarm): Promise<Figure> {
  const client = await Client.connect(stack);
  const folder = mkdtempSync(join(tmpdir(), 'holdfast-bench-deltas-'));
  try {
    const bare = await floorDeltas({ rows, swarm, folder });
    const conversationId = await newConversation(stack);
    await client.subscribe(conversationId);
    await runTurn(client, conversationId, '#script\nwords 1');
    const { lastSeq } = await stack.call<{ lastSeq: number }>(
      'GET',
      `/v1/conversations/${conversationId}`,
    );
    await swarm.watch(gateway, { conversationId, lastSeq, count: WATCHERS });
    const { pid } = stack.processOf('gateway');
    const before = cpuMs(pid);
    await runTurn(client, conversationId, `#script\nstamps ${STAMPS} every ${STAMP_EVERY_MS}`);
    await still(swarm);
    const usedMs = cpuMs(pid) - before;
    const ages = [...(await swarm.ages())];
    await swarm.leave();
    const each = (ms: number): string => ((ms * 1_000) / (STAMPS * WATCHERS)).toFixed(1);
    const lost = WATCHERS * STAMPS - ages.length;
    return {
      name: 'delta → each of 1,000 watchers, one conversation at 50 deltas/s, p99',
      unit: 'ms',
      product: quantile(ages, 0.99),
      floor: quantile(bare.ages, 0.99),
      goal: '≤ 12 ms',
      met: quantile(ages, 0.99) <= 12,
      note: `p50 ${median(ages).toFixed(1)} ms (floor ${median(bare.ages).toFixed(1)}); the gateway used ${((usedMs * 100) / (STAMPS * STAMP_EVERY_MS)).toFixed(0)} % of a processor: ${each(usedMs)} µs for each delivery, which is a write of its own (floor ${each(bare.usedMs)})`,
      faults: [
        ...swarm.faults.splice(0),
        ...(lost === 0 ? [] : [`${lost} deltas did not reach a watcher`]),
      ],
    };
  } finally {
    client.close();
    rmSync(folder, { recursive: true, force: true });
  }
}

/** The bare program's lines, synced to disk and written to as many sockets. */
async function floorDeltas({
  rows,
  swarm,
  folder,
}: {
  rows: RowServer;
  swarm: Swarm;
  folder: string;
}): Promise<{ ages: number[]; usedMs: number }> {
  const file = join(folder, 'lines.jsonl');
  writeFileSync(file, '');
  await rows.order(`tail ${file}`);
  const target: Target = { kind: 'rows', port: rows.port };
  await swarm.watch(target, { conversationId: '-', lastSeq: 0, count: WATCHERS });
  const { program, args, environment, spec } = await scriptedCommand(folder);
  const child = spawn(program, args, {
    env: { ...process.env, ...environment },
    stdio: ['pipe', openSync(file, 'a'), 'inherit'],
  });
  const content = `#script\nstamps ${STAMPS} every ${STAMP_EVERY_MS}`;
  const frames = scriptedProvider.createDriver(spec).begin({ attemptKey: 'floor.1', content });
  child.stdin?.write(frames.map((frame) => `${frame}\n`).join(''));
  const before = cpuMs(rows.pid);
  await pause(STAMPS * STAMP_EVERY_MS);
  await still(swarm);
  const usedMs = cpuMs(rows.pid) - before;
  child.kill();
  const ages = [...(await swarm.ages())];
  await swarm.leave();
  return { ages, usedMs };
}
