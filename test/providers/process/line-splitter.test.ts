import * as fc from 'fast-check';
import { describe, expect, it } from 'vitest';

import { LineSplitter, type SplitLine } from '../../../src/providers/process/line-splitter.ts';

/** Feeds `bytes` cut at `cuts`, through one buffer that is overwritten after each push, as a reader's is. */
function split(bytes: Uint8Array, cuts: readonly number[], limitBytes?: number): SplitLine[] {
  const splitter = new LineSplitter(limitBytes === undefined ? {} : { limitBytes });
  const places = [...new Set(cuts.map((cut) => cut % (bytes.length + 1)))].toSorted(
    (a, b) => a - b,
  );
  const reused = Buffer.alloc(bytes.length);
  const lines: SplitLine[] = [];
  let start = 0;
  for (const end of [...places, bytes.length]) {
    const size = end - start;
    reused.set(bytes.subarray(start, end));
    lines.push(...splitter.push(reused.subarray(0, size)));
    reused.fill(0x21);
    start = end;
  }
  expect(splitter.offset).toBe(bytes.length);
  return lines;
}

/** What a splitter should say, written the plain way. */
function model(bytes: Buffer, limitBytes: number): SplitLine[] {
  const lines: SplitLine[] = [];
  let start = 0;
  for (let end = bytes.indexOf(10); end !== -1; end = bytes.indexOf(10, start)) {
    const raw = bytes.subarray(start, end);
    start = end + 1;
    if (raw.length > limitBytes) {
      lines.push({ kind: 'too-long', bytes: raw.length, endOffset: start });
      continue;
    }
    const content = raw.at(-1) === 13 ? raw.subarray(0, -1) : raw;
    const text = new TextDecoder('utf-8', { ignoreBOM: true }).decode(content);
    lines.push({
      kind: 'line',
      text,
      endOffset: start,
      invalidUtf8: !Buffer.from(text).equals(content),
    });
  }
  return lines;
}

/** Bytes in which newlines, carriage returns, NUL, multi-byte characters and broken ones are frequent. */
const bytesOfLines = fc
  .array(
    fc.oneof(
      fc.constantFrom('\n', '\r\n', '\r', '\0', '', 'é', '€', '😀', '{"type":"delta"}'),
      fc.string({ maxLength: 12 }),
      fc.uint8Array({ maxLength: 4 }),
    ),
    { maxLength: 40 },
  )
  .map((parts) => Buffer.concat(parts.map((part) => Buffer.from(part as string))));

describe('line splitter', () => {
  it('gives lines with the offset after each newline', () => {
    const bytes = Buffer.from('{"a":1}\n\n{"b":"é"}\r\nunfinished');
    expect(split(bytes, [])).toEqual([
      { kind: 'line', text: '{"a":1}', endOffset: 8, invalidUtf8: false },
      { kind: 'line', text: '', endOffset: 9, invalidUtf8: false },
      { kind: 'line', text: '{"b":"é"}', endOffset: 21, invalidUtf8: false },
    ]);
  });

  it('counts offsets from where it was started', () => {
    const splitter = new LineSplitter({ startOffset: 1_000 });
    expect(splitter.push(Buffer.from('ab\nc'))).toMatchObject([{ text: 'ab', endOffset: 1_003 }]);
    expect(splitter.push(Buffer.from('\n'))).toMatchObject([{ text: 'c', endOffset: 1_005 }]);
  });

  it('1: the same lines and offsets, however the bytes are cut', () => {
    fc.assert(
      fc.property(
        bytesOfLines,
        fc.array(fc.nat(), { maxLength: 30 }),
        fc.constantFrom(0, 1, 5, 16, 10_000),
        (bytes, cuts, limitBytes) => {
          expect(split(bytes, cuts, limitBytes)).toEqual(model(bytes, limitBytes));
        },
      ),
      { numRuns: 500 },
    );
  });

  it('1: a character or a CRLF cut in two is whole again', () => {
    const bytes = Buffer.from('😀é\r\n');
    const everywhere = Array.from(bytes, (_, index) => index);
    expect(split(bytes, everywhere)).toEqual([
      { kind: 'line', text: '😀é', endOffset: bytes.length, invalidUtf8: false },
    ]);
  });

  it('flags bytes that are not UTF-8, once for the line, and keeps the rest of it', () => {
    const bytes = Buffer.from([0x61, 0xff, 0xfe, 0xc3, 0x28, 0x62, 0x0a, 0x63, 0x0a]);
    expect(split(bytes, [3])).toEqual([
      { kind: 'line', text: 'a\uFFFD\uFFFD\uFFFD(b', endOffset: 7, invalidUtf8: true },
      { kind: 'line', text: 'c', endOffset: 9, invalidUtf8: false },
    ]);
  });

  it('2: the limit itself is kept, one byte more is not', () => {
    const bytes = Buffer.from('12345\n123456\n1\n');
    for (const cuts of [[], [5], [6, 8, 12], Array.from(bytes, (_, index) => index)])
      expect(split(bytes, cuts, 5)).toEqual([
        { kind: 'line', text: '12345', endOffset: 6, invalidUtf8: false },
        { kind: 'too-long', bytes: 6, endOffset: 13 },
        { kind: 'line', text: '1', endOffset: 15, invalidUtf8: false },
      ]);
  });

  it('2: a line of 1 GB leaves nothing behind and its length is known', () => {
    const splitter = new LineSplitter();
    const chunk = Buffer.alloc(1024 * 1024, 0x78);
    let most = 0;
    for (let mebibyte = 0; mebibyte < 1024; mebibyte += 1) {
      expect(splitter.push(chunk)).toEqual([]);
      most = Math.max(most, splitter.retainedBytes);
    }
    expect(most).toBe(32 * 1024 * 1024);
    expect(splitter.retainedBytes).toBe(0);
    const end = 1024 ** 3 + 1;
    expect(splitter.push(Buffer.from('\nnext\n'))).toEqual([
      { kind: 'too-long', bytes: 1024 ** 3, endOffset: end },
      { kind: 'line', text: 'next', endOffset: end + 5, invalidUtf8: false },
    ]);
  });

  it('2: a long line in small pieces keeps one buffer, and lets a large one go', () => {
    const splitter = new LineSplitter();
    const piece = Buffer.alloc(64, 0x78);
    for (let count = 0; count < 32 * 1024; count += 1) splitter.push(piece);
    expect(splitter.retainedBytes).toBe(2 * 1024 * 1024);
    const [line] = splitter.push(Buffer.from('\n'));
    expect(line).toMatchObject({ kind: 'line', endOffset: 2 * 1024 * 1024 + 1 });
    expect(splitter.retainedBytes).toBe(0);
  });
});
