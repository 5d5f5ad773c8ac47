/** Mail in words. Pure. */
import type { MailRowValue } from '../../src/contracts/agents.ts';

export const MAIL_STATE_WORDS: Readonly<
  Record<MailRowValue['state'], { words: string; tone: string }>
> = {
  accepted: { words: 'accepted', tone: 'plain' },
  delivered: { words: 'in its queue', tone: 'accent' },
  applied: { words: 'taken', tone: 'good' },
  failed: { words: 'failed', tone: 'bad' },
  expired: { words: 'expired', tone: 'warn' },
};

export const MAIL_KIND_WORDS: Readonly<Record<MailRowValue['kind'], string>> = {
  task: 'Task',
  message: 'Message',
  result: 'Result',
  error: 'Error',
  recovery: 'Recovery',
};

const REASONS: Readonly<Record<string, string>> = {
  removed: 'it was removed from the queue',
  expired: 'it was not taken in its time',
  queue_full: 'its queue was full',
};

/** Why it was not taken; null: nothing is known, or it was. */
export function reasonWords({ reason }: MailRowValue): string | null {
  if (reason === undefined) return null;
  return Object.hasOwn(REASONS, reason) ? (REASONS[reason] ?? reason) : reason;
}

/** Only of these the engine sends a row again. */
export function canResend({ state }: MailRowValue): boolean {
  return state === 'failed' || state === 'expired';
}

/** The newest time that is known of it. */
export function mailAt(row: MailRowValue): string {
  return row.appliedAt ?? row.deliveredAt ?? row.acceptedAt;
}
