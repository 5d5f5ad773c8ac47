/** When a Workflow that lives for ever begins a new run. */
import { patched, workflowInfo } from '@temporalio/workflow';

import { HISTORY_EVENTS_LIMIT, HISTORY_EVENTS_LIMIT_BEFORE } from '../contracts/limits.ts';

/**
 * Whether this run's history has become long. To be asked when the run may end, and only then: that a shorter limit holds
 * is recorded at the first yes, so that the histories of earlier versions, which went on past it, replay.
 */
export function isLongRun(): boolean {
  const { continueAsNewSuggested, historyLength } = workflowInfo();
  if (continueAsNewSuggested || historyLength > HISTORY_EVENTS_LIMIT_BEFORE) return true;
  return historyLength > HISTORY_EVENTS_LIMIT && patched('shorter-runs');
}
