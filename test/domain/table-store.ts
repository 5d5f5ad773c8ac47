/**
 * A small store that keeps what `store/port.ts` promises of tables: keys, receipts, `unlessEnded`, and the refusals of S1
 * with their reasons. Everything is a scan over plain rows: slow, and easy to believe.
 */
import { HoldfastError } from '../../src/contracts/errors.ts';
import type {
  ConversationStateName,
  Event,
  NewEvent,
  OutcomeName,
  QueueItemValue,
} from '../../src/contracts/events.ts';
import type {
  AppendRequest,
  AppendResult,
  RequestRow,
  Store,
  TableState,
  WorkflowState,
} from '../../src/store/port.ts';
import { stored } from './reports.ts';

/** What the activities of workflows ask of a store. */
export type UsedStore = Pick<
  Store,
  | 'append'
  | 'workflowState'
  | 'tableState'
  | 'table'
  | 'conversation'
  | 'request'
  | 'message'
  | 'latestAttempt'
  | 'attempt'
  | 'events'
  | 'agent'
  | 'takeableMail'
>;

export type AttemptFacts = {
  conversationId: string;
  turnId: string;
  attempt: number;
  requestId: string | null;
  startedAt: string;
  outcome: OutcomeName | null;
  cancelBy: string | null;
};

type ConversationFacts = {
  conversationId: string;
  tableId: string | null;
  title: string;
  provider: string;
  model: string | null;
  state: ConversationStateName;
  queue: QueueItemValue[];
  held: boolean;
};

const ENDS: Partial<Record<Event['type'], OutcomeName>> = {
  'chat.done': 'completed',
  'chat.error': 'failed',
  'chat.cancelled': 'cancelled',
  'chat.interrupted': 'interrupted',
};

export class TableStore implements UsedStore {
  readonly logs = new Map<string, Event[]>();
  readonly conversations = new Map<string, ConversationFacts>();
  readonly attempts: AttemptFacts[] = [];
  readonly requests: RequestRow[] = [];
  readonly prompts = new Map<string, string>();
  readonly #keys = new Map<string, { firstSeq: number; lastSeq: number }>();
  readonly #tables = new Map<string, { activeConversationId: string | null }>();
  readonly #now: () => string;

  constructor(now: () => string) {
    this.#now = now;
  }

