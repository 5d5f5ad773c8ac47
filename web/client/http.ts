/** Commands and questions over HTTP, and what may become of them. Source: protocol.md section 2. */
import type { Outcome, Problem } from './contract.ts';
import type { Parts } from './parts.ts';
import { isRecord, shapeOf } from './wire.ts';

/** Longer than the gateway waits for a receipt (5 s) by far: what takes longer than this was lost on the way. */
const TIMEOUT_MS = 20_000;
/** Of a request that may be repeated, when no answer came. */
const REPEAT_AFTER_MS = 400;
const AGAIN_FIRST_MS = 500;
const AGAIN_LAST_MS = 10_000;

export type Request = {
  method: 'GET' | 'POST' | 'PATCH' | 'DELETE';
  /** From `/v1` on; its parts are to be made with {@link path}. */
  path: string;
  body?: unknown;
  query?: Readonly<Record<string, string | number | undefined>>;
  signal?: AbortSignal;
  /** How often it is repeated when no answer came, or that it is durable and not done yet: only of what is done once however often it is asked. */
  repeats?: number;
  /** What it makes is made once for its id. When it is still not done after the last repeat, but durable, it is accepted. */
  isCreation?: true;
};

/** An answer as it came, or that there was none. */
export type Reply =
  | { is: 'answer'; status: number; body: unknown }
  | { is: 'problem'; problem: Problem; body: unknown; retryAfterMs: number | null };

/** A path, each of whose parts is one segment. */
export function path(...segments: string[]): string {
  return `/v1/${segments.map((segment) => encodeURIComponent(segment)).join('/')}`;
}

export class Http {
  readonly #parts: Parts;
  readonly #token: () => string | null;
  readonly #onUnauthorised: (token: string | null) => void;

  constructor(
    parts: Parts,
    {
      token,
      onUnauthorised,
    }: { token: () => string | null; onUnauthorised: (token: string | null) => void },
  ) {
    this.#parts = parts;
    this.#token = token;
    this.#onUnauthorised = onUnauthorised;
  }

  /** Never rejects. */
  async ask(request: Request): Promise<Reply> {
    const { method, body, query = {}, signal, repeats = 0 } = request;
    const token = this.#token();
    const named = Object.entries(query).flatMap(([name, value]) =>
      value === undefined ? [] : [`${encodeURIComponent(name)}=${encodeURIComponent(value)}`],
    );
    const search = named.length === 0 ? '' : `?${named.join('&')}`;
    try {
      const answer = await this.#parts.fetch({
        method,
        url: `${this.#parts.origin}${request.path}${search}`,
        token,
        ...(body === undefined ? {} : { body }),
        timeoutMs: TIMEOUT_MS,
        ...(signal === undefined ? {} : { signal }),
      });
      if (answer.status >= 200 && answer.status < 300 && answer.body !== undefined)
        return { is: 'answer', status: answer.status, body: answer.body };
      if (answer.status === 401) this.#onUnauthorised(token);
      if (repeats > 0 && isAccepted(answer.body))
        return await this.#again(request, answer.retryAfterMs ?? REPEAT_AFTER_MS);
      const problem = problemOf(answer.status, answer.body);
      return { is: 'problem', problem, body: answer.body, retryAfterMs: answer.retryAfterMs };
    } catch {
      if (repeats > 0 && signal?.aborted !== true) return this.#again(request, REPEAT_AFTER_MS);
      return { is: 'problem', problem: unreachable, body: undefined, retryAfterMs: null };
    }
  }

  async #again(request: Request, afterMs: number): Promise<Reply> {
    await new Promise<void>((resolve) => {
      this.#parts.after(afterMs, resolve);
    });
    return this.ask({ ...request, repeats: (request.repeats ?? 0) - 1 });
  }

  /** A question or command, and its answer in the shape that its route promises. */
  async get<T extends object>(request: Request): Promise<Outcome<T>> {
    const reply = await this.ask(request);
    if (reply.is === 'problem')
      return request.isCreation === true && isAccepted(reply.body)
        ? { ok: true, accepted: true }
        : { ok: false, problem: reply.problem };
    if (isAccepted(reply.body)) return { ok: true, accepted: true };
    const value = shapeOf<T>(reply.body);
    return value === null
      ? { ok: false, problem: problemOf(reply.status, undefined) }
      : { ok: true, value };
  }
}

/** No answer came. */
export const unreachable: Problem = {
  code: 'unreachable',
  status: 0,
  title: 'The engine could not be reached.',
};

/** How long to wait with what has failed so often, and is asked for until it is done. */
export function againAfterMs(failures: number): number {
  return Math.min(AGAIN_LAST_MS, AGAIN_FIRST_MS * 2 ** failures);
}

/** Whether the same request may be answered otherwise in a while: nothing was decided about it. */
export function isPassing({ status, code }: Problem): boolean {
  return (
    status === 0 || status === 401 || status === 408 || status >= 500 || code === 'rate_limited'
  );
}

function isAccepted(body: unknown): boolean {
  return isRecord(body) && body['accepted'] === true;
}

function problemOf(status: number, body: unknown): Problem {
  if (!isRecord(body)) return { code: 'unexpected', status, title: `Answered with ${status}.` };
  const { code, title, detail } = body;
  return {
    code: typeof code === 'string' ? code : 'unexpected',
    status,
    title: typeof title === 'string' ? title : `Answered with ${status}.`,
    ...(typeof detail === 'string' ? { detail } : {}),
  };
}
