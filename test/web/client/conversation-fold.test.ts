import { isDeepStrictEqual } from 'node:util';

import * as fc from 'fast-check';
import { describe, expect, it } from 'vitest';

import type { Event, NewEvent, OutcomeName, UsageValue } from '../../../src/contracts/events.ts';
import type { TurnViewValue } from '../../../src/contracts/view.ts';
import { emptyView, foldEvents } from '../../../src/domain/fold.ts';
import { addUsage } from '../../../src/domain/segments.ts';
import { blocksOf } from '../../../web/client/blocks.ts';
import type { Row } from '../../../web/client/contract.ts';
import { ConversationFold } from '../../../web/client/conversation-fold.ts';
import { chapters } from '../../domain/chapters.ts';
import { lives } from '../../domain/lives.ts';
import { stored } from '../../domain/reports.ts';

/** Rows without the objects that only identity tells apart. */
const plain = (rows: readonly Row[]): unknown => JSON.parse(JSON.stringify(rows));
const keys = (rows: readonly Row[]) => rows.map(({ key }) => key);

function foldOf(log: readonly Event[]): ConversationFold {
  const fold = new ConversationFold('c1');
  fold.apply(log);
  return fold;
}

/** The turns of a log, as the API lists them. */
function turnsOf(log: readonly Event[]): TurnViewValue[] {
  const turns = new Map<string, TurnViewValue>();
  const usages = new Map<string, UsageValue>();
  for (const { type, turnId = '', attempt, requestId = null, at, payload } of log) {
    const turn = turns.get(turnId);
    if (type === 'chat.started') {
      const attempts = turn?.attempts ?? [];
      const base = {
        requestId,
        outcome: null,
        cause: null,
        startedAt: at,
        endedAt: null,
        usage: null,
      };
      const { provider, model } = payload;
      turns.set(turnId, {
        ...base,
        turnId,
        conversationId: 'c1',
        attempts: [...attempts, { ...base, attempt: payload.attempt, provider, model }],
      });
    }
    const known = turn?.attempts.find((each) => each.attempt === attempt);
    if (known === undefined) continue;
    const key = `${turnId}.${attempt}`;
    if (type === 'usage') usages.set(key, addUsage(usages.get(key) ?? null, payload));
    const end = {
      'chat.done': ['completed', null],
      'chat.error': ['failed', 'code' in payload ? payload.code : ''],
      'chat.cancelled': ['cancelled', 'by' in payload ? payload.by : ''],
      'chat.interrupted': ['interrupted', 'cause' in payload ? payload.cause : ''],
    }[type as string] as [OutcomeName, string | null] | undefined;
    const { usage = null } = { usage: undefined, ...payload } as { usage?: UsageValue };
    if (end === undefined) known.usage = usages.get(key) ?? null;
    else
      Object.assign(known, {
        outcome: end[0],
        cause: end[1],
        endedAt: at,
        usage: usage ?? usages.get(key) ?? null,
      });
  }
  return [...turns.values()];
}

/** The log in batches that end at any place. */
function batches(log: readonly Event[], cuts: readonly number[]): Event[][] {
  const places = [...new Set(cuts.map((cut) => cut % (log.length + 1)))].toSorted((a, b) => a - b);
  return [0, ...places].map((place, index) => log.slice(place, [...places, log.length][index]));
}

const cuts = fc.array(fc.nat(), { maxLength: 15 });

