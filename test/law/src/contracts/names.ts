// expects: law(imports)
import { Event } from './events.ts';

export const name = Event;
