// expects: typescript(no-explicit-any)
export type Planted = any;
