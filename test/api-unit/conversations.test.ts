import { describe, expect, it } from 'vitest';

import { HoldfastError } from '../../src/contracts/errors.ts';
import { conversationStream } from '../../src/contracts/ids.ts';
import { PROMPT_LIMIT_BYTES } from '../../src/contracts/limits.ts';
import { contentHash } from '../../src/store/content-hash.ts';
import { eventually } from '../support/eventually.ts';
import { Gateway } from './gateway-harness.ts';

describe('create', () => {
  it('answers with the snapshot of what the workflow recorded', async () => {
    const gateway = await Gateway.start();
    const { status, body } = await gateway.post('/v1/conversations', {
      conversationId: 'c1',
      title: 'a title',
      model: 'm',
      provider: 'scripted',
      workspacePath: gateway.workspace,
    });
    expect(status).toBe(200);
    expect(body).toMatchObject({
      conversationId: 'c1',
      tableId: null,
      title: 'a title',
      provider: 'scripted',
      model: 'm',
      workspacePath: gateway.workspace,
      state: 'idle',
      messages: [],
      activeTurn: null,
      lastSeq: 1,
    });
    expect((await gateway.get('/v1/conversations/c1')).body).toEqual(body);
  });

  it('chooses what was left open: an id, the scripted provider, the first root', async () => {
    const gateway = await Gateway.start();
    const { body } = await gateway.post('/v1/conversations', {});
    expect(body['conversationId']).toMatch(/^[A-Za-z0-9][A-Za-z0-9_-]{0,63}$/);
    expect(body).toMatchObject({ provider: 'scripted', workspacePath: gateway.workspace });
    const empty = await gateway.call('POST', '/v1/conversations');
    expect(empty.status).toBe(200);
    expect(empty.body['conversationId']).not.toBe(body['conversationId']);
  });

  it('A2: the same id again is the first one, whatever else was asked for', async () => {
    const gateway = await Gateway.start();
    const first = await gateway.post('/v1/conversations', { conversationId: 'c1', title: 'one' });
    const second = await gateway.post('/v1/conversations', {
      conversationId: 'c1',
      title: 'two',
      provider: 'nobody',
      workspacePath: '/nowhere',
    });
    expect(second.status).toBe(200);
    expect(second.body).toEqual(first.body);
    expect(await gateway.log('c1')).toHaveLength(1);
  });

  it('A2: five at once with one id are one conversation', async () => {
    const gateway = await Gateway.start();
    const answers = await Promise.all(
      [1, 2, 3, 4, 5].map((n) =>
        gateway.post('/v1/conversations', { conversationId: 'c1', title: `title ${n}` }),
      ),
    );
    expect(new Set(answers.map((answer) => answer.text)).size).toBe(1);
    expect(await gateway.log('c1')).toHaveLength(1);
  });

  it.each([
    ['an unknown provider', { provider: 'nobody' }, 422, 'provider_not_found'],
    ['a provider that is not on PATH', { provider: 'claude' }, 422, 'provider_not_found'],
    ['a folder that does not exist', { workspacePath: '/none/such' }, 422, 'workspace_not_allowed'],
    ['a relative folder', { workspacePath: 'workspace' }, 422, 'workspace_not_allowed'],
    ['a folder with a NUL', { workspacePath: '/a\0b' }, 422, 'workspace_not_allowed'],
    ['a file', { workspacePath: '/etc/hostname' }, 422, 'workspace_not_allowed'],
    ['an id outside the pattern', { conversationId: '-x' }, 400, 'invalid_request'],
    ['an id of 65 characters', { conversationId: 'x'.repeat(65) }, 400, 'invalid_request'],
    ['an unknown field', { colour: 'red' }, 400, 'invalid_request'],
    ['a title of 201 characters', { title: 'x'.repeat(201) }, 400, 'invalid_request'],
    ['a program', { command: ['sh'] }, 400, 'invalid_request'],
    ['a model with a NUL', { model: 'a\0b' }, 400, 'invalid_request'],
    ['a model of two lines', { model: 'a\nb' }, 400, 'invalid_request'],
  ])('refuses %s, and nothing is stored', async (_what, body, status, code) => {
    const gateway = await Gateway.start();
    const answer = await gateway.post('/v1/conversations', { conversationId: 'c1', ...body });
    expect(answer.status).toBe(status);
    expect(answer.body['code']).toBe(code);
    expect(gateway.workflow.creates).toBe(0);
    expect(await gateway.lastSeq('c1')).toBe(0);
  });

  it('X1: no path leads out of the roots: not by .., not by a link, not by a common beginning', async () => {
    const gateway = await Gateway.start();
    const { mkdirSync, symlinkSync } = await import('node:fs');
    symlinkSync(gateway.outside, `${gateway.workspace}/link`);
    mkdirSync(`${gateway.workspace}-beside`);
    mkdirSync(`${gateway.workspace}/inner`);
    symlinkSync(`${gateway.workspace}/inner`, `${gateway.outside}/back`);
    const refused = [
      `${gateway.workspace}/../outside`,
      `${gateway.workspace}/link`,
      `${gateway.workspace}-beside`,
      '/',
    ];
    for (const workspacePath of refused) {
      const answer = await gateway.post('/v1/conversations', { workspacePath });
      expect({ workspacePath, code: answer.body['code'] }).toEqual({
        workspacePath,
        code: 'workspace_not_allowed',
      });
    }
    const inner = await gateway.post('/v1/conversations', {
      workspacePath: `${gateway.workspace}/./inner/`,
    });
    expect(inner.body['workspacePath']).toBe(`${gateway.workspace}/inner`);
    const byLink = await gateway.post('/v1/conversations', {
      workspacePath: `${gateway.outside}/back`,
    });
    expect(byLink.body['workspacePath']).toBe(`${gateway.workspace}/inner`);
  });

  it('says that it is accepted when no worker takes it up in time', async () => {
    const gateway = await Gateway.start({ config: { receiptWaitMs: 50 } });
    gateway.workflow.weather = 'no-worker';
    const answer = await gateway.post('/v1/conversations', { conversationId: 'c1' });
    expect(answer.status).toBe(503);
    expect(answer.headers['retry-after']).toBe('1');
    expect(answer.body).toMatchObject({ code: 'temporal_unavailable', accepted: true });
    expect(answer.body['title']).not.toContain('nothing was accepted');
    expect(answer.body['detail']).toMatch(/is accepted.*Repeat/);
  });

  it('A3: says that nothing was accepted when Temporal is not there', async () => {
    const gateway = await Gateway.start();
    gateway.workflow.weather = 'unreachable';
    const answer = await gateway.post('/v1/conversations', { conversationId: 'c1' });
    expect(answer.status).toBe(503);
    expect(answer.headers['retry-after']).toBe('1');
    expect(answer.body).toMatchObject({ code: 'temporal_unavailable', accepted: false });
  });
});

