// expects: law(imports)
import type { known } from '../../workflows/conversation.ts';

export type Planted = typeof known;
