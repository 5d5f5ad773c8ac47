/**
 * A cancel through the API, of a provider that will not hear of it, and at every moment of a turn's life. Numbers:
 * design.md section 12.
 */
import { randomUUID } from 'node:crypto';
import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';

import { describe, expect, test } from 'vitest';

import type { Event, OutcomeName } from '../../../src/contracts/events.ts';
import type { SendAnswerValue } from '../../../src/contracts/http.ts';
import type { ReceiptValue } from '../../../src/contracts/view.ts';
import { processFacts } from '../../../src/providers/process/process-table.ts';
import { type Reader, textOf } from '../../support/chat-clients.ts';
import { eventually } from '../../support/eventually.ts';
import { SteadyClient } from '../../support/steady-client.ts';
import { newConversation, readLog, script, send, words } from './conversations.ts';
import { endsOf, expectWholeLog, processesOf, turnOf, viewOf, viewOnce } from './faults.ts';
import { sharedHoldfast } from './shared-holdfast.ts';

const FOR_EVER = 'words 100000 every 5';

const holdfast = sharedHoldfast({ HOLDFAST_CANCEL_GRACE_MS: '400', HOLDFAST_TERM_GRACE_MS: '400' });

type Ended = SendAnswerValue & { outcome: OutcomeName; text: string };
type Turn = { conversationId: string; turnId: string; requestId: string; content: string };

/** Sends; answers with the receipt's turn. */
async function sent(conversationId: string, ...steps: string[]): Promise<Turn> {
  const requestId = randomUUID();
  const content = script(...steps);
  const { turnId } = await holdfast.ask<ReceiptValue>({
    path: `/v1/conversations/${conversationId}/messages`,
    body: { requestId, content },
  });
  return { conversationId, turnId: turnId ?? '', requestId, content };
}

const newTurn = async (...steps: string[]): Promise<Turn> =>
  sent(await newConversation(holdfast), ...steps);

/** The answer that the sender gets who waited for the end. */
async function answerTo({ conversationId, requestId, content }: Turn): Promise<Ended> {
  return (await send(holdfast, conversationId, content, requestId)) as Ended;
}

/** What a client of the conversation sees, as it comes. */
function follow(conversationId: string): { reader: Reader; close: () => void } {
  const client = new SteadyClient({ conversationId, gateway: () => holdfast });
  return { reader: client.reader, close: () => client.close() };
}

function cancel({ conversationId }: Turn, body: { turnId?: string } = {}, query = '') {
  return holdfast.call({ path: `/v1/conversations/${conversationId}/cancel${query}`, body });
}

const nameOf = (pid: number) => readFileSync(`/proc/${pid}/comm`, 'utf8').trim();
const isCancelling = (event: Event) => event.type === 'chat.cancelling';

/** C1: the log, the turn and the sender's answer name the same one end; and the conversation takes another send. */
async function expectOneEnd(turn: Turn): Promise<string> {
  const { conversationId, turnId } = turn;
  const answer = await answerTo(turn);
  const log = await readLog(holdfast, conversationId);
  const type = answer.outcome === 'completed' ? 'chat.done' : 'chat.cancelled';
  expect(endsOf(log.filter((event) => event.turnId === turnId))).toEqual([`${turnId}.1 ${type}`]);
  expect(await turnOf({ holdfast, conversationId, turnId })).toMatchObject({
    outcome: answer.outcome,
    attempts: [{ attempt: 1 }],
  });
  expect(await send(holdfast, conversationId, script('text "next"'))).toMatchObject({
    outcome: 'completed',
    text: 'next',
  });
  return answer.outcome;
}

test('C1 P1 L5 a provider that ignores the cancel and TERM, with a grandchild in a session of its own: every step is told, the text is kept, and nothing of it is left', async () => {
  const turn = await newTurn('ignore-cancel', 'child', FOR_EVER);
  const { conversationId, turnId } = turn;
  await viewOnce({ holdfast, conversationId, is: (view) => textOf(view).includes('w20 ') });
  const before = processesOf({ turnId }).map(({ pid }) => pid);
  const grandchild = before.find((pid) => nameOf(pid) === 'sleep');
  expect(grandchild).toBeDefined();
  // The wrapper and the program share a session; this one left it.
  expect(new Set(before.map((pid) => processFacts(pid)?.sessionId)).size).toBe(2);
  expect(before.length).toBeGreaterThanOrEqual(3);

  const { status, body } = await cancel(turn, {}, '?wait=end');
  // At once, and not only within the ten seconds of P1.
  expect(processesOf({ turnId })).toEqual([]);
  expect({ status, body }).toMatchObject({ status: 200, body: { turnId, outcome: 'cancelled' } });
  const { text, cause } = body as Ended;
  expect(cause).toBe('user');
  expect(text).toContain('w20 ');
  expect(words(100_000).startsWith(text)).toBe(true);

  const log = await readLog(holdfast, conversationId);
  expectWholeLog({ log, text });
  const steps = log.filter(isCancelling);
  expect(steps.map(({ payload }) => payload)).toMatchObject([
    { step: 'requested', by: 'user' },
    { step: 'protocol' },
    { step: 'terminate' },
    { step: 'kill' },
    { step: 'sweep' },
  ]);
  // KILL went to the group, which may not be gone yet: the sweep is for whoever is not in it.
  expect(steps.at(-1)?.payload).toMatchObject({
    pids: expect.arrayContaining([grandchild]) as unknown,
  });
  const { messages } = await viewOf({ holdfast, conversationId });
  expect(messages.at(-1)).toMatchObject({ turnId, status: 'partial', content: text });
});

