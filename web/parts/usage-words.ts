/** Tokens and money, in words. */
import type { Work } from '../client/contract.ts';

/** 940, 12.4k, 3.1M. */
export function tokensText(tokens: number): string {
  if (tokens < 1_000) return String(Math.round(tokens));
  const [value, unit] = tokens < 999_950 ? [tokens / 1_000, 'k'] : [tokens / 1_000_000, 'M'];
  return `${value >= 100 ? Math.round(value) : value.toFixed(1).replace(/\.0$/u, '')}${unit}`;
}

/** In dollars: cents, and for less than ten of them as many digits as tell something. */
export function costText(costUsd: number): string {
  if (costUsd === 0) return '$0';
  if (costUsd >= 0.1) return `$${costUsd.toFixed(2)}`;
  return costUsd < 0.0001 ? '<$0.0001' : `$${Number(costUsd.toPrecision(2))}`;
}

/** Tokens in and out, and what they cost where that is known; null: nothing was used. */
export function usageText(usage: Work['usage']): string | null {
  if (usage === null || (usage.inputTokens === 0 && usage.outputTokens === 0 && !usage.costUsd))
    return null;
  const tokens = `${tokensText(usage.inputTokens)} in, ${tokensText(usage.outputTokens)} out`;
  return usage.costUsd === undefined ? tokens : `${tokens} · ${costText(usage.costUsd)}`;
}
