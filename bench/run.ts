/**
 * `npm run bench`: the performance table, product and floor side by side in one run, as ratios.
 *
 * Figures are medians of one run on one machine, to be compared with their floor and not with another day's.
 * `npm run bench -- --runs 3` repeats everything and quotes the median of each figure; `--only survival` measures one
 * part (may be given again), `--only page --part load` a part of the page's. Exit code 1: something happened that no slowness excuses, such as a lost event.
 */
import { parseArgs } from 'node:util';

import { measureAgents } from './agents.ts';
import { type Figure, median, NEVER, printFigures } from './figures.ts';
import { measureLatency } from './latency.ts';
import { measurePage, PAGE_PARTS } from './page.ts';
import { measureReaders } from './readers.ts';
import { type Stack, startStack } from './stack.ts';
import { measureSurvival } from './survival.ts';
import { measureThroughput } from './throughput.ts';
import { measureTriggers } from './triggers.ts';

const PARTS = [
  'latency',
  'throughput',
  'memory',
  'survival',
  'readers',
  'triggers',
  'agents',
  'page',
] as const;
type Part = (typeof PARTS)[number];

const { values } = parseArgs({
  options: {
    runs: { type: 'string', default: '1' },
    only: { type: 'string', multiple: true, default: [...PARTS] },
    part: { type: 'string', multiple: true, default: [...PAGE_PARTS] },
  },
});
const unknown = values.only.filter((name) => !PARTS.some((part) => part === name));
if (unknown.length > 0) {
  process.stderr.write(`there is no part ${unknown.join(', ')}; there are ${PARTS.join(', ')}\n`);
  process.exit(2);
}
const unknownOfPage = values.part.filter((name) => !PAGE_PARTS.some((part) => part === name));
if (unknownOfPage.length > 0) {
  process.stderr.write(
    `the page has no part ${unknownOfPage.join(', ')}; it has ${PAGE_PARTS.join(', ')}\n`,
  );
  process.exit(2);
}
const wanted = (part: Part): boolean => values.only.includes(part);

const runs: Figure[][] = [];
for (let run = 0; run < Number(values.runs); run += 1)
  runs.push([
    ...(await measureTogether()),
    ...(wanted('survival') ? await measureSurvival() : []),
    ...(wanted('readers') ? await measureReaders() : []),
    ...(wanted('triggers') ? await measureTriggers() : []),
    ...(wanted('agents') ? await measureAgents() : []),
    ...(wanted('page') ? await measurePage(values.part) : []),
  ]);
printFigures(runs.length === 1 ? (runs[0] ?? []) : medians(runs));
const faults = runs.flat().flatMap((figure) => figure.faults ?? []);
for (const fault of faults) process.stderr.write(`FAULT ${fault}\n`);
process.exit(faults.length === 0 ? 0 : 1);

/** The parts that share one stack. */
async function measureTogether(): Promise<Figure[]> {
  if (!wanted('latency') && !wanted('throughput') && !wanted('memory')) return [];
  const stack = await startStack();
  try {
    // Before anything else has used it.
    const memory = wanted('memory') ? footprint(stack) : [];
    const latency = wanted('latency') ? await measureLatency(stack) : [];
    const throughput = wanted('throughput') ? await measureThroughput(stack) : [];
    return [...latency, ...throughput, ...memory];
  } finally {
    stack.stop();
  }
}

function footprint(stack: Stack): Figure[] {
  const limits = { gateway: 150, 'turn-host': 160, worker: 220 } as const;
  return (['gateway', 'turn-host', 'worker'] as const).map((role): Figure => {
    const limitMb = limits[role];
    const product = stack.residentMb(role);
    const name = `resident memory after start, ${role}`;
    return {
      name,
      unit: 'MB',
      product,
      floor: null,
      goal: `≤ ${limitMb} MB`,
      met: product <= limitMb,
    };
  });
}

/** The median of each figure over the runs; met when it was met in most of them, and no run had a fault. */
function medians(all: readonly Figure[][]): Figure[] {
  return (all[0] ?? []).map((figure, index) => {
    const same = all.flatMap((figures) => figures.slice(index, index + 1));
    const products = same.map(({ product }) => product);
    const notes = same.flatMap(({ note }) => note ?? []);
    const hasFaults = same.some((each) => each.faults !== undefined && each.faults.length > 0);
    return {
      ...figure,
      ...(notes.length === 0 ? {} : { note: notes.join(' | ') }),
      // Of what must never be once is too often.
      product: figure.goal === NEVER ? Math.max(...products) : median(products),
      floor: figure.floor === null ? null : median(same.map(({ floor }) => floor ?? Number.NaN)),
      met: same.filter(({ met }) => met).length * 2 > same.length && !hasFaults,
    };
  });
}
