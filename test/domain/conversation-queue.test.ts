/** What can be done with a queue, with the history, and in a table: decisions, each as a whole. */
import { describe, expect, it } from 'vitest';

import type { NewEvent, QueueItemValue } from '../../src/contracts/events.ts';
import { PROMPT_LIMIT_BYTES, QUEUE_LIMIT, QUEUE_LIMIT_BYTES } from '../../src/contracts/limits.ts';
import {
  apply,
  asksForSlot,
  type Command,
  type ConversationModel,
  decide,
  type DecisionContext,
  newConversation,
  openedQueue,
  queueMark,
  startable,
} from '../../src/domain/conversation.ts';
import { deepFreeze } from './conversation-harness.ts';

const now = '2026-11-21T10:00:00.000Z';
const before = '2026-11-21T09:30:00.000Z';

const alone = newConversation({ conversationId: 'c1', provider: 'scripted', model: null });
const idle: ConversationModel = { ...alone, tableId: 'tb' };
const turn = {
  turnId: 't1',
  attempt: 1,
  requestId: 'r1',
  startedAt: '2026-11-21T09:00:00.000Z',
  cancelRequested: false,
};
const processing: ConversationModel = { ...idle, state: 'processing', turn };
const cancelling: ConversationModel = {
  ...idle,
  state: 'cancelled',
  turn: { ...turn, cancelRequested: true },
};
const r2: QueueItemValue = {
  requestId: 'r2',
  turnId: 't2',
  content: 'two',
  attempt: 1,
  at: before,
  position: 0,
};
const r3: QueueItemValue = { ...r2, requestId: 'r3', turnId: 't3', content: 'three', position: 1 };
const held = (item: QueueItemValue): QueueItemValue => ({ ...item, held: true });
const busy: ConversationModel = { ...processing, queue: [r2, r3] };
const heldBusy: ConversationModel = { ...processing, queue: [held(r2), held(r3)], held: true };
const heldIdle: ConversationModel = { ...idle, queue: [held(r2), held(r3)], held: true };

function decideOn(model: ConversationModel, command: Command, more: Partial<DecisionContext> = {}) {
  const context = { now, turnId: 'tnew', messageId: 'mnew', ...more };
  return decide(deepFreeze(model), command, context);
}
/** The model after a decision; as it was when there was none. */
function after(model: ConversationModel, command: Command, more: Partial<DecisionContext> = {}) {
  const events = decideOn(model, command, more)?.events ?? [];
  return events.reduce((each, event) => apply(each, event, now), model);
}

const send = (whenBusy: 'queue' | 'reject' | 'interrupt' | 'steer' = 'queue'): Command => ({
  type: 'send',
  requestId: 'r9',
  content: 'nine',
  whenBusy,
});
const update = (
  requestId: string,
  change: Extract<Command, { type: 'queue.update' }>['change'],
): Command => ({ type: 'queue.update', commandId: 'k1', requestId, change });
const remove = (requestId: string): Command => ({
  type: 'queue.remove',
  commandId: 'k1',
  requestId,
});
const hold = (isHeld: boolean): Command => ({ type: 'queue.hold', commandId: 'k1', held: isHeld });
const ended = (more: object = {}): Command => ({
  type: 'turn.ended',
  turnId: 't1',
  attempt: 1,
  ...more,
});
const changed = (queue: QueueItemValue[], more: object = {}): NewEvent => ({
  type: 'queue.changed',
  payload: { queue, ...more },
});
const state = (name: 'idle' | 'processing' | 'cancelled'): NewEvent => ({
  type: 'conversation.state',
  payload: { state: name },
});
const started = (item: QueueItemValue): NewEvent[] => [
  {
    type: 'message.created',
    turnId: item.turnId,
    requestId: item.requestId,
    payload: { messageId: `m${item.turnId.slice(1)}`, role: 'user', content: item.content },
  },
  {
    type: 'chat.started',
    turnId: item.turnId,
    attempt: 1,
    requestId: item.requestId,
    payload: { attempt: 1, provider: 'scripted', model: null },
  },
];
const run = (turnId: string) => ({ type: 'run', turnId, attempt: 1 });
const stopFor = (by: string): NewEvent[] => [
  {
    type: 'chat.cancelling',
    turnId: 't1',
    attempt: 1,
    requestId: 'r1',
    payload: { step: 'requested', by },
  },
  state('cancelled'),
];
/** A decision of a command that starts nothing. */
const recorded = (...events: NewEvent[]) => ({
  key: 'command:k1',
  events,
  request: null,
  effects: [],
});
const notice = ({ turnId, requestId }: QueueItemValue): NewEvent => ({
  type: 'notice',
  turnId,
  requestId,
  payload: { code: 'steer_queued', text: expect.stringContaining('waits') as string },
});

