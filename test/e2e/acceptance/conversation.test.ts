/**
 * A conversation through the whole of a started Holdfast: accepted, run, recorded, delivered. Numbers: design.md
 * section 12, as docs/architecture.md repeats them.
 */
import { randomUUID } from 'node:crypto';
import { mkdirSync, symlinkSync } from 'node:fs';
import { join } from 'node:path';

import { beforeAll, describe, expect, test } from 'vitest';

import { ERRORS } from '../../../src/contracts/errors.ts';
import { EVENT_PAYLOADS, type Event } from '../../../src/contracts/events.ts';
import { CLIENT_FRAMES, SERVER_FRAMES } from '../../../src/contracts/frames.ts';
import type { SendAnswerValue } from '../../../src/contracts/http.ts';
import type {
  ConversationViewValue,
  ReceiptValue,
  TurnViewValue,
} from '../../../src/contracts/view.ts';
import { emptyView, foldEvents } from '../../../src/domain/fold.ts';
import { isSameProcess } from '../../../src/providers/process/process-table.ts';
import { ChatSocket, EventStreamClient, textOf } from '../../support/chat-clients.ts';
import { eventually } from '../../support/eventually.ts';
import { newConversation, readLog, script, send, words } from './conversations.ts';
import { sharedHoldfast } from './shared-holdfast.ts';
import { read } from './shell-blocks.ts';

const holdfast = sharedHoldfast();

/** A socket that has said hello. */
async function socketTo(conversationId: string): Promise<ChatSocket> {
  const protocols = ['holdfast.v1', `holdfast.token.${holdfast.token}`];
  const socket = new ChatSocket({ api: holdfast.api, conversationId, protocols });
  await socket.opened();
  socket.send({ type: 'hello' });
  await socket.frame('hello');
  return socket;
}

function streamOf(conversationId: string): EventStreamClient {
  const { api, token } = holdfast;
  return new EventStreamClient({ api, token, conversationId, after: 0 });
}

const isDone = (view: ConversationViewValue): boolean =>
  view.state === 'idle' && view.messages.length > 0;

describe('what clients are shown', () => {
  test('L1 L3 L4 two sockets, one of them from the middle, and one event stream fold to the same text, and so does the log', async () => {
    const conversationId = await newConversation(holdfast);
    const first = await socketTo(conversationId);
    const stream = streamOf(conversationId);
    first.send({ type: 'chat.subscribe', conversationId, payload: { lastSeq: 0 } });
    await first.frame('caught-up');
    const requestId = randomUUID();
    const content = script('words 500 every 2');
    first.send({ type: 'chat.send', conversationId, requestId, payload: { content } });
    await first.frame('chat.accepted', requestId);

    await first.reader.until((view) => textOf(view).includes('w150 '));
    const second = await socketTo(conversationId);
    second.send({ type: 'chat.subscribe', conversationId });
    await second.frame('caught-up');
    const joinedAt = textOf(second.reader.view);
    expect(joinedAt).toContain('w150 ');
    expect(joinedAt).not.toContain('w499 ');

    const readers = [first.reader, second.reader, stream.reader];
    await Promise.all(readers.map((reader) => reader.until(isDone)));
    for (const reader of readers) {
      expect(reader.faults).toEqual([]);
      expect(reader.text).toBe(words(500));
      expect(reader.view).toEqual(first.reader.view);
    }

    const log = await readLog(holdfast, conversationId);
    expect(log.map(({ seq }) => seq)).toEqual(log.map((_event, index) => index + 1));
    expect(textOf(foldEvents(emptyView(conversationId), log))).toBe(words(500));
    // The same objects: what was delivered is what was stored, to the last field.
    expect(first.reader.events).toEqual(log);
    expect(stream.reader.events).toEqual(log);
    const tail = second.reader.events;
    expect(tail).toEqual(log.slice(-tail.length));
    const snapshot = await holdfast.ask<ConversationViewValue>({
      path: `/v1/conversations/${conversationId}`,
    });
    expect(snapshot).toEqual(first.reader.view);
    for (const client of [first, second, stream]) client.close();
  });

  test('L4 a client that comes back with its lastSeq gets the rest, and nothing twice', async () => {
    const conversationId = await newConversation(holdfast);
    const socket = await socketTo(conversationId);
    const { turnId } = await send(holdfast, conversationId, script('words 200 every 3'));
    socket.send({ type: 'chat.subscribe', conversationId, payload: { lastSeq: 0 } });
    await socket.reader.until((view) => textOf(view).includes('w50 '));
    socket.close();
    const again = await socketTo(conversationId);
    again.reader.view = socket.reader.view;
    const { lastSeq } = again.reader.view;
    again.send({ type: 'hello', payload: { conversationId, lastSeq } });
    await again.reader.until(isDone);
    expect(again.reader.faults).toEqual([]);
    expect(again.reader.text).toBe(words(200));
    expect(again.reader.view.messages.at(-1)?.turnId).toBe(turnId);
    again.close();
  });

  test('C2 closing every client in mid-turn does not stop the provider', async () => {
    const conversationId = await newConversation(holdfast);
    const socket = await socketTo(conversationId);
    const stream = streamOf(conversationId);
    socket.send({ type: 'chat.subscribe', conversationId, payload: { lastSeq: 0 } });
    // It goes away while it waits: that changes nothing either.
    const waiting = new AbortController();
    const requestId = randomUUID();
    const waited = fetch(`${holdfast.api}/v1/conversations/${conversationId}/messages?wait=end`, {
      method: 'POST',
      headers: { authorization: `Bearer ${holdfast.token}`, 'content-type': 'application/json' },
      body: JSON.stringify({
        requestId,
        content: script('words 60 every 5', 'ask go', 'words 60'),
      }),
      signal: waiting.signal,
    });
    await socket.reader.until((view) => textOf(view).includes('w20 '));
    const { turnId = '' } = socket.reader.view.activeTurn ?? {};
    const provider = await holdfast.providerOf(turnId);
    waiting.abort();
    await expect(waited).rejects.toThrow('aborted');
    socket.close();
    stream.close();

    const approvals = await eventually(async () => {
      const path = `/v1/conversations/${conversationId}`;
      const view = await holdfast.ask<ConversationViewValue>({ path });
      return view.approvals.length > 0 && view.approvals;
    });
    expect(isSameProcess(provider)).toBe(true);
    await holdfast.ask({
      path: `/v1/conversations/${conversationId}/approvals/${approvals[0]?.approvalId}`,
      body: { decision: 'allow' },
    });
    // The same requestId again: the answer is the first one's (A2).
    const answer = await send(
      holdfast,
      conversationId,
      script('words 60 every 5', 'ask go', 'words 60'),
      requestId,
    );
    expect(answer).toMatchObject({ turnId, outcome: 'completed', text: words(60) + words(60) });
  });
});

