/** What does not grow with a conversation's age: its snapshot, and at its ten thousandth turn a send and a subscription too. */
import { randomUUID } from 'node:crypto';

import { MESSAGE_PAGE } from '../../src/contracts/limits.ts';
import type { Store } from '../../src/store/port.ts';
import { Client, type Frame, isEnd, isIdle } from '../client.ts';
import { type Figure, median } from '../figures.ts';
import { newConversation, settled, type Stack } from '../stack.ts';
import { addTurns, createInStore } from './history.ts';
import { HttpReader } from './http-reader.ts';
import { alternate, type Pair, ratioRow, timed } from './pairs.ts';
import { RawSocket } from './raw-socket.ts';

/** Each turn has two messages. */
const SHORT_MESSAGES = 1_000;
const LONG_MESSAGES = 100_000;
const DELTAS = 3;
const FEW_TURNS = 10;
const MANY_TURNS = 10_000;
/** They make the younger one's page full as well. */
const SENDS = 120;
const READS = 1_000;
/** Events that a tab has missed which was away for a moment. */
const MISSED = 20;

type Parts = { stack: Stack; store: Store; gateway: { port: number; token: string } };

export async function measureSnapshots({ stack, store }: Parts): Promise<Figure[]> {
  const [young, old] = ['thousand', 'hundred-thousand'];
  for (const [conversationId, messages] of [
    [young, SHORT_MESSAGES],
    [old, LONG_MESSAGES],
  ] as const) {
    await createInStore(store, conversationId);
    await addTurns(store, { conversationId, turns: messages / 2, deltas: DELTAS });
  }
  const http = new HttpReader(stack);
  const fetched: Pair = { old: [], young: [] };
  const read: Pair = { old: [], young: [] };
  await alternate(READS, async (which) => {
    const conversationId = which === 'old' ? old : young;
    fetched[which].push(await http.read(snapshotPath(conversationId)));
    read[which].push(await timed(() => store.snapshot(conversationId, MESSAGE_PAGE)));
  });
  http.close();
  return [
    {
      ...ratioRow('snapshot of 100,000 messages (floor: of 1,000), p50', fetched, 1.2),
      note: `the store's own part ${median(read.old).toFixed(2)} ms against ${median(read.young).toFixed(2)}`,
    },
  ];
}

/** Two conversations that differ in their age alone; real ones, with a warm provider each. */
export async function measureTurns({ stack, store, gateway }: Parts): Promise<Figure[]> {
  const client = await Client.connect(stack);
  const http = new HttpReader(stack);
  const socket = await RawSocket.open(gateway);
  try {
    const [young, old] = [await newConversation(stack), await newConversation(stack)];
    for (const [conversationId, turns] of [
      [young, FEW_TURNS],
      [old, MANY_TURNS],
    ] as const) {
      await client.subscribe(conversationId);
      await turn(client, conversationId);
      await addTurns(store, { conversationId, turns: turns - 2, deltas: DELTAS });
    }
    const accepted: Pair = { old: [], young: [] };
    const said: Pair = { old: [], young: [] };
    await alternate(SENDS, async (which) => {
      await settled();
      const result = await turn(client, which === 'old' ? old : young);
      accepted[which].push(result.acceptedMs);
      said[which].push(result.firstDeltaMs);
    });
    const snapshots: Pair = { old: [], young: [] };
    const subscriptions: Pair = { old: [], young: [] };
    const end = {
      old: await store.lastSeq(`conversation:${old}`),
      young: await store.lastSeq(`conversation:${young}`),
    };
    // It follows both, and what is read for several is shared: a lone reader's cost is asked for.
    client.close();
    // Apart: what a large answer leaves to be tidied away is not the next one's.
    await alternate(READS, async (which) => {
      snapshots[which].push(await http.read(snapshotPath(which === 'old' ? old : young)));
    });
    await alternate(READS, async (which) => {
      const conversationId = which === 'old' ? old : young;
      const lastSeq = end[which] - MISSED;
      subscriptions[which].push(await timed(() => socket.catchUp({ conversationId, lastSeq })));
    });
    const at = `at turn ${MANY_TURNS.toLocaleString('en')} (floor: at turn ${FEW_TURNS})`;
    return [
      ratioRow(`send → \`chat.accepted\` ${at}, p50`, accepted, 1.1),
      ratioRow(`send → first delta, warm provider, ${at}, p50`, said, 1.1),
      ratioRow(`snapshot ${at}, both with a full page, p50`, snapshots, 1.1),
      ratioRow(`subscribe after ${MISSED} missed events ${at}, p50`, subscriptions, 1.1),
    ];
  } finally {
    http.close();
    socket.close();
    client.close();
  }
}

async function turn(
  client: Client,
  conversationId: string,
): Promise<{ acceptedMs: number; firstDeltaMs: number }> {
  const requestId = randomUUID();
  const next = (matches: (frame: Frame) => boolean): Promise<Frame> => client.next(matches);
  const accepted = next((frame) => frame.type === 'chat.accepted' && frame.requestId === requestId);
  const delta = next((frame) => frame.type === 'chat.delta' && frame.requestId === requestId);
  const end = next((frame) => isEnd(frame, requestId));
  const idle = next((frame) => isIdle(frame, conversationId));
  const sentAt = performance.now();
  const payload = { content: '#script\nwords 1' };
  client.send({ type: 'chat.send', conversationId, requestId, payload });
  const acceptedMs = (await accepted).seenAt - sentAt;
  const firstDeltaMs = (await delta).seenAt - sentAt;
  await end;
  await idle;
  return { acceptedMs, firstDeltaMs };
}

function snapshotPath(conversationId: string): string {
  return `/v1/conversations/${conversationId}`;
}
