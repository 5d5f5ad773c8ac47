/**
 * The one table of errors, and the one error class.
 *
 * An error is identified by its marker and code, never by `instanceof`: it crosses the workflow
 * sandbox, gRPC and JSON. No TypeBox here.
 */

type ErrorRow = {
  /** HTTP status; 0 for a code that never leaves the engine. */
  status: number;
  /** Whether the same call may succeed later without being changed. */
  retryable: boolean;
  /** What happened and what to do, for a person. */
  message: string;
};

/** Source: protocol.md section 2. On a WebSocket each becomes an `error` frame and the socket stays open, unless docs/protocol.md names a close code. */
export const ERRORS = {
  invalid_request: {
    status: 400,
    retryable: false,
    message: 'The request does not have the documented shape.',
  },
  unauthorized: {
    status: 401,
    retryable: false,
    message:
      'A valid token is required: "Authorization: Bearer <token>". `holdfast status` names the token file.',
  },
  origin_not_allowed: {
    status: 403,
    retryable: false,
    message: 'This Origin may not talk to Holdfast.',
  },
  not_found: { status: 404, retryable: false, message: 'There is nothing under this address.' },
  method_not_allowed: {
    status: 405,
    retryable: false,
    message: 'This address does not take that method.',
  },
  busy: {
    status: 409,
    retryable: true,
    message: 'The conversation is processing another turn; send with whenBusy "queue", or wait.',
  },
  turn_mismatch: { status: 409, retryable: false, message: 'That turn is not the running one.' },
  request_id_reused: {
    status: 409,
    retryable: false,
    message: 'This id was used with other content; take a new one.',
  },
  already_resolved: {
    status: 409,
    retryable: false,
    message:
      'That has been decided already: the approval is answered, or the message waits no more.',
  },
  not_retryable: {
    status: 409,
    retryable: false,
    message: 'Only a turn that ended interrupted, failed or cancelled can be retried.',
  },
  cursor_expired: {
    status: 410,
    retryable: false,
    message:
      'This cursor is older than the replay window; load the snapshot and continue from its lastSeq.',
  },
  payload_too_large: {
    status: 413,
    retryable: false,
    message: 'The body, frame or prompt is over its limit.',
  },
  unsupported_media_type: {
    status: 415,
    retryable: false,
    message: 'Send JSON, with "Content-Type: application/json".',
  },
  host_not_allowed: { status: 421, retryable: false, message: 'This Host is not served here.' },
  provider_not_found: {
    status: 422,
    retryable: false,
    message: 'That provider is unknown, or its program is not on PATH.',
  },
  workspace_not_allowed: {
    status: 422,
    retryable: false,
    message: 'That folder does not exist or lies outside the workspace roots.',
  },
  queue_full: {
    status: 429,
    retryable: true,
    message: 'Too many messages wait in this conversation.',
  },
  rate_limited: { status: 429, retryable: true, message: 'Too many requests.' },
  budget_exceeded: {
    status: 429,
    retryable: false,
    message: 'A budget of this conversation is used up.',
  },
  internal: {
    status: 500,
    retryable: true,
    message: 'Something failed inside Holdfast; the log says what.',
  },
  temporal_unavailable: {
    status: 503,
    retryable: true,
    message: 'The Temporal server does not answer; nothing was accepted.',
  },
  storage_full: {
    status: 503,
    retryable: true,
    message: 'The disk is full; nothing was accepted.',
  },
  shutting_down: {
    status: 503,
    retryable: true,
    message: 'Holdfast is stopping; try again when it is back.',
  },
  /** A writer with an older epoch, or of an attempt that has ended, tried to append; it must stop (F1). */
  fenced: { status: 0, retryable: false, message: 'A newer owner has taken this turn.' },
} as const satisfies Record<string, ErrorRow>;

export type ErrorCode = keyof typeof ERRORS;

/** Whether `code` is one of the table's. */
export function isErrorCode(code: unknown): code is ErrorCode {
  return typeof code === 'string' && Object.hasOwn(ERRORS, code);
}

const MARKER = 'holdfast.error';

/** An expected failure with a stable code. `detail` says what was wrong with this very request. */
export class HoldfastError extends Error {
  readonly marker = MARKER;
  readonly code: ErrorCode;
  readonly detail: Readonly<Record<string, unknown>>;

  constructor(code: ErrorCode, message?: string, detail: Readonly<Record<string, unknown>> = {}) {
    super(message ?? ERRORS[code].message);
    this.name = 'HoldfastError';
    this.code = code;
    this.detail = detail;
  }
}

/** Whether `error` is a {@link HoldfastError}, also one that was made in another realm or copy of this module. */
export function isHoldfastError(error: unknown): error is HoldfastError {
  return (
    typeof error === 'object' && error !== null && 'marker' in error && error.marker === MARKER
  );
}
