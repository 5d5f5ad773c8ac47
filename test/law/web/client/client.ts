import type { Event } from '../../src/contracts/events.ts';
import { idPattern } from '../../src/contracts/ids.ts';
import { fold } from '../../src/domain/fold.ts';
import type { Handle } from './contract.ts';

export const createClient = (last: Event | null): Handle => ({ last });
export const parts: unknown[] = [fold, idPattern];
