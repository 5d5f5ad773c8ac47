/**
 * The conversation, as pure decisions: what a command leads to, and what an event changes.
 *
 * Invariants kept here (numbers of design.md section 12):
 *  A1 every accepted send has exactly one receipt (`chat.started | chat.queued | chat.rejected`).
 *  A2 the same requestId is decided once; later ones decide nothing (the store remembers for ever, this
 *     model only the recent ones).
 *  S1 at most one turn runs. S2 the queue is first in, first out, unless a send interrupts: it goes to the front.
 *     While something waits, a turn runs; a model rebuilt from the store may break this until `resume` was decided.
 *  C1 a cancel decides no end: it asks for one; the attempt's only end is written once, by whoever ends it.
 *  An interrupt or a cancel never removes anything from the queue.
 *
 * `decide` never changes the model; only `apply` of the decided events does, after they were recorded.
 */
import type {
  ConversationStateName,
  Event,
  NewEvent,
  OutcomeName,
  QueueItemValue,
} from '../contracts/events.ts';
import { appendKey, isId } from '../contracts/ids.ts';
import {
  PROMPT_LIMIT_BYTES,
  QUEUE_LIMIT,
  QUEUE_LIMIT_BYTES,
  RECENT_REQUESTS,
} from '../contracts/limits.ts';
import type { ResolveApprovalSignalValue, WhenBusyName } from '../contracts/signals.ts';

export type RunningTurn = {
  turnId: string;
  attempt: number;
  requestId: string | null;
  startedAt: string;
  cancelRequested: boolean;
};

/** Everything the workflow owns of a conversation. Plain JSON: it is carried over Continue-As-New. */
export type ConversationModel = {
  conversationId: string;
  provider: string;
  model: string | null;
  state: ConversationStateName;
  turn: RunningTurn | null;
  queue: QueueItemValue[];
  /** The turn host this conversation is pinned to; null until one has claimed it. */
  host: string | null;
  /** requestIds decided lately, oldest first, bounded. */
  recent: string[];
};

export type Command =
  | { type: 'send'; requestId: string; content: string; whenBusy: WhenBusyName }
  | { type: 'cancel'; turnId: string | null; by: string }
  | {
      type: 'retry';
      turnId: string;
      requestId: string | null;
      /** What the store knows of that turn; null: no such turn. */
      turn: { lastAttempt: number; outcome: OutcomeName | null; content: string } | null;
    }
  | { type: 'turn.ended'; turnId: string; attempt: number }
  /**
   * The first command of a model that was rebuilt from the store, because Temporal knew nothing of the conversation:
   * where no turn runs any more, what waits is started, or the state is recorded as idle.
   */
  | { type: 'resume' };

/** What the model cannot know by itself: the time and fresh ids, given by the shell. */
export type DecisionContext = { now: string; turnId: string; messageId: string };

/** How the store remembers a requestId for ever (A2). */
export type RequestRecord = {
  requestId: string;
  kind: 'send' | 'retry';
  status: 'started' | 'queued' | 'rejected';
  turnId: string | null;
  attempt: number;
  position?: number;
  code?: string;
};

export type Effect =
  | { type: 'run'; turnId: string; attempt: number }
  | { type: 'stop'; turnId: string; attempt: number; by: string };

/** What to record, all or nothing, and what to do once it is recorded. Nothing to record = nothing to do. */
export type Decision = {
  /** Unique in the stream; recording the same key again records nothing. */
  key: string;
  events: NewEvent[];
  request: RequestRecord | null;
  effects: Effect[];
};

/** A conversation that nothing has happened to. */
export function newConversation(
  facts: Pick<ConversationModel, 'conversationId' | 'provider' | 'model'>,
): ConversationModel {
  return { ...facts, state: 'idle', turn: null, queue: [], host: null, recent: [] };
}

/** UTF-8 length without a Buffer: domain code runs in the workflow sandbox. A lone surrogate counts as the U+FFFD it becomes. */
export function utf8Bytes(text: string): number {
  let bytes = text.length;
  for (let index = 0; index < text.length; index += 1) {
    const unit = text.charCodeAt(index);
    if (unit <= 0x7f) continue;
    if (unit <= 0x7ff) {
      bytes += 1;
    } else if (!isHighSurrogate(unit) || !isLowSurrogate(text.charCodeAt(index + 1))) {
      // A pair is two units and four bytes: only its second half comes here.
      bytes += 2;
    }
  }
  return bytes;
}

