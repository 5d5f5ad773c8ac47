import * as fc from 'fast-check';
import { describe, expect, it } from 'vitest';

import { QUEUE_LIMIT } from '../../src/contracts/limits.ts';
import { retryRequestId } from '../../src/domain/conversation.ts';
import { emptyView, foldEvents } from '../../src/domain/fold.ts';
import { Harness, type KnownTurn, type Step, step } from './conversation-harness.ts';

type Waiting = { requestId: string; turnId: string; attempt: number; content: string };

/** The conversation as one would keep it by hand: lists that are pushed to, no events, no decisions. */
class Book {
  /** requestId → what was answered. */
  readonly answers = new Map<string, string>();
  readonly runs: string[] = [];
  readonly stops: string[] = [];
  readonly turns = new Map<string, KnownTurn>();
  waiting: Waiting[] = [];
  running: { turnId: string; attempt: number; cancelling: boolean } | null = null;

  get state(): string {
    if (this.running === null) return 'idle';
    return this.running.cancelling ? 'cancelled' : 'processing';
  }

  send(turnId: string, request: Extract<Step, { type: 'send' }>): void {
    const { requestId, content, whenBusy } = request;
    if (this.answers.has(requestId)) return;
    if (content.trim() === '') this.answers.set(requestId, 'rejected invalid_request');
    else if (this.running !== null && whenBusy === 'reject')
      this.answers.set(requestId, 'rejected busy');
    else this.#take({ requestId, turnId, attempt: 1, content }, whenBusy === 'interrupt');
  }

  retry(freshId: string, turnId: string, requestId: string | null): void {
    if (requestId !== null && this.answers.has(requestId)) return;
    const turn = this.turns.get(turnId);
    if (turn === undefined) {
      this.answers.set(requestId ?? freshId, 'rejected not_found');
      return;
    }
    const attempt = turn.attempts + 1;
    const id = requestId ?? retryRequestId(turnId, attempt);
    if (this.answers.has(id)) return;
    const again = turn.outcome !== null && turn.outcome !== 'completed';
    if (!again || this.waiting.some((item) => item.turnId === turnId))
      this.answers.set(requestId ?? freshId, 'rejected not_retryable');
    else this.#take({ requestId: id, turnId, attempt, content: turn.content }, false);
  }

  cancel(turnId: string | null): void {
    if (this.running !== null && (turnId === null || turnId === this.running.turnId)) this.#stop();
  }

  ended(turnId: string, attempt: number): void {
    if (this.running?.turnId !== turnId || this.running.attempt !== attempt) return;
    this.running = null;
    const next = this.waiting.shift();
    if (next !== undefined) this.#start(next);
  }

  #take(item: Waiting, first: boolean): void {
    const { requestId, turnId, attempt } = item;
    if (this.running === null) {
      this.answers.set(requestId, `started ${turnId}.${attempt}`);
      this.#start(item);
    } else if (this.waiting.length === QUEUE_LIMIT) {
      this.answers.set(requestId, 'rejected queue_full');
    } else {
      const position = first ? 0 : this.waiting.length;
      this.waiting.splice(position, 0, item);
      this.answers.set(requestId, `queued ${turnId}.${attempt} at ${position}`);
      if (first) this.#stop();
    }
  }

  #start({ turnId, attempt, content }: Waiting): void {
    this.running = { turnId, attempt, cancelling: false };
    this.turns.set(turnId, { attempts: attempt, outcome: null, content });
    this.runs.push(`${turnId}.${attempt}`);
  }

  #stop(): void {
    if (this.running === null || this.running.cancelling) return;
    this.running.cancelling = true;
    this.stops.push(`${this.running.turnId}.${this.running.attempt}`);
  }
}

/** Plays one step on both. */
function play(harness: Harness, book: Book, chosen: Step): void {
  switch (chosen.type) {
    case 'send':
      book.send(harness.nextTurnId, chosen);
      harness.command(chosen);
      break;
    case 'burst':
      for (let index = 0; index < chosen.count; index += 1) {
        const requestId = `burst-${harness.nextTurnId}`;
        const send = { type: 'send', requestId, content: 'more', whenBusy: 'queue' } as const;
        play(harness, book, send);
      }
      break;
    case 'cancel': {
      const running = harness.model.turn?.turnId ?? 't0';
      const turnId = { any: null, running, other: 't0' }[chosen.target];
      book.cancel(turnId);
      harness.command({ type: 'cancel', turnId, by: 'user' });
      break;
    }
    case 'retry': {
      const turnId = nth([...harness.turns.keys(), 't0'], chosen.which);
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
      const turnId = nth([...harness.turns.keys(), 't0'], chosen.which);
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
      if (running !== null && book.turns.get(running.turnId)?.outcome !== null)
        book.ended(running.turnId, running.attempt);
      harness.loseTemporal();
      break;
    }
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
  const { model, receipts, runs, stops } = harness;
  return {
    answers: receipts.map(({ requestId, status, turnId, attempt, position, code }) => {
      const place = position === undefined ? '' : ` at ${position}`;
      const what = status === 'rejected' ? `${code}` : `${turnId}.${attempt}${place}`;
      return [requestId, `${status} ${what}`];
    }),
    runs,
    stops,
    state: model.state,
    running: model.turn === null ? null : `${model.turn.turnId}.${model.turn.attempt}`,
    waiting: model.queue.map((item) => ({ ...item })),
  };
}

function expectedFacts(book: Book): object {
  const { answers, runs, stops, state, running } = book;
  return {
    answers: [...answers],
    runs,
    stops,
    state,
    running: running === null ? null : `${running.turnId}.${running.attempt}`,
    waiting: book.waiting.map((item, position) => ({ ...item, position })),
  };
}

/** What the log alone shows, as a client folds it. */
function shownFacts(harness: Harness): object {
  const { state, queue } = foldEvents(emptyView('c1'), harness.log);
  return { state, queue };
}

const steps = fc.array(step, { maxLength: 60, size: 'max' });

describe('conversation: command sequences against an independent model', () => {
  it('A1, A2, S1, S2, C1: every step leads where the book says, and the log shows it', () => {
    fc.assert(
      fc.property(steps, (chosen) => {
        const harness = new Harness();
        const book = new Book();
        for (const one of chosen) {
          play(harness, book, one);
          expect(factsOf(harness)).toEqual(expectedFacts(book));
          expect(shownFacts(harness)).toEqual({
            state: harness.model.state,
            queue: harness.model.queue,
          });
        }
      }),
      { numRuns: 150 },
    );
  });

  it('A1: drained, every accepted request has run exactly once and every run has exactly one end', () => {
    fc.assert(
      fc.property(steps, (chosen) => {
        const harness = new Harness();
        const book = new Book();
        for (const one of chosen) play(harness, book, one);
        while (harness.model.turn !== null)
          play(harness, book, { type: 'end', outcome: 'completed', settle: true });
        expect(harness.model).toMatchObject({ state: 'idle', queue: [] });
        const accepted = harness.receipts.filter(({ status }) => status !== 'rejected');
        expect(harness.runs.toSorted()).toEqual(
          accepted.map(({ turnId, attempt }) => `${turnId}.${attempt}`).toSorted(),
        );
        const ends = harness.log.flatMap(({ type, turnId, attempt }) =>
          ['chat.done', 'chat.error', 'chat.cancelled', 'chat.interrupted'].includes(type)
            ? [`${turnId}.${attempt}`]
            : [],
        );
        expect(ends).toEqual(harness.runs);
        expect(new Set(harness.receipts.map(({ requestId }) => requestId)).size).toBe(
          harness.receipts.length,
        );
      }),
    );
  });
});
