// expects: law(imports)
import { fold } from '../../store/port.ts';

export const planted = fold;
