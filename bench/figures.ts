/** What a measurement says, and how it is printed. */

export type Figure = {
  name: string;
  unit: string;
  product: number;
  /** The same job done as barely as it can be, in the same run; null where there is nothing to compare with. */
  floor: number | null;
  goal: string;
  met: boolean;
  /** Where the time went, in words; printed below the table. */
  note?: string;
  /** What must never be, such as a lost event: one is enough to fail the bench, however fast it was. */
  faults?: readonly string[];
};

/** The goal of a figure that counts what must never be. */
export const NEVER = '0';

export function quantile(values: readonly number[], q: number): number {
  const sorted = values.toSorted((a, b) => a - b);
  return sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * q))] ?? Number.NaN;
}

export function median(values: readonly number[]): number {
  return quantile(values, 0.5);
}

export function printFigures(figures: readonly Figure[]): void {
  const rows = figures.map((figure) => [
    figure.name,
    `${round(figure.product)} ${figure.unit}`,
    figure.floor === null ? '' : `${round(figure.floor)} ${figure.unit}`,
    figure.floor === null ? '' : (figure.product / figure.floor).toFixed(2),
    figure.goal,
    figure.met ? 'yes' : 'NO',
  ]);
  process.stdout.write(
    '| figure | product | floor | ratio | goal | met |\n|---|---|---|---|---|---|\n',
  );
  for (const row of rows) process.stdout.write(`| ${row.join(' | ')} |\n`);
  for (const { name, note } of figures)
    if (note !== undefined) process.stdout.write(`\n${name}: ${note}\n`);
}

/** Milliseconds of each step, as words: `spawned 9 · runs 310`. */
export function inSteps(
  steps: readonly (readonly [what: string, ms: readonly number[]])[],
): string {
  return steps.map(([what, ms]) => `${what} ${Math.round(median(ms))}`).join(' · ');
}

function round(value: number): string {
  if (Number.isInteger(value) && value < 1000) return String(value);
  return value >= 1000 ? Math.round(value).toLocaleString('en') : value.toPrecision(3);
}
