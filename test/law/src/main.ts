import { Worker } from '@temporalio/worker';

import { activities } from './activities/activities.ts';
import { parts } from './api/app.ts';
import { home } from './config.ts';
import { open } from './store/sqlite/engine.ts';
import { known } from './workflows/conversation.ts';

process.on('exit', () => undefined);
export const all: unknown[] = [Worker, activities, parts, home, open, known, process.pid];
