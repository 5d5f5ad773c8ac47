/** The page's files. Source: docs/page.md. They hold no secret, and are served without a token; Host is checked as everywhere. */
import type { FastifyPluginCallback, FastifyReply, FastifyRequest } from 'fastify';

import { HoldfastError } from '../../contracts/errors.ts';
import {
  chooseEncoding,
  matchesEtag,
  NO_PAGE,
  type Page,
  PAGE_HEADERS,
  readPage,
} from '../page.ts';

/** The addresses at which the page's files lie. */
const PAGE_URLS = ['/', '/assets/*', '/favicon.ico', '/manifest.webmanifest'] as const;

/** Whether a route is one of the page's; undefined is none. */
export function isPageUrl(url: string | undefined): boolean {
  return PAGE_URLS.some((each) => each === url);
}

export type PageRoutes = {
  /** Where the build is, or a link to it. */
  folder: string;
};

export const pageRoutes: FastifyPluginCallback<PageRoutes> = (app, { folder }, done) => {
  let page = readPage(folder);

  const serve = (request: FastifyRequest, reply: FastifyReply): FastifyReply => {
    const [path = ''] = request.url.split('?');
    // also of the answer that there is no such file
    reply.headers(PAGE_HEADERS);
    // One that was built since is found without a restart; one that was there is kept: its files belong together.
    if (path === '/') page ??= readPage(folder);
    return page === null && path === '/'
      ? sendNoPage(reply)
      : sendFile({ page, path, request, reply });
  };
  for (const url of PAGE_URLS) app.get(url, serve);

  done();
};

function sendFile({
  page,
  path,
  request,
  reply,
}: {
  page: Page | null;
  path: string;
  request: FastifyRequest;
  reply: FastifyReply;
}): FastifyReply {
  const file = page?.get(path);
  if (file === undefined) throw new HoldfastError('not_found');
  const encoding = chooseEncoding(request.headers['accept-encoding'], file.representations);
  const chosen = file.representations.get(encoding);
  if (chosen === undefined) throw new HoldfastError('not_found');
  const origin = reply.getHeader('vary');
  reply
    .header('cache-control', file.cacheControl)
    .header('etag', chosen.etag)
    .header(
      'vary',
      origin === undefined ? 'Accept-Encoding' : `${String(origin)}, Accept-Encoding`,
    );
  if (matchesEtag(request.headers['if-none-match'], chosen.etag)) return reply.code(304).send();
  if (encoding !== 'identity') reply.header('content-encoding', encoding);
  return reply.type(file.type).send(chosen.body);
}

function sendNoPage(reply: FastifyReply): FastifyReply {
  return reply
    .code(503)
    .header('cache-control', 'no-store')
    .type('text/html; charset=utf-8')
    .send(NO_PAGE);
}
