/**
 * Starts again the workflows that Temporal has lost: its database is gone, or an operator has terminated one. The store
 * knows what each was doing; a workflow begins from there by itself. One that runs and believes itself idle at two looks,
 * while the store has something for it to do (Temporal was restored from an older copy), is told to read the store.
 *
 * Without this a conversation would stand still until somebody sends to it: its turn would end in the log, and what
 * waits behind it would not start. The same for tables: one in which something waits while nothing runs, at two looks, is
 * told to look.
 */
import type { WorkflowClient } from '@temporalio/client';
import { defineSearchAttributeKey, SearchAttributeType } from '@temporalio/common';

import type { WorkflowSignals } from './activities/tables.ts';
import { conversationWorkflowId } from './contracts/ids.ts';
import {
  conversationWorkflowOptions,
  SEARCH_ATTRIBUTE,
  SIGNAL,
  TABLE_SIGNAL,
  WORKFLOW_TYPE,
} from './contracts/names.ts';
import type { ConversationInputValue } from './contracts/signals.ts';
import { Rounds } from './rounds.ts';
import type { Store } from './store/port.ts';

/** Between two looks at tables, each of which costs one read. */
const EVERY_MS = 5_000;
/** Of the looks, those that are at conversations too: one read, and one call to Temporal for each that is not idle. */
const CONVERSATIONS_EVERY = 3;
const STATE = defineSearchAttributeKey(SEARCH_ATTRIBUTE.state, SearchAttributeType.KEYWORD);
/** Read from the store at once. */
const PAGE = 200;

export class Reviver {
  readonly #store: Pick<Store, 'unsettled' | 'waitingTables'>;
  readonly #signals: WorkflowSignals;
  readonly #client: WorkflowClient;
  readonly #taskQueue: string;
  readonly #log: (text: string) => void;
  readonly #everyMs: number;
  /** Idle at the last look, while the store had something for them to do: that may have been the blink between the two. */
  #idle: ReadonlySet<string> = new Set();
  /** Tables in which something waited at the last look, while nothing ran. */
  #waiting: ReadonlySet<string> = new Set();
  #looks = 0;
  readonly #rounds = new Rounds({
    round: async () => {
      this.#looks += 1;
      await (this.#looks % CONVERSATIONS_EVERY === 1 ? this.look() : this.#lookAtTables());
      return this.#everyMs;
    },
    onFailure: (error) => {
      this.#log(`lost workflows were not looked for: ${String(error)}`);
      return this.#everyMs;
    },
  });

  constructor(parts: {
    store: Pick<Store, 'unsettled' | 'waitingTables'>;
    signals: WorkflowSignals;
    client: WorkflowClient;
    taskQueue: string;
    log: (text: string) => void;
    everyMs?: number;
  }) {
    this.#store = parts.store;
    this.#signals = parts.signals;
    this.#client = parts.client;
    this.#taskQueue = parts.taskQueue;
    this.#log = parts.log;
    this.#everyMs = parts.everyMs ?? EVERY_MS;
  }

  /** Looks now, and then again and again. */
  start(): void {
    this.#rounds.start();
  }

  stop(): void {
    this.#rounds.stop();
  }

  /** One look; the ids of the conversations and tables whose workflow was started, or told to read the store again. */
  async look(): Promise<string[]> {
    return [...(await this.#lookAtConversations()), ...(await this.#lookAtTables())];
  }

  async #lookAtTables(): Promise<string[]> {
    const told: string[] = [];
    const waiting = new Set<string>();
    for (let after = ''; ;) {
      const page = await this.#store.waitingTables(after, PAGE);
      for (const tableId of page) {
        if (this.#rounds.isStopped) return told;
        waiting.add(tableId);
        if (!this.#waiting.has(tableId)) continue;
        await this.#signals.signalTable(tableId, TABLE_SIGNAL.look);
        this.#log(`something waits in table ${tableId} and nothing runs; it was told to look`);
        told.push(tableId);
      }
      if (page.length < PAGE) break;
      after = page.at(-1) ?? '';
    }
    this.#waiting = waiting;
    return told;
  }

  async #lookAtConversations(): Promise<string[]> {
    const revived: string[] = [];
    const idle = new Set<string>();
    for (let after = ''; ;) {
      const page = await this.#store.unsettled(after, PAGE);
      for (const conversationId of page) {
        if (this.#rounds.isStopped) return revived;
        const state = await this.#stateOf(conversationId);
        if (state === 'lost') {
          await this.#start(conversationId);
          this.#log(
            `conversation ${conversationId} was lost by Temporal; it goes on from the store`,
          );
          revived.push(conversationId);
        } else if (state === 'idle' && this.#idle.has(conversationId)) {
          await this.#client
            .getHandle(conversationWorkflowId(conversationId))
            .signal(SIGNAL.reopen);
          this.#log(`conversation ${conversationId} was behind its store; it reads it again`);
          revived.push(conversationId);
        } else if (state === 'idle') idle.add(conversationId);
      }
      if (page.length < PAGE) break;
      after = page.at(-1) ?? '';
    }
    this.#idle = idle;
    return revived;
  }

  /** What Temporal says. Asked before a start, so that the log tells which were lost. */
  async #stateOf(conversationId: string): Promise<'lost' | 'idle' | 'busy'> {
    try {
      const handle = this.#client.getHandle(conversationWorkflowId(conversationId));
      const { status, typedSearchAttributes } = await handle.describe();
      if (status.name !== 'RUNNING') return 'lost';
      return typedSearchAttributes.get(STATE) === 'idle' ? 'idle' : 'busy';
    } catch (error) {
      if (error instanceof Error && error.name === 'WorkflowNotFoundError') return 'lost';
      throw error;
    }
  }

  async #start(conversationId: string): Promise<void> {
    const input: ConversationInputValue = { conversationId };
    await this.#client.start(WORKFLOW_TYPE.conversation, {
      ...conversationWorkflowOptions(conversationId, this.#taskQueue),
      args: [input],
    });
  }
}
