/**
 * Triggers and their ledgers as an independent model: plain lists, no sharing of code with any engine. Also the random
 * operations that an engine and the model are given alike.
 */
import * as fc from 'fast-check';

import { isHoldfastError } from '../../src/contracts/errors.ts';
import type {
  DecidedFireValue,
  NewEvent,
  TriggerDefinitionValue,
  TriggerOutcomeName,
} from '../../src/contracts/events.ts';
import { conversationStream, triggerStream } from '../../src/contracts/ids.ts';
import type { LedgerCountsValue, LedgerRowValue } from '../../src/contracts/triggers.ts';
import type { Store, TriggerRow, Undelivered } from '../../src/store/port.ts';

export const TRIGGERS = ['x', 'y'] as const;
const CONVERSATIONS = ['c1', 'c2'] as const;
export const OUTCOMES: readonly TriggerOutcomeName[] = [
  'fired',
  'late',
  'caught-up',
  'skipped',
  'rejected',
];
const RUNS: ReadonlySet<string> = new Set(['fired', 'late', 'caught-up']);

/** The n-th second of the year. */
export function second(n: number): string {
  return new Date(Date.UTC(2026, 0, 1) + n * 1_000).toISOString();
}

export function definition(
  overrides: Partial<TriggerDefinitionValue> = {},
): TriggerDefinitionValue {
  return {
    title: 'a title',
    tableId: null,
    conversationId: 'c1',
    content: 'what to do',
    schedule: { everyMs: 1_000, timezone: 'UTC' },
    jitterMs: 0,
    startAt: null,
    endAt: null,
    missed: { policy: 'skip' },
    whenBusy: 'queue',
    newConversation: false,
    paused: false,
    ...overrides,
  };
}

/** A decision; one that runs has a request `q-<dueAt>` of c1 unless it names another. */
export function fire(dueAt: string, given: Partial<DecidedFireValue> = {}): DecidedFireValue {
  const { outcome = 'fired' } = given;
  const sent = {
    requestId: `q-${Date.parse(dueAt)}`,
    conversationId: 'c1',
    whenBusy: 'queue' as const,
  };
  return {
    dueAt,
    decidedAt: dueAt,
    outcome,
    words: `words of ${dueAt}`,
    rule: 'r1',
    ...(RUNS.has(outcome) ? sent : {}),
    ...given,
  };
}

type Fires = { outcome: TriggerOutcomeName; reason: string; conversationId: string }[];
export type Operation =
  | { type: 'create'; id: string; next: number | null; table: boolean }
  | { type: 'update'; id: string; right: boolean; newRule: boolean; key: number | null }
  | { type: 'remove'; id: string; right: boolean; key: number | null }
  | {
      type: 'decide';
      id: string;
      right: boolean;
      fires: Fires;
      /** Seconds with nothing due, before them. */
      pause: number;
      next: number | null;
      key: number | null;
      /** Its last row names a rule that there is not: it fails half-way. */
      broken: boolean;
    }
  | { type: 'manual'; id: string; fire: Fires[0]; request: number; key: number | null }
  | { type: 'backfill'; id: string; fires: Fires; ago: number; key: number | null }
  | { type: 'receipt'; conversationId: string; which: number; code: string | null; queued: boolean }
  | { type: 'mark'; id: string; count: number; other: boolean }
  | { type: 'reopen' };

