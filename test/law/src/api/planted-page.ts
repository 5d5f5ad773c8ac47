// expects: law(imports)
import { createClient } from '../../web/client/client.ts';

export const planted = createClient;
