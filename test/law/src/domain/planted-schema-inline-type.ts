// expects: law(imports) typescript(no-import-type-side-effects)
import { type Event } from '../contracts/events.ts';

export type Planted = Event;