describe('send', () => {
  it('answers with the receipt that the log shows', async () => {
    const gateway = await Gateway.start();
    await gateway.conversation();
    const { status, body } = await gateway.send('c1', 'r1', 'hello');
    expect(status).toBe(200);
    expect(body).toEqual({
      requestId: 'r1',
      status: 'started',
      turnId: gateway.workflow.turnOf('c1').turnId,
      conversationId: 'c1',
    });
    const queued = await gateway.send('c1', 'r2', 'more');
    expect(queued.body).toMatchObject({ status: 'queued', position: 0 });
  });

  it('A1: the same requestId five times at once starts one turn and gives five same receipts', async () => {
    const gateway = await Gateway.start();
    await gateway.conversation();
    const answers = await Promise.all([1, 2, 3, 4, 5].map(() => gateway.send('c1', 'r1', 'hello')));
    expect(answers.map((answer) => answer.status)).toEqual([200, 200, 200, 200, 200]);
    expect(new Set(answers.map((answer) => answer.text)).size).toBe(1);
    const log = await gateway.log('c1');
    expect(log.filter((event) => event.type === 'chat.started')).toHaveLength(1);
  });

  it('A2: a repeat is answered as the first was, though the turn has ended since', async () => {
    const gateway = await Gateway.start();
    await gateway.running();
    const queued = await gateway.send('c1', 'r2', 'more');
    await gateway.workflow.end('c1', 'completed');
    await gateway.workflow.end('c1', 'completed');
    const seq = await gateway.lastSeq('c1');
    const signals = gateway.workflow.signals.length;
    expect((await gateway.send('c1', 'r2', 'more')).body).toEqual(queued.body);
    expect(gateway.workflow.signals).toHaveLength(signals);
    expect(await gateway.lastSeq('c1')).toBe(seq);
  });

  it('A2: with other content a requestId is refused, before and after, and of two at once one', async () => {
    const gateway = await Gateway.start();
    await gateway.running();
    const reused = await gateway.send('c1', 'first', 'something else');
    expect(reused.status).toBe(409);
    expect(reused.body).toMatchObject({ code: 'request_id_reused', requestId: 'first' });
    const both = await Promise.all([
      gateway.send('c1', 'r2', 'one'),
      gateway.send('c1', 'r2', 'two'),
    ]);
    expect(new Set(both.map((answer) => answer.status))).toEqual(new Set([200, 409]));
  });

  it('A2: a rejected send is answered 409 busy with its receipt, the same on repeat', async () => {
    const gateway = await Gateway.start();
    await gateway.running();
    const busy = await gateway.send('c1', 'r2', 'now', { whenBusy: 'reject' });
    expect(busy.status).toBe(409);
    expect(busy.body).toMatchObject({
      code: 'busy',
      status: 409,
      requestId: 'r2',
      conversationId: 'c1',
      turnId: null,
      receipt: { requestId: 'r2', status: 'rejected', code: 'busy' },
    });
    await gateway.workflow.end('c1', 'completed');
    const again = await gateway.send('c1', 'r2', 'now', { whenBusy: 'reject' });
    expect(again.text).toBe(busy.text);
    const rejected = (await gateway.log('c1')).filter((event) => event.type === 'chat.rejected');
    expect(rejected).toHaveLength(1);
  });

  it('W2: a full queue is 429 queue_full, as a problem with Retry-After', async () => {
    const gateway = await Gateway.start();
    await gateway.running();
    for (let n = 0; n < 64; n += 1) await gateway.send('c1', `q${n}`, 'wait');
    const full = await gateway.send('c1', 'one-too-many', 'wait');
    expect(full.status).toBe(429);
    expect(full.headers['retry-after']).toBe('1');
    expect(full.body['code']).toBe('queue_full');
  });

  it('A3: answers 202 when it is durable and its receipt is not known in time', async () => {
    const gateway = await Gateway.start({ config: { receiptWaitMs: 50 } });
    await gateway.conversation();
    gateway.workflow.weather = 'no-worker';
    const answer = await gateway.send('c1', 'r1', 'hello');
    expect(answer.status).toBe(202);
    expect(answer.body).toEqual({ requestId: 'r1', accepted: true });
  });

  it('A3: what Temporal did not take is 503 with nothing accepted; when nobody can know, it says so', async () => {
    const gateway = await Gateway.start();
    await gateway.conversation();
    gateway.workflow.weather = 'unreachable';
    const nothing = await gateway.send('c1', 'r1', 'hello');
    expect(nothing.status).toBe(503);
    expect(nothing.body).toMatchObject({ code: 'temporal_unavailable', accepted: false });
    gateway.workflow.weather = 'fate-unknown';
    const unknown = await gateway.send('c1', 'r1', 'hello');
    expect(unknown.body).toMatchObject({ code: 'temporal_unavailable', accepted: 'unknown' });
    expect(await gateway.lastSeq('c1')).toBe(1);
  });

  it('A3: a lost answer is made up for by the log', async () => {
    const gateway = await Gateway.start();
    await gateway.conversation();
    gateway.workflow.weather = 'answer-lost';
    const answer = await gateway.send('c1', 'r1', 'hello');
    expect(answer.status).toBe(200);
    expect(answer.body['status']).toBe('started');
  });

  it('a failure inside is 500 and tells nothing', async () => {
    const gateway = await Gateway.start();
    await gateway.conversation();
    gateway.workflow.weather = 'broken';
    const answer = await gateway.send('c1', 'r1', 'hello');
    expect(answer.status).toBe(500);
    expect(answer.body['code']).toBe('internal');
    expect(answer.text).not.toContain('secret');
  });

  it.each([
    ['an empty prompt', { requestId: 'r1', content: '' }, 400],
    ['a blank prompt', { requestId: 'r1', content: ' \n\t ' }, 400],
    ['no content', { requestId: 'r1' }, 400],
    ['no requestId', { content: 'x' }, 400],
    ['a requestId outside the pattern', { requestId: 'a b', content: 'x' }, 400],
    ['an unknown whenBusy', { requestId: 'r1', content: 'x', whenBusy: 'perhaps' }, 400],
    ['content that is no text', { requestId: 'r1', content: { a: 1 } }, 400],
    ['a prompt of 1 MB', { requestId: 'r1', content: 'x'.repeat(1_000_000) }, 413],
    [
      'one byte over the limit',
      { requestId: 'r1', content: 'x'.repeat(PROMPT_LIMIT_BYTES + 1) },
      413,
    ],
  ])('refuses %s, and nothing is stored', async (_what, body, status) => {
    const gateway = await Gateway.start({ config: { bodyLimitBytes: 4 * 1024 * 1024 } });
    await gateway.conversation();
    const answer = await gateway.post('/v1/conversations/c1/messages', body);
    expect(answer.status).toBe(status);
    expect(answer.body['code']).toBe(status === 413 ? 'payload_too_large' : 'invalid_request');
    expect(gateway.workflow.signals).toHaveLength(0);
    expect(await gateway.lastSeq('c1')).toBe(1);
  });

  it('takes a prompt of exactly the limit', async () => {
    const gateway = await Gateway.start();
    await gateway.conversation();
    const answer = await gateway.send('c1', 'r1', 'x'.repeat(PROMPT_LIMIT_BYTES));
    expect(answer.status).toBe(200);
  });

  it('answers 404 for a conversation that does not exist', async () => {
    const gateway = await Gateway.start();
    const answer = await gateway.send('nobody', 'r1', 'hello');
    expect(answer.status).toBe(404);
    expect(gateway.workflow.signals).toHaveLength(0);
  });

  it('a text with half a surrogate pair is made whole, so that every reader gets the same', async () => {
    const gateway = await Gateway.start();
    await gateway.conversation();
    const sent = await gateway.send('c1', 'r1', 'half \ud83d');
    expect(sent.status).toBe(200);
    const view = await gateway.get('/v1/conversations/c1');
    expect(view.body['messages']).toMatchObject([{ content: 'half \ufffd' }]);
    expect((await gateway.send('c1', 'r1', 'half \ud83d')).body).toEqual(sent.body);
  });
});

