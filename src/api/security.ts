/**
 * Who may talk to the gateway.
 *
 * Invariants (design.md section 13):
 *  X1 in this order, before anything of a request is read: Host (421), Origin (403), token (401). `/healthz` and the
 *     page's files need no token. A WebSocket's Origin and token are answered after the upgrade, with 4003 and 4001: a page can read a
 *     close code, and not the status of a refused upgrade.
 *  X2 a token is compared in constant time, by its digest, and is never logged or sent back.
 *  X3 a ticket opens one WebSocket, within its time.
 */
import { createHash, randomBytes, timingSafeEqual } from 'node:crypto';
import type { IncomingHttpHeaders } from 'node:http';

import { HoldfastError } from '../contracts/errors.ts';
import { WS_CLOSE, WS_PROTOCOL, WS_TOKEN_PREFIX } from '../contracts/names.ts';

/** Lifetime of a ticket. Source: protocol.md section 3. */
export const TICKET_LIFETIME_MS = 30_000;
/** Tickets that may be open at once; above it the oldest is forgotten. */
const TICKET_LIMIT = 1_024;

/** The values of Host and Origin that are served by a server listening on `port`. */
export class Allowlist {
  readonly #hosts = new Set<string>();
  readonly #origins = new Set<string>();

  constructor({
    port,
    hosts,
    origins,
  }: {
    port: number;
    hosts: readonly string[];
    origins: readonly string[];
  }) {
    for (const name of ['127.0.0.1', 'localhost', '[::1]']) {
      this.#hosts.add(`${name}:${port}`);
      this.#origins.add(`http://${name}:${port}`);
      // A browser leaves out the scheme's own port.
      if (port === 80) this.#hosts.add(name).add(`${name}:80`);
      if (port === 80) this.#origins.add(`http://${name}`);
    }
    for (const host of hosts) {
      this.#hosts.add(host.toLowerCase());
      if (!/:[0-9]+$/.test(host)) this.#hosts.add(`${host.toLowerCase()}:${port}`);
    }
    for (const origin of origins) this.#origins.add(origin);
  }

  /** Against DNS rebinding: a page of another site that resolves to this address sends its own name. */
  servesHost(host: string | undefined): boolean {
    return host !== undefined && this.#hosts.has(host.toLowerCase());
  }

  /** No Origin is no browser. `null` (a sandboxed page, a file) is an Origin like any other, and not allowed. */
  allowsOrigin(origin: string | undefined): boolean {
    return origin === undefined || this.#origins.has(origin);
  }
}

/** The installation's one token. */
export class TokenCheck {
  readonly #digest: Buffer;

  constructor(token: string) {
    if (token.length < 16) throw new Error('the token is too short to be one');
    this.#digest = digestOf(token);
  }

  matches(given: string | null): boolean {
    return given !== null && timingSafeEqual(digestOf(given), this.#digest);
  }
}

function digestOf(text: string): Buffer {
  return createHash('sha256').update(text, 'utf8').digest();
}

/** The token of `Authorization: Bearer …`, or null. */
export function bearerToken(authorization: string | undefined): string | null {
  return /^Bearer +([^\s,]+) *$/i.exec(authorization ?? '')?.[1] ?? null;
}

/** Short-lived stand-ins for the token, for who can set no header and shall put no secret in an address. */
export class Tickets {
  readonly #open = new Map<string, number>();
  readonly #now: () => number;

  constructor(now: () => number) {
    this.#now = now;
  }

  issue(): { ticket: string; expiresAt: Date } {
    const now = this.#now();
    for (const [ticket, expiresAt] of this.#open) {
      // Insertion order is order of expiry.
      if (expiresAt > now && this.#open.size < TICKET_LIMIT) break;
      this.#open.delete(ticket);
    }
    const ticket = randomBytes(32).toString('base64url');
    this.#open.set(ticket, now + TICKET_LIFETIME_MS);
    // For people, by the clock that they see; it is the other one that counts.
    return { ticket, expiresAt: new Date(Date.now() + TICKET_LIFETIME_MS) };
  }

  /** Whether `ticket` may open a socket now. It may not again. */
  redeem(ticket: string | null): boolean {
    if (ticket === null) return false;
    const expiresAt = this.#open.get(ticket);
    this.#open.delete(ticket);
    return expiresAt !== undefined && expiresAt > this.#now();
  }
}

/** What the handshake of a WebSocket comes to: null is welcome, a number is the code to close it with at once. */
export function judgeHandshake({
  headers,
  ticket,
  allowlist,
  token,
  tickets,
}: {
  headers: IncomingHttpHeaders;
  ticket: string | null;
  allowlist: Allowlist;
  token: TokenCheck;
  tickets: Tickets;
}): typeof WS_CLOSE.origin | typeof WS_CLOSE.unauthorized | null {
  if (!allowlist.allowsOrigin(headers.origin)) return WS_CLOSE.origin;
  const offered = offeredProtocols(headers);
  const subprotocolToken =
    offered.find((name) => name.startsWith(WS_TOKEN_PREFIX))?.slice(WS_TOKEN_PREFIX.length) ?? null;
  const known =
    token.matches(bearerToken(headers.authorization)) ||
    token.matches(subprotocolToken) ||
    tickets.redeem(ticket);
  return known ? null : WS_CLOSE.unauthorized;
}

function offeredProtocols(headers: IncomingHttpHeaders): string[] {
  return (headers['sec-websocket-protocol'] ?? '')
    .split(',')
    .map((name) => name.trim())
    .filter((name) => name !== '');
}

/**
 * A handshake that offers subprotocols must offer ours: a client that speaks another would misread every frame, and
 * one that is answered with none of its own has to drop the connection without having seen why.
 *
 * Throws: `invalid_request`.
 */
export function requireProtocol(headers: IncomingHttpHeaders): void {
  const offered = offeredProtocols(headers);
  if (offered.length > 0 && !offered.includes(WS_PROTOCOL))
    throw new HoldfastError(
      'invalid_request',
      `This WebSocket speaks the subprotocol "${WS_PROTOCOL}".`,
    );
}
