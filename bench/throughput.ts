/** How much goes through: a flood of one conversation, of twenty together; and what a turn costs Temporal. */
import { Client as TemporalClient, Connection } from '@temporalio/client';

import { conversationWorkflowId } from '../src/contracts/ids.ts';
import { Client, runTurn } from './client.ts';
import type { Figure } from './figures.ts';
import { newConversation, type Stack } from './stack.ts';

/** Characters of text in one delta of the scripted provider's `flood`. */
const FLOOD_DELTA_BYTES = 32;

/** Provider deltas made durable and delivered, each second, from the first delivered to the last. */
async function flood(
  stack: Stack,
  client: Client,
  streams: number,
  megabytes: number,
): Promise<{ deltas: number; events: number }> {
  const conversations: string[] = [];
  for (let index = 0; index < streams; index += 1) {
    const conversationId = await newConversation(stack);
    await client.subscribe(conversationId);
    await runTurn(client, conversationId, '#script\nwords 1');
    conversations.push(conversationId);
  }
  let bytes = 0;
  let events = 0;
  let first = 0;
  let last = 0;
  client.onFrame = (frame) => {
    if (frame.type !== 'chat.delta') return;
    first ||= frame.seenAt;
    last = frame.seenAt;
    bytes += String(frame.payload?.['text']).length;
    events += 1;
  };
  await Promise.all(conversations.map((id) => runTurn(client, id, `#script\nflood ${megabytes}`)));
  client.onFrame = null;
  const seconds = (last - first) / 1_000;
  return { deltas: bytes / FLOOD_DELTA_BYTES / seconds, events: events / seconds };
}

/** Tool output of many lines: each line an event that is stored and delivered as itself. */
export async function measureThroughput(stack: Stack): Promise<Figure[]> {
  const client = await Client.connect(stack);
  try {
    const one = await flood(stack, client, 1, 32);
    const twenty = await flood(stack, client, 20, 4);
    const figure = (
      name: string,
      { deltas, events }: { deltas: number; events: number },
    ): Figure => ({
      name: `${name} (in ${Math.round(events)} frames/s)`,
      unit: 'deltas/s',
      product: deltas,
      floor: null,
      goal: '≥ 60,000/s',
      met: deltas >= 60_000,
    });
    return [
      figure('durable and delivered, flood of one conversation', one),
      figure('the same, 20 together', twenty),
      ...(await measureHistory(stack, client)),
    ];
  } finally {
    client.close();
  }
}

async function measureHistory(stack: Stack, client: Client): Promise<Figure[]> {
  const connection = await Connection.connect({ address: stack.status.temporal });
  const temporal = new TemporalClient({ connection, namespace: stack.status.namespace });
  const conversationId = await newConversation(stack);
  await client.subscribe(conversationId);
  await runTurn(client, conversationId, '#script\nwords 1');
  const handle = temporal.workflow.getHandle(conversationWorkflowId(conversationId));
  const length = async (): Promise<number> => {
    // The last Workflow Task of a turn closes a moment after its last event is seen.
    await new Promise((resolve) => setTimeout(resolve, 500));
    return (await handle.describe()).historyLength;
  };
  const cost = async (deltas: number): Promise<number> => {
    const before = await length();
    await runTurn(client, conversationId, `#script\nwords ${deltas}`);
    return (await length()) - before;
  };
  const [few, many] = [await cost(10), await cost(10_000)];
  await connection.close();
  return [
    {
      name: 'Temporal events in a turn of 10,000 deltas (floor: of 10)',
      unit: 'events',
      product: many,
      floor: few,
      goal: '≤ 15, the same',
      met: many <= 15 && many === few,
    },
  ];
}
