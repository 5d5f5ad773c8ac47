/** Random logs of whole conversations: what is sent, what providers report, how turns end. */
import * as fc from 'fast-check';

import type { Event } from '../../src/contracts/events.ts';
import { Harness, step } from './conversation-harness.ts';
import { openReport } from './reports.ts';

const reports = fc.record({
  type: fc.constant('reports' as const),
  reports: fc.array(openReport, { maxLength: 12, size: 'max' }),
});

/** The log of one life; its last turn may still run. */
export const lives: fc.Arbitrary<Event[]> = fc
  .array(fc.oneof({ weight: 3, arbitrary: reports }, { weight: 4, arbitrary: step }), {
    maxLength: 30,
    size: 'max',
  })
  .map((steps) => {
    const harness = new Harness();
    for (const one of steps) {
      switch (one.type) {
        case 'reports':
          for (const report of one.reports) harness.report(report);
          break;
        case 'send':
          harness.command(one);
          break;
        case 'cancel':
          harness.command({ type: 'cancel', turnId: null, by: 'user' });
          break;
        case 'retry':
          harness.retry([...harness.turns.keys()].at(-1 - one.which) ?? 't0', one.requestId);
          break;
        case 'end':
          harness.end(one.outcome);
          harness.settle();
          break;
        case 'lose':
          harness.loseTemporal();
          break;
        case 'burst':
        case 'settle':
        case 'late':
        case 'carry':
          harness.settle();
          break;
      }
    }
    return harness.log;
  });
