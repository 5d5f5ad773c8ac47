/** The surface of the HTTP server: who is let in, what is read, and how it says no. */
import { once } from 'node:events';
import { connect } from 'node:net';

import { describe, expect, it } from 'vitest';

import { ERRORS } from '../../src/contracts/errors.ts';
import { JSON_DEPTH_LIMIT } from '../../src/contracts/limits.ts';
import { Gateway, TOKEN } from './gateway-harness.ts';

/** Sends bytes and returns everything that comes back until the server closes, or `enough` is in it. */
async function exchange(port: number, bytes: string, enough: RegExp): Promise<string> {
  const socket = connect({ host: '127.0.0.1', port });
  let answer = '';
  socket.setEncoding('utf8').on('data', (text: string) => {
    answer += text;
    if (enough.test(answer)) socket.destroy();
  });
  socket.on('error', () => undefined);
  await once(socket, 'connect');
  socket.write(bytes);
  await once(socket, 'close');
  return answer;
}

describe('X1: the token', () => {
  it.each([
    ['none', null, {}],
    ['another', 'test-token-0123456789abcdeg', {}],
    ['a longer one', `${TOKEN}x`, {}],
    ['a shorter one', TOKEN.slice(0, -1), {}],
    ['an empty one', '', {}],
    ['as Basic', null, { authorization: `Basic ${TOKEN}` }],
    ['bare', null, { authorization: TOKEN }],
    ['with another behind it', null, { authorization: `Bearer ${TOKEN}, Bearer x` }],
  ])(
    '%s: 401 on every route, known or not, and no word of what is there',
    async (_what, token, headers) => {
      const gateway = await Gateway.start();
      for (const path of [
        '/v1/conversations/c1',
        '/v1/conversations/c1/queue',
        '/v1/tables',
        '/v1/tables/t1/view',
        '/v1/triggers',
        '/v1/triggers/g1',
        '/v1/triggers/g1/ledger',
        '/v1/conversations/c1/agents',
        '/v1/conversations/c1/agents/events',
        '/v1/conversations/c1/mailbox',
        '/v1/providers',
        '/readyz',
        '/metrics',
        '/nowhere',
        '/openapi.json',
      ]) {
        const answer = await gateway.get(path, { token, headers });
        expect({ path, status: answer.status }).toEqual({ path, status: 401 });
        expect(answer.body['code']).toBe('unauthorized');
        expect(answer.headers['www-authenticate']).toBe('Bearer');
        expect(answer.headers['content-type']).toMatch(/^application\/problem\+json/);
      }
      for (const path of [
        '/v1/conversations',
        '/v1/triggers',
        '/v1/triggers/g1/fire',
        '/v1/triggers/g1/backfill',
        '/v1/conversations/c1/agents',
        '/v1/conversations/c1/mailbox',
        '/v1/conversations/c1/mailbox/m1/resend',
      ]) {
        const sent = await gateway.post(path, {}, { token, headers });
        expect({ path, status: sent.status }).toEqual({ path, status: 401 });
      }
      expect(gateway.workflow.creates + gateway.workflow.spawns).toBe(0);
      expect(gateway.workflow.triggerSignals).toEqual([]);
    },
  );

  it('is not asked for at /healthz, and its scheme is read in any case', async () => {
    const gateway = await Gateway.start();
    expect((await gateway.get('/healthz', { token: null })).body).toEqual({ status: 'ok' });
    const answer = await gateway.get('/v1/providers', {
      token: null,
      headers: { authorization: `bearer ${TOKEN}` },
    });
    expect(answer.status).toBe(200);
  });

  it('is not taken from the address', async () => {
    const gateway = await Gateway.start();
    const answer = await gateway.get(`/v1/providers?token=${TOKEN}&access_token=${TOKEN}`, {
      token: null,
    });
    expect(answer.status).toBe(401);
  });
});

