/** `kill -9` of the gateway and of the turn host under twenty streaming turns: how soon all of them move again, and whether anything is lost. */
import { statSync } from 'node:fs';
import { join } from 'node:path';

import { loadConfig } from '../src/config.ts';
import { signalProcess } from '../src/providers/process/process-table.ts';
import type { Role } from '../src/supervisor/state.ts';
import type { CarefulClient } from './careful-client.ts';
import type { Frame } from './client.ts';
import { type Figure, inSteps, median, NEVER } from './figures.ts';
import { finish, isDeltaOf, startFleet, streamTogether, type Turn } from './fleet.ts';
import { gatewayComesUp, turnHostComesUp } from './floor/come-up.ts';
import { type Stack, startStack } from './stack.ts';

const ROUNDS = 5;
/** Six seconds of streaming. */
const WORDS = 300;

type Recovery = {
  /** From the kill until the last stream moved. */
  movedMs: number;
  /** From the kill to each step on the way there. */
  steps: Record<string, number>;
};
type Measured = { recoveries: Recovery[]; floor: number[]; faults: string[] };

/**
 * Each round has a stack of its own: the supervisor starts the first that dies in a minute at once and makes later ones
 * wait, which is its courtesy and not what is asked here.
 */
export async function measureKills(): Promise<Figure[]> {
  const gateway: Measured = { recoveries: [], floor: [], faults: [] };
  const turnHost: Measured = { recoveries: [], floor: [], faults: [] };
  for (let round = 0; round < ROUNDS; round += 1) {
    const stack = await startStack();
    let fleet: CarefulClient[] = [];
    try {
      gateway.floor.push(await gatewayComesUp(stack));
      turnHost.floor.push(await turnHostComesUp(stack));
      fleet = await startFleet(stack);
      for (const [measured, kill] of [
        [gateway, killGateway],
        [turnHost, killTurnHost],
      ] as const) {
        const turns = await streamTogether(fleet, WORDS);
        measured.recoveries.push(await kill(stack, turns));
        measured.faults.push(...(await finish(turns)));
      }
    } finally {
      for (const client of fleet) client.close();
      stack.stop();
    }
  }
  return [
    ...figuresOf(turnHost, {
      name: '`kill -9` of the turn host, 20 streaming turns → all move again',
      floorIs: 'its process comes up',
      limitMs: 700,
    }),
    ...figuresOf(gateway, {
      name: '`kill -9` of the gateway, 20 clients → all continue at the next seq',
      floorIs: 'its process listens',
      limitMs: 1_000,
    }),
  ];
}

function figuresOf(
  { recoveries, floor, faults }: Measured,
  { name, floorIs, limitMs }: { name: string; floorIs: string; limitMs: number },
): Figure[] {
  const moved = recoveries.map(({ movedMs }) => movedMs);
  const names = Object.keys(recoveries[0]?.steps ?? {});
  const steps = names.map(
    (step) => [step, recoveries.map((recovery) => recovery.steps[step] ?? Number.NaN)] as const,
  );
  const row = (what: string, product: number, bare: number): Figure => ({
    name: what,
    unit: 'ms',
    product,
    floor: bare,
    goal: `≤ ${limitMs} ms`,
    met: product <= limitMs,
  });
  return [
    {
      ...row(`${name}, p50 (floor: ${floorIs})`, median(moved), median(floor)),
      note: `ms from the kill, medians of ${recoveries.length}: ${inSteps(steps)}`,
    },
    row('the same, slowest', Math.max(...moved), Math.max(...floor)),
    {
      name: 'events lost or repeated, other texts or ends, in those',
      unit: 'found',
      product: faults.length,
      floor: null,
      goal: NEVER,
      met: faults.length === 0,
      faults,
    },
  ];
}

/** A stream moves again with the first delta after its `chat.attached`: what comes before was under way when the host died. */
async function killTurnHost(stack: Stack, turns: readonly Turn[]): Promise<Recovery> {
  const attached: number[] = [];
  const moving = turns.map(({ client, requestId }) => {
    let isAttached = false;
    return client.next((frame) => {
      if (frame.type === 'chat.attached') {
        isAttached = true;
        attached.push(frame.seenAt);
      }
      return isAttached && isDeltaOf(frame, requestId);
    });
  });
  const killedAt = killProcess(stack, 'turn-host');
  const moved = await Promise.all(moving);
  return {
    movedMs: last(moved) - killedAt,
    steps: {
      'spawned again': startedAt(stack, 'turn-host') - killedAt,
      'its code runs': custodyAt(stack) - killedAt,
      'first attached': Math.min(...attached) - killedAt,
      'last attached': Math.max(...attached) - killedAt,
      'last moves': last(moved) - killedAt,
    },
  };
}

/** A client continues with the first event of a new connection; that it is the next one is seen to by the client itself. */
async function killGateway(stack: Stack, turns: readonly Turn[]): Promise<Recovery> {
  const moving = turns.map(({ client }) => {
    const before = client.connections;
    return client.next(({ seq }) => seq !== undefined && client.connections > before);
  });
  const killedAt = killProcess(stack, 'gateway');
  const moved = await Promise.all(moving);
  const connected = turns.map(({ client }) => client.connectedAt);
  return {
    movedMs: last(moved) - killedAt,
    steps: {
      'spawned again': startedAt(stack, 'gateway') - killedAt,
      'first connected': Math.min(...connected) - killedAt,
      'last connected': Math.max(...connected) - killedAt,
      'last continues': last(moved) - killedAt,
    },
  };
}

/** The moment of the kill. */
export function killProcess(stack: Stack, role: Role): number {
  const target = stack.processOf(role);
  const at = performance.now();
  if (!signalProcess(target, 'SIGKILL')) throw new Error(`the ${role} was gone already`);
  return at;
}

/** When the process that a role has now was spawned, as its supervisor wrote it down: on the clock of `performance.now()`. */
export function startedAt(stack: Stack, role: Role): number {
  return Date.parse(stack.processOf(role).startedAt) - performance.timeOrigin;
}

/** When the turn host recorded its custody: the first thing that its own code does. */
export function custodyAt(stack: Stack): number {
  const { paths, turns } = loadConfig(stack.environment);
  const file = join(paths.run, `turn-host.${turns.hostName}.json`);
  return statSync(file).mtimeMs - performance.timeOrigin;
}

function last(frames: readonly Frame[]): number {
  return Math.max(...frames.map(({ seenAt }) => seenAt));
}
