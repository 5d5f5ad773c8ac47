/** A minute of an agent that never stops: 200 deltas a second, text and a tool's output by turns. */
import type { Figure } from '../figures.ts';
import { BarePage } from './floor.ts';
import { makeChat, Speaker } from './past.ts';
import type { Person } from './tabs.ts';

const SECONDS = 60;
const PER_SECOND = 200;
const TICK_MS = 25;
const FLOOR_MS = 20_000;
const LIMITS = { longTaskMs: 50, heapMb: 8, nodes: 6_000 };
/** Of every ten seconds, the last two are a tool's. */
const CYCLE_S = 10;
const TOOL_FROM_S = 8;

export async function measureStream(person: Person, tableId: string): Promise<Figure[]> {
  const chat = { tableId, conversationId: 'stream' };
  const { store } = person.gateway;
  await makeChat(store, { ...chat, messages: 1_000, last: 'so far' });
  const speaker = await Speaker.begin(store, chat.conversationId);
  const tab = await person.tab(chat);
  await tab.go(person.addressOf(chat));
  await tab.shown('Go on.');
  // The first deltas bring what is loaded when needed.
  await speak(speaker, { seconds: 3, from: 0 });
  const heapBefore = await tab.heapMb();
  const { now: startedAt } = await tab.clock();
  const busyBefore = await tab.busyMs();
  await tab.probe('countFrames()');
  let nodes = 0;
  const sampler = setInterval(() => {
    tab.domNodes().then(
      (count) => (nodes = Math.max(nodes, count)),
      () => undefined,
    );
  }, 5_000);
  const said = await speak(speaker, { seconds: SECONDS, from: 3 * PER_SECOND });
  const behindMs = await lateness(tab, said);
  const busy = ((await tab.busyMs()) - busyBefore) / (SECONDS * 1_000);
  clearInterval(sampler);
  const frames = await tab.probe<number[]>('stopFrames()');
  const tasks = (await tab.longTasks()).filter(({ at }) => at >= startedAt);
  nodes = Math.max(nodes, await tab.domNodes());
  const heapGrowth = (await tab.heapMb()) - heapBefore;
  await speaker.end();
  await tab.close();
  const floor = await floorOf(person);
  const worst = Math.max(0, ...tasks.map(({ ms }) => ms));
  const slow = frames.filter((ms) => ms > 32).length;
  const where = `${PER_SECOND} deltas/s for ${SECONDS} s beside 1,000 messages`;
  return [
    {
      name: `page: longest task, ${where}`,
      unit: 'ms',
      product: worst,
      floor,
      goal: `≤ ${LIMITS.longTaskMs} ms`,
      met: worst <= LIMITS.longTaskMs,
      note: `${tasks.length} tasks over 50 ms; ${slow} of ${frames.length} frames over 32 ms, the longest ${Math.round(Math.max(...frames))} ms; the last word ${Math.round(behindMs)} ms after it was stored; its main thread was busy for ${(busy * 100).toFixed(0)} % of the time (a task of 50 ms or less counts as 0)`,
    },
    {
      name: `page: heap growth after collection, ${where}`,
      unit: 'MB',
      product: heapGrowth,
      floor: null,
      goal: `≤ ${LIMITS.heapMb} MB`,
      met: heapGrowth <= LIMITS.heapMb,
      note: `${heapBefore.toFixed(1)} MB before`,
    },
    {
      name: `page: most nodes of the document, ${where}`,
      unit: '',
      product: nodes,
      floor: null,
      goal: `< ${LIMITS.nodes.toLocaleString('en')}`,
      met: nodes < LIMITS.nodes,
    },
  ];
}

/** The longest task of a bare page that puts the same number of words behind each other: what the machine does to any page. */
async function floorOf(person: Person): Promise<number> {
  const bare = await BarePage.serve({
    texts: ['first'],
    scriptBytes: 0,
    wordsPerSecond: PER_SECOND,
  });
  const tab = await person.tab({ conversationId: 'bare' });
  try {
    await tab.go(bare.origin);
    await tab.shown('word3 ');
    const { now } = await tab.clock();
    await new Promise((resolve) => setTimeout(resolve, FLOOR_MS));
    const tasks = (await tab.longTasks()).filter(({ at }) => at >= now);
    return Math.max(0, ...tasks.map(({ ms }) => ms));
  } finally {
    await tab.close();
    bare.close();
  }
}

/** The text of the last delta, and when it was stored (`Date.now()`). */
type LastSaid = { text: string; atMs: number };

async function speak(
  speaker: Speaker,
  { seconds, from }: { seconds: number; from: number },
): Promise<LastSaid> {
  const total = seconds * PER_SECOND;
  const startedAt = performance.now();
  let isTool: boolean | null = null;
  let last: LastSaid = { text: '', atMs: 0 };
  for (let n = 0; n < total;) {
    const elapsedMs = performance.now() - startedAt;
    const due = Math.min(total, Math.floor((elapsedMs / 1_000) * PER_SECOND) + 1);
    // The last second is text, so that the end of it can be seen.
    const wantsTool = n < total - PER_SECOND && Math.floor(n / PER_SECOND) % CYCLE_S >= TOOL_FROM_S;
    if (wantsTool !== isTool) await speaker.open(wantsTool ? 'tool' : 'text');
    isTool = wantsTool;
    const texts = Array.from({ length: Math.max(0, due - n) }, (_, index) =>
      wantsTool ? `line w${from + n + index} of the output\n` : wordOf(from + n + index),
    );
    if (texts.length > 0) {
      await speaker.say(texts);
      last = { text: `w${from + n + texts.length - 1} `.trim(), atMs: Date.now() };
    }
    n += texts.length;
    await new Promise((resolve) => setTimeout(resolve, TICK_MS));
  }
  return last;
}

/** Prose with structure: a paragraph each 60 words, and by turns a list, a heading, a fence. */
function wordOf(n: number): string {
  const word = `w${n} and some `;
  if (n % 60 !== 0) return word;
  const shape = [
    '\n\n',
    '\n\n- one\n- two\n\n',
    '\n\n## Next\n\n',
    '\n\n```ts\nconst n = 1;\n```\n\n',
  ];
  return `${word}${shape[(n / 60) % shape.length]}`;
}

async function lateness(
  tab: { shown(text: string): Promise<number>; clock(): Promise<{ originMs: number }> },
  { text, atMs }: LastSaid,
): Promise<number> {
  const shownAt = await tab.shown(text);
  const { originMs } = await tab.clock();
  return originMs + shownAt - atMs;
}
