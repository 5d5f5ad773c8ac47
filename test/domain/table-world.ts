/**
 * A table with several conversations: the real Workflows and their real local activities, on a simulated Temporal and a store
 * in memory, with people, turns, words between Workflows and faults around them. One number decides in which order all that is
 * possible happens; every wait of an activity for the store is a moment at which something else may happen.
 */
import { createRecordActivities } from '../../src/activities/records.ts';
import { createTableActivities, type WorkflowSignals } from '../../src/activities/tables.ts';
import type { Event, NewEvent, OutcomeName, QueueItemValue } from '../../src/contracts/events.ts';
import {
  conversationStream,
  conversationWorkflowId,
  tableStream,
  tableWorkflowId,
} from '../../src/contracts/ids.ts';
import type { WhenBusyName } from '../../src/contracts/signals.ts';
import type { TableCommand } from '../../src/domain/table.ts';
import type { Store, TableState } from '../../src/store/port.ts';
import { conversation } from '../../src/workflows/conversation.ts';
import { table } from '../../src/workflows/table.ts';
import { Run, settled, type Surroundings } from './simulated-temporal.ts';
import { type AttemptFacts, endEvent, TableStore, type UsedStore } from './table-store.ts';

const TABLE = 'tb';
/** More than anything here takes to come to rest. */
const STEPS_LIMIT = 5_000;
const LOOKS_LIMIT = 200;

/** A conversation by its number, the one that runs, or the active one. */
type Whom = number | 'running' | 'active';

export type Act =
  | { type: 'send'; who: Whom; whenBusy: WhenBusyName; again?: boolean }
  | { type: 'cancel'; who: Whom; holdQueue: boolean }
  | { type: 'newChat' }
  | { type: 'activate'; who: Whom; whenBusy: 'queue' | 'reject' | 'interrupt' }
  | { type: 'promote' | 'remove' | 'edit'; who: Whom; which: number }
  | { type: 'move'; who: Whom; which: number; position: number }
  | { type: 'hold'; who: Whom; held: boolean }
  | { type: 'retry'; who: Whom }
  /** The running turn ends. */
  | { type: 'end' }
  /** The worker dies: every Workflow Task that is not complete never was. */
  | { type: 'crash' }
  /** What Workflows have to say to each other and have not is lost. */
  | { type: 'loseWords' }
  /** Temporal's database is lost. */
  | { type: 'loseTemporal' }
  /** The worker looks at the store. */
  | { type: 'look' };

type Mail = { to: 'table' | { conversationId: string }; name: string; argument: object };
type Activity = { run: Run; generation: number; seq: number; name: string; argument: object };

export class World {
  readonly store: TableStore;
  readonly runs = new Map<string, Run>();
  /** What must never be. */
  readonly violations: string[] = [];
  /** requestIds whose Signal was taken, and not lost with Temporal. */
  readonly sent = new Map<string, { conversationId: string }>();
  /** How often which local activity was carried out, by its answer where that says what came of it. */
  readonly happened = new Map<string, number>();
  /** To see why one life went wrong. */
  trace: ((line: string) => void) | null = null;
  readonly #wild: boolean;
  readonly #crashes: number;
  readonly #random: () => number;
  readonly #surroundings: Surroundings;
  #time = Date.UTC(2026, 0, 1);
  #paused: { run: Run; go: () => void }[] = [];
  #mail: Mail[] = [];
  #activities: Activity[] = [];
  #fresh = 0;
  #started = 0;
  /** Offers that their turn does not take: asked again, it says the same. */
  readonly #refused = new Set<string>();
  #waitingTables = new Set<string>();
  #believedIdle = new Set<string>();

