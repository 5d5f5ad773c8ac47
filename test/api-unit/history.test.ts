/** A conversation as a whole: names and provider, fork, rollback, edit and resend; and messages that a running turn takes in. */
import { describe, expect, it } from 'vitest';

import { conversationStream } from '../../src/contracts/ids.ts';
import { TITLE_LIMIT_CHARS } from '../../src/contracts/limits.ts';
import { eventually } from '../support/eventually.ts';
import { type Answer, Gateway } from './gateway-harness.ts';

type Row = { messageId: string; role: string; content: string; status: string; cut?: true };

const verdict = ({ status, body }: Answer): unknown[] => [status, body['code']];
const rowsOf = ({ body }: Answer): Row[] => (body['messages'] ?? body['items']) as Row[];
/** What counts of the history, in short. */
const kept = (answer: Answer): string[] =>
  rowsOf(answer)
    .filter(({ cut }) => cut !== true)
    .map(({ content }) => content);

/** A conversation in which three questions were answered. */
async function withHistory(gateway: Gateway, conversationId = 'c1'): Promise<Row[]> {
  await gateway.conversation(conversationId);
  gateway.workflow.autoAnswer = 'Yes.';
  for (const n of [1, 2, 3])
    await gateway.send(conversationId, `r${n}`, `question ${n}`, { wait: 'end' });
  gateway.workflow.autoAnswer = null;
  return rowsOf(await gateway.get(`/v1/conversations/${conversationId}`));
}

/** The messageId of the row that says `content`. */
function idOf(rows: readonly Row[], content: string): string {
  const row = rows.find((each) => each.content === content);
  if (row === undefined) throw new Error(`nobody says ${content}`);
  return row.messageId;
}

describe('PATCH /v1/conversations/:c', () => {
  const path = '/v1/conversations/c1';

  it.each([
    [{ title: 'a new name' }, { title: 'a new name' }],
    [{ title: 'half \ud83d' }, { title: 'half \ufffd' }],
    [{ title: '' }, { title: '' }],
    [{ title: 'x'.repeat(TITLE_LIMIT_CHARS) }, { title: 'x'.repeat(TITLE_LIMIT_CHARS) }],
    [{ archived: true }, { archived: true }],
    [{ model: 'm2' }, { model: 'm2', provider: 'scripted' }],
    [{ provider: 'scripted' }, { model: 'm', provider: 'scripted' }],
    [{ provider: 'other' }, { model: null, provider: 'other' }],
    [
      { provider: 'other', model: 'm3' },
      { model: 'm3', provider: 'other' },
    ],
    [
      { title: 't', archived: false, model: null },
      { title: 't', archived: false, model: null },
    ],
  ])('%j: answers with the snapshot after it', async (change, expected) => {
    const gateway = await Gateway.start();
    await gateway.post('/v1/conversations', { conversationId: 'c1', model: 'm', title: 'old' });
    const answer = await gateway.patch(path, change);
    expect(answer.status).toBe(200);
    expect(answer.body).toMatchObject(expected);
    expect((await gateway.get(path)).body).toEqual(answer.body);
  });

  it('another provider counts from the next turn, also when one is running', async () => {
    const gateway = await Gateway.start();
    await gateway.running();
    const answer = await gateway.patch(path, { provider: 'other' });
    expect(answer.body).toMatchObject({ provider: 'other', state: 'processing' });
    await gateway.workflow.end('c1', 'completed');
    await gateway.send('c1', 'r2', 'more');
    const started = (await gateway.log('c1')).filter(({ type }) => type === 'chat.started');
    expect(started.map(({ payload }) => payload['provider'])).toEqual(['scripted', 'other']);
  });

  it.each([
    ['nothing', {}, 400, 'invalid_request'],
    ['a title that is too long', { title: 'x'.repeat(201) }, 400, 'invalid_request'],
    ['an unknown field', { workspacePath: '/' }, 400, 'invalid_request'],
    ['a model of two lines', { model: 'a\nb' }, 400, 'invalid_request'],
    ['archived that is no truth value', { archived: 'yes' }, 400, 'invalid_request'],
    ['an unknown provider', { provider: 'nobody' }, 422, 'provider_not_found'],
    ['a provider that is not on PATH', { provider: 'claude' }, 422, 'provider_not_found'],
  ])('refuses %s, and asks nothing of the workflow', async (_what, change, status, code) => {
    const gateway = await Gateway.start();
    await gateway.conversation();
    expect(verdict(await gateway.patch(path, change))).toEqual([status, code]);
    expect(gateway.workflow.signals).toHaveLength(0);
  });

  it('A3: is 404 for what is not there, 202 when it is durable and not recorded in time', async () => {
    const gateway = await Gateway.start({ config: { receiptWaitMs: 50 } });
    await gateway.conversation();
    expect(verdict(await gateway.patch('/v1/conversations/none', { title: 'x' }))).toEqual([
      404,
      'not_found',
    ]);
    gateway.workflow.weather = 'no-worker';
    const accepted = await gateway.patch(path, { title: 'x' });
    expect([accepted.status, accepted.body]).toEqual([202, { accepted: true }]);
    gateway.workflow.weather = 'answer-lost';
    expect((await gateway.patch(path, { title: 'y' })).body['title']).toBe('y');
  });

  it('two at once are both answered, each after its own', async () => {
    const gateway = await Gateway.start();
    await gateway.conversation();
    const answers = await Promise.all(
      [1, 2, 3, 4].map((n) => gateway.patch(path, { title: `title ${n}` })),
    );
    expect(new Set(answers.map(({ status }) => status))).toEqual(new Set([200]));
    const updates = (await gateway.log('c1')).filter(({ type }) => type === 'conversation.updated');
    expect(updates).toHaveLength(4);
  });
});

