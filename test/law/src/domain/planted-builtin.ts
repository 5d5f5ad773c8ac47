// expects: law(imports)
import { randomUUID } from 'node:crypto';

export const planted = randomUUID;
