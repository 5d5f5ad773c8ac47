import type { Event } from '../contracts/events.ts';
import { idPattern } from '../contracts/ids.ts';

export type { Report } from '../contracts/provider-events.ts';
export { idPattern } from '../contracts/ids.ts';
export type Turn = { event: Event; at: string };
export const isTurn = (id: string, atMs: number): boolean =>
  idPattern.includes(id) && new Date(atMs).getTime() === Date.parse(id);
