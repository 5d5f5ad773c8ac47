/** Tables over HTTP: making them, the slot, lists, the one call that loads everything. */
import { describe, expect, it } from 'vitest';

import { tableStream } from '../../src/contracts/ids.ts';
import { LIST_LIMIT, SEARCH_QUERY_CHARS, TITLE_LIMIT_CHARS } from '../../src/contracts/limits.ts';
import { eventually } from '../support/eventually.ts';
import { type Answer, Gateway } from './gateway-harness.ts';

const items = ({ body }: Answer): Record<string, unknown>[] =>
  body['items'] as Record<string, unknown>[];
const ids = (answer: Answer): string[] =>
  items(answer).map((item) => String(item['conversationId']));
const sorted = (answer: Answer): string[] => ids(answer).toSorted((a, b) => a.localeCompare(b));
/** What an answer came to, in short. */
const verdict = ({ status, body }: Answer): unknown[] => [status, body['code']];

describe('POST /v1/tables', () => {
  it('answers with the table that the workflow recorded', async () => {
    const gateway = await Gateway.start();
    const { status, body } = await gateway.post('/v1/tables', {
      tableId: 't1',
      title: 'a table',
      provider: 'scripted',
      model: 'm',
      workspacePath: gateway.workspace,
    });
    expect(status).toBe(200);
    expect(body).toEqual({
      tableId: 't1',
      title: 'a table',
      workspacePath: gateway.workspace,
      provider: 'scripted',
      model: 'm',
      activeConversationId: null,
      createdAt: expect.stringMatching(/^\d{4}-.*Z$/) as unknown,
    });
    expect((await gateway.get('/v1/tables/t1')).body).toEqual(body);
    expect((await gateway.tableLog()).map(({ type }) => type)).toEqual(['table.created']);
  });

  it('chooses what was left open: an id, the scripted provider, the first root', async () => {
    const gateway = await Gateway.start();
    const { body } = await gateway.call('POST', '/v1/tables');
    expect(body['tableId']).toMatch(/^[A-Za-z0-9][A-Za-z0-9_-]{0,63}$/);
    expect(body).toMatchObject({ provider: 'scripted', workspacePath: gateway.workspace });
  });

  it('A2: the same id again is the first one, also five at once, whatever else was asked for', async () => {
    const gateway = await Gateway.start();
    const answers = await Promise.all(
      [1, 2, 3, 4, 5].map((n) =>
        gateway.post('/v1/tables', { tableId: 't1', title: `title ${n}` }),
      ),
    );
    expect(new Set(answers.map((answer) => answer.text)).size).toBe(1);
    const again = await gateway.post('/v1/tables', { tableId: 't1', provider: 'nobody' });
    expect(again.text).toBe(answers[0]?.text);
    expect(await gateway.tableLog()).toHaveLength(1);
  });

  it.each([
    ['an unknown provider', { provider: 'nobody' }, 422, 'provider_not_found'],
    ['a provider that is not on PATH', { provider: 'claude' }, 422, 'provider_not_found'],
    ['a folder that does not exist', { workspacePath: '/none/such' }, 422, 'workspace_not_allowed'],
    ['a folder outside the roots', { workspacePath: '/' }, 422, 'workspace_not_allowed'],
    ['an id outside the pattern', { tableId: '-x' }, 400, 'invalid_request'],
    ['an id of 65 characters', { tableId: 'x'.repeat(65) }, 400, 'invalid_request'],
    ['an unknown field', { colour: 'red' }, 400, 'invalid_request'],
    [
      'a title that is too long',
      { title: 'x'.repeat(TITLE_LIMIT_CHARS + 1) },
      400,
      'invalid_request',
    ],
  ])('refuses %s, and nothing is stored', async (_what, body, status, code) => {
    const gateway = await Gateway.start();
    const answer = await gateway.post('/v1/tables', { tableId: 't1', ...body });
    expect(verdict(answer)).toEqual([status, code]);
    expect(gateway.workflow.creates).toBe(0);
    expect(await gateway.tableLog()).toEqual([]);
  });

  it('A3: says what is accepted and what is not when Temporal or the worker is away', async () => {
    const gateway = await Gateway.start({ config: { receiptWaitMs: 50 } });
    gateway.workflow.weather = 'no-worker';
    const accepted = await gateway.post('/v1/tables', { tableId: 't1' });
    expect(accepted.status).toBe(503);
    expect(accepted.headers['retry-after']).toBe('1');
    expect(accepted.body).toMatchObject({
      code: 'temporal_unavailable',
      accepted: true,
      tableId: 't1',
    });
    gateway.workflow.weather = 'unreachable';
    const refused = await gateway.post('/v1/tables', { tableId: 't1' });
    expect(refused.body).toMatchObject({ code: 'temporal_unavailable', accepted: false });
  });
});

