/**
 * Turns that still run, and that somebody wants retried: each is cancelled, and retried once that end is recorded.
 *
 * Invariants:
 *  1 What is wanted is kept, in this browser and in any case in this page, until it is done, refused, or comes to nothing: whoever
 *    leaves the conversation or the page in between has it all the same.
 *  2 It is one retry: under one requestId however often it is asked for (A1), and by one page of this browser, the one that has its
 *    lock.
 *  3 Nothing is done to any attempt but the one that was shown. It is retried unless it has completed, or another has followed it.
 */
import type { Outcome, Readable } from './contract.ts';
import { againAfterMs, isPassing, path, type Http } from './http.ts';
import type { Kept } from './kept.ts';
import { holdPageLock } from './page-lock.ts';
import type { Parts, Stop } from './parts.ts';
import { isRecord } from './wire.ts';

/** A page that comes later than this does not go on with it: by then nobody waits for it any more. */
const GOOD_FOR_MS = 15 * 60_000;
/** Of a cancel, which is done once however often it is asked for. */
const CANCEL_REPEATS = 2;

/** `ended`: it can be retried. `over`: it has completed, or is not its turn's last one. */
export type AttemptFate = 'unknown' | 'running' | 'ended' | 'over';

/** A conversation, as much of it as is looked at here. */
type Followed = {
  readonly state: Readable<unknown>;
  fateOf(attempt: { turnId: string; attempt: number }): AttemptFate;
};
type Open = (conversationId: string) => { shared: Followed; release: () => void };

/** What is kept. */
type Wish = {
  conversationId: string;
  turnId: string;
  attempt: number;
  requestId: string;
  atMs: number;
};

type Entry = {
  wish: Wish;
  /** This page has its lock, or there are none. */
  isOwn: boolean;
  /** What is under way, or was done, by this page. */
  step: 'none' | 'cancelled' | 'retrying';
  failures: number;
  stopTimer: Stop | null;
  stopLooking: Stop | null;
  releaseLock: () => void;
  outcome: Promise<Outcome<unknown>>;
  tell: (outcome: Outcome<unknown>) => void;
};

export class Retries {
  readonly #parts: Parts;
  readonly #http: Http;
  readonly #kept: Kept;
  readonly #open: Open;
  /** By requestId. */
  readonly #entries = new Map<string, Entry>();
  #closed = false;

  constructor({ parts, http, kept }: { parts: Parts; http: Http; kept: Kept }, open: Open) {
    this.#parts = parts;
    this.#http = http;
    this.#kept = kept;
    this.#open = open;
  }

