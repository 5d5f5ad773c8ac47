/** Numbers are those of table-fold.ts. */
import * as fc from 'fast-check';
import { Errors } from 'typebox/value';
import { describe, expect, it } from 'vitest';

import type { ConversationSummaryValue, Event, NewEvent } from '../../src/contracts/events.ts';
import { TableView, type TableViewValue } from '../../src/contracts/view.ts';
import { emptyTableView, foldTableEvents } from '../../src/domain/table-fold.ts';
import { deepFreeze } from './conversation-harness.ts';
import { stored } from './reports.ts';

const at = (second: number) => new Date(Date.UTC(2026, 0, 1) + second * 1_000).toISOString();

function summary(
  conversationId: string,
  second: number,
  rest: Partial<ConversationSummaryValue> = {},
): ConversationSummaryValue {
  return {
    conversationId,
    tableId: 'tb',
    title: conversationId,
    archived: false,
    provider: 'p',
    model: null,
    createdAt: at(0),
    forkedFrom: null,
    state: 'idle',
    lastLine: '',
    messageCount: 0,
    turnCount: 0,
    queued: 0,
    held: false,
    approvals: 0,
    lastAt: at(second),
    ...rest,
  };
}
const listed = (conversation: ConversationSummaryValue): NewEvent => ({
  type: 'conversation.listed',
  conversationId: conversation.conversationId,
  payload: { conversation },
});
const state = (
  conversationId: string,
  payload: Extract<NewEvent, { type: 'conversation.state' }>['payload'],
): NewEvent => ({ type: 'conversation.state', conversationId, payload });

/** The view after `events`, each in its turn, on views that must not change. */
function viewAfter(from: TableViewValue, ...events: NewEvent[]): TableViewValue {
  return stored(events, from.lastSeq).reduce(
    (view, event) => deepFreeze(foldTableEvents(view, [event])),
    deepFreeze(from),
  );
}
const empty = emptyTableView('tb');
const ids = ({ conversations }: TableViewValue) =>
  conversations.map(({ conversationId }) => conversationId).join('');
/** A page that shows these, with more below it. */
const page = (...shown: ConversationSummaryValue[]): TableViewValue => ({
  ...empty,
  conversations: shown,
  hasOlder: true,
  lastSeq: 9,
});

describe('what each event does', () => {
  it('of no events, a view is empty and well-formed', () => {
    expect(Errors(TableView, empty)).toEqual([]);
    expect(empty).toMatchObject({ conversations: [], hasOlder: false, lastSeq: 0 });
  });

  it('a table’s own events change its facts', () => {
    const facts = { title: 'T', workspacePath: '/w', provider: 'p', model: 'm' };
    const view = viewAfter(
      empty,
      { type: 'table.created', payload: facts },
      {
        type: 'conversation.activated',
        conversationId: 'a',
        payload: { previous: null, reason: 'created' },
      },
      { type: 'table.updated', payload: { commandId: 'c' } },
    );
    expect(view).toStrictEqual({
      ...empty,
      ...facts,
      createdAt: at(1),
      activeConversationId: 'a',
      lastSeq: 3,
    });
    const later = viewAfter(
      view,
      { type: 'table.updated', payload: { title: 'renamed' } },
      {
        type: 'conversation.activated',
        conversationId: 'b',
        payload: { previous: 'a', reason: 'user' },
      },
    );
    expect(later).toMatchObject({ title: 'renamed', activeConversationId: 'b', provider: 'p' });
  });

  it('3 conversations come newest first, equal times by id, archived ones not at all', () => {
    const view = viewAfter(
      empty,
      listed(summary('b', 1)),
      listed(summary('d', 3)),
      listed(summary('c', 3)),
      listed(summary('e', 2, { archived: true })),
      listed(summary('a', 1)),
    );
    expect(ids(view)).toBe('dcba');
    const archived = viewAfter(view, listed(summary('c', 3, { archived: true })));
    expect(ids(archived)).toBe('dba');
    expect(ids(viewAfter(archived, listed(summary('c', 3))))).toBe('dcba');
  });

  it('a state changes what it says, keeps the rest and the names, and moves it to its place', () => {
    const view = viewAfter(
      empty,
      listed(summary('a', 1, { lastLine: 'x' })),
      listed(summary('b', 2)),
    );
    const told = {
      state: 'processing' as const,
      lastAt: at(3),
      queued: 2,
      held: true,
      approvals: 1,
    };
    const moved = viewAfter(view, state('a', told));
    expect(moved.conversations).toStrictEqual([
      summary('a', 3, { ...told, lastLine: 'x' }),
      summary('b', 2),
    ]);
    expect(moved.conversations[1]).toBe(view.conversations[0]);
    const counts = {
      lastLine: '',
      messageCount: 4,
      turnCount: 2,
      held: false,
      queued: 0,
      approvals: 0,
    };
    expect(
      viewAfter(moved, state('a', { state: 'idle', ...counts })).conversations[0],
    ).toStrictEqual(summary('a', 3, { ...counts }));
    const unknown = state('a', { state: 'idle', title: 'not here' } as never);
    expect(viewAfter(moved, unknown).conversations[0]?.title).toBe('a');
  });

  it('a state of one that is not in the view changes nothing but lastSeq', () => {
    const view = viewAfter(empty, listed(summary('a', 1)));
    const after = viewAfter(view, state('archived', { state: 'idle', lastAt: at(9) }));
    expect(after).toStrictEqual({ ...view, lastSeq: 2 });
    expect(after.conversations).toBe(view.conversations);
  });

  it('5 an unknown event moves lastSeq alone', () => {
    const view = viewAfter(empty, { type: 'agent.spawned', payload: {} } as unknown as NewEvent);
    expect(view).toStrictEqual({ ...empty, lastSeq: 1 });
  });

  it('1 what is known changes nothing, and gives back the same view', () => {
    const events = stored([listed(summary('a', 1)), listed(summary('b', 2))]);
    const view = foldTableEvents(empty, events);
    expect(foldTableEvents(view, events)).toBe(view);
    expect(foldTableEvents(view, [])).toBe(view);
    expect(foldTableEvents(foldTableEvents(empty, events.slice(0, 1)), events)).toStrictEqual(view);
    const twice = events.flatMap((event) => [event, event]);
    expect(foldTableEvents(empty, twice)).toStrictEqual(view);
  });
});