function isHighSurrogate(unit: number): boolean {
  return unit >= 0xd800 && unit <= 0xdbff;
}

function isLowSurrogate(unit: number): boolean {
  return unit >= 0xdc00 && unit <= 0xdfff;
}

/** The requestId of a retry that came without one: the same for every retry of the same end. */
export function retryRequestId(turnId: string, attempt: number): string {
  return `retry-${turnId.slice(0, 48)}-${attempt}`;
}

/** What `command` leads to; null when it changes nothing (a duplicate, a cancel of nothing, a late end). */
export function decide(
  model: ConversationModel,
  command: Command,
  context: DecisionContext,
): Decision | null {
  switch (command.type) {
    case 'send':
      return decideSend(model, command, context);
    case 'cancel':
      return decideCancel(model, command);
    case 'retry':
      return decideRetry(model, command, context);
    case 'turn.ended':
      return decideEnded(model, command, context);
    case 'resume':
      return model.turn === null ? next(model, appendKey.resumed(context.turnId), context) : null;
  }
}

function decideSend(
  model: ConversationModel,
  command: Extract<Command, { type: 'send' }>,
  context: DecisionContext,
): Decision | null {
  const { requestId, content, whenBusy } = command;
  if (isDecided(model, requestId)) return null;
  const refusal = refuseContent(content);
  if (refusal !== null) return reject('send', requestId, refusal);
  const item = { requestId, turnId: context.turnId, content, attempt: 1 };
  if (model.turn === null) return start(model, item, 'send', context, []);
  if (whenBusy === 'reject') return reject('send', requestId, 'busy');
  return enqueue(model, item, 'send', whenBusy);
}

function decideRetry(
  model: ConversationModel,
  command: Extract<Command, { type: 'retry' }>,
  context: DecisionContext,
): Decision | null {
  const { turnId, turn } = command;
  if (command.requestId !== null && isDecided(model, command.requestId)) return null;
  // A refusal without a requestId takes a fresh one: under the derived one it would answer the retry of the coming end too.
  const refuse = (code: string): Decision =>
    reject('retry', command.requestId ?? context.turnId, code);
  if (turn === null) return refuse('not_found');
  const attempt = turn.lastAttempt + 1;
  const requestId = command.requestId ?? retryRequestId(turnId, attempt);
  if (isDecided(model, requestId)) return null;
  if (turn.outcome === null || turn.outcome === 'completed') return refuse('not_retryable');
  // The store was asked before this was decided: another retry of the same end may have come in between.
  const waits = model.queue.some((item) => item.turnId === turnId);
  const runs = model.turn?.turnId === turnId && model.turn.attempt >= attempt;
  if (waits || runs) return refuse('not_retryable');
  const item = { requestId, turnId, content: turn.content, attempt };
  if (model.turn === null) return start(model, item, 'retry', context, []);
  return enqueue(model, item, 'retry', 'queue');
}

function decideCancel(
  model: ConversationModel,
  command: Extract<Command, { type: 'cancel' }>,
): Decision | null {
  const { turn } = model;
  if (turn === null || turn.cancelRequested) return null;
  if (command.turnId !== null && command.turnId !== turn.turnId) return null;
  return {
    key: appendKey.cancel(turn.turnId, turn.attempt),
    events: cancelling(turn, command.by),
    request: null,
    effects: [{ type: 'stop', turnId: turn.turnId, attempt: turn.attempt, by: command.by }],
  };
}

function decideEnded(
  model: ConversationModel,
  command: Extract<Command, { type: 'turn.ended' }>,
  context: DecisionContext,
): Decision | null {
  const { turn } = model;
  if (turn === null || turn.turnId !== command.turnId || turn.attempt !== command.attempt)
    return null;
  return next(model, appendKey.settled(turn.turnId, turn.attempt), context);
}

/** What follows when no turn runs any more: the first of the queue, else idle. */
function next(model: ConversationModel, key: string, context: DecisionContext): Decision {
  const [first, ...rest] = model.queue;
  if (first === undefined)
    return {
      key,
      events: [{ type: 'conversation.state', payload: { state: 'idle' } }],
      request: null,
      effects: [],
    };
  const queue = numbered(rest);
  const started = start(model, first, first.attempt === 1 ? 'send' : 'retry', context, [
    { type: 'queue.changed', payload: { queue } },
  ]);
  // The request's row was written when it was queued; its receipt for ever is "queued".
  return { ...started, key, request: null };
}

