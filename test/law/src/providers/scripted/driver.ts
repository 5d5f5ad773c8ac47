import { idPattern } from '../../contracts/ids.ts';
import { spool } from '../process/spool.ts';

export const scripted = spool + idPattern;