describe('send and wait for the end', () => {
  it('holds until the turn has ended and is settled, then answers receipt, outcome, text and usage', async () => {
    const gateway = await Gateway.start();
    await gateway.conversation();
    gateway.workflow.holdsSettling = true;
    let answered = false;
    const waiting = gateway.send('c1', 'r1', 'hello', { wait: 'end' }).then((answer) => {
      answered = true;
      return answer;
    });
    await eventually(async () => (await gateway.lastSeq('c1')) > 1);
    await gateway.workflow.say('c1', 'Hel', 'lo.');
    await gateway.workflow.end('c1', 'completed', 'Hello.');
    // The end is in the log, and the workflow is not free yet.
    const state = await gateway.store.workflowState('c1');
    expect(state?.state).toBe('processing');
    expect(answered).toBe(false);
    await gateway.workflow.settle();
    const { status, body } = await waiting;
    expect(status).toBe(200);
    expect(body).toMatchObject({
      requestId: 'r1',
      status: 'started',
      conversationId: 'c1',
      outcome: 'completed',
      cause: null,
      text: 'Hello.',
      usage: { inputTokens: 3, outputTokens: 5 },
    });
    const next = await gateway.send('c1', 'r2', 'more', { whenBusy: 'reject' });
    expect(next.body['status']).toBe('started');
  });

  it('answers although nobody settles, two seconds later', async () => {
    const gateway = await Gateway.start();
    await gateway.conversation();
    gateway.workflow.holdsSettling = true;
    gateway.workflow.autoAnswer = 'Done.';
    const startedAt = performance.now();
    const answer = await gateway.send('c1', 'r1', 'hello', { wait: 'end' });
    expect(answer.body['outcome']).toBe('completed');
    expect(performance.now() - startedAt).toBeGreaterThan(1_900);
  });

  it('A2: a repeat after the end is answered at once', async () => {
    const gateway = await Gateway.start();
    await gateway.conversation();
    gateway.workflow.autoAnswer = 'Done.';
    const first = await gateway.send('c1', 'r1', 'hello', { wait: 'end' });
    const again = await gateway.send('c1', 'r1', 'hello', { wait: 'end' });
    expect(again.body).toEqual(first.body);
  });

  it('waits through the queue, and tells each how its own turn ended', async () => {
    const gateway = await Gateway.start();
    await gateway.running();
    const waiting = gateway.send('c1', 'r2', 'more', { wait: 'end' });
    await eventually(async () => gateway.store.request('c1', 'r2'));
    await gateway.workflow.say('c1', 'part');
    await gateway.workflow.end('c1', 'failed', 'part');
    await gateway.workflow.end('c1', 'interrupted');
    expect((await waiting).body).toMatchObject({
      status: 'queued',
      position: 0,
      outcome: 'interrupted',
      cause: 'provider-died',
      text: '',
    });
    const first = await gateway.send('c1', 'first', 'hello', { wait: 'end' });
    expect(first.body).toMatchObject({ outcome: 'failed', cause: 'provider', text: 'part' });
  });

  it('a rejected one is answered at once', async () => {
    const gateway = await Gateway.start();
    await gateway.running();
    const answer = await gateway.send('c1', 'r2', 'now', { whenBusy: 'reject', wait: 'end' });
    expect(answer.status).toBe(409);
  });

  it('C2: a caller that goes away changes nothing and leaves nothing behind', async () => {
    const gateway = await Gateway.start();
    await gateway.conversation();
    const gone = new AbortController();
    const waiting = gateway.open('POST', '/v1/conversations/c1/messages?wait=end', {
      body: { requestId: 'r1', content: 'hello' },
      signal: gone.signal,
    });
    await eventually(async () => gateway.store.request('c1', 'r1'));
    gone.abort();
    await expect(waiting).rejects.toThrow(/abort/i);
    const metric = async (name: string): Promise<string | undefined> =>
      new RegExp(`^holdfast_${name} (.*)$`, 'm').exec((await gateway.get('/metrics')).text)?.[1];
    await eventually(async () => (await metric('held_requests')) === '0');
    await eventually(async () => (await metric('feed_streams')) === '0');
    expect(gateway.workflow.signals).toHaveLength(1);
    await gateway.workflow.end('c1', 'completed');
    const again = await gateway.send('c1', 'r1', 'hello', { wait: 'end' });
    expect(again.body['outcome']).toBe('completed');
  });

  it('a stop of the gateway answers 503 shutting_down, and the turn goes on', async () => {
    const gateway = await Gateway.start();
    await gateway.conversation();
    const waiting = gateway.request('POST', '/v1/conversations/c1/messages?wait=end', {
      body: { requestId: 'r1', content: 'hello' },
    });
    await eventually(async () => gateway.store.request('c1', 'r1'));
    await gateway.app.close();
    const answer = await waiting;
    expect(answer.status).toBe(503);
    expect(answer.headers['retry-after']).toBe('1');
    expect(answer.body['code']).toBe('shutting_down');
    expect(gateway.workflow.signals).toHaveLength(1);
    expect((await gateway.store.workflowState('c1'))?.turn).not.toBeNull();
  });
});

