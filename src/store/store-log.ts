/** Told what an operator may want to know: a wake-up file that cannot be watched, a listener that failed. Never content. */
export type StoreLog = (message: string, fields: Readonly<Record<string, unknown>>) => void;
