/** The gateway as a process, over real Temporal, worker, turn host and provider. */
import { afterAll, beforeAll, describe, expect, test } from 'vitest';

import type { ConversationViewValue } from '../../../src/contracts/view.ts';
import { emptyView, foldEvents } from '../../../src/domain/fold.ts';
import { textOf } from '../../support/chat-clients.ts';
import { eventually } from '../../support/eventually.ts';
import { temporalBinary } from '../../support/temporal.ts';
import { Stack } from './stack.ts';

let stack: Stack;

beforeAll(async () => {
  stack = new Stack(temporalBinary());
  await stack.startAll();
});
afterAll(() => stack.discard());

const upTo = (last: number, from = 1): number[] =>
  Array.from({ length: last - from + 1 }, (_, index) => from + index);
const words = (count: number): string => Array.from({ length: count }, (_, n) => `w${n} `).join('');
const script = (...steps: string[]): string => ['#script', ...steps].join('\n');
const viewOf = async (id: string): Promise<ConversationViewValue> =>
  (await stack.call('GET', `/v1/conversations/${id}`)).body as ConversationViewValue;

describe('a conversation', () => {
  test('L4 two sockets, one of them joining in the middle, and the log fold to the same text, seq without gap or repeat', async () => {
    const id = await stack.conversation('whole');
    const first = await stack.socket();
    first.send({ type: 'hello', payload: { conversationId: id, lastSeq: 0 } });
    await first.untilType('caught-up');
    first.send({
      type: 'chat.send',
      conversationId: id,
      requestId: 'r1',
      payload: { content: script('words 500 every 2') },
    });
    await first.until((frame) => (frame.seq ?? 0) > 100);
    const second = await stack.socket();
    second.send({ type: 'chat.subscribe', conversationId: id });
    await second.untilType('caught-up');
    const answer = await stack.send(id, 'r1', script('words 500 every 2'), '?wait=end');
    expect(answer.body).toMatchObject({
      status: 'started',
      outcome: 'completed',
      text: words(500),
    });
    const log = await stack.log(id);
    const last = log.at(-1)?.seq ?? 0;
    await Promise.all([first, second].map((socket) => socket.until((frame) => frame.seq === last)));
    expect(log.map((event) => event.seq)).toEqual(upTo(last));
    expect(first.events(id)).toEqual(log);
    const snapshot = await second.untilType('snapshot');
    const joinedAt = Number(snapshot.payload['lastSeq']);
    expect(joinedAt).toBeGreaterThan(100);
    expect(joinedAt).toBeLessThan(last);
    expect(second.events(id)).toEqual(log.slice(joinedAt));
    const folded = [
      foldEvents(emptyView(id), log as never),
      foldEvents(snapshot.payload as never, second.events(id) as never),
      await viewOf(id),
    ];
    for (const view of folded) expect(textOf(view)).toBe(words(500));
    expect(folded[1]).toEqual(folded[0]);
  });

  test('A1 the same requestId five times at once starts one turn; with other content it is refused', async () => {
    const id = await stack.conversation('five');
    const answers = await Promise.all(upTo(5).map(() => stack.send(id, 'r1', 'hello')));
    expect(answers.map(({ status }) => status)).toEqual([200, 200, 200, 200, 200]);
    expect(new Set(answers.map(({ body }) => JSON.stringify(body))).size).toBe(1);
    expect((await stack.send(id, 'r1', 'other')).body['code']).toBe('request_id_reused');
    const log = await stack.log(id);
    expect(log.filter(({ type }) => type === 'chat.started')).toHaveLength(1);
  });

  test('C1 a cancel is waited for; what was cancelled can be retried', async () => {
    const id = await stack.conversation('cancel');
    const sent = await stack.send(id, 'r1', script('words 5 every 20', 'hang'));
    const { turnId } = sent.body;
    await eventually(async () => textOf(await viewOf(id)) === words(5));
    const cancelled = await stack.call('POST', `/v1/conversations/${id}/cancel?wait=end`, {
      turnId,
    });
    expect(cancelled.body).toMatchObject({ turnId, outcome: 'cancelled', text: words(5) });
    // Settled: free at once.
    const next = await stack.call('POST', `/v1/conversations/${id}/messages?wait=end`, {
      requestId: 'r2',
      content: script('words 3'),
      whenBusy: 'reject',
    });
    expect(next.body).toMatchObject({ status: 'started', outcome: 'completed', text: words(3) });
    const retried = await stack.call(
      'POST',
      `/v1/conversations/${id}/turns/${String(turnId)}/retry`,
      {
        requestId: 'again',
      },
    );
    expect(retried.body).toMatchObject({ status: 'started', turnId });
    await stack.call('POST', `/v1/conversations/${id}/cancel?wait=end`, {});
  });

  test('an approval reaches the provider, once', async () => {
    const id = await stack.conversation('approval');
    const waiting = stack.send(id, 'r1', script('ask tool', 'text "after"'), '?wait=end');
    const approvalId = await eventually(async () => {
      return (await viewOf(id)).approvals[0]?.approvalId;
    });
    const path = `/v1/conversations/${id}/approvals/${approvalId}`;
    const [one, two] = await Promise.all([
      stack.call('POST', path, { decision: 'allow' }),
      stack.call('POST', path, { decision: 'deny' }),
    ]);
    expect(new Set([one.status, two.status])).toEqual(new Set([200, 409]));
    const winner = one.status === 200 ? 'allow' : 'deny';
    expect([one.body['decision'], two.body['decision']]).toEqual([winner, winner]);
    expect((await waiting).body['outcome']).toBe('completed');
  });
});