describe('cancel', () => {
  it('cancels the running turn, waits for its end when asked, and is content when nothing runs', async () => {
    const gateway = await Gateway.start();
    await gateway.conversation();
    const nothing = await gateway.post('/v1/conversations/c1/cancel', {});
    expect(nothing.body).toEqual({ turnId: null });
    const sent = await gateway.send('c1', 'r1', 'hello');
    const { turnId } = sent.body;
    const cancelled = await gateway.post('/v1/conversations/c1/cancel?wait=end', { turnId });
    expect(cancelled.body).toMatchObject({ turnId, outcome: 'cancelled', cause: 'user' });
    expect(gateway.workflow.signals.at(-1)?.signal).toEqual({
      name: 'cancel',
      argument: { turnId, by: 'user' },
    });
    const late = await gateway.post('/v1/conversations/c1/cancel', { turnId });
    expect(late.status).toBe(409);
    expect(late.body).toMatchObject({ code: 'turn_mismatch', runningTurnId: null });
  });

  it('takes no body as an empty one, and refuses a turn that is not the running one', async () => {
    const gateway = await Gateway.start();
    await gateway.running();
    const wrong = await gateway.post('/v1/conversations/c1/cancel', { turnId: 'other' });
    expect(wrong.status).toBe(409);
    const answer = await gateway.call('POST', '/v1/conversations/c1/cancel');
    expect(answer.status).toBe(200);
    expect(answer.body['turnId']).toMatch(/^turn/);
    expect((await gateway.post('/v1/conversations/nobody/cancel', {})).status).toBe(404);
  });
});

