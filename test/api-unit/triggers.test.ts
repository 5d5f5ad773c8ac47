/** Triggers over HTTP: making, editing and removing them, their ledgers, running one by hand and afterwards. */
import { describe, expect, it } from 'vitest';

import type {
  DecidedFireValue,
  NewEvent,
  TriggerDefinitionValue,
} from '../../src/contracts/events.ts';
import { triggerStream } from '../../src/contracts/ids.ts';
import {
  BACKFILL_DEFAULT,
  COUNT_LIMIT,
  JITTER_LIMIT_MS,
  LIST_LIMIT,
  MISSED_WINDOW_LIMIT_MS,
  MISSED_WINDOW_MS,
  PROMPT_LIMIT_BYTES,
  RUN_ALL_DEFAULT,
  RUN_ALL_LIMIT,
  TITLE_LIMIT_CHARS,
  TRIGGER_INTERVAL_MS,
  TRIGGER_LIMIT,
} from '../../src/contracts/limits.ts';
import type { Room } from '../../src/store/disk-room.ts';
import { type Answer, Gateway, type GatewayOptions } from './gateway-harness.ts';

const items = ({ body }: Answer): Record<string, unknown>[] =>
  body['items'] as Record<string, unknown>[];
const ids = (answer: Answer): unknown[] => items(answer).map((item) => item['triggerId']);
/** What an answer came to, in short. */
const verdict = ({ status, body }: Answer): unknown[] => [status, body['code']];
const stamp = (ms: number): string => new Date(ms).toISOString();
const future = (ms: number): string => stamp(Date.now() + ms);
const daily = { cron: '0 3 * * *', timezone: 'Europe/Berlin' };

/** With the conversation c1 and the table t1. */
async function start(options?: GatewayOptions): Promise<Gateway> {
  const gateway = await Gateway.start(options);
  await gateway.conversation();
  await gateway.table();
  return gateway;
}

async function made(gateway: Gateway, body: object = {}): Promise<Answer> {
  const answer = await gateway.post('/v1/triggers', {
    triggerId: 'g1',
    conversationId: 'c1',
    content: 'hello',
    schedule: daily,
    ...body,
  });
  if (answer.status !== 200) throw new Error(`not made: ${answer.text}`);
  return answer;
}

/** Of the trigger's stream, by type. */
async function recorded(gateway: Gateway, type: string, triggerId = 'g1') {
  const { items: events } = await gateway.store.events(triggerStream(triggerId), 0, 1_000_000);
  return events
    .filter((event) => event.type === type)
    .map(({ json }) => (JSON.parse(json) as { payload: Record<string, unknown> }).payload);
}

const definition: TriggerDefinitionValue = {
  title: 'stored',
  tableId: null,
  conversationId: 'c1',
  content: 'hello',
  schedule: { everyMs: 60_000, timezone: 'UTC' },
  jitterMs: 0,
  startAt: null,
  endAt: '2026-01-01T00:03:00.000Z',
  missed: { policy: 'skip' },
  whenBusy: 'queue',
  newConversation: false,
  paused: false,
};

/** A trigger of every minute that was made in the past, as no gateway would make it now; it has ended since. */
async function old(
  gateway: Gateway,
  change: Partial<TriggerDefinitionValue>,
  { triggerId = 'g1', decidedUntil = '2026-01-01T00:00:00.000Z' } = {},
): Promise<void> {
  await gateway.store.append({
    stream: triggerStream(triggerId),
    key: 'created',
    events: [
      {
        type: 'trigger.created',
        payload: {
          triggerId,
          rule: 'r1',
          definition: { ...definition, ...change },
          decidedUntil,
          nextDueAt: null,
        },
      },
    ],
  });
}

/** Rows of due times, decided up to the last of them. */
async function decided(
  gateway: Gateway,
  from: string,
  fires: (Pick<DecidedFireValue, 'dueAt' | 'outcome'> & Partial<DecidedFireValue>)[],
): Promise<void> {
  const until = fires.at(-1)?.dueAt ?? from;
  await gateway.store.append({
    stream: triggerStream('g1'),
    events: [
      {
        type: 'trigger.decided',
        payload: {
          triggerId: 'g1',
          cause: 'due',
          from,
          until,
          nextDueAt: null,
          fires: fires.map((fire) => ({
            decidedAt: until,
            words: `it is ${fire.outcome}`,
            rule: 'r1',
            ...fire,
          })),
        },
      },
    ],
  });
}