describe('C1 a cancel', () => {
  /** What is waited for before the cancel is sent, from the receipt on. */
  const moments: [string, (turn: Turn) => Promise<unknown>][] = [
    ['as soon as the receipt is there', async () => undefined],
    [
      'when its spool is being made',
      ({ turnId }) => eventually(() => existsSync(join(holdfast.home, 'spools', `${turnId}.1`))),
    ],
    [
      'when its process has just been started',
      ({ turnId }) => eventually(() => processesOf({ turnId }).length > 0),
    ],
    [
      'when it has been told its prompt',
      ({ turnId }) =>
        eventually(() => existsSync(join(holdfast.home, 'spools', `${turnId}.1`, 'in.jsonl'))),
    ],
  ];
  test.each(moments)('while it starts, %s', async (_moment, comes) => {
    const turn = await newTurn(FOR_EVER);
    await comes(turn);
    expect(await cancel(turn)).toMatchObject({ status: 200, body: { turnId: turn.turnId } });
    expect(await expectOneEnd(turn)).toBe('cancelled');
  });

  test('while another turn runs before it: the queued one is not its subject, and runs', async () => {
    const running = await newTurn(FOR_EVER);
    const queued = await sent(running.conversationId, 'text "after"');
    // The queue has routes of its own; to this one, it is a turn that does not run.
    expect(await cancel(queued, { turnId: queued.turnId })).toMatchObject({
      status: 409,
      body: { code: 'turn_mismatch', runningTurnId: running.turnId },
    });
    const before = await readLog(holdfast, running.conversationId);
    expect(before.filter(isCancelling)).toEqual([]);
    expect(await cancel(running)).toMatchObject({ status: 200, body: { turnId: running.turnId } });
    expect(await answerTo(queued)).toMatchObject({ outcome: 'completed', text: 'after' });
    expect(await expectOneEnd(running)).toBe('cancelled');
  });

  test('twice at once, and once more while it is being ended: one cancel', async () => {
    const turn = await newTurn('ignore-cancel', FOR_EVER);
    const { conversationId, turnId } = turn;
    await viewOnce({ holdfast, conversationId, is: (view) => textOf(view) !== '' });
    const both = [cancel(turn, {}, '?wait=end'), cancel(turn)];
    await eventually(async () =>
      (await readLog(holdfast, conversationId)).some(
        (event) => event.type === 'chat.cancelling' && event.payload.step === 'protocol',
      ),
    );
    const third = await cancel(turn, { turnId });
    const [first, second] = await Promise.all(both);
    for (const each of [first, second, third])
      expect(each).toMatchObject({ status: 200, body: { turnId } });
    expect(first?.body).toMatchObject({ outcome: 'cancelled' });
    const log = await readLog(holdfast, conversationId);
    const steps = log.flatMap((event) =>
      event.type === 'chat.cancelling' ? [event.payload.step] : [],
    );
    expect(steps).toEqual(['requested', 'protocol', 'terminate', 'kill', 'sweep']);
    expect(await expectOneEnd(turn)).toBe('cancelled');
  });

  test('of a provider that is just ending: cancelled or completed, and everybody is told the same', async () => {
    const conversationId = await newConversation(holdfast);
    const { reader, close } = follow(conversationId);
    // From an early cancel to one that is sent with the last word.
    for (let word = 0; word < 8; word += 1) {
      const turn = await sent(conversationId, 'words 8 every 10');
      await reader.until(({ messages, overlays }) =>
        messages.some(
          ({ turnId, messageId, content }) =>
            turnId === turn.turnId && (overlays[messageId] ?? content).includes(`w${word} `),
        ),
      );
      const { status, body } = await cancel(turn, { turnId: turn.turnId });
      const outcome = await expectOneEnd(turn);
      expect(['cancelled', 'completed']).toContain(outcome);
      if (status === 200) continue;
      // Too late: it does not run any more.
      expect({ status, body }).toMatchObject({ status: 409, body: { code: 'turn_mismatch' } });
      expect(outcome).toBe('completed');
    }
    close();
  });

  test('after the end: named, it is refused; not named, it finds nothing; the log stays as it is', async () => {
    const turn = await newTurn('text "done"');
    expect(await answerTo(turn)).toMatchObject({ outcome: 'completed' });
    const before = await readLog(holdfast, turn.conversationId);
    expect(await cancel(turn, { turnId: turn.turnId })).toMatchObject({
      status: 409,
      body: { code: 'turn_mismatch', runningTurnId: null },
    });
    expect(await cancel(turn)).toMatchObject({ status: 200, body: { turnId: null } });
    // A send comes behind whatever the two might have left.
    await send(holdfast, turn.conversationId, script('text "next"'));
    const log = await readLog(holdfast, turn.conversationId);
    expect(log.slice(0, before.length)).toEqual(before);
    expect(log.filter(isCancelling)).toEqual([]);
    expect(await expectOneEnd(turn)).toBe('completed');
  });
});
