/**
 * What the gateway does for a conversation, whatever the transport: it looks at the store, signals the workflow,
 * and answers from the log. It decides nothing.
 *
 * Invariants (numbers of design.md section 12):
 *  A2 a requestId that has a receipt is answered with it; with other content it is refused.
 *  A3 accepted is said only after Temporal has made it durable.
 *  C2 a caller that goes away changes nothing: every wait is broken by its abort signal, and leaves nothing behind.
 */
import { randomUUID } from 'node:crypto';

import { HoldfastError } from '../contracts/errors.ts';
import type { ApprovalAnswerValue, CreateConversationBodyValue } from '../contracts/http.ts';
import { conversationStream } from '../contracts/ids.ts';
import { MESSAGE_PAGE } from '../contracts/limits.ts';
import type { WhenBusyName } from '../contracts/signals.ts';
import type { ConversationViewValue, TurnViewValue } from '../contracts/view.ts';
import { askedBySend, refuseContent } from '../domain/conversation.ts';
import { contentHash } from '../store/content-hash.ts';
import type { RequestRow, Store } from '../store/port.ts';
import type { CommandGate } from './command-gate.ts';
import type { ConversationSignal, WorkflowCommands } from './commands.ts';
import type { Feed } from './feed.ts';
import { DEFAULT_PROVIDER, mustBeFound, type ProviderDirectory } from './provider-directory.ts';
import { noConversation, notTakenUp } from './receipts.ts';
import { isUnknownFate } from './recorded-command.ts';
import { waitUntil, type Wait } from './wait-until.ts';
import { resolveWorkspace } from './workspace.ts';

/** What the gateway's services are made of. */
export type ServiceParts = {
  store: Store;
  feed: Feed;
  commands: WorkflowCommands;
  gate: CommandGate;
  providers: ProviderDirectory;
  workspaceRoots: readonly string[];
};

/** A send or retry on its way. Both promises reject with the same error when it is refused. */
export type Submission = {
  /** Durable. The row when this requestId had been answered before, else null. */
  accepted: Promise<RequestRow | null>;
  /** Its receipt, or null when it was not known in time. */
  receipt: Promise<RequestRow | null>;
};

/** What a person says; `replaces`: instead of that message. */
export type Send = {
  conversationId: string;
  requestId: string;
  content: string;
  whenBusy?: WhenBusyName;
  replaces?: string;
};

/** A person's answer to an open approval. */
type ApprovalAnswer = {
  conversationId: string;
  approvalId: string;
  decision: 'allow' | 'deny';
  message?: string | undefined;
};

const receiptEvents = new Set(['chat.started', 'chat.queued', 'chat.rejected']);

export class Conversations {
  readonly #store: Store;
  readonly #feed: Feed;
  readonly #commands: WorkflowCommands;
  readonly #gate: CommandGate;
  readonly #providers: ProviderDirectory;
  readonly #workspaceRoots: readonly string[];
  /** Approvals being answered by this process, so that of two answers at once the second hears of the first. */
  readonly #resolving = new Map<string, Promise<unknown>>();

  constructor({ store, feed, commands, gate, providers, workspaceRoots }: ServiceParts) {
    this.#store = store;
    this.#feed = feed;
    this.#commands = commands;
    this.#gate = gate;
    this.#providers = providers;
    this.#workspaceRoots = workspaceRoots;
  }

  /** Throws: `not_found`. */
  async snapshot(conversationId: string): Promise<ConversationViewValue> {
    const view = await this.#store.snapshot(conversationId, MESSAGE_PAGE);
    if (view === null) throw noConversation();
    return view;
  }

  /** Throws: `not_found` for an unknown conversation, or an unknown message to read before. */
  async messages({
    conversationId,
    before,
    limit,
  }: {
    conversationId: string;
    before: string | null;
    limit: number;
  }): Promise<NonNullable<Awaited<ReturnType<Store['messages']>>>> {
    await this.mustExist(conversationId);
    const page = await this.#store.messages(conversationId, before, limit);
    if (page === null)
      throw new HoldfastError('not_found', 'There is no such message in this conversation.');
    return page;
  }

  /** Throws: `not_found`. */
  async turns({
    conversationId,
    cursor,
    limit,
  }: {
    conversationId: string;
    cursor: string | null;
    limit: number;
  }): ReturnType<Store['turns']> {
    await this.mustExist(conversationId);
    return this.#store.turns(conversationId, cursor, limit);
  }

  /** Throws: `not_found`. */
  async turn({
    conversationId,
    turnId,
  }: {
    conversationId: string;
    turnId: string;
  }): Promise<TurnViewValue> {
    const turn = await this.#store.turn(conversationId, turnId);
    if (turn === null)
      throw new HoldfastError('not_found', 'There is no such turn in this conversation.');
    return turn;
  }