// Mostly the one that is there from the beginning.
const id = fc.constantFrom('x', 'x', 'x', 'y');
const right = fc.nat(5).map((n) => n > 0);
const key = fc.constantFrom(null, null, 1, 2);
const next = fc.option(fc.nat(40));
const conversationId = fc.constantFrom(...CONVERSATIONS);
const aFire = fc.record({
  outcome: fc.constantFrom(...OUTCOMES),
  reason: fc.constantFrom('', 'paused', 'missed'),
  conversationId,
});
function op<F extends object>(
  weight: number,
  type: Operation['type'],
  fields: { [K in keyof F]: fc.Arbitrary<F[K]> },
) {
  return {
    weight,
    arbitrary: fc
      .record(fields, { noNullPrototype: true })
      .map((rest) => ({ type, ...rest }) as unknown as Operation),
  };
}
export const anyOperation: fc.Arbitrary<Operation> = fc.oneof(
  op(3, 'create', { id, next, table: fc.boolean() }),
  op(2, 'update', { id, right, newRule: fc.boolean(), key }),
  op(1, 'remove', { id, right: fc.boolean(), key }),
  op(8, 'decide', {
    id,
    right,
    fires: fc.array(aFire, { maxLength: 4 }),
    pause: fc.nat(2),
    next,
    key,
    broken: fc.nat(7).map((n) => n === 0),
  }),
  op(3, 'manual', { id, fire: aFire, request: fc.nat(3), key }),
  op(3, 'backfill', {
    id,
    fires: fc.array(aFire, { maxLength: 4 }),
    ago: fc.integer({ min: -1, max: 6 }),
    key,
  }),
  op(7, 'receipt', {
    conversationId,
    which: fc.nat(),
    code: fc.option(fc.constantFrom('busy', 'queue_full'), { freq: 2 }),
    queued: fc.boolean(),
  }),
  op(2, 'mark', { id, count: fc.nat(2), other: fc.boolean() }),
  op(1, 'reopen', {}),
);

type Row = LedgerRowValue & { n: number; whenBusy: string; awaited: boolean; sent: boolean };
type Trigger = { row: TriggerRow; rules: Map<string, TriggerDefinitionValue>; rows: Row[] };
type Receipt = { turnId: string } | { code: string };
type DecidedPayload = Extract<NewEvent, { type: 'trigger.decided' }>['payload'];

/** What triggers and ledgers there are, and how a store answers: an error as its code, `failed` for one without. */
export class TriggerModel {
  readonly triggers = new Map<string, Trigger>();
  readonly receipts = new Map<string, Receipt>();
  readonly keys = new Set<string>();
  /** Events of each trigger's stream. */
  readonly lastSeqs = new Map<string, number>();
  #now = 0;
  #fresh = 0;
  #rows = 0;
  readonly requests: string[] = ['m0', 'm1', 'm2', 'm3'];

  /** What the next append's clock says. */
  get now(): number {
    return Date.UTC(2026, 5, 1) + this.#now * 1_000;
  }

  /** Does it to both; what each answered. */
  async perform(store: Store, operation: Operation): Promise<{ store: string; model: string }> {
    this.#now += 1;
    this.#fresh += 1;
    const at = new Date(this.now).toISOString();
    switch (operation.type) {
      case 'reopen':
        return { store: 'ok', model: 'ok' };
      case 'mark': {
        const trigger = this.triggers.get(operation.id);
        const rows = this.undelivered(operation.id).slice(0, operation.count);
        const ids = rows.map(({ requestId }) => requestId);
        // Of another trigger it is no row.
        await store.markDelivered(operation.other ? 'z' : operation.id, ids);
        if (!operation.other)
          for (const row of trigger?.rows ?? [])
            if (row.requestId !== undefined && ids.includes(row.requestId)) row.sent = true;
        return { store: 'ok', model: 'ok' };
      }
      case 'receipt': {
        const requestId = this.requests[operation.which % this.requests.length] ?? '';
        const { conversationId: of, code, queued } = operation;
        const turnId = `t-${requestId}`;
        const answer = await answerOf(
          store.append({
            stream: conversationStream(of),
            events: [],
            request: {
              requestId,
              kind: 'send',
              status: code !== null ? 'rejected' : queued ? 'queued' : 'started',
              turnId: code === null ? turnId : null,
              attempt: 1,
              contentHash: 'h',
              ...(code === null ? {} : { code }),
            },
          }),
        );
        const known = this.receipts.has(`${of} ${requestId}`);
        if (!known) this.#receive(of, requestId, code === null ? { turnId } : { code });
        return { store: answer, model: known ? 'request_id_reused' : 'ok' };
      }
      default: {
        const events = this.#eventsOf(operation);
        const own = operation.type === 'create' ? 'created' : operation.key;
        const request = {
          stream: triggerStream(operation.id),
          events,
          ...(own === null ? {} : { key: `${own}` }),
        };
        const answer = await answerOf(store.append(request));
        const known = own !== null && this.keys.has(`${operation.id} ${own}`);
        const model = known ? 'repeated' : this.#take(operation.id, events, at);
        if (model === 'ok' && own !== null) this.keys.add(`${operation.id} ${own}`);
        if (model === 'ok')
          this.lastSeqs.set(operation.id, (this.lastSeqs.get(operation.id) ?? 0) + events.length);
        return { store: answer, model };
      }
    }
  }

