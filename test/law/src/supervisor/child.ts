import { spawn } from 'node:child_process';

import { home } from '../config.ts';
import { idPattern } from '../contracts/ids.ts';

export const start = (): unknown => [spawn, home, idPattern, process.execPath];