describe('queue: edit', () => {
  it('changes the text in its place, and counts how often', () => {
    const once = { ...r2, content: 'zwei', edited: 1 };
    expect(decideOn(busy, update('r2', { content: 'zwei' }))).toStrictEqual(
      recorded(changed([once, r3], { held: false, commandId: 'k1' })),
    );
    const twice = after({ ...busy, queue: [once, r3] }, update('r2', { content: 'deux' }));
    expect(twice.queue[0]).toStrictEqual({ ...r2, content: 'deux', edited: 2 });
  });

  it.each<{ what: string; model: ConversationModel; requestId: string; content: string }>([
    { what: 'it is not in the queue', model: busy, requestId: 'r1', content: 'x' },
    { what: 'the text is blank', model: busy, requestId: 'r2', content: ' \n' },
    {
      what: 'the text is too long',
      model: busy,
      requestId: 'r2',
      content: 'x'.repeat(PROMPT_LIMIT_BYTES + 1),
    },
    {
      what: 'it is a retry, whose text is its turn’s',
      model: { ...busy, queue: [{ ...r2, attempt: 2 }] },
      requestId: 'r2',
      content: 'x',
    },
    {
      what: 'it is offered to the running turn, and may be there already (A1)',
      model: { ...busy, queue: [{ ...r2, steer: true }] },
      requestId: 'r2',
      content: 'x',
    },
  ])('is refused where $what, and nothing is lost', ({ model, requestId, content }) => {
    expect(decideOn(model, update(requestId, { content }))).toBeNull();
  });

  it('W2: the queue ends at its bytes, exactly, also by an edit', () => {
    const rows = QUEUE_LIMIT_BYTES / PROMPT_LIMIT_BYTES;
    const queue = Array.from({ length: rows }, (_, position) => ({
      ...r2,
      requestId: `w${position}`,
      content: position === 0 ? 'x' : 'x'.repeat(PROMPT_LIMIT_BYTES),
      position,
    }));
    const full = 'x'.repeat(PROMPT_LIMIT_BYTES);
    expect(decideOn({ ...busy, queue }, update('w0', { content: full }))).not.toBeNull();
    const over = [...queue, { ...r2, requestId: 'last', content: 'y', position: rows }];
    expect(decideOn({ ...busy, queue: over }, update('w0', { content: full }))).toBeNull();
    const exactly = full.slice(1);
    expect(decideOn({ ...busy, queue: over }, update('w0', { content: exactly }))).not.toBeNull();
  });
});

describe('queue: move', () => {
  const rows = ['a', 'b', 'c', 'd'].map((requestId, position) => ({ ...r2, requestId, position }));

  it.each([
    ['d', 0, 'dabc'],
    ['a', 1, 'bacd'],
    ['a', 3, 'bcda'],
    ['a', 99, 'bcda'],
    ['b', 1, 'abcd'],
    ['c', 0, 'cabd'],
  ])('S2: %s to %i gives %s, numbered from 0', (requestId, position, order) => {
    const { queue } = after({ ...busy, queue: rows }, update(requestId, { position }));
    expect(queue.map((item) => item.requestId).join('')).toBe(order);
    expect(queue.map((item) => item.position)).toEqual([0, 1, 2, 3]);
  });

  it('of what is not in the queue is refused', () => {
    expect(decideOn(busy, update('r1', { position: 0 }))).toBeNull();
  });
});

