/** Reading through 10,000 messages: 60 px in each frame, upwards through pages that are fetched, and then through all of it. */
import type { Figure } from '../figures.ts';
import { BarePage } from './floor.ts';
import { answer, makeChat } from './past.ts';
import type { Person, Tab } from './tabs.ts';

const MESSAGES = 10_000;
const FRAME_LIMIT_MS = 32;
const PIXELS = 60;
const FOR_MS = 8_000;
/** To the first of all messages: pages of 200 are fetched one after the other. */
const FETCH_WITHIN_MS = 90_000;

type Travel = { frames: number[]; blank: number; travelled: number };

export async function measureScroll(person: Person, tableId: string): Promise<Figure[]> {
  const chat = { tableId, conversationId: 'scroll' };
  await makeChat(person.gateway.store, { ...chat, messages: MESSAGES, last: 'so far' });
  const tab = await person.tab(chat);
  await tab.go(person.addressOf(chat));
  await tab.shown('so far');
  // What is loaded when needed, such as the highlighter, is there when somebody has begun to read.
  await tab.probe(`scroll({ pixels: ${-PIXELS}, forMs: 1500 })`);
  const fetching = await tab.probe<Travel>(`scroll({ pixels: ${-PIXELS}, forMs: ${FOR_MS} })`);
  const first = await toTheFirst(tab);
  const down = await tab.probe<Travel>(`scroll({ pixels: ${PIXELS}, forMs: ${FOR_MS} })`);
  const nodes = await tab.domNodes();
  const heapMb = await tab.heapMb();
  await tab.close();

  const floor = await floorOf(person);
  const figureOf = (what: string, travel: Travel): Figure => {
    const slow = travel.frames.filter((ms) => ms > FRAME_LIMIT_MS);
    return {
      name: `page: frames over ${FRAME_LIMIT_MS} ms, ${PIXELS} px a frame ${what}`,
      unit: '',
      product: slow.length,
      floor: floor.frames.filter((ms) => ms > FRAME_LIMIT_MS).length,
      goal: '0',
      met: slow.length === 0,
      note: `of ${travel.frames.length} frames, the longest ${Math.round(Math.max(...travel.frames))} ms (floor ${Math.round(Math.max(...floor.frames))}); ${travel.blank} showed nothing; ${Math.round(travel.travelled).toLocaleString('en')} px`,
    };
  };
  return [
    figureOf('up, while older messages are fetched', fetching),
    {
      ...figureOf(`down, through ${first ? 'all' : 'what was fetched of'} 10,000 messages`, down),
      note: `${figureOf('', down).note}; ${nodes} nodes, heap ${heapMb.toFixed(1)} MB after collection`,
      ...(first ? {} : { faults: ['the first of 10,000 messages was not reached by scrolling'] }),
    },
  ];
}

/** Scrolls to the top again and again, until the first message of all is there. */
async function toTheFirst(tab: Tab): Promise<boolean> {
  const giveUpAt = performance.now() + FETCH_WITHIN_MS;
  while (performance.now() < giveUpAt) {
    const isThere = await tab.page.evaluate<boolean>(
      `(() => { pageProbe.scroller().scrollTop = 0; return [...document.querySelectorAll('[role="log"] article')].slice(0, 3).some((row) => row.textContent.includes('Question 0:')); })()`,
    );
    if (isThere) return true;
    await new Promise((resolve) => setTimeout(resolve, 30));
  }
  return false;
}

/** The same way through bare paragraphs, all of them in the document. */
async function floorOf(person: Person): Promise<Travel> {
  const texts = Array.from({ length: 1_000 }, (_, n) => answer(n));
  const bare = await BarePage.serve({ texts: [...texts, 'so far'], scriptBytes: 0 });
  const tab = await person.tab({ conversationId: 'bare' });
  try {
    await tab.go(bare.origin);
    await tab.shown('so far');
    return await tab.probe<Travel>(`scroll({ pixels: ${-PIXELS}, forMs: ${FOR_MS} })`);
  } finally {
    await tab.close();
    bare.close();
  }
}
