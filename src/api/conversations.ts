/**
 * What the gateway does for a conversation, whatever the transport: it looks at the store, signals the workflow,
 * and answers from the log. It decides nothing.
 *
 * Invariants (numbers of design.md section 12):
 *  A2 a requestId that has a receipt is answered with it; with other content it is refused.
 *  A3 accepted is said only after Temporal has made it durable.
 *  C2 a caller that goes away changes nothing: every wait is broken by its abort signal, and leaves nothing behind.
 *  W2 commands in flight are bounded; new work is refused while there is still room to end what runs.
 */
import { randomUUID } from 'node:crypto';

import { ERRORS, HoldfastError, isHoldfastError, type ErrorCode } from '../contracts/errors.ts';
import type { OutcomeName, UsageValue } from '../contracts/events.ts';
import type {
  ApprovalAnswerValue,
  CreateConversationBodyValue,
  ProviderItemValue,
} from '../contracts/http.ts';
import { conversationStream } from '../contracts/ids.ts';
import { MESSAGE_PAGE } from '../contracts/limits.ts';
import type { WhenBusyName } from '../contracts/signals.ts';
import type { ConversationViewValue, ReceiptValue, TurnViewValue } from '../contracts/view.ts';
import { refuseContent } from '../domain/conversation.ts';
import { contentHash } from '../store/content-hash.ts';
import type { Room } from '../store/disk-room.ts';
import type { RequestRow, Store, StoredEvent } from '../store/port.ts';
import type { ConversationCommands, ConversationSignal } from './commands.ts';
import type { Feed } from './feed.ts';
import { waitUntil } from './wait-until.ts';
import { resolveWorkspace } from './workspace.ts';

/** What a new conversation talks to when its creator did not say: always there, and it costs nothing. A real agent acts as the user, so it is asked for by name. */
export const DEFAULT_PROVIDER = 'scripted';
/** Commands that may wait for Temporal at once. At 800 signals a second (design.md section 3) the last waits about a second. */
const COMMANDS_IN_FLIGHT = 1_024;
/** After an attempt's end the workflow settles (becomes idle or starts the next turn); a caller is held this long for it. */
const SETTLE_WAIT_MS = 2_000;

/** The providers of this installation, asked at each use. */
export type ProviderDirectory = { describe(): Promise<ProviderItemValue[]> };

/** How an attempt ended, and what it said. */
export type AttemptEnd = {
  outcome: OutcomeName;
  cause: string | null;
  text: string;
  usage: UsageValue | null;
};

/** A send or retry on its way. Both promises reject with the same error when it is refused. */
export type Submission = {
  /** Durable. The row when this requestId had been answered before, else null. */
  accepted: Promise<RequestRow | null>;
  /** Its receipt, or null when it was not known in time. */
  receipt: Promise<RequestRow | null>;
};

/** A person's answer to an open approval. */
type ApprovalAnswer = {
  conversationId: string;
  approvalId: string;
  decision: 'allow' | 'deny';
  message?: string | undefined;
};

export type Wait = {
  /** How long to wait for the answer in the log; null: as long as it takes. */
  waitMs: number | null;
  abort: AbortSignal;
};

const receiptEvents = new Set(['chat.started', 'chat.queued', 'chat.rejected']);
const endEvents = new Set(['chat.done', 'chat.error', 'chat.cancelled', 'chat.interrupted']);
const settledEvents = new Set(['conversation.state', 'chat.started']);

export class Conversations {
  readonly #store: Store;
  readonly #feed: Feed;
  readonly #commands: ConversationCommands;
  readonly #providers: ProviderDirectory;
  readonly #workspaceRoots: readonly string[];
  readonly #room: () => Room;
  /** Approvals being answered by this process, so that of two answers at once the second hears of the first. */
  readonly #resolving = new Map<string, Promise<unknown>>();
  #inFlight = 0;

  constructor({
    store,
    feed,
    commands,
    providers,
    workspaceRoots,
    room,
  }: {
    store: Store;
    feed: Feed;
    commands: ConversationCommands;
    providers: ProviderDirectory;
    workspaceRoots: readonly string[];
    room: () => Room;
  }) {
    this.#store = store;
    this.#feed = feed;
    this.#commands = commands;
    this.#providers = providers;
    this.#workspaceRoots = workspaceRoots;
    this.#room = room;
  }