describe('tables', () => {
  it('are listed newest first, by page, and renamed', async () => {
    const gateway = await Gateway.start();
    for (const tableId of ['t1', 't2', 't3']) await gateway.table(tableId);
    const first = await gateway.get('/v1/tables?limit=2');
    expect(items(first).map((table) => table['tableId'])).toEqual(['t3', 't2']);
    const rest = await gateway.get(`/v1/tables?cursor=${String(first.body['nextCursor'])}`);
    expect(items(rest).map((table) => table['tableId'])).toEqual(['t1']);
    expect(rest.body['nextCursor']).toBeNull();
    const title = 'half \ud83d';
    const renamed = await gateway.patch('/v1/tables/t2', { title });
    expect(renamed.status).toBe(200);
    expect(renamed.body).toMatchObject({ tableId: 't2', title: 'half \ufffd' });
    expect((await gateway.get('/v1/tables/t2')).body).toEqual(renamed.body);
    const longest = await gateway.patch('/v1/tables/t2', { title: 'x'.repeat(TITLE_LIMIT_CHARS) });
    expect(longest.status).toBe(200);
  });

  it('A3: a new name is 202 when it is durable and not recorded in time; a lost answer is made up for by the log', async () => {
    const gateway = await Gateway.start({ config: { receiptWaitMs: 50 } });
    await gateway.table();
    gateway.workflow.weather = 'no-worker';
    const waiting = await gateway.patch('/v1/tables/t1', { title: 'x' });
    expect(waiting.status).toBe(202);
    expect(waiting.body).toEqual({ accepted: true });
    gateway.workflow.weather = 'answer-lost';
    const lost = await gateway.patch('/v1/tables/t1', { title: 'y' });
    expect(lost.status).toBe(200);
    expect(lost.body['title']).toBe('y');
    gateway.workflow.weather = 'fate-unknown';
    const unknown = await gateway.patch('/v1/tables/t1', { title: 'z' });
    expect(unknown.body).toMatchObject({ code: 'temporal_unavailable', accepted: 'unknown' });
  });

  it.each([
    ['GET', '/v1/tables/none', undefined, 404, 'not_found'],
    ['PATCH', '/v1/tables/none', { title: 'x' }, 404, 'not_found'],
    ['GET', '/v1/tables/none/view', undefined, 404, 'not_found'],
    ['GET', '/v1/tables/none/events', undefined, 404, 'not_found'],
    ['GET', '/v1/tables/none/conversations', undefined, 404, 'not_found'],
    ['POST', '/v1/tables/none/conversations', {}, 404, 'not_found'],
    ['POST', '/v1/tables/none/active', { conversationId: 'c1' }, 404, 'not_found'],
    ['PATCH', '/v1/tables/t1', {}, 400, 'invalid_request'],
    ['PATCH', '/v1/tables/t1', { title: 'x'.repeat(201) }, 400, 'invalid_request'],
    ['PATCH', '/v1/tables/t1', { title: 'x', provider: 'claude' }, 400, 'invalid_request'],
    ['GET', '/v1/tables/a%20b', undefined, 400, 'invalid_request'],
    ['GET', '/v1/tables?limit=0', undefined, 400, 'invalid_request'],
    ['GET', `/v1/tables?limit=${LIST_LIMIT + 1}`, undefined, 400, 'invalid_request'],
    ['GET', '/v1/tables?cursor=nonsense', undefined, 400, 'invalid_request'],
    ['GET', '/v1/tables?q=x', undefined, 400, 'invalid_request'],
    ['GET', '/v1/tables/t1/conversations?limit=0', undefined, 400, 'invalid_request'],
    ['GET', '/v1/tables/t1/conversations?limit=201', undefined, 400, 'invalid_request'],
    ['GET', '/v1/tables/t1/conversations?cursor=nonsense', undefined, 400, 'invalid_request'],
    ['GET', '/v1/tables/t1/conversations?archived=perhaps', undefined, 400, 'invalid_request'],
    ['POST', '/v1/tables/t1/active', {}, 400, 'invalid_request'],
    [
      'POST',
      '/v1/tables/t1/active',
      { conversationId: 'c1', whenBusy: 'now' },
      400,
      'invalid_request',
    ],
    ['POST', '/v1/tables/t1/conversations', { workspacePath: '/' }, 400, 'invalid_request'],
    ['POST', '/v1/tables/t1/conversations', { provider: 'nobody' }, 422, 'provider_not_found'],
  ])('%s %s %j is %d %s', async (method, path, body, status, code) => {
    const gateway = await Gateway.start();
    await gateway.table();
    expect(verdict(await gateway.call(method, path, { body }))).toEqual([status, code]);
    expect(gateway.workflow.tableSignals).toEqual([]);
  });
});

