// expects: law(imports)
export * from '../contracts/events.ts';