describe('fork', () => {
  const path = '/v1/conversations/c1/fork';

  it('copies the history up to and with a message, under fresh ids; the origin stays as it was', async () => {
    const gateway = await Gateway.start();
    const rows = await withHistory(gateway);
    const before = await gateway.get('/v1/conversations/c1');
    const messageId = rows[2]?.messageId;
    const answer = await gateway.post(path, { conversationId: 'f1', messageId });
    expect(answer.status).toBe(200);
    expect(answer.body).toMatchObject({
      conversationId: 'f1',
      tableId: null,
      title: before.body['title'],
      provider: 'scripted',
      workspacePath: gateway.workspace,
      state: 'idle',
      queue: [],
      held: false,
    });
    expect(kept(answer)).toEqual(['question 1', 'Yes.', 'question 2']);
    const known = new Set(rows.map((row) => row.messageId));
    expect(rowsOf(answer).filter((row) => known.has(row.messageId))).toEqual([]);
    expect((await gateway.get('/v1/conversations/c1')).body).toEqual(before.body);
    const [created] = await gateway.log('f1');
    expect(created).toMatchObject({
      type: 'conversation.created',
      payload: { forkedFrom: { conversationId: 'c1', messageId } },
    });
    const all = await gateway.post(path, {});
    expect(kept(all)).toHaveLength(6);
    expect(all.body['conversationId']).not.toBe('f1');
  });

  it('takes its own title, provider and model', async () => {
    const gateway = await Gateway.start();
    await gateway.post('/v1/conversations', { conversationId: 'c1', model: 'm', title: 'old' });
    const same = await gateway.post(path, {});
    expect(same.body).toMatchObject({ title: 'old', provider: 'scripted', model: 'm' });
    const other = await gateway.post(path, { provider: 'other', title: 'new \ud83d' });
    expect(other.body).toMatchObject({ title: 'new \ufffd', provider: 'other', model: null });
    const named = await gateway.post(path, { model: 'm2' });
    expect(named.body['model']).toBe('m2');
  });

  it('of a table’s conversation is in the same table, is listed there, and does not become active', async () => {
    const gateway = await Gateway.start();
    await gateway.table();
    await gateway.chat('c1');
    const answer = await gateway.post(path, { conversationId: 'f1' });
    expect(answer.body['tableId']).toBe('t1');
    const { body } = await gateway.get('/v1/tables/t1/view');
    const { table } = body as { table: { conversations: object[] } };
    expect(table).toMatchObject({ activeConversationId: 'c1' });
    expect(table.conversations).toMatchObject([
      { conversationId: 'f1', forkedFrom: { conversationId: 'c1', messageId: null } },
      { conversationId: 'c1' },
    ]);
  });

  it('A2: the same id again is the first one; an id that is another conversation’s is request_id_reused', async () => {
    const gateway = await Gateway.start();
    const rows = await withHistory(gateway);
    const messageId = rows[0]?.messageId;
    const first = await gateway.post(path, { conversationId: 'f1', messageId });
    const again = await gateway.post(path, { conversationId: 'f1', provider: 'nobody' });
    expect(again.text).toBe(first.text);
    await gateway.conversation('c2');
    for (const conversationId of ['c2', 'c1'])
      expect(verdict(await gateway.post(path, { conversationId }))).toEqual([
        409,
        'request_id_reused',
      ]);
    const elsewhere = await gateway.post('/v1/conversations/c2/fork', { conversationId: 'f1' });
    expect(verdict(elsewhere)).toEqual([409, 'request_id_reused']);
  });

  it('while a turn runs copies what is whole, and is refused at what is still being written', async () => {
    const gateway = await Gateway.start();
    await gateway.running();
    await gateway.workflow.say('c1', 'Hel');
    const rows = rowsOf(await gateway.get('/v1/conversations/c1'));
    const open = rows.find(({ status }) => status === 'open');
    const refused = await gateway.post(path, { messageId: open?.messageId });
    expect(verdict(refused)).toEqual([404, 'not_found']);
    expect(refused.body['detail']).toContain('still being written');
    expect(kept(await gateway.post(path, {}))).toEqual(['hello']);
  });

  it('what its provider has taken back is no place to fork at, nor to roll back to', async () => {
    const gateway = await Gateway.start();
    await gateway.running();
    await gateway.workflow.say('c1', 'never mind');
    const rows = rowsOf(await gateway.get('/v1/conversations/c1'));
    const messageId = rows.find(({ status }) => status === 'open')?.messageId ?? '';
    await gateway.store.append({
      stream: conversationStream('c1'),
      events: [
        {
          ...gateway.workflow.turnOf('c1'),
          type: 'assistant.segment.discarded',
          payload: { messageId, reason: 'retried' },
        },
      ],
    });
    const refused = await gateway.post(path, { messageId });
    expect(verdict(refused)).toEqual([404, 'not_found']);
    expect(refused.body['detail']).toContain('taken back');
    const rollback = await gateway.post('/v1/conversations/c1/rollback', { messageId });
    expect(verdict(rollback)).toEqual([404, 'not_found']);
  });

  it.each([
    ['of a conversation that is not there', '/v1/conversations/none/fork', {}, 404, 'not_found'],
    ['at a message that is not there', path, { messageId: 'none' }, 404, 'not_found'],
    ['with an unknown provider', path, { provider: 'nobody' }, 422, 'provider_not_found'],
    ['with an unknown field', path, { tableId: 't2' }, 400, 'invalid_request'],
    ['with a title that is too long', path, { title: 'x'.repeat(201) }, 400, 'invalid_request'],
    ['with an id outside the pattern', path, { conversationId: '../x' }, 400, 'invalid_request'],
    ['at null', path, { messageId: null }, 400, 'invalid_request'],
  ])('%s is refused, and nothing is made', async (_what, at, body, status, code) => {
    const gateway = await Gateway.start();
    await gateway.conversation();
    const { creates } = gateway.workflow;
    expect(verdict(await gateway.post(at, body))).toEqual([status, code]);
    expect(gateway.workflow.creates).toBe(creates);
  });

  it('X1: at a message of another conversation is 404', async () => {
    const gateway = await Gateway.start();
    const rows = await withHistory(gateway, 'c2');
    await gateway.conversation('c1');
    const answer = await gateway.post(path, { messageId: rows[0]?.messageId });
    expect(verdict(answer)).toEqual([404, 'not_found']);
  });

  it('A3: says that it is accepted when no worker takes it up in time', async () => {
    const gateway = await Gateway.start({ config: { receiptWaitMs: 50 } });
    await gateway.conversation();
    gateway.workflow.weather = 'no-worker';
    const answer = await gateway.post(path, { conversationId: 'f1' });
    expect(answer.body).toMatchObject({
      code: 'temporal_unavailable',
      accepted: true,
      conversationId: 'f1',
    });
  });
});

