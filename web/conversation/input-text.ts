/** A tool's input as text: all of it, or in a few words. */

/** The whole of it: a string as it is, anything else as JSON. */
export function inputText(input: unknown): string {
  if (typeof input === 'string') return input;
  return JSON.stringify(input, null, 2) ?? '';
}

/** What tools call the thing that says most about a call, in this order. */
const TELLING = [
  'command',
  'file_path',
  'path',
  'pattern',
  'query',
  'url',
  'prompt',
  'description',
];
const SHORT_CHARS = 140;

/** One line that tells the call from others of its tool; '' when there is nothing to tell. */
export function shortInput(input: unknown): string {
  if (typeof input === 'string') return oneLine(input);
  if (typeof input !== 'object' || input === null)
    return input === undefined ? '' : oneLine(JSON.stringify(input));
  const entries: [string, unknown][] = Object.entries(input);
  if (entries.length === 0) return '';
  for (const name of TELLING) {
    const found = entries.find(([key]) => key === name)?.[1];
    if (typeof found === 'string' && found.trim() !== '') return oneLine(found);
  }
  const only = entries.length === 1 ? entries[0]?.[1] : undefined;
  if (typeof only === 'string') return oneLine(only);
  return oneLine(JSON.stringify(input));
}

function oneLine(text: string): string {
  // a call may hold megabytes: what is far behind is never seen here
  const line = text
    .slice(0, SHORT_CHARS * 4)
    .replaceAll(/\s+/gu, ' ')
    .trim();
  return line.length <= SHORT_CHARS ? line : `${line.slice(0, SHORT_CHARS - 1).toWellFormed()}…`;
}
