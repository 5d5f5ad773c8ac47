// expects: law(imports)
import { drive } from '../../providers/driver.ts';

export const planted = drive;
