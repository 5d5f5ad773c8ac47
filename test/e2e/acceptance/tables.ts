/**
 * What the tests of tables do over and over: make a table and its conversations, send, switch, kill in the middle, follow the
 * table's stream, and look at what must hold of a table when everything has come to rest.
 */
import { randomUUID } from 'node:crypto';

import { expect } from 'vitest';

import type { ConversationSummaryValue, Event } from '../../../src/contracts/events.ts';
import type { QueueAnswerValue, SendAnswerValue } from '../../../src/contracts/http.ts';
import type { WhenBusyName } from '../../../src/contracts/signals.ts';
import type {
  ConversationViewValue,
  ReceiptValue,
  TableFactsValue,
  TableViewValue,
  TableWithActiveValue,
} from '../../../src/contracts/view.ts';
import { emptyTableView, foldTableEvents } from '../../../src/domain/table-fold.ts';
import type { Role } from '../../../src/supervisor/state.ts';
import { type Frame, textOf } from '../../support/chat-clients.ts';
import { eventually } from '../../support/eventually.ts';
import type { Call, Holdfast } from '../../support/holdfast.ts';
import { readLog, script } from './conversations.ts';
import { endsOf, RECOVERED_WITHIN_MS, viewOf, viewOnce } from './faults.ts';

/** Between two tries to connect. */
const RECONNECT_MS = 25;

/** A turn of a test. */
export type Turn = {
  conversationId: string;
  turnId: string;
  requestId: string;
  content: string;
  /** The message that it was sent in place of: part of what a repeat must say again. */
  replaces?: string;
  status: ReceiptValue['status'];
};

/** One table of a started Holdfast. */
export class TableUnderTest {
  readonly holdfast: Holdfast;
  readonly tableId: string;

  private constructor(holdfast: Holdfast, tableId: string) {
    this.holdfast = holdfast;
    this.tableId = tableId;
  }

  static async create(holdfast: Holdfast): Promise<TableUnderTest> {
    const { tableId } = await holdfast.ask<TableFactsValue>({
      path: '/v1/tables',
      body: { provider: 'scripted' },
    });
    return new TableUnderTest(holdfast, tableId);
  }

  get path(): string {
    return `/v1/tables/${this.tableId}`;
  }

  /** New chat, asked for until it is answered. */
  async newChat(conversationId: string = randomUUID()): Promise<string> {
    await this.insist<ConversationViewValue>({
      path: `${this.path}/conversations`,
      body: { conversationId },
    });
    return conversationId;
  }

  async facts(): Promise<TableFactsValue> {
    return this.holdfast.ask({ path: this.path });
  }

  /** Its snapshot, and that of its active conversation: the one call. */
  async view(): Promise<TableWithActiveValue> {
    return this.holdfast.ask({ path: `${this.path}/view` });
  }

  async list(query = ''): Promise<ConversationSummaryValue[]> {
    const { items } = await this.holdfast.ask<{ items: ConversationSummaryValue[] }>({
      path: `${this.path}/conversations${query}`,
    });
    return items;
  }

  /** What a client does whose answers may be lost: the same again, until it is answered with 200. */
  async insist<T>(call: Call): Promise<T> {
    return eventually(async () => {
      const { status, body } = await this.holdfast.call(call);
      if (status !== 200) throw new Error(`${call.path}: ${status} ${JSON.stringify(body)}`);
      return body as NonNullable<T>;
    }, RECOVERED_WITHIN_MS);
  }

  /** Sends, and insists on a receipt. */
  async send(
    conversationId: string,
    content: string,
    more: { whenBusy?: WhenBusyName; replaces?: string; requestId?: string } = {},
  ): Promise<Turn> {
    const { requestId = randomUUID(), ...rest } = more;
    const { turnId, status } = await this.insist<ReceiptValue>({
      path: `/v1/conversations/${conversationId}/messages`,
      body: { requestId, content, ...rest },
    });
    const { replaces } = more;
    const said = replaces === undefined ? { content } : { content, replaces };
    return { conversationId, turnId: turnId ?? '', requestId, ...said, status };
  }

