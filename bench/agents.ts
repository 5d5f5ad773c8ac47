/** What agents cost: a child beside an ordinary first turn, mail beside a send, and two hundred children that end together. */
import { randomUUID } from 'node:crypto';
import { setTimeout as pause } from 'node:timers/promises';

import { Client as TemporalClient, Connection } from '@temporalio/client';

import type { TeamViewValue } from '../src/contracts/agents.ts';
import { conversationWorkflowId } from '../src/contracts/ids.ts';
import { HISTORY_EVENTS_LIMIT } from '../src/contracts/limits.ts';
import { Client, runTurn } from './client.ts';
import { type Figure, NEVER, quantile } from './figures.ts';
import { newConversation, settled, type Stack, startStack } from './stack.ts';

const SPAWNS = 30;
const MESSAGES = 60;
const CHILDREN = 200;
/** Asked for at once: what a provider's parallel tool calls may bring. */
const SPAWNED_AT_ONCE = 8;
const PATIENCE_MS = 300_000;
const STAMP = '#script\nstamps 1';
/** A turn that takes a moment: mail that comes meanwhile waits together. */
const ANSWER = '#script\ntext "done"';

type Spawned = { agentId: string; conversationId: string };

export async function measureAgents(): Promise<Figure[]> {
  const stack = await startStack();
  const client = await Client.connect(stack);
  try {
    return [
      ...(await measureSpawn(stack, client)),
      ...(await measureMail(stack, client)),
      ...(await measureCrowd(stack)),
    ];
  } finally {
    client.close();
    stack.stop();
  }
}

function spawn(stack: Stack, parent: string, content: string | null): Promise<Spawned> {
  return stack.call<Spawned>('POST', `/v1/conversations/${parent}/agents`, {
    agentId: `a${randomUUID()}`,
    ...(content === null ? {} : { content }),
  });
}

/** Milliseconds from now until the provider of that conversation wrote its stamp, by its own clock. */
async function untilStamp(stack: Stack, begin: () => Promise<string>): Promise<number> {
  const from = performance.timeOrigin + performance.now();
  const conversationId = await begin();
  for (const deadline = performance.now() + PATIENCE_MS; performance.now() < deadline;) {
    const { messages } = await stack.call<{ messages: { role: string; content: string }[] }>(
      'GET',
      `/v1/conversations/${conversationId}`,
    );
    const answer = messages.find(({ role, content }) => role === 'assistant' && content !== '');
    if (answer !== undefined) return Number(answer.content.trim()) - from;
    await pause(10);
  }
  throw new Error(`${conversationId} did not answer`);
}

/** Both start a provider: the child is made, linked and told; the other one is there already and only told. */
async function measureSpawn(stack: Stack, client: Client): Promise<Figure[]> {
  const parent = await newConversation(stack);
  const spawned: number[] = [];
  const ordinary: number[] = [];
  for (let n = 0; n < SPAWNS; n += 1) {
    spawned.push(
      await untilStamp(stack, async () => (await spawn(stack, parent, STAMP)).conversationId),
    );
    const conversationId = await newConversation(stack);
    await settled();
    ordinary.push(
      await untilStamp(stack, async () => {
        client.send({
          type: 'chat.send',
          conversationId,
          requestId: randomUUID(),
          payload: { content: STAMP },
        });
        return conversationId;
      }),
    );
    await settled();
  }
  return [0.5, 0.9].map((q): Figure => {
    const product = quantile(spawned, q);
    const floor = quantile(ordinary, q);
    return {
      name: `spawn → its provider has its prompt (floor: a send to a new conversation), p${q * 100}`,
      unit: 'ms',
      product,
      floor,
      goal: '≤ 2 ×',
      met: product <= 2 * floor,
    };
  });
}

