import * as fc from 'fast-check';
import { describe, expect, it } from 'vitest';

import type { NewEvent } from '../../src/contracts/events.ts';
import type { ProviderReport } from '../../src/contracts/provider-events.ts';
import type { ConversationViewValue } from '../../src/contracts/view.ts';
import { emptyView, foldEvents } from '../../src/domain/fold.ts';
import {
  addUsage,
  coalesce,
  COALESCED_LIMIT_CHARS,
  type ForcedEnd,
  forceEnd,
  newRecording,
  offerMessage,
  phaseOf,
  record,
  recordingOfView,
  requestCancel,
  resolveApproval,
} from '../../src/domain/segments.ts';
import { chatStarted, place, recordAll, reportsWithoutEnd, scope, stored } from './reports.ts';

const delta = (segment: string, text: string, kind: 'text' | 'reasoning' = 'text') =>
  ({ type: 'delta', kind, segment, text }) as const;
const segmentEnd = (segment: string, text: string, kind: 'text' | 'reasoning' = 'text') =>
  ({ type: 'segment.end', kind, segment, text }) as const;
const discard = (segment: string) =>
  ({ type: 'segment.discard', segment, reason: 'provider_retry' }) as const;
const toolStart = (toolCallId: string) =>
  ({ type: 'tool.start', toolCallId, name: 'Read', input: { path: 'x' } }) as const;
const toolOutput = (toolCallId: string, text: string) =>
  ({ type: 'tool.output', toolCallId, text }) as const;
const toolEnd = (toolCallId: string, output: string, status: 'ok' | 'error' | 'denied' = 'ok') =>
  ({ type: 'tool.end', toolCallId, status, output }) as const;
const approval = (approvalId: string, toolCallId?: string) =>
  ({
    type: 'approval',
    approvalId,
    ...(toolCallId === undefined ? {} : { toolCallId }),
    title: 'Run ls?',
    input: { command: 'ls' },
    options: ['allow', 'deny'] as ('allow' | 'deny')[],
  }) as const;
const completed = { type: 'end', end: { outcome: 'completed' } } as const;

/** The view of an attempt that has reported `reports`. */
function viewOf(reports: readonly ProviderReport[]): ConversationViewValue {
  return foldEvents(emptyView('c1'), stored([chatStarted, ...recordAll(reports).events]));
}

function outputOf(turnId: string, attempt: number): NewEvent {
  return { type: 'tool.output', turnId, attempt, payload: { toolCallId: 'c', text: 'x' } };
}

/** An event in one short line: its type and what tells it apart. */
function line(event: NewEvent): string {
  switch (event.type) {
    case 'assistant.segment.started':
      return `started ${event.payload.messageId} ${event.payload.kind}`;
    case 'chat.delta':
      return `delta ${event.payload.messageId} ${event.payload.text}`;
    case 'assistant.segment.ended':
      return `ended ${event.payload.messageId} ${event.payload.status} ${event.payload.content}`;
    case 'assistant.segment.discarded':
      return `discarded ${event.payload.messageId} ${event.payload.reason}`;
    case 'tool.start':
      return `tool ${event.payload.messageId} ${event.payload.toolCallId} ${event.payload.name}`;
    case 'tool.output':
      return `output ${event.payload.toolCallId} ${event.payload.text}`;
    case 'tool.end':
      return `tool-end ${event.payload.toolCallId} ${event.payload.status} ${event.payload.output}`;
    case 'approval.requested':
      return `ask ${event.payload.approvalId}`;
    case 'approval.resolved':
      return `resolved ${event.payload.approvalId} ${event.payload.decision} ${event.payload.by}`;
    default:
      return event.type;
  }
}

const linesOf = (reports: readonly ProviderReport[]) => recordAll(reports).events.map(line);

