// expects: law(environment)
const { pid, env } = process;
export const planted = [pid, env];
