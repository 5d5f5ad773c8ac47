// expects: law(imports)
export const planted = 1;
