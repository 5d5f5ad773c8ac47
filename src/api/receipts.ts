/** Receipts and refusals as the public surface shows them. */
import { HoldfastError, isErrorCode } from '../contracts/errors.ts';
import type { ReceiptValue } from '../contracts/view.ts';
import type { RequestRow } from '../store/port.ts';

export function receiptOf(row: RequestRow): ReceiptValue {
  return {
    requestId: row.requestId,
    status: row.status,
    turnId: row.turnId,
    conversationId: row.conversationId,
    ...(row.position === undefined ? {} : { position: row.position }),
    ...(row.code === undefined ? {} : { code: row.code }),
  };
}

/** The error a rejected request is answered with, now and at every repeat. */
export function rejection(row: RequestRow): HoldfastError {
  const receipt = receiptOf(row);
  return new HoldfastError(isErrorCode(row.code) ? row.code : 'internal', undefined, {
    requestId: row.requestId,
    conversationId: row.conversationId,
    turnId: row.turnId,
    receipt,
  });
}

export function noConversation(): HoldfastError {
  return new HoldfastError('not_found', 'There is no such conversation.');
}

/** Durable, and not recorded in time: `what` is accepted; repeated under the same id (`idName`) it is done once. */
export function notTakenUp(
  what: string,
  detail: Record<string, string>,
  idName = 'conversationId',
): HoldfastError {
  return new HoldfastError(
    'temporal_unavailable',
    `${what}; no worker has taken it up yet. Repeat this request with the same ${idName}.`,
    { accepted: true, ...detail },
  );
}