describe('POST /v1/triggers', () => {
  it('answers with the trigger that its workflow recorded, with what was left out filled in', async () => {
    const gateway = await start();
    const { status, body } = await gateway.post('/v1/triggers', {
      triggerId: 'g1',
      conversationId: 'c1',
      content: 'hello',
      schedule: { cron: '0 3 * * *' },
    });
    expect(status).toBe(200);
    expect(body).toEqual({
      triggerId: 'g1',
      title: '',
      tableId: null,
      conversationId: 'c1',
      content: 'hello',
      schedule: { cron: '0 3 * * *', timezone: 'UTC' },
      jitterMs: 0,
      startAt: null,
      endAt: null,
      missed: { policy: 'run-once' },
      whenBusy: 'queue',
      newConversation: false,
      paused: false,
      rule: 'r1',
      createdAt: expect.stringMatching(/^\d{4}-.*Z$/) as unknown,
      updatedAt: body['createdAt'],
      nextDueAt: expect.stringMatching(/^\d{4}-\d\d-\d\dT03:00:00\.000Z$/) as unknown,
      counts: { fired: 0, late: 0, 'caught-up': 0, skipped: 0, rejected: 0 },
      last: null,
      trouble: null,
    });
    expect((await gateway.get('/v1/triggers/g1')).body).toEqual(body);
  });

  it('writes what was asked for in one form: UTC with milliseconds, whole policies, Unicode text', async () => {
    const gateway = await start();
    const { body } = await gateway.post('/v1/triggers', {
      tableId: 't1',
      conversationId: null,
      title: 'half \ud83d',
      content: 'half \ud83d',
      schedule: { everyMs: 5_000 },
      jitterMs: 4_999,
      startAt: '2199-01-01T02:00:00+02:00',
      endAt: '2199-01-02t00:00:00.1234z',
      missed: { policy: 'window' },
      whenBusy: 'interrupt',
      newConversation: true,
      paused: true,
    });
    expect(body).toMatchObject({
      triggerId: expect.stringMatching(/^[A-Za-z0-9][A-Za-z0-9_-]{0,63}$/) as unknown,
      tableId: 't1',
      conversationId: null,
      title: 'half \ufffd',
      content: 'half \ufffd',
      schedule: { everyMs: 5_000, timezone: 'UTC' },
      jitterMs: 4_999,
      startAt: '2199-01-01T00:00:00.000Z',
      endAt: '2199-01-02T00:00:00.123Z',
      missed: { policy: 'window', windowMs: MISSED_WINDOW_MS },
      whenBusy: 'interrupt',
      newConversation: true,
      paused: true,
      // It is known to the store, and is none while it is paused.
      nextDueAt: null,
    });
    const other = await made(gateway, { missed: { policy: 'run-all' } });
    expect(other.body['missed']).toEqual({ policy: 'run-all', limit: RUN_ALL_DEFAULT });
  });

  it('A2: the same id again is the first one, also five at once, whatever else was asked for', async () => {
    const gateway = await start();
    const answers = await Promise.all(
      [1, 2, 3, 4, 5].map((n) => made(gateway, { title: `title ${n}` })),
    );
    expect(new Set(answers.map((answer) => answer.text)).size).toBe(1);
    const again = await gateway.post('/v1/triggers', {
      triggerId: 'g1',
      content: ' ',
      schedule: {},
    });
    expect(again.text).toBe(answers[0]?.text);
    expect(await recorded(gateway, 'trigger.created')).toHaveLength(1);
  });

  it('an id of a removed trigger is 409: its ledger has the id for ever', async () => {
    const gateway = await start();
    await made(gateway);
    await gateway.delete('/v1/triggers/g1');
    const { status, body } = await gateway.post('/v1/triggers', {
      triggerId: 'g1',
      conversationId: 'c1',
      content: 'x',
      schedule: daily,
    });
    expect([status, body['code']]).toEqual([409, 'request_id_reused']);
    expect(body['detail']).toMatch(/removed.*take a new one/);
  });

  it('A3: says what is accepted and what is not when Temporal or the worker is away', async () => {
    const gateway = await start({ config: { receiptWaitMs: 50 } });
    const create = (): Promise<Answer> =>
      gateway.post('/v1/triggers', {
        triggerId: 'g1',
        conversationId: 'c1',
        content: 'x',
        schedule: daily,
      });
    gateway.workflow.weather = 'no-worker';
    const accepted = await create();
    expect(accepted.status).toBe(503);
    expect(accepted.body).toMatchObject({
      code: 'temporal_unavailable',
      accepted: true,
      triggerId: 'g1',
    });
    gateway.workflow.weather = 'unreachable';
    expect((await create()).body).toMatchObject({ accepted: false });
    gateway.workflow.weather = 'fate-unknown';
    expect((await create()).body).toMatchObject({ accepted: 'unknown' });
  });

  it(`W2: more than ${TRIGGER_LIMIT} are refused, in words; a full disk too`, async () => {
    const full = await start({
      wrapStore: (store) => ({ ...store, triggerCount: async () => TRIGGER_LIMIT }),
    });
    const body = { conversationId: 'c1', content: 'x', schedule: daily };
    const refused = await full.post('/v1/triggers', body);
    expect(verdict(refused)).toEqual([429, 'rate_limited']);
    expect(refused.body['detail']).toContain(`${TRIGGER_LIMIT} triggers`);
    expect(full.workflow.triggerSignals).toEqual([]);

    const last = await start({
      wrapStore: (store) => ({ ...store, triggerCount: async () => TRIGGER_LIMIT - 1 }),
    });
    expect((await last.post('/v1/triggers', body)).status).toBe(200);
  });

  it('W2: the prompt has the limits of a send, to the byte', async () => {
    const gateway = await start();
    const ask = (content: string): Promise<Answer> =>
      gateway.post('/v1/triggers', { conversationId: 'c1', content, schedule: daily });
    expect((await ask('x'.repeat(PROMPT_LIMIT_BYTES))).status).toBe(200);
    const over = await ask('x'.repeat(PROMPT_LIMIT_BYTES + 1));
    expect(verdict(over)).toEqual([413, 'payload_too_large']);
    expect(verdict(await ask('é'.repeat(PROMPT_LIMIT_BYTES / 2 + 1)))).toEqual([
      413,
      'payload_too_large',
    ]);
    expect(gateway.workflow.triggerSignals).toHaveLength(1);
  });
});

