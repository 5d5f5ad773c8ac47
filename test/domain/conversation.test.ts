import * as fc from 'fast-check';
import { describe, expect, it } from 'vitest';

import type { NewEvent, QueueItemValue } from '../../src/contracts/events.ts';
import { isId } from '../../src/contracts/ids.ts';
import {
  PROMPT_LIMIT_BYTES,
  QUEUE_LIMIT,
  QUEUE_LIMIT_BYTES,
  RECENT_REQUESTS,
} from '../../src/contracts/limits.ts';
import {
  apply,
  type Command,
  type CommandSignal,
  type ConversationModel,
  decide,
  describe as inWords,
  type DecisionContext,
  newConversation,
  parseApprovalSignal,
  parseSignal,
  refuseContent,
  type Replaced,
  retryRequestId,
  utf8Bytes,
} from '../../src/domain/conversation.ts';
import { deepFreeze } from './conversation-harness.ts';

const now = '2026-11-21T10:00:00.000Z';
const context = { now, turnId: 'new-turn', messageId: 'new-message' };

const idle = newConversation({ conversationId: 'c1', provider: 'scripted', model: 'small' });
const turn = {
  turnId: 't1',
  attempt: 1,
  requestId: 'r1',
  startedAt: '2026-11-21T09:00:00.000Z',
  cancelRequested: false,
};
const processing: ConversationModel = { ...idle, state: 'processing', turn, recent: ['r1'] };
const cancelling: ConversationModel = {
  ...processing,
  state: 'cancelled',
  turn: { ...turn, cancelRequested: true },
};
const waiting: QueueItemValue = {
  requestId: 'r2',
  turnId: 't2',
  content: 'second',
  position: 0,
  attempt: 1,
};
const busy: ConversationModel = { ...processing, queue: [waiting], recent: ['r1', 'r2'] };

const send = (fields: Partial<Extract<Command, { type: 'send' }>> = {}): Command => ({
  type: 'send',
  requestId: 'r9',
  content: 'hello',
  whenBusy: 'queue',
  ...fields,
});
const cancel = (turnId: string | null = null): Command => ({ type: 'cancel', turnId, by: 'user' });
const ended = (turnId = 't1', attempt = 1): Command => ({ type: 'turn.ended', turnId, attempt });
const retry = (
  outcome: 'completed' | 'failed' | 'cancelled' | 'interrupted' | null,
  requestId: string | null = 'r9',
): Extract<Command, { type: 'retry' }> => ({
  type: 'retry',
  turnId: 't0',
  requestId,
  turn: { lastAttempt: 1, outcome, content: 'first' },
});

const decideOn = (
  model: ConversationModel,
  command: Command,
  more: Partial<DecisionContext> = {},
) => decide(deepFreeze(model), command, { ...context, ...more });

const startedEvents = (
  scope: { turnId: string; attempt: number; requestId: string },
  content: string | null,
  messageId = 'new-message',
): NewEvent[] => [
  ...(content === null
    ? []
    : [
        {
          type: 'message.created' as const,
          turnId: scope.turnId,
          requestId: scope.requestId,
          payload: { messageId, role: 'user' as const, content },
        },
      ]),
  {
    type: 'chat.started',
    ...scope,
    payload: { attempt: scope.attempt, provider: 'scripted', model: 'small' },
  },
];
const state = (name: 'idle' | 'processing' | 'cancelled'): NewEvent => ({
  type: 'conversation.state',
  payload: { state: name },
});
const rejection = (kind: 'send' | 'retry', code: string, requestId = 'r9') => ({
  key: `request:${requestId}`,
  events: [{ type: 'chat.rejected', requestId, payload: { code } }],
  request: { requestId, kind, status: 'rejected', turnId: null, attempt: 1, code },
  effects: [],
});
const cancellingEvents = (by: string): NewEvent[] => [
  {
    type: 'chat.cancelling',
    turnId: 't1',
    attempt: 1,
    requestId: 'r1',
    payload: { step: 'requested', by },
  },
  state('cancelled'),
];
const stop = (by: string) => ({ type: 'stop', turnId: 't1', attempt: 1, by });

const queuedAt = (n: number): NewEvent => ({
  type: 'chat.queued',
  turnId: 'new-turn',
  requestId: 'r9',
  payload: { position: n },
});
const item = (n: number, more: Partial<QueueItemValue> = {}): QueueItemValue => ({
  requestId: 'r9',
  turnId: 'new-turn',
  content: 'hello',
  attempt: 1,
  at: now,
  ...more,
  position: n,
});
const queued = (n: number) => ({
  requestId: 'r9',
  kind: 'send',
  status: 'queued',
  turnId: 'new-turn',
  attempt: 1,
  position: n,
});
const queueChanged = (...queue: QueueItemValue[]): NewEvent => ({
  type: 'queue.changed',
  payload: { queue },
});

/** What the store knows of the message that a send replaces. */
function replaced(more: Partial<Replaced> = {}): Replaced {
  return { messageId: 'm5', found: true, previousMessageId: 'm4', ...more };
}
const notice: NewEvent = {
  type: 'notice',
  turnId: 'new-turn',
  requestId: 'r9',
  payload: { code: 'steer_queued', text: expect.stringContaining('waits') as string },
};
const cut = (messageId: string | null, scope: { turnId: string; requestId: string }): NewEvent => ({
  type: 'history.cut',
  ...scope,
  payload: { messageId, by: 'edit' },
});

