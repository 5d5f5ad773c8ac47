/**
 * The store's writes as an independent model: plain maps, no sharing of code with any engine.
 * Also the random operations that engines and the model are given alike.
 */
import * as fc from 'fast-check';

import { isHoldfastError } from '../../src/contracts/errors.ts';
import type { NewEvent, OutcomeName } from '../../src/contracts/events.ts';
import { conversationStream, tableStream } from '../../src/contracts/ids.ts';
import type { Store } from '../../src/store/port.ts';

export const CONVERSATIONS = ['c1', 'c2', 'c3'] as const;
export const TABLE = 'tb';
/** c2 and c3 sit at one table: at most one of them may run a turn, the one that is active (S1). */
const TABLES: Readonly<Record<string, string | null>> = { c1: null, c2: 'tb', c3: 'tb' };

type Target = { conversationId: string; turn: number; attempt: number };

export type Operation =
  | { type: 'create'; conversationId: string; keyed: boolean }
  | ({ type: 'start'; key: number | null; receipt: boolean } & Target)
  | ({
      type: 'text';
      count: number;
      key: number | null;
      epoch: number | null;
      unlessEnded: boolean;
      spoolOffset: number | null;
    } & Target)
  | ({
      type: 'end';
      outcome: OutcomeName;
      key: number | null;
      epoch: number | null;
      unlessEnded: boolean;
    } & Target)
  | ({ type: 'claim'; place: { spool: string; from: number } | null; announce: boolean } & Target)
  | ({ type: 'session'; epoch: number } & Target)
  | { type: 'activate'; conversationId: string }
  /** Fails half-way: its second event makes a message that is there already. */
  | { type: 'broken'; conversationId: string };

const anyConversation = fc.constantFrom(...CONVERSATIONS);
const anyTarget = {
  conversationId: anyConversation,
  turn: fc.integer({ min: 1, max: 2 }),
  attempt: fc.integer({ min: 1, max: 2 }),
};
const anyKey = fc.option(fc.integer({ min: 1, max: 4 }), { freq: 2 });
const anyEpoch = fc.option(fc.integer({ min: 0, max: 3 }), { freq: 3 });

export const anyOperation: fc.Arbitrary<Operation> = fc.oneof(
  {
    weight: 2,
    arbitrary: fc.record({
      type: fc.constant('create' as const),
      conversationId: anyConversation,
      keyed: fc.boolean(),
    }),
  },
  {
    weight: 4,
    arbitrary: fc.record({
      type: fc.constant('start' as const),
      ...anyTarget,
      key: anyKey,
      receipt: fc.boolean(),
    }),
  },
  {
    weight: 6,
    arbitrary: fc.record({
      type: fc.constant('text' as const),
      ...anyTarget,
      count: fc.constantFrom(0, 1, 2, 3, 70),
      key: anyKey,
      epoch: anyEpoch,
      unlessEnded: fc.boolean(),
      spoolOffset: fc.option(fc.nat(100)),
    }),
  },
  {
    weight: 3,
    arbitrary: fc.record({
      type: fc.constant('end' as const),
      ...anyTarget,
      outcome: fc.constantFrom('completed' as const, 'cancelled' as const, 'interrupted' as const),
      key: anyKey,
      epoch: anyEpoch,
      unlessEnded: fc.boolean(),
    }),
  },
  {
    weight: 5,
    arbitrary: fc.record({
      type: fc.constant('claim' as const),
      ...anyTarget,
      place: fc.option(
        fc.record({ spool: fc.constantFrom('s1', 's2'), from: fc.constantFrom(0, 10) }),
      ),
      announce: fc.boolean(),
    }),
  },
  {
    weight: 1,
    arbitrary: fc.record({
      type: fc.constant('session' as const),
      ...anyTarget,
      epoch: fc.integer({ min: 0, max: 3 }),
    }),
  },
  {
    weight: 3,
    arbitrary: fc.record({
      type: fc.constant('activate' as const),
      conversationId: fc.constantFrom('c2', 'c3'),
    }),
  },
  {
    weight: 1,
    arbitrary: fc.record({ type: fc.constant('broken' as const), conversationId: anyConversation }),
  },
);