describe('retry', () => {
  it('is a new attempt with a receipt, once for each requestId', async () => {
    const gateway = await Gateway.start();
    await gateway.running();
    const { turnId } = gateway.workflow.turnOf('c1');
    const path = `/v1/conversations/c1/turns/${turnId}/retry`;
    const early = await gateway.post(path, { requestId: 'again' });
    expect(early.status).toBe(409);
    expect(early.body['code']).toBe('not_retryable');
    await gateway.workflow.end('c1', 'interrupted');
    const receipt = await gateway.post(path, { requestId: 'again' });
    expect(receipt.body).toMatchObject({ requestId: 'again', status: 'started', turnId });
    expect((await gateway.post(path, { requestId: 'again' })).body).toEqual(receipt.body);
    expect(gateway.workflow.turnOf('c1').attempt).toBe(2);
    await gateway.workflow.end('c1', 'completed');
    const completed = await gateway.post(path, { requestId: 'third' });
    expect(completed.body['code']).toBe('not_retryable');
    const turn = await gateway.get(`/v1/conversations/c1/turns/${turnId}`);
    expect(turn.body).toMatchObject({
      outcome: 'completed',
      attempts: [{ attempt: 1, outcome: 'interrupted' }, { attempt: 2 }],
    });
  });

  it('A2: its requestId is not the one of a send, nor of a retry of another turn', async () => {
    const gateway = await Gateway.start();
    await gateway.running();
    const { turnId } = gateway.workflow.turnOf('c1');
    await gateway.workflow.end('c1', 'failed');
    const reused = await gateway.post(`/v1/conversations/c1/turns/${turnId}/retry`, {
      requestId: 'first',
    });
    expect(reused.body['code']).toBe('request_id_reused');
  });

  it('X1: finds no turn of another conversation', async () => {
    const gateway = await Gateway.start();
    await gateway.running('c1');
    await gateway.conversation('c2');
    const { turnId } = gateway.workflow.turnOf('c1');
    await gateway.workflow.end('c1', 'failed');
    const answer = await gateway.post(`/v1/conversations/c2/turns/${turnId}/retry`, {
      requestId: 'r9',
    });
    expect(answer.status).toBe(404);
    expect((await gateway.get(`/v1/conversations/c2/turns/${turnId}`)).status).toBe(404);
    const none = await gateway.post('/v1/conversations/c1/turns/none/retry', { requestId: 'r9' });
    expect(none.status).toBe(404);
    // Refused here: nothing was asked of the workflow, and the requestId is still free.
    expect(gateway.workflow.signals).toHaveLength(1);
  });

  it('waits for the end of its own attempt', async () => {
    const gateway = await Gateway.start();
    await gateway.running();
    const { turnId } = gateway.workflow.turnOf('c1');
    await gateway.workflow.end('c1', 'failed');
    gateway.workflow.autoAnswer = 'Better.';
    const answer = await gateway.post(`/v1/conversations/c1/turns/${turnId}/retry?wait=end`, {
      requestId: 'again',
    });
    expect(answer.body).toMatchObject({ outcome: 'completed', text: 'Better.' });
  });
});

