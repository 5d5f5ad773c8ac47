// expects: law(imports)
import { createClient } from '../client/client.ts';

export const planted = createClient;
