/**
 * What stands around the pure conversation in the product, in memory: a log with append keys, a store that knows turns,
 * a recorder for the running attempt. It decides nothing.
 */
import * as fc from 'fast-check';

import type { Event, NewEvent, OutcomeName, QueueItemValue } from '../../src/contracts/events.ts';
import { attemptKey } from '../../src/contracts/ids.ts';
import type { ProviderReport } from '../../src/contracts/provider-events.ts';
import {
  apply,
  type Command,
  type ConversationModel,
  decide,
  type Decision,
  type DecisionContext,
  newConversation,
  type Occupied,
  openedQueue,
  type Replaced,
  type RequestRecord,
  startable,
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
  /** What the table was told, in order. */
  readonly words: string[] = [];
  /** requestIds that were offered to the turn that ran then, in order. */
  readonly offers: { requestId: string; attemptKey: string }[] = [];
  /** Those of them that a turn has taken in: in the log, whether or not the conversation was told. */
  readonly taken = new Set<string>();
  /** One entry for each receipt that was recorded. */
  readonly receipts: RequestRecord[] = [];
  /** What the table says to a start; null: it lets it be. */
  occupied: Occupied | null = null;
  readonly #keys = new Set<string>();
  /** Message ids that are cut from the history. */
  readonly #cut = new Set<string>();
  #fresh = 0;
  #recording: Recording | null = null;

  constructor({ tableId = null }: { tableId?: string | null } = {}) {
    const names = { conversationId: 'c1', provider: 'scripted', model: null };
    this.model = { ...newConversation(names), tableId };
    this.#append([
      {
        type: 'conversation.created',
        payload: { tableId, title: '', provider: 'scripted', model: null, workspacePath: '/w' },
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
    const fresh = { turnId: `t${this.#fresh}`, messageId: `m${this.#fresh}` };
    const context: DecisionContext = { now: this.now, ...fresh };
    const asked = this.#withQueueFacts(command);
    let decision = decide(deepFreeze(this.model), asked, context);
    // As the store: only what starts a turn is refused, for `waiting` only what gives way. Then it is decided again, on that.
    const startsNothing = asked.type === 'resume' && asked.stored === 'idle';
    const refused =
      decision?.events.some(({ type }) => type === 'chat.started') === true &&
      (this.occupied !== 'waiting' || decision.waitedSince !== undefined);
    if (refused && this.occupied !== null && startsNothing) return null;
    if (refused && this.occupied !== null)
      decision = decide(deepFreeze(this.model), asked, { ...context, occupied: this.occupied });
    if (decision === null || this.#keys.has(decision.key)) return null;
    this.#keys.add(decision.key);
    this.#append(decision.events);
    if (decision.request !== null) this.receipts.push(decision.request);
    for (const effect of decision.effects)
      switch (effect.type) {
        case 'stop':
          this.stops.push(attemptKey(effect.turnId, effect.attempt));
          break;
        case 'want':
          this.words.push(effect.interrupt ? 'want, interrupt' : 'want');
          break;
        case 'look':
          this.words.push(effect.yields ? 'look, yields' : 'look');
          break;
        case 'steer': {
          const { requestId } = effect;
          const key = attemptKey(effect.turnId, effect.attempt);
          this.offers.push({ requestId, attemptKey: key });
          break;
        }
        case 'run': {
          this.runs.push(attemptKey(effect.turnId, effect.attempt));
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
        : {
            lastAttempt: known.attempts,
            outcome: known.outcome,
            content: known.content,
            cut: this.isCut(this.promptOf(turnId) ?? ''),
          };
    return this.command({ type: 'retry', turnId, requestId, turn });
  }

  /** What the store knows of a message that is to be replaced. */
  replaced(messageId: string): Replaced {
    const rows = this.log.flatMap((event) =>
      event.type === 'message.created' ? [event.payload.messageId] : [],
    );
    const index = rows.indexOf(messageId);
    const before = rows.slice(0, Math.max(index, 0)).findLast((id) => !this.#cut.has(id));
    const found = index !== -1 && !this.#cut.has(messageId);
    return { messageId, found, previousMessageId: before ?? null };
  }

  isCut(messageId: string): boolean {
    return this.#cut.has(messageId);
  }

  /** The message with which that turn began. */
  promptOf(turnId: string): string | undefined {
    for (const event of this.log)
      if (event.type === 'message.created' && event.turnId === turnId)
        return event.payload.messageId;
    return undefined;
  }

  /** Records that the running attempt has taken in what it was offered. False when it has ended, or the offer is not its. */
  take(requestId: string): boolean {
    const offer = this.offers.find((each) => each.requestId === requestId);
    if (this.#recording === null || this.#recording.ended || offer === undefined) return false;
    const { turnId, attempt } = this.#recording.place;
    if (offer.attemptKey !== attemptKey(turnId, attempt) || this.taken.has(requestId)) return false;
    this.taken.add(requestId);
    const payload = { turnId, attempt };
    this.#append([{ type: 'chat.steered', turnId, attempt, requestId, payload }]);
    return true;
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
    if (turn !== null && this.turns.get(turn.turnId)?.outcome !== null) {
      const { turnId, attempt } = turn;
      this.command({ type: 'turn.ended', turnId, attempt, taken: this.#takenOfQueue() });
    }
  }

  /** Continue-As-New: only what survives JSON goes on. */
  carry(): void {
    this.model = JSON.parse(JSON.stringify(this.model)) as ConversationModel;
  }

  /** Temporal has forgotten the conversation; it begins again from what the store knows. */
  loseTemporal(): void {
    const { turn, queue, held, tableId, state } = this.model;
    const ended = turn === null || this.turns.get(turn.turnId)?.outcome !== null;
    this.model = {
      ...newConversation({ conversationId: 'c1', provider: 'scripted', model: null }),
      tableId,
      state: ended ? 'idle' : state,
      turn: ended ? null : turn,
      queue: openedQueue(queue, held),
      held,
    };
    this.command({ type: 'resume', stored: state, taken: this.#takenOfQueue() });
  }

  /** The table says that what waits here may start. */
  look(): void {
    this.command({ type: 'resume', stored: this.model.state, given: true });
  }

  #takenOfQueue(): string[] {
    return this.model.queue.flatMap(({ requestId }) =>
      this.taken.has(requestId) ? [requestId] : [],
    );
  }

  /** With what the store knows of the queue that may be started: see `#withQueueFacts` of the workflow. */
  #withQueueFacts(command: Command): Command {
    const { queue } = this.model;
    const asks =
      command.type === 'turn.ended' ||
      command.type === 'resume' ||
      command.type === 'queue.hold' ||
      (command.type === 'queue.update' && 'now' in command.change);
    if (!asks) return command;
    const cut = queue.filter(
      ({ attempt, turnId }) => attempt > 1 && this.isCut(this.promptOf(turnId) ?? ''),
    );
    const left = queue.filter((item) => !cut.includes(item));
    const headOf = (): QueueItemValue | undefined => {
      switch (command.type) {
        case 'queue.hold':
          return left[0];
        case 'queue.update':
          return queue.find(({ requestId }) => requestId === command.requestId);
        default:
          return startable(left.filter(({ requestId }) => !this.taken.has(requestId)));
      }
    };
    const replaces = headOf()?.replaces;
    return {
      ...command,
      ...(cut.length === 0 ? {} : { dropped: cut.map(({ requestId }) => requestId) }),
      ...(replaces === undefined ? {} : { head: this.replaced(replaces) }),
    };
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
    if (event.type === 'history.cut') {
      const rows = this.log.flatMap((each) =>
        each.type === 'message.created' ? [each.payload.messageId] : [],
      );
      const { messageId } = event.payload;
      for (const id of rows.slice(messageId === null ? 0 : rows.indexOf(messageId) + 1))
        this.#cut.add(id);
    }
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
      /** Counted from the newest message; null: it replaces none. */
      replaces: number | null;
    }
  | { type: 'burst'; count: number }
  | { type: 'cancel'; target: 'any' | 'running' | 'other'; holdQueue: boolean }
  | { type: 'retry'; which: number; requestId: string | null }
  | { type: 'end'; outcome: OutcomeName; settle: boolean }
  | { type: 'settle' }
  | { type: 'late'; which: number; attempt: number }
  | { type: 'carry' }
  | { type: 'lose' }
  | { type: 'edit'; which: number; content: string }
  | { type: 'move'; which: number; position: number }
  | { type: 'promote'; which: number }
  | { type: 'remove'; which: number }
  | { type: 'hold'; held: boolean }
  /** Which of the messages is the last that stays, counted from the newest; null: none. */
  | { type: 'rollback'; to: number | null }
  /** What becomes of an offer; `told`: the conversation hears of it. */
  | { type: 'steered'; which: number; taken: boolean; told: boolean }
  /** What the table says from here on; free: it tells the conversation to look. */
  | { type: 'slot'; occupied: Occupied | null };

const requestId = fc.constantFrom('r1', 'r2', 'r3', 'r4', 'r5', 'r6');
const which = fc.nat(3);

export const step: fc.Arbitrary<Step> = fc.oneof(
  {
    weight: 12,
    arbitrary: fc.record({
      type: fc.constant('send' as const),
      requestId: fc.oneof(
        requestId,
        fc.nat(40).map((n) => `s${n}`),
      ),
      content: fc.constantFrom('hello', 'again', 'more', ' \n'),
      whenBusy: fc.constantFrom(
        'queue' as const,
        'queue' as const,
        'reject' as const,
        'interrupt' as const,
        'steer' as const,
      ),
      replaces: fc.option(fc.nat(4), { freq: 3 }).map((n) => (n === 4 ? null : n)),
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
    weight: 3,
    arbitrary: fc.record({
      type: fc.constant('cancel' as const),
      target: fc.constantFrom('any' as const, 'running' as const, 'other' as const),
      holdQueue: fc.boolean(),
    }),
  },
  {
    weight: 4,
    arbitrary: fc.record({
      type: fc.constant('retry' as const),
      which,
      requestId: fc.option(requestId),
    }),
  },
  {
    weight: 8,
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
      which,
      attempt: fc.integer({ min: 1, max: 3 }),
    }),
  },
  { weight: 1, arbitrary: fc.constant({ type: 'carry' as const }) },
  { weight: 1, arbitrary: fc.constant({ type: 'lose' as const }) },
  {
    weight: 2,
    arbitrary: fc.record({
      type: fc.constant('edit' as const),
      which,
      content: fc.constantFrom('other', '', 'longer text'),
    }),
  },
  {
    weight: 2,
    arbitrary: fc.record({ type: fc.constant('move' as const), which, position: fc.nat(4) }),
  },
  { weight: 2, arbitrary: fc.record({ type: fc.constant('promote' as const), which }) },
  { weight: 2, arbitrary: fc.record({ type: fc.constant('remove' as const), which }) },
  { weight: 3, arbitrary: fc.record({ type: fc.constant('hold' as const), held: fc.boolean() }) },
  {
    weight: 2,
    arbitrary: fc.record({ type: fc.constant('rollback' as const), to: fc.option(fc.nat(3)) }),
  },
  {
    weight: 4,
    arbitrary: fc.record({
      type: fc.constant('steered' as const),
      which,
      taken: fc.boolean(),
      told: fc.boolean(),
    }),
  },
  {
    weight: 4,
    arbitrary: fc.record({
      type: fc.constant('slot' as const),
      occupied: fc.constantFrom(
        null,
        null,
        'running' as const,
        'elsewhere' as const,
        'waiting' as const,
      ),
    }),
  },
);
