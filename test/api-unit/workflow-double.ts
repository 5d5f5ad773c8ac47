/**
 * The workflows of conversations, tables and triggers and a turn host in this process, for tests of the gateway: the real decisions, the
 * real record activities and the real store; only Temporal and the provider are missing. Turns speak and end as the test says.
 */
import { ApplicationFailure } from '@temporalio/common';

import { createMailActivities, type MailActivities } from '../../src/activities/mail.ts';
import { Presence } from '../../src/activities/presence.ts';
import { createRecordActivities, type RecordActivities } from '../../src/activities/records.ts';
import {
  createTableActivities,
  type TableActivities,
  type WorkflowSignals,
} from '../../src/activities/tables.ts';
import { createTriggerActivities, type TriggerActivities } from '../../src/activities/triggers.ts';
import type {
  ConversationSignal,
  NewConversation,
  NewTable,
  Spawning,
  TableSignal,
  TriggerSignal,
  WorkflowCommands,
} from '../../src/api/commands.ts';
import type { MailSignalValue } from '../../src/contracts/agents.ts';
import { HoldfastError, isErrorCode } from '../../src/contracts/errors.ts';
import type { NewEvent, OutcomeName } from '../../src/contracts/events.ts';
import {
  appendKey,
  conversationStream,
  providerMessageId,
  tableStream,
  triggerStream,
} from '../../src/contracts/ids.ts';
import { TRIGGER_GRACE_MS } from '../../src/contracts/limits.ts';
import type { ResolveApprovalSignalValue } from '../../src/contracts/signals.ts';
import {
  apply,
  askedBySend,
  type Command,
  type ConversationModel,
  decide,
  describe,
  type Effect,
  newConversation,
  type Occupied,
  openedQueue,
  parseMailSignal,
  parseSignal,
  queueMark,
  roomForMail,
  startable,
} from '../../src/domain/conversation.ts';
import { parseTableSignal } from '../../src/domain/table.ts';
import type { TemporalLook } from '../../src/domain/why-facts.ts';
import type { Fence, Store } from '../../src/store/port.ts';
import { eventually } from '../support/eventually.ts';

/** What becomes of a command: carried out; durable and never taken up; refused; taken though the answer was lost; lost. */
export type Weather =
  | 'fine'
  | 'no-worker'
  | 'unreachable'
  | 'answer-lost'
  | 'fate-unknown'
  | 'broken';

type TriggerCommand = Parameters<TriggerActivities['carryOutCommand']>[0]['command'];
type Running = { fence: Fence; segment: number | null };

export class WorkflowDouble implements WorkflowCommands {
  weather: Weather = 'fine';
  /** Ends every turn at once with this answer; null leaves it running until the test ends it. */
  autoAnswer: string | null = null;
  /** A cancel ends the turn at once; else it is only recorded, as long as the provider takes to die. */
  stopsAtOnce = true;
  /** The provider takes a message into the running turn. */
  takesSteering = false;
  /** The provider says neither that it takes a message nor that it does not. */
  offersOnly = false;
  /** What each turn costs. */
  costUsd: number | null = null;
  /** Holds back what follows from a turn's end until {@link settle}. */
  holdsSettling = false;
  /** Accepted commands are carried out after this. */
  gate: Promise<void> = Promise.resolve();
  /** Runs before an agent is made, once: what another gateway does at that moment. */
  beforeSpawn: (() => Promise<void>) | null = null;
  spawns = 0;
  readonly signals: { conversationId: string; signal: ConversationSignal }[] = [];
  readonly tableSignals: { tableId: string; signal: TableSignal }[] = [];
  readonly triggerSignals: { triggerId: string; signal: TriggerSignal }[] = [];
  creates = 0;
  readonly #store: Store;
  readonly #records: RecordActivities;
  readonly #tables: TableActivities;
  readonly #triggers: TriggerActivities;
  readonly #mail: MailActivities;
  /** Conversations with mail that started nothing, and how their last turn ended. */
  readonly #mailLeft = new Map<string, { more: boolean; waits: boolean }>();
  readonly #models = new Map<string, ConversationModel>();
  readonly #running = new Map<string, Running>();
  /** By Workflow Id: the last thing that was given to it. */
  readonly #inboxes = new Map<string, Promise<void>>();
  readonly #unsettled: (() => Promise<void>)[] = [];
  #ids = 0;

