/** A reload in the middle of a turn: how soon the page shows all that had been said. */
import { type Figure, median } from '../figures.ts';
import { makeChat, Speaker } from './past.ts';
import type { Person } from './tabs.ts';

const RUNS = 10;
const DELTAS_PER_S = 50;
const LIMITS = { medianMs: 200, worstMs: 350, afterSnapshotMs: 100 };

export async function measureReload(person: Person, tableId: string): Promise<Figure[]> {
  const chat = { tableId, conversationId: 'reload' };
  const { store } = person.gateway;
  await makeChat(store, { ...chat, messages: 1_000, last: 'so far' });
  const speaker = await Speaker.begin(store, chat.conversationId);
  await speaker.open('text');
  let talking = true;
  const talk = (async () => {
    for (let n = 0; talking; n += 1) {
      await speaker.say([n % 80 === 79 ? `w${n}\n\n` : `w${n} `]);
      await new Promise((resolve) => setTimeout(resolve, 1_000 / DELTAS_PER_S));
    }
  })();
  const tab = await person.tab(chat);
  await tab.go(person.addressOf(chat));
  const totals: number[] = [];
  const afterSnapshot: number[] = [];
  for (let run = 0; run <= RUNS; run += 1) {
    if (run > 0) await tab.page.reload({ waitUntil: 'commit' });
    const { at, snapshotAt } = await tab.probe<{ at: number; snapshotAt: number }>('caughtUp()');
    if (run > 0) {
      totals.push(at);
      afterSnapshot.push(at - snapshotAt);
    }
    // As a person would, who sees it go on; and no two of them at the same moment of the stream.
    await new Promise((resolve) => setTimeout(resolve, 700 + run * 37));
  }
  talking = false;
  await talk;
  await speaker.end();
  await tab.close();
  const product = median(totals);
  const worst = Math.max(...totals);
  const behind = median(afterSnapshot);
  return [
    {
      name: `page: reload in mid-turn → caught up, median of ${RUNS}`,
      unit: 'ms',
      product,
      floor: null,
      goal: `≤ ${LIMITS.medianMs} ms`,
      met: product <= LIMITS.medianMs,
      note: `runs ${totals.map((ms) => Math.round(ms)).join(', ')}`,
    },
    {
      name: 'page: reload in mid-turn → caught up, the slowest',
      unit: 'ms',
      product: worst,
      floor: null,
      goal: `≤ ${LIMITS.worstMs} ms`,
      met: worst <= LIMITS.worstMs,
    },
    {
      name: 'page: the same from the arrival of its snapshot, median',
      unit: 'ms',
      product: behind,
      floor: null,
      goal: `≤ ${LIMITS.afterSnapshotMs} ms`,
      met: behind <= LIMITS.afterSnapshotMs,
      note: `runs ${afterSnapshot.map((ms) => Math.round(ms)).join(', ')}`,
    },
  ];
}
