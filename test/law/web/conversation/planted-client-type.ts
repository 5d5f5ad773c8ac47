// expects: law(imports)
import type { createClient } from '../client/client.ts';

export type Planted = ReturnType<typeof createClient>;
