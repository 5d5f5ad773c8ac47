/**
 * `npm run bench`: the performance table, product and floor side by side in one run, as ratios.
 *
 * Figures are medians of one run on one machine, to be compared with their floor and not with another day's.
 * `npm run bench -- --runs 3` repeats everything and quotes the median of each figure.
 */
import { parseArgs } from 'node:util';

import { type Figure, median, printFigures } from './figures.ts';
import { measureLatency } from './latency.ts';
import { type Stack, startStack } from './stack.ts';
import { measureThroughput } from './throughput.ts';

const { values } = parseArgs({ options: { runs: { type: 'string', default: '1' } } });

const runs: Figure[][] = [];
for (let run = 0; run < Number(values.runs); run += 1) {
  const stack = await startStack();
  try {
    const memory = footprint(stack);
    runs.push([...(await measureLatency(stack)), ...(await measureThroughput(stack)), ...memory]);
  } finally {
    stack.stop();
  }
}
printFigures(runs.length === 1 ? (runs[0] ?? []) : medians(runs));
process.exit(0);

function footprint(stack: Stack): Figure[] {
  const limits = { gateway: 150, 'turn-host': 160, worker: 220 };
  return Object.entries(limits).map(([role, limitMb]): Figure => {
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

/** The median of each figure over the runs; met when it was met in most of them. */
function medians(all: readonly Figure[][]): Figure[] {
  return (all[0] ?? []).map((figure, index) => {
    const same = all.flatMap((figures) => figures.slice(index, index + 1));
    return {
      ...figure,
      product: median(same.map(({ product }) => product)),
      floor: figure.floor === null ? null : median(same.map(({ floor }) => floor ?? Number.NaN)),
      met: same.filter(({ met }) => met).length * 2 > same.length,
    };
  });
}
