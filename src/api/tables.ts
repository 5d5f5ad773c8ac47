/**
 * What the gateway does for a table, whatever the transport: it looks at the store, signals the table's workflow, and answers
 * from the table's stream. It moves no slot itself.
 */
import { randomUUID } from 'node:crypto';

import { HoldfastError } from '../contracts/errors.ts';
import type {
  ActivateBodyValue,
  ConversationsAnswerValue,
  CreateTableBodyValue,
  NewChatBodyValue,
} from '../contracts/http.ts';
import { tableStream } from '../contracts/ids.ts';
import { MESSAGE_PAGE, TABLE_PAGE } from '../contracts/limits.ts';
import type {
  ConversationViewValue,
  TableFactsValue,
  TableViewValue,
  TableWithActiveValue,
} from '../contracts/view.ts';
import type { Store, StoredEvent } from '../store/port.ts';
import type { ServiceParts } from './conversations.ts';
import { conversationIdTaken } from './history.ts';
import { memberOf } from './json-members.ts';
import { DEFAULT_PROVIDER, mustBeFound } from './provider-directory.ts';
import { notTakenUp } from './receipts.ts';
import { beginCommand } from './recorded-command.ts';
import { waitUntil, type Wait } from './wait-until.ts';
import { resolveWorkspace } from './workspace.ts';

/** Events of a table's stream with which a new conversation comes to be, and to be active. */
const arrivalEvents = new Set(['conversation.listed', 'conversation.activated']);

export class Tables {
  readonly #parts: ServiceParts;
  readonly #store: Store;

  constructor(parts: ServiceParts) {
    this.#parts = parts;
    this.#store = parts.store;
  }

