// expects: law(imports)
import { home } from '../config.ts';

export const planted = home;
