// expects: law(imports)
import { readFileSync } from 'fs';

export const planted = readFileSync;