describe('what is away', () => {
  test('A3 without a worker a send is 202 and a new conversation 503, both accepted; both are done when it is back', async () => {
    const id = await stack.conversation('no-worker');
    await stack.stop('worker', 'SIGKILL');
    const [sent, created] = await Promise.all([
      stack.send(id, 'r1', script('words 2')),
      stack.call('POST', '/v1/conversations', { conversationId: 'later' }),
    ]);
    expect(sent).toEqual({ status: 202, body: { requestId: 'r1', accepted: true } });
    expect(created.status).toBe(503);
    expect(created.body).toMatchObject({ code: 'temporal_unavailable', accepted: true });
    await stack.start('worker');
    const again = await stack.send(id, 'r1', script('words 2'), '?wait=end');
    expect(again.body).toMatchObject({ status: 'started', text: words(2) });
    expect(
      (await stack.call('POST', '/v1/conversations', { conversationId: 'later' })).status,
    ).toBe(200);
  });

  test('A3 T1 without Temporal reads go on and nothing is accepted; when it is back, everything is', async () => {
    const id = await stack.conversation('no-temporal');
    await stack.send(id, 'r0', script('words 2'), '?wait=end');
    await stack.stopTemporal('SIGKILL');
    const startedAt = performance.now();
    const refused = await stack.send(id, 'r1', 'hello');
    expect(refused.status).toBe(503);
    expect(refused.body).toMatchObject({ code: 'temporal_unavailable', accepted: false });
    expect(performance.now() - startedAt).toBeLessThan(4_000);
    expect((await stack.call('GET', `/v1/conversations/${id}`)).status).toBe(200);
    expect((await stack.call('GET', '/readyz')).status).toBe(503);
    await stack.stop('gateway');
    await stack.start('gateway');
    expect((await stack.log(id)).length).toBeGreaterThan(5);
    await stack.startTemporal();
    const answer = await eventually(async () => {
      const sent = await stack.send(id, 'r1', script('words 3'), '?wait=end');
      return sent.status === 200 && sent;
    }, 30_000);
    expect(answer.body).toMatchObject({ outcome: 'completed', text: words(3) });
    expect((await stack.call('GET', '/readyz')).status).toBe(200);
  });

  test('T2 with Temporal frozen the fate of a send is unknown, and said so; repeated, it is done once', async () => {
    const id = await stack.conversation('frozen');
    stack.freezeTemporal();
    const startedAt = performance.now();
    const unknown = await stack.send(id, 'r1', script('words 2'));
    expect(performance.now() - startedAt).toBeLessThan(7_000);
    stack.thawTemporal();
    expect(unknown.status).toBe(503);
    expect(unknown.body).toMatchObject({ code: 'temporal_unavailable', accepted: 'unknown' });
    const answer = await eventually(async () => {
      const sent = await stack.send(id, 'r1', script('words 2'), '?wait=end');
      return sent.status === 200 && sent;
    }, 30_000);
    expect(answer.body).toMatchObject({ outcome: 'completed', text: words(2) });
    const log = await stack.log(id);
    expect(log.filter(({ type }) => type === 'chat.started')).toHaveLength(1);
  });

  test('C2 L4 a gateway killed in mid-turn changes nothing; the client goes on at its cursor in the next', async () => {
    const id = await stack.conversation('killed');
    const first = await stack.socket();
    first.send({
      type: 'chat.send',
      conversationId: id,
      requestId: 'r1',
      payload: { content: script('words 300 every 5') },
    });
    await first.until((frame) => (frame.seq ?? 0) > 50);
    await stack.stop('gateway', 'SIGKILL');
    await eventually(() => first.closed);
    const seen = first.events(id);
    await stack.start('gateway');
    const second = await stack.socket();
    second.send({
      type: 'chat.subscribe',
      conversationId: id,
      payload: { lastSeq: seen.at(-1)?.seq ?? 0 },
    });
    await second.until((frame) => frame.type === 'chat.done', 20_000);
    const answer = await stack.send(id, 'r1', script('words 300 every 5'), '?wait=end');
    expect(answer.body['text']).toBe(words(300));
    const log = await stack.log(id);
    await second.until((frame) => frame.seq === log.at(-1)?.seq);
    const from = (seen[0]?.seq ?? 1) - 1;
    expect([...seen, ...second.events(id)]).toEqual(log.slice(from));
  });
});

describe('the process', () => {
  test('ends with 0 on SIGTERM, answering who waits and saying goodbye; the turn goes on', async () => {
    const id = await stack.conversation('term');
    const socket = await stack.socket();
    socket.send({ type: 'chat.subscribe', conversationId: id });
    const waiting = stack.send(id, 'r1', script('words 400 every 5'), '?wait=end');
    await eventually(() => socket.events(id).some((event) => event.type === 'chat.delta'));
    const ended = stack.stop('gateway');
    expect((await waiting).body).toMatchObject({ status: 503, code: 'shutting_down' });
    expect(await socket.untilClosed()).toBe(1012);
    expect(await ended).toBe(0);
    await stack.start('gateway');
    const again = await stack.send(id, 'r1', script('words 400 every 5'), '?wait=end');
    expect(again.body).toMatchObject({ outcome: 'completed', text: words(400) });
  });

  test('W2 takes less than 150 MB after its start', async () => {
    await stack.stop('gateway');
    await stack.start('gateway');
    await stack.conversation('memory');
    expect(stack.residentBytes('gateway')).toBeLessThan(150 * 1_000_000);
  });

  test('does not start without a token, and says which file it misses', async () => {
    await stack.stop('gateway');
    await expect(stack.startWithout('token')).rejects.toThrow(/there is no token at .*token/);
    await stack.start('gateway');
  });
});
