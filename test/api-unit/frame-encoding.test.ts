import fc from 'fast-check';
import { describe, expect, it } from 'vitest';

import { encodeEvents, encodeTextFrame } from '../../src/api/frame-encoding.ts';
import { parseFrame } from './raw-socket.ts';

describe('frames', () => {
  it.each([0, 1, 125, 126, 127, 65_535, 65_536, 1_000_000])(
    'a text of %d bytes is one whole frame',
    (bytes) => {
      const text = 'x'.repeat(bytes);
      const frame = encodeTextFrame(text);
      const parsed = parseFrame(frame);
      expect(parsed).toMatchObject({ opcode: 1, fin: true, size: frame.length });
      expect(parsed?.payload.toString('utf8')).toBe(text);
    },
  );

  it('events one after the other are the frames of each, and every end is where the next begins', () => {
    fc.assert(
      fc.property(
        fc.array(fc.string({ unit: 'binary', maxLength: 300 }), { minLength: 1 }),
        (texts) => {
          const events = texts.map((text, index) => ({
            seq: index + 1,
            type: 'notice',
            json: JSON.stringify({ text: text.toWellFormed() }),
          }));
          const { bytes, ends } = encodeEvents(events, 'websocket');
          expect(bytes).toEqual(Buffer.concat(events.map((event) => encodeTextFrame(event.json))));
          expect(ends.at(-1)).toBe(bytes.length);
          for (const [index, event] of events.entries()) {
            const parsed = parseFrame(bytes.subarray(index === 0 ? 0 : ends[index - 1]));
            expect(parsed?.payload.toString('utf8')).toBe(event.json);
          }
          const lines = encodeEvents(events, 'server-sent-events');
          for (const [index, event] of events.entries()) {
            const block = lines.bytes.subarray(
              index === 0 ? 0 : lines.ends[index - 1],
              lines.ends[index],
            );
            expect(block.toString('utf8')).toBe(
              `id: ${event.seq}\nevent: notice\ndata: ${event.json}\n\n`,
            );
          }
        },
      ),
    );
  });
});
