/**
 * The conversation's Workflow: a shell around `domain/conversation.ts`.
 *
 * Signals are commands, handled one after the other in the order Temporal recorded them; each decision is recorded by a
 * local activity before the model changes and before anything is done (design.md section 2). The workflow keeps no bytes
 * of the provider. It lives for ever, by Continue-As-New when idle.
 *
 * Deterministic by construction: time, ids and facts come from Temporal and from recorded activities.
 */
import {
  ActivityFailure,
  allHandlersFinished,
  condition,
  continueAsNew,
  isCancellation,
  log,
  patched,
  proxyActivities,
  proxyLocalActivities,
  setCurrentDetails,
  setHandler,
  upsertSearchAttributes,
  uuid4,
  workflowInfo,
} from '@temporalio/workflow';

import type { AttemptEnd, AttemptRef } from '../activities/live-turn.ts';
import type { MailActivities } from '../activities/mail.ts';
import type { DecisionBasis, RecordActivities, RecordAnswer } from '../activities/records.ts';
import type { TableActivities, TableWord } from '../activities/tables.ts';
import type { ClaimActivities, TurnActivities } from '../activities/turns.ts';
import type { MailSignalValue } from '../contracts/agents.ts';
import { attemptKey } from '../contracts/ids.ts';
import {
  HEARTBEAT_TIMEOUT_MS,
  HISTORY_EVENTS_LIMIT_IN_TURN,
  HISTORY_LIMIT_BYTES,
  TURN_ACTIVITY_LIMIT_MS,
} from '../contracts/limits.ts';
import { ATTEMPT_UNKNOWN, CLAIM_TASK_QUEUE, hostTaskQueue, SIGNAL } from '../contracts/names.ts';
import type {
  ConversationInputValue,
  ResolveApprovalSignalValue,
  WorkflowSnapshotValue,
} from '../contracts/signals.ts';
import {
  apply,
  askedBySend,
  asksForSlot,
  type Command,
  type CommandSignal,
  type ConversationModel,
  decide,
  type Decision,
  describe,
  type Effect,
  type HeldItem,
  isWaiting,
  isWhole,
  newConversation,
  type Occupied,
  openedQueue,
  parseApprovalSignal,
  parseMailSignal,
  parseSignal,
  queueMark,
  type Replaced,
  roomForMail,
  startable,
} from '../domain/conversation.ts';
import { promptMessageId, turnIdOf } from '../domain/turn-ids.ts';
import { takeInOrderOfArrival } from './arrival-order.ts';
import {
  cancelSignal,
  holdQueueSignal,
  mailSignal,
  providerAttribute,
  quietAttribute,
  quietSignal,
  removeQueuedSignal,
  reopenSignal,
  resolveApprovalSignal,
  retrySignal,
  rollbackSignal,
  sendSignal,
  snapshotQuery,
  stateAttribute,
  tableAttribute,
  turnStartedAtAttribute,
  updateConversationSignal,
  updateQueuedSignal,
} from './definitions.ts';
import { isLongRun } from './run-length.ts';

/** What one run of the workflow hands to the next, or what the gateway starts the first with. */
export type ConversationRunInput = ConversationInputValue & {
  carried?: ConversationModel;
  mailLeft?: MailLeft;
};

/** There is mail that the queue had no room for; there is some that waits for the end of a turn. */
type MailLeft = { more: boolean; waits: boolean };

// The store may be busy or full for a while: a recorded Signal waits for it, however long (A1).
const records = proxyLocalActivities<
  RecordActivities & Pick<TableActivities, 'tellTable'> & MailActivities
>({
  startToCloseTimeout: '30 seconds',
  retry: { initialInterval: '50 ms', maximumInterval: '2 seconds' },
});

const claims = proxyActivities<ClaimActivities>({
  taskQueue: CLAIM_TASK_QUEUE,
  startToCloseTimeout: '10 seconds',
  retry: { initialInterval: '200 ms', maximumInterval: '5 seconds' },
  summary: 'find a turn host',
});

/** Activities of one host. A heartbeat each second shows that it lives; how long a turn may run is custody's to say. */
function hostActivities(host: string, summary: string) {
  return proxyActivities<TurnActivities>({
    taskQueue: hostTaskQueue(host),
    scheduleToCloseTimeout: TURN_ACTIVITY_LIMIT_MS,
    heartbeatTimeout: HEARTBEAT_TIMEOUT_MS,
    // Retrying attaches; it never runs a provider twice. See activities/turns.ts.
    retry: { initialInterval: '100 ms', backoffCoefficient: 1.5, maximumInterval: '2 seconds' },
    summary,
  });
}