const queueOf = (count: number, content: string): QueueItemValue[] =>
  Array.from({ length: count }, (_, index) => ({
    requestId: `w${index}`,
    turnId: `w${index}`,
    content,
    attempt: 1,
    position: index,
  }));

/** A model in which attempt `attempt` of t0 runs. */
const runningRetry = (attempt: number): ConversationModel => ({
  ...processing,
  turn: { ...turn, turnId: 't0', attempt },
});

describe('conversation: send', () => {
  it('A1: idle, it starts at once', () => {
    const scope = { turnId: 'new-turn', attempt: 1, requestId: 'r9' };
    expect(decideOn(idle, send())).toStrictEqual({
      key: 'request:r9',
      events: [...startedEvents(scope, 'hello'), state('processing')],
      request: { kind: 'send', status: 'started', ...scope },
      effects: [{ type: 'run', turnId: 'new-turn', attempt: 1 }],
    });
  });

  it.each(['queue', 'reject', 'interrupt', 'steer'] as const)(
    'idle, %s starts it too',
    (whenBusy) => {
      expect(decideOn(idle, send({ whenBusy }))).toMatchObject({
        request: { status: 'started' },
        effects: [{ type: 'run' }],
      });
    },
  );

  it.each([
    ['processing', processing],
    ['cancelled', cancelling],
  ] as const)('%s, it waits at the end of the queue (S2)', (_state, model) => {
    const withOne = { ...model, queue: [waiting] };
    expect(decideOn(withOne, send())).toStrictEqual({
      key: 'request:r9',
      events: [queuedAt(1), queueChanged(waiting, item(1))],
      request: queued(1),
      effects: [],
    });
  });

  it('steer waits too, marked, and is offered to the running turn', () => {
    expect(decideOn(busy, send({ whenBusy: 'steer' }))).toStrictEqual({
      key: 'request:r9',
      events: [queuedAt(1), queueChanged(waiting, item(1, { steer: true }))],
      request: queued(1),
      effects: [{ type: 'steer', turnId: 't1', attempt: 1, requestId: 'r9', content: 'hello' }],
    });
  });

  it.each<[string, ConversationModel, Partial<Extract<Command, { type: 'send' }>>]>([
    ['the turn is being cancelled', { ...cancelling, queue: [waiting] }, {}],
    ['it replaces an earlier message', busy, { replaces: replaced() }],
  ])('steer waits unmarked, and says so, where %s', (_why, model, more) => {
    const replaces = more.replaces === undefined ? {} : { replaces: 'm5' };
    expect(decideOn(model, send({ whenBusy: 'steer', ...more }))).toStrictEqual({
      key: 'request:r9',
      events: [queuedAt(1), queueChanged(waiting, item(1, replaces)), notice],
      request: queued(1),
      effects: [],
    });
  });

  it('interrupt goes to the front, keeps the rest, and asks for the running turn to be cancelled (C1)', () => {
    expect(decideOn(busy, send({ whenBusy: 'interrupt' }))).toStrictEqual({
      key: 'request:r9',
      events: [
        queuedAt(0),
        queueChanged(item(0, { now: true }), { ...waiting, position: 1 }),
        ...cancellingEvents('interrupt'),
      ],
      request: queued(0),
      effects: [stop('interrupt')],
    });
  });

  it('interrupt of a turn that is being cancelled already only goes to the front', () => {
    const model = { ...cancelling, queue: [waiting] };
    expect(decideOn(model, send({ whenBusy: 'interrupt' }))).toStrictEqual({
      key: 'request:r9',
      events: [queuedAt(0), queueChanged(item(0, { now: true }), { ...waiting, position: 1 })],
      request: queued(0),
      effects: [],
    });
  });

  it('edit and resend: the cut and the new message are one decision', () => {
    const scope = { turnId: 'new-turn', attempt: 1, requestId: 'r9' };
    const [message, ...rest] = startedEvents(scope, 'hello');
    for (const previousMessageId of ['m4', null])
      expect(
        decideOn(idle, send({ replaces: replaced({ previousMessageId }) }))?.events,
      ).toStrictEqual([
        cut(previousMessageId, { turnId: 'new-turn', requestId: 'r9' }),
        message,
        ...rest,
        state('processing'),
      ]);
  });

  it('what replaces a message that is not there, or cut already, is refused, and changes nothing', () => {
    for (const model of [idle, busy])
      expect(decideOn(model, send({ replaces: replaced({ found: false }) }))).toStrictEqual(
        rejection('send', 'not_found'),
      );
  });

  it('while something runs, what it replaces waits with it', () => {
    expect(decideOn(processing, send({ replaces: replaced() }))?.events[1]).toStrictEqual(
      queueChanged(item(0, { replaces: 'm5' })),
    );
  });

  it('the first message makes a title, and only that', () => {
    const untitled = { ...idle, titled: false };
    const updated = { type: 'conversation.updated', payload: { title: 'hello' } };
    expect(decideOn(untitled, send())?.events.at(-1)).toStrictEqual(updated);
    expect(
      decideOn(
        { ...untitled, queue: [waiting], held: true },
        { type: 'queue.hold', commandId: 'k1', held: false },
      )?.events.at(-1),
    ).toStrictEqual({ ...updated, payload: { title: 'second' } });
    expect(decideOn(untitled, retry('failed'))?.events).not.toContainEqual(updated);
  });

  it('reject is refused as busy', () => {
    expect(decideOn(processing, send({ whenBusy: 'reject' }))).toStrictEqual(
      rejection('send', 'busy'),
    );
  });

  it.each([
    ['idle', idle],
    ['processing', processing],
  ] as const)('%s, a prompt of nothing and one over the limit are refused', (_state, model) => {
    expect(decideOn(model, send({ content: ' \n\t' }))).toStrictEqual(
      rejection('send', 'invalid_request'),
    );
    const tooLong = 'x'.repeat(PROMPT_LIMIT_BYTES + 1);
    expect(decideOn(model, send({ content: tooLong }))).toStrictEqual(
      rejection('send', 'payload_too_large'),
    );
    expect(decideOn(model, send({ content: tooLong.slice(1) }))).not.toMatchObject({
      request: { status: 'rejected' },
    });
  });

  it('W2: the queue ends at its count', () => {
    const nearly = { ...processing, queue: queueOf(QUEUE_LIMIT - 1, 'x') };
    expect(decideOn(nearly, send())).toMatchObject({ request: queued(QUEUE_LIMIT - 1) });
    const full = { ...processing, queue: queueOf(QUEUE_LIMIT, 'x') };
    for (const whenBusy of ['queue', 'interrupt', 'steer'] as const)
      expect(decideOn(full, send({ whenBusy }))).toStrictEqual(rejection('send', 'queue_full'));
  });

  it('W2: the queue ends at its bytes, exactly', () => {
    const part = 'é'.repeat(PROMPT_LIMIT_BYTES / 2);
    const queue = queueOf(QUEUE_LIMIT_BYTES / PROMPT_LIMIT_BYTES - 1, part);
    const model = { ...processing, queue };
    expect(decideOn(model, send({ content: part }))).toMatchObject({
      request: { status: 'queued' },
    });
    const oneLess = { ...model, queue: [...queue, ...queueOf(1, 'x')] };
    expect(decideOn(oneLess, send({ content: part }))).toStrictEqual(
      rejection('send', 'queue_full'),
    );
  });

  it.each<[string, ConversationModel]>([
    ['recent', { ...idle, recent: ['r9'] }],
    ['running', { ...processing, turn: { ...turn, requestId: 'r9' }, recent: [] }],
    ['waiting', { ...processing, queue: [{ ...waiting, requestId: 'r9' }], recent: [] }],
  ])('A2: a %s request is not decided again', (_where, model) => {
    expect(decideOn(model, send())).toBeNull();
    expect(decideOn(model, send({ content: '' }))).toBeNull();
    expect(decideOn(model, retry('failed'))).toBeNull();
    expect(decideOn(model, { ...retry('failed'), turn: null })).toBeNull();
  });
});