/** Whole bodies and changes: what is wrong with each, where, and in which words. */
const wrongMembers: [what: string, change: object, path: string, words: RegExp][] = [
  ['no schedule in it', { schedule: {} }, '/schedule', /exactly one of cron, everyMs and at/],
  [
    'two schedules',
    { schedule: { cron: '* * * * *', everyMs: 5_000 } },
    '/schedule',
    /exactly one .* has 2/,
  ],
  ['a zone alone', { schedule: { timezone: 'UTC' } }, '/schedule', /has 0/],
  ['a cron of words', { schedule: { cron: 'every day' } }, '/schedule', /cron/],
  ['four fields', { schedule: { cron: '* * * *' } }, '/schedule', /cron/],
  ['seven fields', { schedule: { cron: '* * * * * * *' } }, '/schedule', /cron/],
  ['minute 60', { schedule: { cron: '60 * * * *' } }, '/schedule', /minute/],
  ['hour 24', { schedule: { cron: '0 24 * * *' } }, '/schedule', /hour/],
  ['day 0', { schedule: { cron: '0 0 0 * *' } }, '/schedule', /day/],
  ['month 13', { schedule: { cron: '0 0 1 13 *' } }, '/schedule', /month/],
  ['weekday 8', { schedule: { cron: '0 0 * * 8' } }, '/schedule', /weekday/],
  ['a step of 0', { schedule: { cron: '*/0 * * * *' } }, '/schedule', /minute/],
  ['a range backwards', { schedule: { cron: '30-10 * * * *' } }, '/schedule', /minute/],
  ['a day that no month has', { schedule: { cron: '0 0 31 2 *' } }, '/schedule', /never be due/],
  ['L', { schedule: { cron: '0 0 L * *' } }, '/schedule', /cron/],
  ['W', { schedule: { cron: '0 0 15W * *' } }, '/schedule', /cron/],
  ['#', { schedule: { cron: '0 0 * * 1#1' } }, '/schedule', /cron/],
  ['an unknown nickname', { schedule: { cron: '@fortnightly' } }, '/schedule', /cron/],
  ['a NUL', { schedule: { cron: '* * * * *\0' } }, '/schedule', /cron/],
  [
    'an unknown zone',
    { schedule: { cron: '* * * * *', timezone: 'Europe/Nowhere' } },
    '/schedule',
    /Europe\/Nowhere/,
  ],
  [
    'a zone as an offset',
    { schedule: { everyMs: 5_000, timezone: '+02:00' } },
    '/schedule',
    /offset/,
  ],
  [
    'an interval under the minimum',
    { schedule: { everyMs: TRIGGER_INTERVAL_MS - 100 } },
    '/schedule',
    /everyMs/,
  ],
  ['an interval of nothing', { schedule: { everyMs: 0 } }, '/schedule', /everyMs/],
  ['an interval between the steps', { schedule: { everyMs: 1_050 } }, '/schedule', /multiple/],
  ['an endless interval', { schedule: { everyMs: 1e300 } }, '/schedule', /everyMs/],
  ['an at that is no time', { schedule: { at: 'tomorrow' } }, '/schedule', /at/],
  ['a day that does not exist', { schedule: { at: '2199-02-30T00:00:00Z' } }, '/schedule', /at/],
  ['an at that is past', { schedule: { at: '2020-01-01T00:00:00Z' } }, '/schedule/at', /past/],
  [
    'a start that is no day',
    { startAt: '2199-02-31T00:00:00Z' },
    '/startAt',
    /startAt|date-time|format/,
  ],
  ['a start without a zone', { startAt: '2199-01-01T00:00:00' }, '/startAt', /date-time|format/],
  ['an end that is past', { endAt: '2020-01-01T00:00:00Z' }, '/endAt', /future/],
  [
    'an end before the start',
    { startAt: '2199-01-02T00:00:00Z', endAt: '2199-01-01T23:59:59.999Z' },
    '/endAt',
    /after/,
  ],
  [
    'an end at the start, in another zone',
    { startAt: '2199-01-02T00:00:00Z', endAt: '2199-01-02T01:00:00+01:00' },
    '/endAt',
    /after/,
  ],
  ['an end beyond all years', { endAt: '9999-12-31T23:59:59-23:00' }, '/endAt', /9999/],
  ['a start before all years', { startAt: '0000-01-01T00:00:00+01:00' }, '/startAt', /1970/],
  ['a negative jitter', { jitterMs: -1 }, '/jitterMs', /0/],
  ['half a millisecond of jitter', { jitterMs: 0.5 }, '/jitterMs', /integer/],
  ['too much jitter', { jitterMs: JITTER_LIMIT_MS + 1 }, '/jitterMs', /at most/],
  [
    'jitter as long as the interval',
    { schedule: { everyMs: 5_000 }, jitterMs: 5_000 },
    '/jitterMs',
    /less than the shortest time between two due times/,
  ],
  [
    'a limit without run-all',
    { missed: { policy: 'run-once', limit: 3 } },
    '/missed/limit',
    /run-all/,
  ],
  [
    'too high a limit',
    { missed: { policy: 'run-all', limit: RUN_ALL_LIMIT + 1 } },
    '/missed/limit',
    /at most/,
  ],
  ['a limit of 0', { missed: { policy: 'run-all', limit: 0 } }, '/missed/limit', /1/],
  [
    'a window without its policy',
    { missed: { policy: 'skip', windowMs: 5 } },
    '/missed/windowMs',
    /window/,
  ],
  [
    'too long a window',
    { missed: { policy: 'window', windowMs: MISSED_WINDOW_LIMIT_MS + 1 } },
    '/missed/windowMs',
    /at most/,
  ],
  ['an unknown policy', { missed: { policy: 'some' } }, '/missed/policy', /"skip" or "run-once"/],
  ['an unknown whenBusy', { whenBusy: 'steer' }, '/whenBusy', /"skip" or "queue" or "interrupt"/],
  ['newConversation without a table', { newConversation: true }, '/newConversation', /table/],
  ['a blank prompt', { content: ' \n' }, '/content', /blank/],
  ['an empty prompt', { content: '' }, '/content', /1/],
  ['a title that is too long', { title: 'x'.repeat(TITLE_LIMIT_CHARS + 1) }, '/title', /200/],
  ['an unknown member', { colour: 'red' }, '/colour', /not known/],
  [
    'an unknown member of the schedule',
    { schedule: { cron: '* * * * *', of: 1 } },
    '/schedule/of',
    /not known/,
  ],
  ['an unknown member of missed', { missed: { policy: 'skip', of: 1 } }, '/missed/of', /not known/],
];

