import * as fc from 'fast-check';
import { Errors } from 'typebox/value';
import { describe, expect, it } from 'vitest';

import type { NewEvent } from '../../src/contracts/events.ts';
import {
  ConversationView,
  type ConversationViewValue,
  type MessageViewValue,
} from '../../src/contracts/view.ts';
import { applyToView, emptyView, foldEvents } from '../../src/domain/fold.ts';
import { chapters } from './chapters.ts';
import { deepFreeze } from './conversation-harness.ts';
import { lives } from './lives.ts';
import { chatStarted, place, stored } from './reports.ts';

const at = (seq: number) => new Date(Date.UTC(2026, 0, 1) + seq * 1_000).toISOString();

/** The view after `events`, each in its turn, on views that must not change. */
function viewAfter(...events: NewEvent[]): ConversationViewValue {
  return stored(events).reduce(
    (view, event) => deepFreeze(applyToView(view, event)),
    deepFreeze(emptyView('c1')),
  );
}

const started = (messageId: string, kind: 'text' | 'reasoning' = 'text'): NewEvent => ({
  type: 'assistant.segment.started',
  ...place,
  payload: { messageId, kind },
});
const delta = (messageId: string, text: string): NewEvent => ({
  type: 'chat.delta',
  ...place,
  payload: { messageId, text },
});
const segmentEnded = (
  messageId: string,
  content: string,
  status: 'complete' | 'partial' = 'complete',
): NewEvent => ({
  type: 'assistant.segment.ended',
  ...place,
  payload: { messageId, content, status },
});
const discarded = (messageId: string): NewEvent => ({
  type: 'assistant.segment.discarded',
  ...place,
  payload: { messageId, reason: 'retry' },
});
const tool = (toolCallId: string, messageId: string): NewEvent => ({
  type: 'tool.start',
  ...place,
  payload: { toolCallId, messageId, name: 'Bash', input: { command: 'ls' } },
});
const output = (toolCallId: string, text: string): NewEvent => ({
  type: 'tool.output',
  ...place,
  payload: { toolCallId, text },
});
const toolEnded = (toolCallId: string, text: string): NewEvent => ({
  type: 'tool.end',
  ...place,
  payload: { toolCallId, status: 'denied', output: text },
});
const asked = (approvalId: string, title = 'Run?'): NewEvent => ({
  type: 'approval.requested',
  ...place,
  payload: { approvalId, toolCallId: 'c', title, input: 1, options: ['allow', 'deny'] },
});
const resolved = (approvalId: string): NewEvent => ({
  type: 'approval.resolved',
  ...place,
  payload: { approvalId, decision: 'allow', by: 'user', at: at(0) },
});
const cancellingStep = (step: 'requested' | 'terminate' | 'sweep'): NewEvent => ({
  type: 'chat.cancelling',
  ...place,
  payload: { step },
});
const done: NewEvent = { type: 'chat.done', ...place, payload: {} };

const row = (
  seq: number,
  fields: Partial<MessageViewValue> & Pick<MessageViewValue, 'messageId'>,
): MessageViewValue => ({
  role: 'assistant',
  kind: 'text',
  turnId: 't1',
  attempt: 2,
  content: '',
  status: 'open',
  at: at(seq),
  ...fields,
});
const toolRow = (seq: number, fields: Partial<MessageViewValue>, status = 'running') =>
  row(seq, {
    messageId: 'm1',
    role: 'tool',
    kind: 'tool',
    tool: {
      toolCallId: 'c',
      name: 'Bash',
      input: { command: 'ls' },
      status: status as 'running',
    },
    ...fields,
  });

