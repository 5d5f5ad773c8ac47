/** Signals from this process to workflows: by the table to its conversations, and by them to their table. */
import type { WorkflowClient } from '@temporalio/client';

import type { WorkflowSignals } from './activities/tables.ts';
import {
  conversationWorkflowOptions,
  tableWorkflowOptions,
  WORKFLOW_TYPE,
} from './contracts/names.ts';

/** A workflow that Temporal does not know is started, and begins from the store. */
export function workflowSignals(parts: {
  client: WorkflowClient;
  taskQueue: string;
}): WorkflowSignals {
  const { client, taskQueue } = parts;
  return {
    async signalConversation(conversationId, name, argument) {
      await client.signalWithStart(WORKFLOW_TYPE.conversation, {
        ...conversationWorkflowOptions(conversationId, taskQueue),
        args: [{ conversationId }],
        signal: name,
        signalArgs: [argument ?? {}],
      });
    },
    async signalTable(tableId, name, argument) {
      await client.signalWithStart(WORKFLOW_TYPE.table, {
        ...tableWorkflowOptions(tableId, taskQueue),
        args: [{ tableId }],
        signal: name,
        signalArgs: [argument ?? {}],
      });
    },
  };
}
