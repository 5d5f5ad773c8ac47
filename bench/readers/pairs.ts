/** Two that differ in their age alone, measured in turn. */
import { type Figure, median } from '../figures.ts';

export type Pair = { old: number[]; young: number[] };

/** The one beside the other, by their medians. */
export function ratioRow(name: string, { old, young }: Pair, limit: number): Figure {
  const [product, floor] = [median(old), median(young)];
  return {
    name,
    unit: 'ms',
    product,
    floor,
    goal: `≤ ${limit} ×`,
    met: product <= limit * floor,
  };
}

/** One of each in turn, the first of the two changing: what drifts drifts for both. */
export async function alternate(
  times: number,
  measure: (which: 'old' | 'young') => Promise<void>,
): Promise<void> {
  for (let time = 0; time < times; time += 1) {
    const [first, second] =
      time % 2 === 0 ? (['old', 'young'] as const) : (['young', 'old'] as const);
    await measure(first);
    await measure(second);
  }
}

/** Milliseconds. */
export async function timed(action: () => Promise<unknown>): Promise<number> {
  const from = performance.now();
  await action();
  return performance.now() - from;
}
