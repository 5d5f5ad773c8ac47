/**
 * A trigger's Workflow: short-lived, and any number of them at once. Its Schedule starts one at each due time, a command
 * starts the one that carries it out.
 *
 * It looks, and decides nothing itself: what is due by then is decided in a transaction of the store, whoever asks. So one
 * that comes early, late, twice or never does no harm.
 */
import {
  ActivityFailure,
  ApplicationFailure,
  condition,
  log,
  proxyLocalActivities,
  setHandler,
} from '@temporalio/workflow';

import type { TriggerActivities } from '../activities/triggers.ts';
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

/** Workflow Ids `trigger:<id>` (commands) and `trigger:<id>-<time>` (fires). */
export async function trigger({ triggerId }: TriggerInputValue): Promise<void> {
  const inbox: TriggerCommand[] = [];
  let looks = true;
  /** When it was last asked: what is due later, others will ask for, and it ends. */
  let dueByMs = Date.now();
  // Before any await: a signal that came with the start must find its handler.
  setHandler(createTriggerSignal, (value) => void inbox.push({ name: 'create', value }));
  setHandler(changeTriggerSignal, (value) => void inbox.push({ name: 'change', value }));
  setHandler(removeTriggerSignal, (value) => void inbox.push({ name: 'remove', value }));
  setHandler(fireTriggerSignal, (value) => void inbox.push({ name: 'fire', value }));
  setHandler(backfillTriggerSignal, (value) => void inbox.push({ name: 'backfill', value }));
  setHandler(lookAtTriggerSignal, () => {
    looks = true;
    dueByMs = Date.now();
  });
  for (;;) {
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

async function carryOut(triggerId: string, command: TriggerCommand): Promise<void> {
  try {
    await carryOutCommand({ triggerId, command });
  } catch (error) {
    // Without the documented shape, or of a trigger that is gone: the gateway has said so to whoever asked through it.
    if (!(error instanceof ActivityFailure) || !(error.cause instanceof ApplicationFailure))
      throw error;
    log.warn('a command of a trigger was refused', {
      triggerId,
      name: command.name,
      error: error.cause.message,
    });
  }
}
