// expects: law(imports)
import { Type } from 'typebox';

export const limit = Type.Number();
