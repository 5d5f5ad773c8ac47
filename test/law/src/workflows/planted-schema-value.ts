// expects: law(imports)
import { eventShape } from '../contracts/events.ts';

export const planted = eventShape;