describe('conversation: cancel', () => {
  it.each([null, 't1'])('the running turn (named %s) is asked to stop', (turnId) => {
    expect(decideOn(processing, cancel(turnId))).toStrictEqual({
      key: 'cancel:t1.1',
      events: cancellingEvents('user'),
      request: null,
      effects: [stop('user')],
    });
  });

  it('a turn without a request is cancelled without one', () => {
    const model = { ...processing, turn: { ...turn, requestId: null } };
    expect(decideOn(model, cancel())?.events[0]).toStrictEqual({
      type: 'chat.cancelling',
      turnId: 't1',
      attempt: 1,
      payload: { step: 'requested', by: 'user' },
    });
  });

  it.each<{ what: string; model: ConversationModel; turnId: string | null }>([
    { what: 'nothing runs', model: idle, turnId: null },
    { what: 'that turn does not run', model: processing, turnId: 't2' },
    { what: 'that turn only waits', model: busy, turnId: 't2' },
    { what: 'it was asked already', model: cancelling, turnId: null },
    { what: 'it was asked already, by name', model: cancelling, turnId: 't1' },
  ])('is nothing where $what', ({ model, turnId }) => {
    expect(decideOn(model, cancel(turnId))).toBeNull();
  });
});

describe('conversation: retry', () => {
  it.each(['failed', 'cancelled', 'interrupted'] as const)(
    'of a %s turn starts its next attempt',
    (outcome) => {
      const scope = { turnId: 't0', attempt: 2, requestId: 'r9' };
      expect(decideOn(idle, retry(outcome))).toStrictEqual({
        key: 'request:r9',
        events: [...startedEvents(scope, null), state('processing')],
        request: { kind: 'retry', status: 'started', ...scope },
        effects: [{ type: 'run', turnId: 't0', attempt: 2 }],
      });
    },
  );

  it('waits at the end of the queue where another turn runs', () => {
    expect(decideOn(busy, retry('failed'))).toStrictEqual({
      key: 'request:r9',
      events: [
        { type: 'chat.queued', turnId: 't0', requestId: 'r9', payload: { position: 1 } },
        {
          type: 'queue.changed',
          payload: {
            queue: [
              waiting,
              { requestId: 'r9', turnId: 't0', content: 'first', attempt: 2, at: now, position: 1 },
            ],
          },
        },
      ],
      request: {
        requestId: 'r9',
        kind: 'retry',
        status: 'queued',
        turnId: 't0',
        attempt: 2,
        position: 1,
      },
      effects: [],
    });
  });

  it('of the turn that has just ended, before the conversation was told, waits for that', () => {
    const command = { ...retry('failed'), turnId: 't1' };
    expect(decideOn(processing, command)).toMatchObject({
      request: { status: 'queued', turnId: 't1', attempt: 2 },
    });
  });

  it.each(['completed', null] as const)('of a turn with outcome %s is refused', (outcome) => {
    expect(decideOn(idle, retry(outcome))).toStrictEqual(rejection('retry', 'not_retryable'));
  });

  it('of a turn whose prompt was cut from the history is refused', () => {
    const { turn: known } = retry('failed');
    const command = { ...retry('failed'), turn: known === null ? null : { ...known, cut: true } };
    expect(decideOn(idle, command)).toStrictEqual(rejection('retry', 'not_retryable'));
  });

  it('of a turn whose retry waits is refused', () => {
    const model = { ...processing, queue: [{ ...waiting, turnId: 't0', attempt: 2 }] };
    expect(decideOn(model, retry('failed'))).toStrictEqual(rejection('retry', 'not_retryable'));
  });

  it('of a turn whose next attempt runs already, by what the store said before, is refused', () => {
    expect(decideOn(runningRetry(2), retry('failed'))).toStrictEqual(
      rejection('retry', 'not_retryable'),
    );
    expect(decideOn(runningRetry(3), retry('failed'))).toStrictEqual(
      rejection('retry', 'not_retryable'),
    );
    expect(decideOn(runningRetry(1), retry('failed'))).toMatchObject({
      request: { status: 'queued' },
    });
  });

  it('of a turn that the store does not know is refused', () => {
    const command = { ...retry('failed'), turn: null };
    expect(decideOn(idle, command)).toStrictEqual(rejection('retry', 'not_found'));
  });

  it('W2: is refused where the queue is full', () => {
    const queue = Array.from({ length: QUEUE_LIMIT }, (_, position) => ({ ...waiting, position }));
    expect(decideOn({ ...processing, queue }, retry('failed'))).toStrictEqual(
      rejection('retry', 'queue_full'),
    );
  });

  it('without a requestId, waits behind a turn that has none either', () => {
    const model = { ...processing, turn: { ...turn, requestId: null } };
    expect(decideOn(model, retry('failed', null))).toMatchObject({ request: { status: 'queued' } });
  });

  it('A2: without a requestId, the same end is retried once', () => {
    const requestId = retryRequestId('t0', 2);
    expect(decideOn(idle, retry('failed', null))).toMatchObject({
      key: `request:${requestId}`,
      request: { requestId, status: 'started' },
    });
    expect(decideOn({ ...idle, recent: [requestId] }, retry('failed', null))).toBeNull();
  });

  it.each(['completed', null] as const)(
    'without a requestId, a refusal (outcome %s) does not answer for the retry of the coming end',
    (outcome) => {
      const refusal = decideOn(idle, retry(outcome, null));
      expect(refusal).toStrictEqual(rejection('retry', 'not_retryable', 'new-turn'));
      expect(decideOn(idle, { ...retry('failed', null), turn: null })).toStrictEqual(
        rejection('retry', 'not_found', 'new-turn'),
      );
    },
  );

  it('its own requestId is an id, whatever the turn’s', () => {
    const longest = `t${'x'.repeat(63)}`;
    expect(retryRequestId(longest, 123_456_789)).toBe(`retry-${longest.slice(0, 48)}-123456789`);
    expect(isId(retryRequestId(longest, 123_456_789))).toBe(true);
    expect(retryRequestId('t1', 2)).toBe('retry-t1-2');
  });
});

