/**
 * What this page wants said and the log does not have.
 *
 * Invariants:
 *  1 A message is kept, in this browser and in any case in this page, until the log has it or somebody takes it back.
 *  2 It is sent under one requestId however often it is sent (A1 makes that one message); under another only when it was refused for
 *    good, and somebody wants it sent again.
 *  3 Of the pages of this browser one sends it: the one that has its lock. Another takes it over when that one is gone.
 *  4 Messages of one conversation are sent in their order: the next one when the one before has an answer.
 */
import type { Event } from '../../src/contracts/events.ts';
import type { ConversationViewValue, TurnViewValue } from '../../src/contracts/view.ts';
import type { Problem, Unsent, WhenBusyName } from './contract.ts';
import { againAfterMs, isPassing, path, type Http, type Reply } from './http.ts';
import type { Kept } from './kept.ts';
import { holdPageLock } from './page-lock.ts';
import type { Parts, Stop } from './parts.ts';
import { isRecord } from './wire.ts';

/** When the gateway could not say what has become of it yet, it is asked once more. */
const ASK_AGAIN_MS = 3_000;
/** An answer that was waited for when the link went is not waited for any longer when it is back. */
const IN_VAIN_MS = 2_000;
/** With a receipt it is in the log; if its event has not shown by then, it came to its end before this page looked. */
const SHOWN_WITHIN_MS = 10_000;

export type OutboxOwner = {
  /** The unsent messages of that conversation are others. */
  onChange: (conversationId: string) => void;
  /** Whether a page that looks at that conversation waits for what this turn is begun with; false: it is there, or nobody looks. */
  isAwaited: (conversationId: string, turnId: string | null) => boolean;
  /** The conversation was accepted, and may not be there yet. */
  isBeingMade: (conversationId: string) => boolean;
  /** Whether there is any use in asking. */
  isReachable: () => boolean;
};

type Entry = {
  conversationId: string;
  unsent: Unsent;
  /** This page has its lock, or there are none. */
  isOwn: boolean;
  /** Of the request under way. */
  asking: { sinceMs: number; abort: AbortController } | null;
  failures: number;
  stopTimer: Stop | null;
  /** Its turn, once there is a receipt. */
  receipt: { turnId: string | null } | null;
  release: () => void;
};

export class Outbox {
  readonly #parts: Parts;
  readonly #http: Http;
  readonly #kept: Kept;
  readonly #owner: OutboxOwner;
  /** By requestId, in the order in which they were written. */
  readonly #entries = new Map<string, Entry>();
  readonly #lists = new Map<string, readonly Unsent[]>();
  #closed = false;

  constructor({
    parts,
    http,
    kept,
    owner,
  }: {
    parts: Parts;
    http: Http;
    kept: Kept;
    owner: OutboxOwner;
  }) {
    this.#parts = parts;
    this.#http = http;
    this.#kept = kept;
    this.#owner = owner;
  }