describe('segments: what reports become', () => {
  it.each<{ what: string; reports: ProviderReport[]; lines: string[] }>([
    {
      what: 'the first delta starts a segment, the next ones only add to it',
      reports: [delta('a', 'one '), delta('a', 'two')],
      lines: ['started t1-2-1 text', 'delta t1-2-1 one ', 'delta t1-2-1 two'],
    },
    {
      what: '1: a delta of another segment closes the open one',
      reports: [delta('a', 'one'), delta('b', 'two')],
      lines: [
        'started t1-2-1 text',
        'delta t1-2-1 one',
        'ended t1-2-1 complete one',
        'started t1-2-2 text',
        'delta t1-2-2 two',
      ],
    },
    {
      what: '1: a delta of another kind closes the open one, under the same segment id too',
      reports: [delta('a', 'hm', 'reasoning'), delta('a', 'so')],
      lines: [
        'started t1-2-1 reasoning',
        'delta t1-2-1 hm',
        'ended t1-2-1 complete hm',
        'started t1-2-2 text',
        'delta t1-2-2 so',
      ],
    },
    {
      what: '1: a tool closes the open segment; its messages are counted with the segments',
      reports: [delta('a', 'one'), toolStart('c'), toolOutput('c', 'l1'), toolEnd('c', 'all')],
      lines: [
        'started t1-2-1 text',
        'delta t1-2-1 one',
        'ended t1-2-1 complete one',
        'tool t1-2-2 c Read',
        'output c l1',
        'tool-end c ok all',
      ],
    },
    {
      what: 'text beside a running tool does not end the tool, nor does the tool end the text',
      reports: [toolStart('c'), delta('a', 'x'), toolEnd('c', ''), delta('a', 'y')],
      lines: [
        'tool t1-2-1 c Read',
        'started t1-2-2 text',
        'delta t1-2-2 x',
        'tool-end c ok ',
        'delta t1-2-2 y',
      ],
    },
    {
      what: 'an empty delta is nothing: it neither opens nor closes',
      reports: [delta('a', ''), delta('a', 'x'), delta('b', ''), delta('a', 'y')],
      lines: ['started t1-2-1 text', 'delta t1-2-1 x', 'delta t1-2-1 y'],
    },
    {
      what: 'a segment end gives the authoritative content and repairs lost deltas',
      reports: [delta('a', 'on'), segmentEnd('a', 'one')],
      lines: ['started t1-2-1 text', 'delta t1-2-1 on', 'ended t1-2-1 complete one'],
    },
    {
      what: 'L5: an end without text does not take back what was streamed',
      reports: [delta('a', 'on'), segmentEnd('a', '')],
      lines: ['started t1-2-1 text', 'delta t1-2-1 on', 'ended t1-2-1 complete on'],
    },
    {
      what: 'a segment that had no delta gets started and ended, and closes the open one',
      reports: [delta('a', 'x'), segmentEnd('b', 'whole', 'reasoning')],
      lines: [
        'started t1-2-1 text',
        'delta t1-2-1 x',
        'ended t1-2-1 complete x',
        'started t1-2-2 reasoning',
        'ended t1-2-2 complete whole',
      ],
    },
    {
      what: 'a segment without delta and without text leaves no row',
      reports: [delta('a', 'x'), segmentEnd('b', ''), delta('a', 'y')],
      lines: ['started t1-2-1 text', 'delta t1-2-1 x', 'delta t1-2-1 y'],
    },
    {
      what: '2: a second end of a segment does nothing',
      reports: [delta('a', 'x'), segmentEnd('a', 'x'), segmentEnd('a', 'other')],
      lines: ['started t1-2-1 text', 'delta t1-2-1 x', 'ended t1-2-1 complete x'],
    },
    {
      what: '2: the end of a segment that a tool closed does nothing',
      reports: [delta('a', 'x'), toolStart('c'), segmentEnd('a', 'xy')],
      lines: [
        'started t1-2-1 text',
        'delta t1-2-1 x',
        'ended t1-2-1 complete x',
        'tool t1-2-2 c Read',
      ],
    },
    {
      what: 'the end of one kind is not the end of the other kind under the same id',
      reports: [delta('a', 'x'), segmentEnd('a', 'hm', 'reasoning'), delta('a', 'y')],
      lines: [
        'started t1-2-1 text',
        'delta t1-2-1 x',
        'ended t1-2-1 complete x',
        'started t1-2-2 reasoning',
        'ended t1-2-2 complete hm',
        'started t1-2-3 text',
        'delta t1-2-3 y',
      ],
    },
    {
      what: 'the end of a segment that a tool has split completes the last part alone',
      reports: [
        delta('a', 'one '),
        toolStart('c'),
        delta('a', 'two '),
        segmentEnd('a', 'one two 3'),
      ],
      lines: [
        'started t1-2-1 text',
        'delta t1-2-1 one ',
        'ended t1-2-1 complete one ',
        'tool t1-2-2 c Read',
        'started t1-2-3 text',
        'delta t1-2-3 two ',
        'ended t1-2-3 complete two 3',
      ],
    },
    {
      what: 'split in three: every earlier part is left out',
      reports: [
        delta('a', '1'),
        delta('b', '-'),
        delta('a', '22'),
        delta('b', '-'),
        delta('a', '3'),
        segmentEnd('a', '12233'),
      ],
      lines: [
        'started t1-2-1 text',
        'delta t1-2-1 1',
        'ended t1-2-1 complete 1',
        'started t1-2-2 text',
        'delta t1-2-2 -',
        'ended t1-2-2 complete -',
        'started t1-2-3 text',
        'delta t1-2-3 22',
        'ended t1-2-3 complete 22',
        'started t1-2-4 text',
        'delta t1-2-4 -',
        'ended t1-2-4 complete -',
        'started t1-2-5 text',
        'delta t1-2-5 3',
        'ended t1-2-5 complete 33',
      ],
    },
    {
      what: 'where a split segment ends in other text than was streamed, the streamed text stays',
      reports: [
        delta('a', 'one '),
        toolStart('c'),
        delta('a', 'two'),
        segmentEnd('a', 'something'),
      ],
      lines: [
        'started t1-2-1 text',
        'delta t1-2-1 one ',
        'ended t1-2-1 complete one ',
        'tool t1-2-2 c Read',
        'started t1-2-3 text',
        'delta t1-2-3 two',
        'ended t1-2-3 complete two',
      ],
    },
    {
      what: 'a segment id that is used again after its end is a new block',
      reports: [delta('a', 'x'), segmentEnd('a', 'x'), delta('a', 'y'), segmentEnd('a', 'yz')],
      lines: [
        'started t1-2-1 text',
        'delta t1-2-1 x',
        'ended t1-2-1 complete x',
        'started t1-2-2 text',
        'delta t1-2-2 y',
        'ended t1-2-2 complete yz',
      ],
    },
    {
      what: 'also when its end came after a tool had closed it',
      reports: [
        delta('a', 'x'),
        toolStart('c'),
        segmentEnd('a', 'x'),
        delta('a', 'y'),
        discard('a'),
      ],
      lines: [
        'started t1-2-1 text',
        'delta t1-2-1 x',
        'ended t1-2-1 complete x',
        'tool t1-2-2 c Read',
        'started t1-2-3 text',
        'delta t1-2-3 y',
        'discarded t1-2-3 provider_retry',
      ],
    },
    {
      what: '2: a discard takes the open segment back in place of its end, once',
      reports: [delta('a', 'x'), discard('a'), discard('a'), delta('a', 'x')],
      lines: [
        'started t1-2-1 text',
        'delta t1-2-1 x',
        'discarded t1-2-1 provider_retry',
        'started t1-2-2 text',
        'delta t1-2-2 x',
      ],
    },
    {
      what: '2: a discard takes a closed segment back, and leaves the open one alone',
      reports: [delta('a', 'x'), delta('b', 'y'), discard('a'), delta('b', 'z')],
      lines: [
        'started t1-2-1 text',
        'delta t1-2-1 x',
        'ended t1-2-1 complete x',
        'started t1-2-2 text',
        'delta t1-2-2 y',
        'discarded t1-2-1 provider_retry',
        'delta t1-2-2 z',
      ],
    },
    {
      what: 'a discard takes back all rows of the block, of both kinds',
      reports: [
        delta('a', 'h', 'reasoning'),
        delta('a', 'x'),
        toolStart('c'),
        delta('a', 'y'),
        discard('a'),
      ],
      lines: [
        'started t1-2-1 reasoning',
        'delta t1-2-1 h',
        'ended t1-2-1 complete h',
        'started t1-2-2 text',
        'delta t1-2-2 x',
        'ended t1-2-2 complete x',
        'tool t1-2-3 c Read',
        'started t1-2-4 text',
        'delta t1-2-4 y',
        'discarded t1-2-1 provider_retry',
        'discarded t1-2-2 provider_retry',
        'discarded t1-2-4 provider_retry',
      ],
    },
    { what: 'a discard of an unknown segment does nothing', reports: [discard('a')], lines: [] },
    {
      what: 'a tool that ends without a start gets one',
      reports: [delta('a', 'x'), toolEnd('c', 'out', 'denied')],
      lines: [
        'started t1-2-1 text',
        'delta t1-2-1 x',
        'ended t1-2-1 complete x',
        'tool t1-2-2 c unknown',
        'tool-end c denied out',
      ],
    },
    {
      what: 'so does one that prints without a start',
      reports: [toolOutput('c', 'l1'), toolStart('c'), toolEnd('c', '')],
      lines: ['tool t1-2-1 c unknown', 'output c l1', 'tool-end c ok l1'],
    },
    {
      what: '2: a second end of a tool does nothing, nor does output after its end',
      reports: [
        toolStart('c'),
        toolEnd('c', 'out'),
        toolOutput('c', 'late'),
        toolEnd('c', 'again'),
      ],
      lines: ['tool t1-2-1 c Read', 'tool-end c ok out'],
    },
    {
      what: 'a second start of a running call does nothing, not even to the open segment',
      reports: [toolStart('c'), delta('a', 'x'), toolStart('c'), delta('a', 'y')],
      lines: ['tool t1-2-1 c Read', 'started t1-2-2 text', 'delta t1-2-2 x', 'delta t1-2-2 y'],
    },
    {
      what: 'a call id that is used again after its end is a new call',
      reports: [
        toolStart('c'),
        toolOutput('c', '1'),
        toolEnd('c', ''),
        toolStart('c'),
        toolOutput('c', '2'),
        toolEnd('c', ''),
      ],
      lines: [
        'tool t1-2-1 c Read',
        'output c 1',
        'tool-end c ok 1',
        'tool t1-2-2 c Read',
        'output c 2',
        'tool-end c ok 2',
      ],
    },
    {
      what: 'empty tool output is nothing',
      reports: [toolOutput('c', ''), toolStart('c'), toolOutput('c', '')],
      lines: ['tool t1-2-1 c Read'],
    },
    {
      what: 'an approval is asked once, and taken back once when the provider no longer waits',
      reports: [
        approval('p'),
        approval('p'),
        { type: 'approval.gone', approvalId: 'p', reason: 'timeout' },
        { type: 'approval.gone', approvalId: 'p', reason: 'timeout' },
      ],
      lines: ['ask p', 'resolved p withdrawn provider'],
    },
    {
      what: 'an approval under an id that no route can name becomes a notice',
      reports: [approval('no id')],
      lines: ['notice'],
    },
    {
      what: 'so does one under an id that was answered',
      reports: [
        approval('p'),
        { type: 'approval.gone', approvalId: 'p', reason: '' },
        approval('p'),
      ],
      lines: ['ask p', 'resolved p withdrawn provider', 'notice'],
    },
    {
      what: 'the session report gives no event',
      reports: [{ type: 'session', sessionId: 's', model: 'm' }],
      lines: [],
    },
    {
      what: '4: nothing is recorded after the end',
      reports: [completed, delta('a', 'x'), completed, { type: 'notice', code: 'c', text: 't' }],
      lines: ['chat.done'],
    },
  ])('$what', ({ reports, lines }) => {
    expect(linesOf(reports)).toEqual(lines);
  });

  it('carries what the provider said, and the place of the attempt, on every event', () => {
    const { events } = recordAll([
      { type: 'tool.start', toolCallId: 'c', name: 'Read', input: undefined },
      approval('p', 'c'),
      { type: 'retrying', attempt: 3, delayMs: 600, status: '529' },
      { type: 'notice', code: 'odd', text: 'what it said' },
    ]);
    expect(events).toEqual([
      {
        type: 'tool.start',
        ...place,
        payload: { toolCallId: 'c', messageId: 't1-2-1', name: 'Read', input: null },
      },
      {
        type: 'approval.requested',
        ...place,
        payload: {
          approvalId: 'p',
          toolCallId: 'c',
          title: 'Run ls?',
          input: { command: 'ls' },
          options: ['allow', 'deny'],
        },
      },
      { type: 'chat.retrying', ...place, payload: { attempt: 3, delayMs: 600, status: '529' } },
      { type: 'notice', ...place, payload: { code: 'odd', text: 'what it said' } },
    ]);
  });

  it('says in the notice which approval cannot be answered', () => {
    const unusable = { ...approval('no id'), input: undefined };
    expect(recordAll([unusable]).events).toEqual([
      {
        type: 'notice',
        ...place,
        payload: { code: 'approval_unusable', text: expect.stringContaining('Run ls?') as string },
      },
    ]);
  });

  it('an approval without input or call leaves the one null and the other out', () => {
    const [event] = recordAll([{ ...approval('p'), input: undefined }]).events;
    expect(event?.payload).toStrictEqual({
      approvalId: 'p',
      title: 'Run ls?',
      input: null,
      options: ['allow', 'deny'],
    });
  });

  it('leaves requestId out where there is none', () => {
    const recording = newRecording({ ...scope, requestId: null });
    const [event] = record(recording, { type: 'notice', code: 'c', text: 't' });
    expect(event).toStrictEqual({
      type: 'notice',
      turnId: 't1',
      attempt: 2,
      payload: { code: 'c', text: 't' },
    });
  });
});

