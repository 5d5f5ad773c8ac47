// expects: law(environment)
export const planted = globalThis.process['env'];