describe('bad input', () => {
  it.each(wrongMembers)(
    '%s is 400, pointed at, and nothing is half-made: in a new one, and in a change',
    async (_what, change, path, words) => {
      const gateway = await start();
      const before = await made(gateway);
      const whole = { triggerId: 'g2', conversationId: 'c1', content: 'x', schedule: daily };
      for (const answer of [
        await gateway.post('/v1/triggers', { ...whole, ...change }),
        await gateway.patch('/v1/triggers/g1', change),
      ]) {
        expect(verdict(answer)).toEqual([400, 'invalid_request']);
        const faults = answer.body['errors'] as { path: string; message: string }[];
        expect(faults.find((fault) => fault.path === path)?.message).toMatch(words);
      }
      expect(gateway.workflow.triggerSignals).toHaveLength(1);
      expect(await gateway.store.trigger('g2')).toBeNull();
      expect((await gateway.get('/v1/triggers/g1')).text).toBe(before.text);
    },
  );

  it.each([
    ['both targets', { tableId: 't1', conversationId: 'c1' }, 400, 'invalid_request', /not both/],
    ['no target', { conversationId: null }, 400, 'invalid_request', /not none/],
    ['no target at all', { conversationId: undefined }, 400, 'invalid_request', /not none/],
    ['an unknown conversation', { conversationId: 'nobody' }, 404, 'not_found', /conversation/],
    ['an unknown table', { tableId: 'none', conversationId: null }, 404, 'not_found', /table/],
    ['an id outside the pattern', { triggerId: '-x' }, 400, 'invalid_request', /triggerId/],
    ['an id of 65 characters', { triggerId: 'x'.repeat(65) }, 400, 'invalid_request', /triggerId/],
    ['no content', { content: undefined }, 400, 'invalid_request', /content is required/],
    ['no schedule', { schedule: undefined }, 400, 'invalid_request', /schedule is required/],
    [
      'a schedule that ends before it is due',
      { schedule: { at: '2199-06-01T00:00:00Z' }, endAt: '2199-01-01T00:00:00Z' },
      400,
      'invalid_request',
      /never due between now and 2199-01-01/,
    ],
    [
      'a schedule that is never due from its start on',
      { startAt: '2500-01-01T00:00:00Z' },
      400,
      'invalid_request',
      /never due/,
    ],
  ])('%s', async (_what, change, status, code, words) => {
    const gateway = await start();
    const answer = await gateway.post('/v1/triggers', {
      triggerId: 'g1',
      conversationId: 'c1',
      content: 'x',
      schedule: daily,
      ...change,
    });
    expect(verdict(answer)).toEqual([status, code]);
    expect(String(answer.body['detail'])).toMatch(words);
    expect(gateway.workflow.triggerSignals).toEqual([]);
  });

  it.each([
    ['GET', '/v1/triggers/none', undefined, 404, 'not_found'],
    ['PATCH', '/v1/triggers/none', { paused: true }, 404, 'not_found'],
    ['DELETE', '/v1/triggers/none', undefined, 404, 'not_found'],
    ['GET', '/v1/triggers/none/ledger', undefined, 404, 'not_found'],
    ['POST', '/v1/triggers/none/fire', {}, 404, 'not_found'],
    [
      'POST',
      '/v1/triggers/none/backfill',
      { from: '2026-01-01T00:00:00Z', to: '2026-01-01T00:00:00Z' },
      404,
      'not_found',
    ],
    ['GET', '/v1/triggers/a%20b', undefined, 400, 'invalid_request'],
    ['GET', '/v1/triggers?limit=0', undefined, 400, 'invalid_request'],
    ['GET', `/v1/triggers?limit=${LIST_LIMIT + 1}`, undefined, 400, 'invalid_request'],
    ['GET', '/v1/triggers?cursor=nonsense', undefined, 400, 'invalid_request'],
    ['GET', '/v1/triggers?paused=true', undefined, 400, 'invalid_request'],
    ['PATCH', '/v1/triggers/g1', {}, 400, 'invalid_request'],
    ['PATCH', '/v1/triggers/g1', { tableId: 't1' }, 400, 'invalid_request'],
    ['PATCH', '/v1/triggers/g1', { conversationId: 'c1' }, 400, 'invalid_request'],
    ['PATCH', '/v1/triggers/g1', { triggerId: 'g2' }, 400, 'invalid_request'],
    ['DELETE', '/v1/triggers/g1?force=1', undefined, 400, 'invalid_request'],
    ['GET', '/v1/triggers/g1/ledger?limit=0', undefined, 400, 'invalid_request'],
    ['GET', '/v1/triggers/g1/ledger?outcome=lost', undefined, 400, 'invalid_request'],
    ['GET', '/v1/triggers/g1/ledger?cursor=nonsense', undefined, 400, 'invalid_request'],
    ['GET', '/v1/triggers/g1/ledger?from=yesterday', undefined, 400, 'invalid_request'],
    [
      'GET',
      '/v1/triggers/g1/ledger?from=2026-01-02T00:00:00Z&to=2026-01-01T00:00:00Z',
      undefined,
      400,
      'invalid_request',
    ],
    ['POST', '/v1/triggers/g1/fire', { requestId: '-' }, 400, 'invalid_request'],
    ['POST', '/v1/triggers/g1/fire', { content: 'x' }, 400, 'invalid_request'],
    ['POST', '/v1/triggers/g1/backfill', {}, 400, 'invalid_request'],
    [
      'POST',
      '/v1/triggers/g1/backfill',
      { from: '2026-01-02T00:00:00Z', to: '2026-01-01T00:00:00Z' },
      400,
      'invalid_request',
    ],
    [
      'POST',
      '/v1/triggers/g1/backfill',
      { from: '1969-12-31T23:59:59Z', to: '2026-01-01T00:00:00Z' },
      400,
      'invalid_request',
    ],
    [
      'POST',
      '/v1/triggers/g1/backfill',
      { from: '2026-01-01T00:00:00Z', to: '2199-01-01T00:00:00Z' },
      400,
      'invalid_request',
    ],
    [
      'POST',
      '/v1/triggers/g1/backfill',
      { from: '2026-01-01T00:00:00Z', to: '2026-01-02T00:00:00Z', limit: RUN_ALL_LIMIT + 1 },
      400,
      'invalid_request',
    ],
    [
      'POST',
      '/v1/triggers/g1/backfill',
      { from: '2026-01-01T00:00:00Z', to: '2026-01-02T00:00:00Z', limit: 0 },
      400,
      'invalid_request',
    ],
  ])('%s %s %j is %d %s', async (method, path, body, status, code) => {
    const gateway = await start();
    await made(gateway);
    expect(verdict(await gateway.call(method, path, { body }))).toEqual([status, code]);
    expect(gateway.workflow.triggerSignals).toHaveLength(1);
  });
});

describe('the list', () => {
  it('is newest first, by page, of a table or a conversation or all, without those that are removed', async () => {
    const gateway = await start();
    await gateway.conversation('c2');
    const target = (n: number): object =>
      n === 2 ? { conversationId: null, tableId: 't1' } : { conversationId: n === 3 ? 'c2' : 'c1' };
    for (const n of [1, 2, 3, 4]) await made(gateway, { triggerId: `g${n}`, ...target(n) });
    await made(gateway, { triggerId: 'gone' });
    await gateway.delete('/v1/triggers/gone');
    const first = await gateway.get('/v1/triggers?limit=3');
    expect(ids(first)).toEqual(['g4', 'g3', 'g2']);
    const rest = await gateway.get(
      `/v1/triggers?limit=3&cursor=${String(first.body['nextCursor'])}`,
    );
    expect([ids(rest), rest.body['nextCursor']]).toEqual([['g1'], null]);
    expect(ids(await gateway.get('/v1/triggers?tableId=t1'))).toEqual(['g2']);
    expect(ids(await gateway.get('/v1/triggers?conversationId=c1'))).toEqual(['g4', 'g1']);
    expect(ids(await gateway.get('/v1/triggers?conversationId=nobody'))).toEqual([]);
    expect(items(first)[0]).toEqual((await gateway.get('/v1/triggers/g4')).body);
  });

  it('gives each once, however its pages are cut: by a limit, by what is read at once, by long prompts', async () => {
    const gateway = await start();
    const all = Array.from({ length: 45 }, (_, n) => `g${n}`);
    for (const [n, triggerId] of all.entries())
      await old(gateway, n < 24 ? { content: 'x'.repeat(PROMPT_LIMIT_BYTES) } : {}, { triggerId });
    for (const limit of [1, 7, 10, 45, 200]) {
      const seen: unknown[] = [];
      const sizes: number[] = [];
      for (let rest: string | null = ''; rest !== null;) {
        const page = await gateway.request('GET', `/v1/triggers?limit=${limit}${rest}`);
        const { nextCursor } = page.body;
        seen.push(...ids(page));
        sizes.push(ids(page).length);
        rest = typeof nextCursor === 'string' ? `&cursor=${nextCursor}` : null;
      }
      expect(seen).toHaveLength(all.length);
      expect(new Set(seen)).toEqual(new Set(all));
      expect(Math.max(...sizes)).toBeLessThanOrEqual(limit);
      // 24 prompts of half a megabyte are no one answer.
      expect(sizes.length).toBeGreaterThanOrEqual(Math.max(2, Math.ceil(all.length / limit)));
    }
  });
});

