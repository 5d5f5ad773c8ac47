/** Coming back: one client that has missed a little or much, and a thousand at once, as after a restart of the gateway. */
import type { Store } from '../../src/store/port.ts';
import { type Figure, median, quantile } from '../figures.ts';
import { settled, type Stack } from '../stack.ts';
import { addTurns, createInStore, eventsInTurn } from './history.ts';
import { cpuMs } from './process-cost.ts';
import { RawSocket } from './raw-socket.ts';
import { openRows, type RowServer, rowsAfter } from './rows.ts';
import { type Returning, Swarm, type Target } from './swarm.ts';

/** Makes turns of a hundred events. */
const DELTAS = 92;
const FEW = 100;
const MANY = 10_000;
const ROUNDS = 60;
const CROWD = 1_000;
const CROWD_MISSED = 200;
const CROWD_ROUNDS = 7;

type Parts = {
  stack: Stack;
  store: Store;
  rows: RowServer;
  gateway: Extract<Target, { kind: 'gateway' }>;
};

/** One client, on a connection that is open: from its `chat.subscribe` to `caught-up`, as the client sees it. */
export async function measureReconnect(parts: Parts): Promise<Figure[]> {
  const { store } = parts;
  const conversationId = 'missed-much';
  await createInStore(store, conversationId);
  const turns = Math.ceil((MANY + 1) / eventsInTurn(DELTAS));
  await addTurns(store, { conversationId, turns, deltas: DELTAS });
  const end = turns * eventsInTurn(DELTAS) + 1;
  const few = { conversationId, lastSeq: end - FEW, missed: FEW };
  const many = { conversationId, lastSeq: end - MANY, missed: MANY };
  const timed = {
    few: { product: [] as number[], floor: [] as number[] },
    many: { product: [] as number[], floor: [] as number[] },
  };
  const faults: string[] = [];
  for (let round = 0; round < ROUNDS; round += 1)
    for (const [client, { product, floor }] of [
      [few, timed.few],
      [many, timed.many],
    ] as const) {
      product.push(await comeBack(parts, client, faults));
      floor.push(await floorComeBack(parts, client));
    }
  const fewCpu = await processorOf(parts, few, 200);
  const manyCpu = await processorOf(parts, many, 40);
  const row = (
    missed: number,
    { product, floor }: { product: number[]; floor: number[] },
    limitMs: number,
    cpu: number,
  ): Figure => ({
    name: `reconnect after ${missed.toLocaleString('en')} missed events → caught up, p50`,
    unit: 'ms',
    product: median(product),
    floor: median(floor),
    goal: `≤ ${limitMs} ms, ≤ 2 ×`,
    met: median(product) <= limitMs && median(product) <= 2 * median(floor),
    note: `p99 ${quantile(product, 0.99).toFixed(1)} ms (floor ${quantile(floor, 0.99).toFixed(1)}); the gateway's processor time ${cpu.toFixed(2)} ms, connection and handshake included`,
    faults,
  });
  return [row(FEW, timed.few, 2, fewCpu), row(MANY, timed.many, 15, manyCpu)];
}

async function comeBack(
  { gateway }: Parts,
  { conversationId, lastSeq, missed }: Returning,
  faults: string[],
): Promise<number> {
  const socket = await RawSocket.open(gateway);
  const from = performance.now();
  const events = await socket.catchUp({ conversationId, lastSeq });
  const took = performance.now() - from;
  if (events !== missed) faults.push(`${events} events came instead of ${missed}`);
  socket.close();
  return took;
}

async function floorComeBack({ rows }: Parts, client: Returning): Promise<number> {
  const socket = await openRows(rows.port);
  const from = performance.now();
  await rowsAfter(socket, client);
  const took = performance.now() - from;
  socket.destroy();
  return took;
}

async function processorOf(parts: Parts, client: Returning, times: number): Promise<number> {
  const { pid } = parts.stack.processOf('gateway');
  const before = cpuMs(pid);
  for (let time = 0; time < times; time += 1) await comeBack(parts, client, []);
  return (cpuMs(pid) - before) / times;
}

/** A thousand, from the first one's `connect` to each one's `caught-up`: connection, handshake and all. */
export async function measureCrowd({ store, rows, gateway, stack }: Parts): Promise<Figure[]> {
  const ids = Array.from({ length: CROWD }, (_, index) => `crowd-${index}`);
  const turns = CROWD_MISSED / eventsInTurn(DELTAS);
  await Promise.all(
    ids.map(async (conversationId) => {
      await createInStore(store, conversationId);
      await addTurns(store, { conversationId, turns, deltas: DELTAS });
    }),
  );
  const apart = ids.map((conversationId) => ({ conversationId, lastSeq: 1, missed: CROWD_MISSED }));
  const together = ids.map(() => ({ conversationId: 'crowd-0', lastSeq: 1, missed: CROWD_MISSED }));
  const swarm = await Swarm.start();
  try {
    const floor: Target = { kind: 'rows', port: rows.port };
    const { pid } = stack.processOf('gateway');
    const figures: Figure[] = [];
    for (const [name, clients] of [
      ['of one conversation', together],
      ['of 1,000 conversations', apart],
    ] as const) {
      const product: number[][] = [];
      const bare: number[][] = [];
      const cpu: number[] = [];
      for (let round = 0; round < CROWD_ROUNDS; round += 1) {
        const before = cpuMs(pid);
        product.push(await swarm.reconnect(gateway, clients));
        cpu.push(cpuMs(pid) - before);
        await settled();
        bare.push(await swarm.reconnect(floor, clients));
      }
      const p99 = (rounds: number[][]): number => median(rounds.map((ms) => quantile(ms, 0.99)));
      const p50 = (rounds: number[][]): number => median(rounds.map((ms) => quantile(ms, 0.5)));
      figures.push({
        name: `1,000 clients ${name} reconnect at once, ${CROWD_MISSED} missed events each, p99`,
        unit: 'ms',
        product: p99(product),
        floor: p99(bare),
        goal: '≤ 250 ms',
        met: p99(product) <= 250,
        note: `p50 ${p50(product).toFixed(0)} ms (floor ${p50(bare).toFixed(0)}); the gateway's processor time for all of them ${median(cpu)} ms; p99 of each round ${product.map((ms) => quantile(ms, 0.99).toFixed(0)).join(' · ')}`,
        faults: swarm.faults.splice(0),
      });
    }
    return figures;
  } finally {
    swarm.stop();
  }
}
