import { expect, it } from 'vitest';

import { MailWatch } from '../../src/mail-watch.ts';

function watched() {
  const state = { nowMs: Date.parse('2026-01-01T00:00:00Z'), receivers: ['a', 'b'], fails: '' };
  const limits: { acceptedBefore: string; after: string }[] = [];
  const log: string[] = [];
  const watch = new MailWatch({
    store: {
      withUntakenMail: async ({ acceptedBefore, after, limit }) => {
        limits.push({ acceptedBefore, after });
        return state.receivers.filter((id) => id > after).slice(0, limit);
      },
    },
    signals: {
      signalConversation: async (conversationId, name) => {
        expect(name).toBe('mail');
        if (conversationId === state.fails) throw new Error('away');
      },
    },
    log: (text) => void log.push(text),
    clock: () => state.nowMs,
  });
  return { state, watch, limits, log };
}

it('M1 tells receivers of mail that nobody took, and asks again less and less often', async () => {
  const { state, watch, limits } = watched();
  expect(await watch.look()).toStrictEqual(['a', 'b']);
  expect(limits[0]?.acceptedBefore).toBe('2025-12-31T23:59:58.000Z');
  expect(await watch.look()).toStrictEqual([]);
  const told: number[] = [];
  for (let second = 1; second <= 120; second += 1) {
    state.nowMs += 1_000;
    if ((await watch.look()).includes('a')) told.push(second);
  }
  expect(told).toStrictEqual([4, 12, 28, 58, 88, 118]);
});

it('M1 begins anew with a receiver that had taken all', async () => {
  const { state, watch } = watched();
  await watch.look();
  state.receivers = ['b'];
  await watch.look();
  state.receivers = ['a', 'b'];
  expect(await watch.look()).toStrictEqual(['a']);
});

it('M1 tells the others when one cannot be told, and that one at the next look', async () => {
  const { state, watch, log } = watched();
  state.fails = 'a';
  expect(await watch.look()).toStrictEqual(['b']);
  expect(log).toHaveLength(1);
  state.fails = '';
  expect(await watch.look()).toStrictEqual(['a']);
});

it('M1 a clock that is set back silences nobody', async () => {
  const { state, watch } = watched();
  await watch.look();
  state.nowMs -= 86_400_000;
  expect(await watch.look()).toStrictEqual(['a', 'b']);
});

it('reads all pages', async () => {
  const { state, watch } = watched();
  state.receivers = Array.from({ length: 450 }, (_, index) => `c${String(index).padStart(3, '0')}`);
  expect(await watch.look()).toHaveLength(450);
});
