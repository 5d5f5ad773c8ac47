/** How old the stamps are that deltas carry: the provider's `stamps` writes the moment of each into its text. */

const TEXT = Buffer.from('"text":"');
const DELTA_LINE = Buffer.from('{"type":"delta"');
const NEWLINE = 0x0a;
const QUOTE = 0x22;
/** A stamp is `1730000000000.123 `, of a machine-wide clock. */
const STAMP = /^[0-9]{13}\.[0-9]{3}$/;
const STAMP_CHARS = 17;

const wallNow = (): number => performance.timeOrigin + performance.now();

/** Collects ages in milliseconds, without an object for each. */
export class Ages {
  #values = new Float64Array(64 * 1024);
  #count = 0;

  /** Notes those of the deltas between `start` and `end`, which have just arrived; a text that holds none is passed over. */
  note(bytes: Buffer, start: number, end: number): void {
    const now = wallNow();
    for (let found = bytes.indexOf(TEXT, start); found >= 0 && found < end;) {
      let at = found + TEXT.length;
      for (; at < end && bytes[at] !== QUOTE; at += STAMP_CHARS + 1) {
        const stamp = bytes.toString('latin1', at, at + STAMP_CHARS);
        if (!STAMP.test(stamp)) return;
        this.#add(now - Number(stamp));
      }
      found = at < end ? bytes.indexOf(TEXT, at) : -1;
    }
  }

  /** The same of lines as the scripted program writes them, which repeats the text of a whole block at its end. */
  noteLines(bytes: Buffer): void {
    for (let start = 0, end = 0; start < bytes.length; start = end + 1) {
      end = bytes.indexOf(NEWLINE, start);
      if (end < 0) return;
      if (bytes.compare(DELTA_LINE, 0, DELTA_LINE.length, start, start + DELTA_LINE.length) === 0)
        this.note(bytes, start, end);
    }
  }

  /** Those noted since this was last called. */
  take(): Float64Array {
    const taken = this.#values.slice(0, this.#count);
    this.#count = 0;
    return taken;
  }

  #add(age: number): void {
    if (this.#count === this.#values.length) {
      const larger = new Float64Array(this.#values.length * 2);
      larger.set(this.#values);
      this.#values = larger;
    }
    this.#values[this.#count] = age;
    this.#count += 1;
  }
}