type ModelAttempt = {
  target: Target;
  outcome: OutcomeName | null;
  epoch: number;
  place: { spool: string; from: number } | null;
  spoolOffset: number;
};

/** What a store holds, and how it answers: an error as its code, `failed` for one without. */
export class StoreModel {
  readonly logs = new Map<string, NewEvent[]>();
  readonly keys = new Map<string, { firstSeq: number; lastSeq: number }>();
  readonly attempts = new Map<string, ModelAttempt>();
  readonly epochs = new Map<string, number>();
  readonly sessions = new Map<string, string>();
  readonly receipts = new Set<string>();
  /** What the table's stream must hold, as `<type> <conversation>`. */
  readonly tableLog = ['table.created '];
  #active: string | null = null;
  /** The table's conversations, the one in which something has happened last first. */
  #recent: string[] = [];

  apply(operation: Operation): unknown {
    switch (operation.type) {
      case 'activate': {
        const lastSeq = this.tableLog.push(`conversation.activated ${operation.conversationId}`);
        this.#active = operation.conversationId;
        return { status: 'appended', firstSeq: lastSeq, lastSeq };
      }
      case 'create':
        return this.#append(operation, () =>
          this.epochs.has(operation.conversationId) ? 'failed' : null,
        );
      case 'start':
        return this.#append(operation, () => this.#refuseStart(operation));
      case 'text':
      case 'end':
        return this.#append(operation, () => this.#refuseEnd(operation));
      case 'broken':
        return this.epochs.has(operation.conversationId) ? 'failed' : 'not_found';
      case 'claim':
        return this.#claim(operation);
      case 'session': {
        if (!this.#holds(operation, operation.epoch)) return 'fenced';
        this.sessions.set(operation.conversationId, sessionOf(operation));
        return undefined;
      }
    }
  }

