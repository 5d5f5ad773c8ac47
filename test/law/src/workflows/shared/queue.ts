import { sleep } from '@temporalio/workflow';

import type { Activities } from '../../activities/activities.ts';
import { idPattern } from '../../contracts/ids.ts';
import { isTurn } from '../../domain/turn.ts';
import { send } from '../definitions.ts';

export type Runner = Activities['runTurn'];
export const wait = (): Promise<void> => sleep(isTurn(idPattern, 0) ? send.name : 1);
