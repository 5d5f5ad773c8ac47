/**
 * Reading what a provider wrote: nothing about its shape is believed, nothing here throws.
 */
import type { ProviderReport } from '../contracts/provider-events.ts';

export type Fields = Readonly<Record<string, unknown>>;

const NO_FIELDS: Fields = {};
/** Characters of an unreadable line that are shown. */
const EXCERPT_CHARS = 120;

function isFields(value: unknown): value is Fields {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

/** The object a line holds; null when it is not JSON, or not an object. */
export function parseFields(line: string): Fields | null {
  try {
    const value: unknown = JSON.parse(line);
    return isFields(value) ? value : null;
  } catch {
    return null;
  }
}

/** A field that should be an object; without fields when it is none. */
export function fieldsOf(value: unknown): Fields {
  return isFields(value) ? value : NO_FIELDS;
}

/** A field that should be a list of objects; what is no object is left out. */
export function listOf(value: unknown): Fields[] {
  return Array.isArray(value) ? value.filter(isFields) : [];
}

/** A field that should be text; null when it is none. */
export function textOf(value: unknown): string | null {
  return typeof value === 'string' ? value : null;
}

/** A field that should be a count or an amount; 0 when it is none, as a schema of ours would refuse it. */
export function amountOf(value: unknown): number {
  return typeof value === 'number' && Number.isFinite(value) && value > 0 ? value : 0;
}

/** What is said of a line that cannot be read. The turn goes on. */
export function unreadableLine(line: string): ProviderReport {
  const excerpt = line.length > EXCERPT_CHARS ? `${line.slice(0, EXCERPT_CHARS)}…` : line;
  return {
    type: 'notice',
    code: 'unreadable_output',
    text: `The provider wrote a line that is not a JSON object: ${JSON.stringify(excerpt)}`,
  };
}
