// expects: law(imports) import(no-dynamic-require)
const name = 'port';
export const planted: Promise<unknown> = import(`../store/${name}.ts`);