  /** Takes up what an earlier page has left. */
  begin(): void {
    const left = this.#kept
      .names(BEGINNING)
      .flatMap((name) => keptEntry(this.#kept.get(name)) ?? [])
      .toSorted((one, other) => one.unsent.atMs - other.unsent.atMs);
    for (const { conversationId, unsent } of left) this.#add(conversationId, unsent, false);
  }

  /** Another page has changed what is kept. */
  keptChanged(name: string, value: string | null): void {
    if (!name.startsWith(BEGINNING)) return;
    const entry = keptEntry(value);
    if (entry !== null && !this.#entries.has(entry.unsent.requestId))
      this.#add(entry.conversationId, entry.unsent, false);
  }

  of(conversationId: string): readonly Unsent[] {
    return this.#lists.get(conversationId) ?? NONE;
  }

  send(
    conversationId: string,
    message: { content: string; whenBusy?: WhenBusyName; replaces?: string },
  ): string {
    const { content, whenBusy = 'queue', replaces = null } = message;
    const requestId = this.#parts.freshId();
    const atMs = this.#parts.now();
    this.#add(
      conversationId,
      { requestId, content, atMs, is: 'sending', problem: null, whenBusy, replaces },
      true,
    );
    return requestId;
  }

  /** One that was refused, once more. Its requestId is decided for ever: it gets another. */
  sendAgain(requestId: string): void {
    const entry = this.#entries.get(requestId);
    if (entry?.unsent.is !== 'refused') return;
    const { conversationId, unsent } = entry;
    this.#add(
      conversationId,
      { ...unsent, requestId: this.#parts.freshId(), is: 'sending', problem: null },
      true,
    );
    this.#forget(entry);
  }

  /** The text of one that was refused, which is forgotten; '' when it was not. */
  takeBack(requestId: string): string {
    const entry = this.#entries.get(requestId);
    if (entry?.unsent.is !== 'refused') return '';
    this.#forget(entry);
    return entry.unsent.content;
  }

  /** An event of that conversation's log. */
  sawEvent(event: Event): void {
    const entry = event.requestId === undefined ? undefined : this.#entries.get(event.requestId);
    if (entry === undefined) return;
    if (event.type === 'chat.rejected') {
      const { code, message } = event.payload;
      this.#refuse(entry, { code, status: 0, title: message ?? 'It was not taken.' });
    } else if (SETTLES.has(event.type)) {
      this.#forget(entry);
    }
  }

  /** What a snapshot tells of a request. */
  sawView({ conversationId, activeTurn, queue, messages }: ConversationViewValue): void {
    for (const entry of this.#entries.values()) {
      if (entry.conversationId !== conversationId) continue;
      const { requestId } = entry.unsent;
      const turnId = entry.receipt?.turnId ?? null;
      if (
        activeTurn?.requestId === requestId ||
        queue.some((item) => item.requestId === requestId) ||
        (turnId !== null && messages.some((message) => message.turnId === turnId))
      )
        this.#forget(entry);
    }
  }

  sawTurns(turns: readonly TurnViewValue[]): void {
    for (const { attempts } of turns)
      for (const { requestId } of attempts) {
        const entry = requestId === null ? undefined : this.#entries.get(requestId);
        if (entry !== undefined) this.#forget(entry);
      }
  }

  /** The gateway can be reached again: nothing waits for its next try. */
  reachable(): void {
    const now = this.#parts.now();
    for (const entry of this.#entries.values()) {
      if (entry.asking !== null && now - entry.asking.sinceMs > IN_VAIN_MS)
        entry.asking.abort.abort();
      if (entry.asking === null && entry.receipt === null) {
        entry.stopTimer?.();
        entry.stopTimer = null;
        entry.failures = 0;
        // What is durable already stands before nothing: it is only asked about.
        if (entry.unsent.is === 'accepted') void this.#ask(entry);
      }
    }
    for (const conversationId of this.#lists.keys()) this.#pump(conversationId);
  }

  /** Tries again to keep what could not be. */
  keep(): void {
    for (const entry of this.#entries.values()) {
      if (entry.unsent.isOnlyHere !== true || isDurable(entry)) continue;
      this.#keep(entry);
      if (entry.unsent.isOnlyHere === undefined) this.#changed(entry);
    }
  }

  /** Whether no message would be gone with this page. */
  get isAllKept(): boolean {
    for (const entry of this.#entries.values())
      if (entry.unsent.isOnlyHere === true && !isDurable(entry)) return false;
    return true;
  }

  close(): void {
    this.#closed = true;
    for (const entry of this.#entries.values()) {
      entry.stopTimer?.();
      entry.asking?.abort.abort();
      entry.release();
    }
    this.#entries.clear();
  }

  #add(conversationId: string, unsent: Unsent, isNew: boolean): void {
    const entry: Entry = {
      conversationId,
      unsent,
      isOwn: isNew || this.#parts.locks === null,
      asking: null,
      failures: 0,
      stopTimer: null,
      receipt: null,
      release: () => undefined,
    };
    this.#entries.set(unsent.requestId, entry);
    // Before it is kept: no other page can have heard of it, so this one is first.
    entry.release = holdPageLock(this.#parts, `send.${unsent.requestId}`, () => {
      if (!entry.isOwn) this.#takeOver(entry);
    });
    if (isNew) this.#keep(entry);
    this.#changed(entry);
    this.#pump(conversationId);
  }

  /** The page that had it is gone, and has left it or has sent it. */
  #takeOver(entry: Entry): void {
    if (this.#closed || this.#entries.get(entry.unsent.requestId) !== entry) return;
    const left = keptEntry(this.#kept.get(nameOf(entry)));
    if (left === null) {
      this.#forget(entry);
      return;
    }
    entry.unsent = left.unsent;
    entry.isOwn = true;
    this.#changed(entry);
    this.#pump(entry.conversationId);
  }

  /** Sends the first of those that have no answer, unless that is under way. */
  #pump(conversationId: string): void {
    if (this.#closed || !this.#owner.isReachable()) return;
    for (const entry of this.#entries.values()) {
      if (entry.conversationId !== conversationId || !entry.isOwn) continue;
      if (entry.unsent.is !== 'sending') continue;
      if (entry.asking === null && entry.stopTimer === null) void this.#ask(entry);
      return;
    }
  }

  async #ask(entry: Entry): Promise<void> {
    const abort = new AbortController();
    entry.asking = { sinceMs: this.#parts.now(), abort };
    const { conversationId, unsent } = entry;
    const { requestId, content, whenBusy, replaces } = unsent;
    const reply = await this.#http.ask({
      method: 'POST',
      path: path('conversations', conversationId, 'messages'),
      body: { requestId, content, whenBusy, ...(replaces === null ? {} : { replaces }) },
      signal: abort.signal,
    });
    entry.asking = null;
    if (this.#closed) return;
    if (this.#entries.get(requestId) === entry && entry.unsent.is !== 'refused')
      this.#answered(entry, reply);
    this.#pump(conversationId);
  }

  #answered(entry: Entry, reply: Reply): void {
    if (reply.is === 'problem') {
      this.#failed(entry, reply.problem, reply.retryAfterMs);
      return;
    }
    entry.failures = 0;
    if (reply.status === 202) {
      this.#set(entry, { is: 'accepted', problem: null });
      this.#later(entry, ASK_AGAIN_MS, () => void this.#ask(entry));
      return;
    }
    // The log has it, whatever becomes of this page.
    this.#kept.remove(nameOf(entry));
    const turnId = isRecord(reply.body) ? reply.body['turnId'] : null;
    entry.receipt = { turnId: typeof turnId === 'string' ? turnId : null };
    if (!this.#owner.isAwaited(entry.conversationId, entry.receipt.turnId)) {
      this.#forget(entry);
      return;
    }
    this.#set(entry, { is: 'accepted', problem: null });
    this.#whenShown(entry);
  }

  #whenShown(entry: Entry): void {
    this.#later(entry, SHOWN_WITHIN_MS, () => {
      if (this.#owner.isReachable()) this.#forget(entry);
      else this.#whenShown(entry);
    });
  }