describe('conversation fold: properties', () => {
  it('L4, 1: in whatever batches, view, rows and work are those of the whole log', () => {
    fc.assert(
      fc.property(chapters, cuts, (log, places) => {
        const whole = foldOf(log);
        const fold = new ConversationFold('c1');
        for (const batch of batches(log, places)) fold.apply(batch);
        expect(fold.view).toEqual(foldEvents(emptyView('c1'), log));
        expect(plain(fold.rows)).toEqual(plain(whole.rows));
        expect(fold.work).toEqual(whole.work);
      }),
      { numRuns: 150 },
    );
  });

  it('L4: events come twice, snapshots come in between: the view is the log’s, and the rows are the snapshot’s and notes', () => {
    fc.assert(
      fc.property(chapters, cuts, fc.array(fc.nat(3), { maxLength: 16 }), (log, places, kinds) => {
        const fold = new ConversationFold('c1');
        let soFar: Event[] = [];
        for (const [index, batch] of batches(log, places).entries()) {
          const kind = kinds[index] ?? 0;
          const again = soFar.slice(-3);
          soFar = [...soFar, ...batch];
          if (kind === 3) fold.begin(foldEvents(emptyView('c1'), soFar));
          else fold.apply([...again, ...batch]);
          expect(fold.view).toEqual(foldEvents(emptyView('c1'), soFar));
        }
        const fresh = new ConversationFold('c1');
        fresh.begin(foldEvents(emptyView('c1'), log));
        fresh.loadTurns(turnsOf(log));
        fold.loadTurns(turnsOf(log));
        // What only events say is not in a snapshot: notes, answers, how long things took.
        const said = (rows: readonly Row[]) =>
          rows
            .filter(({ type }) => !['note', 'approval'].includes(type))
            .map((row) => ('tookMs' in row ? { ...row, tookMs: null } : row))
            .map((row) => (row.type === 'tool' ? { ...row, approval: null, answer: null } : row))
            .map((row) =>
              row.type === 'turn-end' ? { ...row, turn: { ...row.turn, words: null } } : row,
            );
        expect(plain(said(fold.rows))).toEqual(plain(said(fresh.rows)));
      }),
      { numRuns: 150 },
    );
  });

  it('1: what an update makes, a rebuild makes; and a row that says the same is the same', () => {
    fc.assert(
      fc.property(chapters, (log) => {
        const fold = new ConversationFold('c1');
        let before: readonly Row[] = [];
        for (const event of log) {
          fold.apply([event]);
          const after = fold.rows;
          // Asking for an attempt that is not there changes nothing, and builds all rows anew.
          fold.showAttempt('none', null);
          expect(fold.rows).toBe(after);
          const known = new Map(before.map((row) => [row.key, row]));
          for (const row of after) {
            const old = known.get(row.key);
            const isMadeAnew = old !== undefined && old !== row && isDeepStrictEqual(old, row);
            expect(isMadeAnew).toBe(false);
          }
          expect(new Set(keys(after)).size).toBe(after.length);
          before = after;
        }
      }),
      { numRuns: 60 },
    );
  });

  it('rows of blocks are the text of their message, whatever was streamed', () => {
    fc.assert(
      fc.property(chapters, cuts, (log, places) => {
        const fold = new ConversationFold('c1');
        for (const batch of batches(log, places)) {
          fold.apply(batch);
          const shown = new Map<string, string>();
          for (const row of fold.rows)
            if (row.type === 'block')
              shown.set(
                row.message.messageId,
                (shown.get(row.message.messageId) ?? '') + row.block.text,
              );
          for (const [messageId, text] of shown) {
            const message = fold.view.messages.find((each) => each.messageId === messageId);
            const whole = fold.view.overlays[messageId] ?? message?.content ?? '';
            expect(text.trim()).toBe(whole.trim());
          }
        }
      }),
      { numRuns: 80 },
    );
  });

  it('the phase of the work is the view’s', () => {
    fc.assert(
      fc.property(lives, (log) => {
        const fold = new ConversationFold('c1');
        for (const event of log) {
          fold.apply([event]);
          const { work } = fold;
          const turn = fold.view.activeTurn;
          expect(work === null).toBe(turn === null);
          if (work === null || turn === null) continue;
          const phase = work.phase === 'starting' ? 'waiting-for-model' : work.phase;
          expect(phase).toBe(turn.phase);
          expect(work.lastSignMs).toBe(Date.parse(turn.lastActivityAt));
          expect(work.phaseSinceMs).toBeLessThanOrEqual(Date.parse(event.at));
        }
      }),
      { numRuns: 80 },
    );
  });

  it('older pages before it make the view of more, however they are cut', () => {
    fc.assert(
      fc.property(lives, fc.nat(), fc.nat(), (log, page, later) => {
        const place = later % (log.length + 1);
        const view = foldEvents(emptyView('c1'), log.slice(0, place));
        const open = view.messages.findIndex(({ status }) => status === 'open');
        const from = Math.min(
          page % (view.messages.length + 1),
          open === -1 ? view.messages.length : open,
        );
        const fold = new ConversationFold('c1');
        fold.begin({ ...view, messages: view.messages.slice(from), hasOlder: from > 0 });
        fold.apply(log.slice(place));
        const whole = foldEvents(view, log.slice(place));
        // What the API has by now, which the events of the page may have cut.
        fold.prepend(whole.messages.slice(0, from), false);
        expect(fold.view).toEqual(whole);
      }),
      { numRuns: 80 },
    );
  });
});

