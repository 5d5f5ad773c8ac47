/** What is stored is what was given: events and free text. */
import * as fc from 'fast-check';
import { expect, it } from 'vitest';

import type { Event, NewEvent } from '../../src/contracts/events.ts';
import { fromStoredText, toStoredText } from '../../src/store/exact-text.ts';
import {
  conversationOfStream,
  decodeEvent,
  eventEncoder,
  placeEvent,
  tableOfStream,
  triggerOfStream,
} from '../../src/store/stored-event.ts';

/** Strings that encodings trip over. */
const text = fc.string({
  unit: fc.constantFrom(
    'a',
    '"',
    '\\',
    '\n',
    '\0',
    '\u0001',
    '\u2028',
    'é',
    '😀',
    '\ud83d',
    '\ude00',
  ),
});

const newEvent: fc.Arbitrary<NewEvent> = fc.record(
  {
    type: fc.constantFrom('chat.delta' as const, 'notice' as const),
    conversationId: fc.constantFrom('c1', 'c2'),
    tableId: fc.constantFrom('t1', 't2'),
    turnId: fc.oneof(fc.constantFrom('turn1', 'turn2'), text),
    attempt: fc.constantFrom(1, 2),
    requestId: fc.constantFrom('r1', 'r2'),
    payload: fc.record({ messageId: text, text }, { noNullPrototype: true }),
  },
  { requiredKeys: ['type', 'payload'], noNullPrototype: true },
) as fc.Arbitrary<NewEvent>;

const nobody = { conversationId: null, tableId: null };
const owners = [nobody, { ...nobody, conversationId: 'c9' }, { ...nobody, tableId: 't9' }];

it('1 the encoder gives what JSON gives, in whatever order events come', () => {
  fc.assert(
    fc.property(fc.array(newEvent), fc.constantFrom(...owners), (events, stream) => {
      const encode = eventEncoder();
      for (const [index, event] of events.entries()) {
        const at = new Date(Math.floor(index / 3)).toISOString();
        const placed = placeEvent({ event, stream, seq: index + 1, at });
        const json = encode(placed);
        expect(json).toBe(JSON.stringify(placed));
        expect(decodeEvent(json)).toStrictEqual(placed);
        expect(placed).toStrictEqual({
          ...event,
          ...(stream.conversationId === null ? {} : { conversationId: stream.conversationId }),
          ...(stream.tableId === null ? {} : { tableId: stream.tableId }),
          seq: index + 1,
          at,
        });
      }
    }),
  );
});

it('2 fields come in one order, whatever the order they were given in', () => {
  const whole: NewEvent = {
    payload: { messageId: 'm', text: '' },
    requestId: 'r',
    attempt: 1,
    turnId: 't',
    tableId: 'tb',
    type: 'chat.delta',
  };
  const placed = placeEvent({
    event: whole,
    stream: { conversationId: 'c', tableId: null },
    seq: 7,
    at: 'now',
  });
  expect(Object.keys(placed)).toStrictEqual([
    'type',
    'conversationId',
    'tableId',
    'turnId',
    'attempt',
    'requestId',
    'seq',
    'at',
    'payload',
  ]);
});

it('an event without a payload is refused before anything is stored', () => {
  const event = { type: 'notice' } as unknown as Event;
  expect(() => placeEvent({ event, stream: nobody, seq: 1, at: '' })).toThrow(TypeError);
});

it('names the conversation, the table or the trigger of a stream', () => {
  expect(conversationOfStream('conversation:c1')).toBe('c1');
  expect(conversationOfStream('table:c1')).toBeNull();
  expect(tableOfStream('table:tb')).toBe('tb');
  expect(tableOfStream('conversation:c1')).toBeNull();
  expect(triggerOfStream('trigger:x')).toBe('x');
  expect(triggerOfStream('table:x')).toBeNull();
});

it('any text comes back as it was, and what is stored is well-formed', () => {
  fc.assert(
    fc.property(text, (value) => {
      const stored = toStoredText(value);
      expect(stored.isWellFormed()).toBe(true);
      expect(fromStoredText(stored)).toBe(value);
    }),
  );
  expect(toStoredText('plain 😀 \0')).toBe('plain 😀 \0');
});
