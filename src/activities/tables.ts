/**
 * Local activities of a table's workflow, and of conversations that tell their table something.
 *
 * Each may run twice. What is recorded carries a key; what is said to other workflows says "look", or asks for a cancel of
 * what runs at a moment when nothing else can be started there, so that hearing it twice changes nothing.
 */
import { ApplicationFailure } from '@temporalio/common';

import { appendKey, conversationStream, tableStream } from '../contracts/ids.ts';
import { SIGNAL, TABLE_SIGNAL } from '../contracts/names.ts';
import type { TableInputValue } from '../contracts/signals.ts';
import { decideTable, type TableCommand, type TableEffect } from '../domain/table.ts';
import type { Store, TableState } from '../store/port.ts';
import { decodeEvent } from '../store/stored-event.ts';

/** Signals to workflows, which are started first when Temporal does not know them. Each resolves when it is durable. */
export interface WorkflowSignals {
  signalConversation(conversationId: string, name: string, argument?: object): Promise<void>;
  signalTable(tableId: string, name: string, argument?: object): Promise<void>;
}

/** What a conversation tells its table. */
export type TableWord =
  | { name: 'wantSlot'; conversationId: string; interrupt: boolean }
  | { name: 'look'; yields: string | null };

export type TableActivities = ReturnType<typeof createTableActivities>;

export function createTableActivities(parts: { store: Store; signals: WorkflowSignals }) {
  const { store, signals } = parts;

  /** Whether the table may decide about the conversation that the command names; New chat makes it. */
  async function isOfTable(tableId: string, command: TableCommand): Promise<boolean> {
    if (!('conversationId' in command)) return true;
    const { conversationId } = command;
    const known = await store.conversation(conversationId);
    if (known !== null) return known.tableId === tableId;
    const table = await store.table(tableId);
    if (command.type !== 'newConversation' || table === null) return false;
    const { title, provider, model } = command;
    const { workspacePath } = table;
    await store.append({
      stream: conversationStream(conversationId),
      key: appendKey.created(),
      events: [
        {
          type: 'conversation.created',
          conversationId,
          payload: { tableId, title, provider, model, workspacePath },
        },
      ],
    });
    // Somebody else may have made one of that id at the same moment; then this append was a repeat of theirs (X1).
    return (await store.conversation(conversationId))?.tableId === tableId;
  }

  /**
   * The slot is there already: was it this very command that moved it, in an earlier run of its task? Then what that run
   * would have said follows from where the slot was before. Null: it was not.
   */
  async function beforeItMoved(
    facts: TableState,
    command: TableCommand,
    freshId: string,
  ): Promise<TableState | null> {
    const takesOver =
      command.type === 'newConversation' ||
      (command.type === 'activate' && command.whenBusy === 'interrupt');
    if (!takesOver) return null;
    const stream = tableStream(facts.tableId);
    const key = keyOf(command, freshId, facts.activeConversationId);
    const first = await store.append({ stream, key, events: [] });
    if (first.status !== 'repeated' || first.lastSeq < first.firstSeq) return null;
    const { items } = await store.events(stream, first.firstSeq - 1, 1);
    const [event] = items.map(({ json }) => decodeEvent(json));
    if (event?.type !== 'conversation.activated') return null;
    // What has begun to wait since then is none of this command's business.
    const waiting = facts.waiting.filter(({ since }) => since <= event.at);
    return { ...facts, activeConversationId: event.payload.previous, waiting };
  }

  return {
    /** Creates the table, or sees that it is there. Throws `not_found` (non-retryable) when it is not. */
    async openTable({ tableId, create }: TableInputValue): Promise<string | null> {
      if (create !== undefined)
        await store.append({
          stream: tableStream(tableId),
          key: appendKey.created(),
          events: [{ type: 'table.created', tableId, payload: create }],
        });
      const table = await store.table(tableId);
      if (table === null)
        throw ApplicationFailure.nonRetryable(
          `There is no table ${tableId}; create it through the API first.`,
          'not_found',
        );
      return table.activeConversationId;
    },

    /** Decides a command on what the store says now, and records it. `freshId` is new for each command. */
    async decideTable(request: {
      tableId: string;
      command: TableCommand;
      freshId: string;
    }): Promise<{ activeConversationId: string | null; effects: TableEffect[] }> {
      const { tableId, command, freshId } = request;
      const mayDecide = await isOfTable(tableId, command);
      const facts = await store.tableState(tableId);
      if (facts === null || !mayDecide)
        return { activeConversationId: facts?.activeConversationId ?? null, effects: [] };
      const { events, effects } = decideTable(facts, command);
      if (events.length === 0) {
        const first = await beforeItMoved(facts, command, freshId);
        return {
          activeConversationId: facts.activeConversationId,
          effects: first === null ? effects : decideTable(first, command).effects,
        };
      }
      const activated = events.find((event) => event.type === 'conversation.activated');
      const active = activated?.conversationId ?? facts.activeConversationId;
      const { status } = await store.append({
        stream: tableStream(tableId),
        key: keyOf(command, freshId, active),
        events: events.map((event) => ({ ...event, tableId })),
      });
      // It was decided long ago, and the slot has moved on since: a client that asks again changes nothing.
      return status === 'appended'
        ? { activeConversationId: active, effects }
        : { activeConversationId: facts.activeConversationId, effects: [] };
    },

    /** Tells the conversations what was decided. */
    async tellConversations(effects: TableEffect[]): Promise<void> {
      for (const effect of effects) {
        const { conversationId } = effect;
        if (effect.type === 'look') {
          await signals.signalConversation(conversationId, SIGNAL.reopen);
        } else {
          const { by, holdQueue } = effect;
          await signals.signalConversation(conversationId, SIGNAL.cancel, { by, holdQueue });
        }
      }
    },

    /** Tells a table what one of its conversations has to say. */
    async tellTable({ tableId, word }: { tableId: string; word: TableWord }): Promise<void> {
      const { name, ...argument } = word;
      await signals.signalTable(tableId, TABLE_SIGNAL[name], argument);
    },
  };
}

function keyOf(command: TableCommand, freshId: string, active: string | null): string {
  switch (command.type) {
    case 'newConversation':
      return appendKey.newConversation(command.conversationId);
    case 'activate':
    case 'update':
      return appendKey.command(command.commandId);
    case 'want':
    case 'look':
      // By where it goes too: of a task that is carried out twice, the second time may decide otherwise.
      return appendKey.moved(`${freshId}:${active ?? ''}`);
  }
}