function start(
  model: ConversationModel,
  item: Omit<QueueItemValue, 'position'>,
  kind: RequestRecord['kind'],
  context: DecisionContext,
  before: NewEvent[],
): Decision {
  const { requestId, turnId, attempt } = item;
  const scope = { turnId, attempt, requestId };
  const events: NewEvent[] = [...before];
  if (kind === 'send')
    events.push({
      type: 'message.created',
      turnId,
      requestId,
      payload: { messageId: context.messageId, role: 'user', content: item.content },
    });
  events.push({
    type: 'chat.started',
    ...scope,
    payload: { attempt, provider: model.provider, model: model.model },
  });
  if (model.state !== 'processing')
    events.push({ type: 'conversation.state', payload: { state: 'processing' } });
  return {
    key: appendKey.request(requestId),
    events,
    request: { requestId, kind, status: 'started', turnId, attempt },
    effects: [{ type: 'run', turnId, attempt }],
  };
}

function enqueue(
  model: ConversationModel,
  item: Omit<QueueItemValue, 'position'>,
  kind: RequestRecord['kind'],
  whenBusy: Exclude<WhenBusyName, 'reject'>,
): Decision {
  const bytes = model.queue.reduce((sum, queued) => sum + utf8Bytes(queued.content), 0);
  if (model.queue.length >= QUEUE_LIMIT || bytes + utf8Bytes(item.content) > QUEUE_LIMIT_BYTES)
    return reject(kind, item.requestId, 'queue_full');
  const interrupts = whenBusy === 'interrupt';
  const queue = numbered(interrupts ? [item, ...model.queue] : [...model.queue, item]);
  const position = interrupts ? 0 : queue.length - 1;
  const { requestId, turnId } = item;
  const events: NewEvent[] = [
    { type: 'chat.queued', turnId, requestId, payload: { position } },
    { type: 'queue.changed', payload: { queue } },
  ];
  const effects: Effect[] = [];
  if (whenBusy === 'steer')
    events.push({
      type: 'notice',
      turnId,
      requestId,
      payload: {
        code: 'steer_queued',
        text: 'This provider takes no input in mid-turn; the message waits for the end of the turn.',
      },
    });
  const { turn } = model;
  if (interrupts && turn !== null && !turn.cancelRequested) {
    events.push(...cancelling(turn, 'interrupt'));
    effects.push({ type: 'stop', turnId: turn.turnId, attempt: turn.attempt, by: 'interrupt' });
  }
  return {
    key: appendKey.request(requestId),
    events,
    request: { requestId, kind, status: 'queued', turnId, attempt: item.attempt, position },
    effects,
  };
}

function cancelling(turn: RunningTurn, by: string): NewEvent[] {
  return [
    {
      type: 'chat.cancelling',
      turnId: turn.turnId,
      attempt: turn.attempt,
      ...(turn.requestId === null ? {} : { requestId: turn.requestId }),
      payload: { step: 'requested', by },
    },
    { type: 'conversation.state', payload: { state: 'cancelled' } },
  ];
}

function reject(kind: RequestRecord['kind'], requestId: string, code: string): Decision {
  return {
    key: appendKey.request(requestId),
    events: [{ type: 'chat.rejected', requestId, payload: { code } }],
    request: { requestId, kind, status: 'rejected', turnId: null, attempt: 1, code },
    effects: [],
  };
}

/** The code a prompt is refused with, or null. The gateway asks the same before it signals. */
export function refuseContent(content: string): 'invalid_request' | 'payload_too_large' | null {
  if (content.trim() === '') return 'invalid_request';
  return utf8Bytes(content) > PROMPT_LIMIT_BYTES ? 'payload_too_large' : null;
}

function numbered(items: readonly Omit<QueueItemValue, 'position'>[]): QueueItemValue[] {
  return items.map((item, position) => ({
    requestId: item.requestId,
    turnId: item.turnId,
    content: item.content,
    attempt: item.attempt,
    position,
  }));
}