describe('queue: promote', () => {
  it('C1: to the front, and what runs is asked to stop', () => {
    expect(decideOn(busy, update('r3', { now: true }))).toStrictEqual({
      ...recorded(
        changed(
          [
            { ...r3, now: true, position: 0 },
            { ...r2, position: 1 },
          ],
          {
            held: false,
            commandId: 'k1',
          },
        ),
        ...stopFor('promote'),
      ),
      effects: [{ type: 'stop', turnId: 't1', attempt: 1, by: 'promote' }],
    });
  });

  it('of a turn that is being stopped already only goes to the front', () => {
    const decision = decideOn({ ...cancelling, queue: [r2, r3] }, update('r3', { now: true }));
    expect(decision?.events.map(({ type }) => type)).toEqual(['queue.changed']);
    expect(decision?.effects).toEqual([]);
  });

  it('of a held queue it alone is released', () => {
    const { queue, held: isHeld } = after(heldBusy, update('r3', { now: true }));
    expect(queue).toStrictEqual([
      { ...r3, now: true, position: 0 },
      { ...held(r2), position: 1 },
    ]);
    expect(isHeld).toBe(false);
  });

  it('while nothing runs it starts, and the rest stays held', () => {
    expect(decideOn(heldIdle, update('r3', { now: true }))).toStrictEqual({
      key: 'command:k1',
      events: [
        changed([held(r2)], { held: true, commandId: 'k1' }),
        ...started(r3),
        state('processing'),
      ],
      request: null,
      effects: [run('t3')],
    });
  });

  it.each(['running', 'elsewhere'] as const)(
    'where the table does not let it start (%s), it wants the slot at once',
    (occupied) => {
      const decision = decideOn(heldIdle, update('r2', { now: true }), { occupied });
      expect(decision).toStrictEqual({
        ...recorded(changed([{ ...r2, now: true }, held(r3)], { held: false, commandId: 'k1' })),
        effects: [{ type: 'want', interrupt: true }],
      });
    },
  );

  it('of what is not in the queue is refused', () => {
    expect(decideOn(busy, update('r1', { now: true }))).toBeNull();
  });
});

describe('queue: remove', () => {
  it('A1: ends with one chat.cancelled, without an attempt', () => {
    expect(decideOn(busy, remove('r2'))).toStrictEqual(
      recorded(
        { type: 'chat.cancelled', turnId: 't2', requestId: 'r2', payload: { by: 'user' } },
        changed([{ ...r3, position: 0 }], { held: false, commandId: 'k1' }),
      ),
    );
  });

  it('what has started, and what is offered to the running turn, is refused (A1)', () => {
    expect(decideOn(busy, remove('r1'))).toBeNull();
    expect(decideOn({ ...busy, queue: [{ ...r2, steer: true }] }, remove('r2'))).toBeNull();
  });

  it('the last row takes the hold with it', () => {
    expect(after({ ...heldIdle, queue: [held(r2)] }, remove('r2'))).toMatchObject({
      queue: [],
      held: false,
    });
  });

  it('of the only row that is not held leaves a held queue', () => {
    const mixed = { ...processing, queue: [held(r2), r3] };
    expect(decideOn(mixed, remove('r3'))?.events.at(-1)).toStrictEqual(
      changed([held(r2)], { held: true, commandId: 'k1' }),
    );
  });
});