describe('New chat', () => {
  const path = '/v1/tables/t1/conversations';

  it('is active at once, with the provider, model and workspace of its table', async () => {
    const gateway = await Gateway.start();
    await gateway.post('/v1/tables', { tableId: 't1', model: 'm' });
    const { status, body } = await gateway.post(path, { conversationId: 'c1', title: 'one' });
    expect(status).toBe(200);
    expect(body).toMatchObject({
      conversationId: 'c1',
      tableId: 't1',
      title: 'one',
      provider: 'scripted',
      model: 'm',
      workspacePath: gateway.workspace,
      state: 'idle',
      held: false,
    });
    expect((await gateway.get('/v1/tables/t1')).body['activeConversationId']).toBe('c1');
    const other = await gateway.post(path, { model: null });
    expect(other.body).toMatchObject({ model: null, title: '' });
    const view = await gateway.get('/v1/tables/t1');
    expect(view.body['activeConversationId']).toBe(other.body['conversationId']);
  });

  it('does not wait for what ran: that is cancelled and its queue held, and a send is queued until it has wound down', async () => {
    const gateway = await Gateway.start();
    await gateway.table();
    await gateway.chat('c1');
    await gateway.send('c1', 'r1', 'one');
    await gateway.send('c1', 'r2', 'two');
    await gateway.workflow.say('c1', 'part');
    gateway.workflow.stopsAtOnce = false;
    await gateway.chat('c2');
    const sent = await gateway.send('c2', 'r3', 'three');
    expect(sent.body).toMatchObject({ status: 'queued', position: 0 });
    await gateway.workflow.quiet();
    const old = await gateway.get('/v1/conversations/c1');
    expect(old.body).toMatchObject({ state: 'cancelled', held: true });
    await gateway.workflow.end('c1', 'cancelled', 'part');
    await eventually(
      async () => (await gateway.get('/v1/conversations/c2')).body['state'] === 'processing',
    );
    const ended = await gateway.get('/v1/conversations/c1');
    expect(ended.body).toMatchObject({ state: 'idle', held: true });
    expect(ended.body['queue']).toMatchObject([{ requestId: 'r2' }]);
    expect(ended.body['messages']).toMatchObject([
      { content: 'one' },
      { content: 'part', status: 'partial' },
    ]);
  });

  it('A2: the same id again is the first one, also five at once, and moves nothing', async () => {
    const gateway = await Gateway.start();
    await gateway.table();
    const answers = await Promise.all(
      [1, 2, 3, 4, 5].map((n) => gateway.post(path, { conversationId: 'c1', title: `title ${n}` })),
    );
    expect(new Set(answers.map((answer) => answer.body['title'])).size).toBe(1);
    await gateway.chat('c2');
    const again = await gateway.post(path, { conversationId: 'c1', provider: 'nobody' });
    expect(again.status).toBe(200);
    await gateway.workflow.quiet();
    expect((await gateway.get('/v1/tables/t1')).body['activeConversationId']).toBe('c2');
  });

  it('A2: an id that belongs elsewhere is request_id_reused, also when both come at once', async () => {
    const gateway = await Gateway.start();
    await gateway.table('t1');
    await gateway.table('t2');
    await gateway.conversation('alone');
    await gateway.chat('c2', 't2');
    for (const conversationId of ['alone', 'c2']) {
      const answer = await gateway.post(path, { conversationId });
      expect(verdict(answer)).toEqual([409, 'request_id_reused']);
      expect(answer.body).toMatchObject({ conversationId });
    }
    const race = await Promise.all(
      ['t1', 't2'].map((tableId) =>
        gateway.post(`/v1/tables/${tableId}/conversations`, { conversationId: 'both' }),
      ),
    );
    expect(new Set(race.map((answer) => answer.status))).toEqual(new Set([200, 409]));
  });

  it('A3: is not answered as done while it is there and not yet active', async () => {
    const gateway = await Gateway.start({ config: { receiptWaitMs: 300 } });
    await gateway.table();
    const { promise, resolve } = Promise.withResolvers<void>();
    gateway.workflow.gate = promise;
    const waiting = gateway.post(path, { conversationId: 'c1' });
    await eventually(() => gateway.workflow.tableSignals.length === 1);
    // Its table's worker has died between the two.
    const facts = { tableId: 't1', title: '', provider: 'scripted', model: null };
    await gateway.store.append({
      stream: 'conversation:c1',
      key: 'created',
      events: [
        {
          type: 'conversation.created',
          payload: { ...facts, workspacePath: gateway.workspace },
        },
      ],
    });
    expect((await waiting).body).toMatchObject({ code: 'temporal_unavailable', accepted: true });
    resolve();
    await gateway.workflow.quiet();
    expect((await gateway.get('/v1/tables/t1')).body['activeConversationId']).toBe('c1');
  });

  it('A3: says that it is accepted when no worker takes it up in time, and is there when one has', async () => {
    const gateway = await Gateway.start({ config: { receiptWaitMs: 50 } });
    await gateway.table();
    gateway.workflow.weather = 'no-worker';
    const accepted = await gateway.post(path, { conversationId: 'c1' });
    expect(accepted.status).toBe(503);
    expect(accepted.body).toMatchObject({
      code: 'temporal_unavailable',
      accepted: true,
      conversationId: 'c1',
    });
    gateway.workflow.weather = 'fine';
    await gateway.chat('c1');
    gateway.workflow.weather = 'unreachable';
    const refused = await gateway.post(path, { conversationId: 'c2' });
    expect(refused.body).toMatchObject({ code: 'temporal_unavailable', accepted: false });
  });
});

