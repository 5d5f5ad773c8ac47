/** Twenty conversations that stream together, each with a careful client of its own, and what may be said of their turns afterwards. */
import { CarefulClient } from './careful-client.ts';
import type { Frame } from './client.ts';
import { newConversation, type Stack } from './stack.ts';

const STREAMS = 20;
const EVERY_MS = 20;
/** Deltas that each stream has shown before anything is done to it. */
const MOVING_AFTER = 10;

export type Turn = { client: CarefulClient; requestId: string; words: number; end: Promise<Frame> };

/** Conversations whose provider process is already there: what is measured is no cold start. */
export async function startFleet(stack: Stack): Promise<CarefulClient[]> {
  return Promise.all(
    Array.from({ length: STREAMS }, async () => {
      const conversationId = await newConversation(stack);
      const client = await CarefulClient.connect({ stack, conversationId });
      const idle = becomesIdle(client);
      await client.end(client.send(script(1)));
      await idle;
      return client;
    }),
  );
}

/** Starts a turn of so many words, 50 a second, in each; resolves when all of them move. */
export async function streamTogether(
  fleet: readonly CarefulClient[],
  words: number,
): Promise<Turn[]> {
  return Promise.all(
    fleet.map(async (client) => {
      const requestId = client.send(script(words));
      const end = client.end(requestId);
      let deltas = 0;
      await client.next((frame) => {
        deltas += isDeltaOf(frame, requestId) ? 1 : 0;
        return deltas === MOVING_AFTER;
      });
      return { client, requestId, words, end };
    }),
  );
}

/** Waits for the ends; what was lost, repeated or ended in another way than by itself. */
export async function finish(turns: readonly Turn[]): Promise<string[]> {
  const faults = await Promise.all(
    turns.map(async ({ client, requestId, words, end }) => {
      const { type } = await end;
      const found: string[] = [];
      if (type !== 'chat.done') found.push(`${client.conversationId}: ended by ${type}`);
      const difference = firstDifference(client.textOf(requestId), wordsOf(words));
      if (difference !== null) found.push(`${client.conversationId}: ${difference}`);
      return [...client.faults.splice(0), ...found];
    }),
  );
  return faults.flat();
}

export function isDeltaOf(frame: Frame, requestId: string): boolean {
  return frame.type === 'chat.delta' && frame.requestId === requestId;
}

/** The moment the conversation is free again. To be called before it is. */
export function becomesIdle(client: CarefulClient): Promise<Frame> {
  return client.next(
    ({ type, payload }) => type === 'conversation.state' && payload?.['state'] === 'idle',
  );
}

function script(words: number): string {
  return `#script\nwords ${words} every ${EVERY_MS}`;
}

/** Null: there is none. */
function firstDifference(text: string, expected: string): string | null {
  if (text === expected) return null;
  const words = text.split(' ');
  const at = expected.split(' ').findIndex((word, index) => word !== words[index]);
  return at < 0
    ? 'its text goes on after its end'
    : `word ${at} of its text is ${words[at] ?? 'missing'}`;
}

function wordsOf(count: number): string {
  return Array.from({ length: count }, (_, index) => `w${index} `).join('');
}
