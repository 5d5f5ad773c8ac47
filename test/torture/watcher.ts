/**
 * Follows every conversation's log in the store itself, whatever dies: the record that clients are measured against,
 * and the eyes of the fault injector.
 */
import type { Event, QueueItemValue } from '../../src/contracts/events.ts';
import { attemptKey, conversationStream } from '../../src/contracts/ids.ts';
import { openStore } from '../../src/store/open.ts';
import type { Store } from '../../src/store/port.ts';
import type { Texts } from './client.ts';
import type { ConversationPhase, LogEntry } from './evidence.ts';

export type LiveTurn = {
  turnId: string;
  attempt: number;
  key: string;
  content: string;
  sinceMs: number;
};

/** A conversation as its log so far shows it. */
export type Live = {
  conversationId: string;
  lastSeq: number;
  lastEventMs: number;
  state: string;
  turn: LiveTurn | null;
  sawOutput: boolean;
  openTools: Set<string>;
  /** approvalId → when it was seen. */
  approvals: Map<string, number>;
  cancelling: boolean;
  /** The turn has its end, and the workflow has not settled it. */
  ending: boolean;
  queue: QueueItemValue[];
  /** Prompts, by turn. */
  contents: Map<string, string>;
  /** The newest ended turn and how it ended. */
  lastEnd: { turnId: string; type: string } | null;
};

const PAGE = 500;
const ENDS = ['chat.done', 'chat.error', 'chat.cancelled', 'chat.interrupted'];

export class Watcher {
  readonly #store: Store;
  readonly #texts: Texts;
  readonly #logs = new Map<string, LogEntry[]>();
  readonly #live = new Map<string, Live>();
  readonly #listeners = new Set<(live: Live) => void>();
  readonly #stopWatching: () => void;
  readonly #poll: NodeJS.Timeout;
  /** Conversations that may have grown. */
  readonly #grown = new Set<string>();
  #reading: Promise<void> | null = null;

