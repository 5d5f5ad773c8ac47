/**
 * Turns with their attempts: as the API lists them, and then as events change them.
 *
 * A turn that did not change is the same object. What the API said of an attempt whose beginning was seen as an event counts for
 * nothing: the events say it all, and the answer may be older.
 */
import type { Event, OutcomeName, UsageValue } from '../../src/contracts/events.ts';
import type {
  AttemptViewValue,
  ConversationViewValue,
  TurnViewValue,
} from '../../src/contracts/view.ts';
import type { TurnInfo } from './contract.ts';

export class TurnBook {
  readonly #turns = new Map<string, TurnInfo>();
  /** Attempts whose beginning was seen. */
  readonly #seen = new Set<string>();

  get(turnId: string): TurnInfo | undefined {
    return this.#turns.get(turnId);
  }

  /** A snapshot has come, with which events were passed over: what was seen is not all any more. */
  begin(): void {
    this.#seen.clear();
  }

  /** Whether an attempt is said to run that does not: its end came between two answers. */
  isBehind({ activeTurn }: ConversationViewValue): boolean {
    for (const { turnId, attempts } of this.#turns.values())
      for (const { attempt, outcome } of attempts)
        if (outcome === null && (activeTurn?.turnId !== turnId || activeTurn.attempt !== attempt))
          return true;
    return false;
  }

  /** Whether anything is new. */
  load(turns: readonly TurnViewValue[]): boolean {
    let changed = false;
    for (const { turnId, attempts } of turns) {
      const known = this.#turns.get(turnId);
      const merged = new Map(attempts.map((attempt) => [attempt.attempt, attempt]));
      for (const attempt of known?.attempts ?? [])
        if (this.#seen.has(`${turnId}.${attempt.attempt}`) || isOlder(merged, attempt))
          merged.set(attempt.attempt, attempt);
      const list = [...merged.values()].toSorted((one, other) => one.attempt - other.attempt);
      changed = this.#put(turnId, list, known?.words ?? null) || changed;
    }
    return changed;
  }

  /** Whether a turn's row is another after that event. */
  apply(event: Event): boolean {
    const { turnId, attempt } = event;
    if (turnId === undefined) return false;
    if (event.type === 'chat.started') {
      const { provider, model } = event.payload;
      this.#seen.add(`${turnId}.${event.payload.attempt}`);
      const begun: AttemptViewValue = {
        attempt: event.payload.attempt,
        requestId: event.requestId ?? null,
        provider,
        model,
        outcome: null,
        cause: null,
        startedAt: event.at,
        endedAt: null,
        usage: null,
      };
      return this.#replace(turnId, begun, null);
    }
    // The end of a queued send that was removed has no attempt: nothing ran.
    const known = this.#turns.get(turnId)?.attempts.find((each) => each.attempt === attempt);
    if (known === undefined || known.outcome !== null) return false;
    if (event.type === 'usage')
      return this.#replace(turnId, { ...known, usage: sum(known.usage, event.payload) }, null);
    const end = endOf(event);
    if (end === null) return false;
    const { outcome, cause, words, usage } = end;
    return this.#replace(
      turnId,
      { ...known, outcome, cause, endedAt: event.at, usage: usage ?? known.usage },
      words,
    );
  }

  /** Says of each turn whether it may be retried now. Whether that changed anything. */
  settle(view: ConversationViewValue): boolean {
    let changed = false;
    let prompts: Map<string, boolean> | null = null;
    for (const [turnId, turn] of this.#turns) {
      if (turn.outcome === null || turn.outcome === 'completed') continue;
      prompts ??= promptsOf(view);
      const waits = view.queue.some((item) => item.turnId === turnId);
      const retryable =
        view.activeTurn?.turnId !== turnId && !waits && prompts.get(turnId) !== true;
      if (retryable === turn.retryable) continue;
      this.#turns.set(turnId, { ...turn, retryable });
      changed = true;
    }
    return changed;
  }

  #replace(turnId: string, attempt: AttemptViewValue, words: string | null): boolean {
    const others = (this.#turns.get(turnId)?.attempts ?? []).filter(
      (each) => each.attempt !== attempt.attempt,
    );
    const attempts = [...others, attempt].toSorted((one, other) => one.attempt - other.attempt);
    return this.#put(turnId, attempts, words);
  }

