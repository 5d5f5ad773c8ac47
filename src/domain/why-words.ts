/** Times and evidence, in words. */

/** `0.4 s`, `12 s`, `3 min`, `2 h 5 min`. */
export function lasting(ms: number): string {
  const seconds = Math.max(0, ms) / 1_000;
  if (seconds < 1) return `${seconds.toFixed(1)} s`;
  if (seconds < 90) return `${Math.round(seconds)} s`;
  const minutes = Math.round(seconds / 60);
  if (minutes < 90) return `${minutes} min`;
  const rest = minutes % 60;
  return `${Math.floor(minutes / 60)} h${rest === 0 ? '' : ` ${rest} min`}`;
}

/** From one moment to another, in seconds; 0 when the clock was set back meanwhile. */
export function secondsBetween(from: string, to: string): number {
  const ms = Date.parse(to) - Date.parse(from);
  return Number.isFinite(ms) ? Math.max(0, ms) / 1_000 : 0;
}

/** The evidence of a `chat.quiet`, a line each; what is not known here is shown as it is. */
export function quietEvidence(
  evidence: Readonly<Record<string, unknown>>,
): { what: string; value: string }[] {
  return Object.entries(evidence).flatMap(([name, value]) => {
    const words = WORDS[name];
    if (words === undefined) return [{ what: name, value: shown(value) }];
    const said = words.value(value);
    return said === null ? [] : [{ what: words.what, value: said }];
  });
}

const WORDS: Readonly<Record<string, { what: string; value: (value: unknown) => string | null }>> =
  {
    lastEvent: { what: 'last event', value: (value) => (value === null ? null : shown(value)) },
    lastOutputAt: {
      what: 'last output',
      value: (value) => (value === null ? 'none' : shown(value)),
    },
    processAlive: {
      what: 'the provider’s process',
      value: (value) => (value === true ? 'lives' : 'is gone'),
    },
    pid: { what: 'its pid', value: (value) => (value === null ? null : shown(value)) },
    cpuMsUsed: {
      what: 'CPU used',
      value: (value) => (typeof value === 'number' ? lasting(value) : shown(value)),
    },
    cpuMsUsedSince: { what: 'counted since', value: shown },
    processes: {
      what: 'processes of the turn',
      value: (value) => (Array.isArray(value) ? String(value.length) : shown(value)),
    },
  };

function shown(value: unknown): string {
  return typeof value === 'string' ? value : JSON.stringify(value);
}
