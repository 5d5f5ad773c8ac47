// expects: law(imports)
import type { Event } from '../../src/contracts/events.ts';

export type Planted = Event;