  /** Sends what streams until it is ended, and waits until it does. `steps` come before that. */
  async streaming(conversationId: string, ...steps: string[]): Promise<Turn> {
    const turn = await this.send(conversationId, script(...steps, 'words 100000 every 5'));
    await this.until(conversationId, (view) => textOf(view).includes('w20 '));
    return turn;
  }

  /** The end of a turn, as its sender is told it. */
  async endOf({ conversationId, requestId, content, replaces }: Turn): Promise<SendAnswerValue> {
    return this.insist({
      path: `/v1/conversations/${conversationId}/messages?wait=end`,
      body: { requestId, content, ...(replaces === undefined ? {} : { replaces }) },
    });
  }

  async queueOf(conversationId: string): Promise<QueueAnswerValue> {
    return this.holdfast.ask({ path: `/v1/conversations/${conversationId}/queue` });
  }

  async release(conversationId: string): Promise<void> {
    await this.insist({
      method: 'PATCH',
      path: `/v1/conversations/${conversationId}/queue`,
      body: { held: false },
    });
  }

  async until(
    conversationId: string,
    is: (view: ConversationViewValue) => boolean,
  ): Promise<ConversationViewValue> {
    const { holdfast } = this;
    return viewOnce({ holdfast, conversationId, is, withinMs: RECOVERED_WITHIN_MS });
  }

  /** Nothing runs in it any more, and nothing waits that is not held. */
  async atRest(): Promise<void> {
    await eventually(async () => {
      const rows = await this.list('?archived=any');
      return rows.every(({ state, queued, held }) => state === 'idle' && (queued === 0 || held));
    }, RECOVERED_WITHIN_MS);
  }

  /**
   * KILL to the process of that role; resolves when it is dead, with a wait for the one that takes its place. Null: nobody
   * is killed.
   */
  async kill(role: Role | null): Promise<() => Promise<void>> {
    if (role === null) return async () => undefined;
    const { holdfast } = this;
    const victim = await holdfast.process(role);
    if (role === 'supervisor') {
      await holdfast.killSupervisor();
      return async () => {
        await holdfast.start();
      };
    }
    process.kill(victim.pid, 'SIGKILL');
    return async () => void (await holdfast.process(role, victim));
  }
}

/**
 * Follows a table's stream over a WebSocket, as the list of a chat page does: it comes back with its last seq whenever the
 * connection is lost. A gap, a repeat, a `reset` or a refusal is a fault.
 */
export class TableFollower {
  view: TableViewValue;
  readonly events: Event[] = [];
  readonly faults: string[] = [];
  readonly #table: TableUnderTest;
  #socket: WebSocket | null = null;
  #closed = false;

  constructor(table: TableUnderTest) {
    this.#table = table;
    this.view = emptyTableView(table.tableId);
    this.#connect();
  }

  close(): void {
    this.#closed = true;
    this.#socket?.close();
  }

  /** Has been told everything that there is now; answers the table's snapshot. */
  async caughtUp(): Promise<TableViewValue> {
    const { table: snapshot } = await this.#table.view();
    await eventually(() => this.view.lastSeq >= snapshot.lastSeq, RECOVERED_WITHIN_MS);
    return snapshot;
  }

  /**
   * Who became active and why, and who became processing or cancelled, in the order of the stream. `names`: by conversationId.
   * When one becomes idle is not told: the next may start as soon as the turn has ended, before its workflow says so.
   */
  told(names: Readonly<Record<string, string>>): string[] {
    const states = new Map<string, string>();
    return this.events.flatMap((event) => {
      const name = names[event.conversationId ?? ''];
      if (name === undefined) return [];
      if (event.type === 'conversation.activated')
        return [`${name} active: ${event.payload.reason}`];
      // A row that comes up from below another is told as a whole.
      const state =
        event.type === 'conversation.state'
          ? event.payload.state
          : event.type === 'conversation.listed'
            ? event.payload.conversation.state
            : undefined;
      if (state === undefined || state === (states.get(name) ?? 'idle')) return [];
      states.set(name, state);
      return state === 'idle' ? [] : [`${name} ${state}`];
    });
  }

