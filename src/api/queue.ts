/**
 * What the gateway does with a conversation's queue. What waits can be read, edited, moved, promoted, held and removed; what
 * is no longer waiting is refused by name, and says what became of it.
 */
import { HoldfastError } from '../contracts/errors.ts';
import type { QueueItemValue } from '../contracts/events.ts';
import type {
  DequeuedAnswerValue,
  QueueAnswerValue,
  UpdateQueuedBodyValue,
} from '../contracts/http.ts';
import { conversationStream } from '../contracts/ids.ts';
import { QUEUE_LIMIT, QUEUE_LIMIT_BYTES } from '../contracts/limits.ts';
import { utf8Bytes } from '../domain/conversation.ts';
import type { RequestRow, Store, StoredEvent, WorkflowState } from '../store/port.ts';
import { decodeEvent } from '../store/stored-event.ts';
import type { ConversationSignal } from './commands.ts';
import { mustBePrompt, type ServiceParts } from './conversations.ts';
import { noConversation } from './receipts.ts';
import { beginCommand, type PendingCommand } from './recorded-command.ts';
import type { Wait } from './wait-until.ts';

/** Events after which something may no longer be in the queue. */
const leavingEvents = new Set(['chat.started', 'chat.steered', 'chat.cancelled', 'queue.changed']);

/** A message that waits. */
type Queued = { conversationId: string; requestId: string };

export class Queue {
  readonly #parts: Pick<ServiceParts, 'store' | 'feed' | 'gate' | 'commands'>;
  readonly #store: Store;

  constructor(parts: Pick<ServiceParts, 'store' | 'feed' | 'gate' | 'commands'>) {
    this.#parts = parts;
    this.#store = parts.store;
  }

  /** Throws: `not_found`. */
  async read(conversationId: string): Promise<QueueAnswerValue> {
    const { queue, held } = await this.#state(conversationId);
    return { items: queue, held, nextCursor: null };
  }

  /** Throws: `not_found`; `already_resolved`, with what became of it, for a request that does not wait any more. */
  async item({ conversationId, requestId }: Queued): Promise<QueueItemValue> {
    const { queue } = await this.#state(conversationId);
    const item = queue.find((queued) => queued.requestId === requestId);
    if (item !== undefined) return item;
    throw await this.#whatBecameOf({ conversationId, requestId });
  }

