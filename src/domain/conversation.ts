import type { MailSignalValue } from '../contracts/agents.ts';
/**
 * The conversation, as pure decisions: what a command leads to, and what an event changes.
 *
 * Invariants kept here (numbers of design.md section 12):
 *  A1 every accepted send has exactly one receipt (`chat.started | chat.queued | chat.rejected`).
 *  A2 the same requestId is decided once; later ones decide nothing (the store remembers for ever, this
 *     model only the recent ones).
 *  S1 at most one turn runs, of the conversation and of its table: what may not start now waits, and says so.
 *  S2 the queue is first in, first out, unless somebody moves a row or a send interrupts: that goes to the front. Rows that
 *     were there when it was held stay, those that came later go by.
 *     What waits while nothing runs is held, or waits for its table's slot; a model rebuilt from the store may break
 *     this until `resume` was decided.
 *  M1 mail is a send: what of it stands together at the head of the queue is given to one turn, in order, and each row says so.
 *  C1 a cancel decides no end: it asks for one; the attempt's only end is written once, by whoever ends it.
 *  An interrupt or a cancel never removes anything from the queue; a removal is a decision of its own, with an end.
 *
 * `decide` never changes the model; only `apply` of the decided events does, after they were recorded.
 */
import type {
  ConversationStateName,
  Event,
  MailMarkValue,
  NewEvent,
  OutcomeName,
  QueueItemValue,
} from '../contracts/events.ts';
import { appendKey, isId } from '../contracts/ids.ts';
import {
  MAIL_QUEUE_LIMIT,
  MAIL_QUEUE_LIMIT_BYTES,
  PROMPT_LIMIT_BYTES,
  PROMPT_LIMIT_JSON_BYTES,
  QUEUE_LIMIT,
  QUEUE_LIMIT_BYTES,
  RECENT_REQUESTS,
  TITLE_LIMIT_CHARS,
} from '../contracts/limits.ts';
import type { ResolveApprovalSignalValue, WhenBusyName } from '../contracts/signals.ts';
import { characters, titleOf } from './title.ts';
import { promptMessageId } from './turn-ids.ts';

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
  /** The table it belongs to; null: it stands alone. */
  tableId: string | null;
  /** It has a title; the first message makes one for a conversation without. */
  titled: boolean;
  provider: string;
  model: string | null;
  state: ConversationStateName;
  turn: RunningTurn | null;
  queue: QueueItemValue[];
  /** There is a queue, and each of its rows is held. */
  held: boolean;
  /** The turn host this conversation is pinned to; null until one has claimed it. */
  host: string | null;
  /** The conversation that made this one; null: nobody did. Absent in what was carried over from before there were agents. */
  parentId?: string | null;
  /** requestIds decided lately, oldest first, bounded. */
  recent: string[];
};

export type Command =
  | {
      type: 'send';
      requestId: string;
      content: string;
      whenBusy: WhenBusyName;
      /** The user message that this one replaces, and what the store knows of it. */
      replaces?: Replaced;
      /** It is mail, of which `content` may be the beginning only. */
      mail?: NonNullable<QueueItemValue['mail']>;
      /** It is queued even where it could start: others come with it, and a `resume` starts what then stands together. */
      gather?: true;
    }
  | {
      type: 'cancel';
      turnId: string | null;
      by: string;
      holdQueue?: boolean;
      /** Its children are to be told the same; decides nothing here. */
      cascade?: boolean;
    }
  | {
      type: 'queue.update';
      commandId: string;
      requestId: string;
      change: { content: string } | { position: number } | { now: true };
      head?: Replaced;
      /** As of `turn.ended`. */
      dropped?: readonly string[];
    }
  | { type: 'queue.remove'; commandId: string; requestId: string }
  | {
      type: 'queue.hold';
      commandId: string;
      held: boolean;
      head?: Replaced;
      /** As of `turn.ended`. */
      dropped?: readonly string[];
    }
  | {
      type: 'rollback';
      commandId: string;
      messageId: string | null;
      /** Whether the store knows that message, and it is not cut. */
      found: boolean;
    }
  | {
      type: 'update';
      commandId: string;
      set: { title?: string; archived?: boolean; provider?: string; model?: string | null };
    }
  /** The running turn has taken a queued message in, or cannot. */
  | { type: 'steered'; requestId: string; taken: boolean }
  | {
      type: 'retry';
      turnId: string;
      requestId: string | null;
      /** What the store knows of that turn; null: no such turn. */
      turn: {
        lastAttempt: number;
        outcome: OutcomeName | null;
        content: string;
        /** Its prompt was cut from the history. */
        cut?: boolean;
      } | null;
    }
  | {
      type: 'turn.ended';
      turnId: string;
      attempt: number;
      /** requestIds of the queue that the turn has taken in. */
      taken?: readonly string[];
      /** requestIds of the queue that are retries of turns whose prompt has been cut since: they are not run. */
      dropped?: readonly string[];
      head?: Replaced;
    }
  /**
   * The first command of a model that was rebuilt from the store, because Temporal knew nothing of the conversation:
   * where no turn runs any more, what waits is started, or the state is recorded as idle.
   */
  | {
      type: 'resume';
      stored?: ConversationStateName;
      /** The table has given it the slot: it gives way to nobody. */
      given?: boolean;
      /** As of `turn.ended`. */
      taken?: readonly string[];
      dropped?: readonly string[];
      head?: Replaced;
    };