describe('X1: the Host', () => {
  it.each(['127.0.0.1', 'localhost', '[::1]', 'LOCALHOST'])('%s is served', async (name) => {
    const gateway = await Gateway.start();
    const answer = await gateway.get('/healthz', { headers: { host: `${name}:${gateway.port}` } });
    expect(answer.status).toBe(200);
  });

  it.each([
    ['another name', 'evil.example'],
    ['another name with our port', 'evil.example:PORT'],
    ['our name with another port', 'localhost:1'],
    ['our name without a port', 'localhost'],
    ['our name as the beginning of another', 'localhost.evil.example:PORT'],
    ['our name with a dot', 'localhost.:PORT'],
    ['an address that means the same', '0.0.0.0:PORT'],
  ])('%s: 421, before the token is looked at, also at /healthz', async (_what, host) => {
    const gateway = await Gateway.start();
    const headers = { host: host.replace('PORT', String(gateway.port)) };
    for (const path of ['/healthz', '/v1/providers', '/nowhere']) {
      const answer = await gateway.get(path, { headers });
      expect(answer.status).toBe(421);
      expect(answer.body['code']).toBe('host_not_allowed');
      expect((await gateway.get(path, { headers, token: null })).status).toBe(421);
    }
  });

  it('serves the further names of the configuration, with the port or as they are written', async () => {
    const gateway = await Gateway.start({
      config: { allowedHosts: ['chat.example', 'Other.example:8443'] },
    });
    const ask = async (host: string): Promise<number> =>
      (await gateway.get('/healthz', { headers: { host } })).status;
    expect(await ask('chat.example')).toBe(200);
    expect(await ask(`chat.example:${gateway.port}`)).toBe(200);
    expect(await ask('chat.example:1')).toBe(421);
    expect(await ask('other.example:8443')).toBe(200);
    expect(await ask('other.example')).toBe(421);
  });
});

describe('X1: the Origin', () => {
  it.each(['http://evil.example', 'null', 'https://127.0.0.1:PORT', 'http://localhost:1', ''])(
    '%s: 403, nothing is done',
    async (origin) => {
      const gateway = await Gateway.start();
      const headers = { origin: origin.replace('PORT', String(gateway.port)) };
      const answer = await gateway.post('/v1/conversations', {}, { headers });
      expect(answer.status).toBe(403);
      expect(answer.body['code']).toBe('origin_not_allowed');
      expect(answer.headers['access-control-allow-origin']).toBeUndefined();
      expect(gateway.workflow.creates).toBe(0);
    },
  );

  it('our own and those of the configuration are let in, and may read the answer', async () => {
    const gateway = await Gateway.start({ config: { allowedOrigins: ['https://chat.example'] } });
    for (const origin of [`http://localhost:${gateway.port}`, 'https://chat.example']) {
      const answer = await gateway.get('/v1/providers', { headers: { origin } });
      expect(answer.status).toBe(200);
      expect(answer.headers['access-control-allow-origin']).toBe(origin);
      expect(answer.headers['vary']).toBe('Origin');
      const none = await gateway.get('/v1/conversations/none', { headers: { origin } });
      expect(none.headers['access-control-allow-origin']).toBe(origin);
    }
  });

  it('a preflight is answered without a token, for an allowed Origin only', async () => {
    const gateway = await Gateway.start({ config: { allowedOrigins: ['https://chat.example'] } });
    const preflight = (origin: string, path = '/v1/conversations/c1/messages') =>
      gateway.call('OPTIONS', path, {
        token: null,
        headers: {
          origin,
          'access-control-request-method': 'POST',
          'access-control-request-headers': 'authorization,content-type',
        },
      });
    const answer = await preflight('https://chat.example');
    expect(answer.status).toBe(204);
    expect(answer.headers['access-control-allow-methods']).toContain('POST');
    expect(answer.headers['access-control-allow-headers']).toContain('authorization');
    expect((await preflight('https://evil.example')).status).toBe(403);
    expect((await preflight('https://chat.example', '/nowhere')).status).toBe(404);
    expect((await gateway.call('OPTIONS', '/v1/providers', { token: null })).status).toBe(401);
    const plain = await gateway.call('OPTIONS', '/v1/providers');
    expect(plain.headers['allow']).toBe('GET, HEAD, OPTIONS');
  });
});

