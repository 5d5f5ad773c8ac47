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
import type { RecordActivities, RecordAnswer } from '../activities/records.ts';
import type { ClaimActivities, TurnActivities } from '../activities/turns.ts';
import { attemptKey } from '../contracts/ids.ts';
import {
  HEARTBEAT_TIMEOUT_MS,
  HISTORY_EVENTS_LIMIT,
  TURN_ACTIVITY_LIMIT_MS,
} from '../contracts/limits.ts';
import { CLAIM_TASK_QUEUE, hostTaskQueue } from '../contracts/names.ts';
import type {
  ConversationInputValue,
  ResolveApprovalSignalValue,
  WorkflowSnapshotValue,
} from '../contracts/signals.ts';
import {
  apply,
  type Command,
  type ConversationModel,
  decide,
  type Decision,
  describe,
  type Effect,
  newConversation,
  parseApprovalSignal,
  parseSignal,
} from '../domain/conversation.ts';
import { promptMessageId, turnIdOf } from '../domain/turn-ids.ts';
import {
  cancelSignal,
  providerAttribute,
  quietAttribute,
  quietSignal,
  reopenSignal,
  resolveApprovalSignal,
  retrySignal,
  sendSignal,
  snapshotQuery,
  stateAttribute,
  tableAttribute,
  turnStartedAtAttribute,
} from './definitions.ts';

/** What one run of the workflow hands to the next, or what the gateway starts the first with. */
export type ConversationRunInput = ConversationInputValue & { carried?: ConversationModel };