describe('segments: the end', () => {
  const open: ProviderReport[] = [
    toolStart('c'),
    toolOutput('c', 'so far'),
    approval('p', 'c'),
    delta('a', 'par'),
  ];

  it('completed: closes all, open tools as error, then the end (invariants 1, 2)', () => {
    const { events } = recordAll([...open, completed]);
    expect(events.slice(-4).map(line)).toEqual([
      'ended t1-2-2 complete par',
      'tool-end c error so far',
      'resolved p withdrawn provider',
      'chat.done',
    ]);
  });

  it('failed: what is open is partial', () => {
    const failed = { outcome: 'failed', code: 'api_error', message: 'overloaded' } as const;
    const { events } = recordAll([...open, { type: 'end', end: failed }]);
    expect(events.slice(-4).map(line)).toEqual([
      'ended t1-2-2 partial par',
      'tool-end c error so far',
      'resolved p withdrawn provider',
      'chat.error',
    ]);
    expect(events.at(-1)).toStrictEqual({
      type: 'chat.error',
      ...place,
      payload: { code: 'api_error', message: 'overloaded' },
    });
  });

  it.each<{ requested: string[]; by: string }>([
    { requested: [], by: 'provider' },
    { requested: ['user'], by: 'user' },
    { requested: ['interrupt', 'user'], by: 'interrupt' },
  ])('C1: cancelled by $by after requests of $requested', ({ requested, by }) => {
    const { recording } = recordAll(open);
    for (const name of requested) requestCancel(recording, name);
    const events = record(recording, { type: 'end', end: { outcome: 'cancelled' } });
    expect(events.map(line)).toEqual([
      'ended t1-2-2 partial par',
      'tool-end c error so far',
      'resolved p withdrawn provider',
      'chat.cancelled',
    ]);
    expect(events.at(-1)).toStrictEqual({ type: 'chat.cancelled', ...place, payload: { by } });
  });

  it('C1: a provider that completes in spite of a cancel has completed', () => {
    const { recording } = recordAll([delta('a', 'all')]);
    requestCancel(recording, 'user');
    expect(record(recording, completed).map(line)).toEqual([
      'ended t1-2-1 complete all',
      'chat.done',
    ]);
  });

  it.each<{ end: ForcedEnd; by: string; last: NewEvent }>([
    {
      end: { outcome: 'interrupted', cause: 'process_lost', message: 'gone' },
      by: 'holdfast',
      last: {
        type: 'chat.interrupted',
        ...place,
        payload: { cause: 'process_lost', retryable: true, message: 'gone', toolsStarted: 1 },
      },
    },
    {
      end: { outcome: 'interrupted', cause: 'provider_died', message: 'gone', boot: 'boot1' },
      by: 'holdfast',
      last: {
        type: 'chat.interrupted',
        ...place,
        payload: {
          cause: 'provider_died',
          retryable: true,
          message: 'gone',
          toolsStarted: 1,
          boot: 'boot1',
        },
      },
    },
    {
      end: { outcome: 'cancelled', by: 'user' },
      by: 'user',
      last: { type: 'chat.cancelled', ...place, payload: { by: 'user' } },
    },
    {
      end: { outcome: 'failed', code: 'spawn', message: 'no such program' },
      by: 'holdfast',
      last: {
        type: 'chat.error',
        ...place,
        payload: { code: 'spawn', message: 'no such program' },
      },
    },
  ])('forced $end.outcome: everything open is closed first', ({ end, by, last }) => {
    const { recording } = recordAll(open);
    const events = forceEnd(recording, end);
    expect(events.map(line)).toEqual([
      'ended t1-2-2 partial par',
      'tool-end c error so far',
      `resolved p withdrawn ${by}`,
      last.type,
    ]);
    expect(events.at(-1)).toStrictEqual(last);
    expect(phaseOf(recording)).toBe('waiting-for-model');
    expect(forceEnd(recording, end)).toEqual([]);
    expect(record(recording, completed)).toEqual([]);
    expect(resolveApproval(recording, { approvalId: 'p', decision: 'allow', by: 'user' })).toEqual(
      [],
    );
  });

  it('4: a forced end after the provider’s own is nothing', () => {
    const { recording } = recordAll([completed]);
    expect(forceEnd(recording, { outcome: 'cancelled', by: 'user' })).toEqual([]);
  });

  it('counts every started tool in an interrupted end, also those without a start of their own', () => {
    const { recording } = recordAll([toolStart('c'), toolEnd('c', ''), toolEnd('d', '')]);
    const [last] = forceEnd(recording, { outcome: 'interrupted', cause: 'x', message: '' });
    expect(last?.payload).toMatchObject({ toolsStarted: 2 });
  });

  it('usage: each report is an increment, the end carries the sum, its own usage comes just before', () => {
    const { events } = recordAll([
      { type: 'usage', usage: { inputTokens: 3, outputTokens: 1 } },
      { type: 'usage', usage: { inputTokens: 2, outputTokens: 4, costUsd: 0.25 } },
      delta('a', 'x'),
      { ...completed, usage: { inputTokens: 1, outputTokens: 0, costUsd: 0.5 } },
    ]);
    expect(events.map(line)).toEqual([
      'usage',
      'usage',
      'started t1-2-1 text',
      'delta t1-2-1 x',
      'ended t1-2-1 complete x',
      'usage',
      'chat.done',
    ]);
    expect(events.at(-2)?.payload).toStrictEqual({ inputTokens: 1, outputTokens: 0, costUsd: 0.5 });
    expect(events.at(-1)?.payload).toStrictEqual({
      usage: { inputTokens: 6, outputTokens: 5, costUsd: 0.75 },
    });
  });

  it('a forced end carries the usage so far, where its kind has one', () => {
    const reports: ProviderReport[] = [
      { type: 'usage', usage: { inputTokens: 3, outputTokens: 1 } },
    ];
    const usage = { inputTokens: 3, outputTokens: 1 };
    const lastOf = (end: ForcedEnd) => forceEnd(recordAll(reports).recording, end).at(-1)?.payload;
    expect(lastOf({ outcome: 'cancelled', by: 'user' })).toStrictEqual({ by: 'user', usage });
    expect(lastOf({ outcome: 'failed', code: 'c', message: 'm' })).toStrictEqual({
      code: 'c',
      message: 'm',
      usage,
    });
    expect(lastOf({ outcome: 'interrupted', cause: 'c', message: 'm' })).not.toHaveProperty(
      'usage',
    );
  });

  it.each([
    [null, { inputTokens: 1, outputTokens: 2 }, { inputTokens: 1, outputTokens: 2 }],
    [
      { inputTokens: 1, outputTokens: 2 },
      { inputTokens: 10, outputTokens: 20 },
      { inputTokens: 11, outputTokens: 22 },
    ],
    [
      { inputTokens: 1, outputTokens: 2, costUsd: 1 },
      { inputTokens: 10, outputTokens: 20 },
      { inputTokens: 11, outputTokens: 22, costUsd: 1 },
    ],
    [
      { inputTokens: 1, outputTokens: 2 },
      { inputTokens: 10, outputTokens: 20, costUsd: 2 },
      { inputTokens: 11, outputTokens: 22, costUsd: 2 },
    ],
    [
      { inputTokens: 1, outputTokens: 2, costUsd: 1 },
      { inputTokens: 10, outputTokens: 20, costUsd: 2 },
      { inputTokens: 11, outputTokens: 22, costUsd: 3 },
    ],
  ])('%j + %j = %j', (sum, increment, expected) => {
    expect(addUsage(sum, increment)).toStrictEqual(expected);
  });
});

