// expects: import(no-cycle)
import { first } from './planted-cycle.ts';

export const second = (): unknown => first;