describe('approvals', () => {
  const path = '/v1/conversations/c1/approvals/a1';

  it('is answered once; the second answer hears of the first', async () => {
    const gateway = await Gateway.start();
    await gateway.running();
    await gateway.workflow.askApproval('c1', 'a1');
    const first = await gateway.post(path, { decision: 'allow' });
    expect(first.status).toBe(200);
    expect(first.body).toEqual({ approvalId: 'a1', decision: 'allow', by: 'user' });
    const second = await gateway.post(path, { decision: 'deny' });
    expect(second.status).toBe(409);
    expect(second.body).toMatchObject({
      code: 'already_resolved',
      approvalId: 'a1',
      decision: 'allow',
      by: 'user',
    });
  });

  it('of answers at once one wins, also when they say the same', async () => {
    const gateway = await Gateway.start();
    await gateway.running();
    await gateway.workflow.askApproval('c1', 'a1');
    const signals = gateway.workflow.signals.length;
    const { promise, resolve } = Promise.withResolvers<void>();
    gateway.workflow.gate = promise;
    const waiting = [1, 2, 3].map(() => gateway.post(path, { decision: 'deny', message: 'no' }));
    await eventually(async () =>
      /holdfast_held_requests 3\n/.test((await gateway.get('/metrics')).text),
    );
    resolve();
    const answers = await Promise.all(waiting);
    const statuses = answers.map((answer) => answer.status).toSorted((a, b) => a - b);
    expect(statuses).toEqual([200, 409, 409]);
    expect(gateway.workflow.signals).toHaveLength(signals + 1);
    const log = await gateway.log('c1');
    expect(log.filter((event) => event.type === 'approval.resolved')).toHaveLength(1);
  });

  it('one that an operator answers otherwise in the meantime is already_resolved', async () => {
    let meanwhile: (() => Promise<void>) | null = null;
    const gateway = await Gateway.start({
      wrapStore: (store) => ({
        ...store,
        approval: async (...call) => {
          const seen = await store.approval(...call);
          const first = meanwhile;
          meanwhile = null;
          await first?.();
          return seen;
        },
      }),
    });
    await gateway.running();
    await gateway.workflow.askApproval('c1', 'a1');
    const argument = { approvalId: 'a1', decision: 'deny' as const, by: 'ann' };
    meanwhile = () =>
      gateway.workflow.signal({
        conversationId: 'c1',
        signal: { name: 'resolveApproval', argument },
      });
    const answer = await gateway.post(path, { decision: 'allow' });
    expect(answer.status).toBe(409);
    expect(answer.body).toMatchObject({ code: 'already_resolved', decision: 'deny', by: 'ann' });
  });

  it('a failed answer leaves it open for the next', async () => {
    const gateway = await Gateway.start();
    await gateway.running();
    await gateway.workflow.askApproval('c1', 'a1');
    gateway.workflow.weather = 'unreachable';
    expect((await gateway.post(path, { decision: 'allow' })).status).toBe(503);
    gateway.workflow.weather = 'fine';
    expect((await gateway.post(path, { decision: 'deny' })).body['decision']).toBe('deny');
  });

  it('is 202 when it is durable and not carried out in time, 404 when there is none', async () => {
    const gateway = await Gateway.start({ config: { receiptWaitMs: 50 } });
    await gateway.running();
    await gateway.workflow.askApproval('c1', 'a1');
    gateway.workflow.weather = 'no-worker';
    const answer = await gateway.post(path, { decision: 'allow' });
    expect(answer.status).toBe(202);
    expect(answer.body).toEqual({ approvalId: 'a1', accepted: true });
    const none = await gateway.post('/v1/conversations/c1/approvals/none', { decision: 'allow' });
    expect(none.status).toBe(404);
    expect((await gateway.post(path, { decision: 'maybe' })).status).toBe(400);
  });
});

