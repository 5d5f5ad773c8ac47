import type { Event } from '../../contracts/events.ts';
import { idPattern } from '../../contracts/ids.ts';
import { isTurn, type Turn } from '../turn.ts';

export const openSegment = (event: Event): Turn | string =>
  isTurn(event.id, 0) ? { event, at: '' } : idPattern;