const place = { turnId: 't1', attempt: 1, requestId: 'r1' };
const started = (attempt = 1, turnId = 't1'): NewEvent => ({
  type: 'chat.started',
  turnId,
  attempt,
  requestId: `r${attempt}`,
  payload: { attempt, provider: 'p', model: null },
});
const wrote = (messageId: string, turnId = 't1'): NewEvent => ({
  type: 'message.created',
  turnId,
  requestId: `of-${messageId}`,
  payload: { messageId, role: 'user', content: messageId },
});
const text = (messageId: string, content: string, attempt = 1): NewEvent[] => [
  {
    type: 'assistant.segment.started',
    ...place,
    attempt,
    payload: { messageId, kind: 'text' },
  },
  { type: 'chat.delta', ...place, attempt, payload: { messageId, text: content } },
  {
    type: 'assistant.segment.ended',
    ...place,
    attempt,
    payload: { messageId, content, status: 'complete' },
  },
];
const tool = (messageId: string): NewEvent => ({
  type: 'tool.start',
  ...place,
  payload: { messageId, toolCallId: `call-${messageId}`, name: 'Bash', input: {} },
});
const asked = (approvalId: string, toolCallId?: string): NewEvent => ({
  type: 'approval.requested',
  ...place,
  payload: {
    approvalId,
    ...(toolCallId === undefined ? {} : { toolCallId }),
    title: 'Run?',
    input: {},
    options: ['allow', 'deny'],
  },
});
const answered = (approvalId: string): NewEvent => ({
  type: 'approval.resolved',
  ...place,
  payload: { approvalId, decision: 'deny', by: 'user', at: '2026-01-01T00:00:00.000Z' },
});
const failed = (attempt = 1): NewEvent => ({
  type: 'chat.error',
  ...place,
  attempt,
  payload: { code: 'overloaded', message: 'Too much.' },
});
const done: NewEvent = {
  type: 'chat.done',
  ...place,
  payload: { usage: { inputTokens: 1, outputTokens: 2 } },
};
const fold = (...events: NewEvent[]) => foldOf(stored(events));

