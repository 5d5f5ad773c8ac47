/** From the navigation to the last message on the screen. */
import { MESSAGE_PAGE } from '../../src/contracts/limits.ts';
import { type Figure, inSteps, median } from '../figures.ts';
import { initialCodeBytes } from './code.ts';
import { BarePage } from './floor.ts';
import { answer, makeChat } from './past.ts';
import type { Person, Tab } from './tabs.ts';

const RUNS = 5;
const LAST = 'the-last-word-of-it';
const CASES = [
  { messages: 1_000, slowdown: 1, limitMs: 250 },
  { messages: 10_000, slowdown: 1, limitMs: 350 },
  { messages: 1_000, slowdown: 4, limitMs: 800 },
] as const;

export async function measureLoad(person: Person, tableId: string): Promise<Figure[]> {
  const { store } = person.gateway;
  for (const messages of [1_000, 10_000])
    await makeChat(store, { tableId, conversationId: `load-${messages}`, messages, last: LAST });
  const texts = Array.from({ length: MESSAGE_PAGE }, (_, n) =>
    n === MESSAGE_PAGE - 1
      ? `${answer(n)} ${LAST}`
      : n % 2 === 0
        ? 'What became of it?'
        : answer(n),
  );
  const bare = await BarePage.serve({ texts, scriptBytes: initialCodeBytes() });
  try {
    const figures: Figure[] = [];
    for (const { messages, slowdown, limitMs } of CASES) {
      const conversationId = `load-${messages}`;
      const address = person.addressOf({ tableId, conversationId });
      const runs: Record<'cold' | 'warm' | 'floor' | 'snapshot' | 'busy', number[]> = {
        cold: [],
        warm: [],
        floor: [],
        snapshot: [],
        busy: [],
      };
      for (let run = 0; run < RUNS; run += 1) {
        const open = (): Promise<Tab> => person.tab({ conversationId, slowdown });
        // A person whose browser has never loaded the page's files; then one who comes back.
        await person.forget();
        runs.cold.push(await timeOf(await open(), address));
        const tab = await open();
        await tab.go(address);
        runs.warm.push(await tab.shown(LAST));
        runs.snapshot.push((await tab.probe<number | null>('snapshotAt')) ?? Number.NaN);
        runs.busy.push(await tab.busyMs());
        await tab.close();
        runs.floor.push(await timeOf(await open(), bare.origin));
      }
      const product = median(runs.cold);
      figures.push({
        name: `page: navigation → last of ${messages.toLocaleString('en')} messages seen${slowdown === 1 ? '' : `, CPU ${slowdown} × slower`}, nothing cached`,
        unit: 'ms',
        product,
        floor: median(runs.floor),
        goal: `≤ ${limitMs} ms`,
        met: product <= limitMs,
        note: `${inSteps([
          ['with cached files', runs.warm],
          ['its snapshot came at', runs.snapshot],
          ['processor time of its main thread', runs.busy],
        ])}; runs ${runs.cold.map((ms) => Math.round(ms)).join(', ')}`,
      });
    }
    return figures;
  } finally {
    bare.close();
  }
}

async function timeOf(tab: Tab, address: string): Promise<number> {
  await tab.go(address);
  const ms = await tab.shown(LAST);
  await tab.close();
  return ms;
}
