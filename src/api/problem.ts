/** Errors as `application/problem+json` (RFC 9457), from the one table. A 5xx never says more than the table does. */
import type { FastifyError, FastifyReply, FastifyRequest } from 'fastify';

import { ERRORS, HoldfastError, isHoldfastError, type ErrorCode } from '../contracts/errors.ts';

export const PROBLEM_TYPE = 'application/problem+json; charset=utf-8';

/** How much of a body that is too large, and for how long, is read to its end so that its sender can hear the answer. */
const DISCARD_BYTES = 64 * 1024 * 1024;
const DISCARD_MS = 10_000;
/** After this much the same request is worth another try. */
const RETRY_AFTER_SECONDS = 1;

/** What an error frame or a problem says. */
export type PublicError = {
  code: ErrorCode;
  status: number;
  /** What was wrong with this very request; the table's sentence otherwise. */
  message: string;
  detail: Readonly<Record<string, unknown>>;
};

/** Fastify's own errors that have a code of ours; its other 4xx are `invalid_request`. */
const FASTIFY_CODES: Readonly<Record<string, ErrorCode>> = {
  FST_ERR_CTP_BODY_TOO_LARGE: 'payload_too_large',
  FST_ERR_CTP_INVALID_MEDIA_TYPE: 'unsupported_media_type',
  FST_ERR_MAX_PARAM_LENGTH: 'invalid_request',
};

/** What may be told of any error: expected ones in full, everything else as `internal`. */
export function publicError(error: unknown): PublicError {
  if (isHoldfastError(error)) {
    const { status } = ERRORS[error.code];
    // A code that never leaves the engine has no status.
    if (status > 0)
      return { code: error.code, status, message: error.message, detail: error.detail };
    return tableError('internal');
  }
  if (!isFastifyError(error)) return tableError('internal');
  const known = FASTIFY_CODES[error.code];
  if (known !== undefined) return tableError(known);
  // The messages of Fastify's 4xx may quote the body, so they are not passed on.
  return tableError(isClientError(error.statusCode) ? 'invalid_request' : 'internal');
}

function tableError(code: ErrorCode): PublicError {
  return { code, status: ERRORS[code].status, message: ERRORS[code].message, detail: {} };
}

const ACCEPTED_TITLE = 'It is accepted, and has not been carried out yet.';

/** The body of a problem. Members of the error's own detail stand beside RFC 9457's. */
export function problemOf({ code, status, message, detail }: PublicError): Record<string, unknown> {
  // The code's own words may say that nothing was accepted.
  const title = detail['accepted'] === true ? ACCEPTED_TITLE : ERRORS[code].message;
  return {
    ...detail,
    type: `urn:holdfast:problem:${code}`,
    title,
    status,
    code,
    ...(message === title ? {} : { detail: message }),
  };
}

/** Answers `error`. */
export function sendProblem(reply: FastifyReply, error: unknown): FastifyReply {
  const shown = publicError(error);
  if (ERRORS[shown.code].retryable && (shown.status === 503 || shown.status === 429))
    reply.header('retry-after', String(RETRY_AFTER_SECONDS));
  return reply
    .code(shown.status)
    .type(PROBLEM_TYPE)
    .send(JSON.stringify(problemOf(shown)));
}

/** The one error handler. */
export function handleError(
  error: unknown,
  request: FastifyRequest,
  reply: FastifyReply,
): FastifyReply {
  if (publicError(error).status >= 500) logFailure(request, error);
  // The caller has gone, and with it the one who could read this.
  if (reply.raw.destroyed) return reply.hijack();
  if (publicError(error).code === 'payload_too_large') readTheRest(request, reply);
  return sendProblem(reply, error);
}

/**
 * Closed over a body that is still coming, the connection is reset and the answer lost. So a little too much is read and
 * thrown away, and only who goes on and on is cut off.
 */
function readTheRest(request: FastifyRequest, reply: FastifyReply): void {
  const { raw } = request;
  if (raw.readableEnded || raw.destroyed) return;
  reply.removeHeader('connection');
  const deadline = setTimeout(() => raw.destroy(), DISCARD_MS);
  let bytes = 0;
  raw.on('data', (chunk: Buffer) => {
    bytes += chunk.length;
    if (bytes > DISCARD_BYTES) raw.destroy();
  });
  raw.on('close', () => clearTimeout(deadline));
}

function logFailure(request: FastifyRequest, error: unknown): void {
  // Nothing of the request but its route: a body holds a prompt, a header a token, a query a ticket.
  const fields = { err: error, method: request.method, route: request.routeOptions.url };
  if (isHoldfastError(error)) request.log.warn(fields, 'request refused for now');
  else request.log.error(fields, 'request failed');
}

function isFastifyError(error: unknown): error is FastifyError {
  return (
    error instanceof Error &&
    'code' in error &&
    typeof error.code === 'string' &&
    error.code.startsWith('FST_')
  );
}

function isClientError(status: number | undefined): boolean {
  return status !== undefined && status >= 400 && status < 500;
}

/** A malformed HTTP message: there is no request yet, so the answer is written by hand. */
export function rawProblem(code: ErrorCode): string {
  const body = JSON.stringify(problemOf(tableError(code)));
  return [
    `HTTP/1.1 ${ERRORS[code].status} ${code}`,
    `Content-Type: ${PROBLEM_TYPE}`,
    `Content-Length: ${Buffer.byteLength(body)}`,
    'Connection: close',
    '',
    body,
  ].join('\r\n');
}

/** A request that does not have its documented shape, with a pointer to each fault. */
export function invalidRequest(
  errors: readonly { path: string; message: string }[],
  message = 'The request does not have the documented shape: ' +
    errors
      .map((error) => `${error.path === '' ? '(all)' : error.path} ${error.message}`)
      .join('; '),
): HoldfastError {
  return new HoldfastError('invalid_request', message, { errors });
}
