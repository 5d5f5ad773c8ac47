import type { Event } from './events.ts';
import { idPattern } from './ids.ts';

export type Report = { event: Event };
export const reportPattern = idPattern;