  /**
   * `crashes`: how often, of all steps, a worker dies in one. `wild`: words between Workflows come late, twice and in any order;
   * Temporal's come in order, and at once.
   */
  constructor({ seed, wild, crashes }: { seed: number; wild: boolean; crashes: number }) {
    this.#wild = wild;
    this.#crashes = crashes;
    this.#random = randomNumbers(seed);
    this.store = new TableStore(() => this.#now());
    this.#surroundings = {
      local: (run, { name, argument }) => this.#local(run, name, argument),
      scheduled: (run, seq, { name, argument }) => {
        const { generation } = run;
        this.#activities.push({ run, generation, seq, name, argument: Object(argument) as object });
        if (name === 'runTurn') this.#mustBeRecorded(Object(argument) as AttemptFacts);
      },
      now: () => this.#time,
      history: () => {
        const length = this.#random();
        return length < 0.03 ? 'huge' : length < 0.12 ? 'long' : 'short';
      },
    };
  }

  /** The table and its first `count` conversations, none of them active. */
  async begin(count: number): Promise<void> {
    const create = { title: '', workspacePath: '/w', provider: 'scripted', model: null };
    this.#start('table', TABLE, { tableId: TABLE, create });
    for (let n = 0; n < count; n += 1) {
      const conversationId = `c${n + 1}`;
      const input = { conversationId, create: { ...create, tableId: TABLE } };
      this.#start('conversation', conversationId, input);
    }
    await this.drain();
  }

  get conversations(): string[] {
    const order = new Intl.Collator('en', { numeric: true });
    return [...this.store.conversations.keys()].toSorted(order.compare);
  }

  async facts(): Promise<TableState> {
    const facts = await this.store.tableState(TABLE);
    if (facts === null) throw new Error('there is no table');
    return facts;
  }

  queueOf(conversationId: string): QueueItemValue[] {
    return this.store.conversations.get(conversationId)?.queue ?? [];
  }

  logOf(conversationId: string): Event[] {
    return this.store.logs.get(conversationStream(conversationId)) ?? [];
  }

  /** Answers the requestId that is sent or meant, where there is one. */
  async act(act: Act): Promise<string | undefined> {
    switch (act.type) {
      case 'end': {
        const running = this.#running()[0];
        if (running !== undefined) await this.#end(running);
        return undefined;
      }
      case 'crash':
        this.#crash();
        return undefined;
      case 'loseWords':
        this.#mail = this.#mail.filter(({ to }) => to !== 'table');
        return undefined;
      case 'loseTemporal':
        this.#loseTemporal();
        return undefined;
      case 'look':
        this.look();
        return undefined;
      case 'newChat': {
        this.#fresh += 1;
        const conversationId = `n${this.#fresh}`;
        const argument = { conversationId, title: '', provider: 'scripted', model: null };
        this.#signalTable('newConversation', argument);
        return undefined;
      }
      default:
        return this.#command(act);
    }
  }

