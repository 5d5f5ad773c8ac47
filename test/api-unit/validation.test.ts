import fc from 'fast-check';
import { describe, expect, it } from 'vitest';

import { parseJson } from '../../src/api/validation.ts';
import { isHoldfastError } from '../../src/contracts/errors.ts';
import { JSON_DEPTH_LIMIT } from '../../src/contracts/limits.ts';

const read = (text: string): unknown => parseJson(Buffer.from(text, 'utf8'));

describe('JSON', () => {
  it('is what JSON.parse makes of it, as long as it is not too deep', () => {
    fc.assert(
      fc.property(
        fc.jsonValue({ maxDepth: JSON_DEPTH_LIMIT - 1 }),
        fc.constantFrom(0, 2),
        (value, indent) => {
          const text = JSON.stringify(value, null, indent);
          expect(read(text)).toEqual(JSON.parse(text));
        },
      ),
    );
  });

  it('any other bytes are invalid_request, and nothing else is ever thrown', () => {
    const bytes = fc.oneof(
      fc.uint8Array({ maxLength: 200 }),
      fc
        .string({ unit: fc.constantFrom('"', '\\', '[', ']', '{', '}', ',', ':', '1', ' ') })
        .map((text) => Buffer.from(text)),
    );
    fc.assert(
      fc.property(bytes, (given) => {
        const outcome = outcomeOf(Buffer.from(given));
        const text = Buffer.from(given)
          .toString('utf8')
          .replace(/^\ufeff/, '');
        expect(outcome).toEqual(
          'value' in outcome ? { value: JSON.parse(text) as unknown } : { code: 'invalid_request' },
        );
      }),
      { numRuns: 2_000 },
    );
  });

  it.each([
    ['arrays', '[', ']'],
    ['objects', '{"a":', '}'],
  ])('the limit of %s is exact', (_what, open, close) => {
    const nested = (depth: number): string => `${open.repeat(depth)}1${close.repeat(depth)}`;
    expect(() => read(nested(JSON_DEPTH_LIMIT))).not.toThrow();
    expect(() => read(nested(JSON_DEPTH_LIMIT + 1))).toThrow(/nested deeper/);
  });

  it.each(['"[[[[\\"[[[["', '"\\\\"', '["\\\\","]"]', '{"\\"[":"{"}'])(
    'brackets in %s are text',
    (text) => {
      const wide = `[${Array.from({ length: 100 }, () => text).join(',')}]`;
      expect(read(wide)).toEqual(JSON.parse(wide));
    },
  );

  it('a fault is named by its place, never by its text', () => {
    const told = (() => {
      try {
        read('{"content":"a secret", "b" 1}');
      } catch (error) {
        return String(error);
      }
      return '';
    })();
    expect(told).toMatch(/at position [0-9]+/);
    expect(told).not.toContain('secret');
  });
});

function outcomeOf(bytes: Buffer): { value: unknown } | { code: unknown } {
  try {
    return { value: parseJson(bytes) };
  } catch (error) {
    return { code: isHoldfastError(error) ? error.code : error };
  }
}
