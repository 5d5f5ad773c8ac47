// expects: typescript(no-require-imports)
export const planted: unknown = require('node:fs');