describe('conversation fold: rows', () => {
  it('a turn: what was asked, what was said and done, its end', () => {
    const { rows } = fold(wrote('m1'), started(), ...text('a1', 'Hello.'), tool('x1'), done);
    expect(rows.map(({ type, key }) => [type, key])).toEqual([
      ['user', 'm1'],
      ['block', 'a1.0'],
      ['tool', 'x1'],
      ['turn-end', 'end.t1.1'],
    ]);
    expect(rows.at(-1)).toMatchObject({
      isPartial: false,
      attempt: { outcome: 'completed', usage: { inputTokens: 1, outputTokens: 2 } },
      turn: { retryable: false, words: null },
    });
  });

  it('blocks of a message know which is the first, the last, and whether more comes', () => {
    const fence = '```js\nx\n```\n';
    const open = fold(wrote('m1'), started(), ...text('a1', `a\n${fence}b\n${fence}c`).slice(0, 2));
    const flags = ({ rows }: ConversationFold) =>
      rows.flatMap((row) =>
        row.type === 'block' ? [[row.isFirst, row.isLast, row.isOpen, row.block.sealed]] : [],
      );
    expect(flags(open)).toEqual([
      [true, false, true, true],
      [false, false, true, true],
      [false, false, true, true],
      [false, false, true, true],
      [false, true, true, false],
    ]);
    expect(flags(fold(started(), ...text('a1', `\n${fence}\n`)))).toEqual([
      [true, true, false, true],
    ]);
    expect(flags(fold(started(), ...text('a1', '')))).toEqual([]);
  });

  it('a snapshot in mid-turn, of a gap that was too long to be told, has its whole text at once', () => {
    const paragraph = `${'words '.repeat(250)}\n\n`;
    const events = stored([
      wrote('m1'),
      started(),
      ...text('a1', `${paragraph}Second.\nso far`).slice(0, 2),
      { type: 'chat.delta', ...place, payload: { messageId: 'a1', text: ', and what was missed' } },
    ]);
    const own = new ConversationFold('c1');
    own.apply(events.slice(0, -1));
    const [sealed] = own.rows.flatMap((row) => (row.type === 'block' ? [row.block] : []));
    own.begin(foldEvents(emptyView('c1'), events));
    const blocks = own.rows.filter((row) => row.type === 'block');
    expect(blocks.map(({ block }) => block.text).join('')).toBe(
      `${paragraph}Second.\nso far, and what was missed`,
    );
    expect(blocks[0]?.block).toBe(sealed);
    own.apply(
      stored([{ type: 'chat.delta', ...place, payload: { messageId: 'a1', text: '.' } }]).map(
        (event) => ({ ...event, seq: events.length + 1 }),
      ),
    );
    expect(own.rows.at(-1)).toMatchObject({
      block: { text: 'Second.\nso far, and what was missed.' },
    });
  });

  it('an end that says something else than was streamed takes its place, block by block', () => {
    const paragraph = `${'words '.repeat(250)}\n\n`.repeat(2);
    const events = stored([
      started(),
      ...text('a1', `${paragraph}streamed`).slice(0, 2),
      {
        type: 'assistant.segment.ended',
        ...place,
        payload: { messageId: 'a1', content: `${paragraph}really`, status: 'partial' },
      },
    ]);
    const own = foldOf(events.slice(0, 3));
    const [before] = own.rows;
    own.apply(events.slice(3));
    const blocks = own.rows.flatMap((row) => (row.type === 'block' ? [row.block] : []));
    expect(blocks).toEqual(blocksOf('a1', `${paragraph}really`).sealed);
    expect(before?.type === 'block' && before.block === blocks[0]).toBe(true);
  });

  it('a segment that is taken back is no row; an empty reasoning is none once it has ended', () => {
    const begun: NewEvent = {
      type: 'assistant.segment.started',
      ...place,
      payload: { messageId: 'a1', kind: 'reasoning' },
    };
    expect(fold(started(), begun).rows).toMatchObject([
      { type: 'reasoning', text: '', isOpen: true },
    ]);
    const ended: NewEvent = {
      type: 'assistant.segment.ended',
      ...place,
      payload: { messageId: 'a1', content: '', status: 'complete' },
    };
    expect(fold(started(), begun, ended).rows).toEqual([]);
    const discarded: NewEvent = {
      type: 'assistant.segment.discarded',
      ...place,
      payload: { messageId: 'a1', reason: 'retry' },
    };
    expect(fold(started(), ...text('a1', 'x'), discarded).rows).toEqual([]);
  });

  it('how long it took, where its end was seen', () => {
    const end: NewEvent = {
      type: 'tool.end',
      ...place,
      payload: { toolCallId: 'call-x1', status: 'ok', output: 'out' },
    };
    const seen = fold(started(), tool('x1'), end);
    expect(seen.rows[0]).toMatchObject({ type: 'tool', tookMs: 1_000 });
    expect(fold(started(), tool('x1')).rows[0]).toMatchObject({ tookMs: null });
    const loaded = new ConversationFold('c1');
    loaded.begin(seen.view);
    expect(loaded.rows[0]).toMatchObject({ tookMs: null });
    loaded.recall(stored([started(), tool('x1'), end]));
    expect(loaded.rows[0]).toMatchObject({ tookMs: 1_000 });
  });

  it('an approval stands in its tool’s row, answered or not; one of no tool by itself, where it was asked', () => {
    const own = fold(wrote('m1'), started(), tool('x1'), asked('p', 'call-x1'), answered('p'));
    expect(own.rows.slice(1)).toMatchObject([
      { type: 'tool', approval: { approvalId: 'p' }, answer: { decision: 'deny', by: 'user' } },
    ]);
    const alone = fold(wrote('m1'), started(), asked('p'), ...text('a1', 'after'), answered('p'));
    expect(alone.rows.map(({ key }) => key)).toEqual(['m1', 'approval.p', 'a1.0']);
    expect(alone.rows[1]).toMatchObject({ answer: { decision: 'deny' } });
    const early = fold(wrote('m1'), started(), asked('p', 'call-x1'));
    expect(keys(early.rows)).toEqual(['m1', 'approval.p']);
    early.apply(stored([tool('x1')], 3));
    expect(keys(early.rows)).toEqual(['m1', 'x1']);
    const loaded = new ConversationFold('c1');
    loaded.begin(fold(wrote('m1'), started(), asked('p')).view);
    expect(keys(loaded.rows)).toEqual(['m1', 'approval.p']);
    expect(loaded.rows[1]).toMatchObject({ answer: null });
  });

  it('of attempts the newest is shown, or the one that is chosen; both can be read side by side', () => {
    const events = [
      wrote('m1'),
      started(1),
      ...text('a1', 'first'),
      failed(1),
      started(2),
      ...text('a2', 'second', 2),
    ];
    const own = fold(...events);
    expect(keys(own.rows)).toEqual(['m1', 'a2.0', 'end.t1.2']);
    expect(own.rows.at(-1)).toMatchObject({ attempt: { outcome: null }, turn: { words: null } });
    own.showAttempt('t1', 1);
    expect(keys(own.rows)).toEqual(['m1', 'a1.0', 'end.t1.1']);
    expect(own.rows.at(-1)).toMatchObject({ attempt: { outcome: 'failed', cause: 'overloaded' } });
    own.showAttempt('t1', null);
    expect(keys(own.rows)).toEqual(['m1', 'a2.0', 'end.t1.2']);
    expect(keys(own.rowsOfAttempt('t1', 1))).toEqual(['a1.0', 'end.t1.1']);
    expect(own.rowsOfAttempt('t1', 1)).toBe(own.rowsOfAttempt('t1', 1));
    expect(own.rowsOfAttempt('t1', 2)[0]).toBe(own.rows[1]);
  });

  it('an attempt that has said nothing ends behind its prompt', () => {
    const own = fold(wrote('m1'), started(1), failed(1), wrote('m2', 't2'));
    expect(keys(own.rows)).toEqual(['m1', 'end.t1.1', 'm2']);
  });

  it.each<{ what: string; after: NewEvent[]; retryable: boolean }>([
    { what: 'that failed', after: [], retryable: true },
    {
      what: 'that waits',
      after: [
        {
          type: 'queue.changed',
          payload: {
            queue: [{ requestId: 'r2', turnId: 't1', content: '', position: 0, attempt: 2 }],
          },
        },
      ],
      retryable: false,
    },
    { what: 'that runs again', after: [started(2)], retryable: false },
    {
      what: 'whose prompt was cut',
      after: [{ type: 'history.cut', payload: { messageId: null, by: 'rollback' } }],
      retryable: false,
    },
    { what: 'while another runs', after: [started(1, 't2')], retryable: true },
  ])('a turn $what may be retried: $retryable', ({ after, retryable }) => {
    const own = fold(wrote('m1'), started(1), failed(1), ...after);
    own.showCut('cut.m1', true);
    own.showAttempt('t1', 1);
    expect(own.rows.find(({ key }) => key === 'end.t1.1')).toMatchObject({ turn: { retryable } });
  });

  it('what was partial is said so at the end of its attempt, and only of one that did not complete', () => {
    const open = text('a1', 'half').slice(0, 2);
    expect(fold(wrote('m1'), started(), ...open, failed()).rows.at(-1)).toMatchObject({
      isPartial: true,
      turn: { words: 'Too much.', outcome: 'failed' },
    });
    expect(fold(wrote('m1'), started(), ...text('a1', 'all'), failed()).rows.at(-1)).toMatchObject({
      isPartial: false,
    });
  });

  it('what was cut is one row, that opens', () => {
    const own = fold(
      wrote('m1'),
      wrote('m2', 't2'),
      wrote('m3', 't3'),
      { type: 'history.cut', payload: { messageId: 'm1', by: 'edit' } },
      wrote('m4', 't4'),
    );
    expect(own.rows.map((row) => [row.key, row.type === 'cut' ? row.count : 0])).toEqual([
      ['m1', 0],
      ['cut.m2', 2],
      ['m4', 0],
    ]);
    own.showCut('cut.m2', true);
    expect(keys(own.rows)).toEqual(['m1', 'cut.m2', 'm2', 'm3', 'm4']);
    expect(own.rows[1]).toMatchObject({ isOpen: true });
    own.showCut('cut.m2', false);
    expect(keys(own.rows)).toEqual(['m1', 'cut.m2', 'm4']);
  });

  it('notes stand where they happened', () => {
    const own = fold(
      {
        type: 'trigger.fired',
        requestId: 'of-m1',
        payload: {
          triggerId: 'g',
          title: 'Nightly',
          dueAt: '2026-01-01T00:00:00.000Z',
          outcome: 'fired',
          words: 'In time.',
        },
      },
      wrote('m1'),
      started(),
      ...text('a1', 'x'),
      { type: 'chat.attached', ...place, payload: { epoch: 2, host: 'h', cause: 'c' } },
      { type: 'chat.retrying', ...place, payload: { attempt: 1, delayMs: 12_000, status: '529' } },
      wrote('m2'),
      {
        type: 'chat.steered',
        turnId: 't1',
        requestId: 'of-m2',
        payload: { turnId: 't1', attempt: 1 },
      },
      {
        type: 'chat.steered',
        turnId: 't1',
        requestId: 'joined',
        payload: { turnId: 't1', attempt: 1 },
      },
      { type: 'notice', ...place, payload: { code: 'c', text: 'A notice.' } },
      { type: 'mail.expired', payload: { messageId: 'x', from: 'c9' } },
    );
    expect(
      own.rows.map((row) =>
        row.type === 'note' ? [row.note.kind, row.note.text, row.note.link] : row.key,
      ),
    ).toEqual([
      ['trigger', 'trigger “Nightly”: In time.', 'g'],
      'm1',
      'a1.0',
      ['attached', 'turn re-attached after 1.0 s', undefined],
      ['retrying', 'the provider tries again (529): attempt 1, in 12 s', undefined],
      'm2',
      ['steered', 'the running turn took this message in', undefined],
      ['notice', 'A notice.', undefined],
      ['agent', 'a message of an agent has expired before it was read', 'c9'],
    ]);
    const loaded = new ConversationFold('c1');
    loaded.begin(own.view);
    expect(keys(loaded.rows)).toEqual(['m1', 'a1.0', 'm2']);
    loaded.recall(
      stored([
        wrote('m1'),
        started(),
        ...text('a1', 'x'),
        { type: 'notice', ...place, payload: { code: 'c', text: 'A notice.' } },
      ]),
    );
    expect(keys(loaded.rows)).toEqual(['m1', 'a1.0', 'note.6', 'm2']);
    const { lastSeq } = own.view;
    loaded.apply(
      stored([{ type: 'notice', ...place, payload: { code: 'c', text: 'Now.' } }], lastSeq),
    );
    expect(keys(loaded.rows).at(-1)).toBe(`note.${lastSeq + 1}`);
  });

  it('2: a snapshot of the same changes no row, keeps older pages, and drops them where they may have been cut', () => {
    const events = stored([wrote('m1'), wrote('m2', 't2'), wrote('m3', 't3'), wrote('m4', 't4')]);
    const own = foldOf(events);
    const before = own.rows;
    const copy = (from: number, cut = false) => {
      const view = structuredClone(own.view);
      const messages = view.messages
        .slice(from)
        .map((each) => (cut ? { ...each, cut: true as const } : each));
      return { ...view, messages, hasOlder: from > 0 };
    };
    own.begin(copy(0));
    expect(own.rows).toBe(before);
    own.begin(copy(2));
    expect(own.rows).toBe(before);
    expect(own.view.hasOlder).toBe(false);
    own.begin(copy(2, true));
    expect(own.view.messages.map(({ messageId }) => messageId)).toEqual(['m3', 'm4']);
    expect(own.view.hasOlder).toBe(true);
  });

  it('what a snapshot has passed over of an attempt, the API tells, also when its end was seen', () => {
    const used = { inputTokens: 7, outputTokens: 3 };
    const log = stored([
      wrote('m1'),
      started(1),
      { type: 'usage', turnId: 't1', attempt: 1, payload: used },
      {
        type: 'chat.interrupted',
        turnId: 't1',
        attempt: 1,
        payload: { cause: 'process_lost', retryable: true, toolsStarted: 0 },
      },
    ]);
    const own = foldOf(log.slice(0, 2));
    own.begin(foldEvents(emptyView('c1'), log.slice(0, 3)));
    own.apply(log.slice(3));
    own.loadTurns(turnsOf(log));
    expect(own.rows.at(-1)).toMatchObject({ type: 'turn-end', attempt: { usage: used } });
  });

  it('turns of the API: what it knows of attempts that were not seen, and nothing of those that were', () => {
    const own = fold(wrote('m0', 't0'), wrote('m1'), started(2), failed(2));
    const attempt = {
      attempt: 1,
      requestId: 'r1',
      provider: 'p',
      model: null,
      outcome: 'failed' as const,
      cause: 'x',
      startedAt: '2026-01-01T00:00:00.000Z',
      endedAt: '2026-01-01T00:00:01.000Z',
      usage: { inputTokens: 1, outputTokens: 1, costUsd: 0.5 },
    };
    const turn = {
      turnId: 't1',
      conversationId: 'c1',
      requestId: 'r1',
      outcome: null,
      cause: null,
      startedAt: attempt.startedAt,
      endedAt: null,
      usage: null,
      attempts: [attempt, { ...attempt, attempt: 2, outcome: null, usage: null }],
    };
    own.loadTurns([turn]);
    const end = own.rows.find(({ key }) => key === 'end.t1.2');
    expect(end).toMatchObject({
      turn: {
        outcome: 'failed',
        words: 'Too much.',
        retryable: true,
        attempts: [
          { attempt: 1, cause: 'x' },
          { attempt: 2, cause: 'overloaded' },
        ],
        usage: { inputTokens: 1, outputTokens: 1, costUsd: 0.5 },
      },
    });
    own.loadTurns([structuredClone(turn)]);
    expect(own.rows.find(({ key }) => key === 'end.t1.2')).toBe(end);
  });
});

