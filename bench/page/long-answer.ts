/** An answer of 5 MB as it comes: markdown of all kinds, one code fence, one paragraph. */
import type { Figure } from '../figures.ts';
import { answer, makeChat, Speaker } from './past.ts';
import type { Person } from './tabs.ts';

const BYTES = 5 * 1024 * 1024;
const DELTA_BYTES = 2_048;
const DELTAS_AT_ONCE = 10;
/** 5 MB in some 12.5 s. */
const TICK_MS = 50;
const LIMITS = { shownMs: 500, taskMs: 150 };
const END = 'the-very-end-of-it';
/** What its end brings, after the last delta: the whole text once more. */
const AFTER_MS = 3_000;

const LINE = 'const value = compute(value, "a string", 42); // and so on\n';
const KINDS: readonly [name: string, text: (bytes: number) => string][] = [
  ['of markdown', (bytes) => filled(bytes, (n) => `${answer(n)}\n\n`)],
  ['as one code fence', (bytes) => `\`\`\`ts\n${filled(bytes - 32, () => LINE)}`],
  ['as one paragraph', (bytes) => filled(bytes, (n) => `word${n} and **some** more `)],
];

export async function measureLongAnswers(person: Person, tableId: string): Promise<Figure[]> {
  const figures: Figure[] = [];
  for (const [index, [name, make]] of KINDS.entries()) {
    const chat = { tableId, conversationId: `long-${index}` };
    const { store } = person.gateway;
    await makeChat(store, { ...chat, messages: 20, last: 'so far' });
    const speaker = await Speaker.begin(store, chat.conversationId);
    await speaker.open('text');
    const tab = await person.tab(chat);
    await tab.go(person.addressOf(chat));
    await tab.shown('Go on.');
    const { now: startedAt } = await tab.clock();
    const sentMs = await say(speaker, make(BYTES));
    const shownAt = await tab.shown(END);
    const { originMs } = await tab.clock();
    const lateMs = originMs + shownAt - sentMs;
    await speaker.end();
    // A page that is still behind is given no more time than one that is not.
    await new Promise((resolve) => setTimeout(resolve, AFTER_MS));
    const tasks = (await tab.longTasks()).filter(({ at }) => at >= startedAt);
    const worst = Math.max(0, ...tasks.map(({ ms }) => ms));
    const nodes = await tab.domNodes();
    const heapMb = await tab.heapMb();
    await tab.close();
    const endedAt = sentMs - originMs;
    const afterEnd = tasks.filter(({ at }) => at > endedAt).map(({ ms }) => ms);
    figures.push(
      {
        name: `page: last byte of 5 MB ${name} stored → seen`,
        unit: 'ms',
        product: lateMs,
        floor: null,
        goal: `≤ ${LIMITS.shownMs} ms`,
        met: lateMs <= LIMITS.shownMs,
        note: `${nodes} nodes, heap ${heapMb.toFixed(1)} MB after collection`,
      },
      {
        name: `page: longest task, 5 MB ${name}`,
        unit: 'ms',
        product: worst,
        floor: null,
        goal: `≤ ${LIMITS.taskMs} ms`,
        met: worst <= LIMITS.taskMs,
        note: `${tasks.length} over 50 ms, in all ${tasks.reduce((sum, { ms }) => sum + ms, 0)} ms; after its last byte: ${afterEnd.join(', ') || 'none'}`,
      },
    );
  }
  return figures;
}

function filled(bytes: number, part: (n: number) => string): string {
  const parts: string[] = [];
  for (let size = 0, n = 0; size < bytes; n += 1) {
    const text = part(n);
    parts.push(text);
    size += text.length;
  }
  return parts.join('').slice(0, bytes);
}

/** Says it in its time; when the last byte was stored (`Date.now()`). */
async function say(speaker: Speaker, text: string): Promise<number> {
  const startedAt = performance.now();
  const deltas: string[] = [];
  for (let at = 0; at < text.length; at += DELTA_BYTES)
    deltas.push(text.slice(at, at + DELTA_BYTES));
  for (let n = 0; n < deltas.length; n += DELTAS_AT_ONCE) {
    await speaker.say(deltas.slice(n, n + DELTAS_AT_ONCE));
    const dueMs = (n / DELTAS_AT_ONCE + 1) * TICK_MS - (performance.now() - startedAt);
    if (dueMs > 0) await new Promise((resolve) => setTimeout(resolve, dueMs));
  }
  await speaker.say([` ${END} `]);
  return Date.now();
}