describe('4 a page', () => {
  it('takes in what comes up into it, and leaves below what is below', () => {
    const view = page(summary('b', 6), summary('a', 4));
    expect(ids(viewAfter(view, listed(summary('c', 9))))).toBe('cba');
    expect(ids(viewAfter(view, listed(summary('c', 5))))).toBe('bca');
    expect(ids(viewAfter(view, listed(summary('c', 4))))).toBe('bca');
    expect(ids(viewAfter(view, listed(summary('A', 4))))).toBe('ba');
    expect(ids(viewAfter(view, listed(summary('c', 3))))).toBe('ba');
  });

  it('keeps its last when that is renamed, and lets go of what sinks below its end', () => {
    const view = page(summary('b', 6), summary('a', 4));
    const renamed = viewAfter(view, listed(summary('a', 4, { title: 'new' })));
    expect(renamed.conversations.map(({ title }) => title)).toStrictEqual(['b', 'new']);
    expect(ids(viewAfter(view, listed(summary('b', 3))))).toBe('a');
    expect(ids(viewAfter(view, listed(summary('a', 3))))).toBe('b');
    expect(ids(viewAfter(view, listed(summary('b', 4))))).toBe('ba');
  });

  it('that is empty takes in only what has just happened', () => {
    const events = (second: number) => [listed(summary('c', second))];
    expect(ids(viewAfter(page(), ...events(10)))).toBe('c');
    expect(ids(viewAfter(page(), ...events(9)))).toBe('');
    expect(ids(viewAfter({ ...page(), hasOlder: false }, ...events(9)))).toBe('c');
  });

  it('1, 2, L4: joined at any moment, of any size, it stays the top of the whole', () => {
    const act = fc.record({
      id: fc.constantFrom('a', 'b', 'c', 'd', 'e', 'f'),
      type: fc.constantFrom(
        'happens' as const,
        'happens' as const,
        'archives' as const,
        'renames' as const,
      ),
    });
    fc.assert(
      fc.property(
        fc.array(act, { maxLength: 60, size: 'max' }),
        fc.nat(60),
        fc.nat(6),
        (acts, join, size) => {
          const log = asTheStoreTells(acts);
          const then = foldTableEvents(deepFreeze(emptyTableView('tb')), log.slice(0, join));
          const joined = deepFreeze({
            ...then,
            conversations: then.conversations.slice(0, size),
            hasOlder: then.conversations.length > size,
          });
          const whole = foldTableEvents(then, deepFreeze(log));
          const one = log.reduce(
            (view, event) => deepFreeze(foldTableEvents(view, [event])),
            joined,
          );
          expect(foldTableEvents(joined, log)).toStrictEqual(one);
          expect(one).toStrictEqual({
            ...whole,
            conversations: whole.conversations.slice(0, one.conversations.length),
            hasOlder: one.hasOlder,
          });
          expect(one.hasOlder || ids(one) === ids(whole)).toBe(true);
          // It loses what is archived, and nothing else.
          const archivals = acts.filter(({ type }) => type === 'archives').length;
          expect(one.conversations.length).toBeGreaterThanOrEqual(
            joined.conversations.length - archivals,
          );
        },
      ),
      { numRuns: 300 },
    );
  });
});

/** T1 in a few lines: a second passes with each act; what comes up from below is told as a whole. */
function asTheStoreTells(
  acts: readonly { id: string; type: 'happens' | 'archives' | 'renames' }[],
): Event[] {
  const known = new Map<string, ConversationSummaryValue>();
  const events = acts.map(({ id, type }, index): NewEvent => {
    const before = known.get(id);
    const rest = { title: `${index}`, archived: before?.archived !== true };
    const happens = before === undefined || type === 'happens';
    const after: ConversationSummaryValue = happens
      ? { ...(before ?? summary(id, 0)), lastAt: at(index + 1), messageCount: index }
      : {
          ...before,
          title: rest.title,
          archived: type === 'archives' ? rest.archived : before.archived,
        };
    const top = [...known.values()]
      .filter(({ archived }) => !archived)
      .toSorted((a, b) => (a.lastAt < b.lastAt ? 1 : -1))[0];
    known.set(id, after);
    const { state: name, lastAt, messageCount } = after;
    return happens && before !== undefined && (top === before || before.archived)
      ? state(id, { state: name, lastAt, messageCount })
      : listed(after);
  });
  return stored(events);
}
