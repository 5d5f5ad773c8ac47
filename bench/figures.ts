/** What a measurement says, and how it is printed. */

export type Figure = {
  name: string;
  unit: string;
  product: number;
  /** The same job done as barely as it can be, in the same run; null where there is nothing to compare with. */
  floor: number | null;
  goal: string;
  met: boolean;
};

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
}

function round(value: number): string {
  return value >= 1000 ? Math.round(value).toLocaleString('en') : value.toPrecision(3);
}