describe('rollback', () => {
  const path = '/v1/conversations/c1/rollback';

  it('cuts what comes after a message; the cut part stays readable, and is said to be cut', async () => {
    const gateway = await Gateway.start();
    const rows = await withHistory(gateway);
    const answer = await gateway.post(path, { messageId: rows[1]?.messageId });
    expect(answer.status).toBe(200);
    expect(kept(answer)).toEqual(['question 1', 'Yes.']);
    expect(rowsOf(answer)).toHaveLength(6);
    const older = await gateway.get('/v1/conversations/c1/messages');
    expect(rowsOf(older).map(({ content, cut = false }) => [content, cut])).toEqual([
      ['Yes.', true],
      ['question 3', true],
      ['Yes.', true],
      ['question 2', true],
      ['Yes.', false],
      ['question 1', false],
    ]);
    const turns = await gateway.get('/v1/conversations/c1/turns');
    expect(turns.body['items']).toHaveLength(3);
    const nothing = await gateway.post(path, { messageId: null });
    expect(kept(nothing)).toEqual([]);
    expect(rowsOf(nothing)).toHaveLength(6);
  });

  it('to the last message changes nothing that is shown, and is answered all the same', async () => {
    const gateway = await Gateway.start();
    const rows = await withHistory(gateway);
    const answer = await gateway.post(path, { messageId: rows.at(-1)?.messageId });
    expect(answer.status).toBe(200);
    expect(kept(answer)).toHaveLength(6);
  });

  it('is 409 busy while a turn runs, also while it winds down', async () => {
    const gateway = await Gateway.start();
    await gateway.running();
    gateway.workflow.stopsAtOnce = false;
    const { turnId } = gateway.workflow.turnOf('c1');
    const busy = await gateway.post(path, { messageId: null });
    expect(verdict(busy)).toEqual([409, 'busy']);
    expect(busy.body['turnId']).toBe(turnId);
    await gateway.post('/v1/conversations/c1/cancel', {});
    await gateway.workflow.quiet();
    expect(verdict(await gateway.post(path, { messageId: null }))).toEqual([409, 'busy']);
    await gateway.workflow.end('c1', 'cancelled');
    expect((await gateway.post(path, { messageId: null })).status).toBe(200);
  });

  it('a turn that begins before it is taken up forbids it too; nobody says that it was done', async () => {
    const gateway = await Gateway.start({ config: { receiptWaitMs: 300 } });
    await withHistory(gateway);
    const { length } = gateway.workflow.signals;
    const { promise, resolve } = Promise.withResolvers<void>();
    gateway.workflow.gate = promise;
    const sent = gateway.send('c1', 'r4', 'question 4', { whenBusy: 'queue' });
    await eventually(() => gateway.workflow.signals.length === length + 1);
    const waiting = gateway.post(path, { messageId: null });
    await eventually(() => gateway.workflow.signals.length === length + 2);
    resolve();
    expect((await sent).body['status']).toBe('started');
    const answer = await waiting;
    expect([answer.status, answer.body]).toEqual([202, { accepted: true }]);
    expect(kept(await gateway.get('/v1/conversations/c1'))).toHaveLength(7);
  });

  it.each([
    ['to a message that is not there', { messageId: 'none' }, 404, 'not_found'],
    ['without saying to which', {}, 400, 'invalid_request'],
    ['to an id that is none', { messageId: 'a b' }, 400, 'invalid_request'],
  ])('%s is refused', async (_what, body, status, code) => {
    const gateway = await Gateway.start();
    await withHistory(gateway);
    const { length } = gateway.workflow.signals;
    expect(verdict(await gateway.post(path, body))).toEqual([status, code]);
    expect(gateway.workflow.signals).toHaveLength(length);
    const none = await gateway.post('/v1/conversations/none/rollback', { messageId: null });
    expect(verdict(none)).toEqual([404, 'not_found']);
  });

  it('to a message that has been cut is 404; so are a fork and an edit of it', async () => {
    const gateway = await Gateway.start();
    const rows = await withHistory(gateway);
    await gateway.post(path, { messageId: rows[1]?.messageId });
    const messageId = idOf(rows, 'question 3');
    for (const answer of [
      await gateway.post(path, { messageId }),
      await gateway.post('/v1/conversations/c1/fork', { messageId }),
      await gateway.send('c1', 'r9', 'x', { replaces: messageId }),
    ]) {
      expect(verdict(answer)).toEqual([404, 'not_found']);
      expect(answer.body['detail']).toContain('cut');
    }
  });
});