describe('one send, once', () => {
  test('A1 A2 the same requestId five times at once starts one turn; with other content it is refused', async () => {
    const conversationId = await newConversation(holdfast);
    const socket = await socketTo(conversationId);
    const path = `/v1/conversations/${conversationId}/messages`;
    const body = { requestId: 'once', content: script('words 30 every 2') };
    const { requestId, content } = body;
    socket.send({ type: 'chat.send', conversationId, requestId, payload: { content } });
    socket.send({ type: 'chat.send', conversationId, requestId, payload: { content } });
    const receipts = await Promise.all(
      [1, 2, 3].map(() => holdfast.ask<ReceiptValue>({ path, body })),
    );
    const [{ turnId } = { turnId: null }] = receipts;
    expect(turnId).not.toBeNull();
    for (const receipt of receipts) expect(receipt).toMatchObject({ status: 'started', turnId });
    await eventually(
      () => socket.frames.filter(({ type }) => type === 'chat.accepted').length === 2,
    );

    const other = await holdfast.call({ path, body: { ...body, content: 'something else' } });
    expect(other).toMatchObject({ status: 409, body: { code: 'request_id_reused' } });
    const end = await holdfast.ask<SendAnswerValue>({ path: `${path}?wait=end`, body });
    expect(end).toMatchObject({ turnId, outcome: 'completed', text: words(30) });

    const log = await readLog(holdfast, conversationId);
    expect(log.filter(({ type }) => type === 'chat.started')).toHaveLength(1);
    expect(log.filter(({ type }) => type === 'message.created')).toHaveLength(1);
    expect(log.filter(({ type }) => type === 'chat.done')).toHaveLength(1);
    const { items } = await holdfast.ask<{ items: TurnViewValue[] }>({
      path: `/v1/conversations/${conversationId}/turns`,
    });
    expect(items).toHaveLength(1);
    socket.close();
  });

  test('S2 what is sent while a turn runs waits for it, in order', async () => {
    const conversationId = await newConversation(holdfast);
    const answers = await Promise.all(
      ['words 40 every 5', 'text "two"', 'text "three"'].reduce<Promise<SendAnswerValue>[]>(
        (sent, step) => [...sent, afterReceipt(sent.length, conversationId, step)],
        [],
      ),
    );
    expect(answers.map(({ status }) => status)).toEqual(['started', 'queued', 'queued']);
    expect(answers.map(({ text }) => text)).toEqual([words(40), 'two', 'three']);
    const log = await readLog(holdfast, conversationId);
    const started = log.filter(({ type }) => type === 'chat.started').map(({ turnId }) => turnId);
    expect(started).toEqual(answers.map(({ turnId }) => turnId));
  });

  /** Sends when `place` requests are in the log before it. */
  async function afterReceipt(place: number, conversationId: string, step: string) {
    await eventually(async () => {
      const log = await readLog(holdfast, conversationId);
      const decided = new Set(
        log
          .filter(({ type }) => type === 'chat.started' || type === 'chat.queued')
          .map(({ requestId }) => requestId),
      );
      return decided.size >= place;
    });
    return send(holdfast, conversationId, script(step));
  }
});

