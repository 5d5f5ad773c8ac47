import { eventShape } from '../contracts/events.ts';
import { spool } from './process/spool.ts';

export const drive = (line: unknown): boolean => eventShape.Check(line) && spool.length > 0;
