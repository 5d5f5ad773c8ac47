import { Client } from '@temporalio/client';

import { home } from '../config.ts';
import { eventShape } from '../contracts/events.ts';
import { start } from '../supervisor/child.ts';

export const send = (): unknown => [Client, home, eventShape, start];
