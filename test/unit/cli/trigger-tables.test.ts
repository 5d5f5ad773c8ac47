/** Numbers: the invariants of src/cli/trigger-tables.ts. */
import * as fc from 'fast-check';
import { describe, expect, test } from 'vitest';

import { countsLine, ledgerTable, triggerTable } from '../../../src/cli/trigger-tables.ts';
import type { TriggerScheduleValue } from '../../../src/contracts/events.ts';
import type { LedgerRowValue, TriggerViewValue } from '../../../src/contracts/triggers.ts';

const now = '2026-11-22T12:00:00.000Z';
const reader = { nowMs: Date.parse(now), timezone: 'Europe/Berlin' };
const counts = { fired: 0, late: 0, 'caught-up': 0, skipped: 0, rejected: 0 };

function row(change: Partial<LedgerRowValue> = {}): LedgerRowValue {
  return {
    triggerId: 'g1',
    dueAt: '2026-11-22T02:00:00.000Z',
    decidedAt: '2026-11-22T02:00:00.300Z',
    outcome: 'fired',
    words: 'In time.',
    rule: 'r1',
    cause: 'due',
    ...change,
  };
}

function trigger(change: Partial<TriggerViewValue> = {}): TriggerViewValue {
  return {
    triggerId: 'g1',
    title: 'nightly',
    tableId: null,
    conversationId: 'c1',
    content: 'Look at the build.\nThen say so.',
    schedule: { cron: '0 3 * * *', timezone: 'Europe/Berlin' },
    jitterMs: 0,
    startAt: null,
    endAt: null,
    missed: { policy: 'skip' },
    whenBusy: 'queue',
    newConversation: false,
    paused: false,
    rule: 'r1',
    createdAt: now,
    updatedAt: now,
    nextDueAt: '2026-11-22T12:04:00.000Z',
    counts,
    last: null,
    trouble: null,
    ...change,
  };
}

/** The one line of a trigger, by columns. */
function cells(change: Partial<TriggerViewValue>): string[] {
  const [, line = ''] = triggerTable([trigger(change)], reader).split('\n');
  return line.split(/ {2,}/);
}

test('a table lines up, and says what went wrong last below its trigger', () => {
  const troubled = trigger({
    triggerId: 'a-longer-id',
    title: '',
    schedule: { everyMs: 300_000, timezone: 'UTC' },
    last: row(),
    trouble: row({
      dueAt: '2026-11-21T02:00:00.000Z',
      outcome: 'skipped',
      reason: 'missed',
      words: 'Nobody was there.',
    }),
  });
  expect(triggerTable([trigger(), troubled], reader)).toBe(
    [
      'ID           MESSAGE                            WHEN                          NEXT DUE                      LAST',
      'g1           nightly                            cron 0 3 * * * Europe/Berlin  2026-11-22 13:04:00 in 4 min  nothing yet',
      'a-longer-id  "Look at the build. Then say so."  every 5 min                   2026-11-22 13:04:00 in 4 min  fired 2026-11-22 03:00:00',
      '  ! skipped (missed) 2026-11-21 03:00:00: Nobody was there.',
      '',
    ].join('\n'),
  );
});

test.each<[TriggerScheduleValue, string]>([
  [{ cron: '@hourly', timezone: 'UTC' }, 'cron @hourly UTC'],
  [{ everyMs: 1_500, timezone: 'UTC' }, 'every 1.5 s'],
  [{ everyMs: 60_000, timezone: 'UTC' }, 'every 1 min'],
  [{ everyMs: 90_000, timezone: 'UTC' }, 'every 90 s'],
  [{ everyMs: 7_200_000, timezone: 'UTC' }, 'every 2 h'],
  [{ everyMs: 86_400_000, timezone: 'UTC' }, 'every 1 day'],
  [{ everyMs: 172_800_000, timezone: 'UTC' }, 'every 2 days'],
  [{ at: '2026-12-24T18:00', timezone: 'Asia/Tokyo' }, 'at 2026-12-24T18:00 Asia/Tokyo'],
])('2: %j is %s', (schedule, said) => {
  expect(cells({ schedule })[2]).toBe(said);
});

test.each<[Partial<TriggerViewValue>, string]>([
  [{ nextDueAt: '2026-11-22T12:00:00.000Z' }, '2026-11-22 13:00:00 now'],
  [{ nextDueAt: '2026-11-22T11:59:00.000Z' }, '2026-11-22 12:59:00 now'],
  [{ nextDueAt: '2026-11-22T12:00:00.200Z' }, '2026-11-22 13:00:00 in 1 s'],
  [{ nextDueAt: '2026-11-22T12:01:30.000Z' }, '2026-11-22 13:01:30 in 90 s'],
  [{ nextDueAt: '2026-11-22T13:30:00.000Z' }, '2026-11-22 14:30:00 in 90 min'],
  [{ nextDueAt: '2026-11-23T11:40:00.000Z' }, '2026-11-23 12:40:00 in 24 h'],
  // On the other side of the change of the clock.
  [{ nextDueAt: '2027-07-01T01:00:00.000Z' }, '2027-07-01 03:00:00 in 221 days'],
  [{ nextDueAt: null }, 'never again'],
  [{ nextDueAt: null, paused: true }, 'paused'],
])('2: next due, %j, is %s', (change, said) => {
  expect(cells(change)[3]).toBe(said);
});

test('a ledger is a line a row, in its order, with why', () => {
  const rows = [
    row({ outcome: 'rejected', reason: 'not_found', words: 'There is no conversation c1.' }),
    row({ dueAt: '2026-11-21T02:00:00.000Z', conversationId: 'c1' }),
  ];
  expect(ledgerTable(rows, reader)).toBe(
    [
      'DUE                  OUTCOME               CONVERSATION  WHY',
      '2026-11-22 03:00:00  rejected (not_found)  -             There is no conversation c1.',
      '2026-11-21 03:00:00  fired                 c1            In time.',
      '',
    ].join('\n'),
  );
  expect(countsLine({ ...counts, fired: 2, 'caught-up': 1 })).toBe(
    'In all: 2 fired, 0 late, 1 caught-up, 0 skipped, 0 rejected.\n',
  );
});

describe('1: what somebody else wrote', () => {
  test.each([
    ['an escape', '\u001b[2Jgone', '␛[2Jgone'],
    ['a title of the terminal', '\u001b]0;x\u0007', '␛]0;x␇'],
    ['a line end', 'one\r\ntwo\u2028three', 'one two three'],
    ['a turned direction', 'abc\u202edef', 'abc def'],
    ['more than a column', 'x'.repeat(60), `${'x'.repeat(39)}…`],
    ['half a character', '🙂'.repeat(60), `${'🙂'.repeat(39)}…`],
  ])('%s', (_what, title, shown) => {
    expect(cells({ title })[1]).toBe(shown);
  });

  test('is one line of printable text, whatever it is', () => {
    const text = fc.string({ unit: 'binary', maxLength: 300 });
    fc.assert(
      fc.property(text, text, text, (title, content, words) => {
        const told = row({ words, reason: title });
        const table = triggerTable(
          [trigger({ title, content, last: told, trouble: told })],
          reader,
        );
        const ledger = ledgerTable([told], reader);
        expect(table.split('\n')).toHaveLength(4);
        expect(ledger.split('\n')).toHaveLength(3);
        // oxlint-disable-next-line no-control-regex
        expect(table + ledger).not.toMatch(/[\u0000-\u0009\u000b-\u001f\u007f-\u009f\u2028\u202e]/);
      }),
    );
  });
});