  /** One thing that can happen happens; false when nothing can. `ends`: turns may end by themselves. */
  async step({ ends }: { ends: boolean }): Promise<boolean> {
    this.#time += 1;
    const can: (() => unknown)[] = [];
    for (const each of this.#paused)
      can.push(() => {
        this.#paused = this.#paused.filter((other) => other !== each);
        each.go();
      });
    for (const run of this.runs.values())
      if (run.hasTask)
        can.push(() => {
          run.task().catch((error: unknown) => this.violations.push(String(error)));
        });
    for (const mail of this.#mail) can.push(() => this.#deliver(mail));
    for (const activity of this.#activities) {
      const answer = this.#answerTo(activity);
      if (answer !== null) can.push(answer);
    }
    if (ends) for (const running of this.#running()) can.push(() => this.#end(running));
    const chosen = can[Math.floor(this.#random() * can.length)];
    if (chosen === undefined) return false;
    await chosen();
    await settled();
    while ([...this.runs.values()].some((run) => run.isMoving)) await settled();
    return true;
  }

  /** At most that many things happen, and workers die; no turn ends by itself. False: nothing can happen any more. */
  async goOn(steps: number): Promise<boolean> {
    for (let n = 0; n < steps; n += 1) {
      if (this.#random() < this.#crashes) this.#crash();
      if (!(await this.step({ ends: false }))) return false;
    }
    return true;
  }

  /** Until nothing happens any more, though the worker looks at the store; no turn ends by itself. */
  rest(): Promise<void> {
    return this.#untilQuiet(() => this.goOn(STEPS_LIMIT));
  }

  /** As {@link rest}, with turns that end, and workers that live. */
  drain(): Promise<void> {
    return this.#untilQuiet(async () => {
      for (let n = 0; n < STEPS_LIMIT; n += 1) if (!(await this.step({ ends: true }))) return false;
      return true;
    });
  }

  /** `moving` goes on until nothing can happen; true: it gave up. */
  async #untilQuiet(moving: () => Promise<boolean>): Promise<void> {
    for (let looks = 0, quiet = 0; quiet < 3; looks += 1) {
      if (await moving()) {
        this.violations.push(`still moving after ${STEPS_LIMIT} steps`);
        return;
      }
      quiet = this.look() ? 0 : quiet + 1;
      if (looks > LOOKS_LIMIT) {
        this.violations.push(`W1: the worker finds something to say at ${LOOKS_LIMIT} looks`);
        return;
      }
    }
  }

  /** The worker's look at the store (revival.ts); whether it had something to say. */
  look(): boolean {
    let told = false;
    const idle = new Set<string>();
    for (const conversationId of this.store.unsettled()) {
      const run = this.runs.get(conversationWorkflowId(conversationId));
      if (run === undefined || run.lost) {
        this.#start('conversation', conversationId, { conversationId });
        told = true;
      } else if (run.attributes.get('HoldfastState') === 'idle') {
        if (this.#believedIdle.has(conversationId)) {
          this.#signalConversation(conversationId, 'reopen', {});
          told = true;
        } else idle.add(conversationId);
      }
    }
    told ||= idle.size > 0;
    this.#believedIdle = idle;
    const waiting = new Set(this.store.waitingTables());
    for (const tableId of waiting) {
      if (this.#waitingTables.has(tableId)) this.#signalTable('look', {});
      told = true;
    }
    this.#waitingTables = waiting;
    return told;
  }

  #now(): string {
    return new Date(this.#time).toISOString();
  }

  #running(): AttemptFacts[] {
    return this.store.attempts.filter(({ outcome }) => outcome === null);
  }

  #start(kind: 'table' | 'conversation', id: string, input: object): Run {
    const workflowId = kind === 'table' ? tableWorkflowId(id) : conversationWorkflowId(id);
    const workflow = kind === 'table' ? table : conversation;
    this.#started += 1;
    const runId = `${id}x${this.#started}`;
    const surroundings = this.#surroundings;
    const run = new Run({ id: workflowId, runId, workflow, input, surroundings });
    this.runs.set(workflowId, run);
    return run;
  }

  #signalConversation(conversationId: string, name: string, argument: object): void {
    const known = this.runs.get(conversationWorkflowId(conversationId));
    const run = known ?? this.#start('conversation', conversationId, { conversationId });
    run.signal(name, argument);
  }

  #signalTable(name: string, argument: object): void {
    const run =
      this.runs.get(tableWorkflowId(TABLE)) ?? this.#start('table', TABLE, { tableId: TABLE });
    run.signal(name, argument);
  }

