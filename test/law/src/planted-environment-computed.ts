// expects: law(environment)
const key: 'env' | 'argv' = 'env';
export const planted: unknown = process[key];