  /** Throws: `not_found`. */
  async facts(tableId: string): Promise<TableFactsValue> {
    return orNoTable(await this.#store.table(tableId));
  }

  /** The snapshot of the table's stream. Throws: `not_found`. */
  async snapshot(tableId: string): Promise<TableViewValue> {
    return orNoTable(await this.#store.tableView(tableId, TABLE_PAGE));
  }

  /** With the active conversation's snapshot, in one read. Throws: `not_found`. */
  async withActive(tableId: string): Promise<TableWithActiveValue> {
    return orNoTable(await this.#store.tableWithActive(tableId, TABLE_PAGE, MESSAGE_PAGE));
  }

  /** Throws: `invalid_request` for a cursor that no list gave. */
  list(cursor: string | null, limit: number): ReturnType<Store['tables']> {
    return this.#store.tables(cursor, limit);
  }

  /** Throws: `not_found`; `invalid_request` for a search that is not well-formed, or a cursor that no list gave. */
  async conversations({
    query,
    ...request
  }: {
    tableId: string;
    archived: boolean | null;
    query: string | null;
    cursor: string | null;
    limit: number;
  }): Promise<ConversationsAnswerValue> {
    await this.facts(request.tableId);
    // An empty search box asks for everything.
    const asked = query === null || query.trim() === '' ? null : query.toWellFormed();
    return this.#store.conversations({ ...request, query: asked });
  }

  /**
   * Creates a table; one that exists is answered as it is, whatever else was asked for.
   *
   * Throws: as the creation of a conversation does.
   */
  async create(body: CreateTableBodyValue, wait: Wait): Promise<TableFactsValue> {
    const { feed, commands, providers, workspaceRoots, gate } = this.#parts;
    const tableId = body.tableId ?? randomUUID();
    const existing = await this.#store.table(tableId);
    if (existing !== null) return existing;
    gate.mustHaveRoom();
    const provider = body.provider ?? DEFAULT_PROVIDER;
    await mustBeFound(providers, provider);
    const workspacePath = await resolveWorkspace({
      requested: body.workspacePath ?? null,
      roots: workspaceRoots,
    });
    const create = {
      title: (body.title ?? '').toWellFormed(),
      workspacePath,
      provider,
      model: body.model ?? null,
    };
    const table = await waitUntil({
      feed,
      stream: tableStream(tableId),
      before: () => gate.carry(() => commands.createTable({ tableId, create })),
      wakes: () => true,
      check: () => this.#store.table(tableId),
      ...wait,
    });
    if (table === null)
      throw notTakenUp('The table is accepted and will be created', { tableId }, 'id');
    return table;
  }

  /**
   * Renames a table. Null: durable, and not recorded in time.
   *
   * Throws: `not_found`, `storage_full`, `rate_limited`, `temporal_unavailable`.
   */
  async rename(
    { tableId, title }: { tableId: string; title: string },
    wait: Wait,
  ): Promise<TableFactsValue | null> {
    const { commands, gate } = this.#parts;
    return beginCommand({
      ...this.#parts,
      stream: tableStream(tableId),
      recordedAs: 'table.updated',
      allow: async () => {
        await this.facts(tableId);
        gate.mustHaveRoom();
      },
      signal: (commandId) =>
        commands.signalTable({
          tableId,
          signal: { name: 'updateTable', argument: { commandId, title: title.toWellFormed() } },
        }),
      answer: () => this.facts(tableId),
      wait,
    }).answer;
  }

  /**
   * New chat: a conversation of this table, active at once. What ran is being cancelled; nobody waits for its end here.
   * Repeated with the same conversationId it answers with the first, and moves nothing.
   *
   * Throws: `not_found`, `provider_not_found`, `request_id_reused` when the conversationId is that of a conversation elsewhere,
   * `storage_full`, `rate_limited`, `temporal_unavailable` (also, with `accepted: true` in its detail, when it is durable and
   * no worker has recorded it in time).
   */
  async newConversation(
    { tableId, body }: { tableId: string; body: NewChatBodyValue },
    wait: Wait,
  ): Promise<ConversationViewValue> {
    const { feed, commands, providers, gate } = this.#parts;
    const table = await this.facts(tableId);
    const conversationId = body.conversationId ?? randomUUID();
    const existing = await this.#ownConversation(tableId, conversationId);
    if (existing !== null) return existing;
    gate.mustHaveRoom();
    const provider = body.provider ?? table.provider;
    await mustBeFound(providers, provider);
    const argument = {
      conversationId,
      title: (body.title ?? '').toWellFormed(),
      provider,
      // The name of a model means nothing to another provider.
      model:
        body.model !== undefined ? body.model : provider === table.provider ? table.model : null,
    };
    let activated = false;
    const view = await waitUntil({
      feed,
      stream: tableStream(tableId),
      before: () =>
        gate.carry(() =>
          commands.signalTable({ tableId, signal: { name: 'newConversation', argument } }),
        ),
      wakes: (event) => {
        activated ||= isActivationOf(event, conversationId);
        return arrivalEvents.has(event.type);
      },
      check: async () => {
        const created = await this.#ownConversation(tableId, conversationId);
        if (created === null) return null;
        // It may have lost the slot again, or this gateway have missed the event: either is enough.
        if (activated) return created;
        return (await this.facts(tableId)).activeConversationId === conversationId ? created : null;
      },
      ...wait,
    });
    if (view === null)
      throw notTakenUp(
        'The conversation is accepted and will be created',
        { conversationId },
        'id',
      );
    return view;
  }

  /**
   * Goes on with a conversation of the table: it becomes active. Null: durable, and not recorded in time; with `reject` it
   * comes to nothing when another one's turn has begun meanwhile.
   *
   * Throws: `not_found` for a conversation that is not of this table, `busy` with `reject` while another one's turn runs,
   * `rate_limited`, `temporal_unavailable`.
   */
  async activate(
    { tableId, body }: { tableId: string; body: ActivateBodyValue },
    wait: Wait,
  ): Promise<TableFactsValue | null> {
    const { feed, commands, gate } = this.#parts;
    const { conversationId } = body;
    // There is no message that could steer: what runs is finished first.
    const whenBusy =
      body.whenBusy === undefined || body.whenBusy === 'steer' ? 'queue' : body.whenBusy;
    const [state, summary] = await Promise.all([
      this.#store.tableState(tableId),
      this.#store.summary(conversationId),
    ]);
    orNoTable(state);
    if (summary?.tableId !== tableId)
      throw new HoldfastError('not_found', 'There is no such conversation in this table.');
    const running = state?.running ?? null;
    const another = running !== null && running.conversationId !== conversationId ? running : null;
    const isActive = state?.activeConversationId === conversationId;
    // An interrupt has something to do though the slot is there: what still runs elsewhere is cancelled.
    if (isActive && (whenBusy !== 'interrupt' || another === null)) return this.facts(tableId);
    if (whenBusy === 'reject' && another !== null)
      throw new HoldfastError('busy', 'A turn of another conversation of this table runs.', {
        conversationId: another.conversationId,
        turnId: another.turnId,
      });
    const argument = { commandId: randomUUID(), conversationId, whenBusy };
    let activated = false;
    return waitUntil({
      feed,
      stream: tableStream(tableId),
      before: () =>
        gate.carry(() => commands.signalTable({ tableId, signal: { name: 'activate', argument } })),
      wakes: (event) => {
        activated ||= isActivationOf(event, conversationId);
        return event.type === 'conversation.activated';
      },
      check: async () => {
        const facts = await this.facts(tableId);
        return activated || facts.activeConversationId === conversationId ? facts : null;
      },
      ...wait,
    });
  }

  /** The snapshot of a conversation of this table; null: there is none. Throws: `request_id_reused` when it is elsewhere. */
  async #ownConversation(
    tableId: string,
    conversationId: string,
  ): Promise<ConversationViewValue | null> {
    const view = await this.#store.snapshot(conversationId, MESSAGE_PAGE);
    if (view !== null && view.tableId !== tableId) throw conversationIdTaken(conversationId);
    return view;
  }
}

function isActivationOf(event: StoredEvent, conversationId: string): boolean {
  return (
    event.type === 'conversation.activated' &&
    memberOf(JSON.parse(event.json), 'conversationId') === conversationId
  );
}

function orNoTable<T>(found: T | null): T {
  if (found === null) throw new HoldfastError('not_found', 'There is no such table.');
  return found;
}
