import * as fc from 'fast-check';
import { describe, expect, it } from 'vitest';

import type { NewEvent } from '../../src/contracts/events.ts';
import { isId } from '../../src/contracts/ids.ts';
import {
  decideTable,
  describeTable,
  parseTableSignal,
  type TableCommand,
  type TableDecision,
  type TableFacts,
} from '../../src/domain/table.ts';
import { deepFreeze } from './conversation-harness.ts';

const empty: TableFacts = { activeConversationId: null, running: null, waiting: [] };
const runs = (conversationId: string, cancelRequested = false): TableFacts['running'] => ({
  conversationId,
  cancelRequested,
});
/** Who waits, the one that has waited longest first. */
const waits = (...ids: string[]): TableFacts['waiting'] =>
  ids.map((conversationId, index) => ({
    conversationId,
    since: `2026-11-21T10:00:0${index}.000Z`,
  }));
const decideOn = (facts: TableFacts, command: TableCommand): TableDecision =>
  decideTable(deepFreeze(facts), command);

const activated = (
  conversationId: string,
  previous: string | null,
  reason: 'created' | 'user' | 'send' | 'queue',
  more: object = {},
): NewEvent => ({
  type: 'conversation.activated',
  conversationId,
  payload: { previous, reason, ...more },
});
const look = (conversationId: string) => ({ type: 'look', conversationId });
const cancel = (conversationId: string, by: string, holdQueue: boolean) => ({
  type: 'cancel',
  conversationId,
  by,
  holdQueue,
});
const nothing = { events: [], effects: [] };

const newChat: TableCommand = {
  type: 'newConversation',
  conversationId: 'new',
  title: '',
  provider: 'scripted',
  model: null,
};
const goTo = (whenBusy: 'queue' | 'reject' | 'interrupt', conversationId = 'b'): TableCommand => ({
  type: 'activate',
  commandId: 'k1',
  conversationId,
  whenBusy,
});
const want = (conversationId: string, interrupt = false): TableCommand => ({
  type: 'want',
  conversationId,
  interrupt,
});
const lookAgain = (yields: string | null = null): TableCommand => ({ type: 'look', yields });

describe('table: New chat', () => {
  it('is active at once; in an empty table there is nothing to leave', () => {
    expect(decideOn(empty, newChat)).toStrictEqual({
      events: [activated('new', null, 'created')],
      effects: [look('new')],
    });
  });

  it('what runs is cancelled and its queue held, and so is what waits where the person was', () => {
    const facts = { activeConversationId: 'b', running: runs('a'), waiting: waits('c', 'b') };
    expect(decideOn(facts, newChat)).toStrictEqual({
      events: [activated('new', 'b', 'created')],
      effects: [cancel('a', 'new-chat', true), cancel('b', 'new-chat', true), look('new')],
    });
  });

  it('what is being cancelled already is held all the same', () => {
    const facts = { activeConversationId: 'a', running: runs('a', true), waiting: [] };
    expect(decideOn(facts, newChat).effects).toStrictEqual([
      cancel('a', 'new-chat', true),
      look('new'),
    ]);
  });

  it('what waits elsewhere keeps its place', () => {
    const facts = { activeConversationId: 'a', running: null, waiting: waits('c') };
    expect(decideOn(facts, newChat).effects).toStrictEqual([look('new')]);
  });

  it('T2: once more, it leaves nothing of itself', () => {
    const facts = { activeConversationId: 'new', running: runs('new'), waiting: waits('new') };
    expect(decideOn(facts, newChat)).toStrictEqual({ events: [], effects: [look('new')] });
  });
});

describe('table: an old conversation is continued', () => {
  const facts: TableFacts = { activeConversationId: 'a', running: runs('a'), waiting: waits('c') };

  it('queue: active at once, and what runs is finished first', () => {
    expect(decideOn(facts, goTo('queue'))).toStrictEqual({
      events: [activated('b', 'a', 'user', { commandId: 'k1' })],
      effects: [look('b')],
    });
  });

  it('interrupt: what runs is cancelled, its queue held', () => {
    expect(decideOn(facts, goTo('interrupt'))).toStrictEqual({
      events: [activated('b', 'a', 'user', { commandId: 'k1' })],
      effects: [cancel('a', 'interrupt', true), look('b')],
    });
  });

  it('reject: not while another one runs', () => {
    expect(decideOn(facts, goTo('reject'))).toStrictEqual(nothing);
    expect(decideOn({ ...facts, running: null }, goTo('reject')).events).toHaveLength(1);
    expect(decideOn({ ...facts, running: runs('b') }, goTo('reject')).events).toHaveLength(1);
  });

  it('the active one: nothing moves; with interrupt, what runs elsewhere is cancelled', () => {
    expect(decideOn(facts, goTo('queue', 'a'))).toStrictEqual({ events: [], effects: [look('a')] });
    const elsewhere = { ...facts, activeConversationId: 'b' };
    expect(decideOn(elsewhere, goTo('interrupt'))).toStrictEqual({
      events: [],
      effects: [cancel('a', 'interrupt', true), look('b')],
    });
  });

  it('the one that runs is not cancelled to be continued', () => {
    expect(decideOn({ ...facts, running: runs('b') }, goTo('interrupt')).effects).toStrictEqual([
      look('b'),
    ]);
  });
});

