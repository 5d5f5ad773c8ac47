// expects: law(imports)
export const planted = import(`../store/port.ts`);