describe('conversation: the end of a turn', () => {
  it('with nothing waiting, it is idle', () => {
    for (const model of [processing, cancelling])
      expect(decideOn(model, ended())).toStrictEqual({
        key: 'settled:t1.1',
        events: [state('idle')],
        request: null,
        effects: [],
      });
  });

  it('S2: the first of the queue starts, under the end’s key and without a second receipt', () => {
    const third = { ...waiting, requestId: 'r3', turnId: 't3', position: 1 };
    expect(decideOn({ ...busy, queue: [waiting, third] }, ended())).toStrictEqual({
      key: 'settled:t1.1',
      events: [
        { type: 'queue.changed', payload: { queue: [{ ...third, position: 0 }] } },
        ...startedEvents({ turnId: 't2', attempt: 1, requestId: 'r2' }, 'second', 'm2'),
      ],
      request: null,
      effects: [{ type: 'run', turnId: 't2', attempt: 1 }],
    });
  });

  it('after a cancel the state goes back to processing', () => {
    const decision = decideOn({ ...cancelling, queue: [waiting] }, ended());
    expect(decision?.events.at(-1)).toStrictEqual(state('processing'));
  });

  it('a waiting retry starts its attempt and repeats no message', () => {
    const again = { ...waiting, turnId: 't1', attempt: 2 };
    const decision = decideOn({ ...processing, queue: [again] }, ended());
    expect(decision).toStrictEqual({
      key: 'settled:t1.1',
      events: [
        { type: 'queue.changed', payload: { queue: [] } },
        ...startedEvents({ turnId: 't1', attempt: 2, requestId: 'r2' }, null),
      ],
      request: null,
      effects: [{ type: 'run', turnId: 't1', attempt: 2 }],
    });
  });

  it.each<{ what: string; model: ConversationModel; command: Command }>([
    { what: 'nothing runs', model: idle, command: ended() },
    { what: 'it is another turn’s', model: processing, command: ended('t0') },
    { what: 'it is an earlier attempt’s', model: processing, command: ended('t1', 0) },
    { what: 'it is a later attempt’s', model: processing, command: ended('t1', 2) },
  ])('is late and nothing where $what', ({ model, command }) => {
    expect(decideOn(model, command)).toBeNull();
  });
});

