/** Names on the Temporal side of the surface. Source: protocol.md section 7. No TypeBox here. */

import { conversationWorkflowId, tableWorkflowId, triggerWorkflowId } from './ids.ts';

/** Task Queue of the workflows. */
export const WORKFLOW_TASK_QUEUE = 'holdfast';
/** Shared queue on which any turn host with room may claim a conversation. */
export const CLAIM_TASK_QUEUE = 'turns';
/** The queue of one turn host; a conversation is pinned to it after its first claim. */
export function hostTaskQueue(host: string): string {
  return `turns.${host}`;
}

export const WORKFLOW_TYPE = {
  conversation: 'conversation',
  table: 'table',
  trigger: 'trigger',
} as const;

/**
 * With what a conversation's workflow is started, by whomever: it never ends by itself, and after an operator has terminated
 * it, or Temporal has lost it, the next start begins from the store.
 */
export function conversationWorkflowOptions(
  conversationId: string,
  taskQueue: string = WORKFLOW_TASK_QUEUE,
) {
  return {
    workflowId: conversationWorkflowId(conversationId),
    taskQueue,
    workflowIdConflictPolicy: 'USE_EXISTING',
    workflowIdReusePolicy: 'ALLOW_DUPLICATE',
  } as const;
}

/** As {@link conversationWorkflowOptions}, of a table. */
export function tableWorkflowOptions(tableId: string, taskQueue: string = WORKFLOW_TASK_QUEUE) {
  return {
    workflowId: tableWorkflowId(tableId),
    taskQueue,
    workflowIdConflictPolicy: 'USE_EXISTING',
    workflowIdReusePolicy: 'ALLOW_DUPLICATE',
  } as const;
}

/** As {@link conversationWorkflowOptions}, of the Workflow that carries out a trigger's commands; it ends when there is none. */
export function triggerWorkflowOptions(triggerId: string, taskQueue: string = WORKFLOW_TASK_QUEUE) {
  return {
    workflowId: triggerWorkflowId(triggerId),
    taskQueue,
    workflowIdConflictPolicy: 'USE_EXISTING',
    workflowIdReusePolicy: 'ALLOW_DUPLICATE',
  } as const;
}

export const SIGNAL = {
  send: 'send',
  cancel: 'cancel',
  retry: 'retry',
  resolveApproval: 'resolveApproval',
  updateQueued: 'updateQueued',
  removeQueued: 'removeQueued',
  holdQueue: 'holdQueue',
  rollback: 'rollback',
  updateConversation: 'updateConversation',
  /** From the turn host, not from people: a turn's provider is silent, or no longer. */
  quiet: 'quiet',
  /** From the worker: the store's state is another than the workflow's. */
  reopen: 'reopen',
  /** A message of another agent; without one: there is something in the mailbox. */
  mail: 'mail',
} as const;

/** Signals of a table's workflow. */
export const TABLE_SIGNAL = {
  newConversation: 'newConversation',
  activate: 'activate',
  updateTable: 'updateTable',
  /** From its conversations, not from people. */
  wantSlot: 'wantSlot',
  /** Something may have to be decided: a turn has ended while others wait, or nobody has looked for long. */
  look: 'look',
} as const;

/** Signals of a trigger's workflow. */
export const TRIGGER_SIGNAL = {
  create: 'create',
  change: 'change',
  remove: 'remove',
  fire: 'fire',
  backfill: 'backfill',
  /** Something may be due, or decided and not delivered. */
  look: 'look',
} as const;

/** Cause of the end of an attempt of which the store has never heard: it was restored from an older copy. Never in a log. */
export const ATTEMPT_UNKNOWN = 'attempt_unknown';

/** AgentId of a team's root. */
export const ROOT_AGENT = 'root';

/** Where a provider reaches its team, by the Model Context Protocol. Source: protocol.md section 6. */
export const MCP_PATH = '/mcp';
/** What providers call that server. */
export const MCP_SERVER = 'holdfast';
/** Its tools. */
export const MCP_TOOLS = ['spawn_agent', 'send_message', 'check_inbox', 'list_team'] as const;

export const QUERY = { snapshot: 'snapshot' } as const;

/** Registered by temporal-dev.sh; a deployment registers them itself (docs/operating.md). */
export const SEARCH_ATTRIBUTE = {
  state: 'HoldfastState',
  table: 'HoldfastTable',
  provider: 'HoldfastProvider',
  turnStartedAt: 'HoldfastTurnStartedAt',
  quiet: 'HoldfastQuiet',
} as const;

/** The mark every provider process carries in its environment: `<turnId>.<attempt>`. Source: design.md section 5. */
export const PROCESS_MARK = 'HOLDFAST_TURN';

/** WebSocket subprotocols. Source: protocol.md section 3. */
export const WS_PROTOCOL = 'holdfast.v1';
export const WS_TOKEN_PREFIX = 'holdfast.token.';

/** Close codes of the WebSocket. Source: protocol.md section 3. */
export const WS_CLOSE = {
  restart: 1012,
  policy: 1008,
  tooBig: 1009,
  unauthorized: 4001,
  origin: 4003,
  tooSlow: 4008,
} as const;
