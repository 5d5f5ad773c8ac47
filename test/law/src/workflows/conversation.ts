import { proxyActivities } from '@temporalio/workflow';

import type { Activities } from '../activities/activities.ts';
import type { Event } from '../contracts/events.ts';
import { idPattern } from '../contracts/ids.ts';
import { isTurn } from '../domain/turn.ts';

export const { runTurn } = proxyActivities<Activities>({ startToCloseTimeout: '1 minute' });
export const known = (event: Event): boolean => isTurn(event.id, Date.now()) || idPattern === '';
