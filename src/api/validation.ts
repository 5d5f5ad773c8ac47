/** Reading what clients send: JSON within its depth, then the contracts' schemas. */
import type { FastifySchemaCompiler } from 'fastify';
import type { TSchema } from 'typebox';
import { Compile } from 'typebox/compile';

import { HoldfastError } from '../contracts/errors.ts';
import { JSON_DEPTH_LIMIT } from '../contracts/limits.ts';
import { invalidRequest } from './problem.ts';

export type Fault = { path: string; message: string };

export type SchemaCheck<T> = (
  value: unknown,
) => { valid: true; value: T } | { valid: false; faults: Fault[] };

/** As much of a TypeBox error as is read here. */
type SchemaError = {
  keyword: string;
  instancePath: string;
  params: object;
  message: string;
};

/** A check of `schema`, compiled once. */
export function compileCheck<T>(schema: TSchema): SchemaCheck<T> {
  const validator = Compile(schema);
  const isValid = (value: unknown): value is T => validator.Check(value);
  return (value) =>
    isValid(value)
      ? { valid: true, value }
      : { valid: false, faults: faultsOf(validator.Errors(value)) };
}

/** One fault for each place: the alternatives of a union become one sentence. */
function faultsOf(errors: readonly SchemaError[]): Fault[] {
  const faults = new Map<string, string>();
  const constants = new Map<string, string[]>();
  const add = (path: string, message: string): void => {
    if (!faults.has(path)) faults.set(path, message);
  };
  for (const { keyword, instancePath, params, message } of errors) {
    switch (keyword) {
      case 'additionalProperties':
        for (const name of namesIn(params, 'additionalProperties'))
          faults.set(pointer(instancePath, name), 'is not known here');
        break;
      case 'required':
        for (const name of namesIn(params, 'requiredProperties'))
          add(pointer(instancePath, name), 'is required');
        break;
      case 'const': {
        const values = constants.get(instancePath) ?? [];
        values.push(JSON.stringify('allowedValue' in params ? params.allowedValue : null));
        constants.set(instancePath, values);
        faults.set(instancePath, `must be ${values.join(' or ')}`);
        break;
      }
      case 'anyOf':
        // Its alternatives have been told.
        break;
      default:
        add(instancePath, message);
    }
  }
  return [...faults].map(([path, message]) => ({ path, message }));
}

function namesIn(params: object, key: string): string[] {
  const names: unknown = Object.entries(params).find(([name]) => name === key)?.[1];
  return Array.isArray(names)
    ? names.filter((name): name is string => typeof name === 'string')
    : [];
}

/** RFC 6901. A name is the client's own text, so it is cut. */
function pointer(parent: string, name: string): string {
  const escaped = name.slice(0, 64).replaceAll('~', '~0').replaceAll('/', '~1');
  return `${parent}/${escaped}`;
}

/** Fastify's validator: the contracts' schemas, with the numbers of a query read from their digits. */
export const schemaCompiler: FastifySchemaCompiler<TSchema> = ({ schema, httpPart }) => {
  const check = compileCheck<unknown>(schema);
  const integers = httpPart === 'querystring' ? integerNames(schema) : [];
  return (value: unknown) => {
    // No body at all is the same as `{}`: whether that is enough is for the schema to say.
    const given = httpPart === 'body' ? (value ?? {}) : withIntegers(value, integers);
    const result = check(given);
    if (result.valid) return { value: given };
    const part = httpPart === 'body' || httpPart === undefined ? '' : `/${httpPart}`;
    return {
      error: invalidRequest(
        result.faults.map(({ path, message }) => ({ path: `${part}${path}`, message })),
      ),
    };
  };
};

function integerNames(schema: TSchema): string[] {
  const properties: unknown = 'properties' in schema ? schema.properties : {};
  return Object.entries(properties ?? {}).flatMap(([name, property]: [string, unknown]) =>
    typeof property === 'object' &&
    property !== null &&
    'type' in property &&
    property.type === 'integer'
      ? [name]
      : [],
  );
}

function withIntegers(value: unknown, names: readonly string[]): unknown {
  if (typeof value !== 'object' || value === null) return value;
  return Object.fromEntries(
    Object.entries(value).map(([name, text]: [string, unknown]) => [
      name,
      names.includes(name) && typeof text === 'string' && /^-?[0-9]{1,15}$/.test(text)
        ? Number(text)
        : text,
    ]),
  );
}

const strictUtf8 = new TextDecoder('utf-8', { fatal: true });

/**
 * The value of a JSON text. Its depth is checked first: what reads a value later may do so by recursion.
 *
 * Throws: `invalid_request`, without a word of the text itself.
 */
export function parseJson(bytes: Buffer): unknown {
  const tooDeep = depthOf(bytes, JSON_DEPTH_LIMIT) > JSON_DEPTH_LIMIT;
  if (tooDeep)
    throw new HoldfastError(
      'invalid_request',
      `The JSON is nested deeper than ${JSON_DEPTH_LIMIT} levels.`,
    );
  try {
    return JSON.parse(strictUtf8.decode(bytes)) as unknown;
  } catch (error) {
    const position = /at position ([0-9]+)/.exec(error instanceof Error ? error.message : '')?.[1];
    throw new HoldfastError(
      'invalid_request',
      position === undefined
        ? 'This is not JSON in UTF-8.'
        : `This is not JSON: it cannot be read at position ${position}.`,
    );
  }
}

const QUOTE = 0x22;
const BACKSLASH = 0x5c;
const OPEN = new Set([0x5b, 0x7b]);
const CLOSE = new Set([0x5d, 0x7d]);

/** The deepest nesting of brackets outside of strings; stops counting above `limit`. Any bytes will do. */
function depthOf(bytes: Buffer, limit: number): number {
  let depth = 0;
  let deepest = 0;
  for (let index = 0; index < bytes.length; index += 1) {
    const byte = bytes[index] ?? 0;
    if (byte === QUOTE) {
      index = endOfString(bytes, index);
    } else if (OPEN.has(byte)) {
      depth += 1;
      deepest = Math.max(deepest, depth);
      if (deepest > limit) return deepest;
    } else if (CLOSE.has(byte)) {
      depth -= 1;
    }
  }
  return deepest;
}

/** The place of the quote that closes the string opened at `start`; the end of the text when none does. */
function endOfString(bytes: Buffer, start: number): number {
  for (let from = start + 1; ;) {
    const quote = bytes.indexOf(QUOTE, from);
    if (quote === -1) return bytes.length;
    let backslashes = 0;
    while (bytes[quote - 1 - backslashes] === BACKSLASH) backslashes += 1;
    if (backslashes % 2 === 0) return quote;
    from = quote + 1;
  }
}