  constructor(store: Store) {
    this.#store = store;
    this.#records = createRecordActivities({ store });
    const signals: WorkflowSignals = {
      // Durable, and carried out when its receiver comes to it.
      signalConversation: async (conversationId, name, argument) =>
        void this.#enqueue(conversationStream(conversationId), () =>
          this.#take(conversationId, name, argument),
        ),
      signalTable: async (tableId, name, argument) =>
        void this.#enqueue(tableStream(tableId), () => this.#decide(tableId, name, argument)),
    };
    this.#tables = createTableActivities({ store, signals });
    this.#mail = createMailActivities({ store, signals });
    this.#triggers = createTriggerActivities({
      store,
      signals,
      // Nothing is due by itself here; a test asks for a look.
      schedules: {
        sync: async () => undefined,
        remove: async () => undefined,
        rules: async () => new Map(),
      },
      presence: new Presence({ graceMs: TRIGGER_GRACE_MS }),
      graceMs: TRIGGER_GRACE_MS,
    });
  }

  async create(command: { conversationId: string; create: NewConversation }): Promise<void> {
    this.creates += 1;
    await this.#through(conversationStream(command.conversationId), async () => {
      if (this.#models.has(command.conversationId)) return;
      await this.#open(command);
    });
  }

  async spawn(command: { conversationId: string; create: NewConversation }): Promise<Spawning> {
    this.spawns += 1;
    const { conversationId } = command;
    const refusal = Promise.withResolvers<HoldfastError | null>();
    await this.#through(conversationStream(conversationId), async () => {
      const before = this.beforeSpawn;
      this.beforeSpawn = null;
      await before?.();
      try {
        if (!this.#models.has(conversationId)) await this.#open(command);
      } catch (error) {
        // As the workflow does: this run has failed, and nothing was made.
        if (!(error instanceof ApplicationFailure) || !isErrorCode(error.type)) throw error;
        const [detail] = error.details ?? [];
        refusal.resolve(new HoldfastError(error.type, error.message, { ...(detail as object) }));
        return;
      }
      await this.#takeMail(conversationId, {});
    });
    return {
      refused: (abort) => {
        abort.addEventListener('abort', () => refusal.resolve(null));
        return refusal.promise;
      },
    };
  }

  async signal(command: { conversationId: string; signal: ConversationSignal }): Promise<void> {
    this.signals.push(command);
    const { conversationId, signal } = command;
    await this.#through(conversationStream(conversationId), () =>
      this.#take(conversationId, signal.name, signal.argument),
    );
  }

  async createTable({ tableId, create }: { tableId: string; create: NewTable }): Promise<void> {
    this.creates += 1;
    await this.#through(tableStream(tableId), async () => {
      await this.#tables.openTable({ tableId, create });
    });
  }

  async signalTable(command: { tableId: string; signal: TableSignal }): Promise<void> {
    this.tableSignals.push(command);
    const { tableId, signal } = command;
    await this.#through(tableStream(tableId), () =>
      this.#decide(tableId, signal.name, signal.argument),
    );
  }

  async signalTrigger(command: { triggerId: string; signal: TriggerSignal }): Promise<void> {
    this.triggerSignals.push(command);
    const { triggerId, signal } = command;
    await this.#through(triggerStream(triggerId), async () => {
      const { name, argument: value } = signal;
      await this.#triggers
        .carryOutCommand({ triggerId, command: { name, value } as TriggerCommand })
        .catch((error: unknown) => {
          // As the workflow does: it is over, and what follows it is not held up.
          if (!(error instanceof ApplicationFailure)) throw error;
        });
      await this.#triggers.lookAtTrigger({ triggerId });
    });
  }

  /** What the trigger's Schedule asks for. */
  async look(triggerId: string): Promise<void> {
    await this.#enqueue(triggerStream(triggerId), async () => {
      await this.#triggers.lookAtTrigger({ triggerId });
    });
  }

  async check(): Promise<void> {
    if (this.weather === 'unreachable') throw new Error('unreachable');
  }

  async inspect({ conversationId }: { conversationId: string }): Promise<TemporalLook> {
    await this.check();
    const model = this.#models.get(conversationId);
    const polledAt = { workflows: null, turns: null };
    if (model === undefined)
      return { workflow: { is: 'unknown' }, worker: { is: 'not-asked' }, polledAt };
    const isServed = this.weather !== 'no-worker';
    return {
      workflow: { is: 'running', task: null, turn: null },
      worker: isServed
        ? { is: 'answers', inWords: describe(model) }
        : { is: 'silent', says: 'has not answered within 1.5 s' },
      polledAt,
    };
  }

  /** Everything that was accepted has been carried out, and what followed from it. */
  async quiet(): Promise<void> {
    for (let seen: Promise<void>[] = []; ;) {
      const now = [...this.#inboxes.values()];
      if (now.length === seen.length && now.every((inbox, index) => inbox === seen[index])) return;
      seen = now;
      await Promise.all(now);
    }
  }

  turnOf(conversationId: string): { turnId: string; attempt: number } {
    const turn = this.#models.get(conversationId)?.turn;
    if (turn == null) throw new Error(`nothing runs in ${conversationId}`);
    return turn;
  }

  /** The running turn's provider says `texts`, one delta each, in one append. */
  async say(conversationId: string, ...texts: string[]): Promise<void> {
    await this.quiet();
    await this.#say(conversationId, texts);
  }

  async #say(conversationId: string, texts: readonly string[]): Promise<void> {
    const { running, scope } = this.#runningTurn(conversationId);
    const events: NewEvent[] = [];
    const messageId = providerMessageId(scope.turnId, scope.attempt, running.segment ?? 1);
    if (running.segment === null) {
      running.segment = 1;
      events.push({
        ...scope,
        type: 'assistant.segment.started',
        payload: { messageId, kind: 'text' },
      });
    }
    for (const text of texts)
      events.push({ ...scope, type: 'chat.delta', payload: { messageId, text } });
    await this.#append(conversationId, running.fence, events);
  }

  async askApproval(conversationId: string, approvalId: string): Promise<void> {
    // The send may have been answered 202: on a busy machine the turn begins a moment later.
    await eventually(() => this.#running.has(conversationId));
    const { running, scope } = this.#runningTurn(conversationId);
    await this.#append(conversationId, running.fence, [
      {
        ...scope,
        type: 'approval.requested',
        payload: { approvalId, title: 'run a tool', input: {}, options: ['allow', 'deny'] },
      },
    ]);
  }

  /** Ends the running turn; the model is settled before this resolves, unless settling is held. */
  async end(conversationId: string, outcome: OutcomeName, answer = ''): Promise<void> {
    await this.quiet();
    await this.#end(conversationId, outcome, answer);
  }

  async #end(
    conversationId: string,
    outcome: OutcomeName,
    answer: string,
    by = 'user',
  ): Promise<void> {
    const { running, scope } = this.#runningTurn(conversationId);
    const events: NewEvent[] = [];
    if (running.segment !== null)
      events.push({
        ...scope,
        type: 'assistant.segment.ended',
        payload: {
          messageId: providerMessageId(scope.turnId, scope.attempt, running.segment),
          content: answer,
          status: outcome === 'completed' ? 'complete' : 'partial',
        },
      });
    const cost = this.costUsd === null ? {} : { costUsd: this.costUsd };
    events.push({ ...scope, type: 'usage', payload: { inputTokens: 3, outputTokens: 5, ...cost } });
    events.push(terminal(outcome, scope, by));
    await this.#store.append({
      stream: conversationStream(conversationId),
      key: appendKey.end(scope.turnId, scope.attempt),
      events,
      fence: running.fence,
    });
    this.#running.delete(conversationId);
    const settle = async (): Promise<void> => {
      const { turnId, attempt } = scope;
      await this.#handle(conversationId, { type: 'turn.ended', turnId, attempt });
      await this.#tellTeam(conversationId, outcome);
    };
    if (this.holdsSettling) this.#unsettled.push(settle);
    else await settle();
  }

  async settle(): Promise<void> {
    for (const settle of this.#unsettled.splice(0)) await settle();
  }

  /** A command of the gateway: durable at once, carried out later, as the weather lets it. */
  async #through(workflowId: string, work: () => Promise<void>): Promise<void> {
    if (this.weather === 'unreachable')
      throw new HoldfastError('temporal_unavailable', undefined, { accepted: false });
    if (this.weather === 'fate-unknown')
      throw new HoldfastError('temporal_unavailable', 'not known', { accepted: 'unknown' });
    if (this.weather === 'broken') throw new Error('secret inner detail');
    if (this.weather === 'no-worker') return;
    const done = this.#enqueue(workflowId, work);
    if (this.weather === 'answer-lost') {
      await done;
      throw new HoldfastError('temporal_unavailable', 'not known', { accepted: 'unknown' });
    }
  }

  #enqueue(workflowId: string, work: () => Promise<void>): Promise<void> {
    const before = this.#inboxes.get(workflowId) ?? Promise.resolve();
    const done = Promise.all([before, this.gate]).then(work);
    this.#inboxes.set(workflowId, done);
    return done;
  }

  // The table's workflow

  async #decide(tableId: string, name: string, argument: object | undefined): Promise<void> {
    const command = parseTableSignal(name as TableSignal['name'], argument);
    if (command === null) throw new Error(`not a signal: ${name} ${JSON.stringify(argument)}`);
    this.#ids += 1;
    const freshId = `decision${this.#ids}`;
    const { effects } = await this.#tables.decideTable({ tableId, command, freshId });
    await this.#tables.tellConversations(effects);
  }

  // The conversation's workflow

  async #take(conversationId: string, name: string, argument: object | undefined): Promise<void> {
    const isNew = !this.#models.has(conversationId);
    if (isNew || name === 'reopen') await this.#open({ conversationId });
    if (name === 'reopen') return;
    if (name === 'resolveApproval') {
      await this.#resolve(conversationId, argument as ResolveApprovalSignalValue);
      return;
    }
    if (name === 'mail') {
      const mail = parseMailSignal(argument);
      if (mail === null) throw new Error(`not mail: ${JSON.stringify(argument)}`);
      await this.#takeMail(conversationId, mail);
      return;
    }
    const parsed = parseSignal(name as 'send', argument);
    if (parsed === null) throw new Error(`not a signal: ${name} ${JSON.stringify(argument)}`);
    await this.#handle(conversationId, parsed);
    if (parsed.type === 'cancel' && parsed.cascade === true)
      await this.#mail.tellChildren({ conversationId, but: [] });
  }

  async #takeMail(
    conversationId: string,
    { message, again, waiting = false }: MailSignalValue & { waiting?: boolean },
  ): Promise<void> {
    const { turn, queue, held } = this.#modelOf(conversationId);
    const { items, more, waits } = await this.#mail.takeMail({
      conversationId,
      basis: { turn, queue: queue.map(queueMark), held },
      ...(message === undefined ? {} : { message }),
      ...(again === undefined ? {} : { again }),
      ...roomForMail(queue),
      waiting,
    });
    for (const item of items) await this.#handle(conversationId, { ...item, type: 'send' });
    this.#mailLeft.set(conversationId, { more, waits });
  }

  /** As the workflow does after a turn's end. */
  async #tellTeam(conversationId: string, outcome: OutcomeName): Promise<void> {
    const parentId = this.#modelOf(conversationId).parentId ?? null;
    if (parentId !== null) await this.#mail.tellMailbox({ conversationId: parentId });
    const { more = false, waits = false } = this.#mailLeft.get(conversationId) ?? {};
    const waiting = waits && outcome !== 'cancelled';
    if (more || waiting) await this.#takeMail(conversationId, { waiting });
  }

  async #open(input: { conversationId: string; create?: NewConversation }): Promise<void> {
    const { conversationId } = input;
    const start = await this.#records.openConversation(input);
    const { provider, model, tableId, title, turn, queue, held = false, parentId = null } = start;
    const known = this.#models.get(conversationId);
    this.#models.set(conversationId, {
      ...(known ?? newConversation({ conversationId, provider, model })),
      tableId,
      parentId,
      titled: title !== '',
      host: 'double',
      turn,
      queue: openedQueue(queue, held),
      held,
      state: turn === null ? 'idle' : turn.cancelRequested ? 'cancelled' : 'processing',
    });
    if (turn === null && (queue.length > 0 || start.state !== 'idle'))
      await this.#handle(conversationId, { type: 'resume', stored: start.state });
  }

  async #handle(conversationId: string, command: Command): Promise<void> {
    const asked = await this.#complete(conversationId, command);
    let occupied: Occupied | null = null;
    for (;;) {
      const model = this.#modelOf(conversationId);
      const answer = await this.#decideAndRecord(asked, model, occupied);
      if (answer === null || !answer.startsWith('occupied-')) return;
      occupied = answer.slice('occupied-'.length) as Occupied;
      if (asked.type === 'resume' && asked.stored === 'idle') {
        await this.#tellTable(model, { type: 'look', yields: false });
        return;
      }
    }
  }

  async #decideAndRecord(
    command: Command,
    model: ConversationModel,
    occupied: Occupied | null,
  ): Promise<string | null> {
    const { conversationId, tableId } = model;
    this.#ids += 1;
    const now = new Date().toISOString();
    const decision = decide(model, command, {
      now,
      turnId: `turn${this.#ids}`,
      messageId: `message${this.#ids}`,
      occupied,
    });
    if (decision === null) return null;
    const content =
      command.type === 'send'
        ? askedBySend({ content: command.content, replaces: command.replaces?.messageId })
        : 'turnId' in command
          ? (command.turnId ?? '')
          : '';
    const leaves = decision.events.some(
      (event) => event.type === 'conversation.state' && event.payload.state === 'idle',
    );
    const answer = await this.#records.recordDecision({
      conversationId,
      key: decision.key,
      events: decision.events,
      request: decision.request === null ? null : { ...decision.request, content },
      unlessEnded: null,
      ...(tableId === null || decision.waitedSince === undefined
        ? {}
        : { waitedSince: decision.waitedSince }),
      ...(tableId === null || !leaves ? {} : { leaves: tableId }),
    });
    if (!answer.startsWith('recorded')) return answer;
    let next = model;
    for (const event of decision.events) next = apply(next, event, now);
    this.#models.set(conversationId, next);
    if (answer === 'recorded-others-wait')
      await this.#tellTable(next, { type: 'look', yields: false });
    for (const effect of decision.effects) await this.#perform(next, effect);
    return answer;
  }

  async #perform(model: ConversationModel, effect: Effect): Promise<void> {
    const { conversationId } = model;
    switch (effect.type) {
      case 'run':
        await this.#run(conversationId, effect);
        return;
      case 'stop':
        if (this.stopsAtOnce) await this.#end(conversationId, 'cancelled', '', effect.by);
        return;
      case 'steer':
        await this.#steer(conversationId, effect);
        return;
      case 'want':
      case 'look':
        await this.#tellTable(model, effect);
        return;
    }
  }

  async #tellTable(
    { conversationId, tableId }: ConversationModel,
    effect: Extract<Effect, { type: 'want' | 'look' }>,
  ): Promise<void> {
    if (tableId === null) return;
    const word =
      effect.type === 'want'
        ? ({ name: 'wantSlot', conversationId, interrupt: effect.interrupt } as const)
        : ({ name: 'look', yields: effect.yields ? conversationId : null } as const);
    await this.#tables.tellTable({ tableId, word });
  }

  /** The command with what the store knows of what it is about. */
  async #complete(conversationId: string, command: Command): Promise<Command> {
    const { turn, queue } = this.#modelOf(conversationId);
    const replaced = (messageId: string): ReturnType<RecordActivities['lookUpMessage']> =>
      this.#records.lookUpMessage({ conversationId, messageId });
    const headed = async <C extends Command>(of: C, messageId: string | undefined): Promise<C> =>
      messageId === undefined ? of : { ...of, head: await replaced(messageId) };
    switch (command.type) {
      case 'retry': {
        const { turnId } = command;
        return { ...command, turn: await this.#records.lookUpTurn({ conversationId, turnId }) };
      }
      case 'cancel':
        return { ...command, turnId: command.turnId ?? turn?.turnId ?? null };
      case 'send':
        return command.replaces === undefined
          ? command
          : { ...command, replaces: await replaced(command.replaces.messageId) };
      case 'rollback': {
        const { messageId } = command;
        return { ...command, found: messageId === null || (await replaced(messageId)).kept };
      }
      case 'turn.ended':
      case 'resume': {
        const requestIds = queue.flatMap((item) => (item.steer === true ? [item.requestId] : []));
        const taken = await this.#records.takenBySteering({ conversationId, requestIds });
        const left = queue.filter((item) => !taken.includes(item.requestId));
        return headed({ ...command, taken }, startable(left)?.replaces);
      }
      case 'queue.hold':
        return headed(command, queue[0]?.replaces);
      case 'queue.update':
        return headed(
          command,
          queue.find(({ requestId }) => requestId === command.requestId)?.replaces,
        );
      default:
        return command;
    }
  }

  #modelOf(conversationId: string): ConversationModel {
    const model = this.#models.get(conversationId);
    if (model === undefined) throw new Error(`no model of ${conversationId}`);
    return model;
  }

  // The turn host

  async #steer(
    conversationId: string,
    { requestId, content }: Extract<Effect, { type: 'steer' }>,
  ): Promise<void> {
    if (this.offersOnly) return;
    if (this.takesSteering) {
      const { running, scope } = this.#runningTurn(conversationId);
      this.#ids += 1;
      const messageId = `message${this.#ids}`;
      await this.#append(conversationId, running.fence, [
        {
          ...scope,
          type: 'message.created',
          requestId,
          payload: { messageId, role: 'user', content },
        },
        { ...scope, type: 'chat.steered', requestId, payload: scope },
      ]);
    }
    await this.#handle(conversationId, { type: 'steered', requestId, taken: this.takesSteering });
  }

  async #run(
    conversationId: string,
    { turnId, attempt }: { turnId: string; attempt: number },
  ): Promise<void> {
    const { epoch } = await this.#store.claim({
      conversationId,
      turnId,
      attempt,
      host: 'double',
      place: { spool: `${turnId}.${attempt}`, from: 0 },
    });
    const fence = { turnId, attempt, epoch };
    this.#running.set(conversationId, { fence, segment: null });
    if (this.autoAnswer === null) return;
    await this.#say(conversationId, [this.autoAnswer]);
    await this.#end(conversationId, 'completed', this.autoAnswer);
  }

  async #resolve(
    conversationId: string,
    { approvalId, decision, by }: ResolveApprovalSignalValue,
  ): Promise<void> {
    const { running, scope } = this.#runningTurn(conversationId);
    const known = await this.#store.approval(conversationId, approvalId);
    if (known?.decision !== null) return;
    const at = new Date().toISOString();
    await this.#append(conversationId, running.fence, [
      {
        ...scope,
        type: 'approval.resolved',
        payload: { approvalId, decision, by: by ?? 'operator', at },
      },
    ]);
  }

  async #append(conversationId: string, fence: Fence, events: NewEvent[]): Promise<void> {
    await this.#store.append({ stream: conversationStream(conversationId), events, fence });
  }

  #runningTurn(conversationId: string): {
    running: Running;
    scope: { turnId: string; attempt: number };
  } {
    const running = this.#running.get(conversationId);
    if (running === undefined) throw new Error(`nothing runs in ${conversationId}`);
    const { turnId, attempt } = running.fence;
    return { running, scope: { turnId, attempt } };
  }
}

function terminal(
  outcome: OutcomeName,
  scope: { turnId: string; attempt: number },
  by: string,
): NewEvent {
  switch (outcome) {
    case 'completed':
      return { ...scope, type: 'chat.done', payload: {} };
    case 'failed':
      return { ...scope, type: 'chat.error', payload: { code: 'provider', message: 'failed' } };
    case 'cancelled':
      return { ...scope, type: 'chat.cancelled', payload: { by } };
    case 'interrupted':
      return {
        ...scope,
        type: 'chat.interrupted',
        payload: { cause: 'provider-died', retryable: true },
      };
  }
}
