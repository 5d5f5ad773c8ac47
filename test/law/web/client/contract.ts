import type { Event } from '../../src/contracts/events.ts';

export type Handle = { last: Event | null };