describe('fold: what each event does to the view', () => {
  it('of no events, a view is empty and well-formed', () => {
    expect(emptyView('c1')).toStrictEqual({
      conversationId: 'c1',
      tableId: null,
      title: '',
      archived: false,
      provider: '',
      model: null,
      workspacePath: '',
      state: 'idle',
      messages: [],
      activeTurn: null,
      overlays: {},
      queue: [],
      held: false,
      approvals: [],
      usage: { inputTokens: 0, outputTokens: 0 },
      hasOlder: false,
      lastSeq: 0,
    });
  });

  const item = { requestId: 'r', turnId: 't', content: 'x', position: 0, attempt: 1 };
  const activeTurn = {
    turnId: 't1',
    requestId: 'r1',
    attempt: 2,
    phase: 'waiting-for-model',
    startedAt: at(1),
    lastActivityAt: at(1),
  } as const;

  it.each<{ what: string; events: NewEvent[]; change: Partial<ConversationViewValue> }>([
    {
      what: 'a conversation is created',
      events: [
        {
          type: 'conversation.created',
          payload: {
            tableId: 'tb',
            title: 'T',
            provider: 'claude',
            model: 'big',
            workspacePath: '/w',
          },
        },
      ],
      change: { tableId: 'tb', title: 'T', provider: 'claude', model: 'big', workspacePath: '/w' },
    },
    {
      what: 'it is changed, field by field',
      events: [
        { type: 'conversation.updated', payload: { title: 'new', archived: true } },
        { type: 'conversation.updated', payload: { provider: 'codex', model: 'm' } },
        { type: 'conversation.updated', payload: { host: 'h1' } },
      ],
      change: { title: 'new', archived: true, provider: 'codex', model: 'm' },
    },
    {
      what: 'and changed back',
      events: [
        { type: 'conversation.updated', payload: { title: 'new', archived: true, model: 'm' } },
        { type: 'conversation.updated', payload: { title: '', archived: false, model: null } },
      ],
      change: {},
    },
    {
      what: 'the state is absolute',
      events: [{ type: 'conversation.state', payload: { state: 'cancelled' } }],
      change: { state: 'cancelled' },
    },
    {
      what: 'the queue is absolute',
      events: [
        { type: 'queue.changed', payload: { queue: [item, { ...item, position: 1 }] } },
        { type: 'queue.changed', payload: { queue: [item] } },
      ],
      change: { queue: [item] },
    },
    {
      what: 'messages are rows at once, in order',
      events: [
        {
          type: 'message.created',
          turnId: 't1',
          requestId: 'r1',
          payload: { messageId: 'm1', role: 'user', content: 'hello' },
        },
        { type: 'message.created', payload: { messageId: 'm2', role: 'system', content: 'note' } },
      ],
      change: {
        messages: [
          row(1, {
            messageId: 'm1',
            role: 'user',
            attempt: null,
            content: 'hello',
            status: 'complete',
          }),
          row(2, {
            messageId: 'm2',
            role: 'system',
            turnId: null,
            attempt: null,
            content: 'note',
            status: 'complete',
          }),
        ],
      },
    },
    { what: 'a turn starts', events: [chatStarted], change: { activeTurn } },
    {
      what: 'a turn without a request starts',
      events: [{ ...chatStarted, requestId: undefined } as unknown as NewEvent],
      change: { activeTurn: { ...activeTurn, requestId: null } },
    },
    {
      what: 'a start that names no turn is nothing',
      events: [{ type: 'chat.started', payload: { attempt: 1, provider: 'p', model: null } }],
      change: {},
    },
    {
      what: 'an open segment: an empty row, its text in the overlay',
      events: [started('m1', 'reasoning'), delta('m1', 'a'), delta('m1', 'b')],
      change: {
        messages: [row(1, { messageId: 'm1', kind: 'reasoning' })],
        overlays: { m1: 'ab' },
      },
    },
    {
      what: 'a segment without text has an overlay too',
      events: [started('m1')],
      change: { messages: [row(1, { messageId: 'm1' })], overlays: { m1: '' } },
    },
    {
      what: 'the end gives content and status, and takes the overlay',
      events: [
        started('m1'),
        delta('m1', 'a'),
        segmentEnded('m1', 'all'),
        started('m2'),
        segmentEnded('m2', 'pa', 'partial'),
      ],
      change: {
        messages: [
          row(1, { messageId: 'm1', content: 'all', status: 'complete' }),
          row(4, { messageId: 'm2', content: 'pa', status: 'partial' }),
        ],
      },
    },
    {
      what: 'a discard empties the row, open or ended',
      events: [
        started('m1'),
        delta('m1', 'a'),
        discarded('m1'),
        started('m2'),
        segmentEnded('m2', 'x'),
        discarded('m2'),
      ],
      change: {
        messages: [
          row(1, { messageId: 'm1', status: 'discarded' }),
          row(4, { messageId: 'm2', status: 'discarded' }),
        ],
      },
    },
    {
      what: 'deltas of what is not open are nothing, an inherited name too',
      events: [
        started('m1'),
        segmentEnded('m1', 'x'),
        delta('m1', 'late'),
        delta('constructor', 'y'),
      ],
      change: { messages: [row(1, { messageId: 'm1', content: 'x', status: 'complete' })] },
    },
    {
      what: 'the end of a row that this page does not hold is nothing',
      events: [started('m1'), segmentEnded('m0', 'x'), discarded('toString')],
      change: { messages: [row(1, { messageId: 'm1' })], overlays: { m1: '' } },
    },
    {
      what: 'a tool’s output gathers in its row',
      events: [tool('c', 'm1'), output('c', '1\n'), output('c', '2\n')],
      change: { messages: [toolRow(1, { content: '1\n2\n' })] },
    },
    {
      what: 'its end replaces the output and says how it went',
      events: [tool('c', 'm1'), output('c', '1\n'), toolEnded('c', 'all'), output('c', 'late')],
      change: { messages: [toolRow(1, { content: 'all', status: 'complete' }, 'denied')] },
    },
    {
      what: 'a call id that is used again means the newest row',
      events: [
        tool('c', 'm1'),
        toolEnded('c', '1'),
        tool('c', 'm2'),
        output('c', '2'),
        output('other', 'x'),
        toolEnded('other', 'x'),
      ],
      change: {
        messages: [
          toolRow(1, { content: '1', status: 'complete' }, 'denied'),
          toolRow(3, { messageId: 'm2', content: '2' }),
        ],
      },
    },
    {
      what: 'calls of other attempts and turns are other calls',
      events: [
        tool('c', 'm1'),
        { ...output('c', 'x'), attempt: 1 },
        { ...output('c', 'x'), turnId: 't0' },
        { ...toolEnded('c', 'x'), attempt: 3 },
      ],
      change: { messages: [toolRow(1, {})] },
    },
    {
      what: 'an approval is open until it is resolved; asked again, it is there once',
      events: [asked('p'), asked('q'), asked('p', 'Again?'), resolved('q')],
      change: {
        approvals: [
          {
            approvalId: 'p',
            turnId: 't1',
            toolCallId: 'c',
            title: 'Again?',
            input: 1,
            options: ['allow', 'deny'],
            at: at(3),
          },
        ],
      },
    },
    {
      what: 'an approval of no turn is nothing',
      events: [{ ...asked('p'), turnId: undefined } as unknown as NewEvent],
      change: {},
    },
    {
      what: 'usage adds up, a cost appears with the first',
      events: [
        { type: 'usage', ...place, payload: { inputTokens: 1, outputTokens: 2 } },
        { type: 'usage', ...place, payload: { inputTokens: 3, outputTokens: 4, costUsd: 0.5 } },
      ],
      change: { usage: { inputTokens: 4, outputTokens: 6, costUsd: 0.5 } },
    },
    {
      what: 'an unknown type is nothing',
      events: [{ type: 'agent.spawned', payload: {} } as unknown as NewEvent],
      change: {},
    },
    {
      what: 'receipts, notices and attachments leave no row',
      events: [
        { type: 'chat.queued', requestId: 'r', payload: { position: 0 } },
        { type: 'chat.rejected', requestId: 'r', payload: { code: 'busy' } },
        { type: 'notice', ...place, payload: { code: 'c', text: 't' } },
        { type: 'chat.attached', ...place, payload: { epoch: 2, host: 'h', cause: 'c' } },
        { type: 'chat.retrying', ...place, payload: { attempt: 1, delayMs: 1, status: '' } },
      ],
      change: {},
    },
  ])('$what', ({ events, change }) => {
    expect(viewAfter(...events)).toStrictEqual({
      ...emptyView('c1'),
      ...change,
      lastSeq: events.length,
    });
  });
});

