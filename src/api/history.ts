/** What the gateway does with a conversation as a whole: its names and provider, a fork of it, a cut of its history. */
import { randomUUID } from 'node:crypto';

import { HoldfastError } from '../contracts/errors.ts';
import type { ForkBodyValue, PatchConversationBodyValue } from '../contracts/http.ts';
import { conversationStream } from '../contracts/ids.ts';
import { MESSAGE_PAGE } from '../contracts/limits.ts';
import type { ConversationViewValue } from '../contracts/view.ts';
import type { ConversationRow } from '../store/port.ts';
import type { NewConversation } from './commands.ts';
import type { ServiceParts } from './conversations.ts';
import { mustBeFound } from './provider-directory.ts';
import { noConversation, notTakenUp } from './receipts.ts';
import { beginCommand } from './recorded-command.ts';
import { waitUntil, type Wait } from './wait-until.ts';

export class History {
  readonly #parts: ServiceParts;

  constructor(parts: ServiceParts) {
    this.#parts = parts;
  }

  /**
   * Changes title, archive, provider or model, and answers the snapshot after it; null: durable, and not recorded in time.
   * Another provider counts from the next turn, and begins with its own model unless one is named.
   *
   * Throws: `not_found`, `provider_not_found`, `storage_full`, `rate_limited`, `temporal_unavailable`.
   */
  async update(
    { conversationId, change }: { conversationId: string; change: PatchConversationBodyValue },
    wait: Wait,
  ): Promise<ConversationViewValue | null> {
    const { store, commands, providers, gate } = this.#parts;
    const { title, archived, provider } = change;
    let model = change.model;
    return beginCommand({
      ...this.#parts,
      stream: conversationStream(conversationId),
      recordedAs: 'conversation.updated',
      allow: async () => {
        const row = await this.#mustExist(conversationId);
        if (provider !== undefined) {
          await mustBeFound(providers, provider);
          // The name of a model means nothing to another provider.
          if (provider !== row.provider && model === undefined) model = null;
        }
        gate.mustHaveRoom();
      },
      signal: (commandId) =>
        commands.signal({
          conversationId,
          signal: {
            name: 'updateConversation',
            argument: {
              commandId,
              ...(title === undefined ? {} : { title: title.toWellFormed() }),
              ...(archived === undefined ? {} : { archived }),
              ...(provider === undefined ? {} : { provider }),
              ...(model === undefined ? {} : { model }),
            },
          },
        }),
      answer: async () => {
        const view = await store.snapshot(conversationId, MESSAGE_PAGE);
        if (view === null) throw noConversation();
        return view;
      },
      wait,
    }).answer;
  }

  /**
   * Cuts what comes after a message (null: everything); answers the snapshot after it. Null: durable, and not recorded in time:
   * it comes to nothing when a turn has begun meanwhile.
   *
   * Throws: `not_found` for a message that is not part of the history, `busy` while a turn runs, `storage_full`,
   * `rate_limited`, `temporal_unavailable`.
   */
  async rollback(
    { conversationId, messageId }: { conversationId: string; messageId: string | null },
    wait: Wait,
  ): Promise<ConversationViewValue | null> {
    const { store, commands, gate } = this.#parts;
    return beginCommand({
      ...this.#parts,
      stream: conversationStream(conversationId),
      recordedAs: 'history.cut',
      allow: async () => {
        const state = await store.workflowState(conversationId);
        if (state === null) throw noConversation();
        if (messageId !== null) await this.#mustBeHistory(conversationId, messageId);
        if (state.turn !== null || state.state !== 'idle')
          throw new HoldfastError(
            'busy',
            'A turn runs in this conversation; cancel it, or wait for its end.',
            { turnId: state.turn?.turnId ?? null },
          );
        gate.mustHaveRoom();
      },
      signal: (commandId) =>
        commands.signal({
          conversationId,
          signal: { name: 'rollback', argument: { commandId, messageId } },
        }),
      answer: async () => {
        const view = await store.snapshot(conversationId, MESSAGE_PAGE);
        if (view === null) throw noConversation();
        return view;
      },
      wait,
    }).answer;
  }

  /**
   * A new conversation beside this one, with copies of its history up to and with a message. Repeated with the same
   * conversationId it answers with the first.
   *
   * Throws: `not_found` for a message that is not part of the history, `provider_not_found`, `request_id_reused` when the
   * conversationId is that of another conversation, `storage_full`, `rate_limited`, `temporal_unavailable` (also, with
   * `accepted: true` in its detail, when it is durable and no worker has recorded it in time).
   */
  async fork(
    { conversationId: originId, body }: { conversationId: string; body: ForkBodyValue },
    wait: Wait,
  ): Promise<ConversationViewValue> {
    const { feed, commands, providers, gate } = this.#parts;
    const origin = await this.#mustExist(originId);
    const conversationId = body.conversationId ?? randomUUID();
    const look = (): Promise<ConversationViewValue | null> =>
      this.#forkOf(originId, conversationId);
    const existing = await look();
    if (existing !== null) return existing;
    const { messageId = null, provider = origin.provider } = body;
    if (messageId !== null) await this.#mustBeHistory(originId, messageId);
    gate.mustHaveRoom();
    await mustBeFound(providers, provider);
    const create: NewConversation = {
      tableId: origin.tableId,
      title: (body.title ?? origin.title).toWellFormed(),
      provider,
      // The name of a model means nothing to another provider.
      model:
        body.model !== undefined ? body.model : provider === origin.provider ? origin.model : null,
      workspacePath: origin.workspacePath,
      fork: { conversationId: originId, messageId },
    };
    const view = await waitUntil({
      feed,
      stream: conversationStream(conversationId),
      before: () => gate.carry(() => commands.create({ conversationId, create })),
      wakes: () => true,
      check: look,
      ...wait,
    });
    if (view === null)
      throw notTakenUp('The fork is accepted and will be made', { conversationId });
    return view;
  }

  /** Throws: `request_id_reused` when that conversation is no fork of this one. */
  async #forkOf(originId: string, conversationId: string): Promise<ConversationViewValue | null> {
    const { store } = this.#parts;
    const summary = await store.summary(conversationId);
    if (summary === null) return null;
    if (summary.forkedFrom?.conversationId !== originId) throw conversationIdTaken(conversationId);
    return store.snapshot(conversationId, MESSAGE_PAGE);
  }

  async #mustExist(conversationId: string): Promise<ConversationRow> {
    const row = await this.#parts.store.conversation(conversationId);
    if (row === null) throw noConversation();
    return row;
  }

  /** A row that a history can end with: it is whole, and neither cut nor taken back. */
  async #mustBeHistory(conversationId: string, messageId: string): Promise<void> {
    const row = await this.#parts.store.message(conversationId, messageId);
    if (row === null)
      throw new HoldfastError('not_found', 'There is no such message in this conversation.', {
        messageId,
      });
    const { cut, status } = row.message;
    const why =
      cut === true
        ? 'has been cut from the history'
        : status === 'discarded'
          ? 'has been taken back by its provider'
          : status === 'open'
            ? 'is still being written'
            : null;
    if (why !== null)
      throw new HoldfastError('not_found', `That message ${why}; a history cannot end with it.`, {
        messageId,
      });
  }
}

/** A new conversation was given the id of another one: the id is the idempotency key of its creation. */
export function conversationIdTaken(conversationId: string): HoldfastError {
  return new HoldfastError(
    'request_id_reused',
    'This conversationId is that of another conversation; take a new one.',
    { conversationId },
  );
}
