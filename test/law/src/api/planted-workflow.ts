// expects: law(imports)
import { known } from '../workflows/conversation.ts';

export const planted = known;
