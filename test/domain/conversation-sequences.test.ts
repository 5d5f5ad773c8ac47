import * as fc from 'fast-check';
import { describe, expect, it } from 'vitest';

import { QUEUE_LIMIT, QUEUE_LIMIT_BYTES } from '../../src/contracts/limits.ts';
import { type Occupied, retryRequestId, utf8Bytes } from '../../src/domain/conversation.ts';
import { emptyView, foldEvents } from '../../src/domain/fold.ts';
import { Harness, type KnownTurn, type Step, step } from './conversation-harness.ts';

type Waiting = {
  requestId: string;
  turnId: string;
  attempt: number;
  content: string;
  held: boolean;
  now: boolean;
  offered: boolean;
  edited: number;
  replaces: string | null;
};

/** The conversation as one would keep it by hand: lists that are pushed to, no events, no decisions. */
class Book {
  /** requestId → what was answered. */
  readonly answers = new Map<string, string>();
  readonly runs: string[] = [];
  readonly stops: string[] = [];
  readonly words: string[] = [];
  /** requestIds, each with the attempt that it was offered to. */
  readonly offers: string[] = [];
  /** Offers that a turn has taken in. */
  readonly taken = new Set<string>();
  /** Offers of which the conversation was told that no turn takes them in. */
  readonly refused = new Set<string>();
  /** requestIds that were removed from the queue. */
  readonly removed: string[] = [];
  /** Messages of the history that is left, as the provider knows it: what each said. */
  history: string[] = [];
  /** How often somebody was told that a message waits though it should have steered. */
  notices = 0;
  readonly turns = new Map<string, KnownTurn>();
  readonly inTable: boolean;
  /** requestIds that the conversation remembers, beside those of what runs and waits: all, until Temporal has lost it. */
  readonly #recent = new Set<string>();
  waiting: Waiting[] = [];
  running: { requestId: string; turnId: string; attempt: number; cancelling: boolean } | null =
    null;
  occupied: Occupied | null = null;

  constructor({ inTable }: { inTable: boolean }) {
    this.inTable = inTable;
  }

  get state(): string {
    if (this.running === null) return 'idle';
    return this.running.cancelling ? 'cancelled' : 'processing';
  }

  get held(): boolean {
    return this.waiting.length > 0 && this.waiting.every(({ held }) => held);
  }

  send(turnId: string, request: Extract<Step, { type: 'send' }>, replaces: string | null): void {
    const { requestId, content, whenBusy } = request;
    if (this.answers.has(requestId)) return;
    if (content.trim() === '') {
      this.#answer(requestId, 'rejected invalid_request');
    } else if (replaces !== null && !this.history.includes(replaces)) {
      this.#answer(requestId, 'rejected not_found');
    } else {
      const item = row({ requestId, turnId, attempt: 1, content, replaces });
      this.#take(item, whenBusy);
    }
  }

  retry(freshId: string, turnId: string, requestId: string | null): void {
    if (requestId !== null && this.answers.has(requestId)) return;
    const turn = this.turns.get(turnId);
    if (turn === undefined) {
      this.#answer(requestId ?? freshId, 'rejected not_found');
      return;
    }
    const attempt = turn.attempts + 1;
    const id = requestId ?? retryRequestId(turnId, attempt);
    if (this.#remembers(id)) return;
    const again = turn.outcome !== null && turn.outcome !== 'completed';
    const known = this.history.includes(`m${turnId.slice(1)}`);
    if (!again || !known || this.waiting.some((item) => item.turnId === turnId))
      this.#answer(requestId ?? freshId, 'rejected not_retryable');
    else if (!this.answers.has(id))
      this.#take(
        row({ requestId: id, turnId, attempt, content: turn.content, replaces: null }),
        'queue',
      );
  }

  cancel(turnId: string | null, holdQueue: boolean): void {
    if (holdQueue) for (const item of this.waiting) item.held = true;
    if (this.running !== null && (turnId === null || turnId === this.running.turnId)) this.#stop();
  }