describe('PATCH', () => {
  it('sends only what changes, in its one form, and answers with the trigger after it', async () => {
    const gateway = await start();
    await made(gateway, { title: 'one', jitterMs: 7 });
    const { status, body } = await gateway.patch('/v1/triggers/g1', {
      title: 'two \ud83d',
      startAt: '2199-01-01T02:00:00+02:00',
      missed: { policy: 'run-all' },
    });
    expect(status).toBe(200);
    expect(gateway.workflow.triggerSignals.at(-1)?.signal).toEqual({
      name: 'change',
      argument: {
        commandId: expect.any(String) as unknown,
        acceptedAt: expect.any(String) as unknown,
        change: {
          title: 'two \ufffd',
          startAt: '2199-01-01T00:00:00.000Z',
          missed: { policy: 'run-all', limit: RUN_ALL_DEFAULT },
        },
      },
    });
    expect(body).toMatchObject({
      title: 'two \ufffd',
      jitterMs: 7,
      rule: 'r2',
      nextDueAt: '2199-01-01T02:00:00.000Z',
    });
    expect((await gateway.get('/v1/triggers/g1')).body).toEqual(body);
  });

  it('judges the change together with what stays', async () => {
    const gateway = await start();
    await made(gateway, {
      schedule: { everyMs: 60_000 },
      jitterMs: 30_000,
      startAt: '2198-01-01T00:00:00Z',
      endAt: '2199-01-01T00:00:00Z',
    });
    const refused = async (change: object): Promise<unknown> =>
      (await gateway.patch('/v1/triggers/g1', change)).body['detail'];
    expect(await refused({ schedule: { everyMs: 30_000 } })).toMatch(/jitterMs must be less/);
    expect(await refused({ startAt: '2199-01-01T00:00:00Z' })).toMatch(/endAt must come after/);
    expect(await refused({ schedule: { at: '2199-06-01T00:00:00Z' } })).toMatch(/never due/);
    const taken = await gateway.patch('/v1/triggers/g1', {
      schedule: { everyMs: 30_000 },
      jitterMs: 29_999,
    });
    expect(taken.status).toBe(200);
  });

  it('pauses and resumes, and may end one before it is due again', async () => {
    const gateway = await start();
    const { body } = await made(gateway);
    expect((await gateway.patch('/v1/triggers/g1', { paused: true })).body['nextDueAt']).toBeNull();
    const resumed = await gateway.patch('/v1/triggers/g1', { paused: false });
    expect(resumed.body['nextDueAt']).toBe(body['nextDueAt']);
    const ended = await gateway.patch('/v1/triggers/g1', { endAt: future(60_000) });
    expect([ended.status, ended.body['nextDueAt']]).toEqual([200, null]);
  });

  it('a time that has passed since is no fault of a change of something else', async () => {
    const gateway = await start();
    const at = { at: '2026-01-02T00:00:00', timezone: 'Europe/Berlin' };
    await old(gateway, {
      schedule: at,
      endAt: '2026-02-01T00:00:00.000Z',
      startAt: '2026-01-01T00:00:00.000Z',
      paused: true,
    });
    for (const change of [{ title: 'x' }, { paused: false }, { schedule: at, content: 'y' }])
      expect((await gateway.patch('/v1/triggers/g1', change)).status).toBe(200);
    const moved = await gateway.patch('/v1/triggers/g1', {
      schedule: { ...at, timezone: 'UTC' },
    });
    expect(moved.body['detail']).toMatch(/past/);
    const other = await gateway.patch('/v1/triggers/g1', { endAt: '2026-02-02T00:00:00Z' });
    expect(other.body['detail']).toMatch(/future/);
  });

  it('A3: is 202 when it is durable and not recorded in time; a lost answer is made up for by the log', async () => {
    const gateway = await start({ config: { receiptWaitMs: 50 } });
    await made(gateway);
    gateway.workflow.weather = 'no-worker';
    const waiting = await gateway.patch('/v1/triggers/g1', { title: 'x' });
    expect([waiting.status, waiting.body]).toEqual([202, { accepted: true }]);
    gateway.workflow.weather = 'answer-lost';
    const lost = await gateway.patch('/v1/triggers/g1', { title: 'y' });
    expect([lost.status, lost.body['title']]).toEqual([200, 'y']);
    gateway.workflow.weather = 'fate-unknown';
    const unknown = await gateway.patch('/v1/triggers/g1', { title: 'z' });
    expect(unknown.body).toMatchObject({ code: 'temporal_unavailable', accepted: 'unknown' });
  });

  it('of one that is removed while it is on its way is 404', async () => {
    const gateway = await start();
    await made(gateway);
    const opened = Promise.withResolvers<void>();
    gateway.workflow.gate = opened.promise;
    const removing = gateway.delete('/v1/triggers/g1');
    await expect.poll(() => gateway.workflow.triggerSignals.length).toBe(2);
    const changing = gateway.patch('/v1/triggers/g1', { title: 'x' });
    await expect.poll(() => gateway.workflow.triggerSignals.length).toBe(3);
    opened.resolve();
    expect((await removing).status).toBe(200);
    expect(verdict(await changing)).toEqual([404, 'not_found']);
    expect(verdict(await gateway.patch('/v1/triggers/g1', { title: 'x' }))).toEqual([
      404,
      'not_found',
    ]);
  });
});

