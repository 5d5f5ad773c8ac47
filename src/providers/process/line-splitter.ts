/**
 * Bytes of a provider's stdout → its lines, each with the offset of the byte after it.
 *
 * Invariants:
 *  1 However the bytes are cut into chunks, the lines and their offsets are the same (F2).
 *  2 At most the limit is kept of an unfinished line (twice that while the kept part grows). Of a line over the limit
 *    nothing is kept; its end and its length are reported (W2).
 *  3 Every byte up to the last newline belongs to exactly one line, whose `endOffset` follows that newline.
 */
import { isUtf8 } from 'node:buffer';

import { PROVIDER_LINE_LIMIT_BYTES } from '../../contracts/limits.ts';

export type SplitLine =
  | {
      kind: 'line';
      /** Without its newline, and without a carriage return before that. */
      text: string;
      /** Offset of the byte after the newline, counted from the first byte ever. */
      endOffset: number;
      /** Some bytes were not UTF-8; `text` has U+FFFD in their place. */
      invalidUtf8: boolean;
    }
  | {
      kind: 'too-long';
      /** Length of the line that was skipped, without its newline. */
      bytes: number;
      endOffset: number;
    };

const NEWLINE = 0x0a;
const CARRIAGE_RETURN = 0x0d;
const NOTHING = Buffer.alloc(0);
/** What is kept of an unfinished line is kept in a buffer of at least this size: most lines never need another. */
const SMALLEST_BUFFER_BYTES = 4 * 1024;
/** A buffer up to this size stays for the next unfinished line. */
const REUSED_BUFFER_BYTES = 256 * 1024;

/** Splits one stream of bytes. Not for two streams, nor for one with a hole. */
export class LineSplitter {
  readonly #limitBytes: number;
  /** Holds the unfinished line in its first `#keptBytes`. */
  #kept: Buffer = NOTHING;
  #keptBytes = 0;
  /** Length of the unfinished line, kept or not. */
  #lineBytes = 0;
  #offset: number;

  /** `startOffset`: of the first byte to come. `limitBytes`: the longest line that is kept, without its newline. */
  constructor({
    startOffset = 0,
    limitBytes = PROVIDER_LINE_LIMIT_BYTES,
  }: { startOffset?: number; limitBytes?: number } = {}) {
    this.#offset = startOffset;
    this.#limitBytes = limitBytes;
  }

  /** Offset of the byte after the last one taken. */
  get offset(): number {
    return this.#offset;
  }

  /** Memory held for the unfinished line, in bytes. */
  get retainedBytes(): number {
    return this.#kept.length;
  }

  /** Takes the next bytes and returns the lines they finish. The chunk stays the caller's, to be overwritten. */
  push(chunk: Uint8Array): SplitLine[] {
    const bytes = Buffer.from(chunk.buffer, chunk.byteOffset, chunk.byteLength);
    const lines: SplitLine[] = [];
    let start = 0;
    for (
      let newline = bytes.indexOf(NEWLINE);
      newline !== -1;
      newline = bytes.indexOf(NEWLINE, start)
    ) {
      lines.push(this.#finish(bytes.subarray(start, newline), this.#offset + newline + 1));
      start = newline + 1;
    }
    this.#keep(bytes.subarray(start));
    this.#offset += bytes.length;
    return lines;
  }

  /** The line that ends with `tail`. */
  #finish(tail: Buffer, endOffset: number): SplitLine {
    if (this.#lineBytes === 0 && tail.length <= this.#limitBytes) return readLine(tail, endOffset);
    const bytes = this.#lineBytes + tail.length;
    if (bytes > this.#limitBytes) {
      this.#forget();
      return { kind: 'too-long', bytes, endOffset };
    }
    this.#keep(tail);
    const line = readLine(this.#kept.subarray(0, this.#keptBytes), endOffset);
    this.#forget();
    return line;
  }

  #keep(part: Buffer): void {
    this.#lineBytes += part.length;
    if (this.#lineBytes > this.#limitBytes) {
      this.#kept = NOTHING;
      this.#keptBytes = 0;
      return;
    }
    if (this.#lineBytes > this.#kept.length) {
      // doubling, so that a long line in tiny pieces is not copied for each of them
      const size = Math.max(SMALLEST_BUFFER_BYTES, this.#kept.length * 2, this.#lineBytes);
      const larger = Buffer.allocUnsafeSlow(Math.min(size, this.#limitBytes));
      this.#kept.copy(larger, 0, 0, this.#keptBytes);
      this.#kept = larger;
    }
    part.copy(this.#kept, this.#keptBytes);
    this.#keptBytes += part.length;
  }

  #forget(): void {
    this.#keptBytes = 0;
    this.#lineBytes = 0;
    if (this.#kept.length > REUSED_BUFFER_BYTES) this.#kept = NOTHING;
  }
}

function readLine(bytes: Buffer, endOffset: number): SplitLine {
  const line = bytes.at(-1) === CARRIAGE_RETURN ? bytes.subarray(0, -1) : bytes;
  return { kind: 'line', text: line.toString('utf8'), endOffset, invalidUtf8: !isUtf8(line) };
}