describe('conversation: resume from the store', () => {
  it('with a turn running, nothing is decided', () => {
    expect(decideOn(busy, { type: 'resume' })).toBeNull();
  });

  it('with nothing running and nothing waiting, the state is recorded as idle', () => {
    for (const model of [idle, { ...idle, state: 'processing' as const }])
      expect(decideOn(model, { type: 'resume' })).toStrictEqual({
        key: 'resumed:new-turn',
        events: [state('idle')],
        request: null,
        effects: [],
      });
  });

  it('with nothing running, what waits starts', () => {
    expect(decideOn({ ...idle, queue: [waiting] }, { type: 'resume' })).toStrictEqual({
      key: 'resumed:new-turn',
      events: [
        { type: 'queue.changed', payload: { queue: [] } },
        ...startedEvents({ turnId: 't2', attempt: 1, requestId: 'r2' }, 'second', 'm2'),
        state('processing'),
      ],
      request: null,
      effects: [{ type: 'run', turnId: 't2', attempt: 1 }],
    });
  });
});

describe('conversation: apply', () => {
  it('a new conversation is idle and empty', () => {
    expect(idle).toStrictEqual({
      conversationId: 'c1',
      tableId: null,
      titled: true,
      provider: 'scripted',
      model: 'small',
      state: 'idle',
      turn: null,
      queue: [],
      held: false,
      host: null,
      recent: [],
    });
  });

  it.each<{ event: NewEvent; from: ConversationModel; change: Partial<ConversationModel> }>([
    { event: state('idle'), from: cancelling, change: { state: 'idle', turn: null } },
    { event: state('cancelled'), from: processing, change: { state: 'cancelled' } },
    { event: state('processing'), from: cancelling, change: { state: 'processing' } },
    {
      event: { type: 'conversation.updated', payload: { host: 'h1' } },
      from: idle,
      change: { host: 'h1' },
    },
    {
      event: { type: 'conversation.updated', payload: { provider: 'claude', model: null } },
      from: idle,
      change: { provider: 'claude', model: null },
    },
    {
      event: { type: 'conversation.updated', payload: { title: 'new' } },
      from: { ...idle, titled: false, host: 'h1' },
      change: { titled: true },
    },
    {
      event: { type: 'conversation.updated', payload: { title: '' } },
      from: idle,
      change: { titled: false },
    },
    {
      event: { type: 'conversation.updated', payload: { archived: true } },
      from: { ...idle, titled: false },
      change: {},
    },
    {
      event: { type: 'queue.changed', payload: { queue: [waiting], held: true } },
      from: processing,
      change: { queue: [waiting], held: true },
    },
    {
      event: { type: 'queue.changed', payload: { queue: [waiting] } },
      from: { ...busy, held: true },
      change: { queue: [waiting] },
    },
    {
      event: { type: 'queue.changed', payload: { queue: [] } },
      from: { ...busy, held: true },
      change: { queue: [], held: false },
    },
    {
      event: { type: 'queue.changed', payload: { queue: [waiting], held: false } },
      from: { ...busy, held: true },
      change: { queue: [waiting], held: false },
    },
    {
      event: {
        type: 'chat.started',
        turnId: 't5',
        attempt: 2,
        requestId: 'r5',
        payload: { attempt: 2, provider: 'p', model: null },
      },
      from: processing,
      change: {
        turn: {
          turnId: 't5',
          attempt: 2,
          requestId: 'r5',
          startedAt: now,
          cancelRequested: false,
        },
        recent: ['r1', 'r5'],
      },
    },
    {
      event: {
        type: 'chat.started',
        turnId: 't5',
        attempt: 1,
        payload: { attempt: 1, provider: 'p', model: null },
      },
      from: idle,
      change: {
        turn: {
          turnId: 't5',
          attempt: 1,
          requestId: null,
          startedAt: now,
          cancelRequested: false,
        },
      },
    },
    {
      event: {
        type: 'chat.started',
        attempt: 1,
        payload: { attempt: 1, provider: 'p', model: null },
      },
      from: idle,
      change: {},
    },
    {
      event: { type: 'chat.queued', requestId: 'r7', payload: { position: 0 } },
      from: processing,
      change: { recent: ['r1', 'r7'] },
    },
    {
      event: { type: 'chat.rejected', requestId: 'r7', payload: { code: 'busy' } },
      from: processing,
      change: { recent: ['r1', 'r7'] },
    },
    {
      event: { type: 'chat.queued', requestId: 'r1', payload: { position: 0 } },
      from: processing,
      change: {},
    },
    { event: { type: 'chat.rejected', payload: { code: 'busy' } }, from: processing, change: {} },
    {
      event: { type: 'queue.changed', payload: { queue: [waiting] } },
      from: processing,
      change: { queue: [waiting] },
    },
    {
      event: { type: 'chat.cancelling', payload: { step: 'requested' } },
      from: processing,
      change: { turn: { ...turn, cancelRequested: true } },
    },
    {
      event: { type: 'chat.cancelling', payload: { step: 'terminate' } },
      from: processing,
      change: {},
    },
    {
      event: { type: 'chat.cancelling', payload: { step: 'requested' } },
      from: idle,
      change: {},
    },
    {
      event: { type: 'chat.delta', payload: { messageId: 'm', text: 'x' } },
      from: processing,
      change: {},
    },
  ])('$event.type $event.payload changes $change', ({ event, from, change }) => {
    expect(apply(deepFreeze(from), event, now)).toStrictEqual({ ...from, ...change });
  });

  it('remembers the newest requests, and only so many', () => {
    let model = idle;
    for (let n = 0; n <= RECENT_REQUESTS; n += 1)
      model = apply(
        model,
        { type: 'chat.rejected', requestId: `r${n}`, payload: { code: 'busy' } },
        now,
      );
    expect(model.recent).toHaveLength(RECENT_REQUESTS);
    expect(model.recent[0]).toBe('r1');
    expect(model.recent.at(-1)).toBe(`r${RECENT_REQUESTS}`);
  });
});

