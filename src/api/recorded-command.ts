/**
 * A command that has no requestId: it is signalled under a fresh commandId, and done when the event that carries it is in
 * the log.
 *
 * A workflow that has nothing to do for a command records nothing. So while it is waited for, `guard` looks whether it has
 * become impossible for good; only that may be told as a refusal once the signal is durable. What may only be impossible for
 * now is answered as not known.
 */
import { randomUUID } from 'node:crypto';

import { isHoldfastError } from '../contracts/errors.ts';
import type { Store, StoredEvent } from '../store/port.ts';
import type { CommandGate } from './command-gate.ts';
import type { Feed } from './feed.ts';
import { memberOf } from './json-members.ts';
import { findInLog } from './log-search.ts';
import { waitUntil, type Wait } from './wait-until.ts';

/** A command on its way. Both promises reject with the same error when it is refused. */
export type PendingCommand<T> = {
  /** It is durable. */
  accepted: Promise<void>;
  /** What came of it, or null when that was not recorded in time. */
  answer: Promise<T | null>;
};

export type CommandRequest<T> = {
  store: Store;
  feed: Feed;
  gate: CommandGate;
  stream: string;
  /** The caller's own; else a fresh one. */
  commandId?: string;
  /** Type of the event that carries the commandId once it is done. */
  recordedAs: string;
  /** Throws what forbids it now; nothing has been signalled then. */
  allow: () => Promise<void>;
  /** Throws what forbids it for good. Asked before the signal, and again after each event of a type in `wakes`. */
  guard?: () => Promise<void>;
  wakes?: ReadonlySet<string>;
  signal: (commandId: string) => Promise<void>;
  answer: (recorded: StoredEvent) => Promise<T>;
  wait: Wait;
};

/** Sets `request` going; its two promises never go unhandled. */
export function beginCommand<T>(request: CommandRequest<T>): PendingCommand<T> {
  const accepted = Promise.withResolvers<void>();
  const answer = carryOut(request, accepted.resolve);
  answer.catch(accepted.reject);
  // Whoever asks for one of the two hears the error; the other must not end the process.
  accepted.promise.catch(() => undefined);
  return { accepted: accepted.promise, answer };
}

async function carryOut<T>(
  {
    store,
    feed,
    gate,
    stream,
    commandId = randomUUID(),
    recordedAs,
    allow,
    guard,
    wakes,
    signal,
    answer,
    wait,
  }: CommandRequest<T>,
  accepted: () => void,
): Promise<T | null> {
  const isRecord = (event: StoredEvent): boolean =>
    event.type === recordedAs && isRecordOf(event, commandId);
  const before = await store.lastSeq(stream);
  const inLog = (): Promise<StoredEvent | null> =>
    findInLog({ store, stream, after: before, fits: isRecord });
  let recorded: StoredEvent | null = null;
  const done = await waitUntil({
    feed,
    stream,
    before: async () => {
      await guard?.();
      await allow();
      await gate
        .carry(() => signal(commandId))
        .catch(async (error: unknown) => {
          // The answer was lost: when the log shows the command, the signal was not.
          recorded = isUnknownFate(error) ? await inLog() : null;
          if (recorded === null) throw error;
        });
      accepted();
    },
    wakes: (event) => {
      if (isRecord(event)) recorded = event;
      return recorded !== null || wakes?.has(event.type) === true;
    },
    check: async () => {
      if (recorded !== null || guard === undefined) return recorded;
      try {
        await guard();
        return null;
      } catch (error) {
        // What the store shows may be this very command's doing, which the feed is about to bring.
        const own = await inLog();
        if (own === null) throw error;
        return own;
      }
    },
    ...wait,
  });
  return done === null ? null : answer(done);
}

/** Whether `event` carries this commandId. */
export function isRecordOf({ json }: StoredEvent, commandId: string): boolean {
  return (
    // An event may be long, and an id short.
    json.includes(`"commandId":"${commandId}"`) &&
    memberOf(memberOf(JSON.parse(json), 'payload'), 'commandId') === commandId
  );
}

/** Whether nobody can know if a signal was taken. */
export function isUnknownFate(error: unknown): boolean {
  return isHoldfastError(error) && error.detail['accepted'] === 'unknown';
}