async function measureMail(stack: Stack, client: Client): Promise<Figure[]> {
  const root = await newConversation(stack);
  const { conversationId: child } = await spawn(stack, root, null);
  await client.subscribe(root);
  // Warm, as two agents that talk are.
  await runTurn(client, root, ANSWER);
  const started = () =>
    client.next((frame) => frame.type === 'chat.started' && frame.conversationId === root);
  const idle = () =>
    client.next(
      (frame) =>
        frame.type === 'conversation.state' &&
        frame.conversationId === root &&
        frame.payload?.['state'] === 'idle',
    );
  const mailed: number[] = [];
  const sent: number[] = [];
  for (let n = 0; n < MESSAGES; n += 1)
    for (const [path, body, ms] of [
      [`/v1/conversations/${child}/mailbox`, { to: 'root', content: ANSWER }, mailed],
      [`/v1/conversations/${root}/messages`, { requestId: randomUUID(), content: ANSWER }, sent],
    ] as const) {
      await settled();
      const [starts, ends] = [started(), idle()];
      const from = performance.now();
      const answered = stack.call('POST', path, body);
      ms.push((await starts).seenAt - from);
      await answered;
      await ends;
    }
  return [0.5, 0.9].map((q): Figure => {
    const product = quantile(mailed, q);
    const floor = quantile(sent, q);
    return {
      name: `message to an idle agent → its turn has started (floor: a send to it), p${q * 100}`,
      unit: 'ms',
      product,
      floor,
      goal: '≤ 1.5 ×',
      met: product <= 1.5 * floor,
    };
  });
}

/** Nothing may be lost, and what is left of it with the parent must not grow with their number. */
async function measureCrowd(stack: Stack): Promise<Figure[]> {
  const root = await newConversation(stack);
  const from = performance.now();
  for (let n = 0; n < CHILDREN; n += SPAWNED_AT_ONCE)
    await Promise.all(
      Array.from({ length: Math.min(SPAWNED_AT_ONCE, CHILDREN - n) }, () =>
        spawn(stack, root, ANSWER),
      ),
    );
  const spawnedMs = performance.now() - from;
  const team = (): Promise<TeamViewValue> => stack.call('GET', `/v1/conversations/${root}/agents`);
  let view = await team();
  const rootOf = ({ agents }: TeamViewValue) => agents.find(({ parentId }) => parentId === null);
  const isDone = (): boolean => {
    const parent = rootOf(view);
    return parent?.mail.applied === CHILDREN && parent.state === 'idle' && parent.queued === 0;
  };
  const deadline = performance.now() + PATIENCE_MS;
  while (!isDone() && performance.now() < deadline) {
    await pause(100);
    view = await team();
  }
  const doneMs = performance.now() - from;
  const parent = rootOf(view);
  const applied = parent?.mail.applied ?? 0;
  const events = await historyLength(stack, root);
  const turns = parent?.turnCount ?? 0;
  return [
    {
      name: `${CHILDREN} children of one parent: results that were not applied`,
      unit: '',
      product: CHILDREN - applied,
      floor: null,
      goal: NEVER,
      met: applied === CHILDREN,
      ...(applied === CHILDREN
        ? {}
        : { faults: [`of ${CHILDREN} results ${applied} were applied`] }),
      note: `asked for within ${Math.round(spawnedMs)} ms, all applied after ${Math.round(doneMs)} ms, in ${turns} turns of their parent`,
    },
    {
      name: `the same: events in the history of their parent's present run`,
      unit: '',
      product: events,
      floor: null,
      // One turn more than the limit, with what came during it.
      goal: `≤ ${2 * HISTORY_EVENTS_LIMIT}`,
      met: events <= 2 * HISTORY_EVENTS_LIMIT,
    },
  ];
}

async function historyLength(stack: Stack, conversationId: string): Promise<number> {
  const connection = await Connection.connect({ address: stack.status.temporal });
  try {
    const client = new TemporalClient({ connection, namespace: stack.status.namespace });
    const { historyLength: events } = await client.workflow
      .getHandle(conversationWorkflowId(conversationId))
      .describe();
    return events;
  } finally {
    await connection.close();
  }
}