test('docs/protocol.md names every route, frame, event and error code, and none as built that is not', async () => {
  const text = read('docs/protocol.md');
  const { paths } = await holdfast.ask<{ paths: Record<string, object> }>({
    path: '/openapi.json',
  });
  const routes = Object.keys(paths).map((path) =>
    path
      .replace(/^\/v1\/(conversations|tables|triggers)\/\{\w+\}/, '')
      .replaceAll(/\{(\w+)\}/g, ':$1'),
  );
  const codes = Object.entries(ERRORS).filter(([, { status }]) => status > 0);
  const named = [
    ...routes,
    ...[CLIENT_FRAMES, SERVER_FRAMES, EVENT_PAYLOADS].flatMap((list) =>
      Object.keys(list).map((name) => `\`${name}\``),
    ),
    ...codes.map(([code]) => `\`${code}\``),
  ];
  expect(named.filter((name) => !text.includes(name))).toEqual([]);
  for (const [code, { status }] of codes)
    expect(text).toMatch(new RegExp(`\`${code}\`[^|]*\\| ${status}\\b`));
  // What it calls not built is not there.
  const unbuilt = [...text.matchAll(/^.*\(not built\).*$/gm)].map(([line]) => line);
  expect(unbuilt).toEqual([
    expect.stringContaining('What is planned and not there yet'),
    expect.stringContaining('`codex` and `acp:<name>`'),
  ]);
  expect(await holdfast.call({ path: '/v1/providers' })).toMatchObject({
    body: { items: [{ providerId: 'scripted' }, { providerId: 'claude' }] },
  });
});

