/**
 * The ladder of a cancel: protocol cancel → TERM → KILL → sweep. Each step is recorded before its effect can be, and comes
 * when the one before it has not ended the turn in time. Source: design.md section 5.
 */
import type { NewEvent } from '../contracts/events.ts';
import { type ForcedEnd, requestCancel } from '../domain/segments.ts';
import { isFenced } from '../store/write-failures.ts';
import type { CustodyLog, CustodySettings } from './custody-settings.ts';
import type { LiveSession, LiveTurn } from './live-turn.ts';

/** Longest wait for a killed process to be accounted for. */
const GONE_LIMIT_MS = 5_000;
const GONE_LOOK_MS = 10;
/** A step of a cancel is recorded before it is taken, unless the store takes longer than this: it may be full for hours. */
const STEP_RECORD_LIMIT_MS = 1_000;

type Ladder = {
  turn: LiveTurn;
  settings: Pick<CustodySettings, 'cancelGraceMs' | 'termGraceMs'>;
  log: CustodyLog;
  append: (events: NewEvent[]) => Promise<void>;
  endSession: (live: LiveSession) => Promise<void>;
  failed: (error: unknown) => void;
};

/** Returns when the turn has ended, or everything has been done to end it. Throws `fenced`. */
export async function climbLadder(ladder: Ladder, end: ForcedEnd): Promise<void> {
  const { turn, settings } = ladder;
  const { session } = turn.session;
  requestCancel(turn.recording, end.outcome === 'cancelled' ? end.by : 'holdfast');
  if (session.provider.capabilities.protocolCancel) {
    const recorded = takeStep(ladder, { step: 'protocol' });
    // Not awaited: a provider that reads nothing must not hold up the ladder.
    session
      .call({ type: 'cancel', attemptKey: turn.key })
      .catch((error: unknown) => ladder.failed(error));
    await recorded;
    if (await endsWithin(turn, settings.cancelGraceMs)) return;
  }
  turn.session.doomed = true;
  await takeStep(ladder, { step: 'terminate' });
  if (turn.recording.ended) {
    void ladder.endSession(turn.session);
    return;
  }
  session.terminate();
  if (await endsWithin(turn, settings.termGraceMs)) return;
  await takeStep(ladder, { step: 'kill' });
  session.kill();
  const pids = session.sweep();
  await takeStep(ladder, { step: 'sweep', pids });
  // A killed process is not gone at once, and nothing tells when it is.
  const deadlineMs = performance.now() + GONE_LIMIT_MS;
  do session.wake();
  while (!(await endsWithin(turn, GONE_LOOK_MS)) && performance.now() < deadlineMs);
}

/** Records a step. One that cannot be recorded in time is no reason to leave the process alive; only a newer custody is. */
async function takeStep(
  { turn, log, append }: Ladder,
  payload: Extract<NewEvent, { type: 'chat.cancelling' }>['payload'],
): Promise<void> {
  if (turn.recording.ended || turn.broken) return;
  const recorded = append([{ type: 'chat.cancelling', ...turn.recording.place, payload }]).catch(
    (error: unknown) => {
      log('error', 'a step of a cancel was not recorded', {
        attempt: turn.key,
        error: String(error),
      });
      return isFenced(error) ? error : undefined;
    },
  );
  const fenced = await within(STEP_RECORD_LIMIT_MS, recorded);
  if (fenced !== undefined) throw fenced;
}

async function endsWithin(turn: LiveTurn, timeoutMs: number): Promise<boolean> {
  const ended = turn.ended.promise.then(
    () => true,
    () => true,
  );
  return (await within(timeoutMs, ended)) ?? false;
}

async function within<T>(timeoutMs: number, result: Promise<T>): Promise<T | undefined> {
  let timer: NodeJS.Timeout | undefined;
  const timeout = new Promise<undefined>((resolve) => {
    timer = setTimeout(() => resolve(undefined), timeoutMs);
  });
  try {
    return await Promise.race([result, timeout]);
  } finally {
    clearTimeout(timer);
  }
}