describe('segments: approvals that are answered', () => {
  it('records the answer once, with who gave it and when', () => {
    const { recording } = recordAll([approval('p')]);
    const answer = { approvalId: 'p', decision: 'deny', by: 'user' } as const;
    expect(resolveApproval(recording, answer)).toStrictEqual([
      {
        type: 'approval.resolved',
        ...place,
        payload: { approvalId: 'p', decision: 'deny', by: 'user', at: '2026-11-21T00:00:00.000Z' },
      },
    ]);
    expect(resolveApproval(recording, answer)).toEqual([]);
    expect(record(recording, { type: 'approval.gone', approvalId: 'p', reason: '' })).toEqual([]);
    expect(record(recording, completed).map(line)).toEqual(['chat.done']);
  });

  it('is nothing for an approval that nobody asked for', () => {
    const { recording } = recordAll([approval('p')]);
    const answer = { approvalId: 'q', decision: 'allow', by: 'user' } as const;
    expect(resolveApproval(recording, answer)).toEqual([]);
  });
});

describe('segments: a message that the running turn takes', () => {
  const steered = { type: 'steered', id: 'r2' } as const;

  it('5: closes what is streamed, and is a message of the turn under a request of its own', () => {
    const recording = newRecording(scope);
    offerMessage(recording, { requestId: 'r2', content: 'and this' });
    record(recording, delta('a', 'half'));
    const at = { turnId: 't1', attempt: 2, requestId: 'r2' };
    expect(record(recording, steered)).toEqual([
      {
        type: 'assistant.segment.ended',
        ...place,
        payload: { messageId: 't1-2-1', content: 'half', status: 'complete' },
      },
      {
        type: 'message.created',
        ...at,
        payload: { messageId: 't1-2-2', role: 'user', content: 'and this' },
      },
      { type: 'chat.steered', ...at, payload: { turnId: 't1', attempt: 2 } },
    ]);
    expect(record(recording, delta('a', ' and half')).map(line)).toEqual([
      'started t1-2-3 text',
      'delta t1-2-3  and half',
    ]);
    expect(record(recording, segmentEnd('a', 'half and half')).map(line)).toEqual([
      'ended t1-2-3 complete  and half',
    ]);
  });

  it('5: leaves tools and approvals open', () => {
    const recording = newRecording(scope);
    offerMessage(recording, { requestId: 'r2', content: 'and this' });
    for (const report of [toolStart('c1'), approval('ap1', 'c1')]) record(recording, report);
    expect(record(recording, steered).map(({ type }) => type)).toEqual([
      'message.created',
      'chat.steered',
    ]);
    expect(phaseOf(recording)).toBe('waiting-for-approval');
  });

  it('5: is nothing when it was not offered, the second time, and after the end', () => {
    const recording = newRecording(scope);
    expect(record(recording, steered)).toEqual([]);
    offerMessage(recording, { requestId: 'r2', content: 'and this' });
    expect(record(recording, steered)).toHaveLength(2);
    expect(record(recording, steered)).toEqual([]);
    offerMessage(recording, { requestId: 'r3', content: 'and that' });
    record(recording, completed);
    expect(record(recording, { type: 'steered', id: 'r3' })).toEqual([]);
    offerMessage(recording, { requestId: 'r4', content: 'too late' });
    expect(recording.offered.has('r4')).toBe(false);
  });
});