describe('fold: the active turn', () => {
  it.each<{ what: string; events: NewEvent[]; phase: string; activeAt?: number }>([
    { what: 'started', events: [], phase: 'waiting-for-model' },
    { what: 'a segment is open', events: [started('m1'), delta('m1', 'x')], phase: 'streaming' },
    {
      what: 'the segment ended',
      events: [started('m1'), segmentEnded('m1', 'x')],
      phase: 'waiting-for-model',
    },
    {
      what: 'the segment was discarded',
      events: [started('m1'), discarded('m1')],
      phase: 'waiting-for-model',
    },
    { what: 'a tool runs', events: [tool('c', 'm1'), output('c', 'x')], phase: 'tool-running' },
    {
      what: 'a tool runs beside text',
      events: [tool('c', 'm1'), started('m2'), delta('m2', 'x')],
      phase: 'tool-running',
    },
    {
      what: 'one of two tools ended',
      events: [tool('c', 'm1'), tool('d', 'm2'), toolEnded('c', '')],
      phase: 'tool-running',
    },
    {
      what: 'the tool ended',
      events: [tool('c', 'm1'), toolEnded('c', '')],
      phase: 'waiting-for-model',
    },
    {
      what: 'the tool ended beside text',
      events: [tool('c', 'm1'), started('m2'), toolEnded('c', '')],
      phase: 'streaming',
    },
    {
      what: 'an approval is open',
      events: [tool('c', 'm1'), asked('p')],
      phase: 'waiting-for-approval',
    },
    {
      what: 'the approval was answered, the tool runs',
      events: [tool('c', 'm1'), asked('p'), resolved('p')],
      phase: 'tool-running',
    },
    {
      what: 'the approval was answered, nothing runs',
      events: [asked('p'), resolved('p')],
      phase: 'waiting-for-model',
    },
    { what: 'a cancel was asked for', events: [cancellingStep('requested')], phase: 'cancelling' },
    {
      what: 'a cancel stays',
      events: [
        started('m1'),
        cancellingStep('terminate'),
        segmentEnded('m1', 'x'),
        tool('c', 'm2'),
        cancellingStep('sweep'),
      ],
      phase: 'cancelling',
    },
    {
      what: 'a sweep alone is no cancel',
      events: [tool('c', 'm1'), cancellingStep('sweep')],
      phase: 'tool-running',
    },
    {
      what: 'a notice without an attempt is activity',
      events: [{ type: 'notice', turnId: 't1', payload: { code: '', text: '' } }],
      phase: 'waiting-for-model',
    },
    {
      what: 'chat.quiet is no activity',
      events: [
        {
          type: 'chat.quiet',
          ...place,
          payload: { phase: 'streaming', silentMs: 1, evidence: {} },
        },
      ],
      phase: 'waiting-for-model',
      activeAt: 1,
    },
    {
      what: 'events of other turns and attempts are none either',
      events: [
        { ...tool('c', 'm1'), turnId: 't0' },
        { ...tool('c', 'm1'), attempt: 1 },
        { type: 'conversation.state', payload: { state: 'processing' } },
      ],
      phase: 'waiting-for-model',
      activeAt: 1,
    },
  ])('$what: $phase', ({ events, phase, activeAt }) => {
    expect(viewAfter(chatStarted, ...events).activeTurn).toStrictEqual({
      turnId: 't1',
      requestId: 'r1',
      attempt: 2,
      phase,
      startedAt: at(1),
      lastActivityAt: at(activeAt ?? events.length + 1),
    });
  });

  it('rows without an attempt in between hide no open tool', () => {
    const note: NewEvent = {
      type: 'message.created',
      payload: { messageId: 'n', role: 'system', content: 'note' },
    };
    const view = viewAfter(
      chatStarted,
      tool('c', 'm1'),
      note,
      started('m2'),
      segmentEnded('m2', ''),
    );
    expect(view.activeTurn?.phase).toBe('tool-running');
  });

  it.each([
    { turnId: 't1', attempt: 1 },
    { turnId: 't0', attempt: 2 },
  ])('open rows of attempt $turnId.$attempt are not this one’s', (earlier) => {
    const view = viewAfter(
      { ...tool('c', 'm0'), ...earlier },
      chatStarted,
      started('m1'),
      segmentEnded('m1', ''),
    );
    expect(view.activeTurn?.phase).toBe('waiting-for-model');
  });

  it.each<NewEvent>([
    done,
    { type: 'chat.error', ...place, payload: { code: 'c', message: 'm' } },
    { type: 'chat.cancelled', ...place, payload: { by: 'user' } },
    { type: 'chat.interrupted', ...place, payload: { cause: 'c', retryable: true } },
  ])('$type ends it, and with it its approvals and whatever is open', (end) => {
    const before = [
      chatStarted,
      { ...asked('other'), turnId: 't0' },
      asked('p'),
      tool('c', 'm1'),
      output('c', 'so far'),
      started('m2'),
      delta('m2', 'part'),
    ];
    const view = viewAfter(...before, end);
    expect(view).toMatchObject({ activeTurn: null, overlays: {}, lastSeq: 8 });
    expect(view.approvals.map(({ approvalId }) => approvalId)).toEqual(['other']);
    expect(view.messages).toStrictEqual([
      toolRow(4, { content: 'so far', status: 'partial' }, 'error'),
      row(6, { messageId: 'm2', content: 'part', status: 'partial' }),
    ]);
  });

  it('an open row whose overlay is missing ends as empty', () => {
    const view = { ...viewAfter(chatStarted, started('m1')), overlays: {} };
    expect(applyToView(view, { ...done, seq: 3, at: at(3) }).messages).toStrictEqual([
      row(2, { messageId: 'm1', status: 'partial' }),
    ]);
  });

  it.each<{ what: string; end: NewEvent }>([
    {
      what: 'a queued send that was removed',
      end: { type: 'chat.cancelled', turnId: 't1', requestId: 'r9', payload: { by: 'user' } },
    },
    { what: 'another turn', end: { ...done, turnId: 't0' } },
    { what: 'an earlier attempt', end: { ...done, attempt: 1 } },
  ])('4: the end of $what ends nothing here', ({ end }) => {
    const view = viewAfter(chatStarted, started('m1'), asked('p'), end);
    expect(view.activeTurn).not.toBeNull();
    expect(view.overlays).toStrictEqual({ m1: '' });
    expect(view.approvals).toHaveLength(1);
  });

  it('an end with nothing running is nothing', () => {
    expect(viewAfter(done)).toStrictEqual({ ...emptyView('c1'), lastSeq: 1 });
  });
});

