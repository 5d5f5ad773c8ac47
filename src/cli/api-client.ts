/**
 * A client of the gateway for the command line: plain `node:http`, because a turn may be waited for for hours and
 * `fetch` gives up on an answer's headers after five minutes.
 *
 *  1 What the gateway refuses is an {@link ApiError} with its code; not being reached is an {@link UnreachableError}.
 *  2 Nothing is sent twice by itself. Who repeats a send repeats its requestId.
 */
import { type IncomingMessage, request } from 'node:http';
import { text } from 'node:stream/consumers';
import { setTimeout as sleep } from 'node:timers/promises';

import { EventStreamParser, type StreamMessage } from './event-stream-parser.ts';

/** The gateway answered with a problem (RFC 9457). */
export class ApiError extends Error {
  override readonly name = 'ApiError';
  readonly status: number;
  readonly code: string;
  readonly body: unknown;

  constructor(answer: { status: number; code: string; message: string; body: unknown }) {
    super(answer.message);
    this.status = answer.status;
    this.code = answer.code;
    this.body = answer.body;
  }
}

/** The gateway was not reached, or went away before it had answered. */
export class UnreachableError extends Error {
  override readonly name = 'UnreachableError';
}

export type Answer = { status: number; body: unknown };

type Call = {
  method: 'GET' | 'POST' | 'PATCH';
  path: string;
  body?: unknown;
  headers?: Record<string, string>;
  signal?: AbortSignal;
};

/** How long a gateway that is being restarted is waited for. */
const PATIENCE_MS = 30_000;
const PAUSE_MS = 200;
/** Codes of a state that passes by itself. */
const PASSING = new Set(['temporal_unavailable', 'shutting_down']);

export class ApiClient {
  readonly address: string;
  readonly #token: string;

  constructor({ address, token }: { address: string; token: string }) {
    this.address = address;
    this.#token = token;
  }

  /** One call. Throws: {@link ApiError} for every status from 400 on, {@link UnreachableError}. */
  async call(call: Call): Promise<Answer> {
    const response = await this.#open(call);
    const status = response.statusCode ?? 0;
    const body = parse(await readAll(response));
    if (status >= 400) throw problem(status, body);
    return { status, body };
  }

  /**
   * The same, again and again while the gateway is away or says that it cannot just now: for calls that may be repeated.
   * Throws: {@link UnreachableError} after half a minute of that; every other {@link ApiError} at once.
   */
  async callPatiently(call: Call): Promise<Answer> {
    return patiently(() => this.call(call), call.signal);
  }

  /** The messages of a Server-Sent Events stream, until it ends or `signal` aborts. Throws: like {@link call}. */
  async *events(call: { path: string; signal: AbortSignal }): AsyncGenerator<StreamMessage> {
    const response = await this.#open({
      method: 'GET',
      ...call,
      headers: { accept: 'text/event-stream' },
    });
    const status = response.statusCode ?? 0;
    if (status >= 400) throw problem(status, parse(await readAll(response)));
    try {
      response.setEncoding('utf8');
      const parser = new EventStreamParser();
      for await (const chunk of response) yield* parser.feed(String(chunk));
    } catch (error) {
      if (call.signal.aborted) return;
      throw new UnreachableError(reason(error), { cause: error });
    } finally {
      response.destroy();
    }
  }

  async #open({ method, path, body, headers = {}, signal }: Call): Promise<IncomingMessage> {
    const content = body === undefined ? null : Buffer.from(JSON.stringify(body));
    const { promise, resolve, reject } = Promise.withResolvers<IncomingMessage>();
    const outgoing = request(
      `${this.address}${path}`,
      {
        method,
        agent: false,
        ...(signal === undefined ? {} : { signal }),
        headers: {
          authorization: `Bearer ${this.#token}`,
          ...(content === null
            ? {}
            : { 'content-type': 'application/json', 'content-length': content.length }),
          ...headers,
        },
      },
      resolve,
    );
    outgoing.on('error', (error) => reject(new UnreachableError(reason(error), { cause: error })));
    outgoing.end(content ?? undefined);
    return promise;
  }
}

/** Repeats `call` while it fails for reasons that pass; gives up {@link PATIENCE_MS} after the first such failure. */
async function patiently<T>(call: () => Promise<T>, signal?: AbortSignal): Promise<T> {
  let giveUpAtMs: number | null = null;
  for (;;) {
    try {
      return await call();
    } catch (error) {
      if (signal?.aborted === true || !passes(error)) throw error;
      giveUpAtMs ??= performance.now() + PATIENCE_MS;
      if (performance.now() > giveUpAtMs) throw error;
      await sleep(PAUSE_MS);
    }
  }
}

/** Whether a failed call may succeed by itself, soon. */
export function passes(error: unknown): boolean {
  return (
    error instanceof UnreachableError || (error instanceof ApiError && PASSING.has(error.code))
  );
}

async function readAll(response: IncomingMessage): Promise<string> {
  try {
    return await text(response);
  } catch (error) {
    throw new UnreachableError(reason(error), { cause: error });
  }
}

function problem(status: number, body: unknown): ApiError {
  const field = (name: string): string | null => {
    const value = isRecord(body) ? body[name] : null;
    return typeof value === 'string' ? value : null;
  };
  return new ApiError({
    status,
    code: field('code') ?? 'unknown',
    message: field('detail') ?? field('title') ?? `the gateway answered ${status}`,
    body,
  });
}

function parse(content: string): unknown {
  try {
    return JSON.parse(content);
  } catch {
    return content;
  }
}

function reason(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}

export function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null;
}
