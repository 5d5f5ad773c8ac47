/**
 * A trigger's Workflow: short-lived, and any number of them at once. Its Schedule starts one at each due time, a command
 * starts the one that carries it out.
 *
 * It looks, and decides nothing itself: what is due by then is decided in a transaction of the store, whoever asks. So one
 * that comes early, late, twice or never does no harm.
 */
import {
  ApplicationFailure,
  condition,
  continueAsNew,
  log,
  proxyLocalActivities,
  setDefaultSignalHandler,
  setHandler,
  workflowInfo,
} from '@temporalio/workflow';

import type { TriggerActivities } from '../activities/triggers.ts';
import { HISTORY_EVENTS_LIMIT, HISTORY_LIMIT_BYTES } from '../contracts/limits.ts';
import { TRIGGER_SIGNAL } from '../contracts/names.ts';
import type { TriggerCommand } from '../contracts/trigger-check.ts';
import type { TriggerInputValue } from '../contracts/triggers.ts';
import {
  backfillTriggerSignal,
  changeTriggerSignal,
  createTriggerSignal,
  fireTriggerSignal,
  lookAtTriggerSignal,
  removeTriggerSignal,
} from './definitions.ts';

// The store may be busy or full for a while: what was accepted waits for it, however long (A1).
const { carryOutCommand, lookAtTrigger } = proxyLocalActivities<TriggerActivities>({
  startToCloseTimeout: '60 seconds',
  retry: { initialInterval: '50 ms', maximumInterval: '2 seconds' },
});

/** What one run hands to the next, or what the first is started with. */
export type TriggerRunInput = TriggerInputValue & { carried?: TriggerCommand[] };

/** What may be handed over: a run's input ends at 2 MiB. */
const CARRIED_LIMIT_CHARACTERS = 256 * 1024;

/** Workflow Ids `trigger:<id>` (commands) and `trigger:<id>-<time>` (fires). */
export async function trigger({ triggerId, carried = [] }: TriggerRunInput): Promise<void> {
  const inbox: TriggerCommand[] = [...carried];
  let looks = true;
  /** When it was last asked: what is due later, others will ask for, and it ends. */
  let dueByMs = Date.now();
  const take = (name: string, value: unknown): void => {
    dueByMs = Date.now();
    if (name === TRIGGER_SIGNAL.look) looks = true;
    else if (isCommandName(name))
      // oxlint-disable-next-line typescript/no-unsafe-type-assertion -- its shape is looked at by whoever carries it out
      inbox.push({ name, value } as TriggerCommand);
    else log.warn('an unknown signal was ignored', { triggerId, name });
  };
  // Before any await, and before those that have a name: what came with the start comes in the order in which it came. Each of
  // the others would first be given all that bears its name, and a removal would overtake a run by hand.
  setDefaultSignalHandler((name, value) => take(name, value));
  setHandler(createTriggerSignal, (value) => take('create', value));
  setHandler(changeTriggerSignal, (value) => take('change', value));
  setHandler(removeTriggerSignal, (value) => take('remove', value));
  setHandler(fireTriggerSignal, (value) => take('fire', value));
  setHandler(backfillTriggerSignal, (value) => take('backfill', value));
  setHandler(lookAtTriggerSignal, () => take('look', null));
  for (;;) {
    if (isLong() && JSON.stringify(inbox).length < CARRIED_LIMIT_CHARACTERS)
      return continueAsNew<typeof trigger>({ triggerId, carried: inbox });
    const command = inbox.shift();
    if (command !== undefined) {
      await carryOut(triggerId, command);
      looks = true;
      dueByMs = Date.now();
    } else if (looks) {
      looks = false;
      const { waitMs } = await lookAtTrigger({ triggerId, dueByMs });
      if (waitMs === null) continue;
      if (waitMs > 0) await condition(() => looks || inbox.length > 0, waitMs);
      looks = true;
    } else return;
  }
}

/** Whoever is always asked would never end, and a history does. */
function isLong(): boolean {
  const { continueAsNewSuggested, historyLength, historySize } = workflowInfo();
  return (
    continueAsNewSuggested ||
    historyLength > HISTORY_EVENTS_LIMIT ||
    historySize > HISTORY_LIMIT_BYTES
  );
}

async function carryOut(triggerId: string, command: TriggerCommand): Promise<void> {
  try {
    await carryOutCommand({ triggerId, command });
  } catch (error) {
    // Without the documented shape, or of a trigger that is gone: the gateway has said so to whoever asked through it.
    if (!(error instanceof ApplicationFailure) || error.nonRetryable !== true) throw error;
    log.warn('a command of a trigger was refused', {
      triggerId,
      name: command.name,
      error: error.message,
    });
  }
}

function isCommandName(name: string): name is TriggerCommand['name'] {
  return Object.hasOwn(TRIGGER_SIGNAL, name) && name !== TRIGGER_SIGNAL.look;
}