describe('addresses and methods', () => {
  it.each([
    ['GET', '/v1'],
    ['GET', '/v1/conversations/c1/'],
    ['GET', '/V1/providers'],
    ['GET', '/v1//providers'],
    ['GET', '/v1/tables/t1/messages'],
    ['GET', '/v1/conversations/c1/whys'],
    ['GET', '/v1/conversations/c1/agent'],
    ['GET', '/v1/conversations/c1/mailbox/m1'],
    ['GET', '/v1/triggers/g1/rows'],
  ])('%s %s is 404 not_found', async (method, path) => {
    const gateway = await Gateway.start();
    const answer = await gateway.call(method, path);
    expect(answer.status).toBe(404);
    expect(answer.body['code']).toBe('not_found');
  });

  it.each([
    ['DELETE', '/v1/conversations/c1', 'GET, PATCH, HEAD, OPTIONS'],
    ['DELETE', '/v1/tables/t1', 'GET, PATCH, HEAD, OPTIONS'],
    ['PUT', '/v1/conversations/c1/queue/r1', 'GET, PATCH, DELETE, HEAD, OPTIONS'],
    ['GET', '/v1/tables/t1/active', 'POST, OPTIONS'],
    ['PUT', '/v1/triggers/g1', 'GET, PATCH, DELETE, HEAD, OPTIONS'],
    ['GET', '/v1/triggers/g1/fire', 'POST, OPTIONS'],
    ['PUT', '/v1/conversations/c1/agents', 'POST, GET, HEAD, OPTIONS'],
    ['DELETE', '/v1/conversations/c1/mailbox', 'POST, GET, HEAD, OPTIONS'],
    ['GET', '/v1/conversations/c1/mailbox/m1/resend', 'POST, OPTIONS'],
    ['GET', '/v1/conversations', 'POST, OPTIONS'],
    ['PUT', '/v1/conversations/c1/messages', 'GET, POST, HEAD, OPTIONS'],
    ['POST', '/healthz', 'GET, HEAD, OPTIONS'],
    ['TRACE', '/v1/providers', 'GET, HEAD, OPTIONS'],
  ])('%s %s is 405 with Allow', async (method, path, allow) => {
    const gateway = await Gateway.start();
    const answer = await gateway.call(method, path);
    expect(answer.status).toBe(405);
    expect(answer.body['code']).toBe('method_not_allowed');
    expect(answer.headers['allow']).toBe(allow);
  });

  it('HEAD is GET without a body, and starts no stream', async () => {
    const gateway = await Gateway.start();
    await gateway.conversation();
    const get = await gateway.get('/v1/conversations/c1');
    const head = await gateway.call('HEAD', '/v1/conversations/c1');
    expect(head.status).toBe(200);
    expect(head.text).toBe('');
    expect(head.headers['content-length']).toBe(get.headers['content-length']);
    const stream = await gateway.call('HEAD', '/v1/conversations/c1/events', {
      headers: { accept: 'text/event-stream' },
    });
    expect(stream.status).toBe(200);
    expect((await gateway.call('HEAD', '/v1/conversations/none')).status).toBe(404);
  });
});

