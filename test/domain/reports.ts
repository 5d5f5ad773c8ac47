/** Random reports of a driver, over few ids and short texts so that they meet, repeat and interleave. */
import * as fc from 'fast-check';

import type { Event, NewEvent } from '../../src/contracts/events.ts';
import type { ApprovalDecision, ProviderReport } from '../../src/contracts/provider-events.ts';
import {
  newRecording,
  offerMessage,
  record,
  type Recording,
  type RecordingScope,
} from '../../src/domain/segments.ts';

// A mutant is killed by its first counterexample; shrinking it a thousand times over takes most of the run.
fc.configureGlobal({ endOnFailure: process.env['STRYKER_MUTATOR_WORKER'] !== undefined });

export const scope: RecordingScope = {
  turnId: 't1',
  attempt: 2,
  requestId: 'r1',
  now: () => '2026-11-21T00:00:00.000Z',
};

/** What every event of {@link scope} carries. */
export const place = { turnId: 't1', attempt: 2, requestId: 'r1' };

export const chatStarted: NewEvent = {
  type: 'chat.started',
  ...place,
  payload: { attempt: 2, provider: 'p', model: null },
};

/** Events as stored after `lastSeq` others: with a place in the log, a second apart. */
export function stored(events: readonly NewEvent[], lastSeq = 0): Event[] {
  return events.map((event, index) => {
    const seq = lastSeq + index + 1;
    return { ...event, seq, at: new Date(Date.UTC(2026, 0, 1) + seq * 1_000).toISOString() };
  });
}

const kind = fc.constantFrom('text' as const, 'reasoning' as const);
const segment = fc.constantFrom('a', 'b');
const text = fc.constantFrom('', 'x', 'yz', 'é ');
const toolCallId = fc.constantFrom('call-1', 'call-2');
const approvalId = fc.constantFrom('ap-1', 'ap-2', 'not an id');
const usage = fc.record(
  {
    inputTokens: fc.nat(9),
    outputTokens: fc.nat(9),
    costUsd: fc.integer({ min: 0, max: 8 }).map((eighths) => eighths / 8),
  },
  { requiredKeys: ['inputTokens', 'outputTokens'] },
);

/** Any report but `end`. */
export const openReport: fc.Arbitrary<ProviderReport> = fc.oneof(
  { weight: 8, arbitrary: fc.record({ type: fc.constant('delta' as const), kind, segment, text }) },
  {
    weight: 3,
    arbitrary: fc.record({
      type: fc.constant('segment.end' as const),
      kind,
      segment,
      text: fc.constantFrom('', 'x', 'xyz', 'xyzx', 'whole'),
    }),
  },
  {
    weight: 1,
    arbitrary: fc.record({
      type: fc.constant('segment.discard' as const),
      segment,
      reason: fc.constant('retry'),
    }),
  },
  {
    weight: 2,
    arbitrary: fc.record({
      type: fc.constant('tool.start' as const),
      toolCallId,
      name: fc.constantFrom('Bash', 'Read'),
      input: fc.constantFrom<unknown>(undefined, { path: 'x' }),
    }),
  },
  {
    weight: 2,
    arbitrary: fc.record({ type: fc.constant('tool.output' as const), toolCallId, text }),
  },
  {
    weight: 2,
    arbitrary: fc.record({
      type: fc.constant('tool.end' as const),
      toolCallId,
      status: fc.constantFrom('ok' as const, 'error' as const, 'denied' as const),
      output: fc.constantFrom('', 'all of it'),
    }),
  },
  {
    weight: 1,
    arbitrary: fc.record(
      {
        type: fc.constant('approval' as const),
        approvalId,
        toolCallId,
        title: fc.constant('Run it?'),
        input: fc.constantFrom<unknown>(undefined, { command: 'ls' }),
        options: fc.constantFrom<ApprovalDecision[][]>(['allow', 'deny']),
      },
      { requiredKeys: ['type', 'approvalId', 'title', 'input', 'options'] },
    ),
  },
  {
    weight: 1,
    arbitrary: fc.record({
      type: fc.constant('approval.gone' as const),
      approvalId,
      reason: fc.constant('timeout'),
    }),
  },
  {
    weight: 1,
    arbitrary: fc.oneof(
      fc.record({ type: fc.constant('usage' as const), usage }),
      fc.constant<ProviderReport>({ type: 'notice', code: 'note', text: 'a line' }),
      fc.constant<ProviderReport>({ type: 'retrying', attempt: 1, delayMs: 600, status: '529' }),
      fc.constant<ProviderReport>({ type: 'session', sessionId: 's', model: 'm' }),
    ),
  },
  {
    weight: 1,
    arbitrary: fc.record({
      type: fc.constant('steered' as const),
      id: fc.constantFrom('r2', 'r3', 'never offered'),
    }),
  },
);

export const endReport: fc.Arbitrary<ProviderReport> = fc.record(
  {
    type: fc.constant('end' as const),
    end: fc.constantFrom(
      { outcome: 'completed' as const },
      { outcome: 'cancelled' as const },
      { outcome: 'failed' as const, code: 'api_error', message: 'overloaded' },
    ),
    usage,
  },
  { requiredKeys: ['type', 'end'] },
);

export const reportsWithoutEnd = fc.array(openReport, { maxLength: 40, size: 'max' });

/** What the messages say that are on offer. */
export const offered: ReadonlyMap<string, string> = new Map([
  ['r2', 'and this'],
  ['r3', 'and that'],
]);

/** A new recording, with {@link offered}. */
export function recordingWithOffers(): Recording {
  const recording = newRecording(scope);
  for (const [requestId, content] of offered) offerMessage(recording, { requestId, content });
  return recording;
}

/** All events of `reports` on a new recording, with {@link offered}. */
export function recordAll(reports: readonly ProviderReport[]): {
  recording: Recording;
  events: NewEvent[];
} {
  const recording = recordingWithOffers();
  return { recording, events: reports.flatMap((report) => record(recording, report)) };
}

export const terminalTypes: readonly string[] = [
  'chat.done',
  'chat.error',
  'chat.cancelled',
  'chat.interrupted',
];
