import { createElement } from 'react';
import { renderToStaticMarkup } from 'react-dom/server';
import { describe, expect, test } from 'vitest';

import { countsWords, outcomeTone } from '../../../web/panels/ledger-words.ts';
import {
  cronWords,
  everyWords,
  scheduleWords,
  zoneWords,
} from '../../../web/panels/schedule-words.ts';
import { TriggerCard } from '../../../web/panels/trigger-card.tsx';
import {
  createBody,
  emptyForm,
  faultsOf,
  formOf,
  patchBody,
  type TriggerForm,
} from '../../../web/panels/trigger-form.ts';
import { ledgerRow, minutesAgo, trigger } from '../app/fixtures.ts';

describe('a schedule in words', () => {
  test.each([
    [60_000, 'every minute'],
    [300_000, 'every 5 minutes'],
    [90_000, 'every 90 seconds'],
    [86_400_000, 'every day'],
    [1_500, 'every 1.5 seconds'],
  ])('every %i ms: %s', (everyMs, words) => {
    expect(everyWords(everyMs)).toBe(words);
  });
  test.each([
    ['* * * * *', 'every minute'],
    ['*/15 * * * *', 'every 15 minutes'],
    ['0 * * * *', 'every hour'],
    ['5 * * * *', 'every hour at :05'],
    ['0 3 * * *', 'every day at 03:00'],
    ['30 9 * * 1-5', 'Mondays to Fridays at 09:30'],
    ['0 8 * * 0', 'Sundays at 08:00'],
    ['0 8 * * 7', 'Sundays at 08:00'],
    ['0 8 * * 1,3', 'Mondays, Wednesdays at 08:00'],
    ['0 0 1 * *', 'on the 1st of each month at 00:00'],
    ['0 0 22 * *', 'on the 22nd of each month at 00:00'],
    ['0 0 13 * *', 'on the 13th of each month at 00:00'],
    ['@daily', 'every day at 00:00'],
  ])('%s: %s', (cron, words) => {
    expect(cronWords(cron)).toBe(words);
  });
  test.each([
    '*/7 * * * *', // begins anew with each hour
    '0 9 1 * 1', // either of the two
    '0 3 * 6 *',
    '30 0 3 * * *', // seconds first
    '99 3 * * *',
    '0 24 * * *',
    '0 9 0 * *',
    '0 9-17 * * *',
    '0 9 * * fri',
    '__proto__',
    '',
  ])('words would be wrong of %j: it stays as it is written', (cron) => {
    expect(cronWords(cron)).toBeNull();
    expect(scheduleWords({ cron, timezone: 'UTC' })).toBe(`cron ${cron}`);
  });
  test('once: a local time as it is written', () => {
    expect(scheduleWords({ at: '2026-12-01T09:00', timezone: 'UTC' })).toBe(
      'once, 2026-12-01 09:00',
    );
  });
  test('the zone is said where it matters', () => {
    expect(zoneWords({ cron: '0 3 * * *', timezone: 'Europe/Berlin' }, 'UTC')).toBe(
      'Europe/Berlin',
    );
    expect(zoneWords({ cron: '0 3 * * *', timezone: 'UTC' }, 'UTC')).toBeNull();
    expect(zoneWords({ everyMs: 1_000, timezone: 'Europe/Berlin' }, 'UTC')).toBeNull();
  });
});

