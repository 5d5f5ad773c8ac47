// expects: import(no-cycle)
import { second } from './planted-cycle-second.ts';

export const first = (): unknown => second;