  async append(request: AppendRequest): Promise<AppendResult> {
    const { stream, events, key, unlessEnded } = request;
    const log = this.logs.get(stream) ?? [];
    const known = key === undefined ? undefined : this.#keys.get(`${stream} ${key}`);
    if (known !== undefined) return { status: 'repeated', ...known };
    if (unlessEnded !== undefined) {
      const { outcome } = this.attemptOf(unlessEnded.turnId, unlessEnded.attempt) ?? {};
      if (outcome != null) return { status: 'ended', outcome, cause: null };
    }
    const [kind, id = ''] = stream.split(':');
    if (kind === 'conversation') this.#refuseSecondTurn(id, request);
    const firstSeq = log.length + 1;
    const placed = stored(events, log.length).map((event) => ({ ...event, at: this.#now() }));
    for (const event of placed) {
      if (kind === 'conversation') this.#project(id, event);
      else this.#projectTable(id, event);
    }
    this.logs.set(stream, [...log, ...placed]);
    const lastSeq = log.length + placed.length;
    if (key !== undefined) this.#keys.set(`${stream} ${key}`, { firstSeq, lastSeq });
    if (request.request !== undefined) {
      const { requestId } = request.request;
      if (this.#request(id, requestId) !== null) throw new HoldfastError('request_id_reused');
      this.requests.push({
        ...request.request,
        conversationId: id,
        at: this.#now(),
        steeredInto: null,
      });
    }
    return { status: 'appended', firstSeq, lastSeq };
  }

  /** Nobody writes to anybody here. */
  async takeableMail(): Promise<{ items: []; more: false }> {
    return { items: [], more: false };
  }

  /** Nobody here is one. */
  async agent(): Promise<null> {
    return null;
  }

  async workflowState(conversationId: string): Promise<WorkflowState | null> {
    const facts = this.conversations.get(conversationId);
    if (facts === undefined) return null;
    const running = this.runningIn(conversationId);
    return {
      ...facts,
      ...UNUSED,
      queue: [...facts.queue],
      turn:
        running === null
          ? null
          : {
              turnId: running.turnId,
              attempt: running.attempt,
              requestId: running.requestId,
              startedAt: running.startedAt,
              cancelRequested: running.cancelBy !== null,
            },
    };
  }

  async tableState(tableId: string): Promise<TableState | null> {
    const table = this.#tables.get(tableId);
    if (table === undefined) return null;
    const running = this.#ofTable(tableId).flatMap((id) => this.runningIn(id) ?? [])[0];
    const waiting = this.#waiting(tableId);
    return {
      tableId,
      ...table,
      running:
        running === undefined
          ? null
          : {
              conversationId: running.conversationId,
              turnId: running.turnId,
              attempt: running.attempt,
              cancelRequested: running.cancelBy !== null,
            },
      waiting,
    };
  }

  async table(tableId: string): ReturnType<Store['table']> {
    const table = this.#tables.get(tableId);
    if (table === undefined) return null;
    return { tableId, ...table, ...UNUSED, title: '', provider: 'scripted', model: null };
  }

  async conversation(conversationId: string): ReturnType<Store['conversation']> {
    const facts = this.conversations.get(conversationId);
    return facts === undefined ? null : { ...facts, ...UNUSED };
  }

  async request(conversationId: string, requestId: string): Promise<RequestRow | null> {
    return this.#request(conversationId, requestId);
  }

  async message(): ReturnType<Store['message']> {
    return null;
  }

  async latestAttempt(turnId: string): ReturnType<Store['latestAttempt']> {
    const last = this.attempts.findLast((each) => each.turnId === turnId);
    return last === undefined
      ? null
      : { ...last, ...UNUSED_OF_ATTEMPT, content: this.prompts.get(turnId) ?? '' };
  }

  async attempt(turnId: string, attempt: number): ReturnType<Store['attempt']> {
    const found = this.attemptOf(turnId, attempt);
    return found === undefined ? null : { ...found, ...UNUSED_OF_ATTEMPT };
  }

  async events(stream: string, after: number, limit: number): ReturnType<Store['events']> {
    const log = this.logs.get(stream) ?? [];
    const items = log.slice(after, after + limit).map((event) => ({
      seq: event.seq,
      type: event.type,
      json: JSON.stringify(event),
    }));
    return { items, lastSeq: log.length };
  }

  /** Conversations that need a workflow: see `Store.unsettled`. */
  unsettled(): string[] {
    return [...this.conversations.values()]
      .filter(
        ({ state, tableId, queue, held }) =>
          state !== 'idle' || (tableId === null && queue.length > 0 && !held),
      )
      .map(({ conversationId }) => conversationId);
  }

  /** See `Store.waitingTables`. */
  waitingTables(): string[] {
    return [...this.#tables.keys()].filter(
      (id) =>
        this.#ofTable(id).every((each) => this.runningIn(each) === null) &&
        this.#waiting(id).length > 0,
    );
  }

  activeOf(tableId: string): string | null {
    return this.#tables.get(tableId)?.activeConversationId ?? null;
  }

  attemptOf(turnId: string, attempt: number): AttemptFacts | undefined {
    return this.attempts.find((each) => each.turnId === turnId && each.attempt === attempt);
  }

  runningIn(conversationId: string): AttemptFacts | null {
    const running = this.attempts.filter(
      (each) => each.conversationId === conversationId && each.outcome === null,
    );
    return running[0] ?? null;
  }

  #request(conversationId: string, requestId: string): RequestRow | null {
    const row = this.requests.find(
      (each) => each.conversationId === conversationId && each.requestId === requestId,
    );
    return row ?? null;
  }

  #ofTable(tableId: string): string[] {
    return [...this.conversations.values()]
      .filter((each) => each.tableId === tableId)
      .map(({ conversationId }) => conversationId);
  }

  #waiting(tableId: string): { conversationId: string; since: string }[] {
    return this.#ofTable(tableId)
      .flatMap((conversationId) => {
        const { queue = [], held = false } = this.conversations.get(conversationId) ?? {};
        const since = queue.find((item) => item.held !== true)?.at ?? '';
        return queue.length === 0 || held || this.runningIn(conversationId) !== null
          ? []
          : [{ conversationId, since }];
      })
      .toSorted((a, b) => (a.since < b.since ? -1 : a.since > b.since ? 1 : 0));
  }

  /** S1. */
  #refuseSecondTurn(conversationId: string, { events, unlessWaitedBefore }: AppendRequest): void {
    const { tableId = null } = this.conversations.get(conversationId) ?? {};
    if (!events.some((event) => event.type === 'chat.started')) return;
    const refuse = (reason: string) => new HoldfastError('busy', undefined, { reason });
    if (this.runningIn(conversationId) !== null) throw refuse('own');
    if (tableId === null) return;
    const others = this.#ofTable(tableId).filter((id) => id !== conversationId);
    if (others.some((id) => this.runningIn(id) !== null)) throw refuse('running');
    if (this.activeOf(tableId) !== conversationId) throw refuse('elsewhere');
    const before = unlessWaitedBefore ?? '';
    const longer = this.#waiting(tableId).some(
      (each) => each.conversationId !== conversationId && each.since < before,
    );
    if (longer) throw refuse('waiting');
  }

  #projectTable(tableId: string, event: Event): void {
    if (event.type === 'table.created') this.#tables.set(tableId, { activeConversationId: null });
    const table = this.#tables.get(tableId);
    if (table !== undefined && event.type === 'conversation.activated')
      table.activeConversationId = event.conversationId ?? null;
  }

  #project(conversationId: string, event: Event): void {
    if (event.type === 'conversation.created') {
      const { tableId, title, provider, model } = event.payload;
      const names = { conversationId, tableId, title, provider, model };
      this.conversations.set(conversationId, { ...names, state: 'idle', queue: [], held: false });
      return;
    }
    const facts = this.conversations.get(conversationId);
    if (facts === undefined) throw new HoldfastError('not_found');
    const { turnId = '', attempt = 0, requestId = null } = event;
    switch (event.type) {
      case 'conversation.state':
        facts.state = event.payload.state;
        return;
      case 'conversation.updated':
        facts.title = event.payload.title ?? facts.title;
        return;
      case 'queue.changed': {
        const { queue, held } = event.payload;
        facts.queue = queue;
        facts.held = (held ?? facts.held) && queue.length > 0;
        return;
      }
      case 'message.created':
        this.prompts.set(turnId, event.payload.content);
        return;
      case 'chat.started': {
        const startedAt = this.#now();
        const outcome = null;
        this.attempts.push({
          conversationId,
          turnId,
          attempt,
          requestId,
          startedAt,
          outcome,
          cancelBy: null,
        });
        return;
      }
      case 'chat.cancelling': {
        const running = this.attemptOf(turnId, attempt);
        if (running !== undefined) running.cancelBy ??= event.payload.by ?? '';
        return;
      }
      case 'chat.steered': {
        const row = this.#request(conversationId, requestId ?? '');
        if (row !== null) row.steeredInto = event.payload;
        return;
      }
      default: {
        const outcome = ENDS[event.type];
        const ended = event.attempt === undefined ? undefined : this.attemptOf(turnId, attempt);
        if (outcome === undefined || ended === undefined) return;
        if (ended.outcome !== null) throw new HoldfastError('fenced');
        ended.outcome = outcome;
      }
    }
  }
}

/** What these tests do not look at. */
const UNUSED = {
  workspacePath: '/w',
  host: 'h1',
  providerSessionId: null,
  sessionGeneration: 0,
  createdAt: '',
};

const UNUSED_OF_ATTEMPT = {
  provider: 'scripted',
  model: null,
  cause: null,
  usage: null,
  epoch: 1,
  place: null,
  spoolOffset: 0,
};

/** The end of an attempt as an event, whoever writes it. */
export function endEvent(
  { turnId, attempt, requestId }: AttemptFacts,
  outcome: OutcomeName,
): NewEvent {
  const place = { turnId, attempt, ...(requestId === null ? {} : { requestId }) };
  switch (outcome) {
    case 'completed':
      return { type: 'chat.done', ...place, payload: {} };
    case 'failed':
      return { type: 'chat.error', ...place, payload: { code: 'spawn', message: 'no program' } };
    case 'cancelled':
      return { type: 'chat.cancelled', ...place, payload: { by: 'user' } };
    case 'interrupted':
      return {
        type: 'chat.interrupted',
        ...place,
        payload: { cause: 'process_lost', retryable: true },
      };
  }
}