describe('queue: hold and release', () => {
  it('a cancel may hold it; it is one decision', () => {
    const command: Command = { type: 'cancel', turnId: null, by: 'user', holdQueue: true };
    expect(decideOn(busy, command)).toStrictEqual({
      key: 'cancel:t1.1',
      events: [changed([held(r2), held(r3)], { held: true }), ...stopFor('user')],
      request: null,
      effects: [{ type: 'stop', turnId: 't1', attempt: 1, by: 'user' }],
    });
  });

  it.each<{ what: string; model: ConversationModel; turnId: string | null }>([
    { what: 'nothing runs', model: { ...idle, queue: [r2] }, turnId: null },
    { what: 'another turn is meant', model: { ...processing, queue: [r2] }, turnId: 't0' },
    { what: 'it is being stopped', model: { ...cancelling, queue: [r2] }, turnId: null },
  ])('a cancel where $what still holds it', ({ model, turnId }) => {
    const command: Command = { type: 'cancel', turnId, by: 'user', holdQueue: true };
    expect(decideOn(model, command)).toStrictEqual({
      key: 'command:tnew',
      events: [changed([held(r2)], { held: true })],
      request: null,
      effects: [],
    });
  });

  it('a cancel that holds where nothing is left to hold is a plain one', () => {
    const command: Command = { type: 'cancel', turnId: null, by: 'user', holdQueue: true };
    expect(decideOn(heldBusy, command)?.events).toStrictEqual(stopFor('user'));
    expect(decideOn(processing, command)?.events).toStrictEqual(stopFor('user'));
    expect(decideOn(heldIdle, command)).toBeNull();
    expect(decideOn(idle, command)).toBeNull();
  });

  it('is recorded, whatever it changes: whoever asked waits for it', () => {
    expect(decideOn(busy, hold(true))).toStrictEqual(
      recorded(changed([held(r2), held(r3)], { held: true, commandId: 'k1' })),
    );
    expect(decideOn(heldBusy, hold(false))).toStrictEqual(
      recorded(changed([r2, r3], { held: false, commandId: 'k1' })),
    );
    expect(decideOn(busy, hold(false))).toStrictEqual(
      recorded(changed([r2, r3], { held: false, commandId: 'k1' })),
    );
  });

  it('an empty queue holds nothing back', () => {
    for (const model of [idle, processing])
      for (const isHeld of [true, false])
        expect(decideOn(model, hold(isHeld))).toStrictEqual(
          recorded(changed([], { held: false, commandId: 'k1' })),
        );
  });

  it('released while nothing runs, the first of it starts', () => {
    for (const model of [heldIdle, { ...heldIdle, tableId: null }])
      expect(decideOn(model, hold(false))).toStrictEqual({
        key: 'command:k1',
        events: [
          changed([{ ...r3, position: 0 }], { held: false, commandId: 'k1' }),
          ...started(r2),
          state('processing'),
        ],
        request: null,
        effects: [run('t2')],
      });
  });

  it('released where the table does not let it start, it wants the slot', () => {
    expect(decideOn(heldIdle, hold(false), { occupied: 'elsewhere' })).toStrictEqual({
      ...recorded(changed([r2, r3], { held: false, commandId: 'k1' })),
      effects: [{ type: 'want', interrupt: false }],
    });
  });

  it('released while some of it waits for the slot already, it is in line', () => {
    const mixed = { ...idle, queue: [held(r2), r3] };
    expect(decideOn(mixed, hold(false))).toStrictEqual(
      recorded(changed([r2, r3], { held: false, commandId: 'k1' })),
    );
  });

  it('an end does not start what is held', () => {
    expect(decideOn(heldBusy, ended())).toStrictEqual({
      key: 'settled:t1.1',
      events: [state('idle')],
      request: null,
      effects: [],
    });
  });

  it('a message that comes later goes by: at once, or from the queue', () => {
    expect(decideOn(heldIdle, send())).toMatchObject({ request: { status: 'started' } });
    const waits = after(heldBusy, send());
    expect(waits.queue.map((item) => [item.requestId, item.held])).toEqual([
      ['r2', true],
      ['r3', true],
      ['r9', undefined],
    ]);
    expect(waits.held).toBe(false);
    expect(decideOn(waits, ended())?.events[0]).toStrictEqual(
      changed([held(r2), held(r3)], { held: true }),
    );
    expect(decideOn(waits, ended())?.effects).toEqual([run('tnew')]);
  });

  it('a queue that is read from the store as held is held row by row', () => {
    expect(openedQueue([r2, r3], true)).toStrictEqual([held(r2), held(r3)]);
    expect(openedQueue([held(r2), r3], false)).toStrictEqual([held(r2), r3]);
    expect(startable([held(r2), r3])).toBe(r3);
    expect(startable([held(r2)])).toBeUndefined();
  });
});