  private constructor(store: Store, texts: Texts) {
    this.#store = store;
    this.#texts = texts;
    this.#stopWatching = store.watch((heads) => {
      for (const conversationId of this.#logs.keys())
        if (heads.has(conversationStream(conversationId))) this.#grown.add(conversationId);
      this.#wake();
    });
    // Should a wake be lost.
    this.#poll = setInterval(() => void this.catchUp(), 2_000);
  }

  static async open(parts: { database: string; texts: Texts }): Promise<Watcher> {
    const store = await openStore({ url: `sqlite:${parts.database}`, readOnly: true });
    return new Watcher(store, parts.texts);
  }

  get store(): Store {
    return this.#store;
  }

  follow(conversationId: string): void {
    if (this.#logs.has(conversationId)) return;
    this.#logs.set(conversationId, []);
    this.#live.set(conversationId, newLive(conversationId));
    this.#grown.add(conversationId);
    this.#wake();
  }

  all(): Live[] {
    return [...this.#live.values()];
  }

  live(conversationId: string): Live {
    return this.#live.get(conversationId) ?? newLive(conversationId);
  }

  log(conversationId: string): readonly LogEntry[] {
    return this.#logs.get(conversationId) ?? [];
  }

  /** Calls `listener` after each event. Returns how to stop. */
  onEvent(listener: (live: Live) => void): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  /** Resolves with a conversation for which `matches`; null when there was none within `withinMs`. */
  async until(matches: (live: Live) => boolean, withinMs: number): Promise<Live | null> {
    const now = this.all().find(matches);
    if (now !== undefined) return now;
    const { promise, resolve } = Promise.withResolvers<Live | null>();
    const late = setTimeout(() => resolve(null), withinMs);
    const stop = this.onEvent((live) => {
      if (matches(live)) resolve(live);
    });
    const found = await promise;
    clearTimeout(late);
    stop();
    return found;
  }

  /** Reads what is there now. */
  async catchUp(): Promise<void> {
    for (const conversationId of this.#logs.keys()) this.#grown.add(conversationId);
    this.#wake();
    await this.#reading;
  }

  async close(): Promise<void> {
    this.#stopWatching();
    clearInterval(this.#poll);
    this.#grown.clear();
    await this.#reading;
    await this.#store.close();
  }

  #wake(): void {
    this.#reading ??= this.#read()
      // Made up for by the next look at all of them.
      .catch(() => undefined)
      .finally(() => {
        this.#reading = null;
        if (this.#grown.size > 0) this.#wake();
      });
  }

  async #read(): Promise<void> {
    for (const conversationId of this.#grown) {
      this.#grown.delete(conversationId);
      const log = this.#logs.get(conversationId) ?? [];
      const stream = conversationStream(conversationId);
      for (;;) {
        const after = log.at(-1)?.seq ?? 0;
        const { items } = await this.#store.events(stream, after, PAGE);
        for (const { seq, json } of items) {
          log.push({ seq, json: this.#texts.keep(conversationId, seq, json) });
          const live = this.live(conversationId);
          see(live, JSON.parse(json) as Event);
          for (const listener of this.#listeners) listener(live);
        }
        if (items.length < PAGE) break;
      }
    }
  }
}

/** Every state that this conversation is in now. */
export function phasesOf(live: Live): ConversationPhase[] {
  if (live.ending) return ['ending'];
  if (live.turn === null) return live.lastSeq === 0 ? [] : ['idle'];
  const phases: ConversationPhase[] = [];
  if (live.queue.length > 0) phases.push('queued-behind');
  if (live.cancelling) phases.push('cancelling');
  else if (live.approvals.size > 0) phases.push('waiting-for-approval');
  else if (live.openTools.size > 0) phases.push('tool-running');
  else phases.push(live.sawOutput ? 'streaming' : 'starting');
  return phases;
}

function newLive(conversationId: string): Live {
  return {
    conversationId,
    lastSeq: 0,
    lastEventMs: Date.now(),
    state: 'idle',
    turn: null,
    sawOutput: false,
    openTools: new Set(),
    approvals: new Map(),
    cancelling: false,
    ending: false,
    queue: [],
    contents: new Map(),
    lastEnd: null,
  };
}

function see(live: Live, event: Event): void {
  live.lastSeq = event.seq;
  live.lastEventMs = Date.now();
  switch (event.type) {
    case 'message.created':
      if (event.turnId !== undefined) live.contents.set(event.turnId, event.payload.content);
      return;
    case 'chat.started': {
      const turnId = event.turnId ?? '';
      const { attempt } = event.payload;
      live.turn = {
        turnId,
        attempt,
        key: attemptKey(turnId, attempt),
        content: live.contents.get(turnId) ?? '',
        sinceMs: Date.now(),
      };
      live.sawOutput = false;
      live.cancelling = false;
      live.ending = false;
      live.openTools.clear();
      live.approvals.clear();
      return;
    }
    case 'queue.changed':
      live.queue = event.payload.queue;
      return;
    case 'conversation.state':
      live.state = event.payload.state;
      if (live.state === 'idle') {
        live.turn = null;
        live.ending = false;
      }
      return;
    case 'chat.cancelling':
      live.cancelling = true;
      return;
    case 'tool.start':
      live.openTools.add(event.payload.toolCallId);
      live.sawOutput = true;
      return;
    case 'tool.end':
      live.openTools.delete(event.payload.toolCallId);
      return;
    case 'approval.requested':
      live.approvals.set(event.payload.approvalId, Date.now());
      return;
    case 'approval.resolved':
      live.approvals.delete(event.payload.approvalId);
      return;
    case 'assistant.segment.started':
      live.sawOutput = true;
      return;
    default:
      if (!ENDS.includes(event.type)) return;
      live.ending = true;
      live.lastEnd = { turnId: event.turnId ?? '', type: event.type };
  }
}