describe('POST /v1/tables/:t/active', () => {
  const path = '/v1/tables/t1/active';
  const activeOf = async (gateway: Gateway): Promise<unknown> =>
    (await gateway.get('/v1/tables/t1')).body['activeConversationId'];

  /** A table with c1 and c2, c2 active and, when asked for, processing. */
  async function withTwo(running: boolean): Promise<Gateway> {
    const gateway = await Gateway.start();
    await gateway.table();
    await gateway.chat('c1');
    await gateway.chat('c2');
    if (running) await gateway.send('c2', 'r1', 'hello');
    return gateway;
  }

  it('goes on with an old conversation, and answers with the table', async () => {
    const gateway = await withTwo(false);
    const { status, body } = await gateway.post(path, { conversationId: 'c1' });
    expect(status).toBe(200);
    expect(body).toMatchObject({ tableId: 't1', activeConversationId: 'c1' });
    const log = await gateway.tableLog();
    expect(log.findLast(({ type }) => type === 'conversation.activated')).toMatchObject({
      conversationId: 'c1',
      tableId: 't1',
      payload: { previous: 'c2', reason: 'user' },
    });
    const sent = await gateway.send('c1', 'r1', 'hello');
    expect(sent.body['status']).toBe('started');
  });

  it('queue: what runs is finished first; the message of the active one waits for it', async () => {
    const gateway = await withTwo(true);
    expect((await gateway.post(path, { conversationId: 'c1' })).status).toBe(200);
    expect((await gateway.get('/v1/conversations/c2')).body['state']).toBe('processing');
    const sent = await gateway.send('c1', 'r2', 'more');
    expect(sent.body['status']).toBe('queued');
    await gateway.workflow.end('c2', 'completed');
    await eventually(
      async () => (await gateway.get('/v1/conversations/c1')).body['state'] === 'processing',
    );
  });

  it('reject: 409 busy with whose turn it is, and nothing moves', async () => {
    const gateway = await withTwo(true);
    const { turnId } = gateway.workflow.turnOf('c2');
    const answer = await gateway.post(path, { conversationId: 'c1', whenBusy: 'reject' });
    expect(verdict(answer)).toEqual([409, 'busy']);
    expect(answer.body).toMatchObject({ conversationId: 'c2', turnId });
    await gateway.workflow.quiet();
    expect(await activeOf(gateway)).toBe('c2');
    await gateway.workflow.end('c2', 'completed');
    const later = await gateway.post(path, { conversationId: 'c1', whenBusy: 'reject' });
    expect(later.status).toBe(200);
  });

  it('reject: a turn that begins before it is taken up forbids it too; nobody says that it was done', async () => {
    const gateway = await Gateway.start({ config: { receiptWaitMs: 300 } });
    await gateway.table();
    await gateway.chat('c1');
    await gateway.chat('c2');
    const { promise, resolve } = Promise.withResolvers<void>();
    gateway.workflow.gate = promise;
    const waiting = gateway.post(path, { conversationId: 'c1', whenBusy: 'reject' });
    await eventually(() => gateway.workflow.tableSignals.length === 3);
    const facts = await gateway.store.workflowState('c2');
    expect(facts?.turn).toBeNull();
    await gateway.store.append({
      stream: 'conversation:c2',
      events: [
        {
          type: 'chat.started',
          turnId: 'tx',
          attempt: 1,
          payload: { attempt: 1, provider: 'scripted', model: null },
        },
      ],
    });
    resolve();
    const answer = await waiting;
    expect(answer.status).toBe(202);
    expect(answer.body).toEqual({ accepted: true });
    expect(await activeOf(gateway)).toBe('c2');
  });

  it('interrupt: what runs is cancelled and its queue held', async () => {
    const gateway = await withTwo(true);
    await gateway.send('c2', 'r2', 'more');
    const answer = await gateway.post(path, { conversationId: 'c1', whenBusy: 'interrupt' });
    expect(answer.body['activeConversationId']).toBe('c1');
    await gateway.workflow.quiet();
    const old = await gateway.get('/v1/conversations/c2');
    expect(old.body).toMatchObject({ state: 'idle', held: true, queue: [{ requestId: 'r2' }] });
  });

  it('one that is active already is answered at once and asks nobody, unless it interrupts another', async () => {
    const gateway = await withTwo(true);
    const { length } = gateway.workflow.tableSignals;
    for (const whenBusy of ['queue', 'reject', 'interrupt']) {
      const answer = await gateway.post(path, { conversationId: 'c2', whenBusy });
      expect(answer.body['activeConversationId']).toBe('c2');
    }
    expect(gateway.workflow.tableSignals).toHaveLength(length);
    await gateway.post(path, { conversationId: 'c1' });
    const interrupt = await gateway.post(path, { conversationId: 'c1', whenBusy: 'interrupt' });
    expect(interrupt.status).toBe(200);
    await gateway.workflow.quiet();
    expect((await gateway.get('/v1/conversations/c2')).body['state']).toBe('idle');
  });

  it('X1: a conversation of another table, one that stands alone and none at all are 404', async () => {
    const gateway = await withTwo(false);
    await gateway.table('t2');
    await gateway.chat('other', 't2');
    await gateway.conversation('alone');
    const { length } = gateway.workflow.tableSignals;
    for (const conversationId of ['other', 'alone', 'none'])
      expect(verdict(await gateway.post(path, { conversationId }))).toEqual([404, 'not_found']);
    expect(gateway.workflow.tableSignals).toHaveLength(length);
    expect(await activeOf(gateway)).toBe('c2');
  });

  it('A3: is 202 when it is durable and not recorded in time', async () => {
    const gateway = await Gateway.start({ config: { receiptWaitMs: 50 } });
    await gateway.table();
    await gateway.chat('c1');
    await gateway.chat('c2');
    gateway.workflow.weather = 'no-worker';
    const answer = await gateway.post(path, { conversationId: 'c1' });
    expect(answer.status).toBe(202);
    expect(answer.body).toEqual({ accepted: true });
  });
});

