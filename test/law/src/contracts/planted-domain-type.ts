// expects: law(imports)
import type { Turn } from '../domain/turn.ts';

export type Planted = Turn;