describe('table: a start that the store refused', () => {
  it.each(['running', 'elsewhere'] as const)('%s: it waits, and wants the slot', (occupied) => {
    expect(decideOn(idle, send(), { occupied })).toMatchObject({
      key: 'request:r9',
      request: { status: 'queued', position: 0 },
      effects: [{ type: 'want', interrupt: false }],
    });
    expect(decideOn(idle, send('interrupt'), { occupied })).toMatchObject({
      request: { status: 'queued', position: 0 },
      effects: [{ type: 'want', interrupt: true }],
    });
  });

  it('waiting: it waits too, and gives way', () => {
    expect(decideOn(idle, send(), { occupied: 'waiting' })).toMatchObject({
      request: { status: 'queued' },
      effects: [{ type: 'look', yields: true }],
    });
  });

  it('reject: an idle one that is not the active one is not busy, all else is', () => {
    const refused = { request: { status: 'rejected', code: 'busy' }, effects: [] };
    const waits = { request: { status: 'queued' }, effects: [{ type: 'want', interrupt: false }] };
    expect(decideOn(idle, send('reject'), { occupied: 'elsewhere' })).toMatchObject(waits);
    expect(decideOn(idle, send('reject'), { occupied: 'running' })).toMatchObject(refused);
    expect(decideOn(idle, send('reject'), { occupied: 'waiting' })).toMatchObject(refused);
    expect(decideOn({ ...idle, queue: [r2] }, send('reject'))).toMatchObject(refused);
  });

  it('steer: there is nothing to steer, and it says so', () => {
    const decision = decideOn(idle, send('steer'), { occupied: 'running' });
    expect(decision?.events.map(({ type }) => type)).toEqual([
      'chat.queued',
      'queue.changed',
      'notice',
    ]);
    expect(decision?.effects).toEqual([{ type: 'want', interrupt: false }]);
  });

  it('S2: behind what waits here already nothing starts, though nobody was asked', () => {
    expect(decideOn({ ...idle, queue: [r2] }, send())).toMatchObject({
      request: { status: 'queued', position: 1 },
      effects: [{ type: 'want', interrupt: false }],
    });
  });

  it('W2: a full queue is full there too', () => {
    const queue = Array.from({ length: QUEUE_LIMIT }, (_, position) => ({ ...r2, position }));
    expect(decideOn({ ...idle, queue }, send(), { occupied: 'elsewhere' })).toMatchObject({
      request: { status: 'rejected', code: 'queue_full' },
    });
  });

  it('S2: what starts gives way to what has waited longer; an interrupt does not', () => {
    expect(decideOn(idle, send())).toMatchObject({ waitedSince: now });
    expect(decideOn(busy, ended())).toMatchObject({ waitedSince: before });
    const failed = { lastAttempt: 1, outcome: 'failed', content: 'x' } as const;
    const retry = { type: 'retry', turnId: 't0', requestId: 'r9', turn: failed } as const;
    expect(decideOn(idle, retry)).toMatchObject({ waitedSince: now });
    const resume = { type: 'resume', stored: 'idle' } as const;
    expect(decideOn({ ...idle, queue: [r2] }, resume)).toMatchObject({ waitedSince: before });

    expect(decideOn(idle, send('interrupt'))).not.toHaveProperty('waitedSince');
    const promoted = { ...processing, queue: [{ ...r2, now: true as const }, r3] };
    expect(decideOn(promoted, ended())).not.toHaveProperty('waitedSince');
    const given = { ...resume, given: true };
    expect(decideOn({ ...idle, queue: [r2] }, given)).not.toHaveProperty('waitedSince');
    // Those that stand alone have nobody to give way to; rows of earlier versions do not say since when they wait.
    expect(decideOn(alone, send())).not.toHaveProperty('waitedSince');
    expect(decideOn({ ...busy, tableId: null }, ended())).not.toHaveProperty('waitedSince');
    const { at: _, ...old } = r2;
    expect(decideOn({ ...processing, queue: [old] }, ended())).not.toHaveProperty('waitedSince');
  });

  it.each([
    ['running', { type: 'look', yields: false }],
    ['elsewhere', { type: 'look', yields: false }],
    ['waiting', { type: 'look', yields: true }],
  ] as const)('%s, after an end: idle, and the table is told', (occupied, effect) => {
    expect(decideOn(busy, ended(), { occupied })).toStrictEqual({
      key: 'settled:t1.1',
      events: [state('idle')],
      request: null,
      effects: [effect],
    });
  });

  it('what interrupts has to be given the slot', () => {
    const first = { ...r2, now: true as const };
    expect(asksForSlot(first, 'elsewhere')).toEqual({ type: 'want', interrupt: true });
    // What runs is somebody's who was asked for later, or is winding down.
    expect(asksForSlot(first, 'running')).toEqual({ type: 'look', yields: false });
    expect(asksForSlot(r2, 'elsewhere')).toEqual({ type: 'look', yields: false });
    expect(asksForSlot(undefined, 'running')).toEqual({ type: 'look', yields: false });
    expect(
      decideOn({ ...processing, queue: [first] }, ended(), { occupied: 'elsewhere' })?.effects,
    ).toEqual([{ type: 'want', interrupt: true }]);
  });

  it('read from the store as idle there is nothing to record; after an end, that it is idle', () => {
    const waits = { ...idle, queue: [r2] };
    const resume = { type: 'resume', stored: 'idle' } as const;
    expect(decideOn(waits, resume, { occupied: 'elsewhere' })).toBeNull();
    expect(decideOn(heldIdle, resume)).toBeNull();
    expect(decideOn(idle, resume)).toBeNull();
    expect(
      decideOn(waits, { ...resume, stored: 'processing' }, { occupied: 'elsewhere' }),
    ).toStrictEqual({
      key: 'resumed:tnew',
      events: [state('idle')],
      request: null,
      effects: [{ type: 'look', yields: false }],
    });
  });
});