  get commandsInFlight(): number {
    return this.#inFlight;
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
    this.#mustHaveRoom();
    const provider = body.provider ?? DEFAULT_PROVIDER;
    await this.#mustBeFound(provider);
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
      before: () => this.#carry(() => this.#commands.create({ conversationId, create })),
      wakes: () => true,
      check: () => this.#store.snapshot(conversationId, MESSAGE_PAGE),
      ...wait,
    });
    if (view === null)
      throw new HoldfastError(
        'temporal_unavailable',
        'The conversation is accepted and will be created; no worker has taken it up yet. Repeat this request with the same conversationId.',
        { accepted: true, conversationId },
      );
    return view;
  }

  /** Throws (by both promises): `not_found`, `invalid_request`, `payload_too_large`, `request_id_reused`, `storage_full`, `rate_limited`, `temporal_unavailable`. */
  send(
    {
      conversationId,
      requestId,
      whenBusy,
      ...body
    }: { conversationId: string; requestId: string; content: string; whenBusy?: WhenBusyName },
    wait: Wait,
  ): Submission {
    // A half of a surrogate pair is no Unicode text: not every store and provider could give it back as it came.
    const content = body.content.toWellFormed();
    return this.#submit({
      conversationId,
      requestId,
      hash: contentHash('send', content),
      signal: {
        name: 'send',
        argument: { requestId, content, ...(whenBusy === undefined ? {} : { whenBusy }) },
      },
      allow: async () => {
        const refusal = refuseContent(content);
        if (refusal === 'invalid_request')
          throw new HoldfastError('invalid_request', 'The prompt is empty.', {
            errors: [{ path: '/content', message: 'must not be blank' }],
          });
        if (refusal !== null) throw new HoldfastError(refusal);
        await this.mustExist(conversationId);
        this.#mustHaveRoom();
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
        this.#mustHaveRoom();
      },
      wait,
    });
  }

  /**
   * Asks for the cancel of the running turn; answers its id and attempt once that is durable, or null when nothing
   * runs and no turn was named.
   *
   * Throws: `not_found`, `turn_mismatch`, `rate_limited`, `temporal_unavailable`.
   */
  async cancel({
    conversationId,
    turnId,
  }: {
    conversationId: string;
    turnId: string | null;
  }): Promise<{ turnId: string; attempt: number; requestId: string | null } | null> {
    const state = await this.#store.workflowState(conversationId);
    if (state === null) throw noConversation();
    const { turn } = state;
    if (turnId !== null && turnId !== turn?.turnId)
      throw new HoldfastError('turn_mismatch', undefined, { runningTurnId: turn?.turnId ?? null });
    if (turn === null) return null;
    const argument = { turnId: turn.turnId, by: 'user' };
    await this.#carry(() =>
      this.#commands.signal({ conversationId, signal: { name: 'cancel', argument } }),
    );
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
      decision,
      by: 'user',
      ...(message === undefined ? {} : { message: message.toWellFormed() }),
    };
    const resolved = await waitUntil({
      feed: this.#feed,
      stream: conversationStream(conversationId),
      before: () =>
        this.#carry(() =>
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

  /**
   * Waits for the end of an attempt, then for the workflow to have settled it (so that a caller that goes on at once
   * does not find the conversation busy with what has ended).
   */
  async end(
    {
      conversationId,
      turnId,
      attempt,
      requestId,
    }: { conversationId: string; turnId: string; attempt: number; requestId: string | null },
    abort: AbortSignal,
  ): Promise<AttemptEnd> {
    const stream = conversationStream(conversationId);
    let removedBy: string | null = null;
    const ended = await waitUntil({
      feed: this.#feed,
      stream,
      waitMs: null,
      abort,
      wakes: (event) => {
        if (!endEvents.has(event.type)) return false;
        const of = attemptOf(event);
        // A queued send that was removed ends with its requestId and no attempt.
        if (of.attempt === undefined && of.requestId === requestId && requestId !== null)
          removedBy = of.by ?? 'user';
        return true;
      },
      check: async () => {
        const row = await this.#store.attempt(turnId, attempt);
        if (row !== null && row.outcome !== null)
          return { outcome: row.outcome, cause: row.cause, usage: row.usage, ran: true };
        if (removedBy === null) return null;
        return { outcome: 'cancelled' as const, cause: removedBy, usage: null, ran: false };
      },
    });
    if (ended === null) throw new Error('a wait without a limit ended with nothing');
    const { ran, ...end } = ended;
    if (!ran) return { ...end, text: '' };
    await waitUntil({
      feed: this.#feed,
      stream,
      waitMs: SETTLE_WAIT_MS,
      abort,
      wakes: (event) => settledEvents.has(event.type),
      check: async () =>
        (await this.#isSettled({ conversationId, turnId, attempt })) ? true : null,
    });
    return { ...end, text: await this.#store.answerText(turnId, attempt) };
  }

  async #isSettled({
    conversationId,
    turnId,
    attempt,
  }: {
    conversationId: string;
    turnId: string;
    attempt: number;
  }): Promise<boolean> {
    const state = await this.#store.workflowState(conversationId);
    if (state === null || state.state === 'idle') return true;
    // Not idle and nothing runs: the end is recorded, and what follows from it is not yet.
    const running = state.turn;
    return running !== null && (running.turnId !== turnId || running.attempt !== attempt);
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
          await this.#carry(() => this.#commands.signal({ conversationId, signal })).catch(
            async (error: unknown) => {
              // The answer was lost: when the log shows the receipt, the signal was not.
              if (!isUnknownFate(error) || (await look()) === null) throw error;
            },
          );
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

  /** What would only wait for room, in Temporal's history, is better refused. Cancels and answers are always taken. */
  #mustHaveRoom(): void {
    const { level, freeBytes, reserveBytes } = this.#room();
    if (level === 'ample') return;
    throw new HoldfastError(
      'storage_full',
      `The disk is full: ${megabytes(freeBytes)} are free, and Holdfast keeps ${megabytes(reserveBytes)} for what runs (HOLDFAST_DISK_RESERVE_BYTES). Nothing was accepted; make room, then repeat it.`,
      { accepted: false, freeBytes, reserveBytes },
    );
  }

  /** Runs one command within the bound on commands in flight. */
  async #carry(command: () => Promise<void>): Promise<void> {
    if (this.#inFlight >= COMMANDS_IN_FLIGHT)
      throw new HoldfastError(
        'rate_limited',
        'Too many commands wait for Temporal; nothing was accepted.',
        {
          accepted: false,
        },
      );
    this.#inFlight += 1;
    try {
      await command();
    } finally {
      this.#inFlight -= 1;
    }
  }

  async #mustBeFound(providerId: string): Promise<void> {
    const provider = (await this.#providers.describe()).find(
      (item) => item.providerId === providerId,
    );
    if (provider?.found !== true)
      throw new HoldfastError(
        'provider_not_found',
        provider === undefined
          ? 'There is no such provider; GET /v1/providers lists them.'
          : (provider.problem ?? undefined),
        { providerId },
      );
  }
}