// The store may be busy or full for a while: a recorded Signal waits for it, however long (A1).
const records = proxyLocalActivities<RecordActivities>({
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
  #shownState = '';
  /** The attempt whose provider is silent, `<turnId>.<attempt>`. */
  #quiet: string | null = null;
  #shownQuiet = false;

  constructor(input: ConversationRunInput) {
    this.#input = input;
    this.#model =
      input.carried ??
      newConversation({ conversationId: input.conversationId, provider: '', model: null });
    // Before any await: a signal that came with the start must find its handler.
    setHandler(sendSignal, (value) => this.#take('send', value));
    setHandler(cancelSignal, (value) => this.#take('cancel', value));
    setHandler(retrySignal, (value) => this.#take('retry', value));
    setHandler(resolveApprovalSignal, (value) => this.#takeApproval(value));
    setHandler(quietSignal, (value) => this.#takeQuiet(value));
    setHandler(reopenSignal, () => {
      if (patched('reopen')) this.#inbox.push({ type: 'reopen' });
    });
    setHandler(snapshotQuery, () => this.#snapshot());
  }

  async run(): Promise<never> {
    if (this.#input.carried === undefined) await this.#open(this.#input);
    this.#show();
    for (;;) {
      await condition(() => this.#inbox.length > 0 || this.#mayContinueAsNew());
      const item = this.#inbox.shift();
      if (item === undefined)
        return continueAsNew<typeof conversation>({
          conversationId: this.#model.conversationId,
          carried: this.#model,
        });
      // Local activities are called from here alone, one at a time: of two that run at once the order in which they end
      // is not in the history, and what follows from it would not replay.
      if (item.type === 'approval') this.#answer(item);
      else if (item.type === 'host') await this.#pinTo(item.host);
      else if (item.type === 'reopen')
        await this.#open({ conversationId: this.#model.conversationId });
      else await this.#handle(item);
      this.#show();
    }
  }

  #take(name: 'send' | 'cancel' | 'retry', value: unknown): void {
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

  /** Reads the store's state; a turn that runs there is run here (it is found running, or ended). */
  async #open(input: ConversationInputValue): Promise<void> {
    const start = await records.openConversation(input);
    const { provider, model, host, turn, queue } = start;
    this.#model = {
      ...this.#model,
      provider,
      model,
      host,
      turn,
      queue,
      state: turn === null ? 'idle' : turn.cancelRequested ? 'cancelled' : 'processing',
    };
    upsertSearchAttributes([
      { key: providerAttribute, value: provider },
      { key: tableAttribute, value: start.tableId },
    ]);
    if (host === null) void this.#claimHost();
    if (turn === null) {
      // The last turn ended while nobody was there to settle it: what waits is started, or the state recorded as idle.
      if (queue.length > 0 || start.state === 'processing' || start.state === 'cancelled')
        await this.#handle({ type: 'resume' });
      return;
    }
    this.#perform({ type: 'run', turnId: turn.turnId, attempt: turn.attempt });
    if (turn.cancelRequested)
      this.#perform({ type: 'stop', turnId: turn.turnId, attempt: turn.attempt, by: 'user' });
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

  /** Decides, records, applies, acts: in this order, and no command before the one before it is done. */
  async #handle(command: Command): Promise<void> {
    const asked = await this.#complete(command);
    for (;;) {
      const { turn } = this.#model;
      // The end of the running turn may be in the log before its activity has told us: then it is settled first,
      // so that whoever has seen `chat.done` finds the conversation free.
      const guard = asked.type === 'turn.ended' || asked.type === 'resume' ? null : turn;
      const answer = await this.#decideAndRecord(asked, this.#model, guard);
      if (answer === 'ended' && turn !== null) {
        // What interrupts goes before everything that waits; settled first, the head of the queue would be started, only
        // to be cancelled. There is nothing left to stop.
        const first = asked.type === 'send' && asked.whenBusy === 'interrupt';
        const ended = { ...this.#model, turn: { ...turn, cancelRequested: true } };
        const done = first ? await this.#decideAndRecord(asked, ended, null) : answer;
        await this.#handle({ type: 'turn.ended', turnId: turn.turnId, attempt: turn.attempt });
        if (done === 'recorded') return;
      } else if (answer === 'known' || answer === 'behind') {
        await this.#open({ conversationId: this.#model.conversationId });
        if (answer === 'known') return;
      } else return;
    }
  }

  /** The command with what must not change between two looks at it: a cancel means the turn that runs when it is taken up. */
  async #complete(command: Command): Promise<Command> {
    const { conversationId, turn } = this.#model;
    switch (command.type) {
      case 'retry': {
        const { turnId } = command;
        return { ...command, turn: await records.lookUpTurn({ conversationId, turnId }) };
      }
      case 'cancel':
        return { ...command, turnId: command.turnId ?? turn?.turnId ?? null };
      default:
        return command;
    }
  }

  /** Null: there is nothing to record. */
  async #decideAndRecord(
    command: Command,
    model: ConversationModel,
    guard: ConversationModel['turn'],
  ): Promise<RecordAnswer | null> {
    const decision = decide(model, command, {
      now: new Date().toISOString(),
      ...this.#idsFor(model, command),
    });
    if (decision === null) return null;
    const answer = await this.#record(decision, command, guard);
    if (answer === 'recorded') this.#applyAll(decision);
    return answer;
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
    const { conversationId, turn, queue } = this.#model;
    // What tells a repeat of a request from a reuse of its id.
    const content =
      command.type === 'send' ? command.content : 'turnId' in command ? (command.turnId ?? '') : '';
    return records.recordDecision({
      conversationId,
      key: decision.key,
      events: decision.events.map((event) => ({ ...event, conversationId })),
      request: decision.request === null ? null : { ...decision.request, content },
      unlessEnded: guard === null ? null : { turnId: guard.turnId, attempt: guard.attempt },
      basis: {
        turn: turn === null ? null : { turnId: turn.turnId, attempt: turn.attempt },
        queue: queue.map((item) => item.turnId),
      },
    });
  }

  #applyAll(decision: Decision): void {
    const now = new Date().toISOString();
    for (const event of decision.events) this.#model = apply(this.#model, event, now);
    for (const effect of decision.effects) this.#perform(effect);
  }

  #perform(effect: Effect): void {
    const { turnId, attempt } = effect;
    if (effect.type === 'stop') {
      void this.#stop(effect);
      return;
    }
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
    this.#inbox.push({ type: 'turn.ended', turnId, attempt });
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
    await shortHostActivities(this.#model.host ?? '', `cancel turn ${turnId}`).stopTurn({
      conversationId,
      turnId,
      attempt,
      by,
    });
  }

  #answer(item: ResolveApprovalSignalValue): void {
    const { turn, host, conversationId } = this.#model;
    if (turn === null || host === null) return;
    const { approvalId, decision, by, message } = item;
    void shortHostActivities(host, `answer approval ${approvalId}`).answerApproval({
      conversationId,
      turnId: turn.turnId,
      attempt: turn.attempt,
      approvalId,
      decision,
      by: by ?? 'operator',
      message: message ?? null,
    });
  }

  #mayContinueAsNew(): boolean {
    return (
      (workflowInfo().continueAsNewSuggested ||
        workflowInfo().historyLength > HISTORY_EVENTS_LIMIT) &&
      this.#model.turn === null &&
      this.#model.queue.length === 0 &&
      this.#running.size === 0 &&
      this.#model.host !== null &&
      allHandlersFinished()
    );
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
    const { conversationId, state, turn, queue, host } = this.#model;
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
      queue: queue.map((item) => ({ ...item, content: item.content.slice(0, 200) })),
      host,
      inWords: this.#inWords(),
    };
  }
}

/** For what no request names, such as a beginning from the store's state. */
function freshId(): string {
  return `t${uuid4().replaceAll('-', '')}`;
}
