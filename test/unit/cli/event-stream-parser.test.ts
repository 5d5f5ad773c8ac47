import * as fc from 'fast-check';
import { expect, test } from 'vitest';

import { EventStreamParser, type StreamMessage } from '../../../src/cli/event-stream-parser.ts';

function parse(chunks: readonly string[]): StreamMessage[] {
  const parser = new EventStreamParser();
  return chunks.flatMap((chunk) => [...parser.feed(chunk)]);
}

const stream = [
  'retry: 1000\n\n',
  ': caught-up 0\n\n',
  'id: 1\ndata: {"seq":1}\n\n',
  'id: 2\r\ndata: first\r\ndata:  second\r\n\r\n',
  'event: reset\ndata: {"reason":"fell-behind"}\n\n',
  'data\n\n',
  'nonsense\n\n',
].join('');
const messages: StreamMessage[] = [
  { id: '1', event: null, data: '{"seq":1}' },
  { id: '2', event: null, data: 'first\n second' },
  { id: '2', event: 'reset', data: '{"reason":"fell-behind"}' },
  { id: '2', event: null, data: '' },
];

test('reads ids, names and data; comments and fields without data are no message', () => {
  expect(parse([stream])).toEqual(messages);
});

test('reads the same however the stream is cut', () => {
  fc.assert(
    fc.property(fc.array(fc.nat(stream.length), { maxLength: 20 }), (cuts) => {
      const places = [0, ...cuts.toSorted((a, b) => a - b), stream.length];
      const chunks = places.slice(1).map((end, index) => stream.slice(places[index], end));
      expect(parse(chunks)).toEqual(messages);
    }),
  );
});

test('a message that has not ended is none yet', () => {
  expect(parse(['data: half\n'])).toEqual([]);
});
