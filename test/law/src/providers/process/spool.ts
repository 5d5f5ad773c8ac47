import { readFileSync } from 'node:fs';
import { readFile } from 'node:fs/promises';

import { idPattern } from '../../contracts/ids.ts';

export const spool = readFileSync(idPattern, 'utf8');
export const own = (): Promise<string> => readFile(String(process.pid), 'utf8');