/** The receipt as the public surface shows it. */
export function receiptOf(row: RequestRow): ReceiptValue {
  return {
    requestId: row.requestId,
    status: row.status,
    turnId: row.turnId,
    conversationId: row.conversationId,
    ...(row.position === undefined ? {} : { position: row.position }),
    ...(row.code === undefined ? {} : { code: row.code }),
  };
}

/** The error a rejected request is answered with, now and at every repeat. */
export function rejection(row: RequestRow): HoldfastError {
  const receipt = receiptOf(row);
  return new HoldfastError(isErrorCode(row.code) ? row.code : 'internal', undefined, {
    requestId: row.requestId,
    conversationId: row.conversationId,
    turnId: row.turnId,
    receipt,
  });
}

function isErrorCode(code: string | undefined): code is ErrorCode {
  return code !== undefined && Object.hasOwn(ERRORS, code);
}

function megabytes(count: number): string {
  return `${(count / 1024 ** 2).toFixed(1)} MB`;
}

function noConversation(): HoldfastError {
  return new HoldfastError('not_found', 'There is no such conversation.');
}

function alreadyResolved(approvalId: string, decision: string, by: string | null): HoldfastError {
  return new HoldfastError('already_resolved', undefined, { approvalId, decision, by });
}

function isUnknownFate(error: unknown): boolean {
  return isHoldfastError(error) && error.detail['accepted'] === 'unknown';
}

/** What an end's event says of whose end it is. */
function attemptOf(event: StoredEvent): { attempt?: unknown; requestId?: unknown; by?: string } {
  const stored: unknown = JSON.parse(event.json);
  if (typeof stored !== 'object' || stored === null) return {};
  const payload = 'payload' in stored ? stored.payload : null;
  const by =
    typeof payload === 'object' && payload !== null && 'by' in payload ? payload.by : undefined;
  return {
    ...('attempt' in stored ? { attempt: stored.attempt } : {}),
    ...('requestId' in stored ? { requestId: stored.requestId } : {}),
    ...(typeof by === 'string' ? { by } : {}),
  };
}