  ended(turnId: string, attempt: number): void {
    this.#dropCut();
    if (this.running?.turnId !== turnId || this.running.attempt !== attempt) return;
    this.running = null;
    this.#next({ given: false });
  }

  /** It reads the store, and starts what may start. */
  look({ given }: { given: boolean }): void {
    const first = this.waiting.find((item) => !item.held && !this.#isCut(item));
    const refused =
      this.occupied === 'waiting' ? !given && first?.now !== true : this.occupied !== null;
    // Whoever has it look finds out by himself when it comes to nothing.
    if (this.running === null && first !== undefined && refused) return;
    this.#dropCut();
    if (this.running === null && first !== undefined) this.#next({ given });
  }

  edit(requestId: string, content: string): void {
    const item = this.waiting.find((each) => each.requestId === requestId);
    if (item === undefined || item.offered || item.attempt > 1 || content.trim() === '') return;
    item.content = content;
    item.edited += 1;
  }

  move(requestId: string, position: number): void {
    const index = this.waiting.findIndex((each) => each.requestId === requestId);
    if (index !== -1) this.waiting.splice(position, 0, ...this.waiting.splice(index, 1));
  }

  promote(requestId: string): void {
    this.#dropCut();
    const item = this.waiting.find((each) => each.requestId === requestId);
    if (item === undefined) return;
    const others = this.waiting.filter((each) => each !== item);
    if (this.running === null && this.occupied !== 'running' && this.occupied !== 'elsewhere') {
      this.waiting = others;
      this.#start(item);
      return;
    }
    this.waiting = [Object.assign(item, { held: false, now: true }), ...others];
    if (this.running === null) this.words.push('want, interrupt');
    else this.#stop();
  }

  remove(requestId: string): void {
    const item = this.waiting.find((each) => each.requestId === requestId);
    if (item === undefined || item.offered) return;
    this.waiting = this.waiting.filter((each) => each !== item);
    this.removed.push(requestId);
  }

  hold(held: boolean): void {
    this.#dropCut();
    const stoodStill = this.held;
    for (const item of this.waiting) item.held = held;
    const [first] = this.waiting;
    if (held || !stoodStill || first === undefined || this.running !== null) return;
    if (this.occupied === 'running' || this.occupied === 'elsewhere') {
      this.words.push('want');
    } else {
      this.waiting.shift();
      this.#start(first);
    }
  }

  rollback(messageId: string | null): void {
    if (this.running !== null || (messageId !== null && !this.history.includes(messageId))) return;
    this.history = messageId === null ? [] : upTo(this.history, messageId);
  }

  steered(requestId: string, taken: boolean): void {
    const item = this.waiting.find((each) => each.requestId === requestId);
    if (item === undefined || !item.offered) return;
    if (taken) {
      this.waiting = this.waiting.filter((each) => each !== item);
    } else {
      item.offered = false;
      this.notices += 1;
    }
  }

  /** Temporal has lost it: only the store still knows what was answered. */
  forget(): void {
    this.#recent.clear();
  }

  #answer(requestId: string, words: string): void {
    this.answers.set(requestId, words);
    this.#recent.add(requestId);
  }

