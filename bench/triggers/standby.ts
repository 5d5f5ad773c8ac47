/** A thousand triggers of which none is due: what they cost the processor and the memory of every process, Temporal's too. */
import { setTimeout as pause } from 'node:timers/promises';

import { type Figure, median } from '../figures.ts';
import { cpuMs, memoryOf } from '../readers/process-cost.ts';
import { newConversation, type Stack } from '../stack.ts';

const TRIGGERS = 1_000;
const CREATES_AT_ONCE = 8;
/** Together a little more than five minutes: the worker compares all Schedules with all triggers that often, and that is to be counted. */
const ROUNDS = 5;
const ROUND_MS = 62_000;
const MINUTE_MS = 60_000;
const LIMIT_PERCENT = 1;
const PATIENCE_MS = 300_000;
/** Used by all processes of a stack together in a second: it does nothing but wait. */
const AT_REST_MS = 60;
const NODE_ROLES = ['gateway', 'worker', 'turn-host'] as const;
const ROLES = ['temporal', 'supervisor', ...NODE_ROLES] as const;

type Role = (typeof ROLES)[number];
type Used = Record<Role, number>;

/** `quiet` and `crowded`: stacks of the same settings, both new. */
export async function measureStandby({
  quiet,
  crowded,
}: {
  quiet: Stack;
  crowded: Stack;
}): Promise<Figure[]> {
  const conversationId = await newConversation(crowded);
  await newConversation(quiet);
  const before = await memory(crowded);
  const from = performance.now();
  await createTriggers(crowded, conversationId);
  const seconds = (performance.now() - from) / 1_000;
  await Promise.all([atRest(quiet), atRest(crowded)]);
  const after = await memory(crowded);

  const rounds: { quiet: Used; crowded: Used }[] = [];
  for (let round = 0; round < ROUNDS; round += 1) {
    // At the same time: what else the machine does, it does to both.
    const start = { quiet: used(quiet), crowded: used(crowded), at: performance.now() };
    await pause(ROUND_MS);
    const ms = performance.now() - start.at;
    rounds.push({
      quiet: percent(start.quiet, used(quiet), ms),
      crowded: percent(start.crowded, used(crowded), ms),
    });
  }
  const mean = (side: 'quiet' | 'crowded', role: Role): number =>
    rounds.reduce((sum, round) => sum + round[side][role], 0) / ROUNDS;
  const total = (side: 'quiet' | 'crowded'): number =>
    ROLES.reduce((sum, role) => sum + mean(side, role), 0);
  const [product, floor] = [total('crowded'), total('quiet')];
  const more = product - floor;
  const eachRound = rounds.map((round) =>
    ROLES.reduce((sum, role) => sum + round.crowded[role] - round.quiet[role], 0),
  );
  const heap = NODE_ROLES.map((role) => (after[role] - before[role]) / 1_024);
  return [
    {
      name: `processor with ${TRIGGERS.toLocaleString('en')} triggers that are not due, all processes and Temporal (floor: without)`,
      unit: '% of a core',
      product,
      floor,
      goal: `< ${LIMIT_PERCENT} % more (is ${more.toFixed(2)})`,
      met: more < LIMIT_PERCENT,
      note: `${ROLES.map((role) => `${role} ${mean('quiet', role).toFixed(2)} → ${mean('crowded', role).toFixed(2)}`).join(' · ')}. Minute by minute ${eachRound.map((each) => each.toFixed(2)).join(' · ')}, median ${median(eachRound).toFixed(2)}; in one of them the worker compared all Schedules with all triggers. Made in ${seconds.toFixed(0)} s`,
    },
    {
      name: `held for each of them in gateway, worker and turn host together, after garbage collection`,
      unit: 'KB',
      product: heap.reduce((sum, each) => sum + each, 0) / TRIGGERS,
      floor: null,
      goal: '≤ 2 KB',
      met: heap.reduce((sum, each) => sum + each, 0) / TRIGGERS <= 2,
      note: `${NODE_ROLES.map((role, index) => `${role} ${((heap[index] ?? 0) / 1_024).toFixed(1)} MB`).join(' · ')}; Temporal's resident memory ${(before.temporal / 2 ** 20).toFixed(0)} → ${(after.temporal / 2 ** 20).toFixed(0)} MB, ${ROUNDS} minutes later ${crowded.residentMb('temporal').toFixed(0)} MB (without triggers ${quiet.residentMb('temporal').toFixed(0)} MB)`,
    },
  ];
}

/** Yearly crons, one-shots in a month, paused ones of a long interval, and weekly ones of another zone. */
async function createTriggers(stack: Stack, conversationId: string): Promise<void> {
  // Never within the next hours, whenever this runs.
  const later = new Date(Date.now() + 30 * 24 * 60 * MINUTE_MS);
  const yearly = `${later.getUTCMinutes()} ${(new Date().getUTCHours() + 12) % 24} ${later.getUTCDate()} ${later.getUTCMonth() + 1} *`;
  const kinds = [
    { schedule: { cron: yearly } },
    { schedule: { at: later.toISOString() } },
    { schedule: { everyMs: 30 * 24 * 60 * MINUTE_MS }, paused: true },
    { schedule: { cron: yearly, timezone: 'Asia/Kolkata' } },
  ];
  let made = 0;
  await Promise.all(
    Array.from({ length: CREATES_AT_ONCE }, async () => {
      while (made < TRIGGERS) {
        const index = made++;
        await stack.call('POST', '/v1/triggers', {
          triggerId: `t${index}`,
          conversationId,
          content: 'What is new?',
          ...kinds[index % kinds.length],
        });
      }
    }),
  );
}

/** Nothing is left to do for what was made. */
async function atRest(stack: Stack): Promise<void> {
  const sum = (each: Used): number => ROLES.reduce((total, role) => total + each[role], 0);
  const deadline = performance.now() + PATIENCE_MS;
  for (let last = sum(used(stack)), quietFor = 0; performance.now() < deadline;) {
    await pause(1_000);
    const now = sum(used(stack));
    quietFor = now - last < AT_REST_MS ? quietFor + 1 : 0;
    if (quietFor === 10) return;
    last = now;
  }
  throw new Error('the stack never came to rest');
}

function used(stack: Stack): Used {
  return byRole((role) => cpuMs(stack.processOf(role).pid));
}

function percent(from: Used, to: Used, ms: number): Used {
  return byRole((role) => ((to[role] - from[role]) / ms) * 100);
}

function byRole(valueOf: (role: Role) => number): Used {
  return {
    temporal: valueOf('temporal'),
    supervisor: valueOf('supervisor'),
    gateway: valueOf('gateway'),
    worker: valueOf('worker'),
    'turn-host': valueOf('turn-host'),
  };
}

/** Bytes that JavaScript holds; of Temporal what is resident. */
async function memory(stack: Stack): Promise<Omit<Used, 'supervisor'>> {
  // One after the other: they share the inspector's port.
  const heapOf = async (role: (typeof NODE_ROLES)[number]): Promise<number> =>
    (await memoryOf(stack.processOf(role).pid)).heap;
  return {
    temporal: stack.residentMb('temporal') * 2 ** 20,
    gateway: await heapOf('gateway'),
    worker: await heapOf('worker'),
    'turn-host': await heapOf('turn-host'),
  };
}
