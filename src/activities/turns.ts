/**
 * Activities of the turn host, on its own Task Queue: the workflow's way to custody.
 *
 * `runTurn` is idempotent for attaching: Temporal may retry it freely; it starts the attempt, finds it running or finds
 * it ended. It never runs a provider twice. Source: design.md section 4.
 */
import { CancelledFailure, Context } from '@temporalio/activity';
import { ApplicationFailure } from '@temporalio/common';

import { isHoldfastError } from '../contracts/errors.ts';
import { ATTEMPT_UNKNOWN } from '../contracts/names.ts';
import type { ApprovalDecision } from '../contracts/provider-events.ts';
import type { Custody } from './custody.ts';
import type { AttemptEnd, AttemptRef } from './live-turn.ts';
import type { SteerAnswer, SteerRequest } from './steering.ts';

export type TurnActivities = ReturnType<typeof createTurnActivities>;
export type ClaimActivities = ReturnType<typeof createClaimActivities>;

/** Activities of the queue `turns.<host>`. `heartbeatMs`: how often a running turn reports; see limits.ts. */
export function createTurnActivities(parts: { custody: Custody; heartbeatMs: number }) {
  const { custody, heartbeatMs } = parts;

  /** Waits for something of a turn, with heartbeats that say how the turn is. */
  async function joining<T>(join: () => Promise<T>, ref: AttemptRef): Promise<T> {
    const context = Context.current();
    const beat = (): void => {
      const status = custody.status(ref);
      context.heartbeat(status ?? { phase: 'starting' });
    };
    beat();
    const timer = setInterval(beat, heartbeatMs);
    try {
      return await Promise.race([join(), context.cancelled]);
    } catch (error) {
      if (error instanceof CancelledFailure) throw stopping(context, error);
      throw retryable(error);
    } finally {
      clearInterval(timer);
    }
  }

  return {
    /** Runs the attempt, or joins it. Resolves with its end. */
    async runTurn(ref: AttemptRef): Promise<AttemptEnd> {
      return joining(() => custody.run(ref).catch(unknownToStore), ref);
    },

    /** Begins the cancel of an attempt and answers at once. */
    async stopTurn(request: AttemptRef & { by: string }): Promise<string> {
      return custody.cancel(request);
    },

    /**
     * Gives a message to the running attempt; resolves when that has taken it, or will not (at its end at the latest).
     * Idempotent: whoever asks again, after whatever has died meanwhile, is told the same.
     */
    async steerTurn(request: SteerRequest): Promise<SteerAnswer> {
      return joining(() => custody.steer(request), request);
    },

    /** Answers an open approval; false when it is not open. */
    async answerApproval(
      request: AttemptRef & {
        approvalId: string;
        decision: ApprovalDecision;
        by: string;
        message: string | null;
      },
    ): Promise<boolean> {
      return custody.answer(request);
    },
  };
}

/** Activities of the shared queue `turns`: any host with room may answer. */
export function createClaimActivities(parts: { custody: Custody }) {
  const { custody } = parts;
  return {
    /** Pins a conversation to this host. Fails, retryable, when there is no room. */
    async claimHost(): Promise<{ host: string }> {
      if (!custody.hasRoom)
        throw ApplicationFailure.retryable('this turn host has no room', 'no_room');
      return { host: custody.host };
    },
  };
}

/**
 * A worker that shuts down cancels its activities. The turn goes on without us, so this is no cancel of the turn: it must
 * read as a failure that Temporal retries at once on the next process of this host.
 */
function stopping(context: Context, error: CancelledFailure): Error {
  return context.cancellationDetails?.cancelRequested === true
    ? error
    : ApplicationFailure.retryable('the turn host is stopping; the turn goes on', 'host_stopping');
}

/** The workflow has recorded it, and the store does not know it: the store was restored from a copy of before. */
function unknownToStore(error: unknown): AttemptEnd {
  if (isHoldfastError(error) && error.code === 'not_found')
    return { outcome: 'interrupted', cause: ATTEMPT_UNKNOWN };
  throw error;
}

function retryable(error: unknown): unknown {
  return isHoldfastError(error) ? ApplicationFailure.retryable(error.message, error.code) : error;
}
