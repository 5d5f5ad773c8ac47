/**
 * The page as it is served: the files of one build, in memory.
 *
 *  1 Nothing is served but what was in the build when it was read: no path of a request ever reaches the file system.
 *  2 A build is read whole: the link to it is resolved once (scripts/bundle-page.ts).
 *  3 Every answer carries the whole policy, the one that says that there is no page too.
 */
import { createHash } from 'node:crypto';
import { readdirSync, readFileSync, realpathSync } from 'node:fs';
import { extname, join } from 'node:path';

/** How a body may be encoded, best first. */
const ENCODINGS = ['br', 'gzip', 'identity'] as const;
type Encoding = (typeof ENCODINGS)[number];
/** What a build's compressed files are called. */
const ENDINGS: Readonly<Record<Exclude<Encoding, 'identity'>, string>> = {
  br: '.br',
  gzip: '.gz',
};

const TYPES: Readonly<Record<string, string>> = {
  '.html': 'text/html; charset=utf-8',
  '.js': 'text/javascript; charset=utf-8',
  '.css': 'text/css; charset=utf-8',
  '.svg': 'image/svg+xml',
  '.ico': 'image/x-icon',
  '.png': 'image/png',
  '.woff2': 'font/woff2',
  '.json': 'application/json',
  '.webmanifest': 'application/manifest+json',
  '.txt': 'text/plain; charset=utf-8',
};

/** Source: docs/page.md, section Headers. */
export const PAGE_POLICY = [
  "default-src 'none'",
  "script-src 'self'",
  "style-src 'self'",
  "connect-src 'self'",
  "font-src 'self'",
  "img-src 'none'",
  "manifest-src 'self'",
  "base-uri 'none'",
  "form-action 'none'",
  "frame-ancestors 'none'",
  "require-trusted-types-for 'script'",
  "trusted-types 'none'",
].join('; ');

/** Of every answer of the page. */
export const PAGE_HEADERS: Readonly<Record<string, string>> = {
  'content-security-policy': PAGE_POLICY,
  'x-content-type-options': 'nosniff',
  'referrer-policy': 'no-referrer',
  'cross-origin-opener-policy': 'same-origin',
  'cross-origin-resource-policy': 'same-origin',
};

/** A file with its content's hash in its name: it is never another. */
const KEPT = 'public, max-age=31536000, immutable';
/** Asked for again each time, and answered with 304 while it is the same. */
const ASKED_AGAIN = 'no-cache';
/** A restored tab must not show a document whose files are gone. */
const NOT_KEPT = 'no-store';

type Representation = { body: Buffer; etag: string };
export type PageFile = {
  type: string;
  cacheControl: string;
  /** `identity` is always among them. */
  representations: ReadonlyMap<Encoding, Representation>;
};

/** The files of a build, by the path at which they are asked for. */
export type Page = ReadonlyMap<string, PageFile>;

/** The build that `folder` is, or links to; null: there is none. */
export function readPage(folder: string): Page | null {
  try {
    return readBuild(realpathSync(folder));
  } catch (error) {
    if (error instanceof Error && 'code' in error && error.code === 'ENOENT') return null;
    throw error;
  }
}

function readBuild(build: string): Page | null {
  const names = readdirSync(build, { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile())
    .map((entry) => join(entry.parentPath, entry.name).slice(build.length));
  const all = new Set(names);
  const isCompressed = (name: string): boolean =>
    Object.values(ENDINGS).some((ending) => name.endsWith(ending) && all.has(name.slice(0, -3)));
  const page = new Map<string, PageFile>();
  for (const name of names.filter((each) => !isCompressed(each))) {
    const file = readPageFile({ build, name, all });
    page.set(name === '/index.html' ? '/' : name, file);
  }
  return page.has('/') ? page : null;
}

function readPageFile({
  build,
  name,
  all,
}: {
  build: string;
  name: string;
  all: ReadonlySet<string>;
}): PageFile {
  const representations = new Map<Encoding, Representation>();
  const hash = createHash('sha256')
    .update(readFileSync(join(build, name)))
    .digest('base64url');
  for (const encoding of ENCODINGS) {
    const file = encoding === 'identity' ? name : `${name}${ENDINGS[encoding]}`;
    if (!all.has(file)) continue;
    // A strong ETag says which bytes, and each encoding has bytes of its own.
    const etag = `"${hash.slice(0, 22)}-${encoding}"`;
    representations.set(encoding, { body: readFileSync(join(build, file)), etag });
  }
  return {
    type: TYPES[extname(name)] ?? 'application/octet-stream',
    cacheControl: cacheControlOf(name),
    representations,
  };
}

function cacheControlOf(name: string): string {
  if (name === '/index.html') return NOT_KEPT;
  return name.startsWith('/assets/') ? KEPT : ASKED_AGAIN;
}

/**
 * What a client that accepts `acceptEncoding` is given: of what it likes best, what is smallest. One that accepts nothing we have is
 * given the file as it is, which every client can read.
 */
export function chooseEncoding(
  acceptEncoding: string | undefined,
  available: ReadonlyMap<Encoding, unknown>,
): Encoding {
  const wanted = new Map<string, number>();
  for (const part of (acceptEncoding ?? '').toLowerCase().split(',')) {
    const [name = '', ...parameters] = part.split(';').map((each) => each.trim());
    const weight = parameters.find((each) => each.startsWith('q='))?.slice(2);
    const quality = weight === undefined ? 1 : Number(weight);
    if (name !== '') wanted.set(name, Number.isNaN(quality) ? 0 : quality);
  }
  const qualityOf = (encoding: Encoding): number =>
    // a client that does not name `identity` takes it after all that it names
    wanted.get(encoding) ?? wanted.get('*') ?? (encoding === 'identity' ? Number.MIN_VALUE : 0);
  const [best] = ENCODINGS.filter((each) => available.has(each) && qualityOf(each) > 0).toSorted(
    (a, b) => qualityOf(b) - qualityOf(a),
  );
  return best ?? 'identity';
}

/** Whether one of the ETags of `If-None-Match` is this one; compared weakly, as RFC 9110 has it. */
export function matchesEtag(ifNoneMatch: string | undefined, etag: string): boolean {
  return (ifNoneMatch ?? '')
    .split(',')
    .map((each) => each.trim().replace(/^W\//, ''))
    .some((each) => each === '*' || each === etag);
}

/** What stands at `/` where there is no build. It needs no file, and so no style. */
export const NO_PAGE = `<!doctype html>
<html lang="en">
<head><meta charset="utf-8"><meta name="viewport" content="width=device-width"><title>Holdfast</title></head>
<body>
<h1>The page is not built</h1>
<p>The engine runs, and everything but this page works. In the folder of Holdfast, run</p>
<pre>npm run build</pre>
<p>and load this again. What the command says is why there is no page.</p>
</body>
</html>
`;
