/** The log over HTTP: as JSON pages and as Server-Sent Events. */
import type { IncomingMessage } from 'node:http';

import { describe, expect, it } from 'vitest';

import { conversationStream } from '../../src/contracts/ids.ts';
import { eventually } from '../support/eventually.ts';
import { Gateway } from './gateway-harness.ts';

const path = '/v1/conversations/c1/events';
const sse = { accept: 'text/event-stream' };

type Message = { id: string | undefined; event: string | undefined; data: string | undefined };

/** A reader by the letter of the specification: fields, comments, and a dispatch at each blank line. */
class Reader {
  readonly messages: Message[] = [];
  readonly comments: string[] = [];
  retry: string | null = null;
  ended = false;
  readonly response: IncomingMessage;
  #rest = '';

  constructor(response: IncomingMessage) {
    this.response = response;
    response.setEncoding('utf8');
    response.on('data', (text: string) => this.#read(text));
    response.on('close', () => {
      this.ended = true;
    });
    response.on('error', () => undefined);
  }

  ids(): number[] {
    return this.messages.map((message) => Number(message.id));
  }

  #read(text: string): void {
    const blocks = (this.#rest + text).split('\n\n');
    this.#rest = blocks.pop() ?? '';
    for (const block of blocks) {
      const fields = new Map<string, string>();
      for (const line of block.split('\n')) {
        const [, name = '', value = ''] = /^([a-z]*): ?(.*)$/.exec(line) ?? [];
        if (name === '') this.comments.push(value);
        else fields.set(name, value);
      }
      if (fields.has('retry')) this.retry = fields.get('retry') ?? null;
      if (fields.has('data'))
        this.messages.push({
          id: fields.get('id'),
          event: fields.get('event'),
          data: fields.get('data'),
        });
    }
  }
}

async function read(
  gateway: Gateway,
  headers = {},
  query = '',
  signal?: AbortSignal,
): Promise<Reader> {
  const response = await gateway.open('GET', `${path}${query}`, {
    headers: { ...sse, ...headers },
    ...(signal === undefined ? {} : { signal }),
  });
  expect(response.statusCode).toBe(200);
  expect(response.headers['content-type']).toBe('text/event-stream');
  expect(response.headers['cache-control']).toContain('no-cache');
  return new Reader(response);
}

const upTo = (last: number, from = 1): number[] =>
  Array.from({ length: last - from + 1 }, (_, index) => from + index);

describe('JSON', () => {
  it('L3: pages upwards through the very objects that were delivered', async () => {
    const gateway = await Gateway.start();
    await gateway.running();
    await gateway.workflow.say('c1', 'Grüße "x"', '\u2028');
    await gateway.workflow.end('c1', 'completed', 'Grüße');
    const last = await gateway.lastSeq('c1');
    const seen: unknown[] = [];
    for (let after = 0; after < last;) {
      const { body } = await gateway.get(`${path}?after=${after}&limit=3`);
      expect(body['lastSeq']).toBe(last);
      const items = body['items'] as { seq: number }[];
      seen.push(...items);
      after = items.at(-1)?.seq ?? last;
    }
    expect(seen).toEqual(await gateway.log('c1'));
    const { items } = await gateway.store.events(conversationStream('c1'), 0, 1_000);
    const { text } = await gateway.get(path);
    expect(text).toBe(`{"items":[${items.map((item) => item.json).join(',')}],"lastSeq":${last}}`);
    expect((await gateway.get(`${path}?after=${last + 9}`)).body).toEqual({
      items: [],
      lastSeq: last,
    });
  });

  it('is chosen unless event-stream alone is asked for', async () => {
    const gateway = await Gateway.start();
    await gateway.conversation();
    for (const accept of ['*/*', 'application/json', 'application/json, text/event-stream'])
      expect((await gateway.get(path, { headers: { accept } })).body['lastSeq']).toBe(1);
  });

  it('a cursor below the replay window is 410; without one it begins where a replay can', async () => {
    const gateway = await Gateway.start({
      wrapStore: (store) => ({ ...store, replayFloor: async () => 2 }),
    });
    await gateway.running();
    const expired = await gateway.get(`${path}?after=1`);
    expect(expired.status).toBe(410);
    expect(expired.body).toMatchObject({ code: 'cursor_expired', replayFloor: 2 });
    expect((await gateway.get(`${path}?after=1`, { headers: sse })).status).toBe(410);
    const { body } = await gateway.get(path);
    expect((body['items'] as { seq: number }[])[0]?.seq).toBe(3);
  });
});

describe('Server-Sent Events', () => {
  it('L4: replays, then goes on live; id is the seq, data the stored text', async () => {
    const gateway = await Gateway.start();
    await gateway.running();
    const reader = await read(gateway);
    await eventually(() => reader.comments.some((comment) => comment.startsWith('caught-up')));
    expect(reader.retry).toBe('1000');
    for (let n = 0; n < 50; n += 1) await gateway.workflow.say('c1', `w${n} \n\n data: x`);
    await gateway.workflow.end('c1', 'completed', 'x');
    const last = await gateway.lastSeq('c1');
    await eventually(() => reader.messages.length >= last);
    expect(reader.ids()).toEqual(upTo(last));
    const { items } = await gateway.store.events(conversationStream('c1'), 0, 1_000);
    expect(reader.messages.map(({ event, data }) => ({ event, data }))).toEqual(
      items.map((item) => ({ event: item.type, data: item.json })),
    );
  });

  it('goes on after Last-Event-ID, which is stronger than the address', async () => {
    const gateway = await Gateway.start();
    await gateway.running();
    const last = await gateway.lastSeq('c1');
    const byHeader = await read(gateway, { 'last-event-id': '3' }, '?after=1');
    await eventually(() => byHeader.messages.length === last - 3);
    expect(byHeader.ids()).toEqual(upTo(last, 4));
    const byAddress = await read(gateway, { 'last-event-id': '' }, '?after=2');
    await eventually(() => byAddress.messages.length === last - 2);
    const atEnd = await read(gateway, { 'last-event-id': String(last) });
    await gateway.workflow.say('c1', 'a');
    await eventually(() => atEnd.messages.length === 2);
    expect(atEnd.ids()).toEqual([last + 1, last + 2]);
  });

  it.each([
    ['abc', 400, 'invalid_request'],
    ['-1', 400, 'invalid_request'],
    ['1.5', 400, 'invalid_request'],
    ['99', 410, 'cursor_expired'],
  ])('Last-Event-ID %s is %d', async (id, status, code) => {
    const gateway = await Gateway.start();
    await gateway.conversation();
    const answer = await gateway.get(path, { headers: { ...sse, 'last-event-id': id } });
    expect(answer.status).toBe(status);
    expect(answer.body['code']).toBe(code);
  });

  it('L4: where the log has been compacted away it says reset and ends', async () => {
    const gateway = await Gateway.start({
      wrapStore: (store) => ({
        ...store,
        events: async (stream, afterSeq, limit) => {
          const page = await store.events(stream, afterSeq, limit);
          return { ...page, items: page.items.filter((item) => item.seq !== 3) };
        },
      }),
    });
    await gateway.running();
    const reader = await read(gateway);
    await eventually(() => reader.ended);
    expect(reader.messages.map((message) => message.id ?? message.event)).toEqual([
      '1',
      '2',
      'reset',
    ]);
  });

  it('W2: of a reader that stops only the cursor is kept; when it reads on, it has every seq once', async () => {
    const gateway = await Gateway.start({ config: { socketHighWaterBytes: 64 * 1024 } });
    await gateway.running();
    const reader = await read(gateway);
    await eventually(() => reader.messages.length > 1);
    reader.response.pause();
    const text = 'x'.repeat(1_000);
    for (let n = 0; n < 60; n += 1)
      await gateway.workflow.say('c1', ...Array.from({ length: 200 }, () => text));
    await eventually(async () =>
      / [1-9]/.test(
        /feed_fallen_behind_total( [0-9]+)/.exec((await gateway.get('/metrics')).text)?.[1] ?? '',
      ),
    );
    reader.response.resume();
    const last = await gateway.lastSeq('c1');
    await eventually(() => reader.ids().at(-1) === last);
    expect(reader.ids()).toEqual(upTo(last));
  });

  it('C2: a reader that goes leaves nothing; a comment keeps the others alive', async () => {
    const gateway = await Gateway.start({ config: { pingIntervalMs: 50 } });
    await gateway.running();
    const gone = new AbortController();
    const one = await read(gateway, {}, '', gone.signal);
    const two = await read(gateway);
    await eventually(() => two.comments.includes('ping') && one.messages.length > 0);
    gone.abort();
    const metric = async (text: string): Promise<boolean> =>
      (await gateway.get('/metrics')).text.includes(text);
    await eventually(() => metric('holdfast_connections 1\n'));
    two.response.destroy();
    await eventually(() => metric('holdfast_connections 0\n'));
    await eventually(() => metric('holdfast_feed_streams 0\n'));
    expect(gateway.workflow.signals).toHaveLength(1);
  });

  it('a stop of the gateway ends the stream; the reader comes back with its cursor', async () => {
    const gateway = await Gateway.start();
    await gateway.running();
    const reader = await read(gateway);
    await eventually(() => reader.messages.length > 1);
    await gateway.app.close();
    await eventually(() => reader.ended);
  });

  it('an allowed page of another origin may read it', async () => {
    const origin = 'https://chat.example';
    const gateway = await Gateway.start({ config: { allowedOrigins: [origin] } });
    await gateway.conversation();
    const reader = await read(gateway, { origin });
    expect(reader.response.headers['access-control-allow-origin']).toBe(origin);
  });
});