describe('reading', () => {
  it('pages through messages and turns, newest first', async () => {
    const gateway = await Gateway.start();
    await gateway.conversation();
    gateway.workflow.autoAnswer = 'Yes.';
    for (const n of [1, 2, 3]) await gateway.send('c1', `r${n}`, `question ${n}`, { wait: 'end' });
    const contents: string[] = [];
    let query = '';
    do {
      const { body } = await gateway.get(`/v1/conversations/c1/messages?limit=2${query}`);
      const page = body as { items: { content: string }[]; nextCursor: string | null };
      contents.push(...page.items.map((item) => item.content));
      query = page.nextCursor === null ? '' : `&before=${page.nextCursor}`;
    } while (query !== '');
    expect(contents).toEqual(['Yes.', 'question 3', 'Yes.', 'question 2', 'Yes.', 'question 1']);
    const turns = await gateway.get('/v1/conversations/c1/turns?limit=2');
    const requests = (turns.body['items'] as { requestId: string }[]).map((turn) => turn.requestId);
    expect(requests).toEqual(['r3', 'r2']);
    const rest = await gateway.get(
      `/v1/conversations/c1/turns?limit=2&cursor=${String(turns.body['nextCursor'])}`,
    );
    expect(rest.body['items']).toMatchObject([{ requestId: 'r1' }]);
  });

  it.each([
    '/v1/conversations/nobody',
    '/v1/conversations/nobody/messages',
    '/v1/conversations/c1/messages?before=nothing',
    '/v1/conversations/nobody/turns',
    '/v1/conversations/c1/turns/nothing',
    '/v1/conversations/nobody/events',
  ])('GET %s is 404 not_found', async (path) => {
    const gateway = await Gateway.start();
    await gateway.conversation();
    const answer = await gateway.get(path);
    expect(answer.status).toBe(404);
    expect(answer.body['code']).toBe('not_found');
  });

  it.each([
    '/v1/conversations/c1?colour=red',
    '/v1/conversations/c1/messages?limit=0',
    '/v1/conversations/c1/messages?limit=201',
    '/v1/conversations/c1/messages?limit=ten',
    '/v1/conversations/c1/messages?limit=1&limit=2',
    '/v1/conversations/c1/messages?colour=red',
    '/v1/conversations/c1/turns?limit=1.5',
    '/v1/conversations/c1/events?after=-1',
    '/v1/conversations/a%20b',
    '/v1/conversations/%2e%2e',
    `/v1/conversations/${'x'.repeat(500)}`,
    '/v1/conversations/%zz',
  ])('GET %s is 400 invalid_request', async (path) => {
    const gateway = await Gateway.start();
    await gateway.conversation();
    const answer = await gateway.get(path);
    expect(answer.status).toBe(400);
    expect(answer.body['code']).toBe('invalid_request');
  });

  it('serves reads with Temporal down, and a store that is full says so', async () => {
    const gateway = await Gateway.start({
      wrapStore: (store) => ({
        ...store,
        turns: () => Promise.reject(new HoldfastError('storage_full')),
      }),
    });
    await gateway.running();
    gateway.workflow.weather = 'unreachable';
    expect((await gateway.get('/v1/conversations/c1')).status).toBe(200);
    const full = await gateway.request('GET', '/v1/conversations/c1/turns');
    expect(full.status).toBe(503);
    expect(full.headers['retry-after']).toBe('1');
    expect(full.body['code']).toBe('storage_full');
  });
});

