/**
 * Which addresses of a model's answer may become links.
 *
 * Invariants:
 *  1 Only `http:`, `https:` and `mailto:`, written out; whatever needs a base, a guess or a repair to be an address is none.
 *  2 What is shown is where it leads: no name and password before the host, nothing invisible in it.
 */

/** Control characters, every kind of space, and what is not drawn or turns the direction of what is. */
const UNSEEN = /[\p{Cc}\p{Cf}\p{Z}\p{Cs}]/u;
/** A browser reads `\` as `/` and `https:x` as `https://x`; here they are refused. */
const WEB = /^https?:\/\/[^/?#\\]/i;
const MAIL = /^mailto:[^?#\\]+/i;

/** The address as a browser will understand it, or null: it is to be shown as text. */
export function safeAddress(address: string): string | null {
  if (UNSEEN.test(address) || address.includes('\\')) return null;
  if (!WEB.test(address) && !MAIL.test(address)) return null;
  const url = URL.parse(address);
  if (url === null || url.username !== '' || url.password !== '') return null;
  const known = url.protocol === 'mailto:' || url.protocol === 'http:' || url.protocol === 'https:';
  return known ? url.href : null;
}