  #eventsOf(operation: Exclude<Operation, { type: 'reopen' | 'mark' | 'receipt' }>): NewEvent[] {
    const triggerId = operation.id;
    const trigger = this.triggers.get(triggerId);
    const decidedUntil = trigger?.row.decidedUntil ?? second(0);
    const rule = trigger?.row.rule ?? 'r1';
    const commandId = `command-${this.#fresh}`;
    const nextDueAt = (n: number | null): string | null => (n === null ? null : second(n));
    const from = (isRight: boolean): string => (isRight ? decidedUntil : second(9_999));
    switch (operation.type) {
      case 'create':
        return [
          {
            type: 'trigger.created',
            payload: {
              triggerId,
              rule: 'r1',
              definition: definition(
                operation.table
                  ? { tableId: 'tb', conversationId: null, title: 'half \ud83d' }
                  : { conversationId: 'c2' },
              ),
              decidedUntil: second(0),
              nextDueAt: nextDueAt(operation.next),
            },
          },
        ];
      case 'update':
        return [
          {
            type: 'trigger.updated',
            payload: {
              triggerId,
              rule: operation.newRule ? `r${this.#fresh}` : rule,
              definition: definition({ title: `title ${this.#fresh}` }),
              from: from(operation.right),
              nextDueAt: null,
              commandId,
            },
          },
        ];
      case 'remove':
        return [
          {
            type: 'trigger.removed',
            payload: { triggerId, from: from(operation.right), commandId },
          },
        ];
      case 'decide': {
        const start = this.#secondOf(decidedUntil) + operation.pause;
        const fires = operation.fires.map((one, index) =>
          this.#fire(one, second(start + 1 + index), rule),
        );
        const last = fires.at(-1);
        if (operation.broken && last !== undefined) last.rule = 'no such rule';
        return [
          {
            type: 'trigger.decided',
            payload: {
              triggerId,
              cause: 'due',
              from: from(operation.right),
              until: second(start + fires.length),
              nextDueAt: nextDueAt(operation.next),
              fires,
            },
          },
        ];
      }
      case 'manual': {
        const fires = [this.#fire(operation.fire, decidedUntil, rule, `m${operation.request}`)];
        return [{ type: 'trigger.decided', payload: { triggerId, cause: 'manual', fires } }];
      }
      case 'backfill': {
        const start = this.#secondOf(decidedUntil) - operation.ago;
        const fires = operation.fires
          .map((one, index) => this.#fire(one, second(start - index), rule))
          .filter(({ dueAt }) => operation.ago >= 0 || dueAt > decidedUntil);
        return [
          { type: 'trigger.decided', payload: { triggerId, cause: 'backfill', fires, commandId } },
        ];
      }
    }
  }

  #secondOf(at: string): number {
    return (Date.parse(at) - Date.UTC(2026, 0, 1)) / 1_000;
  }