describe('GET /v1/tables/:t/conversations', () => {
  const path = '/v1/tables/t1/conversations';

  /** Three conversations; in the second one something was said last. */
  async function withThree(): Promise<Gateway> {
    const gateway = await Gateway.start();
    await gateway.table();
    gateway.workflow.autoAnswer = 'The answer is 42.';
    for (const id of ['c1', 'c2', 'c3']) {
      await gateway.chat(id);
      await gateway.send(id, `r-${id}`, `What about ${id}?`, { wait: 'end' });
    }
    await gateway.post('/v1/tables/t1/active', { conversationId: 'c2' });
    await gateway.send('c2', 'r-again', 'Tell me about zebras', { wait: 'end' });
    return gateway;
  }

  it('lists summaries, most recent first, by page', async () => {
    const gateway = await withThree();
    const first = await gateway.get(`${path}?limit=2`);
    expect(ids(first)).toEqual(['c2', 'c3']);
    const rest = await gateway.get(`${path}?limit=2&cursor=${String(first.body['nextCursor'])}`);
    expect(ids(rest)).toEqual(['c1']);
    expect(rest.body['nextCursor']).toBeNull();
    expect(items(first)[0]).toMatchObject({
      tableId: 't1',
      title: 'What about c2?',
      state: 'idle',
      lastLine: 'The answer is 42.',
      messageCount: 4,
      turnCount: 2,
      queued: 0,
      held: false,
      approvals: 0,
      forkedFrom: null,
    });
    expect(items(first)[0]).not.toHaveProperty('match');
    expect((await gateway.get(`${path}?limit=${LIST_LIMIT}`)).status).toBe(200);
  });

  it('leaves archived ones out unless asked, or shows only them', async () => {
    const gateway = await withThree();
    await gateway.patch('/v1/conversations/c3', { archived: true });
    expect(ids(await gateway.get(path))).toEqual(['c2', 'c1']);
    expect(ids(await gateway.get(`${path}?archived=false`))).toEqual(['c2', 'c1']);
    expect(ids(await gateway.get(`${path}?archived=true`))).toEqual(['c3']);
    expect(sorted(await gateway.get(`${path}?archived=any`))).toEqual(['c1', 'c2', 'c3']);
  });

  it('searches titles and messages, and says what was found where', async () => {
    const gateway = await withThree();
    const search = (q: string): Promise<Answer> =>
      gateway.get(`${path}?q=${encodeURIComponent(q)}`);
    const zebras = await search('zebra');
    expect(ids(zebras)).toEqual(['c2']);
    expect(items(zebras)[0]?.['match']).toMatchObject({
      messageId: expect.any(String) as unknown,
      snippet: expect.stringContaining('\u0002') as unknown,
    });
    expect(sorted(await search('answer -zebras'))).toEqual(['c1', 'c2', 'c3']);
    expect(ids(await search('nothing-of-that-kind'))).toEqual([]);
    await gateway.patch('/v1/conversations/c1', { title: 'Giraffes' });
    expect(items(await search('giraffes'))).toMatchObject([
      { conversationId: 'c1', match: { messageId: null } },
    ]);
    // An empty box asks for everything.
    for (const empty of ['', ' ', '\t'])
      expect(ids(await search(empty))).toEqual(ids(await gateway.get(path)));
  });

  it.each([
    ['a quote that is not closed', '"what about'],
    ['exclusions alone', '-zebra'],
    ['no word', '()* --'],
    ['one character too many', 'x'.repeat(SEARCH_QUERY_CHARS + 1)],
  ])('%s is 400 invalid_request', async (_what, q) => {
    const gateway = await Gateway.start();
    await gateway.table();
    const answer = await gateway.get(`${path}?q=${encodeURIComponent(q)}`);
    expect(verdict(answer)).toEqual([400, 'invalid_request']);
  });

  it.each(['a" OR 1=1 --', 'NEAR(a b)', 'a*', "a'); DROP TABLE x; --", 'title:a', '^a', 'a AND'])(
    'X1: %s has no meaning of its own to the engine behind',
    async (q) => {
      const gateway = await Gateway.start();
      await gateway.table();
      const answer = await gateway.get(`${path}?q=${encodeURIComponent(q)}`);
      expect(['200 undefined', '400 invalid_request']).toContain(
        verdict(answer).map(String).join(' '),
      );
    },
  );

  it('takes a search of exactly the limit', async () => {
    const gateway = await Gateway.start();
    await gateway.table();
    const answer = await gateway.get(`${path}?q=${'x'.repeat(SEARCH_QUERY_CHARS)}`);
    expect(answer.status).toBe(200);
  });
});