describe('bodies', () => {
  const path = '/v1/conversations';
  const json = { 'content-type': 'application/json' };

  it.each([
    ['text/plain', '{}'],
    ['text/plain;application/json', '{}'],
    ['application/x-www-form-urlencoded', 'a=1'],
    ['multipart/form-data; boundary=x', '--x--'],
    ['application/jsonp', '{}'],
    ['application/problem+json', '{}'],
    ['application/json; charset=utf-16', '{}'],
    ['', '{}'],
  ])('%s is 415', async (type, raw) => {
    const gateway = await Gateway.start();
    const answer = await gateway.call('POST', path, { raw, headers: { 'content-type': type } });
    expect(answer.status).toBe(415);
    expect(answer.body['code']).toBe('unsupported_media_type');
    expect(gateway.workflow.creates).toBe(0);
  });

  it('a body without a Content-Type, or compressed, is 415', async () => {
    const gateway = await Gateway.start();
    expect((await gateway.call('POST', path, { raw: '{}' })).status).toBe(415);
    const packed = await gateway.call('POST', path, {
      raw: '{}',
      headers: { ...json, 'content-encoding': 'gzip' },
    });
    expect(packed.status).toBe(415);
  });

  it.each([
    'application/json',
    'application/json; charset=utf-8',
    'Application/JSON;charset="UTF-8"',
  ])('%s is read', async (type) => {
    const gateway = await Gateway.start();
    const answer = await gateway.call('POST', path, {
      raw: '{}',
      headers: { 'content-type': type },
    });
    expect(answer.status).toBe(200);
  });

  it.each([
    ['a broken one', '{"title":'],
    ['two of them', '{}{}'],
    ['NaN', '{"title":NaN}'],
    ['a comment', '{}//'],
    ['a single quote', "{'title':'x'}"],
    ['an array', '[]'],
    ['a text', '"x"'],
    ['null', 'null'],
    ['a number', '1'],
    ['bytes that are not UTF-8', Buffer.from([0x22, 0xff, 0xfe, 0x22])],
    ['a NUL', '\0'],
    ['__proto__', '{"__proto__":{"title":"x"}}'],
    ['constructor', '{"constructor":{"prototype":{"title":"x"}}}'],
  ])('%s is 400, and its text is not repeated', async (_what, raw) => {
    const gateway = await Gateway.start();
    const answer = await gateway.call('POST', path, { raw, headers: json });
    expect(answer.status).toBe(400);
    expect(answer.body['code']).toBe('invalid_request');
    expect(gateway.workflow.creates).toBe(0);
    expect(({} as { title?: string }).title).toBeUndefined();
  });

  it('a fault is pointed at', async () => {
    const gateway = await Gateway.start();
    const answer = await gateway.post('/v1/conversations/c1/messages', {
      content: 1,
      whenBusy: 'x',
      'a/b~c': 1,
    });
    const errors = answer.body['errors'] as { path: string; message: string }[];
    expect(Object.fromEntries(errors.map(({ path: at, message }) => [at, message]))).toEqual({
      '/requestId': 'is required',
      '/content': 'must be string',
      '/whenBusy': 'must be "queue" or "reject" or "interrupt" or "steer"',
      '/a~1b~0c': 'is not known here',
    });
  });

  it.each(['[', '{"a":', '[{"a":'])(
    'nesting of %s deeper than the limit is 400, never 500',
    async (unit) => {
      const gateway = await Gateway.start({ config: { bodyLimitBytes: 4 * 1024 * 1024 } });
      for (const depth of [JSON_DEPTH_LIMIT + 1, 1_000, 300_000]) {
        const answer = await gateway.call('POST', path, { raw: unit.repeat(depth), headers: json });
        expect(answer.status).toBe(400);
      }
      const closed = `${'['.repeat(100_000)}${']'.repeat(100_000)}`;
      const answer = await gateway.call('POST', path, {
        raw: `{"title":${closed}}`,
        headers: json,
      });
      expect(answer.status).toBe(400);
      expect(answer.body['detail']).toContain('nested deeper');
    },
  );

  it('brackets inside of strings are no nesting', async () => {
    const gateway = await Gateway.start();
    await gateway.conversation();
    const answer = await gateway.send('c1', 'r1', `${'[{'.repeat(1_000)}"\\`);
    expect(answer.status).toBe(200);
  });

  it('W2: the limit is exact, for a body with a length and for one in chunks', async () => {
    const limit = 4_096;
    const gateway = await Gateway.start({ config: { bodyLimitBytes: limit } });
    await gateway.conversation();
    const frame = JSON.stringify({ requestId: 'r0', content: '' });
    const bodyOf = (size: number, requestId: string): string =>
      JSON.stringify({ requestId, content: 'x'.repeat(size - frame.length) });
    const send = (raw: string, headers = {}): ReturnType<Gateway['call']> =>
      gateway.call('POST', '/v1/conversations/c1/messages', {
        raw,
        headers: { ...json, ...headers },
      });
    expect(bodyOf(limit, 'r1')).toHaveLength(limit);
    expect((await send(bodyOf(limit - 1, 'r0'))).status).toBe(200);
    expect((await send(bodyOf(limit, 'r1'))).status).toBe(200);
    const over = await send(bodyOf(limit + 1, 'r2'));
    expect(over.status).toBe(413);
    expect(over.body['code']).toBe('payload_too_large');
    const chunked = async (size: number): Promise<string> => {
      const body = bodyOf(size, 'r3');
      return exchange(
        gateway.port,
        `POST /v1/conversations/c1/messages HTTP/1.1\r\nHost: 127.0.0.1:${gateway.port}\r\nAuthorization: Bearer ${TOKEN}\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n${body.length.toString(16)}\r\n${body}\r\n0\r\n\r\n`,
        /\r\n\r\n[^]*\}/,
      );
    };
    expect(await chunked(limit + 1)).toMatch(/^HTTP\/1\.1 413 /);
    expect(await chunked(limit)).toMatch(/^HTTP\/1\.1 200 /);
    expect(gateway.workflow.signals).toHaveLength(3);
  });

  it('a body far over the limit is answered, not dropped, and the process lives on', async () => {
    const gateway = await Gateway.start({ config: { bodyLimitBytes: 65_536 } });
    const answer = await fetch(`http://127.0.0.1:${gateway.port}/v1/conversations`, {
      method: 'POST',
      headers: { ...json, authorization: `Bearer ${TOKEN}` },
      body: JSON.stringify({ title: 'x'.repeat(8 * 1024 * 1024) }),
    });
    expect(answer.status).toBe(413);
    expect(await answer.json()).toMatchObject({ code: 'payload_too_large' });
    expect((await gateway.get('/healthz')).status).toBe(200);
  });

  it.each([
    ['no HTTP at all', 'hello\r\n\r\n'],
    ['a header without a colon', 'GET /healthz HTTP/1.1\r\nHost\r\n\r\n'],
    ['no Host', 'GET /healthz HTTP/1.1\r\n\r\n'],
    [
      'two lengths',
      'POST /v1/conversations HTTP/1.1\r\nHost: localhost:PORT\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n',
    ],
    [
      'a length and chunks',
      'POST /v1/conversations HTTP/1.1\r\nHost: localhost:PORT\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n',
    ],
  ])('%s is 400 and closed', async (_what, bytes) => {
    const gateway = await Gateway.start();
    const text = bytes.replace('PORT', String(gateway.port));
    expect(await exchange(gateway.port, text, /never/)).toMatch(/^HTTP\/1\.1 400 /);
    expect((await gateway.get('/healthz')).status).toBe(200);
  });
});

