/** What the tests of faults look at: a conversation's view, its turns, its log as a whole, the processes of a turn. */
import { expect } from 'vitest';

import type { Event } from '../../../src/contracts/events.ts';
import type { ConversationViewValue, TurnViewValue } from '../../../src/contracts/view.ts';
import { emptyView, foldEvents } from '../../../src/domain/fold.ts';
import { markedProcesses } from '../../../src/providers/process/process-table.ts';
import type { Role } from '../../../src/supervisor/state.ts';
import { textOf } from '../../support/chat-clients.ts';
import { eventually } from '../../support/eventually.ts';
import type { Holdfast } from '../../support/holdfast.ts';

/** After faults have stopped, everything moves again within this (W1). */
export const RECOVERED_WITHIN_MS = 60_000;

/** Whether all of it is run, which takes long: `npm run test:every-step`. */
export const EVERY_STEP = process.env['HOLDFAST_TEST_EVERY_STEP'] === '1';

/** A scenario with a kill of each of these in its middle, and as it is; `npm test` takes the first kill, which has all the rest in it. */
export function undisturbedAnd<T extends Role>(first: T, ...others: T[]): { victim: T | null }[] {
  const all = EVERY_STEP ? [null, first, ...others] : [first];
  return all.map((victim) => ({ victim }));
}

const ENDS = new Set(['chat.done', 'chat.error', 'chat.cancelled', 'chat.interrupted']);

type Place = { holdfast: Holdfast; conversationId: string };

export async function viewOf({ holdfast, conversationId }: Place): Promise<ConversationViewValue> {
  return holdfast.ask({ path: `/v1/conversations/${conversationId}` });
}

/** The view, once it is as wanted. A gateway that is away answers nothing meanwhile. */
export async function viewOnce({
  is,
  withinMs = 30_000,
  ...place
}: Place & {
  is: (view: ConversationViewValue) => boolean;
  withinMs?: number;
}): Promise<ConversationViewValue> {
  return eventually(async () => {
    const view = await viewOf(place);
    return is(view) && view;
  }, withinMs);
}

export async function turnOf({
  holdfast,
  conversationId,
  turnId,
}: Place & { turnId: string }): Promise<TurnViewValue> {
  return holdfast.ask({ path: `/v1/conversations/${conversationId}/turns/${turnId}` });
}

/** Everything that runs under the mark of one of the turn's attempts. */
export function processesOf({ turnId }: { turnId: string }): { pid: number; mark: string }[] {
  return markedProcesses().filter(({ mark }) => mark.startsWith(`${turnId}.`));
}

/** Answers an open approval with yes, again and again while the answer cannot be taken. */
export async function allow({
  holdfast,
  conversationId,
  approvalId,
}: Place & { approvalId: string }): Promise<void> {
  const path = `/v1/conversations/${conversationId}/approvals/${approvalId}`;
  await eventually(async () => {
    const { status, body } = await holdfast.call({ path, body: { decision: 'allow' } });
    const by = body as { code?: string; decision?: string };
    // A repeat of an answer whose own answer was lost.
    const isRepeat = by.code === 'already_resolved' && by.decision === 'allow';
    return status === 200 || status === 202 || isRepeat;
  }, RECOVERED_WITHIN_MS);
}

/** The ends in a log, as `<turnId>.<attempt> <type>`. */
export function endsOf(log: readonly Event[]): string[] {
  return log
    .filter(({ type }) => ENDS.has(type))
    .map(({ type, turnId, attempt }) => `${turnId}.${attempt} ${type}`);
}

/** L1, A1 and F1 of a conversation's whole log, and what it folds to. */
export function expectWholeLog({ log, text }: { log: readonly Event[]; text: string }): void {
  expect(log.map(({ seq }) => seq)).toEqual(log.map((_event, index) => index + 1));
  expect(textOf(foldEvents(emptyView('any'), log))).toBe(text);
  const started = log.filter(({ type }) => type === 'chat.started');
  const attempts = started.map(({ turnId, attempt }) => `${turnId}.${attempt}`);
  expect(new Set(attempts).size).toBe(attempts.length);
  // A message that was taken out of the queue ends too, without an attempt.
  const ofAttempts = log.filter(({ attempt }) => attempt !== undefined);
  const ends = endsOf(ofAttempts).map((end) => end.split(' ')[0]);
  expect(ends).toHaveLength(attempts.length);
  expect(new Set(ends)).toEqual(new Set(attempts));
  const epochs = epochsOf(log);
  expect(epochs).toEqual([...new Set(epochs)].toSorted((a, b) => a - b));
}

/** Of the processes that took a turn over, in the order in which they did. */
export function epochsOf(log: readonly Event[]): number[] {
  return log.flatMap((event) => (event.type === 'chat.attached' ? [event.payload.epoch] : []));
}
