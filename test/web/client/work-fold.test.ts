import { describe, expect, it } from 'vitest';

import type { Event, NewEvent } from '../../../src/contracts/events.ts';
import type { Work } from '../../../web/client/contract.ts';
import { ConversationFold } from '../../../web/client/conversation-fold.ts';
import { stored } from '../../domain/reports.ts';

const place = { turnId: 't1', attempt: 1, requestId: 'r1' };
/** When the nth event was stored. */
const at = (seq: number): number => Date.UTC(2026, 0, 1) + seq * 1_000;

const started: NewEvent = {
  type: 'chat.started',
  ...place,
  payload: { attempt: 1, provider: 'p', model: null },
};
const segment = (messageId: string): NewEvent => ({
  type: 'assistant.segment.started',
  ...place,
  payload: { messageId, kind: 'text' },
});
const delta: NewEvent = { type: 'chat.delta', ...place, payload: { messageId: 'm1', text: 'x' } };
const tool = (toolCallId: string, name: string): NewEvent => ({
  type: 'tool.start',
  ...place,
  payload: { toolCallId, messageId: `of-${toolCallId}`, name, input: {} },
});
const toolEnd = (toolCallId: string): NewEvent => ({
  type: 'tool.end',
  ...place,
  payload: { toolCallId, status: 'ok', output: '' },
});
const asked: NewEvent = {
  type: 'approval.requested',
  ...place,
  payload: { approvalId: 'p', title: 'Run rm?', input: {}, options: ['allow', 'deny'] },
};
const answered: NewEvent = {
  type: 'approval.resolved',
  ...place,
  payload: { approvalId: 'p', decision: 'allow', by: 'user', at: '2026-01-01T00:00:00.000Z' },
};
const quiet: NewEvent = {
  type: 'chat.quiet',
  ...place,
  payload: { phase: 'streaming', silentMs: 500, evidence: { pid: 7, lastEvent: 'chat.delta' } },
};
const cancelling = (step: 'requested' | 'terminate' | 'sweep'): NewEvent => ({
  type: 'chat.cancelling',
  ...place,
  payload: { step },
});
const retrying: NewEvent = {
  type: 'chat.retrying',
  ...place,
  payload: { attempt: 2, delayMs: 4_000, status: '529' },
};
const usage: NewEvent = {
  type: 'usage',
  ...place,
  payload: { inputTokens: 1, outputTokens: 2, costUsd: 0.25 },
};
const attached: NewEvent = {
  type: 'chat.attached',
  ...place,
  payload: { epoch: 2, host: 'h', cause: 'c' },
};
const done: NewEvent = { type: 'chat.done', ...place, payload: {} };

function foldOf(events: readonly Event[]): ConversationFold {
  const fold = new ConversationFold('c1');
  fold.apply(events);
  return fold;
}