describe('edit and resend', () => {
  it('cuts the old message and what followed, in one decision with the new one', async () => {
    const gateway = await Gateway.start();
    const rows = await withHistory(gateway);
    const replaces = idOf(rows, 'question 2');
    const sent = await gateway.send('c1', 'r9', 'a better question', { replaces });
    expect(sent.body['status']).toBe('started');
    const view = await gateway.get('/v1/conversations/c1');
    expect(kept(view)).toEqual(['question 1', 'Yes.', 'a better question']);
    expect(rowsOf(view)).toHaveLength(7);
    const again = await gateway.send('c1', 'r9', 'a better question', { replaces });
    expect(again.body).toEqual(sent.body);
  });

  it('waits like any other message while something runs; the cut comes when it starts', async () => {
    const gateway = await Gateway.start();
    const rows = await withHistory(gateway);
    await gateway.send('c1', 'r4', 'question 4');
    const replaces = idOf(rows, 'question 1');
    const body = { requestId: 'r9', content: 'from the start', replaces };
    const queued = await gateway.post('/v1/conversations/c1/queue', body);
    expect(queued.body['status']).toBe('queued');
    expect((await gateway.get('/v1/conversations/c1/queue')).body['items']).toMatchObject([
      { requestId: 'r9', replaces },
    ]);
    expect(kept(await gateway.get('/v1/conversations/c1'))).toHaveLength(7);
    await gateway.workflow.end('c1', 'completed');
    expect(kept(await gateway.get('/v1/conversations/c1'))).toEqual(['from the start']);
  });

  it.each(['none', 'an answer', 'elsewhere'])(
    'of %s is 404, and nothing is stored',
    async (what) => {
      const gateway = await Gateway.start();
      const rows = await withHistory(gateway);
      const others = await withHistory(gateway, 'c2');
      const replaces =
        what === 'an answer'
          ? idOf(rows, 'Yes.')
          : what === 'elsewhere'
            ? idOf(others, 'question 1')
            : 'none';
      const { length } = gateway.workflow.signals;
      const answer = await gateway.send('c1', 'r9', 'x', { replaces });
      expect(verdict(answer)).toEqual([404, 'not_found']);
      expect(gateway.workflow.signals).toHaveLength(length);
      expect(await gateway.store.request('c1', 'r9')).toBeNull();
    },
  );
});