describe('table: a conversation wants the slot', () => {
  it('nothing runs: whoever is active and waits, else who has waited longest', () => {
    const facts = { activeConversationId: 'a', running: null, waiting: waits('c', 'b') };
    expect(decideOn(facts, want('b'))).toStrictEqual({
      events: [activated('c', 'a', 'send')],
      effects: [look('c')],
    });
    // T3
    expect(decideOn({ ...facts, activeConversationId: 'b' }, want('c'))).toStrictEqual({
      events: [],
      effects: [look('b')],
    });
  });

  it('something runs: it waits for its end', () => {
    const facts = { activeConversationId: 'a', running: runs('a'), waiting: waits('b') };
    expect(decideOn(facts, want('b'))).toStrictEqual(nothing);
  });

  it('interrupt: it is active at once, and what runs is cancelled, its queue not held', () => {
    const facts = { activeConversationId: 'a', running: runs('a'), waiting: waits('c', 'b') };
    expect(decideOn(facts, want('b', true))).toStrictEqual({
      events: [activated('b', 'a', 'send')],
      effects: [cancel('a', 'interrupt', false)],
    });
    expect(decideOn({ ...facts, running: runs('a', true) }, want('b', true))).toStrictEqual({
      events: [activated('b', 'a', 'send')],
      effects: [],
    });
    expect(decideOn({ ...facts, running: null }, want('b', true))).toStrictEqual({
      events: [activated('b', 'a', 'send')],
      effects: [look('b')],
    });
  });

  it.each([true, false])(
    'T2: what it wanted has come true meanwhile (interrupt: %s)',
    (interrupt) => {
      const started = { activeConversationId: 'b', running: runs('b'), waiting: [] };
      expect(decideOn(started, want('b', interrupt))).toStrictEqual(nothing);
      const over = { activeConversationId: 'b', running: null, waiting: waits('c') };
      expect(decideOn(over, want('b', interrupt))).toStrictEqual({
        events: [activated('c', 'b', 'queue')],
        effects: [look('c')],
      });
      expect(decideOn(empty, want('b', interrupt))).toStrictEqual(nothing);
    },
  );
});

describe('table: a look', () => {
  it('W1: nothing runs and somebody waits: that one gets the slot, and is told to look', () => {
    const facts = { activeConversationId: 'a', running: null, waiting: waits('c', 'b') };
    expect(decideOn(facts, lookAgain())).toStrictEqual({
      events: [activated('c', 'a', 'queue')],
      effects: [look('c')],
    });
  });

  it('T3: the active one that waits keeps it, unless it gives way', () => {
    const facts = { activeConversationId: 'b', running: null, waiting: waits('c', 'b') };
    expect(decideOn(facts, lookAgain())).toStrictEqual({ events: [], effects: [look('b')] });
    expect(decideOn(facts, lookAgain('c'))).toStrictEqual({ events: [], effects: [look('b')] });
    expect(decideOn(facts, lookAgain('b'))).toStrictEqual({
      events: [activated('c', 'b', 'queue')],
      effects: [look('c')],
    });
  });

  it('who gives way and has waited longest after all goes on', () => {
    const facts = { activeConversationId: 'b', running: null, waiting: waits('b', 'c') };
    expect(decideOn(facts, lookAgain('b'))).toStrictEqual({ events: [], effects: [look('b')] });
    const alone = { ...facts, waiting: waits('b') };
    expect(decideOn(alone, lookAgain('b'))).toStrictEqual({ events: [], effects: [look('b')] });
  });

  it('S1: while something runs, or nobody waits, nothing is decided', () => {
    const facts = { activeConversationId: 'a', running: runs('a'), waiting: waits('b') };
    for (const yields of [null, 'a', 'b']) {
      expect(decideOn(facts, lookAgain(yields))).toStrictEqual(nothing);
      expect(decideOn({ ...facts, running: null, waiting: [] }, lookAgain(yields))).toStrictEqual(
        nothing,
      );
    }
  });
});

