// expects: law(imports)
import { parts } from '../api/app.ts';

export const planted = parts;