describe('bad input', () => {
  let spared: string;

  beforeAll(async () => {
    spared = await newConversation(holdfast);
  });

  const cases: { what: string; body: unknown; status: number; code: string }[] = [
    {
      what: 'a prompt of 1 MB',
      body: { requestId: 'x', content: 'p'.repeat(1024 * 1024) },
      status: 413,
      code: 'payload_too_large',
    },
    {
      what: 'an empty prompt',
      body: { requestId: 'x', content: '' },
      status: 400,
      code: 'invalid_request',
    },
    {
      what: 'a blank prompt',
      body: { requestId: 'x', content: ' \n\t ' },
      status: 400,
      code: 'invalid_request',
    },
    { what: 'no requestId', body: { content: 'hello' }, status: 400, code: 'invalid_request' },
    {
      what: 'a requestId outside the pattern',
      body: { requestId: '../x', content: 'hello' },
      status: 400,
      code: 'invalid_request',
    },
    {
      what: 'an unknown field',
      body: { requestId: 'x', content: 'hello', command: 'sh' },
      status: 400,
      code: 'invalid_request',
    },
    {
      what: 'malformed JSON',
      body: '{"requestId":"x","content":',
      status: 400,
      code: 'invalid_request',
    },
    {
      what: 'deep nesting',
      body: `${'['.repeat(50_000)}${']'.repeat(50_000)}`,
      status: 400,
      code: 'invalid_request',
    },
  ];
  test.each(cases)(
    '$what is refused with $code, and nothing is stored',
    async ({ body, status, code }) => {
      const before = await readLog(holdfast, spared);
      const answer = await holdfast.call({ path: `/v1/conversations/${spared}/messages`, body });
      expect(answer).toMatchObject({ status, body: { code, status } });
      expect(answer.headers['content-type']).toContain('application/problem+json');
      // A send that is accepted comes behind whatever the refused one might have left.
      const { turnId } = await send(holdfast, spared, script('text "still here"'));
      const log = await readLog(holdfast, spared);
      expect(log.slice(0, before.length)).toEqual(before);
      const added = log.slice(before.length);
      expect(
        added.filter((event) => event.turnId !== undefined && event.turnId !== turnId),
      ).toEqual([]);
      expect(added.filter(({ type }) => type === 'chat.started')).toHaveLength(1);
      expect(added.filter(({ type }) => type === 'chat.rejected')).toHaveLength(0);
    },
  );

  test('a workspace that is missing, outside the roots or leads out of them, and a provider that is unknown or not on PATH, make no conversation', async () => {
    mkdirSync(join(holdfast.workspace, 'inside'));
    symlinkSync('/', join(holdfast.workspace, 'way-out'));
    const refused: [Record<string, unknown>, string][] = [
      [{ workspacePath: join(holdfast.workspace, 'missing') }, 'workspace_not_allowed'],
      [{ workspacePath: '/' }, 'workspace_not_allowed'],
      [{ workspacePath: join(holdfast.workspace, '..') }, 'workspace_not_allowed'],
      [{ workspacePath: join(holdfast.workspace, 'way-out') }, 'workspace_not_allowed'],
      [{ provider: 'nobody' }, 'provider_not_found'],
      [{ provider: 'claude' }, 'provider_not_found'],
    ];
    for (const [fields, code] of refused) {
      const body = { conversationId: 'refused', ...fields };
      const answer = await holdfast.call({ path: '/v1/conversations', body });
      expect({ fields, ...answer }).toMatchObject({ fields, status: 422, body: { code } });
      const looked = await holdfast.call({ path: '/v1/conversations/refused' });
      expect(looked).toMatchObject({ status: 404, body: { code: 'not_found' } });
    }
    const inside = join(holdfast.workspace, 'inside');
    const body = { conversationId: 'inside', workspacePath: inside };
    await holdfast.ask({ path: '/v1/conversations', body });
    expect(await send(holdfast, 'inside', script('say cwd'))).toMatchObject({ text: inside });
  });

  test('X1 a wrong token, Host or Origin is refused on HTTP and on the WebSocket', async () => {
    const conversationId = await newConversation(holdfast);
    const path = `/v1/conversations/${conversationId}`;
    const refused: [Record<string, string | null>, number, string][] = [
      [{ authorization: null }, 401, 'unauthorized'],
      [{ authorization: 'Bearer wrong' }, 401, 'unauthorized'],
      [{ host: 'rebound.example.com' }, 421, 'host_not_allowed'],
      [{ origin: 'https://elsewhere.example.com' }, 403, 'origin_not_allowed'],
      [{ origin: 'null' }, 403, 'origin_not_allowed'],
    ];
    for (const [headers, status, code] of refused) {
      const answer = await holdfast.call({ path, headers });
      expect({ given: headers, ...answer }).toMatchObject({
        given: headers,
        status,
        body: { code },
      });
    }
    const text = await holdfast.call({
      path: `${path}/messages`,
      body: 'hello',
      headers: { 'content-type': 'text/plain' },
    });
    expect(text).toMatchObject({ status: 415, body: { code: 'unsupported_media_type' } });

    const { api, token } = holdfast;
    const known = `holdfast.token.${token}`;
    const tokenless = new ChatSocket({ api, conversationId, protocols: ['holdfast.v1'] });
    expect(await tokenless.closeCode()).toBe(4001);
    const foreign = new ChatSocket({
      api,
      conversationId,
      protocols: ['holdfast.v1', known],
      headers: { origin: 'https://elsewhere.example.com' },
    });
    expect(await foreign.closeCode()).toBe(4003);
  });

  test('S4 a bad frame is answered with an error, and the socket lives on', async () => {
    const conversationId = await newConversation(holdfast);
    const socket = await socketTo(conversationId);
    socket.send({ type: 'chat.send', conversationId, requestId: 'bad', payload: { content: '' } });
    expect(await socket.frame('error', 'bad')).toMatchObject({
      payload: { code: 'invalid_request' },
    });
    socket.send({ type: 'chat.subscribe', conversationId: 'no-such', requestId: 'lost' });
    expect(await socket.frame('error', 'lost')).toMatchObject({ payload: { code: 'not_found' } });
    socket.send({ type: 'ping', requestId: 'alive' });
    expect(await socket.frame('pong', 'alive')).toMatchObject({ type: 'pong' });
    socket.close();
  });

  test('provider lines that are no JSON or no UTF-8 become notices, and the turn goes on', async () => {
    const conversationId = await newConversation(holdfast);
    const content = script('text "before "', 'garbage', 'text "after"');
    expect(await send(holdfast, conversationId, content)).toMatchObject({
      outcome: 'completed',
      text: 'before after',
    });
    const log = await readLog(holdfast, conversationId);
    const notices = log.filter(
      (event): event is Extract<Event, { type: 'notice' }> => event.type === 'notice',
    );
    expect(notices.map(({ payload }) => payload.code)).toContain('provider_invalid_utf8');
    expect(notices.length).toBeGreaterThanOrEqual(2);
  });

  test('a provider that exits without a word ends the turn interrupted, and what it said is kept', async () => {
    const conversationId = await newConversation(holdfast);
    expect(await send(holdfast, conversationId, script('words 5', 'exit 3'))).toMatchObject({
      outcome: 'interrupted',
      cause: 'provider_exited',
      text: words(5),
    });
  });
});
