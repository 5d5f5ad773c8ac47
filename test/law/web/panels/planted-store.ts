// expects: law(imports)
import type { Store } from '../../src/store/port.ts';

export type Planted = Store;