describe('segments: the phase is what is open', () => {
  it.each<{ reports: ProviderReport[]; phase: string }>([
    { reports: [], phase: 'waiting-for-model' },
    { reports: [delta('a', 'x')], phase: 'streaming' },
    { reports: [delta('a', 'x'), segmentEnd('a', 'x')], phase: 'waiting-for-model' },
    { reports: [delta('a', 'x'), discard('a')], phase: 'waiting-for-model' },
    { reports: [delta('a', 'x'), toolStart('c')], phase: 'tool-running' },
    { reports: [toolStart('c'), delta('a', 'x')], phase: 'tool-running' },
    { reports: [toolStart('c'), toolStart('d'), toolEnd('c', '')], phase: 'tool-running' },
    { reports: [toolStart('c'), toolEnd('c', '')], phase: 'waiting-for-model' },
    { reports: [toolStart('c'), approval('p', 'c')], phase: 'waiting-for-approval' },
    {
      reports: [
        toolStart('c'),
        approval('p'),
        { type: 'approval.gone', approvalId: 'p', reason: '' },
      ],
      phase: 'tool-running',
    },
  ])('$phase', ({ reports, phase }) => {
    const { recording } = recordAll(reports);
    expect(phaseOf(recording)).toBe(phase);
    requestCancel(recording, 'user');
    expect(phaseOf(recording)).toBe('cancelling');
  });
});

