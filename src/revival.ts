/**
 * Starts again the workflows that Temporal has lost: its database is gone or was restored from an older copy, or an
 * operator has terminated one. The store knows what each was doing; a workflow begins from there by itself.
 *
 * Without this a conversation would stand still until somebody sends to it: its turn would end in the log, and what
 * waits behind it would not start.
 */
import type { WorkflowClient } from '@temporalio/client';

import { conversationWorkflowId } from './contracts/ids.ts';
import { WORKFLOW_TYPE } from './contracts/names.ts';
import type { ConversationInputValue } from './contracts/signals.ts';
import type { Store } from './store/port.ts';

/** Between two looks. A look costs one read, and one call to Temporal for each conversation that is not idle. */
const EVERY_MS = 15_000;
/** Read from the store at once. */
const PAGE = 200;

export class Reviver {
  readonly #store: Pick<Store, 'unsettled'>;
  readonly #client: WorkflowClient;
  readonly #taskQueue: string;
  readonly #log: (text: string) => void;
  readonly #everyMs: number;
  #timer: NodeJS.Timeout | null = null;
  #stopped = false;

  constructor(parts: {
    store: Pick<Store, 'unsettled'>;
    client: WorkflowClient;
    taskQueue: string;
    log: (text: string) => void;
    everyMs?: number;
  }) {
    this.#store = parts.store;
    this.#client = parts.client;
    this.#taskQueue = parts.taskQueue;
    this.#log = parts.log;
    this.#everyMs = parts.everyMs ?? EVERY_MS;
  }

  /** Looks now, and then again and again. */
  start(): void {
    if (this.#stopped) return;
    this.look()
      .catch((error: unknown) => this.#log(`lost workflows were not looked for: ${String(error)}`))
      .finally(() => {
        if (!this.#stopped) this.#timer = setTimeout(() => this.start(), this.#everyMs);
      });
  }

  stop(): void {
    this.#stopped = true;
    if (this.#timer !== null) clearTimeout(this.#timer);
  }

  /** One look; the ids of the conversations whose workflow was started. */
  async look(): Promise<string[]> {
    const revived: string[] = [];
    for (let after = ''; ;) {
      const page = await this.#store.unsettled(after, PAGE);
      for (const conversationId of page) {
        if (this.#stopped) return revived;
        if (!(await this.#isLost(conversationId))) continue;
        await this.#start(conversationId);
        this.#log(`conversation ${conversationId} was lost by Temporal; it goes on from the store`);
        revived.push(conversationId);
      }
      if (page.length < PAGE) return revived;
      after = page.at(-1) ?? '';
    }
  }

  /** Asked first, so that the log tells which were lost; a start alone would find a running one and say nothing. */
  async #isLost(conversationId: string): Promise<boolean> {
    try {
      const handle = this.#client.getHandle(conversationWorkflowId(conversationId));
      return (await handle.describe()).status.name !== 'RUNNING';
    } catch (error) {
      if (error instanceof Error && error.name === 'WorkflowNotFoundError') return true;
      throw error;
    }
  }

  async #start(conversationId: string): Promise<void> {
    const input: ConversationInputValue = { conversationId };
    await this.#client.start(WORKFLOW_TYPE.conversation, {
      workflowId: conversationWorkflowId(conversationId),
      taskQueue: this.#taskQueue,
      workflowIdConflictPolicy: 'USE_EXISTING',
      workflowIdReusePolicy: 'ALLOW_DUPLICATE',
      args: [input],
    });
  }
}