  #append(
    operation: Extract<Operation, { type: 'create' | 'start' | 'text' | 'end' }>,
    refuse: () => string | null,
  ): unknown {
    const request = requestOf(operation);
    const log = this.logs.get(operation.conversationId) ?? [];
    const keyed = request.key === undefined ? null : `${operation.conversationId}/${request.key}`;
    const known = keyed === null ? undefined : this.keys.get(keyed);
    if (known !== undefined) return { status: 'repeated', ...known };
    if ('unlessEnded' in operation && operation.unlessEnded) {
      const outcome = this.attempts.get(attemptOf(operation))?.outcome ?? null;
      if (outcome !== null) return { status: 'ended', outcome, cause: causeOf(outcome) };
    }
    if (
      'epoch' in operation &&
      operation.epoch !== null &&
      !this.#holds(operation, operation.epoch)
    )
      return 'fenced';
    const refusal = refuse();
    if (refusal !== null) return refusal;
    const firstSeq = log.length + 1;
    this.logs.set(operation.conversationId, [...log, ...request.events]);
    const lastSeq = log.length + request.events.length;
    if (keyed !== null) this.keys.set(keyed, { firstSeq, lastSeq });
    this.#project(operation);
    return { status: 'appended', firstSeq, lastSeq };
  }

  #project(operation: Extract<Operation, { type: 'create' | 'start' | 'text' | 'end' }>): void {
    if (operation.type === 'create') {
      this.epochs.set(operation.conversationId, 0);
      this.#tell(operation.conversationId);
      return;
    }
    const id = attemptOf(operation);
    const attempt = this.attempts.get(id);
    if (operation.type === 'start' || (operation.type === 'end' && attempt !== undefined))
      this.#tell(operation.conversationId);
    if (operation.type === 'start') {
      this.attempts.set(id, {
        target: operation,
        outcome: null,
        epoch: 0,
        place: null,
        spoolOffset: 0,
      });
      if (operation.receipt) this.receipts.add(id);
    } else if (operation.type === 'end') {
      if (attempt !== undefined) attempt.outcome = operation.outcome;
    } else if (attempt !== undefined && operation.epoch !== null && operation.spoolOffset !== null)
      attempt.spoolOffset = Math.max(attempt.spoolOffset, operation.spoolOffset);
  }

  /** T1: whatever comes up is told as a whole. */
  #tell(conversationId: string): void {
    if (TABLES[conversationId] === null) return;
    const type = this.#recent[0] === conversationId ? 'state' : 'listed';
    this.#recent = [conversationId, ...this.#recent.filter((one) => one !== conversationId)];
    this.tableLog.push(`conversation.${type} ${conversationId}`);
  }

  #refuseStart(operation: Extract<Operation, { type: 'start' }>): string | null {
    const { conversationId } = operation;
    if (!this.epochs.has(conversationId)) return 'not_found';
    const running = [...this.attempts.values()]
      .filter(({ outcome }) => outcome === null)
      .map(({ target }) => target.conversationId);
    if (running.includes(conversationId)) return 'busy own';
    if (TABLES[conversationId] !== null) {
      if (running.some((other) => TABLES[other] !== null)) return 'busy running';
      if (this.#active !== conversationId) return 'busy elsewhere';
    }
    return this.attempts.has(attemptOf(operation)) ? 'failed' : null;
  }

  /** An attempt ends once, whoever says so (A1). */
  #refuseEnd(operation: Extract<Operation, { type: 'text' | 'end' }>): string | null {
    const ended = (this.attempts.get(attemptOf(operation))?.outcome ?? null) !== null;
    return operation.type === 'end' && ended ? 'fenced' : null;
  }

  #holds(target: Target, epoch: number): boolean {
    const attempt = this.attempts.get(attemptOf(target));
    return attempt !== undefined && attempt.outcome === null && attempt.epoch === epoch;
  }

  #claim(operation: Extract<Operation, { type: 'claim' }>): unknown {
    const attempt = this.attempts.get(attemptOf(operation));
    const newer = this.attempts.has(attemptOf({ ...operation, attempt: operation.attempt + 1 }));
    if (attempt === undefined || attempt.outcome !== null || newer) return 'fenced';
    const place = operation.place ?? attempt.place;
    if (place === null) return 'internal';
    const epoch = (this.epochs.get(operation.conversationId) ?? 0) + 1;
    this.epochs.set(operation.conversationId, epoch);
    const same = attempt.place?.spool === place.spool && attempt.place.from === place.from;
    if (!same) attempt.spoolOffset = place.from;
    attempt.epoch = epoch;
    attempt.place = place;
    if (operation.announce) {
      const log = this.logs.get(operation.conversationId) ?? [];
      this.logs.set(operation.conversationId, [...log, ...attached(operation, epoch)]);
    }
    return { epoch, place: { host: 'h1', ...place }, spoolOffset: attempt.spoolOffset };
  }
}

export function attemptOf({ conversationId, turn, attempt }: Target): string {
  return `${conversationId}-t${turn}.${attempt}`;
}

export function turnOf({ conversationId, turn }: Target): string {
  return `${conversationId}-t${turn}`;
}

function sessionOf(target: Target): string {
  return `session of ${attemptOf(target)}`;
}

function causeOf(outcome: OutcomeName): string | null {
  return outcome === 'completed' ? null : `why ${outcome}`;
}

function attached(target: Target, epoch: number): NewEvent[] {
  const { attempt } = target;
  const payload = { epoch, host: 'h1', cause: 'test' };
  return [{ type: 'chat.attached', turnId: turnOf(target), attempt, payload }];
}