describe('DELETE', () => {
  it('removes it; again is the same; its ledger stays, and nothing else of it answers', async () => {
    const gateway = await start();
    await made(gateway);
    await gateway.post('/v1/triggers/g1/fire', { requestId: 'f1' });
    const removed = await gateway.delete('/v1/triggers/g1');
    expect([removed.status, removed.body]).toEqual([200, { triggerId: 'g1', removed: true }]);
    expect((await gateway.delete('/v1/triggers/g1')).text).toBe(removed.text);
    expect(await recorded(gateway, 'trigger.removed')).toHaveLength(1);
    const signals = gateway.workflow.triggerSignals.length;
    expect(items(await gateway.get('/v1/triggers/g1/ledger'))).toHaveLength(1);
    expect(verdict(await gateway.get('/v1/triggers/g1'))).toEqual([404, 'not_found']);
    expect(verdict(await gateway.post('/v1/triggers/g1/fire', {}))).toEqual([404, 'not_found']);
    const range = { from: '2026-01-01T00:00:00Z', to: '2026-01-02T00:00:00Z' };
    expect(verdict(await gateway.post('/v1/triggers/g1/backfill', range))).toEqual([
      404,
      'not_found',
    ]);
    expect(gateway.workflow.triggerSignals).toHaveLength(signals);
  });

  it('is done once by five at once, on a full disk too', async () => {
    let room: Room = { level: 'ample', freeBytes: 1, reserveBytes: 0 };
    const filling = await start({ room: () => room });
    await made(filling);
    room = { level: 'low', freeBytes: 1, reserveBytes: 2 };
    const full = [503, 'storage_full'];
    expect(verdict(await filling.patch('/v1/triggers/g1', { title: 'x' }))).toEqual(full);
    expect(verdict(await filling.post('/v1/triggers/g1/fire', {}))).toEqual(full);
    const answers = await Promise.all([1, 2, 3, 4, 5].map(() => filling.delete('/v1/triggers/g1')));
    expect(answers.map(({ status }) => status)).toEqual([200, 200, 200, 200, 200]);
    expect(await recorded(filling, 'trigger.removed')).toHaveLength(1);
  });

  it('A3: is 202 when it is durable and not recorded in time; a lost answer is looked up', async () => {
    const gateway = await start({ config: { receiptWaitMs: 50 } });
    await made(gateway);
    gateway.workflow.weather = 'no-worker';
    const waiting = await gateway.delete('/v1/triggers/g1');
    expect([waiting.status, waiting.body]).toEqual([202, { accepted: true }]);
    gateway.workflow.weather = 'fate-unknown';
    expect((await gateway.delete('/v1/triggers/g1')).body).toMatchObject({ accepted: 'unknown' });
    gateway.workflow.weather = 'answer-lost';
    expect((await gateway.delete('/v1/triggers/g1')).status).toBe(200);
  });
});

describe('the ledger', () => {
  const day = (n: number, hour = 0): string => stamp(Date.UTC(2026, 0, n, hour));

  async function withRows(): Promise<Gateway> {
    const gateway = await start();
    await old(gateway, {});
    await decided(gateway, day(1), [
      { dueAt: day(2), outcome: 'fired', requestId: 'd2', conversationId: 'c1', whenBusy: 'queue' },
      { dueAt: day(3), outcome: 'skipped', reason: 'missed' },
      { dueAt: day(4), outcome: 'rejected', reason: 'not_found' },
      { dueAt: day(5), outcome: 'skipped', reason: 'paused' },
    ]);
    return gateway;
  }

  it('is newest first, by page, by outcome and range, with the counts of all of it', async () => {
    const gateway = await withRows();
    const whole = await gateway.get('/v1/triggers/g1/ledger');
    const due = (answer: Answer): unknown[] => items(answer).map((row) => row['dueAt']);
    expect(due(whole)).toEqual([5, 4, 3, 2].map((n) => day(n)));
    expect(items(whole)[3]).toEqual({
      triggerId: 'g1',
      dueAt: day(2),
      decidedAt: day(5),
      outcome: 'fired',
      words: 'it is fired',
      rule: 'r1',
      cause: 'due',
      requestId: 'd2',
      conversationId: 'c1',
    });
    const counts = { fired: 1, late: 0, 'caught-up': 0, skipped: 2, rejected: 1 };
    expect(whole.body['counts']).toEqual(counts);
    const skipped = await gateway.get('/v1/triggers/g1/ledger?outcome=skipped&limit=1');
    expect([due(skipped), skipped.body['counts']]).toEqual([[day(5)], counts]);
    const more = await gateway.get(
      `/v1/triggers/g1/ledger?outcome=skipped&limit=1&cursor=${String(skipped.body['nextCursor'])}`,
    );
    expect([due(more), more.body['nextCursor']]).toEqual([[day(3)], null]);
    // Both ends are in, in whatever zone they are said.
    const range = `from=${encodeURIComponent('2026-01-03T01:00:00+01:00')}&to=${day(4)}`;
    expect(due(await gateway.get(`/v1/triggers/g1/ledger?${range}`))).toEqual([day(4), day(3)]);
  });

  it('says in the list what came last, and what went wrong last: a pause is nothing wrong', async () => {
    const gateway = await withRows();
    const [trigger] = items(await gateway.get('/v1/triggers'));
    expect(trigger).toMatchObject({
      last: { dueAt: day(5), outcome: 'skipped', reason: 'paused' },
      trouble: { dueAt: day(4), outcome: 'rejected', words: 'it is rejected' },
      counts: { skipped: 2 },
    });
  });
});

