/** What a turn used, from Claude Code's `result`. */
import type { TurnUsage } from '../../contracts/provider-events.ts';
import { amountOf, type Fields, fieldsOf } from '../json-fields.ts';

/**
 * Usage of the turn that this result ends, and what the session has cost up to it.
 *
 * Input counts every token the model was given, cached ones included. `model_usage_since_last_result` is exact, over
 * all models and sub-agents; versions without it state the turn's tokens in `usage` and the session's cost in
 * `total_cost_usd`, which runs over resumes: the cost of a resumed session's first turn is then not known.
 */
export function readUsage(
  result: Fields,
  sessionCostUsd: number | null,
): { usage: TurnUsage | null; sessionCostUsd: number | null } {
  const total = result['total_cost_usd'];
  const sessionCost = typeof total === 'number' ? total : sessionCostUsd;
  const byModel = result['model_usage_since_last_result'];
  if (byModel !== undefined) {
    const usage = { inputTokens: 0, outputTokens: 0, costUsd: 0 };
    for (const value of Object.values(fieldsOf(byModel))) {
      const model = fieldsOf(value);
      usage.inputTokens +=
        amountOf(model['inputTokens']) +
        amountOf(model['cacheReadInputTokens']) +
        amountOf(model['cacheCreationInputTokens']);
      usage.outputTokens += amountOf(model['outputTokens']);
      usage.costUsd += amountOf(model['costUSD']);
    }
    return { usage: nothing(usage) ? null : usage, sessionCostUsd: sessionCost };
  }
  const stated = fieldsOf(result['usage']);
  const usage = {
    inputTokens:
      amountOf(stated['input_tokens']) +
      amountOf(stated['cache_read_input_tokens']) +
      amountOf(stated['cache_creation_input_tokens']),
    outputTokens: amountOf(stated['output_tokens']),
    ...(sessionCostUsd === null || sessionCost === null
      ? {}
      : { costUsd: Math.max(0, sessionCost - sessionCostUsd) }),
  };
  return { usage: nothing(usage) ? null : usage, sessionCostUsd: sessionCost };
}

/** The model was not reached: there is nothing to report. */
function nothing({ inputTokens, outputTokens, costUsd = 0 }: TurnUsage): boolean {
  return inputTokens + outputTokens + costUsd === 0;
}

/** Both together; null only when there was none. */
export function addUsage(a: TurnUsage | null, b: TurnUsage | null): TurnUsage | null {
  if (a === null || b === null) return a ?? b;
  const known = a.costUsd !== undefined || b.costUsd !== undefined;
  return {
    inputTokens: a.inputTokens + b.inputTokens,
    outputTokens: a.outputTokens + b.outputTokens,
    ...(known ? { costUsd: (a.costUsd ?? 0) + (b.costUsd ?? 0) } : {}),
  };
}
