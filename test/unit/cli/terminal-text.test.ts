import * as fc from 'fast-check';
import { expect, test } from 'vitest';

import { harmless } from '../../../src/cli/terminal-text.ts';

const anyText = fc
  .array(fc.integer({ min: 0, max: 0x24_ff }), { maxLength: 40 })
  .map((codes) => String.fromCodePoint(...codes));

test.each([
  ['plain', 'plain'],
  ['line\n\ttab', 'line\n\ttab'],
  ['dos\r\nline', 'dos\nline'],
  ['over\rwritten', 'over␍written'],
  ['\u001b[2J\u001b]0;title\u0007', '␛[2J␛]0;title␇'],
  ['\u007f', '␡'],
  ['\u009b31m', '␛31m'],
  ['é – 日本 🙂', 'é – 日本 🙂'],
])('%j is shown as %j', (text, shown) => {
  expect(harmless(text)).toBe(shown);
});

test('nothing that steers a terminal is left of any text, and nothing else is changed', () => {
  fc.assert(
    fc.property(anyText, (text) => {
      const shown = harmless(text);
      // oxlint-disable-next-line no-control-regex
      expect(shown).not.toMatch(/[\u0000-\u0008\u000b-\u001f\u007f-\u009f]/);
      expect(harmless(shown)).toBe(shown);
    }),
  );
});
