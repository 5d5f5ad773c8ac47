// expects: law(imports)
import type { Session } from '../../api/app.ts';

export type Planted = Session;
