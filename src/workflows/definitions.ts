/** What a conversation's Workflow answers to. Wire names: contracts/names.ts. Source: protocol.md section 7. */
import { defineQuery, defineSignal } from '@temporalio/workflow';

import type { MailSignalValue } from '../contracts/agents.ts';
import {
  QUERY,
  SEARCH_ATTRIBUTE,
  SIGNAL,
  TABLE_SIGNAL,
  TRIGGER_SIGNAL,
} from '../contracts/names.ts';
import type {
  ActivateSignalValue,
  CancelSignalValue,
  HoldQueueSignalValue,
  NewConversationSignalValue,
  QuietSignalValue,
  RemoveQueuedSignalValue,
  ResolveApprovalSignalValue,
  RetrySignalValue,
  RollbackSignalValue,
  SendSignalValue,
  TableWorkflowSnapshotValue,
  UpdateConversationSignalValue,
  UpdateQueuedSignalValue,
  UpdateTableSignalValue,
  WantSlotSignalValue,
  WorkflowSnapshotValue,
} from '../contracts/signals.ts';
import type {
  BackfillSignalValue,
  ChangeTriggerSignalValue,
  CreateTriggerSignalValue,
  FireTriggerSignalValue,
  RemoveTriggerSignalValue,
} from '../contracts/triggers.ts';

/** A user's message. Its receipt is an event of the log. */
export const sendSignal = defineSignal<[SendSignalValue]>(SIGNAL.send);
/** Asks for the end of the running turn. */
export const cancelSignal = defineSignal<[CancelSignalValue?]>(SIGNAL.cancel);
/** A new attempt of a turn that ended otherwise than completed. */
export const retrySignal = defineSignal<[RetrySignalValue]>(SIGNAL.retry);
/** Another text, another place, or the front, for a queued message. */
export const updateQueuedSignal = defineSignal<[UpdateQueuedSignalValue]>(SIGNAL.updateQueued);
/** Takes a queued message out; its end is `chat.cancelled`. */
export const removeQueuedSignal = defineSignal<[RemoveQueuedSignalValue]>(SIGNAL.removeQueued);
/** Holds what waits, or releases it. */
export const holdQueueSignal = defineSignal<[HoldQueueSignalValue]>(SIGNAL.holdQueue);
/** Cuts the history after a message. */
export const rollbackSignal = defineSignal<[RollbackSignalValue]>(SIGNAL.rollback);
/** Title, archived, provider, model. */
export const updateConversationSignal = defineSignal<[UpdateConversationSignalValue]>(
  SIGNAL.updateConversation,
);
/** The answer to an open approval. */
export const resolveApprovalSignal = defineSignal<[ResolveApprovalSignalValue]>(
  SIGNAL.resolveApproval,
);
/** The running turn's provider is silent, or no longer: for the search attribute, decides nothing. */
export const quietSignal = defineSignal<[QuietSignalValue]>(SIGNAL.quiet);
/** The store knows of something to do, and this workflow says that it is idle: it reads the store's state again. */
export const reopenSignal = defineSignal(SIGNAL.reopen);
/** A message of another agent, or word that there is something in the mailbox. */
export const mailSignal = defineSignal<[MailSignalValue?]>(SIGNAL.mail);
/** Of a table: New chat. */
export const newConversationSignal = defineSignal<[NewConversationSignalValue]>(
  TABLE_SIGNAL.newConversation,
);
/** Of a table: an old conversation is continued. */
export const activateSignal = defineSignal<[ActivateSignalValue]>(TABLE_SIGNAL.activate);
/** Of a table: its title. */
export const updateTableSignal = defineSignal<[UpdateTableSignalValue]>(TABLE_SIGNAL.updateTable);
/** Of a table, from its conversations: something waits there. */
export const wantSlotSignal = defineSignal<[WantSlotSignalValue]>(TABLE_SIGNAL.wantSlot);
/** Of a table: there may be something to decide. */
export const lookSignal = defineSignal<[{ yields?: string | null }?]>(TABLE_SIGNAL.look);
/** Of a table: which conversation is active. */
export const tableSnapshotQuery = defineQuery<TableWorkflowSnapshotValue>(QUERY.snapshot);

/** Of a trigger: it comes to be. One that is there stays as it is. */
export const createTriggerSignal = defineSignal<[CreateTriggerSignalValue]>(TRIGGER_SIGNAL.create);
/** Of a trigger: another rule, or paused, or no longer. */
export const changeTriggerSignal = defineSignal<[ChangeTriggerSignalValue]>(TRIGGER_SIGNAL.change);
/** Of a trigger: nothing is due of it any more. */
export const removeTriggerSignal = defineSignal<[RemoveTriggerSignalValue]>(TRIGGER_SIGNAL.remove);
/** Of a trigger: runs it now. */
export const fireTriggerSignal = defineSignal<[FireTriggerSignalValue]>(TRIGGER_SIGNAL.fire);
/** Of a trigger: runs what was due in a range and did not run. */
export const backfillTriggerSignal = defineSignal<[BackfillSignalValue]>(TRIGGER_SIGNAL.backfill);
/** Of a trigger: something may be due, or decided and not sent. */
export const lookAtTriggerSignal = defineSignal(TRIGGER_SIGNAL.look);

/** The state the workflow owns; the transcript is in the log. */
export const snapshotQuery = defineQuery<WorkflowSnapshotValue>(QUERY.snapshot);

export const stateAttribute = { name: SEARCH_ATTRIBUTE.state, type: 'KEYWORD' } as const;
export const tableAttribute = { name: SEARCH_ATTRIBUTE.table, type: 'KEYWORD' } as const;
export const providerAttribute = { name: SEARCH_ATTRIBUTE.provider, type: 'KEYWORD' } as const;
export const quietAttribute = { name: SEARCH_ATTRIBUTE.quiet, type: 'BOOL' } as const;
export const turnStartedAtAttribute = {
  name: SEARCH_ATTRIBUTE.turnStartedAt,
  type: 'DATETIME',
} as const;
