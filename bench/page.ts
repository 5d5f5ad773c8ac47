/**
 * What a person waits for at the page, in a real browser without a window: the real build, served by a real gateway, over a store that
 * was filled by the store's own appends. Goals: issue "The page". Times are the page's own, see page/probe.js.
 */
import { loadavg } from 'node:os';

import type { Figure } from './figures.ts';
import { measureCode } from './page/code.ts';
import { PageGateway } from './page/gateway.ts';
import { measureLoad } from './page/load.ts';
import { measureLongAnswers } from './page/long-answer.ts';
import { makeTable } from './page/past.ts';
import { measureReload } from './page/reload.ts';
import { measureScroll } from './page/scroll.ts';
import { measureStream } from './page/stream.ts';
import { Person } from './page/tabs.ts';

const MEASUREMENTS = {
  load: measureLoad,
  reload: measureReload,
  stream: measureStream,
  answer: measureLongAnswers,
  scroll: measureScroll,
} as const;

/** The parts of this part: `--part load`. */
export const PAGE_PARTS = ['code', 'load', 'reload', 'stream', 'answer', 'scroll'] as const;
export type PagePart = (typeof PAGE_PARTS)[number];

/** Each part has a gateway, a store and a browser of its own, so that none pays for another. */
export async function measurePage(wanted: readonly string[] = PAGE_PARTS): Promise<Figure[]> {
  const figures: Figure[] = [];
  for (const part of PAGE_PARTS) {
    if (!wanted.includes(part)) continue;
    const gateway = await PageGateway.start();
    try {
      if (part === 'code') {
        figures.push(...measureCode());
        continue;
      }
      await makeTable(gateway.store, 'bench');
      const person = await Person.arrive(gateway);
      try {
        const [first, ...others] = await MEASUREMENTS[part](person, 'bench');
        if (first !== undefined) figures.push({ ...first, note: `${first.note}; ${load()}` });
        figures.push(...others);
      } finally {
        await person.leave();
      }
    } finally {
      await gateway.stop();
    }
  }
  return figures;
}

/** Others on the machine make every one of these figures worse. */
function load(): string {
  return `load of the machine ${(loadavg()[0] ?? Number.NaN).toFixed(1)}`;
}