/**
 * What the store knows of the message that a send replaces. `head`, in commands that may start the head of the queue: of the
 * one that it replaces.
 */
export type Replaced = {
  messageId: string;
  /** It is there, the user's own, and not cut. */
  found: boolean;
  /** The last message before it; null: it is the first. */
  previousMessageId: string | null;
};

/**
 * Why the store refuses a start in this table: another conversation's turn runs; another conversation is active; another
 * one has waited longer.
 */
export type Occupied = 'running' | 'elsewhere' | 'waiting';

/** What the model cannot know by itself: the time, fresh ids, and whether the table lets it start; given by the shell. */
export type DecisionContext = {
  now: string;
  turnId: string;
  messageId: string;
  occupied?: Occupied | null;
};

/** Enough for a title. */
const HELD_CHARS = 400;

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
  | { type: 'stop'; turnId: string; attempt: number; by: string }
  /** Offers a queued message to the running turn. */
  | { type: 'steer'; turnId: string; attempt: number; requestId: string; content: string }
  /** Something waits here for the table's slot. */
  | { type: 'want'; interrupt: boolean }
  /** The table may have something to decide; `yields`: this conversation gives way to one that has waited longer. */
  | { type: 'look'; yields: boolean };

/** What to record, all or nothing, and what to do once it is recorded. Nothing to record = nothing to do. */
export type Decision = {
  /** Unique in the stream; recording the same key again records nothing. */
  key: string;
  events: NewEvent[];
  request: RequestRecord | null;
  effects: Effect[];
  /** It starts what has waited since then (or comes now), unless another conversation of the table has waited longer. */
  waitedSince?: string;
};

/** A conversation that nothing has happened to. */
export function newConversation(
  facts: Pick<ConversationModel, 'conversationId' | 'provider' | 'model'>,
): ConversationModel {
  return {
    tableId: null,
    titled: true,
    ...facts,
    state: 'idle',
    turn: null,
    queue: [],
    held: false,
    host: null,
    recent: [],
  };
}

