// expects: import(no-cycle)
import type { First } from './planted-type-cycle.ts';

export type Second = { first: First | null };
