// expects: import(no-cycle)
import type { Second } from './planted-type-cycle-second.ts';

export type First = { second: Second | null };
