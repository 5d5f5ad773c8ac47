/** How an attempt ends when its provider did not say so itself, and what its events say of its end. */
import type { NewEvent } from '../contracts/events.ts';
import type { ProviderReport } from '../contracts/provider-events.ts';
import { type ForcedEnd, forceEnd, record } from '../domain/segments.ts';
import { bootId } from '../providers/process/process-table.ts';
import type { AttemptEnd, LiveSession, LiveTurn } from './live-turn.ts';
import type { ProcessEnd } from './session.ts';

export const STORAGE_FULL: ForcedEnd = {
  outcome: 'interrupted',
  cause: 'storage_full',
  message: 'The disk is full; the provider was stopped. What it had said is kept.',
};

/** For a turn that has run for `limitMs`. */
export function pastLimit(limitMs: number): ForcedEnd {
  const hours = Math.round(limitMs / 360_000) / 10;
  return interrupted(
    'time_limit',
    `The turn ran for ${hours} hours, the most a turn may; the provider was stopped.`,
  );
}

/**
 * The events of one report. A provider that obeys our stop of a silent turn says "cancelled"; nobody cancelled it, so it
 * ends by the reason for which it was stopped.
 */
export function recordOrForce(turn: LiveTurn, report: ProviderReport): NewEvent[] {
  const stopped = report.type === 'end' && report.end.outcome === 'cancelled';
  return stopped && turn.forced?.outcome === 'interrupted'
    ? forceEnd(turn.recording, foundBy(turn, turn.forced))
    : record(turn.recording, report);
}

/** The end, with the boot that has found the turn dead. */
export function foundBy({ boot }: Pick<LiveTurn, 'boot'>, end: ForcedEnd): ForcedEnd {
  return boot === null || end.outcome !== 'interrupted' ? end : { ...end, boot };
}

/** The provider's session as these reports tell: its id, null when it is gone, undefined when they say nothing of it. */
export function sessionIdOf(reports: readonly ProviderReport[]): string | null | undefined {
  let sessionId: string | null | undefined;
  for (const report of reports) {
    if (report.type === 'session') ({ sessionId } = report);
    if (report.type !== 'end' || report.end.outcome !== 'failed') continue;
    // What was said in it has to be told to the next one.
    if (report.end.code === 'session_missing') sessionId = null;
  }
  return sessionId;
}

/**
 * Whether these reports, the first of their attempt, say that the session which its process was to resume is gone, and
 * nothing else: then the provider has not begun, and the attempt may begin again in another session.
 */
export function hasLostItsSession(turn: LiveTurn, reports: readonly ProviderReport[]): boolean {
  const { key, session, spoolOffset, recording, forced, ladder } = turn;
  const { spool } = session.session;
  const first = reports.find(({ type }) => type !== 'session');
  return (
    first?.type === 'end' &&
    first.end.outcome === 'failed' &&
    first.end.code === 'session_missing' &&
    // Its own process, and nothing of it is in the log: the next spool of this name is read from its beginning.
    spool.name === key &&
    spool.spec.session.resumeSessionId !== null &&
    spoolOffset === 0 &&
    // Nobody has ended it meanwhile, or given it more than its prompt.
    recording.cancelBy === null &&
    recording.offered.size === 0 &&
    forced === null &&
    ladder === null
  );
}

/** The end that these events hold, or null. */
export function endOf(events: readonly NewEvent[]): AttemptEnd | null {
  for (const event of events)
    switch (event.type) {
      case 'chat.done':
        return { outcome: 'completed', cause: null };
      case 'chat.error':
        return { outcome: 'failed', cause: event.payload.code };
      case 'chat.cancelled':
        return { outcome: 'cancelled', cause: event.payload.by };
      case 'chat.interrupted':
        return { outcome: 'interrupted', cause: event.payload.cause };
      default:
    }
  return null;
}

/** Nobody knows what became of it, or it cannot go on. */
export function interrupted(cause: string, message: string): ForcedEnd {
  return { outcome: 'interrupted', cause, message };
}

export function startFailed(text: string): ForcedEnd {
  return { outcome: 'failed', code: 'provider_start_failed', message: text };
}

/** The process is gone without a word of its end. */
export function exitedEnd(live: LiveSession, end: ProcessEnd): ForcedEnd {
  const { spool } = live.session;
  if (end.startError !== null) return startFailed(end.startError);
  const tail = end.stderrTail.trim().slice(-2_000);
  const said = tail === '' ? '' : ` It said: ${tail}`;
  if (end.exitCode === null && spool.spec.bootId !== bootId())
    return interrupted('host_rebooted', `The machine was restarted while the turn ran.${said}`);
  if (end.exitCode === null) return interrupted('provider_died', `The provider died.${said}`);
  return interrupted(
    'provider_exited',
    `The provider exited with code ${end.exitCode} before it ended the turn.${said}`,
  );
}
