/** All tables. They have no stream of their own: read with each new link, and changed by what this page makes and hears. */
import type { Event } from '../../src/contracts/events.ts';
import type { CreateTableBodyValue } from '../../src/contracts/http.ts';
import type { TableFactsValue } from '../../src/contracts/view.ts';
import type { Outcome, Paged } from './contract.ts';
import { path, type Http } from './http.ts';
import type { Parts } from './parts.ts';
import { Value } from './readable.ts';

const PAGE = 200;
/** Read at once; the others when they are asked for. */
const PAGES = 10;

type TablesPage = { items: TableFactsValue[]; nextCursor: string | null };

export class TablesList {
  readonly state = new Value<Paged<TableFactsValue>>({
    items: [],
    is: 'loading',
    problem: null,
    hasMore: false,
  });
  readonly #parts: Parts;
  readonly #http: Http;
  #asked = 0;
  /** Behind what is there; null: there is nothing more, or it is on its way. */
  #cursor: string | null = null;
  /** As many are read with each link as somebody has wanted to see. */
  #pages = PAGES;

  constructor(parts: Parts, http: Http) {
    this.#parts = parts;
    this.#http = http;
  }

  async read(): Promise<void> {
    this.#asked += 1;
    const asked = this.#asked;
    const items: TableFactsValue[] = [];
    let cursor: string | null = null;
    for (let page = 0; page < this.#pages; page += 1) {
      const answer = await this.#ask(cursor);
      if (asked !== this.#asked) return;
      if (!answer.ok || !('value' in answer)) {
        const known = this.state.get();
        const problem = answer.ok ? null : answer.problem;
        if (known.is !== 'ready') this.state.set({ ...known, is: 'failed', problem });
        return;
      }
      items.push(...answer.value.items);
      cursor = answer.value.nextCursor;
      if (cursor === null) break;
    }
    this.#cursor = cursor;
    this.#set(items, cursor !== null);
  }

  async loadMore(): Promise<void> {
    const cursor = this.#cursor;
    if (cursor === null) return;
    // Until there is an answer, there is nothing to go on from.
    this.#cursor = null;
    const asked = this.#asked;
    const answer = await this.#ask(cursor);
    if (asked !== this.#asked || !answer.ok || !('value' in answer)) {
      this.#cursor ??= cursor;
      return;
    }
    const { items, nextCursor } = answer.value;
    this.#cursor = nextCursor;
    this.#pages += 1;
    const known = this.state.get().items;
    const ids = new Set(known.map(({ tableId }) => tableId));
    this.#set([...known, ...items.filter(({ tableId }) => !ids.has(tableId))], nextCursor !== null);
  }

  #ask(cursor: string | null): Promise<Outcome<TablesPage>> {
    return this.#http.get<TablesPage>({
      method: 'GET',
      path: path('tables'),
      query: { limit: PAGE, cursor: cursor ?? undefined },
      repeats: 2,
    });
  }

  async create(request: CreateTableBodyValue): Promise<Outcome<TableFactsValue>> {
    const outcome = await this.#http.get<TableFactsValue>({
      method: 'POST',
      path: path('tables'),
      body: { tableId: this.#parts.freshId(), ...request },
      repeats: 3,
    });
    if (outcome.ok && 'value' in outcome) {
      const { value } = outcome;
      const { items, hasMore, is } = this.state.get();
      // What was asked before does not know of it.
      this.#asked += 1;
      if (is === 'ready')
        this.#set([value, ...items.filter(({ tableId }) => tableId !== value.tableId)], hasMore);
      else void this.read();
    }
    return outcome;
  }

  /** An event of a table's stream. */
  sawEvent(event: Event): void {
    const { tableId } = event;
    if (tableId === undefined) return;
    const change =
      event.type === 'table.updated' && event.payload.title !== undefined
        ? { title: event.payload.title }
        : event.type === 'conversation.activated' && event.conversationId !== undefined
          ? { activeConversationId: event.conversationId }
          : null;
    if (change === null) return;
    const { items, hasMore } = this.state.get();
    this.#set(
      items.map((table) => (table.tableId === tableId ? { ...table, ...change } : table)),
      hasMore,
    );
  }

  close(): void {
    this.#asked += 1;
  }

  #set(items: readonly TableFactsValue[], hasMore: boolean): void {
    const known = this.state.get();
    const isSame =
      known.is === 'ready' &&
      known.hasMore === hasMore &&
      JSON.stringify(known.items) === JSON.stringify(items);
    if (!isSame) this.state.set({ items, is: 'ready', problem: null, hasMore });
  }
}