describe('conversation: in words', () => {
  it.each<[ConversationModel, string]>([
    [idle, 'Idle.'],
    [{ ...idle, queue: [waiting] }, 'Idle. 1 waiting in the queue.'],
    [{ ...idle, queue: [waiting], held: true }, 'Idle. 1 held in the queue.'],
    [
      processing,
      'Processing turn t1, attempt 1, waiting for a turn host, since 2026-11-21T09:00:00.000Z.',
    ],
    [
      { ...cancelling, host: 'h1', queue: [waiting, waiting] },
      'Cancelling turn t1, attempt 1, on host h1, since 2026-11-21T09:00:00.000Z. 2 waiting in the queue.',
    ],
  ])('%j', (model, words) => {
    expect(inWords(model)).toBe(words);
  });
});

describe('conversation: signals as an operator may type them', () => {
  it.each<{ name: CommandSignal; value: unknown; command: Command | null }>([
    {
      name: 'send',
      value: { requestId: 'r1', content: 'hi', whenBusy: 'interrupt', more: 1 },
      command: { type: 'send', requestId: 'r1', content: 'hi', whenBusy: 'interrupt' },
    },
    ...(['reject', 'steer', 'queue'] as const).map((whenBusy) => ({
      name: 'send' as const,
      value: { requestId: 'r1', content: 'hi', whenBusy },
      command: { type: 'send', requestId: 'r1', content: 'hi', whenBusy } as Command,
    })),
    {
      name: 'send',
      value: { requestId: 'r1', content: '' },
      command: { type: 'send', requestId: 'r1', content: '', whenBusy: 'queue' },
    },
    {
      name: 'send',
      value: { requestId: 'r1', content: 'hi', whenBusy: 'soon' },
      command: { type: 'send', requestId: 'r1', content: 'hi', whenBusy: 'queue' },
    },
    {
      name: 'send',
      value: { requestId: 'r1', content: 'hi', whenBusy: 1 },
      command: { type: 'send', requestId: 'r1', content: 'hi', whenBusy: 'queue' },
    },
    { name: 'send', value: { requestId: 'r1', content: 1 }, command: null },
    { name: 'send', value: { requestId: 'r1' }, command: null },
    { name: 'send', value: { content: 'hi' }, command: null },
    { name: 'send', value: { requestId: 'no id', content: 'hi' }, command: null },
    { name: 'send', value: undefined, command: null },
    { name: 'cancel', value: undefined, command: { type: 'cancel', turnId: null, by: 'operator' } },
    { name: 'cancel', value: null, command: { type: 'cancel', turnId: null, by: 'operator' } },
    { name: 'cancel', value: {}, command: { type: 'cancel', turnId: null, by: 'operator' } },
    {
      name: 'cancel',
      value: { turnId: null, by: '' },
      command: { type: 'cancel', turnId: null, by: 'operator' },
    },
    {
      name: 'cancel',
      value: { turnId: 't1', by: 'x'.repeat(65) },
      command: { type: 'cancel', turnId: 't1', by: 'x'.repeat(64) },
    },
    {
      name: 'cancel',
      value: { by: 7 },
      command: { type: 'cancel', turnId: null, by: 'operator' },
    },
    // None of these may cancel whatever happens to run.
    { name: 'cancel', value: { turnId: 'not an id' }, command: null },
    { name: 'cancel', value: { turnId: 7 }, command: null },
    { name: 'cancel', value: 't1', command: null },
    { name: 'cancel', value: ['t1'], command: null },
    { name: 'cancel', value: 7, command: null },
    {
      name: 'retry',
      value: { turnId: 't1' },
      command: { type: 'retry', turnId: 't1', requestId: null, turn: null },
    },
    {
      name: 'retry',
      value: { turnId: 't1', requestId: 'r1', turn: { lastAttempt: 9 } },
      command: { type: 'retry', turnId: 't1', requestId: 'r1', turn: null },
    },
    {
      name: 'send',
      value: { requestId: 'r1', content: 'hi', replaces: 'm1' },
      command: {
        type: 'send',
        requestId: 'r1',
        content: 'hi',
        whenBusy: 'queue',
        // Nothing is known of it until the store was asked.
        replaces: { messageId: 'm1', found: false, previousMessageId: null },
      },
    },
    { name: 'send', value: { requestId: 'r1', content: 'hi', replaces: 'no id' }, command: null },
    { name: 'send', value: { requestId: 'r1', content: 'hi', replaces: 7 }, command: null },
    {
      name: 'cancel',
      value: { holdQueue: true },
      command: { type: 'cancel', turnId: null, by: 'operator', holdQueue: true },
    },
    {
      name: 'cancel',
      value: { holdQueue: 'yes' },
      command: { type: 'cancel', turnId: null, by: 'operator' },
    },
    ...(
      [{ content: 'x' }, { content: '' }, { position: 0 }, { position: 63 }, { now: true }] as const
    ).map((change) => ({
      name: 'updateQueued' as const,
      value: { commandId: 'k1', requestId: 'r1', ...change, more: 1 },
      command: { type: 'queue.update', commandId: 'k1', requestId: 'r1', change } as Command,
    })),
    ...[
      {},
      { position: -1 },
      { position: 0.5 },
      { position: '0' },
      { position: 2 ** 53 },
      { now: false },
      { content: 7 },
    ].map((change) => ({
      name: 'updateQueued' as const,
      value: { commandId: 'k1', requestId: 'r1', ...change },
      command: null,
    })),
    { name: 'updateQueued', value: { requestId: 'r1', now: true }, command: null },
    { name: 'updateQueued', value: { commandId: 'k1', now: true }, command: null },
    {
      name: 'removeQueued',
      value: { commandId: 'k1', requestId: 'r1' },
      command: { type: 'queue.remove', commandId: 'k1', requestId: 'r1' },
    },
    { name: 'removeQueued', value: { commandId: 'k1' }, command: null },
    { name: 'removeQueued', value: { requestId: 'r1' }, command: null },
    {
      name: 'holdQueue',
      value: { commandId: 'k1', held: false },
      command: { type: 'queue.hold', commandId: 'k1', held: false },
    },
    { name: 'holdQueue', value: { commandId: 'k1', held: 'no' }, command: null },
    { name: 'holdQueue', value: { held: true }, command: null },
    {
      name: 'rollback',
      value: { commandId: 'k1', messageId: 'm1' },
      command: { type: 'rollback', commandId: 'k1', messageId: 'm1', found: false },
    },
    {
      name: 'rollback',
      value: { commandId: 'k1', messageId: null },
      command: { type: 'rollback', commandId: 'k1', messageId: null, found: false },
    },
    // "Nothing stays" must be said, not left out.
    { name: 'rollback', value: { commandId: 'k1' }, command: null },
    { name: 'rollback', value: { commandId: 'k1', messageId: 'no id' }, command: null },
    { name: 'rollback', value: { messageId: 'm1' }, command: null },
    {
      name: 'updateConversation',
      value: {
        commandId: 'k1',
        title: 'x'.repeat(201),
        archived: true,
        provider: 'claude',
        model: null,
      },
      command: {
        type: 'update',
        commandId: 'k1',
        set: { title: 'x'.repeat(200), archived: true, provider: 'claude', model: null },
      },
    },
    {
      name: 'updateConversation',
      value: { commandId: 'k1', title: '', archived: 'yes', provider: '', model: 7 },
      command: { type: 'update', commandId: 'k1', set: { title: '' } },
    },
    { name: 'updateConversation', value: { commandId: 'k1' }, command: null },
    { name: 'updateConversation', value: { title: 'x' }, command: null },
    { name: 'updateConversation', value: { commandId: 'no id', title: 'x' }, command: null },
    { name: 'retry', value: { turnId: 't1', requestId: 'no id' }, command: null },
    { name: 'retry', value: { requestId: 'r1' }, command: null },
    { name: 'retry', value: undefined, command: null },
  ])('$name $value', ({ name, value, command }) => {
    expect(parseSignal(name, value)).toStrictEqual(command);
  });

  it.each<{ value: unknown; answer: ReturnType<typeof parseApprovalSignal> }>([
    {
      value: { approvalId: 'p', decision: 'allow' },
      answer: { approvalId: 'p', decision: 'allow', by: 'operator' },
    },
    {
      value: { approvalId: 'p', decision: 'deny', by: 'user', message: 'no', more: 1 },
      answer: { approvalId: 'p', decision: 'deny', by: 'user', message: 'no' },
    },
    {
      value: { approvalId: 'p', decision: 'deny', by: 1, message: 'x'.repeat(4_001) },
      answer: { approvalId: 'p', decision: 'deny', by: 'operator', message: 'x'.repeat(4_000) },
    },
    {
      value: { approvalId: 'p', decision: 'deny', message: 1 },
      answer: { approvalId: 'p', decision: 'deny', by: 'operator' },
    },
    {
      value: { approvalId: 'p', turnId: 't1', decision: 'deny' },
      answer: { approvalId: 'p', turnId: 't1', decision: 'deny', by: 'operator' },
    },
    {
      value: { approvalId: 'p', turnId: 'no id', decision: 'deny' },
      answer: { approvalId: 'p', decision: 'deny', by: 'operator' },
    },
    { value: { approvalId: 'p', decision: 'yes' }, answer: null },
    { value: { approvalId: 'p' }, answer: null },
    { value: { approvalId: 'no id', decision: 'allow' }, answer: null },
    { value: { decision: 'allow' }, answer: null },
    { value: null, answer: null },
    { value: undefined, answer: null },
    { value: ['p', 'allow'], answer: null },
  ])('resolveApproval $value', ({ value, answer }) => {
    expect(parseApprovalSignal(value)).toStrictEqual(answer);
  });

  it('property: anything at all is a well-formed command or null', () => {
    const types = {
      send: 'send',
      cancel: 'cancel',
      retry: 'retry',
      updateQueued: 'queue.update',
      removeQueued: 'queue.remove',
      holdQueue: 'queue.hold',
      rollback: 'rollback',
      updateConversation: 'update',
    } as const satisfies Record<CommandSignal, Command['type']>;
    const name = fc.constantFrom(...(Object.keys(types) as CommandSignal[]));
    const held = fc.oneof(fc.anything(), fc.boolean());
    const value = fc.oneof(
      fc.anything(),
      fc.record(
        {
          requestId: fc.oneof(fc.anything(), fc.constant('r1')),
          turnId: fc.oneof(fc.anything(), fc.constant('t1')),
          content: fc.oneof(fc.anything(), fc.string()),
          whenBusy: fc.anything(),
          by: fc.anything(),
          commandId: fc.oneof(fc.anything(), fc.constant('k1')),
          messageId: fc.oneof(fc.anything(), fc.constant('m1')),
          replaces: fc.oneof(fc.anything(), fc.constant('m1')),
          position: fc.oneof(fc.anything(), fc.integer()),
          now: held,
          held,
          holdQueue: held,
          title: fc.oneof(fc.anything(), fc.string()),
          archived: held,
        },
        { requiredKeys: [] },
      ),
    );
    fc.assert(
      fc.property(name, value, (signal, given) => {
        const command = parseSignal(signal, given);
        expect(command === null || command.type === types[signal]).toBe(true);
        const ids =
          command === null ? [] : Object.entries(command).filter(([key]) => key.endsWith('Id'));
        expect(ids.every(([, id]) => id === null || isId(id))).toBe(true);
      }),
    );
  });
});

