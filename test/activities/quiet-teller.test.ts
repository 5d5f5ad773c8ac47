/** Temporal is told of silences, seldom, in order, and of what is true. */
import { expect, test } from 'vitest';

import { QuietTeller } from '../../src/activities/quiet-teller.ts';
import { eventually } from '../support/eventually.ts';

const ref = { conversationId: 'c1', turnId: 't1', attempt: 1 };

test('1 one word at a time; the next says what is true then', async () => {
  const said: boolean[] = [];
  const first = Promise.withResolvers<void>();
  const teller = new QuietTeller({
    say: ({ quiet }) => {
      said.push(quiet);
      return said.length === 1 ? first.promise : Promise.resolve();
    },
    pace: { everyMs: 1, againMs: 1, words: 20 },
  });
  teller.tell({ ...ref, quiet: true });
  for (const quiet of [false, true, false, true, false]) teller.tell({ ...ref, quiet });
  expect(said).toEqual([true]);
  first.resolve();
  await eventually(() => said.length === 2);
  expect(said).toEqual([true, false]);
});

test('2 what has changed back by the time it may be said is not said, and there is an end to it', async () => {
  const said: boolean[] = [];
  const say = ({ quiet }: { quiet: boolean }) => {
    said.push(quiet);
    return Promise.resolve();
  };
  const slow = new QuietTeller({ say, pace: { everyMs: 3_600_000, againMs: 1, words: 20 } });
  slow.tell({ ...ref, quiet: true });
  await eventually(() => said.length === 1);
  slow.tell({ ...ref, quiet: false });
  slow.tell({ ...ref, quiet: true });
  slow.forget(ref);
  const quick = new QuietTeller({ say, pace: { everyMs: 0, againMs: 1, words: 3 } });
  for (let word = 0; word < 6; word += 1) {
    quick.tell({ ...ref, quiet: word % 2 === 0 });
    await new Promise((resolve) => setImmediate(resolve));
  }
  expect(said).toEqual([true, true, false, true]);
});

test('3 what could not be said is said later; of what has ended nothing is', async () => {
  let there = false;
  const said: string[] = [];
  const teller = new QuietTeller({
    say: ({ turnId }) => {
      if (!there) return Promise.reject(new Error('Temporal is not there yet'));
      said.push(turnId);
      return Promise.resolve();
    },
    pace: { everyMs: 1, againMs: 5, words: 1_000 },
  });
  teller.tell({ ...ref, quiet: true });
  teller.tell({ ...ref, turnId: 't2', quiet: true });
  teller.forget(ref);
  there = true;
  await eventually(() => said.length > 0);
  expect(said).toEqual(['t2']);
});
