/**
 * What of a text's markup would cost the page too much. Source: measured on blocks of 8 KB; what is below the limits takes what an
 * ordinary block takes, and above them a block takes seconds, or the parser's stack.
 */

/** Quotes and lists within each other, begun on one line. */
const NESTED = 48;
/** Runs of what may be emphasis: each that closes looks for the one that opens it. */
const RUNS = 1_500;

const TOO_DEEP = new RegExp(
  String.raw`^(?:[ \t]*(?:>|[-+*](?=[ \t]|$)|\d{1,9}[.)](?=[ \t]|$))){${NESTED + 1}}`,
  'm',
);

/** Whether `text`, a block of an answer, is to be shown as it is written. Its work grows with the text's length. */
export function isTooCostly(text: string): boolean {
  if (TOO_DEEP.test(text)) return true;
  let runs = 0;
  for (const _ of text.matchAll(/\*+|_+|~+/g)) runs += 1;
  return runs > RUNS;
}
