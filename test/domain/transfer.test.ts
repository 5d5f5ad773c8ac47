/** Numbers are those of transfer.ts. */
import * as fc from 'fast-check';
import { describe, expect, it } from 'vitest';

import type { Event, NewEvent } from '../../src/contracts/events.ts';
import { emptyView, foldEvents } from '../../src/domain/fold.ts';
import { adopted, idsOf } from '../../src/domain/transfer.ts';
import { promptMessageId } from '../../src/domain/turn-ids.ts';
import { chapters } from './chapters.ts';
import { stored } from './reports.ts';

const now = '2026-11-21T00:00:00.000Z';
const created: NewEvent = {
  type: 'conversation.created',
  payload: { tableId: 'tb', title: 'T', provider: 'p', model: null, workspacePath: '/w' },
};
const turn = { turnId: 't1', attempt: 1, requestId: 'r1' };
const begun: NewEvent = {
  type: 'chat.started',
  ...turn,
  payload: { attempt: 1, provider: 'p', model: null },
};
const done: NewEvent = { type: 'chat.done', ...turn, payload: {} };
const wrote = (messageId: string): NewEvent => ({
  type: 'message.created',
  turnId: 't1',
  payload: { messageId, role: 'user', content: 'x' },
});
const opened = (messageId: string): NewEvent => ({
  type: 'assistant.segment.started',
  ...turn,
  payload: { messageId, kind: 'text' },
});
const said = (messageId: string, text: string): NewEvent => ({
  type: 'chat.delta',
  ...turn,
  payload: { messageId, text },
});
const closed = (messageId: string, content: string): NewEvent => ({
  type: 'assistant.segment.ended',
  ...turn,
  payload: { messageId, content, status: 'complete' },
});

/** Taken in where these ids are taken; new ids are n1, n2 … */
function taken(events: readonly NewEvent[], ...takenIds: string[]): Event[] {
  let count = 0;
  return adopted({
    conversationId: 'new',
    events: stored(events),
    isTaken: (_kind, id) => takenIds.includes(id),
    newId: () => `n-${(count += 1)}`,
    now,
  });
}
const types = (events: readonly Event[]) => events.map(({ type }) => type);