  #remembers(requestId: string): boolean {
    return (
      this.#recent.has(requestId) ||
      this.running?.requestId === requestId ||
      this.waiting.some((item) => item.requestId === requestId)
    );
  }

  #take(item: Waiting, whenBusy: 'queue' | 'reject' | 'interrupt' | 'steer'): void {
    const { requestId, turnId, attempt } = item;
    const others = this.waiting.some(({ held }) => !held);
    const interrupts = whenBusy === 'interrupt';
    const refused = this.occupied === 'waiting' && interrupts ? null : this.occupied;
    if (this.running === null && !others && refused === null) {
      this.#answer(requestId, `started ${turnId}.${attempt}`);
      this.#start(item);
      return;
    }
    // An idle one that is not the active one can wait for it: nobody is busy with anything.
    const waits = this.running === null && !others && refused === 'elsewhere';
    if (whenBusy === 'reject' && !waits) {
      this.#answer(requestId, 'rejected busy');
      return;
    }
    const bytes = [...this.waiting, item].reduce((sum, each) => sum + utf8Bytes(each.content), 0);
    if (this.waiting.length === QUEUE_LIMIT || bytes > QUEUE_LIMIT_BYTES) {
      this.#answer(requestId, 'rejected queue_full');
      return;
    }
    const position = interrupts ? 0 : this.waiting.length;
    item.now = interrupts;
    this.waiting.splice(position, 0, item);
    this.#answer(requestId, `queued ${turnId}.${attempt} at ${position}`);
    if (this.running === null) {
      const givesWay = !others && refused === 'waiting';
      this.words.push(givesWay ? 'look, yields' : interrupts ? 'want, interrupt' : 'want');
    } else if (interrupts) {
      this.#stop();
    }
    if (whenBusy !== 'steer') return;
    if (this.running === null || this.running.cancelling || item.replaces !== null) {
      this.notices += 1;
      return;
    }
    item.offered = true;
    this.offers.push(`${requestId} to ${this.running.turnId}.${this.running.attempt}`);
  }

  /** A retry of a turn whose prompt is cut from the history. */
  #isCut({ attempt, turnId }: Waiting): boolean {
    return attempt > 1 && !this.history.includes(`m${turnId.slice(1)}`);
  }

  /** It is not run any more. */
  #dropCut(): void {
    this.removed.push(
      ...this.waiting.filter((item) => this.#isCut(item)).map((item) => item.requestId),
    );
    this.waiting = this.waiting.filter((item) => !this.#isCut(item));
  }

  #first(): Waiting | undefined {
    return this.waiting.find(({ held }) => !held);
  }

  /** Nothing runs any more. */
  #next({ given }: { given: boolean }): void {
    this.waiting = this.waiting.filter(({ requestId }) => !this.taken.has(requestId));
    this.notices += this.waiting.filter(({ offered }) => offered).length;
    for (const item of this.waiting) item.offered = false;
    const first = this.#first();
    if (first === undefined) return;
    const givesWay = !given && !first.now;
    if (this.occupied === null || (this.occupied === 'waiting' && !givesWay)) {
      this.waiting = this.waiting.filter((each) => each !== first);
      this.#start(first);
    } else if (this.occupied === 'waiting') {
      this.words.push('look, yields');
    } else {
      this.words.push(first.now && this.occupied === 'elsewhere' ? 'want, interrupt' : 'look');
    }
  }

  #start({ requestId, turnId, attempt, content, replaces }: Waiting): void {
    this.running = { requestId, turnId, attempt, cancelling: false };
    this.#recent.add(requestId);
    this.turns.set(turnId, { attempts: attempt, outcome: null, content });
    this.runs.push(`${turnId}.${attempt}`);
    if (replaces !== null && this.history.includes(replaces))
      this.history = this.history.slice(0, this.history.indexOf(replaces));
    if (attempt === 1) this.history.push(`m${turnId.slice(1)}`);
  }

  #stop(): void {
    if (this.running === null || this.running.cancelling) return;
    this.running.cancelling = true;
    this.stops.push(`${this.running.turnId}.${this.running.attempt}`);
  }
}

function row(
  facts: Pick<Waiting, 'requestId' | 'turnId' | 'attempt' | 'content' | 'replaces'>,
): Waiting {
  return { ...facts, held: false, now: false, offered: false, edited: 0 };
}

function upTo(list: readonly string[], last: string): string[] {
  return list.slice(0, list.indexOf(last) + 1);
}

