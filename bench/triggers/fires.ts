/** From a due time to its row and its turn, of a trigger of every second; what each fire leaves in the two databases; and creating one. */
import { randomUUID } from 'node:crypto';
import { join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { setTimeout as pause } from 'node:timers/promises';

import { triggerStream, triggerWorkflowId } from '../../src/contracts/ids.ts';
import type { Store } from '../../src/store/port.ts';
import { Client } from '../client.ts';
import { type Figure, median, quantile } from '../figures.ts';
import { newConversation, type Stack } from '../stack.ts';
import { BareSchedules, fireIdOf } from './bare-schedules.ts';

const FIRES = 50;
/** Until both have got going: the first fire of a Schedule waits for the Schedule. */
const SKIPPED = 3;
const SECOND_MS = 1_000;
const CREATES = 60;
const PATIENCE_MS = 60_000;
/** Fires whose traces are weighed. */
const WEIGHED = 60;
const MONTH_MS = 30 * 24 * 3_600_000;

/** All on one stack: the two are measured in turn, so that neither meets the other's fires. */
export async function measureFires({
  stack,
  store,
}: {
  stack: Stack;
  store: Store;
}): Promise<Figure[]> {
  const bare = await BareSchedules.start(stack);
  try {
    const half = { count: FIRES / 2, skipped: SKIPPED };
    const first = await bare.fires(half);
    const product = await productFires({ stack, store, bare });
    const second = await bare.fires(half);
    const started = [...first.started, ...second.started];
    const over = [...first.over, ...second.over];
    const ran = over.map((ms, index) => ms - (started[index] ?? Number.NaN));
    return [
      ...rows('due → its row is written (floor: a bare Schedule has started its Workflow)', {
        ms: product.rows,
        floor: started,
      }),
      ...rows('due → `chat.started` of its turn is at the client (same floor)', {
        ms: product.turns,
        floor: started,
      }),
      ...rows(
        'of that ours: its Workflow is started → its row is written (floor: one that does nothing is over)',
        { ms: product.own, floor: ran },
      ),
      ...(await measureGrowth(stack)),
      ...(await measureCreating(stack, bare)),
    ];
  } finally {
    await bare.stop();
  }
}

function rows(name: string, { ms, floor }: { ms: number[]; floor: number[] }): Figure[] {
  return ([0.5, 0.99] as const).map((q) => ({
    name: `${name}, p${q * 100}`,
    unit: 'ms',
    product: quantile(ms, q),
    floor: quantile(floor, q),
    goal: 'said',
    met: true,
  }));
}

/**
 * Since each due time: until its row could be read by another process, and until its turn had started at a client. `own`: its
 * row, since Temporal had started the Workflow of that fire; without rows that another look had written before.
 */
async function productFires({
  stack,
  store,
  bare,
}: {
  stack: Stack;
  store: Store;
  bare: BareSchedules;
}): Promise<{ rows: number[]; turns: number[]; own: number[] }> {
  const client = await Client.connect(stack);
  const conversationId = await newConversation(stack);
  await client.subscribe(conversationId);
  const startedAt = new Map<string, number>();
  client.onFrame = ({ type, requestId, seenAt }) => {
    if (type === 'chat.started' && requestId !== undefined)
      startedAt.set(requestId, performance.timeOrigin + seenAt);
  };
  const triggerId = randomUUID();
  const stream = triggerStream(triggerId);
  const seenAt = new Map<string, { at: number; requestId: string }>();
  const look = async (): Promise<void> => {
    const at = performance.timeOrigin + performance.now();
    const { items } = await store.ledger({ ...newest, triggerId });
    for (const { dueAt, requestId = '' } of items)
      if (!seenAt.has(dueAt)) seenAt.set(dueAt, { at, requestId });
  };
  const stop = store.watch((heads) => {
    if (heads.has(stream)) void look();
  });
  try {
    await createTrigger(stack, { triggerId, conversationId });
    const isDone = (): boolean =>
      seenAt.size >= FIRES + SKIPPED &&
      [...seenAt.values()].every(({ requestId }) => startedAt.has(requestId));
    await until(isDone, (FIRES + SKIPPED) * SECOND_MS + PATIENCE_MS);
    const counted = [...seenAt].slice(SKIPPED, SKIPPED + FIRES);
    const found = { rows: [] as number[], turns: [] as number[], own: [] as number[] };
    for (const [dueAt, { at, requestId }] of counted) {
      const dueMs = Date.parse(dueAt);
      found.rows.push(at - dueMs);
      found.turns.push((startedAt.get(requestId) ?? Number.NaN) - dueMs);
      const { started } = await bare.timesOf(fireIdOf(triggerWorkflowId(triggerId), dueMs));
      if (started < at) found.own.push(at - started);
    }
    return found;
  } finally {
    await stack.call('DELETE', `/v1/triggers/${triggerId}`);
    stop();
    client.close();
  }
}

const newest = { outcome: null, from: null, to: null, cursor: null, limit: 5 };

/** What a fire leaves behind in Temporal's database and in ours: with its turn, and as a row alone. */
async function measureGrowth(stack: Stack): Promise<Figure[]> {
  const figures: Figure[] = [];
  for (const [what, paused] of [
    ['with its turn of one word', false],
    ['of which only the row is kept (a paused trigger)', true],
  ] as const) {
    const conversationId = await newConversation(stack);
    const triggerId = randomUUID();
    await createTrigger(stack, { triggerId, conversationId, paused });
    const count = (): Promise<number> => rowsOf(stack, triggerId);
    await until(async () => (await count()) >= SKIPPED, PATIENCE_MS);
    const before = { rows: await count(), ...sizes(stack) };
    await until(
      async () => (await count()) >= before.rows + WEIGHED,
      WEIGHED * SECOND_MS + PATIENCE_MS,
    );
    const after = { rows: await count(), ...sizes(stack) };
    await stack.call('DELETE', `/v1/triggers/${triggerId}`);
    const fires = after.rows - before.rows;
    const [temporal, ours] = [
      (after.temporal - before.temporal) / fires / 1_024,
      (after.ours - before.ours) / fires / 1_024,
    ];
    figures.push({
      name: `a fire ${what} leaves in Temporal's database`,
      unit: 'KB',
      product: temporal,
      floor: null,
      goal: 'said',
      met: true,
      note: `in ours ${ours.toFixed(2)} KB; an hour of every second: ${((temporal * 3_600) / 1_024).toFixed(0)} MB and ${((ours * 3_600) / 1_024).toFixed(1)} MB`,
    });
  }
  return figures;
}

/** POST → 200 of a trigger, against the two calls to Temporal that it cannot do without. */
async function measureCreating(stack: Stack, bare: BareSchedules): Promise<Figure[]> {
  const conversationId = await newConversation(stack);
  const product: number[] = [];
  const floor: number[] = [];
  const at = new Date(Date.now() + MONTH_MS);
  const spec = {
    calendars: [{ year: at.getUTCFullYear(), dayOfMonth: at.getUTCDate(), hour: at.getUTCHours() }],
  };
  for (let round = 0; round < CREATES; round += 1) {
    floor.push(await bare.create(spec));
    await pause(100);
    const from = performance.now();
    await createTrigger(stack, { conversationId, schedule: { at: at.toISOString() } });
    product.push(performance.now() - from);
    await pause(100);
  }
  return [
    {
      name: 'a trigger is created: POST → 200 (floor: signal-with-start and a bare Schedule), p50',
      unit: 'ms',
      product: median(product),
      floor: median(floor),
      goal: '≤ 1.5 ×',
      met: median(product) <= 1.5 * median(floor),
      note: `p99 ${quantile(product, 0.99).toFixed(0)} ms, floor ${quantile(floor, 0.99).toFixed(0)} ms`,
    },
  ];
}

async function createTrigger(
  stack: Stack,
  {
    schedule = { everyMs: SECOND_MS },
    ...rest
  }: {
    triggerId?: string;
    conversationId: string;
    paused?: boolean;
    schedule?: { everyMs: number } | { at: string };
  },
): Promise<void> {
  await stack.call('POST', '/v1/triggers', { content: '#script\nwords 1', schedule, ...rest });
}

async function rowsOf(stack: Stack, triggerId: string): Promise<number> {
  const { counts } = await stack.call<{ counts: Record<string, number> }>(
    'GET',
    `/v1/triggers/${triggerId}`,
  );
  return Object.values(counts).reduce((sum, count) => sum + count, 0);
}

/** Bytes in use of the two databases, what is still in their write-ahead logs too. */
function sizes(stack: Stack): { temporal: number; ours: number } {
  return { temporal: bytesOf(stack, 'temporal.db'), ours: bytesOf(stack, 'holdfast.db') };
}

function bytesOf(stack: Stack, file: string): number {
  const database = new DatabaseSync(join(stack.status.home, file), { readOnly: true });
  const value = (pragma: string): number =>
    Number(Object.values(database.prepare(`PRAGMA ${pragma}`).get() ?? {})[0]);
  try {
    return (value('page_count') - value('freelist_count')) * value('page_size');
  } finally {
    database.close();
  }
}

async function until(look: () => boolean | Promise<boolean>, patienceMs: number): Promise<void> {
  const deadline = performance.now() + patienceMs;
  while (!(await look())) {
    if (performance.now() > deadline) throw new Error('what a bench waits for did not come');
    await pause(50);
  }
}