describe('fold: history', () => {
  const wrote = (messageId: string): NewEvent => ({
    type: 'message.created',
    payload: { messageId, role: 'user', content: messageId },
  });
  const cut = (messageId: string | null): NewEvent => ({
    type: 'history.cut',
    payload: { messageId, by: 'rollback' },
  });
  const marks = ({ messages }: ConversationViewValue) =>
    messages.map((message) => `${message.messageId}${message.cut === true ? '-' : ''}`).join(' ');
  const three = [wrote('a'), wrote('b'), wrote('c')];

  it('a cut marks the rows after its message, null all of them; what comes later is not cut', () => {
    expect(marks(viewAfter(...three, cut('b')))).toBe('a b c-');
    expect(marks(viewAfter(...three, cut('c')))).toBe('a b c');
    expect(marks(viewAfter(...three, cut(null)))).toBe('a- b- c-');
    expect(marks(viewAfter(...three, cut('a'), wrote('d'), cut('a')))).toBe('a b- c- d-');
    expect(marks(viewAfter(...three, cut('a'), wrote('d')))).toBe('a b- c- d');
    expect(viewAfter(...three, cut('b')).messages[2]).toStrictEqual({
      ...viewAfter(...three).messages[2],
      cut: true,
    });
  });

  it('2: rows that were cut already, and those before, are the same as before', () => {
    const before = viewAfter(...three, cut('b'));
    const after = applyToView(before, { ...cut('a'), seq: 5, at: at(5) });
    expect(after.messages[0]).toBe(before.messages[0]);
    expect(after.messages[2]).toBe(before.messages[2]);
    const nothing = applyToView(before, { ...cut('b'), seq: 5, at: at(5) });
    expect(nothing.messages).toBe(before.messages);
  });

  it('5: a message that a page does not show is older than the page; in a whole view it is nowhere', () => {
    const view = viewAfter(...three);
    const event = { ...cut('older'), seq: 4, at: at(4) };
    expect(marks(applyToView({ ...view, hasOlder: true }, event))).toBe('a- b- c-');
    expect(marks(applyToView(view, event))).toBe('a b c');
  });

  it('a row that is cut while it is open stays cut when it closes', () => {
    const view = viewAfter(
      chatStarted,
      started('m1'),
      delta('m1', 'x'),
      tool('c', 'm2'),
      cut(null),
      segmentEnded('m1', 'x'),
      toolEnded('c', 'out'),
      started('m3'),
    );
    expect(marks(view)).toBe('m1- m2- m3');
    expect(view.messages).toMatchObject([{ content: 'x' }, { content: 'out' }, {}]);
  });

  it('L4 a row keeps the mail that it is, made and copied; a mailbox changes no view', () => {
    const mail = [
      { messageId: 'x', from: 'c0', kind: 'message' as const },
      { messageId: 'y', from: null, kind: 'recovery' as const },
    ];
    const message = { messageId: 'm1', role: 'user' as const, content: 'hello', mail };
    const copied = {
      ...message,
      messageId: 'm2',
      kind: 'text' as const,
      status: 'complete' as const,
      at: at(0),
    };
    const before = viewAfter(
      { type: 'message.created', payload: message },
      { type: 'message.copied', payload: copied },
    );
    expect(before.messages.map((shown) => shown.mail)).toStrictEqual([mail, mail]);
    expect([...Errors(ConversationView, before)]).toStrictEqual([]);
    const [row1] = mail;
    const after = viewAfter(
      { type: 'message.created', payload: message },
      { type: 'message.copied', payload: copied },
      { type: 'mail.accepted', payload: { messageId: 'z', from: 'c0', kind: 'task', content: '' } },
      { type: 'mail.expired', payload: { messageId: 'z', from: row1?.from ?? null } },
      { type: 'mail.again', payload: { messageId: 'z', from: 'c0', sending: 2 } },
    );
    expect(after).toStrictEqual({ ...before, lastSeq: 5 });
  });

  it('a copied row has its own time, and is of no turn', () => {
    const payload = {
      messageId: 'm',
      role: 'assistant' as const,
      kind: 'text' as const,
      content: 'old',
      status: 'partial' as const,
      at: at(-9),
    };
    const copied: NewEvent = { type: 'message.copied', payload };
    const toolView = { toolCallId: 'c', name: 'Bash', input: 1, status: 'ok' as const };
    const copiedTool: NewEvent = {
      type: 'message.copied',
      payload: { ...payload, messageId: 't', role: 'tool', kind: 'tool', tool: toolView },
    };
    expect(viewAfter(copied, copiedTool).messages).toStrictEqual([
      { ...payload, turnId: null, attempt: null },
      { ...copiedTool.payload, turnId: null, attempt: null },
    ]);
  });

  it('a queue is held until it says otherwise, or is empty', () => {
    const item = { requestId: 'r', turnId: 't', content: '', position: 0, attempt: 1 };
    const changed = (count: number, held?: boolean): NewEvent => ({
      type: 'queue.changed',
      payload: {
        queue: Array.from({ length: count }, () => item),
        ...(held === undefined ? {} : { held }),
      },
    });
    const isHeld = (...events: NewEvent[]) => viewAfter(...events).held;
    expect(isHeld(changed(1))).toBe(false);
    expect(isHeld(changed(1, true), changed(2))).toBe(true);
    expect(isHeld(changed(1, true), changed(1, false))).toBe(false);
    expect(isHeld(changed(0, true))).toBe(false);
    expect(isHeld(changed(1, true), changed(0), changed(1))).toBe(false);
  });

  it('a message that was taken in by the running turn is a sign of its life', () => {
    const steered: NewEvent = {
      type: 'chat.steered',
      ...place,
      requestId: 'r2',
      payload: { turnId: 't1', attempt: 2 },
    };
    const view = viewAfter(chatStarted, steered);
    expect(view).toStrictEqual({
      ...viewAfter(chatStarted),
      activeTurn: { ...viewAfter(chatStarted).activeTurn, lastActivityAt: at(2) },
      lastSeq: 2,
    });
  });
});