describe('the form', () => {
  const target = { tableId: 't1', conversationId: 'c1' };
  const form = (part: Partial<TriggerForm>): TriggerForm => ({
    ...emptyForm('Europe/Berlin', target),
    content: 'Do it',
    ...part,
  });

  test('asks for what was typed, to this conversation unless the table is chosen', () => {
    expect(createBody(form({ everyCount: '1.5', title: ' t ' }), target, 'g9')).toEqual({
      triggerId: 'g9',
      title: 't',
      content: 'Do it',
      schedule: { everyMs: 5_400_000, timezone: 'Europe/Berlin' },
      missed: { policy: 'run-once' },
      whenBusy: 'queue',
      conversationId: 'c1',
    });
    const body = createBody(
      form({ target: 'table', newConversation: true, kind: 'cron', cron: ' 0 3 * * * ' }),
      target,
      'g9',
    );
    expect(body).toMatchObject({
      tableId: 't1',
      newConversation: true,
      schedule: { cron: '0 3 * * *', timezone: 'Europe/Berlin' },
    });
    expect(body).not.toHaveProperty('conversationId');
  });
  test('a number belongs to its policy alone', () => {
    const missed = (part: Partial<TriggerForm>) => createBody(form(part), target, 'g').missed;
    expect(missed({ policy: 'run-all', limit: '5' })).toEqual({ policy: 'run-all', limit: 5 });
    expect(missed({ policy: 'window', windowMinutes: '1.5' })).toEqual({
      policy: 'window',
      windowMs: 90_000,
    });
    expect(missed({ policy: 'skip', limit: '5' })).toEqual({ policy: 'skip' });
  });
  test.each([
    [{ content: ' ' }, 'content'],
    [{ everyCount: '' }, 'everyCount'],
    [{ everyCount: 'x' }, 'everyCount'],
    [{ everyCount: '0.1', everyUnit: 'seconds' }, 'everyCount'],
    [{ kind: 'at' }, 'at'],
    [{ kind: 'cron', cron: ' ' }, 'cron'],
    [{ policy: 'run-all', limit: '0' }, 'limit'],
    [{ policy: 'window', windowMinutes: '-1' }, 'windowMinutes'],
  ] as [Partial<TriggerForm>, string][])('%j is at fault in %s', (part, field) => {
    expect(Object.keys(faultsOf(form(part)))).toEqual([field]);
  });
  test('nothing is at fault that is not asked for', () => {
    expect(faultsOf(form({ kind: 'cron', everyCount: 'x', at: '', limit: '' }))).toEqual({});
  });

  const kinds = [
    trigger({ title: 'A' }),
    trigger({ schedule: { cron: '0 3 * * *', timezone: 'Asia/Tokyo' } }),
    trigger({ schedule: { at: '2026-12-01T09:00:00+01:00', timezone: 'UTC' } }),
    trigger({
      schedule: { everyMs: 90_000, timezone: 'UTC' },
      missed: { policy: 'run-all', limit: 3 },
    }),
    trigger({ schedule: { everyMs: 1_500, timezone: 'UTC' } }),
    trigger({ missed: { policy: 'window', windowMs: 90_000 } }),
    trigger({ tableId: 't1', conversationId: null, newConversation: true }),
  ];
  test.each(kinds)('a form that was opened and not changed asks for nothing: %#', (each) => {
    expect(faultsOf(formOf(each))).toEqual({});
    expect(patchBody(formOf(each), each)).toBeNull();
  });
  test('only what changed is asked for, so that another title keeps the rule', () => {
    const before = trigger({ title: 'A' });
    expect(patchBody({ ...formOf(before), title: 'B' }, before)).toEqual({ title: 'B' });
    expect(patchBody({ ...formOf(before), timezone: 'Asia/Tokyo' }, before)).toEqual({
      schedule: { everyMs: 3_600_000, timezone: 'Asia/Tokyo' },
    });
  });
});

describe('a ledger', () => {
  test('what a pause has skipped is no trouble', () => {
    expect(outcomeTone(ledgerRow({ outcome: 'skipped', reason: 'paused' }))).toBe('plain');
    expect(outcomeTone(ledgerRow({ outcome: 'skipped', reason: 'missed' }))).toBe('warn');
    expect(outcomeTone(ledgerRow({ outcome: 'rejected' }))).toBe('bad');
    expect(outcomeTone(ledgerRow())).toBe('good');
  });
  test('counts without what never was', () => {
    expect(countsWords({ fired: 12, late: 0, 'caught-up': 1, skipped: 3, rejected: 0 })).toBe(
      '12 fired, 1 caught up, 3 skipped',
    );
    expect(countsWords({ fired: 0, late: 0, 'caught-up': 0, skipped: 0, rejected: 0 })).toBe(
      'never due yet',
    );
  });
});

describe('a trigger', () => {
  const none = () => {};
  const card = (part: Parameters<typeof trigger>[0]) =>
    renderToStaticMarkup(
      createElement(TriggerCard, {
        trigger: trigger(part),
        isHere: true,
        onEdit: none,
        onPause: none,
        onFire: none,
        onRemove: none,
        onLedger: none,
        onOpenConversation: none,
      }),
    );
  test('says when, what came of the last time, and the trouble', () => {
    const trouble = ledgerRow({
      outcome: 'rejected',
      words: 'Too many wait.',
      dueAt: minutesAgo(9),
    });
    const markup = card({ title: 'Report', trouble });
    for (const words of [
      'Report',
      'every hour',
      'Fired',
      'Rejected',
      'Too many wait.',
      'this conversation',
    ])
      expect(markup).toContain(words);
    expect(markup).toContain('aria-label="Pause Report"');
  });
  test('paused, it says so and can be resumed', () => {
    const markup = card({ title: 'Report', paused: true, nextDueAt: null });
    expect(markup).toContain('aria-label="Resume Report"');
    expect(markup).toContain('>paused<');
  });
  test('one without a title is called by its first line', () => {
    expect(card({ content: 'First\nSecond' })).toContain('>First<');
  });
});