function shortHostActivities(host: string, summary: string) {
  return proxyActivities<TurnActivities>({
    taskQueue: hostTaskQueue(host),
    startToCloseTimeout: '10 seconds',
    retry: { initialInterval: '100 ms', maximumInterval: '2 seconds' },
    summary,
  });
}

type InboxItem =
  | Command
  | { type: 'reopen' }
  | ({ type: 'mail'; waiting: boolean } & MailSignalValue)
  | ({ type: 'approval' } & ResolveApprovalSignalValue)
  | { type: 'host'; host: string };

/** One conversation, from its creation on. Workflow Id `conversation:<id>`. */
export async function conversation(input: ConversationRunInput): Promise<void> {
  await new ConversationRun(input).run();
}

class ConversationRun {
  readonly #input: ConversationRunInput;
  /** Made before anything is decided: the same whenever this run is carried out again. */
  readonly #salt = uuid4();
  readonly #inbox: InboxItem[] = [];
  #model: ConversationModel;
  /** Attempts whose activity is running or about to, `<turnId>.<attempt>`. An ended one may linger until its activity has told. */
  readonly #running = new Set<string>();
  /** requestIds that this run has offered to their turn. */
  readonly #offered = new Set<string>();
  #shownState = '';
  /** The attempt whose provider is silent, `<turnId>.<attempt>`. */
  #quiet: string | null = null;
  #shownQuiet = false;
  /** Cancels and answers on their way to the host: they would be lost with this run. */
  #errands = 0;
  /** Of what waits no watch tells: it goes from one run to the next. */
  #mailLeft: MailLeft = { more: false, waits: false };
  /** Of the turn that has ended last: whether it ended well, and nobody had asked for its end. */
  #endedWell = false;
  /** Children that were told of a cancel by cascade, until the turn that it meant has ended; null: there is none. */
  #toldOfCascade: string[] | null = null;
  /** What the table is to be told, once what it follows from is recorded. */
  #words: TableWord[] = [];

