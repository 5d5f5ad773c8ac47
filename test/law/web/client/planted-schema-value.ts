// expects: law(imports)
import { Event } from '../../src/contracts/events.ts';

export const planted = Event;
