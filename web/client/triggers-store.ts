/** All triggers, and one's ledger. The API has no stream of them: they are read again when something may have happened. */
import type { Event } from '../../src/contracts/events.ts';
import type {
  LedgerCountsValue,
  LedgerRowValue,
  TriggerViewValue,
} from '../../src/contracts/triggers.ts';
import type { LedgerHandle, Outcome, Paged, TriggersHandle } from './contract.ts';
import type { Engine } from './engine.ts';
import { path } from './http.ts';
import { openedOf } from './opened.ts';
import type { Stop } from './parts.ts';
import { Value } from './readable.ts';

const PAGE = 200;
const LEDGER_PAGE = 50;
/** So many are shown at most. */
const PAGES = 10;
/** In any case. */
const READ_EVERY_MS = 30_000;
/** After a due time, so that it has been decided. */
const DECIDED_AFTER_MS = 500;
/** What came together is read once. */
const GATHER_MS = 150;

type Ledger = Paged<LedgerRowValue> & { counts: LedgerCountsValue | null };

export class TriggersStore {
  readonly state = new Value<Paged<TriggerViewValue>>({
    items: [],
    is: 'loading',
    problem: null,
    hasMore: false,
  });
  readonly #engine: Engine;
  readonly #ledgers = new Set<() => void>();
  #stop: Stop | null = null;
  #asked = 0;
  #closed = false;

  constructor(engine: Engine) {
    this.#engine = engine;
    this.refresh();
  }

  sawEvent(event: Event): void {
    if (event.type === 'trigger.fired') this.#wait(GATHER_MS);
  }

  /** Now, and from now on. */
  refresh(): void {
    if (this.#closed) return;
    void this.#read();
    for (const read of this.#ledgers) read();
  }

  /** Calls back whenever the ledgers may have new rows. */
  onRead(read: () => void): Stop {
    this.#ledgers.add(read);
    return () => this.#ledgers.delete(read);
  }

  close(): void {
    this.#closed = true;
    this.#stop?.();
    this.#asked += 1;
  }

  #wait(delayMs: number): void {
    this.#stop?.();
    this.#stop = this.#closed ? null : this.#engine.parts.after(delayMs, () => this.refresh());
  }

  async #read(): Promise<void> {
    this.#asked += 1;
    const asked = this.#asked;
    const items: TriggerViewValue[] = [];
    let cursor: string | undefined;
    for (let page = 0; page < PAGES; page += 1) {
      const answer = await this.#engine.http.get<Page<TriggerViewValue>>({
        method: 'GET',
        path: path('triggers'),
        query: { limit: PAGE, cursor },
      });
      if (asked !== this.#asked) return;
      if (!answer.ok || !('value' in answer)) {
        const problem = answer.ok ? null : answer.problem;
        const known = this.state.get();
        // What was read once is still true for the most part.
        if (known.is !== 'ready') this.state.set({ ...known, is: 'failed', problem });
        this.#wait(READ_EVERY_MS);
        return;
      }
      items.push(...answer.value.items);
      cursor = answer.value.nextCursor ?? undefined;
      if (cursor === undefined) break;
    }
    const known = new Map(this.state.get().items.map((item) => [item.triggerId, item]));
    const kept = items.map((item) => same(known.get(item.triggerId), item));
    this.state.set({ items: kept, is: 'ready', problem: null, hasMore: cursor !== undefined });
    const serverNow = this.#engine.parts.now() + this.#engine.link.clockOffsetMs;
    const due = items.flatMap(({ nextDueAt }) =>
      nextDueAt === null ? [] : [Date.parse(nextDueAt) - serverNow + DECIDED_AFTER_MS],
    );
    this.#wait(Math.max(DECIDED_AFTER_MS, Math.min(READ_EVERY_MS, ...due)));
  }
}

