// expects: law(imports)
import { Client } from '@temporalio/client';

export const planted = Client;
