/**
 * Triggers and their ledgers as tables for a person.
 *
 *  1 One row is one line, and nothing in it steers the terminal: titles, prompts and words are somebody else's text.
 *  2 Times are local; the schedule is said in its own zone.
 */
import type { TriggerScheduleValue } from '../contracts/events.ts';
import type { LedgerCountsValue, LedgerRowValue, TriggerViewValue } from '../contracts/triggers.ts';
import { aligned, localTime, oneLine, type Reader, roughly } from './text-table.ts';

const NAME_CHARS = 40;
const WORDS_CHARS = 200;

/** Two lines a trigger where something went wrong, else one. */
export function triggerTable(triggers: readonly TriggerViewValue[], reader: Reader): string {
  const rows = triggers.map((trigger) => [
    trigger.triggerId,
    nameOf(trigger),
    whenOf(trigger.schedule),
    nextOf(trigger, reader),
    trigger.last === null
      ? 'nothing yet'
      : `${outcomeOf(trigger.last)} ${localTime(trigger.last.dueAt, reader)}`,
  ]);
  const lines = aligned([['ID', 'MESSAGE', 'WHEN', 'NEXT DUE', 'LAST'], ...rows]);
  const [head = '', ...rest] = lines;
  const told = rest.flatMap((line, index) => {
    const trouble = triggers[index]?.trouble ?? null;
    return trouble === null ? [line] : [line, `  ! ${troubleOf(trouble, reader)}`];
  });
  return [head, ...told].map((line) => `${line}\n`).join('');
}

/** A line a row, in the order given. */
export function ledgerTable(rows: readonly LedgerRowValue[], reader: Reader): string {
  const lines = aligned([
    ['DUE', 'OUTCOME', 'CONVERSATION', 'WHY'],
    ...rows.map((row) => [
      localTime(row.dueAt, reader),
      outcomeOf(row),
      row.conversationId ?? '-',
      oneLine(row.words, WORDS_CHARS),
    ]),
  ]);
  return lines.map((line) => `${line}\n`).join('');
}

/** How often each outcome is in the whole ledger. */
export function countsLine(counts: LedgerCountsValue): string {
  const told = Object.entries(counts).map(([outcome, count]) => `${count} ${outcome}`);
  return `In all: ${told.join(', ')}.\n`;
}

function nameOf({ title, content }: TriggerViewValue): string {
  const said = oneLine(title, NAME_CHARS);
  return said === '' ? `"${oneLine(content, NAME_CHARS)}"` : said;
}

function whenOf(schedule: TriggerScheduleValue): string {
  if ('everyMs' in schedule) return `every ${span(schedule.everyMs)}`;
  const rule = 'at' in schedule ? `at ${schedule.at}` : `cron ${schedule.cron}`;
  return oneLine(`${rule} ${schedule.timezone}`, WORDS_CHARS);
}

/** An interval, exactly. */
function span(ms: number): string {
  const units = [
    [86_400_000, 'day', 'days'],
    [3_600_000, 'h', 'h'],
    [60_000, 'min', 'min'],
  ] as const;
  for (const [unitMs, one, several] of units)
    if (ms % unitMs === 0) return `${ms / unitMs} ${ms === unitMs ? one : several}`;
  return `${ms / 1_000} s`;
}

function nextOf({ paused, nextDueAt }: TriggerViewValue, reader: Reader): string {
  if (paused) return 'paused';
  if (nextDueAt === null) return 'never again';
  const inMs = Date.parse(nextDueAt) - reader.nowMs;
  return `${localTime(nextDueAt, reader)} ${inMs <= 0 ? 'now' : `in ${roughly(inMs)}`}`;
}

function outcomeOf({ outcome, reason }: LedgerRowValue): string {
  return oneLine(reason === undefined ? outcome : `${outcome} (${reason})`, NAME_CHARS);
}

function troubleOf(row: LedgerRowValue, reader: Reader): string {
  return `${outcomeOf(row)} ${localTime(row.dueAt, reader)}: ${oneLine(row.words, WORDS_CHARS)}`;
}
