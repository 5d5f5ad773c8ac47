/**
 * Steering: messages for a turn that runs already. Each is waiting in its conversation's queue, so nothing is lost here:
 * the question is only whether the running turn has taken it in.
 *
 * Invariants (numbers of design.md section 12):
 *  A1 every message is answered once and truly: `taken` when the log holds it as a message of the running turn; `refused`
 *     when it was never offered, or when the attempt has ended and the log does not hold it. What was offered is never
 *     taken back: the provider may have it.
 *  F1 only the newest custody of the attempt offers: it must know of every offer that the provider may have.
 *  F2 an offer is a recorded call of the driver: who adopts the turn goes on with it. The provider takes a message once,
 *     so frames that may not have reached it are written again.
 *  S2 messages of one turn are offered in the order in which they came.
 */
import { HoldfastError } from '../contracts/errors.ts';
import type { NewEvent } from '../contracts/events.ts';
import { attemptKey } from '../contracts/ids.ts';
import type { Provider } from '../contracts/provider-events.ts';
import { offerMessage } from '../domain/segments.ts';
import type { RecordedCall } from '../providers/process/spool.ts';
import type { AttemptRow, Store } from '../store/port.ts';
import type { AttemptRef, LiveTurn } from './live-turn.ts';

export type SteerRequest = AttemptRef & { requestId: string; content: string };
export type SteerAnswer = 'taken' | 'refused';

/** What steering needs of the custody whose turns it steers. */
export type SteeredCustody = {
  turn(key: string): LiveTurn | undefined;
  /** By whom the attempt was cancelled while it is being begun here; null: by nobody; undefined: it is not being begun. */
  starting(key: string): { cancelBy: string | null } | undefined;
  /** Begins the attempt, or has it ended, when that is for this host to do; false: it is not (yet). */
  begin(row: AttemptRow): boolean;
  failed(turn: LiveTurn, error: unknown): void;
};

type Message = {
  request: SteerRequest;
  offered: boolean;
  answer: PromiseWithResolvers<SteerAnswer>;
};

export class Steering {
  readonly #store: Store;
  readonly #providers: ReadonlyMap<string, Provider>;
  readonly #custody: SteeredCustody;
  /** Those that have no answer yet, by attempt and requestId. */
  readonly #messages = new Map<string, Map<string, Message>>();

  constructor(parts: {
    store: Store;
    providers: ReadonlyMap<string, Provider>;
    custody: SteeredCustody;
  }) {
    this.#store = parts.store;
    this.#providers = parts.providers;
    this.#custody = parts.custody;
  }

  /**
   * Gives a message to the running attempt; resolves when that has taken it, or will not. The same message may be given
   * any number of times, also after this process has replaced another. Rejects only for reasons that a later call may not meet.
   */
  async give(request: SteerRequest): Promise<SteerAnswer> {
    const key = attemptKey(request.turnId, request.attempt);
    // The attempt first: when that has ended, what is known of the message is final.
    const row = await this.#store.attempt(request.turnId, request.attempt);
    const answer = await this.#recorded(request);
    if (answer === 'taken' || row === null || row.outcome !== null) return answer;
    if (this.#providers.get(row.provider)?.capabilities.steer !== true) return 'refused';
    const known = this.#messages.get(key)?.get(request.requestId);
    if (known !== undefined) return known.answer.promise;
    const isHere = () => this.#custody.turn(key) ?? this.#custody.starting(key);
    if (isHere() === undefined && !this.#custody.begin(row))
      throw new HoldfastError('not_found', `The attempt ${key} is not in custody here yet.`);
    const turn = this.#custody.turn(key);
    // F1: a newer custody reads what the provider says, and would not know of this offer.
    if (turn !== undefined && row.epoch > turn.fence.epoch)
      throw new HoldfastError('fenced', `Another custody has taken the attempt ${key}.`);
    const cancelBy = this.#custody.starting(key)?.cancelBy ?? row.cancelBy;
    if (cancelBy !== null || (turn !== undefined && isBeingStopped(turn))) return 'refused';
    const { promise } = this.#add(key, request).answer;
    if (turn !== undefined) this.offer(turn);
    return promise;
  }

  /** Offers what waits for this turn; what its driver does not take now, it is offered again when the provider is heard. */
  offer(turn: LiveTurn): void {
    const messages = this.#messages.get(turn.key);
    if (messages === undefined || isBeingStopped(turn)) return;
    for (const message of messages.values())
      if (!message.offered)
        this.#offer(turn, message).catch((error: unknown) => this.#custody.failed(turn, error));
  }

  async #offer(turn: LiveTurn, message: Message): Promise<void> {
    const { requestId, content } = message.request;
    // Before the call: nothing may come between its frames and the word that they were taken.
    message.offered = true;
    offerMessage(turn.recording, { requestId, content });
    const call = { type: 'steer', attemptKey: turn.key, requestId, content } as const;
    if ((await turn.session.session.call(call)) === 'nothing') message.offered = false;
  }

  /** These events of the turn are in the log. */
  recorded(turn: LiveTurn, events: readonly NewEvent[]): void {
    if (!this.#messages.has(turn.key)) return;
    for (const { type, requestId } of events)
      if (type === 'chat.steered' && requestId !== undefined) {
        this.#messages.get(turn.key)?.get(requestId)?.answer.resolve('taken');
        this.#messages.get(turn.key)?.delete(requestId);
      }
  }

  /** An earlier custody has made this call: its message is offered. */
  rebuilt(turn: LiveTurn, { requestId, content }: { requestId: string; content: string }): void {
    offerMessage(turn.recording, { requestId, content });
    this.#add(turn.key, { ...turn.ref, requestId, content }).offered = true;
  }

  /** Writes the offers again that an earlier custody may not have written, and that the turn has not taken. */
  repeat(turn: LiveTurn, calls: readonly RecordedCall[]): void {
    for (const [index, { call, sent, frames }] of calls.entries()) {
      if (call.type !== 'steer' || call.attemptKey !== turn.key || sent) continue;
      if (turn.recording.offered.has(call.requestId))
        turn.session.session
          .repeat(frames, index)
          .catch((error: unknown) => this.#custody.failed(turn, error));
    }
  }

  /** The attempt has ended: what it has not taken it never will. */
  ended(key: string): void {
    for (const { request, answer } of this.#messages.get(key)?.values() ?? [])
      answer.resolve(this.#recorded(request));
    this.#messages.delete(key);
  }

  /** The attempt is not in custody here any more, and nobody here knows what becomes of it. */
  lost(key: string, reason: unknown): void {
    for (const { answer } of this.#messages.get(key)?.values() ?? []) answer.reject(reason);
    this.#messages.delete(key);
  }

  #add(key: string, request: SteerRequest): Message {
    const messages = this.#messages.get(key) ?? new Map<string, Message>();
    this.#messages.set(key, messages);
    const known = messages.get(request.requestId);
    if (known !== undefined) return known;
    const answer = Promise.withResolvers<SteerAnswer>();
    // Nobody may be waiting (a rebuilt one).
    answer.promise.catch(() => undefined);
    const message = { request, offered: false, answer };
    messages.set(request.requestId, message);
    return message;
  }

  async #recorded({ conversationId, requestId }: SteerRequest): Promise<SteerAnswer> {
    const row = await this.#store.request(conversationId, requestId);
    return (row?.steeredInto ?? null) === null ? 'refused' : 'taken';
  }
}

function isBeingStopped({ ladder, forced, recording, broken }: LiveTurn): boolean {
  return ladder !== null || forced !== null || broken || recording.ended;
}