describe('work: what the running turn does', () => {
  it.each<{ what: string; events: NewEvent[]; work: Partial<Work> | null }>([
    { what: 'nothing runs', events: [], work: null },
    {
      what: 'it has begun, and nothing was heard of it',
      events: [started],
      work: {
        turnId: 't1',
        attempt: 1,
        phase: 'starting',
        phaseSinceMs: at(1),
        startedAtMs: at(1),
        lastSignMs: at(1),
        detail: null,
        quiet: null,
        cancelling: [],
        retrying: null,
        usage: null,
      },
    },
    {
      what: 'something was heard, and nothing is open',
      events: [started, usage],
      work: { phase: 'waiting-for-model', phaseSinceMs: at(1), lastSignMs: at(2) },
    },
    {
      what: 'it streams, since it began to',
      events: [started, segment('m1'), delta, delta],
      work: { phase: 'streaming', phaseSinceMs: at(2), lastSignMs: at(4) },
    },
    {
      what: 'a tool runs: which',
      events: [started, tool('a', 'Bash'), tool('b', 'Read'), toolEnd('b')],
      work: { phase: 'tool-running', phaseSinceMs: at(2), detail: 'Bash' },
    },
    {
      what: 'an approval is waited for: of what',
      events: [started, tool('a', 'Bash'), asked],
      work: { phase: 'waiting-for-approval', phaseSinceMs: at(3), detail: 'Run rm?' },
    },
    {
      what: 'the approval was answered, the tool goes on',
      events: [started, tool('a', 'Bash'), asked, answered],
      work: { phase: 'tool-running', phaseSinceMs: at(4), detail: 'Bash' },
    },
    {
      what: 'it is quiet: since when, and what speaks for it; that is no sign of life',
      events: [started, segment('m1'), quiet],
      work: {
        phase: 'streaming',
        lastSignMs: at(2),
        quiet: {
          sinceMs: at(3) - 500,
          evidence: [
            { what: 'its pid', value: '7' },
            { what: 'last event', value: 'chat.delta' },
          ],
        },
      },
    },
    {
      what: 'it is quiet no more',
      events: [started, segment('m1'), quiet, delta],
      work: { quiet: null, lastSignMs: at(4) },
    },
    {
      what: 'a word of another attempt is no sign',
      events: [started, segment('m1'), quiet, { ...usage, attempt: 2 }, { ...usage, turnId: 't0' }],
      work: {
        quiet: {
          sinceMs: at(3) - 500,
          evidence: [
            { what: 'its pid', value: '7' },
            { what: 'last event', value: 'chat.delta' },
          ],
        },
        lastSignMs: at(2),
        usage: null,
      },
    },
    {
      what: 'it is cancelled, step by step, whatever it does meanwhile',
      events: [
        started,
        cancelling('requested'),
        segment('m1'),
        cancelling('terminate'),
        cancelling('terminate'),
        cancelling('sweep'),
      ],
      work: {
        phase: 'cancelling',
        phaseSinceMs: at(2),
        cancelling: [
          { step: 'requested', atMs: at(2) },
          { step: 'terminate', atMs: at(4) },
          { step: 'sweep', atMs: at(6) },
        ],
      },
    },
    {
      what: 'a sweep alone is no cancel',
      events: [started, segment('m1'), cancelling('sweep')],
      work: { phase: 'streaming', cancelling: [] },
    },
    {
      what: 'the provider tries again: until when; a new host does not end that',
      events: [started, retrying, attached],
      work: { retrying: { attempt: 2, untilMs: at(2) + 4_000, status: '529' } },
    },
    {
      what: 'the provider has tried again',
      events: [started, retrying, segment('m1')],
      work: { retrying: null },
    },
    {
      what: 'what it has used adds up',
      events: [started, usage, usage],
      work: { usage: { inputTokens: 2, outputTokens: 4, costUsd: 0.5 } },
    },
    { what: 'it has ended', events: [started, segment('m1'), quiet, done], work: null },
    {
      what: 'a queued message was removed: nothing that runs has ended',
      events: [
        started,
        { type: 'chat.cancelled', turnId: 't1', requestId: 'r9', payload: { by: 'user' } },
      ],
      work: { turnId: 't1' },
    },
    {
      what: 'another attempt begins with nothing of the last',
      events: [
        started,
        segment('m1'),
        cancelling('requested'),
        { ...done, type: 'chat.cancelled', payload: { by: 'user' } },
        { ...started, attempt: 2, payload: { attempt: 2, provider: 'p', model: null } },
      ],
      work: { attempt: 2, phase: 'starting', phaseSinceMs: at(5), cancelling: [], quiet: null },
    },
  ])('$what', ({ events, work }) => {
    expect({ work: foldOf(stored(events)).work }).toMatchObject({ work });
  });

  it.each<{ what: string; events: NewEvent[]; work: Partial<Work> }>([
    {
      what: 'nothing was heard',
      events: [started],
      work: { phase: 'starting', phaseSinceMs: at(1) },
    },
    {
      what: 'it streams',
      events: [started, segment('m1'), delta, delta],
      work: { phase: 'streaming', phaseSinceMs: at(2), lastSignMs: at(4) },
    },
    {
      what: 'a tool runs',
      events: [started, tool('a', 'Bash'), usage],
      work: { phase: 'tool-running', phaseSinceMs: at(2), detail: 'Bash' },
    },
    {
      what: 'an approval is waited for',
      events: [started, usage, asked, usage],
      work: { phase: 'waiting-for-approval', phaseSinceMs: at(3), detail: 'Run rm?' },
    },
  ])('from a snapshot alone, as far as it says: $what', ({ events, work }) => {
    const fold = new ConversationFold('c1');
    fold.begin(foldOf(stored(events)).view);
    expect(fold.work).toMatchObject(work);
  });

  it('from a snapshot and the end of the log before it: everything', () => {
    const events = stored([started, segment('m1'), cancelling('requested'), retrying, quiet]);
    const whole = foldOf(events);
    const fold = new ConversationFold('c1');
    fold.begin(whole.view);
    expect(fold.work).toMatchObject({ quiet: null, cancelling: [], retrying: null });
    fold.recall(events.slice(1));
    expect(fold.work).toEqual(whole.work);
  });

  it('what is heard after the snapshot counts more than what the log said before it', () => {
    const events = stored([started, segment('m1'), cancelling('requested'), quiet, delta]);
    const fold = new ConversationFold('c1');
    fold.begin(foldOf(events.slice(0, 4)).view);
    fold.apply(events.slice(4));
    fold.recall(events.slice(0, 4));
    expect(fold.work).toMatchObject({ quiet: null, cancelling: [{ step: 'requested' }] });
  });

  it('a second snapshot of the same attempt forgets nothing', () => {
    const events = stored([started, segment('m1'), cancelling('requested'), quiet]);
    const fold = foldOf(events);
    const { work } = fold;
    fold.begin(structuredClone(fold.view));
    expect(fold.work).toEqual(work);
  });
});
