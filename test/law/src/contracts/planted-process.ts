// expects: eslint(no-restricted-globals)
export const planted = process.pid;