describe('the one load sequence', () => {
  it('L4: as one call it is what the chain gives, and both streams go on after it', async () => {
    const gateway = await Gateway.start();
    await gateway.table();
    const empty = await gateway.get('/v1/tables/t1/view');
    expect(empty.body).toMatchObject({ table: { conversations: [], lastSeq: 1 }, active: null });
    await gateway.chat('c1');
    await gateway.chat('c2');
    await gateway.send('c2', 'r1', 'hello');
    await gateway.workflow.say('c2', 'Hel');
    const { body } = await gateway.get('/v1/tables/t1/view');
    const { table, active } = body as Record<string, Record<string, unknown>>;
    const tables = await gateway.get('/v1/tables');
    const [facts] = items(tables);
    expect(table).toMatchObject(facts ?? {});
    const conversations = await gateway.get('/v1/tables/t1/conversations');
    expect(table?.['conversations']).toEqual(items(conversations));
    expect(facts?.['activeConversationId']).toBe('c2');
    expect(active).toEqual((await gateway.get('/v1/conversations/c2')).body);
    expect(active?.['overlays']).not.toEqual({});
    expect(table?.['lastSeq']).toBe(await gateway.store.lastSeq(tableStream('t1')));
  });
});

describe('GET /v1/tables/:t/events', () => {
  const path = '/v1/tables/t1/events';

  it('L3: pages upwards through the very objects that were delivered, each with its tableId', async () => {
    const gateway = await Gateway.start();
    await gateway.table();
    await gateway.chat('c1');
    await gateway.send('c1', 'r1', 'hello');
    await gateway.workflow.end('c1', 'completed');
    const log = await gateway.tableLog();
    expect(log.every(({ tableId }) => tableId === 't1')).toBe(true);
    // That is how a socket that follows both tells them apart.
    expect((await gateway.log('c1')).some((event) => 'tableId' in event)).toBe(false);
    expect(log.map(({ seq }) => seq)).toEqual(log.map((_event, index) => index + 1));
    const first = await gateway.get(`${path}?limit=2`);
    expect(first.body).toEqual({ items: log.slice(0, 2), lastSeq: log.length });
    const rest = await gateway.get(`${path}?after=2`);
    expect(rest.body).toEqual({ items: log.slice(2), lastSeq: log.length });
    const ahead = await gateway.get(`${path}?after=${log.length + 9}`);
    expect(ahead.body).toEqual({ items: [], lastSeq: log.length });
    expect(verdict(await gateway.get(`${path}?after=-1`))).toEqual([400, 'invalid_request']);
  });

  it('as an event stream goes on live; a cursor from the future is 410', async () => {
    const gateway = await Gateway.start();
    await gateway.table();
    const headers = { accept: 'text/event-stream' };
    const response = await gateway.open('GET', path, { headers });
    expect(response.headers['content-type']).toBe('text/event-stream');
    let text = '';
    response.setEncoding('utf8').on('data', (part: string) => (text += part));
    response.on('error', () => undefined);
    await eventually(() => text.includes('caught-up 1'));
    await gateway.chat('c1');
    await eventually(() => text.includes('event: conversation.activated'));
    const log = await gateway.tableLog();
    await eventually(() => text.includes(`id: ${log.length}\n`));
    expect(text.match(/^id: \d+$/gm)).toEqual(log.map(({ seq }) => `id: ${seq}`));
    response.destroy();
    const ahead = await gateway.get(`${path}?after=99`, { headers });
    expect(verdict(ahead)).toEqual([410, 'cursor_expired']);
  });
});

describe('a disk with less room than is kept for what runs', () => {
  it('W2: makes no table and no conversation, and changes no name', async () => {
    let full = false;
    const gateway = await Gateway.start({
      room: () => ({
        level: full ? 'low' : 'ample',
        freeBytes: 3_000_000,
        reserveBytes: 67_108_864,
      }),
    });
    await gateway.table();
    await gateway.chat('c1');
    await gateway.chat('c2');
    const { length } = gateway.workflow.tableSignals;
    full = true;
    for (const answer of [
      await gateway.post('/v1/tables', { tableId: 't2' }),
      await gateway.patch('/v1/tables/t1', { title: 'x' }),
      await gateway.post('/v1/tables/t1/conversations', { conversationId: 'c3' }),
      await gateway.post('/v1/conversations/c1/fork', {}),
    ]) {
      expect(verdict(answer)).toEqual([503, 'storage_full']);
      expect(answer.body['accepted']).toBe(false);
    }
    expect(gateway.workflow.tableSignals).toHaveLength(length);
    expect((await gateway.post('/v1/tables', { tableId: 't1' })).status).toBe(200);
    expect((await gateway.post('/v1/tables/t1/active', { conversationId: 'c1' })).status).toBe(200);
  });
});
