/** Reading typed values out of rows. A value of another type is a corrupt database, and said so. */
import type { SQLOutputValue } from 'node:sqlite';

import type {
  ConversationSummaryValue,
  MailMarkValue,
  QueueItemValue,
  TriggerDefinitionValue,
  UsageValue,
} from '../../contracts/events.ts';
import { fromStoredText } from '../exact-text.ts';

/** A row as the database gives it. */
export type Row = Readonly<Record<string, SQLOutputValue>>;

function corrupt(row: Row, column: string): TypeError {
  return new TypeError(`column ${column} holds a ${typeof row[column]}: the database is damaged`);
}

/** Text, exactly as it was given (exact-text.ts). */
export function text(row: Row, column: string): string {
  const value = row[column];
  if (typeof value !== 'string') throw corrupt(row, column);
  return fromStoredText(value);
}

/** As {@link text}. */
export function textOrNull(row: Row, column: string): string | null {
  return row[column] === null ? null : text(row, column);
}

/** A number; columns of whole numbers are all that this schema has. */
export function integer(row: Row, column: string): number {
  const value = row[column];
  if (typeof value !== 'number') throw corrupt(row, column);
  return value;
}

/** As {@link integer}. */
export function integerOrNull(row: Row, column: string): number | null {
  return row[column] === null ? null : integer(row, column);
}

/** One of `names`. */
export function oneOf<T extends string>(row: Row, column: string, names: readonly T[]): T {
  const value = row[column];
  const found = names.find((name) => name === value);
  if (found === undefined) throw corrupt(row, column);
  return found;
}

/** As {@link oneOf}. */
export function oneOfOrNull<T extends string>(
  row: Row,
  column: string,
  names: readonly T[],
): T | null {
  return row[column] === null ? null : oneOf(row, column, names);
}

/** A column of JSON that `is` knows. */
export function json<T>(row: Row, column: string, is: (value: unknown) => value is T): T {
  const value = row[column];
  if (typeof value !== 'string') throw corrupt(row, column);
  const parsed: unknown = JSON.parse(value);
  if (!is(parsed)) throw corrupt(row, column);
  return parsed;
}

/** As {@link json}. */
export function jsonOrNull<T>(
  row: Row,
  column: string,
  is: (value: unknown) => value is T,
): T | null {
  return row[column] === null ? null : json(row, column, is);
}

/** For {@link json}. */
export function isUsage(value: unknown): value is UsageValue {
  return typeof value === 'object' && value !== null && 'inputTokens' in value;
}

/** For {@link json}. */
export function isQueue(value: unknown): value is QueueItemValue[] {
  return Array.isArray(value);
}

/** For {@link json}. */
export function isMailMarks(value: unknown): value is MailMarkValue[] {
  return Array.isArray(value);
}

/** For {@link json}. */
export function isForkOrigin(
  value: unknown,
): value is NonNullable<ConversationSummaryValue['forkedFrom']> {
  return typeof value === 'object' && value !== null && 'messageId' in value;
}

/** For {@link json}. */
export function isDefinition(value: unknown): value is TriggerDefinitionValue {
  return typeof value === 'object' && value !== null && 'schedule' in value;
}

/** For {@link json}: whatever a provider put there. */
export function isAnything(value: unknown): value is unknown {
  return value !== undefined;
}
