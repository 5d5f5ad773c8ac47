// expects: law(imports)
import { Type } from 'typebox';

export const planted = Type;
