// expects: law(clock)
export const planted = new Date();
