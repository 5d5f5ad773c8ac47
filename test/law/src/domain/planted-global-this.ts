// expects: eslint(no-restricted-globals)
export const planted = globalThis.process.pid;
