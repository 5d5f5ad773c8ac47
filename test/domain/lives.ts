/** Random logs of whole conversations: what is sent, what providers report, how turns end. */
import * as fc from 'fast-check';

import type { Event } from '../../src/contracts/events.ts';
import { Harness, step, type Step } from './conversation-harness.ts';
import { openReport } from './reports.ts';

const reports = fc.record({
  type: fc.constant('reports' as const),
  reports: fc.array(openReport, { maxLength: 12, size: 'max' }),
});

/** Of the steps of a life too few begin something: most are about what waits, and wait for something that runs. */
const begin = fc.nat(60).map((n): Step => ({
  type: 'send',
  requestId: `b${n}`,
  content: 'hello',
  whenBusy: 'queue',
  replaces: null,
}));
const end = fc
  .constantFrom('completed' as const, 'cancelled' as const, 'interrupted' as const)
  .map((outcome): Step => ({ type: 'end', outcome, settle: true }));

/** The log of one life; its last turn may still run. */
export const lives: fc.Arbitrary<Event[]> = fc
  .array(
    fc.oneof(
      { weight: 4, arbitrary: reports },
      { weight: 3, arbitrary: begin },
      { weight: 2, arbitrary: end },
      { weight: 4, arbitrary: step },
    ),
    {
      maxLength: 40,
      size: 'max',
    },
  )
  .map((steps) => {
    const harness = new Harness();
    for (const one of steps) {
      if (one.type === 'reports') for (const report of one.reports) harness.report(report);
      else play(harness, one);
    }
    return harness.log;
  });

/** Counted from the newest. */
function nth(list: readonly string[], which: number): string {
  return list[list.length - 1 - (which % list.length)] ?? '';
}

function play(harness: Harness, one: Step): void {
  const commandId = `k${harness.nextTurnId}`;
  const rows = ['none', ...harness.model.queue.map(({ requestId }) => requestId)];
  const messages = harness.log.flatMap((event) =>
    event.type === 'message.created' ? [event.payload.messageId] : [],
  );
  switch (one.type) {
    case 'send': {
      const { replaces, ...send } = one;
      const messageId = replaces === null ? null : nth(['m0', ...messages], replaces);
      const known = messageId === null ? {} : { replaces: harness.replaced(messageId) };
      harness.command({ ...send, ...known });
      break;
    }
    case 'cancel':
      harness.command({ type: 'cancel', turnId: null, by: 'user', holdQueue: one.holdQueue });
      break;
    case 'retry':
      harness.retry(nth(['t0', ...harness.turns.keys()], one.which), one.requestId);
      break;
    case 'end':
      harness.end(one.outcome);
      harness.settle();
      break;
    case 'lose':
      harness.loseTemporal();
      break;
    case 'edit': {
      const requestId = nth(rows, one.which);
      const change = { content: one.content };
      harness.command({ type: 'queue.update', commandId, requestId, change });
      break;
    }
    case 'move': {
      const requestId = nth(rows, one.which);
      const change = { position: one.position };
      harness.command({ type: 'queue.update', commandId, requestId, change });
      break;
    }
    case 'promote': {
      const requestId = nth(rows, one.which);
      harness.command({ type: 'queue.update', commandId, requestId, change: { now: true } });
      break;
    }
    case 'remove':
      harness.command({ type: 'queue.remove', commandId, requestId: nth(rows, one.which) });
      break;
    case 'hold':
      harness.command({ type: 'queue.hold', commandId, held: one.held });
      break;
    case 'rollback': {
      const messageId = one.to === null ? null : nth(['m0', ...messages], one.to);
      const found = messageId === null || harness.replaced(messageId).found;
      harness.command({ type: 'rollback', commandId, messageId, found });
      break;
    }
    case 'steered': {
      const offers = harness.offers.map(({ requestId }) => requestId);
      const requestId = nth(['none', ...offers], one.which);
      const taken = harness.taken.has(requestId) || (one.taken && harness.take(requestId));
      if (one.told) harness.command({ type: 'steered', requestId, taken });
      break;
    }
    case 'burst':
    case 'settle':
    case 'late':
    case 'carry':
    case 'slot':
      harness.settle();
      break;
  }
}