function requestOf(operation: Extract<Operation, { type: 'create' | 'start' | 'text' | 'end' }>): {
  key?: string;
  events: NewEvent[];
} {
  if (operation.type === 'create') {
    const payload = {
      tableId: TABLES[operation.conversationId] ?? null,
      title: 'title',
      provider: 'scripted',
      model: null,
      workspacePath: '/',
    };
    return {
      ...(operation.keyed ? { key: 'created' } : {}),
      events: [
        { type: 'conversation.created', payload },
        {
          type: 'message.created',
          payload: { messageId: 'first', role: 'system', content: 'there since the creation' },
        },
      ],
    };
  }
  const { attempt } = operation;
  const scope = { turnId: turnOf(operation), attempt };
  const key = operation.key === null ? {} : { key: `k${operation.key}` };
  switch (operation.type) {
    case 'start':
      return {
        ...key,
        events: [
          {
            type: 'chat.started',
            ...scope,
            payload: { attempt, provider: 'scripted', model: null },
          },
        ],
      };
    case 'text':
      return {
        ...key,
        events: Array.from({ length: operation.count }, (_, index) => ({
          type: 'chat.delta',
          ...scope,
          payload: { messageId: 'm', text: `${index} ` },
        })),
      };
    case 'end':
      return { ...key, events: [end(operation.outcome, scope)] };
  }
}

function end(outcome: OutcomeName, scope: { turnId: string; attempt: number }): NewEvent {
  const why = causeOf(outcome) ?? '';
  switch (outcome) {
    case 'completed':
      return { type: 'chat.done', ...scope, payload: {} };
    case 'failed':
      return { type: 'chat.error', ...scope, payload: { code: why, message: '' } };
    case 'cancelled':
      return { type: 'chat.cancelled', ...scope, payload: { by: why } };
    case 'interrupted':
      return { type: 'chat.interrupted', ...scope, payload: { cause: why, retryable: true } };
  }
}

/** The same operation on a store; answers as {@link StoreModel.apply} does. */
export async function perform(store: Store, operation: Operation): Promise<unknown> {
  try {
    return await call(store, operation);
  } catch (error) {
    if (!isHoldfastError(error)) return 'failed';
    return error.code === 'busy' ? `busy ${String(error.detail['reason'])}` : error.code;
  }
}

async function call(store: Store, operation: Operation): Promise<unknown> {
  const stream = conversationStream(operation.conversationId);
  switch (operation.type) {
    case 'activate': {
      const { conversationId } = operation;
      const payload = { previous: null, reason: 'user' as const };
      return store.append({
        stream: tableStream(TABLE),
        events: [{ type: 'conversation.activated', conversationId, payload }],
      });
    }
    case 'broken':
      return store.append({
        stream,
        events: [
          { type: 'notice', payload: { code: 'test', text: 'must not stay' } },
          ...Array.from({ length: 2 }, (): NewEvent => ({
            type: 'message.created',
            payload: { messageId: 'first', role: 'user', content: '' },
          })),
        ],
      });
    case 'claim': {
      const { conversationId, attempt, place, announce } = operation;
      return store.claim({
        conversationId,
        turnId: turnOf(operation),
        attempt,
        host: 'h1',
        place,
        ...(announce ? { events: (epoch: number) => attached(operation, epoch) } : {}),
      });
    }
    case 'session': {
      const { attempt, epoch } = operation;
      return store.saveProviderSession(
        { turnId: turnOf(operation), attempt, epoch },
        operation.conversationId,
        sessionOf(operation),
        0,
      );
    }
    case 'create':
      return store.append({ stream, ...requestOf(operation) });
    case 'start': {
      const { attempt } = operation;
      const request = {
        requestId: attemptOf(operation).replace('.', '-'),
        kind: 'send' as const,
        status: 'started' as const,
        turnId: turnOf(operation),
        attempt,
        contentHash: 'hash',
      };
      return store.append({
        stream,
        ...requestOf(operation),
        ...(operation.receipt ? { request } : {}),
      });
    }
    case 'text':
    case 'end': {
      const { attempt, epoch, unlessEnded } = operation;
      const place = { turnId: turnOf(operation), attempt };
      const spoolOffset = operation.type === 'text' ? operation.spoolOffset : null;
      return store.append({
        stream,
        ...requestOf(operation),
        ...(epoch === null ? {} : { fence: { ...place, epoch } }),
        ...(unlessEnded ? { unlessEnded: place } : {}),
        ...(spoolOffset === null ? {} : { spoolOffset }),
      });
    }
  }
}