  /** Throws: `not_found` when there is no such conversation. */
  async mustExist(conversationId: string): Promise<void> {
    if ((await this.#store.conversation(conversationId)) === null) throw noConversation();
  }

  /**
   * Creates a conversation; one that exists is answered as it is, whatever else was asked for.
   *
   * Throws: `storage_full`, `provider_not_found`, `workspace_not_allowed`, `temporal_unavailable` (also, with `accepted: true` in its
   * detail, when it is durable and no worker has recorded it in time).
   */
  async create(body: CreateConversationBodyValue, wait: Wait): Promise<ConversationViewValue> {
    const conversationId = body.conversationId ?? randomUUID();
    const existing = await this.#store.snapshot(conversationId, MESSAGE_PAGE);
    if (existing !== null) return existing;
    this.#gate.mustHaveRoom();
    const provider = body.provider ?? DEFAULT_PROVIDER;
    await mustBeFound(this.#providers, provider);
    const workspacePath = await resolveWorkspace({
      requested: body.workspacePath ?? null,
      roots: this.#workspaceRoots,
    });
    const create = {
      tableId: null,
      title: (body.title ?? '').toWellFormed(),
      provider,
      model: body.model ?? null,
      workspacePath,
    };
    const view = await waitUntil({
      feed: this.#feed,
      stream: conversationStream(conversationId),
      before: () => this.#gate.carry(() => this.#commands.create({ conversationId, create })),
      wakes: () => true,
      check: () => this.#store.snapshot(conversationId, MESSAGE_PAGE),
      ...wait,
    });
    if (view === null)
      throw notTakenUp('The conversation is accepted and will be created', { conversationId });
    return view;
  }

  /** Throws (by both promises): `not_found`, `invalid_request`, `payload_too_large`, `request_id_reused`, `storage_full`, `rate_limited`, `temporal_unavailable`. */
  send({ conversationId, requestId, whenBusy, replaces, ...body }: Send, wait: Wait): Submission {
    // A half of a surrogate pair is no Unicode text: not every store and provider could give it back as it came.
    const content = body.content.toWellFormed();
    return this.#submit({
      conversationId,
      requestId,
      hash: contentHash('send', askedBySend({ content, replaces })),
      signal: {
        name: 'send',
        argument: {
          requestId,
          content,
          ...(whenBusy === undefined ? {} : { whenBusy }),
          ...(replaces === undefined ? {} : { replaces }),
        },
      },
      allow: async () => {
        mustBePrompt(content);
        await this.mustExist(conversationId);
        if (replaces !== undefined) await this.#mustBeReplaceable(conversationId, replaces);
        this.#gate.mustHaveRoom();
      },
      wait,
    });
  }

  /** Throws (by both promises): as {@link send}, and `not_retryable`. */
  retry(
    {
      conversationId,
      turnId,
      requestId,
    }: { conversationId: string; turnId: string; requestId: string },
    wait: Wait,
  ): Submission {
    return this.#submit({
      conversationId,
      requestId,
      hash: contentHash('retry', turnId),
      signal: { name: 'retry', argument: { turnId, requestId } },
      allow: async () => {
        const latest = await this.#store.latestAttempt(turnId);
        if (latest === null || latest.conversationId !== conversationId)
          throw new HoldfastError('not_found', 'There is no such turn in this conversation.');
        if (latest.outcome === null || latest.outcome === 'completed')
          throw new HoldfastError('not_retryable', undefined, { turnId, outcome: latest.outcome });
        this.#gate.mustHaveRoom();
      },
      wait,
    });
  }

  /**
   * Asks for the cancel of the running turn; answers its id and attempt once that is durable, or null when nothing
   * runs and no turn was named. With `holdQueue` what waits stays in the queue, also when nothing runs. With `cascade` the
   * same is asked of every agent below it, there and, unless `holdQueue` is false, here with what waits held.
   *
   * Throws: `not_found`, `turn_mismatch`, `rate_limited`, `temporal_unavailable`.
   */
  async cancel({
    conversationId,
    turnId,
    cascade = false,
    holdQueue = cascade,
  }: {
    conversationId: string;
    turnId: string | null;
    holdQueue?: boolean | undefined;
    cascade?: boolean | undefined;
  }): Promise<{ turnId: string; attempt: number; requestId: string | null } | null> {
    const state = await this.#store.workflowState(conversationId);
    if (state === null) throw noConversation();
    const { turn } = state;
    if (turnId !== null && turnId !== turn?.turnId)
      throw new HoldfastError('turn_mismatch', undefined, { runningTurnId: turn?.turnId ?? null });
    if (turn === null && !holdQueue && !cascade) return null;
    const argument = {
      ...(turn === null ? {} : { turnId: turn.turnId }),
      by: 'user',
      ...(holdQueue ? { holdQueue } : {}),
      ...(cascade ? { cascade } : {}),
    };
    await this.#gate.carry(() =>
      this.#commands.signal({ conversationId, signal: { name: 'cancel', argument } }),
    );
    if (turn === null) return null;
    return { turnId: turn.turnId, attempt: turn.attempt, requestId: turn.requestId };
  }

  /**
   * Answers an approval, once. Null: the answer is durable, and was not recorded in time.
   *
   * Throws: `not_found`, `already_resolved` (with the first decision and who made it), `rate_limited`, `temporal_unavailable`.
   */
  async resolveApproval(answer: ApprovalAnswer, wait: Wait): Promise<ApprovalAnswerValue | null> {
    const key = `${answer.conversationId} ${answer.approvalId}`;
    for (let other = this.#resolving.get(key); other; other = this.#resolving.get(key))
      await other.catch(() => undefined);
    const resolving = this.#answerApproval(answer, wait);
    this.#resolving.set(key, resolving);
    try {
      return await resolving;
    } finally {
      this.#resolving.delete(key);
    }
  }

  async #answerApproval(
    { conversationId, approvalId, decision, message }: ApprovalAnswer,
    wait: Wait,
  ): Promise<ApprovalAnswerValue | null> {
    const look = (): ReturnType<Store['approval']> =>
      this.#store.approval(conversationId, approvalId);
    const open = await look();
    if (open === null)
      throw new HoldfastError('not_found', 'There is no such approval in this conversation.');
    if (open.decision !== null) throw alreadyResolved(approvalId, open.decision, open.by);
    const argument = {
      approvalId,
      turnId: open.turnId,
      decision,
      by: 'user',
      ...(message === undefined ? {} : { message: message.toWellFormed() }),
    };
    const resolved = await waitUntil({
      feed: this.#feed,
      stream: conversationStream(conversationId),
      before: () =>
        this.#gate.carry(() =>
          this.#commands.signal({ conversationId, signal: { name: 'resolveApproval', argument } }),
        ),
      wakes: (event) => event.type === 'approval.resolved',
      check: async () => {
        const now = await look();
        return now?.decision == null ? null : { decision: now.decision, by: now.by };
      },
      ...wait,
    });
    if (resolved === null) return null;
    if (resolved.decision !== decision)
      throw alreadyResolved(approvalId, resolved.decision, resolved.by);
    return { approvalId, ...resolved };
  }

  async #mustBeReplaceable(conversationId: string, messageId: string): Promise<void> {
    const row = await this.#store.message(conversationId, messageId);
    if (row === null || row.message.role !== 'user' || row.message.cut === true)
      throw new HoldfastError(
        'not_found',
        row === null
          ? 'There is no such message in this conversation.'
          : row.message.cut === true
            ? 'That message has been cut from the history.'
            : 'That message is not one of the user.',
        { messageId },
      );
  }

  #submit({
    conversationId,
    requestId,
    hash,
    signal,
    allow,
    wait,
  }: {
    conversationId: string;
    requestId: string;
    hash: string;
    signal: ConversationSignal;
    /** Throws what forbids it. Not asked for a requestId that has its receipt: that answer stands for ever (A2). */
    allow: () => Promise<void>;
    wait: Wait;
  }): Submission {
    const accepted = Promise.withResolvers<RequestRow | null>();
    const look = async (): Promise<RequestRow | null> => {
      const row = await this.#store.request(conversationId, requestId);
      if (row !== null && row.contentHash !== hash)
        throw new HoldfastError('request_id_reused', undefined, { requestId });
      return row;
    };
    const submit = async (): Promise<RequestRow | null> => {
      const known = await look();
      if (known !== null) {
        accepted.resolve(known);
        return known;
      }
      await allow();
      return waitUntil({
        feed: this.#feed,
        stream: conversationStream(conversationId),
        before: async () => {
          await this.#gate
            .carry(() => this.#commands.signal({ conversationId, signal }))
            .catch(async (error: unknown) => {
              // The answer was lost: when the log shows the receipt, the signal was not.
              if (!isUnknownFate(error) || (await look()) === null) throw error;
            });
          accepted.resolve(null);
        },
        wakes: (event) => receiptEvents.has(event.type) && event.json.includes(requestId),
        check: look,
        ...wait,
      });
    };
    const receipt = submit();
    receipt.catch(accepted.reject);
    // Whoever asks for one of the two hears the error; the other must not end the process.
    accepted.promise.catch(() => undefined);
    return { accepted: accepted.promise, receipt };
  }
}

/** Throws: `invalid_request` for a blank prompt, `payload_too_large`. */
export function mustBePrompt(content: string): void {
  const refusal = refuseContent(content);
  if (refusal === 'invalid_request')
    throw new HoldfastError('invalid_request', 'The prompt is empty.', {
      errors: [{ path: '/content', message: 'must not be blank' }],
    });
  if (refusal !== null) throw new HoldfastError(refusal);
}

function alreadyResolved(approvalId: string, decision: string, by: string | null): HoldfastError {
  return new HoldfastError('already_resolved', undefined, { approvalId, decision, by });
}