describe('fold: views and time', () => {
  const events = stored([chatStarted, started('m1'), delta('m1', 'x')]);

  it('1: events that are known change nothing, and give back the same view', () => {
    const view = foldEvents(emptyView('c1'), events);
    for (const event of events) expect(applyToView(view, event)).toBe(view);
    expect(foldEvents(view, events)).toBe(view);
    expect(foldEvents(view, [])).toBe(view);
    expect(foldEvents(foldEvents(emptyView('c1'), events.slice(0, 2)), events)).toStrictEqual(view);
  });

  it('1: an event that comes twice in one batch counts once', () => {
    const twice = events.flatMap((event) => [event, event]);
    expect(foldEvents(emptyView('c1'), twice)).toStrictEqual(foldEvents(emptyView('c1'), events));
  });

  it('a gap is no obstacle: compacted deltas are not missed', () => {
    const [first, second] = events;
    const view = foldEvents(
      emptyView('c1'),
      [first, second].filter((event) => event !== undefined),
    );
    const ended = { ...segmentEnded('m1', 'whole'), seq: 9, at: at(9) };
    expect(applyToView(view, ended)).toMatchObject({
      lastSeq: 9,
      messages: [{ content: 'whole' }],
    });
  });

  it('2: a delta shares all rows with the view before; rows that did not change are the same', () => {
    const before = foldEvents(emptyView('c1'), events);
    const next = applyToView(before, { ...delta('m1', 'y'), seq: 4, at: at(4) });
    expect(next.messages).toBe(before.messages);
    expect(next.overlays).toStrictEqual({ m1: 'xy' });
    const after = applyToView(next, { ...started('m2'), seq: 5, at: at(5) });
    expect(after.messages[0]).toBe(before.messages[0]);
    expect(after.overlays).toStrictEqual({ m1: 'xy', m2: '' });
    expect(before.overlays).toStrictEqual({ m1: 'x' });
    const elsewhere = { ...segmentEnded('m0', 'old'), seq: 6, at: at(6) };
    expect(applyToView(after, elsewhere).overlays).toBe(after.overlays);
  });
});