  constructor(input: ConversationRunInput) {
    this.#input = input;
    const { conversationId, carried, mailLeft } = input;
    if (mailLeft !== undefined) this.#mailLeft = mailLeft;
    // A model that was carried over from before there were tables lacks what they brought.
    this.#model = {
      ...newConversation({ conversationId, provider: '', model: null }),
      ...carried,
    };
    // Before any await: a signal that came with the start must find its handler.
    takeInOrderOfArrival((name, value) => this.#takeByName(name, value));
    setHandler(sendSignal, (value) => this.#take('send', value));
    setHandler(cancelSignal, (value) => this.#take('cancel', value));
    setHandler(retrySignal, (value) => this.#take('retry', value));
    setHandler(updateQueuedSignal, (value) => this.#take('updateQueued', value));
    setHandler(removeQueuedSignal, (value) => this.#take('removeQueued', value));
    setHandler(holdQueueSignal, (value) => this.#take('holdQueue', value));
    setHandler(rollbackSignal, (value) => this.#take('rollback', value));
    setHandler(updateConversationSignal, (value) => this.#take('updateConversation', value));
    setHandler(resolveApprovalSignal, (value) => this.#takeApproval(value));
    setHandler(quietSignal, (value) => this.#takeQuiet(value));
    setHandler(reopenSignal, () => this.#takeReopen());
    setHandler(mailSignal, (value) => this.#takeMailSignal(value));
    setHandler(snapshotQuery, () => this.#snapshot());
  }

  async run(): Promise<never> {
    if (this.#input.carried === undefined) await this.#open(this.#input);
    if (this.#words.length > 0) await this.#tellTable();
    this.#show();
    for (;;) {
      await condition(() => this.#inbox.length > 0 || this.#mayContinueAsNew());
      const item = this.#inbox.shift();
      if (item === undefined) return this.#continueAsNew();
      // Local activities are called from here alone, one at a time: of two that run at once the order in which they end
      // is not in the history, and what follows from it would not replay.
      if (item.type === 'approval') {
        if ((item.turnId ?? null) !== this.#model.turn?.turnId) await this.#lookAhead();
        this.#answer(item);
      } else if (item.type === 'host') await this.#pinTo(item.host);
      else if (item.type === 'reopen')
        await this.#open({ conversationId: this.#model.conversationId }, { given: true });
      else if (item.type === 'mail') await this.#takeMail(item);
      else {
        await this.#handle(item);
        if (this.#hasTeamWord(item)) await this.#tellTeam(item);
        if (item.type === 'turn.ended') this.#takeMailLeft();
      }
      // Neither is awaited for nothing: a turn would be started before its state is shown, and old histories have it after.
      if (this.#words.length > 0) await this.#tellTable();
      this.#show();
    }
  }

  /** What runs or waits, the next run reads from the store. */
  #continueAsNew(): Promise<never> {
    const { conversationId, queue, turn } = this.#model;
    const isIdle = queue.length === 0 && turn === null && this.#running.size === 0;
    const { more, waits } = this.#mailLeft;
    const mailLeft = more || waits ? { mailLeft: this.#mailLeft } : {};
    return continueAsNew<typeof conversation>(
      isIdle
        ? { conversationId, carried: this.#model, ...mailLeft }
        : { conversationId, ...mailLeft },
    );
  }

  #takeByName(name: string, value: unknown): void {
    if (name === SIGNAL.resolveApproval) this.#takeApproval(value);
    else if (name === SIGNAL.quiet) this.#takeQuiet(value);
    else if (name === SIGNAL.reopen) this.#takeReopen();
    else if (name === SIGNAL.mail) this.#takeMailSignal(value);
    else if (isCommandSignal(name)) this.#take(name, value);
    else log.warn('a signal of an unknown name was ignored', { name });
  }

  #takeMailSignal(value: unknown): void {
    const mail = parseMailSignal(value);
    if (mail === null)
      log.warn('a signal without the documented shape was ignored', { name: SIGNAL.mail });
    // One look sees all that is there.
    else if (
      !isBareLook(mail) ||
      !this.#inbox.some((item) => item.type === 'mail' && isBareLook(item))
    )
      this.#inbox.push({ ...mail, type: 'mail', waiting: false });
  }

  /** Records what came, and takes from the mailbox what the queue has room for: each row is a send. */
  async #takeMail(look: Extract<InboxItem, { type: 'mail' }>): Promise<void> {
    const { message, again, waiting } = look;
    const { conversationId, queue } = this.#model;
    const { behind, items, more, waits } = await records.takeMail({
      conversationId,
      basis: this.#basis(),
      ...(message === undefined ? {} : { message }),
      ...(again === undefined ? {} : { again }),
      ...roomForMail(queue),
      waiting,
    });
    if (behind === true) {
      await this.#open({ conversationId });
      this.#inbox.unshift(look);
      return;
    }
    // Else, where nothing runs any more, the first would be given a turn of its own, and the others the next.
    const waitsForSlot = this.#model.turn === null && startable(queue) !== undefined;
    const gathers =
      items.length > 1 && !waitsForSlot && items.every(({ whenBusy }) => whenBusy === 'queue');
    for (const item of items)
      await this.#handle({ ...item, type: 'send', ...(gathers ? { gather: true } : {}) });
    if (gathers && this.#model.turn === null)
      await this.#handle({ type: 'resume', stored: 'idle' });
    this.#mailLeft = { more, waits };
  }

  /** Whether others of the team must hear of a command that was handled. */
  #hasTeamWord(command: Command): boolean {
    const isCascade = command.type === 'cancel' && command.cascade === true;
    const hasToTell = this.#toldOfCascade !== null || this.#model.parentId != null;
    return isCascade || (command.type === 'turn.ended' && hasToTell);
  }

  async #tellTeam(command: Command): Promise<void> {
    const { conversationId, parentId } = this.#model;
    if (command.type === 'cancel')
      this.#toldOfCascade = await records.tellChildren({ conversationId, but: [] });
    else if (this.#toldOfCascade !== null) {
      // What it made while it was being cancelled.
      await records.tellChildren({ conversationId, but: this.#toldOfCascade });
      this.#toldOfCascade = null;
    }
    if (command.type === 'turn.ended' && parentId != null)
      await records.tellMailbox({ conversationId: parentId });
  }

  /** A turn has ended: mail that there was no room for, or that waits for such an end, can be taken now. */
  #takeMailLeft(): void {
    const { more, waits } = this.#mailLeft;
    const waiting = waits && this.#endedWell;
    if (more || waiting) this.#inbox.push({ type: 'mail', waiting });
  }

  #takeReopen(): void {
    if (patched('reopen')) this.#inbox.push({ type: 'reopen' });
  }

  #take(name: CommandSignal, value: unknown): void {
    const command = parseSignal(name, value);
    if (command === null) log.warn('a signal without the documented shape was ignored', { name });
    else this.#inbox.push(command);
  }

  /** An answer without the documented shape would be refused by the store for ever, and the turn with it. */
  #takeApproval(value: unknown): void {
    const answer = parseApprovalSignal(value);
    if (answer === null) {
      log.warn('a signal without the documented shape was ignored', { name: 'resolveApproval' });
      return;
    }
    this.#inbox.push({ ...answer, type: 'approval' });
  }

  /** For operators alone: it may come late, twice or never. */
  #takeQuiet(value: unknown): void {
    // A worker of an earlier version had no ear for it: its histories hold the signal and nothing that follows from it.
    if (!patched('quiet')) return;
    const { turnId, attempt, quiet } = Object.assign(
      { turnId: '', attempt: 0, quiet: false },
      value,
    );
    this.#quiet = quiet ? attemptKey(turnId, attempt) : null;
    this.#showQuiet();
  }

  /**
   * Reads the store's state; a turn that runs there is run here (it is found running, or ended). `given`: somebody has said
   * that what waits here may start.
   */
  async #open(input: ConversationInputValue, { given } = { given: false }): Promise<void> {
    const start = await records.openConversation(input);
    const { provider, model, host, turn, queue, tableId, title, held, parentId } = start;
    this.#model = {
      ...this.#model,
      tableId,
      parentId: parentId ?? null,
      titled: title !== '',
      provider,
      model,
      host,
      turn,
      queue: openedQueue(queue, held ?? false),
      held: held ?? false,
      state: turn === null ? 'idle' : turn.cancelRequested ? 'cancelled' : 'processing',
    };
    if (start.mailLeft === true) this.#mailLeft = { more: true, waits: true };
    upsertSearchAttributes([
      { key: providerAttribute, value: provider },
      { key: tableAttribute, value: start.tableId },
    ]);
    if (host === null) void this.#claimHost();
    if (turn === null) {
      // The last turn ended while nobody was there to settle it: what waits is started, or the state recorded as idle.
      if (queue.length > 0 || start.state === 'processing' || start.state === 'cancelled')
        // One that has not settled its last end may have been taken to be waiting; it gives way as after any end.
        await this.#handle({
          type: 'resume',
          stored: start.state,
          given: given && start.state === 'idle',
        });
      return;
    }
    const { turnId, attempt } = turn;
    this.#perform({ type: 'run', turnId, attempt });
    if (turn.cancelRequested) this.#perform({ type: 'stop', turnId, attempt, by: 'user' });
    // Whoever offered these may have died before the host was asked; asked twice, it says the same.
    for (const item of queue) {
      const { steer, requestId, content } = item;
      // A long one is not here in whole: it runs by itself when the turn has ended.
      if (steer === true && isWhole(item))
        this.#perform({ type: 'steer', turnId, attempt, requestId, content });
    }
  }

  async #claimHost(): Promise<void> {
    const { host } = await claims.claimHost();
    this.#inbox.push({ type: 'host', host });
  }

  async #pinTo(host: string): Promise<void> {
    const { conversationId } = this.#model;
    await records.recordDecision({
      conversationId,
      key: `host:${host}`,
      events: [{ type: 'conversation.updated', conversationId, payload: { host } }],
      request: null,
      unlessEnded: null,
    });
    this.#model = { ...this.#model, host };
  }

  /**
   * A task that is carried out again, because its worker died, hears what was signalled before it hears the ends of turns: the store may
   * know of a turn, a row or an end that this run has not come to yet, and what is asked about that would be asked about nothing. To
   * be called before nothing is done about a command: what is recorded is held against the store anyway.
   */
  async #lookAhead(): Promise<void> {
    if (!patched('look-ahead')) return;
    const { conversationId } = this.#model;
    if (await records.hasGoneOn({ conversationId, basis: this.#basis() }))
      await this.#open({ conversationId });
  }

  /** Decides, records, applies, acts: in this order, and no command before the one before it is done. */
  async #handle(command: Command): Promise<void> {
    const completed = await this.#complete(command);
    let occupied: Occupied | null = null;
    for (;;) {
      const asked = await this.#withQueueFacts(completed);
      const { turn } = this.#model;
      // The end of the running turn may be in the log before its activity has told us: then it is settled first,
      // so that whoever has seen `chat.done` finds the conversation free. Mail that is gathered goes before that end: settled
      // in the midst of it, what is taken together would be given to two turns.
      const isDecidedAnyway =
        asked.type === 'turn.ended' ||
        asked.type === 'resume' ||
        (asked.type === 'send' && asked.gather === true);
      const guard = isDecidedAnyway ? null : turn;
      const answer = await this.#decideAndRecord({ command: asked, guard, occupied });
      const refusal = occupationOf(answer);
      if (refusal !== null) {
        // Decided again, on that: it waits, and the table is told. What waits starts nothing, so this ends.
        occupied = refusal;
        // There is nothing to record: it was told to look, and somebody else was quicker.
        if (asked.type === 'resume' && asked.stored === 'idle') {
          this.#perform(asksForSlot(startable(this.#model.queue), refusal));
          return;
        }
      } else if (answer === 'ended' && turn !== null) {
        // What interrupts goes before everything that waits; settled first, the head of the queue would be started, only
        // to be cancelled. What is held must not be started by that end. There is nothing left to stop.
        const first = goesBeforeTheEnd(asked);
        const ended = { ...this.#model, turn: { ...turn, cancelRequested: true } };
        const done = first
          ? await this.#decideAndRecord({ command: asked, model: ended, guard: null, occupied })
          : answer;
        await this.#handle({ type: 'turn.ended', turnId: turn.turnId, attempt: turn.attempt });
        if (done === 'recorded') return;
        occupied = null;
      } else if (answer === 'known' || answer === 'behind') {
        await this.#open({ conversationId: this.#model.conversationId });
        this.#sayAgain(command);
        if (answer === 'known') return;
        occupied = null;
      } else return;
    }
  }

  /** An earlier run of this task may have put what interrupts into the queue, and died before the table was told. */
  #sayAgain(command: Command): void {
    const asks =
      (command.type === 'send' && command.whenBusy === 'interrupt') ||
      (command.type === 'queue.update' && 'now' in command.change);
    const { queue, conversationId } = this.#model;
    const isThere = queue.some(
      (item) => asks && item.requestId === command.requestId && item.now === true,
    );
    if (isThere && isWaiting(this.#model))
      this.#words.push({ name: 'wantSlot', conversationId, interrupt: true });
  }

  /**
   * The command with what must not change between two looks at it: a cancel means the turn that runs when it is taken up.
   */
  async #complete(command: Command): Promise<Command> {
    const { conversationId, turn, queue } = this.#model;
    switch (command.type) {
      case 'retry': {
        const { turnId } = command;
        return { ...command, turn: await records.lookUpTurn({ conversationId, turnId }) };
      }
      case 'cancel':
        if (command.turnId !== turn?.turnId) await this.#lookAhead();
        return { ...command, turnId: command.turnId ?? this.#model.turn?.turnId ?? null };
      case 'send': {
        const { replaces, whenBusy } = command;
        const found =
          replaces === undefined
            ? {}
            : { replaces: await this.#lookUpReplaced(replaces.messageId) };
        // In histories of earlier versions a message that should steer was queued, and nothing else followed.
        const steers = whenBusy !== 'steer' || patched('steer');
        return { ...command, ...found, whenBusy: steers ? whenBusy : 'queue' };
      }
      case 'queue.update':
      case 'queue.remove':
        if (!queue.some(({ requestId }) => requestId === command.requestId))
          await this.#lookAhead();
        return command;
      case 'rollback': {
        const { messageId } = command;
        if (turn !== null) await this.#lookAhead();
        if (messageId === null) return { ...command, found: true };
        const { kept } = await records.lookUpMessage({ conversationId, messageId });
        return { ...command, found: kept };
      }
      default:
        return command;
    }
  }

  /** The command with what the store knows of the queue that it may start something of. */
  async #withQueueFacts(command: Command): Promise<Command> {
    const { conversationId, queue } = this.#model;
    switch (command.type) {
      case 'turn.ended':
      case 'resume': {
        const asked = await this.#withoutCut(command);
        const requestIds = queue.flatMap((item) => (item.steer === true ? [item.requestId] : []));
        const taken =
          requestIds.length === 0
            ? []
            : await records.takenBySteering({ conversationId, requestIds });
        const gone = [...taken, ...(asked.dropped ?? [])];
        const left = queue.filter((item) => !gone.includes(item.requestId));
        return this.#withHead({ ...asked, taken }, startable(left)?.replaces);
      }
      case 'queue.hold': {
        const asked = await this.#withoutCut(command);
        const left = queue.filter((item) => asked.dropped?.includes(item.requestId) !== true);
        return this.#withHead(asked, left[0]?.replaces);
      }
      case 'queue.update': {
        if (!('now' in command.change)) return command;
        const item = queue.find(({ requestId }) => requestId === command.requestId);
        return this.#withHead(await this.#withoutCut(command), item?.replaces);
      }
      default:
        return command;
    }
  }

  /** With the retries in the queue whose turn has been cut from the history since: they are not run any more. */
  async #withoutCut<C extends Command>(command: C): Promise<C & { dropped?: readonly string[] }> {
    const { conversationId, queue } = this.#model;
    const retries = queue.filter(({ attempt }) => attempt > 1);
    if (retries.length === 0 || !patched('cut-retries')) return command;
    const turnIds = retries.map(({ turnId }) => turnId);
    const cut = await records.cutTurns({ conversationId, turnIds });
    const dropped = retries.flatMap((item) => (cut.includes(item.turnId) ? [item.requestId] : []));
    return dropped.length === 0 ? command : { ...command, dropped };
  }

  async #withHead<C extends Command>(command: C, messageId: string | undefined): Promise<C> {
    return messageId === undefined
      ? command
      : { ...command, head: await this.#lookUpReplaced(messageId) };
  }

  async #lookUpReplaced(messageId: string): Promise<Replaced> {
    const { conversationId } = this.#model;
    const { kept: _, ...replaced } = await records.lookUpMessage({ conversationId, messageId });
    return replaced;
  }

  /** Null: there is nothing to record. */
  async #decideAndRecord({
    command,
    model = this.#model,
    guard,
    occupied,
  }: {
    command: Command;
    model?: ConversationModel;
    guard: ConversationModel['turn'];
    occupied: Occupied | null;
  }): Promise<RecordAnswer | null> {
    const decision = decide(model, command, {
      now: new Date().toISOString(),
      ...this.#idsFor(model, command),
      occupied,
    });
    if (decision === null) return null;
    const answer = await this.#record(decision, command, guard);
    if (answer !== 'recorded' && answer !== 'recorded-others-wait') return answer;
    const { length } = this.#words;
    this.#applyAll(decision);
    if (answer === 'recorded-others-wait') {
      // It had its turn: what comes here from now on has waited less.
      const yields = isWaiting(this.#model) ? null : this.#model.conversationId;
      // Before what the decision itself has to say, which knows better.
      this.#words.splice(length, 0, { name: 'look', yields });
    }
    return 'recorded';
  }

  /** Never by the order of decisions; see domain/turn-ids.ts. What is started is the send itself, or the head of the queue. */
  #idsFor(model: ConversationModel, command: Command): { turnId: string; messageId: string } {
    const { conversationId, queue } = model;
    if (command.type === 'send') {
      const { requestId } = command;
      const turnId = turnIdOf({ salt: this.#salt, conversationId, requestId });
      return { turnId, messageId: promptMessageId(turnId) };
    }
    const turnId = freshId();
    return { turnId, messageId: promptMessageId(queue[0]?.turnId ?? turnId) };
  }

  async #record(
    decision: Decision,
    command: Command,
    guard: ConversationModel['turn'],
  ): ReturnType<RecordActivities['recordDecision']> {
    const { conversationId, tableId } = this.#model;
    const leaves = decision.events.some(
      (event) => event.type === 'conversation.state' && event.payload.state === 'idle',
    );
    // What tells a repeat of a request from a reuse of its id.
    const content =
      command.type === 'send'
        ? askedBySend({ content: command.content, replaces: command.replaces?.messageId })
        : 'turnId' in command
          ? (command.turnId ?? '')
          : '';
    return records.recordDecision({
      conversationId,
      key: decision.key,
      events: decision.events.map((event) => ({ ...event, conversationId })),
      request: decision.request === null ? null : { ...decision.request, content },
      unlessEnded: guard === null ? null : { turnId: guard.turnId, attempt: guard.attempt },
      basis: this.#basis(),
      ...(tableId === null || decision.waitedSince === undefined
        ? {}
        : { waitedSince: decision.waitedSince }),
      ...(tableId === null || !leaves ? {} : { leaves: tableId }),
    });
  }

  #basis(): DecisionBasis {
    const { turn, queue, held } = this.#model;
    return {
      turn: turn === null ? null : { turnId: turn.turnId, attempt: turn.attempt },
      queue: queue.map(queueMark),
      held,
    };
  }

  #applyAll(decision: Decision): void {
    const now = new Date().toISOString();
    for (const event of decision.events) this.#model = apply(this.#model, event, now);
    for (const effect of decision.effects) this.#perform(effect);
  }

  #perform(effect: Effect): void {
    switch (effect.type) {
      case 'want':
        this.#words.push({
          name: 'wantSlot',
          conversationId: this.#model.conversationId,
          interrupt: effect.interrupt,
        });
        return;
      case 'look':
        this.#words.push({
          name: 'look',
          yields: effect.yields ? this.#model.conversationId : null,
        });
        return;
      case 'stop':
        void this.#stop(effect);
        return;
      case 'steer':
        void this.#steer(effect);
        return;
      case 'run':
        this.#start(effect);
        return;
    }
  }

