/**
 * What stands around the pure conversation in the product, in memory: a log with append keys, a store that knows turns,
 * a recorder for the running attempt. It decides nothing.
 */
import * as fc from 'fast-check';

import type { Event, NewEvent, OutcomeName } from '../../src/contracts/events.ts';
import { attemptKey } from '../../src/contracts/ids.ts';
import type { ProviderReport } from '../../src/contracts/provider-events.ts';
import {
  apply,
  type Command,
  type ConversationModel,
  decide,
  type Decision,
  newConversation,
  type RequestRecord,
} from '../../src/domain/conversation.ts';
import {
  type ForcedEnd,
  forceEnd,
  newRecording,
  record,
  type Recording,
} from '../../src/domain/segments.ts';
import { stored } from './reports.ts';

export type KnownTurn = { attempts: number; outcome: OutcomeName | null; content: string };

export class Harness {
  model: ConversationModel;
  readonly log: Event[] = [];
  readonly turns = new Map<string, KnownTurn>();
  /** `<turnId>.<attempt>` of each run and stop that was asked for, in order. */
  readonly runs: string[] = [];
  readonly stops: string[] = [];
  /** One entry for each receipt that was recorded. */
  readonly receipts: RequestRecord[] = [];
  readonly #keys = new Set<string>();
  #fresh = 0;
  #recording: Recording | null = null;

  constructor() {
    this.model = newConversation({ conversationId: 'c1', provider: 'scripted', model: null });
    this.#append([
      {
        type: 'conversation.created',
        payload: {
          tableId: null,
          title: '',
          provider: 'scripted',
          model: null,
          workspacePath: '/w',
        },
      },
    ]);
  }

  /** The id that the next decision may use for a new turn. */
  get nextTurnId(): string {
    return `t${this.#fresh + 1}`;
  }

  get now(): string {
    return new Date(Date.UTC(2026, 0, 1) + this.log.length * 1_000).toISOString();
  }

  /** Decides and records one command. A key that is there already belongs to a request that was answered: nothing happens. */
  command(command: Command): Decision | null {
    this.#fresh += 1;
    const turnId = `t${this.#fresh}`;
    const context = { now: this.now, turnId, messageId: `m${this.#fresh}` };
    const decision = decide(deepFreeze(this.model), command, context);
    if (decision === null || this.#keys.has(decision.key)) return null;
    this.#keys.add(decision.key);
    this.#append(decision.events);
    if (decision.request !== null) this.receipts.push(decision.request);
    for (const effect of decision.effects) {
      const key = attemptKey(effect.turnId, effect.attempt);
      if (effect.type === 'stop') this.stops.push(key);
      else {
        this.runs.push(key);
        const { turn } = this.model;
        this.#recording = newRecording({
          turnId: effect.turnId,
          attempt: effect.attempt,
          requestId: turn?.requestId ?? null,
          now: () => this.now,
        });
      }
    }
    return decision;
  }

  retry(turnId: string, requestId: string | null): Decision | null {
    const known = this.turns.get(turnId);
    const turn =
      known === undefined
        ? null
        : { lastAttempt: known.attempts, outcome: known.outcome, content: known.content };
    return this.command({ type: 'retry', turnId, requestId, turn });
  }

  /** Records what the running provider reports; nothing when none runs. */
  report(report: ProviderReport): void {
    if (this.#recording !== null) this.#append(record(this.#recording, report));
  }

  /** Records the end of the running attempt, without telling the conversation. False when none runs. */
  end(outcome: OutcomeName): boolean {
    if (this.#recording === null || this.#recording.ended) return false;
    this.#append(
      outcome === 'completed'
        ? record(this.#recording, { type: 'end', end: { outcome } })
        : forceEnd(this.#recording, forcedEnds[outcome]),
    );
    return true;
  }

  /** Tells the conversation about the end of the attempt it takes for running. */
  settle(): void {
    const { turn } = this.model;
    if (turn !== null && this.turns.get(turn.turnId)?.outcome !== null)
      this.command({ type: 'turn.ended', turnId: turn.turnId, attempt: turn.attempt });
  }

  /** Continue-As-New: only what survives JSON goes on. */
  carry(): void {
    this.model = JSON.parse(JSON.stringify(this.model)) as ConversationModel;
  }

  /** Temporal has forgotten the conversation; it begins again from what the store knows. */
  loseTemporal(): void {
    const { turn, queue } = this.model;
    const ended = turn === null || this.turns.get(turn.turnId)?.outcome !== null;
    this.model = {
      ...newConversation({ conversationId: 'c1', provider: 'scripted', model: null }),
      state: ended ? 'idle' : this.model.state,
      turn: ended ? null : turn,
      queue,
    };
    this.command({ type: 'resume' });
  }

  #append(events: readonly NewEvent[]): void {
    const { now } = this;
    for (const event of stored(events, this.log.length)) {
      this.log.push(event);
      this.model = apply(deepFreeze(this.model), event, now);
      this.#project(event);
    }
  }

  #project(event: Event): void {
    const turnId = event.turnId ?? '';
    const known = this.turns.get(turnId);
    if (event.type === 'message.created')
      this.turns.set(turnId, { attempts: 0, outcome: null, content: event.payload.content });
    if (known === undefined) return;
    if (event.type === 'chat.started')
      this.turns.set(turnId, { ...known, attempts: event.payload.attempt, outcome: null });
    const outcome = outcomes[event.type];
    if (outcome !== undefined && event.attempt === known.attempts)
      this.turns.set(turnId, { ...known, outcome });
  }
}