export function triggersHandle(
  engine: Engine,
  store: TriggersStore,
  release: () => void,
): TriggersHandle {
  const { http, parts } = engine;
  const changed = async <T extends object>(command: Promise<Outcome<T>>): Promise<Outcome<T>> => {
    const outcome = await command;
    if (outcome.ok) store.refresh();
    return outcome;
  };
  return {
    ...openedOf(store.state, release),
    create: (request) =>
      changed(
        http.get<TriggerViewValue>({
          method: 'POST',
          path: path('triggers'),
          body: { triggerId: parts.freshId(), ...request },
          repeats: 2,
        }),
      ),
    patch: (triggerId, change) =>
      changed(
        http.get<TriggerViewValue>({
          method: 'PATCH',
          path: path('triggers', triggerId),
          body: change,
        }),
      ),
    remove: (triggerId) =>
      changed(
        http.get<object>({ method: 'DELETE', path: path('triggers', triggerId), repeats: 2 }),
      ),
    fire: (triggerId) =>
      changed(
        http.get<object>({
          method: 'POST',
          path: path('triggers', triggerId, 'fire'),
          body: { requestId: parts.freshId() },
          repeats: 2,
        }),
      ),
    openLedger: (triggerId, filter = {}) => openLedger(engine, store, { triggerId, ...filter }),
  };
}

function openLedger(
  engine: Engine,
  store: TriggersStore,
  { triggerId, outcome }: { triggerId: string; outcome?: LedgerRowValue['outcome'] },
): LedgerHandle {
  const state = new Value<Ledger>({
    items: [],
    is: 'loading',
    problem: null,
    hasMore: false,
    counts: null,
  });
  let nextCursor: string | null = null;
  let isLoadingMore = false;
  let closed = false;
  const ask = (cursor?: string) =>
    engine.http.get<Page<LedgerRowValue> & { counts: LedgerCountsValue }>({
      method: 'GET',
      path: path('triggers', triggerId, 'ledger'),
      query: { limit: LEDGER_PAGE, cursor, outcome },
    });
  const failed = (answer: Outcome<unknown>): void => {
    const problem = answer.ok ? null : answer.problem;
    const known = state.get();
    if (known.is !== 'ready') state.set({ ...known, is: 'failed', problem });
  };
  const readNewest = async (): Promise<void> => {
    const answer = await ask();
    if (closed) return;
    if (!answer.ok || !('value' in answer)) {
      failed(answer);
      return;
    }
    const { items, counts } = answer.value;
    const known = state.get();
    const isFirst = known.is !== 'ready';
    const rows = merged(known.items, items);
    // Nothing that is known is on the page: what lies between is not, either.
    const isGap = !isFirst && rows === null;
    if (isFirst || isGap) nextCursor = answer.value.nextCursor;
    state.set({
      items: isFirst || rows === null ? items : rows,
      is: 'ready',
      problem: null,
      hasMore: nextCursor !== null,
      counts,
    });
  };
  const loadMore = async (): Promise<void> => {
    if (isLoadingMore || nextCursor === null) return;
    isLoadingMore = true;
    const answer = await ask(nextCursor);
    isLoadingMore = false;
    if (closed) return;
    if (!answer.ok || !('value' in answer)) {
      failed(answer);
      return;
    }
    const { items, counts } = answer.value;
    nextCursor = answer.value.nextCursor;
    const known = state.get();
    const keys = new Set(known.items.map(ledgerKey));
    state.set({
      ...known,
      items: [...known.items, ...items.filter((row) => !keys.has(ledgerKey(row)))],
      hasMore: nextCursor !== null,
      counts,
    });
  };
  const stop = store.onRead(() => void readNewest());
  void readNewest();
  return {
    ...openedOf(state, () => {
      closed = true;
      stop();
    }),
    loadMore: () => void loadMore(),
  };
}

/** The newest page in place of what is known of its rows; null: none of it is known. */
function merged(
  known: readonly LedgerRowValue[],
  newest: readonly LedgerRowValue[],
): readonly LedgerRowValue[] | null {
  const byKey = new Map(known.map((row) => [ledgerKey(row), row]));
  if (known.length > 0 && !newest.some((row) => byKey.has(ledgerKey(row)))) return null;
  const keys = new Set(newest.map(ledgerKey));
  const rest = known.filter((row) => !keys.has(ledgerKey(row)));
  return [...newest.map((row) => same(byKey.get(ledgerKey(row)), row)), ...rest];
}

/** A due time is decided once; a run by hand is told apart by its request. */
function ledgerKey({ cause, dueAt, requestId }: LedgerRowValue): string {
  return cause === 'manual' ? `manual ${dueAt} ${requestId ?? ''}` : dueAt;
}

/** `known`, where it says the same. */
function same<T>(known: T | undefined, value: T): T {
  return known !== undefined && JSON.stringify(known) === JSON.stringify(value) ? known : value;
}

type Page<T> = { items: T[]; nextCursor: string | null };
