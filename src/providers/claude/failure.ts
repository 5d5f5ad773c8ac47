/** Why a turn of Claude Code failed, as one of the engine's stable codes. */
import { amountOf, type Fields, textOf } from '../json-fields.ts';

const LONGEST_MESSAGE_CHARS = 2_000;

/**
 * The code and the words of a failed `result`.
 *
 * `session_missing`: the session to resume does not exist (any more). `auth`, `billing`, `rate`, `overload`, `network`,
 * `request`: the model's API refused or was not reached. `limit`: a limit set for the run. Everything else is
 * `provider_error`.
 */
export function readFailure(result: Fields): { code: string; message: string } {
  const errors = (Array.isArray(result['errors']) ? result['errors'] : []).filter(
    (error): error is string =>
      // a line for its own developers
      typeof error === 'string' && !error.startsWith('[ede_diagnostic]'),
  );
  const said = textOf(result['result']);
  const words = said === null || said === '' ? errors.join('\n') : said;
  const message = words === '' ? `Claude Code ended with ${String(result['subtype'])}.` : words;
  return { code: codeOf(result, message), message: message.slice(0, LONGEST_MESSAGE_CHARS) };
}

function codeOf(result: Fields, message: string): string {
  if (/^No conversation found with session ID/m.test(message)) return 'session_missing';
  if (/^Session ID .* is already in use/m.test(message)) return 'session_busy';
  if (textOf(result['subtype'])?.startsWith('error_max_')) return 'limit';
  const reason = textOf(result['terminal_reason']);
  if (reason === 'max_turns' || reason === 'budget_exhausted') return 'limit';
  if (reason === 'prompt_too_long' || reason === 'image_error') return 'request';
  const status = amountOf(result['api_error_status']);
  const type = textOf(result['api_error_type']);
  if (status === 401 || status === 403 || type === 'authentication_error') return 'auth';
  if (status === 402 || type === 'billing_error') return 'billing';
  if (status === 429 || type === 'rate_limit_error') return 'rate';
  if (status === 529 || type === 'overloaded_error') return 'overload';
  if (status >= 400 && status < 500) return 'request';
  if (status >= 500) return 'provider_error';
  if (reason !== 'api_error') return 'provider_error';
  // no answer came, so there is no status: the words are all there is
  if (/invalid api key|log ?in|authenticat|oauth/i.test(message)) return 'auth';
  return /connect|network|socket|timed? ?out|ECONN|ENOTFOUND|EAI_AGAIN|fetch failed/i.test(message)
    ? 'network'
    : 'provider_error';
}
