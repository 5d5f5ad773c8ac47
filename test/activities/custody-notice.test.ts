/** What the workflow has recorded is begun when the log shows it, before Temporal has brought the activity. */
import { afterEach, describe, expect, test } from 'vitest';

import type { Custody } from '../../src/activities/custody.ts';
import { eventually } from '../support/eventually.ts';
import {
  accept,
  countingProvider,
  has,
  log,
  newCustody,
  recordCancel,
  setUpCustody,
  store,
  typesOf,
  under,
  words,
} from './custody-harness.ts';

setUpCustody();

let stop: (() => void)[] = [];
afterEach(() => {
  for (const each of stop) each();
  stop = [];
});

function watching(custody: Custody): void {
  stop.push(store.watch((heads) => custody.notice(heads)));
}

/** As the workflow does it, when the conversation is made. */
async function pin(host: string): Promise<void> {
  await store.append({
    stream: 'conversation:c1',
    events: [{ type: 'conversation.updated', conversationId: 'c1', payload: { host } }],
  });
}

/** A commit of the conversation, which says nothing. */
async function stir(): Promise<void> {
  await store.append({
    stream: 'conversation:c1',
    events: [{ type: 'notice', payload: { code: 'x', text: '' } }],
  });
}

describe('a turn', () => {
  test('A1 of a conversation that is pinned here runs, once; the activity, asked later, is told its end', async () => {
    const counted = countingProvider();
    const custody = newCustody({}, { providers: counted.providers });
    await custody.adopt();
    const ref = await accept('#script\nwords 20 every 5');
    watching(custody);
    await pin('h1');
    await eventually(() => has(ref, 'chat.delta'));
    expect(await custody.run(ref)).toEqual({ outcome: 'completed', cause: null });
    expect(await store.answerText(ref.turnId, 1)).toBe(words(20));
    await stir();
    expect(await custody.run(ref)).toEqual({ outcome: 'completed', cause: null });
    expect(counted.launched).toBe(1);
    expect((await typesOf(ref)).filter((type) => type === 'chat.done')).toHaveLength(1);
  });

  test('of another host, of none yet, or before this one has adopted what it had, waits for the activity', async () => {
    const custody = newCustody();
    const ref = await accept('#script\nwords 3');
    watching(custody);
    await pin('h1');
    await stir();
    expect(await store.unclaimedAttempt('c1', 'h1')).toEqual(ref);
    expect(await store.unclaimedAttempt('c1', 'h2')).toBeNull();
    expect(under(ref)).toEqual([]);
    await custody.adopt();
    await pin('h2');
    await stir();
    expect(custody.status(ref)).toBeNull();
    expect(await has(ref, 'chat.delta')).toBe(false);
    await pin('h1');
    await eventually(() => has(ref, 'chat.done'));
    // Claimed now, and ended: nothing is left to begin.
    expect(await store.unclaimedAttempt('c1', 'h1')).toBeNull();
  });

  test('C1 that was cancelled before it was seen is ended, and its prompt never sent', async () => {
    const custody = newCustody();
    await custody.adopt();
    const ref = await accept('#script\nwords 3');
    await recordCancel(ref);
    watching(custody);
    await pin('h1');
    await eventually(() => has(ref, 'chat.cancelled'));
    expect(await custody.run(ref)).toEqual({ outcome: 'cancelled', cause: 'ann' });
    expect((await log(ref)).some(({ type }) => type === 'chat.delta')).toBe(false);
  });
});

test('C1 a cancel that the workflow has recorded is begun when the log shows it', async () => {
  const custody = newCustody();
  const ref = await accept('#script\nwords 100000 every 5');
  watching(custody);
  const end = custody.run(ref);
  await eventually(() => has(ref, 'chat.delta'));
  await recordCancel(ref);
  expect(await end).toEqual({ outcome: 'cancelled', cause: 'ann' });
  // The activity, which comes later.
  await eventually(async () => (await custody.cancel({ ...ref, by: 'ann' })) === 'ended');
});

test('C1 so is one that a turn which writes without a pause has overtaken, of which nobody tells any more', async () => {
  const custody = newCustody();
  const ref = await accept('#script\nwords 100000 every 5');
  const end = custody.run(ref);
  await eventually(() => has(ref, 'chat.delta'));
  await recordCancel(ref);
  expect(await end).toEqual({ outcome: 'cancelled', cause: 'ann' });
});