/** Plays one step on both. */
function play(harness: Harness, book: Book, chosen: Step): void {
  const rowOf = (which: number): string =>
    nth(['none', ...harness.model.queue.map(({ requestId }) => requestId)], which);
  switch (chosen.type) {
    case 'send': {
      const { requestId, content, whenBusy } = chosen;
      const messageId =
        chosen.replaces === null ? null : nth(['m0', ...book.history], chosen.replaces);
      const replaces = messageId === null ? {} : { replaces: harness.replaced(messageId) };
      book.send(harness.nextTurnId, chosen, messageId);
      harness.command({ type: 'send', requestId, content, whenBusy, ...replaces });
      break;
    }
    case 'burst':
      for (let index = 0; index < chosen.count; index += 1) {
        const requestId = `burst-${harness.nextTurnId}`;
        const asked = { type: 'send', requestId, content: 'more', whenBusy: 'queue' } as const;
        play(harness, book, { ...asked, replaces: null });
      }
      break;
    case 'cancel': {
      const running = harness.model.turn?.turnId ?? 't0';
      const turnId = { any: null, running, other: 't0' }[chosen.target];
      const { holdQueue } = chosen;
      book.cancel(turnId, holdQueue);
      harness.command({ type: 'cancel', turnId, by: 'user', holdQueue });
      break;
    }
    case 'retry': {
      const turnId = nth(['t0', ...harness.turns.keys()], chosen.which);
      book.retry(harness.nextTurnId, turnId, chosen.requestId);
      harness.retry(turnId, chosen.requestId);
      break;
    }
    case 'end': {
      const { turn } = harness.model;
      if (harness.end(chosen.outcome) && turn !== null) {
        const known = book.turns.get(turn.turnId);
        if (known !== undefined) known.outcome = chosen.outcome;
      }
      if (chosen.settle) settle(harness, book);
      break;
    }
    case 'settle':
      settle(harness, book);
      break;
    case 'late': {
      const turnId = nth(['t0', ...harness.turns.keys()], chosen.which);
      const { attempt } = chosen;
      // An end that has not been recorded is told by nobody.
      if (turnId === book.running?.turnId && attempt === book.running.attempt) return;
      book.ended(turnId, attempt);
      harness.command({ type: 'turn.ended', turnId, attempt });
      break;
    }
    case 'carry':
      harness.carry();
      break;
    case 'lose': {
      const { running } = book;
      book.forget();
      if (running !== null && book.turns.get(running.turnId)?.outcome !== null)
        book.ended(running.turnId, running.attempt);
      else book.look({ given: false });
      harness.loseTemporal();
      break;
    }
    case 'edit': {
      const requestId = rowOf(chosen.which);
      const { content } = chosen;
      const commandId = `k${harness.nextTurnId}`;
      book.edit(requestId, content);
      harness.command({ type: 'queue.update', commandId, requestId, change: { content } });
      break;
    }
    case 'move': {
      const requestId = rowOf(chosen.which);
      const { position } = chosen;
      const commandId = `k${harness.nextTurnId}`;
      book.move(requestId, position);
      harness.command({ type: 'queue.update', commandId, requestId, change: { position } });
      break;
    }
    case 'promote': {
      const requestId = rowOf(chosen.which);
      const commandId = `k${harness.nextTurnId}`;
      book.promote(requestId);
      harness.command({ type: 'queue.update', commandId, requestId, change: { now: true } });
      break;
    }
    case 'remove': {
      const requestId = rowOf(chosen.which);
      book.remove(requestId);
      harness.command({ type: 'queue.remove', commandId: `k${harness.nextTurnId}`, requestId });
      break;
    }
    case 'hold': {
      const { held } = chosen;
      book.hold(held);
      harness.command({ type: 'queue.hold', commandId: `k${harness.nextTurnId}`, held });
      break;
    }
    case 'rollback': {
      const messageId = chosen.to === null ? null : nth(['m0', ...book.history], chosen.to);
      const found = messageId === null || harness.replaced(messageId).found;
      book.rollback(messageId);
      const commandId = `k${harness.nextTurnId}`;
      harness.command({ type: 'rollback', commandId, messageId, found });
      break;
    }
    case 'steered': {
      const requestId = nth(
        ['none', ...harness.offers.map((each) => each.requestId)],
        chosen.which,
      );
      // What was taken stays so; and what runs on may take what it has not refused.
      const takes = chosen.taken && !book.refused.has(requestId);
      const taken = book.taken.has(requestId) || (takes && harness.take(requestId));
      if (taken) book.taken.add(requestId);
      if (!chosen.told) break;
      if (!taken) book.refused.add(requestId);
      book.steered(requestId, taken);
      harness.command({ type: 'steered', requestId, taken });
      break;
    }
    case 'slot':
      if (!book.inTable) break;
      book.occupied = chosen.occupied;
      harness.occupied = chosen.occupied;
      if (chosen.occupied !== null) break;
      book.look({ given: true });
      harness.look();
      break;
  }
}

