/**
 * Lines and columns for a person. Nothing in them steers the terminal: names, titles and answers are somebody else's text.
 */
import { harmless } from './terminal-text.ts';

/** Now, and the zone of the person who reads. */
export type Reader = { nowMs: number; timezone?: string };

/** `2026-11-22 03:00:00`, in the reader's zone. */
export function localTime(at: string, { timezone }: Reader): string {
  return new Intl.DateTimeFormat('sv-SE', {
    dateStyle: 'short',
    timeStyle: 'medium',
    ...(timezone === undefined ? {} : { timeZone: timezone }),
  }).format(new Date(at));
}

/** A distance in time, for people: two digits say enough. */
export function roughly(ms: number): string {
  if (ms < 100_000) return `${Math.ceil(ms / 1_000)} s`;
  if (ms < 100 * 60_000) return `${Math.round(ms / 60_000)} min`;
  if (ms < 48 * 3_600_000) return `${Math.round(ms / 3_600_000)} h`;
  return `${Math.round(ms / 86_400_000)} days`;
}

/** `text` in one line that steers nothing, cut to `limitChars`. */
export function oneLine(text: string, limitChars: number): string {
  const line = harmless(text.slice(0, 4 * limitChars).toWellFormed())
    // Marks that turn the direction of a line, and its ends.
    .replaceAll(/[\p{Cf}\s]+/gu, ' ')
    .trim();
  const characters = Array.from(line);
  return characters.length <= limitChars
    ? line
    : `${characters.slice(0, limitChars - 1).join('')}…`;
}

/** Columns padded to their widest cell; the last one is not. */
export function aligned(rows: readonly (readonly string[])[]): string[] {
  const widths = (rows[0] ?? []).map((_, column) =>
    Math.max(...rows.map((row) => widthOf(row[column] ?? ''))),
  );
  return rows.map((row) =>
    row
      .map((cell, column) =>
        column === row.length - 1 ? cell : cell + ' '.repeat((widths[column] ?? 0) - widthOf(cell)),
      )
      .join('  ')
      .trimEnd(),
  );
}

function widthOf(cell: string): number {
  return Array.from(cell).length;
}
