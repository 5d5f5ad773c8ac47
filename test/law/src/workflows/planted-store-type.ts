// expects: law(imports)
import type { Store } from '../store/port.ts';

export type Planted = Store;