describe('segments: a recording from a snapshot', () => {
  it('is null where nothing runs', () => {
    expect(recordingOfView(emptyView('c1'), scope.now)).toBeNull();
    expect(recordingOfView(viewOf([completed]), scope.now)).toBeNull();
  });

  it('knows nothing of other attempts and other turns', () => {
    const view = viewOf([]);
    const row = {
      messageId: 'm',
      role: 'tool',
      kind: 'tool',
      content: 'x',
      status: 'open',
      at: '',
      tool: { toolCallId: 'c', name: 'n', input: null, status: 'running' },
    } as const;
    const asked = { approvalId: 'p', title: '', input: null, options: [], at: '' };
    const recording = recordingOfView(
      {
        ...view,
        messages: [
          { ...row, turnId: 't1', attempt: 1 },
          { ...row, turnId: 't0', attempt: 2 },
        ],
        approvals: [{ ...asked, turnId: 't0' }],
      },
      scope.now,
    );
    const events =
      recording && forceEnd(recording, { outcome: 'interrupted', cause: 'c', message: 'm' });
    expect(events).toMatchObject([{ type: 'chat.interrupted', payload: { toolsStarted: 0 } }]);
  });

  it('takes an open segment whose overlay is missing as empty', () => {
    const view = { ...viewOf([delta('a', 'x')]), overlays: {} };
    const recording = recordingOfView(view, scope.now);
    const events = recording && forceEnd(recording, { outcome: 'cancelled', by: 'user' });
    expect(events?.map(line)).toEqual(['ended t1-2-1 partial ', 'chat.cancelled']);
  });

  it('property: ends the attempt as the recording itself would', () => {
    fc.assert(
      fc.property(reportsWithoutEnd, (reports) => {
        const { recording } = recordAll(reports);
        const rebuilt = recordingOfView(viewOf(reports), scope.now);
        const end: ForcedEnd = { outcome: 'interrupted', cause: 'spool_lost', message: 'gone' };
        expect(rebuilt && forceEnd(rebuilt, end)).toEqual(forceEnd(recording, end));
      }),
    );
  });
});