  #failed(entry: Entry, problem: Problem, retryAfterMs: number | null): void {
    const isComing = problem.status === 404 && this.#owner.isBeingMade(entry.conversationId);
    if (!isPassing(problem) && !isComing) {
      this.#refuse(entry, problem);
      return;
    }
    const delayMs = againAfterMs(entry.failures);
    entry.failures += 1;
    this.#set(entry, { problem });
    this.#later(entry, Math.max(delayMs, retryAfterMs ?? 0), () => {
      if (entry.unsent.is === 'accepted') void this.#ask(entry);
      else this.#pump(entry.conversationId);
    });
  }

  #later(entry: Entry, delayMs: number, work: () => void): void {
    entry.stopTimer?.();
    entry.stopTimer = this.#parts.after(delayMs, () => {
      entry.stopTimer = null;
      work();
    });
  }

  #refuse(entry: Entry, problem: Problem): void {
    entry.stopTimer?.();
    entry.stopTimer = null;
    entry.unsent = { ...entry.unsent, is: 'refused', problem };
    this.#keep(entry);
    this.#changed(entry);
    this.#pump(entry.conversationId);
  }

  #set(entry: Entry, change: Partial<Unsent>): void {
    entry.unsent = { ...entry.unsent, ...change };
    this.#changed(entry);
  }

  #keep(entry: Entry): void {
    const { conversationId, unsent } = entry;
    const { isOnlyHere: _, ...kept } = unsent;
    const isKept = this.#kept.set(nameOf(entry), JSON.stringify({ conversationId, ...kept }));
    entry.unsent = isKept ? kept : { ...kept, isOnlyHere: true };
  }

  #forget(entry: Entry): void {
    entry.stopTimer?.();
    this.#entries.delete(entry.unsent.requestId);
    this.#kept.remove(nameOf(entry));
    entry.release();
    this.#changed(entry);
    this.#pump(entry.conversationId);
  }

  #changed({ conversationId }: Entry): void {
    const list: Unsent[] = [];
    for (const entry of this.#entries.values())
      if (entry.conversationId === conversationId && entry.isOwn) list.push(entry.unsent);
    this.#lists.set(conversationId, list.length === 0 ? NONE : list);
    this.#owner.onChange(conversationId);
  }
}