  /** The last word of each kind is enough: the table looks at the store. */
  async #tellTable(): Promise<void> {
    const { tableId } = this.#model;
    const words = this.#words;
    this.#words = [];
    if (tableId === null) return;
    const wants = words.filter(({ name }) => name === 'wantSlot');
    const interrupts = wants.find((word) => word.name === 'wantSlot' && word.interrupt);
    const looks = words.filter(({ name }) => name === 'look');
    // An interrupt before all; but who gives way does so before something else of it wants the slot.
    const plain = interrupts === undefined ? wants.at(-1) : undefined;
    for (const word of [interrupts, looks.at(-1), plain])
      if (word !== undefined) await records.tellTable({ tableId, word });
  }

  #start({ turnId, attempt }: { turnId: string; attempt: number }): void {
    const key = attemptKey(turnId, attempt);
    if (this.#running.has(key)) return;
    this.#running.add(key);
    void this.#runTurn({ turnId, attempt });
  }

  async #runTurn({ turnId, attempt }: { turnId: string; attempt: number }): Promise<void> {
    const { conversationId } = this.#model;
    await condition(() => this.#model.host !== null);
    const end = await this.#awaitEnd({ conversationId, turnId, attempt });
    log.info('turn ended', { turnId, attempt, ...end });
    this.#running.delete(attemptKey(turnId, attempt));
    const { turn } = this.#model;
    const wasCancelled = turn?.turnId === turnId && turn.cancelRequested;
    this.#endedWell = end.outcome === 'completed' && !wasCancelled;
    if (end.cause === ATTEMPT_UNKNOWN) {
      // What this model remembers beside it the store does not know either: what is asked again is to be decided again.
      this.#model = { ...this.#model, recent: [] };
      this.#inbox.push({ type: 'reopen' });
    } else this.#inbox.push({ type: 'turn.ended', turnId, attempt });
  }

  /** The turn's activity to its end. One that outlasts its limit is cancelled, and then waited for again. */
  async #awaitEnd(ref: AttemptRef): Promise<AttemptEnd> {
    for (;;) {
      const summary = `turn ${ref.turnId}, attempt ${ref.attempt}`;
      try {
        return await hostActivities(this.#model.host ?? '', summary).runTurn(ref);
      } catch (error) {
        if (!(error instanceof ActivityFailure) || isCancellation(error)) throw error;
        log.warn('a turn was stopped by its limit', { ...ref, error: error.message });
        await this.#stop({
          type: 'stop',
          turnId: ref.turnId,
          attempt: ref.attempt,
          by: 'time limit',
        });
      }
    }
  }

  async #stop(effect: Extract<Effect, { type: 'stop' }>): Promise<void> {
    const { conversationId } = this.#model;
    // Without a host the attempt has not begun; the recorded cancel keeps it from beginning when one comes.
    await condition(() => this.#model.host !== null);
    const { turnId, attempt, by } = effect;
    this.#errands += 1;
    await shortHostActivities(this.#model.host ?? '', `cancel turn ${turnId}`).stopTurn({
      conversationId,
      turnId,
      attempt,
      by,
    });
    this.#errands -= 1;
  }

  /** Offers a queued message to the running turn, and waits for what becomes of it. */
  async #steer(effect: Extract<Effect, { type: 'steer' }>): Promise<void> {
    const { conversationId } = this.#model;
    const { turnId, attempt, requestId, content } = effect;
    if (this.#offered.has(requestId)) return;
    this.#offered.add(requestId);
    await condition(() => this.#model.host !== null);
    const summary = `give message ${requestId} to turn ${turnId}`;
    const request = { conversationId, turnId, attempt, requestId, content };
    try {
      const answer = await hostActivities(this.#model.host ?? '', summary).steerTurn(request);
      this.#inbox.push({ type: 'steered', requestId, taken: answer === 'taken' });
    } catch (error) {
      if (!(error instanceof ActivityFailure) || isCancellation(error)) throw error;
      // Nobody knows whether it was taken: the end of the turn will tell.
      log.warn('a message was not given to its turn', { turnId, requestId, error: error.message });
    }
  }

  #answer(item: ResolveApprovalSignalValue): void {
    const { turn, host, conversationId } = this.#model;
    if (turn === null || host === null) return;
    const { approvalId, decision, by, message } = item;
    this.#errands += 1;
    void shortHostActivities(host, `answer approval ${approvalId}`)
      .answerApproval({
        conversationId,
        turnId: turn.turnId,
        attempt: turn.attempt,
        approvalId,
        decision,
        by: by ?? 'operator',
        message: message ?? null,
      })
      .then(() => {
        this.#errands -= 1;
      });
  }

  #mayContinueAsNew(): boolean {
    if (this.#model.host === null || this.#errands > 0 || !allHandlersFinished()) return false;
    // In mid-turn: the next run finds the turn running, in the store and on its host.
    const { historySize, historyLength } = workflowInfo();
    if (historySize > HISTORY_LIMIT_BYTES) return true;
    // A run takes 10,000 signals and then no more, not even a cancel.
    if (historyLength > HISTORY_EVENTS_LIMIT_IN_TURN && patched('long-turn')) return true;
    return this.#model.turn === null && this.#running.size === 0 && isLongRun();
  }

  /** The state in words and in search attributes, for the Temporal Web UI. */
  #show(): void {
    setCurrentDetails(this.#inWords());
    const { state, turn } = this.#model;
    this.#showQuiet();
    if (state === this.#shownState) return;
    this.#shownState = state;
    upsertSearchAttributes([
      { key: stateAttribute, value: state },
      { key: turnStartedAtAttribute, value: turn === null ? null : new Date(turn.startedAt) },
    ]);
  }

  #showQuiet(): void {
    const quiet = this.#isQuiet();
    if (quiet === this.#shownQuiet) return;
    this.#shownQuiet = quiet;
    setCurrentDetails(this.#inWords());
    upsertSearchAttributes([{ key: quietAttribute, value: quiet }]);
  }

  #isQuiet(): boolean {
    const { turn } = this.#model;
    return turn !== null && this.#quiet === attemptKey(turn.turnId, turn.attempt);
  }

  #inWords(): string {
    const words = describe(this.#model);
    return this.#isQuiet() ? `${words} Its provider has fallen silent.` : words;
  }

  #snapshot(): WorkflowSnapshotValue {
    const { conversationId, state, turn, queue, held, host } = this.#model;
    return {
      conversationId,
      state,
      turn:
        turn === null
          ? null
          : {
              turnId: turn.turnId,
              attempt: turn.attempt,
              requestId: turn.requestId,
              startedAt: turn.startedAt,
            },
      // Whole prompts may be larger than what a query may answer (2 MiB); they are in the log.
      queue: queue.map((row) => {
        const { storedBytes: _, ...item }: HeldItem = row;
        return { ...item, content: item.content.slice(0, 200) };
      }),
      held,
      host,
      inWords: this.#inWords(),
    };
  }
}

