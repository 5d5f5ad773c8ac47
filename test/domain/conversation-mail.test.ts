/** Mail in a conversation's decisions: it is a send, what of it stands together is given to one turn, and its text is elsewhere. */
import { describe, expect, it } from 'vitest';

import type { NewEvent, QueueItemValue } from '../../src/contracts/events.ts';
import {
  MAIL_QUEUE_LIMIT,
  MAIL_QUEUE_LIMIT_BYTES,
  PROMPT_LIMIT_BYTES,
  QUEUE_LIMIT,
  QUEUE_LIMIT_BYTES,
} from '../../src/contracts/limits.ts';
import {
  apply,
  type Command,
  type ConversationModel,
  decide,
  heldItem,
  isWhole,
  newConversation,
  parseMailSignal,
  parseSignal,
  roomForMail,
} from '../../src/domain/conversation.ts';
import { deepFreeze } from './conversation-harness.ts';

const now = '2026-11-21T10:00:00.000Z';
const idle = newConversation({ conversationId: 'c1', provider: 'scripted', model: null });
const turn = {
  turnId: 't1',
  attempt: 1,
  requestId: 'r1',
  startedAt: '2026-11-21T09:00:00.000Z',
  cancelRequested: false,
};
const processing: ConversationModel = { ...idle, state: 'processing', turn };
const ended: Command = { type: 'turn.ended', turnId: 't1', attempt: 1 };

function decideOn(model: ConversationModel, command: Command) {
  return decide(deepFreeze(model), command, { now, turnId: 'tnew', messageId: 'mnew' });
}
function after(model: ConversationModel, command: Command): ConversationModel {
  const events = decideOn(model, command)?.events ?? [];
  return events.reduce((each, event) => apply(each, event, now), model);
}
/** The n-th message of an agent, of so many bytes. */
function mail(n: number, bytes = 7): Extract<Command, { type: 'send' }> {
  return {
    type: 'send',
    requestId: `mail-${n}`,
    content: `mail ${n}`.padEnd(7).slice(0, Math.min(bytes, 400)),
    whenBusy: 'queue',
    mail: { messageId: `m${n}`, from: 'child', kind: 'message', bytes },
  };
}
function row(n: number, more: Partial<QueueItemValue> = {}, bytes = 7): QueueItemValue {
  const { content, requestId, mail: mark } = mail(n, bytes);
  const base = { requestId, turnId: `t-mail-${n}`, content, attempt: 1, position: 0, at: now };
  return { ...base, ...(mark === undefined ? {} : { mail: mark }), ...more };
}
const plain: QueueItemValue = {
  requestId: 'r2',
  turnId: 't2',
  content: 'two',
  attempt: 1,
  position: 0,
  at: now,
};
const mark = (n: number) => ({ messageId: `m${n}`, from: 'child', kind: 'message' });
function waiting(...queue: QueueItemValue[]): ConversationModel {
  return { ...processing, queue: queue.map((item, position) => ({ ...item, position })) };
}
function startedWith(model: ConversationModel): {
  prompt: Extract<NewEvent, { type: 'message.created' }> | undefined;
  joined: (string | undefined)[];
  left: string[];
} {
  const events = decideOn(model, ended)?.events ?? [];
  const prompt = events.find((event) => event.type === 'message.created');
  const joined = events.flatMap((event) =>
    event.type === 'chat.steered' ? [event.requestId] : [],
  );
  const changed = events.find((event) => event.type === 'queue.changed');
  return { prompt, joined, left: changed?.payload.queue.map(({ requestId }) => requestId) ?? [] };
}