describe('what is written down', () => {
  it('X2: the log holds no prompt, no token, no ticket, no query; and says what failed', async () => {
    const lines: string[] = [];
    const gateway = await Gateway.start({
      log: { level: 'trace', stream: { write: (line) => void lines.push(line) } },
    });
    await gateway.conversation();
    const { body } = await gateway.call('POST', '/v1/ws-tickets');
    const ticket = String(body['ticket']);
    await gateway.socket({ headers: {}, path: `/v1/ws?ticket=${ticket}` });
    await gateway.socket({ headers: {}, protocols: ['holdfast.v1', `holdfast.token.${TOKEN}`] });
    await gateway.get(`/v1/ws?ticket=${ticket}`);
    await gateway.send('c1', 'r1', 'the secret prompt');
    await gateway.call('POST', '/v1/conversations/c1/messages', {
      raw: '{"content":"the secret prompt",',
      headers: { 'content-type': 'application/json' },
    });
    gateway.workflow.weather = 'broken';
    await gateway.send('c1', 'r2', 'the secret prompt');
    const socket = await gateway.socket();
    socket.sendText('{"type":"chat.send","payload":{"content":"the secret prompt"');
    socket.send({
      type: 'chat.send',
      conversationId: 'c1',
      requestId: 'r3',
      payload: { content: 'the secret prompt' },
    });
    await socket.until((frame) => frame.type === 'error' && frame.requestId === 'r3');
    const log = lines.join('');
    expect(log).toContain('request failed');
    expect(log).toContain('secret inner detail');
    for (const secret of ['the secret prompt', TOKEN, ticket, 'ticket='])
      expect(log).not.toContain(secret);
  });
});

