/** Signals from this process to workflows: by the table to its conversations, by them to their table, by the watch to triggers. */
import type { WorkflowClient } from '@temporalio/client';

import type { WorkflowSignals } from './activities/tables.ts';
import {
  conversationWorkflowOptions,
  tableWorkflowOptions,
  TRIGGER_SIGNAL,
  triggerWorkflowOptions,
  WORKFLOW_TYPE,
} from './contracts/names.ts';
import type { TriggerSignals } from './trigger-watch.ts';

/** A workflow that Temporal does not know is started, and begins from the store. */
export function workflowSignals(parts: {
  client: WorkflowClient;
  taskQueue: string;
}): WorkflowSignals & TriggerSignals {
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
    async lookAtTrigger(triggerId) {
      await client.signalWithStart(WORKFLOW_TYPE.trigger, {
        ...triggerWorkflowOptions(triggerId, taskQueue),
        args: [{ triggerId }],
        signal: TRIGGER_SIGNAL.look,
        signalArgs: [],
      });
    },
  };
}
