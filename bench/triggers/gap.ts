/** A trigger of every second that nobody has looked at for a day: 86,400 rows at once, and what others notice of it. */
import { randomUUID } from 'node:crypto';
import { setTimeout as pause } from 'node:timers/promises';

import { triggerStream } from '../../src/contracts/ids.ts';
import type { Store } from '../../src/store/port.ts';
import { Client, type Frame, isEnd, isIdle } from '../client.ts';
import { type Figure, median, quantile } from '../figures.ts';
import { longestBlockMs, watchEventLoop } from '../readers/process-cost.ts';
import { newConversation, type Stack } from '../stack.ts';
import { createInStore } from './history.ts';

const DAY_MS = 86_400_000;
const SECOND_MS = 1_000;
const ROUNDS = 3;
/** Conversations that are sent to meanwhile, one message after the other in each. */
const SENDERS = 20;
/** Between a turn's end and the next send: a conversation that continues as new has done so by then, also on a busy machine. */
const REST_MS = 1_000;
/** Sends without a gap, before each. */
const ALONE_MS = 10_000;
const PATIENCE_MS = 120_000;
const BLOCK_LIMIT_MS = 50;
const MORE_LIMIT_MS = 50;
const ROLES = ['worker', 'gateway', 'turn-host'] as const;

type Round = {
  ms: number;
  blocks: Record<(typeof ROLES)[number], number>;
  alone: Sent[];
  beside: Sent[];
};

export async function measureGap({
  stack,
  store,
}: {
  stack: Stack;
  store: Store;
}): Promise<Figure[]> {
  for (const role of ROLES) await watchEventLoop(stack.processOf(role).pid);
  const senders = await Senders.start(stack);
  const rounds: Round[] = [];
  try {
    for (let round = 0; round < ROUNDS; round += 1)
      rounds.push(await measureRound(stack, store, senders));
  } finally {
    senders.close();
  }
  const ms = median(rounds.map((round) => round.ms));
  const block = median(rounds.map(({ blocks }) => blocks.worker));
  const of = (side: 'alone' | 'beside', what: 'started' | 'ended', q: number): number =>
    quantile(
      rounds.flatMap((round) => round[side].map((each) => each[what])),
      q,
    );
  const p99 = (side: 'alone' | 'beside'): number => of(side, 'started', 0.99);
  const more = p99('beside') - p99('alone');
  return [
    {
      name: 'a look after a day without one, every second: 86,400 rows, skipped but the last',
      unit: 'ms',
      product: ms,
      floor: null,
      goal: 'said',
      met: true,
      note: `each: ${rounds.map((round) => Math.round(round.ms)).join(' · ')} ms; ${Math.round(DAY_MS / ms).toLocaleString('en')} rows/s, with sends beside it`,
    },
    {
      name: 'the longest the worker’s event loop stands still meanwhile',
      unit: 'ms',
      product: block,
      floor: null,
      goal: `≤ ${BLOCK_LIMIT_MS} ms`,
      met: block <= BLOCK_LIMIT_MS,
      note: ROLES.map(
        (role) => `${role} ${rounds.map(({ blocks }) => blocks[role].toFixed(0)).join(' · ')} ms`,
      ).join('; '),
    },
    {
      name: `send → \`chat.started\` in ${SENDERS} other conversations meanwhile (floor: without it), p99`,
      unit: 'ms',
      product: p99('beside'),
      floor: p99('alone'),
      goal: `≤ ${MORE_LIMIT_MS} ms more (is ${more.toFixed(0)})`,
      met: more <= MORE_LIMIT_MS,
      note: `p50 ${of('beside', 'started', 0.5).toFixed(0)} against ${of('alone', 'started', 0.5).toFixed(0)} ms; to the end of its turn p50 ${of('beside', 'ended', 0.5).toFixed(0)} against ${of('alone', 'ended', 0.5).toFixed(0)}, p99 ${of('beside', 'ended', 0.99).toFixed(0)} against ${of('alone', 'ended', 0.99).toFixed(0)} ms. ${rounds.flatMap(({ beside }) => beside).length} sends against ${rounds.flatMap(({ alone }) => alone).length}`,
    },
  ];
}