  #command(
    act: Exclude<
      Act,
      { type: 'end' | 'crash' | 'loseWords' | 'loseTemporal' | 'look' | 'newChat' }
    >,
  ): string | undefined {
    const conversationId = this.#whom(act.who);
    this.#fresh += 1;
    const commandId = `k${this.#fresh}`;
    switch (act.type) {
      case 'send': {
        const last = [...this.sent].findLast(([, sent]) => sent.conversationId === conversationId);
        const requestId = act.again === true && last !== undefined ? last[0] : `r${this.#fresh}`;
        const { whenBusy } = act;
        this.sent.set(requestId, { conversationId });
        this.#signalConversation(conversationId, 'send', { requestId, content: 'x', whenBusy });
        return requestId;
      }
      case 'cancel': {
        const { holdQueue } = act;
        this.#signalConversation(conversationId, 'cancel', { by: 'user', holdQueue });
        return undefined;
      }
      case 'activate': {
        const { whenBusy } = act;
        this.#signalTable('activate', { commandId, conversationId, whenBusy });
        return undefined;
      }
      case 'hold':
        this.#signalConversation(conversationId, 'holdQueue', { commandId, held: act.held });
        return undefined;
      case 'retry': {
        const ended = this.store.attempts.filter((each) => each.conversationId === conversationId);
        const { turnId } = ended.at(-1) ?? {};
        if (turnId !== undefined) this.#signalConversation(conversationId, 'retry', { turnId });
        return undefined;
      }
      default: {
        const queue = this.queueOf(conversationId);
        const { requestId } = queue[act.which % Math.max(queue.length, 1)] ?? {};
        if (requestId === undefined) return undefined;
        if (act.type === 'remove') {
          this.#signalConversation(conversationId, 'removeQueued', { commandId, requestId });
          return requestId;
        }
        const change =
          act.type === 'promote'
            ? { now: true }
            : act.type === 'move'
              ? { position: act.position }
              : { content: 'edited' };
        this.#signalConversation(conversationId, 'updateQueued', {
          commandId,
          requestId,
          ...change,
        });
        return requestId;
      }
    }
  }

  /** The conversation that runs, the active one, or one by its number. */
  #whom(who: Whom): string {
    const ids = this.conversations;
    const running = this.#running()[0]?.conversationId;
    const active = this.store.activeOf(TABLE);
    const meant = who === 'running' ? running : who === 'active' ? active : ids[who % ids.length];
    return meant ?? ids[0] ?? '';
  }

  #crash(): void {
    for (const run of this.runs.values()) run.crash();
    this.#paused = [];
  }

  #loseTemporal(): void {
    for (const run of this.runs.values()) run.lose();
    this.runs.clear();
    this.#paused = [];
    this.#mail = [];
    this.#activities = [];
    // Whoever sent it was told no more than that Temporal had it.
    for (const requestId of this.sent.keys())
      if (!this.store.requests.some((row) => row.requestId === requestId))
        this.sent.delete(requestId);
  }

  /** What the real activities do, a store call at a time. */
  #local(run: Run, name: string, argument: unknown): Promise<unknown> {
    const pause = () => new Promise<void>((go) => void this.#paused.push({ run, go }));
    const store = pausing(this.store, pause, (facts, events) =>
      this.#checkActivation(facts, events, Object(argument) as { command?: TableCommand }),
    );
    const signals: WorkflowSignals = {
      signalConversation: (conversationId, signal, given) =>
        this.#send({ to: { conversationId }, name: signal, argument: given ?? {} }, pause),
      signalTable: (_tableId, signal, given) =>
        this.#send({ to: 'table', name: signal, argument: given ?? {} }, pause),
    };
    const parts = { store: store as Store, signals };
    const activities = { ...createRecordActivities(parts), ...createTableActivities(parts) };
    const activity = activities[name as keyof typeof activities] as (
      given: unknown,
    ) => Promise<unknown>;
    return activity(argument).then((answer) => {
      const what = name === 'recordDecision' ? `${name} ${String(answer)}` : name;
      this.happened.set(what, (this.happened.get(what) ?? 0) + 1);
      this.trace?.(`${run.id} ${what} ${JSON.stringify(argument)}`);
      return answer;
    });
  }

  async #send(mail: Mail, pause: () => Promise<void>): Promise<void> {
    await pause();
    if (!this.#wild) {
      this.#hand(mail);
      return;
    }
    this.#mail.push(mail);
    if (this.#random() < 0.15) this.#mail.push({ ...mail });
  }

  #deliver(mail: Mail): void {
    this.#mail = this.#mail.filter((other) => other !== mail);
    this.#hand(mail);
  }

  #hand({ to, name, argument }: Mail): void {
    if (to === 'table') this.#signalTable(name, argument);
    else this.#signalConversation(to.conversationId, name, argument);
  }

  #answerTo(activity: Activity): (() => Promise<void> | void) | null {
    const { run, generation, seq, name } = activity;
    const answer = (result: unknown): void => {
      this.#activities = this.#activities.filter((each) => each !== activity);
      run.resolve(generation, seq, result);
    };
    const { turnId, attempt } = activity.argument as AttemptFacts;
    switch (name) {
      case 'runTurn': {
        const outcome = this.store.attemptOf(turnId, attempt)?.outcome ?? null;
        return outcome === null ? null : () => answer({ outcome, cause: null });
      }
      case 'steerTurn':
        return async () => {
          const { conversationId, requestId } = activity.argument as {
            conversationId: string;
            requestId: string;
          };
          const row = await this.store.request(conversationId, requestId);
          if (row?.steeredInto != null) return answer('taken');
          const over = this.store.attemptOf(turnId, attempt)?.outcome !== null;
          if (over || this.#refused.has(requestId) || this.#random() < 0.3) {
            this.#refused.add(requestId);
            return answer('refused');
          }
          const event: NewEvent = {
            type: 'chat.steered',
            turnId,
            attempt,
            requestId,
            payload: { turnId, attempt },
          };
          // In the log, and not told yet: that comes with another look at this activity.
          await this.store.append({ stream: conversationStream(conversationId), events: [event] });
        };
      case 'claimHost':
        return () => answer({ host: 'h1' });
      default:
        return () => answer('done');
    }
  }

  async #end(running: AttemptFacts): Promise<void> {
    const { conversationId, turnId, attempt } = running;
    const outcomes: OutcomeName[] =
      running.cancelBy === null
        ? ['completed', 'completed', 'failed', 'interrupted']
        : ['cancelled', 'cancelled', 'completed'];
    const outcome = outcomes[Math.floor(this.#random() * outcomes.length)] ?? 'completed';
    await this.store.append({
      stream: conversationStream(conversationId),
      key: `end:${turnId}.${attempt}`,
      events: [endEvent(running, outcome)],
    });
  }

  #mustBeRecorded({ turnId, attempt }: AttemptFacts): void {
    if (this.store.attemptOf(turnId, attempt) === undefined)
      this.violations.push(`${turnId}.${attempt} was run, and never recorded`);
  }

  /** T3: only a person's act takes the slot from a conversation that runs, or that waits and does not give way. */
  #checkActivation(
    facts: TableState | null,
    events: readonly NewEvent[],
    { command }: { command?: TableCommand },
  ): void {
    const [event] = events;
    if (facts === null || command === undefined || event?.type !== 'conversation.activated') return;
    if (command.type === 'newConversation' || command.type === 'activate') return;
    if (command.type === 'want' && command.interrupt) return;
    const { activeConversationId, waiting, running } = facts;
    const place = (id: string | null | undefined) =>
      waiting.findIndex(({ conversationId }) => conversationId === id);
    if (running !== null) this.violations.push('T3: the slot moved while a turn ran');
    const yields = command.type === 'look' && command.yields === activeConversationId;
    if (place(activeConversationId) !== -1 && !yields)
      this.violations.push('T3: the slot was taken from a conversation that waits');
    if (place(event.conversationId) === -1)
      this.violations.push('T3: the slot was given to a conversation that does not wait');
  }
}

