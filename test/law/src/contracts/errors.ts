// expects: law(imports)
export * from './events.ts';
