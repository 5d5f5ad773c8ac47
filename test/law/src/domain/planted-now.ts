// expects: eslint(no-restricted-properties)
export const planted = Date.now();
