/** Counters, gauges and histograms in the Prometheus text format. No label ever holds an id. */

type Labels = Readonly<Record<string, string | number>>;

/** Seconds. From a read in memory to a send that waits for its receipt. */
const DURATION_BUCKETS = [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10];

export type Counter = { add(labels?: Labels, count?: number): void };
export type Histogram = { observe(seconds: number, labels?: Labels): void };

/** The gateway's figures, by name. Names are given without their `holdfast_`. */
export class Metrics {
  readonly #families: { name: string; type: string; help: string; lines: () => string[] }[] = [];

  counter(name: string, help: string): Counter {
    const values = new Map<string, number>();
    this.#family({
      name,
      type: 'counter',
      help,
      lines: () => [...values].map(([labels, value]) => `holdfast_${name}${labels} ${value}`),
    });
    return {
      add: (labels = {}, count = 1) => {
        const key = labelText(labels);
        values.set(key, (values.get(key) ?? 0) + count);
      },
    };
  }

  /** A value that is asked for when it is read; `type` is counter for one that only grows. */
  gauge(name: string, help: string, read: () => number, type: 'gauge' | 'counter' = 'gauge'): void {
    this.#family({ name, type, help, lines: () => [`holdfast_${name} ${read()}`] });
  }

  histogram(name: string, help: string): Histogram {
    type Series = { labels: Labels; counts: number[]; sum: number; count: number };
    const series = new Map<string, Series>();
    this.#family({
      name,
      type: 'histogram',
      help,
      lines: () =>
        [...series.values()].flatMap(({ labels, counts, sum, count }) => [
          ...DURATION_BUCKETS.map(
            (limit, index) =>
              `holdfast_${name}_bucket${labelText({ ...labels, le: limit })} ${counts[index] ?? 0}`,
          ),
          `holdfast_${name}_bucket${labelText({ ...labels, le: '+Inf' })} ${count}`,
          `holdfast_${name}_sum${labelText(labels)} ${sum}`,
          `holdfast_${name}_count${labelText(labels)} ${count}`,
        ]),
    });
    return {
      observe: (seconds, labels = {}) => {
        const key = labelText(labels);
        const found = series.get(key);
        const one = found ?? { labels, counts: DURATION_BUCKETS.map(() => 0), sum: 0, count: 0 };
        if (found === undefined) series.set(key, one);
        for (const [index, limit] of DURATION_BUCKETS.entries())
          if (seconds <= limit) one.counts[index] = (one.counts[index] ?? 0) + 1;
        one.sum += seconds;
        one.count += 1;
      },
    };
  }

  render(): string {
    return this.#families
      .map(({ name, type, help, lines }) =>
        [`# HELP holdfast_${name} ${help}`, `# TYPE holdfast_${name} ${type}`, ...lines(), ''].join(
          '\n',
        ),
      )
      .join('');
  }

  #family(family: { name: string; type: string; help: string; lines: () => string[] }): void {
    this.#families.push(family);
  }
}

function labelText(labels: Labels): string {
  const pairs = Object.entries(labels).map(
    ([name, value]) =>
      `${name}="${String(value).replaceAll('\\', '\\\\').replaceAll('"', '\\"').replaceAll('\n', '\\n')}"`,
  );
  return pairs.length === 0 ? '' : `{${pairs.join(',')}}`;
}