const NONE: readonly Unsent[] = [];
const BEGINNING = 'unsent.';
const WHEN_BUSY: readonly string[] = [
  'queue',
  'reject',
  'interrupt',
  'steer',
] satisfies WhenBusyName[];
/** Events that say that the request is in the log. */
const SETTLES: ReadonlySet<string> = new Set([
  'message.created',
  'chat.queued',
  'chat.started',
  'chat.steered',
]);

function nameOf({ unsent }: { unsent: Unsent }): string {
  return `${BEGINNING}${unsent.requestId}`;
}

/** Whether the engine has it, whatever becomes of this page. */
function isDurable({ unsent, receipt }: Entry): boolean {
  return receipt !== null || unsent.is === 'accepted';
}

function isWhenBusy(value: unknown): value is WhenBusyName {
  return typeof value === 'string' && WHEN_BUSY.includes(value);
}

/** What an earlier page has kept; null: it cannot be read. One that was under way is sent once more. */
function keptEntry(value: string | null): { conversationId: string; unsent: Unsent } | null {
  if (value === null) return null;
  try {
    const entry: unknown = JSON.parse(value);
    if (!isRecord(entry)) return null;
    const { conversationId, requestId, content, atMs, whenBusy, replaces, is, problem } = entry;
    if (typeof conversationId !== 'string' || typeof requestId !== 'string') return null;
    if (typeof content !== 'string') return null;
    return {
      conversationId,
      unsent: {
        requestId,
        content,
        atMs: typeof atMs === 'number' ? atMs : 0,
        is: is === 'refused' ? 'refused' : 'sending',
        problem: is === 'refused' ? keptProblem(problem) : null,
        whenBusy: isWhenBusy(whenBusy) ? whenBusy : 'queue',
        replaces: typeof replaces === 'string' ? replaces : null,
      },
    };
  } catch {
    return null;
  }
}

function keptProblem(value: unknown): Problem | null {
  if (!isRecord(value)) return null;
  const { code, status, title, detail } = value;
  if (typeof code !== 'string' || typeof title !== 'string') return null;
  return {
    code,
    status: typeof status === 'number' ? status : 0,
    title,
    ...(typeof detail === 'string' ? { detail } : {}),
  };
}
