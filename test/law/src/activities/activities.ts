import { heartbeat } from '@temporalio/activity';
import { ApplicationFailure } from '@temporalio/common';

import { eventShape } from '../contracts/events.ts';
import { isTurn } from '../domain/turn.ts';
import { drive } from '../providers/driver.ts';
import { fold } from '../store/port.ts';

export type Activities = { runTurn: (id: string) => Promise<void> };
export const activities: Activities = {
  runTurn: async (id) => {
    heartbeat([eventShape, isTurn, fold, process.pid]);
    process.on('SIGTERM', () => undefined);
    if (!drive(id)) throw ApplicationFailure.nonRetryable('no');
    await Promise.resolve();
  },
};