  #connect(): void {
    if (this.#closed) return;
    let socket: WebSocket;
    try {
      const { api, token } = this.#table.holdfast;
      const address = `${api.replace(/^http/, 'ws')}/v1/ws`;
      socket = new WebSocket(address, ['holdfast.v1', `holdfast.token.${token}`]);
    } catch {
      setTimeout(() => this.#connect(), RECONNECT_MS);
      return;
    }
    this.#socket = socket;
    socket.addEventListener('open', () => {
      const { tableId } = this.#table;
      const payload = { lastSeq: this.view.lastSeq };
      socket.send(JSON.stringify({ type: 'table.subscribe', tableId, payload }));
    });
    socket.addEventListener('message', ({ data }) => this.#receive(String(data)));
    socket.addEventListener('close', () => setTimeout(() => this.#connect(), RECONNECT_MS));
  }

  #receive(text: string): void {
    const frame = JSON.parse(text) as Frame;
    if (frame.seq === undefined) {
      if (['reset', 'snapshot', 'error'].includes(frame.type)) this.faults.push(text);
      return;
    }
    if (frame.seq !== this.view.lastSeq + 1)
      this.faults.push(`seq ${frame.seq} came after ${this.view.lastSeq}`);
    const event = frame as Event;
    this.events.push(event);
    this.view = foldTableEvents(this.view, [event]);
  }
}

const RECEIPTS = new Set(['chat.started', 'chat.queued', 'chat.rejected']);

/**
 * What must hold of a table at rest, by what anybody can read. L1, A1 of each conversation; S1 of the table; L4 of its stream;
 * each row of the list says what its conversation says.
 */
export async function expectWholeTable(
  table: TableUnderTest,
  follower: TableFollower,
): Promise<void> {
  const { holdfast } = table;
  const rows = await table.list('?archived=any');
  const spans: { turn: string; from: number; to: number }[] = [];
  for (const row of rows) {
    const { conversationId } = row;
    const log = await readLog(holdfast, conversationId);
    expect(log.map(({ seq }) => seq)).toEqual(log.map((_event, index) => index + 1));
    spans.push(...spansOf(log));
    const queued = new Set<string>();
    const receipts = log.filter(({ type, requestId = '' }) => {
      if (!RECEIPTS.has(type) || (type === 'chat.started' && queued.has(requestId))) return false;
      if (type === 'chat.queued') queued.add(requestId);
      return true;
    });
    const asked = receipts.map(({ requestId }) => requestId);
    expect(new Set(asked).size).toBe(asked.length);
    const view = await viewOf({ holdfast, conversationId });
    const shown = view.messages.filter(
      ({ kind, role, status, cut }) =>
        kind === 'text' &&
        (role === 'user' || role === 'assistant') &&
        (status === 'complete' || status === 'partial') &&
        cut !== true,
    );
    const turns = new Set(log.flatMap((e) => (e.type === 'chat.started' ? [e.turnId] : [])));
    expect(row).toMatchObject({
      tableId: table.tableId,
      title: view.title,
      archived: view.archived,
      state: view.state,
      queued: view.queue.length,
      held: view.held,
      approvals: view.approvals.length,
      turnCount: turns.size,
      messageCount: shown.length,
    });
  }
  const inOrder = spans.toSorted((a, b) => a.from - b.from || a.to - b.to);
  for (const [index, { turn, from }] of inOrder.entries())
    expect({ turn, from }).toEqual({ turn, from: Math.max(from, inOrder[index - 1]?.to ?? 0) });

  const snapshot = await follower.caughtUp();
  expect(follower.faults).toEqual([]);
  expect(follower.view).toEqual(snapshot);
}

/** From start to end of each attempt. One without an end fails (A1). */
function spansOf(log: readonly Event[]): { turn: string; from: number; to: number }[] {
  const ended = endsOf(log.filter(({ attempt }) => attempt !== undefined));
  return log.flatMap((event) => {
    if (event.type !== 'chat.started') return [];
    const turn = `${event.turnId}.${event.payload.attempt}`;
    const ends = ended.filter((end) => end.startsWith(`${turn} `));
    expect({ turn, ends: ends.length }).toEqual({ turn, ends: 1 });
    const end = log.find(
      ({ seq, turnId, attempt, type }) =>
        seq > event.seq && `${turnId}.${attempt} ${type}` === ends[0],
    );
    return [{ turn, from: Date.parse(event.at), to: Date.parse(end?.at ?? '') }];
  });
}
