// expects: law(imports)
import { isTurn } from '../domain/turn.ts';

export const planted = isTurn;