  /** Takes up what an earlier page has left. */
  begin(): void {
    for (const name of this.#kept.names(BEGINNING)) this.#takeUp(name, this.#kept.get(name));
  }

  /** Another page has changed what is kept. */
  keptChanged(name: string, value: string | null): void {
    if (name.startsWith(BEGINNING)) this.#takeUp(name, value);
  }

  /** Answers when it is retried, or was refused, or has come to nothing. */
  want(turn: {
    conversationId: string;
    turnId: string;
    attempt: number;
  }): Promise<Outcome<unknown>> {
    const { conversationId, turnId, attempt } = turn;
    for (const { wish, outcome, isOwn } of this.#entries.values()) {
      const isSame = wish.turnId === turnId && wish.attempt === attempt;
      if (isOwn && isSame && wish.conversationId === conversationId) return outcome;
    }
    const wish = { ...turn, requestId: this.#parts.freshId(), atMs: this.#parts.now() };
    return this.#add(wish, true).outcome;
  }

  close(): void {
    this.#closed = true;
    for (const entry of this.#entries.values()) leave(entry);
    this.#entries.clear();
  }

  #takeUp(name: string, value: string | null): void {
    const wish = keptWish(value);
    if (wish === null || this.#entries.has(wish.requestId)) return;
    if (this.#parts.now() - wish.atMs > GOOD_FOR_MS) this.#kept.remove(name);
    else this.#add(wish, false);
  }

  #add(wish: Wish, isNew: boolean): Entry {
    const { promise, resolve } = Promise.withResolvers<Outcome<unknown>>();
    const entry: Entry = {
      wish,
      isOwn: isNew || this.#parts.locks === null,
      step: 'none',
      failures: 0,
      stopTimer: null,
      stopLooking: null,
      releaseLock: () => undefined,
      outcome: promise,
      tell: resolve,
    };
    this.#entries.set(wish.requestId, entry);
    // Before it is kept: no other page can have heard of it, so this one is first.
    entry.releaseLock = holdPageLock(this.#parts, nameOf(wish), () => this.#takeOver(entry));
    if (isNew) this.#kept.set(nameOf(wish), JSON.stringify(wish));
    if (entry.isOwn) this.#look(entry);
    return entry;
  }

  /** The page that had it is gone, and has left it or has done it. */
  #takeOver(entry: Entry): void {
    if (entry.isOwn || this.#closed) return;
    entry.isOwn = true;
    if (this.#kept.get(nameOf(entry.wish)) === null) this.#end(entry, NOTHING);
    else this.#look(entry);
  }

  /** Follows the conversation, whoever else does, until its turn is where it is to be. */
  #look(entry: Entry): void {
    const { shared, release } = this.#open(entry.wish.conversationId);
    const judge = (): void => this.#judge(entry, shared);
    const unsubscribe = shared.state.subscribe(judge);
    entry.stopLooking = () => {
      unsubscribe();
      release();
    };
    judge();
  }

  #judge(entry: Entry, followed: Followed): void {
    if (entry.step === 'retrying') return;
    switch (followed.fateOf(entry.wish)) {
      case 'unknown':
        return;
      case 'running':
        if (entry.step === 'none') void this.#cancel(entry);
        return;
      case 'ended':
        void this.#retry(entry);
        return;
      case 'over':
        this.#end(entry, NOTHING);
    }
  }

  async #cancel(entry: Entry): Promise<void> {
    entry.step = 'cancelled';
    const { conversationId, turnId } = entry.wish;
    const outcome = await this.#http.get<object>({
      method: 'POST',
      path: path('conversations', conversationId, 'cancel'),
      body: { turnId },
      repeats: CANCEL_REPEATS,
    });
    // It has ended by itself, which the stream will show.
    if (!outcome.ok && outcome.problem.code !== 'turn_mismatch') this.#end(entry, outcome);
  }

  async #retry(entry: Entry): Promise<void> {
    entry.step = 'retrying';
    const { conversationId, turnId, requestId } = entry.wish;
    const outcome = await this.#http.get<object>({
      method: 'POST',
      path: path('conversations', conversationId, 'turns', turnId, 'retry'),
      body: { requestId },
    });
    if (outcome.ok || !isPassing(outcome.problem)) this.#end(entry, outcome);
    else this.#later(entry);
  }

  #later(entry: Entry): void {
    if (!this.#entries.has(entry.wish.requestId)) return;
    const delayMs = againAfterMs(entry.failures);
    entry.failures += 1;
    entry.stopTimer = this.#parts.after(delayMs, () => void this.#retry(entry));
  }

  #end(entry: Entry, outcome: Outcome<unknown>): void {
    if (this.#closed || !this.#entries.delete(entry.wish.requestId)) return;
    this.#kept.remove(nameOf(entry.wish));
    leave(entry);
    entry.tell(outcome);
  }
}

function leave(entry: Entry): void {
  entry.stopTimer?.();
  entry.stopLooking?.();
  entry.releaseLock();
}

/** There is nothing to retry any more. */
const NOTHING: Outcome<unknown> = { ok: true, value: null };
const BEGINNING = 'retry.';

function nameOf({ requestId }: Wish): string {
  return BEGINNING + requestId;
}

function keptWish(value: string | null): Wish | null {
  if (value === null) return null;
  try {
    const wish: unknown = JSON.parse(value);
    if (!isRecord(wish)) return null;
    const { conversationId, turnId, attempt, requestId, atMs } = wish;
    return typeof conversationId === 'string' &&
      typeof turnId === 'string' &&
      typeof attempt === 'number' &&
      typeof requestId === 'string' &&
      typeof atMs === 'number'
      ? { conversationId, turnId, attempt, requestId, atMs }
      : null;
  } catch {
    return null;
  }
}