async function measureRound(stack: Stack, store: Store, senders: Senders): Promise<Round> {
  const start = performance.now();
  await pause(ALONE_MS);
  const end = performance.now();
  for (const role of ROLES) await longestBlockMs(stack.processOf(role).pid);
  const conversationId = await newConversation(stack);
  const triggerId = randomUUID();
  const stream = triggerStream(triggerId);
  const nowMs = Math.floor(Date.now() / SECOND_MS) * SECOND_MS;
  // As it stands after a day in which nothing ran. The worker's watch finds it.
  await createInStore(store, {
    triggerId,
    asked: { schedule: { everyMs: SECOND_MS, timezone: 'UTC' }, conversationId },
    decidedUntilMs: nowMs - DAY_MS,
    nextDueAtMs: nowMs - DAY_MS + SECOND_MS,
  });
  await until(async () => (await store.lastSeq(stream)) > 1);
  const begun = performance.now();
  await until(async () => {
    const trigger = await store.trigger(triggerId);
    return trigger !== null && Date.parse(trigger.decidedUntil) >= nowMs;
  });
  const done = performance.now();
  const blocks = { worker: 0, gateway: 0, 'turn-host': 0 };
  for (const role of ROLES) blocks[role] = await longestBlockMs(stack.processOf(role).pid);
  await stack.call('DELETE', `/v1/triggers/${triggerId}`);
  const alone = await senders.during(start, end);
  const beside = await senders.during(begun, done);
  return { ms: done - begun, blocks, alone, beside };
}

async function until(look: () => Promise<boolean>): Promise<void> {
  const deadline = performance.now() + PATIENCE_MS;
  while (!(await look())) {
    if (performance.now() > deadline) throw new Error('nobody decided what was due');
    await pause(5);
  }
}

/** `started`, `ended`: its turn, in milliseconds after the send. (That it is accepted says Temporal, and no worker is asked.) */
type Sent = { at: number; started: number; ended: number };

/** Conversations that are never at rest. */
class Senders {
  readonly #client: Client;
  readonly #sent: Sent[] = [];
  /** When the sends that are under way were begun. */
  readonly #underWay = new Set<number>();
  #stopped = false;

  private constructor(client: Client) {
    this.#client = client;
  }

  static async start(stack: Stack): Promise<Senders> {
    const client = await Client.connect(stack);
    const senders = new Senders(client);
    for (let count = 0; count < SENDERS; count += 1) {
      const conversationId = await newConversation(stack);
      await client.subscribe(conversationId);
      senders.#goOn(conversationId).catch((error: unknown) => {
        if (!senders.#stopped) throw error;
      });
    }
    return senders;
  }

  /** Those that were under way at any moment of a span; waits for their ends. */
  async during(from: number, to: number): Promise<Sent[]> {
    await until(async () => [...this.#underWay].every((at) => at > to));
    return this.#sent.filter(({ at, ended }) => at < to && at + ended > from);
  }

  close(): void {
    this.#stopped = true;
    this.#client.close();
  }

  async #goOn(conversationId: string): Promise<void> {
    while (!this.#stopped) {
      const requestId = randomUUID();
      const next = (matches: (frame: Frame) => boolean): Promise<Frame> =>
        this.#client.next(matches);
      const started = next(
        (frame) => frame.type === 'chat.started' && frame.requestId === requestId,
      );
      const end = next((frame) => isEnd(frame, requestId));
      const idle = next((frame) => isIdle(frame, conversationId));
      const at = performance.now();
      this.#underWay.add(at);
      const payload = { content: '#script\nwords 1' };
      this.#client.send({ type: 'chat.send', conversationId, requestId, payload });
      const startedAt = (await started).seenAt;
      this.#sent.push({ at, started: startedAt - at, ended: (await end).seenAt - at });
      this.#underWay.delete(at);
      await idle;
      await pause(REST_MS);
    }
  }
}