describe('segments: coalesce', () => {
  it('makes neighbouring deltas of one message one, and neighbouring output of one call', () => {
    const { events } = recordAll([
      delta('a', '1'),
      delta('a', '2'),
      delta('a', '3'),
      delta('b', '4'),
      toolStart('c'),
      toolStart('d'),
      toolOutput('c', 'x'),
      toolOutput('c', 'y'),
      toolOutput('d', 'z'),
      toolOutput('c', 'w'),
      { type: 'notice', code: '', text: '' },
      { type: 'notice', code: '', text: '' },
      toolOutput('c', 'v'),
    ]);
    const before = structuredClone(events);
    expect(coalesce(events).map(line)).toEqual([
      'started t1-2-1 text',
      'delta t1-2-1 123',
      'ended t1-2-1 complete 123',
      'started t1-2-2 text',
      'delta t1-2-2 4',
      'ended t1-2-2 complete 4',
      'tool t1-2-3 c Read',
      'tool t1-2-4 d Read',
      'output c xy',
      'output d z',
      'output c w',
      'notice',
      'notice',
      'output c v',
    ]);
    expect(events).toEqual(before);
    expect(coalesce(events)[1]).toStrictEqual({
      type: 'chat.delta',
      ...place,
      payload: { messageId: 't1-2-1', text: '123' },
    });
    expect(coalesce([])).toEqual([]);
  });

  it('keeps the same call id of different attempts and turns apart', () => {
    const events = [outputOf('t1', 1), outputOf('t1', 2), outputOf('t2', 2)];
    expect(coalesce(events)).toEqual(events);
  });

  it('keeps neighbouring deltas of different messages apart', () => {
    const deltaOf = (messageId: string): NewEvent => ({
      type: 'chat.delta',
      ...place,
      payload: { messageId, text: 'x' },
    });
    const events = [deltaOf('m1'), deltaOf('m2')];
    expect(coalesce(events)).toEqual(events);
  });

  it.each(['chat.delta', 'tool.output'] as const)(
    'W2: %s grows to the limit and no further',
    (type) => {
      const event = (length: number): NewEvent =>
        type === 'chat.delta'
          ? { type, ...place, payload: { messageId: 'm', text: 'x'.repeat(length) } }
          : { type, ...place, payload: { toolCallId: 'c', text: 'x'.repeat(length) } };
      const lengths = (...of: number[]) =>
        coalesce(of.map(event)).map((merged) =>
          merged.type === 'chat.delta' || merged.type === 'tool.output'
            ? merged.payload.text.length
            : 0,
        );
      expect(lengths(COALESCED_LIMIT_CHARS - 1, 1)).toEqual([COALESCED_LIMIT_CHARS]);
      expect(lengths(COALESCED_LIMIT_CHARS - 1, 2, 3)).toEqual([COALESCED_LIMIT_CHARS - 1, 5]);
    },
  );
});