function settle(harness: Harness, book: Book): void {
  const { running } = book;
  if (running !== null && book.turns.get(running.turnId)?.outcome !== null)
    book.ended(running.turnId, running.attempt);
  harness.settle();
}

/** Counted from the newest, so that what runs and what has just ended is met often. */
function nth(list: readonly string[], which: number): string {
  return list[list.length - 1 - (which % list.length)] ?? '';
}

/** The same facts of both sides. */
function factsOf(harness: Harness): object {
  const { model, receipts, runs, stops, words, log, offers } = harness;
  return {
    answers: receipts.map(({ requestId, status, turnId, attempt, position, code }) => {
      const place = position === undefined ? '' : ` at ${position}`;
      const what = status === 'rejected' ? `${code}` : `${turnId}.${attempt}${place}`;
      return [requestId, `${status} ${what}`];
    }),
    runs,
    stops,
    words,
    offers: offers.map(({ requestId, attemptKey }) => `${requestId} to ${attemptKey}`),
    removed: log.flatMap(({ type, attempt, requestId }) =>
      type === 'chat.cancelled' && attempt === undefined ? [requestId] : [],
    ),
    notices: log.filter(({ type }) => type === 'notice').length,
    history: log.flatMap((event) =>
      event.type === 'message.created' && !harness.isCut(event.payload.messageId)
        ? [event.payload.messageId]
        : [],
    ),
    state: model.state,
    held: model.held,
    running: model.turn === null ? null : `${model.turn.turnId}.${model.turn.attempt}`,
    waiting: model.queue.map((item) => ({ ...item, at: undefined })),
  };
}

function expectedFacts(book: Book): object {
  const { answers, runs, stops, words, offers, removed, notices, history, state, held } = book;
  const { running } = book;
  return {
    answers: [...answers],
    runs,
    stops,
    words,
    offers,
    removed,
    notices,
    history,
    state,
    held,
    running: running === null ? null : `${running.turnId}.${running.attempt}`,
    waiting: book.waiting.map((item, position) => ({
      requestId: item.requestId,
      turnId: item.turnId,
      attempt: item.attempt,
      content: item.content,
      position,
      at: undefined,
      ...(item.held ? { held: true } : {}),
      ...(item.now ? { now: true } : {}),
      ...(item.offered ? { steer: true } : {}),
      ...(item.edited > 0 ? { edited: item.edited } : {}),
      ...(item.replaces === null ? {} : { replaces: item.replaces }),
    })),
  };
}

/** What the log alone shows, as a client folds it. */
function shownFacts(harness: Harness): object {
  const { state, queue, held } = foldEvents(emptyView('c1'), harness.log);
  return { state, queue, held };
}

const steps = fc.array(step, { maxLength: 60, size: 'max' });
const lives = fc.record({ steps, inTable: fc.boolean() });

function begin(inTable: boolean): { harness: Harness; book: Book } {
  return { harness: new Harness({ tableId: inTable ? 'tb' : null }), book: new Book({ inTable }) };
}

