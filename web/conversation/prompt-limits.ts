/** Whether a message can be sent at all. The engine refuses what is too long; here it is said before anything is sent. */
import { PROMPT_LIMIT_BYTES, PROMPT_LIMIT_JSON_BYTES } from '../../src/contracts/limits.ts';

/** Why `text` cannot be sent, in a sentence; null: it can. */
export function promptProblem(text: string): string | null {
  // A unit of UTF-16 takes 3 bytes of UTF-8 at most, and 6 as JSON: what is short is not measured with each key.
  if (text.length * 3 <= PROMPT_LIMIT_BYTES && text.length * 6 <= PROMPT_LIMIT_JSON_BYTES)
    return null;
  const encoder = new TextEncoder();
  const bytes = encoder.encode(text).length;
  if (bytes > PROMPT_LIMIT_BYTES)
    return `This message has ${kibibytes(bytes)}; at most ${kibibytes(PROMPT_LIMIT_BYTES)} can be sent. Nothing is lost: shorten it, or put it into a file.`;
  const asJson = encoder.encode(JSON.stringify(text)).length;
  if (asJson > PROMPT_LIMIT_JSON_BYTES)
    return `This message is full of control characters and too long to be carried (${kibibytes(asJson)} of ${kibibytes(PROMPT_LIMIT_JSON_BYTES)}). Nothing is lost: shorten it, or put it into a file.`;
  return null;
}

function kibibytes(bytes: number): string {
  return `${Math.ceil(bytes / 1024).toLocaleString('en')} KiB`;
}
