/**
 * An independent judge of due times, as slow as it is simple: it asks Intl what the clock of the zone shows at every second (or
 * minute) of a range, and holds that against the fields of the cron as they are written. It knows no days, no offsets and no gaps.
 */

/** What the clock shows at `atMs`. `text` sorts as time does: `2026-03-29 02:30:00`. */
export type Reading = { atMs: number; text: string; date: string; fields: readonly number[] };

const WEEKDAYS = ['Sun', 'Mon', 'Tue', 'Wed', 'Thu', 'Fri', 'Sat'];

export function readings(range: {
  timezone: string;
  fromMs: number;
  untilMs: number;
  stepMs: number;
}): Reading[] {
  const format = new Intl.DateTimeFormat('en-GB', {
    timeZone: range.timezone,
    hourCycle: 'h23',
    year: 'numeric',
    month: '2-digit',
    day: '2-digit',
    hour: '2-digit',
    minute: '2-digit',
    second: '2-digit',
    weekday: 'short',
  });
  const found: Reading[] = [];
  for (let atMs = range.fromMs; atMs <= range.untilMs; atMs += range.stepMs) {
    const parts = new Map(format.formatToParts(atMs).map(({ type, value }) => [type, value]));
    const [year, month, day, hour, minute, second] = (
      ['year', 'month', 'day', 'hour', 'minute', 'second'] as const
    ).map((type) => parts.get(type) ?? '');
    const date = `${year}-${month}-${day}`;
    const weekday = WEEKDAYS.indexOf(parts.get('weekday') ?? '');
    const fields = [...[second, minute, hour, day, month].map(Number), weekday];
    found.push({ atMs, text: `${date} ${hour}:${minute}:${second}`, date, fields });
  }
  return found;
}

/** Due times among the readings, but of the first and last day, of which they may not show all. Crons without names and nicknames only. */
export function judge(cron: string, shown: readonly Reading[]): number[] {
  const written = cron.split(' ');
  const fields = written.length === 5 ? ['0', ...written] : written;
  const [first, last] = [shown[0]?.date, shown.at(-1)?.date];
  const whole = shown.filter(({ date }) => date !== first && date !== last);
  const clock = fields.slice(0, 3);
  if (!clock.every((field) => /^\d+$/.test(field)))
    return whole.filter((each) => fitsAll(fields, each)).map(({ atMs }) => atMs);
  const [second = '', minute = '', hour = ''] = clock.map((field) => field.padStart(2, '0'));
  const days = new Map(whole.map((each) => [each.date, each]));
  return [...days.values()]
    .filter(({ fields: [, , , ...day] }) => fitsDay(fields, day))
    .map(({ date }) => {
      const wanted = `${date} ${hour}:${minute}:${second}`;
      const exact = shown.find(({ text }) => text === wanted);
      // Else the first moment after those that show less.
      const after = shown.findIndex(({ text }) => text > wanted);
      return exact?.atMs ?? shown[after]!.atMs;
    });
}

function fitsAll(fields: readonly string[], reading: Reading): boolean {
  const [second, minute, hour, ...day] = reading.fields;
  return (
    fits(fields[0]!, second!, 0) &&
    fits(fields[1]!, minute!, 0) &&
    fits(fields[2]!, hour!, 0) &&
    fitsDay(fields, day)
  );
}

function fitsDay(fields: readonly string[], [day, month, weekday]: readonly number[]): boolean {
  const [, , , dayField = '', monthField = '', weekdayField = ''] = fields;
  const isDay = fits(dayField, day!, 1);
  const isWeekday = fits(weekdayField, weekday!, 0) || (weekday === 0 && fits(weekdayField, 7, 0));
  const free = ['*', '?'];
  const either = !free.includes(dayField) && !free.includes(weekdayField);
  return fits(monthField, month!, 1) && (either ? isDay || isWeekday : isDay && isWeekday);
}

/** Whether a field as it is written lets `value` through. */
function fits(field: string, value: number, least: number): boolean {
  return field.split(',').some((item) => {
    const [range = '', step] = item.split('/');
    const [from, to] = range.split('-');
    if (from === '*' || from === '?') return (value - least) % Number(step ?? 1) === 0;
    const begin = Number(from);
    if (to === undefined && step === undefined) return value === begin;
    return value >= begin && value <= Number(to ?? 99) && (value - begin) % Number(step ?? 1) === 0;
  });
}
