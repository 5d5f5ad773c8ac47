/** Random logs of conversations with a history: lives in which rows are cut and copied, queues held, providers changed. */
import * as fc from 'fast-check';

import type { Event, NewEvent } from '../../src/contracts/events.ts';
import { lives } from './lives.ts';
import { stored } from './reports.ts';

type Insertion = { place: number } & (
  | { type: 'cut'; which: number }
  | { type: 'copy'; role: 'user' | 'assistant'; content: string }
  | { type: 'queue'; count: number; held: boolean | undefined }
  | { type: 'provider'; provider: string }
  | { type: 'steered'; requestId: string }
  | { type: 'names'; title: string; archived: boolean }
);

const place = fc.nat();
const anyInsertion: fc.Arbitrary<Insertion> = fc.oneof(
  {
    weight: 4,
    arbitrary: fc.record({ place, type: fc.constant('cut' as const), which: fc.nat() }),
  },
  {
    weight: 2,
    arbitrary: fc.record({
      place,
      type: fc.constant('copy' as const),
      role: fc.constantFrom('user' as const, 'assistant' as const),
      content: fc.constantFrom('', 'copied', 'two\nlines'),
    }),
  },
  {
    weight: 3,
    arbitrary: fc.record({
      place,
      type: fc.constant('queue' as const),
      count: fc.nat(2),
      held: fc.constantFrom(undefined, true, false),
    }),
  },
  {
    weight: 1,
    arbitrary: fc.record({
      place,
      type: fc.constant('provider' as const),
      provider: fc.constantFrom('scripted', 'claude'),
    }),
  },
  {
    weight: 1,
    arbitrary: fc.record({
      place,
      type: fc.constant('steered' as const),
      requestId: fc.constantFrom('r1', 'r2'),
    }),
  },
  {
    weight: 1,
    arbitrary: fc.record({
      place,
      type: fc.constant('names' as const),
      title: fc.constantFrom('', 'a title'),
      archived: fc.boolean(),
    }),
  },
);

/** The log of one life; its last turn may still run. Cuts come at any moment, in the middle of a turn too. */
export const chapters: fc.Arbitrary<Event[]> = fc
  .tuple(lives, fc.array(anyInsertion, { maxLength: 10 }))
  .map(([life, insertions]) => woven(life, insertions));

function woven(life: readonly Event[], insertions: readonly Insertion[]): Event[] {
  const log: NewEvent[] = [];
  const rows: string[] = [];
  for (const [index, event] of life.entries()) {
    const { seq: _, at: _at, ...unplaced } = event;
    log.push(unplaced);
    if ('messageId' in event.payload && MAKES_A_ROW.has(event.type))
      rows.push(String(event.payload.messageId));
    for (const [number, one] of insertions.entries()) {
      if (one.place % life.length !== index) continue;
      const inserted = made(one, rows, `copy-${number}`);
      if (inserted.type === 'message.copied') rows.push(inserted.payload.messageId);
      log.push(inserted);
    }
  }
  return stored(log);
}

const MAKES_A_ROW: ReadonlySet<string> = new Set([
  'message.created',
  'assistant.segment.started',
  'tool.start',
]);

function made(insertion: Insertion, rows: readonly string[], freshId: string): NewEvent {
  switch (insertion.type) {
    case 'cut': {
      const messageId = rows[insertion.which % (rows.length + 1)] ?? null;
      return { type: 'history.cut', payload: { messageId, by: 'rollback' } };
    }
    case 'copy': {
      const { role, content } = insertion;
      const at = '2025-01-01T00:00:00.000Z';
      return {
        type: 'message.copied',
        payload: { messageId: freshId, role, kind: 'text', content, status: 'complete', at },
      };
    }
    case 'queue': {
      const { count, held } = insertion;
      const queue = Array.from({ length: count }, (_, position) => ({
        requestId: `q${position}`,
        turnId: `tq${position}`,
        content: 'waits',
        position,
        attempt: 1,
      }));
      return {
        type: 'queue.changed',
        payload: { queue, ...(held === undefined ? {} : { held }) },
      };
    }
    case 'provider':
      return { type: 'conversation.updated', payload: { provider: insertion.provider } };
    case 'steered':
      return {
        type: 'chat.steered',
        requestId: insertion.requestId,
        payload: { turnId: 't1', attempt: 1 },
      };
    case 'names': {
      const { title, archived } = insertion;
      return { type: 'conversation.updated', payload: { title, archived } };
    }
  }
}