describe('POST …/fire', () => {
  it('D2: is a row of its own, and a message with one fate; the conversation says where it came from', async () => {
    const gateway = await start();
    gateway.workflow.autoAnswer = 'done';
    await made(gateway, { title: 'nightly', paused: true });
    const { status, body } = await gateway.post('/v1/triggers/g1/fire', { requestId: 'f1' });
    expect(status).toBe(200);
    expect(body).toMatchObject({
      triggerId: 'g1',
      outcome: 'fired',
      reason: 'manual',
      cause: 'manual',
      rule: 'r1',
      requestId: 'f1',
      conversationId: 'c1',
      words: expect.stringMatching(/hand/) as unknown,
    });
    await gateway.workflow.quiet();
    const log = await gateway.log('c1');
    const own = log.filter(({ requestId }) => requestId === 'f1');
    expect(own.map(({ type }) => type)).toEqual([
      'trigger.fired',
      'message.created',
      'chat.started',
    ]);
    expect(log.filter(({ type }) => type === 'chat.done')).toHaveLength(1);
    expect(own[0]).toMatchObject({
      type: 'trigger.fired',
      conversationId: 'c1',
      payload: { triggerId: 'g1', title: 'nightly', dueAt: body['dueAt'], outcome: 'fired' },
    });
    const [row] = items(await gateway.get('/v1/triggers/g1/ledger'));
    expect(row).toEqual({ ...body, turnId: expect.any(String) as unknown });
  });

  it('L3: `trigger.fired` comes on the socket before the message it sends, and the snapshot stays what the log says', async () => {
    const gateway = await start();
    gateway.workflow.autoAnswer = 'done';
    await made(gateway, { title: 'nightly' });
    const socket = await gateway.socket();
    socket.send({ type: 'chat.subscribe', conversationId: 'c1' });
    await socket.until((frame) => frame.type === 'caught-up');
    await gateway.post('/v1/triggers/g1/fire', { requestId: 'f1' });
    await socket.until((frame) => frame.type === 'chat.done');
    const live = socket.frames.filter((frame) => frame.requestId === 'f1').map(({ type }) => type);
    expect(live.indexOf('trigger.fired')).toBe(0);
    expect(live.indexOf('message.created')).toBeGreaterThan(0);
    const shown = (await gateway.get('/v1/conversations/c1')).body['messages'];
    expect(shown).toMatchObject([
      { role: 'user', content: 'hello' },
      { role: 'assistant', content: 'done' },
    ]);
  });

  it('A2: the same requestId is one run with one row, also five at once, and after the trigger is gone', async () => {
    const gateway = await start();
    await made(gateway);
    const fire = (): Promise<Answer> => gateway.post('/v1/triggers/g1/fire', { requestId: 'f1' });
    const answers = await Promise.all([fire(), fire(), fire(), fire(), fire()]);
    const dueAt = new Set(answers.map(({ body }) => body['dueAt']));
    expect([answers.map(({ status }) => status), dueAt.size]).toEqual([
      [200, 200, 200, 200, 200],
      1,
    ]);
    expect(await recorded(gateway, 'trigger.decided')).toHaveLength(1);
    await gateway.delete('/v1/triggers/g1');
    const signals = gateway.workflow.triggerSignals.length;
    const later = await fire();
    expect([later.status, later.body['dueAt']]).toEqual([200, [...dueAt][0]]);
    expect(gateway.workflow.triggerSignals).toHaveLength(signals);
  });

  it('without an id each is a run of its own', async () => {
    const gateway = await start();
    await made(gateway);
    const one = await gateway.call('POST', '/v1/triggers/g1/fire');
    const two = await gateway.post('/v1/triggers/g1/fire', {});
    expect(one.body['requestId']).not.toBe(two.body['requestId']);
    expect(items(await gateway.get('/v1/triggers/g1/ledger'))).toHaveLength(2);
  });

  it('one that did not run is answered with why, also when it is repeated', async () => {
    const gateway = await start();
    await gateway.running('c2');
    await made(gateway, { conversationId: 'c2', whenBusy: 'skip' });
    const { status, body } = await gateway.post('/v1/triggers/g1/fire', { requestId: 'f1' });
    expect(status).toBe(200);
    expect(body).toMatchObject({ outcome: 'skipped', reason: 'busy', cause: 'manual' });
    expect(body['words']).toMatch(/busy/);
    const again = await gateway.post('/v1/triggers/g1/fire', { requestId: 'f1' });
    expect(again.text).toBe(JSON.stringify(body));
    expect(await recorded(gateway, 'trigger.decided')).toHaveLength(1);
    gateway.workflow.weather = 'answer-lost';
    const lost = await gateway.post('/v1/triggers/g1/fire', { requestId: 'f2' });
    expect([lost.status, lost.body['reason']]).toEqual([200, 'busy']);
  });

  it('A2: an id that something else has is 409: a due time, a backfill, a message of the conversation', async () => {
    const gateway = await start();
    gateway.workflow.autoAnswer = 'done';
    await gateway.conversation('c2');
    await old(gateway, {});
    await decided(gateway, '2026-01-01T00:00:00.000Z', [
      {
        dueAt: '2026-01-01T00:01:00.000Z',
        outcome: 'fired',
        requestId: 'due1',
        conversationId: 'c2',
        whenBusy: 'queue',
      },
    ]);
    await gateway.send('c1', 'sent1', 'by a person');
    await gateway.post('/v1/triggers/g1/backfill', {
      from: '2026-01-01T00:02:00Z',
      to: '2026-01-01T00:03:00Z',
      requestId: 'fill1',
    });
    const signals = gateway.workflow.triggerSignals.length;
    for (const requestId of ['due1', 'sent1', 'fill1'])
      expect(verdict(await gateway.post('/v1/triggers/g1/fire', { requestId }))).toEqual([
        409,
        'request_id_reused',
      ]);
    expect(gateway.workflow.triggerSignals).toHaveLength(signals);
    await gateway.post('/v1/triggers/g1/fire', { requestId: 'f1' });
    const other = await gateway.post('/v1/triggers/g1/backfill', {
      from: '2026-01-01T00:02:00Z',
      to: '2026-01-01T00:03:00Z',
      requestId: 'f1',
    });
    expect(verdict(other)).toEqual([409, 'request_id_reused']);
  });

  it('A3: is 202 with its requestId when it is durable and not recorded in time; a lost answer is looked up', async () => {
    const gateway = await start({ config: { receiptWaitMs: 50 } });
    await made(gateway);
    gateway.workflow.weather = 'no-worker';
    const waiting = await gateway.post('/v1/triggers/g1/fire', { requestId: 'f1' });
    expect([waiting.status, waiting.body]).toEqual([202, { requestId: 'f1', accepted: true }]);
    const nameless = await gateway.post('/v1/triggers/g1/fire', {});
    expect(nameless.body).toMatchObject({ requestId: expect.any(String) as unknown });
    gateway.workflow.weather = 'fate-unknown';
    const unknown = await gateway.post('/v1/triggers/g1/fire', { requestId: 'f1' });
    expect(unknown.body).toMatchObject({ accepted: 'unknown' });
    gateway.workflow.weather = 'answer-lost';
    const lost = await gateway.post('/v1/triggers/g1/fire', { requestId: 'f1' });
    expect([lost.status, lost.body['requestId']]).toEqual([200, 'f1']);
  });

  it('of one that was removed before it came is 404, not a wait for ever', async () => {
    const gateway = await start();
    await made(gateway);
    const opened = Promise.withResolvers<void>();
    gateway.workflow.gate = opened.promise;
    const removing = gateway.delete('/v1/triggers/g1');
    await expect.poll(() => gateway.workflow.triggerSignals.length).toBe(2);
    const firing = gateway.post('/v1/triggers/g1/fire', { requestId: 'f1' });
    await expect.poll(() => gateway.workflow.triggerSignals.length).toBe(3);
    opened.resolve();
    expect((await removing).status).toBe(200);
    expect(verdict(await firing)).toEqual([404, 'not_found']);
  });
});

