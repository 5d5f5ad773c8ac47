/** What a conversation's Workflow answers to. Wire names: contracts/names.ts. Source: protocol.md section 7. */
import { defineQuery, defineSignal } from '@temporalio/workflow';

import { QUERY, SEARCH_ATTRIBUTE, SIGNAL } from '../contracts/names.ts';
import type {
  CancelSignalValue,
  QuietSignalValue,
  ResolveApprovalSignalValue,
  RetrySignalValue,
  SendSignalValue,
  WorkflowSnapshotValue,
} from '../contracts/signals.ts';

/** A user's message. Its receipt is an event of the log. */
export const sendSignal = defineSignal<[SendSignalValue]>(SIGNAL.send);
/** Asks for the end of the running turn. */
export const cancelSignal = defineSignal<[CancelSignalValue?]>(SIGNAL.cancel);
/** A new attempt of a turn that ended otherwise than completed. */
export const retrySignal = defineSignal<[RetrySignalValue]>(SIGNAL.retry);
/** The answer to an open approval. */
export const resolveApprovalSignal = defineSignal<[ResolveApprovalSignalValue]>(
  SIGNAL.resolveApproval,
);
/** The running turn's provider is silent, or no longer: for the search attribute, decides nothing. */
export const quietSignal = defineSignal<[QuietSignalValue]>(SIGNAL.quiet);
/** The store knows of something to do, and this workflow says that it is idle: it reads the store's state again. */
export const reopenSignal = defineSignal(SIGNAL.reopen);
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
