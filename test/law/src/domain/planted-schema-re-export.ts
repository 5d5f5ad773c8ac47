// expects: law(imports)
export { Event } from '../contracts/events.ts';