describe('conversation: command sequences against an independent model', () => {
  it('A1, A2, S1, S2, C1: every step leads where the book says, and the log shows it', () => {
    fc.assert(
      fc.property(lives, ({ steps: chosen, inTable }) => {
        const { harness, book } = begin(inTable);
        for (const one of chosen) {
          play(harness, book, one);
          expect(factsOf(harness)).toEqual(expectedFacts(book));
          const { state, queue, held } = harness.model;
          expect(shownFacts(harness)).toEqual({ state, queue, held });
        }
      }),
      { numRuns: 600 },
    );
  });

  it('A1: drained, every accepted request has come to one end, and every run has exactly one', () => {
    fc.assert(
      fc.property(lives, ({ steps: chosen, inTable }) => {
        const { harness, book } = begin(inTable);
        for (const one of chosen) play(harness, book, one);
        play(harness, book, { type: 'slot', occupied: null });
        // Of a queue that is partly held, what runs goes before what is released.
        for (let rounds = 0; rounds < 2; rounds += 1) {
          while (harness.model.turn !== null)
            play(harness, book, { type: 'end', outcome: 'completed', settle: true });
          play(harness, book, { type: 'hold', held: false });
        }
        while (harness.model.turn !== null)
          play(harness, book, { type: 'end', outcome: 'completed', settle: true });
        expect(harness.model).toMatchObject({ state: 'idle', queue: [], held: false });
        const gone = new Set([...book.removed, ...book.taken]);
        const accepted = harness.receipts.filter(
          ({ status, requestId }) => status !== 'rejected' && !gone.has(requestId),
        );
        expect(harness.runs.toSorted()).toEqual(
          accepted.map(({ turnId, attempt }) => `${turnId}.${attempt}`).toSorted(),
        );
        const ends = harness.log.flatMap(({ type, turnId, attempt }) =>
          attempt !== undefined &&
          ['chat.done', 'chat.error', 'chat.cancelled', 'chat.interrupted'].includes(type)
            ? [`${turnId}.${attempt}`]
            : [],
        );
        expect(ends).toEqual(harness.runs);
        expect(new Set(harness.receipts.map(({ requestId }) => requestId)).size).toBe(
          harness.receipts.length,
        );
        // A message that was taken in by a turn was not removed as well.
        expect(book.removed.filter((requestId) => book.taken.has(requestId))).toEqual([]);
      }),
      { numRuns: 300 },
    );
  });

  it('W2: whatever is sent, edited and moved, the queue stays within its limits, to the byte', () => {
    const size = fc.constantFrom(1, 200_000, 400_000, 500_000, 524_288, 524_289);
    const heavy = fc.oneof(
      fc.record({ type: fc.constant('send' as const), size, first: fc.boolean() }),
      fc.record({ type: fc.constant('edit' as const), size, which: fc.nat(9) }),
      fc.record({ type: fc.constant('remove' as const), which: fc.nat(9) }),
    );
    fc.assert(
      fc.property(fc.array(heavy, { maxLength: 40, size: 'max' }), (chosen) => {
        const harness = new Harness();
        const send = { type: 'send', whenBusy: 'queue' } as const;
        harness.command({ ...send, requestId: 'runs', content: 'x' });
        let sizes: number[] = [];
        for (const [index, one] of chosen.entries()) {
          const { queue } = harness.model;
          const which = 'which' in one ? one.which % Math.max(queue.length, 1) : 0;
          const { requestId = 'none' } = queue[which] ?? {};
          const total = (list: readonly number[]): number =>
            list.reduce((sum, each) => sum + each, 0);
          if (one.type === 'send') {
            const whenBusy = one.first ? 'interrupt' : 'queue';
            const content = 'x'.repeat(one.size);
            harness.command({ ...send, whenBusy, requestId: `r${index}`, content });
            const fits = one.size <= 524_288 && total([...sizes, one.size]) <= QUEUE_LIMIT_BYTES;
            if (fits) sizes = one.first ? [one.size, ...sizes] : [...sizes, one.size];
          } else if (one.type === 'edit') {
            const content = 'y'.repeat(one.size);
            const change = { content };
            harness.command({ type: 'queue.update', commandId: `k${index}`, requestId, change });
            const edited = sizes.map((each, at) => (at === which ? one.size : each));
            if (one.size <= 524_288 && total(edited) <= QUEUE_LIMIT_BYTES) sizes = edited;
          } else {
            harness.command({ type: 'queue.remove', commandId: `k${index}`, requestId });
            sizes = sizes.filter((_, at) => at !== which);
          }
          expect(harness.model.queue.map(({ content }) => content.length)).toEqual(sizes);
        }
      }),
      { numRuns: 60 },
    );
  });
});