describe('a log that is taken in', () => {
  it('1 keeps its times, is numbered anew, is of the new conversation and of no table', () => {
    const events = stored([created, wrote('m1'), begun, done]).map((event) => ({
      ...event,
      conversationId: 'old',
      seq: event.seq * 10,
    }));
    const log = adopted({
      conversationId: 'new',
      events,
      isTaken: () => false,
      newId: () => '',
      now,
    });
    expect(log.map(({ seq }) => seq)).toStrictEqual([1, 2, 3, 4]);
    expect(log.map(({ at }) => at)).toStrictEqual(events.map(({ at }) => at));
    expect(new Set(log.map(({ conversationId }) => conversationId))).toStrictEqual(
      new Set(['new']),
    );
    expect(log[0]?.payload).toStrictEqual({ ...created.payload, tableId: null });
    expect(log[1]).toMatchObject({ turnId: 't1', payload: { messageId: 'm1' } });
  });

  it('2 an id that is taken is replaced wherever it stands, a turn with the message of its prompt', () => {
    const prompt = promptMessageId('t1');
    const log = taken(
      [
        created,
        wrote(prompt),
        begun,
        opened('s1'),
        closed('s1', 'x'),
        {
          type: 'tool.start',
          ...turn,
          payload: { toolCallId: 'c', messageId: 'x1', name: '', input: 1 },
        },
        { type: 'tool.end', ...turn, payload: { toolCallId: 'c', status: 'ok', output: '' } },
        { type: 'chat.steered', requestId: 'r2', payload: { turnId: 't1', attempt: 1 } },
        opened('s2'),
        { type: 'assistant.segment.discarded', ...turn, payload: { messageId: 's2', reason: '' } },
        opened('s3'),
        said('s3', 'no end'),
        done,
        {
          type: 'message.copied',
          payload: {
            messageId: 'c1',
            role: 'user',
            kind: 'text',
            content: '',
            status: 'complete',
            at: now,
          },
        },
        { type: 'history.cut', payload: { messageId: 's1', by: 'edit' } },
        { type: 'history.cut', payload: { messageId: null, by: 'rollback' } },
        {
          type: 'queue.changed',
          payload: {
            queue: [
              {
                requestId: 'r3',
                turnId: 't2',
                content: 'q',
                position: 0,
                attempt: 1,
                replaces: prompt,
              },
              { requestId: 'r4', turnId: 't1', content: 'again', position: 1, attempt: 2 },
            ],
            held: true,
          },
        },
      ],
      't1',
      's1',
      's2',
      's3',
      'x1',
      'c1',
    );
    const text = JSON.stringify(log);
    for (const id of ['t1', 't2', prompt, 's1', 's2', 's3', 'x1', 'c1'])
      expect(text).not.toContain(`"${id}"`);
    const renewed = log[2]?.turnId ?? '';
    const said1 = (log[3] as Extract<Event, { type: 'assistant.segment.started' }>).payload
      .messageId;
    expect(log[1]).toMatchObject({
      turnId: renewed,
      payload: { messageId: promptMessageId(renewed) },
    });
    expect(log[4]).toMatchObject({ turnId: renewed, payload: { messageId: said1 } });
    expect(log[7]).toMatchObject({ payload: { turnId: renewed } });
    expect(log[14]).toMatchObject({ payload: { messageId: said1 } });
    expect(log[15]).toMatchObject({ payload: { messageId: null } });
    const { queue } = (log[16] as Extract<Event, { type: 'queue.changed' }>).payload;
    expect(queue).toMatchObject([
      { content: 'q', replaces: promptMessageId(renewed) },
      { content: 'again', turnId: renewed },
    ]);
    expect(queue[0]?.turnId).not.toBe(renewed);
  });

  it('2 a turn goes with its prompt’s message also when only that is taken', () => {
    const log = taken([created, wrote(promptMessageId('t1')), begun, done], promptMessageId('t1'));
    expect(log[2]?.turnId).not.toBe('t1');
    expect(log[1]?.payload).toMatchObject({ messageId: promptMessageId(log[2]?.turnId ?? '') });
  });

  it('2 what is not taken stays, but a turn that had not begun', () => {
    const waits = { requestId: 'r3', turnId: 't2', content: 'q', position: 0, attempt: 1 };
    const removed: NewEvent = {
      type: 'chat.cancelled',
      turnId: 't2',
      requestId: 'r3',
      payload: { by: 'user' },
    };
    const log = taken([
      created,
      wrote('m1'),
      begun,
      { type: 'queue.changed', payload: { queue: [waits] } },
      removed,
      { type: 'queue.changed', payload: { queue: [] } },
      done,
    ]);
    expect(log[2]?.turnId).toBe('t1');
    const { queue } = (log[3] as Extract<Event, { type: 'queue.changed' }>).payload;
    expect(queue[0]?.turnId).not.toBe('t2');
    expect(log[4]?.turnId).toBe(queue[0]?.turnId);
  });

  it('names the ids that a store may have: turns that began, rows, and the prompts of those turns', () => {
    const { turns, messages } = idsOf(stored([created, wrote('a1'), begun, opened('s1'), done]));
    expect(turns).toStrictEqual(['t1']);
    expect(messages.toSorted()).toStrictEqual(['a1', promptMessageId('t1'), 's1'].toSorted());
  });

  it('3 what ran is interrupted, what waited is cancelled, and no host has it', () => {
    const waits = { requestId: 'r3', turnId: 't1', content: 'q', position: 0, attempt: 2 };
    const log = taken([
      created,
      { type: 'conversation.updated', payload: { host: 'h1' } },
      { type: 'conversation.updated', payload: { host: 'h1', title: 'new' } },
      begun,
      { type: 'conversation.state', payload: { state: 'processing' } },
      { type: 'queue.changed', payload: { queue: [waits] } },
    ]);
    expect(types(log).slice(1)).toStrictEqual([
      'conversation.updated',
      'chat.started',
      'conversation.state',
      'queue.changed',
      'chat.interrupted',
      'conversation.state',
      'chat.cancelled',
      'queue.changed',
    ]);
    expect(log[1]?.payload).toStrictEqual({ title: 'new' });
    expect(log[5]).toStrictEqual({
      type: 'chat.interrupted',
      conversationId: 'new',
      ...turn,
      payload: { cause: 'imported', retryable: true },
      seq: 6,
      at: now,
    });
    expect(log[6]).toMatchObject({ at: now, payload: { state: 'idle' } });
    expect(log[7]).toMatchObject({ requestId: 'r3', payload: { by: 'imported' } });
    expect(log[7]).not.toHaveProperty('attempt');
    expect(log[8]?.payload).toStrictEqual({ queue: [], held: false });
  });

  it('3 what is over, idle and empty gets nothing more', () => {
    const waits = { requestId: 'r3', turnId: 't1', content: 'q', position: 0, attempt: 2 };
    const events: NewEvent[] = [
      created,
      begun,
      { type: 'conversation.state', payload: { state: 'processing' } },
      { type: 'queue.changed', payload: { queue: [waits], held: true } },
      { type: 'queue.changed', payload: { queue: [] } },
      done,
      { type: 'conversation.state', payload: { state: 'idle' } },
    ];
    expect(taken(events)).toHaveLength(events.length);
    const emptied: NewEvent = { type: 'queue.changed', payload: { queue: [], held: true } };
    expect(taken([...events, emptied])).toHaveLength(events.length + 1);
    const filled: NewEvent = { type: 'queue.changed', payload: { queue: [waits], held: true } };
    expect(taken([...events, filled])).toHaveLength(events.length + 3);
  });

  it('3 its mailbox and its place in a team stay where they were; what it says of mail stays', () => {
    const agent = { agentId: 'a', name: 'A', role: '', rootId: 'r', parentId: 'r', depth: 1 };
    const mark = { messageId: 'x', from: 'r', kind: 'task' as const };
    const log = taken([
      { ...created, payload: { ...created.payload, agent } },
      { type: 'mail.accepted', payload: { ...mark, content: 'do it' } },
      { type: 'mail.expired', payload: { messageId: 'x', from: 'r' } },
      { type: 'mail.again', payload: { messageId: 'x', from: 'r', sending: 2 } },
      {
        type: 'message.created',
        payload: { messageId: 'm1', role: 'user', content: 'x', mail: [mark] },
      },
    ]);
    expect(types(log)).toStrictEqual(['conversation.created', 'message.created']);
    expect(log[0]?.payload).not.toHaveProperty('agent');
    expect(log[1]?.payload).toMatchObject({ mail: [mark] });
    const changed = { type: 'agent.changed', payload: { agent: {} } } as unknown as NewEvent;
    expect(() => taken([created, changed])).toThrow('agent.changed is of another stream');
  });

  it('4 drops the pieces of what has its whole, and keeps the others', () => {
    const call = (messageId: string): NewEvent => ({
      type: 'tool.start',
      ...turn,
      payload: { toolCallId: 'c', messageId, name: '', input: 1 },
    });
    const printed = (text: string): NewEvent => ({
      type: 'tool.output',
      ...turn,
      payload: { toolCallId: 'c', text },
    });
    const log = taken([
      created,
      begun,
      opened('s1'),
      said('s1', 'a'),
      closed('s1', 'a'),
      opened('s2'),
      said('s2', 'b'),
      { type: 'assistant.segment.discarded', ...turn, payload: { messageId: 's2', reason: '' } },
      opened('s3'),
      said('s3', 'kept'),
      call('x1'),
      printed('gone'),
      { type: 'tool.end', ...turn, payload: { toolCallId: 'c', status: 'ok', output: 'gone' } },
      call('x2'),
      printed('kept'),
      done,
    ]);
    const pieces = log.filter(({ type }) => type === 'chat.delta' || type === 'tool.output');
    expect(pieces.map(({ payload }) => 'text' in payload && payload.text)).toStrictEqual([
      'kept',
      'kept',
    ]);
  });

  it.each<{ what: string; events: NewEvent[]; seq?: number }>([
    { what: 'an empty one', events: [] },
    { what: 'one without its creation', events: [begun], seq: 1 },
    { what: 'one that is created twice', events: [created, created], seq: 2 },
    { what: 'a table’s event', events: [created, { type: 'table.updated', payload: {} }], seq: 2 },
    { what: 'a row that begins twice', events: [created, wrote('m'), wrote('m')], seq: 3 },
    { what: 'two turns at once', events: [created, begun, { ...begun, turnId: 't2' }], seq: 3 },
    { what: 'an attempt that begins twice', events: [created, begun, done, begun], seq: 4 },
    { what: 'an end of nothing', events: [created, done], seq: 2 },
    { what: 'a second end', events: [created, begun, done, done], seq: 4 },
    {
      what: 'the end of another attempt',
      events: [created, begun, { ...done, attempt: 2 }],
      seq: 3,
    },
    {
      what: 'a turn without an id',
      events: [
        created,
        { type: 'chat.started', payload: { attempt: 1, provider: 'p', model: null } },
      ],
      seq: 2,
    },
    {
      what: 'an attempt that contradicts itself',
      events: [created, { ...begun, attempt: 2 }],
      seq: 2,
    },
    {
      what: 'a cut after nothing',
      events: [created, { type: 'history.cut', payload: { messageId: 'm', by: 'edit' } }],
      seq: 2,
    },
  ])('5 $what is refused', ({ events, seq }) => {
    expect(() => taken(events)).toThrow(
      expect.objectContaining({
        code: 'invalid_request',
        detail: seq === undefined ? {} : { seq },
      }),
    );
  });

  it('5 events out of order are refused', () => {
    const events = stored([created, wrote('m1'), wrote('m2')]);
    const swapped = [events[0], events[2], events[1]].flatMap((event) => event ?? []);
    const request = { conversationId: 'c', isTaken: () => false, newId: () => '', now };
    expect(() => adopted({ ...request, events: swapped })).toThrow(/out of order/);
    expect(() => adopted({ ...request, events: [...events, ...events.slice(2)] })).toThrow(
      /out of order/,
    );
  });

  it('1, 2: taken in twice, from anywhere, it folds to the same as it was', () => {
    fc.assert(
      fc.property(chapters, (life) => {
        let count = 0;
        const adopt = (events: readonly Event[], isTaken: boolean) =>
          adopted({
            conversationId: 'c1',
            events,
            isTaken: () => isTaken,
            newId: () => `n-${(count += 1)}`,
            now,
          });
        const once = adopt(life, false);
        const twice = adopt(once, true);
        const shown = (events: readonly Event[]) => {
          const view = foldEvents(emptyView('c1'), events);
          return {
            ...view,
            lastSeq: 0,
            messages: view.messages.map((row) => ({ ...row, messageId: '', turnId: '' })),
            queue: view.queue.map((item) => ({ ...item, turnId: '', replaces: '' })),
          };
        };
        expect(shown(twice)).toEqual(shown(once));
        const ids = (events: readonly Event[]) => [
          ...idsOf(events).turns,
          ...foldEvents(emptyView('c1'), events).messages.map(({ messageId }) => messageId),
        ];
        const before = new Set(ids(once));
        expect(ids(twice).filter((id) => before.has(id))).toStrictEqual([]);
        expect(new Set(ids(twice)).size).toBe(before.size);
      }),
      { numRuns: 60 },
    );
  });
});
