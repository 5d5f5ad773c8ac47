import { mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { connect } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { text } from 'node:stream/consumers';
import { brotliCompressSync, brotliDecompressSync, gunzipSync, gzipSync } from 'node:zlib';

import { beforeEach, describe, expect, onTestFinished, test } from 'vitest';

import { chooseEncoding, matchesEtag } from '../../src/api/page.ts';
import { type Answer, Gateway } from './gateway-harness.ts';

const DOCUMENT = '<!doctype html><title>Holdfast</title>';
const SCRIPT = 'export const long = 1;\n'.repeat(200);
const SECRET = 'not of the page';

/** Exactly the sentence of docs/page.md. */
const POLICY =
  "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; font-src 'self'; img-src 'none'; " +
  "manifest-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'; " +
  "require-trusted-types-for 'script'; trusted-types 'none'";

let folder: string;
let link: string;

function write(name: string, content: string | Buffer): void {
  mkdirSync(join(folder, name, '..'), { recursive: true });
  writeFileSync(join(folder, name), content);
}

/** A build as scripts/bundle-page.ts leaves it, a link to it, and a file beside it that is none of it. */
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'holdfast-page-'));
  onTestFinished(() => rmSync(folder, { recursive: true, force: true }));
  link = join(folder, 'web');
  write('secret.txt', SECRET);
  write('web-1/index.html', DOCUMENT);
  write('web-1/favicon.ico', Buffer.from([0, 0, 1, 0]));
  write('web-1/assets/index-abc123.js', SCRIPT);
  write('web-1/assets/index-abc123.js.br', brotliCompressSync(SCRIPT));
  write('web-1/assets/index-abc123.js.gz', gzipSync(SCRIPT));
  write('web-1/assets/index-abc123.css', 'body { color: red }');
  symlinkSync('web-1', link);
});

const started = (): Promise<Gateway> => Gateway.start({ pageFolder: link });
const asset = '/assets/index-abc123.js';

/** One exchange without a token, its body as it came. */
async function fetchRaw(
  gateway: Gateway,
  path: string,
  headers: Record<string, string> = {},
): Promise<{ status: number; headers: Answer['headers']; body: Buffer }> {
  const response = await gateway.open('GET', path, { token: null, headers });
  const parts: Buffer[] = [];
  for await (const part of response) parts.push(part as Buffer);
  const { statusCode: status = 0 } = response;
  return { status, headers: response.headers, body: Buffer.concat(parts) };
}

/** What is answered to a request line that no HTTP client would send. */
async function answerTo(gateway: Gateway, requestLine: string): Promise<string> {
  const socket = connect(gateway.port, '127.0.0.1');
  socket.write(
    `${requestLine} HTTP/1.1\r\nHost: 127.0.0.1:${gateway.port}\r\nConnection: close\r\n\r\n`,
  );
  return text(socket);
}

