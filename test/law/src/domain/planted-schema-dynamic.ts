// expects: law(imports)
export const planted = import('../contracts/events.ts');