/** The model after a recorded event. Events of the transcript change nothing here. */
export function apply(
  model: ConversationModel,
  event: NewEvent | Event,
  now: string,
): ConversationModel {
  switch (event.type) {
    case 'conversation.state':
      return event.payload.state === 'idle'
        ? { ...model, state: 'idle', turn: null }
        : { ...model, state: event.payload.state };
    case 'conversation.updated': {
      const { host, provider, model: providerModel } = event.payload;
      return {
        ...model,
        ...(host === undefined ? {} : { host }),
        ...(provider === undefined ? {} : { provider }),
        ...(providerModel === undefined ? {} : { model: providerModel }),
      };
    }
    case 'chat.started': {
      const { turnId, requestId = null } = event;
      if (turnId === undefined) return model;
      const { attempt } = event.payload;
      const turn = { turnId, attempt, requestId, startedAt: now, cancelRequested: false };
      return { ...remember(model, event.requestId), turn };
    }
    case 'chat.queued':
    case 'chat.rejected':
      return remember(model, event.requestId);
    case 'queue.changed':
      return { ...model, queue: event.payload.queue };
    case 'chat.cancelling':
      return model.turn === null || event.payload.step !== 'requested'
        ? model
        : { ...model, turn: { ...model.turn, cancelRequested: true } };
    default:
      return model;
  }
}

/** What runs or waits is known even when so many requests came after it that it is no longer a recent one. */
function isDecided(model: ConversationModel, requestId: string): boolean {
  return (
    model.recent.includes(requestId) ||
    model.turn?.requestId === requestId ||
    model.queue.some((item) => item.requestId === requestId)
  );
}

function remember(model: ConversationModel, requestId: string | undefined): ConversationModel {
  if (requestId === undefined || model.recent.includes(requestId)) return model;
  return { ...model, recent: [...model.recent, requestId].slice(-RECENT_REQUESTS) };
}

/** The conversation in a sentence, for the Temporal Web UI and for `why`. */
export function describe(model: ConversationModel): string {
  const queued = model.queue.length === 0 ? '' : ` ${model.queue.length} waiting in the queue.`;
  const { turn } = model;
  if (turn === null) return `Idle.${queued}`;
  const where = model.host === null ? 'waiting for a turn host' : `on host ${model.host}`;
  const what = `turn ${turn.turnId}, attempt ${turn.attempt}, ${where}, since ${turn.startedAt}`;
  return model.state === 'cancelled'
    ? `Cancelling ${what}.${queued}`
    : `Processing ${what}.${queued}`;
}

const whenBusyNames: readonly string[] = [
  'queue',
  'reject',
  'interrupt',
  'steer',
] satisfies WhenBusyName[];

/**
 * Reads the arguments of a signal. A signal may be typed by an operator, so nothing is believed; what
 * cannot be a command is null, and the workflow says so in its log instead of failing.
 *
 * An id that is given and is none makes the whole signal null: a mistyped `turnId` must not cancel another turn.
 */
export function parseSignal(name: 'send' | 'cancel' | 'retry', value: unknown): Command | null {
  const fields = value ?? {};
  if (!isRecord(fields)) return null;
  const { requestId = null, turnId = null, content, whenBusy, by } = fields;
  if (!isIdOrNull(requestId) || !isIdOrNull(turnId)) return null;
  switch (name) {
    case 'send':
      if (requestId === null || typeof content !== 'string') return null;
      return {
        type: 'send',
        requestId,
        content,
        whenBusy: isWhenBusy(whenBusy) ? whenBusy : 'queue',
      };
    case 'cancel':
      return { type: 'cancel', turnId, by: nameOf(by) };
    case 'retry':
      return turnId === null ? null : { type: 'retry', turnId, requestId, turn: null };
  }
}

/** Reads the argument of `resolveApproval` in the same spirit; its limits are those of contracts/signals.ts. */
export function parseApprovalSignal(
  value: unknown,
): (ResolveApprovalSignalValue & { by: string }) | null {
  if (!isRecord(value)) return null;
  const { approvalId, decision, by, message } = value;
  if (!isId(approvalId) || (decision !== 'allow' && decision !== 'deny')) return null;
  const said = typeof message === 'string' ? { message: message.slice(0, 4_000) } : {};
  return { approvalId, decision, by: nameOf(by), ...said };
}

/** Who asked; a signal that does not say came from an operator. */
function nameOf(by: unknown): string {
  return typeof by === 'string' && by !== '' ? by.slice(0, 64) : 'operator';
}

function isIdOrNull(value: unknown): value is string | null {
  return value === null || isId(value);
}

function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

function isWhenBusy(value: unknown): value is WhenBusyName {
  return typeof value === 'string' && whenBusyNames.includes(value);
}
