// expects: law(imports)
import { rows } from '../conversation/rows.ts';

export const planted = rows;