describe('table: its title', () => {
  it('is recorded, and moves nothing', () => {
    const facts = { activeConversationId: 'a', running: null, waiting: waits('b') };
    expect(decideOn(facts, { type: 'update', commandId: 'k1', title: 'Work' })).toStrictEqual({
      events: [{ type: 'table.updated', payload: { title: 'Work', commandId: 'k1' } }],
      effects: [],
    });
  });
});

describe('table: properties', () => {
  const id = fc.constantFrom('a', 'b', 'c', 'd');
  const anyFacts: fc.Arbitrary<TableFacts> = fc
    .record({
      activeConversationId: fc.option(id),
      running: fc.option(fc.record({ conversationId: id, cancelRequested: fc.boolean() })),
      waiting: fc.uniqueArray(id),
    })
    .map(({ waiting, ...facts }) => ({
      ...facts,
      // What runs does not wait.
      waiting: waits(...waiting.filter((each) => each !== facts.running?.conversationId)),
    }));
  const anyCommand: fc.Arbitrary<TableCommand> = fc.oneof(
    id.map((conversationId): TableCommand => Object.assign({ ...newChat }, { conversationId })),
    fc
      .tuple(fc.constantFrom('queue' as const, 'reject' as const, 'interrupt' as const), id)
      .map(([whenBusy, conversationId]) => goTo(whenBusy, conversationId)),
    fc
      .tuple(id, fc.boolean())
      .map(([conversationId, interrupt]) => want(conversationId, interrupt)),
    fc.option(id).map((yields) => lookAgain(yields)),
  );
  /** What is recorded has become true; nothing else has. */
  const recorded = (facts: TableFacts, { events }: TableDecision): TableFacts => {
    const [event] = events;
    const { activeConversationId } = facts;
    return { ...facts, activeConversationId: event?.conversationId ?? activeConversationId };
  };

  it('T2: decided twice, the slot is where it was, and no more is said than at first', () => {
    fc.assert(
      fc.property(anyFacts, anyCommand, (facts, command) => {
        const first = decideOn(facts, command);
        const again = decideOn(recorded(facts, first), command);
        expect(again.events).toEqual([]);
        expect(first.effects).toEqual(expect.arrayContaining(again.effects));
      }),
      { numRuns: 3_000 },
    );
  });

  it('T3, W1: only a person moves the slot while something runs, and a free slot goes to who waits', () => {
    fc.assert(
      fc.property(anyFacts, anyCommand, (facts, command) => {
        const { events, effects } = decideOn(facts, command);
        expect(events.length).toBeLessThanOrEqual(1);
        const { running, waiting, activeConversationId } = facts;
        const ids = waiting.map(({ conversationId }) => conversationId);
        const byPerson =
          command.type === 'newConversation' ||
          command.type === 'activate' ||
          (command.type === 'want' && command.interrupt && ids.includes(command.conversationId));
        const active = recorded(facts, { events, effects }).activeConversationId;
        const cancels = effects.filter(({ type }) => type === 'cancel');
        const holds = cancels.filter((effect) => effect.type === 'cancel' && effect.holdQueue);
        const expected = {
          // Nothing is cancelled, and nothing moves while something runs, but by a person.
          unmoved: byPerson || running === null || events.length === 0,
          kind: byPerson || cancels.length === 0,
          // Whoever is chosen is never left, or told to stop.
          spared: cancels.every(({ conversationId }) => conversationId !== active),
          // An interrupt by a message takes no queue away.
          held: command.type !== 'want' || holds.length === 0,
          // A slot that nobody uses goes to one of those who wait, and he is told.
          given:
            byPerson ||
            running !== null ||
            ids.length === 0 ||
            (ids.includes(active ?? '') && effects.some((each) => each.conversationId === active)),
          // The first in line, or the one that was active already.
          inLine:
            byPerson ||
            events.length === 0 ||
            (active === ids[0] && active !== activeConversationId),
        };
        expect(expected).toEqual({
          unmoved: true,
          kind: true,
          spared: true,
          held: true,
          given: true,
          inLine: true,
        });
      }),
      { numRuns: 5_000 },
    );
  });
});

