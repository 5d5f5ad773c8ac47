// expects: law(environment)
const { pid, ...rest } = process;
export const planted = [pid, rest];