describe('conversation fold: the cost of a frame', () => {
  it('1: of a delta in 10,000 messages, all rows but the last are not looked at, and are the same', () => {
    const events = stored([
      ...Array.from({ length: 5_000 }, (_, n): NewEvent[] => [
        { ...wrote(`m${n}`, `t${n}`) },
        {
          type: 'message.copied',
          payload: {
            messageId: `b${n}`,
            role: 'assistant',
            kind: 'text',
            content: `answer ${n}`,
            status: 'complete',
            at: '2026-01-01T00:00:00.000Z',
          },
        },
      ]).flat(),
      started(),
      ...text('a1', 'x').slice(0, 2),
    ]);
    const own = foldOf(events);
    const before = own.rows;
    const { messages } = own.view;
    let looks = 0;
    // Whoever looks into a message of before is counted.
    for (const message of messages.slice(0, -1)) {
      const { messageId } = message;
      Object.defineProperty(message, 'messageId', { get: () => ((looks += 1), messageId) });
    }
    for (let n = 0; n < 50; n += 1)
      own.apply([
        {
          type: 'chat.delta',
          ...place,
          seq: events.length + 1 + n,
          at: '2026-01-01T00:00:00.000Z',
          payload: { messageId: 'a1', text: `word ${n} ` },
        },
      ]);
    expect(looks).toBe(0);
    expect(own.rows).toHaveLength(before.length);
    expect(own.rows.slice(0, -1).every((row, index) => row === before[index])).toBe(true);
    const last = own.rows.at(-1);
    expect(last?.type === 'block' && last.block.text.endsWith('word 49 ')).toBe(true);
  });
});