  #fire(one: Fires[0], dueAt: string, rule: string, requestId?: string): DecidedFireValue {
    const { outcome, reason, conversationId: to } = one;
    const fresh = requestId ?? `q${(this.#fresh += 1)}`;
    if (requestId === undefined && RUNS.has(outcome)) this.requests.push(fresh);
    // Now and then two are decided at the same time.
    const decidedAt = new Date(this.now - (this.#fresh % 2)).toISOString();
    return {
      dueAt,
      decidedAt,
      outcome,
      words: reason === 'missed' ? 'half \udc00' : '',
      rule,
      ...(reason === '' ? {} : { reason }),
      ...(RUNS.has(outcome)
        ? { requestId: fresh, conversationId: to, whenBusy: 'reject' as const }
        : {}),
    };
  }

  #take(triggerId: string, events: readonly NewEvent[], at: string): string {
    const trigger = this.triggers.get(triggerId);
    for (const event of events) {
      if (event.type === 'trigger.created') {
        const { rule, definition: given, decidedUntil, nextDueAt } = event.payload;
        this.triggers.set(triggerId, {
          row: {
            triggerId,
            definition: given,
            rule,
            createdAt: at,
            updatedAt: at,
            decidedUntil,
            nextDueAt,
            removedAt: null,
          },
          rules: new Map([[rule, given]]),
          rows: [],
        });
        continue;
      }
      if (trigger === undefined) return 'not_found';
      const { row, rules } = trigger;
      if (row.removedAt !== null) return 'fenced';
      if (event.type === 'trigger.decided') {
        const fault = this.#decide(trigger, event.payload);
        if (fault !== null) return fault;
      } else if (event.type === 'trigger.updated' || event.type === 'trigger.removed') {
        if (event.payload.from !== row.decidedUntil) return 'fenced';
        if (event.type === 'trigger.removed')
          Object.assign(row, { removedAt: at, nextDueAt: null });
        else {
          const { rule, definition: given, nextDueAt } = event.payload;
          rules.set(rule, given);
          Object.assign(row, { rule, definition: given, nextDueAt, updatedAt: at });
        }
      }
    }
    return 'ok';
  }