describe('a disk with less room than is kept for what runs', () => {
  const room = { level: 'low' as const, freeBytes: 3_000_000, reserveBytes: 67_108_864 };

  it('refuses new work before anything is accepted, and says how much is missing', async () => {
    let full = false;
    const gateway = await Gateway.start({
      room: () => (full ? room : { ...room, level: 'ample' }),
    });
    await gateway.running();
    await gateway.workflow.end('c1', 'completed');
    const { length } = gateway.workflow.signals;
    full = true;
    const messages = '/v1/conversations/c1/messages';
    const refusals = [
      await gateway.post(messages, { requestId: 'new', content: 'hello' }),
      await gateway.post('/v1/conversations', { conversationId: 'c2' }),
    ];
    for (const { status, headers, body } of refusals) {
      expect(status).toBe(503);
      expect(headers['retry-after']).toBe('1');
      expect(body).toMatchObject({ code: 'storage_full', accepted: false, freeBytes: 3_000_000 });
      expect(body['detail']).toContain('HOLDFAST_DISK_RESERVE_BYTES');
    }
    expect(gateway.workflow.signals).toHaveLength(length);
    expect((await gateway.get('/v1/conversations/c2')).status).toBe(404);
    full = false;
    const again = await gateway.post(messages, { requestId: 'new', content: 'hello' });
    expect(again.status).toBe(200);
  });

  it('A2 answers what it has answered before, and takes cancels and answers to approvals', async () => {
    let full = false;
    const gateway = await Gateway.start({
      room: () => (full ? room : { ...room, level: 'ample' }),
    });
    await gateway.running();
    await gateway.workflow.askApproval('c1', 'a1');
    full = true;
    const first = { requestId: 'first', content: 'hello' };
    expect((await gateway.post('/v1/conversations/c1/messages', first)).status).toBe(200);
    const known = { conversationId: 'c1' };
    expect((await gateway.post('/v1/conversations', known)).status).toBe(200);
    const answer = { decision: 'allow' };
    expect((await gateway.post('/v1/conversations/c1/approvals/a1', answer)).status).toBe(200);
    expect((await gateway.post('/v1/conversations/c1/cancel', {})).status).toBe(200);
  });
});

describe('content hash', () => {
  it('tells kinds and contents apart, and is the one the activities store', async () => {
    expect(contentHash('send', 'a')).not.toBe(contentHash('retry', 'a'));
    expect(contentHash('send', 'a')).toMatch(/^[0-9a-f]{64}$/);
    const gateway = await Gateway.start();
    await gateway.running();
    const row = await gateway.store.request('c1', 'first');
    expect(row?.contentHash).toBe(contentHash('send', 'hello'));
    expect(await gateway.store.lastSeq(conversationStream('c1'))).toBeGreaterThan(0);
  });
});