describe('M1 mail that comes', () => {
  it('starts a turn where nothing runs, and its text is completed from the mailbox', () => {
    const decision = decideOn({ ...idle, titled: false }, mail(1));
    expect(decision?.events.map(({ type }) => type)).toStrictEqual([
      'message.created',
      'chat.started',
      'conversation.state',
    ]);
    expect(decision?.events[0]).toMatchObject({
      requestId: 'mail-1',
      payload: { mail: [mark(1)], joins: ['mail-1'] },
    });
    expect(decision?.request).toMatchObject({ requestId: 'mail-1', status: 'started' });
  });

  it('waits behind a turn, marked', () => {
    const decision = decideOn(processing, mail(1));
    expect(decision?.events[1]).toMatchObject({
      type: 'queue.changed',
      payload: { queue: [{ requestId: 'mail-1', mail: { ...mark(1), bytes: 7 } }] },
    });
  });

  it('is one message, however often it is taken', () => {
    expect(decideOn(after(processing, mail(1)), mail(1))).toBeNull();
    expect(decideOn(after(idle, mail(1)), mail(1))).toBeNull();
  });

  it('is not refused for a beginning that is blank', () => {
    const blank = { ...mail(1, 1_000), content: ' '.repeat(400) };
    expect(decideOn(processing, blank)?.events[0]?.type).toBe('chat.queued');
  });

  it('counts in the queue with all its bytes', () => {
    const full = waiting(...[1, 2].map((n) => row(n, {}, QUEUE_LIMIT_BYTES / 2)));
    expect(decideOn(full, mail(3, 1))?.request).toMatchObject({ code: 'queue_full' });
    const send: Command = { type: 'send', requestId: 'r3', content: 'x', whenBusy: 'queue' };
    expect(decideOn(full, send)?.request).toMatchObject({ code: 'queue_full' });
  });

  it('is gathered where nothing runs, and started together', () => {
    const gathered = decideOn(idle, { ...mail(1), gather: true });
    expect(gathered?.request).toMatchObject({ status: 'queued', position: 0 });
    expect(gathered?.effects).toStrictEqual([]);
    const both = after(after(idle, { ...mail(1), gather: true }), { ...mail(2), gather: true });
    const started = decideOn(both, { type: 'resume', stored: 'idle' });
    expect(started?.effects).toMatchObject([{ type: 'run', turnId: 'tnew' }]);
    expect(after(both, { type: 'resume', stored: 'idle' }).queue).toStrictEqual([]);
    const prompt = started?.events.find(({ type }) => type === 'message.created');
    expect(prompt?.payload).toMatchObject({ joins: ['mail-1', 'mail-2'] });
  });

  it('is offered to the running turn only as a whole', () => {
    const steered = decideOn(processing, { ...mail(1), whenBusy: 'steer' });
    expect(steered?.effects).toMatchObject([{ type: 'steer', content: 'mail 1 ' }]);
    const long = decideOn(processing, { ...mail(1, 1_000), whenBusy: 'steer' });
    expect(long?.effects).toStrictEqual([]);
    expect(long?.events.map(({ type }) => type)).toContain('notice');
  });
});

describe('M1 mail that waits together', () => {
  it('is given to one turn, in order, and each row says so', () => {
    const { prompt, joined, left } = startedWith(waiting(row(1), row(2), row(3)));
    expect(prompt?.payload).toMatchObject({
      mail: [mark(1), mark(2), mark(3)],
      joins: ['mail-1', 'mail-2', 'mail-3'],
    });
    expect(joined).toStrictEqual(['mail-2', 'mail-3']);
    expect(left).toStrictEqual([]);
  });

  it('says so after the start: of a turn that runs', () => {
    const types = decideOn(waiting(row(1), row(2)), ended)?.events.map(({ type }) => type);
    expect(types?.indexOf('chat.steered')).toBe((types?.indexOf('chat.started') ?? 0) + 1);
  });

  it.each<[string, QueueItemValue[], string[]]>([
    ['a person’s message', [row(1), plain, row(2)], ['r2', 'mail-2']],
    ['a task', [row(1), row(2, { mail: { ...mark(2), kind: 'task', bytes: 7 } })], ['mail-2']],
    ['a text that somebody has edited', [row(1), row(2, { edited: 1 })], ['mail-2']],
    ['a retry', [row(1), row(2, { attempt: 2 })], ['mail-2']],
  ])('%s is a prompt of its own', (_, queue, left) => {
    expect(startedWith(waiting(...queue)).left).toStrictEqual(left);
  });

  it('a task and an edited text take nothing along', () => {
    const task = row(1, { mail: { messageId: 'm1', from: 'child', kind: 'task', bytes: 7 } });
    expect(startedWith(waiting(task, row(2))).left).toStrictEqual(['mail-2']);
    const edited = startedWith(waiting(row(1, { edited: 1, content: 'new' }), row(2)));
    expect(edited.left).toStrictEqual(['mail-2']);
    expect(edited.prompt?.payload).toMatchObject({ content: 'new', mail: [mark(1)] });
    expect(edited.prompt?.payload).not.toHaveProperty('joins');
  });

  it('goes by what is held', () => {
    const { joined, left } = startedWith(waiting(row(1), row(2, { held: true }), row(3)));
    expect(joined).toStrictEqual(['mail-3']);
    expect(left).toStrictEqual(['mail-2']);
  });

  it('W2 is no more than a prompt', () => {
    const half = MAIL_QUEUE_LIMIT_BYTES / 2;
    const fits = startedWith(waiting(row(1, {}, half), row(2, {}, half - 2), row(3)));
    expect(fits.joined).toStrictEqual(['mail-2']);
    expect(startedWith(waiting(row(1, {}, half), row(2, {}, half - 1))).joined).toStrictEqual([]);
    expect(MAIL_QUEUE_LIMIT_BYTES).toBeLessThan(PROMPT_LIMIT_BYTES);
  });
});