describe('steer', () => {
  it('a message that the running turn takes in ends with that turn', async () => {
    const gateway = await Gateway.start();
    await gateway.running();
    gateway.workflow.takesSteering = true;
    const waiting = gateway.send('c1', 's1', 'mind this', { whenBusy: 'steer', wait: 'end' });
    await eventually(async () => (await gateway.store.request('c1', 's1'))?.steeredInto != null);
    await gateway.workflow.say('c1', 'I do.');
    await gateway.workflow.end('c1', 'completed', 'I do.');
    const answer = await waiting;
    expect(answer.body).toMatchObject({
      requestId: 's1',
      status: 'queued',
      outcome: 'completed',
      text: 'I do.',
    });
    const again = await gateway.send('c1', 's1', 'mind this', { whenBusy: 'steer', wait: 'end' });
    expect(again.body).toEqual(answer.body);
    const first = await gateway.send('c1', 'first', 'hello', { wait: 'end' });
    expect(first.body['text']).toBe('I do.');
  });

  it('one that it does not take runs as a turn of its own, and ends with that', async () => {
    const gateway = await Gateway.start();
    await gateway.running();
    const waiting = gateway.send('c1', 's1', 'mind this', { whenBusy: 'steer', wait: 'end' });
    await eventually(async () =>
      (await gateway.log('c1')).some(({ payload }) => payload['code'] === 'steer_queued'),
    );
    await gateway.workflow.end('c1', 'failed');
    await gateway.workflow.say('c1', 'Mine.');
    await gateway.workflow.end('c1', 'completed', 'Mine.');
    expect((await waiting).body).toMatchObject({ outcome: 'completed', text: 'Mine.' });
  });
});

describe('L3: what is cut is read as it was', () => {
  it('over the log, which holds every event still', async () => {
    const gateway = await Gateway.start();
    const rows = await withHistory(gateway);
    const before = await gateway.log('c1');
    await gateway.post('/v1/conversations/c1/rollback', { messageId: rows[0]?.messageId });
    const { items } = await gateway.store.events(conversationStream('c1'), 0, 1_000);
    expect(items.slice(0, before.length).map(({ json }) => JSON.parse(json) as unknown)).toEqual(
      before,
    );
    expect(items.at(-1)?.type).toBe('history.cut');
  });
});