const outcomes: Partial<Record<Event['type'], OutcomeName>> = {
  'chat.done': 'completed',
  'chat.error': 'failed',
  'chat.cancelled': 'cancelled',
  'chat.interrupted': 'interrupted',
};

const forcedEnds: Record<Exclude<OutcomeName, 'completed'>, ForcedEnd> = {
  failed: { outcome: 'failed', code: 'spawn', message: 'no program' },
  cancelled: { outcome: 'cancelled', by: 'user' },
  interrupted: { outcome: 'interrupted', cause: 'process_lost', message: 'gone' },
};

/** Makes every later change of `value` throw. */
export function deepFreeze<T>(value: T): T {
  if (typeof value === 'object' && value !== null && !Object.isFrozen(value)) {
    Object.freeze(value);
    for (const part of Object.values(value)) deepFreeze(part);
  }
  return value;
}

/** One step of a random life. */
export type Step =
  | {
      type: 'send';
      requestId: string;
      content: string;
      whenBusy: 'queue' | 'reject' | 'interrupt' | 'steer';
    }
  | { type: 'burst'; count: number }
  | { type: 'cancel'; target: 'any' | 'running' | 'other' }
  | { type: 'retry'; which: number; requestId: string | null }
  | { type: 'end'; outcome: OutcomeName; settle: boolean }
  | { type: 'settle' }
  | { type: 'late'; which: number; attempt: number }
  | { type: 'carry' }
  | { type: 'lose' };

const requestId = fc.constantFrom('r1', 'r2', 'r3', 'r4', 'r5', 'r6');

export const step: fc.Arbitrary<Step> = fc.oneof(
  {
    weight: 8,
    arbitrary: fc.record({
      type: fc.constant('send' as const),
      requestId,
      content: fc.constantFrom('hello', 'again', ' \n'),
      whenBusy: fc.constantFrom(
        'queue' as const,
        'queue' as const,
        'reject' as const,
        'interrupt' as const,
        'steer' as const,
      ),
    }),
  },
  {
    weight: 1,
    arbitrary: fc.record({
      type: fc.constant('burst' as const),
      count: fc.integer({ min: 1, max: 70 }),
    }),
  },
  {
    weight: 2,
    arbitrary: fc.record({
      type: fc.constant('cancel' as const),
      target: fc.constantFrom('any' as const, 'running' as const, 'other' as const),
    }),
  },
  {
    weight: 4,
    arbitrary: fc.record({
      type: fc.constant('retry' as const),
      which: fc.nat(3),
      requestId: fc.option(requestId),
    }),
  },
  {
    weight: 6,
    arbitrary: fc.record({
      type: fc.constant('end' as const),
      outcome: fc.constantFrom(
        'completed' as const,
        'failed' as const,
        'cancelled' as const,
        'interrupted' as const,
      ),
      settle: fc.boolean(),
    }),
  },
  { weight: 2, arbitrary: fc.constant({ type: 'settle' as const }) },
  {
    weight: 2,
    arbitrary: fc.record({
      type: fc.constant('late' as const),
      which: fc.nat(3),
      attempt: fc.integer({ min: 1, max: 3 }),
    }),
  },
  { weight: 1, arbitrary: fc.constant({ type: 'carry' as const }) },
  { weight: 1, arbitrary: fc.constant({ type: 'lose' as const }) },
);