const NO_COMMANDS: readonly string[] = [
  SIGNAL.resolveApproval,
  SIGNAL.quiet,
  SIGNAL.reopen,
  SIGNAL.mail,
];

/** Says nothing but "look". */
function isBareLook(mail: MailSignalValue & { waiting?: boolean }): boolean {
  return mail.message === undefined && mail.again === undefined && mail.waiting !== true;
}

function isCommandSignal(name: string): name is CommandSignal {
  return Object.hasOwn(SIGNAL, name) && !NO_COMMANDS.includes(name);
}

/** Whether a command that finds the running turn ended is decided before that end is settled. */
function goesBeforeTheEnd(command: Command): boolean {
  switch (command.type) {
    case 'send':
      return command.whenBusy === 'interrupt';
    case 'cancel':
      return command.holdQueue === true;
    case 'queue.hold':
      return command.held;
    default:
      return false;
  }
}

/** Why the table did not let a turn start; null: it was not that. */
function occupationOf(answer: RecordAnswer | null): Occupied | null {
  switch (answer) {
    case 'occupied-running':
      return 'running';
    case 'occupied-elsewhere':
      return 'elsewhere';
    case 'occupied-waiting':
      return 'waiting';
    default:
      return null;
  }
}

/** For what no request names, such as a beginning from the store's state. */
function freshId(): string {
  return `t${uuid4().replaceAll('-', '')}`;
}