/** The store as an activity sees it: before each call, others may go first. */
function pausing(
  store: TableStore,
  pause: () => Promise<void>,
  onAppend: (facts: TableState | null, events: readonly NewEvent[]) => void,
): UsedStore {
  let facts: TableState | null = null;
  return {
    append: async (request) => {
      await pause();
      if (request.stream === tableStream(TABLE)) onAppend(facts, request.events);
      return store.append(request);
    },
    tableState: async (tableId) => {
      await pause();
      facts = await store.tableState(tableId);
      return facts;
    },
    workflowState: (id) => pause().then(() => store.workflowState(id)),
    table: (id) => pause().then(() => store.table(id)),
    conversation: (id) => pause().then(() => store.conversation(id)),
    request: (id, requestId) => pause().then(() => store.request(id, requestId)),
    message: () => store.message(),
    agent: () => store.agent(),
    takeableMail: () => store.takeableMail(),
    latestAttempt: (id) => pause().then(() => store.latestAttempt(id)),
    attempt: (id, attempt) => pause().then(() => store.attempt(id, attempt)),
    events: (stream, after, limit) => pause().then(() => store.events(stream, after, limit)),
  };
}

/** mulberry32. */
function randomNumbers(seed: number): () => number {
  let state = seed;
  return () => {
    state = (state + 0x6d_2b_79_f5) | 0;
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 4_294_967_296;
  };
}
