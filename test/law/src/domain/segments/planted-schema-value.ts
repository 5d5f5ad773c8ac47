// expects: law(imports)
import { Event } from '../../contracts/events.ts';

export const planted = Event;
