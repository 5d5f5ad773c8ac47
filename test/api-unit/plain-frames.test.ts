/** Frames of texts that are plain up to a point: what is measured by its characters alone must not be cut, nor hide one that is longer. */
import fc from 'fast-check';
import { expect, it } from 'vitest';

import { encodeEvents, encodeTextFrame } from '../../src/api/frame-encoding.ts';

const plain = fc.string({ unit: 'binary-ascii', maxLength: 140 });
const other = fc.constantFrom('é', 'ÿ', '漢', '😀', '\u2028');

function expectFramesOf(texts: readonly string[]): void {
  const events = texts.map((text, index) => ({ seq: index + 1, type: 'notice', json: text }));
  const { bytes, ends } = encodeEvents(events, 'websocket');
  const frames = texts.map((text) => encodeTextFrame(text));
  expect(bytes.equals(Buffer.concat(frames))).toBe(true);
  expect([...ends]).toEqual(
    frames.map((_, index) => Buffer.concat(frames.slice(0, index + 1)).length),
  );
}

it('L3: ASCII alone', () => {
  fc.assert(fc.property(fc.array(plain, { minLength: 1 }), expectFramesOf));
});

it('L3: ASCII with one other character at any place, the very end of the buffer too', () => {
  fc.assert(
    fc.property(fc.array(plain), plain, other, plain, (before, head, character, tail) => {
      expectFramesOf([...before, head + character + tail]);
      expectFramesOf([head + character + tail, ...before]);
      expectFramesOf([...before, head + character]);
    }),
  );
});

it.each([124, 125, 126, 65_534, 65_535, 65_536])('L3: %d characters, plain and not', (count) => {
  expectFramesOf(['x'.repeat(count), 'y']);
  expectFramesOf([`${'x'.repeat(count - 1)}é`, 'y']);
});