describe('documents, health and figures', () => {
  it('OpenAPI names every route and every code that a client may meet', async () => {
    const gateway = await Gateway.start();
    const { body } = await gateway.get('/openapi.json');
    const paths = Object.entries(body['paths'] as Record<string, Record<string, object>>);
    const routes = paths.flatMap(([path, operations]) =>
      Object.keys(operations).map((method) => `${method.toUpperCase()} ${path}`),
    );
    expect(routes.toSorted()).toEqual([
      'DELETE /v1/conversations/{conversationId}/queue/{requestId}',
      'DELETE /v1/triggers/{triggerId}',
      'GET /asyncapi.json',
      'GET /healthz',
      'GET /metrics',
      'GET /openapi.json',
      'GET /readyz',
      'GET /v1/conversations/{conversationId}',
      'GET /v1/conversations/{conversationId}/agents',
      'GET /v1/conversations/{conversationId}/agents/events',
      'GET /v1/conversations/{conversationId}/events',
      'GET /v1/conversations/{conversationId}/mailbox',
      'GET /v1/conversations/{conversationId}/messages',
      'GET /v1/conversations/{conversationId}/queue',
      'GET /v1/conversations/{conversationId}/queue/{requestId}',
      'GET /v1/conversations/{conversationId}/turns',
      'GET /v1/conversations/{conversationId}/turns/{turnId}',
      'GET /v1/conversations/{conversationId}/why',
      'GET /v1/providers',
      'GET /v1/tables',
      'GET /v1/tables/{tableId}',
      'GET /v1/tables/{tableId}/conversations',
      'GET /v1/tables/{tableId}/events',
      'GET /v1/tables/{tableId}/view',
      'GET /v1/triggers',
      'GET /v1/triggers/{triggerId}',
      'GET /v1/triggers/{triggerId}/ledger',
      'GET /v1/ws',
      'PATCH /v1/conversations/{conversationId}',
      'PATCH /v1/conversations/{conversationId}/queue',
      'PATCH /v1/conversations/{conversationId}/queue/{requestId}',
      'PATCH /v1/tables/{tableId}',
      'PATCH /v1/triggers/{triggerId}',
      'POST /v1/conversations',
      'POST /v1/conversations/{conversationId}/agents',
      'POST /v1/conversations/{conversationId}/approvals/{approvalId}',
      'POST /v1/conversations/{conversationId}/cancel',
      'POST /v1/conversations/{conversationId}/fork',
      'POST /v1/conversations/{conversationId}/mailbox',
      'POST /v1/conversations/{conversationId}/mailbox/{messageId}/resend',
      'POST /v1/conversations/{conversationId}/messages',
      'POST /v1/conversations/{conversationId}/queue',
      'POST /v1/conversations/{conversationId}/rollback',
      'POST /v1/conversations/{conversationId}/turns/{turnId}/retry',
      'POST /v1/tables',
      'POST /v1/tables/{tableId}/active',
      'POST /v1/tables/{tableId}/conversations',
      'POST /v1/triggers',
      'POST /v1/triggers/{triggerId}/backfill',
      'POST /v1/triggers/{triggerId}/fire',
      'POST /v1/ws-tickets',
    ]);
    expect(JSON.stringify(body)).toContain(ERRORS.request_id_reused.message);
  });

  it('AsyncAPI has every frame and every event', async () => {
    const gateway = await Gateway.start();
    const { body } = await gateway.get('/asyncapi.json');
    const channels = body['channels'] as { socket: { messages: Record<string, object> } };
    const names = Object.keys(channels.socket.messages);
    for (const name of [
      'client.hello',
      'client.chat.send',
      'client.queue.update',
      'client.table.subscribe',
      'server.caught-up',
      'server.conversation.activated',
      'server.chat.delta',
      'server.trigger.fired',
      'server.snapshot',
    ])
      expect(names).toContain(name);
  });

  it('is ready when store and Temporal answer, and names the one that does not', async () => {
    const gateway = await Gateway.start();
    expect((await gateway.get('/readyz')).body['ready']).toBe(true);
    gateway.workflow.weather = 'unreachable';
    const answer = await gateway.get('/readyz');
    expect(answer.status).toBe(503);
    expect(answer.headers['retry-after']).toBe('1');
    expect(answer.body).toEqual({
      ready: false,
      checks: [
        { what: 'store', ok: true, problem: null },
        { what: 'temporal', ok: false, problem: 'the temporal does not answer' },
      ],
    });
  });

  it('shows figures that a Prometheus server can read, and no id among their labels', async () => {
    const gateway = await Gateway.start();
    await gateway.running('a-conversation-id');
    const { text, headers } = await gateway.get('/metrics');
    expect(headers['content-type']).toMatch(/^text\/plain; version=0\.0\.4/);
    for (const line of text.trimEnd().split('\n'))
      expect(line).toMatch(
        /^(# (HELP|TYPE) holdfast_[a-z_]+ .+|holdfast_[a-z_]+(\{([a-z]+="[^"]*",?)+\})? [0-9.e+-]+)$/,
      );
    expect(text).toContain('route="/v1/conversations/:conversationId/messages",status="200"');
    expect(text).not.toContain('a-conversation-id');
  });
});