describe('the page is served without a token', () => {
  test('the document, under the whole policy, and kept by nobody', async () => {
    const gateway = await started();
    const { status, headers, body } = await fetchRaw(gateway, '/');
    expect(status).toBe(200);
    expect(body.toString()).toBe(DOCUMENT);
    expect(headers).toMatchObject({
      'content-type': 'text/html; charset=utf-8',
      'content-security-policy': POLICY,
      'x-content-type-options': 'nosniff',
      'referrer-policy': 'no-referrer',
      'cross-origin-opener-policy': 'same-origin',
      'cross-origin-resource-policy': 'same-origin',
      'cache-control': 'no-store',
      vary: 'Accept-Encoding',
    });
    // a query is no other page
    expect((await fetchRaw(gateway, '/?utm=1')).body.toString()).toBe(DOCUMENT);
  });

  test('a file with a hash in its name, for a year; the icon is asked for again', async () => {
    const gateway = await started();
    const script = await fetchRaw(gateway, asset);
    expect(script.headers).toMatchObject({
      'content-type': 'text/javascript; charset=utf-8',
      'cache-control': 'public, max-age=31536000, immutable',
      'content-security-policy': POLICY,
      'x-content-type-options': 'nosniff',
    });
    const style = await fetchRaw(gateway, '/assets/index-abc123.css');
    expect(style.headers['content-type']).toBe('text/css; charset=utf-8');
    const icon = await fetchRaw(gateway, '/favicon.ico');
    expect(icon.headers).toMatchObject({
      'content-type': 'image/x-icon',
      'cache-control': 'no-cache',
    });
    expect(icon.body).toEqual(Buffer.from([0, 0, 1, 0]));
  });

  test('each client gets the encoding that it reads, each with an ETag of its own', async () => {
    const gateway = await started();
    const answers = await Promise.all(
      ['gzip, deflate, br, zstd', 'gzip', 'identity'].map((accepted) =>
        fetchRaw(gateway, asset, { 'accept-encoding': accepted }),
      ),
    );
    const [brotli, gzip, plain] = answers;
    expect(answers.map(({ headers }) => headers['content-encoding'])).toEqual([
      'br',
      'gzip',
      undefined,
    ]);
    expect(brotliDecompressSync(brotli?.body ?? '').toString()).toBe(SCRIPT);
    expect(gunzipSync(gzip?.body ?? '').toString()).toBe(SCRIPT);
    expect(plain?.body.toString()).toBe(SCRIPT);
    expect(new Set(answers.map(({ headers }) => headers['etag'])).size).toBe(3);
    for (const { headers, body } of answers) {
      expect(headers['vary']).toBe('Accept-Encoding');
      expect(headers['content-length']).toBe(String(body.length));
    }
  });

  test('what is the same is not sent again', async () => {
    const gateway = await started();
    for (const path of ['/', asset, '/favicon.ico']) {
      const first = await fetchRaw(gateway, path, { 'accept-encoding': 'br' });
      const etag = first.headers['etag'] ?? '';
      const again = await fetchRaw(gateway, path, {
        'accept-encoding': 'br',
        'if-none-match': `"other", W/${etag}`,
      });
      expect(again.status).toBe(304);
      expect(again.body.length).toBe(0);
      expect(again.headers).toMatchObject({ etag, 'content-security-policy': POLICY });
      const other = await fetchRaw(gateway, path, { 'if-none-match': '"other"' });
      expect(other.status).toBe(200);
    }
  });

  test('HEAD says the same without the body', async () => {
    const gateway = await started();
    for (const path of ['/', asset]) {
      const got = await fetchRaw(gateway, path);
      const head = await gateway.open('HEAD', path, { token: null });
      expect(head.statusCode).toBe(200);
      const { date: _, ...said } = head.headers;
      const { date: __, ...expected } = got.headers;
      expect(said).toEqual(expected);
      expect(await text(head)).toBe('');
    }
  });

  test('a page of an allowed origin may read it, and caches tell the two apart', async () => {
    const gateway = await Gateway.start({
      pageFolder: link,
      config: { allowedOrigins: ['https://desk.example'] },
    });
    const { headers } = await fetchRaw(gateway, '/', { origin: 'https://desk.example' });
    expect(headers).toMatchObject({
      'access-control-allow-origin': 'https://desk.example',
      vary: 'Origin, Accept-Encoding',
    });
  });
});

describe('nothing else is', () => {
  test.each([
    'GET /assets/../../secret.txt',
    'GET /assets/%2e%2e/%2e%2e/secret.txt',
    'GET /assets/..%2f..%2fsecret.txt',
    'GET /assets/..\\..\\secret.txt',
    'GET /assets//etc/passwd',
    'GET /assets/index-abc123.js%00.txt',
    'GET /assets/',
    'GET /assets/nothing.js',
    'GET /assets/index-abc123.js.br',
    'GET /manifest.webmanifest',
  ])('%s is 404, a problem, and no file', async (requestLine) => {
    const gateway = await started();
    const answer = await answerTo(gateway, requestLine);
    expect(answer).toMatch(/^HTTP\/1\.1 (404|400) /);
    expect(answer).toContain('application/problem+json');
    expect(answer).not.toContain(SECRET);
  });

  test.each(['/index.html', '/secret.txt', '/web-1/index.html', '/v1/tables', '/openapi.json'])(
    '%s needs a token',
    async (path) => {
      const gateway = await started();
      expect(await gateway.get(path, { token: null })).toMatchObject({
        status: 401,
        body: { code: 'unauthorized' },
      });
    },
  );

  test('an unknown address is 404 for who has one', async () => {
    const gateway = await started();
    for (const path of ['/index.html', '/secret.txt', '/nothing'])
      expect(await gateway.get(path)).toMatchObject({ status: 404, body: { code: 'not_found' } });
  });

  test('X1: another Host and another Origin get nothing of it', async () => {
    const gateway = await started();
    for (const path of ['/', asset]) {
      const rebound = await gateway.get(path, { headers: { host: 'evil.example' }, token: null });
      expect(rebound).toMatchObject({ status: 421, body: { code: 'host_not_allowed' } });
      const foreign = await gateway.get(path, {
        headers: { origin: 'https://evil.example' },
        token: null,
      });
      expect(foreign).toMatchObject({ status: 403, body: { code: 'origin_not_allowed' } });
    }
  });

  test('the document of the API does not know of it', async () => {
    const gateway = await started();
    const { body } = await gateway.get('/openapi.json');
    const paths = Object.keys(body['paths'] as object);
    expect(paths).toContain('/healthz');
    expect(
      paths.filter((path) => !/^\/(v1\/|[a-z]+z$|metrics$|(openapi|asyncapi)\.json$)/.test(path)),
    ).toEqual(['/mcp'].filter((path) => paths.includes(path)));
  });
});

