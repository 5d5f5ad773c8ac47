/** A turn in custody and the session that serves it, as this process holds them. What survives it is in the spool and the log. */
import type { OutcomeName, PhaseName } from '../contracts/events.ts';
import type { ForcedEnd, Recording } from '../domain/segments.ts';
import type { Fence } from '../store/port.ts';
import type { Session } from './session.ts';
import type { SilenceClock } from './silence.ts';

export type AttemptRef = { conversationId: string; turnId: string; attempt: number };

export type AttemptEnd = { outcome: OutcomeName; cause: string | null };

/** What a heartbeat tells: for the Temporal Web UI and `holdfast status`. */
export type AttemptStatus = {
  spoolOffset: number;
  lastOutputAt: string;
  pid: number | null;
  phase: PhaseName | 'starting';
};

export type LiveTurn = {
  ref: AttemptRef;
  requestId: string | null;
  key: string;
  fence: Fence;
  recording: Recording;
  session: LiveSession;
  /** Granted custody; until then nothing may be appended. */
  claimed: Promise<unknown>;
  lastOutputAt: string;
  /** When it must be over, see `awakeSeconds`. */
  overAtSeconds: number;
  /** Where its bytes begin in the spool, and how far they are in the log. */
  from: number;
  spoolOffset: number;
  /** The state of its spool has been saved since this custody took it. */
  stateSaved: boolean;
  /** How it ends when its process ends first. */
  forced: ForcedEnd | null;
  ladder: Promise<void> | null;
  /** The boot that has found it dead; null: it lived when this custody took it. */
  boot: string | null;
  /** Runs from the moment the prompt is handed over. */
  clock: SilenceClock | null;
  /** The newest event that this custody wrote: a newer one in the log is somebody else's. */
  ownSeq: number;
  /** The append that was begun last. */
  writes: Promise<unknown>;
  /** An append of it was refused for good: what follows would have a hole before it, so nothing but its end is recorded. */
  broken: boolean;
  /** For the evidence of a silence: the last event, and the CPU time used when it was last looked at. */
  lastEvent: string | null;
  cpuMark: { usedMs: number; at: string };
  ended: PromiseWithResolvers<AttemptEnd>;
};

export type LiveSession = {
  conversationId: string;
  session: Session;
  /** Has taken the session, and its prompt has not been handed over. */
  starting: LiveTurn | null;
  /** Runs on it: what the provider reports belongs to this turn. */
  turn: LiveTurn | null;
  idleSince: number;
  /** Signals are being sent to it: no further turn, whatever it still says. */
  doomed: boolean;
  /** Set once the process is being ended. */
  ending: Promise<void> | null;
  /** Resolves when the process has ended and everything of it is recorded, or when it was let go. */
  gone: PromiseWithResolvers<void>;
  /** The provider's session id, when it was told before a turn had begun. */
  unsavedSessionId: string | null;
};

/** Whether it has a process that could serve a turn, and serves none. */
export function isIdle(live: LiveSession): boolean {
  const { turn, starting, doomed, ending, session } = live;
  return turn === null && starting === null && !doomed && ending === null && !session.hasEnded;
}