describe('conversation: sizes', () => {
  const encoder = new TextEncoder();

  it.each([
    '',
    'a',
    '\u007F',
    '\u0080',
    '\u07FF',
    '\u0800',
    '\uD7FF',
    '\uE000',
    '\uFFFF',
    '😀',
    'x😀y',
    '\uD83D',
    '\uDE00',
    '\uDE00\uD83D',
    '\uD83D\uD83D\uDE00',
    '\uD800\uDC00\uDBFF\uDFFF',
    '\uD83Dx',
    '\uDC00\uDC00',
    '\uDBFF\uE000',
  ])('utf8Bytes of %j is what an encoder makes of it', (text) => {
    expect(utf8Bytes(text)).toBe(encoder.encode(text).length);
    expect(utf8Bytes(text)).toBe(Buffer.byteLength(text));
  });

  it('property: utf8Bytes of any units, lone surrogates too', () => {
    const unit = fc.oneof(
      fc.nat(0xffff),
      fc.integer({ min: 0xd7fe, max: 0xe001 }),
      fc.constantFrom(0x7f, 0x80, 0x7ff, 0x800, 0xdbff, 0xdc00),
    );
    fc.assert(
      fc.property(fc.array(unit), (units) => {
        const text = String.fromCharCode(...units);
        expect(utf8Bytes(text)).toBe(encoder.encode(text).length);
      }),
      { numRuns: 1_000 },
    );
  });

  it.each<[string, ReturnType<typeof refuseContent>]>([
    ['', 'invalid_request'],
    [' \n\u00A0', 'invalid_request'],
    [' x ', null],
    ['x'.repeat(PROMPT_LIMIT_BYTES), null],
    ['x'.repeat(PROMPT_LIMIT_BYTES + 1), 'payload_too_large'],
    ['é'.repeat(PROMPT_LIMIT_BYTES / 2), null],
    [`${'é'.repeat(PROMPT_LIMIT_BYTES / 2)}x`, 'payload_too_large'],
  ])('refuseContent %#', (content, code) => {
    expect(refuseContent(content)).toBe(code);
  });
});