describe('which build', () => {
  test('the one that was there at the start, whatever is built later; its files belong together', async () => {
    const gateway = await started();
    rmSync(link);
    write('web-2/index.html', 'another');
    symlinkSync('web-2', link);
    rmSync(join(folder, 'web-1'), { recursive: true });
    expect((await fetchRaw(gateway, '/')).body.toString()).toBe(DOCUMENT);
    expect((await fetchRaw(gateway, asset)).status).toBe(200);
    const next = await started();
    expect((await fetchRaw(next, '/')).body.toString()).toBe('another');
    const gone = await fetchRaw(next, asset);
    expect(gone.status).toBe(404);
    expect(gone.headers).toMatchObject({
      'content-security-policy': POLICY,
      'x-content-type-options': 'nosniff',
    });
  });

  test('none: a page that says what to do, under the same policy, and the API as ever; then the one that was built', async () => {
    rmSync(link);
    const gateway = await started();
    const none = await fetchRaw(gateway, '/');
    expect(none.status).toBe(503);
    expect(none.body.toString()).toContain('npm run build');
    expect(none.headers).toMatchObject({
      'content-type': 'text/html; charset=utf-8',
      'content-security-policy': POLICY,
      'cache-control': 'no-store',
    });
    expect((await fetchRaw(gateway, asset)).status).toBe(404);
    expect((await gateway.get('/v1/tables')).status).toBe(200);

    symlinkSync('web-1', link);
    expect((await fetchRaw(gateway, '/')).body.toString()).toBe(DOCUMENT);
    expect((await fetchRaw(gateway, asset)).status).toBe(200);
  });
});

describe('negotiation', () => {
  const all = new Map([
    ['br', 0],
    ['gzip', 0],
    ['identity', 0],
  ] as const);
  test.each([
    [undefined, 'identity'],
    ['', 'identity'],
    ['br', 'br'],
    ['gzip, br', 'br'],
    ['GZIP;Q=1.0', 'gzip'],
    ['br;q=0.5, gzip;q=0.8', 'gzip'],
    ['br;q=0, gzip', 'gzip'],
    ['br;q=0, gzip;q=0', 'identity'],
    ['*', 'br'],
    ['*;q=0.1, gzip', 'gzip'],
    ['identity, br;q=0.5', 'identity'],
    ['identity;q=0', 'identity'],
    ['br;q=nonsense', 'identity'],
    ['zstd, deflate', 'identity'],
  ])('Accept-Encoding %s: %s', (accepted, chosen) => {
    expect(chooseEncoding(accepted, all)).toBe(chosen);
  });

  test('what there is no file of is not chosen', () => {
    expect(chooseEncoding('br, gzip', new Map([['identity', 0]] as const))).toBe('identity');
  });

  test.each([
    [undefined, false],
    ['', false],
    ['*', true],
    ['"a"', true],
    ['W/"a"', true],
    ['"b", "a"', true],
    ['"b"', false],
    ['a', false],
  ])('If-None-Match %s against "a": %s', (given, matches) => {
    expect(matchesEtag(given, '"a"')).toBe(matches);
  });
});