  /**
   * Another text, another place (past the end: the end), or to the front with a cancel of what runs; answers the queue after it.
   *
   * Throws (by both promises): as {@link item}; `invalid_request` for a blank text, and for the text of a retry, which is its
   * turn's; `busy` for the text of one that is offered to the running turn; `payload_too_large`; `queue_full`; `storage_full`
   * (not for a move); `rate_limited`; `temporal_unavailable`.
   */
  update(
    { conversationId, requestId, change }: Queued & { change: UpdateQueuedBodyValue },
    wait: Wait,
  ): PendingCommand<QueueAnswerValue> {
    const checked = wellFormed(change);
    return this.#command({
      conversationId,
      requestId,
      allow: async () => {
        if ('content' in checked)
          await this.#mustTake({ conversationId, requestId, content: checked.content });
        if ('now' in checked) this.#parts.gate.mustHaveRoom();
      },
      signal: (commandId) => ({
        name: 'updateQueued',
        argument: { commandId, requestId, ...checked },
      }),
      answer: (recorded) => this.#after(conversationId, recorded),
      wait,
    });
  }

  /** Throws (by both promises): as {@link item}, `busy` while it is offered to the running turn, `rate_limited`, `temporal_unavailable`. */
  remove({ conversationId, requestId }: Queued, wait: Wait): PendingCommand<DequeuedAnswerValue> {
    let turnId = '';
    return this.#command({
      conversationId,
      requestId,
      allow: async () => {
        const item = await this.item({ conversationId, requestId });
        mustNotBeOffered(item);
        ({ turnId } = item);
      },
      signal: (commandId) => ({ name: 'removeQueued', argument: { commandId, requestId } }),
      answer: async () => ({ requestId, turnId }),
      wait,
    });
  }

  /**
   * Holds the queue (what waits stays, until it is released) or releases it. An empty queue holds nothing back.
   *
   * Throws (by both promises): `not_found`, `storage_full` for a release, `rate_limited`, `temporal_unavailable`.
   */
  hold(
    { conversationId, held }: { conversationId: string; held: boolean },
    wait: Wait,
  ): PendingCommand<QueueAnswerValue> {
    return this.#command({
      conversationId,
      requestId: null,
      allow: async () => {
        await this.#state(conversationId);
        if (!held) this.#parts.gate.mustHaveRoom();
      },
      signal: (commandId) => ({ name: 'holdQueue', argument: { commandId, held } }),
      answer: (recorded) => this.#after(conversationId, recorded),
      wait,
    });
  }

  #command<T>({
    conversationId,
    requestId,
    allow,
    signal,
    answer,
    wait,
  }: {
    conversationId: string;
    /** What it is about: it must wait in the queue. Null: the whole queue. */
    requestId: string | null;
    allow: () => Promise<void>;
    signal: (commandId: string) => ConversationSignal;
    answer: (recorded: StoredEvent) => Promise<T>;
    wait: Wait;
  }): PendingCommand<T> {
    const { store, feed, gate, commands } = this.#parts;
    return beginCommand({
      store,
      feed,
      gate,
      stream: conversationStream(conversationId),
      recordedAs: 'queue.changed',
      ...(requestId === null
        ? {}
        : // A requestId that has left the queue never comes back to it.
          { guard: async () => void (await this.item({ conversationId, requestId })) }),
      wakes: leavingEvents,
      allow,
      signal: (commandId) => commands.signal({ conversationId, signal: signal(commandId) }),
      answer,
      wait,
    });
  }

  /** The queue as the recorded command left it. */
  async #after(conversationId: string, recorded: StoredEvent): Promise<QueueAnswerValue> {
    const event = decodeEvent(recorded.json);
    if (event.type !== 'queue.changed') throw new Error(`no queue.changed: ${event.type}`);
    const { queue, held } = event.payload;
    const now = held ?? (await this.#state(conversationId)).held;
    return { items: queue, held: now, nextCursor: null };
  }

  async #state(conversationId: string): Promise<WorkflowState> {
    const state = await this.#store.workflowState(conversationId);
    if (state === null) throw noConversation();
    return state;
  }

  /** The workflow would ignore what is refused here. */
  async #mustTake({ conversationId, requestId, content }: Queued & { content: string }) {
    mustBePrompt(content);
    const { queue } = await this.#state(conversationId);
    const others = queue.filter((queued) => queued.requestId !== requestId);
    const item = queue.find((queued) => queued.requestId === requestId);
    if (item !== undefined) mustNotBeOffered(item);
    if (item !== undefined && item.attempt > 1)
      throw new HoldfastError('invalid_request', 'A retry has the text of its turn.', {
        errors: [{ path: '/content', message: 'cannot be changed' }],
      });
    const bytes = others.reduce((sum, queued) => sum + utf8Bytes(queued.content), 0);
    if (bytes + utf8Bytes(content) > QUEUE_LIMIT_BYTES)
      throw new HoldfastError('queue_full', undefined, { requestId });
    this.#parts.gate.mustHaveRoom();
  }

  /** Why a request is not in the queue: `not_found` when nobody knows it, else `already_resolved`. */
  async #whatBecameOf({ conversationId, requestId }: Queued): Promise<HoldfastError> {
    const row = await this.#store.request(conversationId, requestId);
    if (row === null)
      return new HoldfastError('not_found', 'There is no such request in this conversation.');
    const { fate, words, ...more } = await this.#fateOf(row);
    const { turnId } = row;
    return new HoldfastError(
      'already_resolved',
      `This message does not wait any more: ${words}. Nothing was changed.`,
      { requestId, turnId, fate, ...more },
    );
  }

  async #fateOf({
    status,
    turnId,
    attempt,
    steeredInto,
  }: RequestRow): Promise<{ fate: string; words: string; steeredInto?: object; outcome?: string }> {
    if (status === 'rejected' || turnId === null)
      return { fate: 'rejected', words: 'it was rejected when it came' };
    if (steeredInto !== null)
      return { fate: 'steered', words: 'the running turn has taken it in', steeredInto };
    const row = await this.#store.attempt(turnId, attempt);
    if (row === null) return { fate: 'removed', words: 'it was removed' };
    if (row.outcome === null) return { fate: 'started', words: 'it has started' };
    return { fate: 'ended', words: `it has ended (${row.outcome})`, outcome: row.outcome };
  }
}

function wellFormed(change: UpdateQueuedBodyValue): UpdateQueuedBodyValue {
  if ('content' in change) return { content: change.content.toWellFormed() };
  // Past the end of every queue; the workflow takes no number that is not exact.
  if ('position' in change) return { position: Math.min(change.position, QUEUE_LIMIT) };
  return change;
}

/** What the running turn may have taken in already can be neither changed nor taken back; what it does not take can be again. */
function mustNotBeOffered({ requestId, turnId, steer }: QueueItemValue): void {
  if (steer === true)
    throw new HoldfastError(
      'busy',
      'This message is offered to the running turn, which may have it already; it can be changed again if that does not take it.',
      { requestId, turnId },
    );
}
