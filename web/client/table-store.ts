/** One table that somebody looks at, and what can be done with it. */
import type { Event } from '../../src/contracts/events.ts';
import type { ConversationsAnswerValue } from '../../src/contracts/http.ts';
import type { TableViewValue } from '../../src/contracts/view.ts';
import { emptyTableView, foldTableEvents } from '../../src/domain/table-fold.ts';
import type { TableHandle, TableState } from './contract.ts';
import type { Engine } from './engine.ts';
import { path } from './http.ts';
import { openedOf } from './opened.ts';
import { Value } from './readable.ts';
import type { Stream } from './streams.ts';
import { shapeOf } from './wire.ts';

/** A page of a list or a search. */
const LIST_PAGE = 50;

export class TableStore {
  readonly tableId: string;
  readonly state: Value<TableState>;
  readonly #engine: Engine;
  readonly #stream: Stream;
  readonly #flush = (): void => this.#fold();
  #view: TableViewValue;
  #pending: Event[] = [];
  #cursor: number | null = null;
  #isCaughtUp = false;

  constructor(engine: Engine, tableId: string) {
    this.#engine = engine;
    this.tableId = tableId;
    this.#view = emptyTableView(tableId);
    this.state = new Value<TableState>({
      is: 'loading',
      problem: null,
      view: this.#view,
      isStale: true,
    });
    this.#stream = engine.streams.open('table', tableId, {
      cursor: () => this.#cursor,
      onSnapshot: (payload) => {
        const view = shapeOf<TableViewValue>(payload);
        if (view === null) return;
        this.#pending = [];
        this.#cursor = view.lastSeq;
        this.#view = adopted(this.#view, view);
        this.#show({ is: 'ready', problem: null });
      },
      onEvent: (event) => {
        this.#cursor = event.seq;
        this.#pending.push(event);
        engine.frames.request(this.#flush);
      },
      onCaughtUp: () => {
        this.#isCaughtUp = true;
        engine.frames.request(this.#flush);
      },
      onLost: () => {
        this.#isCaughtUp = false;
        engine.frames.request(this.#flush);
      },
      onProblem: (problem) => this.#show({ is: 'failed', problem }),
    });
  }

  close(): void {
    this.#engine.frames.forget(this.#flush);
    this.#engine.streams.close(this.#stream);
  }

  #fold(): void {
    const events = this.#pending;
    this.#pending = [];
    for (const event of events) this.#engine.onEvent(event);
    this.#view = foldTableEvents(this.#view, events);
    this.#show({});
  }

  #show(change: Partial<Pick<TableState, 'is' | 'problem'>>): void {
    const known = this.state.get();
    const state = { ...known, ...change, view: this.#view, isStale: !this.#isCaughtUp };
    const isSame =
      state.is === known.is &&
      state.problem === known.problem &&
      state.view === known.view &&
      state.isStale === known.isStale;
    if (!isSame) this.state.set(state);
  }
}

/** The snapshot with the summaries of `known` where they say the same. */
function adopted(known: TableViewValue, snapshot: TableViewValue): TableViewValue {
  const old = new Map(known.conversations.map((each) => [each.conversationId, each]));
  const conversations = snapshot.conversations.map((each) => {
    const same = old.get(each.conversationId);
    return same !== undefined && JSON.stringify(same) === JSON.stringify(each) ? same : each;
  });
  return { ...snapshot, conversations };
}

export function tableHandle(engine: Engine, store: TableStore, release: () => void): TableHandle {
  const { http, creations } = engine;
  const at = (...rest: string[]): string => path('tables', store.tableId, ...rest);
  return {
    ...openedOf(store.state, release),
    tableId: store.tableId,
    newChat: (request) =>
      creations.make(http, { path: at('conversations'), asked: request, repeats: 3 }),
    activate: (request) =>
      http.get<object>({ method: 'POST', path: at('active'), body: request, repeats: 1 }),
    rename: (title) =>
      http.get<object>({ method: 'PATCH', path: at(), body: { title }, repeats: 1 }),
    list: ({ q, archived, cursor }) =>
      http.get<ConversationsAnswerValue>({
        method: 'GET',
        path: at('conversations'),
        query: { q, archived, cursor, limit: LIST_PAGE },
        repeats: 1,
      }),
  };
}
