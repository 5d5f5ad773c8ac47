/** Waiting for how a turn ends, for `?wait=end`. C2: a caller that goes away breaks its wait and nothing else. */
import type { OutcomeName, UsageValue } from '../contracts/events.ts';
import type { SendAnswerValue } from '../contracts/http.ts';
import { conversationStream } from '../contracts/ids.ts';
import type { RequestRow, Store, StoredEvent } from '../store/port.ts';
import type { Feed } from './feed.ts';
import { memberOf } from './json-members.ts';
import { receiptOf, rejection } from './receipts.ts';
import { waitUntil } from './wait-until.ts';

/** After an attempt's end the workflow settles (becomes idle or starts the next turn); a caller is held this long for it. */
const SETTLE_WAIT_MS = 2_000;

const endEvents = new Set(['chat.done', 'chat.error', 'chat.cancelled', 'chat.interrupted']);
const settledEvents = new Set(['conversation.state', 'chat.started']);

type Attempt = { turnId: string; attempt: number };

/** How an attempt ended, and what it said. */
export type AttemptEnd = {
  outcome: OutcomeName;
  cause: string | null;
  text: string;
  usage: UsageValue | null;
};

/** `of` null: the request was removed from the queue, and there is nothing to settle. */
type Ended = Omit<AttemptEnd, 'text'> & { of: Attempt | null };

export class TurnEnds {
  readonly #store: Store;
  readonly #feed: Feed;

  constructor({ store, feed }: { store: Store; feed: Feed }) {
    this.#store = store;
    this.#feed = feed;
  }

  /**
   * The receipt, with the end of its turn when that was asked for; null when the receipt is not known yet.
   *
   * Throws: what a rejected request is refused with.
   */
  async answer(
    row: RequestRow | null,
    wait: 'end' | undefined,
    abort: AbortSignal,
  ): Promise<SendAnswerValue | null> {
    if (row === null) return null;
    const { conversationId, turnId, attempt, requestId } = row;
    if (row.status === 'rejected' || turnId === null) throw rejection(row);
    if (wait === undefined) return receiptOf(row);
    const end = await this.end({ conversationId, turnId, attempt, requestId }, abort);
    return { ...receiptOf(row), ...end };
  }

  /**
   * Waits for the end of an attempt, then for the workflow to have settled it (so that a caller that goes on at once does
   * not find the conversation busy with what has ended). The end of a message that a running turn has taken in is that
   * turn's; one that was removed from the queue has ended without a turn.
   */
  async end(
    {
      conversationId,
      requestId,
      ...asked
    }: Attempt & { conversationId: string; requestId: string | null },
    abort: AbortSignal,
  ): Promise<AttemptEnd> {
    const stream = conversationStream(conversationId);
    let removedBy = 'user';
    const ended = await waitUntil({
      feed: this.#feed,
      stream,
      waitMs: null,
      abort,
      wakes: (event) => {
        if (event.type === 'chat.cancelled') removedBy = removerIn(event, requestId) ?? removedBy;
        // What a turn has taken in may leave the queue after that turn's end.
        return endEvents.has(event.type) || (requestId !== null && event.type === 'queue.changed');
      },
      check: async () => {
        // In this order: what is not in the queue now has an attempt by the next read, or never will.
        const waits = await this.#waits(conversationId, requestId);
        const own = await this.#endOf(asked);
        if (own !== 'unknown') return own;
        if (waits || requestId === null) return null;
        const row = await this.#store.request(conversationId, requestId);
        if (row?.status !== 'queued') return null;
        if (row.steeredInto === null)
          return { outcome: 'cancelled' as const, cause: removedBy, usage: null, of: null };
        const taken = await this.#endOf(row.steeredInto);
        return taken === 'unknown' ? null : taken;
      },
    });
    if (ended === null) throw new Error('a wait without a limit ended with nothing');
    const { of, ...end } = ended;
    if (of === null) return { ...end, text: '' };
    await waitUntil({
      feed: this.#feed,
      stream,
      waitMs: SETTLE_WAIT_MS,
      abort,
      wakes: (event) => settledEvents.has(event.type),
      check: async () => ((await this.#isSettled(conversationId, of)) ? true : null),
    });
    return { ...end, text: await this.#store.answerText(of.turnId, of.attempt) };
  }

  /** Null while it runs; `unknown`: it has not begun. */
  async #endOf({ turnId, attempt }: Attempt): Promise<Ended | null | 'unknown'> {
    const row = await this.#store.attempt(turnId, attempt);
    if (row === null) return 'unknown';
    const { outcome, cause, usage } = row;
    return outcome === null ? null : { outcome, cause, usage, of: { turnId, attempt } };
  }

  async #waits(conversationId: string, requestId: string | null): Promise<boolean> {
    const state = await this.#store.workflowState(conversationId);
    return state?.queue.some((item) => item.requestId === requestId) === true;
  }

  async #isSettled(conversationId: string, ended: Attempt): Promise<boolean> {
    const state = await this.#store.workflowState(conversationId);
    if (state === null || state.state === 'idle') return true;
    // Not idle and nothing runs: the end is recorded, and what follows from it is not yet.
    const running = state.turn;
    return (
      running !== null && (running.turnId !== ended.turnId || running.attempt !== ended.attempt)
    );
  }
}

/** Who removed this queued request, when the event says so: it ends with its requestId and no attempt. */
function removerIn(event: StoredEvent, requestId: string | null): string | null {
  const stored: unknown = JSON.parse(event.json);
  if (requestId === null || memberOf(stored, 'requestId') !== requestId) return null;
  if (memberOf(stored, 'attempt') !== undefined) return null;
  const by = memberOf(memberOf(stored, 'payload'), 'by');
  return typeof by === 'string' ? by : null;
}