describe('POST …/backfill', () => {
  const fill = (gateway: Gateway, body: object): Promise<Answer> =>
    gateway.post('/v1/triggers/g1/backfill', body);

  it('runs what has not run, both ends included, and says how many', async () => {
    const gateway = await start();
    gateway.workflow.autoAnswer = 'done';
    await old(gateway, {});
    const minute = (n: number): string => stamp(Date.UTC(2026, 0, 1, 0, n));
    await decided(gateway, minute(0), [
      { dueAt: minute(1), outcome: 'skipped', reason: 'missed' },
      {
        dueAt: minute(2),
        outcome: 'fired',
        requestId: 'd2',
        conversationId: 'c1',
        whenBusy: 'queue',
      },
      { dueAt: minute(3), outcome: 'skipped', reason: 'missed' },
    ]);
    const range = { from: '2026-01-01T01:01:00+01:00', to: minute(3), requestId: 'b1' };
    const answer = await fill(gateway, range);
    expect([answer.status, answer.body]).toEqual([200, { count: 2 }]);
    const rows = items(
      await gateway.get(`/v1/triggers/g1/ledger?from=${minute(1)}&to=${minute(3)}`),
    );
    expect(rows.map((row) => [row['dueAt'], row['outcome'], row['cause']])).toEqual([
      [minute(3), 'caught-up', 'backfill'],
      [minute(2), 'fired', 'due'],
      [minute(1), 'caught-up', 'backfill'],
    ]);
    const before = gateway.workflow.triggerSignals.length;
    expect((await fill(gateway, range)).body).toEqual({ count: 2 });
    expect(gateway.workflow.triggerSignals).toHaveLength(before);
    expect((await fill(gateway, { ...range, requestId: 'b2' })).body).toEqual({ count: 0 });
  });

  it.each([0, 23, 24, 25, 60])(
    'A2: repeated under its requestId it is not done again, and counted as the first time, in all its parts, also %d events later',
    async (later) => {
      const gateway = await start();
      await old(gateway, {});
      const part = (commandId: string, minutes: number[]): NewEvent => ({
        type: 'trigger.decided',
        payload: {
          triggerId: 'g1',
          cause: 'backfill',
          commandId,
          fires: minutes.map((minute) => ({
            dueAt: `2025-12-31T00:0${minute}:00.000Z`,
            decidedAt: '2026-01-01T00:00:00.000Z',
            outcome: 'caught-up',
            words: 'Run afterwards.',
            rule: 'r1',
            requestId: `r${minute}`,
            conversationId: 'c1',
            whenBusy: 'queue',
          })),
        },
      });
      await gateway.store.append({
        stream: triggerStream('g1'),
        events: [part('b1', [1, 2]), part('b1', [3]), part('b1', [4, 5, 6])],
      });
      for (let n = 0; n < later; n += 1)
        await gateway.store.append({ stream: triggerStream('g1'), events: [part(`x${n}`, [])] });
      const body = { from: '2025-12-31T00:00:00Z', to: '2025-12-31T00:10:00Z', requestId: 'b1' };
      expect((await fill(gateway, body)).body).toEqual({ count: 6 });
      expect(gateway.workflow.triggerSignals).toEqual([]);
    },
  );

  it('is one number of all its parts, when it is done', async () => {
    const gateway = await start();
    await made(gateway, { schedule: { everyMs: 1_000 }, paused: true });
    // Each is refused by the full queue, which is no concern of the count.
    const body = { from: '2026-01-01T00:00:01Z', to: '2026-01-01T00:08:21Z', limit: 501 };
    expect((await fill(gateway, body)).body).toEqual({ count: 501 });
    expect(
      (await recorded(gateway, 'trigger.decided')).filter(({ cause }) => cause === 'backfill'),
    ).toHaveLength(2);
  });

  it(`W2: refuses a million, with the count; ${BACKFILL_DEFAULT} unless more are asked for`, async () => {
    const gateway = await start();
    await made(gateway, { schedule: { everyMs: 1_000 }, paused: true });
    const from = '2025-01-01T00:00:00.001Z';
    const to = stamp(Date.parse(from) - 1 + 1_000_000_000);
    const { status, body } = await fill(gateway, { from, to, limit: RUN_ALL_LIMIT });
    expect(status).toBe(400);
    expect(body).toMatchObject({
      code: 'invalid_request',
      count: 1_000_000,
      limit: RUN_ALL_LIMIT,
      detail: expect.stringMatching(/1000000 due times.*limit is 1000; nothing was run/) as unknown,
    });
    const everything = await fill(gateway, { from: '1970-01-01T00:00:00Z', to });
    expect(everything.body).toMatchObject({ count: COUNT_LIMIT + 1, limit: BACKFILL_DEFAULT });
    expect(everything.body['detail']).toContain(`more than ${COUNT_LIMIT}`);
    const seconds = (count: number): object => ({
      from,
      to: stamp(Date.parse(from) - 1 + count * 1_000),
    });
    expect((await fill(gateway, seconds(BACKFILL_DEFAULT + 1))).body).toMatchObject({
      count: BACKFILL_DEFAULT + 1,
    });
    expect(gateway.workflow.triggerSignals).toHaveLength(1);
    expect((await fill(gateway, seconds(BACKFILL_DEFAULT))).body).toEqual({
      count: BACKFILL_DEFAULT,
    });
  });

  it('is of the past: a range that ends in a minute is refused, whatever lies in it', async () => {
    const gateway = await start();
    await made(gateway);
    const answer = await fill(gateway, { from: future(-60_000), to: future(60_000) });
    expect(verdict(answer)).toEqual([400, 'invalid_request']);
    expect(answer.body['detail']).toMatch(/lies in the future/);
    expect(gateway.workflow.triggerSignals).toHaveLength(1);
  });

  it('counts a cron over the changes of its clock, exactly', async () => {
    const gateway = await start();
    await made(gateway, { schedule: { cron: '*/15 * * * *', timezone: 'Europe/Berlin' } });
    // 2025 has one hour that is not and one that comes twice.
    const { body } = await fill(gateway, {
      from: '2024-12-31T23:00:00Z',
      to: '2025-12-31T22:59:59.999Z',
    });
    expect(body['count']).toBe(365 * 96);
    const summer = await fill(gateway, {
      from: '2025-01-31T23:00:00Z',
      to: '2025-07-31T21:59:59.999Z',
    });
    expect(summer.body['count']).toBe(181 * 96 - 4);
  });

  it('A3: is 202 when it is durable and not recorded in time', async () => {
    const gateway = await start({ config: { receiptWaitMs: 50 } });
    await made(gateway);
    gateway.workflow.weather = 'no-worker';
    const range = { from: '2026-01-01T00:00:00Z', to: '2026-01-02T00:00:00Z', requestId: 'b1' };
    const waiting = await fill(gateway, range);
    expect([waiting.status, waiting.body]).toEqual([202, { accepted: true }]);
    gateway.workflow.weather = 'answer-lost';
    expect((await fill(gateway, range)).body).toEqual({ count: 1 });
  });
});

it('C2: reading signals nothing', async () => {
  const gateway = await start();
  await made(gateway);
  for (const path of ['', '/g1', '/g1/ledger']) await gateway.get(`/v1/triggers${path}`);
  expect(gateway.workflow.triggerSignals).toHaveLength(1);
});
