// expects: law(clock)
export const planted = Date();
