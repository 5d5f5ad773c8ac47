/**
 * How late the silence clock is: from a limit that has passed to the event at a client. The last output is the moment
 * that the provider itself stamped on it, so that nothing rests on what the engine says of its clock.
 */
import { readdirSync } from 'node:fs';
import { join } from 'node:path';

import { signalProcess } from '../src/providers/process/process-table.ts';
import { Spool } from '../src/providers/process/spool.ts';
import { CarefulClient } from './careful-client.ts';
import type { Frame } from './client.ts';
import { type Figure, median } from './figures.ts';
import { becomesIdle } from './fleet.ts';
import { newConversation, type Stack } from './stack.ts';

const TURNS = 20;
/** Between two that fall silent one after the other. */
const APART_MS = 250;

type Limits = { quietMs: number; stalledMs: number };
type Lateness = { quietMs: number; stalledMs: number };
type Silence = {
  /** It has said something. */
  heard: Promise<unknown>;
  /** Once it was stopped, and its conversation is free again. */
  late: Promise<Lateness>;
};

/** The stack must have these limits, and nothing else that ends a turn. */
export async function measureSilence(stack: Stack, limits: Limits): Promise<Figure[]> {
  const clients = await Promise.all(
    Array.from({ length: TURNS }, async () => {
      const conversationId = await newConversation(stack);
      return CarefulClient.connect({ stack, conversationId });
    }),
  );
  try {
    const apart: Promise<Lateness>[] = [];
    for (const client of clients) {
      apart.push(listen(client, { limits, script: 'stamps 1\nhang' }).late);
      await new Promise((resolve) => setTimeout(resolve, APART_MS));
    }
    const one = figuresOf(await Promise.all(apart), 'turns one after the other');
    const silences = clients.map((client) =>
      listen(client, { limits, script: 'stamps 100000 every 20' }),
    );
    await Promise.all(silences.map(({ heard }) => heard));
    stopProviders(stack, clients);
    const late = await Promise.all(silences.map((silence) => silence.late));
    const together = figuresOf(late, `${TURNS} turns at once, as at the loss of a network`);
    const faults = clients.flatMap((client) => client.faults);
    return [...one, ...together].map((figure) => ({
      ...figure,
      met: figure.met && faults.length === 0,
      // Said once.
      faults: figure === one[0] ? faults : [],
    }));
  } finally {
    for (const client of clients) client.close();
  }
}

function listen(
  client: CarefulClient,
  { limits, script }: { limits: Limits; script: string },
): Silence {
  const idle = becomesIdle(client);
  const requestId = client.send(`#script\n${script}`);
  const ofIt = (frame: Frame): boolean =>
    frame.requestId === requestId && client.textOf(requestId) !== '';
  const heard = client.next(ofIt);
  const quiet = client.next((frame) => frame.type === 'chat.quiet' && ofIt(frame));
  const stopping = client.next((frame) => frame.type === 'chat.cancelling' && ofIt(frame));
  const end = client.end(requestId);
  const late = async (): Promise<Lateness> => {
    const arrivals = [await quiet, await stopping].map(
      ({ seenAt }) => performance.timeOrigin + seenAt,
    );
    const { type } = await end;
    await idle;
    if (type !== 'chat.interrupted') throw new Error(`a turn that hung ended by ${type}`);
    const lastOutputAt = Number(client.textOf(requestId).trimEnd().split(' ').at(-1));
    const [quietAt = Number.NaN, stoppingAt = Number.NaN] = arrivals;
    return {
      quietMs: quietAt - (lastOutputAt + limits.quietMs),
      stalledMs: stoppingAt - (lastOutputAt + limits.stalledMs),
    };
  };
  return { heard, late: late() };
}

/** Stops their programs all at one moment, in the middle of what they were saying. The ladder continues them before it ends them. */
function stopProviders(stack: Stack, clients: readonly CarefulClient[]): void {
  const root = join(stack.status.home, 'spools');
  const conversations = new Set(clients.map(({ conversationId }) => conversationId));
  for (const name of readdirSync(root)) {
    const spool = Spool.open({ root, name });
    const identity = spool?.identity() ?? null;
    if (spool === null || identity === null || !conversations.has(spool.spec.conversationId))
      continue;
    signalProcess(identity, 'SIGSTOP');
  }
}

function figuresOf(late: readonly Lateness[], which: string): Figure[] {
  const row = (name: string, values: readonly number[]): Figure => ({
    name,
    unit: 'ms',
    product: Math.max(...values),
    floor: null,
    goal: `≤ 250 ms (p50 is ${Math.round(median(values))})`,
    met: Math.max(...values) <= 250,
  });
  return [
    row(
      `silence limit → \`chat.quiet\` at the client, ${which}, latest`,
      late.map(({ quietMs }) => quietMs),
    ),
    row(
      `stall limit → first \`chat.cancelling\` at the client, ${which}, latest`,
      late.map(({ stalledMs }) => stalledMs),
    ),
  ];
}
