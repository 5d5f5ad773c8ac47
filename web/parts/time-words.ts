/** Times and lengths of time, in words. Nothing here reads a clock. */
const SECOND = 1_000;
const MINUTE = 60 * SECOND;
const HOUR = 60 * MINUTE;
const DAY = 24 * HOUR;

/** `under 0.1 s`, `0.6 s`, `12 s`, `1 min 5 s`, `2 h 3 min`, `3 d 4 h`: two units at most, a negative length as none. */
export function durationWords(ms: number): string {
  const length = Math.max(0, ms);
  if (length < 50) return 'under 0.1 s';
  if (length < 9_950) return `${(length / SECOND).toFixed(1)} s`;
  const seconds = Math.floor(length / SECOND);
  if (seconds < 60) return `${seconds} s`;
  if (length < HOUR) return both(Math.floor(seconds / 60), 'min', seconds % 60, 's');
  const minutes = Math.floor(length / MINUTE);
  if (length < DAY) return both(Math.floor(minutes / 60), 'h', minutes % 60, 'min');
  const hours = Math.floor(length / HOUR);
  return both(Math.floor(hours / 24), 'd', hours % 24, 'h');
}

function both(first: number, firstUnit: string, second: number, secondUnit: string): string {
  const head = `${first} ${firstUnit}`;
  return second === 0 ? head : `${head} ${second} ${secondUnit}`;
}

/** `just now`, `12 s ago`, `5 min ago`, `3 h ago`, `in 2 h`; what is a day away or further is a date. */
export function agoWords(atMs: number, nowMs: number): string {
  const ageMs = nowMs - atMs;
  const length = Math.abs(ageMs);
  if (length >= DAY) return dateWords(atMs, nowMs);
  if (ageMs >= 0 && length < 5 * SECOND) return 'just now';
  if (ageMs < 0 && length < SECOND) return 'now';
  const words = oneUnit(length);
  return ageMs < 0 ? `in ${words}` : `${words} ago`;
}

function oneUnit(length: number): string {
  if (length < MINUTE) return `${Math.round(length / SECOND)} s`;
  if (length < HOUR) return `${Math.floor(length / MINUTE)} min`;
  return `${Math.floor(length / HOUR)} h`;
}

function dateWords(atMs: number, nowMs: number): string {
  const sameYear = new Date(atMs).getFullYear() === new Date(nowMs).getFullYear();
  return new Date(atMs).toLocaleString(undefined, {
    month: 'short',
    day: 'numeric',
    ...(sameYear ? { hour: '2-digit', minute: '2-digit' } : { year: 'numeric' }),
  });
}

/** The times that a text of the engine holds (`2026-11-22T08:35:43.703Z`), in the reader's own zone. */
export function withLocalTimes(text: string): string {
  return text.replace(/\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(?:\.\d+)?Z/g, (at) =>
    new Date(at).toLocaleString(undefined, { dateStyle: 'medium', timeStyle: 'medium' }),
  );
}

/** Date and time in full, in the reader's own zone. */
export function fullWords(atMs: number): string {
  return new Date(atMs).toLocaleString(undefined, { dateStyle: 'full', timeStyle: 'medium' });
}
