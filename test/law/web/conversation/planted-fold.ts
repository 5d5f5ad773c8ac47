// expects: law(imports)
import { fold } from '../../src/domain/fold.ts';

export const planted = fold;