describe('W2 room for mail', () => {
  it('is half of the queue, and never more than is left of it', () => {
    expect(roomForMail([])).toStrictEqual({
      limit: MAIL_QUEUE_LIMIT,
      limitBytes: MAIL_QUEUE_LIMIT_BYTES,
    });
    const rows = (count: number, item: (n: number) => QueueItemValue) =>
      Array.from({ length: count }, (_, n) => item(n));
    expect(roomForMail(rows(MAIL_QUEUE_LIMIT, (n) => row(n))).limit).toBe(0);
    expect(roomForMail(rows(QUEUE_LIMIT - 1, () => plain)).limit).toBe(1);
    expect(roomForMail(rows(QUEUE_LIMIT, () => plain)).limit).toBe(0);
    expect(roomForMail([row(1, {}, MAIL_QUEUE_LIMIT_BYTES)])).toStrictEqual({
      limit: 0,
      limitBytes: 0,
    });
  });

  it('what it lets in is never refused', () => {
    let model = waiting(...Array.from({ length: 20 }, () => plain));
    for (let n = 0; roomForMail(model.queue).limit > 0; n += 1) {
      const next = after(model, mail(n, 20_000));
      expect(next.queue).toHaveLength(model.queue.length + 1);
      model = next;
    }
    expect(model.queue.length).toBeGreaterThan(40);
  });
});

it('of a row that is read from the store, mail is whole when all its bytes are there', () => {
  expect(isWhole(heldItem(row(1)))).toBe(true);
  expect(isWhole(heldItem(row(1, {}, 1_000)))).toBe(false);
  const edited = heldItem(row(1, { edited: 1, content: 'x'.repeat(900) }));
  expect(isWhole(edited)).toBe(false);
  expect(edited.storedBytes).toBe(900);
});

describe('signals', () => {
  it('a mail is a message, a row that is to be sent again, or word of some', () => {
    const message = { messageId: 'm1', from: 'c2', content: 'hello' };
    expect(parseMailSignal({})).toStrictEqual({});
    expect(parseMailSignal(undefined)).toStrictEqual({});
    expect(parseMailSignal({ message })).toStrictEqual({ message });
    const later = { ...message, whenBusy: 'steer', expiresAt: '2026-11-21T10:00:00+01:00' };
    expect(parseMailSignal({ message: later })).toStrictEqual({
      message: { ...later, expiresAt: '2026-11-21T09:00:00.000Z' },
    });
    expect(parseMailSignal({ again: { messageId: 'm1', from: 'c2' } })).toStrictEqual({
      again: { messageId: 'm1', from: 'c2' },
    });
    expect(parseMailSignal({ again: { messageId: 'm1' } })).toStrictEqual({
      again: { messageId: 'm1', from: null },
    });
  });

  it.each([
    ['text'],
    [{ message: 'text' }],
    [{ message: { messageId: 'm1', from: 'c2' } }],
    [{ message: { messageId: 'm 1', from: 'c2', content: 'x' } }],
    [{ message: { messageId: 'm1', from: null, content: 'x' } }],
    [{ message: { messageId: 'm1', from: 'c2', content: ' ' } }],
    [{ message: { messageId: 'm1', from: 'c2', content: 'x'.repeat(PROMPT_LIMIT_BYTES + 1) } }],
    [{ again: {} }],
    [{ again: { messageId: 'm1', from: 'c 2' } }],
  ])('%j is none', (value) => {
    expect(parseMailSignal(value)).toBeNull();
  });

  it('a cancel by cascade says so, and cancels as any other', () => {
    const command = parseSignal('cancel', { cascade: true, by: 'user' });
    expect(command).toMatchObject({ cascade: true });
    expect(parseSignal('cancel', { cascade: 'yes' })).not.toHaveProperty('cascade');
    if (command === null) throw new Error('no command');
    const types = decideOn(processing, { ...command, turnId: 't1' } as Command)?.events;
    expect(types?.map(({ type }) => type)).toContain('chat.cancelling');
  });
});
