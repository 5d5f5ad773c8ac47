// expects: law(imports)
import { isTurn } from '../../src/domain/turn.ts';

export const planted = isTurn;
