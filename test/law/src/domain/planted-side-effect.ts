// expects: law(imports)
import '../store/port.ts';

export const planted = 1;
