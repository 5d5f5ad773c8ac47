import type { Event } from '../contracts/events.ts';
import { isTurn } from '../domain/turn.ts';

export type Store = { append: (event: Event) => Promise<void> };
export const fold = isTurn;
