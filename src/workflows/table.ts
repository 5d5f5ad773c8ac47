/**
 * The table's Workflow: a shell around `domain/table.ts`. It alone moves the slot.
 *
 * It keeps nothing: what runs and who waits is asked of the store at each command, and what it decides is recorded there. One
 * that begins anew, because Temporal has lost the last, goes on as if nothing had happened.
 */
import {
  allHandlersFinished,
  condition,
  continueAsNew,
  log,
  proxyLocalActivities,
  setCurrentDetails,
  setHandler,
  upsertSearchAttributes,
  uuid4,
} from '@temporalio/workflow';

import type { TableActivities } from '../activities/tables.ts';
import { TABLE_SIGNAL } from '../contracts/names.ts';
import type { TableInputValue, TableWorkflowSnapshotValue } from '../contracts/signals.ts';
import { describeTable, parseTableSignal, type TableCommand } from '../domain/table.ts';
import { takeInOrderOfArrival } from './arrival-order.ts';
import {
  activateSignal,
  lookSignal,
  newConversationSignal,
  tableAttribute,
  tableSnapshotQuery,
  updateTableSignal,
  wantSlotSignal,
} from './definitions.ts';
import { isLongRun } from './run-length.ts';

/** What one run hands to the next, or what the first is started with. */
export type TableRunInput = TableInputValue & { carried?: { activeConversationId: string | null } };

const { openTable, decideTable, tellConversations } = proxyLocalActivities<TableActivities>({
  startToCloseTimeout: '30 seconds',
  retry: { initialInterval: '50 ms', maximumInterval: '2 seconds' },
});

/** One table, from its creation on. Workflow Id `table:<id>`. */
export async function table(input: TableRunInput): Promise<never> {
  const { tableId } = input;
  const inbox: TableCommand[] = [];
  let activeConversationId = input.carried?.activeConversationId ?? null;
  const take = (name: keyof typeof TABLE_SIGNAL, value: unknown): void => {
    const command = parseTableSignal(name, value);
    if (command === null) log.warn('a signal without the documented shape was ignored', { name });
    else inbox.push(command);
  };
  // Before any await: a signal that came with the start must find its handler.
  takeInOrderOfArrival((name, value) => {
    if (isTableSignal(name)) take(name, value);
    else log.warn('a signal of an unknown name was ignored', { name });
  });
  setHandler(newConversationSignal, (value) => take('newConversation', value));
  setHandler(activateSignal, (value) => take('activate', value));
  setHandler(updateTableSignal, (value) => take('updateTable', value));
  setHandler(wantSlotSignal, (value) => take('wantSlot', value));
  setHandler(lookSignal, (value) => take('look', value));
  setHandler(tableSnapshotQuery, (): TableWorkflowSnapshotValue => ({
    tableId,
    activeConversationId,
    inWords: describeTable(activeConversationId),
  }));
  if (input.carried === undefined) {
    activeConversationId = await openTable(input);
    upsertSearchAttributes([{ key: tableAttribute, value: tableId }]);
  }
  for (;;) {
    setCurrentDetails(describeTable(activeConversationId));
    await condition(() => inbox.length > 0 || (allHandlersFinished() && isLongRun()));
    const command = inbox.shift();
    if (command === undefined)
      return continueAsNew<typeof table>({ tableId, carried: { activeConversationId } });
    const decided = await decideTable({ tableId, command, freshId: uuid4() });
    activeConversationId = decided.activeConversationId;
    if (decided.effects.length > 0) await tellConversations(decided.effects);
  }
}

function isTableSignal(name: string): name is keyof typeof TABLE_SIGNAL {
  return Object.hasOwn(TABLE_SIGNAL, name);
}