/** What a send asks for, as one text: a repeat of its requestId with another is refused (A2). */
export function askedBySend(send: { content: string; replaces?: string | undefined }): string {
  return send.replaces === undefined ? send.content : `replaces ${send.replaces}\n${send.content}`;
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

/** Length of a text in JSON, in bytes. */
function jsonBytes(text: string): number {
  return utf8Bytes(JSON.stringify(text));
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
  if ('dropped' in command && command.dropped !== undefined && command.dropped.length > 0)
    return decideWithout(model, command, command.dropped, context);
  switch (command.type) {
    case 'send':
      return decideSend(model, command, context);
    case 'cancel':
      return decideCancel(model, command, context);
    case 'retry':
      return decideRetry(model, command, context);
    case 'queue.update':
      return decideQueueUpdate(model, command, context);
    case 'queue.remove':
      return decideQueueRemove(model, command);
    case 'queue.hold':
      return decideHold(model, command, context);
    case 'rollback':
      return decideRollback(model, command);
    case 'update':
      return {
        key: appendKey.command(command.commandId),
        events: [
          {
            type: 'conversation.updated',
            payload: { ...command.set, commandId: command.commandId },
          },
        ],
        request: null,
        effects: [],
      };
    case 'steered':
      return decideSteered(model, command);
    case 'turn.ended':
      return decideEnded(model, command, context);
    case 'resume':
      return decideResume(model, command, context);
  }
}

/** Takes the retries out of the queue that are not run any more, each with its end, and decides on what is left. */
function decideWithout(
  model: ConversationModel,
  command: Extract<Command, { dropped?: readonly string[] }>,
  dropped: readonly string[],
  context: DecisionContext,
): Decision {
  const gone = model.queue.filter((item) => dropped.includes(item.requestId));
  const queue = numbered(model.queue.filter((item) => !gone.includes(item)));
  const ends = gone.map(({ turnId, requestId }): NewEvent => ({
    type: 'chat.cancelled',
    turnId,
    requestId,
    payload: { by: 'history-cut' },
  }));
  const events = [...ends, queueChanged(model, queue)];
  const rest = { ...model, queue, held: model.held && queue.length > 0 };
  const decision = decide(rest, { ...command, dropped: [] }, context);
  if (decision !== null) return { ...decision, events: [...events, ...decision.events] };
  const key =
    'commandId' in command
      ? appendKey.command(command.commandId)
      : appendKey.resumed(context.turnId);
  return { key, events, request: null, effects: [] };
}

function decideSend(
  model: ConversationModel,
  command: Extract<Command, { type: 'send' }>,
  context: DecisionContext,
): Decision | null {
  const { requestId, content, whenBusy } = command;
  if (isDecided(model, requestId)) return null;
  const { replaces, mail } = command;
  // Mail was looked at when it was accepted, and its beginning may be blank.
  const refusal = mail === undefined ? refuseContent(content) : null;
  if (refusal !== null) return reject('send', requestId, refusal);
  if (replaces?.found === false) return reject('send', requestId, 'not_found');
  const item = {
    requestId,
    turnId: context.turnId,
    content,
    attempt: 1,
    ...(replaces === undefined ? {} : { replaces: replaces.messageId }),
    ...(mail === undefined ? {} : { mail }),
  };
  if (command.gather === true) {
    const queued = enqueue(model, item, 'send', 'queue', context);
    return { ...queued, effects: [] };
  }
  if (mayStart(model, context)) {
    const started = start(model, item, 'send', context, [], replaces);
    return whenBusy === 'interrupt' ? started : givingWay(model, started, context.now);
  }
  // An idle conversation that is active elsewhere in its table is not busy: it is waited for.
  const busy = model.turn !== null || context.occupied !== 'elsewhere' || isWaiting(model);
  if (whenBusy === 'reject' && busy) return reject('send', requestId, 'busy');
  return enqueue(model, item, 'send', whenBusy === 'reject' ? 'queue' : whenBusy, context);
}

/** Whether a new message starts at once: nothing runs, the table lets it, and nothing waits before it. */
function mayStart(model: ConversationModel, context: DecisionContext): boolean {
  return model.turn === null && (context.occupied ?? null) === null && !isWaiting(model);
}

/** Whether what is in the queue waits for the table's slot. In a conversation that stands alone nothing does. */
export function isWaiting(model: ConversationModel): boolean {
  return model.tableId !== null && model.turn === null && startable(model.queue) !== undefined;
}

/** The row that is next to start: the first that is not held. */
export function startable(queue: readonly QueueItemValue[]): QueueItemValue | undefined {
  return queue.find((item) => item.held !== true);
}

/** A start that does not happen while another conversation of the table has waited for longer than since then. */
function givingWay(model: ConversationModel, started: Decision, waitedSince: string): Decision {
  return model.tableId === null ? started : { ...started, waitedSince };
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
  if (turn.outcome === null || turn.outcome === 'completed' || turn.cut === true)
    return refuse('not_retryable');
  // The store was asked before this was decided: another retry of the same end may have come in between.
  const waits = model.queue.some((item) => item.turnId === turnId);
  const runs = model.turn?.turnId === turnId && model.turn.attempt >= attempt;
  if (waits || runs) return refuse('not_retryable');
  const item = { requestId, turnId, content: turn.content, attempt };
  if (mayStart(model, context))
    return givingWay(model, start(model, item, 'retry', context, []), context.now);
  return enqueue(model, item, 'retry', 'queue', context);
}

function decideCancel(
  model: ConversationModel,
  command: Extract<Command, { type: 'cancel' }>,
  context: DecisionContext,
): Decision | null {
  const { turn } = model;
  const holds = command.holdQueue === true && startable(model.queue) !== undefined;
  const hold: NewEvent[] = holds ? [queueChanged(model, heldQueue(model.queue))] : [];
  const meant = command.turnId === null || command.turnId === turn?.turnId;
  if (turn === null || turn.cancelRequested || !meant)
    return holds
      ? { key: appendKey.command(context.turnId), events: hold, request: null, effects: [] }
      : null;
  return {
    key: appendKey.cancel(turn.turnId, turn.attempt),
    events: [...hold, ...cancelling(turn, command.by)],
    request: null,
    effects: [{ type: 'stop', turnId: turn.turnId, attempt: turn.attempt, by: command.by }],
  };
}

function decideQueueUpdate(
  model: ConversationModel,
  command: Extract<Command, { type: 'queue.update' }>,
  context: DecisionContext,
): Decision | null {
  const { commandId, requestId, change } = command;
  const item = model.queue.find((queued) => queued.requestId === requestId);
  if (item === undefined) return null;
  const others = model.queue.filter((queued) => queued !== item);
  const key = appendKey.command(commandId);
  if ('now' in change) return promote(model, item, others, command, context);
  if ('position' in change) {
    const queue = numbered(others.toSpliced(change.position, 0, item));
    return { key, events: [queueChanged(model, queue, commandId)], request: null, effects: [] };
  }
  const { content } = change;
  // The text of a retry is its turn's; one that is offered to the running turn may be there already.
  if (item.attempt > 1 || item.steer === true || refuseContent(content) !== null) return null;
  if (bytesOf(others) + utf8Bytes(content) > QUEUE_LIMIT_BYTES) return null;
  const { storedBytes: _, ...whole }: HeldItem = item;
  const edited = { ...whole, content, edited: (item.edited ?? 0) + 1 };
  const queue = model.queue.map((queued) => (queued === item ? edited : queued));
  return { key, events: [queueChanged(model, queue, commandId)], request: null, effects: [] };
}

/** To the front, and not held any more; what runs is cancelled for it. */
function promote(
  model: ConversationModel,
  item: QueueItemValue,
  others: readonly QueueItemValue[],
  { commandId, head }: Extract<Command, { type: 'queue.update' }>,
  context: DecisionContext,
): Decision {
  const key = appendKey.command(commandId);
  const { turn } = model;
  const { held: _, ...released } = item;
  const queue = numbered([{ ...released, now: true }, ...others]);
  const changed = queueChanged(model, queue, commandId);
  if (turn !== null)
    return {
      key,
      events: [changed, ...(turn.cancelRequested ? [] : cancelling(turn, 'promote'))],
      request: null,
      effects: turn.cancelRequested
        ? []
        : [{ type: 'stop', turnId: turn.turnId, attempt: turn.attempt, by: 'promote' }],
    };
  if ((context.occupied ?? null) !== null)
    return { key, events: [changed], request: null, effects: [{ type: 'want', interrupt: true }] };
  return startQueued({ model, item, rest: others, key, context, head, commandId });
}

function decideQueueRemove(
  model: ConversationModel,
  { commandId, requestId }: Extract<Command, { type: 'queue.remove' }>,
): Decision | null {
  const item = model.queue.find((queued) => queued.requestId === requestId);
  // A1: what is offered to the running turn cannot be taken back, and would have two ends.
  if (item === undefined || item.steer === true) return null;
  const queue = numbered(model.queue.filter((queued) => queued !== item));
  return {
    key: appendKey.command(commandId),
    events: [
      { type: 'chat.cancelled', turnId: item.turnId, requestId, payload: { by: 'user' } },
      queueChanged(model, queue, commandId),
    ],
    request: null,
    effects: [],
  };
}

function decideHold(
  model: ConversationModel,
  { commandId, held, head }: Extract<Command, { type: 'queue.hold' }>,
  context: DecisionContext,
): Decision | null {
  const key = appendKey.command(commandId);
  const queue = held ? heldQueue(model.queue) : releasedQueue(model.queue);
  const [first, ...rest] = queue;
  const changed = queueChanged(model, queue, commandId);
  if (held || model.turn !== null || first === undefined || isWaiting(model))
    return { key, events: [changed], request: null, effects: [] };
  if ((context.occupied ?? null) !== null)
    return { key, events: [changed], request: null, effects: [{ type: 'want', interrupt: false }] };
  return startQueued({ model, item: first, rest, key, context, head, commandId });
}

function heldQueue(queue: readonly QueueItemValue[]): QueueItemValue[] {
  return queue.map((item) => ({ ...item, held: true }));
}

function releasedQueue(queue: readonly QueueItemValue[]): QueueItemValue[] {
  return queue.map((item) => {
    const { held: _, ...released } = item;
    return released;
  });
}

/** The queue of a conversation that is read from the store: where all of it is held, each row is. */
export function openedQueue(queue: readonly QueueItemValue[], held: boolean): QueueItemValue[] {
  return held ? heldQueue(queue) : [...queue];
}

function decideRollback(
  model: ConversationModel,
  { commandId, messageId, found }: Extract<Command, { type: 'rollback' }>,
): Decision | null {
  if (model.turn !== null || (messageId !== null && !found)) return null;
  return {
    key: appendKey.command(commandId),
    events: [{ type: 'history.cut', payload: { messageId, by: 'rollback', commandId } }],
    request: null,
    effects: [],
  };
}

function decideSteered(
  model: ConversationModel,
  { requestId, taken }: Extract<Command, { type: 'steered' }>,
): Decision | null {
  const item = model.queue.find((queued) => queued.requestId === requestId);
  if (item === undefined || item.steer !== true) return null;
  const key = appendKey.steered(requestId);
  const { steer: _, ...plain } = item;
  const queue = taken
    ? numbered(model.queue.filter((queued) => queued !== item))
    : model.queue.map((queued) => (queued === item ? plain : queued));
  return {
    key,
    events: [...(taken ? [] : [notSteered(item)]), queueChanged(model, queue)],
    request: null,
    effects: [],
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
  const key = appendKey.settled(turn.turnId, turn.attempt);
  return next(model, key, context, command);
}

function decideResume(
  model: ConversationModel,
  command: Extract<Command, { type: 'resume' }>,
  context: DecisionContext,
): Decision | null {
  if (model.turn !== null) return null;
  const stored = command.stored ?? 'processing';
  const startsNothing = startable(model.queue) === undefined || (context.occupied ?? null) !== null;
  if (startsNothing && stored === 'idle') return null;
  return next(model, appendKey.resumed(context.turnId), context, command);
}

/** What follows when no turn runs any more: the first of the queue that is not held, else idle. */
function next(
  model: ConversationModel,
  key: string,
  context: DecisionContext,
  command: Extract<Command, { type: 'turn.ended' | 'resume' }>,
): Decision {
  const taken = command.taken ?? [];
  const left = model.queue.filter((item) => !taken.includes(item.requestId));
  // What the ended turn has not taken in it never will.
  const offered = left.filter((item) => item.steer === true).map(notSteered);
  const queue = numbered(
    left.map((item) => {
      const { steer: _, ...plain } = item;
      return plain;
    }),
  );
  const first = startable(queue);
  const occupied = context.occupied ?? null;
  if (first === undefined || occupied !== null)
    return {
      key,
      events: [
        ...offered,
        ...(queue.length < model.queue.length || offered.length > 0
          ? [queueChanged(model, queue)]
          : []),
        { type: 'conversation.state', payload: { state: 'idle' } },
      ],
      request: null,
      effects: occupied === null ? [] : [asksForSlot(first, occupied)],
    };
  const rest = queue.filter((item) => item !== first);
  const { head } = command;
  const started = startQueued({ model, item: first, rest, key, context, head, before: offered });
  // What it gives way to has waited longer; a conversation that was given the slot gives way to nobody, nor does what
  // was sent to interrupt.
  const given = command.type === 'resume' && command.given === true;
  return given || first.at === undefined || first.now === true
    ? started
    : givingWay(model, started, first.at);
}

/** What the table is told when it does not let `first` start. What interrupts has to be given the slot; the rest can wait. */
export function asksForSlot(
  first: QueueItemValue | undefined,
  occupied: Occupied,
): Extract<Effect, { type: 'want' | 'look' }> {
  return first?.now === true && occupied === 'elsewhere'
    ? { type: 'want', interrupt: true }
    : { type: 'look', yields: occupied === 'waiting' };
}

/** Starts what has waited. Its request's row was written when it was queued; its receipt for ever is "queued". */
function startQueued({
  model,
  item,
  rest,
  key,
  context,
  head,
  commandId,
  before = [],
}: {
  model: ConversationModel;
  item: QueueItemValue;
  rest: readonly QueueItemValue[];
  key: string;
  context: DecisionContext;
  head: Replaced | undefined;
  commandId?: string;
  before?: readonly NewEvent[];
}): Decision {
  const joined = joining(item, rest);
  const left = rest.filter((queued) => !joined.includes(queued));
  const changed = queueChanged(model, numbered(left), commandId);
  const kind = item.attempt === 1 ? 'send' : 'retry';
  const replaces = head?.messageId === item.replaces ? head : undefined;
  const own = { ...context, messageId: promptMessageId(item.turnId) };
  const started = start(model, item, kind, own, [...before, changed], replaces, joined);
  return { ...started, key, request: null };
}

/** Marks a message as mail; its text is to be completed from the mailbox, unless somebody has edited it. */
function mailIn(items: readonly Omit<QueueItemValue, 'position'>[]): {
  mail: MailMarkValue[];
  joins?: string[];
} {
  const mail = items.flatMap((item) => {
    if (item.mail === undefined) return [];
    const { messageId, from, kind } = item.mail;
    return [{ messageId, from, kind }];
  });
  return items.some((item) => item.edited !== undefined)
    ? { mail }
    : { mail, joins: items.map(({ requestId }) => requestId) };
}

/** Mail that follows mail is given to the same turn, as much of it as one may be given. A task is a prompt of its own. */
function joining(first: QueueItemValue, rest: readonly QueueItemValue[]): QueueItemValue[] {
  if (!isJoinable(first)) return [];
  const joined: QueueItemValue[] = [];
  let bytes = bytesInQueue(first);
  for (const item of rest) {
    if (item.held === true) continue;
    bytes += bytesInQueue(item) + JOINT.length;
    if (!isJoinable(item) || bytes > MAIL_QUEUE_LIMIT_BYTES) break;
    joined.push(item);
  }
  return joined;
}

function isJoinable(item: QueueItemValue): boolean {
  return isMail(item) && item.mail.kind !== 'task' && item.attempt === 1 && item.steer !== true;
}

/** Between the pieces of mail that one turn is given. */
export const JOINT = '\n\n';

/** How much mail the queue may take in. */
export function roomForMail(queue: readonly QueueItemValue[]): {
  limit: number;
  limitBytes: number;
} {
  const mail = queue.filter((item) => item.mail !== undefined);
  const places = Math.min(MAIL_QUEUE_LIMIT - mail.length, QUEUE_LIMIT - queue.length);
  const bytes = Math.min(
    MAIL_QUEUE_LIMIT_BYTES - bytesOf(mail),
    QUEUE_LIMIT_BYTES - bytesOf(queue),
  );
  return bytes <= 0
    ? { limit: 0, limitBytes: 0 }
    : { limit: Math.max(0, places), limitBytes: bytes };
}

function start(
  model: ConversationModel,
  item: Omit<QueueItemValue, 'position'>,
  kind: RequestRecord['kind'],
  context: DecisionContext,
  before: NewEvent[],
  replaces?: Replaced,
  joined: readonly QueueItemValue[] = [],
): Decision {
  const { requestId, turnId, attempt } = item;
  const scope = { turnId, attempt, requestId };
  const events: NewEvent[] = [...before];
  if (replaces?.found === true)
    events.push({
      type: 'history.cut',
      turnId,
      requestId,
      payload: { messageId: replaces.previousMessageId, by: 'edit' },
    });
  if (kind === 'send')
    events.push({
      type: 'message.created',
      turnId,
      requestId,
      payload: {
        messageId: context.messageId,
        role: 'user',
        content: item.content,
        ...storedMark(item),
        ...(item.mail === undefined ? {} : mailIn([item, ...joined])),
      },
    });
  events.push({
    type: 'chat.started',
    ...scope,
    payload: { attempt, provider: model.provider, model: model.model },
  });
  for (const each of joined)
    events.push({
      type: 'chat.steered',
      requestId: each.requestId,
      payload: { turnId, attempt },
    });
  if (model.state !== 'processing')
    events.push({ type: 'conversation.state', payload: { state: 'processing' } });
  if (kind === 'send' && !model.titled && item.mail === undefined)
    events.push({ type: 'conversation.updated', payload: { title: titleOf(item.content) } });
  return {
    key: appendKey.request(requestId),
    events,
    request: { requestId, kind, status: 'started', turnId, attempt },
    effects: [{ type: 'run', turnId, attempt }],
  };
}

function enqueue(
  model: ConversationModel,
  given: Omit<QueueItemValue, 'position'>,
  kind: RequestRecord['kind'],
  whenBusy: Exclude<WhenBusyName, 'reject'>,
  context: DecisionContext,
): Decision {
  if (
    model.queue.length >= QUEUE_LIMIT ||
    bytesOf(model.queue) + bytesInQueue(given) > QUEUE_LIMIT_BYTES
  )
    return reject(kind, given.requestId, 'queue_full');
  const { turn } = model;
  const interrupts = whenBusy === 'interrupt';
  // What replaces an earlier message cuts the history: that waits for the turn's end.
  const steers =
    whenBusy === 'steer' &&
    turn !== null &&
    !turn.cancelRequested &&
    given.replaces === undefined &&
    isWhole(given);
  const item = {
    ...given,
    at: context.now,
    ...(steers ? { steer: true } : {}),
    ...(interrupts ? { now: true as const } : {}),
  };
  const queue = numbered(interrupts ? [item, ...model.queue] : [...model.queue, item]);
  const position = interrupts ? 0 : queue.length - 1;
  const { requestId, turnId, content } = item;
  const events: NewEvent[] = [
    { type: 'chat.queued', turnId, requestId, payload: { position } },
    queueChanged(model, queue),
  ];
  const effects: Effect[] = [];
  if (whenBusy === 'steer' && !steers) events.push(notSteered(item));
  if (turn === null) {
    effects.push(
      context.occupied === 'waiting'
        ? { type: 'look', yields: true }
        : { type: 'want', interrupt: interrupts },
    );
  } else if (interrupts && !turn.cancelRequested) {
    events.push(...cancelling(turn, 'interrupt'));
    effects.push({ type: 'stop', turnId: turn.turnId, attempt: turn.attempt, by: 'interrupt' });
  } else if (steers) {
    const { attempt } = turn;
    effects.push({ type: 'steer', turnId: turn.turnId, attempt, requestId, content });
  }
  return {
    key: appendKey.request(requestId),
    events,
    request: { requestId, kind, status: 'queued', turnId, attempt: item.attempt, position },
    effects,
  };
}

function notSteered({ turnId, requestId }: { turnId: string; requestId: string }): NewEvent {
  const text =
    'The running turn takes no input in mid-turn; the message waits for the end of the turn.';
  return { type: 'notice', turnId, requestId, payload: { code: 'steer_queued', text } };
}

/** Says `held` where it changes, and where a command is answered. An empty queue holds nothing back. */
function queueChanged(
  model: ConversationModel,
  queue: QueueItemValue[],
  commandId?: string,
): NewEvent {
  const held = queue.length > 0 && startable(queue) === undefined;
  const asBefore = held === (model.held && queue.length > 0);
  return {
    type: 'queue.changed',
    payload: {
      queue,
      ...(asBefore && commandId === undefined ? {} : { held }),
      ...(commandId === undefined ? {} : { commandId }),
    },
  };
}

/**
 * How the workflow holds a row that it has read from the store: by its beginning. A whole queue is more than an activity may
 * answer (2 MiB, and 4 MiB for all the answers of a Workflow Task); `recordDecision` puts the text back in.
 */
export type HeldItem = QueueItemValue & { storedBytes?: number };

/** As much of a text as the workflow holds. */
export function beginningOf(text: string): string {
  return text.slice(0, HELD_CHARS).toWellFormed();
}

/** A row as {@link HeldItem}. Of mail there is no more than its beginning anyway. */
export function heldItem(item: QueueItemValue): HeldItem {
  if (isMail(item)) return item;
  return {
    ...item,
    content: beginningOf(item.content),
    storedBytes: utf8Bytes(item.content),
  };
}

/** Whether all of its text is here. */
export function isWhole(item: Omit<HeldItem, 'position'>): boolean {
  if (isMail(item)) return item.mail.bytes === utf8Bytes(item.content);
  return item.storedBytes === undefined || item.storedBytes === utf8Bytes(item.content);
}

/** Marks an event whose text is to be completed from the store. */
function storedMark({ storedBytes }: { content: string; storedBytes?: number }): {
  storedBytes?: number;
} {
  return storedBytes === undefined ? {} : { storedBytes };
}

function bytesInQueue(item: Omit<HeldItem, 'position'>): number {
  return isMail(item) ? item.mail.bytes : (item.storedBytes ?? utf8Bytes(item.content));
}

/** Mail as it came: what somebody has edited is a text like any other. */
function isMail<Item extends Pick<QueueItemValue, 'mail' | 'edited'>>(
  item: Item,
): item is Item & { mail: NonNullable<QueueItemValue['mail']> } {
  return item.mail !== undefined && item.edited === undefined;
}

function bytesOf(queue: readonly QueueItemValue[]): number {
  return queue.reduce((sum, queued) => sum + bytesInQueue(queued), 0);
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
  return utf8Bytes(content) > PROMPT_LIMIT_BYTES || jsonBytes(content) > PROMPT_LIMIT_JSON_BYTES
    ? 'payload_too_large'
    : null;
}

/** A row of a queue, told apart by its turn and how often it was edited. */
export function queueMark({ turnId, edited }: Pick<QueueItemValue, 'turnId' | 'edited'>): string {
  return edited === undefined ? turnId : `${turnId}#${edited}`;
}

function numbered(items: readonly Omit<QueueItemValue, 'position'>[]): QueueItemValue[] {
  return items.map(({ requestId, turnId, content, ...facts }, position) => ({
    requestId,
    turnId,
    content,
    ...facts,
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
      const { host, provider, model: providerModel, title } = event.payload;
      return {
        ...model,
        ...(title === undefined ? {} : { titled: title !== '' }),
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
      return {
        ...model,
        queue: event.payload.queue,
        held: (event.payload.held ?? model.held) && event.payload.queue.length > 0,
      };
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
  const waiting = model.held ? 'held' : 'waiting';
  const queued = model.queue.length === 0 ? '' : ` ${model.queue.length} ${waiting} in the queue.`;
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
export function parseSignal(name: CommandSignal, value: unknown): Command | null {
  const fields = value ?? {};
  if (!isRecord(fields)) return null;
  const { requestId = null, turnId = null, commandId = null, messageId = null } = fields;
  const { content, whenBusy, by, replaces = null, holdQueue } = fields;
  if (!isIdOrNull(requestId) || !isIdOrNull(turnId) || !isIdOrNull(commandId)) return null;
  if (!isIdOrNull(messageId) || !isIdOrNull(replaces)) return null;
  switch (name) {
    case 'send':
      if (requestId === null || typeof content !== 'string') return null;
      return {
        type: 'send',
        requestId,
        content,
        whenBusy: isWhenBusy(whenBusy) ? whenBusy : 'queue',
        ...(replaces === null ? {} : { replaces: unknownMessage(replaces) }),
      };
    case 'cancel':
      return {
        type: 'cancel',
        turnId,
        by: nameOf(by),
        ...(holdQueue === true ? { holdQueue } : {}),
        ...(fields['cascade'] === true ? { cascade: true } : {}),
      };
    case 'retry':
      return turnId === null ? null : { type: 'retry', turnId, requestId, turn: null };
    case 'updateQueued': {
      const change = queueChangeOf(fields);
      if (commandId === null || requestId === null || change === null) return null;
      return { type: 'queue.update', commandId, requestId, change };
    }
    case 'removeQueued':
      if (commandId === null || requestId === null) return null;
      return { type: 'queue.remove', commandId, requestId };
    case 'holdQueue': {
      const { held } = fields;
      if (commandId === null || typeof held !== 'boolean') return null;
      return { type: 'queue.hold', commandId, held };
    }
    case 'rollback':
      // "Nothing stays" must be said, not left out.
      if (commandId === null || !Object.hasOwn(fields, 'messageId')) return null;
      return { type: 'rollback', commandId, messageId, found: false };
    case 'updateConversation': {
      const set = conversationChangeOf(fields);
      return commandId === null || set === null ? null : { type: 'update', commandId, set };
    }
  }
}

/** The signals that are commands. */
export type CommandSignal =
  | 'send'
  | 'cancel'
  | 'retry'
  | 'updateQueued'
  | 'removeQueued'
  | 'holdQueue'
  | 'rollback'
  | 'updateConversation';

/** Nothing is known of it until the store was asked. */
function unknownMessage(messageId: string): Replaced {
  return { messageId, found: false, previousMessageId: null };
}

function queueChangeOf(
  fields: Record<string, unknown>,
): { content: string } | { position: number } | { now: true } | null {
  const { content, position, now } = fields;
  if (typeof content === 'string') return { content };
  if (typeof position === 'number' && Number.isSafeInteger(position) && position >= 0)
    return { position };
  return now === true ? { now } : null;
}

function conversationChangeOf(
  fields: Record<string, unknown>,
): Extract<Command, { type: 'update' }>['set'] | null {
  const { title, archived, provider, model } = fields;
  const set = {
    ...(typeof title === 'string' ? { title: characters(title, TITLE_LIMIT_CHARS) } : {}),
    ...(typeof archived === 'boolean' ? { archived } : {}),
    ...(typeof provider === 'string' && provider !== '' ? { provider } : {}),
    ...(typeof model === 'string' || model === null ? { model } : {}),
  };
  return Object.keys(set).length === 0 ? null : set;
}

/** Reads the argument of `resolveApproval` in the same spirit; its limits are those of contracts/signals.ts. */
export function parseApprovalSignal(
  value: unknown,
): (ResolveApprovalSignalValue & { by: string }) | null {
  if (!isRecord(value)) return null;
  const { approvalId, turnId, decision, by, message } = value;
  if (!isId(approvalId) || (decision !== 'allow' && decision !== 'deny')) return null;
  const said = typeof message === 'string' ? { message: message.slice(0, 4_000) } : {};
  const meant = isId(turnId) ? { turnId } : {};
  return { approvalId, ...meant, decision, by: nameOf(by), ...said };
}

/** Who asked; a signal that does not say came from an operator. */
function nameOf(by: unknown): string {
  return typeof by === 'string' && by !== '' ? by.slice(0, 64) : 'operator';
}

/** Reads the argument of `mail`: a message, a row that is to be sent again, or neither. Null: not the documented shape. */
export function parseMailSignal(value: unknown): MailSignalValue | null {
  const fields = value ?? {};
  if (!isRecord(fields)) return null;
  const { message, again } = fields;
  if (message !== undefined) {
    if (!isRecord(message)) return null;
    const { messageId, from, content, whenBusy, expiresAt } = message;
    if (!isId(messageId) || !isId(from) || typeof content !== 'string') return null;
    if (refuseContent(content) !== null) return null;
    const isTime = typeof expiresAt === 'string' && !Number.isNaN(Date.parse(expiresAt));
    return {
      message: {
        messageId,
        from,
        content,
        ...(whenBusy === 'steer' ? { whenBusy } : {}),
        ...(isTime ? { expiresAt: new Date(expiresAt).toISOString() } : {}),
      },
    };
  }
  if (again === undefined) return {};
  if (!isRecord(again)) return null;
  const { messageId, from = null } = again;
  return isId(messageId) && isIdOrNull(from) ? { again: { messageId, from } } : null;
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