describe('fold: properties', () => {
  const cuts = fc.array(fc.nat(300), { maxLength: 4 });

  it('1, 2, L4: any log in any pieces, snapshots carried as JSON, is the whole log folded', () => {
    fc.assert(
      fc.property(chapters, cuts, (log, chosen) => {
        const whole = foldEvents(deepFreeze(emptyView('c1')), deepFreeze(log));
        const one = log.reduce(
          (view, event) => deepFreeze(applyToView(view, event)),
          emptyView('c1'),
        );
        expect(one).toStrictEqual(whole);
        let pieced = emptyView('c1');
        let from = 0;
        for (const cut of [...chosen.toSorted((a, b) => a - b), log.length]) {
          // What was seen already comes again, as it does after a reconnect.
          pieced = foldEvents(deepFreeze(pieced), log.slice(Math.max(0, from - 3), cut));
          pieced = JSON.parse(JSON.stringify(pieced)) as ConversationViewValue;
          from = Math.max(from, cut);
        }
        expect(pieced).toEqual(whole);
      }),
      { numRuns: 60 },
    );
  });

  it('5, L4: a page, joined at any moment, becomes the same page of the whole', () => {
    fc.assert(
      fc.property(chapters, fc.nat(300), fc.nat(20), (log, join, size) => {
        const then = foldEvents(emptyView('c1'), log.slice(0, join));
        // As a snapshot does: back to the oldest that is open.
        const open = then.messages.findIndex(({ status }) => status === 'open');
        const newest = Math.max(0, then.messages.length - size);
        const from = open === -1 ? newest : Math.min(open, newest);
        const page = { ...then, messages: then.messages.slice(from), hasOlder: from > 0 };
        const whole = foldEvents(then, log);
        const joined = foldEvents(deepFreeze(page), log);
        expect(joined).toStrictEqual({
          ...whole,
          messages: whole.messages.slice(from),
          hasOlder: from > 0,
        });
      }),
      { numRuns: 200 },
    );
  });

  it('every view has the shape of its contract; overlays belong to open rows; nothing is open between turns', () => {
    fc.assert(
      fc.property(lives, fc.nat(300), (log, cut) => {
        const view = foldEvents(emptyView('c1'), log.slice(0, cut));
        expect(Errors(ConversationView, view)).toEqual([]);
        const open = view.messages.filter(({ status }) => status === 'open');
        expect(Object.keys(view.overlays)).toEqual(
          open.filter(({ role }) => role === 'assistant').map(({ messageId }) => messageId),
        );
        expect(view.activeTurn !== null || (open.length === 0 && view.approvals.length === 0)).toBe(
          true,
        );
        expect(open.every(({ content, role }) => role === 'tool' || content === '')).toBe(true);
        const ids = view.messages.map(({ messageId }) => messageId);
        expect(new Set(ids).size).toBe(ids.length);
      }),
      { numRuns: 60 },
    );
  });
});