describe('table: signals as an operator may type them', () => {
  it.each<{
    name: Parameters<typeof parseTableSignal>[0];
    value: unknown;
    command: TableCommand | null;
  }>([
    {
      name: 'newConversation',
      value: {
        conversationId: 'c9',
        title: 'x'.repeat(201),
        provider: 'claude',
        model: 'm',
        more: 1,
      },
      command: {
        type: 'newConversation',
        conversationId: 'c9',
        title: 'x'.repeat(200),
        provider: 'claude',
        model: 'm',
      },
    },
    {
      name: 'newConversation',
      value: { conversationId: 'c9', provider: 'claude', title: 7, model: 7 },
      command: {
        type: 'newConversation',
        conversationId: 'c9',
        title: '',
        provider: 'claude',
        model: null,
      },
    },
    { name: 'newConversation', value: { conversationId: 'c9' }, command: null },
    { name: 'newConversation', value: { conversationId: 'c9', provider: '' }, command: null },
    { name: 'newConversation', value: { conversationId: 'no id', provider: 'p' }, command: null },
    { name: 'newConversation', value: undefined, command: null },
    ...(['queue', 'reject', 'interrupt'] as const).map((whenBusy) => ({
      name: 'activate' as const,
      value: { commandId: 'k1', conversationId: 'b', whenBusy },
      command: goTo(whenBusy),
    })),
    {
      name: 'activate',
      value: { commandId: 'k1', conversationId: 'b', whenBusy: 'steer' },
      command: goTo('queue'),
    },
    { name: 'activate', value: { commandId: 'k1', conversationId: 'b' }, command: goTo('queue') },
    { name: 'activate', value: { conversationId: 'b' }, command: null },
    { name: 'activate', value: { commandId: 'k1' }, command: null },
    { name: 'activate', value: { commandId: 'k 1', conversationId: 'b' }, command: null },
    { name: 'activate', value: ['k1', 'b'], command: null },
    {
      name: 'updateTable',
      value: { commandId: 'k1', title: 'x'.repeat(201) },
      command: { type: 'update', commandId: 'k1', title: 'x'.repeat(200) },
    },
    {
      name: 'updateTable',
      value: { commandId: 'k1', title: '' },
      command: { type: 'update', commandId: 'k1', title: '' },
    },
    { name: 'updateTable', value: { commandId: 'k1' }, command: null },
    { name: 'updateTable', value: { title: 'x' }, command: null },
    { name: 'wantSlot', value: { conversationId: 'b', interrupt: true }, command: want('b', true) },
    { name: 'wantSlot', value: { conversationId: 'b', interrupt: 'yes' }, command: want('b') },
    { name: 'wantSlot', value: { conversationId: 'b' }, command: want('b') },
    { name: 'wantSlot', value: {}, command: null },
    { name: 'wantSlot', value: 'b', command: null },
    { name: 'look', value: undefined, command: lookAgain() },
    { name: 'look', value: null, command: lookAgain() },
    { name: 'look', value: {}, command: lookAgain() },
    { name: 'look', value: { yields: 'a' }, command: lookAgain('a') },
    { name: 'look', value: { yields: 'no id' }, command: lookAgain() },
    { name: 'look', value: 7, command: null },
  ])('$name $value', ({ name, value, command }) => {
    expect(parseTableSignal(name, value)).toStrictEqual(command);
  });

  it('property: anything at all is a well-formed command or null', () => {
    const name = fc.constantFrom(
      'newConversation' as const,
      'activate' as const,
      'updateTable' as const,
      'wantSlot' as const,
      'look' as const,
    );
    const given = fc.oneof(
      fc.anything(),
      fc.record(
        {
          conversationId: fc.oneof(fc.anything(), fc.constant('a')),
          commandId: fc.oneof(fc.anything(), fc.constant('k1')),
          yields: fc.oneof(fc.anything(), fc.constant('a')),
          title: fc.anything(),
          provider: fc.oneof(fc.anything(), fc.constant('p')),
          model: fc.anything(),
          whenBusy: fc.anything(),
          interrupt: fc.anything(),
        },
        { requiredKeys: [] },
      ),
    );
    fc.assert(
      fc.property(name, given, (signal, value) => {
        const command = parseTableSignal(signal, value);
        const ids = Object.entries(command ?? {}).filter(([key]) => key.endsWith('Id'));
        expect(ids.every(([, each]) => isId(each))).toBe(true);
        // Nothing that could not be carried to an activity.
        expect(JSON.parse(JSON.stringify(command))).toEqual(command);
      }),
      { numRuns: 1_000 },
    );
  });
});

describe('table: in words', () => {
  it('says which conversation is active', () => {
    expect(describeTable(null)).toBe('No conversation is active.');
    expect(describeTable('c1')).toBe('Conversation c1 is active.');
  });
});