  #decide(trigger: Trigger, payload: DecidedPayload): string | null {
    const { row, rules, rows } = trigger;
    const { cause, from, until, nextDueAt, fires } = payload;
    if (cause === 'due' && from !== row.decidedUntil) return 'fenced';
    if (cause === 'backfill' && fires.some(({ dueAt }) => dueAt > row.decidedUntil))
      return 'failed';
    if (fires.some(({ rule }) => !rules.has(rule))) return 'failed';
    for (const each of fires) {
      if (cause === 'manual') {
        const again = rows.some(
          (other) => other.cause === 'manual' && other.requestId === each.requestId,
        );
        if (again && each.requestId !== undefined) continue;
      } else {
        const index = rows.findIndex(
          (other) => other.cause !== 'manual' && other.dueAt === each.dueAt,
        );
        const there = rows[index];
        if (there !== undefined && RUNS.has(there.outcome)) continue;
        if (there !== undefined) rows.splice(index, 1);
      }
      this.#add(trigger, cause, each);
    }
    if (cause === 'due') Object.assign(row, { decidedUntil: until, nextDueAt: nextDueAt ?? null });
    return null;
  }

  #add(trigger: Trigger, cause: LedgerRowValue['cause'], given: DecidedFireValue): void {
    const { whenBusy = '', ...shown } = given;
    const runs = RUNS.has(given.outcome);
    const row: Row = {
      triggerId: trigger.row.triggerId,
      cause,
      ...shown,
      n: (this.#rows += 1),
      whenBusy,
      awaited: runs,
      sent: !runs,
    };
    trigger.rows.push(row);
    const receipt = this.receipts.get(`${given.conversationId ?? ''} ${given.requestId ?? ''}`);
    if (runs && receipt !== undefined) settle(row, receipt);
  }

  #receive(of: string, requestId: string, receipt: Receipt): void {
    this.receipts.set(`${of} ${requestId}`, receipt);
    for (const { rows } of this.triggers.values())
      for (const row of rows)
        if (row.awaited && row.conversationId === of && row.requestId === requestId)
          settle(row, receipt);
  }

  /** Newest first. */
  ledger(triggerId: string): LedgerRowValue[] {
    return this.#newestFirst(triggerId).map(toShown);
  }

  #newestFirst(triggerId: string): Row[] {
    const rows = this.triggers.get(triggerId)?.rows ?? [];
    return rows.toSorted((a, b) => (a.dueAt === b.dueAt ? b.n - a.n : a.dueAt < b.dueAt ? 1 : -1));
  }

  summary(triggerId: string): {
    counts: LedgerCountsValue;
    last: LedgerRowValue | null;
    trouble: LedgerRowValue | null;
  } {
    const rows = this.ledger(triggerId);
    const count = (outcome: string): number => rows.filter((row) => row.outcome === outcome).length;
    return {
      counts: {
        fired: count('fired'),
        late: count('late'),
        'caught-up': count('caught-up'),
        skipped: count('skipped'),
        rejected: count('rejected'),
      },
      last: rows[0] ?? null,
      trouble:
        rows.find(
          ({ outcome, reason }) =>
            outcome === 'late' ||
            outcome === 'rejected' ||
            (outcome === 'skipped' && reason !== 'paused'),
        ) ?? null,
    };
  }

  ran(triggerId: string, from: string, to: string): string[] {
    return this.ledger(triggerId)
      .filter(({ cause, outcome, dueAt }) => {
        const inside = dueAt >= from && dueAt <= to;
        return inside && cause !== 'manual' && RUNS.has(outcome);
      })
      .map(({ dueAt }) => dueAt)
      .toReversed();
  }

  undelivered(triggerId: string): Undelivered[] {
    const trigger = this.triggers.get(triggerId);
    return (trigger?.rows ?? [])
      .filter(({ sent }) => !sent)
      .toSorted(
        (a, b) =>
          Date.parse(a.decidedAt) - Date.parse(b.decidedAt) ||
          Date.parse(a.dueAt) - Date.parse(b.dueAt) ||
          a.n - b.n,
      )
      .map((row) => {
        const { dueAt, decidedAt, outcome, words, requestId = '', whenBusy } = row;
        return {
          triggerId,
          dueAt,
          decidedAt,
          outcome,
          words,
          requestId,
          conversationId: row.conversationId ?? '',
          whenBusy: whenBusy as Undelivered['whenBusy'],
          definition: trigger?.rules.get(row.rule) ?? definition(),
        };
      });
  }

  overdue(dueBefore: string, decidedBefore: string): string[] {
    return TRIGGERS.filter((triggerId) => {
      const due = this.triggers.get(triggerId)?.row.nextDueAt ?? null;
      const unsent = this.undelivered(triggerId).some((row) => row.decidedAt < decidedBefore);
      return (due !== null && due < dueBefore) || unsent;
    });
  }
}

function settle(row: Row, receipt: Receipt): void {
  row.awaited = false;
  row.sent = true;
  if ('turnId' in receipt) {
    row.turnId = receipt.turnId;
    return;
  }
  const { code } = receipt;
  const more =
    code === 'busy' ? 'Its conversation was busy.' : `Its conversation refused it: ${code}.`;
  row.outcome = code === 'busy' ? 'skipped' : 'rejected';
  row.reason = code;
  row.words = row.words === '' ? more : `${row.words} ${more}`;
}

function toShown(row: Row): LedgerRowValue {
  const { n: _, whenBusy: __, awaited: ___, sent: ____, ...rest } = row;
  return rest;
}

async function answerOf(append: Promise<{ status: string }>): Promise<string> {
  try {
    const { status } = await append;
    return status === 'appended' ? 'ok' : status;
  } catch (error) {
    return isHoldfastError(error) ? error.code : 'failed';
  }
}