describe('steer', () => {
  const offered = { ...r3, steer: true };
  const model = { ...processing, queue: [r2, offered] };
  const answer = (taken: boolean, requestId = 'r3'): Command => ({
    type: 'steered',
    requestId,
    taken,
  });

  it('taken: it leaves the queue; the turn’s end is its end', () => {
    expect(decideOn(model, answer(true))).toStrictEqual({
      key: 'steered:r3',
      events: [changed([r2])],
      request: null,
      effects: [],
    });
  });

  it('not taken: it stays where it is, and a notice says so', () => {
    expect(decideOn(model, answer(false))).toStrictEqual({
      key: 'steered:r3',
      events: [notice(r3), changed([r2, r3])],
      request: null,
      effects: [],
    });
  });

  it('of what was not offered, or is gone, nothing is decided', () => {
    for (const taken of [true, false])
      for (const requestId of ['r2', 'r1'])
        expect(decideOn(model, answer(taken, requestId))).toBeNull();
  });

  it('A1: what the ended turn has taken is not run again; what it has not says so, and waits', () => {
    const both = { ...processing, queue: [{ ...r2, steer: true }, offered] };
    expect(decideOn(both, ended({ taken: ['r2'] }))?.events).toStrictEqual([
      notice(r3),
      changed([]),
      ...started(r3),
    ]);
    expect(decideOn(both, ended({ taken: ['r2', 'r3'] }))?.events).toStrictEqual([
      changed([]),
      state('idle'),
    ]);
    expect(
      decideOn(both, ended({ taken: ['r2'] }), { occupied: 'elsewhere' })?.events,
    ).toStrictEqual([notice(r3), changed([{ ...r3, position: 0 }]), state('idle')]);
    const lost: Command = { type: 'resume', stored: 'processing', taken: ['r2'] };
    expect(decideOn({ ...both, turn: null, state: 'idle' }, lost)?.events.at(-3)).toStrictEqual(
      started(r3)[0],
    );
  });
});

describe('history', () => {
  const rollback = (messageId: string | null, found = true): Command => ({
    type: 'rollback',
    commandId: 'k1',
    messageId,
    found,
  });

  it.each(['m1', null])('rollback to %s cuts after it', (messageId) => {
    expect(decideOn(idle, rollback(messageId, messageId !== null))).toStrictEqual(
      recorded({ type: 'history.cut', payload: { messageId, by: 'rollback', commandId: 'k1' } }),
    );
  });

  it('while a turn runs, and to what is not there, is refused', () => {
    expect(decideOn(processing, rollback('m1'))).toBeNull();
    expect(decideOn(processing, rollback(null))).toBeNull();
    expect(decideOn(idle, rollback('m1', false))).toBeNull();
  });

  it('a row that replaces a message cuts when it starts, if that is still there', () => {
    const row = { ...r2, replaces: 'm5' };
    const head = { messageId: 'm5', found: true, previousMessageId: 'm4' };
    const model = { ...processing, queue: [row] };
    const cut = {
      type: 'history.cut',
      turnId: 't2',
      requestId: 'r2',
      payload: { messageId: 'm4', by: 'edit' },
    };
    expect(decideOn(model, ended({ head }))?.events).toStrictEqual([
      changed([]),
      cut,
      ...started(r2),
    ]);
    const gone = { ...head, found: false };
    expect(decideOn(model, ended({ head: gone }))?.events).not.toContainEqual(cut);
    // What was looked up was another row's.
    const others = { ...head, messageId: 'm6' };
    expect(decideOn(model, ended({ head: others }))?.events).not.toContainEqual(cut);
    const heldRow = { ...heldIdle, queue: [held(row)] };
    expect(decideOn(heldRow, { ...hold(false), head } as Command)?.events).toContainEqual(cut);
    const promotion = { ...update('r2', { now: true }), head } as Command;
    expect(decideOn(heldRow, promotion)?.events).toContainEqual(cut);
  });
});

describe('names, provider, archive', () => {
  it('are recorded as asked for, while something runs too', () => {
    const set = { title: 'new', archived: true, provider: 'claude', model: null };
    for (const model of [idle, busy])
      expect(decideOn(model, { type: 'update', commandId: 'k1', set })).toStrictEqual(
        recorded({ type: 'conversation.updated', payload: { ...set, commandId: 'k1' } }),
      );
  });
});

describe('marks of rows', () => {
  it('tell a row from another, and from itself before an edit', () => {
    const marks = [r2, r3, { ...r2, edited: 1 }, { ...r2, edited: 2 }].map(queueMark);
    expect(new Set(marks).size).toBe(4);
    expect(queueMark({ ...r2, ...held(r2) })).toBe(queueMark(r2));
  });
});