  #put(turnId: string, attempts: readonly AttemptViewValue[], words: string | null): boolean {
    const last = attempts.at(-1);
    if (last === undefined) return false;
    const known = this.#turns.get(turnId);
    const isSame =
      known?.words === words &&
      known.attempts.length === attempts.length &&
      known.attempts.every((each, index) => isSameAttempt(each, attempts[index]));
    if (isSame) return false;
    this.#turns.set(turnId, {
      turnId,
      attempts,
      outcome: last.outcome,
      cause: last.cause,
      words,
      usage: attempts.reduce<UsageValue | null>(
        (total, { usage }) => (usage === null ? total : sum(total, usage)),
        null,
      ),
      retryable: known?.retryable === true && last.outcome !== null && last.outcome !== 'completed',
    });
    return true;
  }
}

/**
 * Whether the API's answer is of before the end of that attempt, which was seen. Where both know its end the answer says more: a
 * snapshot may have passed over what was used before it.
 */
function isOlder(
  answer: ReadonlyMap<number, AttemptViewValue>,
  { attempt, outcome }: AttemptViewValue,
): boolean {
  return outcome !== null && (answer.get(attempt)?.outcome ?? null) === null;
}

type End = {
  outcome: OutcomeName;
  cause: string | null;
  words: string | null;
  usage: UsageValue | undefined;
};

/** The end of an attempt that this event is; null: it is none. */
export function endOf(event: Event): End | null {
  switch (event.type) {
    case 'chat.done':
      return { outcome: 'completed', cause: null, words: null, usage: event.payload.usage };
    case 'chat.error': {
      const { code, message, usage } = event.payload;
      return { outcome: 'failed', cause: code, words: message, usage };
    }
    case 'chat.cancelled':
      return {
        outcome: 'cancelled',
        cause: event.payload.by,
        words: null,
        usage: event.payload.usage,
      };
    case 'chat.interrupted': {
      const { cause, message = null } = event.payload;
      return { outcome: 'interrupted', cause, words: message, usage: undefined };
    }
    default:
      return null;
  }
}

/** Of each turn, whether its prompt was cut from the history: then it cannot be run again. */
function promptsOf({ messages }: ConversationViewValue): Map<string, boolean> {
  const prompts = new Map<string, boolean>();
  for (const { role, turnId, cut } of messages)
    // What it has taken in later is no prompt.
    if (role === 'user' && turnId !== null && !prompts.has(turnId))
      prompts.set(turnId, cut === true);
  return prompts;
}

function sum(one: UsageValue | null, other: UsageValue): UsageValue {
  if (one === null) return other;
  const total = {
    inputTokens: one.inputTokens + other.inputTokens,
    outputTokens: one.outputTokens + other.outputTokens,
  };
  return one.costUsd === undefined && other.costUsd === undefined
    ? total
    : { ...total, costUsd: (one.costUsd ?? 0) + (other.costUsd ?? 0) };
}

function isSameAttempt(one: AttemptViewValue, other: AttemptViewValue | undefined): boolean {
  return (
    one === other ||
    (other !== undefined &&
      one.outcome === other.outcome &&
      one.cause === other.cause &&
      one.startedAt === other.startedAt &&
      one.endedAt === other.endedAt &&
      one.usage?.inputTokens === other.usage?.inputTokens &&
      one.usage?.outputTokens === other.usage?.outputTokens &&
      one.usage?.costUsd === other.usage?.costUsd)
  );
}
